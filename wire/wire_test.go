package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// front is a Protocol of functions.
type front struct {
	limit   int // of a frame; 0 means 1 GiB
	serve   func(r *Request)
	drained func()
	opened  func(c *Conn)
	closed  func(c *Conn, cause error)
}

func (f *front) Name() string { return "test" }

func (f *front) Open(c *Conn) Session {
	if f.opened != nil {
		f.opened(c)
	}
	return &session{f, c}
}

type session struct {
	f *front
	c *Conn
}

func (s *session) FrameLimit([]byte) int {
	if s.f.limit > 0 {
		return s.f.limit
	}
	return 1 << 30
}

func (s *session) Serve(r *Request) { s.f.serve(r) }

func (s *session) Drained() {
	if s.f.drained != nil {
		s.f.drained()
	}
}

func (s *session) Close(cause error) {
	if s.f.closed != nil {
		s.f.closed(s.c, cause)
	}
}

// echo answers with the frame.
func echo(r *Request) {
	a := NewAnswer()
	a.B = append(a.B, r.Frame()...)
	r.Reply(a)
}

// TestMain checks that no test leaves a goroutine of the room behind. It is also the client of the benchmarks.
func TestMain(m *testing.M) {
	if spec := os.Getenv(clientEnv); spec != "" {
		if err := clientMain(spec); err != nil {
			fmt.Fprintln(os.Stderr, "benchmark client:", err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	for end := time.Now().Add(5 * time.Second); strings.Contains(stacks(), "created by penstock/wire.(*"); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			fmt.Fprintf(os.Stderr, "goroutines left behind:\n%s\n", stacks())
			os.Exit(1)
		}
	}
	os.Exit(code)
}

// start serves p on a free port until the test ends, and checks that nothing is left behind: no buffer, no part of the
// budget.
func start(t testing.TB, p Protocol, o Options) *Server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return startOn(t, ln, p, o)
}

func startOn(t testing.TB, ln net.Listener, p Protocol, o Options) *Server {
	t.Helper()
	s := NewServer(ln, p, o)
	s.pool.poison = true
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Serve(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Shutdown(ctx)
		wg.Wait()
		if n := s.pool.live.Load(); n != 0 {
			t.Errorf("%d bytes of buffers still held after shutdown", n)
		}
		s.pipes.mu.Lock()
		if s.pipes.made != 0 || len(s.pipes.free) != 0 {
			t.Errorf("%d pipes left after shutdown", s.pipes.made)
		}
		s.pipes.mu.Unlock()
		if n := o.Budget.Used(); n != 0 {
			t.Errorf("%d bytes of the budget still held after shutdown", n)
		}
	})
	return s
}

func stacks() string {
	b := make([]byte, 1<<20)
	return string(b[:runtime.Stack(b, true)])
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s\n%s", what, stacks())
		}
	}
}

func dial(t testing.TB, s *Server) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", s.ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(60 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

func framed(p []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(p))), p...)
}

func readFrame(t testing.TB, r io.Reader) []byte {
	t.Helper()
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		t.Fatalf("read a length: %v", err)
	}
	p := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(r, p); err != nil {
		t.Fatalf("read a frame of %d bytes: %v", len(p), err)
	}
	return p
}

func mustWrite(t testing.TB, w io.Writer, p []byte) {
	t.Helper()
	if _, err := w.Write(p); err != nil {
		t.Fatal(err)
	}
}

// pattern is n bytes that tell their place.
func pattern(seed byte, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = seed + byte(i) ^ byte(i>>8)*31
	}
	return p
}

func TestEcho(t *testing.T) {
	s := start(t, &front{serve: echo}, Options{})
	c := dial(t, s)
	for _, n := range []int{0, 1, 7, 8, 100, 4091, 4092, 4093, 5000, 65531, 65532, 65533, 70000, 1 << 20, 3<<20 + 17} {
		want := pattern(byte(n), n)
		mustWrite(t, c, framed(want))
		if got := readFrame(t, c); !bytes.Equal(got, want) {
			t.Fatalf("frame of %d bytes came back as %d others", n, len(got))
		}
	}
	if got := s.Stats().Requests; got != 15 {
		t.Errorf("counted %d requests, want 15", got)
	}
}
