// Package replica is one log, led or followed. It decides whether a batch may be appended (leader epoch, producer
// sequence), when it is acknowledged (the topic's durability on the in-sync set) and what readers may see (high
// watermark, last stable offset). It knows neither etcd nor TCP.
//
// A batch becomes visible when the durability that its producer asked for is met: one appended with acks=all on a
// topic with durability fsync is seen by nobody before it is on disk; one appended with acks=1 or 0 promises nothing about the disk and
// is visible at once, unless an unmet promise lies before it.
//
// Two locks. A ledger's write lock serialises the appends to one log and is held over the write. Its mu guards what is known
// of the log (promises, in-sync set, producers, waiters); it is held for no call out, so that neither a reader who begins
// to wait nor the goroutine of group commit waits for a write. Reading takes neither: the edges are atomic.
package replica

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"penstock"
	"penstock/isr"
	"penstock/producer"
	"penstock/store"
)

// Partition is a partition of a log that this node leads. All methods may be called concurrently. Replicas makes it. One
// that could not be opened, and one that was closed, answers every call with its error.
type Partition struct {
	id      penstock.PartitionID
	self    penstock.BrokerID
	now     func() time.Time
	store   store.Partition // nil if it could not be opened
	ledger  *ledger         // of the log that it lies on; nil with store
	figures *figures

	gone  atomic.Pointer[error] // why nothing can be done with it; nil while all is well
	terms atomic.Pointer[terms]
	epoch atomic.Int32 // leader epoch; changed under ledger.write

	gathered bool // see ledger.together; guarded by ledger.write

	// high is the high watermark and stable the last stable offset. They are changed under ledger.mu, high first, so that
	// whoever loads stable first sees no high below it.
	high   atomic.Int64
	stable atomic.Int64

	// Guarded by ledger.mu.
	producers   producer.State
	end         penstock.Offset // as applied; the store's end may be ahead of it during an append
	total       int64           // bytes appended since it was opened
	epochStart  penstock.Offset // the end when the present epoch began
	gates       int             // promises in the queue that keep readers out
	lastGate    uint64          // queue number of the last of these
	shown       shown
	waiters     waiterList
	unsaved     int  // batches appended since the last saved state was known to hold
	idempotents bool // some of these have a producer
	saving      bool // save is at it
	flush       flusher
	place       int // in ledger.parts
	demand      int // of the in-sync set, as it counts in ledger.demands; 0 if it does not
}

// terms are the parts of a topic's settings that an append looks at. They are immutable.
type terms struct {
	minInSync  int // no more than the partition has replicas, as in Kafka
	durability penstock.Durability
	appendTime bool

	flushRecords int64 // see flusher
	flushAge     time.Duration
}

// AppendRequest is one partition's part of a produce request.
type AppendRequest struct {
	Batches []penstock.Batch // validated; their bytes are free again when Append returns
	// Whole is set where the batches are one batch of an idempotent producer that had to be taken apart, because the format holds one record in each:
	// that batch's header. Its sequence is checked and remembered in place of theirs, and it gets its base offset here.
	Whole *penstock.BatchHeader
	Acks  penstock.Acks
	Epoch penstock.Epoch // the leader epoch that the caller believes in, NoEpoch for none
}

// AppendResult is the answer for one partition.
type AppendResult struct {
	First     penstock.Offset    // offset of the first record
	Time      penstock.Timestamp // broker's time if the topic stamps it
	Start     penstock.Offset    // the partition's first offset
	Duplicate bool               // it was appended before; First is what it got then
	Err       error
}

// outcome is what remains to be done after an append, outside of the locks.
type outcome struct {
	done   bool
	commit bool
	fired  firedList
}

var errNoBatch = fmt.Errorf("%w: no batch", penstock.ErrInvalidRecord)

// ID is the partition's name.
func (p *Partition) ID() penstock.PartitionID { return p.id }

// Err is why the partition answers every call with an error: it could not be opened (the error says why) or it was closed
// (penstock.ErrClosed). It is nil while all is well.
func (p *Partition) Err() error {
	if err := p.gone.Load(); err != nil {
		return *err
	}
	return nil
}

