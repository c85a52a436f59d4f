package segment

import (
	"errors"
	"fmt"
	"hash/crc64"
	"slices"
	"sync"
	"sync/atomic"

	"penstock"
	"penstock/store"
)

// Checkpoint makes every open log durable up to its end and notes the recovery points. After it a crash costs a walk
// over what was appended since.
func (s *Store) Checkpoint() error {
	s.checking.Lock()
	defer s.checking.Unlock()
	if n := s.recovered.Swap(0); n > 0 {
		s.o.Logger.Info("partitions recovered", "partitions", n, "walked", s.walked.Swap(0))
	}
	if s.marker.Load() {
		return nil // nothing was written since the clean stop
	}
	return s.checkpoint(s.opened(), false)
}

// checkpoint does it for ps; closing writes what the end of the process needs as well. Where nothing has changed since the last
// one the file stays as it is, and so does its number: a node at rest writes nothing.
func (s *Store) checkpoint(ps []*Partition, closing bool) error {
	seq, cuts := s.lastSaid()+1, s.cuts.Load()
	s.seq.Store(seq)
	at, made := make([]noted, len(ps)), make([]bool, len(ps))
	for i, p := range ps {
		at[i].id = p.id
		if at[i].point, made[i] = p.beginCheckpoint(closing); !made[i] {
			continue
		}
		if p.Synced() < store.Mark(at[i].next) {
			p.Commit() // all of them ask before the first is waited for: one round serves many
		}
	}
	if err := s.writeEpochs(ps); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	rest := s.unopened()
	gone, errs := make([]bool, len(ps)), make([]error, len(ps))
	each(len(ps), func(i int) {
		if made[i] {
			gone[i], errs[i] = ps[i].endCheckpoint(at[i].facts, seq)
		}
	})
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	pts := points{seq: seq, of: at[:0], dense: s.dense}
	for i := range at {
		if made[i] && !gone[i] {
			pts.of = append(pts.of, at[i])
		}
	}
	pts.of = append(pts.of, rest...)
	slices.SortFunc(pts.of, func(a, b noted) int { return a.before(&b) })
	return s.writePoints(&pts, cuts, closing)
}

// said is what a checkpoint says: the checksum of its points, and of how many truncations it knows. The zero value is nothing.
type said struct {
	sum, cuts uint64
	some      bool
}

// unopened are the points of partitions that were not opened since the start.
func (s *Store) unopened() []noted {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []noted
	for id, f := range s.points {
		out = append(out, noted{id, f})
	}
	return out
}

// writePoints replaces the file of recovery points, unless what it says is there already and always is not set. A number that was
// not written is given to the next checkpoint: a truncation that saw it meanwhile declares one point more void than it must.
func (s *Store) writePoints(pts *points, cuts uint64, always bool) error {
	b := pts.append(nil)
	body := b[pointHead-4 : len(b)-crcSize] // from the count on, the number left out
	say := said{crc64.Checksum(body, crc64.MakeTable(crc64.ECMA)), cuts, true}
	if say == s.last && !always {
		s.seq.Store(pts.seq - 1)
		return nil
	}
	s.last = said{}
	if err := s.d.WriteFile(s.name(pointsFile), b); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	s.last = say
	return nil
}

// writeEpochs replaces the histories of leader epochs of all partitions that are behind, where these are so many that two syncs of
// everything are cheaper: after a start on which every epoch was raised each partition has one. Where they are few, or SyncAll is not supported, endCheckpoint writes them.
func (s *Store) writeEpochs(ps []*Partition) error {
	var behind []*Partition
	for _, p := range ps {
		p.w.Lock()
		if p.w.files.epochs {
			behind = append(behind, p)
		}
		p.w.Unlock()
	}
	if len(behind) < s.o.SettleFrom {
		return nil
	}
	staged, errs := make([][]store.EpochStart, len(behind)), make([]error, len(behind))
	each(len(behind), func(i int) { staged[i], errs[i] = behind[i].stageEpochs() })
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if done, err := s.d.SyncAll(); err != nil || !done {
		return err
	}
	each(len(behind), func(i int) { errs[i] = behind[i].putEpochs(staged[i]) })
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if done, err := s.d.SyncAll(); err != nil || !done {
		return err
	}
	for i, p := range behind {
		p.w.Lock()
		p.w.files.epochs = p.w.files.epochs && !slices.Equal(p.epochs, staged[i])
		p.w.Unlock()
	}
	return nil
}

// over reports whether the partition was closed or removed.
func (p *Partition) over() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.closed
}

