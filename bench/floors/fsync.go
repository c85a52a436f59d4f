package floors

import (
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"penstock/bench/stat"
)

// group is the appenders that share one write and one sync.
type group struct {
	n    int
	err  error         // how it went; read after done
	done chan struct{} // closed when the sync is over
}

// committer appends for many: all that wait when a sync ends go out in the next write and sync together.
type committer struct {
	f    *os.File
	wake chan struct{}
	buf  []byte

	mu   sync.Mutex // guards next
	next *group
}

// join waits until one more record is durable.
func (c *committer) join() error {
	c.mu.Lock()
	g := c.next
	g.n++
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
	<-g.done
	return g.err
}

// run commits until wake is closed.
func (c *committer) run() {
	var off int64
	for range c.wake {
		c.mu.Lock()
		g := c.next
		c.next = &group{done: make(chan struct{})}
		c.mu.Unlock()
		if g.n == 0 {
			close(g.done)
			continue
		}
		size := int64(g.n) * recordBytes
		if off+size > syncFileBytes {
			off = 0
		}
		if _, g.err = c.f.WriteAt(c.buf[:size], off); g.err == nil {
			g.err = unix.Fdatasync(int(c.f.Fd()))
		}
		off += size
		close(g.done)
	}
}

// serveFsync measures durable appends by waiters within this process.
func serveFsync(s Spec) (Result, error) {
	f, err := dataFile(s)
	if err != nil {
		return Result{}, fmt.Errorf("data file: %w", err)
	}
	defer f.Close()
	c := &committer{
		f: f, wake: make(chan struct{}, 1), buf: make([]byte, s.Waiters*recordBytes),
		next: &group{done: make(chan struct{})},
	}
	go c.run()
	lats := make([]stat.Samples, s.Waiters)
	errs := make([]error, s.Waiters)
	var r Result
	if err := timed(&r, func() error {
		var wg sync.WaitGroup
		for start, i := time.Now(), 0; i < s.Waiters; i++ {
			wg.Go(func() {
				for time.Since(start) < s.For && errs[i] == nil {
					t := time.Now()
					errs[i] = c.join()
					lats[i] = append(lats[i], time.Since(t))
				}
			})
		}
		wg.Wait()
		return nil
	}); err != nil {
		return Result{}, err
	}
	close(c.wake)
	var all stat.Samples
	for i := range lats {
		if errs[i] != nil {
			return Result{}, fmt.Errorf("append: %w", errs[i])
		}
		all = append(all, lats[i]...)
	}
	q := all.Quantiles(0.50, 0.99)
	r.Count, r.Bytes, r.P50, r.P99 = len(all), int64(len(all))*recordBytes, q[0], q[1]
	return r, nil
}
