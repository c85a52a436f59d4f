package group

import (
	"fmt"
	"testing"
	"time"

	"penstock"
	"penstock/replica"
)

// produce appends n batches of one record each to a partition of the topic t, a second apart, and returns the time of the first
// and the bytes of all.
func (r *rig) produce(partition int32, n int) (first penstock.Timestamp, bytes int64) {
	r.t.Helper()
	p := r.replicas.Partition(penstock.PartitionID{Topic: r.meta.Image().Topic("t").ID, Partition: partition})
	first = penstock.Timestamp(r.clock.Now().UnixMilli())
	for i := range n {
		w := newWriter(first + penstock.Timestamp(1000*i))
		w.state(fmt.Sprint("g", i), make([]byte, 100))
		bs, err := w.batches()
		r.must(err)
		bytes += int64(len(bs[0].Bytes))
		res, done := p.Append(replica.AppendRequest{Batches: bs, Acks: penstock.AcksLeader, Epoch: penstock.NoEpoch}, nil)
		if !done || res.Err != nil {
			r.t.Fatal(done, res.Err)
		}
		w.free()
	}
	return first, bytes
}

// lags lists what Lags says, and what it left out.
func (r *rig) lags(l LagLimits) (all []Lag, left int) {
	left = r.Lags(l, func(l *Lag) { all = append(all, *l) })
	return all, left
}

// TestLags: lag in records, bytes and time of what groups have committed; of partitions that are gone or not to be read there
// is none.
func TestLags(t *testing.T) {
	r := start(t, nil, nil, nil, nil).loaded()
	defer r.stop(false)
	if all, left := r.lags(LagLimits{Partitions: 10, Looks: 10}); len(all) != 0 || left != 0 {
		t.Error(all, left)
	}
	first, bytes := r.produce(0, 10)
	r.produce(1, 3)
	for at, p := range map[penstock.Offset]int32{4: 0, 3: 1, 0: 2} {
		r.must(r.commit("b", "t", p, at))
	}
	r.must(r.commit("a", "t", 0, 0))
	r.must(r.commit("a", "t", 1, 99))
	r.must(r.commit("a", "elsewhere", 0, 7))
	all, left := r.lags(LagLimits{Partitions: 10, Looks: 10})
	none := penstock.NoTimestamp
	want := []Lag{
		{"a", "elsewhere", 0, Committed{Offset: 7}, replica.Backlog{End: penstock.NoOffset, Bytes: -1, Oldest: none}},
		{"a", "t", 0, Committed{Offset: 0}, replica.Backlog{End: 10, Records: 10, Bytes: bytes, Oldest: first}},
		{"a", "t", 1, Committed{Offset: 99}, replica.Backlog{End: 3, Oldest: none}},
		{"b", "t", 0, Committed{Offset: 4}, replica.Backlog{End: 10, Records: 6, Bytes: bytes / 10 * 6, Oldest: first + 4000}},
		{"b", "t", 1, Committed{Offset: 3}, replica.Backlog{End: 3, Oldest: none}},
		{"b", "t", 2, Committed{Offset: 0}, replica.Backlog{End: 0, Oldest: none}},
	}
	if len(all) != len(want) || left != 0 {
		t.Fatalf("%+v, %d left", all, left)
	}
	for i, got := range all {
		got.Committed = Committed{Offset: got.Committed.Offset}
		if got != want[i] {
			t.Errorf("%+v, want %+v", got, want[i])
		}
	}
	if got := all[3].Committed; got.Metadata != "4" || got.At != penstock.Timestamp(r.clock.Now().UnixMilli()) {
		t.Errorf("%+v", got)
	}
}

// TestLagLimits: what is beyond the limits is counted and not looked for.
func TestLagLimits(t *testing.T) {
	r := start(t, nil, nil, nil, nil).loaded()
	defer r.stop(false)
	for p := range int32(4) {
		r.produce(p, 2)
		r.must(r.commit("a", "t", p, 1))
		r.must(r.commit("b", "t", p, 1))
	}
	for most, want := range map[int]int{0: 0, 1: 1, 4: 4, 5: 5, 8: 8, 9: 8} {
		all, left := r.lags(LagLimits{Partitions: most})
		if len(all) != want || left != 8-want {
			t.Errorf("at most %d: %d and %d left", most, len(all), left)
		}
		for i, l := range all {
			if l.Partition != int32(i%4) || l.Backlog.Records != 1 || l.Backlog.Bytes != -1 || l.Backlog.Oldest != penstock.NoTimestamp {
				t.Errorf("at most %d, %d: %+v", most, i, l)
			}
		}
	}
	all, _ := r.lags(LagLimits{Partitions: 8, Looks: 3})
	for i, l := range all {
		if looked := l.Backlog.Bytes > 0 && l.Backlog.Oldest != penstock.NoTimestamp; looked != (i < 3) {
			t.Errorf("%d: %+v", i, l)
		}
	}
}

// TestMetadataLimit: the bound on what is stored with an offset is that of the options, and never beyond what a record holds.
func TestMetadataLimit(t *testing.T) {
	for asked, want := range map[int]int{0: DefaultMetadata, 10: 10, 1 << 20: maxText} {
		r := start(t, nil, nil, nil, func(o *Options) { o.MaxMetadata = asked }).loaded()
		for n, fits := range map[int]bool{want: true, want + 1: false} {
			c := &Commit{Generation: -1, Offsets: []CommitOffset{{Topic: "t", Metadata: string(make([]byte, n))}}}
			wait := make(chan error, 1)
			r.Commit("g", c, func(err error) { wait <- err })
			r.must(<-wait)
			if got := c.Offsets[0].Err == nil; got != fits {
				t.Errorf("MaxMetadata %d: %d bytes: %v", asked, n, c.Offsets[0].Err)
			}
		}
		r.stop(false)
	}
}

// BenchmarkLags is one look at a million committed offsets of 1,000 groups, all within the limit.
func BenchmarkLags(b *testing.B) {
	r := start(b, nil, nil, nil, nil).loaded()
	defer r.stop(true)
	fillOffsets(b, r, 1000, 1000)
	for b.Loop() {
		began := time.Now()
		n := 0
		r.Lags(LagLimits{Partitions: 1_000_000}, func(*Lag) { n++ })
		if n != 1_000_000 {
			b.Fatal(n)
		}
		b.ReportMetric(float64(time.Since(began).Milliseconds()), "ms/look")
	}
}
