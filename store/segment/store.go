package segment

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"penstock"
	"penstock/disk"
	"penstock/store"
)

// Names below the disk's root, or below the format's directory there; see formatDir.
const (
	logsDir    = "logs"
	pointsFile = "segment.checkpoint"
	cleanFile  = "segment.clean"
)

// formatDir is the directory below the disk's root in which the stores of a format keep their names, so that two formats lie side by
// side. Kafka's format came first and lies in the root itself.
func formatDir(f store.Format) string {
	if f.Kind() == penstock.FormatRecord {
		return ""
	}
	return path.Join("segment", f.Kind().String())
}

// Options configures a Store. The zero value works.
type Options struct {
	Logger     *slog.Logger     // nil is silent
	IndexCache int64            // bytes of memory for index entries read from files; default 64 MiB
	ZeroAhead  int64            // bytes of zeros written ahead of a log that is committed in small pieces; default 1 MiB, negative never
	KeySlots   int              // in a file of a partition's index of keys made from now on; default 65,536
	KeyEntries int              // in such a file; default 524,288
	SettleFrom int              // partitions found after an unclean stop from which one syncfs replaces syncs of each; default 64
	Now        func() time.Time // the clock; default time.Now

	cells int // entries of a queue in memory; default maxCells
}

// Defaults of Options.
const (
	defaultIndexCache = 64 << 20
	defaultZeroAhead  = 1 << 20
	defaultSettleFrom = disk.DefaultSyncAllFrom
	zeroPiece         = 64 << 10
)

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.IndexCache <= 0 {
		o.IndexCache = defaultIndexCache
	}
	if o.ZeroAhead == 0 {
		o.ZeroAhead = defaultZeroAhead
	}
	if o.SettleFrom <= 0 {
		o.SettleFrom = defaultSettleFrom
	}
	if o.KeySlots <= 0 {
		o.KeySlots = defaultKeySlots
	}
	if o.KeyEntries <= 1 {
		o.KeyEntries = defaultKeyEntries
	}
	if o.cells <= 0 {
		o.cells = maxCells
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Defaults of store.Config: Kafka's.
const (
	defaultSegmentBytes  = 1 << 30
	defaultSegmentAge    = 7 * 24 * time.Hour
	defaultIndexBytes    = 10 << 20
	defaultIndexInterval = 4096
	defaultRetentionAge  = 7 * 24 * time.Hour
	defaultDeleteDelay   = time.Minute
	defaultMaxBatch      = 1<<20 + 12
)

func withDefaults(c store.Config) store.Config {
	c.SegmentBytes = orDefault(c.SegmentBytes, defaultSegmentBytes)
	c.SegmentAge = orDefault(c.SegmentAge, defaultSegmentAge)
	c.IndexBytes = orDefault(c.IndexBytes, defaultIndexBytes)
	c.IndexInterval = orDefault(c.IndexInterval, defaultIndexInterval)
	c.RetentionAge = orDefault(c.RetentionAge, defaultRetentionAge)
	c.FileDeleteDelay = orDefault(c.FileDeleteDelay, defaultDeleteDelay)
	c.MaxBatchBytes = orDefault(c.MaxBatchBytes, defaultMaxBatch)
	c.IndexInterval = min(c.IndexInterval, maxSegmentBytes)
	return c
}

func orDefault[T int32 | int64 | time.Duration](v, d T) T {
	if v == 0 {
		return d
	}
	return v
}

// Store is all partitions of the segment layout on one disk.
type Store struct {
	d *disk.Disk
	f store.Format
	o Options

	dir       string                         // that all names are below
	keyer     store.Keyer                    // the format's part that knows keys; nil for none
	dense     bool                           // each batch has an entry, in a queue; see queue.go
	clean     bool                           // the last stop was clean
	settled   bool                           // what was on the disk at the start is durable, names and bytes
	pointSeq  uint64                         // number of the checkpoint found at the start
	points    map[penstock.PartitionID]point // what it said of partitions that were not opened; guarded by mu
	seq       atomic.Uint64                  // number of the last checkpoint begun, unless nothing had changed
	marked    atomic.Uint64                  // the largest number in the mark of an index of keys
	cuts      atomic.Uint64                  // truncations, each of which makes points void
	last      said                           // by the last one written; guarded by checking
	recovered atomic.Int64                   // partitions that were walked since the last checkpoint
	walked    atomic.Int64                   // bytes of them
	marker    atomic.Bool                    // the clean-shutdown marker is on the disk

	cache   cache
	ahead   ahead
	zeros   []byte
	walkers sync.Pool
	rooms   sync.Pool                    // of *room
	keys    sync.Pool                    // of *keyRoom
	numbers numbers                      // of partitions, where dense
	config  atomic.Pointer[store.Config] // the last that a partition was given: those of one topic share it

	checking sync.Mutex // one checkpoint at a time

	mu     sync.Mutex
	slots  map[penstock.PartitionID]*slot // guarded by mu
	closed bool                           // guarded by mu
}

// slot is a partition that is open or being opened.
type slot struct {
	mu sync.Mutex
	p  *Partition // guarded by mu
}

var _ store.Store = (*Store)(nil)

// New makes the store of the segment layout on d, for batches of format f. Partitions are opened one by one.
func New(d *disk.Disk, f store.Format, o Options) (*Store, error) {
	s := &Store{d: d, f: f, o: o.withDefaults(), dir: formatDir(f), dense: f.Kind() == penstock.FormatMessage, slots: map[penstock.PartitionID]*slot{}, zeros: make([]byte, zeroPiece)}
	s.cache = cache{limit: s.o.IndexCache, of: map[*segment]int64{}}
	s.keyer, _ = f.(store.Keyer)
	s.walkers.New = func() any { return new(walker) }
	s.rooms.New = func() any { return new(room) }
	if err := s.readPoints(); err != nil {
		return nil, err
	}
	if err := s.settle(); err != nil {
		return nil, err
	}
	if err := s.readNumbers(); err != nil {
		return nil, err
	}
	return s, nil
}

// settle makes durable, after an unclean stop, what the process before has left in the page cache, if there are so many partitions
// that one syncfs is cheaper than what each does for itself while it is opened: what recovery believes and shows must not be
// taken back by a power cut.
func (s *Store) settle() error {
	if s.clean {
		return nil
	}
	ids, err := s.List()
	if err != nil || len(ids) < s.o.SettleFrom {
		return err
	}
	s.settled, err = s.d.SyncAll()
	return err
}

// readPoints reads the checkpoint and the marker. A damaged checkpoint counts as none.
func (s *Store) readPoints() error {
	b, err := s.d.ReadFile(s.name(pointsFile), maxPointsBytes)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", pointsFile, err)
	}
	s.points = map[penstock.PartitionID]point{}
	if err == nil {
		pts, err := parsePoints(b, s.dense)
		if err != nil {
			s.o.Logger.Error("recovery points cannot be used, walking all logs", "err", err)
		} else {
			for _, n := range pts.of {
				s.points[n.id] = n.point
			}
			s.pointSeq = pts.seq
			s.seq.Store(pts.seq)
		}
	}
	b, err = s.d.ReadFile(s.name(cleanFile), maxSmallBytes)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("%s: %w", cleanFile, err)
	}
	seq, err := parseClean(b)
	s.clean = err == nil && seq == s.pointSeq
	s.marker.Store(true)
	return nil
}