// stageEpochs writes the history beside its file and returns it.
func (p *Partition) stageEpochs() ([]store.EpochStart, error) {
	p.w.Lock()
	defer p.w.Unlock()
	if p.over() {
		return nil, nil
	}
	if err := p.st.d.WriteLater(p.dir+"/"+epochFile, appendEpochs(nil, p.epochs)); err != nil {
		return nil, fmt.Errorf("partition %v: %s: %w", p.id, epochFile, err)
	}
	return p.epochs, nil
}

// putEpochs puts what was staged in its place, unless the partition has gone on or ended meanwhile.
func (p *Partition) putEpochs(staged []store.EpochStart) error {
	p.w.Lock()
	defer p.w.Unlock()
	if p.over() || !p.w.files.epochs || !slices.Equal(p.epochs, staged) {
		return nil
	}
	if err := p.st.d.PutLater(p.dir + "/" + epochFile); err != nil {
		return fmt.Errorf("partition %v: %s: %w", p.id, epochFile, err)
	}
	return nil
}

// endParallel is how many partitions end a checkpoint at once: what each has to write waits for the disk, and the file system makes
// many small files durable in the time of one.
const endParallel = 16

// each calls do for 0 to n-1, several at once, and returns when all are done.
func each(n int, do func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, endParallel) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				do(int(i))
			}
		})
	}
	wg.Wait()
}

// beginCheckpoint writes what the log's files can do without a sync and returns the facts of the active segment, which
// become its recovery point once the log is durable up to their end. made is false for a partition without a log: nobody is to
// vouch for files that are not there. One that was removed since the checkpoint began is not touched: its directory must not come back.
func (p *Partition) beginCheckpoint(closing bool) (at point, made bool) {
	p.w.Lock()
	defer p.w.Unlock()
	seg := p.active()
	if p.w.unmade || p.over() {
		return point{}, false
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
	return point{facts: seg.facts, kept: p.w.kept, number: p.number.Load()}, true
}

// rest gives up the memory that only appends need. The caller holds w.
func (p *Partition) rest() {
	if p.st.dense {
		p.dropCells(0)
	} else {
		p.dropTail()
	}
	p.w.vec, p.w.buf = nil, nil
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ring, p.ringN = nil, 0
}

// endCheckpoint waits until point is durable and writes the small files that are behind. It reports that the point is not
// true any more, or the partition gone.
func (p *Partition) endCheckpoint(point facts, seq uint64) (gone bool, err error) {
	if err := p.sync(point.next); err != nil {
		if errors.Is(err, penstock.ErrClosed) {
			return true, nil
		}
		return true, err
	}
	indexed := p.checkpointKeys(point.next, seq)
	p.w.Lock()
	defer p.w.Unlock()
	if p.over() {
		return true, nil
	}
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
	return p.void >= p.st.seq.Load() || !indexed, nil
}

// Close makes everything durable, writes indexes, checkpoint and marker, and closes. Where that fails the files are closed nevertheless, and the
// next start recovers; likewise where the last stop was not clean and a partition was not opened since: nobody has looked at its end.
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
			err = s.numbers.settle(s)
		}
		var known bool
		if err == nil {
			known, err = s.known(ps)
		}
		if known {
			err = s.d.WriteFile(s.name(cleanFile), appendClean(nil, s.seq.Load()))
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

// known reports whether of all partitions on the disk it is known how far they are whole: those opened, or all if the last stop was clean.
func (s *Store) known(opened []*Partition) (bool, error) {
	if s.clean {
		return true, nil
	}
	ids, err := s.List()
	if err != nil {
		return false, err
	}
	seen := make(map[penstock.PartitionID]bool, len(opened))
	for _, p := range opened {
		seen[p.id] = true
	}
	for _, id := range ids {
		if !seen[id] {
			s.o.Logger.Info("the last stop was not clean, and not all partitions were opened since: the next start recovers them", "partition", id)
			return false, nil
		}
	}
	return true, nil
}

// release closes the partition's files. The caller holds w, or is the only one who knows p.
func (p *Partition) release() {
	p.releaseLog()
	p.closeKeys()
}

// releaseLog closes those of the log.
func (p *Partition) releaseLog() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	for _, s := range p.segs {
		p.st.cache.drop(s)
		s.letGo()
	}
	for _, d := range p.w.doomed {
		d.seg.letGo()
	}
	for _, h := range p.dirty {
		h.Release()
	}
	p.dirty, p.w.doomed, p.tail, p.notify = nil, nil, index{}, nil
	p.synch.Broadcast()
}
