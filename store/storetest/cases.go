package storetest

import (
	"errors"
	"testing"
	"time"

	"penstock"
	"penstock/disk"
	"penstock/disk/disktest"
	"penstock/store"
)

type testCase struct {
	name string
	run  func(*testing.T, Factory)
}

func cases() []testCase {
	return []testCase{
		{"Empty", testEmpty}, {"Stamps", testStamps}, {"Refuses", testRefuses}, {"ReadCuts", testReadCuts}, {"RollByTime", testRollByTime},
		{"RetainByAge", testRetainByAge}, {"RetainBySize", testRetainBySize}, {"RetainBelowStart", testRetainBelowStart}, {"DeleteWhileRead", testDeleteWhileRead},
		{"Truncate", testTruncate}, {"Epochs", testEpochs}, {"States", testStates}, {"FindTimes", testFindTimes}, {"Pull", testPull}, {"Locate", testLocate}, {"RemoveAndList", testRemoveAndList},
		{"Closed", testClosed}, {"SyncFails", testSyncFails}, {"Durable", testDurable}, {"Concurrent", testConcurrent},
	}
}

// bench is a partition under test with what it needs.
type bench struct {
	*world
	t *testing.T
}

func newBench(t *testing.T, f Factory, c store.Config) *bench {
	t.Helper()
	b := &bench{newWorld(f, 1), t}
	b.open(c)
	t.Cleanup(func() {
		if b.s != nil {
			_ = b.s.Close() // a test that closes looks at the error itself
		}
		_ = b.d.Close()
	})
	return b
}

func (b *bench) open(c store.Config) {
	b.t.Helper()
	b.must(b.start())
	b.p.Configure(c)
}

func (b *bench) reopen(c store.Config) {
	b.t.Helper()
	b.must(b.stop())
	b.open(c)
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) fails(err, want error) {
	b.t.Helper()
	if !errors.Is(err, want) {
		b.t.Fatalf("error %v, want one that is %v", err, want)
	}
}

// add appends n batches of one record and about size bytes each, one append each, a second apart.
func (b *bench) add(n, size int) {
	b.t.Helper()
	for range n {
		b.now += 1000
		b.tag++
		bs := []penstock.Batch{b.f.Batch(Spec{Records: 1, Bytes: size, First: b.now, Of: theID, Tag: b.tag})}
		got, err := b.p.Append(bs, b.epoch, b.now)
		b.must(err)
		b.w.appended(bs, b.epoch, got.End)
	}
}

func (b *bench) bounds(start, end penstock.Offset) {
	b.t.Helper()
	if s, e := b.p.Bounds(); s != start || e != end {
		b.t.Fatalf("bounds %d to %d, want %d to %d", s, e, start, end)
	}
}

func (b *bench) same() {
	b.t.Helper()
	b.must(b.w.same(b.p, b.r))
}

func testEmpty(t *testing.T, f Factory) {
	b := newBench(t, f, store.Config{})
	b.bounds(0, 0)
	if b.p.ID() != theID {
		t.Errorf("id %v", b.p.ID())
	}
	got, err := readBytes(b.p, store.ReadRequest{From: 0, Limit: 10, Max: 100, Whole: true})
	if err != nil || len(got) > 0 {
		t.Errorf("read of nothing: %d bytes, %v", len(got), err)
	}
	_, err = readBytes(b.p, store.ReadRequest{From: 1, Limit: 10, Max: 100})
	b.fails(err, penstock.ErrOffsetOutOfRange)
	_, err = readBytes(b.p, store.ReadRequest{From: -1, Limit: 10, Max: 100})
	b.fails(err, penstock.ErrOffsetOutOfRange)
	b.must(b.w.find(b.p, 0))
	b.must(b.w.find(b.p, store.FindMax))
	b.same()
	if again, err := b.s.Open(theID, store.Config{}); err != nil || again != b.p {
		t.Errorf("opened twice: another partition, %v", err)
	}
	if b.s.Clean() {
		t.Error("a new store says that it was stopped cleanly")
	}
	b.reopen(store.Config{})
	if !b.s.Clean() {
		t.Error("a clean stop is not known as one")
	}
	b.same()
}

