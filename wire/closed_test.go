package wire

import (
	"errors"
	"testing"
	"time"
)

// gated is a Kernel whose writes wait until the test lets them go.
type gated struct {
	Kernel
	entered chan struct{}
	gate    chan struct{}
}

func (k *gated) Write(sock int, p []byte, more bool) (int, error) {
	k.entered <- struct{}{}
	<-k.gate
	return k.Kernel.Write(sock, p, more)
}

// TestEndAfterCloseWhileFlushing: a request that ends after its connection was closed, while a flusher is still at the ring, stays the ring's until the
// flusher has done with it. Recycled at once it would be in the ring and in use elsewhere.
func TestEndAfterCloseWhileFlushing(t *testing.T) {
	p := newParked()
	k := &gated{Kernel: system{}, entered: make(chan struct{}, 10), gate: make(chan struct{})}
	s := start(t, p, Options{Kernel: k})
	c := dial(t, s)
	if _, err := c.Write(append(framed([]byte("first")), framed([]byte("second"))...)); err != nil {
		t.Fatal(err)
	}
	first, second := p.next(t), p.next(t)
	conn := first.Conn()
	flushed := make(chan struct{})
	go func() {
		defer close(flushed)
		echo(first)
	}()
	<-k.entered
	go conn.Close(errors.New("the test closes")) // it waits for the write to give the descriptor back
	for closed := false; !closed; time.Sleep(time.Millisecond) {
		conn.mu.Lock()
		closed = conn.closed
		conn.mu.Unlock()
	}
	second.Reply(NewAnswer())
	conn.mu.Lock()
	if !conn.flushing || conn.count == 0 || conn.ring[conn.head] != second || second.c != conn || !second.done {
		t.Errorf("flushing %v, %d in the ring, recycled %v", conn.flushing, conn.count, second.c == nil)
	}
	conn.mu.Unlock()
	close(k.gate)
	<-flushed
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		conn.mu.Lock()
		left, flushing := conn.count, conn.flushing
		conn.mu.Unlock()
		if left == 0 && !flushing {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d are left in the ring, flushing %v", left, flushing)
		}
	}
}
