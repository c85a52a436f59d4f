package disk

import (
	"fmt"
	"io/fs"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"penstock"
)

// Handle is an open file with a count of references. It implements penstock.ExtentFile: an extent holds one reference,
// so a file that was removed lives until the last reader has sent it. The descriptor of a sealed file may be closed
// while nobody reads it (see Options.OpenFiles) and is opened again on demand.
//
// References and pins are two counts. A reference keeps the Handle; a pin keeps the descriptor open:
//
//  1. The descriptor is closed early only if the file is sealed, everything written to it is durable, it has its name
//     (removing or replacing a file first opens the descriptor and keeps it), and there is no pin.
//  2. Every call pins for its own duration, an extent from its making to its Release. So the log's own long-lived
//     reference does not hold the descriptor of a sealed file, and an extent's number never changes under sendfile.
//  3. To close early, pins goes from 0 to closing under mu in one step. Whoever then adds a pin sees a negative
//     number, waits for mu, and opens the file again.
//
// Locks are taken in the order table.names, Handle.mu, table.mu.
type Handle struct {
	d    *Disk
	name string

	refs    atomic.Int64
	pins    atomic.Int64
	used    atomic.Bool   // since the idle list looked last
	kept    atomic.Bool   // never close early
	sealed  atomic.Bool   // for reading only from now on
	later   atomic.Bool   // its name is not known to be durable
	written atomic.Uint64 // writing calls that have returned; counted while they still hold their pin
	synced  atomic.Uint64 // of these, durable

	mu   sync.Mutex // guards opening and closing of file
	file atomic.Pointer[openFile]

	path       string  // the name it has now; guarded by table.names
	next       *Handle // another handle of the same path; this and the next are guarded by table.mu
	idle, gone bool    // in the idle list; released for good
}

// openFile lets an interface be swapped atomically.
type openFile struct{ File }

const closing = -1 << 40 // pins while the descriptor is being closed

var _ penstock.ExtentFile = (*Handle)(nil)

// extentFile is a Handle as an extent sees it: releasing it gives up a pin together with the reference. It is the same
// struct under another name, so that making an extent allocates nothing.
type extentFile Handle

var _ penstock.ExtentFile = (*extentFile)(nil)

// ReadAt implements penstock.ExtentFile.
func (x *extentFile) ReadAt(p []byte, off int64) (int, error) { return (*Handle)(x).ReadAt(p, off) }

// Fd implements penstock.ExtentFile. The number is valid until the extent is released.
func (x *extentFile) Fd() (int, bool) {
	f, err := (*Handle)(x).current()
	if err != nil {
		return 0, false
	}
	return f.Fd()
}

// Release implements penstock.ExtentFile.
func (x *extentFile) Release() {
	h := (*Handle)(x)
	h.pins.Add(-1)
	h.Release()
}

// Name is the name it was opened by.
func (h *Handle) Name() string { return h.name }

// Retain takes one more reference.
func (h *Handle) Retain() {
	if h.refs.Add(1) <= 1 {
		panic("disk: " + h.name + ": retained after its last release")
	}
}

// Release gives one up; the last closes the file.
func (h *Handle) Release() {
	n := h.refs.Add(-1)
	if n > 0 {
		return
	}
	if n < 0 {
		panic("disk: " + h.name + ": released too often")
	}
	h.d.table.forget(h)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closeFile()
}

// Extent makes an extent of the file, with a reference of its own, which Extent.Release gives up.
func (h *Handle) Extent(off, n int64) penstock.Extent {
	h.Retain()
	h.pin()
	return penstock.Extent{File: (*extentFile)(h), Off: off, Len: n}
}

// Fd is the descriptor; the caller holds a reference while it uses it. It stays open from then on, as long as the handle
// is held: for sendfile make an Extent, which keeps it open for as long as it is needed only.
func (h *Handle) Fd() (fd int, ok bool) {
	h.kept.Store(true)
	f, err := h.acquire()
	if err != nil {
		return 0, false
	}
	defer h.unpin()
	return f.Fd()
}

// Seal says that nothing more will be written: writing calls fail from now on, and the descriptor may be closed while
// nobody reads, once what was written is durable. Opened for reading only is sealed from the start.
func (h *Handle) Seal() {
	if !h.sealed.Swap(true) {
		h.d.table.addIdle(h)
	}
}

// ReadAt reads stored bytes. It goes on while the directory is offline.
func (h *Handle) ReadAt(p []byte, off int64) (int, error) {
	f, err := h.acquire()
	if err != nil {
		return 0, err
	}
	defer h.unpin()
	start := time.Now()
	n, err := f.ReadAt(p, off)
	h.d.took("read", h.name, start)
	h.d.stats.reads.Add(1)
	h.d.stats.readBytes.Add(int64(n))
	return n, err
}

// WriteVec writes all buffers at off. penstock.ErrDiskFull and penstock.ErrOffline are told apart; n bytes are in the
// file in either case.
func (h *Handle) WriteVec(bufs [][]byte, off int64) (n int64, err error) {
	f, err := h.acquireForWriting()
	if err != nil {
		return 0, err
	}
	defer h.unpin()
	start := time.Now()
	n, err = f.WriteVec(bufs, off)
	h.written.Add(1)
	h.d.took("write", h.name, start)
	h.d.stats.writes.Add(1)
	h.d.stats.writeBytes.Add(n)
	if err != nil {
		return n, h.d.outcome("write", h.name, err)
	}
	return n, nil
}

// Allocate reserves blocks, as a promise that writing there will not find the disk full. Where the file system cannot
// reserve it does nothing.
func (h *Handle) Allocate(off, n int64) error {
	return h.change("allocate", func(f File) error { return f.Allocate(off, n) })
}