func testStamps(t *testing.T, f Factory) {
	b := newBench(t, f, store.Config{AppendTime: true})
	b.add(2, 10)
	bs := []penstock.Batch{f.Batch(Spec{Records: 3, Bytes: 10, First: 5, Of: theID, Tag: 1}), f.Batch(Spec{Records: 2, Bytes: 10, First: 6, Of: theID, Tag: 2})}
	got, err := b.p.Append(bs, 9, 777_000_000_000)
	b.must(err)
	b.w.appended(bs, 9, got.End)
	second := 2 + penstock.Offset(bs[0].Header.Records)
	want := store.Appended{First: 2, Next: second + penstock.Offset(bs[1].Header.Records), End: b.p.Log().Written(), Time: 777_000_000_000, Bytes: int64(len(bs[0].Bytes) + len(bs[1].Bytes))}
	if got != want {
		t.Errorf("appended %+v, want %+v", got, want)
	}
	for i, base := range []penstock.Offset{2, second} {
		h := bs[i].Header
		if h.BaseOffset != base || h.Epoch != f.epoch(9) || h.MaxTimestamp != 777_000_000_000 || !h.Is(penstock.FlagLogAppendTime) {
			t.Errorf("batch %d: header %+v", i, h)
		}
		if stored, err := f.Format.Header(bs[i].Bytes); err != nil || stored != h {
			t.Errorf("batch %d: bytes say %+v, header %+v, %v", i, stored, h, err)
		}
		b.must(f.Format.Verify(bs[i].Bytes))
	}
	b.same()
	b.p.Configure(store.Config{})
	bs = bs[:1]
	bs[0] = f.Batch(Spec{Records: 1, Bytes: 10, First: 55, Of: theID, Tag: 3})
	if got, err := b.p.Append(bs, 9, 1); err != nil || got.Time != penstock.NoTimestamp || bs[0].Header.MaxTimestamp != 55 {
		t.Errorf("without AppendTime: %+v %+v %v", got, bs[0].Header, err)
	}
}

func testRefuses(t *testing.T, f Factory) {
	b := newBench(t, f, store.Config{MaxBatchBytes: 500})
	b.add(1, 10)
	_, err := b.p.Append([]penstock.Batch{f.Batch(Spec{Records: 1, Bytes: 10, Of: theID, Tag: 1}), f.Batch(Spec{Records: 1, Bytes: 600, Of: theID, Tag: 2})}, 0, 0)
	b.fails(err, penstock.ErrTooLarge)
	short := f.Batch(Spec{Records: 1, Bytes: 10, Of: theID, Tag: 1})
	short.Bytes = short.Bytes[:len(short.Bytes)-1]
	_, err = b.p.Append([]penstock.Batch{short}, 0, 0)
	b.fails(err, penstock.ErrCorrupt)
	b.bounds(0, 1)
	b.fails(b.p.SetStart(2), penstock.ErrOffsetOutOfRange)
	b.fails(b.p.Truncate(-1), penstock.ErrOffsetOutOfRange)
	b.fails(b.p.SaveState(2, nil), penstock.ErrOffsetOutOfRange)
	b.same()
}

func testReadCuts(t *testing.T, f Factory) {
	b := newBench(t, f, store.Config{SegmentBytes: 5000, IndexInterval: 600})
	b.add(40, 400)
	one := int64(len(b.w.batches[0].bytes))
	for _, c := range []struct {
		name string
		q    store.ReadRequest
		most int64 // bytes
		next penstock.Offset
	}{
		{"all", store.ReadRequest{From: 0, Limit: 40, Max: 1 << 20}, 40 * one, 40},
		{"limit", store.ReadRequest{From: 3, Limit: 7, Max: 1 << 20}, 4 * one, 7},
		{"limit over segments", store.ReadRequest{From: 3, Limit: 31, Max: 1 << 20}, 28 * one, 31},
		{"limit behind the end", store.ReadRequest{From: 39, Limit: 99, Max: 1 << 20}, one, 40},
		{"at the end", store.ReadRequest{From: 40, Limit: 40, Max: 1 << 20, Whole: true}, 0, 40},
		{"from at the limit", store.ReadRequest{From: 5, Limit: 5, Max: 1 << 20, Whole: true}, 0, 5},
		{"first batch whole", store.ReadRequest{From: 2, Limit: 40, Max: 1, Whole: true}, one, 3},
		{"first batch whole, nothing allowed", store.ReadRequest{From: 2, Limit: 40, Max: 0, Whole: true}, one, 3},
		{"nothing allowed", store.ReadRequest{From: 2, Limit: 40, Max: 0}, 0, 2},
		{"too little", store.ReadRequest{From: 2, Limit: 40, Max: one - 1}, one - 1, 2},
	} {
		got, err := readBytes(b.p, c.q)
		if err != nil || int64(len(got)) > c.most {
			t.Errorf("%s: %d bytes, at most %d, %v", c.name, len(got), c.most, err)
		}
		if next, err := b.w.read(b.p, c.q); err != nil || next != c.next {
			t.Errorf("%s: up to %d, want %d, %v", c.name, next, c.next, err)
		}
	}
	b.same()
}