// pointOf is the recovery point that the checkpoint has of a partition.
func (s *Store) pointOf(id penstock.PartitionID) (point, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.points[id]
	return f, ok
}

// touch removes the clean-shutdown marker before the first thing is written.
func (s *Store) touch() error {
	if !s.marker.Load() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.marker.Load() {
		return nil
	}
	if err := s.d.Remove(s.name(cleanFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", cleanFile, err)
	}
	s.marker.Store(false)
	return nil
}

func (s *Store) walker() *walker { return s.walkers.Get().(*walker) }

// maxKeptWalker bounds the buffer of a walker that is kept.
const maxKeptWalker = 2 << 20

func (s *Store) release(w *walker) {
	w.file = nil
	if cap(w.buf) <= maxKeptWalker {
		s.walkers.Put(w)
	}
}

// slotOf returns the slot of a partition, locked.
func (s *Store) slotOf(id penstock.PartitionID) (*slot, error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, fmt.Errorf("store: %w", penstock.ErrClosed)
	}
	sl := s.slots[id]
	if sl == nil {
		sl = &slot{}
		s.slots[id] = sl
	}
	s.mu.Unlock()
	sl.mu.Lock()
	return sl, nil
}

// Open opens a partition, or makes it. Different partitions are opened in parallel.
func (s *Store) Open(id penstock.PartitionID, c store.Config) (store.Partition, error) {
	sl, err := s.slotOf(id)
	if err != nil {
		return nil, err
	}
	defer sl.mu.Unlock()
	if sl.p != nil {
		return sl.p.face(), nil
	}
	p, err := s.open(id, c)
	if err != nil {
		return nil, err
	}
	sl.p = p
	s.mu.Lock()
	delete(s.points, id) // the next checkpoint has a newer one
	s.mu.Unlock()
	return p.face(), nil
}

