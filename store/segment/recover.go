package segment

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"penstock"
	"penstock/store"
)

// recovery is the opening of one partition: what the directory holds, what the small files say of it, and what the
// walk behind the recovery point finds.
type recovery struct {
	p       *Partition
	files   map[string]int64 // sizes by name
	logs    []penstock.Offset
	m       *manifest          // nil: there is none
	point   point              // the recovery point in a segment
	pointed bool               // there is one that counts
	foreign bool               // nothing of ours is here: a directory that Kafka wrote
	fresh   bool               // there is no log, and nobody vouches for one
	epochs  []store.EpochStart // as the file has them
	durable penstock.Offset    // all below it was durable before
	walked  int64              // bytes
	cut     bool               // the log was cut
	shorter bool               // recovery cut a file
	keyed   bool               // there is an index of keys
	broken  bool               // the last segment has a damaged end, nothing may be appended to it
}

// open opens a partition. Everything that the small files vouch for is believed as long as lengths fit; the rest is
// walked. Where the last stop was clean there is no rest.
func (s *Store) open(id penstock.PartitionID, c store.Config) (*Partition, error) {
	p := newPartition(s, id, c)
	r := recovery{p: p, files: map[string]int64{}}
	if err := r.list(); err != nil {
		return nil, err
	}
	if err := r.claims(); err != nil {
		return nil, err
	}
	err := r.sealed()
	if err == nil {
		err = r.rest()
	}
	if err == nil {
		err = r.finish()
	}
	if err == nil {
		err = r.openKeys()
	}
	if err != nil {
		p.release()
		return nil, fmt.Errorf("partition %v: recovery: %w", id, err)
	}
	return p, nil
}

// list reads the directory and clears what was interrupted.
func (r *recovery) list() error {
	es, err := r.p.st.d.ReadDir(r.p.dir)
	if err != nil {
		return fmt.Errorf("partition %v: %w", r.p.id, err)
	}
	for _, e := range es {
		if e.Dir {
			r.keyed = r.keyed || e.Name == keysDir
			continue
		}
		if isTemporary(e.Name) {
			if err := r.p.st.d.Remove(r.p.dir + "/" + e.Name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("partition %v: %w", r.p.id, err)
			}
			continue
		}
		r.files[e.Name] = e.Size
		off, suffix, ok := parseName(e.Name)
		switch {
		case ok && suffix == logSuffix:
			r.logs = append(r.logs, off)
		case ok && suffix == stateSuffix:
			r.p.w.states = append(r.p.w.states, off)
		}
	}
	if err := r.durableNames(); err != nil {
		return fmt.Errorf("partition %v: %w", r.p.id, err)
	}
	return r.strays()
}

// durableNames sees, after an unclean stop, that the names are durable that are about to be believed: a file that was replaced
// just before a kill must not be the old one again after a power cut.
func (r *recovery) durableNames() error {
	if st := r.p.st; st.clean || st.settled || len(r.files) == 0 {
		return nil
	}
	return r.p.st.d.SyncNames(r.p.dir)
}

// strays removes index files without a log: a segment that was being made or removed.
func (r *recovery) strays() error {
	for name := range r.files {
		off, suffix, ok := parseName(name)
		if !ok || !slices.Contains(r.p.st.indexSuffixes(), suffix) {
			continue
		}
		if _, ok := r.files[fileName(".", off, logSuffix)]; ok {
			continue
		}
		if err := r.p.st.d.Remove(r.p.dir + "/" + name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("partition %v: %w", r.p.id, err)
		}
		delete(r.files, name)
	}
	return nil
}

// claims reads the small files. One that is damaged counts as missing.
func (r *recovery) claims() error {
	p := r.p
	size, ours := r.files[manifestFile]
	if ours && size == 0 && r.young() {
		r.m = &manifest{}
	} else if ours {
		b, err := p.st.d.ReadFile(p.dir+"/"+manifestFile, maxManifestBytes)
		if err == nil {
			r.m, err = parseManifest(b)
		}
		if err != nil {
			p.log().Error("facts of segments cannot be used, walking them all", "partition", p.id, "err", err)
		}
	}
	if _, ok := r.files[epochFile]; ok {
		b, err := p.st.d.ReadFile(p.dir+"/"+epochFile, maxManifestBytes)
		if err == nil {
			r.epochs, err = parseEpochs(b)
			p.epochs = r.epochs
		}
		if err != nil {
			p.log().Error("leader epochs cannot be read, taking them from batches", "partition", p.id, "err", err)
		}
	}
	if r.point, r.pointed = p.st.pointOf(p.id); r.pointed {
		p.number.Store(r.point.number)
	}
	if r.m != nil {
		p.void = r.m.void
		r.pointed = r.pointed && p.st.pointSeq > r.m.void && r.point.base >= r.m.end()
	}
	r.foreign = !ours && !r.pointed && len(r.logs) > 0
	r.fresh = size == 0 && !r.pointed && len(r.logs) == 0
	if r.fresh {
		r.m = &manifest{}
		return nil
	}
	return r.metadata()
}

