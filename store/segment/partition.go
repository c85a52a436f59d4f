package segment

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"penstock"
	"penstock/disk"
	"penstock/store"
)

// segment is one file of a log with what is known of it.
type segment struct {
	facts                // of the active segment: guarded by Partition.mu, written under Partition.w
	missing bool         // the file is not there
	checked atomic.Bool  // the file of its queue has been compared with its checksum, or written since
	indexed bool         // its index files are durable; guarded by Partition.w
	h       *disk.Handle // nil until somebody reads; guarded by Partition.mu
	q       *disk.Handle // of its queue; nil until somebody reads; guarded by Partition.mu
	gone    bool         // guarded by Partition.mu: h and q were given up for good

	idx  atomic.Pointer[index] // entries read from the files, if they are in the cache
	used atomic.Bool           // the cache's mark of use
}

// tally says how many entries the index files of a segment must have, and their checksums.
type tally struct {
	offs, times int32
	sums        sums
}

// letGo gives the files up for good. The caller holds Partition.mu.
func (s *segment) letGo() {
	for _, h := range [...]*disk.Handle{s.h, s.q} {
		if h != nil {
			h.Release()
		}
	}
	s.h, s.q, s.gone = nil, nil, true
}

// sealedTally is what the files of a sealed segment hold.
func (s *segment) sealedTally() tally {
	t := tally{s.build.offs, s.build.times, s.sums}
	if _, ok := s.build.closing(); ok {
		t.times++
	}
	return t
}

// hint says at which byte of the active segment the batch with this base offset begins.
type hint struct {
	off penstock.Offset
	pos int64
}

// hints is how many of the last appends are remembered with their positions at most: readers at the tail ask for these.
const (
	hints    = 64
	minHints = 4
)

// Partition is one partition and its log. It is safe for concurrent use; appending is serialised by its own lock, so
// the replica above needs no care for it.
type Partition struct {
	st   *Store
	id   penstock.PartitionID
	news atomic.Bool // damage was found that is not written down yet
	dir  string
	cfg  atomic.Pointer[store.Config]

	start  atomic.Int64 // first offset kept
	end    atomic.Int64 // offset after the last record
	synced atomic.Int64 // all below it is durable

	number atomic.Int32 // in positions of messages; noNumber before the first

	small atomic.Int32 // rounds of group commit in a row that were small

	keys atomic.Pointer[keyIndex] // nil while keys are not indexed; changed under w

	w    writer // what only the writer touches, with its lock
	void uint64 // guarded by w: the last checkpoint whose recovery point does not count

	mu       sync.RWMutex
	synch    *sync.Cond              // on mu: synced moved or the log failed
	segs     []*segment              // guarded by mu; the slice is replaced, never changed; the last is the active one
	bad      []badRange              // guarded by mu; replaced, never changed; ascending
	epochs   []store.EpochStart      // guarded by mu; replaced, never changed
	head     tally                   // guarded by mu: entries of the active segment that only its files have; of a queue the number only
	known    tally                   // guarded by mu: what the file of the active segment's queue had when the partition was opened
	before   entry                   // guarded by mu: the last of them
	tail     index                   // guarded by mu: entries of the active segment in memory, those after head
	ring     []hint                  // guarded by mu: the last appends to the active segment; it grows up to hints
	ringN    int                     // guarded by mu: appends put into ring
	gen      int                     // guarded by mu: raised when offsets are taken back
	dirty    []*disk.Handle          // guarded by mu: sealed files with unsynced writes, a reference each
	round    round                   // guarded by mu: the round of group commit under way
	covered  covered                 // guarded by mu: as of the last round
	rounding bool                    // guarded by mu: a round is under way
	halted   bool                    // guarded by mu: stays out of rounds
	closed   bool                    // guarded by mu
	notify   func(store.Mark, error) // guarded by mu
	failed   error                   // guarded by mu: why nothing becomes durable any more

	loading sync.Mutex // one reader at a time loads or rebuilds index files
}

var (
	_ store.Partition = (*Partition)(nil)
	_ store.Log       = (*Partition)(nil)
	_ disk.Syncer     = (*Partition)(nil)
)

