package wire

import (
	"fmt"
	"time"
)

// watch is what the sweeper remembers of a connection. Time limits are kept by looking at counters that the hot path
// raises anyway, a few times within the shortest limit: a deadline on every read and write would cost more than the
// reads of small requests themselves.
type watch struct {
	phase    int32
	received int64
	served   int64
	in       time.Time // since when the reader has been waiting in phase without progress
	sent     int64
	blocked  bool
	out      time.Time // since when the flusher has been blocked without progress
}

func (w *watch) begin(now time.Time) { w.in, w.out = now, now }

// Bounds of the pause between two sweeps.
const (
	sweepsPerLimit = 4
	minSweep       = 5 * time.Millisecond
	maxSweep       = time.Second
	idleRing       = 16 // requests that an idle connection keeps room for
)

// sweepEvery is the pause between two sweeps.
func (s *Server) sweepEvery() time.Duration {
	every := maxSweep
	for _, limit := range []time.Duration{s.o.FirstByte, s.o.FrameTime, s.o.WriteTime, s.o.Idle} {
		if limit > 0 {
			every = min(every, limit/sweepsPerLimit)
		}
	}
	return max(every, minSweep)
}

// sweepLoop sweeps until Shutdown and all connections are gone.
func (s *Server) sweepLoop() {
	defer s.running.Done()
	tick := time.NewTicker(s.sweepEvery())
	defer tick.Stop()
	trimmed := time.Now()
	for {
		select {
		case now := <-tick.C:
			s.sweep(now)
			if now.Sub(trimmed) >= maxSweep {
				s.pool.trim()
				s.pipes.trim(s.o.Kernel, false)
				trimmed = now
			}
		case <-s.empty:
			return
		}
	}
}

// sweep closes the connections that have run out of time. Closing may release files, so it happens outside the lock.
func (s *Server) sweep(now time.Time) {
	type late struct {
		c   *Conn
		why error
	}
	var all []late
	s.mu.Lock()
	for c := range s.conns {
		if err := c.overdue(now); err != nil {
			all = append(all, late{c, err})
		}
	}
	s.mu.Unlock()
	for _, l := range all {
		l.c.Close(l.why)
	}
}

// overdue returns why the connection must be closed now, or nil. Only the sweeper calls it.
func (c *Conn) overdue(now time.Time) error {
	w, o := &c.watch, &c.s.o
	if sent, blocked := c.sent.Load(), c.blocked.Load(); !blocked || !w.blocked || sent >= w.sent+progressMin {
		w.sent, w.blocked, w.out = sent, blocked, now
	} else if o.WriteTime > 0 && now.Sub(w.out) >= o.WriteTime {
		c.s.cutOff.Add(1)
		return fmt.Errorf("%w: answer not taken for %v", ErrTooSlow, o.WriteTime)
	}
	// A reader that waits for this node, for the budget or for answers, is not late, whatever the peer does.
	phase, received, served := c.phase.Load(), c.received.Load(), c.served.Load()
	moved := served != w.served || received >= w.received+progressMin
	if phase == phaseBusy || phase != w.phase || moved || phase == phaseIdle && c.busy() {
		w.phase, w.received, w.served, w.in = phase, received, served, now
		return nil
	}
	return c.s.readOverdue(phase, now.Sub(w.in))
}

// readOverdue returns why a reader must not wait any longer, or nil.
func (s *Server) readOverdue(phase int32, waited time.Duration) error {
	switch phase {
	case phaseFirst:
		if s.o.FirstByte > 0 && waited >= s.o.FirstByte {
			s.cutOff.Add(1)
			return fmt.Errorf("%w: no first byte for %v", ErrTooSlow, s.o.FirstByte)
		}
	case phaseFrame:
		if s.o.FrameTime > 0 && waited >= s.o.FrameTime {
			s.cutOff.Add(1)
			return fmt.Errorf("%w: no progress in a frame for %v", ErrTooSlow, s.o.FrameTime)
		}
	case phaseIdle:
		if s.o.Idle > 0 && waited >= s.o.Idle {
			s.idled.Add(1)
			return fmt.Errorf("%w for %v", ErrIdle, s.o.Idle)
		}
	}
	return nil
}

// busy reports whether requests are unanswered or frames pushed have not left. An idle connection gives up the room for many.
func (c *Conn) busy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count == 0 && len(c.ring) > idleRing {
		c.ring, c.head = nil, 0
	}
	return c.pending > 0 || c.pushes > 0
}
