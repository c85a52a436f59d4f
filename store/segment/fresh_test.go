package segment

import (
	"errors"
	"os"
	"strings"
	"testing"

	"penstock"
	"penstock/disk"
	"penstock/disk/disktest"
	"penstock/record"
	"penstock/store"
	"penstock/store/storetest"
)

// TestSettled runs the suite with one sync of everything at an unclean start, as with many partitions.
func TestSettled(t *testing.T) {
	if os.Getenv("STORETEST_SEEDS") != "" {
		t.Skip("STORETEST_SEEDS is for TestStore")
	}
	storetest.Run(t, testFactory(Options{ZeroAhead: 8 << 10, SettleFrom: 1}))
}

// changes are the calls of a trace that change or sync something.
func changes(trace []string) (out []string) {
	for _, l := range trace {
		switch kind, _, _ := strings.Cut(l, " "); kind {
		case "create", "write", "allocate", "truncate", "sync", "mkdir", "remove", "rename", "syncdir", "syncall":
			out = append(out, l)
		}
	}
	return out
}

// TestFreshCostsNothing: a partition that nothing was appended to has no file, may be asked everything, and leaves no trace in a
// checkpoint; the first append makes its files and waits for no sync.
func TestFreshCostsNothing(t *testing.T) {
	r := &rig{t: t, fs: disktest.New()}
	r.fs.StartTrace()
	r.open()
	if n := r.fs.OpenFiles(); n > 0 {
		t.Errorf("%d files open", n)
	}
	if f, err := r.p.Find(0); err != nil || f.Offset != penstock.NoOffset {
		t.Errorf("find: %+v, %v", f, err)
	}
	if f, err := r.p.Find(store.FindMax); err != nil || f.Offset != penstock.NoOffset {
		t.Errorf("find the newest: %+v, %v", f, err)
	}
	must(t, r.p.Scan(0, func(*penstock.BatchHeader) error { t.Error("a batch"); return nil }))
	must(t, r.p.Truncate(0))
	must(t, r.p.SetStart(0))
	_, err := r.s.Scrub(t.Context(), 0)
	must(t, err)
	_, err = r.p.Retain(testNow(), 0)
	must(t, err)
	if got := changes(r.fs.Trace()); len(got) > 0 {
		t.Errorf("calls for nothing: %q", got)
	}
	must(t, r.s.Checkpoint())
	if b, err := r.d.ReadFile(pointsFile, maxPointsBytes); err != nil || len(b) != pointHead+crcSize {
		t.Errorf("checkpoint of %d bytes, %v", len(b), err)
	}
	r.fs.StartTrace()
	r.add(1)
	for _, l := range changes(r.fs.Trace()) {
		if strings.HasPrefix(l, "sync") {
			t.Errorf("the first append waits: %s", l)
		}
	}
	if n := r.fs.OpenFiles(); n != 1 {
		t.Errorf("%d files open", n)
	}
	r.stop()
}

// TestFreshComesBack: a partition without files is made again after a clean stop, a kill and a power cut, and after a power cut that
// keeps any part of the names that its first append made.
func TestFreshComesBack(t *testing.T) {
	r := newRig(t, store.Config{})
	r.stop()
	r.open()
	if !r.s.Clean() {
		t.Error("not clean")
	}
	for range 2 {
		r.fs = r.fs.Kill()
		r.open()
	}
	r.add(3)
	made := r.fs
	for seed := range uint64(200) {
		r.fs = made.Crash(seed)
		r.open()
		_, end := r.p.Bounds()
		if got := r.readable(); strings.Contains(got, ".") {
			t.Fatalf("seed %d: %s", seed, got)
		}
		if q := r.p.Stats().Quarantined; q > 0 {
			t.Fatalf("seed %d: %d places quarantined", seed, q)
		}
		r.add(2)
		must(t, r.p.sync(end+2))
		r.fs = r.fs.CrashWith(disktest.CrashOptions{Seed: seed, Data: disktest.Lost, Names: disktest.Lost})
		r.open()
		if _, again := r.p.Bounds(); again != end+2 {
			t.Fatalf("seed %d: %d records after the second power cut, want %d", seed, again, end+2)
		}
	}
}

