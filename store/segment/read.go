package segment

import (
	"errors"
	"fmt"
	"io"
	"sort"

	"penstock"
	"penstock/disk"
	"penstock/store"
)

// spot is a batch that was found by reading headers.
type spot struct {
	seg  *segment
	pos  int64
	size int64
}

// found is what a read has learned from the disk so far. It is worthless once offsets were taken back.
type found struct {
	gen   int
	from  spot
	limit spot
}

// need is what a read must learn from the disk before it can go on. The zero value is nothing.
type need struct {
	seg    *segment
	h      *disk.Handle // with a reference
	gen    int
	open   bool // the segment's file
	load   bool // the segment's index, else a batch
	sealed bool
	tally  tally
	off    penstock.Offset // the batch that holds this offset
	pos    int64           // begins here or later
	end    int64           // bytes of the segment
	limit  bool            // it is the limit that is looked for
}

// Read adds the extents that hold the batches from the one containing r.From.
//
// Invariants: positions come from memory under mu (index entries, the last appends) and no call to the disk is made while it
// is held; what memory does not know is looked up outside and the read begins again. Extents take their reference
// under mu, so no file can go before. At the tail, and wherever a reader goes on at an edge that Read cut at, memory
// knows: nothing is read.
func (p *Partition) Read(r store.ReadRequest, dst []penstock.Extent) ([]penstock.Extent, error) {
	if p.st.dense {
		return p.readQueue(&r, dst)
	}
	var f found
	for {
		p.mu.RLock()
		out, n, err := p.read(&r, dst, &f)
		p.mu.RUnlock()
		if err != nil || n.seg == nil {
			return out, err
		}
		if err := p.resolve(&n, &f); err != nil {
			return dst, err
		}
	}
}

// read is one attempt, under mu.
func (p *Partition) read(r *store.ReadRequest, dst []penstock.Extent, f *found) ([]penstock.Extent, need, error) {
	if p.closed {
		return dst, need{}, fmt.Errorf("partition %v: %w", p.id, penstock.ErrClosed)
	}
	start, end := p.Bounds()
	if r.From < start || r.From > end {
		return dst, need{}, fmt.Errorf("partition %v: %w: %d not in %d to %d", p.id, penstock.ErrOffsetOutOfRange, r.From, start, end)
	}
	limit, err := p.clip(r.From, min(r.Limit, end))
	if err != nil || r.From >= limit || r.Max <= 0 && !r.Whole {
		return dst, need{}, err
	}
	if f.gen != p.gen {
		*f = found{gen: p.gen}
	}
	i := p.segmentOf(r.From)
	pos, n := p.position(i, r.From, f.from, false)
	if n.seg != nil {
		return dst, n, nil
	}
	out, left, whole := dst, r.Max, r.Whole
	for ; i < len(p.segs); i++ {
		s := p.segs[i]
		stop := s.size
		if limit < s.next {
			if stop, n = p.position(i, limit, f.limit, true); n.seg != nil {
				break
			}
		}
		var cut int64
		if cut, n = p.cut(i, span{pos, stop, left, whole}, f); n.seg != nil {
			break
		}
		if cut <= pos && pos < s.size {
			break
		}
		if cut > pos && s.h == nil {
			n = p.needOf(s, s.base, 0)
			break
		}
		if cut > pos {
			out = append(out, s.h.Extent(pos, cut-pos))
			left, whole = left-(cut-pos), false
		}
		if cut < s.size || limit <= s.next || left <= 0 {
			break
		}
		pos = 0
	}
	if n.seg != nil {
		for j := len(dst); j < len(out); j++ {
			out[j].Release()
		}
		return dst, n, nil
	}
	return out, need{}, nil
}

// clip keeps a read out of the damaged places: it fails if from lies in one, else it ends before the next.
func (p *Partition) clip(from, limit penstock.Offset) (penstock.Offset, error) {
	for i := range p.bad {
		b := &p.bad[i]
		if from >= b.from && from < b.to {
			return limit, fmt.Errorf("partition %v: %w: offsets %d to %d are quarantined", p.id, penstock.ErrCorrupt, b.from, b.to-1)
		}
		if b.from > from {
			return min(limit, b.from), nil
		}
	}
	return limit, nil
}

