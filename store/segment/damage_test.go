package segment

import (
	"bytes"
	"context"
	"errors"
	"path"
	"testing"

	"penstock"
	"penstock/disk"
	"penstock/disk/disktest"
	"penstock/record"
	"penstock/store"
	"penstock/store/storetest"
)

// rig is a store on a disk in memory with one partition.
type rig struct {
	t  *testing.T
	fs *disktest.FS
	d  *disk.Disk
	s  *Store
	p  *Partition
	c  store.Config
	f  store.Format // nil: records

	cells int
}

// format is what is stored.
func (r *rig) format() store.Format {
	if r.f == nil {
		return record.Format{}
	}
	return r.f
}

// batch makes one of the format's.
func (r *rig) batch(s storetest.Spec) penstock.Batch {
	if r.format().Kind() == penstock.FormatMessage {
		return makeMessage(s)
	}
	return makeBatch(s)
}

// dir is where the partition lies.
func (r *rig) dir() string { return path.Join(formatDir(r.format()), dirName(rigID)) }

var rigID = penstock.PartitionID{Topic: penstock.TopicID{7}, Partition: 1}

func newRig(t *testing.T, c store.Config) *rig {
	t.Helper()
	r := &rig{t: t, fs: disktest.New(), c: c}
	r.open()
	t.Cleanup(func() {
		_ = r.s.Close()
		_ = r.d.Close()
	})
	return r
}

func (r *rig) open() {
	r.t.Helper()
	r.d = disk.New(r.fs, disk.Options{})
	var err error
	if r.s, err = New(r.d, r.format(), Options{Now: testNow, cells: r.cells}); err != nil {
		r.t.Fatal(err)
	}
	p, err := r.s.Open(rigID, r.c)
	if err != nil {
		r.t.Fatal(err)
	}
	r.p = bare(p)
}

// bare is the room's own view of a partition.
func bare(p store.Partition) *Partition {
	if q, ok := p.(queued); ok {
		return q.Partition
	}
	return p.(*Partition)
}

// stop closes cleanly.
func (r *rig) stop() {
	r.t.Helper()
	if err := errors.Join(r.s.Close(), r.d.Close()); err != nil {
		r.t.Fatal(err)
	}
}

// add appends n batches of one record, each about 200 bytes, one append each.
func (r *rig) add(n int) {
	r.t.Helper()
	for range n {
		_, end := r.p.Bounds()
		b := r.batch(storetest.Spec{Records: 1, Bytes: 120, First: 1_700_000_000_000 + penstock.Timestamp(end)*10, Tag: uint64(end)})
		if _, err := r.p.Append([]penstock.Batch{b}, 0, 1_700_000_000_000); err != nil {
			r.t.Fatal(err)
		}
	}
}

// readable is which offsets can be read, '.' for one that cannot.
func (r *rig) readable() string {
	r.t.Helper()
	start, end := r.p.Bounds()
	out := bytes.Repeat([]byte{'.'}, int(end))
	for off := start; off < end; off++ {
		es, err := r.p.Read(store.ReadRequest{From: off, Limit: end, Max: 1, Whole: true}, nil)
		if err == nil && len(es) == 1 {
			b := make([]byte, es[0].Len)
			if _, err := es[0].File.ReadAt(b, es[0].Off); err == nil && r.format().Verify(b) == nil {
				if h, err := r.format().Header(b); err == nil && h.BaseOffset == off {
					out[off] = 'x'
				}
			}
		} else if err != nil && !errors.Is(err, penstock.ErrCorrupt) {
			r.t.Fatal(err)
		}
		penstock.ReleaseAll(es)
	}
	return string(out)
}

// edit changes a file behind the store's back.
func (r *rig) edit(name string, change func([]byte) []byte) {
	r.t.Helper()
	b, err := r.d.ReadFile(name, 1<<30)
	if err == nil {
		err = r.d.WriteFile(name, change(b))
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) log(base penstock.Offset) string { return fileName(r.dir(), base, logSuffix) }

func flip(at int) func([]byte) []byte {
	return func(b []byte) []byte { b[at] ^= 0xff; return b }
}

func cutAt(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:n] } }