// writer is the state of a partition that only the holder of its lock touches.
type writer struct {
	sync.Mutex
	vec      [][]byte
	buf      []byte // for encoding index entries
	inFile   tally  // entries of the active segment that its index files have; sums unused
	summed   tally  // entries that the active segment's sums cover; sums unused
	reserved int64  // bytes of the active file that have blocks
	zeroed   int64  // the active file's length, at least the segment's size: zeros lie between
	open     bool   // the active segment's handle is for writing
	unmade   bool   // the partition has no log yet: the first append makes its files
	torn     bool   // bytes of a failed write may lie behind the end
	noZeros  bool   // writing zeros ahead failed once
	sound    bool   // the queue of the segment that was sealed last is in its file
	files    dirtyFiles
	jitter   int64 // milliseconds taken off the segment's age
	created  penstock.Timestamp
	idle     penstock.Offset   // the end at the last checkpoint
	states   []penstock.Offset // saved states, ascending
	kept     kept              // how far the newest of them holds
	tags     []int64           // codes of the tags of what is being appended
	lame     []*segment        // sealed segments whose index files could not be written
	doomed   []doomed
}

// dirtyFiles says which small files are behind the memory.
type dirtyFiles struct {
	manifest, epochs bool
	closed           bool // nothing was appended since the closing entry was written
}

// ID is the partition's name.
func (p *Partition) ID() penstock.PartitionID { return p.id }

// Log is the partition itself: in this layout each has its own.
func (p *Partition) Log() store.Log { return p }

// Bounds are the first offset still kept and the end.
func (p *Partition) Bounds() (start, end penstock.Offset) {
	// The end only grows past the start, so it is read last.
	s := p.start.Load()
	return penstock.Offset(s), penstock.Offset(max(s, p.end.Load()))
}

// Configure changes the configuration from the next append or retention pass on.
func (p *Partition) Configure(c store.Config) {
	p.cfg.Store(p.st.share(withDefaults(c)))
}

// active is the segment that is appended to. The caller holds w or mu.
func (p *Partition) active() *segment { return p.segs[len(p.segs)-1] }

func (p *Partition) log() *slog.Logger { return p.st.o.Logger }

// list is what must be known of the batches of one append before anything is done.
type list struct {
	bytes int64
	last  penstock.Offset
	maxAt penstock.Timestamp
}

// weigh checks the batches and sums them up.
func (p *Partition) weigh(batches []penstock.Batch, c *store.Config, now penstock.Timestamp) (list, error) {
	l := list{maxAt: penstock.NoTimestamp, last: penstock.Offset(p.end.Load()) - 1}
	for i := range batches {
		b := &batches[i]
		if int(b.Header.Size) != len(b.Bytes) || len(b.Bytes) < p.st.f.HeaderSize() || b.Header.LastDelta < 0 {
			return l, fmt.Errorf("%w: batch of %d bytes claims %d", penstock.ErrCorrupt, len(b.Bytes), b.Header.Size)
		}
		if b.Header.Size > c.MaxBatchBytes {
			return l, fmt.Errorf("%w: batch of %d bytes, at most %d", penstock.ErrTooLarge, b.Header.Size, c.MaxBatchBytes)
		}
		if err := p.weighMessage(i, b.Bytes); err != nil {
			return l, err
		}
		l.bytes += int64(len(b.Bytes))
		l.last += penstock.Offset(b.Header.LastDelta) + 1
		l.maxAt = max(l.maxAt, b.Header.MaxTimestamp)
	}
	if c.AppendTime {
		l.maxAt = now
	}
	if l.bytes > maxAppendBytes || l.last-penstock.Offset(p.end.Load()) >= math.MaxInt32 {
		return l, fmt.Errorf("%w: %d bytes and offsets up to %d in one append", penstock.ErrTooLarge, l.bytes, l.last)
	}
	return l, nil
}

