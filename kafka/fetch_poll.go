package kafka

import (
	"sync"
	"sync/atomic"
	"time"

	"penstock/replica"
)

// poll is one Fetch request that waits for data. It ends once: by data, by its time, or by its connection; who sets over
// first owns the call from there on.
type poll struct {
	call   *fetchCall
	over   atomic.Bool
	mu     sync.Mutex // held while the poll is armed, so that a wake-up that comes before waits for the end of it
	waiter *replica.Waiter
	timer  *time.Timer
}

// poll makes the call wait. The extents found so far are let go: they are too few, and are read again on waking.
func (c *fetchCall) poll() {
	need := c.minBytes - c.bytes
	c.drop()
	p := &poll{call: c}
	p.mu.Lock()
	defer p.mu.Unlock()
	if refused := c.session.enter(p); refused != nil {
		p.over.Store(true)
		refused(c)
		return
	}
	p.timer = time.AfterFunc(c.wait, p.wake)
	// The waiter is fired by an appender, which must not wait for us.
	p.waiter = replica.NewWaiter(need, func() { go p.wake() })
	for i := range c.parts {
		part := &c.parts[i]
		led, refused := c.find(part)
		if refused != codeNone {
			continue // it went since it was read; the time limit ends the wait
		}
		seen := part.res.HighWatermark
		if c.isolation == replica.ReadCommitted {
			seen = part.res.LastStable
		}
		led.Wait(p.waiter, seen, c.isolation)
	}
}

// wake ends the wait with an answer, whatever there is by now.
func (p *poll) wake() {
	if !p.finish() {
		return
	}
	defer p.call.front.contain(p.call.request.wire.Conn())
	p.call.session.leave(p)
	p.call.now()
}

// abandon ends the wait without one: the connection is gone.
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
func (c *fetchCall) abandon() {
	w := c.request.wire
	c.drop()
	c.recycle()
	w.Skip()
}

// now answers a call that will not wait after all.
func (c *fetchCall) now() {
	c.read()
	c.answer()
}

// enter notes a long poll under way, or returns what is to be done instead: the connection has ended, or the broker is about to.
func (s *session) enter(p *poll) func(*fetchCall) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return (*fetchCall).abandon
	case s.front.leaving.Load():
		return (*fetchCall).now
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
