package index

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"sync"
	"time"

	"penstock"
	"penstock/disk"
)

// Options configures an Index. The zero value works.
type Options struct {
	Logger  *slog.Logger     // nil is silent
	Slots   int              // in a file made from now on; default RocketMQ's 5,000,000
	Entries int              // in a file made from now on, one of them never used; default RocketMQ's 20,000,000
	Now     func() time.Time // names of files; default time.Now
	// Walk calls add with all keys of batches that lie at positions from to to, in the order in which they were added. It is how a damaged file is made
	// again; what is gone may be left out. Without it a damaged file is given up. Add is not to be called from it.
	Walk func(from, to int64, add func(Key)) error
	// Unordered says that times are not those of one clock that goes on: producers chose them. What is old then says nothing of what lies behind it.
	Unordered bool

	block int64 // see shape; tests have smaller ones
}

// RocketMQ's numbers, and the size of what has one checksum.
const (
	defaultSlots   = 5_000_000
	defaultEntries = 20_000_000
	defaultBlock   = 64 << 10
)

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Slots <= 0 {
		o.Slots = defaultSlots
	}
	if o.Entries <= 1 {
		o.Entries = defaultEntries
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.block == 0 {
		o.block = defaultBlock
	}
	return o
}

// Key is one key of a batch.
type Key struct {
	Hash     int32 // of any sign: in RocketMQ's files Java's String.hashCode of "topic#key", else HashOf
	Position int64 // the owner's name for the batch
	Time     penstock.Timestamp
}

// MaxAdd is the number of keys that an owner takes of one append: a small batch may have very many inside.
const MaxAdd = 1 << 20

// HashOf is the hash of a topic's key in files that only we read: CRC-32C of the topic's id and the key. It is for ever.
func HashOf(topic penstock.TopicID, key []byte) int32 {
	return int32(crc32.Update(crc32.Checksum(topic[:], castagnoli), castagnoli, key))
}

// Index is one directory of index files. All methods may be called concurrently.
type Index struct {
	d   *disk.Disk
	dir string
	o   Options

	checking sync.Mutex // one checkpoint at a time

	mu     sync.Mutex
	files  []*file // guarded by mu: oldest first; the last is written
	mark   []byte  // guarded by mu: the owner's, of the last checkpoint
	behind error   // guarded by mu: keys were given up, the index is to be made again
	adds   int64   // guarded by mu: keys since the start
	rested int64   // guarded by checking: adds at the checkpoint before
	closed bool    // guarded by mu

	writing sync.Mutex // held for one writing call on a file
}

// maxWaiting is how many full blocks may wait in memory for a disk that has no room, before keys are given up.
const maxWaiting = 1024

// Add adds the keys of batches. It does not fail: what the disk does not take waits in memory for the next call or Checkpoint.
func (x *Index) Add(keys []Key) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed || x.behind != nil || len(keys) == 0 {
		return
	}
	for i := range keys {
		f, err := x.ready(&keys[i])
		if err != nil {
			x.giveUp(err)
			return
		}
		f.put(&keys[i])
		if len(f.full) == 0 {
			continue
		}
		if err := x.writeFull(f); err != nil && len(f.full) > maxWaiting {
			x.giveUp(err)
			return
		}
	}
	x.adds += int64(len(keys))
}

// giveUp stops the index until the next start, which makes it again from the last checkpoint on. The caller holds mu.
func (x *Index) giveUp(err error) {
	x.behind = fmt.Errorf("index %s is behind until the next start: %w", x.dir, err)
	x.o.Logger.Error("index of keys given up until the next start", "dir", x.dir, "err", err)
}

// ready is the file that takes the next key, with the block of slots in memory that its hash needs. Positions never go back within a file, so that what
// Walk gives between its first and its last is all of it. The caller holds mu.
func (x *Index) ready(k *Key) (*file, error) {
	for {
		var f *file
		if n := len(x.files); n > 0 {
			f = x.files[n-1]
		}
		if f == nil || f.h == nil || f.isFull() || f.damaged != nil || f.head.count > 1 && k.Position < f.head.endPos {
			var err error
			if f, err = x.begin(); err != nil {
				return nil, err
			}
		}
		block, _ := f.slot(positive(k.Hash))
		if err := f.loadSlots(block); err == nil {
			return f, nil
		}
		x.o.Logger.Warn("slots of an index file are made again from its entries", "file", f.name, "block", block)
		if err := x.remake(f); err != nil {
			x.damage(f, err) // the next turn begins another file
		}
	}
}

