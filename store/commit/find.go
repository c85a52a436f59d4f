package commit

import (
	"errors"
	"fmt"
	"slices"

	"penstock"
	"penstock/store"
)

var nothing = store.Found{Offset: penstock.NoOffset, Timestamp: penstock.NoTimestamp, Epoch: penstock.NoEpoch}

// Find returns the first record whose timestamp is at least t, or the one with the largest for store.FindMax.
func (p *Partition) Find(t penstock.Timestamp) (store.Found, error) {
	for {
		f, err := p.find(t)
		if !errors.Is(err, errGone) {
			return f, err
		}
	}
}

func (p *Partition) find(t penstock.Timestamp) (store.Found, error) {
	if t == store.FindMax {
		return p.findMax()
	}
	p.mu.RLock()
	if p.closed {
		p.mu.RUnlock()
		return nothing, fmt.Errorf("partition %v: %w", p.id, penstock.ErrClosed)
	}
	v := view{p: p, gen: p.gen}
	defer v.done()
	groups, count, start, end := slices.Clone(p.q.groups), p.q.count, p.facts.start, p.end
	p.mu.RUnlock()
	for i, g := range groups {
		to, next := count, end
		if i+1 < len(groups) {
			to, next = groups[i+1].idx, groups[i+1].base
		}
		if g.maxAt < t || next <= start {
			continue
		}
		f, err := v.findIn(&g, to, t, start)
		if err != nil || f.Offset != penstock.NoOffset {
			return f, err
		}
	}
	return nothing, nil
}

// findIn looks in one group, whose entries end before to: by halves where times do not go down, else one after another.
func (v *view) findIn(g *group, to int64, t penstock.Timestamp, start penstock.Offset) (store.Found, error) {
	p, lo := v.p, g.idx
	if start > g.base {
		var err error
		if lo, err = v.place(start, lo, to); err != nil {
			return nothing, err
		}
	}
	for hi := to; g.sorted && lo < hi; {
		mid := lo + (hi-lo)/2
		_, at, err := v.timeAt(mid)
		if err != nil {
			return nothing, err
		}
		if at >= t {
			hi = mid
		} else {
			lo = mid + 1
		}
		if lo == hi {
			break
		}
	}
	for ; lo < to; lo++ {
		e, at, err := v.timeAt(lo)
		if err != nil {
			return nothing, err
		}
		if at < t || e.size == 0 {
			continue
		}
		f, err := p.findRecord(&e, t, start)
		if err != nil || f.Offset != penstock.NoOffset {
			return f, err
		}
	}
	return nothing, nil
}

// timeAt returns entry i and the largest timestamp of its batch, from the log where the queue does not have it.
func (v *view) timeAt(i int64) (entry, penstock.Timestamp, error) {
	e, err := v.at(i)
	if err != nil || e.size == 0 || !v.p.st.messages {
		return e, e.maxAt, err
	}
	h, err := v.p.header(&e)
	return e, h.MaxTimestamp, err
}

// findRecord looks in one batch.
func (p *Partition) findRecord(e *entry, t penstock.Timestamp, start penstock.Offset) (store.Found, error) {
	b := make([]byte, e.size)
	h, err := p.bytes(e, b)
	if err != nil {
		if p.gone(e) {
			return nothing, errGone
		}
		return nothing, fmt.Errorf("partition %v: batch at %d: %w", p.id, e.base, err)
	}
	off, at, ok, err := p.st.f.FindTime(b, t)
	if err != nil {
		return nothing, fmt.Errorf("partition %v: batch at %d: %w", p.id, e.base, err)
	}
	if !ok {
		return nothing, nil
	}
	return store.Found{Offset: max(off, start), Timestamp: at, Epoch: h.Epoch}, nil
}

// findMax returns the first record that has the largest timestamp (KIP-734).
func (p *Partition) findMax() (store.Found, error) {
	best := penstock.NoTimestamp
	p.mu.RLock()
	start := p.facts.start
	for i, g := range p.q.groups {
		next := p.end
		if i+1 < len(p.q.groups) {
			next = p.q.groups[i+1].base
		}
		if next > start {
			best = max(best, g.maxAt)
		}
	}
	p.mu.RUnlock()
	if best < 0 {
		return nothing, nil
	}
	if f, err := p.find(best); err != nil || f.Offset != penstock.NoOffset {
		return f, err
	}
	// The largest lies below the start, or was cut off: go over what is left.
	best = penstock.NoTimestamp
	err := p.Scan(start, func(h *penstock.BatchHeader) error {
		best = max(best, h.MaxTimestamp)
		return nil
	})
	if err != nil || best < 0 {
		return nothing, err
	}
	return p.find(best)
}

// Scan calls visit with the header of each batch from the one containing from up to the end.
func (p *Partition) Scan(from penstock.Offset, visit func(*penstock.BatchHeader) error) error {
	_, end := p.Bounds()
	for {
		next, err := p.scan(from, end, visit)
		if err == nil && next < end && next > from {
			_, err = p.scan(next, end, visit) // what stopped it is a damaged place
		}
		if !errors.Is(err, errGone) {
			return err
		}
		if from = next; from >= end {
			return nil
		}
	}
}

// scan visits batches and returns the offset to go on from.
func (p *Partition) scan(from, end penstock.Offset, visit func(*penstock.BatchHeader) error) (penstock.Offset, error) {
	sp, err := p.look(from, end)
	if err != nil {
		return from, err
	}
	defer sp.done()
	for err == nil {
		var e entry
		var ok bool
		if e, ok, err = sp.next(); err != nil || !ok {
			break
		}
		var h penstock.BatchHeader
		if h, err = p.header(&e); err != nil {
			break
		}
		if err = visit(&h); err != nil {
			break
		}
		from = h.NextOffset()
	}
	return from, err
}
