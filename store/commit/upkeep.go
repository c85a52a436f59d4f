package commit

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"time"

	"penstock"
	"penstock/store"
)

// Epochs is the history of leader epochs, oldest first. The caller must not change it.
func (p *Partition) Epochs() []store.EpochStart {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.facts.epochs
}

// SetEpoch notes that the leader of epoch starts at the end.
func (p *Partition) SetEpoch(epoch penstock.Epoch) error {
	p.own.Lock()
	defer p.own.Unlock()
	if err := p.ready(); err != nil {
		return err
	}
	f := p.current()
	f.epochs = store.AssignEpoch(f.epochs, store.EpochStart{Epoch: epoch, Start: p.end})
	if slices.Equal(f.epochs, p.facts.epochs) {
		return nil
	}
	return p.writeFacts(f)
}

// SetStart moves the first kept offset forward. The log is made durable first, so that the end is never found below the start.
func (p *Partition) SetStart(start penstock.Offset) error {
	p.own.Lock()
	defer p.own.Unlock()
	if err := p.ready(); err != nil {
		return err
	}
	if start > p.end {
		return fmt.Errorf("partition %v: %w: start %d behind the end %d", p.id, penstock.ErrOffsetOutOfRange, start, p.end)
	}
	if start <= p.facts.start {
		return nil
	}
	if err := p.st.log.sync(p.st.log.end.Load()); err != nil {
		return err
	}
	f := p.current()
	f.start = start
	return p.writeFacts(f)
}

// Retain gives up what lies in files of the log of which the configuration keeps nothing for this partition, as it would give up segments:
// what is below the start, what is too old, and the oldest while the partition is too large. A file of the log goes when no partition keeps
// anything in it. What is reported is what this partition has given up.
func (p *Partition) Retain(now time.Time, limit penstock.Offset) (int64, error) {
	p.own.Lock()
	defer p.own.Unlock()
	if err := p.ready(); err != nil {
		return 0, err
	}
	n, freed := p.expired(now, limit, p.st.due(now))
	if err := p.giveUp(n); err != nil {
		return 0, err
	}
	if n > 0 {
		if _, err := p.st.dropFiles(now, false); err != nil {
			return freed, err
		}
	}
	p.st.w.Lock()
	defer p.st.w.Unlock()
	return freed, p.st.log.purge(now)
}

// giveUp gives up the first n groups. The caller holds own, and sees to the log's files.
func (p *Partition) giveUp(n int) error {
	if n == 0 {
		return nil
	}
	idx, first := p.q.count, p.end
	if n < len(p.q.groups) {
		idx, first = p.q.groups[n].idx, p.q.groups[n].base
	}
	f := p.current()
	f.first, f.start = first, max(f.start, first)
	f.epochs = store.TrimEpochs(f.epochs, f.start)
	f.bad = slices.DeleteFunc(slices.Clone(f.bad), func(b badRange) bool { return b.to <= first })
	f.cuts = p.st.pruned(f.cuts)
	if err := p.writeFacts(f); err != nil {
		return err
	}
	if p.q.flushed < idx {
		// Else a later flush would make a file again that is removed below. Where it fails, as on a full disk, room is made all the same.
		_ = p.flush()
	}
	p.mu.Lock()
	old := p.q.first
	p.gen++
	p.q.groups = slices.Clone(p.q.groups[n:])
	p.q.first = idx
	p.mu.Unlock()
	p.trimQueue(old)
	return nil
}

