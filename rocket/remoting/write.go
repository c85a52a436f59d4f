package remoting

import "encoding/binary"

// What this program says of itself in every header: its language as RocketMQ's clients know it, and the ordinal of the version of
// RocketMQ whose requests it serves. A client keeps the version that a heartbeat's answer tells and asks older brokers for less.
const (
	language     = "GO"
	languageCode = 9
	Version      = 513 // 5.5.0
)

// Writer appends one command to a slice: Begin, its fields, End, and after that the body. It holds no memory of its own.
//
//	w := remoting.Begin(dst, remoting.Head{...})
//	w.Int("offset", 7)
//	dst = append(w.End(), body...)
type Writer struct {
	b      []byte
	kind   Kind
	start  int // of the word in front
	fields int // where the fields begin: in a binary header their length
	some   bool
}

// Head is what begins a command.
type Head struct {
	Kind   Kind
	Code   int32
	Opaque int32
	Flag   int32
	Remark string
}

// Answer is the head of an answer to c.
func (c *Command) Answer(code int32, remark string) Head {
	return Head{Kind: c.Kind, Code: code, Opaque: c.Opaque, Flag: FlagResponse, Remark: remark}
}

// Begin begins a command at the end of dst.
func Begin(dst []byte, h Head) Writer {
	w := Writer{kind: h.Kind, start: len(dst)}
	dst = append(dst, byte(h.Kind), 0, 0, 0)
	if h.Kind == JSON {
		dst = append(dst, `{"code":`...)
		dst = appendNumber(dst, int64(h.Code))
		dst = append(dst, `,"flag":`...)
		dst = appendNumber(dst, int64(h.Flag))
		dst = append(dst, `,"language":"`+language+`","opaque":`...)
		dst = appendNumber(dst, int64(h.Opaque))
		dst = append(dst, `,"serializeTypeCurrentRPC":"JSON","version":`...)
		dst = appendNumber(dst, Version)
		if h.Remark != "" {
			dst = append(dst, `,"remark":`...)
			dst = appendText(dst, []byte(h.Remark))
		}
		w.b = dst
		return w
	}
	be := binary.BigEndian
	dst = be.AppendUint16(dst, uint16(h.Code))
	dst = append(dst, languageCode)
	dst = be.AppendUint16(dst, Version)
	dst = be.AppendUint32(dst, uint32(h.Opaque))
	dst = be.AppendUint32(dst, uint32(h.Flag))
	dst = be.AppendUint32(dst, uint32(len(h.Remark)))
	dst = append(dst, h.Remark...)
	w.fields = len(dst)
	w.b = be.AppendUint32(dst, 0)
	return w
}

// key begins a field in JSON.
func (w *Writer) key(key string) {
	if !w.some {
		w.b = append(w.b, `,"extFields":{"`...)
	} else {
		w.b = append(w.b, `,"`...)
	}
	w.some = true
	w.b = append(w.b, key...)
	w.b = append(w.b, `":`...)
}

// Text appends a field. The key has no character that JSON escapes.
func (w *Writer) Text(key, value string) { w.bytes(key, []byte(value)) }

// Bytes is Text.
func (w *Writer) Bytes(key string, value []byte) { w.bytes(key, value) }

func (w *Writer) bytes(key string, value []byte) {
	if w.kind == JSON {
		w.key(key)
		w.b = appendText(w.b, value)
		return
	}
	w.b = binary.BigEndian.AppendUint16(w.b, uint16(len(key)))
	w.b = append(w.b, key...)
	w.b = binary.BigEndian.AppendUint32(w.b, uint32(len(value)))
	w.b = append(w.b, value...)
}

// Int appends a number, which is a string in decimal in both kinds.
func (w *Writer) Int(key string, value int64) {
	if w.kind == JSON {
		w.key(key)
		w.b = append(w.b, '"')
		w.b = appendNumber(w.b, value)
		w.b = append(w.b, '"')
		return
	}
	w.b = binary.BigEndian.AppendUint16(w.b, uint16(len(key)))
	w.b = append(w.b, key...)
	at := len(w.b)
	w.b = appendNumber(append(w.b, 0, 0, 0, 0), value)
	binary.BigEndian.PutUint32(w.b[at:], uint32(len(w.b)-at-4))
}

// Bool appends a truth value.
func (w *Writer) Bool(key string, value bool) {
	if value {
		w.Text(key, "true")
		return
	}
	w.Text(key, "false")
}

// End ends the header and returns the slice, to which the body may be appended.
func (w *Writer) End() []byte {
	if w.kind == JSON {
		if w.some {
			w.b = append(w.b, '}')
		}
		w.b = append(w.b, '}')
	} else {
		binary.BigEndian.PutUint32(w.b[w.fields:], uint32(len(w.b)-w.fields-4))
	}
	n := len(w.b) - w.start - headBytes
	w.b[w.start+1], w.b[w.start+2], w.b[w.start+3] = byte(n>>16), byte(n>>8), byte(n)
	return w.b
}
