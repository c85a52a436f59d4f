package kafka

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"penstock"
	"penstock/wire"
)

// serve runs a protocol on a fresh port until stop is called or the test ends. After stop everything is given back.
func serve(t testing.TB, p wire.Protocol, o wire.Options) (addr string, stop func()) {
	t.Helper()
	ln := listen(t)
	return ln.Addr().String(), serveOn(t, ln, p, o)
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func serveOn(t testing.TB, ln net.Listener, p wire.Protocol, o wire.Options) (stop func()) {
	s := wire.NewServer(ln, p, o)
	done := make(chan error, 1)
	go func() { done <- s.Serve() }()
	stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// client is a bare connection that speaks frames.
type client struct {
	t testing.TB
	net.Conn
}

func dial(t testing.TB, addr string) client {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return client{t, c}
}

// send writes frames, each with its length already in front.
func (c client) send(frames ...[]byte) {
	c.t.Helper()
	for _, f := range frames {
		if _, err := c.Write(f); err != nil {
			c.t.Fatal(err)
		}
	}
}

// receive reads one frame; nil means that the broker closed the connection.
func (c client) receive() []byte {
	c.t.Helper()
	var length [4]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			c.t.Fatal("no answer")
		}
		return nil
	}
	b := make([]byte, binary.BigEndian.Uint32(length[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		c.t.Fatal(err)
	}
	return b
}

// canned is a protocol that answers every frame by a function.
type canned func(r *wire.Request)

func (canned) Name() string                   { return "canned" }
func (f canned) Open(*wire.Conn) wire.Session { return f }
func (canned) FrameLimit([]byte) int          { return 1 << 20 }
func (f canned) Serve(r *wire.Request)        { f(r) }
func (canned) Drained()                       {}
func (canned) Close(error)                    {}

// bytesOf is an answer as it leaves, without its length.
func bytesOf(t testing.TB, build func(a *wire.Answer)) []byte {
	addr, stop := serve(t, canned(func(r *wire.Request) {
		a := wire.NewAnswer()
		build(a)
		r.Reply(a)
	}), wire.Options{})
	c := dial(t, addr)
	c.send([]byte{0, 0, 0, 1, 0})
	b := c.receive()
	c.Close()
	stop()
	return b
}

// memoryFile is stored bytes in memory, which count their references.
type memoryFile struct {
	data []byte
	refs int
}

func (f *memoryFile) ReadAt(p []byte, off int64) (int, error) {
	n := copy(p, f.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
func (f *memoryFile) Fd() (int, bool) { return 0, false }
func (f *memoryFile) Release()        { f.refs-- }

func (f *memoryFile) extent(off, n int64) penstock.Extent {
	f.refs++
	return penstock.Extent{File: f, Off: off, Len: n}
}
