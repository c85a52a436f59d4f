package kafka

import (
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock/meta"
)

// pipeline sends the same frame n times and reads n answers, at most 32 under way, without allocating.
func (c client) pipeline(request []byte, n int, buf []byte) {
	c.t.Helper()
	sent := 0
	for got := range n {
		for ; sent < n && sent < got+32; sent++ {
			if _, err := c.Write(request); err != nil {
				c.t.Fatal(err)
			}
		}
		if _, err := io.ReadFull(c.Conn, buf[:4]); err != nil {
			c.t.Fatal(err)
		}
		size := int(binary.BigEndian.Uint32(buf))
		if _, err := io.ReadFull(c.Conn, buf[4:4+size]); err != nil {
			c.t.Fatal(err)
		}
	}
}

// mallocs is how many allocations the whole process makes for each of n requests.
func (c client) mallocs(request []byte, n int) float64 {
	buf := make([]byte, 64<<20)
	c.pipeline(request, 200, buf) // pools and buffers fill
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c.pipeline(request, n, buf)
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(n)
}

// hot are requests of the hot path with one and with many batches.
func hot(topic *meta.Topic, parts int, acks int16) (produce, fetch []byte) {
	batches := map[int32][]byte{}
	q := kmsg.NewPtrFetchRequest()
	q.MinBytes, q.MaxBytes, q.SessionEpoch = 1, 64<<20, -1
	ft := kmsg.FetchRequestTopic{Topic: topic.Name, TopicID: topic.ID}
	for i := range int32(parts) {
		batches[i] = batch(10, 1000)
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.PartitionMaxBytes, p.CurrentLeaderEpoch, p.LastFetchedEpoch = i, 12_000, -1, -1
		ft.Partitions = append(ft.Partitions, p)
	}
	q.Topics = []kmsg.FetchRequestTopic{ft}
	return frame(produceOf(topic.Name, topic.ID, acks, batches), 11, 1), frame(q, 16, 2)
}

// TestHotPathAllocations: in all rooms together a request costs two allocations at most, however many batches
// are in it.
func TestHotPathAllocations(t *testing.T) {
	limit := 2.0
	if testing.Short() {
		limit = 200 // under the race detector, which empties pools at random
	}
	h := build(t, t.TempDir(), nil)
	topic := h.topic("t", 16, nil)
	c := dial(t, h.addr)
	for _, acks := range []int16{1, -1} {
		one, oneFetch := hot(topic, 1, acks)
		many, manyFetch := hot(topic, 16, acks)
		for _, m := range []struct {
			what      string
			one, many []byte
		}{{"produce", one, many}, {"fetch", oneFetch, manyFetch}} {
			a, b := c.mallocs(m.one, 500), c.mallocs(m.many, 500)
			// A collection in between empties the pools, and filling them again is not what is measured.
			for try := 0; (a > limit || b > limit) && try < 9; try++ {
				a, b = min(a, c.mallocs(m.one, 500)), min(b, c.mallocs(m.many, 500))
			}
			t.Logf("acks %d: %s: %.2f allocations with 1 batch, %.2f with 16", acks, m.what, a, b)
			if a > limit || b > limit {
				t.Errorf("acks %d: %s: %.2f allocations with 1 batch, %.2f with 16", acks, m.what, a, b)
			}
		}
	}
}

// BenchmarkProduce appends batches over loopback, with everything in one process; see also bench.
func BenchmarkProduce(b *testing.B) {
	for _, acks := range []int16{1, -1} {
		for _, parts := range []int{1, 16} {
			b.Run(fmt.Sprintf("acks=%d/batches=%d", acks, parts), func(b *testing.B) {
				h := build(b, b.TempDir(), nil)
				request, _ := hot(h.topic("t", 16, nil), parts, acks)
				c := dial(b, h.addr)
				buf := make([]byte, 1<<20)
				c.pipeline(request, 100, buf)
				b.SetBytes(int64(len(request)))
				b.ReportAllocs()
				b.ResetTimer()
				c.pipeline(request, b.N, buf)
			})
		}
	}
}

// BenchmarkFetch reads stored batches over loopback.
func BenchmarkFetch(b *testing.B) {
	for _, parts := range []int{1, 16} {
		b.Run(fmt.Sprintf("batches=%d", parts), func(b *testing.B) {
			h := build(b, b.TempDir(), nil)
			topic := h.topic("t", 16, nil)
			produce, _ := hot(topic, 16, 1)
			_, request := hot(topic, parts, 1)
			c := dial(b, h.addr)
			buf := make([]byte, 64<<20)
			c.pipeline(produce, 10, buf)
			b.SetBytes(int64(parts * len(batch(10, 1000))))
			b.ReportAllocs()
			b.ResetTimer()
			c.pipeline(request, b.N, buf)
		})
	}
}

// BenchmarkPipelined appends one small batch a request, many requests under way on the connection, and reports the
// processor time of both ends together: what gathering over a read is worth.
func BenchmarkPipelined(b *testing.B) {
	for _, size := range []int{8 << 10, 64 << 10} {
		for _, parts := range []int32{1, 6} {
			for _, acks := range []int16{1, -1} {
				b.Run(fmt.Sprintf("KiB=%d/partitions=%d/acks=%d", size>>10, parts, acks), func(b *testing.B) {
					h := build(b, b.TempDir(), nil)
					topic := h.topic("t", int(parts), nil)
					var requests []byte
					for p := range parts {
						requests = append(requests, frame(produceOf("t", topic.ID, acks, map[int32][]byte{p: batch(size/1000, 1000)}), 11, 1)...)
					}
					c := dial(b, h.addr)
					b.SetBytes(int64(len(requests)) / int64(parts))
					before := cpu()
					b.ResetTimer()
					go func() {
						for range b.N / int(parts) {
							if _, err := c.Write(requests); err != nil {
								return
							}
						}
					}()
					for range b.N / int(parts) * int(parts) {
						c.receive()
					}
					b.ReportMetric((cpu()-before).Seconds()/(float64(b.N)*float64(size)/(1<<30)), "cpu-s/GiB")
				})
			}
		}
	}
}

// cpu is the processor time of this process.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
