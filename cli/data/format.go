package data

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/cli"
)

// verbs says what a format may contain, for help texts. They are kcat's; %v is ours.
const verbs = `%s or %v value, %k key, %h headers, %t topic, %p partition, %o offset, %T milliseconds since 1970, %S and %K bytes of
value and key (-1: null), %R bytes of the value as four bytes big-endian, %% a %, and \n \t \r \0 \\ \xNN`

// format is a format string, cut into pieces.
type format struct {
	pieces []piece
	null   string // in place of a key or value that is null
	screen bool   // keys, values and headers must not move the cursor
}

// piece is text, or a verb.
type piece struct {
	text string
	verb byte // 0: text
}

// parseFormat reads a format string.
func parseFormat(s, null string) (*format, error) {
	f := &format{null: null}
	var text []byte
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			n, b, err := escape(s[i:])
			if err != nil {
				return nil, cli.Usage("-f %s: %v", s, err)
			}
			text = append(text, b)
			i += n - 1
		case '%':
			if i++; i == len(s) {
				return nil, cli.Usage("-f %s: %% at the end; %%%% is a percent sign", s)
			}
			switch s[i] {
			case '%':
				text = append(text, '%')
			case 's', 'v', 'k', 'h', 't', 'p', 'o', 'T', 'S', 'K', 'R':
				f.pieces = append(f.pieces, piece{text: string(text)}, piece{verb: s[i]})
				text = text[:0]
			default:
				return nil, cli.Usage("-f %s: no %%%c; there are %s", s, s[i], verbs)
			}
		default:
			text = append(text, s[i])
		}
	}
	f.pieces = append(f.pieces, piece{text: string(text)})
	return f, nil
}

// escape reads the escape sequence at the start of s: how long it is and the byte it stands for.
func escape(s string) (n int, b byte, err error) {
	if len(s) < 2 {
		return 0, 0, fmt.Errorf(`\ at the end; \\ is a backslash`)
	}
	switch s[1] {
	case 'n':
		return 2, '\n', nil
	case 't':
		return 2, '\t', nil
	case 'r':
		return 2, '\r', nil
	case '0':
		return 2, 0, nil
	case '\\':
		return 2, '\\', nil
	case 'x':
		if len(s) >= 4 {
			if v, err := strconv.ParseUint(s[2:4], 16, 8); err == nil {
				return 4, byte(v), nil
			}
		}
		return 0, 0, fmt.Errorf(`\x wants two hexadecimal digits`)
	}
	return 0, 0, fmt.Errorf(`no \%c; there are \n \t \r \0 \\ \xNN`, s[1])
}

// unescape replaces the escape sequences of a flag's value.
func unescape(s string) ([]byte, error) {
	var out []byte
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			out = append(out, s[i])
			continue
		}
		n, b, err := escape(s[i:])
		if err != nil {
			return nil, err
		}
		out = append(out, b)
		i += n - 1
	}
	return out, nil
}

// append appends a record in the format.
func (f *format) append(dst []byte, r *kgo.Record) []byte {
	for _, p := range f.pieces {
		switch p.verb {
		case 0:
			dst = append(dst, p.text...)
		case 's', 'v':
			dst = f.bytes(dst, r.Value)
		case 'k':
			dst = f.bytes(dst, r.Key)
		case 'h':
			dst = f.headers(dst, r.Headers)
		case 't':
			dst = append(dst, r.Topic...)
		case 'p':
			dst = strconv.AppendInt(dst, int64(r.Partition), 10)
		case 'o':
			dst = strconv.AppendInt(dst, r.Offset, 10)
		case 'T':
			dst = strconv.AppendInt(dst, r.Timestamp.UnixMilli(), 10)
		case 'S':
			dst = strconv.AppendInt(dst, length(r.Value), 10)
		case 'K':
			dst = strconv.AppendInt(dst, length(r.Key), 10)
		case 'R':
			dst = binary.BigEndian.AppendUint32(dst, uint32(length(r.Value)))
		}
	}
	return dst
}

// length is the number of bytes, -1 for null.
func length(b []byte) int64 {
	if b == nil {
		return -1
	}
	return int64(len(b))
}

func (f *format) bytes(dst, b []byte) []byte {
	if b == nil {
		return append(dst, f.null...)
	}
	if f.screen {
		return appendVisible(dst, b)
	}
	return append(dst, b...)
}

// appendVisible appends text with a dot for every control character but the line break and the tab.
func appendVisible(dst, b []byte) []byte {
	for _, r := range string(b) {
		if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 {
			r = '·'
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}

// headers prints name=value,name=value.
func (f *format) headers(dst []byte, hs []kgo.RecordHeader) []byte {
	for i, h := range hs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(f.bytes(dst, []byte(h.Key)), '=')
		dst = f.bytes(dst, h.Value)
	}
	return dst
}
