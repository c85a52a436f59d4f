package wire

import (
	"testing"

	"pgregory.net/rapid"
)

// TestClasses checks that classes ascend, that each size gets the smallest class that holds it, and what is wasted.
func TestClasses(t *testing.T) {
	for c := 1; c < numClasses; c++ {
		if classSize(c) <= classSize(c-1) {
			t.Fatalf("class %d has %d bytes, the one before %d", c, classSize(c), classSize(c-1))
		}
	}
	if classSize(0) != minRead || classSize(numClasses-1) != 1<<maxClassBits {
		t.Fatalf("classes from %d to %d", classSize(0), classSize(numClasses-1))
	}
	for c := range numClasses {
		size := classSize(c)
		for _, n := range []int{size - 1, size, size + 1} {
			want := 0 // dumb twin of classOf
			for want < numClasses && classSize(want) < n {
				want++
			}
			if want == numClasses {
				want = noClass
			}
			if got := classOf(n); got != want {
				t.Errorf("class of %d is %d, want %d", n, got, want)
			}
		}
		if c >= powClasses && size*4 > classSize(c-1)*5 {
			t.Errorf("class %d wastes more than a fifth", c)
		}
	}
}

func TestPoolCounts(t *testing.T) {
	budget := NewBudget(100)
	p := &pool{budget: budget}
	b := p.get(5000)
	if len(b.b) != 8192 || p.live.Load() != 8192 {
		t.Fatalf("got %d bytes, %d live", len(b.b), p.live.Load())
	}
	if !budget.try(60) {
		t.Fatal("budget refused")
	}
	b.charge = 60
	b.retain()
	b.release()
	if budget.Used() != 60 || p.live.Load() != 8192 {
		t.Fatal("a buffer in use was taken back")
	}
	b.release()
	if budget.Used() != 0 || p.live.Load() != 0 || p.kept.Load() != 8192 {
		t.Fatalf("%d used, %d live, %d kept", budget.Used(), p.live.Load(), p.kept.Load())
	}
	if again := p.get(8000); again != b {
		t.Error("the free buffer was not used")
	} else {
		again.release()
	}
	huge := p.get(1<<maxClassBits + 1)
	huge.release()
	if p.live.Load() != 0 || p.kept.Load() != 8192 {
		t.Errorf("%d live, %d kept after a huge one", p.live.Load(), p.kept.Load())
	}
}

func TestBufferReleasedTwice(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a second release went unseen")
		}
	}()
	p := new(pool)
	b := p.get(1)
	b.release()
	b.release()
}

// TestTrim checks that trim drops what was not needed since the last one, and only that.
func TestTrim(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := new(pool)
		var held []*buffer
		low, free := 0, 0 // dumb twin: fewest free since the last trim, and free now
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch op := rapid.IntRange(0, 4).Draw(t, "op"); {
			case op <= 1:
				held = append(held, p.get(minRead))
				free = max(free-1, 0)
				low = min(low, free)
			case op <= 3 && len(held) > 0:
				held[len(held)-1].release()
				held = held[:len(held)-1]
				free++
			case op == 4:
				p.trim()
				free -= low
				low = free
			}
			if got := int(p.kept.Load()); got != free*minRead || len(p.lists[0].free) != free {
				t.Fatalf("%d bytes kept, want %d buffers", got, free)
			}
		}
	})
}

func TestPoolKeepsBounded(t *testing.T) {
	p := new(pool)
	var held []*buffer
	for range keepBytes/(1<<maxClassBits) + 3 {
		held = append(held, p.get(1<<maxClassBits))
	}
	for _, b := range held {
		b.release()
	}
	if got := p.kept.Load(); got != keepBytes {
		t.Errorf("%d bytes kept, want %d", got, keepBytes)
	}
}
