package commit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"penstock"
	"penstock/disk"
	"penstock/store"
	"penstock/store/index"
)

// recover opens the log and all partitions. Everything that the checkpoint vouches for is believed; what the log has behind it is walked,
// after a clean stop that is nothing.
func (s *Store) recover() error {
	c, err := s.readCheckpoint()
	if err != nil {
		return err
	}
	if !s.clean {
		if err := s.settleNames(); err != nil {
			return err
		}
	}
	if err := s.listFiles(c.pos); err != nil {
		return err
	}
	if err := s.loadAll(&c); err != nil {
		return err
	}
	if err := s.openKeys(&c); err != nil {
		return err
	}
	// A checkpoint that is damaged, or was written by Import with the number 0, says nothing of what is durable.
	w := walk{s: s, pos: c.pos, careful: (c.of == nil) == (s.seq.Load() > 0)}
	if n := len(s.log.files); n > 0 {
		w.pos = max(w.pos, s.log.files[0].start)
	}
	if !s.clean {
		if err := w.run(); err != nil {
			return err
		}
		if err := s.cutLog(w.pos); err != nil {
			return err
		}
	}
	if err := s.bridge(w.pos); err != nil {
		return err
	}
	s.log.end.Store(int64(w.pos))
	s.log.synced.Store(int64(w.pos))
	if err := s.checkKeys(w.pos); err != nil {
		return err
	}
	if err := s.trimKeys(); err != nil {
		return err
	}
	ps := s.all()
	slices.SortFunc(ps, func(a, b *Partition) int { return compareIDs(a.id, b.id) })
	for _, p := range ps {
		if err := p.finish(); err != nil {
			return err
		}
		if c.of != nil && c.seq == 0 {
			// What Import took over tells of nobody who produces here: a broker that copies a message copies what it says of a producer too.
			p.kept = kept{penstock.NoOffset, p.end}
		}
	}
	if len(s.parts) == 0 {
		return nil
	}
	// Files that were retired and not deleted by the process before.
	if _, err := s.dropFiles(s.o.Now(), true); err != nil {
		return err
	}
	if w.walked > 0 {
		s.o.Logger.Info("commit log recovered", "format", s.f.Kind(), "from", c.pos, "end", w.pos, "batches", w.walked)
	}
	return nil
}

// readCheckpoint reads the checkpoint and the marker. A damaged checkpoint counts as none.
func (s *Store) readCheckpoint() (c checkpoint, err error) {
	b, err := s.d.ReadFile(path.Join(s.dir, checkpointFile), maxCheckpointBytes)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c, err
	}
	if err == nil {
		if c, err = parseCheckpoint(b); err != nil {
			s.o.Logger.Error("checkpoint cannot be used, walking the whole log", "err", err)
			c = checkpoint{seq: 1} // any number but none
		}
	}
	s.seq.Store(c.seq)
	s.noted.Store(int64(c.pos))
	if b, err = s.d.ReadFile(path.Join(s.dir, cleanFile), maxSmallBytes); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return c, nil
		}
		return c, err
	}
	seq, err := parseClean(b)
	s.clean = err == nil && seq == c.seq && c.of != nil
	s.marker.Store(true)
	return c, nil
}

