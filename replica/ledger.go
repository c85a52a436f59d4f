package replica

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"penstock"
	"penstock/isr"
	"penstock/store"
)

// ledger is what is owed on one log: the promises not yet met, in the order of the log, and how far the members of the
// in-sync set are. Partitions that share a log share it.
//
// Its invariants:
//
//  1. The queue is in the order of the log: marks never fall from head to end. So only the head needs looking at.
//  2. Readers of a partition see everything below its first gate in the queue, and nothing at or above it; without a gate
//     they see all that was applied. The high watermark is therefore always at a batch's edge, and never goes back.
//  3. A promise is told once: by the round of group commit that covers it, by the failure that ends all promises, or by the
//     closing of its partition, whoever takes its notify function out of the queue first.
//  4. A gate stays shut after its promise has failed. The batch may be in the log, or not after the next crash, so nobody
//     may see it before it is known to be durable.
//  5. After a failed sync nothing moves any more: a later success would say nothing about what came before it.
//
// An acks=all append that finds its mark synced already, because a round under way took it along between the write and the
// look at the tracker, is done at once.
//
// The set is tracked twice, in what is written and in what is durable, because topics differ in what their promise asks
// for. With one member the written tracker meets every promise at once; followers will report to both.
type ledger struct {
	log     store.Log
	self    penstock.BrokerID
	figures *figures

	// write serialises appends to the log and is held over the write. It is taken before mu.
	write    sync.Mutex
	gatherer store.Gatherer // the log, if batches of several partitions can be written together; else nil
	lots     *lots          // guarded by write; nil until it is used

	// mu guards everything below, and the guarded part of each Partition on the log. It is held for no call out.
	mu      sync.Mutex
	written isr.Tracker
	synced  isr.Tracker
	queue   queue
	failed  error        // what took the disk offline; nothing is promised or appended after it
	parts   []*Partition // on the log and open; each knows its place
	minimum int          // smallest set that commits: the most that a topic of these demands
	demands []demanded   // how many of these demand so many; most logs have one entry
	scratch []promise    // for those taken off the queue; nil while in use
}

// newLedger makes the ledger of a log that self leads alone. What is on disk and in the page cache is committed: there is
// nobody else to ask.
func newLedger(log store.Log, self penstock.BrokerID, f *figures) *ledger {
	gatherer, _ := log.(store.Gatherer)
	return &ledger{
		gatherer: gatherer,

		log:     log,
		self:    self,
		figures: f,
		written: isr.New(self, 1, isr.Mark(log.Written())),
		synced:  isr.New(self, 1, isr.Mark(log.Synced())),
		minimum: 1,
	}
}

// promise is one acknowledgement that waits, and with gate also what readers may not see before it is met.
type promise struct {
	p       *Partition
	mark    isr.Mark           // where the in-sync set must get to
	durable bool               // by its synced marks, else by its written ones
	notify  func(AppendResult) // nil when there is nobody to tell, or not any more
	res     AppendResult
	since   time.Time // of the write

	gate       bool
	until      penstock.Offset // how far readers of p get once it is met: the start of p's next gate, or 0 while there is none
	untilTotal int64           // p.total there
}

// met reports whether a promise is kept already. The caller holds mu.
func (l *ledger) met(pr *promise) bool {
	if pr.durable {
		return l.synced.Committed() >= pr.mark
	}
	return l.written.Committed() >= pr.mark
}

// onSynced hears of each round of group commit: up to mark the log is durable, or err took the disk offline. It takes
// only mu, so it does not wait for a write.
func (l *ledger) onSynced(mark store.Mark, err error) {
	var fired firedList
	l.mu.Lock()
	told := l.takeScratch()
	if err != nil {
		if !errors.Is(err, penstock.ErrOffline) {
			err = fmt.Errorf("%w: %w", penstock.ErrOffline, err)
		}
		l.failed = err
		told = l.queue.abandon(told, nil, err)
	} else {
		l.synced.Report(l.self, isr.Mark(mark))
		told = l.settle(told, &fired)
	}
	l.mu.Unlock()
	l.tell(told)
	fired.fire()
}

// settle takes the promises that are kept off the queue, opens their gates, and appends those that somebody waits for
// to told. The caller holds mu.
func (l *ledger) settle(told []promise, fired *firedList) []promise {
	for l.failed == nil && l.queue.len() > 0 {
		pr := l.queue.head()
		if !l.met(pr) {
			break
		}
		if p := pr.p; pr.gate {
			p.gates--
			if p.gates > 0 {
				p.show(pr.until, pr.untilTotal, fired)
			} else {
				p.showAll(fired)
			}
		}
		if pr.notify != nil {
			told = append(told, *pr)
		}
		l.queue.pop()
	}
	return told
}

// takeScratch lends the slice that promises to be told are collected in. The caller holds mu.
func (l *ledger) takeScratch() []promise {
	s := l.scratch
	l.scratch = nil
	return s[:0]
}

// maxScratch is the number of promises above which a slice is not kept for the next round.
const maxScratch = 1 << 10

