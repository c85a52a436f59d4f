package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"
)

// parked is a front that keeps its requests until the test ends them.
type parked struct {
	front
	reqs chan *Request
}

func newParked() *parked {
	p := &parked{reqs: make(chan *Request, 10_000)}
	p.serve = func(r *Request) { p.reqs <- r }
	return p
}

func (p *parked) next(t testing.TB) *Request {
	t.Helper()
	select {
	case r := <-p.reqs:
		return r
	case <-time.After(30 * time.Second):
		t.Fatalf("no request came\n%s", stacks())
		return nil
	}
}

// TestOrder completes pipelined requests in random order from several goroutines: answers leave in the order of the
// requests.
func TestOrder(t *testing.T) {
	const total = 3000
	rnd := rand.New(rand.NewPCG(7, 7))
	var mu sync.Mutex
	var waiting []*Request
	end := func(r *Request) {
		if id := binary.BigEndian.Uint32(r.Frame()); id%10 == 3 {
			r.Skip()
			return
		}
		echo(r)
	}
	p := &front{serve: func(r *Request) {
		mu.Lock()
		defer mu.Unlock()
		if rnd.IntN(4) == 0 {
			end(r)
			return
		}
		waiting = append(waiting, r)
	}}
	s := start(t, p, Options{InFlight: 100})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				mu.Lock()
				var r *Request
				if n := len(waiting); n > 0 {
					i := rnd.IntN(n)
					r, waiting[i] = waiting[i], waiting[n-1]
					waiting = waiting[:n-1]
				}
				mu.Unlock()
				if r != nil {
					end(r)
				} else {
					time.Sleep(50 * time.Microsecond) // nothing to do just now
				}
			}
		})
	}
	defer wg.Wait()
	defer close(stop)

	c := dial(t, s)
	go func() {
		for i := range uint32(total) {
			p := append(binary.BigEndian.AppendUint32(nil, i), pattern(byte(i), int(i%97))...)
			if _, err := c.Write(framed(p)); err != nil {
				return // the reading side reports
			}
		}
	}()
	for i := range uint32(total) {
		if i%10 == 3 {
			continue
		}
		got := readFrame(t, c)
		if len(got) < 4 || binary.BigEndian.Uint32(got) != i || !bytes.Equal(got[4:], pattern(byte(i), int(i%97))) {
			t.Fatalf("answer %d is % x", i, got[:min(len(got), 8)])
		}
	}
}

