package disk

import (
	"encoding/binary"
	"io"
	"io/fs"
	"testing"
)

// OpenKernel opens the kernel's file system for the conformance test, without a lock.
func OpenKernel(root string) (fsys FS, closeFS func() error, err error) {
	k, err := openKernel(root)
	if err != nil {
		return nil, nil, err
	}
	return k, k.close, nil
}

// MaxVecs is the number of buffers in one system call.
const MaxVecs = maxVecs

// LockName is the name of the lock file.
const LockName = lockName

// FakeRecord is a record of the journal as somebody would make it who knows the format, but not the number of the process.
func FakeRecord(seq uint64, name string, data []byte) []byte {
	be := binary.BigEndian
	rec := make([]byte, journalHeader)
	rec = be.AppendUint16(rec, uint16(len(name)))
	rec = be.AppendUint64(rec, 0)
	rec = be.AppendUint32(rec, uint32(len(data)))
	rec = append(append(rec, name...), data...)
	seal(rec, [journalRunBytes]byte{}, seq, 1, 1)
	return rec
}

// RecordLen is the length of the records at the beginning of the journal's first file.
func RecordLen(t testing.TB, fsys FS) (n int) {
	f, err := fsys.Open(journalFile(0), ModeRead)
	if err != nil {
		t.Fatal(err)
	}
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	for _, r := range parseJournal(b) {
		n += journalHeader + len(r.body)
	}
	if err := f.Close(); err != nil || n == 0 {
		t.Fatalf("no record, %v", err)
	}
	return n
}

// noFiles is a file system without any file.
type noFiles struct{ FS }

// Open implements FS.
func (noFiles) Open(string, Mode) (File, error) { return nil, fs.ErrNotExist }

// MkdirAll implements FS.
func (noFiles) MkdirAll(string) error { return nil }

// SyncDir implements FS.
func (noFiles) SyncDir(string) error { return nil }

// ReadDir implements FS.
func (noFiles) ReadDir(string) ([]Entry, error) { return nil, nil }

// Boot implements FS.
func (noFiles) Boot() string { return "" }