// tell calls the notify functions and gives the slice back. The caller holds no lock.
func (l *ledger) tell(told []promise) {
	var now time.Time
	if len(told) > 0 {
		now = told[0].p.now()
	}
	for i := range told {
		if pr := &told[i]; pr.res.Err == nil && !pr.since.IsZero() {
			l.figures.waited.Observe(int64(now.Sub(pr.since)))
		}
		told[i].notify(told[i].res)
	}
	clear(told)
	if cap(told) == 0 || cap(told) > maxScratch {
		return
	}
	l.mu.Lock()
	l.scratch = told[:0]
	l.mu.Unlock()
}

// join adds a partition to the log. What its topic demands of the in-sync set counts after demand.
func (l *ledger) join(p *Partition) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p.place, p.demand = len(l.parts), 0
	l.parts = append(l.parts, p)
}

// leave removes one and reports whether it was the last.
func (l *ledger) leave(p *Partition) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.place < len(l.parts) && l.parts[p.place] == p {
		last := len(l.parts) - 1
		l.parts[p.place] = l.parts[last]
		l.parts[p.place].place = p.place
		l.parts[last] = nil
		l.parts = l.parts[:last]
		l.count(p, 0)
	}
	return len(l.parts) == 0
}

// count notes that a partition's topic demands n in sync, 0 for nothing. The caller holds mu.
func (l *ledger) count(p *Partition, n int) {
	if p.demand > 0 {
		i := slices.IndexFunc(l.demands, func(d demanded) bool { return d.inSync == p.demand })
		if l.demands[i].parts--; l.demands[i].parts == 0 {
			l.demands = slices.Delete(l.demands, i, i+1)
		}
	}
	if p.demand = n; n == 0 {
		return
	}
	if i := slices.IndexFunc(l.demands, func(d demanded) bool { return d.inSync == n }); i >= 0 {
		l.demands[i].parts++
		return
	}
	l.demands = append(l.demands, demanded{n, 1})
}

// demanded is how many partitions demand a number in sync.
type demanded struct{ inSync, parts int }

// demand takes over what the topic of a partition on the log demands of the in-sync set, and brings the smallest set that commits up to it.
// Where the set is smaller now, those who wait are told; what they sent is in the log and becomes visible when the set is large
// enough again. Thousands of partitions may share a log, so all are looked at only where something changes for them.
func (l *ledger) demand(p *Partition) {
	var fired firedList
	l.mu.Lock()
	l.count(p, p.terms.Load().minInSync)
	n := 1
	for _, d := range l.demands {
		n = max(n, d.inSync)
	}
	if n == l.minimum {
		l.mu.Unlock()
		return
	}
	l.minimum = n
	l.written.SetMinimum(n)
	l.synced.SetMinimum(n)
	told := l.takeScratch()
	if l.synced.Enough() {
		told = l.settle(told, &fired)
		for _, p := range l.parts {
			p.showAll(&fired)
		}
	} else {
		err := fmt.Errorf("%w: %d in sync, the topic demands %d now", penstock.ErrFewerReplicas, l.synced.Len(), n)
		told = l.queue.abandon(told, nil, err)
	}
	l.mu.Unlock()
	l.tell(told)
	fired.fire()
}

// queue is a ring of promises in the order of the log. Its memory is reused, and given back after a burst.
type queue struct {
	ring       []promise // its length is a power of two
	first, end uint64    // numbers of the first and of the one after the last; a promise keeps its number
}

// The ring's length at first: most of many partitions never have more than one promise under way. And the length above which an empty ring is given back.
const (
	minRing = 1
	maxRing = 1 << 10
)

func (q *queue) len() int { return int(q.end - q.first) }

// at is the promise with the number n, which is in the queue.
func (q *queue) at(n uint64) *promise { return &q.ring[n&uint64(len(q.ring)-1)] }

func (q *queue) head() *promise { return q.at(q.first) }

// push adds a promise and returns its number.
func (q *queue) push(pr promise) uint64 {
	if q.len() == len(q.ring) {
		q.grow()
	}
	n := q.end
	q.end++
	*q.at(n) = pr
	return n
}

func (q *queue) grow() {
	bigger := queue{ring: make([]promise, max(minRing, 2*len(q.ring))), first: q.first, end: q.end}
	for n := q.first; n != q.end; n++ {
		*bigger.at(n) = *q.at(n)
	}
	*q = bigger
}

func (q *queue) pop() {
	*q.at(q.first) = promise{}
	q.first++
	if q.first == q.end && len(q.ring) > maxRing {
		q.ring = nil
	}
}

// abandon appends the promises of p, or of everybody, to told with the error, and leaves them in the queue without
// anybody to tell: they go on keeping readers out.
func (q *queue) abandon(told []promise, p *Partition, err error) []promise {
	for n := q.first; n != q.end; n++ {
		pr := q.at(n)
		if pr.notify == nil || p != nil && pr.p != p {
			continue
		}
		lost := *pr
		lost.res.Err = err
		told = append(told, lost)
		pr.notify = nil
	}
	return told
}