// young reports whether the directory may be as the first append made it: no log but the first.
func (r *recovery) young() bool { return len(r.logs) == 0 || len(r.logs) == 1 && r.logs[0] == 0 }

// metadata writes partition.metadata if there is none that can be read. It is for other tools; its content is not synced.
func (r *recovery) metadata() error {
	p, name := r.p, r.p.dir+"/"+metadataFile
	if r.files[metadataFile] > 0 && p.st.clean {
		return nil
	}
	if _, ok := r.files[metadataFile]; ok {
		b, err := p.st.d.ReadFile(name, maxSmallBytes)
		if err != nil {
			return fmt.Errorf("partition %v: %w", p.id, err)
		}
		topic, err := parseMetadata(b)
		if err == nil && topic != p.id.Topic {
			p.log().Warn("partition.metadata names another topic", "partition", p.id, "names", topic)
		}
		if err == nil {
			return nil
		}
	}
	if err := p.st.touch(); err != nil {
		return err
	}
	if err := p.writeIndexFile(name, appendMetadata(nil, p.id.Topic), 0); err != nil {
		return fmt.Errorf("partition %v: %w", p.id, err)
	}
	return nil
}

// sealed takes over the segments that are named as sealed and durable, and quarantines what is missing of them.
func (r *recovery) sealed() error {
	p := r.p
	if r.m == nil {
		if r.pointed {
			r.durable = r.point.next
		}
		return nil
	}
	p.bad = slices.Clone(r.m.bad)
	p.start.Store(int64(r.m.start))
	for i := range r.m.segs {
		s := &segment{facts: r.m.segs[i], indexed: true}
		p.segs = append(p.segs, s)
		size, ok := r.files[s.logName(".")]
		switch {
		case !ok:
			s.missing = true
			r.lost(badRange{from: s.base, to: s.next, base: s.base, end: s.size}, "segment is missing")
		case size < s.size:
			if err := r.short(s, size); err != nil {
				return err
			}
		}
	}
	r.durable = r.m.end()
	if r.pointed {
		r.durable = max(r.durable, r.point.next)
	}
	if err := r.orphans(); err != nil {
		return err
	}
	r.logs = slices.DeleteFunc(r.logs, func(b penstock.Offset) bool { return b < r.m.end() })
	return nil
}

