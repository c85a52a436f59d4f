package segment

import (
	"errors"
	"fmt"
	"io"

	"penstock"
	"penstock/disk"
	"penstock/store"
)

// look is one segment as it was when a search came to it, with a reference to its file.
type look struct {
	s     *segment
	h     *disk.Handle
	n     need // for loading its index
	size  int64
	next  penstock.Offset
	build builder
}

func (l *look) release() { l.h.Release() }

// look takes segment i of the list as it is now; ok is false behind the last that has anything in it.
func (p *Partition) look(i int) (l look, ok bool, err error) {
	return p.lookAt(func() int { return i })
}

// lookFor takes the segment that holds an offset, or would.
func (p *Partition) lookFor(off penstock.Offset) (l look, ok bool, err error) {
	return p.lookAt(func() int { return p.segmentOf(off) })
}

// lookAt takes the segment of a number that is asked for under mu.
func (p *Partition) lookAt(number func() int) (l look, ok bool, err error) {
	p.mu.RLock()
	i := number()
	if p.closed {
		p.mu.RUnlock()
		return l, false, fmt.Errorf("partition %v: %w", p.id, penstock.ErrClosed)
	}
	if i >= len(p.segs) {
		p.mu.RUnlock()
		return l, false, nil
	}
	s := p.segs[i]
	if s.size == 0 && s == p.active() {
		p.mu.RUnlock()
		return l, false, nil // nothing is in it, and it may have no file
	}
	l = look{s: s, size: s.size, next: s.next, build: s.build}
	l.n = need{seg: s, gen: p.gen, load: true, sealed: s != p.active(), tally: p.wanted(s)}
	p.mu.RUnlock()
	l.h, err = p.handle(s)
	return l, err == nil, err
}

// segmentCount is the number of segments now.
func (p *Partition) segmentCount() int {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return len(p.segs)
}

// Find returns the first record whose timestamp is at least t, or the one with the largest for store.FindMax.
func (p *Partition) Find(t penstock.Timestamp) (store.Found, error) {
	if t == store.FindMax {
		return p.findMax()
	}
	start, end := p.Bounds()
	none := store.Found{Offset: penstock.NoOffset, Timestamp: penstock.NoTimestamp, Epoch: penstock.NoEpoch}
	for i := 0; ; i++ {
		l, ok, err := p.look(i)
		if errors.Is(err, penstock.ErrCorrupt) {
			continue // missing: the next may have it
		}
		if err != nil || !ok {
			return none, err
		}
		if l.build.maxAt < t || l.next <= start {
			l.release()
			continue
		}
		f, err := p.findIn(&l, t, max(start, l.s.base), end)
		l.release()
		if err != nil || f.Offset != penstock.NoOffset {
			return f, err
		}
	}
}

// findIn looks in one segment.
func (p *Partition) findIn(l *look, t penstock.Timestamp, start, end penstock.Offset) (store.Found, error) {
	none := store.Found{Offset: penstock.NoOffset, Timestamp: penstock.NoTimestamp, Epoch: penstock.NoEpoch}
	if p.st.dense {
		return p.findCell(l, t, start)
	}
	pos, err := p.timePosition(l, t, start)
	if err != nil {
		return none, err
	}
	w := p.st.walker()
	defer p.st.release(w)
	w.reset(p.st.f, l.h, pos, l.size, false)
	for {
		p.skipBad(l.s.base, w)
		h, err := w.header()
		if err == io.EOF || err == nil && h.BaseOffset >= end {
			return none, nil
		}
		if err != nil {
			return none, fmt.Errorf("partition %v: segment %d: %w", p.id, l.s.base, noBatch(err, w.pos))
		}
		if h.MaxTimestamp >= t && h.LastOffset() >= start {
			b, err := w.body(&h)
			if err != nil {
				return none, err
			}
			off, at, ok, err := p.st.f.FindTime(b, t)
			if err != nil {
				return none, fmt.Errorf("partition %v: batch at %d: %w", p.id, h.BaseOffset, err)
			}
			if ok {
				return store.Found{Offset: max(off, start), Timestamp: at, Epoch: h.Epoch}, nil
			}
		}
		w.skip(&h)
	}
}