func testRollByTime(t *testing.T, f Factory) {
	b := newBench(t, f, store.Config{SegmentAge: time.Minute})
	b.add(1, 10)
	b.now += 59_000
	b.add(1, 10)
	if n := b.p.Stats().Segments; n != 1 {
		t.Fatalf("%d segments after a minute, want 1", n)
	}
	b.add(1, 10)
	want := 2
	if f.FileBytes != nil {
		want = 1 // no partition says when files of a shared log end
	}
	if n := b.p.Stats().Segments; n != want {
		t.Fatalf("%d segments after more than a minute, want %d", n, want)
	}
	b.same()
}

// retained makes a log of several segments of two records each.
func retained(t *testing.T, f Factory) *bench {
	size := int64(len(f.Batch(Spec{Records: 1, Bytes: 100, First: 1, Of: theID, Tag: 1}).Bytes))
	if f.FileBytes != nil {
		f = f.FileBytes(size)
	}
	b := newBench(t, f, store.Config{})
	b.p.Configure(store.Config{SegmentBytes: 2 * size, RetentionAge: -1, FileDeleteDelay: -1})
	b.add(11, 100)
	if n := b.p.Stats().Segments; n != 6 {
		t.Fatalf("%d segments, want 6", n)
	}
	return b
}

func testRetainByAge(t *testing.T, f Factory) {
	b := retained(t, f)
	at := func(n int) time.Time { return time.UnixMilli(int64(b.w.batches[n].header.MaxTimestamp)) }
	b.p.Configure(store.Config{RetentionAge: time.Hour, FileDeleteDelay: -1})
	freed, err := b.p.Retain(at(3).Add(time.Hour), 100)
	b.must(err)
	b.bounds(2, 11) // the second segment's newest record is exactly an hour old
	if freed <= 0 {
		t.Errorf("%d bytes given back", freed)
	}
	_, err = b.p.Retain(at(10).Add(2*time.Hour), 5)
	b.must(err)
	b.bounds(4, 11) // none at or above the limit
	b.w.start = 4
	b.same()
	_, err = b.p.Retain(at(10).Add(2*time.Hour), 11)
	b.must(err)
	b.bounds(11, 11) // the active one too
	b.w.start = 11
	b.reopen(store.Config{})
	b.same()
	b.add(1, 10)
	b.same()
}

func testRetainBySize(t *testing.T, f Factory) {
	b := retained(t, f)
	total := b.p.Stats().Bytes
	one := total / 11
	for _, c := range []struct {
		keep  int64
		start penstock.Offset
	}{{total, 0}, {total - 2*one + 1, 0}, {total - 2*one, 2}, {one * 4, 6}, {1, 10}} {
		b.p.Configure(store.Config{RetentionAge: -1, RetentionBytes: c.keep, FileDeleteDelay: -1})
		_, err := b.p.Retain(time.UnixMilli(int64(b.now)), 100)
		b.must(err)
		b.bounds(c.start, 11)
	}
	b.w.start = 10
	b.reopen(store.Config{})
	b.same()
}

func testRetainBelowStart(t *testing.T, f Factory) {
	b := retained(t, f)
	b.must(b.p.SetStart(5))
	b.must(b.p.SetStart(3)) // never back
	b.bounds(5, 11)
	_, err := readBytes(b.p, store.ReadRequest{From: 4, Limit: 11, Max: 1000})
	b.fails(err, penstock.ErrOffsetOutOfRange)
	before := b.p.Stats().Bytes
	freed, err := b.p.Retain(time.UnixMilli(int64(b.now)), 100)
	b.must(err)
	if freed != before*4/11 || b.p.Stats().Bytes != before-freed {
		t.Errorf("%d of %d bytes given back, %d left", freed, before, b.p.Stats().Bytes)
	}
	b.bounds(5, 11)
	b.w.start = 5
	b.same()
	// The start is durable: nothing else was committed.
	b.w.acked = 0
	b.crash(1)
	b.open(store.Config{})
	if start, _ := b.p.Bounds(); start != 5 {
		t.Errorf("start %d after a crash, want 5", start)
	}
}