// begin makes the next file. The caller holds mu.
func (x *Index) begin() (*file, error) {
	f := newFile(x.nextName(), shape{int64(x.o.Slots), int64(x.o.Entries), x.o.block})
	h, err := create(x.d, path.Join(x.dir, f.name))
	if err == nil {
		if err = h.Truncate(f.shape.size()); err != nil {
			h.Release()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("new file: %w", err)
	}
	f.h = h
	x.files = append(x.files[:len(x.files):len(x.files)], f)
	return f, nil
}

// create makes a file without waiting for the disk. One that is there is emptied.
func create(d *disk.Disk, name string) (*disk.Handle, error) {
	h, err := d.CreateLater(name)
	if err == nil || !errors.Is(err, fs.ErrExist) {
		return h, err
	}
	if h, err = d.OpenLater(name); err != nil {
		return nil, err
	}
	if err = h.Truncate(0); err != nil {
		h.Release()
		return nil, err
	}
	return h, nil
}

// nameLayout is the time in a name, milliseconds apart.
const (
	nameLayout = "20060102150405"
	nameLen    = len(nameLayout) + 3
)

func nameOf(t time.Time) string {
	t = t.UTC()
	return t.Format(nameLayout) + fmt.Sprintf("%03d", t.Nanosecond()/1e6)
}

func parseName(s string) (time.Time, bool) {
	if len(s) != nameLen {
		return time.Time{}, false
	}
	t, err := time.Parse(nameLayout+".000", s[:len(nameLayout)]+"."+s[len(nameLayout):])
	return t, err == nil
}

// nextName is a name behind all others. The caller holds mu.
func (x *Index) nextName() string {
	name := nameOf(x.o.Now())
	if n := len(x.files); n > 0 && name <= x.files[n-1].name {
		if last, ok := parseName(x.files[n-1].name); ok {
			name = nameOf(last.Add(time.Millisecond))
		}
	}
	return name
}

// loadSlots brings a block of slots into memory. The caller holds mu.
func (f *file) loadSlots(i int) error {
	if f.slots[i] != nil {
		return nil
	}
	off, n := f.shape.slotRange(i)
	if f.slotSums[i] == 0 {
		f.slots[i] = make([]byte, n)
		return nil
	}
	b, err := f.readBlock(f.h, off, n, f.slotSums[i], "block of slots", i)
	if err == nil {
		f.slots[i] = b
	}
	return err
}

// writeFull writes full blocks of entries. What fails stays in memory. The caller holds mu.
func (x *Index) writeFull(f *file) error {
	for b, img := range f.full {
		off, _ := f.shape.entryRange(b, f.shape.entries)
		if err := x.write(f.h, img, off); err != nil {
			return err
		}
		delete(f.full, b)
	}
	return nil
}

func (x *Index) write(h *disk.Handle, b []byte, off int64) error {
	x.writing.Lock()
	defer x.writing.Unlock()
	_, err := h.WriteVec([][]byte{b}, off)
	return err
}

// damage notes that a file cannot be believed. The caller holds mu.
func (x *Index) damage(f *file, err error) {
	if f.damaged == nil {
		f.damaged = err
		x.o.Logger.Error("index file is damaged, it will be made again from the log", "file", f.name, "err", err)
	}
}

// Info is what a file says of itself.
type Info struct {
	Begin, End     int64              // positions of its first and its last key
	Oldest, Newest penstock.Timestamp // of all keys
	Keys, Bytes    int64
	Damaged        bool
}

func (f *file) info() Info {
	return Info{Begin: f.head.beginPos, End: f.head.endPos, Oldest: f.oldest, Newest: f.newest, Keys: f.count() - 1, Bytes: f.shape.size(), Damaged: f.damaged != nil}
}

// Files says what files there are, the oldest first.
func (x *Index) Files() []Info {
	x.mu.Lock()
	defer x.mu.Unlock()
	out := make([]Info, len(x.files))
	for i, f := range x.files {
		out[i] = f.info()
	}
	return out
}

// Last is the position of the last key added, ok is false if there is none.
func (x *Index) Last() (pos int64, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := len(x.files) - 1; i >= 0; i-- {
		if x.files[i].head.count > 1 {
			return x.files[i].head.endPos, true
		}
	}
	return 0, false
}

// Trim removes the oldest files, as long as old says so. The last stays, unless it is damaged: then it is most likely missing, as one that was the last when it was
// vouched for, and was trimmed later. An owner calls it after Open as well: until the next Checkpoint what was trimmed
// is vouched for, and missed after a crash.
func (x *Index) Trim(old func(Info) bool) error {
	x.checking.Lock()
	defer x.checking.Unlock()
	for {
		x.mu.Lock()
		if n := len(x.files); x.closed || n == 0 || n == 1 && x.files[0].damaged == nil || !old(x.files[0].info()) {
			x.mu.Unlock()
			return nil
		}
		f := x.files[0]
		x.files = slices.Clone(x.files[1:])
		h := f.h
		f.h = nil
		x.mu.Unlock()
		if h != nil {
			h.Release()
		}
		if err := x.remove(f.name); err != nil {
			return err
		}
	}
}

// remove removes a file and its sums.
func (x *Index) remove(name string) error {
	for _, n := range []string{name, name + sumsSuffix} {
		if err := x.d.Remove(path.Join(x.dir, n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("index: %w", err)
		}
	}
	return nil
}

// Reset begins the index anew, durably: the owner adds again what lies from the mark on. It is called while nothing is added.
func (x *Index) Reset(mark []byte) error {
	x.checking.Lock()
	defer x.checking.Unlock()
	v := vouched{mark: slices.Clone(mark)}
	if err := x.d.WriteFile(path.Join(x.dir, vouchedFile), v.append()); err != nil {
		return fmt.Errorf("index %s: %w", x.dir, err)
	}
	x.mu.Lock()
	old := x.files
	x.files, x.mark, x.behind, x.adds, x.rested = nil, v.mark, nil, 0, 0
	for _, f := range old {
		if f.h != nil {
			f.h.Release()
			f.h = nil
		}
	}
	x.mu.Unlock()
	for _, f := range old {
		if err := x.remove(f.name); err != nil {
			return err
		}
	}
	return nil
}

// Remove removes an index that nobody has open, what vouches for its files first: what is left after a crash in between is no index that anybody believes.
func Remove(d *disk.Disk, dir string) error {
	if err := d.Remove(path.Join(dir, vouchedFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("index %s: %w", dir, err)
	}
	return d.RemoveAll(dir)
}

// Close gives up the files. What was added since the last Checkpoint is not kept.
func (x *Index) Close() {
	x.checking.Lock()
	defer x.checking.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.closed = true
	for _, f := range x.files {
		if f.h != nil {
			f.h.Release()
			f.h = nil
		}
	}
	x.files = nil
}
