package segment

import (
	"fmt"
	"io"
	"slices"

	"penstock"
	"penstock/disk"
)

// quarantine notes that the bytes of s from pos on, where offset from should be, are no batches, up to the next batch that the index
// knows, or the end of the segment. It reports whether that was news. The range is written down at the next checkpoint; nothing is cut.
func (p *Partition) quarantine(s *segment, file io.ReaderAt, from penstock.Offset, pos int64, cause error) bool {
	if from == penstock.NoOffset {
		from = p.baseAt(s, pos)
	}
	b := p.badFrom(s, file, from, pos)
	if b.from >= b.to || !p.addBad(b) {
		return false
	}
	p.log().Error("log is damaged, the place is quarantined", "partition", p.id, "segment", s.base, "from", b.from, "to", b.to,
		"position", b.pos, "bytes", b.end-b.pos, "err", cause)
	return true
}

// addBad adds a range if it is new.
func (p *Partition) addBad(b badRange) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, old := range p.bad {
		if b.from < old.to && old.from < b.to {
			return false
		}
	}
	bad := append(slices.Clone(p.bad), b)
	slices.SortFunc(bad, func(x, y badRange) int { return int(min(max(x.from-y.from, -1), 1)) })
	p.bad = bad
	p.news.Store(true)
	return true
}

// entries are the index entries of s that are in memory: of the active segment its tail too.
func (p *Partition) entries(s *segment) []entry {
	p.mu.RLock()
	defer p.mu.RUnlock()
	var es []entry
	if x := s.idx.Load(); x != nil {
		es = x.offs
	}
	if s == p.active() {
		es = append(slices.Clip(es), p.tail.offs...)
	}
	return es
}

// baseAt is the offset of the batch that an index entry names at pos.
func (p *Partition) baseAt(s *segment, pos int64) penstock.Offset {
	for _, e := range p.entries(s) {
		if int64(e.pos) == pos {
			return s.base + penstock.Offset(e.base)
		}
	}
	return s.base
}

// badFrom finds where the log is whole again after pos.
func (p *Partition) badFrom(s *segment, file io.ReaderAt, from penstock.Offset, pos int64) badRange {
	p.mu.RLock()
	b := badRange{from: from, to: s.next, base: s.base, pos: pos, end: s.size}
	p.mu.RUnlock()
	if p.st.dense {
		return p.badCells(s, file, b)
	}
	w := p.st.walker()
	defer p.st.release(w)
	for _, e := range p.entries(s) {
		if int64(e.pos) <= pos {
			continue
		}
		w.reset(p.st.f, file, int64(e.pos), b.end, false)
		h, err := w.header()
		if err == nil && entryOf(s.base, &h, w.pos) == e {
			b.to, b.end = h.BaseOffset, int64(e.pos)
			return b
		}
	}
	return b
}

// skipBad moves a walker over the damaged place that it stands before, if there is one.
func (p *Partition) skipBad(base penstock.Offset, w *walker) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, b := range p.bad {
		if b.base == base && b.pos == w.pos && b.end > b.pos {
			w.pos = min(b.end, w.end)
		}
	}
}

// handle returns the file of s with a reference, opening it if nobody needed it yet. No lock is held.
func (p *Partition) handle(s *segment) (*disk.Handle, error) {
	p.mu.RLock()
	h := s.h
	if h != nil {
		h.Retain()
	}
	p.mu.RUnlock()
	if h != nil {
		return h, nil
	}
	if s.missing {
		return nil, fmt.Errorf("partition %v: %w: segment %d is missing", p.id, penstock.ErrCorrupt, s.base)
	}
	h, err := p.st.d.OpenFile(s.logName(p.dir), false)
	if err != nil {
		return nil, fmt.Errorf("partition %v: segment %d: %w", p.id, s.base, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.h == nil && !s.gone {
		s.h = h
		h.Retain()
	}
	return h, nil
}
