package index

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strconv"
	"testing"

	"penstock"
	"penstock/disk"
)

// seeds is how many seeds a crash loop runs; INDEX_SEEDS asks for more.
func seeds(short uint64) uint64 {
	if n, err := strconv.ParseUint(os.Getenv("INDEX_SEEDS"), 10, 64); err == nil {
		return n
	}
	return short
}

// TestCrash adds, checkpoints, and takes the power or kills, in the middle of a call or not. The owner adds again what came after its mark.
func TestCrash(t *testing.T) {
	for seed := range seeds(300) {
		if err := crashSeed(t, seed); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func crashSeed(t *testing.T, seed uint64) error {
	rnd := rand.New(rand.NewPCG(seed, 9))
	r := newRig(t)
	pos, at := int64(0), penstock.Timestamp(1_700_000_000_000)
	for round := range 4 {
		if rnd.IntN(2) == 0 {
			r.fs.Inject(fmt.Sprintf("change#%d=halt", 1+rnd.IntN(60)))
		}
		for range rnd.IntN(160) {
			pos += int64(1 + rnd.IntN(50))
			at += penstock.Timestamp(rnd.IntN(2000) - 200)
			for range 1 + rnd.IntN(3) {
				r.add(fmt.Sprintf("t#%d", rnd.IntN(40)), pos, at)
			}
			if rnd.IntN(40) == 0 {
				if err := r.x.Checkpoint(r.markNow(), nil); err != nil && !r.fs.Halted() {
					return err
				}
			}
		}
		if err := r.askAll(); err != nil && !r.fs.Halted() {
			return fmt.Errorf("round %d: %w", round, err)
		}
		old := r.fs
		old.Halt()
		if rnd.IntN(3) == 0 {
			r.fs = old.Kill()
		} else {
			r.fs = old.Crash(seed*8 + uint64(round))
		}
		r.x.Close()
		_ = r.d.Close()
		if d := disk.New(r.fs, disk.Options{}); d.Err() != nil {
			r.fs = r.fs.Crash(seed) // a sync has failed: nobody starts before
		}
		r.open(false)
		if err := r.askAll(); err != nil {
			return fmt.Errorf("round %d, after the crash: %w", round, err)
		}
	}
	r.checkpoint()
	if err := r.asOne(); err != nil {
		return err
	}
	r.x.Close()
	r.open(true)
	if err := r.askAll(); err != nil {
		return fmt.Errorf("after a clean stop: %w", err)
	}
	r.stop()
	return nil
}

// asOne compares the files with what RocketMQ's lines would have made of everything in one go.
func (r *rig) asOne() error {
	want := []*mapped{}
	for _, a := range r.all {
		if len(want) == 0 || !want[len(want)-1].putKey(a.key, a.pos, int64(a.at)) {
			want = append(want, newMapped(r.o.Slots, r.o.Entries))
			want[len(want)-1].putKey(a.key, a.pos, int64(a.at))
		}
	}
	names := r.names()
	if len(names) != len(want) {
		return fmt.Errorf("%d files, want %d", len(names), len(want))
	}
	for i, name := range names {
		b, err := r.d.ReadFile(path.Join(testDir, name), 1<<20)
		if err != nil {
			return err
		}
		for k := range b {
			if b[k] != want[i].b[k] {
				return fmt.Errorf("file %d of %d differs at %d", i, len(names), k)
			}
		}
	}
	return nil
}

// TestEveryNthCall fails each call in turn, or lets it be the last.
func TestEveryNthCall(t *testing.T) {
	for _, rule := range []string{"change#%d=halt", "any#%d=EIO", "change#%d=ENOSPC", "write#%d=short"} {
		for n := 1; ; n++ {
			r := newRig(t)
			r.fs.Inject(fmt.Sprintf(rule, n))
			for i := range 230 {
				r.add(fmt.Sprintf("t#%d", i%37), int64(i), 1_700_000_000_000)
				if i%45 == 44 {
					_ = r.x.Checkpoint(r.markNow(), nil)
				}
			}
			calls := 0
			for _, c := range r.fs.Counts() {
				calls += c
			}
			old := r.fs
			old.Halt()
			r.x.Close()
			_ = r.d.Close()
			r.fs = old.Crash(uint64(n))
			r.open(false)
			r.must(r.askAll())
			r.checkpoint()
			if err := r.asOne(); err != nil {
				t.Fatalf("%s, call %d: %v", rule, n, err)
			}
			r.stop()
			if n > calls {
				break
			}
		}
	}
}

// TestFullDisk: what the disk has no room for waits in memory and is there for whoever asks, and goes to the disk when there is room.
func TestFullDisk(t *testing.T) {
	r := newRig(t)
	r.add("t#0", 0, 1_700_000_000_000)
	r.checkpoint()
	space, err := r.d.Space()
	r.must(err)
	r.fs.SetCapacity(space.Total - space.Free)
	for i := range 90 {
		r.add(fmt.Sprintf("t#%d", i%11), int64(i+1), 1_700_000_000_000)
	}
	r.fs.SetCapacity(space.Total)
	r.must(r.askAll())
	r.checkpoint()
	r.must(r.asOne())
	r.stop()
}

// TestDamage flips a byte anywhere in any file of a stopped index, or takes a file away: queries give what is right or an error, and
// after a checkpoint they give what is right.
func TestDamage(t *testing.T) {
	base := newRig(t)
	for i := range 330 {
		base.add(fmt.Sprintf("t#%d", i%37), int64(i), 1_700_000_000_000+penstock.Timestamp(i))
	}
	base.checkpoint()
	es, err := base.d.ReadDir(testDir)
	base.must(err)
	var files []string
	for _, e := range es {
		files = append(files, path.Join(testDir, e.Name))
	}
	base.stop()
	rnd := rand.New(rand.NewPCG(5, 6))
	for round := range seeds(400) {
		r := *base
		r.t, r.fs = t, base.fs.Kill()
		name := files[rnd.IntN(len(files))]
		d := disk.New(r.fs, disk.Options{})
		what := r.spoil(d, name, rnd)
		r.must(d.Close())
		r.o.Walk = r.walk
		r.open(rnd.IntN(2) == 0)
		if err := r.askAll(); err != nil && !errors.Is(err, penstock.ErrCorrupt) {
			t.Fatalf("round %d, %s: %v", round, what, err)
		}
		r.checkpoint()
		for range 3 { // a look may find more
			if err = r.askAll(); err == nil {
				break
			}
			r.checkpoint()
		}
		if err != nil {
			t.Fatalf("round %d, %s: after a checkpoint: %v", round, what, err)
		}
		r.add("t#new", 1000, 1_700_000_000_500)
		r.must(r.askAll())
		r.checkpoint()
		r.x.Close()
		r.open(true)
		r.must(r.askAll())
		r.stop()
	}
}

func (r *rig) spoil(d *disk.Disk, name string, rnd *rand.Rand) string {
	b, err := d.ReadFile(name, 1<<20)
	r.must(err)
	b = slices.Clone(b)
	switch rnd.IntN(8) {
	case 0:
		r.must(d.Remove(name))
		return name + " removed"
	case 1:
		n := rnd.IntN(len(b))
		r.must(d.WriteFile(name, b[:n]))
		return fmt.Sprintf("%s cut at %d", name, n)
	}
	at := rnd.IntN(len(b))
	b[at] ^= 1 << rnd.IntN(8)
	r.must(d.WriteFile(name, b))
	return fmt.Sprintf("%s changed at %d", name, at)
}

// TestNoWalk: without a log to make it from, a damaged file is given up, and the rest goes on.
func TestNoWalk(t *testing.T) {
	r := newRig(t)
	for i := range 250 {
		r.add(fmt.Sprintf("t#%d", i%37), int64(i), 1_700_000_000_000)
	}
	r.checkpoint()
	names := r.names()
	r.stop()
	r.d = disk.New(r.fs, disk.Options{})
	r.must(r.d.Remove(path.Join(testDir, names[0])))
	r.o.Walk = nil
	r.open(true)
	if err := r.askAll(); !errors.Is(err, penstock.ErrCorrupt) {
		t.Errorf("a lost file: %v", err)
	}
	r.low = 99
	r.checkpoint()
	r.must(r.askAll())
	r.stop()
}

// FuzzOpen puts arbitrary bytes in the place of one file: nothing panics, and what is found was added.
func FuzzOpen(f *testing.F) {
	base := newRig(f)
	for i := range 130 {
		base.add(fmt.Sprintf("t#%d", i%37), int64(i), 1_700_000_000_000)
	}
	base.checkpoint()
	es, err := base.d.ReadDir(testDir)
	base.must(err)
	base.stop()
	d := disk.New(base.fs, disk.Options{})
	for i, e := range es {
		b, err := d.ReadFile(path.Join(testDir, e.Name), 1<<20)
		base.must(err)
		f.Add(uint8(i), b, true, false)
		f.Add(uint8(i), b[:len(b)-4], false, true)
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte, clean, resealed bool) {
		r := *base
		r.t, r.fs = t, base.fs.Kill()
		d := disk.New(r.fs, disk.Options{})
		if resealed {
			b = seal(slices.Clip(b))
		}
		r.must(d.WriteFile(path.Join(testDir, es[int(which)%len(es)].Name), b))
		x, _, err := Open(d, testDir, r.o, clean)
		r.must(err)
		for i := range 40 {
			err := x.Find(javaHash(fmt.Sprintf("t#%d", i)), 0, 1<<60, func(int64) bool { return true })
			if err != nil && !errors.Is(err, penstock.ErrCorrupt) {
				t.Fatal(err)
			}
		}
		x.Add([]Key{{1, 1000, 1_700_000_000_000}})
		if err := x.Checkpoint([]byte("m"), nil); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		x.Close()
		r.must(d.Close())
	})
}
