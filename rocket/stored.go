package rocket

import (
	"fmt"
	"io"

	"penstock"
	"penstock/message"
	"penstock/record"
	"penstock/replica"
)

// one pulls the message at an offset: its extents, which the caller spends or releases. There are none if it is gone or not there yet.
func (f *Front) one(p *replica.Partition, at penstock.Offset) ([]penstock.Extent, error) {
	e, got, _, err := p.Pull(replica.PullRequest{From: at, Max: 1, Count: 1, Scan: 1}, nil)
	if err == nil && got.Count == 0 {
		err = fmt.Errorf("%w: nothing at offset %d of partition %v", penstock.ErrOffsetOutOfRange, at, p.ID())
	}
	return e, err
}

// load copies stored bytes into memory, and releases the extents.
func load(extents []penstock.Extent) ([]byte, error) {
	defer penstock.ReleaseAll(extents)
	var n int64
	for _, e := range extents {
		n += e.Len
	}
	if n > message.MaxBytes {
		return nil, fmt.Errorf("%w: %d bytes to look at, at most %d", penstock.ErrTooLarge, n, message.MaxBytes)
	}
	b := make([]byte, n)
	at := b
	for _, e := range extents {
		if _, err := e.File.ReadAt(at[:e.Len], e.Off); err != nil && err != io.EOF {
			return nil, fmt.Errorf("stored messages: %w", err)
		}
		at = at[e.Len:]
	}
	return b, nil
}

// message reads the message at an offset. What it holds is the caller's.
func (f *Front) message(p *replica.Partition, at penstock.Offset) (message.Message, error) {
	e, err := f.one(p, at)
	if err != nil {
		return message.Message{}, err
	}
	b, err := load(e)
	if err != nil {
		return message.Message{}, err
	}
	return message.Parse(b)
}

// timeAt is when the message at an offset was stored, NoTimestamp if there is none.
func (f *Front) timeAt(r *route, p *replica.Partition, at penstock.Offset) penstock.Timestamp {
	o := p.Offsets()
	if at < o.Start || at >= o.HighWatermark {
		return penstock.NoTimestamp
	}
	if r.native {
		e, err := f.one(p, at)
		if err != nil {
			return penstock.NoTimestamp
		}
		defer penstock.ReleaseAll(e)
		return headTime(e[0], message.Format{}.HeaderSize(), message.Format{}.Header)
	}
	e, _, err := p.Read(replica.ReadRequest{From: at, Max: 1, Whole: true, Epoch: penstock.NoEpoch, LastEpoch: penstock.NoEpoch}, nil)
	if err != nil || len(e) == 0 {
		return penstock.NoTimestamp
	}
	defer penstock.ReleaseAll(e)
	return headTime(e[0], record.Format{}.HeaderSize(), record.Format{}.Header)
}

// headTime reads the time from the head of the batch at the front of e.
func headTime(e penstock.Extent, size int, header func([]byte) (penstock.BatchHeader, error)) penstock.Timestamp {
	b := make([]byte, min(int64(size), e.Len))
	if _, err := e.File.ReadAt(b, e.Off); err != nil && err != io.EOF {
		return penstock.NoTimestamp
	}
	h, err := header(b)
	if err != nil {
		return penstock.NoTimestamp
	}
	return h.MaxTimestamp
}
