package index

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"path"
	"slices"
	"testing"
	"time"

	"penstock"
	"penstock/disk"
	"penstock/disk/disktest"
)

// mapped is RocketMQ's IndexFile, line by line: a buffer with a header, slots and entries.
type mapped struct {
	b              []byte
	slots, entries int32
}

func newMapped(slots, entries int) *mapped {
	m := &mapped{make([]byte, headSize+slots*slotSize+entries*entrySize), int32(slots), int32(entries)}
	be.PutUint32(m.b[36:], 1)
	return m
}

func (m *mapped) putKey(key string, pos int64, storeTime int64) bool {
	count := int32(be.Uint32(m.b[36:]))
	if count >= m.entries {
		return false
	}
	hash := javaHash(key)
	if hash < 0 {
		hash = -hash
	}
	if hash < 0 {
		hash = 0
	}
	slot := headSize + hash%m.slots*slotSize
	value := int32(be.Uint32(m.b[slot:]))
	if value <= 0 || value > count {
		value = 0
	}
	begin := int64(be.Uint64(m.b))
	diff := (storeTime - begin) / 1000
	switch {
	case begin <= 0:
		diff = 0
	case diff > math.MaxInt32:
		diff = math.MaxInt32
	case diff < 0:
		diff = 0
	}
	at := headSize + m.slots*slotSize + count*entrySize
	be.PutUint32(m.b[at:], uint32(hash))
	be.PutUint64(m.b[at+4:], uint64(pos))
	be.PutUint32(m.b[at+12:], uint32(diff))
	be.PutUint32(m.b[at+16:], uint32(value))
	be.PutUint32(m.b[slot:], uint32(count))
	if count <= 1 {
		be.PutUint64(m.b[16:], uint64(pos))
		be.PutUint64(m.b, uint64(storeTime))
	}
	if value == 0 {
		be.PutUint32(m.b[32:], be.Uint32(m.b[32:])+1)
	}
	be.PutUint32(m.b[36:], uint32(count+1))
	be.PutUint64(m.b[24:], uint64(pos))
	be.PutUint64(m.b[8:], uint64(storeTime))
	return true
}

func javaHash(s string) (h int32) {
	for _, c := range []byte(s) { // the tests have ASCII
		h = 31*h + int32(c)
	}
	return h
}

// added is a key as the test remembers it.
type added struct {
	key string
	pos int64
	at  penstock.Timestamp
}

func (a added) asKey() Key { return Key{javaHash(a.key), a.pos, a.at} }

// rig is an index on a disk in memory, with all that was added to it.
type rig struct {
	t   testing.TB
	fs  *disktest.FS
	d   *disk.Disk
	x   *Index
	all []added
	low int64 // nothing is left below this position
	o   Options
}

const testDir = "some/index"