func testDeleteWhileRead(t *testing.T, f Factory) {
	b := retained(t, f)
	es, err := b.p.Read(store.ReadRequest{From: 0, Limit: 11, Max: 1 << 20}, nil)
	b.must(err)
	b.must(b.p.SetStart(11))
	b.p.Configure(store.Config{RetentionAge: time.Millisecond, FileDeleteDelay: -1})
	_, err = b.p.Retain(time.UnixMilli(int64(b.now)+100_000), 11)
	b.must(err)
	b.bounds(11, 11)
	var got []byte
	for _, e := range es {
		piece := make([]byte, e.Len)
		n, err := e.File.ReadAt(piece, e.Off)
		if n != len(piece) {
			t.Fatalf("read a deleted segment: %d of %d bytes, %v", n, len(piece), err)
		}
		got = append(got, piece...)
	}
	var want []byte
	for _, k := range b.w.batches {
		want = append(want, k.bytes...)
	}
	if string(got) != string(want) {
		t.Error("a deleted segment reads differently")
	}
	penstock.ReleaseAll(es)
	b.must(b.stop())
}

func testTruncate(t *testing.T, f Factory) {
	b := retained(t, f)
	b.must(b.commit())
	b.must(b.p.SaveState(4, []byte("four")))
	b.must(b.p.SaveState(9, []byte("nine")))
	b.must(b.p.Truncate(11))
	b.bounds(0, 11)
	b.must(b.p.Truncate(7))
	b.bounds(0, 7)
	b.w.cut(7)
	if at, state := b.p.LoadState(); at != 4 || string(state) != "four" {
		t.Errorf("state %q at %d after the cut, want four", state, at)
	}
	// It is durable, and what comes after it does not bring anything back.
	b.w.acked = 7
	b.crash(3)
	b.open(store.Config{})
	b.must(b.w.recovered(b.p))
	b.bounds(0, 7)
	b.add(3, 60)
	b.w.states = map[penstock.Offset][]byte{4: []byte("four")}
	b.same()
	b.must(b.p.Truncate(0))
	b.w.cut(0)
	b.w.states = nil
	b.bounds(0, 0)
	b.w.states = map[penstock.Offset][]byte{}
	b.add(1, 10)
	b.same()
}

func testEpochs(t *testing.T, f Factory) {
	b := newBench(t, f, store.Config{})
	want := func(es ...store.EpochStart) {
		t.Helper()
		got := b.p.Epochs()
		if len(got) != len(es) {
			t.Fatalf("epochs %v, want %v", got, es)
		}
		for i := range es {
			if got[i] != es[i] {
				t.Fatalf("epochs %v, want %v", got, es)
			}
		}
	}
	want()
	b.must(b.p.SetEpoch(3))
	want(store.EpochStart{Epoch: 3, Start: 0})
	b.epoch = 3
	b.add(2, 10)
	b.must(b.p.SetEpoch(3))
	b.must(b.p.SetEpoch(5))
	b.must(b.p.SetEpoch(6)) // nothing was written in 5
	b.epoch = 6
	b.add(2, 10)
	want(store.EpochStart{Epoch: 3, Start: 0}, store.EpochStart{Epoch: 6, Start: 2})
	b.reopen(store.Config{})
	want(store.EpochStart{Epoch: 3, Start: 0}, store.EpochStart{Epoch: 6, Start: 2})
	b.must(b.p.Truncate(1))
	want(store.EpochStart{Epoch: 3, Start: 0})
	// An append of a new epoch is a leader's too, as on a follower.
	b.w.cut(1)
	b.epoch = 8
	b.add(1, 10)
	want(store.EpochStart{Epoch: 3, Start: 0}, store.EpochStart{Epoch: 8, Start: 1})
	b.crash(9)
	b.w.acked = 1
	b.open(store.Config{})
	b.must(b.w.recovered(b.p))
	b.same()
}

