package wire

import "fmt"

// Push sends a frame that answers no request: a request of this node to the client, or a notice. It may be called from
// any goroutine, with or without requests outstanding, and with locks held: it makes no system call and never waits.
//
// Frames pushed leave in the order in which they were pushed, and after the answers that were ready before them. They do
// not wait for requests that are not answered yet, in whatever order answers leave: with Options.AnyOrder everything
// leaves as it was given.
//
// Push owns a from here, also when it fails. A frame counts as an unsent answer until it has left: a peer that does not
// take it in Options.WriteTime is cut off, a connection with one is not idle, and Shutdown sends it before it closes. It
// does not count for Options.InFlight.
//
// An error means that the frame will not leave: ErrPushesFull when pushMax frames, or pushBytes of them, have not left,
// or ErrClosed. No error does not mean that the peer has it: what a closing connection still holds is dropped.
func (c *Conn) Push(a *Answer) error {
	err := a.seal()
	if err == nil {
		err = c.pushAnswer(a)
	}
	if err != nil {
		a.Discard()
		return fmt.Errorf("push: %w", err)
	}
	return nil
}

// pushAnswer gives a its place in the order, and sees to it that somebody flushes.
func (c *Conn) pushAnswer(a *Answer) error {
	n := int64(len(a.B))
	c.mu.Lock()
	switch {
	case c.closed:
		cause := c.cause
		c.mu.Unlock()
		if cause == nil {
			return ErrClosed
		}
		return fmt.Errorf("%w: %w", ErrClosed, cause)
	case c.stopping.Load():
		c.mu.Unlock()
		return fmt.Errorf("%w: %w", ErrClosed, ErrShutdown)
	case c.pushes >= pushMax || c.pushes > 0 && c.pushed+n > pushBytes:
		pushes, pushed := c.pushes, c.pushed
		c.mu.Unlock()
		return fmt.Errorf("%w: %d of them, %d bytes", ErrPushesFull, pushes, pushed)
	}
	r := requests.Get().(*Request)
	r.c, r.push, r.done, r.answer = c, true, true, a
	c.pushes++
	c.pushed += n
	c.unsent += n
	c.insert(r)
	start := !c.inRound && !c.flushing
	if start {
		c.flushing = true
		c.s.running.Add(1)
	}
	c.mu.Unlock()
	if start {
		go c.flushFn()
	}
	return nil
}

// insert puts r, which is done, behind the requests at the front of the ring that are done, and before the first that
// is not. All frames pushed before are among the former. The caller holds mu.
func (c *Conn) insert(r *Request) {
	c.push(r)
	mask := len(c.ring) - 1
	at := 0
	for c.ring[(c.head+at)&mask].done && at < c.count-1 {
		at++
	}
	for i := c.count - 1; i > at; i-- {
		c.ring[(c.head+i)&mask] = c.ring[(c.head+i-1)&mask]
	}
	c.ring[(c.head+at)&mask] = r
}
