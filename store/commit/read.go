package commit

import (
	"errors"
	"fmt"
	"slices"
	"sort"

	"penstock"
	"penstock/disk"
	"penstock/store"
)

// maxExtents bounds what one read returns where batches are small and scattered. The reader comes again for the rest.
const maxExtents = 1024

// Read adds the extents that hold the batches from the one containing r.From, cut at a batch's edge. Batches of the partition that
// are neighbours in the log are one extent.
func (p *Partition) Read(r store.ReadRequest, dst []penstock.Extent) ([]penstock.Extent, error) {
	for {
		g := gather{p: p, out: dst}
		err := g.read(&r)
		if err == nil {
			return g.out, nil
		}
		g.drop(len(dst))
		if !errors.Is(err, errGone) {
			return dst, err
		}
	}
}

// span is what a reader goes over: the entries from the one that holds from up to limit.
type span struct {
	view
	i     int64           // place of the next entry
	to    int64           // place behind the last
	limit penstock.Offset // nothing at or above it
}

// look checks a request against the bounds and the damaged places, and finds its first entry. An empty span has i at to. Whoever got one
// ends it by done.
func (p *Partition) look(from, limit penstock.Offset) (span, error) {
	p.mu.RLock()
	sp, lo, hi, err := p.within(from, limit)
	p.mu.RUnlock()
	if err != nil || sp.to == 0 {
		return sp, err
	}
	if sp.i, err = sp.place(from, lo, hi); err != nil {
		sp.done()
	}
	return sp, err
}

// within does what look can do under mu, which the caller holds: the entry lies between places lo and hi.
func (p *Partition) within(from, limit penstock.Offset) (sp span, lo, hi int64, err error) {
	if p.closed {
		return sp, 0, 0, fmt.Errorf("partition %v: %w", p.id, penstock.ErrClosed)
	}
	if from < p.facts.start || from > p.end {
		return sp, 0, 0, fmt.Errorf("partition %v: %w: %d not in %d to %d", p.id, penstock.ErrOffsetOutOfRange, from, p.facts.start, p.end)
	}
	limit = min(limit, p.end)
	for _, b := range p.facts.bad {
		if from >= b.from && from < b.to {
			return sp, 0, 0, fmt.Errorf("partition %v: %w: offsets %d to %d are quarantined", p.id, penstock.ErrCorrupt, b.from, b.to-1)
		}
		if b.from > from {
			limit = min(limit, b.from)
		}
	}
	if from >= limit || len(p.q.groups) == 0 {
		return sp, 0, 0, nil
	}
	sp = span{view: view{p: p, gen: p.gen}, to: p.q.count, limit: limit}
	if t := p.q.tail; len(t) > 0 && t[0].base <= from {
		i := p.q.tailFrom() + int64(sort.Search(len(t), func(i int) bool { return t[i].base > from })) - 1
		return sp, i, i + 1, nil
	}
	g := p.q.groupOf(from)
	return sp, p.q.groups[g].idx, p.q.groupEnd(g), nil
}

// next returns the next entry; ok is false at the limit.
func (sp *span) next() (e entry, ok bool, err error) {
	if sp.i >= sp.to {
		return e, false, nil
	}
	if e, err = sp.at(sp.i); err != nil || e.base >= sp.limit {
		return e, false, err
	}
	sp.i++
	return e, true, nil
}

func (g *gather) read(r *store.ReadRequest) error {
	sp, err := g.p.look(r.From, r.Limit)
	if err != nil {
		return err
	}
	defer sp.done()
	if r.Max <= 0 && !r.Whole {
		return nil
	}
	left, from := r.Max, len(g.out)
	for first := true; len(g.out)-from < maxExtents; first = false {
		e, ok, err := sp.next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if int64(e.size) > left && !(first && r.Whole) {
			sp.i--
			break
		}
		left -= int64(e.size)
		if err := g.add(&e); err != nil {
			return err
		}
	}
	g.flush()
	g.p.ahead(&sp)
	return nil
}

// aheadEntries is how many batches behind a cold read the kernel is told of.
const aheadEntries = 16

// ahead tells the kernel which bytes the next read will want, where these are so far behind the end that they may not be in memory.
func (p *Partition) ahead(sp *span) {
	end := penstock.Position(p.st.log.end.Load())
	for range aheadEntries {
		if _, ok := sp.has(sp.i); !ok {
			return // nothing is read for a hint
		}
		e, ok, err := sp.next()
		if err != nil || !ok || end-e.pos < coldBytes {
			return
		}
		f, err := p.st.log.open(e.pos)
		if err != nil {
			return
		}
		f.h.Advise(int64(e.pos-f.start), int64(e.size), disk.AdviceWillNeed)
		f.h.Release()
	}
}

// coldBytes is how far behind the end of the log bytes are taken for cold.
const coldBytes = 256 << 20

// quarantine notes that offsets cannot be read. It is written down with the next change of "facts".
func (p *Partition) quarantine(from, to penstock.Offset, cause error) {
	if !errors.Is(cause, penstock.ErrCorrupt) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.facts.bad {
		if from < b.to && b.from < to {
			return
		}
	}
	bad := append(slices.Clone(p.facts.bad), badRange{from, to})
	slices.SortFunc(bad, func(a, b badRange) int { return int(min(max(a.from-b.from, -1), 1)) })
	p.facts.bad = bad
	p.st.o.Logger.Error("log is damaged, the place is quarantined", "partition", p.id, "from", from, "to", to, "err", cause)
}

// header reads the header of the batch of an entry, and checks that it is that batch.
func (p *Partition) header(e *entry) (penstock.BatchHeader, error) {
	b := make([]byte, p.st.f.HeaderSize())
	h, err := p.bytes(e, b)
	if err == nil && (h.BaseOffset != e.base || h.Size != e.size) {
		err = fmt.Errorf("%w: batch of offset %d and %d bytes at %d, the queue says %d and %d", penstock.ErrCorrupt, h.BaseOffset, h.Size, e.pos, e.base, e.size)
	}
	if err != nil {
		if p.gone(e) {
			return h, errGone
		}
		p.quarantine(e.base, e.last()+1, err)
		return h, fmt.Errorf("partition %v: batch at %d: %w", p.id, e.base, err)
	}
	return h, nil
}

// gone reports whether an entry was trimmed or cut off since it was looked up: then nothing is wrong with its batch.
func (p *Partition) gone(e *entry) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.closed || e.base >= p.end || e.last() < p.facts.first
}

// bytes reads the front of a batch into b, and its header from there.
func (p *Partition) bytes(e *entry, b []byte) (penstock.BatchHeader, error) {
	f, err := p.st.log.open(e.pos)
	if err != nil {
		return penstock.BatchHeader{}, err
	}
	defer f.h.Release()
	if n, err := f.h.ReadAt(b, int64(e.pos-f.start)); n < len(b) {
		return penstock.BatchHeader{}, err
	}
	return p.st.f.Header(b)
}
