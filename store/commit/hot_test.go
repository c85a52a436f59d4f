package commit

import (
	"fmt"
	"io/fs"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"penstock"
	"penstock/disk"
	"penstock/message"
	"penstock/record"
	"penstock/store"
	"penstock/store/storetest"
)

// nullFS is a file system that forgets what it is told and counts writes.
type nullFS struct{ writes atomic.Int64 }

type nullFile struct {
	fs   *nullFS
	size atomic.Int64
}

// Open makes any file but those that would be read at a start.
func (n *nullFS) Open(name string, mode disk.Mode) (disk.File, error) {
	if mode != disk.ModeCreate && !strings.Contains(name, "/queues/") || strings.HasPrefix(name, "journal.") {
		return nil, fs.ErrNotExist
	}
	return &nullFile{fs: n}, nil
}
func (n *nullFS) MkdirAll(string) error                   { return nil }
func (n *nullFS) Remove(string) error                     { return nil }
func (n *nullFS) Rename(string, string) error             { return nil }
func (n *nullFS) ReadDir(string) ([]disk.Entry, error)    { return nil, nil }
func (n *nullFS) SyncDir(string) error                    { return nil }
func (n *nullFS) SyncAll() error                          { return nil }
func (n *nullFS) Boot() string                            { return "" }
func (n *nullFS) Space() (disk.Space, error)              { return disk.Space{Total: 1 << 40, Free: 1 << 40}, nil }
func (f *nullFile) ReadAt(b []byte, _ int64) (int, error) { return 0, syscall.EIO }
func (f *nullFile) Allocate(int64, int64) error           { return nil }
func (f *nullFile) Truncate(n int64) error                { f.size.Store(n); return nil }
func (f *nullFile) Sync() error                           { return nil }
func (f *nullFile) Size() (int64, error)                  { return f.size.Load(), nil }
func (f *nullFile) Advise(int64, int64, disk.Advice)      {}
func (f *nullFile) Fd() (int, bool)                       { return 0, false }
func (f *nullFile) Close() error                          { return nil }
func (f *nullFile) WriteVec(bs [][]byte, off int64) (n int64, err error) {
	f.fs.writes.Add(1)
	for _, b := range bs {
		n += int64(len(b))
	}
	return n, nil
}

func nullStore(t testing.TB, f store.Format) *Store {
	t.Helper()
	s, err := New(disk.New(&nullFS{}, disk.Options{}), f, Options{NoWarm: true})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sized makes a batch of one record of about n bytes for the partition.
func sized(f store.Format, n int) penstock.Batch {
	if f.Kind() == penstock.FormatRecord {
		return makeBatch(storetest.Spec{Records: 1, Bytes: n - 80, First: 1})
	}
	b, err := message.Append(nil, &message.Message{StoreTime: 1_700_000_000_000, Topic: []byte("BenchmarkTest"), Body: make([]byte, n-250), WithRecordCRC: true,
		Properties: properties("UNIQ_KEY", "7F00000100002A9F0000000000004711", "KEYS", "order4711", "WAIT", "true", "TAGS", "red")})
	if err != nil {
		panic(err)
	}
	return batchOf(f, b)
}

// TestAppendAllocations holds appends and reads at the tail to a few allocations, whatever the size.
func TestAppendAllocations(t *testing.T) {
	for _, f := range []store.Format{record.Format{}, message.Format{}} {
		s := nullStore(t, f)
		p, err := s.Open(penstock.PartitionID{}, store.Config{})
		if err != nil {
			t.Fatal(err)
		}
		batches := []penstock.Batch{sized(f, 1024)}
		var last penstock.Offset
		appends := func() {
			got, err := p.Append(batches, 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			last = got.First
		}
		for range 5000 {
			appends()
		}
		// The queue's tail in memory grows and is written now and then.
		if n := testing.AllocsPerRun(5000, appends); n > 1 {
			t.Errorf("%v: %v allocations an append", f.Kind(), n)
		}
		dst := make([]penstock.Extent, 0, 8)
		pull := func() {
			es, _, err := p.(store.Queue).Pull(store.PullRequest{From: last - 9, Limit: last + 1, Max: 1 << 20, Count: 32, Scan: 800}, dst)
			if err != nil {
				t.Fatal(err)
			}
			dst = penstock.ReleaseAll(es)
		}
		pull()
		if n := testing.AllocsPerRun(1000, pull); n > 1 {
			t.Errorf("%v: %v allocations a pull", f.Kind(), n)
		}
	}
}

// BenchmarkAppendNull is what an append costs beside the write.
func BenchmarkAppendNull(b *testing.B) {
	for _, f := range []store.Format{record.Format{}, message.Format{}} {
		for _, size := range []int{1 << 10, 64 << 10} {
			b.Run(fmt.Sprint(f.Kind(), "/", size), func(b *testing.B) {
				s := nullStore(b, f)
				p, err := s.Open(penstock.PartitionID{}, store.Config{})
				if err != nil {
					b.Fatal(err)
				}
				batches := []penstock.Batch{sized(f, size)}
				b.ReportAllocs()
				for b.Loop() {
					if _, err := p.Append(batches, 0, 0); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
