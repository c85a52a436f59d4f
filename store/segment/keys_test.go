package segment

import (
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"sync"
	"testing"
	"time"

	"penstock"
	"penstock/disk"
	"penstock/message"
	"penstock/record"
	"penstock/store"
	idx "penstock/store/index"
	"penstock/store/storetest"
)

// keyBatch makes a batch whose records have the keys, a second apart.
func keyBatch(t testing.TB, at penstock.Timestamp, keys ...string) penstock.Batch {
	t.Helper()
	var w record.Builder
	w.Begin(nil)
	for i, key := range keys {
		if err := w.Add(&record.Entry{Offset: penstock.Offset(i), Timestamp: at + penstock.Timestamp(i)*1000, Key: []byte(key), Value: []byte("value")}); err != nil {
			t.Fatal(err)
		}
	}
	b := w.End()
	h, err := record.Format{}.Header(b)
	if err != nil {
		t.Fatal(err)
	}
	return penstock.Batch{Header: h, Bytes: b}
}

// put appends one batch to a partition of the rig's store.
func (r *rig) put(p *Partition, at penstock.Timestamp, keys ...string) {
	r.t.Helper()
	_, err := p.Append([]penstock.Batch{keyBatch(r.t, at, keys...)}, 0, 5_000_000)
	must(r.t, err)
}

// found is what a key gives, as "partition/offset".
func (r *rig) found(key string, from, to penstock.Timestamp, limit int) (out []string) {
	r.t.Helper()
	must(r.t, r.s.FindKey(rigID.Topic, key, from, to, limit, func(id penstock.PartitionID, off penstock.Offset) bool {
		out = append(out, fmt.Sprintf("%d/%d", id.Partition, off))
		return true
	}))
	return out
}

func (r *rig) all(key string) []string { return r.found(key, 0, math.MaxInt64, 100) }

func (r *rig) wantFound(when, key string, want ...string) {
	r.t.Helper()
	if got := r.all(key); !slices.Equal(got, want) {
		r.t.Errorf("%s: key %q at %v, want %v", when, key, got, want)
	}
}

// TestFindKey: partitions, times, limits, several records of a batch; what is below the start, cut or removed is not found.
func TestFindKey(t *testing.T) {
	c := store.Config{RetentionAge: -1, IndexKeys: true}
	r := newRig(t, c)
	other, err := r.s.Open(penstock.PartitionID{Topic: rigID.Topic, Partition: 2}, c)
	must(t, err)
	stranger, err := r.s.Open(penstock.PartitionID{Topic: penstock.TopicID{9}, Partition: 1}, c)
	must(t, err)
	p2 := bare(other)
	r.put(r.p, 10_000, "a", "b", "a")
	r.put(p2, 20_000, "a")
	r.put(bare(stranger), 25_000, "a")
	r.put(r.p, 5_000, "two words")
	r.put(r.p, 30_000, "a", "a")
	r.wantFound("all", "a", "1/5", "1/4", "2/0", "1/2", "1/0")
	r.wantFound("a word", "words", "1/3")
	r.wantFound("a whole key", "two words", "1/3")
	r.wantFound("nobody's", "c")
	r.wantFound("empty", "")
	for _, x := range []struct {
		from, to penstock.Timestamp
		limit    int
		want     []string
	}{
		{0, math.MaxInt64, 2, []string{"1/5", "1/4"}},
		{0, math.MaxInt64, 3, []string{"1/5", "1/4", "2/0"}},
		{0, math.MaxInt64, 0, nil},
		{10_001, 30_000, 9, []string{"1/4", "2/0", "1/2"}},
		{12_000, 12_000, 9, []string{"1/2"}},
		{12_001, 19_999, 9, nil},
	} {
		if got := r.found("a", x.from, x.to, x.limit); !slices.Equal(got, x.want) {
			t.Errorf("%+v: %v", x, got)
		}
	}
	n := 0
	must(t, r.s.FindKey(rigID.Topic, "a", 0, math.MaxInt64, 9, func(penstock.PartitionID, penstock.Offset) bool { n++; return false }))
	if n != 1 {
		t.Errorf("%d visited after enough was said", n)
	}
	must(t, r.p.SetStart(1))
	r.wantFound("in the middle of a batch", "a", "1/5", "1/4", "2/0", "1/2")
	must(t, r.p.Truncate(4))
	r.wantFound("after a truncation", "a", "2/0", "1/2")
	r.put(r.p, 40_000, "b")
	r.wantFound("with another at the place", "a", "2/0", "1/2")
	r.wantFound("the other", "b", "1/4", "1/1")
	must(t, r.s.Remove(p2.ID()))
	r.wantFound("after a removal", "a", "1/2")
}

