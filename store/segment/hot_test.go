package segment

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"penstock"
	"penstock/disk"
	"penstock/message"
	"penstock/record"
	"penstock/store"
	"penstock/store/storetest"
)

// nullFS is a file system that forgets what it is told and counts the calls.
type nullFS struct {
	disk.FS
	writes, reads atomic.Int64
}

type nullFile struct {
	disk.File
	fs   *nullFS
	size atomic.Int64
}

func (n *nullFS) Open(string, disk.Mode) (disk.File, error) { return &nullFile{fs: n}, nil }
func (n *nullFS) MkdirAll(string) error                     { return nil }
func (n *nullFS) Remove(string) error                       { return nil }
func (n *nullFS) Rename(string, string) error               { return nil }
func (n *nullFS) ReadDir(string) ([]disk.Entry, error)      { return nil, nil }
func (n *nullFS) SyncDir(string) error                      { return nil }
func (n *nullFS) SyncAll() error                            { return nil }
func (n *nullFS) Space() (disk.Space, error)                { return disk.Space{Total: 1 << 40, Free: 1 << 40}, nil }
func (f *nullFile) ReadAt(b []byte, _ int64) (int, error)   { f.fs.reads.Add(1); return 0, syscall.EIO }
func (f *nullFile) Allocate(int64, int64) error             { return nil }
func (f *nullFile) Truncate(n int64) error                  { f.size.Store(n); return nil }
func (f *nullFile) Sync() error                             { return nil }
func (f *nullFile) Size() (int64, error)                    { return f.size.Load(), nil }
func (f *nullFile) Advise(int64, int64, disk.Advice)        {}
func (f *nullFile) Fd() (int, bool)                         { return 0, false }
func (f *nullFile) Close() error                            { return nil }
func (f *nullFile) WriteVec(bs [][]byte, off int64) (n int64, err error) {
	f.fs.writes.Add(1)
	for _, b := range bs {
		n += int64(len(b))
	}
	f.size.Store(max(f.size.Load(), off+n))
	return n, nil
}

// missingPoints lets a store start on a nullFS: there is no checkpoint.
type missingPoints struct{ *nullFS }

func (m missingPoints) Open(name string, mode disk.Mode) (disk.File, error) {
	if name == pointsFile || name == cleanFile || strings.HasPrefix(name, "journal.") {
		return nil, os.ErrNotExist
	}
	return m.nullFS.Open(name, mode)
}

func nullPartition(t testing.TB, c store.Config) (*Partition, *nullFS) {
	t.Helper()
	fs := &nullFS{}
	d := disk.New(missingPoints{fs}, disk.Options{})
	s, err := New(d, record.Format{}, Options{})
	must(t, err)
	p, err := s.Open(rigID, c)
	must(t, err)
	return p.(*Partition), fs
}

// TestAppendAndReadAllocateNothing holds the hot paths to it: an append, a read at the tail, a read that follows
// another, all without an allocation and without reading the file.
func TestAppendAndReadAllocateNothing(t *testing.T) {
	p, fs := nullPartition(t, store.Config{})
	batches := []penstock.Batch{makeBatch(storetest.Spec{Records: 1, Bytes: 16 << 10, First: 1}), makeBatch(storetest.Spec{Records: 3, Bytes: 100, First: 1})}
	var last penstock.Offset
	appends := func() {
		got, err := p.Append(batches, 0, 0)
		must(t, err)
		last = got.First
	}
	for range 70_000 { // the tail of the index has found its size
		appends()
	}
	// An entry of the index is 28 bytes, and the slices that hold them grow now and then.
	if n := testing.AllocsPerRun(1000, appends); n > 0 {
		t.Errorf("append: %v allocations", n)
	}
	fs.reads.Store(0)
	dst := make([]penstock.Extent, 0, 8)
	tail := func() {
		var err error
		dst, err = p.Read(store.ReadRequest{From: last, Limit: last + 4, Max: 1 << 20}, dst)
		must(t, err)
		if len(dst) != 1 {
			t.Fatalf("%d extents", len(dst))
		}
		dst = penstock.ReleaseAll(dst)
	}
	if n := testing.AllocsPerRun(1000, tail); n != 0 {
		t.Errorf("read at the tail: %v allocations", n)
	}
	// A reader that goes on where Read cut, far behind the tail, inside what memory holds.
	from, end := last-4*2000+1, last // the second batch of an append is the one that the index names
	follow := func() {
		es, err := p.Read(store.ReadRequest{From: from, Limit: end, Max: 100 << 10, Whole: true}, dst)
		must(t, err)
		got := es[0].Len
		dst = penstock.ReleaseAll(es)
		pair := int64(len(batches[0].Bytes) + len(batches[1].Bytes))
		from += penstock.Offset(got/pair) * 4
		if got%pair != 0 {
			t.Fatalf("read cut at %d, not between appends of %d", got, pair)
		}
	}
	if n := testing.AllocsPerRun(300, follow); n != 0 {
		t.Errorf("read that follows another: %v allocations", n)
	}
	if n := fs.reads.Load(); n != 0 {
		t.Errorf("%d reads of files", n)
	}
}