// Append stamps the batches and writes them at the end in one write. A list of batches is never split over two
// segments: that keeps it all or nothing. So a segment is larger than SegmentBytes only if one list is.
func (p *Partition) Append(batches []penstock.Batch, epoch penstock.Epoch, now penstock.Timestamp) (store.Appended, error) {
	p.w.Lock()
	defer p.w.Unlock()
	c := p.cfg.Load()
	l, err := p.weigh(batches, c, now)
	if err != nil {
		return store.Appended{}, fmt.Errorf("partition %v: %w", p.id, err)
	}
	keys, err := p.weighKeys(batches, c)
	if err != nil {
		return store.Appended{}, fmt.Errorf("partition %v: %w", p.id, err)
	}
	if err := p.ready(); err != nil {
		return store.Appended{}, err
	}
	if err := p.openActive(); err != nil {
		return store.Appended{}, err
	}
	if err := p.switchKeys(c); err != nil {
		return store.Appended{}, err
	}
	if p.shouldRoll(c, l, now) {
		if err := p.roll(now); err != nil {
			return store.Appended{}, fmt.Errorf("partition %v: new segment: %w", p.id, err)
		}
		defer p.Commit() // the sealed segment becomes durable in the background
	}
	res := store.Appended{First: penstock.Offset(p.end.Load()), Next: l.last + 1, End: store.Mark(l.last + 1), Time: penstock.NoTimestamp, Bytes: l.bytes}
	if c.AppendTime {
		res.Time = now
	}
	if err := p.beforeMessages(epoch, l.bytes); err != nil {
		return store.Appended{}, err
	}
	p.stamp(batches, epoch, res.Time)
	p.reserve(c, l.bytes)
	if err := p.write(batches, l.bytes); err != nil {
		return store.Appended{}, fmt.Errorf("partition %v: append %d bytes at %d: %w", p.id, l.bytes, res.First, err)
	}
	p.publish(batches, l)
	p.fileKeys(keys, batches, res.Time)
	if epoch > p.lastEpoch() && l.bytes > 0 {
		p.setEpochs(store.AssignEpoch(p.epochs, store.EpochStart{Epoch: epoch, Start: res.First}))
		p.w.files.epochs = true
	}
	return res, nil
}

// ready makes sure that writing may begin: the partition is open, the clean-shutdown marker is gone, and no bytes of a failed write lie
// behind the end. The caller holds w.
func (p *Partition) ready() error {
	p.mu.RLock()
	closed, failed := p.closed, p.failed
	p.mu.RUnlock()
	if closed {
		return fmt.Errorf("partition %v: %w", p.id, penstock.ErrClosed)
	}
	if failed != nil {
		return failed
	}
	if err := p.st.touch(); err != nil {
		return err
	}
	if p.w.torn {
		return p.cutTail()
	}
	return nil
}