// TestKeysSwitched: what is appended while keys are indexed is found, over stops and kills; switched off the index is gone.
func TestKeysSwitched(t *testing.T) {
	r := newRig(t, store.Config{RetentionAge: -1})
	none := func(when string) {
		t.Helper()
		err := r.s.FindKey(rigID.Topic, "a", 0, math.MaxInt64, 9, nil)
		es, dirErr := r.d.ReadDir(path.Join(r.dir(), keysDir))
		if !errors.Is(err, penstock.ErrUnsupported) || len(es) > 0 || dirErr != nil {
			t.Errorf("%s: %v, files %v %v", when, err, es, dirErr)
		}
	}
	kill := func() {
		old := r.fs
		r.fs = old.Kill()
		old.Halt()
		_, _ = r.s.Close(), r.d.Close()
		r.open()
	}
	r.put(r.p, 1000, "a")
	none("at first")
	r.c.IndexKeys = true
	r.p.Configure(r.c)
	r.wantFound("before anything is appended", "a")
	r.put(r.p, 1000, "a")
	r.wantFound("from then on", "a", "1/1")
	kill()
	r.wantFound("after a kill", "a", "1/1")
	r.stop()
	r.open()
	r.put(r.p, 1000, "a")
	r.wantFound("after a stop", "a", "1/2", "1/1")
	r.c.IndexKeys = false
	r.p.Configure(r.c)
	r.put(r.p, 1000, "a")
	none("switched off")
	kill()
	none("after a kill")
	r.c.IndexKeys = true
	r.p.Configure(r.c)
	r.put(r.p, 1000, "a")
	r.wantFound("switched on again", "a", "1/4")
	r.c.IndexKeys = false
	r.stop()
	r.open()
	none("switched off while it was stopped")
	r.stop()
	r.c.IndexKeys = true
	r.open()
	r.wantFound("switched on while it was stopped", "a")
	r.put(r.p, 1000, "a")
	kill()
	r.wantFound("and after a kill", "a", "1/5")
}

// TestKeysDamaged: a damaged index is told, and made again from the log by a checkpoint; one without "vouched" by the next start.
func TestKeysDamaged(t *testing.T) {
	r := newRig(t, store.Config{RetentionAge: -1, IndexKeys: true, SegmentBytes: 2000})
	var want []string
	for i := range 60 {
		r.put(r.p, penstock.Timestamp(1000*i), fmt.Sprint("k", i%3), "all")
		want = append(want, fmt.Sprintf("1/%d", 2*i+1))
	}
	slices.Reverse(want)
	dir := path.Join(r.dir(), keysDir)
	es, err := r.d.ReadDir(dir)
	must(t, err)
	r.stop()
	for _, e := range es {
		d := disk.New(r.fs, disk.Options{})
		must(t, d.Remove(path.Join(dir, e.Name)))
		must(t, d.Close())
		r.open()
		lost := r.s.FindKey(rigID.Topic, "all", 0, math.MaxInt64, 100, func(penstock.PartitionID, penstock.Offset) bool { return true })
		if e.Name != "vouched" && !errors.Is(lost, penstock.ErrCorrupt) {
			t.Errorf("%s lost: %v", e.Name, lost)
		}
		r.put(r.p, 0, "more")
		must(t, r.s.Checkpoint())
		r.wantFound(e.Name+" was lost", "all", want...)
		r.stop()
	}
	d := disk.New(r.fs, disk.Options{})
	must(t, d.Remove(path.Join(dir, "vouched")))
	must(t, d.Close())
	r.open()
	r.wantFound("vouched was lost", "all", want...)
}

// TestKeysRefused: a batch whose keys cannot be read is refused where they are asked for, and taken where they are not.
func TestKeysRefused(t *testing.T) {
	r := newRig(t, store.Config{IndexKeys: true})
	torn := func() penstock.Batch {
		b := keyBatch(t, 0, "a", "b")
		b.Bytes = packed(append(b.Bytes[:61:61], 1, 2, 3))
		h, err := record.Format{}.Header(b.Bytes)
		must(t, err)
		b.Header = h
		return b
	}
	var w record.Builder // one key more than an append may have
	w.Begin(nil)
	for i := range idx.MaxAdd + 1 {
		must(t, w.Add(&record.Entry{Offset: penstock.Offset(i), Key: []byte{'k', byte(i), byte(i >> 8), byte(i >> 16)}}))
	}
	many := packed(w.End())
	h, err := record.Format{}.Header(many)
	must(t, err)
	r.p.Configure(store.Config{IndexKeys: true, MaxBatchBytes: 64 << 20})
	if _, err := r.p.Append([]penstock.Batch{{Header: h, Bytes: many}}, 0, 0); !errors.Is(err, penstock.ErrTooLarge) {
		t.Errorf("too many keys: %v", err)
	}
	_, err = r.p.Append([]penstock.Batch{torn()}, 0, 0)
	if _, end := r.p.Bounds(); !errors.Is(err, penstock.ErrInvalidRecord) || errors.Is(err, penstock.ErrCorrupt) || end != 0 {
		t.Errorf("%v, end %d", err, end)
	}
	r.p.Configure(store.Config{})
	_, err = r.p.Append([]penstock.Batch{torn()}, 0, 0)
	must(t, err)
}

