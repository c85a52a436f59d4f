package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"penstock/metric"
)

// closer is a front that reports why its connections end.
func closer(serve func(*Request)) (*front, chan error) {
	closed := make(chan error, 100)
	return &front{serve: serve, closed: func(_ *Conn, cause error) { closed <- cause }}, closed
}

// expectClosed waits for the peer to close and returns what came before.
func expectClosed(t testing.TB, c net.Conn) []byte {
	t.Helper()
	b, err := io.ReadAll(c)
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		t.Fatal("the connection was not closed")
	}
	return b
}

// TestOversize closes for a frame that is too large, after the requests before it are answered.
func TestOversize(t *testing.T) {
	p, closed := closer(echo)
	p.limit = 100
	s := start(t, p, Options{})
	c := dial(t, s)
	mustWrite(t, c, append(framed([]byte("fine")), framed(make([]byte, 101))...))
	if got := expectClosed(t, c); !bytes.Equal(got, framed([]byte("fine"))) {
		t.Errorf("got % x before the end", got)
	}
	if cause := <-closed; !errors.Is(cause, ErrFrameTooLarge) {
		t.Errorf("closed for %v", cause)
	}
}

// TestConnectionLimits refuses connections beyond the limits and takes new ones when old ones end.
func TestConnectionLimits(t *testing.T) {
	for _, o := range []Options{{MaxConns: 2}, {MaxConnsPerIP: 2}} {
		s := start(t, &front{serve: echo}, o)
		a, b := dial(t, s), dial(t, s)
		for _, c := range []net.Conn{a, b} {
			mustWrite(t, c, framed([]byte("x")))
			readFrame(t, c)
		}
		expectClosed(t, dial(t, s))
		if st := s.Stats(); st.Conns != 2 || st.Refused != 1 || st.Accepted != 2 {
			t.Errorf("stats %+v", st)
		}
		a.Close()
		eventually(t, "the connection to end", func() bool { return s.Stats().Conns == 1 })
		c := dial(t, s)
		mustWrite(t, c, framed([]byte("x")))
		readFrame(t, c)
		b.Close()
		c.Close()
		eventually(t, "all to end", func() bool { return s.Stats().Conns == 0 })
		s.mu.Lock()
		if len(s.perIP) != 0 {
			t.Errorf("addresses are remembered: %v", s.perIP)
		}
		s.mu.Unlock()
	}
}

// TestFirstByte cuts off who says nothing.
func TestFirstByte(t *testing.T) {
	p, closed := closer(echo)
	s := start(t, p, Options{FirstByte: 20 * time.Millisecond})
	expectClosed(t, dial(t, s))
	if cause := <-closed; !errors.Is(cause, ErrTooSlow) || s.Stats().CutOff != 1 {
		t.Errorf("closed for %v, stats %+v", cause, s.Stats())
	}
}

// TestFrameTime cuts off who stops within a frame, or drips.
func TestFrameTime(t *testing.T) {
	p, closed := closer(echo)
	s := start(t, p, Options{FrameTime: 50 * time.Millisecond, Idle: -1})
	c := dial(t, s)
	mustWrite(t, c, framed([]byte("x")))
	readFrame(t, c)
	mustWrite(t, c, []byte{0, 0, 64, 0})
	for {
		if _, err := c.Write([]byte{0}); err != nil {
			break
		}
		time.Sleep(5 * time.Millisecond) // the drip itself
	}
	if cause := <-closed; !errors.Is(cause, ErrTooSlow) || s.Stats().CutOff != 1 {
		t.Errorf("closed for %v, stats %+v", cause, s.Stats())
	}
}

// TestIdle closes a connection on which nothing happens, but not one that waits for an answer.
func TestIdle(t *testing.T) {
	p := newParked()
	type end struct {
		c     *Conn
		cause error
	}
	closed := make(chan end, 2)
	p.closed = func(c *Conn, cause error) { closed <- end{c, cause} }
	s := start(t, p, Options{Idle: 60 * time.Millisecond})
	busy, idle := dial(t, s), dial(t, s)
	mustWrite(t, busy, framed([]byte("x")))
	waiting := p.next(t)
	mustWrite(t, idle, framed([]byte("y")))
	other := p.next(t)
	conn := other.Conn()
	echo(other)
	readFrame(t, idle)
	expectClosed(t, idle)
	if e := <-closed; e.c != conn || !errors.Is(e.cause, ErrIdle) {
		t.Errorf("closed for %v; the busy connection: %v", e.cause, e.c != conn)
	}
	if st := s.Stats(); st.Idled != 1 || st.CutOff != 0 {
		t.Errorf("stats %+v", st)
	}
	echo(waiting)
	if got := readFrame(t, busy); string(got) != "x" {
		t.Errorf("got %q", got)
	}
}

