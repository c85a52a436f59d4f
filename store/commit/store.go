package commit

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"penstock"
	"penstock/disk"
	"penstock/store"
	"penstock/store/index"
)

// Names below the disk's root: rootDir/<format>/.
const (
	rootDir        = "commit"
	logDir         = "log"
	queuesDir      = "queues"
	checkpointFile = "checkpoint"
	cleanFile      = "clean"
)

// Options configures a Store. The zero value works.
type Options struct {
	Logger        *slog.Logger // nil is silent
	FileBytes     int64        // size of a file of the log, for files made from now on; default 1 GiB, at most MaxFileBytes
	QueueEntries  int64        // entries in a file of a queue, for ever; default 300,000 as RocketMQ has it
	NoPreallocate bool         // do not reserve blocks ahead of the end
	// DelayLevels are the delays of RocketMQ's levels, from 1 on, to the millisecond: with them the queues of SCHEDULE_TOPIC_XXXX say when
	// messages are due. Default RocketMQ's 18, from 1 s to 2 h (messageDelayLevel).
	DelayLevels []time.Duration
	// NoIndex keeps no index of the keys of messages (messageIndexEnable=false); that of records is the topics' (store.Config.IndexKeys). IndexSlots and
	// IndexEntries are the size of an index's files: 0 is RocketMQ's (maxHashSlotNum 5,000,000 and maxIndexNum 20,000,000).
	NoIndex                  bool
	IndexSlots, IndexEntries int

	// NoWarm does not fill the next file of the log with zeros ahead of need (warmMapedFileEnable=false).
	NoWarm bool
	// DeleteHours are the hours of the day, local time, at which what is too old is deleted (deleteWhen); none: at any time.
	DeleteHours []int
	// CleanPercent, ForcePercent and RefusePercent are marks of how full the disk is: from the first on what is too old goes at any hour, from the second on the
	// oldest files of the log go regardless of their age, from the third on writes are refused with penstock.ErrDiskFull until there is room. 0:
	// never. RocketMQ has 75, 85 and 90: RocketCleanPercent and its like.
	CleanPercent, ForcePercent, RefusePercent int
	// Now is the clock by which files are deleted; default time.Now.
	Now func() time.Time

	inline bool  // what is done in the background is done at once, or not at all: in tests, where a seed must say all
	block  int64 // entries of a queue that have one checksum. Tests have fewer.
	tail   int   // entries of a queue in memory at which they are written; a sixteenth stays. Tests have fewer.
}

// The size of a file of the log: default, bounds. And what is the same for a queue.
const (
	DefaultFileBytes = 1 << 30
	MinFileBytes     = 64
	MaxFileBytes     = 1<<31 - 1 // what is left of a file is told in four bytes

	defaultQueueEntries = 300_000
	maxTail             = 1024
)

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.FileBytes <= 0 {
		o.FileBytes = DefaultFileBytes
	}
	if o.QueueEntries <= 0 {
		o.QueueEntries = defaultQueueEntries
	}
	if o.tail <= 0 {
		o.tail = maxTail
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.block <= 0 {
		o.block = queueBlock
	}
	if o.DelayLevels == nil {
		o.DelayLevels = defaultDelays[:]
	}
	o.FileBytes = min(max(o.FileBytes, MinFileBytes), MaxFileBytes)
	return o
}

// Defaults of store.Config: Kafka's.
const (
	defaultRetentionAge = 7 * 24 * time.Hour
	defaultMaxBatch     = 1<<20 + 12
	defaultDeleteDelay  = time.Minute
)

func withDefaults(c store.Config) store.Config {
	if c.RetentionAge == 0 {
		c.RetentionAge = defaultRetentionAge
	}
	if c.FileDeleteDelay == 0 {
		c.FileDeleteDelay = defaultDeleteDelay
	}
	if c.MaxBatchBytes == 0 {
		c.MaxBatchBytes = defaultMaxBatch
	}
	return c
}