// Truncate cuts or extends the file; it is not durable before Sync. While it cuts below bytes that a round of group commit was given,
// no round may be under way that has a part of the file.
func (h *Handle) Truncate(size int64) error {
	if err := h.d.journal.forget(h.d.table.pathOf(h), size); err != nil {
		return err
	}
	return h.change("truncate", func(f File) error { return f.Truncate(size) })
}

// change is a writing call without a result.
func (h *Handle) change(op string, call func(File) error) error {
	f, err := h.acquireForWriting()
	if err != nil {
		return err
	}
	defer h.unpin()
	start := time.Now()
	err = call(f)
	h.written.Add(1)
	h.d.took(op, h.name, start)
	return h.d.outcome(op, h.name, err)
}

// Sync makes the file durable now, outside of group commit, and its name if CreateLater made it. A failure takes the
// directory offline.
func (h *Handle) Sync() error {
	if err := h.d.writable(); err != nil {
		return err
	}
	f, err := h.acquire()
	if err != nil {
		return err
	}
	defer h.unpin()
	mark := h.written.Load()
	start := time.Now()
	err = f.Sync()
	h.d.took("sync", h.name, start)
	h.d.stats.syncs.Add(1)
	if err != nil {
		return h.d.failSync("sync "+h.name, err)
	}
	if err := h.SettleName(); err != nil {
		return err
	}
	h.syncedTo(mark)
	return nil
}

// SettleName sees that the file's name is durable, as it is but for files that CreateLater and OpenLater gave out and that were not
// synced since. A failure takes the directory offline.
func (h *Handle) SettleName() error {
	if !h.later.Load() {
		return nil
	}
	if err := h.d.writable(); err != nil {
		return err
	}
	if err := h.d.settleLater(path.Dir(h.name)); err != nil {
		return err
	}
	h.later.Store(false)
	return nil
}

// Later reports whether the file's name may not be durable yet: a round that does not sync the file itself needs SettleName.
func (h *Handle) Later() bool { return h.later.Load() }

// syncedTo notes that the writing calls up to mark are durable. Syncs of one file may end in any order.
func (h *Handle) syncedTo(mark uint64) {
	for {
		old := h.synced.Load()
		if old >= mark || h.synced.CompareAndSwap(old, mark) {
			return
		}
	}
}

// Size is the file's length.
func (h *Handle) Size() (int64, error) {
	f, err := h.acquire()
	if err != nil {
		return 0, err
	}
	defer h.unpin()
	return f.Size()
}

// Advise passes a hint to the kernel.
func (h *Handle) Advise(off, n int64, a Advice) {
	f, err := h.acquire()
	if err != nil {
		return // a hint
	}
	defer h.unpin()
	f.Advise(off, n, a)
}

// acquire pins the descriptor and returns it open; unpin gives it up.
func (h *Handle) acquire() (File, error) {
	h.pin()
	f, err := h.current()
	if err != nil {
		h.unpin()
		return nil, err
	}
	return f, nil
}

// acquireForWriting is acquire for calls that write. The caller counts the call in written before it gives up the pin: a sync
// that began meanwhile does not cover it.
func (h *Handle) acquireForWriting() (File, error) {
	if err := h.d.writable(); err != nil {
		return nil, err
	}
	if h.sealed.Load() {
		return nil, fmt.Errorf("write %s: sealed: %w", h.name, fs.ErrPermission)
	}
	return h.acquire()
}

// pin keeps the descriptor from being closed early. It does not open it.
func (h *Handle) pin() {
	if h.pins.Add(1) <= 0 {
		h.waitClosed()
	}
	if !h.used.Load() {
		h.used.Store(true)
	}
}

// waitClosed returns when the closing that is under way has ended; a pin taken before counts from then on.
func (h *Handle) waitClosed() {
	h.mu.Lock()
	defer h.mu.Unlock()
}

func (h *Handle) unpin() { h.pins.Add(-1) }

// current is the open file, opened again if it was closed. The caller holds a pin.
func (h *Handle) current() (File, error) {
	if f := h.file.Load(); f != nil {
		return f, nil
	}
	t := &h.d.table
	t.names.RLock()
	defer t.names.RUnlock()
	return h.reopen()
}

// reopen opens the descriptor if it is closed. It needs table.names, and h must have a name.
func (h *Handle) reopen() (File, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f := h.file.Load(); f != nil {
		return f, nil
	}
	f, err := h.d.table.openFile(h.path, ModeRead)
	if err != nil {
		return nil, err
	}
	o := &openFile{f}
	h.file.Store(o)
	h.d.stats.reopens.Add(1)
	h.d.table.addIdle(h)
	return o, nil
}

// keepOpen opens the descriptor for good: its name is about to go. It needs table.names for writing.
func (h *Handle) keepOpen() error {
	h.kept.Store(true)
	h.pin() // waits for a closing that did not see kept yet
	defer h.unpin()
	_, err := h.reopen()
	return err
}

// closeIdle closes the descriptor early if invariant 1 allows it, and reports whether it did.
func (h *Handle) closeIdle() bool {
	if !h.mu.TryLock() { // it is being opened, perhaps by this very goroutine
		return false
	}
	defer h.mu.Unlock()
	if !h.pins.CompareAndSwap(0, closing) {
		return false
	}
	defer h.pins.Add(-closing)
	if h.kept.Load() || !h.sealed.Load() || h.written.Load() != h.synced.Load() {
		return false
	}
	h.closeFile()
	return true
}

// closeFile needs mu. The error of closing is of no use: what must be durable was synced before.
func (h *Handle) closeFile() {
	if f := h.file.Swap(nil); f != nil {
		_ = f.Close()
		h.d.stats.descriptors.Add(-1)
	}
}
