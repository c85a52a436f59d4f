package wire

import (
	"errors"
	"fmt"
	"sync"

	"penstock/metric"
)

// Stored bytes that lie scattered in files are gathered in a pipe, by reference: splice puts pages of the page cache into it, and one
// call sends what is there. Sending each piece by sendfile instead pushes its end as a packet of its own, or needs a corked socket,
// and goes through TCP once a piece.
//
// Invariants:
//  1. A pipe belongs to the flusher of one connection, from the first byte put in until it is empty again. It is filled only when it is
//     empty, from the first op not sent on: so what is in it is always the front of what the plan has left.
//  2. A pipe that is given back is empty. One that still has bytes, after an error, is closed.
//  3. There are at most maxPipes, so slow peers hold a bounded number; who gets none sends piece by piece.

// Gatherer is what a Kernel can do besides: gather in a pipe what goes out together. Pipes do not block; each call returns EAGAIN
// rather than wait.
type Gatherer interface {
	// Pipe makes a pipe that holds about size bytes, less if there may be no such.
	Pipe(size int) (read, write int, err error)
	// ClosePipe closes it, with whatever it holds.
	ClosePipe(read, write int)
	// WritePipe copies p into the pipe.
	WritePipe(pipe int, p []byte) (int, error)
	// FillPipe puts up to n bytes of file at off into the pipe, by reference.
	FillPipe(pipe, file int, off int64, n int) (int, error)
	// DrainPipe sends n bytes that the pipe holds; more holds the end back for what follows.
	DrainPipe(sock, pipe, n int, more bool) (int, error)
}

// The constants rest on BenchmarkScattered. Least of two runs, CPU seconds per GiB of answers of 1 MiB whose pieces lie all over 512 MiB: copied,
// by sendfile with a corked socket, through a pipe.
//
//	pieces of  1 KiB   2 KiB   4 KiB   8 KiB  16 KiB  32 KiB  64 KiB
//	copied      0.79    0.45    0.34    0.21    0.18    0.15    0.13
//	sendfile    1.83    0.99    0.55    0.33    0.20    0.14    0.13
//	pipe        1.11    0.56    0.30    0.19    0.12    0.11    0.13
//
// Two pieces are enough for a pipe: 32 KiB in halves take 12.6 us through one, 15.6 us by sendfile.
const (
	gatherBelow = 32 << 10 // pieces below it go through a pipe; those near 64 KiB cost the same by sendfile
	gatherFrom  = 2        // where so many of them follow one another
	gatherBytes = 4 << 10  // in memory between pieces go with them, up to so many at once
	crumbBelow  = 4 << 10  // an answer whose pieces are smaller than this on average is copied,
	crumbsMax   = 1 << 20  // up to so many bytes

	pipeBytes = 1 << 20 // asked of a pipe: the most that a process without privileges gets
	maxPipes  = 64      // of one listener
)

// pipe is one with what it holds.
type pipe struct {
	read, write int
	held        int
}

// pipes are the pipes of a listener.
type pipes struct {
	mu   sync.Mutex
	free []*pipe // guarded by mu
	made int     // guarded by mu: free and in use
	low  int     // guarded by mu: fewest free since the last trim
}

// get takes a pipe, nil if there is none to be had.
func (ps *pipes) get(k Gatherer) *pipe {
	ps.mu.Lock()
	if n := len(ps.free) - 1; n >= 0 {
		p := ps.free[n]
		ps.free = ps.free[:n]
		ps.low = min(ps.low, n)
		ps.mu.Unlock()
		return p
	}
	if ps.made >= maxPipes {
		ps.mu.Unlock()
		return nil
	}
	ps.made++
	ps.mu.Unlock()
	r, w, err := k.Pipe(pipeBytes)
	if err != nil { // too many files, or too much memory of pipes
		ps.drop(1)
		return nil
	}
	return &pipe{read: r, write: w}
}

func (ps *pipes) drop(n int) {
	ps.mu.Lock()
	ps.made -= n
	ps.mu.Unlock()
}

// put gives one back, or closes it if bytes are left in it.
func (ps *pipes) put(k Gatherer, p *pipe) {
	if p.held > 0 {
		k.ClosePipe(p.read, p.write)
		ps.drop(1)
		return
	}
	ps.mu.Lock()
	ps.free = append(ps.free, p)
	ps.mu.Unlock()
}

// trim closes the pipes that nobody has needed since the last time, or all of them.
func (ps *pipes) trim(kernel Kernel, all bool) {
	k, ok := kernel.(Gatherer)
	if !ok {
		return
	}
	ps.mu.Lock()
	n := ps.low
	if all {
		n = len(ps.free)
	}
	old := append([]*pipe(nil), ps.free[:n]...)
	ps.free = append(ps.free[:0], ps.free[n:]...)
	ps.made -= n
	ps.low = len(ps.free)
	ps.mu.Unlock()
	for _, p := range old {
		k.ClosePipe(p.read, p.write)
	}
}