// TestSlowReader cuts off who does not take answers, and lets go of what they held.
func TestSlowReader(t *testing.T) {
	f := newStoredFile(t, 8<<20)
	p, closed := closer(func(r *Request) {
		a := NewAnswer()
		for range 8 {
			a.Attach(f.extent(0, 8<<20), nil)
		}
		r.Reply(a)
	})
	s := start(t, p, Options{WriteTime: 50 * time.Millisecond})
	c := dial(t, s)
	mustWrite(t, c, framed(nil))
	if cause := <-closed; !errors.Is(cause, ErrTooSlow) || s.Stats().CutOff != 1 {
		t.Errorf("closed for %v, stats %+v", cause, s.Stats())
	}
	eventually(t, "the extents to be released", func() bool { return f.refs.Load() == 0 })
}

// TestIdleHoldsNoBuffer counts the bytes of buffers while connections wait between frames and for answers.
func TestIdleHoldsNoBuffer(t *testing.T) {
	p := newParked()
	s := start(t, p, Options{})
	for range 20 {
		c := dial(t, s)
		mustWrite(t, c, framed(make([]byte, 100_000)))
		r := p.next(t)
		r.Release()
		if r.Frame() != nil {
			t.Error("a released frame can still be seen")
		}
		if len(p.reqs) == 0 {
			defer echo(r)
		}
	}
	eventually(t, "buffers to be given back", func() bool { return s.Stats().Buffers == 0 })
	if s.Stats().Free == 0 {
		t.Error("no buffer was kept for use")
	}
	s.pool.trim()
	s.pool.trim()
	if n := s.Stats().Free; n != 0 {
		t.Errorf("%d bytes of free buffers are kept with nothing to do", n)
	}
}

// TestBudgetBackPressure lets many connections send more than the budget: nothing is refused, no more than the budget
// is held, and everything is answered.
func TestBudgetBackPressure(t *testing.T) {
	const total = 1 << 20
	budget := NewBudget(total)
	var over atomic.Int64
	release, stop := make(chan *Request, 1000), make(chan struct{})
	p := &front{serve: func(r *Request) {
		if used := budget.Used(); used > total {
			over.Store(used)
		}
		release <- r
	}}
	s := start(t, p, Options{Budget: budget})
	var enders sync.WaitGroup
	for range 2 {
		enders.Go(func() {
			for {
				select {
				case r := <-release:
					echo(r)
				case <-stop:
					return
				}
			}
		})
	}
	var clients sync.WaitGroup
	for i := range 16 {
		c := dial(t, s)
		sizes := []int{10, 5000, 100_000, 300_000, 900_000, 2 << 20}
		clients.Go(func() {
			for j := range 6 {
				if _, err := c.Write(framed(pattern(byte(j), sizes[(i+j)%len(sizes)]))); err != nil {
					t.Errorf("write: %v", err)
					return
				}
			}
		})
		clients.Go(func() {
			for j := range 6 {
				if got := readFrame(t, c); !bytes.Equal(got, pattern(byte(j), sizes[(i+j)%len(sizes)])) {
					t.Errorf("answer %d differs", j)
				}
			}
		})
	}
	clients.Wait()
	close(stop)
	enders.Wait()
	if n := over.Load(); n != 0 {
		t.Errorf("%d bytes of the budget of %d were taken", n, total)
	}
	eventually(t, "the budget to be given back", func() bool { return budget.Used() == 0 })
}

// TestBudgetOfOne lets a connection pipeline frames that are nearly as large as the whole budget: it must not wait for
// what it holds itself.
func TestBudgetOfOne(t *testing.T) {
	const frames = 300
	size := func(i int) int { return 100_000 + i*37%150*1000 }
	s := start(t, &front{serve: func(r *Request) {
		a := NewAnswer()
		a.B = binary.BigEndian.AppendUint32(a.B, uint32(len(r.Frame())))
		r.Reply(a)
	}}, Options{Budget: NewBudget(300 << 10)})
	c := dial(t, s)
	zeros := make([]byte, 1<<20)
	go func() {
		for i := range frames {
			head := binary.BigEndian.AppendUint32(nil, uint32(size(i)))
			if _, err := c.Write(append(head, zeros[:size(i)]...)); err != nil {
				t.Errorf("write: %v", err)
				return
			}
		}
	}()
	for i := range frames {
		if got := readFrame(t, c); int(binary.BigEndian.Uint32(got)) != size(i) {
			t.Fatalf("frame %d came as %x", i, got)
		}
	}
}