// expired is how many of the oldest groups need not be kept, and their bytes. What is too old counts if it is due. The caller holds own.
func (p *Partition) expired(now time.Time, limit penstock.Offset, due bool) (n int, freed int64) {
	c, active := p.config(), p.st.log.startOf(penstock.Position(p.st.log.end.Load()))
	var total int64
	for _, g := range p.q.groups {
		total += g.bytes
	}
	oldest := penstock.Timestamp(now.Add(-c.RetentionAge).UnixMilli())
	for i, g := range p.q.groups {
		next := p.end
		if i+1 < len(p.q.groups) {
			next = p.q.groups[i+1].base
		}
		if next > limit {
			break
		}
		old := due && c.RetentionAge >= 0 && g.maxAt >= 0 && g.maxAt < oldest
		large := c.RetentionBytes > 0 && total-g.bytes >= c.RetentionBytes
		if !old && !large && (next > p.facts.start || g.file == active) {
			break
		}
		total -= g.bytes
		freed += g.bytes
		n++
	}
	return n, freed
}

// trimQueue removes the files of the queue that lie wholly before the first entry kept; old is the place of the first before. What
// fails is tried again at the next start. The caller holds own.
func (p *Partition) trimQueue(old int64) {
	p.trimSums()
	defer p.forgetHandle()
	for at := old / p.st.o.QueueEntries; at < p.q.first/p.st.o.QueueEntries; at++ {
		name := p.queueFile(at * p.st.o.QueueEntries)
		if err := p.st.d.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			p.st.o.Logger.Warn("file of a queue not removed yet", "partition", p.id, "file", name, "err", err)
		}
		delete(p.unsynced, name)
	}
}

// pruned drops the truncations that concern nothing any more: no file of the log, and no entry that the last checkpoint vouches for.
func (s *Store) pruned(cuts []cut) []cut {
	s.log.mu.RLock()
	defer s.log.mu.RUnlock()
	if len(s.log.files) == 0 {
		return cuts
	}
	first := min(s.log.files[0].start, penstock.Position(s.noted.Load()-1))
	return slices.DeleteFunc(slices.Clone(cuts), func(c cut) bool { return c.at <= first })
}

// dropFiles removes the files of the log that no partition keeps anything in: at once, or when the longest FileDeleteDelay of the partitions
// is over. It reports their bytes.
func (s *Store) dropFiles(now time.Time, atOnce bool) (int64, error) {
	s.w.Lock()
	defer s.w.Unlock()
	s.log.mu.RLock()
	n := len(s.log.files)
	var first penstock.Position
	if n > 0 {
		first = s.log.files[0].end()
	}
	s.log.mu.RUnlock()
	if n < 2 {
		return 0, nil
	}
	below, delay := penstock.Position(s.log.end.Load()), time.Duration(0)
	for _, p := range s.all() {
		p.mu.RLock()
		if !p.closed && len(p.q.groups) > 0 {
			below = min(below, p.q.groups[0].file)
		}
		delay = max(delay, p.cfg.FileDeleteDelay)
		p.mu.RUnlock()
		if below < first {
			return 0, nil
		}
	}
	if atOnce {
		delay = 0
	}
	freed := s.log.drop(below, now.Add(delay))
	if atOnce {
		now = time.Time{} // what waits goes as well
	}
	return freed, errors.Join(s.log.purge(now), s.trimKeys())
}

// Truncate cuts everything from the batch on that holds end, or begins behind it. The log is shared and stays as it is: the batches
// are void from now on, which "facts" says, and their entries go. The end never goes below the first offset that the queue keeps.
func (p *Partition) Truncate(end penstock.Offset) error {
	p.own.Lock()
	defer p.own.Unlock()
	if end < 0 {
		return fmt.Errorf("partition %v: %w: truncate at %d", p.id, penstock.ErrOffsetOutOfRange, end)
	}
	if err := p.ready(); err != nil {
		return err
	}
	if end >= p.end {
		return nil
	}
	idx, end, err := p.edge(max(end, p.facts.first))
	if err != nil {
		return err
	}
	left, err := p.bytesBefore(idx)
	if err != nil {
		return err
	}
	f := p.current()
	f.start = min(f.start, end)
	f.epochs = store.CutEpochs(f.epochs, end)
	f.bad = slices.DeleteFunc(slices.Clone(f.bad), func(b badRange) bool { return b.to > end })
	f.cuts = slices.DeleteFunc(p.st.pruned(f.cuts), func(c cut) bool { return c.to >= end })
	f.cuts = append(slices.Clip(f.cuts), cut{penstock.Position(p.st.log.end.Load()), end, idx, left})
	if err := p.forget(f, end); err != nil {
		return err
	}
	p.cutQueue(&f.cuts[len(f.cuts)-1])
	p.kept = kept{}
	p.cutFiles()
	return nil
}