// TestFreshIsNotLost: a directory that is gone, of a partition that a recovery point vouches for, is damage and no new partition.
func TestFreshIsNotLost(t *testing.T) {
	r := newRig(t, store.Config{})
	r.add(4)
	must(t, r.s.Checkpoint())
	must(t, r.d.RemoveAll(dirName(rigID)))
	r.fs = r.fs.Kill()
	r.open()
	if _, err := r.p.Read(store.ReadRequest{From: 0, Limit: 4, Max: 1 << 20, Whole: true}, nil); !errors.Is(err, penstock.ErrCorrupt) {
		t.Errorf("read of what is gone: %v", err)
	}
	if start, end := r.p.Bounds(); start != 0 || end != 4 {
		t.Errorf("bounds %d to %d", start, end)
	}
}

// TestFreshDiskFull: the first append on a full disk fails, and succeeds when there is room.
func TestFreshDiskFull(t *testing.T) {
	r := newRig(t, store.Config{})
	for _, kind := range []string{"create", "mkdir"} {
		r.fs.Inject(kind + "#3=ENOSPC")
		b := makeBatch(storetest.Spec{Records: 1, Bytes: 10, First: 1})
		if _, err := r.p.Append([]penstock.Batch{b}, 0, 1); !errors.Is(err, penstock.ErrDiskFull) {
			t.Fatalf("%s: %v", kind, err)
		}
		r.fs.Heal()
		if kind == "create" {
			r.add(1)
			r.stop()
			r.fs = disktest.New()
			r.open()
		}
	}
	r.add(2)
	must(t, r.p.sync(2))
}

// TestManyPartitions: one sync of everything, and none of each, when many partitions come up after a kill.
func TestManyPartitions(t *testing.T) {
	const n = 100
	fs := disktest.New()
	open := func() (*Store, *disk.Disk) {
		d := disk.New(fs, disk.Options{})
		s, err := New(d, record.Format{}, Options{Now: testNow})
		must(t, err)
		for i := range n {
			p, err := s.Open(penstock.PartitionID{Topic: penstock.TopicID{1}, Partition: int32(i)}, store.Config{})
			must(t, err)
			_, err = p.Append([]penstock.Batch{makeBatch(storetest.Spec{Records: 1, Bytes: 100, First: 1, Tag: uint64(i)})}, 0, 1)
			must(t, err)
		}
		return s, d
	}
	open()
	fs = fs.Kill()
	fs.StartTrace()
	s, d := open()
	syncs := map[string]int{}
	for _, l := range fs.Trace() {
		if kind, _, _ := strings.Cut(l, " "); strings.HasPrefix(kind, "sync") {
			syncs[kind]++
		}
	}
	if syncs["syncall"] != 1 || syncs["sync"] > 0 || syncs["syncdir"] > 0 {
		t.Errorf("syncs: %v", syncs)
	}
	for _, p := range s.opened() {
		if _, end := p.Bounds(); end != 2 {
			t.Errorf("%v has %d records", p.ID(), end)
		}
	}
	must(t, errors.Join(s.Close(), d.Close()))
}

// TestManyEpochs: at a checkpoint of many partitions their epochs become durable by two syncs of everything, before the checkpoint
// vouches for their batches.
func TestManyEpochs(t *testing.T) {
	const n = 100
	fs := disktest.New()
	id := func(i int) penstock.PartitionID {
		return penstock.PartitionID{Topic: penstock.TopicID{1}, Partition: int32(i)}
	}
	open := func() *Store {
		s, err := New(disk.New(fs, disk.Options{}), record.Format{}, Options{Now: testNow})
		must(t, err)
		for i := range n {
			_, err := s.Open(id(i), store.Config{})
			must(t, err)
		}
		return s
	}
	s := open()
	for epoch := range penstock.Epoch(3) {
		for i, p := range s.opened() {
			_, err := p.Append([]penstock.Batch{makeBatch(storetest.Spec{Records: 1, Bytes: 100, First: 1, Tag: uint64(i)})}, epoch, 1)
			must(t, err)
		}
		fs.StartTrace()
		must(t, s.Checkpoint())
		syncs := 0
		for _, l := range fs.Trace() {
			if strings.HasPrefix(l, "sync") && strings.Contains(l, epochFile) {
				syncs++
			}
		}
		if syncs > 0 {
			t.Errorf("epoch %d: %d syncs of epoch files", epoch, syncs)
		}
		fs = fs.CrashWith(disktest.CrashOptions{Seed: uint64(epoch), Data: disktest.Lost, Names: disktest.Lost})
		s = open()
		for _, p := range s.opened() {
			if es := p.Epochs(); len(es) != int(epoch)+1 || es[epoch].Start != penstock.Offset(epoch) {
				t.Fatalf("%v after a power cut: %v", p.ID(), es)
			}
		}
	}
}
