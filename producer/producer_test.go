package producer_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"penstock"
	"penstock/producer"
)

// idempotent is the header of a batch of n records.
func idempotent(id penstock.ProducerID, epoch int16, seq int32, n int32) *penstock.BatchHeader {
	return &penstock.BatchHeader{
		ProducerID: id, ProducerEpoch: epoch, BaseSequence: seq,
		Records: n, LastDelta: n - 1, MaxTimestamp: 5000,
	}
}

// at gives a header its offset and flags.
func at(h *penstock.BatchHeader, off penstock.Offset, f penstock.BatchFlags) *penstock.BatchHeader {
	h.BaseOffset, h.Flags = off, f
	return h
}

// TestSequences: KIP-98 and Kafka's ProducerAppendInfo.checkSequence. Each row checks a batch of two records after the
// same history: producer 7, epoch 3, sequences 0-1 at offset 100, 2-3 at 110, ... 12-13 at 160.
func TestSequences(t *testing.T) {
	var s producer.State
	for i := range int32(7) {
		s.Apply(at(idempotent(7, 3, 2*i, 2), penstock.Offset(100+10*i), 0), 1)
	}
	rows := []struct {
		name string
		h    *penstock.BatchHeader
		dup  penstock.Offset // NoOffset: none
		err  error
	}{
		{"next", idempotent(7, 3, 14, 2), penstock.NoOffset, nil},
		{"gap", idempotent(7, 3, 15, 2), penstock.NoOffset, penstock.ErrOutOfOrderSequence},
		{"last again", idempotent(7, 3, 12, 2), 160, nil},
		{"fifth last again", idempotent(7, 3, 4, 2), 120, nil},
		{"sixth last again", idempotent(7, 3, 2, 2), penstock.NoOffset, penstock.ErrOutOfOrderSequence},
		{"same start, other length", idempotent(7, 3, 12, 3), penstock.NoOffset, penstock.ErrOutOfOrderSequence},
		{"same end, other length", idempotent(7, 3, 11, 3), penstock.NoOffset, penstock.ErrOutOfOrderSequence},
		{"old epoch", idempotent(7, 2, 14, 2), penstock.NoOffset, penstock.ErrFencedProducer},
		{"old epoch, known sequence", idempotent(7, 2, 12, 2), penstock.NoOffset, penstock.ErrFencedProducer},
		{"new epoch from 0", idempotent(7, 4, 0, 2), penstock.NoOffset, nil},
		{"new epoch, old sequence", idempotent(7, 4, 14, 2), penstock.NoOffset, penstock.ErrOutOfOrderSequence},
		{"new epoch, sequence of a duplicate", idempotent(7, 4, 12, 2), penstock.NoOffset, penstock.ErrOutOfOrderSequence},
		{"unknown producer anywhere", idempotent(8, 0, 999, 2), penstock.NoOffset, nil},
		{"no producer", &penstock.BatchHeader{ProducerID: penstock.NoProducer, BaseSequence: -1, Records: 1}, penstock.NoOffset, nil},
	}
	for _, row := range rows {
		v, err := s.Check(row.h)
		if !errors.Is(err, row.err) || (err == nil) != (row.err == nil) {
			t.Errorf("%s: %v, want %v", row.name, err, row.err)
		}
		if v.Duplicate != (row.dup != penstock.NoOffset) || v.Duplicate && (v.Offset != row.dup || v.Last != row.dup+1 || v.Time != 5000) {
			t.Errorf("%s: %+v, want duplicate of %d", row.name, v, row.dup)
		}
	}
}

// TestWrap: after the largest sequence comes 0, between batches and inside of one.
func TestWrap(t *testing.T) {
	var s producer.State
	s.Apply(idempotent(1, 0, math.MaxInt32-2, 2), 1) // MaxInt32-2 and -1
	if _, err := s.Check(idempotent(1, 0, math.MaxInt32, 3)); err != nil {
		t.Errorf("a batch over the edge: %v", err)
	}
	s.Apply(at(idempotent(1, 0, math.MaxInt32, 3), 50, 0), 1) // MaxInt32, 0, 1
	if _, err := s.Check(idempotent(1, 0, 2, 1)); err != nil {
		t.Errorf("behind it: %v", err)
	}
	if v, err := s.Check(idempotent(1, 0, math.MaxInt32, 3)); !v.Duplicate || v.Offset != 50 || v.Last != 52 || err != nil {
		t.Errorf("again: %+v %v", v, err)
	}
	var edge producer.State
	edge.Apply(idempotent(1, 0, math.MaxInt32, 1), 1)
	if _, err := edge.Check(idempotent(1, 0, 0, 1)); err != nil {
		t.Errorf("0 after the largest: %v", err)
	}
	if _, err := edge.Check(idempotent(1, 0, 1, 1)); !errors.Is(err, penstock.ErrOutOfOrderSequence) {
		t.Errorf("1 after the largest: %v", err)
	}
}

// TestFollow: several batches of one producer in one append keep to the same order.
func TestFollow(t *testing.T) {
	rows := []struct {
		name          string
		before, after *penstock.BatchHeader
		err           error
	}{
		{"next", idempotent(1, 0, 5, 3), idempotent(1, 0, 8, 1), nil},
		{"gap", idempotent(1, 0, 5, 3), idempotent(1, 0, 9, 1), penstock.ErrOutOfOrderSequence},
		{"again", idempotent(1, 0, 5, 3), idempotent(1, 0, 5, 3), penstock.ErrOutOfOrderSequence},
		{"wrap", idempotent(1, 0, math.MaxInt32, 1), idempotent(1, 0, 0, 1), nil},
		{"new epoch", idempotent(1, 0, 5, 3), idempotent(1, 1, 0, 1), nil},
		{"new epoch, old sequence", idempotent(1, 0, 5, 3), idempotent(1, 1, 8, 1), penstock.ErrOutOfOrderSequence},
		{"old epoch", idempotent(1, 1, 5, 3), idempotent(1, 0, 8, 1), penstock.ErrFencedProducer},
	}
	for _, row := range rows {
		if err := producer.Follow(row.before, row.after); !errors.Is(err, row.err) || (err == nil) != (row.err == nil) {
			t.Errorf("%s: %v, want %v", row.name, err, row.err)
		}
	}
}

