package replica

import (
	"errors"
	"fmt"
	"io"

	"penstock"
	"penstock/meta"
	"penstock/store"
)

// scanFunc calls visit with the header of each batch from an offset on, as store.Partition.Scan does.
type scanFunc func(from penstock.Offset, visit func(*penstock.BatchHeader) error) error

// scanOf is how the batches of a topic's partition are looked through for their producers. Where they are messages, those of producers that were
// taken apart are seen whole, all the others alone. One that a crash has cut reaches behind the end.
func (r *Replicas) scanOf(t *meta.Topic, sp store.Partition) scanFunc {
	if t.Format != penstock.FormatMessage {
		return sp.Scan
	}
	return func(from penstock.Offset, visit func(*penstock.BatchHeader) error) error {
		if r.o.Sequences == nil {
			return fmt.Errorf("%w: what is behind offset %d is not looked through for producers", penstock.ErrCorrupt, from)
		}
		_, end := sp.Bounds()
		var buf []byte
		for from < end {
			var err error
			if buf, err = readSome(sp, from, end, buf[:0]); err != nil {
				return err
			}
			var bad error
			next, err := r.o.Sequences(buf, func(h *penstock.BatchHeader) {
				if bad == nil {
					bad = visit(h)
				}
			})
			if err = errors.Join(err, bad); err != nil {
				return err
			}
			if next <= from {
				return fmt.Errorf("%w: no message at offset %d", penstock.ErrCorrupt, from)
			}
			from = next
		}
		return nil
	}
}

// scanBytes is how much is read at a time. The first batch is read whole.
const scanBytes = 1 << 20

// readSome appends stored bytes from an offset on.
func readSome(sp store.Partition, from, end penstock.Offset, buf []byte) ([]byte, error) {
	extents, err := sp.Read(store.ReadRequest{From: from, Limit: end, Max: scanBytes, Whole: true}, nil)
	defer func() { penstock.ReleaseAll(extents) }()
	for _, e := range extents {
		at := len(buf)
		buf = append(buf, make([]byte, e.Len)...)
		if _, err := e.File.ReadAt(buf[at:], e.Off); err != nil && !errors.Is(err, io.EOF) {
			return buf, err
		}
	}
	return buf, err
}

// tail looks for a batch that was taken apart and lies at a log's end, where a crash has left a part of it. Nobody was told of such a batch, nobody has
// seen it, and its producer sends all of it again: what is there of it must go, as of a batch of records nothing is there that is not whole.
type tail struct {
	end  penstock.Offset    // of the log
	base penstock.Offset    // of the batch, NoOffset for none
	time penstock.Timestamp // of its messages
}

// visit takes the next header of the log, and reports whether it is that of a batch that is whole. What begins behind a batch that is not, or was stored at another
// time, shows that its place was filled by others, who keep it.
func (t *tail) visit(h *penstock.BatchHeader) bool {
	whole := h.NextOffset() <= t.end
	switch {
	case !whole:
		t.base, t.time = h.BaseOffset, h.MaxTimestamp
	case h.ProducerID != penstock.NoProducer || h.MaxTimestamp != t.time:
		t.base = penstock.NoOffset
	}
	return whole
}
