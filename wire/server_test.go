package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestShutdown answers what is under way, serves nothing more, and closes.
func TestShutdown(t *testing.T) {
	p := newParked()
	closed := make(chan error, 2)
	p.closed = func(_ *Conn, cause error) { closed <- cause }
	s := start(t, p, Options{})
	idle, c := dial(t, s), dial(t, s)
	mustWrite(t, c, framed([]byte("under way")))
	r := p.next(t)
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(context.Background()) }()
	expectClosed(t, idle)
	conn := r.Conn()
	eventually(t, "the reader to wait for its answer", func() bool {
		conn.mu.Lock()
		defer conn.mu.Unlock()
		return conn.waiting
	})
	mustWrite(t, c, framed([]byte("too late")))
	if _, err := net.Dial("tcp", s.ln.Addr().String()); err == nil {
		t.Error("a connection was accepted")
	}
	select {
	case err := <-down:
		t.Fatalf("Shutdown returned %v with a request under way", err)
	default:
	}
	echo(r)
	if got := readFrame(t, c); string(got) != "under way" {
		t.Errorf("got %q", got)
	}
	expectClosed(t, c)
	if err := <-down; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	for range 2 {
		if cause := <-closed; !errors.Is(cause, ErrShutdown) {
			t.Errorf("closed for %v", cause)
		}
	}
	if len(p.reqs) != 0 {
		t.Error("a request was served after Shutdown")
	}
}

