package segment

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"penstock"
	"penstock/disk"
	"penstock/store"
)

// queued is a partition of messages: one that gives out single batches.
type queued struct{ *Partition }

var _ store.Queue = queued{}

// face is what those outside of the room see of a partition.
func (p *Partition) face() store.Partition {
	if p.st.dense {
		return queued{p}
	}
	return p
}

// Pull adds the extents of the batches that r asks for, chosen by what the queue says of their tags: the log is not read.
func (q queued) Pull(r store.PullRequest, dst []penstock.Extent) ([]penstock.Extent, store.Pulled, error) {
	return q.gather(&asked{from: r.From, limit: r.Limit, max: r.Max, whole: true, count: max(r.Count, 1), scan: max(r.Scan, 1), tags: r.Tags}, dst)
}

// readQueue is Read where each batch has an entry: the answer is cut at a batch's edge.
func (p *Partition) readQueue(r *store.ReadRequest, dst []penstock.Extent) ([]penstock.Extent, error) {
	all := int(max(0, min(r.Limit, penstock.Offset(p.end.Load()))-r.From))
	a := asked{from: r.From, limit: r.Limit, max: r.Max, whole: r.Whole, count: all, scan: all}
	if r.Max <= 0 && !r.Whole {
		a.count = 0
	}
	out, _, err := p.gather(&a, dst)
	return out, err
}

// asked is what a reader of a queue wants.
type asked struct {
	from, limit penstock.Offset
	max         int64 // bytes
	whole       bool  // the first batch may be larger
	count, scan int   // batches given, and looked at
	tags        []int64
}

// errMoved says that what a reader goes over was cut or retired meanwhile: look again.
var errMoved = errors.New("segments changed")

const (
	window     = 64   // entries of a queue read at once, the first time
	wideWindow = 256  // and later
	maxExtents = 1024 // of one read of scattered batches; the reader comes again for the rest
)

// gather adds what is asked for to dst.
func (p *Partition) gather(a *asked, dst []penstock.Extent) ([]penstock.Extent, store.Pulled, error) {
	r := p.st.rooms.Get().(*room)
	defer p.st.rooms.Put(r)
	for {
		g := gatherer{p: p, r: r, out: dst, got: store.Pulled{Next: a.from}}
		err := g.begin(a)
		if err == nil {
			err = g.run(a)
			g.flush()
		}
		if err == nil && !p.taken(g.gen) {
			return g.out, g.got, nil
		}
		for i := len(dst); i < len(g.out); i++ {
			g.out[i].Release()
		}
		if err != nil && !errors.Is(err, errMoved) && !p.taken(g.gen) {
			return dst, store.Pulled{Next: a.from}, err
		}
	}
}

// gatherer makes extents of entries, neighbours in one.
type gatherer struct {
	p     *Partition
	r     *room
	gen   int
	limit penstock.Offset
	out   []penstock.Extent
	had   int // extents in out before
	got   store.Pulled

	h        *disk.Handle // of the extent that is growing, with a reference
	from, to int64
}

// begin checks a request against the bounds and the damaged places.
func (g *gatherer) begin(a *asked) error {
	p := g.p
	p.mu.RLock()
	defer p.mu.RUnlock()
	g.gen, g.had = p.gen, len(g.out)
	if p.closed {
		return fmt.Errorf("partition %v: %w", p.id, penstock.ErrClosed)
	}
	start, end := p.Bounds()
	if a.from < start || a.from > end {
		return fmt.Errorf("partition %v: %w: %d not in %d to %d", p.id, penstock.ErrOffsetOutOfRange, a.from, start, end)
	}
	var err error
	g.limit, err = p.clip(a.from, min(a.limit, end))
	return err
}

// run goes over entries, some at a time.
func (g *gatherer) run(a *asked) error {
	count, scan := a.count, a.scan
	for g.got.Next < g.limit && count > 0 && scan > 0 && len(g.out)-g.had < maxExtents {
		p := g.p
		p.mu.RLock()
		s, start := p.segs[p.segmentOf(g.got.Next)], penstock.Offset(p.start.Load())
		p.mu.RUnlock()
		if g.got.Next < start {
			return errMoved
		}
		if g.got.Next < s.base {
			return fmt.Errorf("partition %v: %w: no segment holds %d", p.id, penstock.ErrCorrupt, g.got.Next)
		}
		n := window
		if g.got.Next > a.from {
			n = wideWindow
		}
		es, err := p.cells(g.r, s, int64(g.got.Next-s.base), min(n, scan))
		if err != nil {
			return g.failed(s, err)
		}
		h, err := p.handle(s)
		if err != nil {
			return g.failed(s, err)
		}
		for i := range es {
			e := &es[i]
			if g.got.Next >= g.limit || count == 0 || len(g.out)-g.had >= maxExtents {
				break
			}
			if e.size == 0 {
				h.Release()
				return fmt.Errorf("partition %v: %w: the queue does not know where %d lies", p.id, penstock.ErrCorrupt, g.got.Next)
			}
			scan--
			if a.tags != nil && !slices.Contains(a.tags, e.tag) {
				g.got.Next++
				continue
			}
			if size := int64(e.size); g.got.Bytes+size > a.max && !(g.got.Count == 0 && a.whole) {
				h.Release()
				return nil
			}
			g.add(h, e)
			count--
		}
		h.Release()
	}
	return nil
}

