// Package disk is the only room that opens data files. A Disk is one data directory: its files, its group commit and
// its health.
package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Options configures a Disk. The zero value works.
type Options struct {
	// Logger hears when the directory goes offline and when the disk is slow. Nil is silent.
	Logger *slog.Logger
	// SyncParallel is the number of files that group commit syncs at once; each takes an operating system thread while
	// it lasts. 0 means the number of processors, at least 2 and at most MaxSyncParallel: more workers find fewer
	// appends each, and every sync costs processor time.
	SyncParallel int
	// SyncAllFrom is the number of logs waiting for group commit from which one syncfs replaces an fdatasync of each. It
	// also writes what others left dirty on the same file system; see committer for how that is bounded. 0 means
	// DefaultSyncAllFrom, negative never.
	SyncAllFrom int
	// JournalFrom is the number of logs waiting for group commit from which small writes are made durable together, by
	// the journal. 0 means 2; 1 sends every small round through it.
	JournalFrom int
	// JournalBytes is the size of each of the journal's two files, which are made when they are first needed. 0 means
	// DefaultJournalBytes for Open and none for New; negative is none.
	JournalBytes int64
	// OpenFiles is the number of sealed files kept open for reading while nobody reads them. 0 means DefaultOpenFiles.
	OpenFiles int
	// StallWarning is how long a disk call may take before it is logged and counted, when it ends. 0 means
	// DefaultStallWarning.
	StallWarning time.Duration
	// Space tells how much room there is, in place of the file system. Nil asks the file system.
	Space func() (Space, error)
	// OnOffline is called once, in a goroutine of its own, when the directory goes offline.
	OnOffline func(error)
}

// The defaults of Options, and the bound of the first. BenchmarkManyLogs measures the first two. On ext4, two cores and an
// SSD, 16 files at once are within 10 % of the best for any number of logs in the disk's own benchmark; with clients on the
// same processors as many files as there are processors are better (docs/figures.md). With syncfs an append takes a tenth less from about 24 waiting logs on
// and half at 256 and more; the default is higher than where it just wins, because what it writes for others is unknown.
const (
	MaxSyncParallel     = 16
	DefaultSyncAllFrom  = 64
	DefaultOpenFiles    = 4096
	DefaultStallWarning = 2 * time.Second
	DefaultJournalBytes = 32 << 20
)

// TempSuffix ends the name of the temporary file of WriteFile. A crash may leave one behind; the next WriteFile of the
// name removes it, and whoever lists a directory passes over it.
const TempSuffix = ".tmp"

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.SyncParallel <= 0 {
		o.SyncParallel = min(max(runtime.GOMAXPROCS(0), 2), MaxSyncParallel)
	}
	if o.SyncAllFrom == 0 {
		o.SyncAllFrom = DefaultSyncAllFrom
	}
	if o.JournalFrom <= 0 {
		o.JournalFrom = 2
	}
	if o.OpenFiles <= 0 {
		o.OpenFiles = DefaultOpenFiles
	}
	if o.StallWarning <= 0 {
		o.StallWarning = DefaultStallWarning
	}
	return o
}

// Disk is one data directory. All methods may be called concurrently.
//
// Health: the first failed sync takes the directory offline for good (a failed fsync is never retried: the kernel may
// have dropped the pages and would report success, see "fsyncgate"), and so does a writing call that finds the device
// broken (EIO and its like). From then on every writing call returns an error that wraps penstock.ErrOffline and the
// cause; reading goes on. A full disk is not offline: writing returns penstock.ErrDiskFull until there is room.
type Disk struct {
	fsys    FS
	o       Options
	release func() error // gives up the lock and the root; nothing for New

	offline   atomic.Pointer[error]
	doubted   sync.Once // a failed sync is noted once
	closed    atomic.Bool
	noSyncAll atomic.Bool // SyncAll is not supported here
	lastStall atomic.Int64

	committer committer
	journal   journal
	table     table
	stats     counters

	temps [64]sync.Mutex // by hash of the name: one WriteFile at a time uses a name's temporary file

	gone [16]sync.Mutex // by hash of the name: one syncGone at a time syncs a directory

	dirsMu    sync.Mutex // guards what follows
	dirs      map[string]dirState
	nameSeq   uint64 // number of the last name that was added without a sync
	allSynced uint64 // names up to this number are durable, wherever they are
}

