package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"
)

// pushed is a frame to push.
func pushed(p string) *Answer {
	a := NewAnswer()
	a.B = append(a.B, p...)
	return a
}

// opened is a front that hands out its connections.
func opened(p *parked) chan *Conn {
	conns := make(chan *Conn, 10)
	p.opened = func(c *Conn) { conns <- c }
	return conns
}

// TestPush pushes with no request outstanding, while one waits, and with answers ready before and after.
func TestPush(t *testing.T) {
	for _, any := range []bool{false, true} {
		t.Run(fmt.Sprintf("any order %v", any), func(t *testing.T) {
			p := newParked()
			conns := opened(p)
			s := start(t, p, Options{AnyOrder: any})
			c := dial(t, s)
			conn := <-conns
			push := func(what string) {
				t.Helper()
				if err := conn.Push(pushed(what)); err != nil {
					t.Fatal(err)
				}
			}
			expect := func(all ...string) {
				t.Helper()
				for _, want := range all {
					if got := readFrame(t, c); string(got) != want {
						t.Fatalf("got %q, want %q", got, want)
					}
				}
			}
			push("alone")
			expect("alone")
			mustWrite(t, c, append(framed([]byte("a")), framed([]byte("b"))...))
			a, b := p.next(t), p.next(t)
			push("1")
			push("2")
			expect("1", "2") // before any answer
			echo(b)
			push("3")
			if any {
				expect("b", "3")
			} else {
				expect("3") // b waits for a
			}
			echo(a)
			push("4")
			if any {
				expect("a", "4")
			} else {
				expect("a", "b", "4")
			}
		})
	}
}

