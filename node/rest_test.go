package node

import "testing"

// TestResting: memory is given back once when work has ended, and not while it goes on or when nothing was done. Scrapes are no work,
// but what they leave is given back.
func TestResting(t *testing.T) {
	var r resting
	for i, look := range []struct {
		allocated, scrapes uint64
		due                bool
	}{
		{1 << 20, 0, false},               // the start has taken little
		{40 << 20, 0, false},              // work
		{42 << 20, 0, false},              // as much as is no rest
		{43 << 20, 0, true},               // rest
		{44 << 20, 0, false},              // more of it
		{46<<20 - 1, 0, false},            // not worth it yet
		{47 << 20, 0, true},               // a little at a time has come to much
		{90 << 20, 0, false},              // work
		{90<<20 + restBytes, 0, false},    // a little less of it
		{90<<20 + restBytes, 0, true},     //
		{90<<20 + restBytes, 0, false},    //
		{100 << 20, 8 << 20, true},        // a scrape at rest
		{108 << 20, 16 << 20, true},       // another
		{130 << 20, 24 << 20, false},      // one beside work
		{132 << 20, 26 << 20, true},       // rest
		{133 << 20, 30 << 20, false},      // one counted twice
		{140 << 20, 30<<20 + 1000, false}, // work after it
	} {
		if got := r.due(look.allocated, look.scrapes); got != look.due {
			t.Errorf("look %d, %+v: %v", i, look, got)
		}
	}
}