// TestIdleMemory holds an idle partition to 4 KiB beside what the disk keeps of it.
func TestIdleMemory(t *testing.T) {
	const n = 500
	fs := &nullFS{}
	d := disk.New(missingPoints{fs}, disk.Options{})
	s, err := New(d, record.Format{}, Options{})
	must(t, err)
	before := heap()
	for i := range n {
		p, err := s.Open(penstock.PartitionID{Topic: penstock.TopicID{1}, Partition: int32(i)}, store.Config{})
		must(t, err)
		for range 50 {
			_, err := p.Append([]penstock.Batch{makeBatch(storetest.Spec{Records: 1, Bytes: 10_000, First: 1})}, 0, 0)
			must(t, err)
		}
	}
	must(t, s.Checkpoint())
	must(t, s.Checkpoint()) // idle since the last one
	each := (heap() - before) / n
	t.Logf("%d bytes each", each)
	if each > 4096 {
		t.Errorf("an idle partition takes %d bytes", each)
	}
	runtime.KeepAlive(s)
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkAppendNull is what an append costs beside the write.
func BenchmarkAppendNull(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			p, _ := nullPartition(b, store.Config{})
			batches := []penstock.Batch{makeBatch(storetest.Spec{Records: 1, Bytes: size, First: 1})}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Append(batches, 0, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRead is a read at the tail and one that follows another.
func BenchmarkRead(b *testing.B) {
	p, _ := nullPartition(b, store.Config{})
	batches := []penstock.Batch{makeBatch(storetest.Spec{Records: 1, Bytes: 64 << 10, First: 1})}
	const n = 4000
	for range n {
		_, err := p.Append(batches, 0, 0)
		must(b, err)
	}
	dst := make([]penstock.Extent, 0, 4)
	for _, c := range []struct {
		name string
		from func(i int) penstock.Offset
	}{{"tail", func(int) penstock.Offset { return n - 1 }}, {"random", func(i int) penstock.Offset { return penstock.Offset(i * 7919 % n) }}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				es, err := p.Read(store.ReadRequest{From: c.from(i), Limit: n, Max: 1 << 20, Whole: true}, dst)
				if err != nil {
					b.Fatal(err)
				}
				dst = penstock.ReleaseAll(es)
			}
		})
	}
}

func realDisk(b *testing.B, o Options) (*Store, *Partition) {
	b.Helper()
	d, err := disk.Open(b.TempDir(), disk.Options{})
	must(b, err)
	s, err := New(d, record.Format{}, o)
	must(b, err)
	p, err := s.Open(rigID, store.Config{})
	must(b, err)
	b.Cleanup(func() {
		must(b, s.Close())
		must(b, d.Close())
	})
	return s, p.(*Partition)
}

func cpu() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r) // it cannot fail with these arguments
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// benchSegment is the size of a segment in BenchmarkAppendDisk: old ones are deleted, so that the page cache is not the measure.
const benchSegment = 256 << 20

// BenchmarkAppendDisk prints CPU seconds per GiB on the disk of the temporary directory, of appends and of the bare
// writes that they come down to.
func BenchmarkAppendDisk(b *testing.B) {
	for _, c := range []struct{ size, list int }{{16 << 10, 1}, {64 << 10, 1}, {16 << 10, 16}, {1 << 20, 1}} {
		var batches []penstock.Batch
		var vec [][]byte
		for range c.list {
			batches = append(batches, makeBatch(storetest.Spec{Records: 1, Bytes: c.size - 80, First: 1}))
			vec = append(vec, batches[0].Bytes)
		}
		bytes := int64(c.size * c.list)
		b.Run(fmt.Sprintf("append/%dx%d", c.list, c.size), func(b *testing.B) {
			_, p := realDisk(b, Options{})
			p.Configure(store.Config{SegmentBytes: benchSegment, RetentionBytes: 1, FileDeleteDelay: -1})
			segments := 1
			perGiB(b, bytes, func() {
				_, err := p.Append(batches, 0, 0)
				must(b, err)
				if n := p.segmentCount(); n != segments {
					_, end := p.Bounds()
					_, err := p.Retain(time.Now(), end)
					must(b, err)
					segments = p.segmentCount()
				}
			})
		})
		b.Run(fmt.Sprintf("write/%dx%d", c.list, c.size), func(b *testing.B) {
			d, err := disk.Open(b.TempDir(), disk.Options{})
			must(b, err)
			defer d.Close()
			var h *disk.Handle
			n, at := 0, int64(benchSegment)
			perGiB(b, bytes, func() {
				if at+bytes > benchSegment {
					if h != nil {
						must(b, d.Remove(h.Name()))
						h.Release()
					}
					h, err = d.Create(fmt.Sprint("file", n))
					must(b, err)
					must(b, h.Allocate(0, benchSegment))
					n, at = n+1, 0
				}
				_, err := h.WriteVec(vec, at)
				must(b, err)
				at += bytes
			})
			h.Release()
		})
	}
}

