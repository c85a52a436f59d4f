package wire

import "sync"

// Budget bounds the bytes of all requests in memory. Reading waits when it is used up: back-pressure, not refusal. A
// frame takes its part once its first 64 KiB are there, so announcing a large frame costs nothing. Those who wait are
// served in the order they came, large ones not passed by small ones. What is counted is buffers as they lie in memory,
// so one small request holds the buffer that it came in until it is released.
//
// A nil Budget is unlimited. All methods may be called concurrently.
type Budget struct {
	total int64

	// mu guards everything below.
	mu    sync.Mutex
	free  int64
	queue []*claim // waiting, oldest first
}

// claim is somebody waiting for a part of the budget.
type claim struct {
	n       int64
	granted bool          // guarded by Budget.mu; valid once ready is closed
	ready   chan struct{} // closed when granted or abandoned
}

// NewBudget makes a budget of n bytes. A frame larger than the whole budget takes all of it.
func NewBudget(n int64) *Budget {
	n = max(n, 1)
	return &Budget{total: n, free: n}
}

// Used is the number of bytes taken now.
func (b *Budget) Used() int64 {
	if b == nil {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total - b.free
}

// part is what n bytes cost: never more than there is.
func (b *Budget) part(n int64) int64 {
	if b == nil {
		return 0
	}
	return min(n, b.total)
}

// try takes n bytes, as returned by part, if they are free and nobody waits.
func (b *Budget) try(n int64) bool {
	if b == nil || n == 0 {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) > 0 || b.free < n {
		return false
	}
	b.free -= n
	return true
}

// claim takes n bytes and returns nil, or returns the claim to wait for.
func (b *Budget) claim(n int64) *claim {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 && b.free >= n {
		b.free -= n
		return nil
	}
	w := &claim{n: n, ready: make(chan struct{})}
	b.queue = append(b.queue, w)
	return w
}

// abandon withdraws a claim. One that was granted already stays granted: its owner gives it back.
func (b *Budget) abandon(w *claim) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, q := range b.queue {
		if q == w {
			b.queue = append(b.queue[:i], b.queue[i+1:]...)
			close(w.ready)
			b.grant()
			return
		}
	}
}

// give returns n bytes.
func (b *Budget) give(n int64) {
	if b == nil || n == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += n
	if b.free > b.total {
		panic("wire: more given back to the budget than was taken")
	}
	b.grant()
}

// grant serves the oldest claims that fit. The caller holds mu.
func (b *Budget) grant() {
	for len(b.queue) > 0 && b.free >= b.queue[0].n {
		w := b.queue[0]
		b.queue[0] = nil
		b.queue = b.queue[1:]
		b.free -= w.n
		w.granted = true
		close(w.ready)
	}
	if len(b.queue) == 0 {
		b.queue = nil
	}
}