// TestKeysOfAppendTime: where the broker's clock is stamped, it is the time that is asked for.
func TestKeysOfAppendTime(t *testing.T) {
	r := newRig(t, store.Config{IndexKeys: true, AppendTime: true})
	r.put(r.p, 1000, "a")
	if got := r.found("a", 5_000_000, 5_000_000, 1); len(got) != 1 {
		t.Errorf("%v", got)
	}
	if got := r.found("a", 0, 4_999_999, 1); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

// TestKeysTrimmed: files of the index go with the segments that they point into.
func TestKeysTrimmed(t *testing.T) {
	r := newRig(t, store.Config{IndexKeys: true, SegmentBytes: 2000, FileDeleteDelay: -1})
	r.s.o.KeySlots, r.s.o.KeyEntries = 16, 50
	for i := range 200 {
		r.put(r.p, penstock.Timestamp(i), "a")
	}
	files := len(r.p.keys.Load().x.Files())
	must(t, r.p.SetStart(150))
	_, err := r.p.Retain(time.UnixMilli(0), 150)
	must(t, err)
	if left := r.p.keys.Load().x.Files(); files != 5 || len(left) > 3 || left[0].End < int64(r.p.segs[0].base) {
		t.Errorf("%d files, then %+v, the log begins at %d", files, left, r.p.segs[0].base)
	}
	if got := r.all("a"); len(got) != 50 {
		t.Errorf("%d found, want 50", len(got))
	}
}

// TestKeysOfMessages: messages in this layout are found by key as well, by their unique ids and tags.
func TestKeysOfMessages(t *testing.T) {
	r := &rig{t: t, fs: newRig(t, store.Config{}).fs, c: store.Config{IndexKeys: true}, f: message.Format{}}
	r.open()
	for i := range 10 {
		_, err := r.p.Append([]penstock.Batch{makeMessage(storetest.Spec{Records: 1, First: 1000, Of: rigID, Tag: uint64(i)})}, 0, 0)
		must(t, err)
	}
	r.wantFound("by tag", "T#tag-3", "1/8", "1/3")
	r.stop()
	r.open()
	r.wantFound("after a stop", "T#tag-3", "1/8", "1/3")
	r.stop()
}

// TestKeysAllocations: the keys of plain batches are indexed with a few allocations an append, and cost none where nobody asks.
func TestKeysAllocations(t *testing.T) {
	b := []penstock.Batch{keyBatch(t, 0, "a", "b", "c", "d")}
	count := func(c store.Config) float64 {
		r := newRig(t, c)
		appends := func() {
			if _, err := r.p.Append(b, 0, 0); err != nil {
				t.Fatal(err)
			}
		}
		for range 100 {
			appends()
		}
		return testing.AllocsPerRun(1000, appends)
	}
	with, without := count(store.Config{IndexKeys: true}), count(store.Config{})
	if with > without+6 && !raceEnabled { // of these most are the disk's in memory
		t.Errorf("%v allocations an append, %v without keys", with, without)
	}
}

// TestKeysTogether: look-ups, checkpoints, retention and switching go on beside appends; what is found has the key.
func TestKeysTogether(t *testing.T) {
	r := newRig(t, store.Config{IndexKeys: true, SegmentBytes: 4000, RetentionBytes: 20_000, RetentionAge: -1, FileDeleteDelay: -1})
	r.s.o.KeySlots, r.s.o.KeyEntries = 16, 50
	var wg sync.WaitGroup
	done := make(chan struct{})
	beside := func(do func() error) {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := do(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	beside(func() error {
		return r.s.FindKey(rigID.Topic, "k1", 0, math.MaxInt64, 20, func(_ penstock.PartitionID, off penstock.Offset) bool {
			if off%3 != 1 {
				t.Errorf("k1 at %d", off)
			}
			return true
		})
	})
	beside(r.s.Checkpoint)
	for i := range 1500 {
		r.put(r.p, 1000, fmt.Sprint("k", i%3))
		if i%50 == 0 {
			_, err := r.p.Retain(testNow(), penstock.Offset(i))
			must(t, err)
		}
		if i%400 == 399 {
			if err := r.p.Truncate(penstock.Offset(i + 1 - 3)); err != nil {
				t.Fatal(err)
			}
			for k := range 3 {
				r.put(r.p, 1000, fmt.Sprint("k", (i+1-3+k)%3))
			}
		}
	}
	close(done)
	wg.Wait()
	start, end := r.p.Bounds()
	n := 0
	for off := start; off < end; off++ {
		if off%3 == 1 {
			n++
		}
	}
	if got := r.found("k1", 0, math.MaxInt64, math.MaxInt); len(got) != n {
		t.Errorf("%d found, want %d: %v", len(got), n, got)
	}
}