func newRig(t testing.TB) *rig {
	r := &rig{t: t, fs: disktest.New()}
	r.o = Options{Slots: 64, Entries: 100, block: 120, Now: func() time.Time { return time.UnixMilli(1_700_000_000_000) }, Walk: r.walk}
	r.open(false)
	return r
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// walk is the owner's log.
func (r *rig) walk(from, to int64, add func(Key)) error {
	for _, a := range r.all {
		if a.pos >= max(from, r.low) && a.pos <= to {
			add(a.asKey())
		}
	}
	return nil
}

// open opens, and adds again what came after the mark.
func (r *rig) open(clean bool) {
	r.t.Helper()
	r.d = disk.New(r.fs, disk.Options{SyncParallel: 1, SyncAllFrom: -1})
	var err error
	var mark []byte
	r.x, mark, err = Open(r.d, testDir, r.o, clean)
	r.must(err)
	from := int64(-1)
	if mark != nil {
		from = int64(be.Uint64(mark))
	}
	last, ok := r.x.Last()
	for _, a := range r.all {
		if a.pos >= from && (!ok || a.pos > last) {
			r.x.Add([]Key{a.asKey()})
		}
	}
}

func (r *rig) checkpoint() {
	r.t.Helper()
	r.must(r.x.Checkpoint(r.markNow(), nil))
}

// markNow is the position behind everything.
func (r *rig) markNow() []byte {
	if len(r.all) == 0 {
		return nil
	}
	return be.AppendUint64(nil, uint64(r.all[len(r.all)-1].pos+1))
}

func (r *rig) add(key string, pos int64, at penstock.Timestamp) {
	a := added{key, pos, at}
	r.all = append(r.all, a)
	r.x.Add([]Key{a.asKey()})
}

// want is what a query is to give, by a look at everything: exact times, and hashes as the index has them.
func (r *rig) want(key string, from, to penstock.Timestamp) (must []int64, may map[int64]bool) {
	may = map[int64]bool{}
	for i := len(r.all) - 1; i >= 0; i-- {
		a := r.all[i]
		if positive(javaHash(a.key)) != positive(javaHash(key)) || a.pos < r.low {
			continue
		}
		if a.at >= from && a.at <= to && !slices.Contains(must, a.pos) {
			must = append(must, a.pos)
		}
		may[a.pos] = true
	}
	return must, may
}

// ask compares a query. What is found besides may be there: times are known to the second.
func (r *rig) ask(key string, from, to penstock.Timestamp) error {
	must, may := r.want(key, from, to)
	var got []int64
	if err := r.x.Find(javaHash(key), from, to, func(pos int64) bool { got = append(got, pos); return true }); err != nil {
		return err
	}
	left := slices.Clone(got)
	for i, pos := range got {
		if !may[pos] {
			return fmt.Errorf("%q: found %d, which was never added", key, pos)
		}
		if i > 0 && pos >= got[i-1] {
			return fmt.Errorf("%q: %v is not the newest first", key, got)
		}
	}
	left = slices.DeleteFunc(left, func(pos int64) bool { return !slices.Contains(must, pos) })
	if !slices.Equal(left, must) {
		return fmt.Errorf("%q from %d to %d: found %v, want %v", key, from, to, got, must)
	}
	return nil
}

func (r *rig) askAll() error {
	keys := map[string]bool{"never": true}
	for _, a := range r.all {
		keys[a.key] = true
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if err := r.ask(key, 0, math.MaxInt64); err != nil {
			return err
		}
	}
	return nil
}

func (r *rig) stop() {
	r.t.Helper()
	r.x.Close()
	r.must(r.d.Close())
	if v := r.fs.Violations(); len(v) > 0 || r.fs.OpenFiles() != 0 {
		r.t.Fatalf("misuse of the disk: %q, %d files open", v, r.fs.OpenFiles())
	}
}

// names lists the index files themselves.
func (r *rig) names() (out []string) {
	es, err := r.d.ReadDir(testDir)
	r.must(err)
	for _, e := range es {
		if _, ok := parseName(e.Name); ok {
			out = append(out, e.Name)
		}
	}
	return out
}

// TestAsRocketMQ compares files with what RocketMQ's own lines make of the same keys, in one go and over restarts.
func TestAsRocketMQ(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		r := newRig(t)
		var want []*mapped
		rnd := rand.New(rand.NewPCG(1, 2))
		at := penstock.Timestamp(1_700_000_000_000)
		for i := range 420 {
			key := fmt.Sprintf("topic#key%d", rnd.IntN(60))
			at += penstock.Timestamp(rnd.IntN(5000) - 1000)
			pos := int64(i * 100)
			if len(want) == 0 || !want[len(want)-1].putKey(key, pos, int64(at)) {
				want = append(want, newMapped(64, 100))
				want[len(want)-1].putKey(key, pos, int64(at))
			}
			r.add(key, pos, at)
			if restarts && i%37 == 0 {
				r.checkpoint()
				r.stop()
				r.open(i%2 == 0)
			}
			if i%53 == 0 {
				r.checkpoint()
			}
		}
		r.checkpoint()
		names := r.names()
		if len(names) != len(want) {
			t.Fatalf("%d files, want %d", len(names), len(want))
		}
		for i, name := range names {
			b, err := r.d.ReadFile(path.Join(testDir, name), 1<<20)
			r.must(err)
			if !bytes.Equal(b, want[i].b) {
				t.Errorf("file %d differs (restarts %t)", i, restarts)
			}
		}
		if names[0] != "20231114221320000" || names[1] != "20231114221320001" {
			t.Errorf("names %v", names)
		}
		r.must(r.askAll())
		r.stop()
	}
}

