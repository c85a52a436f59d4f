package wire

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// Conn is one connection.
//
// Order: each request takes its place in a ring when it is served. Ending it marks it done; whoever finds the first of
// the ring done, and nobody flushing, flushes: the reader at the end of its round, so that many small answers leave
// together; or whoever gives a lone short answer, without waiting for the socket; or else a goroutine started for it, so
// that nobody who gives an answer ever waits. There is at most one flusher; it takes the done requests at the front of
// the ring, sends them, and looks again.
//
// Invariants, under mu:
//  1. If the first of the ring is done and the connection open, then flushing or inRound is set: somebody will send it.
//  2. A request is in the ring until it is taken by the flusher, which recycles it once its answer has left.
//  3. After closed is set nothing is put into the ring; requests that end then are recycled by whoever ends them, but for those that are
//     still in the ring because a flusher is at it, which are the flusher's.
//
// A second goroutine for each connection, only to write, costs 5 to 38 % more a request and a stack while idle; flushing from whoever gives an answer would make group commit wait for the slowest of its clients.
type Conn struct {
	s       *Server
	t       transport
	session Session
	ip      netip.Addr // of the peer, for the limit by address; zero when there is none

	// Callbacks, made once so that no call allocates.
	recvFn  func(fd uintptr) bool
	sendFn  func(fd uintptr) bool
	flushFn func()

	in      intake // the reader's
	recvErr error  // the reader's: what ended the last receive
	out     *sender
	// out belongs to whoever has set flushing; nil while nobody flushes.

	received atomic.Int64 // bytes
	served   atomic.Int64 // frames
	sent     atomic.Int64 // bytes
	phase    atomic.Int32 // what the reader waits for
	blocked  atomic.Bool  // the flusher waits for the peer to take bytes
	stopping atomic.Bool  // no further reads
	watch    watch        // the sweeper's

	// mu guards everything below.
	mu       sync.Mutex
	ring     []*Request // places head to head+count, modulo the length, which is a power of two
	head     int
	count    int
	pending  int   // requests served and not yet sent or skipped
	pushes   int   // frames pushed and not yet sent
	pushed   int64 // bytes in memory of those, which unsent has too
	unsent   int64 // bytes in memory of answers given and not yet sent
	inRound  bool  // the reader will flush when its round ends
	flushing bool
	waiting  bool // the reader waits on changed
	closed   bool
	cause    error  // why it was closed
	claim    *claim // what the reader waits for of the budget
	changed  sync.Cond
}

// What the reader of a connection waits for, for the sweeper.
const (
	phaseFirst int32 = iota // the first byte
	phaseIdle               // a frame to begin
	phaseFrame              // the rest of a frame
	phaseBusy               // nothing from the peer
)

func newConn(s *Server, t transport) *Conn {
	c := &Conn{s: s, t: t, in: newIntake(&s.pool, s.o.Budget)}
	c.recvFn, c.sendFn, c.flushFn = c.recv, c.send, c.flushLater
	c.changed.L = &c.mu
	return c
}

// RemoteAddr is the peer's end of the connection.
func (c *Conn) RemoteAddr() net.Addr { return c.t.conn.RemoteAddr() }

// LocalAddr is this node's end: the address the client dialled, NAT aside.
func (c *Conn) LocalAddr() net.Addr { return c.t.conn.LocalAddr() }

// Close ends the connection from any goroutine, with a reason for the log. Answers not yet sent are dropped; the
// session's Close follows from the reader. Only the first call counts.
func (c *Conn) Close(why error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed, c.cause = true, why
	var done []*Request
	if !c.flushing {
		done = c.dropRing()
	}
	claim := c.claim
	c.changed.Broadcast()
	c.mu.Unlock()

	_ = c.t.close() // the descriptor is gone either way, and there is nobody to tell
	if claim != nil {
		c.s.o.Budget.abandon(claim)
	}
	recycleAll(done)
	c.s.logClose(c, why)
}

// dropRing empties the ring of a closed connection and returns the requests that have ended. The others will end
// later, to no effect. The caller holds mu.
func (c *Conn) dropRing() (done []*Request) {
	for ; c.count > 0; c.count-- {
		r := c.ring[c.head]
		if r.inRing = false; r.done {
			done = append(done, r)
		}
		c.head = (c.head + 1) & (len(c.ring) - 1)
	}
	c.ring, c.head = nil, 0
	return done
}

func recycleAll(rs []*Request) {
	for _, r := range rs {
		r.recycle()
	}
}

