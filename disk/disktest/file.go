package disktest

import (
	"fmt"
	"io"
	"io/fs"
	"sync/atomic"
	"syscall"

	"penstock/disk"
)

// file is an open file.
type file struct {
	fs   *FS
	node *node
	name string
	mode disk.Mode
	// writing is set while a writing call runs, outside of FS.mu: two at a time are a violation.
	writing atomic.Bool
	closed  bool // guarded by FS.mu
}

var _ disk.File = (*file)(nil)

// begin starts a call on the file; the caller holds FS.mu.
func (f *file) begin(kind Kind, detail string) (fault, error) {
	if f.closed {
		f.fs.violated("%s of closed file %s", kind, f.name)
		return fault{}, f.wrap(kind, fs.ErrClosed)
	}
	return f.fs.begin(kind, f.name, detail)
}

// wrap makes the error look like the kernel's: it names the call and the file, and errors.Is finds err.
func (f *file) wrap(kind Kind, err error) error {
	return &fs.PathError{Op: string(kind), Path: f.name, Err: err}
}

// lockForWriting takes FS.mu for a writing call; the function it returns gives it up.
func (f *file) lockForWriting(kind Kind) func() {
	alone := f.writing.CompareAndSwap(false, true)
	f.fs.mu.Lock()
	if !alone {
		f.fs.violated("%s of %s during another writing call", kind, f.name)
	}
	return func() {
		f.fs.mu.Unlock()
		if alone {
			f.writing.Store(false)
		}
	}
}

// ReadAt implements io.ReaderAt.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if _, err := f.begin(KindRead, ""); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, f.wrap(KindRead, syscall.EINVAL)
	}
	n := int(max(0, min(int64(len(p)), f.node.now.size-off)))
	f.node.now.readAt(p[:n], off)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteVec implements disk.File. The bytes are copied once more into the list of changes: the caller may reuse its buffers, and a
// power cut needs every version of a sector, not the last only.
func (f *file) WriteVec(bufs [][]byte, off int64) (int64, error) {
	defer f.lockForWriting(KindWrite)()
	var total int64
	for _, b := range bufs {
		total += int64(len(b))
	}
	detail := ""
	if f.fs.faults.tracing {
		detail = fmt.Sprintf("%d+%d", off, total)
	}
	flt, err := f.begin(KindWrite, detail)
	if err != nil {
		return 0, err
	}
	if f.mode == disk.ModeRead && total > 0 {
		return 0, f.wrap(KindWrite, syscall.EBADF)
	}
	n := total
	switch {
	case flt.short:
		n /= 2
	case flt.err != nil && !flt.halt:
		n = 0
	}
	n, err = f.fs.occupy(f.node, off, n)
	if n > 0 {
		data := make([]byte, 0, total)
		for _, b := range bufs {
			data = append(data, b...)
		}
		f.fs.seq++
		f.node.change(fileOp{seq: f.fs.seq, off: off, data: data[:n:n]})
	}
	if ferr := flt.fail(KindWrite, f.name); ferr != nil {
		return n, ferr
	}
	if err != nil {
		return n, f.wrap(KindWrite, err)
	}
	return n, nil
}

// occupy takes the blocks for n bytes at off, or for as many of them as there is room for.
func (m *FS) occupy(n *node, off, bytes int64) (int64, error) {
	if bytes == 0 {
		return 0, nil
	}
	r := blocksOf(off, bytes)
	need := n.room.missing(r)
	if need <= m.free() {
		n.room = n.room.add(r)
		m.used += need
		return bytes, nil
	}
	end := r.first
	for left := m.free(); end < r.end; end++ {
		left -= n.room.missing(run{end, end + 1})
		if left < 0 {
			break
		}
	}
	fits := run{r.first, end}
	m.used += n.room.missing(fits)
	n.room = n.room.add(fits)
	return max(0, min(bytes, end*blockSize-off)), syscall.ENOSPC
}

// Allocate implements disk.File. It reserves everything or nothing.
func (f *file) Allocate(off, n int64) error {
	defer f.lockForWriting(KindAllocate)()
	flt, err := f.begin(KindAllocate, "")
	if err != nil {
		return err
	}
	switch {
	case f.mode == disk.ModeRead:
		return f.wrap(KindAllocate, syscall.EBADF)
	case off < 0 || n <= 0:
		return f.wrap(KindAllocate, syscall.EINVAL)
	case flt.err != nil:
		return flt.fail(KindAllocate, f.name)
	}
	r := blocksOf(off, n)
	need := f.node.room.missing(r)
	if need > f.fs.free() {
		return f.wrap(KindAllocate, syscall.ENOSPC)
	}
	f.node.room = f.node.room.add(r)
	f.fs.used += need
	return nil
}

// Truncate implements disk.File. To the present size it changes nothing but the reservation.
func (f *file) Truncate(size int64) error {
	defer f.lockForWriting(KindTruncate)()
	flt, err := f.begin(KindTruncate, fmt.Sprint(size))
	if err != nil {
		return err
	}
	if f.mode == disk.ModeRead || size < 0 {
		return f.wrap(KindTruncate, syscall.EINVAL)
	}
	if size != f.node.now.size {
		f.fs.seq++
		f.node.change(fileOp{seq: f.fs.seq, cut: true, size: size})
	}
	before := f.node.room.count()
	f.node.room = f.node.room.cut((size + blockSize - 1) / blockSize)
	f.fs.used -= before - f.node.room.count()
	return flt.fail(KindTruncate, f.name)
}

// Sync implements disk.File. It makes bytes and size durable, and not the name: many file systems do both, and a program
// that relies on it is wrong on the others.
func (f *file) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	seq := f.fs.seq // before a stall: a sync covers what had returned when it was called, and nothing later
	flt, err := f.begin(KindSync, "")
	if err != nil {
		return err
	}
	switch {
	case flt.lie || flt.halt:
	case flt.err != nil:
		f.node.syncFailed(seq)
	default:
		f.node.sync(seq)
	}
	return flt.fail(KindSync, f.name)
}

// Size implements disk.File.
func (f *file) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if _, err := f.begin(KindSize, ""); err != nil {
		return 0, err
	}
	return f.node.now.size, nil
}

// Advise implements disk.File.
func (f *file) Advise(int64, int64, disk.Advice) {}

// Fd implements disk.File: there is none.
func (f *file) Fd() (int, bool) { return 0, false }

// Close implements disk.File. The file is closed whatever a rule says. Closing makes nothing durable.
func (f *file) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.closed {
		f.fs.violated("close of closed file %s", f.name)
		return f.wrap(KindClose, fs.ErrClosed)
	}
	f.closed = true
	f.fs.opens--
	f.node.opens--
	if f.node.removed && f.node.opens == 0 {
		f.fs.used -= f.node.room.count()
		f.node.room = nil
	}
	flt, err := f.fs.begin(KindClose, f.name, "")
	if err != nil {
		return err
	}
	return flt.fail(KindClose, f.name)
}