// TestPushInRound pushes from the session while it serves: everything that is ready leaves with the round, as given.
func TestPushInRound(t *testing.T) {
	for _, any := range []bool{false, true} {
		p := &front{serve: func(r *Request) {
			c := r.Conn()
			if err := c.Push(pushed("before")); err != nil {
				t.Error(err)
			}
			echo(r)
			if err := c.Push(pushed("after")); err != nil {
				t.Error(err)
			}
		}}
		s := start(t, p, Options{AnyOrder: any})
		c := dial(t, s)
		mustWrite(t, c, append(framed([]byte("a")), framed([]byte("b"))...))
		for _, want := range []string{"before", "a", "after", "before", "b", "after"} {
			if got := readFrame(t, c); string(got) != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
	}
}

// TestPushTwin has several goroutines push and several answer on one connection. Each one's frames arrive in order, all
// of them, and the answers in theirs.
func TestPushTwin(t *testing.T) {
	for _, any := range []bool{false, true} {
		t.Run(fmt.Sprintf("any order %v", any), func(t *testing.T) { pushTwin(t, any) })
	}
}

func pushTwin(t *testing.T, any bool) {
	const total, pushers, each = 2000, 3, 700
	p := newParked()
	conns := opened(p)
	files := []*stored{newStoredFile(t, 100_000)}
	s := start(t, p, Options{AnyOrder: any, InFlight: 50})
	c := dial(t, s)
	conn := <-conns
	var wg sync.WaitGroup
	defer wg.Wait()
	for g := range pushers {
		wg.Go(func() {
			for i := range uint32(each) {
				for {
					a := NewAnswer()
					a.B = append(binary.BigEndian.AppendUint32(append(a.B, byte(g)), i), pattern(byte(i), int(i%300))...)
					if i%50 == 7 {
						a.Attach(files[0].extent(0, 20_000), nil)
					}
					err := conn.Push(a)
					if err == nil {
						break
					}
					if !errors.Is(err, ErrPushesFull) {
						t.Error(err)
						return
					}
					runtime.Gosched()
				}
			}
		})
	}
	wg.Go(func() {
		rnd := rand.New(rand.NewPCG(1, 1))
		var waiting []*Request
		for done := 0; done < total; done++ {
			waiting = append(waiting, p.next(t))
			if rnd.IntN(3) == 0 || len(waiting) == 50 || len(p.reqs) == 0 {
				for _, i := range rnd.Perm(len(waiting)) {
					echo(waiting[i])
				}
				waiting = waiting[:0]
			}
		}
		for _, r := range waiting {
			echo(r)
		}
	})
	wg.Go(func() {
		for i := range uint32(total) {
			if _, err := c.Write(framed(binary.BigEndian.AppendUint32([]byte{pushers}, i))); err != nil {
				return // the reading side reports
			}
		}
	})
	var next [pushers + 1]uint32
	seen := map[uint32]bool{}
	for range total + pushers*each {
		got := readFrame(t, c)
		who, i := got[0], binary.BigEndian.Uint32(got[1:])
		if who == pushers && any {
			if seen[i] {
				t.Fatalf("answer %d came twice", i)
			}
			seen[i] = true
			continue
		}
		if i != next[who] {
			t.Fatalf("frame %d of %d came, want %d", i, who, next[who])
		}
		next[who]++
		want := pattern(byte(i), int(i%300))
		if who == pushers {
			want = nil
		} else if i%50 == 7 {
			want = append(want, files[0].data[:20_000]...)
		}
		if !bytes.Equal(got[5:], want) {
			t.Fatalf("frame %d of %d has other bytes", i, who)
		}
	}
	eventually(t, "extents to be released", func() bool { return files[0].refs.Load() == 0 })
	eventually(t, "nothing to be counted as unsent", func() bool {
		conn.mu.Lock()
		defer conn.mu.Unlock()
		return conn.pushes == 0 && conn.pushed == 0 && conn.unsent == 0 && conn.pending == 0
	})
}

// TestPushBound refuses frames that the peer does not take, by count and by bytes, and never waits.
func TestPushBound(t *testing.T) {
	for _, c := range []struct{ size, fit int }{
		{10, pushMax},
		{pushBytes / 4, 3}, // with its length the fourth is too much
		{pushBytes + 1, 1},
	} {
		p := newParked()
		conns := opened(p)
		k := &flaky{Kernel: system{}}
		k.block.Store(true)
		s := start(t, p, Options{Kernel: k})
		dial(t, s)
		conn := <-conns
		file := newStored(100)
		push := func() error {
			a := NewAnswer()
			a.B = append(a.B, make([]byte, c.size)...)
			a.Attach(file.extent(0, 100), nil)
			return conn.Push(a)
		}
		for i := range c.fit {
			if err := push(); err != nil {
				t.Fatalf("frame %d of %d bytes: %v", i, c.size, err)
			}
		}
		if err := push(); !errors.Is(err, ErrPushesFull) {
			t.Errorf("%d frames of %d bytes are taken: %v", c.fit+1, c.size, err)
		}
		if n := file.refs.Load(); n != int64(c.fit) {
			t.Errorf("%d extents held by %d frames", n, c.fit)
		}
		if !conn.busy() {
			t.Error("a connection with frames to send is idle")
		}
		reason := errors.New("test over")
		conn.Close(reason)
		if err := push(); !errors.Is(err, ErrClosed) || !errors.Is(err, reason) {
			t.Errorf("push on a closed connection: %v", err)
		}
		eventually(t, "extents to be released", func() bool { return file.refs.Load() == 0 })
	}
}

// TestPushTooLarge refuses a frame that no length can tell.
func TestPushTooLarge(t *testing.T) {
	p := newParked()
	conns := opened(p)
	s := start(t, p, Options{})
	c := dial(t, s)
	conn := <-conns
	f := newStored(10)
	a := NewAnswer()
	a.Attach(f.extent(0, 1<<31), nil)
	if err := conn.Push(a); err == nil || f.refs.Load() != 0 {
		t.Errorf("pushed: %v, %d extents held", err, f.refs.Load())
	}
	if err := conn.Push(pushed("fine")); err != nil {
		t.Fatal(err)
	}
	if got := readFrame(t, c); string(got) != "fine" {
		t.Errorf("got %q", got)
	}
}

// TestPushNotInFlight shows that frames pushed and not taken do not keep requests from being served.
func TestPushNotInFlight(t *testing.T) {
	p := newParked()
	conns := opened(p)
	k := &flaky{Kernel: system{}}
	k.block.Store(true)
	s := start(t, p, Options{Kernel: k, InFlight: 2})
	c := dial(t, s)
	conn := <-conns
	for range 5 {
		if err := conn.Push(pushed("x")); err != nil {
			t.Fatal(err)
		}
	}
	mustWrite(t, c, append(framed(nil), framed(nil)...))
	p.next(t).Skip()
	p.next(t).Skip()
	conn.Close(errors.New("test over"))
}

// TestPushSlowReader cuts off who does not take what is pushed, though it has asked for nothing.
func TestPushSlowReader(t *testing.T) {
	f := newStoredFile(t, 8<<20)
	p := newParked()
	conns := opened(p)
	closed := make(chan error, 1)
	p.closed = func(_ *Conn, cause error) { closed <- cause }
	s := start(t, p, Options{WriteTime: 50 * time.Millisecond})
	dial(t, s)
	a := NewAnswer()
	for range 8 {
		a.Attach(f.extent(0, 8<<20), nil)
	}
	if err := (<-conns).Push(a); err != nil {
		t.Fatal(err)
	}
	if cause := <-closed; !errors.Is(cause, ErrTooSlow) {
		t.Errorf("closed for %v", cause)
	}
	eventually(t, "the extents to be released", func() bool { return f.refs.Load() == 0 })
}

// TestPushShutdown sends what was pushed before a shutdown, and refuses what comes after.
func TestPushShutdown(t *testing.T) {
	p := newParked()
	conns := opened(p)
	s := start(t, p, Options{})
	c := dial(t, s)
	conn := <-conns
	file := newStoredFile(t, 16<<20) // more than a socket holds
	a := NewAnswer()
	a.B = append(a.B, "pushed"...)
	a.Attach(file.extent(0, 16<<20), nil)
	if err := conn.Push(a); err != nil {
		t.Fatal(err)
	}
	down := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		down <- s.Shutdown(ctx)
	}()
	eventually(t, "the shutdown to begin", func() bool { return conn.stopping.Load() })
	if err := conn.Push(pushed("late")); !errors.Is(err, ErrClosed) || !errors.Is(err, ErrShutdown) {
		t.Errorf("push in a shutdown: %v", err)
	}
	if got := readFrame(t, c); string(got[:6]) != "pushed" || !bytes.Equal(got[6:], file.data) {
		t.Error("other bytes arrived")
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("%d bytes and %v after the last frame", n, err)
	}
	if err := <-down; err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

// TestInsert compares with a dumb list: behind what is done at the front, at every place and fill of the ring.
func TestInsert(t *testing.T) {
	for seed := range uint64(500) {
		rnd := rand.New(rand.NewPCG(seed, 5))
		c := &Conn{}
		var want []*Request
		for range 60 {
			r := &Request{done: rnd.IntN(2) == 0}
			switch rnd.IntN(3) {
			case 0:
				c.push(r)
				want = append(want, r)
			case 1:
				r.done = true
				c.insert(r)
				at := 0
				for at < len(want) && want[at].done {
					at++
				}
				want = append(want[:at], append([]*Request{r}, want[at:]...)...)
			case 2:
				if c.count == 0 {
					continue
				}
				if got := c.pop(); got != want[0] {
					t.Fatalf("seed %d: another request is first", seed)
				}
				want = want[1:]
			}
		}
		for _, w := range want {
			if c.pop() != w {
				t.Fatalf("seed %d: another order", seed)
			}
		}
		if c.count != 0 {
			t.Fatalf("seed %d: %d too many", seed, c.count)
		}
	}
}
