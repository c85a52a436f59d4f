package rocket

import (
	"sync"
	"sync/atomic"
	"time"

	"penstock/replica"
)

// poll is one pull that waits for a message. It ends once: by a message that matches, by its time, or by its connection; who sets over first owns the
// call from there on. A message whose tag does not match moves the call on, and it waits again, by a poll of its own.
type poll struct {
	call   *pullCall
	over   atomic.Bool
	mu     sync.Mutex // held while the poll is armed, so that a wake-up that comes before waits for the end of it
	waiter *replica.Waiter
	timer  *time.Timer
}

// poll makes the call wait.
func (c *pullCall) poll() {
	c.drop()
	now := c.front.o.Now()
	if c.until.IsZero() {
		c.until = now.Add(c.wait)
	}
	p := &poll{call: c}
	p.mu.Lock()
	defer p.mu.Unlock()
	if instead := c.session.enter(p); instead != nil {
		p.over.Store(true)
		instead(c)
		return
	}
	p.timer = time.AfterFunc(max(c.until.Sub(now), 0), p.timeUp)
	// The waiter is fired by an appender, which must not wait for us.
	p.waiter = replica.NewWaiter(1, func() { go p.arrived() })
	c.led.Wait(p.waiter, c.edges.HighWatermark, replica.ReadUncommitted)
}

// arrived looks at what became visible, and waits on if nothing of it matches.
func (p *poll) arrived() {
	if !p.finish() {
		return
	}
	defer p.call.front.contain(p.call.session.conn)
	p.call.session.leave(p)
	p.call.serve()
}

// timeUp ends the wait with an answer, whatever there is by now.
func (p *poll) timeUp() {
	if !p.finish() {
		return
	}
	defer p.call.front.contain(p.call.session.conn)
	p.call.session.leave(p)
	p.call.now()
}

// abandon ends the wait without an answer: the connection is gone.
func (p *poll) abandon() {
	if p.finish() {
		p.call.abandon()
	}
}

// finish claims the end of the wait, and is false if somebody else has.
func (p *poll) finish() bool {
	if !p.over.CompareAndSwap(false, true) {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer.Stop()
	p.waiter.Cancel()
	p.call.front.waiting.Add(-1)
	return true
}

// abandon ends a call that nobody waits for.
func (c *pullCall) abandon() {
	w := c.ticket.wire
	c.drop()
	c.recycle()
	w.Skip()
}

// now answers a call that will not wait any longer.
func (c *pullCall) now() { c.answer(c.read()) }

// enter notes a long poll under way, or returns what is to be done instead: the connection has ended, or the broker is about to.
func (s *session) enter(p *poll) func(*pullCall) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return (*pullCall).abandon
	case s.front.leaving.Load():
		return (*pullCall).now
	}
	if s.waiting == nil {
		s.waiting = map[*poll]struct{}{}
	}
	s.waiting[p] = struct{}{}
	s.front.waiting.Add(1)
	return nil
}

// leave notes that a long poll has ended.
func (s *session) leave(p *poll) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.waiting, p)
}
