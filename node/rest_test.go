package node

import "testing"

// TestResting: memory is given back once when work has ended, and not while it goes on or when nothing was done.
func TestResting(t *testing.T) {
	var r resting
	for i, look := range []struct {
		allocated uint64
		due       bool
	}{
		{1 << 20, false},            // the start has taken little
		{40 << 20, false},           // work
		{44 << 20, false},           // as much as is no rest
		{45 << 20, true},            // rest
		{46 << 20, false},           // more of it
		{48 << 20, false},           // not worth it yet
		{49 << 20, true},            // a little at a time has come to much
		{90 << 20, false},           // work
		{90<<20 + restBytes, false}, // a little less of it
		{90<<20 + restBytes, true},
		{90<<20 + restBytes, false},
	} {
		if got := r.due(look.allocated); got != look.due {
			t.Errorf("look %d, %d bytes: %v", i, look.allocated, got)
		}
	}
}
