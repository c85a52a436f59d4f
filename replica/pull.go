package replica

import (
	"fmt"

	"penstock"
	"penstock/store"
)

// PullRequest asks for single batches of a partition; see store.PullRequest. What readers may see limits it.
type PullRequest struct {
	From  penstock.Offset
	Max   int64
	Count int
	Scan  int
	Tags  []int64
}

// Pull adds to dst the extents of the batches asked for that readers may see, and says where to go on. Errors: penstock.ErrOffsetOutOfRange,
// ErrCorrupt, ErrClosed, ErrUnsupported where the store has no entry for each batch (Kafka's records in the segment layout). The edges are
// returned with an error too, unless the partition is closed.
func (p *Partition) Pull(r PullRequest, dst []penstock.Extent) ([]penstock.Extent, store.Pulled, Offsets, error) {
	none := store.Pulled{Next: r.From}
	if err := p.Err(); err != nil {
		return dst, none, p.Offsets(), err
	}
	o := p.Offsets()
	q, ok := p.store.(store.Queue)
	if !ok {
		return dst, none, o, fmt.Errorf("%w: partition %v has no entry for each batch", penstock.ErrUnsupported, p.id)
	}
	if r.From < o.Start || r.From > o.End {
		return dst, none, o, fmt.Errorf("%w: partition %v: %d not in %d to %d", penstock.ErrOffsetOutOfRange, p.id, r.From, o.Start, o.End)
	}
	if r.From >= o.HighWatermark {
		return dst, none, o, nil
	}
	dst, got, err := q.Pull(store.PullRequest{
		From: r.From, Limit: o.HighWatermark, Max: r.Max, Count: r.Count, Scan: r.Scan, Tags: r.Tags,
	}, dst)
	return dst, got, o, err
}