// Store is all partitions of one format that share one log on one disk. The stores of the two formats lie side by side.
type Store struct {
	d        *disk.Disk
	f        store.Format
	o        Options
	dir      string
	messages bool        // the format is RocketMQ's
	keyer    store.Keyer // the format's; nil for none

	log *Log

	clean  bool          // the last stop was clean
	marker atomic.Bool   // the marker of a clean stop is on the disk
	seq    atomic.Uint64 // number of the last checkpoint
	noted  atomic.Int64  // its position

	scratch sync.Pool // of *scratch
	jobs    sync.Pool // of *job

	checking sync.Mutex // one checkpoint at a time

	background sync.WaitGroup // goroutines that make files and clean
	cleaning   atomic.Bool    // one of them cleans
	zeros      []byte

	w        sync.Mutex // held over the write to the log
	unseen   int64      // guarded by w: bytes appended since the last look at the disk
	looked   bool       // guarded by w
	stopping bool       // guarded by w: nothing more is begun in the background
	refusing bool       // guarded by w: the disk was too full at the last look
	names    *names     // of the message format

	keys    *index.Index // nil for none
	indexed bool         // guarded by w: the index is vouched for; that of records has nothing before

	mu     sync.Mutex
	parts  map[penstock.PartitionID]*Partition // guarded by mu: all that have files or are open
	closed bool                                // guarded by mu
}

var _ store.Store = (*Store)(nil)

// New opens the store of the commit layout on d for batches of format f, or makes it. All partitions are recovered by it: they share
// the log.
func New(d *disk.Disk, f store.Format, o Options) (*Store, error) {
	s := &Store{d: d, f: f, o: o.withDefaults(), dir: path.Join(rootDir, f.Kind().String()), messages: f.Kind() == penstock.FormatMessage,
		keyer: keyerOf(f), names: newNames(), zeros: make([]byte, zeroPiece), parts: map[penstock.PartitionID]*Partition{}}
	s.log = newLog(s)
	if err := s.recover(); err != nil {
		s.log.close()
		if s.keys != nil {
			s.keys.Close()
		}
		for _, p := range s.parts {
			p.release()
		}
		return nil, fmt.Errorf("%s: %w", s.dir, err)
	}
	return s, nil
}

// Log is the log that all partitions share.
func (s *Store) Log() *Log { return s.log }

// Clean reports whether the stop before this start was clean.
func (s *Store) Clean() bool { return s.clean }

// Open gives a partition out. It has no files before something is written.
func (s *Store) Open(id penstock.PartitionID, c store.Config) (store.Partition, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fmt.Errorf("store: %w", penstock.ErrClosed)
	}
	p := s.parts[id]
	if p == nil {
		p = newPartition(s, id)
		s.parts[id] = p
	}
	p.Configure(c)
	return p, nil
}

// all are the partitions known now, in no order.
func (s *Store) all() []*Partition {
	s.mu.Lock()
	defer s.mu.Unlock()
	ps := make([]*Partition, 0, len(s.parts))
	for _, p := range s.parts {
		ps = append(ps, p)
	}
	return ps
}

// Remove forgets a partition and deletes its queue. Its batches stay in the log as nobody's, until the files that they lie in go.
func (s *Store) Remove(id penstock.PartitionID) error {
	s.mu.Lock()
	p, closed := s.parts[id], s.closed
	s.mu.Unlock()
	if closed {
		return fmt.Errorf("store: %w", penstock.ErrClosed)
	}
	if err := s.touch(); err != nil {
		return err
	}
	if p == nil {
		p = newPartition(s, id)
	}
	p.own.Lock()
	defer p.own.Unlock()
	p.release()
	if err := s.d.RemoveAll(p.dir); err != nil {
		return fmt.Errorf("remove partition %v: %w", id, err)
	}
	topic := path.Dir(p.dir)
	if es, err := s.d.ReadDir(topic); err == nil && len(es) == 0 {
		if err := s.d.RemoveAll(topic); err != nil {
			return fmt.Errorf("remove partition %v: %w", id, err)
		}
	}
	s.mu.Lock()
	if s.parts[id] == p {
		delete(s.parts, id)
	}
	s.mu.Unlock()
	s.w.Lock()
	s.names.drop(id)
	s.w.Unlock()
	_, err := s.dropFiles(s.o.Now(), false)
	return err
}

