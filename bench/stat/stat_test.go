package stat

import (
	"math"
	"slices"
	"testing"
	"time"
)

func TestOf(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want Spread
	}{
		{[]float64{3}, Spread{3, 3, 3, 1}},
		{[]float64{3, 1, 2}, Spread{2, 1, 3, 3}},
		{[]float64{4, 1, 3, 2}, Spread{2.5, 1, 4, 4}},
	} {
		keep := slices.Clone(c.in)
		if got := Of(c.in); got != c.want {
			t.Errorf("Of(%v) = %+v, want %+v", c.in, got, c.want)
		}
		if !slices.Equal(keep, c.in) {
			t.Errorf("Of changed its argument: %v", c.in)
		}
	}
	if got := Of(nil); !math.IsNaN(got.Median) || got.Rounds != 0 {
		t.Errorf("Of(nil) = %+v", got)
	}
}

// The twin counts how many samples do not exceed each candidate.
func TestQuantiles(t *testing.T) {
	qs := []float64{0, 0.01, 0.5, 0.9, 0.99, 0.999, 1}
	for n := 1; n < 130; n++ {
		s := make(Samples, n)
		for i := range s {
			s[i] = time.Duration((i*7919 + 13) % (n + 3))
		}
		got := s.Quantiles(qs...)
		for i, q := range qs {
			want := time.Duration(-1)
			for _, v := range s { // sorted by now
				count := 0
				for _, w := range s {
					if w <= v {
						count++
					}
				}
				if float64(count) >= q*float64(n) {
					want = v
					break
				}
			}
			if got[i] != want {
				t.Fatalf("n %d q %g: got %d, want %d", n, q, got[i], want)
			}
		}
	}
	if got := Samples(nil).Quantiles(0.5); got[0] != 0 {
		t.Errorf("of nothing: %v", got)
	}
}