// perGiB runs do, which moves n bytes, and prints the CPU seconds per GiB.
func perGiB(b *testing.B, n int64, do func()) {
	b.SetBytes(n)
	began := cpu()
	for b.Loop() {
		do()
	}
	b.ReportMetric((cpu()-began).Seconds()/(float64(b.N)*float64(n)/(1<<30)), "cpu-s/GiB")
}

// BenchmarkCommit is the latency of one small append made durable, with zeros written ahead and without.
func BenchmarkCommit(b *testing.B) {
	for _, ahead := range []int64{-1, 256 << 10, 1 << 20, 4 << 20} {
		b.Run(fmt.Sprintf("zeros%dK", max(ahead, 0)>>10), func(b *testing.B) {
			_, p := realDisk(b, Options{ZeroAhead: ahead})
			done := make(chan error, 1)
			p.Notify(func(_ store.Mark, err error) { done <- err })
			batches := []penstock.Batch{makeBatch(storetest.Spec{Records: 1, Bytes: 4000, First: 1})}
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				_, err := p.Append(batches, 0, 0)
				must(b, err)
				p.Commit()
				must(b, <-done)
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
		})
	}
}

// TestMessagesAllocateNothing holds an append of messages, and a pull near the tail, to it.
func TestMessagesAllocateNothing(t *testing.T) {
	q, batches := benchQueue(t)
	appends := func() {
		_, err := q.Append(batches, 0, 0)
		must(t, err)
	}
	if n := testing.AllocsPerRun(5000, appends); n > 0 {
		t.Errorf("append: %v allocations", n)
	}
	dst := make([]penstock.Extent, 0, 8)
	_, end := q.Bounds()
	pull := func() {
		var err error
		dst, _, err = q.Pull(store.PullRequest{From: end - 100, Limit: end, Max: 1 << 20, Count: 32, Scan: 100}, dst)
		must(t, err)
		dst = penstock.ReleaseAll(dst)
	}
	// A collection meanwhile empties the pool that a pull takes its room from.
	if n := testing.AllocsPerRun(1000, pull); n > 0 {
		t.Errorf("pull: %v allocations", n)
	}
}

// benchQueue is a partition with 20,000 messages on the disk.
func benchQueue(t testing.TB) (queued, []penstock.Batch) {
	t.Helper()
	d, err := disk.Open(t.TempDir(), disk.Options{})
	must(t, err)
	s, err := New(d, message.Format{}, Options{})
	must(t, err)
	p, err := s.Open(rigID, store.Config{})
	must(t, err)
	t.Cleanup(func() {
		must(t, s.Close())
		must(t, d.Close())
	})
	batches := []penstock.Batch{makeMessage(storetest.Spec{Bytes: 1000, First: 1}), makeMessage(storetest.Spec{Bytes: 100, First: 1})}
	for range 10_000 {
		_, err := p.Append(batches, 0, 0)
		must(t, err)
	}
	return p.(queued), batches
}

// BenchmarkPull gives out 32 messages: of the last, of any, and of one tag among five.
func BenchmarkPull(b *testing.B) {
	q, _ := benchQueue(b)
	_, end := q.Bounds()
	dst := make([]penstock.Extent, 0, 64)
	for _, c := range []struct {
		name string
		from func(i int) penstock.Offset
		tags []int64
	}{
		{"tail", func(int) penstock.Offset { return end - 32 }, nil},
		{"random", func(i int) penstock.Offset { return penstock.Offset(i) * 7919 % (end - 32) }, nil},
		{"passed over", func(i int) penstock.Offset { return penstock.Offset(i) * 7919 % (end - 800) }, []int64{1}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				es, _, err := q.Pull(store.PullRequest{From: c.from(i), Limit: end, Max: 1 << 20, Count: 32, Scan: 800, Tags: c.tags}, dst)
				must(b, err)
				dst = penstock.ReleaseAll(es)
			}
		})
	}
}
