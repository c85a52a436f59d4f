// Package producer holds what a partition knows of its idempotent producers: epochs and the sequences of the last five
// batches of each (KIP-98, KIP-360), and of open transactions, from which the last stable offset follows. It is pure: no
// clock, no I/O. A State is used under the lock of whoever owns the partition.
package producer

import (
	"fmt"
	"math"
	"time"

	"penstock"
)

// The limits of a State.
const (
	// Window is the number of batches remembered for each producer: a client may have as many in flight.
	Window = 5
	// DefaultMax is the number of producers a State remembers unless told otherwise, about 4 MiB.
	DefaultMax = 16 << 10
	// DefaultExpiry is how long a producer that sends nothing is remembered (producer.id.expiration.ms).
	DefaultExpiry = 24 * time.Hour
)

// State is what one partition knows. The zero value knows nothing and is ready for use.
//
// A producer's batches carry sequences that count its records in this partition, from 0 in each of its epochs and from
// MaxInt32 on to 0. The rules (Kafka's ProducerAppendInfo):
//
//  1. An older epoch is refused, a newer one begins at sequence 0.
//  2. The same epoch goes on where its last batch ended.
//  3. A batch with the first and last sequence of one of the last five is that batch again.
//  4. A producer that is not known, or not any more, begins anywhere: its records may have been deleted by retention.
type State struct {
	producers map[penstock.ProducerID]*entry
	oldest    *entry // the list of all producers by the time of their last batch
	newest    *entry
	max       int
	txns      []txn // by first offset: those open, and those whose end is not below the high watermark yet
}

// entry is one producer.
type entry struct {
	older, newer *entry
	id           penstock.ProducerID
	seen         penstock.Timestamp // broker's time of the last batch
	batches      [Window]batch      // the first n, oldest first
	n            uint8
	epoch        int16
	open         bool // has an open transaction
}

// batch is one appended batch of a producer.
type batch struct {
	offset      penstock.Offset    // of the first record
	at          penstock.Timestamp // its largest timestamp
	first, last int32              // sequences
}

// txn is one transaction that bounds the last stable offset.
type txn struct {
	id    penstock.ProducerID
	first penstock.Offset
	end   penstock.Offset // of its marker, NoOffset while it is open
}

// Verdict is what Check found.
type Verdict struct {
	Duplicate bool               // the batch is in the log already
	Offset    penstock.Offset    // of its first record then
	Last      penstock.Offset    // of its last record then
	Time      penstock.Timestamp // its largest timestamp then
}

// SetMax bounds the number of producers remembered; 0 means DefaultMax. Beyond it the one that has been silent longest is
// forgotten, unless it has an open transaction.
func (s *State) SetMax(n int) {
	s.max = n
	s.evict()
}

// Check says whether the batch h may be appended, or was appended before. It changes nothing. Errors wrap
// penstock.ErrFencedProducer and ErrOutOfOrderSequence, and ErrInvalidRecord for a batch outside of the transaction that
// its producer has open.
func (s *State) Check(h *penstock.BatchHeader) (Verdict, error) {
	if h.ProducerID == penstock.NoProducer || h.Is(penstock.FlagControl) {
		return Verdict{}, nil
	}
	e := s.producers[h.ProducerID]
	if e == nil {
		return Verdict{}, nil
	}
	if h.ProducerEpoch < e.epoch {
		return Verdict{}, fmt.Errorf("%w: producer %d has epoch %d, the latest is %d", penstock.ErrFencedProducer, e.id, h.ProducerEpoch, e.epoch)
	}
	if h.ProducerEpoch == e.epoch {
		if v := e.find(h); v.Duplicate {
			return v, nil
		}
	}
	if e.open && !h.Is(penstock.FlagTransactional) {
		return Verdict{}, fmt.Errorf("%w: producer %d has a transaction open", penstock.ErrInvalidRecord, e.id)
	}
	want := int32(0)
	if h.ProducerEpoch == e.epoch && e.n > 0 {
		want = following(e.batches[e.n-1].last)
	}
	return Verdict{}, inOrder(h, want)
}

// Follow says whether h may be appended right behind the batch before, of the same producer, in one append.
func Follow(before, h *penstock.BatchHeader) error {
	if h.ProducerEpoch < before.ProducerEpoch {
		return fmt.Errorf("%w: producer %d has epoch %d, the latest is %d", penstock.ErrFencedProducer, h.ProducerID, h.ProducerEpoch, before.ProducerEpoch)
	}
	if h.ProducerEpoch > before.ProducerEpoch {
		return inOrder(h, 0)
	}
	return inOrder(h, following(lastSequence(before)))
}

func inOrder(h *penstock.BatchHeader, want int32) error {
	if h.BaseSequence != want {
		return fmt.Errorf("%w: producer %d, epoch %d: sequence %d, want %d", penstock.ErrOutOfOrderSequence, h.ProducerID, h.ProducerEpoch, h.BaseSequence, want)
	}
	return nil
}