func testStates(t *testing.T, f Factory) {
	b := newBench(t, f, store.Config{})
	b.add(10, 10)
	for _, at := range []penstock.Offset{1, 2, 8, 5, 10} {
		b.must(b.p.SaveState(at, []byte{byte(at)}))
	}
	want := func(at penstock.Offset) {
		t.Helper()
		if got, state := b.p.LoadState(); got != at || at >= 0 && (len(state) != 1 || state[0] != byte(at)) {
			t.Fatalf("state %v at %d, want the one at %d", state, got, at)
		}
	}
	want(10)
	b.must(b.p.SaveState(10, []byte{10}))
	b.reopen(store.Config{})
	want(10)
	b.must(b.p.Truncate(9))
	want(8)
	b.must(b.p.Truncate(0))
	want(penstock.NoOffset)
}

func testFindTimes(t *testing.T, f Factory) {
	b := newBench(t, f, store.Config{SegmentBytes: 900, IndexInterval: 150, SegmentAge: 1000 * time.Hour})
	// Times go up and down, as producers' clocks do.
	for i, at := range []penstock.Timestamp{100, 300, 200, 400, 400, 150, 500, 450, 600, 100, 599, 601, 300} {
		bs := []penstock.Batch{f.Batch(Spec{Records: 3, Bytes: 100, First: at * 1000, Of: theID, Tag: uint64(i)})}
		got, err := b.p.Append(bs, 0, 0)
		b.must(err)
		b.w.appended(bs, 0, got.End)
	}
	ask := func() {
		t.Helper()
		for at := penstock.Timestamp(0); at < 620; at += 10 {
			for d := penstock.Timestamp(-1); d <= 3; d++ {
				b.must(b.w.find(b.p, at*1000+d))
			}
		}
		b.must(b.w.find(b.p, store.FindMax))
	}
	ask()
	for _, start := range []penstock.Offset{b.w.end / 9, b.w.end / 2, b.w.end - 2} {
		b.must(b.p.SetStart(start))
		b.w.start = start
		b.must(b.w.find(b.p, 700_000))
	}
	b.must(b.w.find(b.p, store.FindMax))
	b.reopen(store.Config{})
	b.same()
}

func testRemoveAndList(t *testing.T, f Factory) {
	b := newBench(t, f, store.Config{})
	b.add(1, 10)
	other := penstock.PartitionID{Topic: penstock.TopicID{9}, Partition: 0}
	q, err := b.s.Open(other, store.Config{})
	b.must(err)
	list := func(want int) {
		t.Helper()
		ids, err := b.s.List()
		b.must(err)
		if len(ids) != want {
			t.Fatalf("list %v, want %d", ids, want)
		}
	}
	bs := []penstock.Batch{f.Batch(Spec{Records: 1, Bytes: 10, Of: other, Tag: 5})}
	_, err = q.Append(bs, 0, 0)
	b.must(err)
	list(2) // before, it may have had no file
	es, err := q.Read(store.ReadRequest{From: 0, Limit: 1, Max: 1 << 20}, nil)
	b.must(err)
	b.must(b.s.Remove(other))
	list(1)
	got := make([]byte, len(bs[0].Bytes))
	if n, err := es[0].File.ReadAt(got, es[0].Off); n != len(got) || string(got) != string(bs[0].Bytes) {
		t.Errorf("read of a removed partition: %d bytes, %v", n, err)
	}
	penstock.ReleaseAll(es)
	_, err = q.Append(bs, 0, 0)
	b.fails(err, penstock.ErrClosed)
	_, err = q.Read(store.ReadRequest{From: 0, Limit: 1, Max: 1}, nil)
	b.fails(err, penstock.ErrClosed)
	again, err := b.s.Open(other, store.Config{})
	b.must(err)
	if _, end := again.Bounds(); end != 0 {
		t.Errorf("a removed partition came back with %d records", end)
	}
	b.must(b.s.Remove(other))
	b.must(b.s.Remove(other))
	b.same()
	b.must(b.stop())
}

func testClosed(t *testing.T, f Factory) {
	b := newBench(t, f, store.Config{})
	b.add(3, 10)
	p, s := b.p, b.s
	b.must(b.stop())
	bs := []penstock.Batch{f.Batch(Spec{Records: 1, Bytes: 10, Of: theID, Tag: 1})}
	_, err := p.Append(bs, 0, 0)
	b.fails(err, penstock.ErrClosed)
	_, err = p.Read(store.ReadRequest{From: 0, Limit: 3, Max: 10}, nil)
	b.fails(err, penstock.ErrClosed)
	_, err = s.Open(theID, store.Config{})
	b.fails(err, penstock.ErrClosed)
	b.must(s.Close())
}

