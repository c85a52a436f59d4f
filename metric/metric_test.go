package metric

import (
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

func TestSizes(t *testing.T) {
	if n := unsafe.Sizeof(Counter{}); n != cacheLine {
		t.Errorf("a counter has %d bytes", n)
	}
	if n := unsafe.Sizeof(Gauge{}); n != cacheLine {
		t.Errorf("a gauge has %d bytes", n)
	}
}

func TestCounterAndGauge(t *testing.T) {
	var c Counter
	var g, top Gauge
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 1000 {
				c.Inc()
				c.Add(2)
				g.Add(1)
				g.Add(-1)
				top.Max(int64(i*1000 + j))
			}
		})
	}
	wg.Wait()
	g.Add(7)
	if c.Value() != 12000 || g.Value() != 7 || top.Value() != 3999 {
		t.Errorf("counter %d, gauge %d, max %d", c.Value(), g.Value(), top.Value())
	}
	if g.Set(-3); g.Value() != -3 {
		t.Errorf("gauge %d after Set", g.Value())
	}
}

// TestBuckets checks that the buckets cover all values without gap or overlap, and how wide they are.
func TestBuckets(t *testing.T) {
	for i := range numBuckets {
		lo, hi := bucketStart(i), bucketEnd(i)
		if bucketOf(lo) != i || bucketOf(hi) != i {
			t.Fatalf("bucket %d is %d..%d, but these fall into %d and %d", i, lo, hi, bucketOf(lo), bucketOf(hi))
		}
		if i+1 < numBuckets && bucketStart(i+1) != hi+1 {
			t.Fatalf("bucket %d ends at %d, the next begins at %d", i, hi, bucketStart(i+1))
		}
		if i+1 < numBuckets && (hi-lo)*subBuckets >= max(lo, subBuckets) {
			t.Fatalf("bucket %d, %d..%d, is wider than an eighth", i, lo, hi)
		}
	}
	if bucketOf(-5) != 0 || bucketOf(math.MaxInt64) != numBuckets-1 || bucketEnd(numBuckets-1) != math.MaxInt64 {
		t.Error("ends are wrong")
	}
}

// TestQuantile compares with the sorted values themselves.
func TestQuantile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64Range(0, 1<<maxBits-1), 1, 200).Draw(t, "values")
		q := rapid.Float64Range(0, 1).Draw(t, "q")
		var h Histogram
		var sum int64
		for _, v := range values {
			h.Observe(v)
			sum += v
		}
		slices.Sort(values)
		want := values[max(int(math.Ceil(q*float64(len(values)))), 1)-1]
		got := h.Quantile(q)
		if got < want || got-want > want/subBuckets {
			t.Fatalf("quantile %v of %v is %d, want %d", q, values, got, want)
		}
		s := h.Snapshot()
		if s.Count != int64(len(values)) || s.Sum != sum || s.Buckets[len(s.Buckets)-1].Count != s.Count {
			t.Fatalf("snapshot %+v of %v", s, values)
		}
	})
}

func TestQuantileOfNothing(t *testing.T) {
	var h Histogram
	if h.Quantile(0.99) != 0 {
		t.Error("an empty histogram has a quantile")
	}
}

// TestSub compares the difference of two snapshots with a histogram of only what came between.
func TestSub(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.Int64Range(0, 1<<20)
		before := rapid.SliceOf(value).Draw(t, "before")
		after := rapid.SliceOf(value).Draw(t, "after")
		var all, only Histogram
		for _, v := range before {
			all.Observe(v)
		}
		old := all.Snapshot()
		for _, v := range after {
			all.Observe(v)
			only.Observe(v)
		}
		got, want := all.Snapshot().Sub(old), only.Snapshot()
		if got.Count != want.Count || got.Sum != want.Sum || !slices.Equal(got.Buckets, want.Buckets) {
			t.Fatalf("got %+v, want %+v", got, want)
		}
	})
}

