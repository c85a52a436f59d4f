package kafka

import (
	"fmt"

	"penstock"
	"penstock/convert"
	"penstock/metric"
	"penstock/replica"
	"penstock/wire"
)

// Fetching from a topic of the message format: the messages are read and become record batches (package convert) when the request is read, and the
// answer holds them in memory, counted as converted in the copy account. That costs a copy and the processor; topics of records never come here.
//
// Bounds: one answer holds no more than Limits.ConvertBytes of them, one message aside; the rest comes with the next fetch.

func errConverted(limit int) error {
	return fmt.Errorf("%w: more than %d bytes as messages", penstock.ErrTooLarge, limit)
}

// converted is what a fetch has of topics of messages. Its memory is kept with the call.
type converted struct {
	packer  convert.Packer
	bytes   []byte // record batches of all parts, in their order
	scratch []byte // stored messages
	extents []penstock.Extent
}

// converting is the size of a piece of stored messages that is read at a time. A message that is larger is read whole.
const converting = 128 << 10

// readMessages reads one partition of messages. What it finds follows that of the parts before it.
func (c *fetchCall) readMessages(p *fetchPart, led *replica.Partition) {
	v := c.converted
	if v == nil {
		v = &converted{}
		c.converted = v
	}
	p.lo, p.hi = len(v.bytes), len(v.bytes)
	room := min(p.max, c.maxBytes-c.bytes, int64(c.front.o.Limits.ConvertBytes-len(v.bytes)))
	ask := replica.ReadRequest{
		From: p.from, Max: max(room, 0), Whole: c.bytes == 0, Isolation: c.isolation, Epoch: p.epoch, LastEpoch: p.last,
	}
	var err error
	v.extents, p.res, err = led.Read(ask, v.extents[:0])
	if err == nil {
		err = v.convert(ask.Max, p.route.stored, int64(c.front.o.Limits.ConvertBytes))
	}
	v.extents = penstock.ReleaseAll(v.extents)
	if err != nil {
		v.bytes = v.bytes[:p.lo]
		p.code = codeOf(err)
		return
	}
	p.hi = len(v.bytes)
	p.size = int64(p.hi - p.lo)
	c.bytes += p.size
}

// convert adds record batches of the messages in the extents, until there are as many bytes as asked for. A message at the end that is
// cut is left out.
func (v *converted) convert(most int64, storeTime bool, body int64) (err error) {
	v.packer.Begin(v.bytes, convert.PackOptions{StoreTime: storeTime, Bytes: max(most, 1), BodyBytes: body})
	defer func() { v.bytes = v.packer.End() }()
	packed, more := 0, true
	for _, e := range v.extents {
		have := 0 // bytes in scratch, the beginning of a message
		for at := int64(0); at < e.Len && more; {
			n := int(min(e.Len-at, int64(max(converting, have)))) // a message that does not fit doubles what is read
			if cap(v.scratch) < have+n {
				v.scratch = append(make([]byte, 0, have+n), v.scratch[:have]...)
			}
			piece := v.scratch[:have+n]
			if _, err := e.File.ReadAt(piece[have:], e.Off+at); err != nil {
				return fmt.Errorf("stored messages: %w", err)
			}
			at += int64(n)
			whole, err := convert.Each(piece, func(stored []byte) (err error) {
				if more {
					more, err = v.packer.Add(stored)
				}
				if err == nil {
					packed++
				}
				return err
			})
			if err != nil && packed > 0 {
				return nil // it is told once it is what comes first
			}
			if err != nil {
				return err
			}
			have = copy(v.scratch[:cap(v.scratch)], piece[whole:])
		}
	}
	return nil
}

// encodeMessages adds what a part of messages has become.
func (c *fetchCall) encodeMessages(a *wire.Answer, p *fetchPart) {
	if p.size == 0 {
		return
	}
	a.B = append(a.B, c.converted.bytes[p.lo:p.hi]...)
	a.Copied(int(p.size), metric.ReasonConverted, p.route.out)
}

// keepAnswered is the most memory that a call keeps for what it converts next.
const keepAnswered = 1 << 20

// drop forgets what was converted. Much memory is given back.
func (v *converted) drop(keep int) {
	if v == nil {
		return
	}
	if v.bytes = v.bytes[:0]; cap(v.bytes) > keep {
		v.bytes = nil
	}
	if cap(v.scratch) > keep {
		v.scratch = nil
	}
}
