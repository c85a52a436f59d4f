package disk_test

import (
	"fmt"
	"sync"
	"testing"

	"penstock/disk"
)

// BenchmarkCommit is group commit on the machine's disk: waiters that each append 4 KiB to one log and wait until it is
// durable. An op is one acknowledged append. The blocks are written beforehand, as in a recycled segment, or not.
func BenchmarkCommit(b *testing.B) {
	for _, written := range []bool{true, false} {
		for _, waiters := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("written=%t/waiters=%d", written, waiters), func(b *testing.B) {
				d, _ := open(b, disk.Options{})
				l := newLog(b, d, "log")
				defer l.h.Release()
				if written {
					fill(b, l.h)
				}
				b.ResetTimer()
				appendAll(b, []*logOf{l}, waiters)
				b.StopTimer()
				b.ReportMetric(float64(b.N)/float64(d.Stats().Rounds), "acks/round")
			})
		}
	}
}

const benchFile = 64 << 20 // bytes; a benchmark starts over at the end

func fill(b *testing.B, h *disk.Handle) {
	b.Helper()
	if err := h.Allocate(0, benchFile); err != nil {
		b.Fatal(err)
	}
	chunk := make([]byte, 1<<20)
	for off := int64(0); off < benchFile; off += int64(len(chunk)) {
		if _, err := h.WriteVec([][]byte{chunk}, off); err != nil {
			b.Fatal(err)
		}
	}
	if err := h.Sync(); err != nil {
		b.Fatal(err)
	}
}

// appendAll shares b.N appends among waiters, waiter i on log i modulo their number.
func appendAll(b *testing.B, logs []*logOf, waiters int) {
	b.Helper()
	bufs := [][]byte{make([]byte, 4096)}
	var wg sync.WaitGroup
	for g := range waiters {
		l := logs[g%len(logs)]
		n := b.N / waiters
		if g < b.N%waiters {
			n++
		}
		wg.Go(func() {
			for range n {
				l.mu.Lock()
				_, err := l.h.WriteVec(bufs, l.written%benchFile)
				l.written += 4096
				l.mu.Unlock()
				if err != nil {
					b.Error(err)
					return
				}
				l.d.Commit(l)
				if err := l.wait(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkManyLogs is group commit over many logs, one waiter each, by fdatasync of each file and by one syncfs, to
// find from how many on the latter is better. An op is one acknowledged append.
func BenchmarkManyLogs(b *testing.B) {
	for _, logs := range []int{4, 8, 16, 24, 32, 64, 256, 1000} {
		for _, o := range []struct {
			name string
			o    disk.Options
		}{
			{"each/1", disk.Options{SyncAllFrom: -1, SyncParallel: 1}},
			{"each/4", disk.Options{SyncAllFrom: -1, SyncParallel: 4}},
			{"each/8", disk.Options{SyncAllFrom: -1, SyncParallel: 8}},
			{"each/16", disk.Options{SyncAllFrom: -1, SyncParallel: 16}},
			{"each/32", disk.Options{SyncAllFrom: -1, SyncParallel: 32}},
			{"all", disk.Options{SyncAllFrom: 2, SyncParallel: 8}},
			{"default", disk.Options{}},
		} {
			b.Run(fmt.Sprintf("logs=%d/%s", logs, o.name), func(b *testing.B) {
				d, _ := open(b, o.o)
				ls := make([]*logOf, logs)
				for i := range ls {
					ls[i] = newLog(b, d, fmt.Sprintf("%d/log", i))
					defer ls[i].h.Release()
					if err := ls[i].h.Allocate(0, 1<<20); err != nil {
						b.Fatal(err)
					}
				}
				b.ResetTimer()
				appendAll(b, ls, logs)
				b.StopTimer()
				s := d.Stats()
				b.ReportMetric(float64(s.Syncs)/float64(b.N), "syncs/op")
				b.ReportMetric(float64(s.SyncAlls), "syncalls")
			})
		}
	}
}