// segmentOf is the number of the segment that holds off, or would.
func (p *Partition) segmentOf(off penstock.Offset) int {
	if last := len(p.segs) - 1; off >= p.segs[last].base {
		return last
	}
	i := sort.Search(len(p.segs), func(i int) bool { return p.segs[i].base > off }) - 1
	i = max(i, 0)
	for i+1 < len(p.segs) && off >= p.segs[i].next {
		i++ // a gap that compaction left
	}
	return i
}

// position is where in segment i the batch begins that holds off, or what must be learned first.
func (p *Partition) position(i int, off penstock.Offset, known spot, limit bool) (int64, need) {
	s := p.segs[i]
	if off <= s.base {
		return 0, need{}
	}
	if off >= s.next {
		return s.size, need{}
	}
	if known.seg == s {
		return known.pos, need{}
	}
	for j := range p.bad {
		if b := &p.bad[j]; b.from == off && b.base == s.base {
			return b.pos, need{}
		}
	}
	at, ok := p.locate(s, off)
	if ok && at.exact {
		return at.pos, need{}
	}
	n := p.needOf(s, off, at.pos)
	n.load, n.limit = !ok, limit
	return 0, n
}

// needOf prepares a look at the disk; the handle gets a reference.
func (p *Partition) needOf(s *segment, off penstock.Offset, pos int64) need {
	n := need{seg: s, h: s.h, open: s.h == nil, gen: p.gen, sealed: s != p.active(), tally: p.wanted(s), off: off, pos: pos, end: s.size}
	if s.h != nil {
		s.h.Retain()
	}
	return n
}

// locate places off, which lies inside s, from memory. It is false if the index is not in memory.
func (p *Partition) locate(s *segment, off penstock.Offset) (place, bool) {
	rel := uint32(off - s.base)
	if s == p.active() {
		if pos, ok := p.hinted(off); ok {
			return place{pos, true}, true
		}
		i := p.tail.ceil(rel)
		if i > 0 || p.head.offs == 0 {
			return around(p.tail.offs, i, nil, rel), true
		}
		if rel > p.before.last {
			return around(p.tail.offs, 0, &p.before, rel), true
		}
	}
	x := s.idx.Load()
	if x == nil {
		return place{}, false
	}
	s.touch()
	return around(x.offs, x.ceil(rel), nil, rel), true
}

// touch marks the cached index as used.
func (s *segment) touch() {
	if !s.used.Load() {
		s.used.Store(true)
	}
}

// around places rel between entry i, the first that does not end before it, and the entry before.
func around(es []entry, i int, before *entry, rel uint32) place {
	var next *entry
	if i < len(es) {
		next = &es[i]
	}
	if i > 0 {
		before = &es[i-1]
	}
	return between(before, next, rel)
}

// hinted is the position of one of the last appends.
func (p *Partition) hinted(off penstock.Offset) (int64, bool) {
	for i := p.ringN - 1; i >= 0 && i >= p.ringN-len(p.ring); i-- {
		h := &p.ring[i%len(p.ring)]
		if h.off == off {
			return h.pos, true
		}
		if h.off < off {
			return 0, false
		}
	}
	return 0, false
}

// span is the part of a segment that a read may take.
type span struct {
	pos, stop int64
	max       int64
	whole     bool
}

// cut is where the bytes taken from segment i end: at the last known edge that max allows; if no edge is known
// in it, after the first batch for whole, else anywhere, else (the batch is known to be larger) nowhere.
func (p *Partition) cut(i int, sp span, f *found) (int64, need) {
	s := p.segs[i]
	want := sp.pos + sp.max
	if want >= sp.stop {
		return sp.stop, need{}
	}
	edge, ok := p.edge(s, want)
	if !ok {
		n := p.needOf(s, s.base, 0)
		n.load = true
		return 0, n
	}
	if edge > sp.pos {
		return edge, need{}
	}
	size := p.batchSize(s, sp.pos)
	if size == 0 && f.from.seg == s && f.from.pos == sp.pos {
		size = f.from.size
	}
	switch {
	case size > sp.max && sp.whole:
		return min(sp.pos+size, sp.stop), need{}
	case size > sp.max:
		return sp.pos, need{}
	case size > 0 || !sp.whole:
		return want, need{}
	}
	// Nobody knows whether the first batch fits: look at its header.
	return 0, p.needOf(s, penstock.NoOffset, sp.pos)
}