// orphans removes the files of segments that were retired before the last stop.
func (r *recovery) orphans() error {
	for name := range r.files {
		off, suffix, ok := parseName(name)
		if !ok || off >= r.m.first || suffix == stateSuffix {
			continue
		}
		if err := r.p.st.d.Remove(r.p.dir + "/" + name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// lost quarantines a range that was durable and is not there.
func (r *recovery) lost(b badRange, why string) {
	if b.from < b.to && r.p.addBad(b) {
		r.p.log().Error("durable data is lost, the place is quarantined", "partition", r.p.id, "why", why, "from", b.from, "to", b.to)
	}
}

// short quarantines the end of a sealed segment whose file ends at size, too early.
func (r *recovery) short(s *segment, size int64) error {
	h, err := r.p.handle(s)
	if err != nil {
		return err
	}
	defer h.Release()
	w := r.p.st.walker()
	defer r.p.st.release(w)
	w.reset(r.p.st.f, h, 0, size, false)
	next := s.base
	for {
		r.p.skipBad(s.base, w)
		b, err := w.header()
		if err != nil {
			break
		}
		next = b.NextOffset()
		w.skip(&b)
	}
	r.lost(badRange{from: next, to: s.next, base: s.base, pos: w.pos, end: s.size}, "segment is short")
	return nil
}

// rest walks the segments that nobody vouches for, each as the active one in its turn, and cuts the log where it ends.
func (r *recovery) rest() error {
	p := r.p
	slices.Sort(r.logs)
	next, pos := penstock.Offset(0), penstock.Position(0)
	if r.m != nil {
		next, pos = r.m.end(), r.m.firstPos
		if n := len(r.m.segs); n > 0 {
			pos = r.m.segs[n-1].start + penstock.Position(r.m.segs[n-1].size)
		}
	} else if len(r.logs) > 0 && (r.foreign || r.logs[0] <= r.point.base) {
		next = r.logs[0]
		p.start.Store(int64(next))
	}
	for i, base := range r.logs {
		if r.cut || base > next && !r.foreign && next >= r.durable {
			if err := r.discard(base); err != nil {
				return err
			}
			continue
		}
		if base < next {
			return fmt.Errorf("%w: segment %d begins before %d", penstock.ErrCorrupt, base, next)
		}
		if base > next && !r.gaps() {
			r.lost(badRange{from: next, to: base, base: next}, "segment is missing")
		}
		if base > next && len(p.segs) > 0 && r.gaps() {
			p.active().next = base // a gap that compaction left
		}
		following := penstock.NoOffset
		if i+1 < len(r.logs) {
			following = r.logs[i+1]
		}
		s := &segment{facts: facts{base: base, next: base, start: pos}}
		if err := r.walk(s, following); err != nil {
			return err
		}
		next, pos = s.next, s.start+penstock.Position(s.size)
	}
	if next < r.durable {
		r.lost(badRange{from: next, to: r.durable, base: next}, "log ends before its recovery point")
		return r.begin(r.durable, pos)
	}
	if len(p.segs) == 0 || r.broken || r.sealedLast() {
		return r.begin(next, pos)
	}
	return nil
}

// sealedLast reports whether the last segment is one that was named as sealed.
func (r *recovery) sealedLast() bool {
	return r.m != nil && len(r.p.segs) <= len(r.m.segs)
}

// begin makes a new active segment.
func (r *recovery) begin(base penstock.Offset, pos penstock.Position) error {
	p := r.p
	s := &segment{facts: facts{base: base, next: base, start: pos, build: p.newBuilder()}}
	p.epochs = store.CutEpochs(p.epochs, base)
	if r.fresh {
		p.w.unmade = true
		r.push(s)
		return nil
	}
	if err := p.st.touch(); err != nil {
		return err
	}
	if err := p.create(s, p.st.d.Create); err != nil {
		return err
	}
	r.push(s)
	return nil
}

// push makes s the active segment; the one before is sealed, unless it was.
func (r *recovery) push(s *segment) {
	p := r.p
	if len(p.segs) > 0 && !r.sealedLast() {
		p.settle()
		p.active().checked.Store(p.w.sound)
	}
	p.segs = append(p.segs, s)
	p.resetActive()
}

// discard removes a segment that lies behind the end of the log.
func (r *recovery) discard(base penstock.Offset) error {
	r.cut = true
	r.p.log().Warn("segment behind the end of the log removed", "partition", r.p.id, "segment", base)
	if err := r.p.st.touch(); err != nil {
		return err
	}
	return r.p.removeSegmentFiles(base)
}

// walk goes over one segment from the recovery point, or from its beginning, and makes it the active one.
func (r *recovery) walk(s *segment, following penstock.Offset) error {
	p := r.p
	size := min(r.files[s.logName(".")], maxSegmentBytes)
	if p.st.clean && r.pointed && r.point.base == s.base && size == r.point.size {
		r.push(s)
		r.vouched(s)
		r.indexes(s)
		return nil
	}
	h, err := p.st.d.OpenLater(s.logName(p.dir))
	if err != nil {
		return err
	}
	s.h = h
	r.push(s)
	s.build = p.newBuilder()
	if r.pointed && r.point.base == s.base && size >= r.point.size {
		r.vouched(s)
		if err := r.head(s); err != nil {
			return err
		}
	}
	stop, err := r.batches(s, size)
	if err != nil {
		return err
	}
	r.indexes(s)
	if stop == nil || s.size == size {
		return nil
	}
	if s.next < r.durable && s.next != following {
		// Damage before the recovery point: nothing is cut. What of it lies in this file is refused to readers.
		to := r.durable
		if following != penstock.NoOffset {
			to = min(to, following)
		}
		r.lost(badRange{from: s.next, to: to, base: s.base, pos: s.size, end: size}, stop.Error())
		s.next, s.size = to, size
		r.broken = following == penstock.NoOffset
		return nil
	}
	r.cut = r.cut || s.next != following
	if !errors.Is(stop, errZero) {
		p.log().Warn("log cut at the first batch that is not whole", "partition", p.id, "segment", s.base, "offset", s.next,
			"position", s.size, "bytes", size-s.size, "err", stop)
	}
	if err := p.st.touch(); err != nil {
		return err
	}
	r.shorter = true
	return h.Truncate(s.size)
}

// vouched takes over what the recovery point says of s.
func (r *recovery) vouched(s *segment) {
	p := r.p
	s.facts = r.point.facts
	p.head, p.before = tally{s.build.offs, s.build.times, s.sums}, s.build.named
	p.w.inFile = tally{offs: s.build.offs, times: s.build.times}
	p.w.summed, p.known = p.w.inFile, p.head
}

// batches walks whole batches from where the facts of s end. It returns why it stopped, nil at the end of the file.
func (r *recovery) batches(s *segment, size int64) (stop, err error) {
	p := r.p
	w := p.st.walker()
	defer p.st.release(w)
	w.reset(p.st.f, s.h, s.size, size, true)
	if !p.st.dense {
		p.epochs = store.CutEpochs(p.epochs, s.next) // from here on the batches say
	}
	for {
		h, err := w.header()
		if err == io.EOF {
			return nil, nil
		}
		var g gist
		if err == nil {
			g, err = r.check(w, s, &h)
		}
		if err != nil {
			if errors.Is(err, penstock.ErrCorrupt) || errors.Is(err, errZero) {
				return err, nil
			}
			return nil, err
		}
		if h.Epoch > p.lastEpoch() {
			p.epochs = store.AssignEpoch(p.epochs, store.EpochStart{Epoch: h.Epoch, Start: h.BaseOffset})
		}
		if p.st.dense {
			s.build.addCell(&p.tail, s.base, &h, w.pos, g.tag)
			p.seeNumber(g.at)
		} else {
			s.build.add(&p.tail, entryOf(s.base, &h, w.pos), h.Size, h.MaxTimestamp)
		}
		s.next = h.NextOffset()
		w.skip(&h)
		s.size = w.pos
		r.walked += int64(h.Size)
		if p.grown() {
			p.flushIndex(false)
			p.dropTail()
		}
	}
}

// check says whether the batch at the walker continues the log, and what its entry needs where each has one.
func (r *recovery) check(w *walker, s *segment, h *penstock.BatchHeader) (g gist, err error) {
	if h.BaseOffset != s.next && (!r.gaps() || h.BaseOffset < s.next) || h.LastOffset()-s.base > 1<<31-1 {
		return g, fmt.Errorf("%w: batch of offset %d where %d should be", penstock.ErrCorrupt, h.BaseOffset, s.next)
	}
	b, err := w.body(h)
	if err == nil {
		err = r.p.st.f.Verify(b)
	}
	if err == nil && r.p.st.dense {
		g, err = describe(b)
	}
	return g, err
}

// gaps reports whether offsets may be missing between batches, as Kafka's compaction leaves them.
func (r *recovery) gaps() bool { return r.foreign && !r.p.st.dense }

// head makes sure, after a stop that was not clean, that the index entries before the recovery point are in the files;
// else it builds them from the log. After a clean stop whoever needs them first does that.
func (r *recovery) head(s *segment) error {
	p := r.p
	if p.st.clean || p.head.offs == 0 {
		return nil
	}
	_, err := p.readIndex(s.base, p.head)
	if err == nil {
		s.checked.Store(true)
		return nil
	}
	p.log().Warn("index does not fit, building it from the log", "partition", p.id, "segment", s.base, "err", err)
	return r.headFromLog(s)
}

// headFromLog builds the index entries before the recovery point again. They stay in memory until the next checkpoint.
func (r *recovery) headFromLog(s *segment) error {
	p := r.p
	x, err := p.rebuild(s, s.h, tally{offs: s.build.offs}, false)
	if err != nil {
		return err
	}
	if n := int32(len(x.offs) + len(x.cells)); n != p.head.offs || int32(len(x.times)) != p.head.times {
		p.log().Error("segment has damage before its recovery point", "partition", p.id, "segment", s.base, "entries", n, "of", p.head.offs)
		s.build.offs, s.build.times = n, int32(len(x.times))
	}
	s.sums, p.known = sums{}, tally{}
	p.head, p.w.inFile, p.w.summed, p.tail = tally{}, tally{}, tally{}, *x
	return nil
}

// indexes brings the index files to the state of the walk if they are not: other tools read them.
func (r *recovery) indexes(s *segment) {
	p := r.p
	want := func(suffix string, n int64) bool {
		size, ok := r.files[fileName(".", s.base, suffix)]
		return ok && size == n
	}
	times := int64(s.build.times)
	if _, more := s.build.closing(); more && p.st.clean {
		times++
	}
	written := p.w.inFile.offs == s.build.offs && p.w.inFile.times == s.build.times
	if p.st.dense {
		written = written && want(queueSuffix, int64(s.build.offs)*cellSize)
	} else {
		written = written && want(offSuffix, int64(s.build.offs)*offEntrySize) && want(timeSuffix, times*timeEntrySize)
	}
	if written {
		p.w.files.closed = p.st.clean
		return
	}
	p.flushIndex(false)
	if p.w.inFile == p.w.summed {
		p.rewriteTail(s)
	}
}

// rewriteTail cuts the index files behind the entries that count.
func (p *Partition) rewriteTail(s *segment) {
	n := p.w.inFile
	if p.st.dense {
		if err := p.writeIndexFile(fileName(p.dir, s.base, queueSuffix), nil, int64(n.offs)*cellSize); err != nil {
			p.log().Warn("queue not cut", "partition", p.id, "segment", s.base, "err", err)
		}
		return
	}
	for _, f := range [...]struct {
		suffix string
		size   int64
	}{{offSuffix, int64(n.offs) * offEntrySize}, {timeSuffix, int64(n.times) * timeEntrySize}, {baseSuffix, int64(n.offs) * baseEntrySize}} {
		if err := p.writeIndexFile(fileName(p.dir, s.base, f.suffix), nil, f.size); err != nil {
			p.log().Warn("index not cut", "partition", p.id, "segment", s.base, "err", err)
		}
	}
}

// finish makes what was walked durable and drops states of offsets that are not there.
func (r *recovery) finish() error {
	p := r.p
	end := p.active().next
	p.end.Store(int64(end))
	p.start.Store(min(p.start.Load(), int64(end)))
	p.epochs = store.CutEpochs(p.epochs, end+1)
	for _, e := range r.epochs {
		if e.Start == end && e.Epoch > p.lastEpoch() { // a leader that has not written yet
			p.epochs = store.AssignEpoch(p.epochs, e)
		}
	}
	p.w.files.epochs = !slices.Equal(p.epochs, r.epochs)
	if r.pointed && r.point.kept.until <= min(end, r.point.next) {
		p.w.kept = r.point.kept
	}
	slices.Sort(p.w.states)
	for _, at := range slices.Clone(p.w.states) {
		if at > end {
			if err := p.removeState(at); err != nil {
				return err
			}
		}
	}
	if err := r.settle(); err != nil {
		return err
	}
	if err := p.knowNumber(); err != nil {
		return err
	}
	for _, h := range p.dirty {
		h.Release()
	}
	p.dirty = nil
	p.synced.Store(int64(end))
	p.startActive(penstock.Timestamp(p.st.o.Now().UnixMilli()))
	p.w.idle = end
	if r.foreign {
		if err := p.st.touch(); err != nil {
			return err
		}
		if err := p.writeManifest(p.segs, p.void); err != nil {
			return err
		}
	}
	if r.walked > 0 {
		p.st.recovered.Add(1)
		p.st.walked.Add(r.walked)
		p.log().Debug("partition recovered", "partition", p.id, "start", p.start.Load(), "end", end, "walked", r.walked)
	}
	return nil
}

// settle makes durable what was found behind the recovery point. That a file is short may be news too: a truncation that a
// killed process did not come to sync would be undone by a power cut, and old content would come back. Only a file that
// is as long as a valid recovery point says is known to be durable, and what one sync has covered before recovery began.
func (r *recovery) settle() error {
	for _, s := range r.p.segs {
		known := r.pointed && s.base == r.point.base && s.size == r.point.size && !r.cut
		if s.h == nil || known || r.p.st.settled && !r.shorter || s.next <= r.durable && s != r.p.active() {
			continue
		}
		if err := s.h.Sync(); err != nil {
			return err
		}
	}
	return nil
}