// settleNames makes durable, after an unclean stop, what the process before has left in the page cache: what recovery believes must not
// be taken back by a power cut.
func (s *Store) settleNames() error {
	if es, err := s.d.ReadDir(s.dir); err != nil || len(es) == 0 {
		return err
	}
	if done, err := s.d.SyncAll(); done || err != nil {
		return err
	}
	ids, err := s.List()
	if err != nil {
		return err
	}
	dirs := []string{path.Join(s.dir, logDir)}
	for _, id := range ids {
		dirs = append(dirs, newPartition(s, id).dir)
	}
	for _, dir := range dirs {
		es, err := s.d.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range es {
			h, err := s.d.OpenFile(path.Join(dir, e.Name), true)
			if err != nil {
				return err
			}
			err = h.Sync()
			h.Release()
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// listFiles opens the files of the log, which ends at pos if the last stop was clean: then the file behind it is the one that was made ahead of need.
func (s *Store) listFiles(pos penstock.Position) error {
	es, err := s.d.ReadDir(path.Join(s.dir, logDir))
	if err != nil {
		return err
	}
	for _, e := range es {
		start, ok := parseDigits(e.Name)
		if !ok || e.Dir {
			continue
		}
		h, err := s.d.OpenLater(s.log.fileName(penstock.Position(start)))
		if err != nil {
			return err
		}
		s.log.files = append(s.log.files, &logFile{start: penstock.Position(start), size: e.Size, h: h})
	}
	if n := len(s.log.files); s.clean && n > 1 && s.log.files[n-1].start > pos {
		f := s.log.files[n-1]
		s.log.files = s.log.files[:n-1]
		s.log.next = &ahead{start: f.start, h: f.h, zeroed: f.size}
	}
	for i, f := range s.log.files {
		if i+1 < len(s.log.files) {
			f.size = min(f.size, int64(s.log.files[i+1].start-f.start))
			f.h.Seal()
		}
	}
	return nil
}

// loadAll loads all partitions as far as the checkpoint and their small files go.
func (s *Store) loadAll(c *checkpoint) error {
	ids, err := s.List()
	if err != nil {
		return err
	}
	for _, id := range ids {
		p := newPartition(s, id)
		s.parts[id] = p
		if err := p.readFiles(c); err != nil {
			return fmt.Errorf("partition %v: %w", id, err)
		}
		if p.owned {
			s.names.set(p.owner.name, id)
		}
	}
	return nil
}

// readFiles reads what the partition's directory has.
func (p *Partition) readFiles(c *checkpoint) error {
	es, err := p.st.d.ReadDir(p.dir)
	if err != nil {
		return err
	}
	for _, e := range es {
		switch {
		case strings.HasSuffix(e.Name, disk.TempSuffix):
			if err := p.remove(e.Name); err != nil {
				return err
			}
		case strings.HasSuffix(e.Name, stateSuffix):
			if at, ok := parseDigits(strings.TrimSuffix(e.Name, stateSuffix)); ok {
				p.states = append(p.states, penstock.Offset(at))
			}
		case e.Name == ownerFile:
			b, err := p.st.d.ReadFile(path.Join(p.dir, e.Name), maxSmallBytes)
			var o owner
			if err == nil {
				o, err = parseOwner(b)
			}
			if err == nil {
				p.setOwner(o)
			}
			if err != nil && !errors.Is(err, errFile) {
				return err
			}
		case e.Name == factsFile:
			b, err := p.st.d.ReadFile(path.Join(p.dir, e.Name), maxFactsBytes)
			if err == nil {
				p.facts, err = parseFacts(b)
			}
			if err != nil && !errors.Is(err, errFile) {
				return err
			}
			if err != nil {
				p.st.o.Logger.Error("facts of a partition cannot be used", "partition", p.id, "err", err)
			}
		}
	}
	slices.Sort(p.states)
	if snap, ok := c.of[p.id]; ok && p.owned && snap.from == p.owner.from {
		p.adopt(&snap)
		return nil
	}
	p.skipTo(p.facts.first)
	return nil
}

// skipTo lets the queue begin at an offset: everything before was given up. Of the queue's files nothing counts.
func (p *Partition) skipTo(first penstock.Offset) {
	p.end = first
	p.q.groups, p.q.tail = nil, nil
	if p.st.messages {
		p.q.count = int64(first)
	}
	p.q.first, p.q.flushed = p.q.count, p.q.count
	p.sums = sums{from: p.q.count}
	p.hmu.Lock()
	p.old = old{}
	p.hmu.Unlock()
}

// adopt takes over what the checkpoint says, as far as it was not cut or trimmed after it.
func (p *Partition) adopt(snap *snapshot) {
	q := &p.q
	q.groups, q.first, q.count, q.flushed, p.end = snap.groups, snap.first, snap.count, snap.count, snap.end
	p.q.tail, p.kept = nil, snap.kept
	p.adoptSums(snap)
	for _, c := range p.facts.cuts {
		if c.at < snap.upto || c.to >= p.end {
			continue // done before: what the snapshot has from there on was appended later
		}
		p.cutQueue(&c)
		p.kept = kept{}
	}
	if p.facts.first > p.end {
		p.skipTo(p.facts.first)
		return
	}
	for len(q.groups) > 0 && q.groups[0].base < p.facts.first {
		q.groups = q.groups[1:]
	}
	old := q.first
	q.first = q.count
	if len(q.groups) > 0 {
		q.first = q.groups[0].idx
	}
	p.trimQueue(old)
}

// bridge begins a new file where the log ends before its recovery point: what was there is damage, and nothing is written in its place.
func (s *Store) bridge(pos penstock.Position) error {
	l := s.log
	if n := len(l.files); n == 0 || l.files[n-1].end() >= pos {
		return nil
	}
	s.o.Logger.Error("commit log ends before its recovery point", "ends", l.active().end(), "point", pos)
	if err := s.touch(); err != nil {
		return err
	}
	return l.grow(pos)
}

// cutLog makes pos the end: files behind it go, and what the last has behind it becomes zeros.
func (s *Store) cutLog(pos penstock.Position) error {
	l := s.log
	for n := len(l.files); n > 0 && l.files[n-1].start > pos; n = len(l.files) {
		f := l.files[n-1]
		s.o.Logger.Warn("file behind the end of the log removed", "start", f.start, "end", pos)
		if err := s.d.Remove(l.fileName(f.start)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		f.h.Release()
		l.files = l.files[:n-1]
	}
	n := len(l.files)
	if n == 0 || l.files[n-1].end() < pos {
		return nil
	}
	// Opened again: it may have been sealed as one that others follow.
	f := l.files[n-1]
	f.h.Release()
	var err error
	if f.h, err = s.d.OpenFile(l.fileName(f.start), true); err != nil {
		l.files = l.files[:n-1]
		return err
	}
	f.size = max(f.size, s.o.FileBytes, int64(pos-f.start))
	return zeroFrom(f.h, int64(pos-f.start), f.size)
}

// finish brings what the partition's files say in line with where the log ends.
func (p *Partition) finish() error {
	end := penstock.Position(p.st.log.end.Load())
	if p.owned && p.owner.from > end {
		// What was to lie there was lost, and others will write there.
		if err := p.st.touch(); err != nil {
			return err
		}
		if err := p.remove(ownerFile); err != nil {
			return err
		}
		p.st.names.drop(p.id)
		p.owned, p.owner = false, owner{}
		p.name.Store(nil)
	}
	f := p.current()
	f.start = min(f.start, p.end)
	f.epochs = store.CutEpochs(f.epochs, p.end+1)
	f.cuts = slices.Clone(f.cuts)
	moved := f.start != p.facts.start || len(f.epochs) != len(p.facts.epochs)
	for i := range f.cuts {
		if f.cuts[i].at > end {
			f.cuts[i].at, moved = end, true
		}
	}
	if moved {
		if err := p.st.touch(); err != nil {
			return err
		}
		if err := p.writeFacts(f); err != nil {
			return err
		}
	}
	for _, at := range slices.Clone(p.states) {
		if at > p.end {
			if err := p.removeState(at); err != nil {
				return err
			}
		}
	}
	if p.kept.saved != p.newestState() || p.kept.until > p.end {
		p.kept = kept{}
	}
	if !p.st.clean {
		p.cutFiles()
	}
	p.findLost()
	return nil
}

// findLost quarantines what lies in files of the log that are not there.
func (p *Partition) findLost() {
	for i, g := range p.q.groups {
		next := p.end
		if i+1 < len(p.q.groups) {
			next = p.q.groups[i+1].base
		}
		p.st.log.mu.RLock()
		f := p.st.log.at(g.file)
		p.st.log.mu.RUnlock()
		if f == nil {
			p.quarantine(g.base, next, fmt.Errorf("%w: file %d of the log is missing", penstock.ErrCorrupt, g.file))
		}
	}
}

// walk goes over the log from pos on, and leaves pos at its end.
type walk struct {
	s      *Store
	pos    penstock.Position
	walked int
	keys   []index.Key

	buf  []byte            // of the log
	from penstock.Position // where it lies

	// sink, if it is set, gets the batches of the partition only, instead of the partitions' queues and the index of keys.
	sink func(b []byte, at penstock.Position, g *gist) error
	only *Partition

	// careful says that nobody knows how far the log is durable: damage that files follow is not its end.
	careful bool
	strange int // messages left out for their offsets
}

// Limits of a walk. A header that claims more than maxBatchBytes is corrupt, so that no damage makes a walk allocate more.
const (
	maxBatchBytes = 128 << 20
	maxLotBytes   = 1 << 30
)

// run walks until the log ends: at zeros, or at what is not whole.
func (w *walk) run() error {
	l := w.s.log
	for {
		f := l.at(w.pos)
		if f == nil {
			return nil
		}
		n, err := w.step(f)
		if err != nil && !errors.Is(err, penstock.ErrCorrupt) && !errors.Is(err, io.EOF) {
			return err
		}
		if err == nil {
			w.pos += penstock.Position(n)
			continue
		}
		if w.careful && w.follows(f) && !w.blank(f) {
			w.s.o.Logger.Error("commit log is damaged, going on at its next file", "position", w.pos, "next", f.end(), "err", err)
			w.pos = f.end()
			continue
		}
		if l.at(f.end()) == nil || !w.blank(f) {
			if !w.zeros(f) {
				w.s.o.Logger.Warn("log cut at the first batch that is not whole", "position", w.pos, "err", err)
			}
			return nil
		}
		w.pos = f.end()
	}
}

// follows reports whether a file with something in it follows. One that was made ahead of need has zeros.
func (w *walk) follows(f *logFile) bool {
	next := w.s.log.at(f.end())
	if next == nil {
		return false
	}
	b := make([]byte, blankSize)
	n, _ := next.h.ReadAt(b, 0) // what cannot be read is nothing to go on with
	return n == len(b) && !zeroed(b)
}

// left is how many bytes the file has from pos on.
func (w *walk) left(f *logFile) int64 { return int64(f.end() - w.pos) }

// blank reports whether the rest of the file is marked as blank.
func (w *walk) blank(f *logFile) bool {
	left := w.left(f)
	if left < blankSize {
		return true
	}
	var b [blankSize]byte
	n, _ := f.h.ReadAt(b[:], int64(w.pos-f.start)) // what cannot be read is not blank
	return isBlank(b[:n], left)
}

func (w *walk) zeros(f *logFile) bool {
	var b, none [blankSize]byte
	_, _ = f.h.ReadAt(b[:], int64(w.pos-f.start)) // only for the log message
	return b == none
}

// windowBytes is how much of the log a walk reads at once, at least.
const windowBytes = 1 << 20

// read returns n bytes of the log from pos+at on, valid until the next call. It reads more than that: a batch is asked for in parts.
func (w *walk) read(f *logFile, at, n int64) ([]byte, error) {
	if at+n > w.left(f) {
		return nil, fmt.Errorf("%w: %d bytes at %d, %d are left in the file", penstock.ErrCorrupt, n, w.pos, w.left(f))
	}
	from := w.pos + penstock.Position(at)
	if from < w.from || from+penstock.Position(n) > w.from+penstock.Position(len(w.buf)) {
		size := min(max(n, windowBytes), w.left(f)-at)
		if int64(cap(w.buf)) < size {
			w.buf = make([]byte, size)
		}
		got, err := f.h.ReadAt(w.buf[:size], int64(from-f.start))
		w.buf, w.from = w.buf[:got], from
		if int64(got) < n {
			if err == nil || errors.Is(err, io.EOF) {
				err = fmt.Errorf("%w: log ends at %d", penstock.ErrCorrupt, int64(from)+int64(got))
			}
			return nil, err
		}
	}
	i := int64(from - w.from)
	return w.buf[i : i+n], nil
}

// forget gives up what was read.
func (w *walk) forget() { w.buf = w.buf[:0] }

// step takes in what lies at pos, a frame or a message, and returns its size.
func (w *walk) step(f *logFile) (int64, error) {
	if w.s.messages {
		b, err := w.batch(f)
		if err != nil {
			return 0, err
		}
		g, err := w.s.describe(b)
		if err != nil {
			return 0, err
		}
		if w.sink != nil {
			if n := &w.only.owner.name; n.queue == g.queue && n.topic == string(g.topic) && !g.half {
				err = w.sink(b, w.pos, &g)
			}
			return int64(len(b)), err
		}
		if id, ok := w.s.names.holder(g.topic, g.queue); ok && !g.half {
			err = w.take(w.s.parts[id], f, b, w.pos, &g)
		}
		w.index(&g)
		return int64(len(b)), err
	}
	b, err := w.read(f, 0, frameSize)
	if err != nil {
		return 0, err
	}
	fr, err := parseFrame(b)
	if err != nil {
		return 0, err
	}
	if b, err = w.read(f, frameSize, fr.bytes); err != nil {
		return 0, err
	}
	if err = w.frame(f, fr.id, b); err == nil && fr.keyed && w.sink == nil && w.lacks() {
		w.keys = w.s.frameKeys(w.keys[:0], &fr, b, w.pos)
		w.s.keys.Add(w.keys)
	}
	return frameSize + fr.bytes, err
}

// index adds the keys of the message at pos that the index does not have yet.
func (w *walk) index(g *gist) {
	if w.lacks() {
		w.keys = g.appendKeys(w.keys[:0], w.pos, g.stored)
		w.s.keys.Add(w.keys)
	}
}

// lacks reports whether there is an index that has nothing of what lies at pos: what is added in one append is in it as a whole.
func (w *walk) lacks() bool {
	if w.s.keys == nil {
		return false
	}
	last, ok := w.s.keys.Last()
	return !ok || int64(w.pos) > last
}

// batch reads the message at pos.
func (w *walk) batch(f *logFile) ([]byte, error) {
	b, err := w.read(f, 0, int64(w.s.f.HeaderSize()))
	if err != nil {
		return nil, err
	}
	h, err := w.s.f.Header(b)
	if err == nil && (h.Size > maxBatchBytes || int(h.Size) < w.s.f.HeaderSize()) {
		err = fmt.Errorf("%w: message of %d bytes", penstock.ErrCorrupt, h.Size)
	}
	if err != nil {
		return nil, err
	}
	if b, err = w.read(f, 0, int64(h.Size)); err != nil {
		return nil, err
	}
	return b, w.s.f.Verify(b)
}

// frame takes in the batches of a frame, if all of them are whole.
func (w *walk) frame(f *logFile, id penstock.PartitionID, b []byte) error {
	var cuts []int64
	for at := int64(0); at < int64(len(b)); {
		rest := b[at:]
		if len(rest) < w.s.f.HeaderSize() {
			return fmt.Errorf("%w: frame with %d bytes behind its batches", penstock.ErrCorrupt, len(rest))
		}
		h, err := w.s.f.Header(rest[:w.s.f.HeaderSize()])
		if err != nil {
			return err
		}
		if int(h.Size) > len(rest) || int(h.Size) < w.s.f.HeaderSize() || h.LastDelta < 0 {
			return fmt.Errorf("%w: batch of %d bytes in a frame, %d are left", penstock.ErrCorrupt, h.Size, len(rest))
		}
		if err := w.s.f.Verify(rest[:h.Size]); err != nil {
			return err
		}
		cuts = append(cuts, at)
		at += int64(h.Size)
	}
	p := w.s.parts[id]
	if w.sink != nil {
		p = w.only
	}
	if p == nil || p.id != id {
		return nil
	}
	for i, at := range cuts {
		to := int64(len(b))
		if i+1 < len(cuts) {
			to = cuts[i+1]
		}
		if err := w.take(p, f, b[at:to], w.pos+frameSize+penstock.Position(at), &gist{}); err != nil {
			return err
		}
	}
	return nil
}

// take adds the entry of a whole batch to its partition's queue, unless it is there, or void, or somebody else's who was removed.
func (w *walk) take(p *Partition, f *logFile, b []byte, at penstock.Position, g *gist) error {
	if w.sink != nil {
		return w.sink(b, at, g)
	}
	h, err := w.s.f.Header(b[:w.s.f.HeaderSize()])
	if err != nil {
		return err
	}
	if !p.owned || at < p.owner.from || h.BaseOffset < p.end || p.facts.void(h.BaseOffset, at) {
		return nil
	}
	if h.BaseOffset > p.end {
		if w.tooFar(p, h.BaseOffset, at) {
			return nil
		}
		if err := p.hole(h.BaseOffset, f); err != nil {
			return err
		}
	}
	w.walked++
	p.q.add(entry{base: h.BaseOffset, pos: at, size: h.Size, delta: h.LastDelta, maxAt: h.MaxTimestamp, tag: g.code(h.MaxTimestamp)}, f.start, h.MaxTimestamp)
	p.end = h.NextOffset()
	if h.Epoch > p.lastEpoch() {
		p.facts.epochs = store.AssignEpoch(p.facts.epochs, store.EpochStart{Epoch: h.Epoch, Start: h.BaseOffset})
	}
	return p.spill()
}

// spill writes entries to the queue's files when there are many in memory.
func (p *Partition) spill() error {
	if len(p.q.tail) < p.st.o.tail {
		return nil
	}
	if err := p.flush(); err != nil {
		return err
	}
	p.q.shrink(p.st.o.tail / 16)
	return nil
}

// tooFar reports whether a message has an offset that its queue cannot have reached before the message's position, so small is the log up to there. It is left
// out, lest the queue be without end.
func (w *walk) tooFar(p *Partition, off penstock.Offset, at penstock.Position) bool {
	if !w.s.messages || int64(off-p.end) <= int64(at)/int64(w.s.f.HeaderSize()) {
		return false
	}
	if w.strange++; w.strange == 1 {
		w.s.o.Logger.Error("a message is left out, its offset is beyond what its queue can have; so is every other that is like it",
			"partition", p.id, "position", at, "offset", off, "end", p.end)
	}
	return true
}

// hole quarantines offsets that were durable and that the log does not have. Their places in the queue are empty.
func (p *Partition) hole(to penstock.Offset, f *logFile) error {
	p.quarantine(p.end, to, fmt.Errorf("%w: not in the log", penstock.ErrCorrupt))
	for p.st.messages && p.end < to {
		p.q.add(entry{base: p.end, pos: f.start}, f.start, penstock.NoTimestamp)
		p.end++
		if err := p.spill(); err != nil {
			return err
		}
	}
	p.end = to
	return nil
}
