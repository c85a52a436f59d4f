package wire

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"penstock"
)

// stored is a segment file in memory or on disk, with its references counted.
type stored struct {
	data []byte
	file *os.File // nil: in memory
	refs atomic.Int64
}

var _ penstock.ExtentFile = (*stored)(nil)

func newStored(n int) *stored { return &stored{data: pattern(byte(n), n)} }

func newStoredFile(t testing.TB, n int) *stored {
	t.Helper()
	s := newStored(n)
	name := filepath.Join(t.TempDir(), "segment")
	if err := os.WriteFile(name, s.data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	s.file = f
	return s
}

func (s *stored) extent(off, n int64) penstock.Extent {
	s.refs.Add(1)
	return penstock.Extent{File: s, Off: off, Len: n}
}

func (s *stored) ReadAt(p []byte, off int64) (int, error) {
	if s.file != nil {
		return s.file.ReadAt(p, off)
	}
	n := copy(p, s.data[min(off, int64(len(s.data))):])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (s *stored) Fd() (int, bool) {
	if s.file == nil {
		return 0, false
	}
	return int(s.file.Fd()), true
}

func (s *stored) Release() {
	if s.refs.Add(-1) < 0 {
		panic("extent released twice")
	}
}

// flaky is a Kernel that counts, and that makes calls short by seed. It does not make up EAGAIN, after which the poller
// would wait for an edge that never comes: tests get real ones from small socket buffers.
type flaky struct {
	Kernel
	block atomic.Bool // for good: every Write and Sendfile says EAGAIN

	mu        sync.Mutex
	rnd       *rand.Rand // nil: no faults
	reads     int
	writes    int
	written   int64
	sendfiles int
	sentFile  int64
	readFiles int
	readFile  int64
	corks     int
	fills     int
	drains    int
	spliced   int64
	pipes     map[int]int // bytes in each pipe that is open, by its reading end
	ends      map[int]int // reading ends by writing ends
	dirty     int         // pipes closed with bytes in them
	most      int         // pipes open at once
	noPipes   bool        // there are no pipes to be had
	spliceErr error       // of every FillPipe from the next on
	drainErr  error       // of every DrainPipe from the next on
	corked    bool        // the socket holds back
	held      bool        // the last bytes sent were to be held back for more
}

// short returns a smaller count now and then.
func (k *flaky) short(n int) int {
	if k.rnd == nil || n == 0 || k.rnd.IntN(2) == 0 {
		return n
	}
	return 1 + k.rnd.IntN(n)
}

func (k *flaky) Read(sock int, p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.reads++
	return k.Kernel.Read(sock, p[:k.short(len(p))])
}

func (k *flaky) Write(sock int, p []byte, more bool) (int, error) {
	if k.block.Load() {
		return 0, syscall.EAGAIN
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.writes++
	m := k.short(len(p))
	n, err := k.Kernel.Write(sock, p[:m], more || m < len(p))
	k.written += int64(n)
	k.held = more
	return n, err
}

func (k *flaky) Sendfile(sock, file int, off int64, n int) (int, error) {
	if k.block.Load() {
		return 0, syscall.EAGAIN
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sendfiles++
	sent, err := k.Kernel.Sendfile(sock, file, off, k.short(n))
	k.sentFile += int64(sent)
	k.held = false
	return sent, err
}

func (k *flaky) Cork(sock int, on bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.corks++
	k.corked = on
	return k.Kernel.(Corker).Cork(sock, on)
}

func (k *flaky) ReadFile(f penstock.ExtentFile, p []byte, off int64) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.readFiles++
	n, err := k.Kernel.ReadFile(f, p[:k.short(len(p))], off)
	if n > 0 && errors.Is(err, io.EOF) && n == len(p) {
		err = nil
	}
	k.readFile += int64(n)
	return n, err
}

func (k *flaky) Pipe(size int) (int, int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.noPipes {
		return -1, -1, syscall.EMFILE
	}
	if k.rnd != nil {
		size = 4096 << k.rnd.IntN(5)
	}
	r, w, err := k.Kernel.(Gatherer).Pipe(size)
	if err == nil {
		if k.pipes == nil {
			k.pipes, k.ends = map[int]int{}, map[int]int{}
		}
		k.pipes[r], k.ends[w] = 0, r
		k.most = max(k.most, len(k.pipes))
	}
	return r, w, err
}

func (k *flaky) ClosePipe(r, w int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ends[w] != r {
		panic("ends of two pipes are closed together")
	}
	if k.pipes[r] > 0 {
		k.dirty++
	}
	delete(k.pipes, r)
	delete(k.ends, w)
	k.Kernel.(Gatherer).ClosePipe(r, w)
}

// fill counts what went into a pipe, and makes up now and then that it is full.
func (k *flaky) fill(pipe, n int, do func(n int) (int, error)) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r, ok := k.ends[pipe]
	if !ok {
		panic("a pipe is filled that is not open")
	}
	if k.rnd != nil && k.pipes[r] > 0 && k.rnd.IntN(10) == 0 {
		return 0, syscall.EAGAIN
	}
	k.fills++
	n, err := do(k.short(n))
	k.pipes[r] += n
	return n, err
}

func (k *flaky) WritePipe(pipe int, p []byte) (int, error) {
	return k.fill(pipe, len(p), func(n int) (int, error) { return k.Kernel.(Gatherer).WritePipe(pipe, p[:n]) })
}

func (k *flaky) FillPipe(pipe, file int, off int64, n int) (int, error) {
	return k.fill(pipe, n, func(n int) (int, error) {
		if k.spliceErr != nil {
			return 0, k.spliceErr
		}
		return k.Kernel.(Gatherer).FillPipe(pipe, file, off, n)
	})
}

func (k *flaky) DrainPipe(sock, pipe, n int, more bool) (int, error) {
	if k.block.Load() {
		return 0, syscall.EAGAIN
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pipes[pipe] != n {
		panic("a pipe is drained of other bytes than are in it")
	}
	if k.drainErr != nil {
		return 0, k.drainErr
	}
	k.drains++
	m := k.short(n)
	sent, err := k.Kernel.(Gatherer).DrainPipe(sock, pipe, m, more || m < n)
	k.pipes[pipe] -= sent
	k.spliced += int64(sent)
	k.held = more
	return sent, err
}
