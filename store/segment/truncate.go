package segment

import (
	"fmt"
	"io"
	"slices"

	"penstock"
	"penstock/disk"
	"penstock/store"
)

// Truncate cuts everything from the batch on that holds end, or begins behind it. The end never goes below the first
// segment kept. The steps leave a log that recovery
// understands wherever they are interrupted: first "segments" stops naming what will go and voids the recovery points
// noted so far, then states and epochs go, then later segments from the last on, then the tail of this one.
func (p *Partition) Truncate(end penstock.Offset) error {
	p.w.Lock()
	defer p.w.Unlock()
	if end < 0 {
		return fmt.Errorf("partition %v: %w: truncate at %d", p.id, penstock.ErrOffsetOutOfRange, end)
	}
	if err := p.ready(); err != nil {
		return err
	}
	if end >= penstock.Offset(p.end.Load()) {
		return nil
	}
	cut, err := p.findCut(end)
	if err != nil {
		return err
	}
	p.halt()
	defer p.resume()
	return p.truncate(cut)
}

// cutPlan says where a log is cut: in which segment, at which byte and offset, and the index state there.
type cutPlan struct {
	i     int
	end   penstock.Offset
	pos   int64
	build builder
	tail  index
}

// findCut looks for the batch that holds end, from the segment's beginning: the index entries kept are built on the way. The caller holds w.
func (p *Partition) findCut(end penstock.Offset) (cutPlan, error) {
	i := p.segmentOf(max(end, p.segs[0].base))
	s := p.segs[i]
	c := cutPlan{i: i, end: s.base, build: newBuilder(int64(s.build.interval))}
	if end <= s.base {
		return c, nil
	}
	file, err := p.handle(s)
	if err != nil {
		return c, err
	}
	defer file.Release()
	w := p.st.walker()
	defer p.st.release(w)
	w.reset(p.st.f, file, 0, s.size, p.st.dense)
	for {
		p.skipBad(s.base, w)
		h, err := w.header()
		if err == io.EOF {
			break
		}
		if err != nil {
			return c, fmt.Errorf("partition %v: segment %d: %w", p.id, s.base, err)
		}
		if h.LastOffset() >= end {
			break
		}
		if p.st.dense {
			g, err := describeAt(w, &h, s.base+penstock.Offset(c.build.offs), s.next)
			if err != nil {
				return c, fmt.Errorf("partition %v: segment %d: %w", p.id, s.base, err)
			}
			c.build.addCell(&c.tail, s.base, &h, w.pos, g.tag)
		} else {
			c.build.add(&c.tail, entryOf(s.base, &h, w.pos), h.Size, h.MaxTimestamp)
		}
		c.end = h.NextOffset()
		w.skip(&h)
	}
	c.pos = w.pos
	return c, nil
}

// truncate does what findCut planned. The caller holds w.
func (p *Partition) truncate(c cutPlan) error {
	s := p.segs[c.i]
	h, err := p.st.d.OpenFile(s.logName(p.dir), true)
	if err != nil {
		return fmt.Errorf("partition %v: segment %d: %w", p.id, s.base, err)
	}
	err = p.forget(c)
	if err == nil {
		if err = p.cutFiles(c, h); err != nil {
			p.fail(err)
		}
	}
	if err != nil {
		p.w.files.manifest = true
		h.Release()
		return err
	}
	p.cutMemory(c, h)
	if es := store.CutEpochs(p.epochs, c.end); len(es) != len(p.epochs) {
		// Messages do not tell their epoch: while they were there the history had to be. What recovery finds of it behind the end it drops.
		p.setEpochs(es)
		p.w.files.epochs = true
	}
	p.startActive(penstock.Timestamp(p.st.o.Now().UnixMilli()))
	return nil
}

// forget makes the truncation known on disk. Where it fails the log is as it was.
func (p *Partition) forget(c cutPlan) error {
	if err := p.cutManifest(c, p.segs[:c.i+1]); err != nil {
		return err
	}
	p.w.kept = kept{}
	for _, at := range slices.Clone(p.w.states) {
		if at > c.end {
			if err := p.removeState(at); err != nil {
				return err
			}
		}
	}
	if es := store.CutEpochs(p.epochs, c.end); len(es) != len(p.epochs) && !p.st.dense {
		return p.writeEpochs(es)
	}
	return nil
}

// cutFiles takes the bytes away. Where it fails half way the partition takes no more writes until it is opened again:
// what was appended behind a hole would not survive.
func (p *Partition) cutFiles(c cutPlan, h *disk.Handle) error {
	for i := len(p.segs) - 1; i > c.i; i-- {
		if err := p.removeSegmentFiles(p.segs[i].base); err != nil {
			return fmt.Errorf("partition %v: segment %d: %w", p.id, p.segs[i].base, err)
		}
	}
	base := p.segs[c.i].base
	_ = p.rewrite(p.segs[c.i], &index{}) // what stays wrong is cut off at the next flush
	if err := h.Truncate(c.pos); err != nil {
		return fmt.Errorf("partition %v: truncate segment %d at %d: %w", p.id, base, c.pos, err)
	}
	return h.Sync()
}

// fail stops all writing.
func (p *Partition) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed == nil {
		p.failed = fmt.Errorf("partition %v: %w", p.id, err)
	}
	p.synch.Broadcast()
}

// cutManifest makes the truncation known before it is done.
func (p *Partition) cutManifest(c cutPlan, kept []*segment) error {
	old, bad := p.start.Load(), p.bad
	p.mu.Lock()
	p.bad = slices.DeleteFunc(slices.Clone(bad), func(b badRange) bool { return b.to > c.end })
	p.mu.Unlock()
	if old > int64(c.end) {
		p.start.Store(int64(max(c.end, kept[0].base)))
	}
	p.st.cuts.Add(1)
	if err := p.writeManifest(kept, p.st.lastSaid()); err != nil {
		p.start.Store(old)
		p.mu.Lock()
		p.bad = bad
		p.mu.Unlock()
		return err
	}
	return nil
}

// cutMemory brings the memory to the state of the plan; h is the file's handle for writing.
func (p *Partition) cutMemory(c cutPlan, h *disk.Handle) {
	gone, s := p.segs[c.i:], p.segs[c.i]
	defer func() {
		for _, old := range gone {
			p.drop(old)
		}
	}()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gen++
	next := &segment{facts: facts{base: s.base, next: c.end, size: c.pos, start: s.start, build: c.build}, h: h}
	p.segs = append(slices.Clone(p.segs[:c.i]), next)
	for _, d := range p.dirty {
		d.Release()
	}
	p.dirty = nil
	for i := range p.segs[:c.i] {
		if s := p.segs[i]; s.h != nil && int64(s.next) > p.synced.Load() {
			s.h.Retain()
			p.dirty = append(p.dirty, s.h)
		}
	}
	p.resetActive()
	p.tail = c.tail
	p.end.Store(int64(c.end))
	p.synced.Store(min(p.synced.Load(), int64(c.end)))
	p.w.idle = penstock.NoOffset
}
