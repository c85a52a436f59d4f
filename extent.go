package penstock

import "io"

// An Extent is a run of bytes in a segment file. Whoever holds one keeps the file alive; Release lets it go.
// store makes it, fronts carry it untouched, wire spends it. An Extent is a value: copying it does not take a second
// reference, so exactly one copy is released.
type Extent struct {
	File ExtentFile
	Off  int64 // first byte in the file
	Len  int64 // number of bytes
}

// Release gives up the reference. The extent must not be used after it.
func (e Extent) Release() {
	if e.File != nil {
		e.File.Release()
	}
}

// ExtentFile is a segment file seen from the sending side. All methods may be called concurrently.
type ExtentFile interface {
	// ReadAt copies stored bytes, for the answers that are copied on purpose.
	io.ReaderAt
	// Fd is the descriptor to give to sendfile. It is false where there is none (a file in memory): the caller
	// then copies and counts the reason.
	Fd() (fd int, ok bool)
	// Release gives up one reference; the last one closes the file, and unlinks it if it was deleted meanwhile.
	Release()
}

// ReleaseAll releases every extent and returns the emptied slice for reuse.
func ReleaseAll(es []Extent) []Extent {
	for i := range es {
		es[i].Release()
		es[i] = Extent{}
	}
	return es[:0]
}