// Append validates sequences and appends. If the promise is met on return it reports done=true and the result. Else
// done is false and notify is called once, from another goroutine, when it is met or has failed; it must not block.
// With AcksNone and AcksLeader Append never waits for the disk and notify is never called.
//
// Several batches are appended all or none. A batch that was appended before is answered with the offset that it got then,
// and waits, as it did then, until that is durable; several must be duplicates all or none of them.
//
// Errors: ErrFencedEpoch, ErrUnknownEpoch, ErrNotEnoughReplicas, ErrOutOfOrderSequence, ErrFencedProducer,
// ErrInvalidRecord (a transactional batch: there is no coordinator yet), what store.Partition's Append returns, ErrClosed. After
// ErrOffline or ErrClosed given to notify the batches may be in the log or not; after ErrFewerReplicas, which only notify is given, they are.
func (p *Partition) Append(r AppendRequest, notify func(AppendResult)) (res AppendResult, done bool) {
	if err := p.Err(); err != nil {
		return p.failure(err), true
	}
	l := p.ledger
	l.write.Lock()
	res, out := p.append(&r, notify)
	l.write.Unlock()
	if out.commit {
		l.log.Commit()
	}
	out.fired.fire()
	return res, out.done
}

// failure is the answer to an append that did not happen.
func (p *Partition) failure(err error) AppendResult {
	res := AppendResult{First: penstock.NoOffset, Time: penstock.NoTimestamp, Start: penstock.NoOffset, Err: err}
	if p.store != nil {
		res.Start, _ = p.store.Bounds()
	}
	return res
}

// append does it, in the order that keeps three things together: what is checked stays true until it is written, because
// only this goroutine holds the write lock; what is written is applied before anybody sees it, so that readers, waiters and
// the producers' state agree; and group commit is asked for only after the locks are given back, since its answer may come before
// the call returns. The caller holds ledger.write.
func (p *Partition) append(r *AppendRequest, notify func(AppendResult)) (AppendResult, outcome) {
	pr, res, out, ready := p.begin(r, notify)
	if !ready {
		return res, out
	}
	return p.write(r, &pr)
}

// begin decides whether the batches may be appended, and makes their promise. Where nothing is to be written ready is false, and the answer there. The
// caller holds ledger.write.
func (p *Partition) begin(r *AppendRequest, notify func(AppendResult)) (pr promise, res AppendResult, out outcome, ready bool) {
	t := p.terms.Load()
	pr = promise{p: p, durable: t.durability == penstock.DurabilityFsync, notify: notify}
	earlier, err := p.admit(r, t)
	if err != nil {
		return pr, p.failure(err), outcome{done: true}, false
	}
	pr.since = p.now()
	if earlier.Duplicate {
		p.figures.duplicates.Inc()
		res, out = p.again(earlier, r.Acks, pr)
		return pr, res, out, false
	}
	return pr, res, out, true
}

// write writes what begin let pass, alone. The caller holds ledger.write.
func (p *Partition) write(r *AppendRequest, pr *promise) (AppendResult, outcome) {
	app, err := p.store.Append(r.Batches, p.leaderEpoch(), pr.stamp())
	if err != nil {
		return p.failure(err), outcome{done: true}
	}
	var out outcome
	l := p.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	p.finish(r, pr, app, isr.Mark(app.End), &out)
	return pr.res, out
}

// stamp is the time that batches of the promise are stamped with.
func (pr *promise) stamp() penstock.Timestamp { return penstock.Timestamp(pr.since.UnixMilli()) }

// finish applies what was written. The promise is met when the log is as durable as it demands up to mark, which is not before the end of what was
// written. The caller holds ledger.write and ledger.mu.
func (p *Partition) finish(r *AppendRequest, pr *promise, app store.Appended, mark isr.Mark, out *outcome) {
	start, _ := p.store.Bounds()
	pr.mark = mark
	pr.res = AppendResult{First: app.First, Time: app.Time, Start: start}
	l := p.ledger
	p.apply(r, app.First, pr.stamp())
	l.written.Report(p.self, pr.mark)
	out.done = r.Acks != penstock.AcksAll || l.met(pr)
	commit := false
	if !out.done {
		commit = pr.durable
		p.gate(*pr, app)
	}
	if p.owes(r.Batches, p.terms.Load(), commit) {
		out.commit = true
	}
	p.end = app.Next
	p.total += app.Bytes
	p.showAll(&out.fired)
}

