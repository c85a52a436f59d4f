package replica

import (
	"errors"
	"testing"

	"penstock"
)

// TestWhole: a producer's batch that was taken apart is one to its sequence: sent again it is found however many batches it has become, the next follows
// on it, and one that leaves something out is refused.
func TestWhole(t *testing.T) {
	p, f := newRig(t).lead(t, topicOf(1, penstock.DurabilityRelaxed), 0)
	parts := func(n int) []penstock.Batch {
		bs := batches(n)
		for i := range bs {
			bs[i].Header.Records, bs[i].Header.LastDelta = 1, 0
		}
		return bs
	}
	send := func(seq int32, n int) AppendResult {
		t.Helper()
		h := penstock.BatchHeader{Records: int32(n), LastDelta: int32(n - 1), ProducerID: 7, ProducerEpoch: 1, BaseSequence: seq, MaxTimestamp: 5000}
		r := request(penstock.AcksAll, parts(n)...)
		r.Whole = &h
		res, done := p.Append(r, nil)
		if !done {
			t.Fatal("not done at once")
		}
		return res
	}
	for _, c := range []struct {
		seq   int32
		n     int
		first penstock.Offset
		dup   bool
		err   error
	}{
		{0, 20, 0, false, nil}, {20, 3, 20, false, nil}, {0, 20, 0, true, nil}, {20, 3, 20, true, nil}, {23, 1, 23, false, nil},
		{25, 1, penstock.NoOffset, false, penstock.ErrOutOfOrderSequence}, {20, 2, penstock.NoOffset, false, penstock.ErrOutOfOrderSequence},
		{24, 2, 24, false, nil},
	} {
		if res := send(c.seq, c.n); !errors.Is(res.Err, c.err) || res.First != c.first || res.Duplicate != c.dup {
			t.Errorf("sequence %d, %d records: %+v, want offset %d, duplicate %v, %v", c.seq, c.n, res, c.first, c.dup, c.err)
		}
	}
	if f.end != 26 {
		t.Errorf("the log ends at %d, want 26", f.end)
	}
	bad := penstock.BatchHeader{LastDelta: 4, ProducerID: 7, ProducerEpoch: 1, BaseSequence: 26}
	r := request(penstock.AcksAll, parts(4)...)
	r.Whole = &bad
	if res, _ := p.Append(r, nil); !errors.Is(res.Err, penstock.ErrInvalidRecord) || f.end != 26 {
		t.Errorf("fewer batches than records: %+v", res)
	}
	bad.LastDelta, bad.Flags = 3, penstock.FlagTransactional
	if res, _ := p.Append(r, nil); !errors.Is(res.Err, penstock.ErrInvalidRecord) {
		t.Errorf("transactional: %+v", res)
	}
}