// add adds one batch.
func (g *gatherer) add(h *disk.Handle, e *cell) {
	g.got.Next++
	g.got.Count++
	g.got.Bytes += int64(e.size)
	if g.h == h && g.to == int64(e.pos) {
		g.to += int64(e.size)
		return
	}
	g.flush()
	h.Retain()
	g.h, g.from, g.to = h, int64(e.pos), int64(e.pos)+int64(e.size)
}

// flush ends the extent that is growing.
func (g *gatherer) flush() {
	if g.h != nil {
		g.out = append(g.out, g.h.Extent(g.from, g.to-g.from))
		g.h.Release()
		g.h = nil
	}
}

// failed tells whether s is a segment still, so that what went wrong is wrong.
func (g *gatherer) failed(s *segment, err error) error {
	g.flush()
	g.p.mu.RLock()
	defer g.p.mu.RUnlock()
	if !slices.Contains(g.p.segs, s) && !g.p.closed {
		return errMoved
	}
	return err
}

// cellPosition is where the batch with offset off begins in the segment.
func (p *Partition) cellPosition(l *look, off penstock.Offset) (int64, error) {
	if off >= l.s.base+penstock.Offset(l.build.offs) {
		return l.size, nil
	}
	r := p.st.rooms.Get().(*room)
	defer p.st.rooms.Put(r)
	es, err := p.cells(r, l.s, int64(off-l.s.base), 1)
	if err != nil {
		return 0, err
	}
	return int64(es[0].pos), nil
}

// findCell looks for a time in one segment: by halves, as far as times lying before those in front of them allow, then one after another.
func (p *Partition) findCell(l *look, t penstock.Timestamp, start penstock.Offset) (store.Found, error) {
	r := p.st.rooms.Get().(*room)
	defer p.st.rooms.Put(r)
	w := p.st.walker()
	defer p.st.release(w)
	lo, hi := int64(start-l.s.base), int64(l.build.offs)
	for lo < hi {
		mid := lo + (hi-lo)/2
		h, err := p.cellHeader(r, w, l, mid)
		if errors.Is(err, penstock.ErrCorrupt) {
			break // a damaged place: go over all that is left
		}
		if err != nil {
			return noneFound, err
		}
		if int64(h.MaxTimestamp) < int64(t)-l.build.since {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	for ; lo < int64(l.build.offs); lo++ {
		off := l.s.base + penstock.Offset(lo)
		if next := p.after(off); next > off {
			lo = int64(next-l.s.base) - 1
			continue
		}
		h, err := p.cellHeader(r, w, l, lo)
		if err != nil {
			return noneFound, fmt.Errorf("partition %v: segment %d: %w", p.id, l.s.base, err)
		}
		if h.MaxTimestamp >= t {
			return store.Found{Offset: off, Timestamp: h.MaxTimestamp, Epoch: h.Epoch}, nil
		}
	}
	return noneFound, nil
}

var noneFound = store.Found{Offset: penstock.NoOffset, Timestamp: penstock.NoTimestamp, Epoch: penstock.NoEpoch}

// cellHeader reads the header of the batch of entry i, and checks that it is that batch. r and w keep what they have read for the next.
func (p *Partition) cellHeader(r *room, w *walker, l *look, i int64) (penstock.BatchHeader, error) {
	es, err := p.cells(r, l.s, i, 1)
	if err != nil {
		return penstock.BatchHeader{}, err
	}
	w.reset(p.st.f, l.h, int64(es[0].pos), l.size, false)
	h, err := w.header()
	if err == io.EOF || errors.Is(err, errZero) {
		err = fmt.Errorf("%w: no batch at %d", penstock.ErrCorrupt, es[0].pos)
	}
	if err == nil && (h.BaseOffset != l.s.base+penstock.Offset(i) || h.Size != es[0].size) {
		err = fmt.Errorf("%w: batch of offset %d and %d bytes at %d, the queue says %d and %d", penstock.ErrCorrupt, h.BaseOffset, h.Size,
			es[0].pos, l.s.base+penstock.Offset(i), es[0].size)
	}
	return h, err
}
