package segment

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"penstock"
	"penstock/store"
)

// doomed are the files of a segment that nobody can reach any more, to be unlinked when readers that were told of
// them before have had their time.
type doomed struct {
	seg *segment
	at  time.Time
}

// lastEpoch is the newest epoch noted. The caller holds w.
func (p *Partition) lastEpoch() penstock.Epoch {
	if n := len(p.epochs); n > 0 {
		return p.epochs[n-1].Epoch
	}
	return penstock.NoEpoch
}

// setEpochs replaces the history in memory. The caller holds w.
func (p *Partition) setEpochs(es []store.EpochStart) {
	p.mu.Lock()
	p.epochs = es
	p.mu.Unlock()
}

// Epochs is the history of leader epochs, oldest first. The caller must not change it.
func (p *Partition) Epochs() []store.EpochStart {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.epochs
}

// SetEpoch notes that the leader of epoch starts at the end.
func (p *Partition) SetEpoch(epoch penstock.Epoch) error {
	p.w.Lock()
	defer p.w.Unlock()
	if err := p.ready(); err != nil {
		return err
	}
	es := store.AssignEpoch(p.epochs, store.EpochStart{Epoch: epoch, Start: penstock.Offset(p.end.Load())})
	if len(es) == len(p.epochs) && slices.Equal(es, p.epochs) && !p.w.files.epochs {
		return nil
	}
	return p.writeEpochs(es)
}

// writeEpochs replaces the history on disk and in memory. The caller holds w.
func (p *Partition) writeEpochs(es []store.EpochStart) error {
	if err := p.st.d.WriteFile(p.dir+"/"+epochFile, appendEpochs(nil, es)); err != nil {
		return fmt.Errorf("partition %v: %s: %w", p.id, epochFile, err)
	}
	p.setEpochs(es)
	p.w.files.epochs = false
	return nil
}

// writeManifest replaces the file "segments" by what is true now: the sealed segments up to the first that is not
// durable. The caller holds w; void is the number of the last checkpoint whose recovery point no longer counts.
func (p *Partition) writeManifest(segs []*segment, void uint64) error {
	if p.w.files.epochs {
		// Segments that are named are not walked again: their epochs must be on the disk before.
		if err := p.writeEpochs(p.epochs); err != nil {
			return err
		}
	}
	p.news.Store(false)
	named, err := p.finishIndexes(segs[:len(segs)-1])
	if err != nil {
		return err
	}
	p.mu.RLock()
	m := manifest{void: void, start: penstock.Offset(p.start.Load()), first: segs[0].base, firstPos: segs[0].start, bad: p.bad}
	m.start = max(m.start, m.first)
	for _, s := range segs[:named] {
		m.segs = append(m.segs, s.facts)
	}
	p.mu.RUnlock()
	if err := p.st.d.WriteFile(p.dir+"/"+manifestFile, m.append(nil)); err != nil {
		p.news.Store(true)
		return fmt.Errorf("partition %v: %s: %w", p.id, manifestFile, err)
	}
	p.void = void
	p.w.files.manifest = named < len(segs)-1
	return nil
}

// finishIndexes makes the index files durable of those sealed segments that may be named now and were not before, and
// returns how many may be named: those before the first that is not durable. A power cut then never leaves an index in doubt that
// nobody walks again.
func (p *Partition) finishIndexes(sealed []*segment) (named int, err error) {
	p.heal()
	for _, s := range sealed {
		if int64(s.next) > p.synced.Load() || slices.Contains(p.w.lame, s) {
			return named, nil
		}
		named++
		if s.indexed {
			continue
		}
		for _, suffix := range p.st.indexSuffixes() {
			if err := p.syncFile(fileName(p.dir, s.base, suffix)); err != nil {
				return named, err
			}
		}
		s.indexed = true
	}
	return named, nil
}

// syncFile makes a file durable; one that is missing is.
func (p *Partition) syncFile(name string) error {
	h, err := p.st.d.OpenFile(name, true)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer h.Release()
	return h.Sync()
}