// batchSize is that of the batches that add appends.
func (r *rig) batchSize() int {
	return len(r.batch(storetest.Spec{Records: 1, Bytes: 120, First: 1_700_000_000_000}).Bytes)
}

// damageConfig makes segments of ten batches with an index entry for every third or so.
func damageConfig(r *rig) store.Config {
	size := r.batchSize()
	return store.Config{SegmentBytes: int64(10 * size), IndexInterval: int64(2 * size)}
}

// TestDamageBeforeThePoint damages durable segments in many ways: nothing is cut, the place is refused, the rest is served,
// after a restart too, and appending goes on at the same end.
func TestDamageBeforeThePoint(t *testing.T) {
	size := len(makeBatch(storetest.Spec{Records: 1, Bytes: 120, First: 1_700_000_000_000}).Bytes)
	for _, c := range []struct {
		name   string
		damage func(r *rig)
		want   string
	}{
		{"nothing", func(*rig) {}, "xxxxxxxxxxxxxxxxxxxxxxxxx"},
		{"sealed segment missing", func(r *rig) { must(r.t, r.d.Remove(r.log(10))) }, "xxxxxxxxxx..........xxxxx"},
		{"sealed segment short", func(r *rig) { r.edit(r.log(10), cutAt(size*4+7)) }, "xxxxxxxxxxxxxx......xxxxx"},
		{"sealed segment empty", func(r *rig) { r.edit(r.log(0), cutAt(0)) }, "..........xxxxxxxxxxxxxxx"},
		{"header in a sealed segment", func(r *rig) { r.edit(r.log(10), flip(size*4+16)) }, "xxxxxxxxxxxxxx..xxxxxxxxx"},
		{"header at an index entry", func(r *rig) { r.edit(r.log(10), flip(size*6+16)) }, "xxxxxxxxxxxxxxxx...xxxxxx"},
		{"active segment missing", func(r *rig) { must(r.t, r.d.Remove(r.log(20))) }, "xxxxxxxxxxxxxxxxxxxx....."},
		{"active segment short", func(r *rig) { r.edit(r.log(20), cutAt(size*2)) }, "xxxxxxxxxxxxxxxxxxxxxx..."},
		{"active segment torn", func(r *rig) { r.edit(r.log(20), cutAt(size*2+9)) }, "xxxxxxxxxxxxxxxxxxxxxx..."},
		{"all gone", func(r *rig) { must(r.t, r.d.RemoveAll(dirName(rigID))) }, "........................."},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, store.Config{})
			r.c = damageConfig(r)
			r.p.Configure(r.c)
			r.add(25)
			r.stop()
			r.d = disk.New(r.fs, disk.Options{})
			c.damage(r)
			r.open()
			for _, when := range []string{"after the damage", "after a clean stop", "after a crash"} {
				if got := r.readable(); got[:25] != c.want {
					t.Errorf("%s: readable %s, want %s", when, got, c.want)
				}
				if q := r.p.Stats().Quarantined; (q > 0) != (c.want[0] == '.' || bytes.Contains([]byte(c.want), []byte("."))) {
					t.Errorf("%s: %d places quarantined", when, q)
				}
				_, end := r.p.Bounds()
				r.add(1)
				if _, now := r.p.Bounds(); now != end+1 || r.readable()[end] != 'x' {
					t.Fatalf("%s: appended at %d, end %d", when, end, now)
				}
				if when == "after the damage" {
					r.stop()
				} else {
					must(t, r.p.sync(end+1))
					r.fs = r.fs.Crash(5)
				}
				r.open()
			}
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestScrub finds a batch whose content was altered, which nothing else reads.
func TestScrub(t *testing.T) {
	r := newRig(t, store.Config{})
	r.c = damageConfig(r)
	r.p.Configure(r.c)
	r.add(25)
	r.stop()
	size := len(makeBatch(storetest.Spec{Records: 1, Bytes: 120, First: 1_700_000_000_000}).Bytes)
	r.d = disk.New(r.fs, disk.Options{})
	r.edit(r.log(0), flip(size*3+size-2))
	r.edit(r.log(20), flip(size*2+size-2))
	r.open()
	if q := r.p.Stats().Quarantined; q != 0 {
		t.Fatalf("%d places quarantined before anybody looked", q)
	}
	n, err := r.s.Scrub(context.Background(), 0)
	if err != nil || n != int64(23*size) {
		t.Fatalf("scrubbed %d bytes, want %d, %v", n, 23*size, err)
	}
	if got, want := r.readable(), "xxx.xxxxxxxxxxxxxxxxxx.xx"; got != want {
		t.Errorf("readable %s, want %s", got, want)
	}
	// What was found is written down.
	r.add(1)
	must(t, r.s.Checkpoint())
	r.fs = r.fs.Crash(1)
	r.open()
	if got, want := r.readable(), "xxx.xxxxxxxxxxxxxxxxxx.xxx"; got != want {
		t.Errorf("readable %s after a crash, want %s", got, want)
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if _, err := r.s.Scrub(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("scrub after its end: %v", err)
	}
}

// TestForeign opens a directory as Kafka leaves it: logs, its index files, its text files, nothing of ours; with a gap
// that compaction left.
func TestForeign(t *testing.T) {
	for _, gap := range []bool{false, true} {
		r := newRig(t, store.Config{})
		r.c = damageConfig(r)
		r.p.Configure(r.c)
		r.add(25)
		r.stop()
		r.d = disk.New(r.fs, disk.Options{})
		for _, name := range []string{"segments", "00000000000000000010.bases"} {
			must(t, r.d.Remove(path.Join(dirName(rigID), name)))
		}
		must(t, r.d.Remove(pointsFile))
		must(t, r.d.Remove(cleanFile))
		want := "xxxxxxxxxxxxxxxxxxxxxxxxx"
		if gap {
			size := len(makeBatch(storetest.Spec{Records: 1, Bytes: 120, First: 1_700_000_000_000}).Bytes)
			r.edit(r.log(0), func(b []byte) []byte { return append(b[:2*size:2*size], b[4*size:8*size]...) })
		}
		r.open()
		for range 3 {
			if start, end := r.p.Bounds(); start != 0 || end < 25 {
				t.Fatalf("bounds %d to %d", start, end)
			}
			if gap {
				r.gaps()
			} else if got := r.readable(); got[:25] != want {
				t.Errorf("readable %s, want %s", got, want)
			}
			if q := r.p.Stats().Quarantined; q != 0 {
				t.Errorf("%d places quarantined", q)
			}
			r.add(1)
			_, end := r.p.Bounds()
			must(t, r.p.sync(end))
			r.fs = r.fs.Crash(3)
			r.open()
		}
	}
}

// gaps checks that a read inside a gap gives what comes after it.
func (r *rig) gaps() {
	r.t.Helper()
	for from, want := range map[penstock.Offset]penstock.Offset{1: 1, 2: 4, 3: 4, 7: 7, 8: 10, 9: 10} {
		es, err := r.p.Read(store.ReadRequest{From: from, Limit: 25, Max: 1 << 20}, nil)
		if err != nil || len(es) == 0 {
			r.t.Fatalf("read from %d: %d extents, %v", from, len(es), err)
		}
		b := make([]byte, 61)
		if _, err := es[0].File.ReadAt(b, es[0].Off); err != nil {
			r.t.Fatal(err)
		}
		if h, err := (record.Format{}).Header(b); err != nil || h.BaseOffset != want {
			r.t.Errorf("read from %d begins at %d, want %d, %v", from, h.BaseOffset, want, err)
		}
		penstock.ReleaseAll(es)
	}
}
