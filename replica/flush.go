package replica

import (
	"math"
	"time"

	"penstock"
)

// flusher keeps a topic's flush.messages and flush.ms: it asks for a round of group commit when as many records were
// appended since the last one that was asked for, or when the oldest of them is as old. Nobody waits for it, so what
// acknowledgements mean does not change; it bounds what a power cut takes of that which nobody asked to wait for. What a round
// does not reach because of it the checkpoint does. It is guarded by ledger.mu.
type flusher struct {
	records int64
	timer   *time.Timer   // nil until flush.ms is first needed
	armed   bool          // the timer runs
	delay   time.Duration // that it was set to
}

// flushNever stands for a bound that is not set.
const flushNever = math.MaxInt64

// owes notes appended batches, and reports whether a commit must be asked for now; asked says that one is anyhow. The caller
// holds ledger.mu.
func (p *Partition) owes(batches []penstock.Batch, t *terms, asked bool) bool {
	if t.flushRecords == flushNever && t.flushAge == flushNever {
		return asked
	}
	f := &p.flush
	for i := range batches {
		f.records += int64(batches[i].Header.Records)
	}
	if asked || f.records >= t.flushRecords {
		f.rest()
		return true
	}
	if t.flushAge == flushNever || f.armed && f.delay <= t.flushAge {
		return false
	}
	f.armed, f.delay = true, t.flushAge
	if f.timer == nil {
		f.timer = time.AfterFunc(f.delay, p.flushNow)
	} else {
		f.timer.Reset(f.delay)
	}
	return false
}

// rest begins anew: what there is has been asked for. A timer that fires all the same asks once too often, which is cheap.
func (f *flusher) rest() {
	f.records = 0
	if f.armed {
		f.timer.Stop()
		f.armed = false
	}
}

// flushNow is what the timer does.
func (p *Partition) flushNow() {
	l := p.ledger
	l.mu.Lock()
	p.flush.records, p.flush.armed = 0, false
	open := p.Err() == nil
	l.mu.Unlock()
	if open {
		l.log.Commit()
	}
}

// flushBounds are flush.messages and flush.ms of a topic's settings, where 0 is not set.
func flushBounds(records int64, age time.Duration) (int64, time.Duration) {
	if records == 0 {
		records = flushNever
	}
	if age == 0 {
		age = flushNever
	}
	return records, age
}
