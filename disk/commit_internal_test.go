package disk

import (
	"testing"
	"time"
)

// TestSyncAllRests feeds the times of rounds to the committer: syncfs calls that lose too much time are given a rest,
// and single slow ones among quick ones are not.
func TestSyncAllRests(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name string
		took []time.Duration // of syncfs calls for 100 logs, whose files take 1 ms each, 10 ms in all
		rest bool
	}{
		{"quick", []time.Duration{10 * ms, 15 * ms, 20 * ms, 10 * ms}, false},
		{"one slow among quick", []time.Duration{150 * ms, 5 * ms, 5 * ms, 5 * ms, 5 * ms, 5 * ms, 5 * ms, 150 * ms}, false},
		{"one very slow", []time.Duration{221 * ms}, true},
		{"not quite", []time.Duration{220 * ms}, false},
		{"steadily slow", []time.Duration{80 * ms, 80 * ms, 80 * ms, 80 * ms}, true},
	} {
		d := &Disk{o: Options{SyncParallel: 10, SyncAllFrom: 50}.withDefaults()}
		c := &d.committer
		c.init(d)
		one, all := &round{syncers: make([]Syncer, 1)}, &round{syncers: make([]Syncer, 100), all: true}
		for range 1000 {
			c.learn(one, ms)
		}
		c.each = c.each.Round(100 * time.Microsecond) // a moving average of integers ends just below
		for _, took := range tt.took {
			c.learn(all, took)
		}
		if got := !c.allDue(50); got != tt.rest {
			t.Errorf("%s: rests %t", tt.name, got)
		}
		if c.allDue(49) {
			t.Errorf("%s: syncfs for too few", tt.name)
		}
		c.rest = time.Now().Add(-ms)
		if !c.allDue(50) {
			t.Errorf("%s: rests for ever", tt.name)
		}
	}
}