// forget makes a truncation known on the disk. Where it fails the partition is as it was, and says so before it is appended to. The
// caller holds own.
func (p *Partition) forget(f facts, end penstock.Offset) error {
	old := p.current()
	if err := p.writeFacts(f); err != nil {
		return err
	}
	for _, at := range slices.Clone(p.states) {
		if at <= end {
			continue
		}
		if err := p.removeState(at); err != nil {
			p.unsure = true
			p.mu.Lock()
			p.facts = old
			p.mu.Unlock()
			return err
		}
	}
	return nil
}

// edge finds the batch that holds off: its place in the queue and its first offset. The caller holds own.
func (p *Partition) edge(off penstock.Offset) (int64, penstock.Offset, error) {
	if len(p.q.groups) == 0 || off >= p.end {
		return p.q.count, p.end, nil
	}
	g := p.q.groupOf(off)
	v := view{p: p, gen: p.gen}
	defer v.done()
	i, err := v.place(off, p.q.groups[g].idx, p.q.groupEnd(g))
	if err != nil {
		return 0, 0, err
	}
	e, err := v.at(i)
	return i, e.base, err
}

// bytesBefore sums up the batches before place idx that lie in the same file of the log. The caller holds own.
func (p *Partition) bytesBefore(idx int64) (sum int64, err error) {
	v := view{p: p, gen: p.gen}
	defer v.done()
	i := 0
	for i < len(p.q.groups) && p.q.groupEnd(i) <= idx {
		i++
	}
	if i == len(p.q.groups) {
		return 0, nil
	}
	for k := p.q.groups[i].idx; k < idx; k++ {
		e, err := v.at(k)
		if err != nil {
			return 0, err
		}
		sum += int64(e.size)
	}
	return sum, nil
}

// cutQueue drops the entries that a truncation takes. The caller holds own.
func (p *Partition) cutQueue(c *cut) {
	p.cutSums(c.idx)
	p.mu.Lock()
	defer p.mu.Unlock()
	q := &p.q
	p.gen++
	q.tail = slices.Clone(q.tail[:max(0, min(int64(len(q.tail)), c.idx-q.tailFrom()))])
	i := len(q.groups)
	for i > 0 && q.groups[i-1].idx >= c.idx {
		i--
	}
	inside := i > 0 && c.idx < q.groupEnd(i-1)
	q.groups = slices.Clone(q.groups[:i])
	if inside {
		q.groups[i-1].bytes = c.left // its times stay as they are: bounds of what is left
	}
	q.count, p.end = c.idx, c.to
	q.flushed = min(q.flushed, c.idx)
}

