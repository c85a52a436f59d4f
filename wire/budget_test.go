package wire

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// granted reports whether a claim has been served, without waiting.
func granted(w *claim) bool {
	select {
	case <-w.ready:
		return w.granted
	default:
		return false
	}
}

// TestBudgetTwin compares the budget with a list: first come, first served, each as soon as it fits.
func TestBudgetTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const total = 10
		b := NewBudget(total)
		var queue []*claim // waiting, oldest first
		var held []int64
		used := int64(0)
		serve := func() {
			for len(queue) > 0 && used+queue[0].n <= total {
				used += queue[0].n
				held = append(held, queue[0].n)
				if !granted(queue[0]) {
					t.Fatal("the oldest claim fits and was not granted")
				}
				queue = queue[1:]
			}
			for _, w := range queue {
				if granted(w) {
					t.Fatal("a claim was granted out of turn")
				}
			}
			if b.Used() != used {
				t.Fatalf("%d used, want %d", b.Used(), used)
			}
		}
		for range 100 {
			n := b.part(rapid.Int64Range(1, total+3).Draw(t, "n"))
			switch rapid.IntRange(0, 3).Draw(t, "op") {
			case 0:
				if w := b.claim(n); w != nil {
					queue = append(queue, w)
				} else if used += n; used > total || len(queue) > 0 {
					t.Fatal("granted what is not there, or past others")
				} else {
					held = append(held, n)
				}
			case 1:
				fits := len(queue) == 0 && used+n <= total
				if got := b.try(n); got != fits {
					t.Fatalf("try(%d) is %v with %d used and %d waiting", n, got, used, len(queue))
				}
				if fits {
					used += n
					held = append(held, n)
				}
			case 2:
				if len(held) > 0 {
					i := rapid.IntRange(0, len(held)-1).Draw(t, "give")
					used -= held[i]
					b.give(held[i])
					held = slices.Delete(held, i, i+1)
				}
			case 3:
				if len(queue) > 0 {
					i := rapid.IntRange(0, len(queue)-1).Draw(t, "abandon")
					w := queue[i]
					queue = slices.Delete(queue, i, i+1)
					b.abandon(w)
					if <-w.ready; w.granted {
						t.Fatal("an abandoned claim was granted")
					}
				}
			}
			serve()
		}
	})
}

func TestBudgetNil(t *testing.T) {
	var b *Budget
	if b.part(1<<40) != 0 || !b.try(5) || b.Used() != 0 {
		t.Error("no budget is not unlimited")
	}
	b.give(5)
}

func TestBudgetGivenTooMuch(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("giving back more than was taken went unseen")
		}
	}()
	NewBudget(5).give(1)
}

func TestAbandonAfterGrant(t *testing.T) {
	b := NewBudget(10)
	b.claim(10)
	w := b.claim(4)
	b.give(10)
	b.abandon(w)
	if !granted(w) || b.Used() != 4 {
		t.Errorf("a granted claim was taken back: %d used", b.Used())
	}
}
