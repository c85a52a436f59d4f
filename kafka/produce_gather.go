package kafka

import (
	"sync/atomic"

	"penstock"
	"penstock/replica"
)

// A client that pipelines sends many small batches for one partition in one read. They go to the log in one append,
// which is one write, and each is answered for itself. Where partitions share a log, one write takes the batches of all of them:
//
//	Serve    validates each batch, while its bytes are in cache, and puts it in the session's tray
//	Drained  (or anything else than Produce on the connection) appends the tray, the batches of each partition together
//
// Invariants:
//
//  1. Batches of one partition keep their order, also with those that are not gathered.
//  2. A request's frame is held until the last of its batches is appended: the reader holds the call until then.
//  3. Append is all or nothing. When a bundle is refused each of its batches is tried alone, so that the fault of one is
//     not answered to another.
//  4. Batches with a producer's sequence are not gathered: some of several may have been appended before, and each must be
//     answered with the offset that it got then.

// maxTray bounds what a session gathers, by number; the bytes are bounded by the read.
const maxTray = 256

// bundle is batches of one partition that go to the log together. It is pooled, so that an append allocates nothing.
type bundle struct {
	front   *Front
	parts   []*producePart
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

// stage puts a validated part into the tray.
func (s *session) stage(p *producePart) {
	p.call.held++
	p.call.pending.Add(1)
	if s.tray = append(s.tray, p); len(s.tray) >= maxTray {
		s.appendTray()
	}
}

// appendTray appends everything in the tray.
func (s *session) appendTray() {
	staged := s.tray
	s.tray = s.tray[:0]
	for i, p := range staged {
		if p == nil {
			continue // it went with an earlier one
		}
		g := s.front.bundles.Get().(*bundle)
		g.front = s.front
		g.collect(staged[i:])
		g.refs.Store(2)
		s.together = append(s.together, g.part())
		s.bundles = append(s.bundles, g)
	}
	replica.AppendTogether(s.together)
	for i, g := range s.bundles {
		g.appended(s.together[i].Result, s.together[i].Done)
	}
	clear(s.bundles)
	s.bundles = s.bundles[:0]
	s.dropTogether()
}

// appendLone appends what was put aside of one request: batches with a producer's sequence, for partitions that share a log.
func (s *session) appendLone() {
	if len(s.lone) == 0 {
		return
	}
	for _, p := range s.lone {
		s.together = append(s.together, replica.Part{Partition: p.led, Request: p.request(), Notify: p.notify})
	}
	replica.AppendTogether(s.together)
	for i, p := range s.lone {
		if s.together[i].Done {
			p.settle(s.together[i].Result)
			p.call.pending.Add(-1) // never the last: the handler holds one
		}
	}
	clear(s.lone)
	s.lone = s.lone[:0]
	s.dropTogether()
}

// dropTogether lets go of what was appended.
func (s *session) dropTogether() {
	clear(s.together)
	if s.together = s.together[:0]; cap(s.together) > keepParts {
		s.together = nil
	}
}

// part is the bundle as its log is given it.
func (g *bundle) part() replica.Part {
	first := g.parts[0]
	return replica.Part{
		Partition: first.led, Request: replica.AppendRequest{Batches: g.batches, Acks: first.call.acks, Epoch: penstock.NoEpoch}, Notify: g.notify,
	}
}

// collect takes the first part, and all that may be appended with it, out of staged.
func (g *bundle) collect(staged []*producePart) {
	first := staged[0]
	most := first.route.topic.Settings.SegmentBytes
	for j, p := range staged {
		if p == nil || p.led != first.led {
			continue
		}
		if p.call.acks != first.call.acks {
			return // what follows may not overtake it
		}
		if most -= int64(p.batch[0].Header.Size); most < 0 && j > 0 {
			return // the log would not take them as one
		}
		g.parts, g.batches = append(g.parts, p), append(g.batches, p.batch[0])
		staged[j] = nil
	}
}

// appended takes the outcome of the append, and lets the frames go.
func (g *bundle) appended(res replica.AppendResult, done bool) {
	if done && res.Err != nil && len(g.parts) > 1 {
		for _, p := range g.parts {
			p.letGo(p.appendAlone())
		}
	} else {
		if done {
			g.settle(res)
		}
		for _, p := range g.parts {
			p.letGo(done)
		}
	}
	if done {
		g.drop() // nobody else will
	}
	g.drop()
}

// settle gives each part its share of the result.
func (g *bundle) settle(res replica.AppendResult) {
	for _, p := range g.parts {
		p.settle(res)
		res.First += penstock.Offset(p.batch[0].Header.LastDelta) + 1
	}
}

// settleLater is the notify of Append: it comes from the goroutine that met the promise.
func (g *bundle) settleLater(res replica.AppendResult) {
	g.settle(res)
	for _, p := range g.parts {
		p.call.settled()
	}
	g.drop()
}

// drop gives up one reference; with the last the bundle goes back to its pool.
func (g *bundle) drop() {
	if g.refs.Add(-1) > 0 {
		return
	}
	clear(g.parts)
	clear(g.batches)
	front := g.front
	g.parts, g.batches, g.front = g.parts[:0], g.batches[:0], nil
	front.bundles.Put(g)
}

// letGo ends the reader's hold on a part that was staged. settled tells that its result is there.
func (p *producePart) letGo(settled bool) {
	c := p.call
	c.letGo()
	if settled {
		c.settled()
	}
}

// letGo gives up one hold of the reader; with the last the frame is given back, and the call may end.
func (c *produceCall) letGo() {
	if c.held--; c.held == 0 {
		c.request.wire.Release()
		c.settled()
	}
}
