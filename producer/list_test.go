package producer

import (
	"slices"
	"testing"

	"penstock"
)

// TestList: everybody remembered is listed, the one silent longest first, with its last batch of its present epoch and with where its
// open transaction begins.
func TestList(t *testing.T) {
	var s State
	if len(s.List()) != 0 {
		t.Error(s.List())
	}
	apply := func(id penstock.ProducerID, epoch int16, seq int32, base penstock.Offset, flags penstock.BatchFlags) {
		h := penstock.BatchHeader{
			ProducerID: id, ProducerEpoch: epoch, BaseSequence: seq, BaseOffset: base, LastDelta: 2, Records: 3,
			MaxTimestamp: 1000 + penstock.Timestamp(base), Flags: flags,
		}
		s.Apply(&h, penstock.Timestamp(base))
	}
	apply(7, 0, 0, 0, 0)
	apply(8, 3, 0, 3, penstock.FlagTransactional)
	apply(8, 3, 3, 6, penstock.FlagTransactional)
	apply(7, 1, 0, 9, 0)
	apply(9, 2, 0, 12, penstock.FlagTransactional)
	apply(9, 2, penstock.NoSequence, 15, penstock.FlagTransactional|penstock.FlagControl) // its end
	apply(5, 4, penstock.NoSequence, 18, penstock.FlagTransactional|penstock.FlagControl) // of which nothing else is left
	want := []Info{
		{8, 3, 5, 1006, 3},
		{7, 1, 2, 1009, penstock.NoOffset},
		{9, 2, 2, 1012, penstock.NoOffset},
		{5, 4, penstock.NoSequence, penstock.NoTimestamp, penstock.NoOffset},
	}
	if got := s.List(); !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}