// admit decides whether the batches may be appended. The caller holds ledger.write, so that what is decided stays true.
func (p *Partition) admit(r *AppendRequest, t *terms) (producer.Verdict, error) {
	if err := p.Err(); err != nil {
		return producer.Verdict{}, err
	}
	if len(r.Batches) == 0 {
		return producer.Verdict{}, errNoBatch
	}
	if err := p.checkEpoch(r.Epoch); err != nil {
		return producer.Verdict{}, err
	}
	l := p.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		return producer.Verdict{}, l.failed
	}
	if n := l.written.Len(); r.Acks == penstock.AcksAll && n < t.minInSync {
		return producer.Verdict{}, fmt.Errorf("%w: partition %v has %d, the topic demands %d", penstock.ErrNotEnoughReplicas, p.id, n, t.minInSync)
	}
	v, err := p.checkSequences(r)
	if err != nil {
		p.figures.refused.Inc()
	}
	return v, err
}

// checkSequences checks what was appended before, and whether everything follows on it.
func (p *Partition) checkSequences(r *AppendRequest) (producer.Verdict, error) {
	if r.Whole == nil {
		return p.checkProducers(r.Batches)
	}
	if n := int64(len(r.Batches)); n != int64(r.Whole.LastDelta)+1 {
		return producer.Verdict{}, fmt.Errorf("%w: partition %v: %d batches made of %d records", penstock.ErrInvalidRecord, p.id, n, int64(r.Whole.LastDelta)+1)
	}
	whole := [1]penstock.Batch{{Header: *r.Whole}}
	return p.checkProducers(whole[:])
}

// checkProducers checks sequences and epochs of all batches. If they are duplicates it returns what the first was given.
func (p *Partition) checkProducers(batches []penstock.Batch) (producer.Verdict, error) {
	var first producer.Verdict
	for i := range batches {
		h := &batches[i].Header
		if h.Is(penstock.FlagTransactional) || h.Is(penstock.FlagControl) {
			return first, fmt.Errorf("%w: partition %v: no transaction coordinator", penstock.ErrInvalidRecord, p.id)
		}
		if before := previous(batches[:i], h.ProducerID); before != nil && !first.Duplicate {
			if err := producer.Follow(before, h); err != nil {
				return first, fmt.Errorf("partition %v: %w", p.id, err)
			}
			continue
		}
		v, err := p.producers.Check(h)
		if err == nil && i > 0 && v.Duplicate != first.Duplicate {
			err = fmt.Errorf("%w: some batches of one append were appended before and some not", penstock.ErrOutOfOrderSequence)
		}
		if err != nil {
			return first, fmt.Errorf("partition %v: %w", p.id, err)
		}
		if i == 0 {
			first = v
		}
	}
	return first, nil
}

// previous is the last batch of the producer, nil if there is none or no producer.
func previous(batches []penstock.Batch, id penstock.ProducerID) *penstock.BatchHeader {
	if id == penstock.NoProducer {
		return nil
	}
	for i := len(batches) - 1; i >= 0; i-- {
		if h := &batches[i].Header; h.ProducerID == id {
			return h
		}
	}
	return nil
}

// again answers batches that were appended before. Where they lie in marks is not known any more, so a promise waits for
// all that is written: a little more than it must.
func (p *Partition) again(v producer.Verdict, acks penstock.Acks, pr promise) (AppendResult, outcome) {
	l := p.ledger
	start, _ := p.store.Bounds()
	pr.res = AppendResult{First: v.Offset, Time: penstock.NoTimestamp, Start: start, Duplicate: true}
	if p.terms.Load().appendTime {
		pr.res.Time = v.Time
	}
	pr.mark = isr.Mark(l.log.Written())
	l.mu.Lock()
	defer l.mu.Unlock()
	if acks != penstock.AcksAll || l.met(&pr) {
		return pr.res, outcome{done: true}
	}
	l.queue.push(pr)
	return pr.res, outcome{commit: pr.durable}
}

