package load

import (
	"sync"
	"sync/atomic"
	"testing"
)

// TestGateIsShutWhenShutReturns has many callers count while the gate shuts: after Shut nothing is counted, and nothing is
// being counted.
func TestGateIsShutWhenShutReturns(t *testing.T) {
	var g Gate
	var counted, busy atomic.Int64
	var all sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				g.Do(func() {
					busy.Add(1)
					counted.Add(1)
					busy.Add(-1)
				})
			}
		})
	}
	for range 200 {
		for before := counted.Load(); counted.Load() == before; {
			g.Open()
		}
		g.Shut()
		at := counted.Load()
		if busy.Load() != 0 || counted.Load() != at {
			t.Error("something is counted behind a shut gate")
			break
		}
	}
	close(stop)
	all.Wait()
	g.Open()
	before := counted.Load()
	g.Do(func() { counted.Add(1) })
	if counted.Load() != before+1 {
		t.Error("an open gate does not count")
	}
}
