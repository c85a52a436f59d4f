package metric

import "sync/atomic"

// cacheLine keeps what different processors raise on lines of their own.
const cacheLine = 64

// Counter only grows. The zero value is ready; all methods may be called concurrently. It fills a cache line, so that
// two counters beside each other do not slow each other down.
type Counter struct {
	n atomic.Int64
	_ [cacheLine - 8]byte
}

// Add raises the counter by n, which is not negative.
func (c *Counter) Add(n int64) { c.n.Add(n) }

// Inc raises the counter by one.
func (c *Counter) Inc() { c.n.Add(1) }

// Value reads the counter.
func (c *Counter) Value() int64 { return c.n.Load() }

// Gauge goes up and down. The zero value is ready; all methods may be called concurrently. It fills a cache line.
type Gauge struct {
	n atomic.Int64
	_ [cacheLine - 8]byte
}

// Set sets the gauge.
func (g *Gauge) Set(n int64) { g.n.Store(n) }

// Add changes the gauge by n, which may be negative.
func (g *Gauge) Add(n int64) { g.n.Add(n) }

// Max raises the gauge to n if it is lower.
func (g *Gauge) Max(n int64) {
	for old := g.n.Load(); old < n; old = g.n.Load() {
		if g.n.CompareAndSwap(old, n) {
			return
		}
	}
}

// Value reads the gauge.
func (g *Gauge) Value() int64 { return g.n.Load() }