// admit makes a request of a frame that lies in buf and gives it its place. The caller is the reader, in a round.
func (c *Conn) admit(frame []byte, buf *buffer) *Request {
	r := requests.Get().(*Request)
	r.c, r.frame, r.buf = c, frame, buf
	if buf != nil {
		buf.retain()
	}
	c.mu.Lock()
	c.pending++
	if !c.s.o.AnyOrder && !c.closed {
		c.push(r)
	}
	c.mu.Unlock()
	return r
}

// push puts r at the end of the ring. The caller holds mu.
func (c *Conn) push(r *Request) {
	if c.count == len(c.ring) {
		grown := make([]*Request, max(2*len(c.ring), 4))
		for i := range c.count {
			grown[i] = c.ring[(c.head+i)&(len(c.ring)-1)]
		}
		c.ring, c.head = grown, 0
	}
	r.inRing = true
	c.ring[(c.head+c.count)&(len(c.ring)-1)] = r
	c.count++
}

// pop takes the first of the ring, if it is done. The caller holds mu.
func (c *Conn) pop() *Request {
	r := c.ring[c.head]
	r.inRing = false
	c.ring[c.head] = nil
	c.head = (c.head + 1) & (len(c.ring) - 1)
	c.count--
	return r
}

// ready reports whether there is something to send. The caller holds mu.
func (c *Conn) ready() bool { return c.count > 0 && c.ring[c.head].done }

// end ends a request with an answer, with none, or with an error that closes the connection in its turn.
func (c *Conn) end(r *Request, a *Answer, fail error) {
	r.Release()
	c.mu.Lock()
	if c.closed {
		inRing := r.inRing // a flusher is at it, and recycles what has ended
		r.done, r.answer = true, a
		c.mu.Unlock()
		if !inRing {
			r.recycle()
		}
		return
	}
	if r.done {
		c.mu.Unlock()
		panic("wire: request ended twice")
	}
	r.done, r.answer, r.fail = true, a, fail
	if a != nil {
		c.unsent += int64(len(a.B))
	}
	if c.s.o.AnyOrder {
		c.push(r)
	}
	start := !c.inRound && !c.flushing && c.ready()
	// A lone short answer is sent from here: a goroutine for it would cost more than the call, and grow a stack.
	here := start && c.count == 1 && a != nil && a.inMemory() && fail == nil
	if start {
		c.flushing = true
		c.s.running.Add(1)
	}
	c.mu.Unlock()
	if here && !c.flush(false) {
		c.s.running.Done()
		return
	}
	if start {
		go c.flushFn()
	}
}

// flushLater is the flusher that waits, on a goroutine of its own.
func (c *Conn) flushLater() {
	defer c.s.running.Done()
	c.flush(true)
}

// flush sends what is ready until nothing is. The caller has set flushing. Unless it may wait, flush returns true when
// the peer takes no more for now, and flushing stays set.
func (c *Conn) flush(wait bool) (blocked bool) {
	if c.out == nil {
		c.out = c.s.senders.Get().(*sender)
	}
	w := c.out
	for w.begun() || c.take(w) {
		blocked, err := w.send(c, wait)
		if err != nil {
			w.giveUp()
			c.Close(err)
			continue
		}
		if blocked {
			return true
		}
	}
	return false
}

// take retires the answers that w has sent and takes those that are ready. It ends the flush, and returns false, when
// there are none.
func (c *Conn) take(w *sender) bool {
	sent := len(w.queue)
	bytes, pushes, pushed := w.memory, w.pushes, w.pushed
	w.retire()
	c.mu.Lock()
	c.pending -= sent - pushes
	c.unsent -= bytes
	c.pushes -= pushes
	c.pushed -= pushed
	var fail error
	for !c.closed && len(w.queue) < takeMax && c.ready() {
		if fail = c.ring[c.head].fail; fail != nil {
			break
		}
		w.add(c.pop())
	}
	if len(w.queue) > 0 {
		w.behind = fail == nil && c.ready()
		c.wakeReader()
		c.mu.Unlock()
		return true
	}
	if fail != nil { // its turn has come: everything before it is out
		c.mu.Unlock()
		c.Close(fail)
		c.mu.Lock()
	}
	c.flushing, c.out = false, nil
	var done []*Request
	if c.closed {
		done = c.dropRing()
	}
	c.wakeReader()
	c.mu.Unlock()
	c.s.senders.Put(w)
	recycleAll(done)
	return false
}

// wakeReader lets a waiting reader look again. The caller holds mu.
func (c *Conn) wakeReader() {
	if c.waiting {
		c.changed.Broadcast()
	}
}