// TestShutdownCut cuts what is still under way when the context ends.
func TestShutdownCut(t *testing.T) {
	p := newParked()
	s := start(t, p, Options{})
	c := dial(t, s)
	mustWrite(t, c, framed([]byte("never answered")))
	r := p.next(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	expectClosed(t, c)
	echo(r)
}

func TestShutdownBeforeServe(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(ln, &front{serve: echo}, Options{})
	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(); err != nil {
		t.Errorf("Serve after Shutdown: %v", err)
	}
}

// badSession panics where it is told to.
type badSession struct {
	session
	where string
}

func (b *badSession) FrameLimit(p []byte) int { b.fault("limit"); return b.session.FrameLimit(p) }
func (b *badSession) Serve(r *Request)        { b.fault("serve"); b.session.Serve(r) }
func (b *badSession) Drained()                { b.fault("drained"); b.session.Drained() }
func (b *badSession) Close(cause error)       { b.fault("close"); b.session.Close(cause) }

func (b *badSession) fault(where string) {
	if b.where == where {
		panic("fault of the test in " + where)
	}
}

// badProtocol opens sessions that panic, the first in Open, and then good ones.
type badProtocol struct {
	front
	where []string
}

func (b *badProtocol) Open(c *Conn) Session {
	where := ""
	if len(b.where) > 0 {
		where, b.where = b.where[0], b.where[1:]
	}
	if where == "open" {
		panic("fault of the test in open")
	}
	return &badSession{session{&b.front, c}, where}
}

// TestPanics shows that a panic of a session ends its connection, is counted and logged, and harms nobody else.
func TestPanics(t *testing.T) {
	where := []string{"open", "limit", "serve", "drained", "close"}
	var log syncBuffer
	budget := NewBudget(1 << 20)
	s := start(t, &badProtocol{front: front{serve: echo}, where: where},
		Options{Budget: budget, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for i, w := range where {
		c := dial(t, s)
		mustWrite(t, c, framed([]byte("x")))
		if w == "close" {
			c.Close()
		} else {
			expectClosed(t, c)
		}
		eventually(t, "the panic in "+w, func() bool { return s.Stats().Panics == int64(i+1) && s.Stats().Conns == 0 })
		if n := budget.Used(); n != 0 {
			t.Errorf("the panic in %s holds %d bytes of the budget", w, n)
		}
		if !strings.Contains(log.String(), "fault of the test in "+w) {
			t.Errorf("the panic in %s was not logged", w)
		}
	}
	c := dial(t, s)
	mustWrite(t, c, framed([]byte("x")))
	readFrame(t, c)
	s.pool.live.Add(-minRead) // the request that Serve did not end is lost with its buffer, to the garbage collector
}

// syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestUnixSocket serves a unix stream, files included.
func TestUnixSocket(t *testing.T) {
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "sock"))
	if err != nil {
		t.Fatal(err)
	}
	f := newStoredFile(t, 100_000)
	p := &front{serve: func(r *Request) {
		a := NewAnswer()
		a.Attach(f.extent(0, 100_000), nil)
		r.Reply(a)
	}}
	s := startOn(t, ln, p, Options{MaxConnsPerIP: 1})
	for range 2 {
		c, err := net.Dial("unix", s.ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		mustWrite(t, c, framed(nil))
		if got := readFrame(t, c); !bytes.Equal(got, f.data) {
			t.Error("other bytes arrived")
		}
	}
}

// scarce is a listener that fails before it accepts.
type scarce struct {
	net.Listener
	errs []error
}

func (l *scarce) Accept() (net.Conn, error) {
	if len(l.errs) > 0 {
		err := l.errs[0]
		l.errs = l.errs[1:]
		return nil, err
	}
	return l.Listener.Accept()
}

// TestAcceptErrors waits out what passes, and ends for the rest.
func TestAcceptErrors(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := startOn(t, &scarce{ln, []error{os.NewSyscallError("accept", syscall.EMFILE), syscall.ECONNABORTED}}, &front{serve: echo}, Options{})
	c := dial(t, s)
	mustWrite(t, c, framed([]byte("x")))
	readFrame(t, c)

	ln, err = net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	bad := NewServer(&scarce{ln, []error{io.ErrClosedPipe}}, &front{serve: echo}, Options{})
	if err := bad.Serve(); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Serve: %v", err)
	}
	if err := bad.Shutdown(context.Background()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// TestSocketOptions asks the kernel: no delay, keepalive on.
func TestSocketOptions(t *testing.T) {
	var nodelay, keepalive int
	done := make(chan struct{})
	p := &front{serve: func(r *Request) {
		defer close(done)
		_ = r.Conn().t.raw.Control(func(fd uintptr) {
			nodelay, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY)
			keepalive, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE)
		})
		if r.Conn().RemoteAddr() == nil || r.Conn().LocalAddr() == nil || r.Arrived().IsZero() {
			t.Error("a request without ends or time")
		}
		r.Skip()
	}}
	s := start(t, p, Options{})
	mustWrite(t, dial(t, s), framed(nil))
	<-done
	if nodelay != 1 || keepalive != 1 {
		t.Errorf("nodelay %d, keepalive %d", nodelay, keepalive)
	}
}

// TestCloseFromAnywhere closes connections from several goroutines while they are busy.
func TestCloseFromAnywhere(t *testing.T) {
	s := start(t, &front{serve: echo}, Options{})
	var wg sync.WaitGroup
	for range 8 {
		c := dial(t, s)
		wg.Go(func() {
			for {
				if _, err := c.Write(framed(make([]byte, 10_000))); err != nil {
					return
				}
			}
		})
		wg.Go(func() { _, _ = io.Copy(io.Discard, c) })
	}
	eventually(t, "traffic", func() bool { return s.Stats().Requests > 200 && s.Stats().Conns == 8 })
	for _, c := range s.list() {
		for range 2 {
			wg.Go(func() { c.Close(errors.New("test over")) })
		}
	}
	wg.Wait()
	eventually(t, "all to end", func() bool { return s.Stats().Conns == 0 })
}

// TestIdleMemory bounds what a connection costs that waits: this process's memory for both of its ends, the client's
// included.
func TestIdleMemory(t *testing.T) {
	const conns = 500
	s := start(t, &front{serve: echo}, Options{})
	all := make([]net.Conn, conns)
	before := inUse()
	for i := range all {
		all[i] = dial(t, s)
		mustWrite(t, all[i], framed(make([]byte, 100)))
	}
	for _, c := range all {
		readFrame(t, c)
	}
	eventually(t, "readers to wait", func() bool { return s.Stats().Buffers == 0 })
	s.pool.trim()
	s.pool.trim()
	if each := (inUse() - before) / conns; each > 10<<10 {
		t.Errorf("%d bytes of heap and stacks for each idle connection", each)
	} else {
		t.Logf("%d bytes of heap and stacks for each idle connection and its client", each)
	}
}

// inUse is the memory of heap and stacks after a collection.
func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
