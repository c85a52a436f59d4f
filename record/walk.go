package record

import (
	"encoding/binary"
	"fmt"
	"math"

	"penstock"
)

// Record is one record of a plain batch. Its slices are parts of the batch and live as long as that.
type Record struct {
	Offset    penstock.Offset
	Timestamp penstock.Timestamp
	Key       []byte // nil if null
	Value     []byte // nil if null
	Headers   int    // number of headers
	Raw       []byte // the headers as they are stored, checked
}

// A Walker goes through the records of a plain batch without an allocation:
//
//	for w := record.Walk(b); w.Next(&r); { ... }
//
// and Err afterwards. It is used by one goroutine.
type Walker struct {
	rest     []byte
	base     penstock.Offset
	baseTime penstock.Timestamp
	time     penstock.Timestamp // of every record, if the broker's clock was stamped, else NoTimestamp
	left     int32              // records still to come
	highest  int32              // largest offset delta that the header allows
	previous int32              // offset delta of the last record returned
	err      error
}

// Walk starts at the first record of the batch b, which is all of b. A batch that is compressed or malformed has no
// records, and Err says so.
func Walk(b []byte) Walker {
	h, err := Format{}.Header(b)
	switch {
	case err != nil:
	case int(h.Size) != len(b):
		err = fmt.Errorf("%w: batch of %d bytes in %d", penstock.ErrCorrupt, h.Size, len(b))
	case h.Codec != penstock.CodecNone:
		err = fmt.Errorf("%w: a batch compressed with %s is not walked", penstock.ErrInvalidRecord, h.Codec)
	}
	if err != nil {
		return Walker{err: err}
	}
	return walk(b, &h)
}

func walk(b []byte, h *penstock.BatchHeader) Walker {
	w := Walker{
		rest:     b[headerSize:],
		base:     h.BaseOffset,
		baseTime: baseTimeOf(b),
		time:     penstock.NoTimestamp,
		left:     h.Records,
		highest:  h.LastDelta,
		previous: -1,
	}
	if h.Is(penstock.FlagLogAppendTime) {
		w.time = h.MaxTimestamp
	}
	return w
}

// Next reads the next record into r. It returns false at the end and at the first fault, where r is left as it was.
func (w *Walker) Next(r *Record) bool {
	if w.err != nil {
		return false
	}
	if w.left == 0 {
		if len(w.rest) != 0 {
			w.err = fmt.Errorf("%w: %d bytes after the last record", penstock.ErrCorrupt, len(w.rest))
		}
		return false
	}
	next, rest, ok := w.read()
	if !ok {
		w.err = fmt.Errorf("%w: record %d before the end is malformed", penstock.ErrCorrupt, w.left)
		return false
	}
	w.rest = rest
	w.left--
	*r = next
	return true
}

// Err is what ended the walk early, nil if nothing did. It wraps penstock.ErrCorrupt or ErrInvalidRecord.
func (w *Walker) Err() error { return w.err }

// read takes one record from the front of the rest.
func (w *Walker) read() (r Record, rest []byte, ok bool) {
	c := cursor{b: w.rest}
	body := c.take(c.varint())
	if c.bad {
		return r, nil, false
	}
	r, ok = w.parse(body)
	return r, c.b, ok
}

// parse reads one record, its length taken off.
func (w *Walker) parse(body []byte) (r Record, ok bool) {
	if len(body) == 0 {
		return r, false
	}
	c := cursor{b: body[1:]} // the attributes mean nothing
	r.Timestamp = w.baseTime + penstock.Timestamp(c.varlong())
	delta := c.varint()
	r.Key = c.nullable()
	r.Value = c.nullable()
	r.Headers = int(c.varint())
	r.Raw = c.b
	c.skipHeaders(r.Headers)
	if c.bad || len(c.b) != 0 || delta <= w.previous || delta > w.highest {
		return r, false
	}
	w.previous = delta
	r.Offset = w.base + penstock.Offset(delta)
	if w.time != penstock.NoTimestamp {
		r.Timestamp = w.time
	}
	return r, true
}

// cursor reads from the front of b. After the first fault bad is set and everything read is zero.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) fail() {
	c.b, c.bad = nil, true
}

func (c *cursor) varlong() int64 {
	v, n := binary.Varint(c.b)
	if n <= 0 {
		c.fail()
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) varint() int32 {
	v := c.varlong()
	if v < math.MinInt32 || v > math.MaxInt32 {
		c.fail()
		return 0
	}
	return int32(v)
}

// take cuts off n bytes.
func (c *cursor) take(n int32) []byte {
	if n < 0 || int(n) > len(c.b) {
		c.fail()
		return nil
	}
	p := c.b[:n:n]
	c.b = c.b[n:]
	return p
}

// nullable reads a length and as many bytes; a null is nil.
func (c *cursor) nullable() []byte {
	n := c.varint()
	if n == -1 {
		return nil
	}
	return c.take(n)
}

// skipHeaders checks n headers. Each takes two bytes at least, so that n costs no more than the bytes there are.
func (c *cursor) skipHeaders(n int) {
	if n < 0 || n > len(c.b)/2 {
		c.fail()
		return
	}
	for range n {
		c.take(c.varint())
		c.nullable()
	}
}

func baseTimeOf(b []byte) penstock.Timestamp {
	return penstock.Timestamp(binary.BigEndian.Uint64(b[atBaseTime:]))
}