// cutFiles makes zeros of what the queue's files have behind the last entry, for those who read the files without us. What fails here
// is not believed later. The caller holds own.
func (p *Partition) cutFiles() {
	defer p.forgetHandle()
	name, at := p.queueFile(p.q.flushed), p.q.flushed%p.st.o.QueueEntries*p.st.entrySize()
	h, err := p.st.d.OpenLater(name)
	if err == nil {
		defer h.Release()
		p.unsynced[name], p.sized = true, ""
		if err = h.Truncate(at); err == nil {
			err = h.Truncate(p.st.o.QueueEntries * p.st.entrySize())
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // it is to be, or was lost
	}
	for next := p.q.flushed/p.st.o.QueueEntries + 1; err == nil; next++ {
		name := p.queueFile(next * p.st.o.QueueEntries)
		delete(p.unsynced, name)
		err = p.st.d.Remove(name)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		p.st.o.Logger.Warn("queue keeps entries behind its end", "partition", p.id, "err", err)
	}
}

// forgetHandle closes the file of the queue that was read last: another may take its name.
func (p *Partition) forgetHandle() {
	p.hmu.Lock()
	p.dropHandle()
	p.hmu.Unlock()
}

// removeState removes a state's file. The caller holds own.
func (p *Partition) removeState(at penstock.Offset) error {
	if err := p.remove(digits(int64(at)) + stateSuffix); err != nil {
		return err
	}
	if i, ok := slices.BinarySearch(p.states, at); ok {
		p.states = slices.Delete(p.states, i, i+1)
	}
	return nil
}

// newestState is where the newest saved state was true, NoOffset for none. The caller holds own.
func (p *Partition) newestState() penstock.Offset {
	if n := len(p.states); n > 0 {
		return p.states[n-1]
	}
	return penstock.NoOffset
}

// KeepState notes how far the newest saved state holds. The next checkpoint writes it down.
func (p *Partition) KeepState(until penstock.Offset) error {
	p.own.Lock()
	defer p.own.Unlock()
	if err := p.ready(); err != nil {
		return err
	}
	newest := p.newestState()
	if until < newest || until > p.end {
		return fmt.Errorf("partition %v: %w: state at %d cannot hold until %d, end %d", p.id, penstock.ErrOffsetOutOfRange, newest, until, p.end)
	}
	p.kept = kept{newest, until}
	return nil
}

// statesKept is how many states of the owner's are kept: the newest may lie behind the end after a crash.
const statesKept = 3

// SaveState stores a state of the owner's.
func (p *Partition) SaveState(at penstock.Offset, state []byte) error {
	p.own.Lock()
	defer p.own.Unlock()
	if err := p.ready(); err != nil {
		return err
	}
	if at < 0 || at > p.end || len(state) > maxStateBytes-1024 {
		return fmt.Errorf("partition %v: %w: state of %d bytes at %d, end %d", p.id, penstock.ErrOffsetOutOfRange, len(state), at, p.end)
	}
	name := path.Join(p.dir, digits(int64(at))+stateSuffix)
	if err := p.st.d.WriteFile(name, appendState(nil, at, state)); err != nil {
		return fmt.Errorf("partition %v: state at %d: %w", p.id, at, err)
	}
	if i, ok := slices.BinarySearch(p.states, at); !ok {
		p.states = slices.Insert(p.states, i, at)
	}
	for len(p.states) > statesKept {
		if err := p.removeState(p.states[0]); err != nil {
			p.st.o.Logger.Warn("old state not removed", "partition", p.id, "at", p.states[0], "err", err)
			break
		}
	}
	return nil
}

// LoadState returns the newest state that can be read.
func (p *Partition) LoadState() (penstock.Offset, []byte) {
	p.own.Lock()
	defer p.own.Unlock()
	for i := len(p.states) - 1; i >= 0; i-- {
		at := p.states[i]
		if at > p.end {
			continue
		}
		b, err := p.st.d.ReadFile(path.Join(p.dir, digits(int64(at))+stateSuffix), maxStateBytes)
		if err == nil {
			var got penstock.Offset
			var state []byte
			if got, state, err = parseState(b); err == nil && got == at {
				if p.kept.saved == at {
					at = max(at, p.kept.until)
				}
				return at, state
			}
		}
		p.st.o.Logger.Warn("saved state cannot be used", "partition", p.id, "at", at, "err", err)
	}
	if len(p.states) == 0 && p.kept.saved == penstock.NoOffset {
		return p.kept.until, nil
	}
	return penstock.NoOffset, nil
}

// Stats are figures for metrics and administration. A segment is a file of the log in which the partition keeps something.
func (p *Partition) Stats() store.Stats {
	p.mu.RLock()
	defer p.mu.RUnlock()
	s := store.Stats{Segments: len(p.q.groups), Quarantined: len(p.facts.bad)}
	for _, g := range p.q.groups {
		s.Bytes += g.bytes
	}
	return s
}
