package group

import (
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"penstock"
	"penstock/disk/disktest"
)

// BenchmarkHeartbeat is one heartbeat of one of 10,000 members in 1,000 groups.
func BenchmarkHeartbeat(b *testing.B) {
	r := start(b, nil, nil, nil, nil).loaded()
	defer r.stop(true)
	names, ids := members(b, r, 1000, 10)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		g := i % len(names)
		if err := r.Heartbeat(names[g], Heartbeat{MemberID: ids[g][i/len(names)%10], Generation: 10}); err != nil {
			b.Fatal(err)
		}
	}
}

// members fills groups: each member joins, and those before it join again, so the last makes generation n.
func members(b testing.TB, r *rig, groups, n int) (names []string, ids [][]string) {
	for i := range groups {
		name := fmt.Sprint("group-", i)
		var in []string
		for k := range n {
			waits := []chan JoinAnswer{r.join(name, joinOf("", fmt.Sprintf("m-%d-%d", i, k)))}
			for _, id := range in {
				waits = append(waits, r.join(name, joinOf(id, "")))
			}
			for _, w := range waits {
				if a := <-w; a.Err != nil {
					b.Fatal(a.Err)
				}
			}
			in = append(in, fmt.Sprintf("m-%d-%d", i, k))
		}
		names, ids = append(names, name), append(ids, in)
	}
	return names, ids
}

// BenchmarkCommit is one offset committed by one of 64 consumers at once, on a disk in memory.
func BenchmarkCommit(b *testing.B) {
	r := start(b, nil, nil, nil, nil).loaded()
	defer r.stop(true)
	b.ReportAllocs()
	var wg sync.WaitGroup
	for w := range 64 {
		wg.Go(func() {
			for i := range b.N / 64 {
				if err := r.commit(fmt.Sprint("g", w), "t", 0, penstock.Offset(i)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkLoad is a start with a million committed offsets of 1,000 groups.
func BenchmarkLoad(b *testing.B) {
	fs := disktest.New()
	r := start(b, fs, nil, nil, nil).loaded()
	fillOffsets(b, r, 1000, 1000)
	for b.Loop() {
		r.stop(false)
		began, used := time.Now(), cpuTime(b)
		r = start(b, fs, r.meta, r.clock, nil).loaded()
		b.ReportMetric(float64(time.Since(began).Milliseconds()), "ms/start")
		b.ReportMetric(float64((cpuTime(b) - used).Milliseconds()), "cpu-ms/start")
	}
	bytes := int64(0)
	r.each(func(s *shard) { bytes += s.size.Load() })
	b.ReportMetric(float64(bytes)/1e6, "MB")
	r.stop(true)
}

// cpuTime is what the process has used of the processors.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func fillOffsets(b testing.TB, r *rig, groups, n int) {
	var wg sync.WaitGroup
	id := r.meta.Image().Topic("t").ID
	for g := range groups {
		c := &Commit{Generation: -1}
		for p := range n {
			c.Offsets = append(c.Offsets, CommitOffset{Topic: "t", TopicID: id, Partition: int32(p), Offset: penstock.Offset(p), Epoch: 1, Metadata: fmt.Sprint(p)})
		}
		wg.Add(1)
		r.Commit(fmt.Sprint("group-", g), c, func(err error) {
			if err != nil {
				b.Error(err)
			}
			wg.Done()
		})
	}
	wg.Wait()
}