// SetStart moves the first kept offset forward. What lies below it is made durable first, so that the end is never
// found below the start.
func (p *Partition) SetStart(start penstock.Offset) error {
	p.w.Lock()
	defer p.w.Unlock()
	if err := p.ready(); err != nil {
		return err
	}
	old := penstock.Offset(p.start.Load())
	if start > penstock.Offset(p.end.Load()) {
		return fmt.Errorf("partition %v: %w: start %d behind the end %d", p.id, penstock.ErrOffsetOutOfRange, start, p.end.Load())
	}
	if start <= old {
		return nil
	}
	if err := p.sync(start); err != nil {
		return err
	}
	p.start.Store(int64(start))
	if err := p.writeManifest(p.segs, p.void); err != nil {
		p.start.Store(int64(old))
		return err
	}
	return nil
}

// Retain deletes whole segments that the configuration no longer keeps: those below the start, those whose newest record is
// too old, and the oldest while the partition is too large. A segment without timestamps does not grow old.
func (p *Partition) Retain(now time.Time, limit penstock.Offset) (int64, error) {
	defer p.trimKeys() // last: where a checkpoint is at the index it waits for that, and appends do not
	p.w.Lock()
	defer p.w.Unlock()
	if err := p.ready(); err != nil {
		return 0, err
	}
	p.unlink(now)
	c := p.cfg.Load()
	n := p.expired(c, now, limit)
	if n == len(p.segs) {
		if err := p.roll(penstock.Timestamp(now.UnixMilli())); err != nil {
			return 0, fmt.Errorf("partition %v: new segment: %w", p.id, err)
		}
		defer p.Commit()
	}
	if n == 0 {
		return 0, nil
	}
	return p.retire(n, now, c.FileDeleteDelay)
}

// expired is how many of the oldest segments need not be kept. The caller holds w.
func (p *Partition) expired(c *store.Config, now time.Time, limit penstock.Offset) int {
	var total int64
	for _, s := range p.segs {
		total += s.size
	}
	start, oldest := penstock.Offset(p.start.Load()), penstock.Timestamp(now.Add(-c.RetentionAge).UnixMilli())
	n := 0
	for i, s := range p.segs {
		last := i == len(p.segs)-1
		if s.next > limit || last && s.size == 0 {
			break
		}
		old := c.RetentionAge >= 0 && s.build.maxAt >= 0 && s.build.maxAt < oldest
		large := c.RetentionBytes > 0 && total-s.size >= c.RetentionBytes
		if !old && !large && (s.next > start || last) {
			break
		}
		total -= s.size
		n++
	}
	return n
}

// retire takes the n oldest segments away. The caller holds w.
func (p *Partition) retire(n int, now time.Time, delay time.Duration) (int64, error) {
	gone, kept := p.segs[:n], p.segs[n:]
	old := p.start.Load()
	p.start.Store(max(old, int64(kept[0].base)))
	if err := p.writeManifest(kept, p.void); err != nil {
		p.start.Store(old)
		return 0, err
	}
	var freed int64
	p.mu.Lock()
	p.segs = slices.Clone(kept)
	p.bad = slices.DeleteFunc(slices.Clone(p.bad), func(b badRange) bool { return b.to <= kept[0].base })
	p.mu.Unlock()
	for _, s := range gone {
		freed += s.size
		p.st.cache.drop(s)
		p.w.doomed = append(p.w.doomed, doomed{s, now.Add(delay)})
	}
	if es := store.TrimEpochs(p.epochs, penstock.Offset(p.start.Load())); !slices.Equal(es, p.epochs) {
		p.setEpochs(es)
		p.w.files.epochs = true
	}
	p.unlink(now)
	return freed, nil
}

// unlink removes the files whose time has come. What fails is tried again at the next pass, and at the next start. The
// caller holds w.
func (p *Partition) unlink(now time.Time) {
	p.w.doomed = slices.DeleteFunc(p.w.doomed, func(d doomed) bool {
		if now.Before(d.at) {
			return false
		}
		if err := p.removeSegmentFiles(d.seg.base); err != nil {
			p.log().Warn("retired segment not unlinked yet", "partition", p.id, "segment", d.seg.base, "err", err)
			return false
		}
		p.drop(d.seg)
		return true
	})
}