// TestFullSize: RocketMQ's sizes are the default, and files have holes where nothing is.
func TestFullSize(t *testing.T) {
	o := Options{}.withDefaults()
	if n := (shape{int64(o.Slots), int64(o.Entries), o.block}).size(); n != 420_000_040 {
		t.Errorf("file of %d bytes, want RocketMQ's 420000040", n)
	}
	d, err := disk.Open(t.TempDir(), disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	x, _, err := Open(d, "i", Options{}, false)
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(10_000) {
		x.Add([]Key{{int32(i * 7919), i, 1_700_000_000_000}})
	}
	if err := x.Checkpoint([]byte("mark"), nil); err != nil {
		t.Fatal(err)
	}
	x.Close()
	x, mark, err := Open(d, "i", Options{}, true)
	if err != nil || string(mark) != "mark" {
		t.Fatal(string(mark), err)
	}
	for i := range int64(10_000) {
		var got []int64
		if err := x.Find(int32(i*7919), 0, math.MaxInt64, func(pos int64) bool { got = append(got, pos); return true }); err != nil || !slices.Contains(got, i) {
			t.Fatalf("key %d: %v, %v", i, got, err)
		}
	}
	x.Close()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestTimes asks for parts of time, over files and with a clock that goes back.
func TestTimes(t *testing.T) {
	r := newRig(t)
	at := penstock.Timestamp(1_700_000_000_000)
	rnd := rand.New(rand.NewPCG(3, 4))
	for i := range 300 {
		at += penstock.Timestamp(rnd.IntN(4000) - 1000)
		r.add(fmt.Sprintf("t#%d", rnd.IntN(20)), int64(i), at)
	}
	for range 500 {
		from := 1_700_000_000_000 + penstock.Timestamp(rnd.IntN(400_000)-2000)
		r.must(r.ask(fmt.Sprintf("t#%d", rnd.IntN(20)), from, from+penstock.Timestamp(rnd.IntN(50_000))))
	}
	n := 0
	r.must(r.x.Find(javaHash("t#1"), 0, math.MaxInt64, func(int64) bool { n++; return n < 3 }))
	if n != 3 {
		t.Errorf("%d visited after enough was said at 3", n)
	}
	r.stop()
}

// TestTrim removes the oldest files and never the last.
func TestTrim(t *testing.T) {
	r := newRig(t)
	for i := range 350 {
		r.add(fmt.Sprintf("t#%d", i%30), int64(i), 1_700_000_000_000)
	}
	r.checkpoint()
	infos := r.x.Files()
	if len(infos) != 4 || infos[0].Begin != 0 || infos[0].End != 98 || infos[0].Keys != 99 || infos[1].Begin != 99 {
		t.Fatalf("files %+v", infos)
	}
	r.low = infos[2].Begin
	r.must(r.x.Trim(func(i Info) bool { return i.End < r.low }))
	if n := len(r.x.Files()); n != 2 {
		t.Errorf("%d files left, want 2", n)
	}
	r.must(r.askAll())
	// What is vouched for and was trimmed since is no damage that lasts.
	r.x.Close()
	r.open(true)
	r.checkpoint()
	r.must(r.askAll())
	r.low = math.MaxInt64
	r.must(r.x.Trim(func(Info) bool { return true }))
	if n := len(r.x.Files()); n != 1 {
		t.Errorf("%d files left, want the last", n)
	}
	r.stop()
	if err := r.x.Find(1, 0, 1, nil); !errors.Is(err, penstock.ErrClosed) {
		t.Errorf("find after closing: %v", err)
	}
	if err := r.x.Checkpoint(nil, nil); !errors.Is(err, penstock.ErrClosed) {
		t.Errorf("checkpoint after closing: %v", err)
	}
}