// TestLastStable follows two transactions that overlap through their markers, with the high watermark behind.
func TestLastStable(t *testing.T) {
	const txn, marker = penstock.FlagTransactional, penstock.FlagTransactional | penstock.FlagControl
	var s producer.State
	stable := func(high, want penstock.Offset) {
		t.Helper()
		if got := s.LastStable(high); got != want {
			t.Errorf("high watermark %d: last stable offset %d, want %d", high, got, want)
		}
	}
	s.Apply(at(idempotent(9, 0, 0, 10), 0, 0), 1) // not transactional
	stable(10, 10)
	s.Apply(at(idempotent(1, 0, 0, 5), 10, txn), 1)
	stable(15, 10)
	s.Apply(at(idempotent(2, 0, 0, 5), 15, txn), 1)
	s.Apply(at(idempotent(1, 0, 5, 5), 20, txn), 1)
	stable(25, 10)
	s.Apply(at(idempotent(1, 0, -1, 1), 25, marker), 1)
	stable(25, 10) // the marker itself is not below the high watermark yet
	stable(26, 15)
	if _, err := s.Check(at(idempotent(2, 0, 5, 1), 0, 0)); !errors.Is(err, penstock.ErrInvalidRecord) {
		t.Errorf("plain batch in a transaction: %v", err)
	}
	s.Apply(at(idempotent(2, 1, -1, 1), 26, marker), 1) // ends it and raises the epoch (KIP-890)
	stable(27, 27)
	if _, err := s.Check(idempotent(2, 1, 0, 1)); err != nil {
		t.Errorf("sequence 0 of the epoch that a marker brought: %v", err)
	}
	if _, err := s.Check(idempotent(2, 1, 5, 1)); !errors.Is(err, penstock.ErrOutOfOrderSequence) {
		t.Errorf("sequence 5 of the epoch that a marker brought: %v", err)
	}
	s.Apply(at(idempotent(3, 0, -1, 1), 27, marker), 1) // ends nothing
	stable(28, 28)
}

func TestExpire(t *testing.T) {
	const hour = penstock.Timestamp(3600 * 1000)
	var s producer.State
	s.Apply(idempotent(1, 0, 0, 1), 0)
	s.Apply(at(idempotent(2, 0, 0, 1), 1, penstock.FlagTransactional), 0)
	s.Apply(idempotent(3, 0, 0, 1), hour)
	s.Apply(idempotent(1, 0, 1, 1), 2*hour)
	if n := s.Expire(23*hour, 24*time.Hour); n != 0 {
		t.Errorf("%d gone too early", n)
	}
	if n := s.Expire(25*hour, 24*time.Hour); n != 1 || s.Len() != 2 {
		t.Errorf("%d gone, %d left; want producer 3 gone", n, s.Len())
	}
	if _, err := s.Check(idempotent(3, 0, 77, 1)); err != nil {
		t.Errorf("a forgotten producer begins anywhere: %v", err)
	}
	if n := s.Expire(100*hour, 24*time.Hour); n != 1 || s.Len() != 1 {
		t.Errorf("%d gone, %d left; want the one in a transaction left", n, s.Len())
	}
}

// TestLimit: beyond the limit the one silent longest goes, those in transactions stay.
func TestLimit(t *testing.T) {
	var s producer.State
	s.SetMax(3)
	s.Apply(at(idempotent(1, 0, 0, 1), 0, penstock.FlagTransactional), 1)
	for id := penstock.ProducerID(2); id <= 5; id++ {
		s.Apply(idempotent(id, 0, 0, 1), penstock.Timestamp(id))
		if id == 3 {
			s.Apply(idempotent(2, 0, 1, 1), 3) // now 3 is the older one
		}
	}
	if s.Len() != 3 {
		t.Errorf("%d producers, want 3", s.Len())
	}
	for id, known := range map[penstock.ProducerID]bool{1: true, 2: false, 3: false, 4: true, 5: true} {
		_, err := s.Check(at(idempotent(id, 0, 77, 1), 0, penstock.FlagTransactional))
		if known != (err != nil) {
			t.Errorf("producer %d: known %v", id, err != nil)
		}
	}
}

// TestAllocations: the steady state of a known producer allocates nothing.
func TestAllocations(t *testing.T) {
	var s producer.State
	h := idempotent(1, 0, 0, 1)
	s.Apply(h, 1)
	s.Apply(idempotent(2, 0, 0, 1), 1)
	n := testing.AllocsPerRun(1000, func() {
		h.BaseSequence++
		if v, err := s.Check(h); v.Duplicate || err != nil {
			t.Fatal(v, err)
		}
		s.Apply(h, 2)
		s.LastStable(5)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCheckApply(b *testing.B) {
	var s producer.State
	hs := make([]*penstock.BatchHeader, 100)
	for i := range hs {
		hs[i] = idempotent(penstock.ProducerID(i), 0, 0, 1)
		s.Apply(hs[i], 1)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		h := hs[i%len(hs)]
		h.BaseSequence = (h.BaseSequence + 1) & math.MaxInt32
		if _, err := s.Check(h); err != nil {
			b.Fatal(err)
		}
		s.Apply(h, 2)
		i++
	}
}
