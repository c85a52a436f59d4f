package rocket

import (
	"sync/atomic"

	"penstock"
	"penstock/replica"
)

// Producers of one client share a connection, and so many sends may come in one read. Those for one queue go to the log in one append, those for
// queues that share a log in one write, and each is answered for itself:
//
//	Serve    builds each message and puts it in the session's tray
//	Drained  (or any other request on the connection) appends the tray, the messages of each queue together
//
// Invariants:
//
//  1. Messages of one queue keep their order.
//  2. Append is all or nothing. When a bundle is refused each of its calls is tried alone, so that the fault of one is not answered to another.
//  3. A call ends when the reader and the result have both given up their hold on it, in either order.

// maxTray and maxTrayBytes bound what a session gathers.
const (
	maxTray      = 256
	maxTrayBytes = 4 << 20
)

// bundle is calls for one queue that go to the log together. It is pooled, so that an append allocates nothing.
type bundle struct {
	front   *Front
	calls   []*sendCall
	batches []penstock.Batch
	refs    atomic.Int32               // the reader, and whoever settles it
	notify  func(replica.AppendResult) // settleLater, bound once for the life of the bundle
}

// newBundle makes an empty bundle for the pool.
func newBundle() *bundle {
	g := &bundle{}
	g.notify = g.settleLater
	return g
}

// stage puts a built call into the tray.
func (s *session) stage(c *sendCall) {
	s.tray = append(s.tray, c)
	if s.trayBytes += len(c.buf); len(s.tray) >= maxTray || s.trayBytes >= maxTrayBytes {
		s.appendTray()
	}
}

// appendTray appends everything in the tray.
func (s *session) appendTray() {
	if len(s.tray) == 0 {
		return
	}
	staged := s.tray
	s.tray, s.trayBytes = s.tray[:0], 0
	for i, c := range staged {
		if c == nil {
			continue // it went with an earlier one
		}
		if alone(staged[i:]) {
			staged[i] = nil
			c.hold()
			s.together = append(s.together, replica.Part{Partition: c.led, Request: c.request(), Notify: c.notify})
			s.lots = append(s.lots, trayLot{call: c})
			continue
		}
		g := s.front.bundles.Get().(*bundle)
		g.front = s.front
		g.collect(staged[i:])
		g.hold()
		s.together = append(s.together, g.part())
		s.lots = append(s.lots, trayLot{bundle: g})
	}
	replica.AppendTogether(s.together)
	for i, l := range s.lots {
		res, done := s.together[i].Result, s.together[i].Done
		if l.bundle != nil {
			l.bundle.appended(res, done)
			continue
		}
		if done {
			l.call.settle(res)
		}
		l.call.appended()
	}
	clear(s.together)
	clear(s.lots)
	s.together, s.lots = s.together[:0], s.lots[:0]
}

// trayLot is what of a tray is appended to one queue: a call, or a bundle of them.
type trayLot struct {
	call   *sendCall
	bundle *bundle
}

// hold is taken before the append: once for the reader, once for the result.
func (g *bundle) hold() {
	g.refs.Store(2)
	for _, c := range g.calls {
		c.hold()
	}
}

// part is the bundle as its log is given it.
func (g *bundle) part() replica.Part {
	first := g.calls[0]
	return replica.Part{
		Partition: first.led, Request: replica.AppendRequest{Batches: g.batches, Acks: first.acks, Epoch: penstock.NoEpoch}, Notify: g.notify,
	}
}

// alone reports whether nothing staged may be appended with the first.
func alone(staged []*sendCall) bool {
	for _, c := range staged[1:] {
		if c != nil && c.led == staged[0].led {
			return c.acks != staged[0].acks
		}
	}
	return true
}

// collect takes the first call, and all that may be appended with it, out of staged.
func (g *bundle) collect(staged []*sendCall) {
	first := staged[0]
	most := first.route.topic.Settings.SegmentBytes
	for j, c := range staged {
		if c == nil || c.led != first.led {
			continue
		}
		if c.acks != first.acks {
			return // what follows may not overtake it
		}
		if most -= int64(len(c.buf)); most < 0 && j > 0 {
			return // the log would not take them as one
		}
		g.calls, g.batches = append(g.calls, c), append(g.batches, c.batches...)
		staged[j] = nil
	}
}

// appended takes the outcome of the append.
func (g *bundle) appended(res replica.AppendResult, done bool) {
	if done && res.Err != nil && len(g.calls) > 1 {
		for _, c := range g.calls {
			c.appendAlone()
		}
	} else {
		if done {
			g.settle(res)
		}
		for _, c := range g.calls {
			c.appended()
		}
	}
	if done {
		g.drop() // nobody else will
	}
	g.drop()
}

// settle gives each call its share of the result.
func (g *bundle) settle(res replica.AppendResult) {
	for _, c := range g.calls {
		n := c.count
		c.settle(res)
		res.First += penstock.Offset(n)
	}
}

// settleLater is the notify of Append: it comes from the goroutine that met the promise.
func (g *bundle) settleLater(res replica.AppendResult) {
	g.settle(res)
	g.drop()
}

// drop gives up one reference; with the last the bundle goes back to its pool.
func (g *bundle) drop() {
	if g.refs.Add(-1) > 0 {
		return
	}
	clear(g.calls)
	clear(g.batches)
	front := g.front
	g.calls, g.batches, g.front = g.calls[:0], g.batches[:0], nil
	if cap(g.batches) <= 16*maxTray {
		front.bundles.Put(g)
	}
}