// Open takes the directory root of the machine's file system, makes it if missing, and locks it against a second
// process. The error says who holds the lock, or that a sync failed since the machine was booted: see doubtPrefix.
func Open(root string, o Options) (*Disk, error) {
	k, lock, err := openRoot(root)
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", root, err)
	}
	if o.JournalBytes == 0 {
		o.JournalBytes = DefaultJournalBytes
	}
	d := New(k, o)
	d.release = func() error { return errors.Join(lock.Close(), k.close()) }
	if err := d.Err(); err != nil {
		return nil, fmt.Errorf("data directory %s: %w", root, errors.Join(err, d.release()))
	}
	return d, nil
}

func openRoot(root string) (*kernelFS, *os.File, error) {
	if err := os.MkdirAll(root, dirMode); err != nil {
		return nil, nil, err
	}
	if err := syncParent(root); err != nil {
		return nil, nil, err
	}
	k, err := openKernel(root)
	if err != nil {
		return nil, nil, err
	}
	lock, err := lockDir(k.root)
	if err != nil {
		return nil, nil, errors.Join(err, k.close())
	}
	return k, lock, nil
}

// syncParent makes the root's own name durable. A parent that may not be read is left to its owner.
func syncParent(root string) error {
	abs, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	f, err := os.Open(filepath.Dir(abs))
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// New makes a Disk over any FS, without a lock. Tests use it with disktest. What the journal of the process before this one
// has is brought into its files first; where that fails the directory is offline from the start.
func New(fsys FS, o Options) *Disk {
	d := &Disk{fsys: fsys, o: o.withDefaults(), dirs: make(map[string]dirState)}
	d.committer.init(d)
	d.table.init(d)
	d.journal.init(d)
	if err := d.settleDoubt(); err != nil {
		_ = d.fail("start", err) // kept; everybody who writes is told
	} else if err := d.replay(); err != nil {
		_ = d.fail("replay of the journal", err)
	}
	return d
}

// Close stops the group commit after the rounds asked for and releases the lock. Handles that are still held can be
// read as long as their descriptor is open; writing and opening fail with penstock.ErrClosed.
func (d *Disk) Close() error {
	d.committer.drain()
	err := d.journal.close()
	if d.closed.Swap(true) {
		return nil
	}
	d.committer.drain() // rounds asked for meanwhile
	if d.release != nil {
		err = errors.Join(err, d.release())
	}
	return err
}

// Space is the room left.
func (d *Disk) Space() (Space, error) {
	if d.o.Space != nil {
		return d.o.Space()
	}
	return d.fsys.Space()
}

// Commit asks that what s has written so far become durable, together with whatever else waits on this disk: the sync
// in flight is the linger, there is no timer. It returns at once; s hears by SyncEnd. Calls for an s that already
// waits for the next round are merged. The dynamic type of s must be comparable; a pointer is.
func (d *Disk) Commit(s Syncer) { d.committer.commit(s) }

// Settle waits until no round of group commit waits or is in flight. It is for a caller who has stopped asking, such as a
// test that counts calls: while others ask it may wait for ever.
func (d *Disk) Settle() { d.committer.drain() }

// Syncer is a log that takes part in group commit. One round calls SyncBegin once, then makes durable what it returned,
// then calls SyncEnd once; the rounds of one Syncer never overlap. Rounds of different Syncers do.
type Syncer interface {
	// SyncBegin notes how far the log is written and returns the parts of files that are not durable up to there,
	// appended to the given slice. Each handle is retained by the callee and released by the disk.
	SyncBegin(dst []Part) []Part
	// SyncEnd tells the outcome: nil, and everything noted by SyncBegin is durable; or the error that took the
	// directory offline. It must not block.
	SyncEnd(err error)
}

// Create makes a new file, and its directories, for a log that appends. It is durable in its directory on return. The
// handle carries one reference, which the caller gives up by Release.
func (d *Disk) Create(name string) (*Handle, error) {
	dir, err := d.splitForWriting(name)
	if err != nil {
		return nil, err
	}
	if err := d.link(dir); err != nil {
		return nil, err
	}
	h, err := d.table.open(name, ModeCreate)
	if err != nil {
		return nil, d.outcome("create", name, err)
	}
	if err := d.syncDir(dir); err != nil {
		h.Release()
		return nil, err
	}
	return h, nil
}

// CreateLater is Create without waiting for the disk, for a file that is made in passing and that nobody has been promised
// yet. Its name, those that were put into its directory before, and those of the directories that lead to it are durable once a
// Sync of the handle or a round of group commit with it has succeeded, together with what was written. Until then a power
// cut may leave any of these names without the others. A directory with such a file in it is not to be renamed before.
func (d *Disk) CreateLater(name string) (*Handle, error) {
	dir, err := d.splitForWriting(name)
	if err != nil {
		return nil, err
	}
	if err := d.place(dir); err != nil {
		return nil, err
	}
	h, err := d.table.open(name, ModeCreate)
	if err != nil {
		return nil, d.outcome("create", name, err)
	}
	d.addName(dir)
	h.later.Store(true)
	return h, nil
}

// OpenLater is OpenFile for writing without waiting for the disk: that the file is durable in its directory is seen to as for
// CreateLater.
func (d *Disk) OpenLater(name string) (*Handle, error) {
	dir, err := d.splitForWriting(name)
	if err != nil {
		return nil, err
	}
	h, err := d.table.open(name, ModeWrite)
	if err != nil {
		return nil, err
	}
	if err := d.place(dir); err != nil {
		h.Release()
		return nil, err
	}
	d.addName(dir)
	h.later.Store(true)
	return h, nil
}

// OpenFile opens an existing file for reading and, with write, for writing. A file opened for writing is durable in its
// directory on return; the bytes found in it need not be, after a kill, before a Sync. The handle carries one
// reference, which the caller gives up by Release.
func (d *Disk) OpenFile(name string, write bool) (*Handle, error) {
	if !write {
		if err := checkName(name); err != nil {
			return nil, err
		}
		return d.table.open(name, ModeRead)
	}
	dir, err := d.splitForWriting(name)
	if err != nil {
		return nil, err
	}
	h, err := d.table.open(name, ModeWrite)
	if err != nil {
		return nil, err
	}
	if err := d.settle(dir); err != nil {
		h.Release()
		return nil, err
	}
	return h, nil
}

// ReadFile reads a small file whole; larger than limit bytes is an error.
func (d *Disk) ReadFile(name string, limit int64) ([]byte, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	f, err := d.fsys.Open(name, ModeRead)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // nothing was written through it
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, fmt.Errorf("read %s: %d bytes, at most %d are expected", name, size, limit)
	}
	buf := make([]byte, size)
	n, err := f.ReadAt(buf, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	return buf[:n], nil
}

// WriteFile replaces a small file atomically and durably: temporary file, sync, rename, sync of the directory. Its
// directories are made if missing.
func (d *Disk) WriteFile(name string, data []byte) error {
	dir, err := d.splitForWriting(name)
	if err != nil {
		return err
	}
	if err := d.link(dir); err != nil {
		return err
	}
	mu := &d.temps[hash(name)%uint32(len(d.temps))]
	mu.Lock()
	defer mu.Unlock()
	temp := name + TempSuffix
	if err := d.writeTemp(temp, data); err != nil {
		if d.Err() == nil {
			_ = d.fsys.Remove(temp) // to give its room back; if that fails, the next call tries again
		}
		return err
	}
	return d.rename(temp, name)
}

// writeTemp makes the file temp with data in it, durable except for its name. The data is synced before the rename: the
// other way round, a power cut could leave an empty file under the final name.
func (d *Disk) writeTemp(temp string, data []byte) error {
	h, err := d.table.open(temp, ModeCreate)
	if errors.Is(err, fs.ErrExist) {
		if err := d.outcome("remove", temp, d.fsys.Remove(temp)); err != nil {
			return err
		}
		h, err = d.table.open(temp, ModeCreate)
	}
	if err != nil {
		return d.outcome("create", temp, err)
	}
	defer h.Release()
	if _, err := h.WriteVec([][]byte{data}, 0); err != nil {
		return err
	}
	return h.Sync()
}

// stagedSuffix ends the name of what WriteLater has written and PutLater has not put in place.
const stagedSuffix = ".later" + TempSuffix

// WriteLater is the first half of WriteFile without waiting for the disk, for a caller who replaces so many small files that two
// calls of SyncAll are cheaper than two syncs of each: WriteLater of all, SyncAll, PutLater of all, SyncAll. Between the two
// halves the file is as it was. One goroutine at a time may do this to a name.
func (d *Disk) WriteLater(name string, data []byte) error {
	dir, err := d.splitForWriting(name)
	if err != nil {
		return err
	}
	if err := d.place(dir); err != nil {
		return err
	}
	temp := name + stagedSuffix
	h, err := d.table.open(temp, ModeCreate)
	if errors.Is(err, fs.ErrExist) {
		if err := d.outcome("remove", temp, d.fsys.Remove(temp)); err != nil {
			return err
		}
		h, err = d.table.open(temp, ModeCreate)
	}
	if err != nil {
		return d.outcome("create", temp, err)
	}
	defer h.Release()
	_, err = h.WriteVec([][]byte{data}, 0)
	return err
}

// PutLater is the second half: it gives the file its name. The caller has made what WriteLater wrote durable by SyncAll, and
// makes the name durable by another.
func (d *Disk) PutLater(name string) error {
	dir, err := d.splitForWriting(name)
	if err != nil {
		return err
	}
	if err := d.outcome("rename", name, d.table.rename(name+stagedSuffix, name)); err != nil {
		return err
	}
	d.addName(dir)
	return nil
}

// MkdirAll makes a directory durably.
func (d *Disk) MkdirAll(name string) error {
	if !fs.ValidPath(name) {
		return badName(name)
	}
	if err := d.writable(); err != nil {
		return err
	}
	return d.link(name)
}

// ReadDir lists a directory, sorted by name; a missing one is empty. The root is ".".
func (d *Disk) ReadDir(name string) ([]Entry, error) {
	if !fs.ValidPath(name) {
		return nil, badName(name)
	}
	es, err := d.fsys.ReadDir(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return es, err
}

// Remove removes a file by name durably. Handles that are open, and extents of them, stay usable until released.
func (d *Disk) Remove(name string) error {
	dir, err := d.splitForWriting(name)
	if err != nil {
		return err
	}
	if err := d.journal.forget(name, 0); err != nil {
		return err
	}
	if err := d.outcome("remove", name, d.table.remove(name)); err != nil {
		return err
	}
	return d.syncDir(dir)
}

// RemoveAll removes a directory and everything in it durably. A missing one is no error. Handles that are open, and
// extents of them, stay usable until released. A crash may leave a part of it; what is left is removed by another call.
func (d *Disk) RemoveAll(name string) error {
	dir, err := d.splitForWriting(name)
	if err != nil {
		return err
	}
	if err := d.journal.forget(name, 0); err != nil {
		return err
	}
	if err := d.removeTree(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Also when it was missing: the process before this one may have removed it and been killed before the sync.
	// If the directory that it was in is gone as well, whoever removes that one syncs its name away.
	return ifThere(d.syncGone(dir))
}

// RemoveEmpty removes a directory durably if nothing is in it. One that is missing, or has something in it, is no error.
func (d *Disk) RemoveEmpty(name string) error {
	dir, err := d.splitForWriting(name)
	if err != nil {
		return err
	}
	err = d.fsys.Remove(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) { // the kernel's ENOTEMPTY is the latter
		return nil
	}
	if err != nil {
		return d.outcome("remove", name, err)
	}
	d.forgetDir(name)
	return ifThere(d.syncGone(dir))
}

// removeTree removes a directory, deepest names first. What a symbolic link leads to is not touched.
func (d *Disk) removeTree(name string) error {
	d.forgetDir(name)
	es, err := d.fsys.ReadDir(name)
	if err != nil {
		return err
	}
	for _, e := range es {
		child := path.Join(name, e.Name)
		if e.Dir {
			err = d.removeTree(child)
		} else {
			err = d.outcome("remove", child, d.table.remove(child))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return d.outcome("remove", name, d.fsys.Remove(name))
}

// Rename moves a file or a directory durably, and replaces a file that has the name. The directory it goes to must
// exist. Handles follow it; those of a file that it replaces stay usable until released.
func (d *Disk) Rename(from, to string) error {
	if _, err := d.splitForWriting(from); err != nil {
		return err
	}
	if _, err := d.splitForWriting(to); err != nil {
		return err
	}
	for _, name := range [...]string{from, to} {
		if err := d.journal.forget(name, 0); err != nil {
			return err
		}
	}
	// Before the rename: afterwards another goroutine might trust what was known of the old directory.
	d.forgetDirs(from)
	d.forgetDirs(to)
	return d.rename(from, to)
}

func (d *Disk) rename(from, to string) error {
	if err := d.outcome("rename", from, d.table.rename(from, to)); err != nil {
		return err
	}
	fromDir, toDir := path.Dir(from), path.Dir(to)
	if err := d.syncDir(toDir); err != nil || fromDir == toDir {
		return err
	}
	return d.syncDir(fromDir)
}

// splitForWriting checks a name, that it may be written, and returns its directory.
func (d *Disk) splitForWriting(name string) (dir string, err error) {
	if err := checkName(name); err != nil {
		return "", err
	}
	return path.Dir(name), d.writable()
}

// checkName refuses the root itself, absolute names, and names with "..": no caller may reach out of the root.
func checkName(name string) error {
	if !fs.ValidPath(name) || name == "." {
		return badName(name)
	}
	return nil
}

func badName(name string) error { return fmt.Errorf("file name %q: %w", name, fs.ErrInvalid) }

// hash is FNV-1a. It only spreads names over locks, so that nothing depends on its values.
func hash(s string) uint32 {
	h := uint32(2166136261)
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h
}