// apply notes appended batches, the first of which got that offset. The caller holds ledger.mu.
func (p *Partition) apply(r *AppendRequest, first penstock.Offset, now penstock.Timestamp) {
	if r.Whole != nil {
		r.Whole.BaseOffset = first
		p.note(r.Whole, now)
	} else {
		for i := range r.Batches {
			p.note(&r.Batches[i].Header, now)
		}
	}
	p.unsaved += len(r.Batches)
}

// note remembers a batch that has a producer. The caller holds ledger.mu.
func (p *Partition) note(h *penstock.BatchHeader, now penstock.Timestamp) {
	if h.ProducerID != penstock.NoProducer {
		p.producers.Apply(h, now)
		p.idempotents = true
	}
}

// gate queues a promise, before the batch is visible, that keeps readers out of what it promises, and of what follows. The caller holds ledger.mu.
func (p *Partition) gate(pr promise, app store.Appended) {
	l := p.ledger
	if p.gates > 0 {
		// Once the gate before is opened, readers get as far as this one.
		before := l.queue.at(p.lastGate)
		before.until, before.untilTotal = app.First, p.total
	}
	pr.gate = true
	p.lastGate = l.queue.push(pr)
	p.gates++
}

// showAll lets readers see everything, unless a gate is shut or the in-sync set is too small. The caller holds ledger.mu.
func (p *Partition) showAll(fired *firedList) {
	if p.gates == 0 && p.ledger.written.Enough() {
		p.show(p.end, p.total, fired)
	}
}

// show is the only place where the high watermark moves. It lets readers see up to high, at which total bytes have been appended, and collects the waiters that have
// enough now. The caller holds ledger.mu.
func (p *Partition) show(high penstock.Offset, total int64, fired *firedList) {
	if high <= penstock.Offset(p.high.Load()) {
		return
	}
	stable := p.producers.LastStable(high)
	p.high.Store(int64(high))
	p.stable.Store(int64(max(stable, penstock.Offset(p.stable.Load()))))
	p.credit(high, stable, total, fired)
}

func (p *Partition) leaderEpoch() penstock.Epoch { return penstock.Epoch(p.epoch.Load()) }

// checkEpoch compares the epoch that a caller believes in with the leader's (KIP-320).
func (p *Partition) checkEpoch(e penstock.Epoch) error {
	switch mine := p.leaderEpoch(); {
	case e == penstock.NoEpoch || e == mine:
		return nil
	case e < mine:
		return fmt.Errorf("%w: partition %v: %d, the leader's is %d", penstock.ErrFencedEpoch, p.id, e, mine)
	default:
		return fmt.Errorf("%w: partition %v: %d, the leader's is %d", penstock.ErrUnknownEpoch, p.id, e, mine)
	}
}

// expire forgets producers that have been silent.
func (p *Partition) expire(now time.Time, expiry time.Duration) int {
	l := p.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	return p.producers.Expire(penstock.Timestamp(now.UnixMilli()), expiry)
}

// close ends the partition: appends, reads and waits get err, which wraps penstock.ErrClosed, from now on, promises fail with
// it, waiters fire. Closing again changes nothing.
func (p *Partition) close(err error) {
	for {
		was := p.gone.Load()
		if was != nil && errors.Is(*was, penstock.ErrClosed) {
			return
		}
		if p.gone.CompareAndSwap(was, &err) {
			break
		}
	}
	l := p.ledger
	if l == nil {
		return
	}
	l.write.Lock() // an append under way finishes
	l.mu.Lock()
	told := l.queue.abandon(l.takeScratch(), p, err)
	var fired firedList
	p.waiters.fireAll(&fired)
	p.flush.rest()
	l.mu.Unlock()
	l.write.Unlock()
	l.tell(told)
	fired.fire()
}
