package segment

import (
	"errors"
	"fmt"
	"io"

	"penstock"
	"penstock/store"
)

// Limits of a walk. A header that claims more than maxBatchBytes is corrupt, so that no damage makes a walk allocate more.
const (
	maxBatchBytes  = 128 << 20
	minWalkWindow  = 512
	maxWalkWindow  = 64 << 10
	bodyWalkWindow = 1 << 20
)

// errZero says that a walk met zeros where a header should be: space written ahead, the end of the log.
var errZero = errors.New("zeros")

// walker goes over the batches of one file. It reads in windows: small ones while batches are large and only headers
// are wanted, larger ones while many batches fit. It holds its buffer for reuse.
type walker struct {
	f      store.Format
	file   io.ReaderAt
	pos    int64 // of the batch that header looks at
	end    int64 // the walk stops here
	window int
	buf    []byte // bytes of the file from at
	at     int64
}

// reset points the walker at [pos, end) of file. With bodies it expects to be asked for whole batches.
func (w *walker) reset(f store.Format, file io.ReaderAt, pos, end int64, bodies bool) {
	w.f, w.file, w.pos, w.end, w.at, w.buf = f, file, pos, end, 0, w.buf[:0]
	w.window = minWalkWindow
	if bodies {
		w.window = bodyWalkWindow
	}
}

// bytes returns the n bytes of the file at the walker's position; they are valid until the next call.
func (w *walker) bytes(n int) ([]byte, error) {
	if off := w.pos - w.at; off >= 0 && off+int64(n) <= int64(len(w.buf)) {
		return w.buf[off : off+int64(n)], nil
	}
	want := int64(max(n, w.window))
	want = min(want, w.end-w.pos)
	if int64(cap(w.buf)) < want {
		w.buf = make([]byte, want)
	}
	w.buf = w.buf[:want]
	w.at = w.pos
	got, err := w.file.ReadAt(w.buf, w.pos)
	w.buf = w.buf[:got]
	if got >= n {
		return w.buf[:n], nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: file ends at %d", penstock.ErrCorrupt, w.pos+int64(got))
	}
	return nil, err
}

// header reads the header at the walker's position. It returns io.EOF at the end, errZero at zeros, and an error that wraps
// penstock.ErrCorrupt where no batch can be that fits before the end.
func (w *walker) header() (penstock.BatchHeader, error) {
	var none penstock.BatchHeader
	left := w.end - w.pos
	if left <= 0 {
		return none, io.EOF
	}
	n := w.f.HeaderSize()
	b, err := w.bytes(int(min(left, int64(n))))
	if err != nil {
		return none, err
	}
	if allZero(b) {
		return none, errZero
	}
	if len(b) < n {
		return none, fmt.Errorf("%w: %d bytes at %d", penstock.ErrCorrupt, left, w.pos)
	}
	h, err := w.f.Header(b)
	if err != nil {
		return none, fmt.Errorf("at %d: %w", w.pos, err)
	}
	if int(h.Size) < n || h.Size > maxBatchBytes || int64(h.Size) > left || h.LastDelta < 0 {
		return none, fmt.Errorf("%w: batch of %d bytes at %d, %d bytes left", penstock.ErrCorrupt, h.Size, w.pos, left)
	}
	return h, nil
}

// body returns the whole batch whose header was read.
func (w *walker) body(h *penstock.BatchHeader) ([]byte, error) { return w.bytes(int(h.Size)) }

// skip goes to the next batch.
func (w *walker) skip(h *penstock.BatchHeader) {
	w.pos += int64(h.Size)
	if int(h.Size) < w.window && w.window < maxWalkWindow {
		w.window *= 2
	}
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
