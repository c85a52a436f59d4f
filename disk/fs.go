package disk

import "io"

// FS is the file system under a data directory: the kernel's below an os.Root, or disktest's in memory. Names are
// slash-separated, relative to the root, and made of ids only; no name comes from a client. All methods may be called
// concurrently. Errors wrap the cause so that errors.Is finds fs.ErrNotExist, syscall.ENOSPC and syscall.EIO.
type FS interface {
	// Open opens a file. With ModeCreate it must not exist; the new name is durable only after SyncDir.
	Open(name string, mode Mode) (File, error)
	// MkdirAll makes a directory and its parents.
	MkdirAll(name string) error
	// Remove removes a file or an empty directory. A removed file lives on for those who have it open.
	Remove(name string) error
	// Rename replaces to by from atomically. It is durable only after SyncDir of both directories.
	Rename(from, to string) error
	// ReadDir lists a directory, sorted by name.
	ReadDir(name string) ([]Entry, error)
	// SyncDir makes the names in a directory durable.
	SyncDir(name string) error
	// SyncAll makes everything written on the file system so far durable, in one call (syncfs).
	SyncAll() error
	// Boot names the time since which the page cache can hold what is not on the disk: the boot of the machine. It is empty where
	// that cannot be told.
	Boot() string
	// Space tells how much room there is.
	Space() (Space, error)
}

// Mode is how a file is opened.
type Mode uint8

// The modes.
const (
	ModeRead   Mode = iota // an existing file, for reading
	ModeWrite              // an existing file, for reading and writing
	ModeCreate             // a new file, for reading and writing
)

// Entry is one name in a directory.
type Entry struct {
	Name string
	Size int64 // bytes, files only
	Dir  bool
}

// Space is the room on a file system, in bytes.
type Space struct {
	Total int64
	Free  int64 // available to this process
	Used  int64 // by files; with Free it need not come to Total: some is kept back for root
}

// Advice tells the kernel what a run of bytes will be used for.
type Advice uint8

// The advices.
const (
	AdviceWillNeed Advice = iota // read it ahead
	AdviceDontNeed               // drop it from the page cache
)

// File is an open file. ReadAt and Size may be called concurrently with everything; the writing methods are called by
// one goroutine at a time, Sync concurrently with them: it covers the writes that had returned when it was called.
type File interface {
	io.ReaderAt
	// WriteVec writes all buffers, one after the other, at off, in as few system calls as possible (pwritev). It
	// returns the bytes that reached the file before an error. It keeps no reference to the buffers.
	WriteVec(bufs [][]byte, off int64) (n int64, err error)
	// Allocate reserves blocks for the range and leaves the size as it is. A full disk is reported here.
	Allocate(off, n int64) error
	// Truncate sets the size and gives back the blocks reserved beyond it.
	Truncate(size int64) error
	// Sync makes data and size durable (fdatasync). After an error nobody may call it again and believe the answer.
	Sync() error
	// Size is the file's length in bytes.
	Size() (int64, error)
	// Advise passes a hint; it has no result because nothing depends on it.
	Advise(off, n int64, a Advice)
	// Fd is the descriptor for sendfile, false where there is none.
	Fd() (fd int, ok bool)
	// Close closes the file.
	Close() error
}