func newPartition(s *Store, id penstock.PartitionID, c store.Config) *Partition {
	p := &Partition{st: s, id: id, dir: s.dirOf(id), covered: covered{size: -1}}
	p.number.Store(noNumber)
	p.synch = sync.NewCond(&p.mu)
	p.Configure(c)
	return p
}

// share returns a configuration that is equal to c, and never changed: many partitions have the same.
func (s *Store) share(c store.Config) *store.Config {
	if last := s.config.Load(); last != nil && *last == c {
		return last
	}
	s.config.Store(&c)
	return &c
}

// Remove forgets a partition and deletes its files.
func (s *Store) Remove(id penstock.PartitionID) error {
	sl, err := s.slotOf(id)
	if err != nil {
		return err
	}
	defer sl.mu.Unlock()
	if err := s.touch(); err != nil {
		return err
	}
	if sl.p != nil {
		sl.p.w.Lock()
		sl.p.halt()
		sl.p.release()
		sl.p.w.Unlock()
		sl.p = nil
	}
	s.mu.Lock()
	delete(s.points, id)
	s.mu.Unlock()
	s.numbers.forget(id)
	if err := s.d.RemoveAll(s.dirOf(id)); err != nil {
		return fmt.Errorf("remove partition %v: %w", id, err)
	}
	if err := s.d.RemoveEmpty(path.Dir(s.dirOf(id))); err != nil { // the topic's, with its last partition
		return fmt.Errorf("remove partition %v: %w", id, err)
	}
	return nil
}

// List names the partitions that have a directory.
func (s *Store) List() ([]penstock.PartitionID, error) {
	topics, err := s.d.ReadDir(s.name(logsDir))
	if err != nil {
		return nil, fmt.Errorf("list partitions: %w", err)
	}
	var ids []penstock.PartitionID
	for _, t := range topics {
		topic, err := penstock.ParseTopicID(t.Name)
		if err != nil || !t.Dir || t.Name != topic.Hex() {
			continue
		}
		parts, err := s.d.ReadDir(s.name(logsDir, t.Name))
		if err != nil {
			return nil, fmt.Errorf("list partitions: %w", err)
		}
		for _, e := range parts {
			if n, err := strconv.ParseInt(e.Name, 10, 32); err == nil && n >= 0 && e.Dir {
				ids = append(ids, penstock.PartitionID{Topic: topic, Partition: int32(n)})
			}
		}
	}
	return ids, nil
}

// Clean reports whether the stop before this start was clean.
func (s *Store) Clean() bool { return s.clean }

// opened are the partitions that are open now.
func (s *Store) opened() []*Partition {
	s.mu.Lock()
	slots := make([]*slot, 0, len(s.slots))
	for _, sl := range s.slots {
		slots = append(slots, sl)
	}
	s.mu.Unlock()
	ps := make([]*Partition, 0, len(slots))
	for _, sl := range slots {
		sl.mu.Lock()
		if sl.p != nil {
			ps = append(ps, sl.p)
		}
		sl.mu.Unlock()
	}
	return ps
}
