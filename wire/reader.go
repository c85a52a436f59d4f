package wire

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"time"
)

// run is the life of a connection, on the goroutine that reads it.
func (c *Conn) run() {
	defer c.s.running.Done()
	cause := c.guard(func() error {
		c.session = c.s.p.Open(c)
		return c.read()
	})
	c.Close(cause)
	if errors.Is(cause, ErrPanic) {
		c.in.yieldCharge() // of a request that may never end; its memory is left to the garbage collector
	}
	c.in.drop()
	if c.session != nil {
		_ = c.guard(func() error {
			c.session.Close(c.closeCause())
			return nil
		})
	}
	c.s.forget(c)
}

// guard calls f and turns a panic of the session into an error: one connection's fault ends one connection.
func (c *Conn) guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.s.panics.Add(1)
			c.s.o.Logger.Error("session panicked", "listener", c.s.o.Listener, "peer", c.RemoteAddr(),
				"panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: %v", ErrPanic, p)
		}
	}()
	return f()
}

// read makes rounds until the connection ends and returns why.
func (c *Conn) read() error {
	for {
		if err := c.prepare(); err != nil {
			return err
		}
		if err := c.t.receive(c.recvFn); err != nil {
			if c.stopping.Load() {
				return c.finish()
			}
			return fmt.Errorf("receive: %w", err)
		}
		if c.recvErr != nil {
			return c.recvErr
		}
		if err := c.round(time.Now()); err != nil {
			return err
		}
	}
}

// prepare waits for what the next read needs of the budget. It holds none of it meanwhile: what the requests already
// served hold comes back without the help of this goroutine, so the wait ends.
func (c *Conn) prepare() error {
	part := c.in.prepare()
	if part == 0 {
		return nil
	}
	c.in.yieldCharge()
	if err := c.charge(part); err != nil {
		return err
	}
	c.in.grow(part)
	return nil
}

// charge takes n bytes of the budget, waiting if it must, but not longer than the connection lives.
func (c *Conn) charge(n int64) error {
	b := c.s.o.Budget
	w := b.claim(n)
	if w == nil {
		return nil
	}
	c.mu.Lock()
	c.claim = w
	closed := c.closed
	c.mu.Unlock()
	if closed {
		b.abandon(w) // Close came before it could see the claim
	}
	<-w.ready
	c.mu.Lock()
	c.claim = nil
	closed, cause := c.closed, c.cause
	c.mu.Unlock()
	if closed {
		if w.granted {
			b.give(n)
		}
		return cause
	}
	return nil
}

// recv receives once. It is called with the descriptor, again when there is something to read: the buffer is taken for
// the call and given back when there is nothing, so a connection that waits holds none. The call cannot be spared even
// when the last read left the socket empty, because the poller has forgotten edges from before it.
func (c *Conn) recv(fd uintptr) bool {
	n, err := c.s.o.Kernel.Read(int(fd), c.in.offer())
	if n > 0 {
		c.in.arrived(n)
		c.received.Add(int64(n))
		c.phase.Store(phaseBusy)
		return true
	}
	c.in.park()
	if wouldBlock(err) {
		switch {
		case c.in.carried() > 0:
			c.phase.Store(phaseFrame)
		case c.phase.Load() != phaseFirst:
			c.phase.Store(phaseIdle)
		}
		return false
	}
	switch {
	case err != nil:
		c.recvErr = fmt.Errorf("receive: %w", err)
	case c.in.carried() > 0:
		c.recvErr = io.ErrUnexpectedEOF
	default:
		c.recvErr = io.EOF
	}
	return true
}

// round serves all whole frames of what has arrived, then flushes the answers that are ready. The processor is offered
// to others after each burst, so that no connection keeps it for a whole large read.
func (c *Conn) round(now time.Time) error {
	burst := 0
	begun := false
	for {
		frame, ok, err := c.in.next(c.session)
		if err != nil {
			if begun {
				c.drained()
			}
			return c.failInOrder(err)
		}
		if !ok {
			break
		}
		if err := c.makeRoom(begun); err != nil {
			return err
		}
		begun = true
		r := c.admit(frame, c.in.buf)
		r.arrived = now
		c.served.Add(1)
		c.session.Serve(r)
		if burst += len(frame); burst >= burstBytes {
			burst = 0
			runtime.Gosched()
		}
	}
	c.in.settle()
	if begun {
		c.drained()
	}
	return nil
}

// makeRoom sees to it that one more request may be served, waiting if it must: for the buffer's part of the budget
// before the first request of a round, and for earlier answers. begun tells whether the round has served any.
func (c *Conn) makeRoom(begun bool) error {
	if !begun {
		if buf := c.in.buf; buf.charge == 0 && c.s.o.Budget != nil {
			part := c.s.o.Budget.part(int64(len(buf.b)))
			if err := c.charge(part); err != nil {
				return err
			}
			buf.charge = part
		}
	}
	c.mu.Lock()
	c.inRound = true
	if !c.full() {
		c.mu.Unlock()
		return nil
	}
	c.mu.Unlock()
	// The session may be holding the very requests whose answers are waited for.
	c.drained()
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.full() && !c.closed {
		c.wait()
	}
	if c.closed {
		return c.cause
	}
	c.inRound = true
	return nil
}

// full reports whether further requests must wait. The caller holds mu.
func (c *Conn) full() bool { return c.pending >= c.s.o.InFlight || c.unsent >= unsentMax }

// wait waits until something changes. The caller holds mu.
func (c *Conn) wait() {
	c.waiting = true
	c.changed.Wait()
	c.waiting = false
}

// drained ends a round, or a part of it: the session sends on what it gathered, and the answers that are ready leave
// in one go.
func (c *Conn) drained() {
	c.session.Drained()
	c.mu.Lock()
	c.inRound = false
	if c.flushing || !c.ready() {
		c.mu.Unlock()
		return
	}
	c.flushing = true
	c.mu.Unlock()
	// A peer that takes no more now does not keep its next requests from being served: a goroutine waits for it.
	if c.flush(false) {
		c.s.running.Add(1)
		go c.flushFn()
	}
}

// failInOrder closes the connection for a fault of the peer, once the requests before it are answered. The fault takes
// a place in the order, like a request that fails.
func (c *Conn) failInOrder(err error) error {
	c.in.drop()
	c.admit(nil, nil).Fail(err)
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.closed {
		c.wait()
	}
	return c.cause
}

// finish waits, in a shutdown, until everything served is answered and everything pushed has left.
func (c *Conn) finish() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for (c.pending > 0 || c.pushes > 0) && !c.closed {
		c.wait()
	}
	if c.closed {
		return c.cause
	}
	return ErrShutdown
}

// closeCause is why the connection was closed.
func (c *Conn) closeCause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause
}
