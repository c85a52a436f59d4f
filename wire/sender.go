package wire

import (
	"fmt"
	"io"
	"runtime"

	"penstock"
	"penstock/metric"
)

// sender turns answers into system calls. It belongs to the flusher of one connection at a time, and keeps its place
// when the peer takes no more.
//
// Answers are planned a few at a time into ops, each one run of bytes or of a file:
//
//	small answers              gathered, stored bytes read in, into one buffer: one write for all of them
//	one answer in memory       written from where it lies
//	CopyBelow or more stored   bytes as they lie, each extent by sendfile; runs of small extents through a pipe, see gather.go
//
// Every op but the last has more to follow and says so (MSG_MORE), and so does the last while further answers are
// ready: nothing is held back at the end.
type sender struct {
	queue   []*Request // answers taken, in order
	memory  int64      // bytes in memory of these answers
	pushes  int        // of these are frames pushed
	pushed  int64      // bytes in memory of those
	next    int        // of queue is planned next
	counted int        // of queue are complete and in the copy account
	behind  bool       // further answers were ready when these were taken

	ops   []op
	at    int       // op being sent
	outs  []*buffer // that ops lie in
	pool  *pool
	k     Kernel
	pipes *pipes
	pipe  *pipe   // in which ops are gathered; nil if the plan needs none
	piece *buffer // what has been read of the op being copied
	lo    int     // piece.b[lo:hi] is still to be sent
	hi    int

	cork   bool // the plan is a run of small pieces
	corked bool // the socket holds back

	wait  bool // rather than report that the peer takes no more
	stuck bool // the peer takes no more
	burst int  // bytes sent since the processor was offered to others
	err   error
	fault error // of planning, due when ops are sent
}

// op is one run of bytes, or of a file.
type op struct {
	p      []byte
	file   penstock.ExtentFile // nil for bytes
	fd     int                 // of file; noFd when it has to be copied
	off    int64
	n      int64
	tally  *metric.Tally
	gather bool // it goes through a pipe, with its neighbours
	ends   int  // answers of the queue that are complete once this is sent, counted from its start
}

const noFd = -1

// add takes one more answer.
func (w *sender) add(r *Request) {
	w.queue = append(w.queue, r)
	if r.answer != nil {
		w.memory += int64(len(r.answer.B))
		if r.push {
			w.pushes++
			w.pushed += int64(len(r.answer.B))
		}
	}
}

// begun reports whether there is something left to send.
func (w *sender) begun() bool { return w.at < len(w.ops) || w.next < len(w.queue) }

// giveUp forgets what is left to send.
func (w *sender) giveUp() {
	w.at, w.next = len(w.ops), len(w.queue)
}

// retire recycles everything that was taken.
func (w *sender) retire() {
	w.endPlan()
	for i, r := range w.queue {
		r.recycle()
		w.queue[i] = nil
	}
	w.queue, w.memory, w.next, w.counted = w.queue[:0], 0, 0, 0
	w.pushes, w.pushed = 0, 0
	w.behind, w.stuck, w.err, w.fault, w.cork, w.corked = false, false, nil, nil, false, false
}

// endPlan gives back what the plan held.
func (w *sender) endPlan() {
	for i, b := range w.outs {
		b.release()
		w.outs[i] = nil
	}
	clear(w.ops)
	w.outs, w.ops, w.at = w.outs[:0], w.ops[:0], 0
	w.givePipe()
	w.piece.release()
	w.piece, w.lo, w.hi = nil, 0, 0
}

// send sends until everything taken is out, or blocked when the peer takes no more and wait is false. After an error
// the connection is lost: part of an answer may have left.
func (w *sender) send(c *Conn, wait bool) (blocked bool, err error) {
	w.wait = wait
	defer c.blocked.Store(false)
	for {
		if w.at == len(w.ops) {
			if w.fault != nil {
				return false, w.fault
			}
			w.endPlan()
			if w.next == len(w.queue) {
				return false, nil
			}
			w.pool, w.pipes, w.k = &c.s.pool, &c.s.pipes, c.s.o.Kernel
			w.plan(c.s.o.Kernel, c.s.o.CopyBelow)
			continue
		}
		w.stuck = false
		if err := c.t.send(c.sendFn); err != nil {
			return false, fmt.Errorf("send: %w", err)
		}
		if w.err != nil {
			return false, w.err
		}
		if w.stuck {
			return true, nil
		}
		if w.burst >= burstBytes {
			w.burst = 0
			runtime.Gosched()
		}
	}
}

