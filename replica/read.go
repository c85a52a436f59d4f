package replica

import (
	"fmt"

	"penstock"
	"penstock/store"
)

// Isolation is what a reader may see.
type Isolation uint8

// The isolations, with Kafka's numbers.
const (
	ReadUncommitted Isolation = 0 // up to the high watermark
	ReadCommitted   Isolation = 1 // up to the last stable offset
)

// ReadRequest is one partition's part of a fetch request.
type ReadRequest struct {
	From      penstock.Offset
	Max       int64
	Whole     bool // at least one batch, however large
	Isolation Isolation
	Epoch     penstock.Epoch // the leader epoch that the caller believes in, NoEpoch for none
	LastEpoch penstock.Epoch // epoch of the last record the reader has, NoEpoch for none: divergence is answered (KIP-320, KIP-595)
}

// ReadResult is the answer for one partition; the extents are returned beside it.
type ReadResult struct {
	HighWatermark penstock.Offset
	LastStable    penstock.Offset
	Start         penstock.Offset
	Diverging     *store.EpochStart // set if the reader's history is not a prefix of ours: the epoch and its end
}

// Offsets are the partition's edges at one moment.
type Offsets struct {
	Start         penstock.Offset
	HighWatermark penstock.Offset
	LastStable    penstock.Offset
	End           penstock.Offset
	Epoch         penstock.Epoch
}

// Read adds to dst the extents that the reader may see. Errors: ErrOffsetOutOfRange, ErrFencedEpoch, ErrUnknownEpoch,
// ErrCorrupt, ErrClosed. The edges are returned with an error too, unless the partition is closed. A reader at an offset that
// exists and is not visible yet gets nothing, and no error.
func (p *Partition) Read(r ReadRequest, dst []penstock.Extent) ([]penstock.Extent, ReadResult, error) {
	if err := p.Err(); err != nil {
		return dst, noResult, err
	}
	o := p.Offsets()
	res := ReadResult{HighWatermark: o.HighWatermark, LastStable: o.LastStable, Start: o.Start}
	if err := p.checkEpoch(r.Epoch); err != nil {
		return dst, res, err
	}
	if r.From < o.Start || r.From > o.End {
		return dst, res, fmt.Errorf("%w: partition %v: %d not in %d to %d", penstock.ErrOffsetOutOfRange, p.id, r.From, o.Start, o.End)
	}
	if r.LastEpoch != penstock.NoEpoch {
		at, err := p.diverging(r.From, r.LastEpoch)
		if err != nil || at != nil {
			res.Diverging = at
			return dst, res, err
		}
	}
	limit := o.limit(r.Isolation)
	if r.From >= limit {
		return dst, res, nil
	}
	dst, err := p.store.Read(store.ReadRequest{From: r.From, Limit: limit, Max: r.Max, Whole: r.Whole}, dst)
	return dst, res, err
}

var noResult = ReadResult{HighWatermark: penstock.NoOffset, LastStable: penstock.NoOffset, Start: penstock.NoOffset}

// limit is the first offset that iso may not see.
func (o *Offsets) limit(iso Isolation) penstock.Offset {
	if iso == ReadCommitted {
		return o.LastStable
	}
	return o.HighWatermark
}

// diverging compares the reader's history, which ends before from in the epoch last, with ours. It returns where ours
// parted from it, nil if it is a prefix.
func (p *Partition) diverging(from penstock.Offset, last penstock.Epoch) (*store.EpochStart, error) {
	end, err := p.EpochEnd(last)
	if err != nil {
		return nil, err
	}
	if end.Start == penstock.NoOffset || end.Epoch == penstock.NoEpoch {
		return nil, fmt.Errorf("%w: partition %v: nothing known of epoch %d", penstock.ErrOffsetOutOfRange, p.id, last)
	}
	if end.Epoch < last || end.Start < from {
		return &end, nil
	}
	return nil, nil
}

// Offsets reads the edges. Of a partition that could not be opened all are NoOffset.
func (p *Partition) Offsets() Offsets {
	if p.store == nil {
		return Offsets{penstock.NoOffset, penstock.NoOffset, penstock.NoOffset, penstock.NoOffset, p.leaderEpoch()}
	}
	// Each is loaded before the one that may not be below it, and the start is where transactions end that began before it.
	stable := penstock.Offset(p.stable.Load())
	high := penstock.Offset(p.high.Load())
	start, end := p.store.Bounds()
	high = max(high, start)
	return Offsets{Start: start, HighWatermark: high, LastStable: max(stable, start), End: max(end, high), Epoch: p.leaderEpoch()}
}

// Find is store.Partition.Find clipped at what iso may see.
func (p *Partition) Find(t penstock.Timestamp, iso Isolation) (store.Found, error) {
	none := store.Found{Offset: penstock.NoOffset, Timestamp: penstock.NoTimestamp, Epoch: penstock.NoEpoch}
	if err := p.Err(); err != nil {
		return none, err
	}
	o := p.Offsets()
	f, err := p.store.Find(t)
	if err != nil || f.Offset >= o.limit(iso) {
		return none, err
	}
	return f, nil
}

// EpochEnd answers OffsetForLeaderEpoch (KIP-279): the largest epoch at most asked, and the offset where it ends. Of an
// epoch after the leader's nothing is known: NoEpoch and NoOffset. Of one before the history begins, the end is where the
// history begins.
func (p *Partition) EpochEnd(asked penstock.Epoch) (store.EpochStart, error) {
	unknown := store.EpochStart{Epoch: penstock.NoEpoch, Start: penstock.NoOffset}
	if err := p.Err(); err != nil {
		return unknown, err
	}
	l := p.ledger
	l.mu.Lock()
	mine := store.EpochStart{Epoch: p.leaderEpoch(), Start: p.epochStart}
	l.mu.Unlock()
	_, end := p.store.Bounds()
	switch {
	case asked == penstock.NoEpoch || asked > mine.Epoch:
		return unknown, nil
	case asked == mine.Epoch:
		return store.EpochStart{Epoch: asked, Start: end}, nil
	}
	// The store notes an epoch with its first batch. Until then the leader's begins at the end all the same.
	next, found := mine.Start, unknown.Epoch
	for _, e := range p.store.Epochs() {
		if e.Epoch > asked {
			next = e.Start
			break
		}
		found = e.Epoch
	}
	if found == penstock.NoEpoch {
		found = asked
	}
	return store.EpochStart{Epoch: found, Start: next}, nil
}

// Stats are the store's figures of the partition.
func (p *Partition) Stats() store.Stats {
	if p.store == nil {
		return store.Stats{}
	}
	return p.store.Stats()
}
