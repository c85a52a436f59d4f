package index

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path"
	"slices"
	"testing"

	"penstock"
	"penstock/disk"
)

// TestHashOf: the hash is what it was when files were written with it.
func TestHashOf(t *testing.T) {
	topic := penstock.TopicID{1, 2, 3}
	for key, want := range map[string]int32{"": -2090298660, "order-7": 1302009707} {
		if got := HashOf(topic, []byte(key)); got != want {
			t.Errorf("hash of %q is %d, want %d", key, got, want)
		}
	}
	if HashOf(topic, []byte("a")) == HashOf(penstock.TopicID{}, []byte("a")) {
		t.Error("two topics have one hash")
	}
}

// TestUnordered: with times that producers chose, in any order, from before 1970 to far away, nothing that lies in the range is missed.
func TestUnordered(t *testing.T) {
	for _, first := range []penstock.Timestamp{1_700_000_000_000, 0, -1, 1} {
		r := newRig(t)
		r.x.Close()
		r.o.Unordered = true
		r.open(false)
		rnd := rand.New(rand.NewPCG(7, uint64(first)))
		times := []penstock.Timestamp{-1, 0, 1, 999, 1_000_000, 1_700_000_000_000, 1_700_000_000_999, 1_800_000_000_000, 1_700_000_000_000_000}
		r.add("t#0", 0, first)
		for i := range 250 {
			r.add(fmt.Sprintf("t#%d", rnd.IntN(5)), int64(i+1), times[rnd.IntN(len(times))])
		}
		for _, from := range times {
			for _, to := range times {
				for k := range 5 {
					r.must(r.ask(fmt.Sprintf("t#%d", k), from, to))
				}
			}
		}
		r.stop()
	}
}

// TestPositionsGoBack: in a file positions never do, another begins; what was cut is there as well as what came in its place, and a file that is lost is made
// again from the log.
func TestPositionsGoBack(t *testing.T) {
	r := newRig(t)
	for i := range 50 {
		r.add("t#a", int64(i), 1_700_000_000_000)
	}
	r.all = r.all[:20] // the log is cut
	for i := range 30 {
		r.add("t#b", int64(20+i), 1_700_000_000_000)
	}
	infos := r.x.Files()
	if len(infos) != 2 || infos[0].End != 49 || infos[1].Begin != 20 || infos[1].End != 49 {
		t.Fatalf("%+v", infos)
	}
	find := func(key string) (got []int64) {
		t.Helper()
		r.must(r.x.Find(javaHash(key), 0, math.MaxInt64, func(pos int64) bool { got = append(got, pos); return true }))
		return got
	}
	if a, b := find("t#a"), find("t#b"); len(a) != 50 || len(b) != 30 || b[0] != 49 {
		t.Errorf("%v, %v", a, b)
	}
	r.checkpoint()
	names := r.names()
	r.stop()
	r.d = disk.New(r.fs, disk.Options{})
	for _, name := range names {
		r.must(r.d.Remove(path.Join(testDir, name)))
	}
	r.must(r.d.Close())
	r.open(true)
	r.must(r.x.Checkpoint(r.markNow(), nil))
	if a, b := find("t#a"), find("t#b"); len(a) != 20 || len(b) != 30 {
		t.Errorf("made again: %v, %v", a, b)
	}
	r.stop()
}

// TestHas: what was added is there, by hash, position and second, in memory and in files that are full. What lies outside of a file's times is not.
func TestHas(t *testing.T) {
	r := newRig(t)
	for i := range 250 {
		r.add(fmt.Sprintf("t#%d", i%7), int64(i), 1_700_000_000_000+penstock.Timestamp(i)*1000)
	}
	newest := func(at penstock.Timestamp) bool {
		return slices.ContainsFunc(r.x.Files(), func(i Info) bool { return i.Newest == at })
	}
	look := func() {
		t.Helper()
		for _, a := range r.all {
			k := a.asKey()
			for _, c := range []struct {
				k    Key
				want bool
			}{
				{k, true}, {Key{k.Hash, k.Position, k.Time + 1}, !newest(k.Time)}, {Key{k.Hash, k.Position + 1, k.Time}, false}, {Key{k.Hash + 1, k.Position, k.Time}, false},
				{Key{k.Hash, k.Position, k.Time + 60_000}, false},
			} {
				if has, err := r.x.Has(c.k); err != nil || has != c.want {
					t.Fatalf("%+v: %v, %v, want %v", c.k, has, err, c.want)
				}
			}
		}
	}
	look()
	r.checkpoint()
	r.checkpoint()
	look()
	r.x.Close()
	r.open(true)
	look()
	r.stop()
}

// TestReset: an index that begins anew has nothing, and is so after a crash.
func TestReset(t *testing.T) {
	r := newRig(t)
	for i := range 250 {
		r.add("t#a", int64(i), 1_700_000_000_000)
	}
	r.checkpoint()
	r.must(r.x.Reset([]byte("a mark")))
	if _, ok := r.x.Last(); ok || len(r.x.Files()) != 0 || len(r.names()) != 0 {
		t.Errorf("left: %+v, %v", r.x.Files(), r.names())
	}
	r.x.Add([]Key{{1, 7, 1}})
	if last, ok := r.x.Last(); !ok || last != 7 {
		t.Errorf("last %d, %v", last, ok)
	}
	old := r.fs
	r.fs = old.Crash(1)
	old.Halt()
	r.x.Close()
	_ = r.d.Close()
	d := disk.New(r.fs, disk.Options{})
	x, mark, err := Open(d, testDir, r.o, false)
	if err != nil || string(mark) != "a mark" || len(x.Files()) != 0 {
		t.Errorf("%q, %v, %v", mark, err, x.Files())
	}
	x.Close()
	r.must(d.Close())
}

// TestTrimLost: a file that was the last when it was vouched for, and was trimmed, is no damage that anybody hears of after a crash.
func TestTrimLost(t *testing.T) {
	r := newRig(t)
	for i := range 99 {
		r.add("t#a", int64(i), 1_700_000_000_000)
	}
	r.checkpoint()
	r.add("t#a", 100, 1_700_000_000_000)
	old := func(i Info) bool { return i.End < 100 }
	r.must(r.x.Trim(old))
	was := r.fs
	r.fs = was.Crash(3)
	was.Halt()
	r.x.Close()
	_ = r.d.Close()
	r.all = nil // the crash took the last record as well
	r.open(false)
	none := func(int64) bool { t.Error("found"); return true }
	if err := r.x.Find(javaHash("t#a"), 0, math.MaxInt64, none); !errors.Is(err, penstock.ErrCorrupt) {
		t.Errorf("before trimming: %v", err)
	}
	r.must(r.x.Trim(old))
	r.must(r.x.Find(javaHash("t#a"), 0, math.MaxInt64, none))
	if !slices.Equal(r.x.Files(), []Info{}) {
		t.Errorf("left: %+v", r.x.Files())
	}
	r.stop()
}
