package replica

import (
	"sync"
	"sync/atomic"

	"penstock"
	"penstock/store"
)

// How no append is missed, and none counted twice. Advances and registrations take turns under ledger.mu, and shown says up to
// which offset waiters have been credited. So a registration splits the log at shown: what lies below was visible before
// and is counted by the waiter's own goroutine from what it has seen so far; what lies beyond is credited by whoever makes it
// visible. Bytes are credited rather than offsets because that is what a client asks for.
//
//	advance:  high = new; shown = new; for each waiter on the list: left -= bytes grown; if left <= 0: take off, collect
//	          unlock; fire what was collected
//	wait:     put on the list; from = shown; unlock
//	          left -= bytes between seen and from; if left <= 0: fire
//
// Setting over is the right to fire: it is taken once, by an advance, a wait, a close or Cancel.

// Waiter is one long poll. It fires once when what became visible since it was armed adds up to its need, in any of
// the partitions it waits on, or when one of them closes.
type Waiter struct {
	fire func()
	left atomic.Int64 // bytes still needed
	over atomic.Bool  // fired or cancelled
	next *Waiter      // in a firedList; written once, by who set over

	// mu guards the links. It is taken before ledger.mu.
	mu    sync.Mutex
	few   [fewLinks]waiting // the links of most waiters, without an allocation
	links []waiting         // the piece of memory that the next link comes from
	full  [][]waiting       // pieces used up; a link never moves
}

// fewLinks is the number of partitions on which a waiter waits without memory of its own.
const fewLinks = 4

// waiting is one waiter's place in the list of one partition. Guarded by ledger.mu of its partition, but for ledger.
type waiting struct {
	w          *Waiter
	ledger     *ledger    // of the partition; never changes
	p          *Partition // nil once it is off the list
	prev, next *waiting
	iso        Isolation
}

// waiterList is a partition's list of waiters. Guarded by ledger.mu.
type waiterList struct{ head *waiting }

// shown is how far waiters have been credited. Guarded by ledger.mu.
type shown struct {
	high, stable           penstock.Offset
	highTotal, stableTotal int64 // p.total there
}

// firedList collects waiters under a lock, to be fired outside of it. It needs no memory: a waiter fires once.
type firedList struct{ head *Waiter }

func (f *firedList) add(w *Waiter) {
	w.next, f.head = f.head, w
}

// take adds those of another list, which is empty then.
func (f *firedList) take(o *firedList) {
	for w := o.head; w != nil; {
		next := w.next
		f.add(w)
		w = next
	}
	o.head = nil
}

// fire calls them. The caller holds no lock.
func (f *firedList) fire() {
	for w := f.head; w != nil; {
		next := w.next
		w.next = nil
		w.fire()
		w = next
	}
}

// NewWaiter makes a waiter that calls fire, once and from another goroutine, after need bytes. fire must not block.
func NewWaiter(need int64, fire func()) *Waiter {
	w := &Waiter{fire: fire}
	w.left.Store(need)
	w.links = w.few[:0]
	return w
}

// Wait registers w for what becomes visible after the offset seen; what is visible beyond it already counts at once.
func (p *Partition) Wait(w *Waiter, seen penstock.Offset, iso Isolation) {
	from, ok := p.register(w, iso)
	if !ok {
		w.now()
		return
	}
	// What is visible below from is never credited to w, what is beyond always is: nothing is missed or counted twice.
	n := int64(0)
	if seen < from {
		n = p.bytes(seen, from)
	}
	if w.credit(n) {
		go w.fire()
	}
}

// now fires w although nothing became visible, as when a partition is closed.
func (w *Waiter) now() {
	if w.end() {
		go w.fire()
	}
}

// register puts w on the list and returns the offset up to which nothing will be credited to it. ok is false if the
// partition is closed.
func (p *Partition) register(w *Waiter, iso Isolation) (from penstock.Offset, ok bool) {
	if p.ledger == nil {
		return 0, false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over.Load() {
		return 0, true
	}
	p.ledger.mu.Lock()
	defer p.ledger.mu.Unlock()
	if p.Err() != nil {
		return 0, false
	}
	p.waiters.push(w.link(p, iso))
	if iso == ReadCommitted {
		return p.shown.stable, true
	}
	return p.shown.high, true
}

// link takes the next link from the waiter's memory. The caller holds w.mu.
func (w *Waiter) link(p *Partition, iso Isolation) *waiting {
	if len(w.links) == cap(w.links) {
		w.full = append(w.full, w.links)
		w.links = make([]waiting, 0, 4*cap(w.links))
	}
	w.links = append(w.links, waiting{w: w, ledger: p.ledger, p: p, iso: iso})
	return &w.links[len(w.links)-1]
}

// Cancel takes w off every partition; after it fire is not called (it may be running, or about to).
func (w *Waiter) Cancel() {
	w.over.Store(true)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, piece := range w.full {
		leave(piece)
	}
	leave(w.links)
	w.full, w.links = nil, w.links[:0]
}

// leave takes links off their lists, those that are on one.
func leave(links []waiting) {
	for i := range links {
		e := &links[i]
		e.ledger.mu.Lock()
		if e.p != nil {
			e.p.waiters.remove(e)
		}
		e.ledger.mu.Unlock()
	}
}

// bytes is the size of what lies between two offsets. It asks the store, and is only needed when something became
// visible between a read and the wait.
func (p *Partition) bytes(from, to penstock.Offset) int64 {
	var few [4]penstock.Extent
	es, err := p.store.Read(store.ReadRequest{From: from, Limit: to, Max: maxCredit, Whole: true}, few[:0])
	n := int64(0)
	for i := range es {
		n += es[i].Len
	}
	penstock.ReleaseAll(es)
	if err != nil {
		return maxCredit // who waits reads again and gets the error himself
	}
	return n
}

// credit tells the waiters that readers see up to high and stable now, and takes those that have enough off the list.
// The caller holds ledger.mu.
func (p *Partition) credit(high, stable penstock.Offset, total int64, fired *firedList) {
	grown := total - p.shown.highTotal
	p.shown.high, p.shown.highTotal = high, total
	committed := int64(0)
	switch {
	case stable == high:
		committed = total - p.shown.stableTotal
		p.shown.stableTotal = total
	case stable > p.shown.stable:
		committed = maxCredit
	}
	p.shown.stable = max(stable, p.shown.stable)
	for e := p.waiters.head; e != nil; {
		next := e.next
		n := grown
		if e.iso == ReadCommitted {
			n = committed
		}
		if n > 0 && e.w.credit(n) {
			fired.add(e.w)
		}
		if e.w.over.Load() {
			p.waiters.remove(e)
		}
		e = next
	}
}

// maxCredit is credited where it is not known how many bytes became visible: who waits looks for himself.
const maxCredit = 1 << 40

// credit counts n bytes and reports whether the waiter is to be fired now, by the caller.
func (w *Waiter) credit(n int64) bool {
	return w.left.Add(-n) <= 0 && w.end()
}

// end claims the right to fire.
func (w *Waiter) end() bool { return w.over.CompareAndSwap(false, true) }

func (l *waiterList) push(e *waiting) {
	e.next = l.head
	if l.head != nil {
		l.head.prev = e
	}
	l.head = e
}

func (l *waiterList) remove(e *waiting) {
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		l.head = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	}
	e.p, e.prev, e.next = nil, nil, nil
}

// fireAll empties the list.
func (l *waiterList) fireAll(fired *firedList) {
	for l.head != nil {
		e := l.head
		l.remove(e)
		if e.w.end() {
			fired.add(e.w)
		}
	}
}
