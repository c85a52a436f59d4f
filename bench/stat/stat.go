// Package stat sums up measurements: the median and the bounds of a few rounds, and the quantiles of many samples.
package stat

import (
	"math"
	"slices"
	"time"
)

// Spread is what a few rounds of one measurement came to.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Rounds int     `json:"rounds"`
}

// Of sums up rounds, which it leaves as they are. The median of an even number is the mean of the two in the middle; of none all is NaN.
func Of(rounds []float64) Spread {
	n := len(rounds)
	if n == 0 {
		return Spread{Median: math.NaN(), Min: math.NaN(), Max: math.NaN()}
	}
	s := slices.Sorted(slices.Values(rounds))
	return Spread{Median: (s[(n-1)/2] + s[n/2]) / 2, Min: s[0], Max: s[n-1], Rounds: n}
}

// Samples are durations, in any order. A writer needs its own; the zero value is empty.
type Samples []time.Duration

// Quantiles returns, for each q between 0 and 1, the smallest sample that at least that share of the samples does not exceed. It
// sorts the samples. Of no samples every quantile is 0.
func (s Samples) Quantiles(qs ...float64) []time.Duration {
	out := make([]time.Duration, len(qs))
	if len(s) == 0 {
		return out
	}
	slices.Sort(s)
	for i, q := range qs {
		rank := int(math.Ceil(q*float64(len(s)))) - 1
		out[i] = s[min(max(rank, 0), len(s)-1)]
	}
	return out
}