// TestPipelining shows that later requests are served while the first waits, and that their answers wait for its.
func TestPipelining(t *testing.T) {
	p := newParked()
	s := start(t, p, Options{})
	c := dial(t, s)
	mustWrite(t, c, append(framed([]byte("a")), framed([]byte("b"))...))
	a, b := p.next(t), p.next(t)
	mustWrite(t, c, framed([]byte("c")))
	third := p.next(t)
	echo(third)
	echo(b)
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read %d bytes before the first answer: %v", n, err)
	}
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	echo(a)
	for _, want := range []string{"a", "b", "c"} {
		if got := readFrame(t, c); string(got) != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

// TestAnyOrder shows that with Options.AnyOrder answers leave as they are given.
func TestAnyOrder(t *testing.T) {
	p := newParked()
	s := start(t, p, Options{AnyOrder: true})
	c := dial(t, s)
	mustWrite(t, c, append(framed([]byte("a")), framed([]byte("b"))...))
	a, b := p.next(t), p.next(t)
	echo(b)
	if got := readFrame(t, c); string(got) != "b" {
		t.Fatalf("got %q first", got)
	}
	echo(a)
	if got := readFrame(t, c); string(got) != "a" {
		t.Fatalf("got %q second", got)
	}
}

// TestFail shows that Fail closes once the answers before it are out, whatever is answered after it.
func TestFail(t *testing.T) {
	reason := errors.New("bad request")
	closed := make(chan error, 1)
	p := newParked()
	p.closed = func(_ *Conn, cause error) { closed <- cause }
	s := start(t, p, Options{})
	c := dial(t, s)
	mustWrite(t, c, bytes.Join([][]byte{framed([]byte("a")), framed([]byte("b")), framed([]byte("c"))}, nil))
	first, bad, last := p.next(t), p.next(t), p.next(t)
	echo(last)
	bad.Fail(reason)
	echo(first)
	if got := readFrame(t, c); string(got) != "a" {
		t.Fatalf("got %q", got)
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Fatalf("the connection lives: %d bytes", n)
	}
	if cause := <-closed; !errors.Is(cause, reason) {
		t.Errorf("closed for %v", cause)
	}
}

// TestAnswersAfterClose ends requests of a connection that is gone: to no effect, and nothing is kept.
func TestAnswersAfterClose(t *testing.T) {
	closed := make(chan error, 1)
	p := newParked()
	p.closed = func(_ *Conn, cause error) { closed <- cause }
	s := start(t, p, Options{})
	c := dial(t, s)
	f := newStored(1000)
	for range 4 {
		mustWrite(t, c, framed([]byte("x")))
	}
	a, b, x, y := p.next(t), p.next(t), p.next(t), p.next(t)
	answer := NewAnswer()
	answer.Attach(f.extent(0, 1000), nil)
	b.Reply(answer) // waits behind a
	c.Close()
	if cause := <-closed; !errors.Is(cause, io.EOF) {
		t.Errorf("closed for %v", cause)
	}
	answer = NewAnswer()
	answer.Attach(f.extent(0, 1000), nil)
	a.Reply(answer)
	x.Skip()
	y.Fail(errors.New("late"))
	if n := f.refs.Load(); n != 0 {
		t.Errorf("%d extents not released", n)
	}
}

// TestInFlight shows that a connection with many unanswered requests is not read further, and that what was gathered
// is sent on before the reader waits.
func TestInFlight(t *testing.T) {
	const limit = 5
	var mu sync.Mutex
	served, drained := 0, 0
	p := newParked()
	p.serve = func(r *Request) {
		mu.Lock()
		served++
		mu.Unlock()
		p.reqs <- r
	}
	p.drained = func() {
		mu.Lock()
		drained = served
		mu.Unlock()
	}
	s := start(t, p, Options{InFlight: limit})
	c := dial(t, s)
	var all []byte
	for i := range 20 {
		all = append(all, framed([]byte{byte(i)})...)
	}
	mustWrite(t, c, all)
	for i := range 20 {
		eventually(t, "requests to be served and drained up to the limit", func() bool {
			mu.Lock()
			defer mu.Unlock()
			if served > i+limit {
				t.Fatalf("%d served with %d answered", served, i)
			}
			return served == min(i+limit, 20) && drained == served
		})
		echo(p.next(t))
		if got := readFrame(t, c); got[0] != byte(i) {
			t.Fatalf("answer %d is %d", i, got[0])
		}
	}
}

// TestUnsentAnswersStopReading shows that a peer that asks and does not read cannot fill memory with answers.
func TestUnsentAnswersStopReading(t *testing.T) {
	p := &front{serve: func(r *Request) {
		a := NewAnswer()
		a.B = append(a.B, make([]byte, 256<<10)...)
		r.Reply(a)
	}}
	k := &flaky{Kernel: system{}}
	k.block.Store(true)
	s := start(t, p, Options{Kernel: k})
	c := dial(t, s)
	const asked = 100
	mustWrite(t, c, bytes.Repeat(framed([]byte("give")), asked))
	eventually(t, "reading to stop", func() bool {
		for _, c := range s.list() {
			c.mu.Lock()
			waiting := c.waiting
			c.mu.Unlock()
			if waiting {
				return true
			}
		}
		return false
	})
	if n := s.Stats().Requests; n*256<<10 > unsentMax+256<<10 {
		t.Errorf("%d requests were served with no answer taken", n)
	}
	for _, c := range s.list() {
		c.Close(errors.New("test over")) // the flusher waits for room, which there always was
	}
}