// openActive opens the active segment for writing, which waits for the first append: after a clean stop, and where there is no
// file at all. The caller holds w.
func (p *Partition) openActive() error {
	if p.w.open {
		return nil
	}
	if p.w.unmade {
		return p.make()
	}
	seg := p.active()
	h, err := p.st.d.OpenLater(seg.logName(p.dir))
	if err != nil {
		return fmt.Errorf("partition %v: segment %d: %w", p.id, seg.base, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if seg.h != nil {
		seg.h.Release()
	}
	seg.h, p.w.open = h, true
	return nil
}

// stamp writes offsets, epoch and time into the batches and their headers.
func (p *Partition) stamp(batches []penstock.Batch, epoch penstock.Epoch, at penstock.Timestamp) {
	next, seg := penstock.Offset(p.end.Load()), p.active()
	pos := seg.start + penstock.Position(seg.size)
	for i := range batches {
		b := &batches[i]
		p.st.f.Stamp(b.Bytes, store.Stamp{Base: next, Position: p.global(pos), Epoch: epoch, AppendTime: at})
		b.Header.BaseOffset = next
		if !p.st.dense { // messages have no place for it
			b.Header.Epoch = epoch
		}
		if at != penstock.NoTimestamp {
			if h, err := p.st.f.Header(b.Bytes); err == nil {
				b.Header = h // the format knows which times follow
			}
		}
		next = b.Header.NextOffset()
		pos += penstock.Position(len(b.Bytes))
	}
}

// Growth of the blocks reserved ahead of the end: doubling, so that a small partition stays small.
const (
	minReserve = 64 << 10
	maxReserve = 64 << 20
)

// reserve asks for blocks ahead of the end. It may fail without harm: the write that follows tells.
func (p *Partition) reserve(c *store.Config, n int64) {
	seg := p.active()
	need := seg.size + n
	if c.NoPreallocate || need <= p.w.reserved {
		return
	}
	to := p.w.reserved + min(max(p.w.reserved, minReserve), maxReserve)
	to = max(min(to, c.SegmentBytes), need)
	if err := seg.h.Allocate(p.w.reserved, to-p.w.reserved); err != nil {
		to = need
	}
	p.w.reserved = to
}

// write puts the batches behind the end, with zeros after them when small commits follow one another. On failure
// the file is cut back, so that nothing of the list can come to light.
func (p *Partition) write(batches []penstock.Batch, n int64) error {
	seg := p.active()
	vec := p.w.vec[:0]
	for i := range batches {
		vec = append(vec, batches[i].Bytes)
	}
	ahead := p.zerosAhead(seg.size + n)
	for z := ahead; z > 0; z -= int64(len(p.st.zeros)) {
		vec = append(vec, p.st.zeros[:min(z, int64(len(p.st.zeros)))])
	}
	wrote, err := seg.h.WriteVec(vec, seg.size)
	clear(vec)
	p.w.vec = vec[:0]
	if err == nil || wrote >= n && errors.Is(err, penstock.ErrDiskFull) {
		p.w.noZeros = p.w.noZeros || err != nil
		p.w.zeroed = max(p.w.zeroed, seg.size+wrote)
		if wrote > n {
			p.st.ahead.note(p)
		}
		p.w.reserved = max(p.w.reserved, p.w.zeroed)
		return nil
	}
	p.w.torn = p.w.torn || wrote > 0
	if cut := p.cutTail(); cut != nil {
		p.log().Warn("bytes of a failed write stay until the next", "partition", p.id, "err", cut)
	}
	return err
}

// cutTail cuts the active file at the end: zeros, reserved blocks and what a failed write left. What a write left is cut off durably: with shorter
// batches in front of it after a power cut, some of it could be taken for batches that follow them. The caller holds w.
func (p *Partition) cutTail() error {
	seg := p.active()
	err := seg.h.Truncate(seg.size)
	if err == nil && p.w.torn {
		err = seg.h.Sync()
	}
	if err != nil {
		return fmt.Errorf("partition %v: cut segment %d at %d: %w", p.id, seg.base, seg.size, err)
	}
	p.w.torn, p.w.zeroed, p.w.reserved = false, seg.size, seg.size
	return nil
}

// publish makes the written batches visible.
func (p *Partition) publish(batches []penstock.Batch, l list) {
	p.mu.Lock()
	seg := p.active()
	pos := seg.size
	p.remember(hint{seg.next, pos})
	for i := range batches {
		h := &batches[i].Header
		if p.st.dense {
			seg.build.addCell(&p.tail, seg.base, h, pos, p.w.tags[i])
		} else {
			seg.build.add(&p.tail, entryOf(seg.base, h, pos), h.Size, h.MaxTimestamp)
		}
		pos += int64(h.Size)
	}
	seg.size, seg.next = pos, l.last+1
	p.end.Store(int64(seg.next))
	grown := p.grown()
	p.mu.Unlock()
	if grown {
		p.flushIndex(false)
		p.dropTail()
	}
}

// remember notes where an append begins. The room grows with the appends that follow one another, so that of thousands of
// partitions those that get little take little. The caller holds w and mu.
func (p *Partition) remember(h hint) {
	if n := len(p.ring); p.ringN == n && n < hints {
		p.ring = append(p.ring, make([]hint, max(n, minHints))...)
	}
	p.ring[p.ringN%len(p.ring)] = h
	p.ringN++
}

// shouldRoll is Kafka's LogSegment.shouldRoll: by size, by age in record time, by full index, by offset distance.
func (p *Partition) shouldRoll(c *store.Config, l list, now penstock.Timestamp) bool {
	seg := p.active()
	if seg.size == 0 {
		return l.last-seg.base > math.MaxInt32
	}
	if seg.size+l.bytes > min(c.SegmentBytes, maxSegmentBytes) || l.last-seg.base > math.MaxInt32 {
		return true
	}
	if int64(seg.build.offs) >= c.IndexBytes/p.st.offSize() || int64(seg.build.times) >= c.IndexBytes/timeEntrySize-1 {
		return true
	}
	waited := now - p.w.created
	if seg.build.firstAt >= 0 {
		waited = l.maxAt - seg.build.firstAt
	}
	return int64(waited) > c.SegmentAge.Milliseconds()-p.w.jitter
}

// roll seals the active segment and begins a new one at the end. The caller holds w and calls Commit when it is done.
func (p *Partition) roll(now penstock.Timestamp) error {
	if err := p.openActive(); err != nil {
		return err
	}
	old := p.active()
	// A second log must not be found without the first, which may never have been synced.
	if err := old.h.SettleName(); err != nil {
		return err
	}
	next := &segment{facts: facts{base: old.next, next: old.next, start: old.start + penstock.Position(old.size),
		build: p.newBuilder()}}
	if err := p.create(next, p.st.d.Create); err != nil {
		return err
	}
	p.settle()
	p.mu.Lock()
	old.checked.Store(p.w.sound)
	p.segs = append(p.segs[:len(p.segs):len(p.segs)], next)
	p.resetActive()
	p.mu.Unlock()
	p.startActive(now)
	return nil
}

// settle finishes the active segment before another takes its place: the file is trimmed, its indexes are written with
// the closing entry, and its handle goes to the next round of group commit. Nothing here can fail the caller: an index
// that was not written is built again, and a tail that was not cut is beyond the segment's size. The caller holds w.
func (p *Partition) settle() {
	seg := p.active()
	if p.w.reserved > seg.size || p.w.zeroed > seg.size || p.w.torn {
		if err := p.cutTail(); err != nil {
			p.log().Warn("sealed segment keeps its reserve", "err", err)
		}
	}
	flushed := p.flushIndex(true)
	if !flushed {
		p.w.lame = append(p.w.lame, seg)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	seg.sums = p.sealSums(seg)
	if p.st.dense {
		p.w.sound = flushed && (p.known.offs == 0 || seg.checked.Load())
	} else if p.head.offs == 0 && p.head.times == 0 {
		x := index{offs: p.tail.offs, times: p.tail.times}
		if e, ok := seg.build.closing(); ok {
			x.times = append(x.times, e)
		}
		p.st.cache.put(seg, &x)
	} else {
		p.st.cache.drop(seg)
	}
	if !p.st.dense {
		p.tail = index{} // that of a queue serves readers until the next segment is there
	}
	seg.h.Retain()
	p.dirty = append(p.dirty, seg.h)
	seg.h.Seal()
	p.w.files.manifest = true
}

// sealSums are the checksums that the index files of a segment about to be sealed must have.
func (p *Partition) sealSums(seg *segment) sums {
	s := seg.sums
	if e, ok := seg.build.closing(); ok {
		s.time = crcUpdate(s.time, appendTimes(p.w.buf[:0], []timeEntry{e}))
	}
	return s
}

// resetActive forgets what was in memory of the segment that was active before. The caller holds w and mu.
func (p *Partition) resetActive() {
	p.head, p.known, p.before, p.tail, p.ring, p.ringN = tally{}, tally{}, entry{}, index{}, nil, 0
	p.w.inFile, p.w.summed = tally{}, tally{}
}

// startActive sets up the writer for the segment that is active now. The caller holds w.
func (p *Partition) startActive(now penstock.Timestamp) {
	seg, c := p.active(), p.cfg.Load()
	p.w.reserved, p.w.zeroed, p.w.torn, p.w.noZeros, p.w.created, p.w.jitter = seg.size, seg.size, false, false, now, 0
	p.w.open = seg.h != nil
	if ms := min(c.SegmentJitter, c.SegmentAge).Milliseconds(); ms > 0 {
		p.w.jitter = rand.Int64N(ms)
	}
}
