package replica

import (
	"errors"
	"fmt"
	"math"

	"penstock"
	"penstock/store"
)

// Backlog is what lies between a reader's offset and the high watermark.
type Backlog struct {
	End     penstock.Offset    // the high watermark
	Records int64              // offsets up to it, those that retention has deleted meanwhile among them; 0 at the end or behind it
	Bytes   int64              // of the batches that are still there, as they lie on disk, up to the first damaged one; -1 where that was not looked for
	Oldest  penstock.Timestamp // of the first batch that is still there; NoTimestamp if there is none or it was not looked for
}

// maxBacklogSegments is the number of segments above which a backlog's bytes are not looked for: each may have to be opened.
const maxBacklogSegments = 256

// errEnough ends a scan.
var errEnough = errors.New("enough")

// Backlog says how far a reader who has read up to from is behind. Without look it reads two numbers in memory. With look it
// finds bytes and time besides, which may read an index and a few headers. Errors: ErrClosed, why the partition could not be
// opened, and with look what the store returns; the records are right all the same.
func (p *Partition) Backlog(from penstock.Offset, look bool) (Backlog, error) {
	b := Backlog{End: penstock.NoOffset, Bytes: -1, Oldest: penstock.NoTimestamp}
	if err := p.Err(); err != nil {
		return b, err
	}
	o := p.Offsets()
	b.End = o.HighWatermark
	b.Records = int64(max(0, o.HighWatermark-from))
	first := max(from, o.Start)
	if first >= o.HighWatermark {
		b.Bytes = 0
		return b, nil
	}
	if !look {
		return b, nil
	}
	var err error
	if b.Oldest, err = p.timeOf(first); err != nil {
		return b, fmt.Errorf("partition %v: backlog from %d: %w", p.id, first, err)
	}
	if p.store.Stats().Segments > maxBacklogSegments {
		return b, nil
	}
	es, err := p.store.Read(store.ReadRequest{From: first, Limit: o.HighWatermark, Max: math.MaxInt64 / 2}, nil)
	if err != nil {
		return b, fmt.Errorf("partition %v: backlog from %d: %w", p.id, first, err)
	}
	b.Bytes = 0
	for _, e := range es {
		b.Bytes += e.Len
	}
	penstock.ReleaseAll(es)
	return b, nil
}

// timeOf is when the batch that holds an offset was produced or, if the broker stamps it, appended.
func (p *Partition) timeOf(at penstock.Offset) (penstock.Timestamp, error) {
	found := penstock.NoTimestamp
	err := p.store.Scan(at, func(h *penstock.BatchHeader) error {
		found = h.FirstTimestamp
		if h.Is(penstock.FlagLogAppendTime) {
			found = h.MaxTimestamp
		}
		return errEnough
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return found, err
}