// Apply notes the batch h as appended, with the offset stamped into it, at the broker's time now. Batches are applied
// in the order of the log, in recovery too, whatever Check would say of them: what is in the log is so.
func (s *State) Apply(h *penstock.BatchHeader, now penstock.Timestamp) {
	if h.ProducerID == penstock.NoProducer {
		return
	}
	e := s.touch(h.ProducerID, h.ProducerEpoch, now)
	if e.epoch != h.ProducerEpoch {
		e.epoch, e.n = h.ProducerEpoch, 0
	}
	if h.Is(penstock.FlagControl) {
		s.end(e, h.BaseOffset)
		return
	}
	if h.Is(penstock.FlagTransactional) && !e.open {
		e.open = true
		s.txns = append(s.txns, txn{id: e.id, first: h.BaseOffset, end: penstock.NoOffset})
	}
	e.push(batch{offset: h.BaseOffset, at: h.MaxTimestamp, first: h.BaseSequence, last: lastSequence(h)})
}

// end closes e's transaction, whose marker has the offset at. A marker without a transaction means nothing.
func (s *State) end(e *entry, at penstock.Offset) {
	if !e.open {
		return
	}
	e.open = false
	for i := range s.txns {
		if t := &s.txns[i]; t.id == e.id && t.end == penstock.NoOffset {
			t.end = at
		}
	}
}

// LastStable is the offset below which every transaction has ended, no higher than the high watermark: the start of the
// first that is open, or whose marker is not below the high watermark itself. It forgets those that are. The high
// watermark never goes back between calls.
func (s *State) LastStable(high penstock.Offset) penstock.Offset {
	kept := s.txns[:0]
	for _, t := range s.txns {
		if t.end == penstock.NoOffset || t.end >= high {
			kept = append(kept, t)
		}
	}
	s.txns = kept
	if len(kept) > 0 {
		return min(high, kept[0].first)
	}
	return high
}

// Expire forgets the producers whose last batch is older than expiry, except those with an open transaction, and returns how many.
func (s *State) Expire(now penstock.Timestamp, expiry time.Duration) int {
	limit := now - penstock.Timestamp(expiry.Milliseconds())
	gone := 0
	for e := s.oldest; e != nil && e.seen <= limit; {
		next := e.newer
		if !e.open {
			s.forget(e)
			gone++
		}
		e = next
	}
	return gone
}

// Len is the number of producers remembered.
func (s *State) Len() int { return len(s.producers) }

// lastSequence is the sequence of the batch's last record.
func lastSequence(h *penstock.BatchHeader) int32 {
	return int32((int64(h.BaseSequence) + int64(h.LastDelta)) & math.MaxInt32)
}

// following is the sequence after s: after the largest comes 0.
func following(s int32) int32 { return (s + 1) & math.MaxInt32 }

// find looks for h among the batches remembered.
func (e *entry) find(h *penstock.BatchHeader) Verdict {
	last := lastSequence(h)
	for i := range e.batches[:e.n] {
		if b := &e.batches[i]; b.first == h.BaseSequence && b.last == last {
			return Verdict{Duplicate: true, Offset: b.offset, Last: b.offset + penstock.Offset(h.LastDelta), Time: b.at}
		}
	}
	return Verdict{}
}

func (e *entry) push(b batch) {
	if e.n == Window {
		copy(e.batches[:], e.batches[1:])
		e.n--
	}
	e.batches[e.n] = b
	e.n++
}

// touch finds or makes the producer's entry and makes it the newest.
func (s *State) touch(id penstock.ProducerID, epoch int16, now penstock.Timestamp) *entry {
	e := s.producers[id]
	switch {
	case e == nil:
		if s.producers == nil {
			s.producers = make(map[penstock.ProducerID]*entry, 1)
		}
		e = &entry{id: id, epoch: epoch}
		s.producers[id] = e
		s.link(e)
		s.evict()
	case e != s.newest:
		s.unlink(e)
		s.link(e)
	}
	// The list stays in order even if the clock goes back.
	e.seen = now
	if e.older != nil {
		e.seen = max(now, e.older.seen)
	}
	return e
}

// evict forgets producers until there are no more than the limit, those in transactions excepted.
func (s *State) evict() {
	limit := s.max
	if limit <= 0 {
		limit = DefaultMax
	}
	for e := s.oldest; e != nil && len(s.producers) > limit; {
		next := e.newer
		if !e.open && e != s.newest {
			s.forget(e)
		}
		e = next
	}
}

func (s *State) forget(e *entry) {
	s.unlink(e)
	delete(s.producers, e.id)
}

func (s *State) link(e *entry) {
	e.older, e.newer = s.newest, nil
	if s.newest != nil {
		s.newest.newer = e
	} else {
		s.oldest = e
	}
	s.newest = e
}

func (s *State) unlink(e *entry) {
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		s.oldest = e.newer
	}
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		s.newest = e.older
	}
	e.older, e.newer = nil, nil
}
