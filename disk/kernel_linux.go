package disk

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"slices"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Limits and modes of the kernel's file system.
const (
	maxVecs  = 1024 // buffers in one pwritev: IOV_MAX
	fileMode = 0o640
	dirMode  = 0o750
)

// kernelFS is the kernel's file system below an os.Root: no name leads out of it, not even through a symbolic link.
type kernelFS struct {
	root *os.Root
	// dir is the root directory, open as long as the disk is: syncfs reports the write errors of the whole file
	// system since its descriptor was opened, so it must not be opened afresh for each call.
	dir *os.File
	// reportsErrors is false before Linux 5.8, where syncfs answers success whatever happened to the data.
	reportsErrors bool
	vecs          sync.Pool // of *[]unix.Iovec
}

var _ FS = (*kernelFS)(nil)

// openKernel opens the existing directory root.
func openKernel(root string) (*kernelFS, error) {
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	dir, err := r.Open(".")
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	k := &kernelFS{root: r, dir: dir, reportsErrors: syncfsReportsErrors()}
	k.vecs.New = func() any {
		s := make([]unix.Iovec, 0, maxVecs)
		return &s
	}
	return k, nil
}

// syncfsReportsErrors asks the kernel for its version. Below 5.8, or where it cannot be told, the answer is no.
func syncfsReportsErrors() bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	var major, minor int
	if n, _ := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor); n != 2 {
		return false
	}
	return major > 5 || major == 5 && minor >= 8
}

// Boot is the kernel's random number for this boot.
func (k *kernelFS) Boot() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(b))
}

// close gives up the root. Files that are open stay usable.
func (k *kernelFS) close() error { return errors.Join(k.dir.Close(), k.root.Close()) }

// Open implements FS.
func (k *kernelFS) Open(name string, mode Mode) (File, error) {
	flags := os.O_RDONLY
	switch mode {
	case ModeWrite:
		flags = os.O_RDWR
	case ModeCreate:
		flags = os.O_RDWR | os.O_CREATE | os.O_EXCL
	}
	f, err := k.root.OpenFile(name, flags, fileMode)
	if err != nil {
		return nil, err
	}
	return &kernelFile{fs: k, f: f, fd: int(f.Fd()), name: name}, nil
}

// MkdirAll implements FS.
func (k *kernelFS) MkdirAll(name string) error { return k.root.MkdirAll(name, dirMode) }

// Remove implements FS.
func (k *kernelFS) Remove(name string) error { return k.root.Remove(name) }

// Rename implements FS.
func (k *kernelFS) Rename(from, to string) error { return k.root.Rename(from, to) }

// ReadDir implements FS. A symbolic link is listed as a file and not followed.
func (k *kernelFS) ReadDir(name string) ([]Entry, error) {
	f, err := k.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // nothing was written through it
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", name, err)
	}
	out := make([]Entry, 0, len(names))
	for _, n := range names {
		var st unix.Stat_t
		err := again(func() error { return unix.Fstatat(int(f.Fd()), n, &st, unix.AT_SYMLINK_NOFOLLOW) })
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed since it was listed
		}
		if err != nil {
			return nil, fmt.Errorf("stat %s: %w", path.Join(name, n), err)
		}
		e := Entry{Name: n, Dir: st.Mode&unix.S_IFMT == unix.S_IFDIR}
		if !e.Dir {
			e.Size = st.Size
		}
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b Entry) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// SyncDir implements FS. The directory is opened for each call: names are journalled, and a failure of the journal is reported
// to whoever syncs, not only to those who had the directory open.
func (k *kernelFS) SyncDir(name string) error {
	f, err := k.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// SyncAll implements FS. Where the kernel would hide failures it answers errors.ErrUnsupported and does nothing.
func (k *kernelFS) SyncAll() error {
	if !k.reportsErrors {
		return fmt.Errorf("syncfs: %w", errors.ErrUnsupported)
	}
	err := again(func() error { return unix.Syncfs(int(k.dir.Fd())) })
	if err != nil {
		return fmt.Errorf("syncfs: %w", err)
	}
	return nil
}

// Space implements FS.
func (k *kernelFS) Space() (Space, error) {
	var st unix.Statfs_t
	if err := again(func() error { return unix.Fstatfs(int(k.dir.Fd()), &st) }); err != nil {
		return Space{}, fmt.Errorf("statfs: %w", err)
	}
	block := cmp.Or(st.Frsize, st.Bsize)
	return Space{Total: int64(st.Blocks) * block, Free: int64(st.Bavail) * block, Used: int64(st.Blocks-st.Bfree) * block}, nil
}

// kernelFile is an open file. The descriptor stays valid until Close; runtime.KeepAlive after each use of the bare
// number keeps the collector from closing a file that its user has just forgotten.
type kernelFile struct {
	fs   *kernelFS
	f    *os.File
	fd   int
	name string
}

var _ File = (*kernelFile)(nil)

// ReadAt implements io.ReaderAt.
func (f *kernelFile) ReadAt(p []byte, off int64) (int, error) { return f.f.ReadAt(p, off) }

// WriteVec implements File. Runs of more than maxVecs buffers take several calls; what the kernel leaves of a run, because of a
// limit, a signal or a full disk, is tried again until it is written or an error says why not.
func (f *kernelFile) WriteVec(bufs [][]byte, off int64) (int64, error) {
	defer runtime.KeepAlive(f)
	pooled := f.fs.vecs.Get().(*[]unix.Iovec)
	vecs := (*pooled)[:0]
	var done int64
	var err error
	for len(bufs) > 0 && err == nil {
		vecs = vecs[:0]
		for len(bufs) > 0 && len(vecs) < maxVecs {
			if b := bufs[0]; len(b) > 0 {
				v := unix.Iovec{Base: unsafe.SliceData(b)}
				v.SetLen(len(b))
				vecs = append(vecs, v)
			}
			bufs = bufs[1:]
		}
		var n int64
		n, err = writeVecs(f.fd, vecs, off+done)
		done += n
	}
	clear(vecs[:cap(vecs)]) // the pool must not keep the caller's buffers alive
	*pooled = vecs[:0]
	f.fs.vecs.Put(pooled)
	if err != nil {
		err = fmt.Errorf("pwritev %s at %d: %w", f.name, off+done, err)
	}
	return done, err
}

// writeVecs writes all of vecs, which it consumes, however many calls the kernel needs for it.
func writeVecs(fd int, vecs []unix.Iovec, off int64) (done int64, err error) {
	for len(vecs) > 0 {
		n, err := pwritev(fd, vecs, off+done)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return done, err
		}
		if n == 0 {
			return done, io.ErrShortWrite
		}
		done += int64(n)
		vecs = advance(vecs, uint64(n))
	}
	return done, nil
}