// TestBudgetGrantedTooLate grants the budget to a connection that is just being closed: it gives it back.
func TestBudgetGrantedTooLate(t *testing.T) {
	budget := NewBudget(1 << 20)
	budget.claim(1 << 20)
	p, closed := closer(echo)
	s := start(t, p, Options{Budget: budget})
	c := dial(t, s)
	mustWrite(t, c, framed(make([]byte, 200)))
	eventually(t, "the reader to wait", func() bool {
		budget.mu.Lock()
		defer budget.mu.Unlock()
		return len(budget.queue) == 1
	})
	conn := s.list()[0]
	budget.mu.Lock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn.Close(errors.New("test over")) // stops at the budget's lock
	}()
	eventually(t, "the connection to be closed", func() bool { return conn.closeCause() != nil })
	budget.free += 1 << 20
	budget.grant()
	budget.mu.Unlock()
	<-done
	<-closed
	eventually(t, "the budget to be given back", func() bool { return budget.Used() == 0 })
}

// TestBudgetAbandoned closes a connection that waits for the budget: it ends, and others get their turn.
func TestBudgetAbandoned(t *testing.T) {
	budget := NewBudget(1 << 20)
	if !budget.try(1 << 20) {
		t.Fatal("a new budget is not free")
	}
	p, closed := closer(echo)
	s := start(t, p, Options{Budget: budget})
	c := dial(t, s)
	mustWrite(t, c, framed(make([]byte, 200)))
	eventually(t, "the reader to wait", func() bool {
		budget.mu.Lock()
		defer budget.mu.Unlock()
		return len(budget.queue) == 1
	})
	reason := errors.New("test over")
	for _, c := range s.list() {
		c.Close(reason)
	}
	if cause := <-closed; !errors.Is(cause, reason) {
		t.Errorf("closed for %v", cause)
	}
	budget.give(1 << 20)
}

// TestAnnouncedFrames announces large frames on many connections and sends little of them: that costs little.
func TestAnnouncedFrames(t *testing.T) {
	budget := NewBudget(10 << 20)
	s := start(t, &front{serve: echo}, Options{Budget: budget})
	const conns = 20
	begun := binary.BigEndian.AppendUint32(nil, 100<<20)
	begun = append(begun, make([]byte, 2000-len(begun))...)
	for range conns {
		mustWrite(t, dial(t, s), begun)
	}
	eventually(t, "the bytes to arrive", func() bool { return s.Stats().Received == conns*2000 })
	if st := s.Stats(); st.Buffers > conns*headBytes || budget.Used() != 0 {
		t.Errorf("%d bytes of buffers, %d of the budget", st.Buffers, budget.Used())
	}
	c := dial(t, s)
	mustWrite(t, c, framed([]byte("still served")))
	readFrame(t, c)
}

// TestReleaseEarly shows that a request released holds neither memory nor budget while it waits.
func TestReleaseEarly(t *testing.T) {
	budget := NewBudget(1 << 20)
	p := newParked()
	s := start(t, p, Options{Budget: budget, Account: metric.NewCopyAccount()})
	c := dial(t, s)
	mustWrite(t, c, framed(make([]byte, 500_000)))
	r := p.next(t)
	if budget.Used() < 500_000 {
		t.Errorf("%d bytes of the budget are taken", budget.Used())
	}
	r.Release()
	r.Release()
	eventually(t, "the budget to be given back", func() bool { return budget.Used() == 0 })
	r.Skip()
}

// TestSetMaxConns changes both limits while connections are open: they stay, and count, also those from before there was a limit of an
// address.
func TestSetMaxConns(t *testing.T) {
	for _, less := range [][2]int{{2, 0}, {100, 2}} {
		s := start(t, &front{serve: echo}, Options{})
		taken := func() net.Conn {
			t.Helper()
			c := dial(t, s)
			mustWrite(t, c, framed([]byte("x")))
			readFrame(t, c)
			return c
		}
		open := []net.Conn{taken(), taken(), taken()}
		s.SetMaxConns(less[0], less[1])
		expectClosed(t, dial(t, s))
		for _, c := range open {
			mustWrite(t, c, framed([]byte("y")))
			readFrame(t, c)
		}
		s.SetMaxConns(4, 4)
		taken()
		expectClosed(t, dial(t, s))
		s.SetMaxConns(100, 0)
		taken()
	}
}
