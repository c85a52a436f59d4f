package convert

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"strconv"

	"penstock/message"
	"penstock/record"
)

// PackOptions say how messages become records. The zero value of each gives its default.
type PackOptions struct {
	StoreTime  bool  // a record has the time when the message was stored; default: when it was born
	BatchBytes int   // size at which the next batch begins; default 512 KiB
	BodyBytes  int64 // largest body that is decompressed; default 64 MiB
	// Bytes ends the packing: what has been packed is at least as much after Add has said so. 0 means no bound.
	Bytes int64
}

// A Packer puts messages into record batches, one behind the other in one slice. A record's offset is the message's queue offset.
//
//	p.Begin(dst, options)
//	for more := true; more && ...; { more, err = p.Add(stored) }
//	dst = p.End()
type Packer struct {
	o       PackOptions
	build   record.Builder
	begun   bool // a batch has
	dst     []byte
	before  int // bytes in dst that were there
	body    []byte
	digits  []byte
	headers []record.Header
}

// Begin starts behind what dst holds. The packer owns dst until End.
func (p *Packer) Begin(dst []byte, o PackOptions) {
	o.BatchBytes = cmp.Or(o.BatchBytes, defaultBatchBytes)
	o.BodyBytes = cmp.Or(o.BodyBytes, defaultBodyBytes)
	p.o, p.dst, p.before, p.begun = o, dst, len(dst), false
}

// Add checks and packs one stored message, which is all of b and is not kept. Messages come in the order of their offsets. more is false once there is as
// much as was asked for. Errors wrap penstock.ErrCorrupt, penstock.ErrInvalidRecord for an offset out of order; nothing is added then.
func (p *Packer) Add(b []byte) (more bool, err error) {
	if err := (message.Format{}).Verify(b); err != nil {
		return false, err // a batch's own checksum would vouch for what is broken
	}
	m, err := message.Parse(b)
	if err != nil {
		return false, err
	}
	e := p.Entry(&m)
	if !p.begun {
		p.build.Begin(p.dst)
		p.begun = true
	}
	if err := p.build.Add(&e); err != nil {
		if p.build.Len() == 0 {
			p.endBatch()
		}
		return false, fmt.Errorf("message at offset %d: %w", m.QueueOffset, err)
	}
	size := p.build.Size()
	packed := int64(len(p.dst)-p.before) + int64(size)
	if size >= p.o.BatchBytes {
		p.endBatch()
	}
	return p.o.Bytes <= 0 || packed < p.o.Bytes, nil
}

func (p *Packer) endBatch() {
	p.dst = p.build.End()
	p.begun = false
}

// End completes the last batch and returns the slice.
func (p *Packer) End() []byte {
	if p.begun {
		p.endBatch()
	}
	dst := p.dst
	p.dst = nil
	clear(p.headers)
	if cap(p.body) > keepScratch {
		p.body = nil
	}
	return dst
}

// keepScratch is the largest body whose memory is kept for the next.
const keepScratch = 1 << 20

// Entry is the record that a message becomes. It is good until the next call and no longer than the message's bytes. A body that cannot be
// decompressed within the bounds stays as it is, and a header says so: a consumer would else not get past it.
func (p *Packer) Entry(m *message.Message) record.Entry {
	e := record.Entry{Offset: m.QueueOffset, Timestamp: m.BornTime, Value: m.Body}
	if p.o.StoreTime {
		e.Timestamp = m.StoreTime
	}
	flags := m.SysFlag & shownFlags
	if flags&message.FlagCompressed != 0 {
		if out, err := unpackBody(p.body[:0], m.Body, flags, cmp.Or(p.o.BodyBytes, defaultBodyBytes)); err == nil {
			p.body, e.Value = out, out
			flags &^= message.FlagCompressed | maskCompression
		}
	} else {
		flags &^= maskCompression
	}
	p.headers, p.digits = p.headers[:0], p.digits[:0]
	null := p.addProperties(&e, m.Properties)
	if null && len(m.Body) == 0 {
		e.Value = nil
	} else if e.Value == nil {
		e.Value = []byte{}
	}
	p.addNumber(headerFlag, m.Flag)
	p.addNumber(headerSysFlag, int32(flags))
	p.addNumber(headerReconsumed, m.Reconsumed)
	e.Headers = p.headers
	return e
}

// addProperties makes key and headers of the properties, and reports whether they say that the value is null.
func (p *Packer) addProperties(e *record.Entry, props []byte) (null bool) {
	binary, hasBinary := []byte(nil), false
	message.Properties(props, func(name, value []byte) bool {
		switch {
		case string(name) == message.PropertyKeys && e.Key == nil:
			if len(value) > 0 {
				e.Key = value
			}
			return true
		case string(name) == propertyCRC, string(name) == PropertyProducer:
			return true
		case len(name) > len(propertyOwn) && string(name[:len(propertyOwn)]) == propertyOwn:
			switch {
			case string(name) == propertyValue && string(value) == nullValue:
				null = true
				return true
			case string(name) == propertyKey && !hasBinary:
				if binary, hasBinary = unname(value); hasBinary {
					return true
				}
			case bytes.HasPrefix(name, []byte(propertyHeader)):
				if k, v, ok := unheader(value); ok {
					p.headers = append(p.headers, record.Header{Key: k, Value: v})
					return true
				}
			}
		}
		p.headers = append(p.headers, record.Header{Key: name, Value: value})
		return true
	})
	if hasBinary {
		if e.Key != nil {
			p.headers = append(p.headers, record.Header{Key: []byte(message.PropertyKeys), Value: e.Key})
		}
		e.Key = binary
	}
	return null
}

// addNumber adds a header for a field of the message's head that is not 0.
func (p *Packer) addNumber(name string, v int32) {
	if v == 0 {
		return
	}
	at := len(p.digits)
	p.digits = strconv.AppendInt(p.digits, int64(v), 10)
	p.headers = append(p.headers, record.Header{Key: []byte(name), Value: p.digits[at:len(p.digits):len(p.digits)]})
}

// number reads what addNumber writes, and nothing else.
func number(p []byte) (int32, bool) {
	v, err := strconv.ParseInt(string(p), 10, 64)
	if err != nil || v == 0 || v < math.MinInt32 || v > math.MaxInt32 {
		return 0, false
	}
	return int32(v), strconv.FormatInt(v, 10) == string(p)
}

// Each calls visit with every whole message in b, one behind the other as they are stored, and returns the bytes that those take: what is left is the
// beginning of one. Errors wrap penstock.ErrCorrupt, or are visit's.
func Each(b []byte, visit func(stored []byte) error) (whole int, err error) {
	f := message.Format{}
	for len(b)-whole >= f.HeaderSize() {
		h, err := f.Header(b[whole:])
		if err != nil {
			return whole, err
		}
		if int(h.Size) > len(b)-whole {
			return whole, nil
		}
		next := whole + int(h.Size)
		if err := visit(b[whole:next:next]); err != nil {
			return whole, err
		}
		whole = next
	}
	return whole, nil
}