// advance drops the first n bytes from vecs.
func advance(vecs []unix.Iovec, n uint64) []unix.Iovec {
	for n > 0 && n >= uint64(vecs[0].Len) {
		n -= uint64(vecs[0].Len)
		vecs = vecs[1:]
	}
	if n > 0 {
		vecs[0].Base = (*byte)(unsafe.Add(unsafe.Pointer(vecs[0].Base), n))
		vecs[0].SetLen(int(uint64(vecs[0].Len) - n))
	}
	return vecs
}

// pwritev is the bare call. The wrapper in x/sys/unix builds its own vectors and allocates.
func pwritev(fd int, vecs []unix.Iovec, off int64) (int, error) {
	const half = 32 // the offset travels in two words where a word has 32 bits; elsewhere the kernel ignores the second
	n, _, errno := unix.Syscall6(unix.SYS_PWRITEV, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(vecs))),
		uintptr(len(vecs)), uintptr(off), uintptr(off>>half), 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// Allocate implements File. Where the file system cannot reserve it does nothing.
func (f *kernelFile) Allocate(off, n int64) error {
	defer runtime.KeepAlive(f)
	err := again(func() error { return unix.Fallocate(f.fd, unix.FALLOC_FL_KEEP_SIZE, off, n) })
	if err == unix.EOPNOTSUPP || err == unix.ENOSYS {
		return nil
	}
	return f.wrap("fallocate", err)
}

// Truncate implements File. Cutting to the present size is not idle: it frees the blocks that were reserved beyond.
func (f *kernelFile) Truncate(size int64) error {
	defer runtime.KeepAlive(f)
	return f.wrap("ftruncate", again(func() error { return unix.Ftruncate(f.fd, size) }))
}

// Sync implements File. An interrupted fdatasync has reported no outcome and is the only one that is asked again.
func (f *kernelFile) Sync() error {
	defer runtime.KeepAlive(f)
	for {
		if err := unix.Fdatasync(f.fd); err != unix.EINTR {
			return f.wrap("fdatasync", err)
		}
	}
}

// Size implements File. It asks the kernel; whoever appends knows better and need not.
func (f *kernelFile) Size() (int64, error) {
	defer runtime.KeepAlive(f)
	var st unix.Stat_t
	if err := again(func() error { return unix.Fstat(f.fd, &st) }); err != nil {
		return 0, f.wrap("fstat", err)
	}
	return st.Size, nil
}

// Advise implements File.
func (f *kernelFile) Advise(off, n int64, a Advice) {
	defer runtime.KeepAlive(f)
	advice := unix.FADV_WILLNEED
	if a == AdviceDontNeed {
		advice = unix.FADV_DONTNEED
	}
	_ = unix.Fadvise(f.fd, off, n, advice) // a hint
}

// Fd implements File.
func (f *kernelFile) Fd() (int, bool) { return f.fd, true }

// Close implements File.
func (f *kernelFile) Close() error { return f.f.Close() }

// wrap names the call and the file.
func (f *kernelFile) wrap(call string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", call, f.name, err)
}

// again repeats a call that a signal interrupted.
func again(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}