// timePosition is where a search for t may begin: at the batch that the last time entry at or below t names, or
// at the one that holds start if that is later.
func (p *Partition) timePosition(l *look, t penstock.Timestamp, start penstock.Offset) (int64, error) {
	if l.n.tally.offs > 0 || l.n.tally.times > 0 {
		if err := p.loadIndex(l.s, l.h, l.n.tally, l.n.sealed); err != nil {
			return 0, err
		}
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	var pos int64
	off := start
	runs := [2]*index{l.s.idx.Load(), nil}
	if l.s == p.active() {
		runs[1] = &p.tail
	}
	for _, x := range runs {
		if x == nil {
			continue
		}
		// An entry at exactly t names the first batch that reached t.
		if i := x.floorTime(t); i >= 0 {
			off = max(off, l.s.base+penstock.Offset(x.times[i].last))
		}
	}
	rel := uint32(off - l.s.base)
	for _, x := range runs {
		if x == nil {
			continue
		}
		if i := x.ceil(rel); i < len(x.offs) && x.offs[i].base <= rel {
			pos = int64(x.offs[i].pos)
		} else if i > 0 {
			pos = int64(x.offs[i-1].pos)
		}
	}
	return pos, nil
}

// findMax returns the first record that has the largest timestamp (KIP-734).
func (p *Partition) findMax() (store.Found, error) {
	best := penstock.NoTimestamp
	start, _ := p.Bounds()
	for i := range p.segmentCount() {
		p.mu.RLock()
		if i < len(p.segs) && p.segs[i].next > start && p.segs[i].size > 0 && !p.segs[i].missing {
			best = max(best, p.segs[i].build.maxAt)
		}
		p.mu.RUnlock()
	}
	if best < 0 {
		return store.Found{Offset: penstock.NoOffset, Timestamp: penstock.NoTimestamp, Epoch: penstock.NoEpoch}, nil
	}
	f, err := p.Find(best)
	if err != nil || f.Offset != penstock.NoOffset {
		return f, err
	}
	// The largest lies below the start, in the segment that holds the start: go over what is left.
	best = penstock.NoTimestamp
	err = p.Scan(start, func(h *penstock.BatchHeader) error {
		best = max(best, h.MaxTimestamp)
		return nil
	})
	if err != nil || best < 0 {
		return f, err
	}
	return p.Find(best)
}

// Scan calls visit with the header of each batch from the one containing from up to the end.
func (p *Partition) Scan(from penstock.Offset, visit func(*penstock.BatchHeader) error) error {
	start, end := p.Bounds()
	if from < start || from > end {
		return fmt.Errorf("partition %v: %w: %d not in %d to %d", p.id, penstock.ErrOffsetOutOfRange, from, start, end)
	}
	for from < end {
		p.mu.RLock()
		_, err := p.clip(from, end)
		i := p.segmentOf(from)
		p.mu.RUnlock()
		if err != nil {
			return err
		}
		l, ok, err := p.look(i)
		if err != nil || !ok {
			return err
		}
		next, err := p.scanSegment(&l, from, end, visit)
		l.release()
		if err != nil {
			return err
		}
		if next <= from {
			return fmt.Errorf("partition %v: %w: no batch holds %d", p.id, penstock.ErrCorrupt, from)
		}
		from = next
	}
	return nil
}

// scanSegment visits what one segment has between from and end and returns the offset to go on from.
func (p *Partition) scanSegment(l *look, from, end penstock.Offset, visit func(*penstock.BatchHeader) error) (penstock.Offset, error) {
	pos := int64(0)
	if from > l.s.base {
		var err error
		if p.st.dense {
			pos, err = p.cellPosition(l, from)
		} else {
			pos, err = p.timePosition(l, penstock.NoTimestamp-1, from)
		}
		if err != nil {
			return from, err
		}
	}
	w := p.st.walker()
	defer p.st.release(w)
	w.reset(p.st.f, l.h, pos, l.size, false)
	for {
		h, err := w.header()
		if err == io.EOF || err == nil && h.BaseOffset >= end {
			return max(from, l.next), nil
		}
		if err != nil {
			return from, fmt.Errorf("partition %v: segment %d: %w", p.id, l.s.base, noBatch(err, w.pos))
		}
		if h.LastOffset() >= from {
			if err := visit(&h); err != nil {
				return from, err
			}
			from = h.NextOffset()
		}
		w.skip(&h)
	}
}

// noBatch is the error of a walk inside of a segment's bytes, where zeros are damage and not the end.
func noBatch(err error, pos int64) error {
	if errors.Is(err, errZero) {
		return fmt.Errorf("%w: no batch at %d", penstock.ErrCorrupt, pos)
	}
	return err
}
