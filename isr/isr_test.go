package isr_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"penstock"
	"penstock/isr"
)

// twin does it the slow and plain way: all marks in a map, the smallest found by sorting.
type twin struct {
	marks     map[penstock.BrokerID]isr.Mark
	minimum   int
	committed isr.Mark
}

func (w *twin) settle() {
	if len(w.marks) < w.minimum {
		return
	}
	var all []isr.Mark
	for _, m := range w.marks {
		all = append(all, m)
	}
	slices.Sort(all)
	if all[0] > w.committed {
		w.committed = all[0]
	}
}

const leader penstock.BrokerID = 1

func TestTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := isr.Mark(rapid.IntRange(0, 50).Draw(t, "start"))
		minimum := rapid.IntRange(1, 3).Draw(t, "minimum")
		tracker := isr.New(leader, minimum, start)
		w := &twin{marks: map[penstock.BrokerID]isr.Mark{leader: start}, minimum: minimum, committed: start}
		id := rapid.Custom(func(t *rapid.T) penstock.BrokerID { return penstock.BrokerID(rapid.IntRange(1, 4).Draw(t, "id")) })
		mark := rapid.Custom(func(t *rapid.T) isr.Mark { return isr.Mark(rapid.IntRange(0, 200).Draw(t, "mark")) })
		t.Repeat(map[string]func(*rapid.T){
			"report": func(t *rapid.T) {
				b, m := id.Draw(t, "broker"), mark.Draw(t, "at")
				if _, in := w.marks[b]; in {
					w.marks[b] = m
				}
				w.settle()
				if got := tracker.Report(b, m); got != w.committed {
					t.Fatalf("Report returned %d, want %d", got, w.committed)
				}
			},
			"add": func(t *rapid.T) {
				b, m := id.Draw(t, "broker"), mark.Draw(t, "at")
				w.marks[b] = m
				w.settle()
				tracker.Add(b, m)
			},
			"remove": func(t *rapid.T) {
				b := id.Draw(t, "broker")
				if b != leader {
					delete(w.marks, b)
				}
				w.settle()
				if got := tracker.Remove(b); got != w.committed {
					t.Fatalf("Remove returned %d, want %d", got, w.committed)
				}
			},
			"minimum": func(t *rapid.T) {
				w.minimum = rapid.IntRange(1, 4).Draw(t, "minimum")
				w.settle()
				if got := tracker.SetMinimum(w.minimum); got != w.committed {
					t.Fatalf("SetMinimum returned %d, want %d", got, w.committed)
				}
			},
			"": func(t *rapid.T) {
				if got := tracker.Committed(); got != w.committed {
					t.Fatalf("committed %d, want %d", got, w.committed)
				}
				if tracker.Len() != len(w.marks) || tracker.Enough() != (len(w.marks) >= w.minimum) {
					t.Fatalf("%d members, enough %v; want %d of %d", tracker.Len(), tracker.Enough(), len(w.marks), w.minimum)
				}
				for b := penstock.BrokerID(1); b <= 4; b++ {
					want, in := w.marks[b]
					if got, ok := tracker.Mark(b); ok != in || got != want {
						t.Fatalf("broker %d at %d %v, want %d %v", b, got, ok, want, in)
					}
				}
			},
		})
	})
}

// TestRules states the three invariants with the numbers at hand.
func TestRules(t *testing.T) {
	tr := isr.New(leader, 2, 10)
	if tr.Report(leader, 20) != 10 || tr.Enough() {
		t.Error("a set below its minimum committed")
	}
	tr.Add(2, 15)
	if tr.Committed() != 15 || !tr.Enough() {
		t.Errorf("committed %d, want the slower member's 15", tr.Committed())
	}
	tr.Add(3, 5)
	if tr.Report(leader, 30) != 15 {
		t.Error("went back, or on without the slowest member")
	}
	if tr.Report(9, 100) != 15 {
		t.Error("a broker outside of the set counted")
	}
	if tr.Remove(3) != 15 || tr.Report(2, 25) != 25 {
		t.Errorf("committed %d, want 25", tr.Committed())
	}
	if tr.Report(2, 3) != 25 {
		t.Error("went back with a member")
	}
}

func TestAloneAllocatesNothing(t *testing.T) {
	tr := isr.New(leader, 1, 0)
	mark := isr.Mark(0)
	if n := testing.AllocsPerRun(100, func() { mark++; tr.Report(leader, mark) }); n != 0 || tr.Committed() != mark {
		t.Errorf("%v allocations, committed %d of %d", n, tr.Committed(), mark)
	}
}
