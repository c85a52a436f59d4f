package wire

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// Size classes: powers of two from 4 KiB to 1 MiB, then four steps to each doubling up to 16 MiB, so that a frame a
// little over a power of two does not waste half of its buffer. Larger buffers are made to measure and not kept.
const (
	minClassBits = 12
	topClassBits = 20
	maxClassBits = 24
	powClasses   = topClassBits - minClassBits + 1
	numClasses   = powClasses + 4*(maxClassBits-topClassBits)
	noClass      = -1

	keepBytes = 64 << 20 // of free buffers in one pool; trim gives back what is not used
)

// classOf is the smallest class that holds n bytes, or noClass.
func classOf(n int) int {
	switch {
	case n <= 1<<minClassBits:
		return 0
	case n <= 1<<topClassBits:
		return bits.Len(uint(n-1)) - minClassBits
	case n > 1<<maxClassBits:
		return noClass
	}
	e := bits.Len(uint(n-1)) - 1 // 2^e < n <= 2^(e+1)
	step := (n - 1 - 1<<e) >> (e - 2)
	return powClasses + 4*(e-topClassBits) + step
}

// classSize is the size of a class in bytes.
func classSize(class int) int {
	if class < powClasses {
		return 1 << (minClassBits + class)
	}
	k := class - powClasses
	e := topClassBits + k/4
	return 1<<e + (k%4+1)<<(e-2)
}

// buffer is memory with a count of those who use it: the reader that fills it, and every request cut from it. The last
// one to release it puts it back, and with it the part of the budget that it holds.
type buffer struct {
	b      []byte
	charge int64 // bytes of the budget; written by the reader before it shares the buffer
	refs   atomic.Int32
	class  int
	pool   *pool
}

// retain takes one more reference.
func (b *buffer) retain() { b.refs.Add(1) }

// release gives one up. It is safe on nil.
func (b *buffer) release() {
	if b == nil {
		return
	}
	switch n := b.refs.Add(-1); {
	case n == 0:
		b.pool.put(b)
	case n < 0:
		panic("wire: buffer released twice")
	}
}

// pool keeps free buffers by class, last in first out so that the next read goes where the cache is warm. It is not a
// sync.Pool, because that one frees only by garbage collections, which an idle broker does not make: trim frees by time.
type pool struct {
	budget *Budget
	poison bool         // tests: overwrite what is given back
	live   atomic.Int64 // bytes handed out
	kept   atomic.Int64 // bytes free
	lists  [numClasses]freeList
}

type freeList struct {
	// mu guards what is below.
	mu   sync.Mutex
	free []*buffer
	low  int // fewest free since the last trim: nobody needed those
}

// get returns a buffer of at least n bytes with one reference and no charge. Its bytes are whatever they were.
func (p *pool) get(n int) *buffer {
	class := classOf(n)
	if class == noClass {
		b := &buffer{b: make([]byte, n), class: noClass, pool: p}
		b.refs.Store(1)
		p.live.Add(int64(n))
		return b
	}
	size := classSize(class)
	p.live.Add(int64(size))
	b := p.lists[class].pop()
	if b == nil {
		b = &buffer{b: make([]byte, size), class: class, pool: p}
	} else {
		p.kept.Add(-int64(size))
	}
	b.refs.Store(1)
	return b
}

// put takes a buffer back whose last reference is gone.
func (p *pool) put(b *buffer) {
	size := int64(len(b.b))
	p.budget.give(b.charge)
	b.charge = 0
	p.live.Add(-size)
	if p.poison {
		overwrite(b.b)
	}
	if b.class == noClass {
		return
	}
	if p.kept.Add(size) > keepBytes {
		p.kept.Add(-size)
		return
	}
	l := &p.lists[b.class]
	l.mu.Lock()
	l.free = append(l.free, b)
	l.mu.Unlock()
}

// overwrite makes bytes that nobody sent.
func overwrite(b []byte) {
	b[0] = 0xDB
	for done := 1; done < len(b); done *= 2 {
		copy(b[done:], b[:done])
	}
}

func (l *freeList) pop() *buffer {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.free) - 1
	if n < 0 {
		return nil
	}
	b := l.free[n]
	l.free[n] = nil
	l.free = l.free[:n]
	l.low = min(l.low, n)
	return b
}

// trim drops the buffers that nobody has needed since the last trim.
func (p *pool) trim() {
	for class := range p.lists {
		l := &p.lists[class]
		l.mu.Lock()
		drop := l.low
		// The oldest lie at the front and are the coldest.
		kept := copy(l.free, l.free[drop:])
		clear(l.free[kept:])
		l.free = l.free[:kept]
		if kept == 0 {
			l.free = nil
		}
		l.low = kept
		l.mu.Unlock()
		p.kept.Add(-int64(drop) * int64(classSize(class)))
	}
}
