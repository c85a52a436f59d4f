package segment

import (
	"errors"
	"fmt"
	"maps"

	"penstock"
	"penstock/store"
)

// Checkpoint makes every open log durable up to its end and notes the recovery points. After it a crash costs a walk
// over what was appended since.
func (s *Store) Checkpoint() error {
	s.checking.Lock()
	defer s.checking.Unlock()
	if s.marker.Load() {
		return nil // nothing was written since the clean stop
	}
	return s.checkpoint(s.opened(), false)
}

// checkpoint does it for ps; closing writes what the end of the process needs as well.
func (s *Store) checkpoint(ps []*Partition, closing bool) error {
	seq := s.seq.Add(1)
	at, made := make([]facts, len(ps)), make([]bool, len(ps))
	for i, p := range ps {
		if at[i], made[i] = p.beginCheckpoint(closing); !made[i] {
			continue
		}
		if p.Synced() < store.Mark(at[i].next) {
			p.Commit() // all of them ask before the first is waited for: one round serves many
		}
	}
	s.mu.Lock()
	all := maps.Clone(s.points)
	s.mu.Unlock()
	var errs []error
	for i, p := range ps {
		if !made[i] {
			continue
		}
		gone, err := p.endCheckpoint(at[i])
		if err != nil {
			errs = append(errs, err)
		}
		if gone {
			delete(all, p.id)
			continue
		}
		all[p.id] = at[i]
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	pts := points{seq: seq, of: all}
	if err := s.d.WriteFile(pointsFile, pts.append(nil)); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	s.keepPoints(all)
	return nil
}

// keepPoints remembers what was written, for partitions that are not open at the next checkpoint.
func (s *Store) keepPoints(all map[penstock.PartitionID]facts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range all {
		if _, ok := s.points[id]; ok {
			s.points[id] = all[id]
		}
	}
}

// beginCheckpoint writes what the log's files can do without a sync and returns the facts of the active segment, which
// become its recovery point once the log is durable up to their end. made is false for a partition without a log: nobody is to
// vouch for files that are not there.
func (p *Partition) beginCheckpoint(closing bool) (at facts, made bool) {
	p.w.Lock()
	defer p.w.Unlock()
	seg := p.active()
	if p.w.unmade {
		return seg.facts, false
	}
	idle := p.w.idle == seg.next
	if (idle || closing) && (p.w.zeroed > seg.size || p.w.torn || closing && p.w.reserved > seg.size) {
		if err := p.cutTail(); err != nil {
			p.log().Warn("space reserved ahead stays", "partition", p.id, "err", err)
		}
	}
	if !closing || !idle || !p.w.files.closed {
		p.w.files.closed = p.flushIndex(closing) && closing
	}
	p.heal()
	if idle {
		p.rest()
	}
	p.w.idle = seg.next
	p.unlink(p.st.o.Now())
	return seg.facts, true
}

// rest gives up the memory that only appends need. The caller holds w.
func (p *Partition) rest() {
	p.dropTail()
	p.w.vec, p.w.buf = nil, nil
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ring, p.ringN = nil, 0
}

// endCheckpoint waits until point is durable and writes the small files that are behind. It reports that the point is not
// true any more, or the partition gone.
func (p *Partition) endCheckpoint(point facts) (gone bool, err error) {
	if err := p.sync(point.next); err != nil {
		if errors.Is(err, penstock.ErrClosed) {
			return true, nil
		}
		return true, err
	}
	p.w.Lock()
	defer p.w.Unlock()
	if p.w.files.epochs {
		if err := p.writeEpochs(p.epochs); err != nil {
			return true, err
		}
	}
	if p.w.files.manifest || p.news.Load() {
		if err := p.writeManifest(p.segs, p.void); err != nil {
			return true, err
		}
	}
	return p.void >= p.st.seq.Load(), nil
}

// Close makes everything durable, writes indexes, checkpoint and marker, and closes. Where that fails the files are closed nevertheless, and the
// next start recovers.
func (s *Store) Close() error {
	s.checking.Lock()
	defer s.checking.Unlock()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	ps := s.opened()
	var err error
	if !s.marker.Load() {
		if err = s.checkpoint(ps, true); err == nil {
			err = s.d.WriteFile(cleanFile, appendClean(nil, s.seq.Load()))
		}
	}
	for _, p := range ps {
		p.w.Lock()
		for i := range p.w.doomed {
			p.w.doomed[i].at = p.st.o.Now()
		}
		if err == nil {
			p.unlink(p.st.o.Now())
		}
		p.release()
		p.w.Unlock()
	}
	if err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// release closes the partition's files. The caller holds w, or is the only one who knows p.
func (p *Partition) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	for _, s := range p.segs {
		p.st.cache.drop(s)
		if s.h != nil {
			s.h.Release()
		}
		s.h, s.gone = nil, true
	}
	for _, d := range p.w.doomed {
		if d.seg.h != nil {
			d.seg.h.Release()
		}
		d.seg.h, d.seg.gone = nil, true
	}
	for _, h := range p.dirty {
		h.Release()
	}
	p.dirty, p.w.doomed, p.tail, p.notify = nil, nil, index{}, nil
	p.synch.Broadcast()
}