// drop gives up what the memory has of a segment that is no longer one.
func (p *Partition) drop(s *segment) {
	p.st.cache.drop(s)
	p.mu.Lock()
	defer p.mu.Unlock()
	s.letGo()
}

// statesKept is how many states of the owner's are kept: the newest may lie behind the end after a crash.
const statesKept = 3

// SaveState stores a state of the owner's.
func (p *Partition) SaveState(at penstock.Offset, state []byte) error {
	p.w.Lock()
	defer p.w.Unlock()
	if err := p.ready(); err != nil {
		return err
	}
	if at < 0 || at > penstock.Offset(p.end.Load()) || len(state) > maxStateBytes-1024 {
		return fmt.Errorf("partition %v: %w: state of %d bytes at %d, end %d", p.id, penstock.ErrOffsetOutOfRange, len(state), at, p.end.Load())
	}
	if err := p.st.d.WriteFile(fileName(p.dir, at, stateSuffix), appendState(nil, at, state)); err != nil {
		return fmt.Errorf("partition %v: state at %d: %w", p.id, at, err)
	}
	if i, ok := slices.BinarySearch(p.w.states, at); !ok {
		p.w.states = slices.Insert(p.w.states, i, at)
	}
	for len(p.w.states) > statesKept {
		if err := p.removeState(p.w.states[0]); err != nil {
			p.log().Warn("old state not removed", "partition", p.id, "at", p.w.states[0], "err", err)
			break
		}
	}
	return nil
}

// KeepState notes how far the newest saved state holds. The next checkpoint writes it down.
func (p *Partition) KeepState(until penstock.Offset) error {
	p.w.Lock()
	defer p.w.Unlock()
	if err := p.ready(); err != nil {
		return err
	}
	newest := p.newestState()
	if until < newest || until > penstock.Offset(p.end.Load()) {
		return fmt.Errorf("partition %v: %w: state at %d cannot hold until %d, end %d", p.id, penstock.ErrOffsetOutOfRange, newest, until, p.end.Load())
	}
	p.w.kept = kept{newest, until}
	return nil
}

// newestState is where the newest saved state was true, NoOffset for none. The caller holds w.
func (p *Partition) newestState() penstock.Offset {
	if n := len(p.w.states); n > 0 {
		return p.w.states[n-1]
	}
	return penstock.NoOffset
}

// removeState removes a state's file. The caller holds w.
func (p *Partition) removeState(at penstock.Offset) error {
	if err := p.st.d.Remove(fileName(p.dir, at, stateSuffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("partition %v: state at %d: %w", p.id, at, err)
	}
	if i, ok := slices.BinarySearch(p.w.states, at); ok {
		p.w.states = slices.Delete(p.w.states, i, i+1)
	}
	return nil
}

// LoadState returns the newest state that can be read.
func (p *Partition) LoadState() (penstock.Offset, []byte) {
	p.w.Lock()
	defer p.w.Unlock()
	for i := len(p.w.states) - 1; i >= 0; i-- {
		at := p.w.states[i]
		if at > penstock.Offset(p.end.Load()) {
			continue
		}
		b, err := p.st.d.ReadFile(fileName(p.dir, at, stateSuffix), maxStateBytes)
		if err == nil {
			var got penstock.Offset
			var state []byte
			if got, state, err = parseState(b); err == nil && got == at {
				if k := p.w.kept; k.saved == at {
					at = max(at, k.until)
				}
				return at, state
			}
		}
		p.log().Warn("saved state cannot be used", "partition", p.id, "at", at, "err", err)
	}
	if k := p.w.kept; len(p.w.states) == 0 && k.saved == penstock.NoOffset {
		return k.until, nil
	}
	return penstock.NoOffset, nil
}

// Stats are figures for metrics and administration.
func (p *Partition) Stats() store.Stats {
	p.mu.RLock()
	defer p.mu.RUnlock()
	s := store.Stats{Segments: len(p.segs), Quarantined: len(p.bad)}
	for _, seg := range p.segs {
		s.Bytes += seg.size
	}
	return s
}