// List names the partitions that have a directory.
func (s *Store) List() ([]penstock.PartitionID, error) {
	root := path.Join(s.dir, queuesDir)
	topics, err := s.d.ReadDir(root)
	if err != nil {
		return nil, fmt.Errorf("list partitions: %w", err)
	}
	var ids []penstock.PartitionID
	for _, t := range topics {
		topic, err := penstock.ParseTopicID(t.Name)
		if err != nil || !t.Dir || t.Name != topic.Hex() {
			continue
		}
		parts, err := s.d.ReadDir(path.Join(root, t.Name))
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

// touch removes the marker of a clean stop before the first thing is written.
func (s *Store) touch() error {
	if !s.marker.Load() {
		return nil
	}
	s.w.Lock()
	defer s.w.Unlock()
	if !s.marker.Load() {
		return nil
	}
	if err := s.d.Remove(path.Join(s.dir, cleanFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", cleanFile, err)
	}
	s.marker.Store(false)
	return nil
}

// Checkpoint makes the log and all queues durable and notes how far they are. After it a crash costs a walk over what was appended since.
func (s *Store) Checkpoint() error {
	s.checking.Lock()
	defer s.checking.Unlock()
	if s.marker.Load() {
		return nil // nothing was written since the clean stop
	}
	if err := s.checkpoint(); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}

// checkpoint notes recovery points. That of the index is its own: where it fails the queues' is noted nevertheless.
func (s *Store) checkpoint() error {
	keys := s.checkpointKeys()
	return errors.Join(s.checkpointQueues(), keys)
}

func (s *Store) checkpointQueues() error {
	c := checkpoint{seq: s.seq.Load() + 1, pos: penstock.Position(s.log.end.Load()), of: map[penstock.PartitionID]snapshot{}}
	ps := s.all()
	slices.SortFunc(ps, func(a, b *Partition) int { return compareIDs(a.id, b.id) })
	taken := make([]map[string]bool, len(ps))
	var err error
	for i, p := range ps {
		var snap snapshot
		var ok bool
		if snap, taken[i], ok, err = p.snapshot(); err != nil {
			break
		}
		if ok {
			c.of[p.id] = snap
		}
	}
	if err == nil {
		err = s.log.sync(s.log.end.Load())
	}
	if err == nil {
		err = s.syncQueues(taken)
	}
	if err == nil {
		err = s.d.WriteFile(path.Join(s.dir, checkpointFile), c.append(nil))
	}
	if err != nil {
		for i, p := range ps {
			p.giveBack(taken[i])
		}
		return err
	}
	s.seq.Store(c.seq)
	s.noted.Store(int64(c.pos))
	return nil
}

// snapshot writes the queue and says what is in its files, and which of them are to be synced before that is vouched for.
func (p *Partition) snapshot() (s snapshot, taken map[string]bool, ok bool, err error) {
	p.own.Lock()
	defer p.own.Unlock()
	if p.closed || !p.owned {
		return s, nil, false, nil
	}
	if err := p.flush(); err != nil {
		return s, nil, false, err
	}
	if err := p.writeFixed(); err != nil {
		return s, nil, false, err
	}
	taken, p.unsynced = p.unsynced, map[string]bool{}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.q.shrink(p.st.o.tail / 16)
	return snapshot{from: p.owner.from, upto: penstock.Position(p.st.log.end.Load()), first: p.q.first, count: p.q.count, end: p.end,
		kept: p.kept, groups: slices.Clone(p.q.groups), sumFrom: p.sums.from, sums: p.sumList()}, taken, true, nil
}

// giveBack notes that files were not synced after all.
func (p *Partition) giveBack(taken map[string]bool) {
	p.own.Lock()
	defer p.own.Unlock()
	for name := range taken {
		p.unsynced[name] = true
	}
}

// syncEach is the number of files from which one sync of everything replaces one of each.
const syncEach = disk.DefaultSyncAllFrom

// syncQueues makes the files named durable, with their names.
func (s *Store) syncQueues(taken []map[string]bool) error {
	var names []string
	for _, m := range taken {
		for name := range m {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if len(names) >= syncEach {
		if done, err := s.d.SyncAll(); done || err != nil {
			return err
		}
	}
	for _, name := range names {
		h, err := s.d.OpenFile(name, true)
		if errors.Is(err, fs.ErrNotExist) {
			continue // trimmed meanwhile
		}
		if err != nil {
			return err
		}
		err = h.Sync()
		h.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// Close makes everything durable, writes checkpoint and marker, and closes. Where that fails the files are closed nevertheless, and the next
// start recovers.
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
	s.log.stopNext()
	s.background.Wait()
	var err error
	if !s.marker.Load() {
		if err = s.checkpoint(); err == nil {
			s.w.Lock()
			err = s.log.purge(time.Time{})
			s.w.Unlock()
		}
		if err == nil {
			err = s.d.WriteFile(path.Join(s.dir, cleanFile), appendClean(nil, s.seq.Load()))
		}
	}
	for _, p := range s.all() {
		p.own.Lock()
		p.release()
		p.own.Unlock()
	}
	s.log.close()
	if s.keys != nil {
		s.keys.Close()
	}
	if err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}