// send makes system calls until the plan is done, the peer takes no more, or a burst has been sent. It is called with
// the descriptor, again when there is room to write.
func (c *Conn) send(fd uintptr) bool {
	w, k := c.out, c.s.o.Kernel
	if w.cork && !w.corked {
		w.setCork(k, int(fd), true)
	}
	for w.at < len(w.ops) && w.burst < burstBytes {
		o := &w.ops[w.at]
		n, err := w.step(k, int(fd), o, w.at+1 < len(w.ops) || w.next < len(w.queue) || w.behind)
		if n > 0 {
			w.burst += n
			c.sent.Add(int64(n))
		}
		if wouldBlock(err) {
			w.stuck = true
			c.blocked.Store(true)
			return !w.wait
		}
		if err != nil {
			w.err = err
			return true
		}
		if !o.gather && o.n == 0 {
			w.opDone(o)
		}
	}
	w.stuck = false
	if w.corked && w.at == len(w.ops) {
		w.setCork(k, int(fd), false)
	}
	return true
}

// setCork begins or ends holding back. Failing costs a few segments more and nothing else.
func (w *sender) setCork(k Kernel, sock int, on bool) {
	w.cork, w.corked = false, on
	if corker, ok := k.(Corker); ok {
		_ = corker.Cork(sock, on)
	}
}

// step makes one system call for o and reports the bytes that left. Any call may be partial, a header of a few bytes
// too; the op keeps what is left of it.
func (w *sender) step(k Kernel, sock int, o *op, more bool) (int, error) {
	if o.gather {
		return w.stepGather(k.(Gatherer), sock, w.next < len(w.queue) || w.behind)
	}
	if o.file == nil {
		n, err := k.Write(sock, o.p, more)
		if err != nil && !wouldBlock(err) {
			err = fmt.Errorf("send: %w", err)
		}
		o.p = o.p[n:]
		o.n = int64(len(o.p))
		return n, err
	}
	if o.fd == noFd {
		return w.stepCopy(k, sock, o, more)
	}
	n, err := k.Sendfile(sock, o.fd, o.off, int(min(o.n, sendBytes)))
	o.off += int64(n)
	o.n -= int64(n)
	o.tally.Add(metric.PathSendfile, metric.ReasonNone, int64(n))
	switch {
	case err == nil && n == 0:
		return 0, fmt.Errorf("sendfile at %d, %d bytes left: %w", o.off, o.n, ErrTruncated)
	case noSendfile(err): // a file system that cannot: the rest goes through memory, and is counted so
		o.fd = noFd
		return n, nil
	case err != nil && !wouldBlock(err):
		err = fmt.Errorf("sendfile at %d: %w", o.off, err)
	}
	return n, err
}

// stepCopy sends a piece of a file that has no descriptor, through memory.
func (w *sender) stepCopy(k Kernel, sock int, o *op, more bool) (int, error) {
	if w.lo == w.hi {
		want := int(min(o.n, pieceBytes))
		if w.piece == nil {
			w.piece = w.pool.get(want)
		}
		want = min(want, len(w.piece.b))
		if err := readFull(k, o.file, w.piece.b[:want], o.off); err != nil {
			return 0, err
		}
		w.lo, w.hi = 0, want
	}
	n, err := k.Write(sock, w.piece.b[w.lo:w.hi], more || o.n > int64(w.hi-w.lo))
	w.lo += n
	o.off += int64(n)
	o.n -= int64(n)
	o.tally.Add(metric.PathCopied, metric.ReasonNoFile, int64(n))
	if err != nil && !wouldBlock(err) {
		err = fmt.Errorf("send: %w", err)
	}
	return n, err
}

// readFull reads len(p) stored bytes at off.
func readFull(k Kernel, f penstock.ExtentFile, p []byte, off int64) error {
	for done := 0; done < len(p); {
		n, err := k.ReadFile(f, p[done:], off+int64(done))
		done += n
		if done == len(p) {
			return nil
		}
		if err == io.EOF || err == nil && n == 0 {
			err = ErrTruncated
		}
		if err != nil {
			return fmt.Errorf("read stored bytes at %d: %w", off+int64(done), err)
		}
	}
	return nil
}

// opDone goes on to the next op and counts the answers that are complete.
func (w *sender) opDone(o *op) {
	for ; w.counted < o.ends; w.counted++ {
		if a := w.queue[w.counted].answer; a != nil {
			a.count()
		}
	}
	w.piece.release()
	w.piece, w.lo, w.hi = nil, 0, 0
	w.at++
}