func TestHotPathAllocatesNothing(t *testing.T) {
	var c Counter
	var h Histogram
	tally := NewCopyAccount().Tally("l", "t")
	if n := testing.AllocsPerRun(100, func() {
		c.Inc()
		h.Observe(12345)
		tally.Add(PathSendfile, ReasonNone, 10)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestRegistry(t *testing.T) {
	r := NewRegistry()
	reqs := Desc{Name: "requests_total", Help: "Requests served."}
	a := r.Counter(reqs, Label{"api", "fetch"}, Label{"listener", "kafka"})
	if r.Counter(reqs, Label{"listener", "kafka"}, Label{"api", "fetch"}) != a {
		t.Error("labels in another order made another counter")
	}
	b := r.Counter(reqs, Label{"api", "fetch1"}, Label{"listener", "kafka"})
	a.Add(3)
	b.Add(4)
	r.Gauge(Desc{Name: "conns"}).Set(-2)
	r.Histogram(Desc{Name: "latency_seconds", Scale: 1e-9}).Observe(100)
	r.Func(Desc{Name: "free_bytes"}, KindGauge, func() int64 { return 77 })

	var got []string
	values := map[string]int64{}
	r.Walk(func(s Sample) {
		key := s.Name
		for _, l := range s.Labels {
			key += "," + l.Name + "=" + l.Value
		}
		got = append(got, s.Kind.String()+" "+key)
		values[key] = s.Value
		if s.Kind == KindHistogram && s.Histogram.Count != 1 {
			t.Errorf("histogram %+v", s.Histogram)
		}
		_ = r.Gauge(Desc{Name: "conns"}) // a visitor may use the registry
	})
	want := "gauge conns|gauge free_bytes|histogram latency_seconds|" +
		"counter requests_total,api=fetch,listener=kafka|counter requests_total,api=fetch1,listener=kafka"
	if strings.Join(got, "|") != want {
		t.Errorf("walked %q", got)
	}
	if values["free_bytes"] != 77 || values["conns"] != -2 || values["requests_total,api=fetch,listener=kafka"] != 3 {
		t.Errorf("values %v", values)
	}
	r.Forget("conns")
	r.Forget("requests_total", Label{"listener", "kafka"}, Label{"api", "fetch"})
	r.Forget("unknown")
	left := 0
	r.Walk(func(Sample) { left++ })
	if left != 3 {
		t.Errorf("%d metrics left, want 3", left)
	}
}

func TestRegistryKinds(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("one name took two kinds")
		}
	}()
	r := NewRegistry()
	r.Counter(Desc{Name: "x"})
	r.Gauge(Desc{Name: "x"})
}

// TestEncodeLabels checks that labels which look alike when joined are told apart.
func TestEncodeLabels(t *testing.T) {
	r := NewRegistry()
	d := Desc{Name: "x"}
	if r.Counter(d, Label{"a", "b1:c"}) == r.Counter(d, Label{"a", "b"}, Label{"c", ""}) ||
		r.Counter(d, Label{"a", "1"}) == r.Counter(d, Label{"a1", ""}) {
		t.Error("different labels share a counter")
	}
}

func TestCopyAccount(t *testing.T) {
	a := NewCopyAccount()
	tally := a.Tally("kafka", "orders")
	if a.Tally("kafka", "orders") != tally || a.Tally("rocket", "orders") == tally {
		t.Error("tallies are mixed up")
	}
	tally.Add(PathSendfile, ReasonNone, 100)
	tally.Add(PathCopied, ReasonSmall, 5)
	tally.Add(PathCopied, ReasonSmall, 6)
	var none *Tally
	none.Add(PathCopied, ReasonTLS, 1) // no topic, no tally
	lines := a.Lines()
	slices.SortFunc(lines, func(x, y CopyLine) int { return strings.Compare(x.Path, y.Path) })
	want := []CopyLine{
		{"kafka", "orders", "copied", "small", 11},
		{"kafka", "orders", "sendfile", "", 100},
	}
	if !slices.Equal(lines, want) {
		t.Errorf("lines %+v", lines)
	}
}

func BenchmarkObserve(b *testing.B) {
	var h Histogram
	b.RunParallel(func(pb *testing.PB) {
		for v := int64(1); pb.Next(); v = v*5%1_000_003 + 1 {
			h.Observe(v)
		}
	})
}