func testSyncFails(t *testing.T, f Factory) {
	b := newBench(t, f, store.Config{})
	b.add(3, 10)
	heard := make(chan error, 10)
	b.p.Log().Notify(func(_ store.Mark, err error) { heard <- err })
	b.fs.Inject("sync#1=EIO")
	b.p.Log().Commit()
	b.fails(<-heard, penstock.ErrOffline)
	if b.p.Log().Synced() != 0 {
		t.Errorf("synced %d after a failed sync", b.p.Log().Synced())
	}
	_, err := b.p.Append([]penstock.Batch{f.Batch(Spec{Records: 1, Bytes: 10, Of: theID, Tag: 1})}, 0, 0)
	b.fails(err, penstock.ErrOffline)
	b.fs.Heal()
	b.p.Log().Commit()
	b.fails(<-heard, penstock.ErrOffline)
	b.same() // reading goes on
}

func testDurable(t *testing.T, f Factory) {
	b := newBench(t, f, smallConfig())
	marks := make(chan store.Mark, 100)
	b.p.Log().Notify(func(m store.Mark, err error) {
		if err != nil {
			t.Error(err)
		}
		marks <- m
	})
	last := store.Mark(0)
	for range 30 {
		b.add(2, 200)
		want := b.p.Log().Written()
		b.p.Log().Commit()
		for last < want {
			m := <-marks
			if m < last || m > b.p.Log().Written() {
				t.Fatalf("mark %d after %d, written %d", m, last, b.p.Log().Written())
			}
			last = m
		}
	}
	b.w.acked = b.w.end
	b.fs = b.fs.CrashWith(disktest.CrashOptions{Data: disktest.Lost, Names: disktest.Lost})
	_ = b.s.Close()
	_ = b.d.Close()
	b.open(smallConfig())
	b.must(b.w.recovered(b.p))
	b.same()
}

func testConcurrent(t *testing.T, f Factory) {
	fs := disktest.New()
	d := disk.New(fs, disk.Options{})
	s, err := f.Open(d)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Open(theID, smallConfig())
	if err != nil {
		t.Fatal(err)
	}
	const batches = 2000
	readers := make(chan error)
	for range 2 {
		go func() { readers <- follow(f, p, batches) }()
	}
	now := penstock.Timestamp(1_700_000_000_000)
	for i := range batches {
		now += 10
		bs := []penstock.Batch{f.Batch(Spec{Records: 1, Bytes: 50 + i%100, First: now, Of: theID, Tag: uint64(i)})}
		if _, err := p.Append(bs, 0, now); err != nil {
			t.Fatal(err)
		}
		switch {
		case i%100 == 50:
			if _, err := p.Retain(time.UnixMilli(int64(now)), penstock.Offset(i/2)); err != nil {
				t.Fatal(err)
			}
		case i%300 == 20:
			if err := s.Checkpoint(); err != nil {
				t.Fatal(err)
			}
		case i%10 == 0:
			p.Log().Commit()
		}
	}
	for range 2 {
		if err := <-readers; err != nil {
			t.Error(err)
		}
	}
	if err := errors.Join(s.Close(), d.Close()); err != nil {
		t.Error(err)
	}
	if v := fs.Violations(); len(v) > 0 || fs.OpenFiles() != 0 {
		t.Errorf("misuse of the disk: %q, %d files open", v, fs.OpenFiles())
	}
}

// follow reads a log to its end while it is written, and checks every whole batch.
func follow(f Factory, p store.Partition, end penstock.Offset) error {
	for next := penstock.Offset(0); next < end; {
		b, err := readBytes(p, store.ReadRequest{From: next, Limit: end, Max: 1000, Whole: true})
		if errors.Is(err, penstock.ErrOffsetOutOfRange) {
			start, _ := p.Bounds()
			next = max(next, start)
			continue
		}
		if err != nil {
			return err
		}
		for len(b) >= f.Format.HeaderSize() {
			h, err := f.Format.Header(b)
			if err != nil {
				return err
			}
			if int(h.Size) > len(b) {
				break
			}
			if err := f.Format.Verify(b[:h.Size]); err != nil {
				return err
			}
			if h.LastOffset() < next {
				return errors.New("a batch before the one asked for")
			}
			next, b = h.NextOffset(), b[h.Size:]
		}
	}
	return nil
}
