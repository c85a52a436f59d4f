package metric

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// A value v >= 8 falls into the bucket of its highest bit and the three bits below it, so a bucket is at most an
// eighth as wide as where it begins; values below 8 have a bucket each:
//
//	bucket  0 .. 7    8 .. 15    16 17 ..
//	values  0 .. 7    8 .. 15    16-17 18-19 ..      8 buckets to each doubling
//
// The last bucket takes everything from 2^maxBits on.
const (
	subBits    = 3
	subBuckets = 1 << subBits
	maxBits    = 44 // 4.9 hours in nanoseconds, 16 TiB in bytes
	numBuckets = (maxBits-subBits+1)*subBuckets + 1
)

// Histogram counts values, latencies in nanoseconds or sizes in bytes, in fixed buckets of equal ratio. The zero value
// is ready. Observing takes two atomic additions and no lock; all methods may be called concurrently. A reader sees
// each observation whole in the end, but may see its count before its sum.
type Histogram struct {
	sum     atomic.Int64
	buckets [numBuckets]atomic.Int64
}

// bucketOf is the bucket of a value.
func bucketOf(v int64) int {
	if v < subBuckets {
		return int(max(v, 0))
	}
	if v >= 1<<maxBits {
		return numBuckets - 1
	}
	e := bits.Len64(uint64(v)) - 1 // 2^e <= v
	return (e-subBits+1)*subBuckets + int(v>>(e-subBits))&(subBuckets-1)
}

// bucketStart is the smallest value of a bucket.
func bucketStart(i int) int64 {
	if i < subBuckets {
		return int64(i)
	}
	e := i/subBuckets + subBits - 1
	return int64(subBuckets+i%subBuckets) << (e - subBits)
}

// Observe counts one value; negative ones count as 0.
func (h *Histogram) Observe(v int64) {
	v = max(v, 0)
	h.buckets[bucketOf(v)].Add(1)
	h.sum.Add(v)
}

// Since observes the nanoseconds from t to now.
func (h *Histogram) Since(t time.Time) { h.Observe(int64(time.Since(t))) }

// Bucket is the number of values observed up to a bound.
type Bucket struct {
	Upper int64 // every value counted is at most this; the last bucket of a snapshot has the largest int64
	Count int64 // of this bucket and all before it
}

// Snapshot is a histogram at one moment.
type Snapshot struct {
	Count   int64
	Sum     int64
	Buckets []Bucket // those that are not empty, by ascending bound
}

// Snapshot reads the histogram.
func (h *Histogram) Snapshot() Snapshot {
	s := Snapshot{Sum: h.sum.Load()}
	for i := range h.buckets {
		n := h.buckets[i].Load()
		if n == 0 {
			continue
		}
		s.Count += n
		s.Buckets = append(s.Buckets, Bucket{Upper: bucketEnd(i), Count: s.Count})
	}
	return s
}

// bucketEnd is the largest value of a bucket.
func bucketEnd(i int) int64 {
	if i == numBuckets-1 {
		return 1<<63 - 1
	}
	return bucketStart(i+1) - 1
}

// Sub is what was observed after old, an earlier snapshot of the same histogram.
func (s Snapshot) Sub(old Snapshot) Snapshot {
	out := Snapshot{Count: s.Count - old.Count, Sum: s.Sum - old.Sum}
	j, before := 0, int64(0) // before is old's count up to the bound looked at
	last := int64(0)
	for _, b := range s.Buckets {
		for j < len(old.Buckets) && old.Buckets[j].Upper <= b.Upper {
			before = old.Buckets[j].Count
			j++
		}
		if n := b.Count - before; n > last {
			out.Buckets = append(out.Buckets, Bucket{Upper: b.Upper, Count: n})
			last = n
		}
	}
	return out
}

// Quantile returns a value that at least the fraction q of the values do not exceed: the bound of a bucket, at most an
// eighth above the true value. It is 0 when nothing was observed.
func (s Snapshot) Quantile(q float64) int64 {
	if s.Count == 0 {
		return 0
	}
	rank := int64(q * float64(s.Count))
	if float64(rank) < q*float64(s.Count) {
		rank++
	}
	rank = min(max(rank, 1), s.Count)
	for _, b := range s.Buckets {
		if b.Count >= rank {
			return b.Upper
		}
	}
	return s.Buckets[len(s.Buckets)-1].Upper
}

// Quantile is that of a snapshot taken now.
func (h *Histogram) Quantile(q float64) int64 { return h.Snapshot().Quantile(q) }