// gathers reports whether an op goes through a pipe if there is one: it is small, and neither the only piece nor without a descriptor.
func (o *op) gathers() bool {
	if o.file == nil {
		return o.n <= gatherBytes
	}
	return o.fd != noFd && o.n < gatherBelow
}

// planGather marks the runs of ops that are worth a pipe, and gets one if there are any. rest reports whether pieces are left that leave
// by sendfile.
func (w *sender) planGather(k Kernel) (rest bool) {
	gk, ok := k.(Gatherer)
	for at := 0; at < len(w.ops); {
		end, pieces := at, 0
		for ; end < len(w.ops) && w.ops[end].gathers(); end++ {
			if w.ops[end].file != nil {
				pieces++
			}
		}
		if ok && pieces >= gatherFrom && w.pipe == nil {
			w.pipe = w.pipes.get(gk)
		}
		for i := at; i < end; i++ {
			w.ops[i].gather = pieces >= gatherFrom && w.pipe != nil
			rest = rest || !w.ops[i].gather && w.ops[i].file != nil
		}
		if end < len(w.ops) {
			rest = rest || w.ops[end].file != nil
			end++
		}
		at = end
	}
	return rest
}

// stepGather fills the pipe if it is empty and makes one system call to send what it holds. It goes over the ops by itself, and reports the
// bytes that left.
func (w *sender) stepGather(k Gatherer, sock int, more bool) (int, error) {
	if w.pipe.held == 0 {
		if err := w.fill(k); err != nil && w.pipe.held == 0 {
			return 0, err
		}
		if w.pipe.held == 0 {
			return 0, nil // the op at hand has turned out to be none for a pipe
		}
	}
	n, err := k.DrainPipe(sock, w.pipe.read, w.pipe.held, more || int64(w.pipe.held) < w.gathered())
	if err != nil && !wouldBlock(err) {
		err = fmt.Errorf("send from a pipe: %w", err)
	}
	w.pipe.held -= n
	w.left(int64(n))
	return n, err
}

// gathered is the number of bytes of the ops at hand, or more than a pipe holds.
func (w *sender) gathered() (sum int64) {
	for i := w.at; i < len(w.ops) && sum <= pipeBytes; i++ {
		sum += w.ops[i].n
	}
	return sum
}

// fill puts into the empty pipe what fits of the ops to be gathered. What cannot be read is an error once it is the first.
func (w *sender) fill(k Gatherer) error {
	for i := w.at; i < len(w.ops) && w.ops[i].gather; i++ {
		o := &w.ops[i]
		for done := int64(0); done < o.n; {
			n, err := w.fillOp(k, o, done)
			w.pipe.held += n
			done += int64(n)
			switch {
			case wouldBlock(err):
				return nil // it is full
			case noSendfile(err): // a file system that cannot: what is not in the pipe goes through memory
				if done == 0 {
					o.gather, o.fd = false, noFd
				}
				return nil
			case err != nil:
				return err
			}
		}
	}
	return nil
}

func (w *sender) fillOp(k Gatherer, o *op, done int64) (int, error) {
	if o.file == nil {
		n, err := k.WritePipe(w.pipe.write, o.p[done:])
		if err == nil && n == 0 {
			err = errors.New("pipe takes nothing")
		}
		return n, err
	}
	n, err := k.FillPipe(w.pipe.write, o.fd, o.off+done, int(o.n-done))
	switch {
	case err == nil && n == 0:
		err = fmt.Errorf("splice at %d, %d bytes left: %w", o.off+done, o.n-done, ErrTruncated)
	case err != nil && !wouldBlock(err) && !noSendfile(err):
		err = fmt.Errorf("splice at %d: %w", o.off+done, err)
	}
	return n, err
}

// left goes over the ops whose bytes have left, n of them.
func (w *sender) left(n int64) {
	for n > 0 {
		o := &w.ops[w.at]
		k := min(n, o.n)
		if o.file != nil {
			o.off += k
			o.tally.Add(metric.PathSplice, metric.ReasonNone, k)
		} else {
			o.p = o.p[k:]
		}
		o.n -= k
		n -= k
		if o.n == 0 {
			w.opDone(o)
		}
	}
}

// givePipe gives the pipe back.
func (w *sender) givePipe() {
	if w.pipe != nil {
		w.pipes.put(w.k.(Gatherer), w.pipe)
		w.pipe = nil
	}
}