// edge is the last batch edge at or before pos that memory knows in s, 0 if there is none. It is false if the index is
// not in memory.
func (p *Partition) edge(s *segment, pos int64) (int64, bool) {
	var known int64
	if s == p.active() {
		for i := p.ringN - 1; i >= 0 && i >= p.ringN-len(p.ring); i-- {
			if h := &p.ring[i%len(p.ring)]; h.pos <= pos {
				known = h.pos
				break
			}
		}
		if i := p.tail.floorPos(pos); i >= 0 {
			return max(known, int64(p.tail.offs[i].pos)), true
		}
		if p.head.offs == 0 {
			return known, true
		}
		if b := int64(p.before.pos); b <= pos {
			return max(known, b), true
		}
	}
	x := s.idx.Load()
	if x == nil {
		return 0, false
	}
	s.touch()
	if i := x.floorPos(pos); i >= 0 {
		return max(known, int64(x.offs[i].pos)), true
	}
	return known, true
}

// batchSize is the size of the batch at pos if two neighbouring index entries tell it, else 0.
func (p *Partition) batchSize(s *segment, pos int64) int64 {
	es := p.tail.offs
	if s != p.active() || len(es) == 0 || int64(es[0].pos) > pos {
		x := s.idx.Load()
		if x == nil {
			return 0
		}
		es = x.offs
	}
	i := sort.Search(len(es), func(i int) bool { return int64(es[i].pos) >= pos })
	if i >= len(es) || int64(es[i].pos) != pos {
		return 0
	}
	if i+1 < len(es) && es[i+1].base == es[i].last+1 {
		return int64(es[i+1].pos) - pos
	}
	if s.base+penstock.Offset(es[i].last)+1 == s.next {
		return s.size - pos
	}
	return 0
}

// resolve learns from the disk what a read needs and gives the reference up.
func (p *Partition) resolve(n *need, f *found) error {
	if n.open {
		h, err := p.handle(n.seg)
		if err == nil {
			h.Release()
		}
		return err
	}
	defer n.h.Release()
	if n.load {
		return p.loadIndex(n.seg, n.h, n.tally, n.sealed)
	}
	s, err := p.scanTo(n)
	if err != nil {
		return err
	}
	if n.gen != f.gen {
		return nil
	}
	if n.limit {
		f.limit = s
	} else {
		f.from = s
	}
	return nil
}

// scanTo walks headers from n.pos to the first batch that does not end before n.off, to the very first if that is
// NoOffset. A header that makes no sense, or whose offset goes back, is quarantined.
func (p *Partition) scanTo(n *need) (spot, error) {
	w := p.st.walker()
	defer p.st.release(w)
	w.reset(p.st.f, n.h, n.pos, n.end, false)
	next := penstock.NoOffset
	for {
		h, err := w.header()
		if err == io.EOF && n.off != penstock.NoOffset {
			return spot{n.seg, n.end, 0}, nil // in the gap that compaction left at a segment's end
		}
		if err == nil && h.BaseOffset < max(n.seg.base, next) {
			err = fmt.Errorf("%w: batch of offset %d at %d", penstock.ErrCorrupt, h.BaseOffset, w.pos)
		}
		if err != nil {
			if p.taken(n.gen) {
				return spot{}, nil
			}
			return spot{}, p.damaged(n, next, w.pos, err)
		}
		if n.off == penstock.NoOffset || h.LastOffset() >= n.off {
			return spot{n.seg, w.pos, int64(h.Size)}, nil
		}
		next = h.NextOffset()
		w.skip(&h)
	}
}

// taken reports whether offsets were taken back since gen.
func (p *Partition) taken(gen int) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.gen != gen
}

// damaged quarantines what a walk could not get over. It returns nil if the bytes were at fault, so that the read is
// tried again and meets the quarantine; from is the offset of the batch at pos, NoOffset if the walk began there.
func (p *Partition) damaged(n *need, from penstock.Offset, pos int64, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, errZero) {
		err = fmt.Errorf("%w: no batch at %d", penstock.ErrCorrupt, pos)
	}
	if errors.Is(err, penstock.ErrCorrupt) && p.quarantine(n.seg, n.h, from, pos, err) {
		return nil
	}
	return fmt.Errorf("partition %v: segment %d: %w", p.id, n.seg.base, err)
}
