package group

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"penstock"
	"penstock/disk"
	"penstock/disk/disktest"
)

// cutShort counts the times that a journal was being written anew when the disk failed.
type cutShort struct{ n atomic.Int64 }

// Write takes a line of the log.
func (c *cutShort) Write(line []byte) (int, error) {
	if strings.Contains(string(line), "group journal not shortened") {
		c.n.Add(1)
	}
	return len(line), nil
}

// eager shortens the journal all the time, and counts when that fails.
func (c *cutShort) eager(o *Options) {
	eager(o)
	o.Logger = slog.New(slog.NewTextHandler(c, nil))
}

// outlook is somebody who reads offsets all the time that workers commit: what it has seen does not go back, neither before a crash
// nor after it.
type outlook struct {
	mu   sync.Mutex
	seen map[int32]penstock.Offset // of the group "shared", which is never deleted
}

// watch looks until stop is closed.
func (o *outlook) watch(r *rig, stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		o.look(r)
		runtime.Gosched()
	}
}

func (o *outlook) look(r *rig) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for n := int32(1); n <= 2; n++ {
		got := r.read("shared", "t", n)
		if was, ok := o.seen[n]; ok && got < was {
			r.t.Errorf("partition %d: %d was seen, and now it is %d", n, was, got)
		}
		o.seen[n] = got
	}
}

// loner is the one member of a group. It joins again and again, and so makes generations.
type loner struct {
	may []int32 // generations that it may be in, 0 for none; one unless something failed
}

// check looks whether the generation is there that it was told of.
func (l *loner) check(r *rig) {
	for _, n := range l.may {
		err := r.Heartbeat("alone", Heartbeat{MemberID: "m", Generation: n})
		if err == nil || n == 0 && errors.Is(err, ErrUnknownMember) {
			l.may = []int32{n}
			return
		}
	}
	d, err := r.Describe("alone")
	r.t.Errorf("none of the generations %d is there: %+v, %v", l.may, d, err)
}

// work makes n generations and stops at the first that fails.
func (l *loner) work(r *rig, n int) {
	for range n {
		j := joinOf("m", "")
		if l.may[0] == 0 {
			j = joinOf("", "m")
		}
		a := <-r.join("alone", j)
		if a.Err != nil {
			return
		}
		l.may = append(l.may, a.Generation)
		if s := r.sync("alone", "m", a.Generation, map[string][]byte{"m": []byte("all")}); s.Err != nil {
			return
		}
		l.may = []int32{a.Generation}
	}
}

// anyFault is what happens to the disk in one life, by seed.
func anyFault(rnd *rand.Rand, early bool) string {
	n := 1 + rnd.IntN(60)
	halts := []string{"change#%d=halt", "write#%d=halt", "sync#%d=halt"}
	if early {
		return fmt.Sprintf(halts[0], n)
	}
	faults := append(halts, "change#%d=EIO", "write#%d=EIO", "write#%d=short/EIO", "write#%d=short", "write#%d=ENOSPC", "allocate#%d=ENOSPC",
		"sync#%d=EIO", "create#%d=EIO", "rename#%d=EIO", "rename#%d=halt", "create#%d=halt", "syncdir#%d=EIO")
	return fmt.Sprintf(faults[rnd.IntN(len(faults))], n)
}

// TestCrashSeeds goes through lives that end by seed: a failing or halted disk, at work or during the start, then a power cut or a
// kill. No committed offset goes back that was acknowledged or seen, and no generation that a member was told of. Of STORETEST_SEEDS
// it takes the fiftieth part.
func TestCrashSeeds(t *testing.T) {
	seeds := uint64(60)
	if n, err := strconv.ParseUint(os.Getenv("STORETEST_SEEDS"), 10, 64); err == nil {
		seeds = n/50 + 1 // each is four lives, a tenth of a second
	} else if testing.Short() {
		seeds = 15
	}
	var cut cutShort
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { crashSeed(t, seed, &cut) })
	}
	t.Logf("%d times a journal was being written anew when the disk failed", cut.n.Load())
	if seeds >= 1000 && cut.n.Load() < int64(seeds)/100 {
		t.Error("too seldom")
	}
}

func crashSeed(t *testing.T, seed uint64, cut *cutShort) {
	rnd := rand.New(rand.NewPCG(seed, 3))
	m, fs, clk := fresh(t), disktest.New(), newClock()
	ws, out, alone := newWorkers(), &outlook{seen: map[int32]penstock.Offset{}}, &loner{may: []int32{0}}
	for life := range 4 {
		last := life == 3
		early := life > 0 && !last && rnd.IntN(3) == 0
		fault := anyFault(rnd, early)
		if early {
			fs.Inject(fault)
		}
		if r, err := tryStart(t, fs, m, clk, cut.eager); err == nil {
			if r.loadedOrHalted() {
				for _, w := range ws {
					w.check(r)
				}
				alone.check(r)
				out.look(r)
			}
			if !last && !fs.Halted() {
				if !early {
					fs.Inject(fault)
				}
				live(r, ws, out, alone, 1+rnd.IntN(25))
			}
			fs.Halt()
			r.stop(true)
		} else if !fs.Halted() {
			t.Fatal(err)
		}
		kill := rnd.IntN(3) == 0
		t.Logf("life %d: %s, at the start %v; then kill %v", life, fault, early, kill)
		if kill {
			fs = fs.Kill()
			// After a failed sync nobody may start before the machine has booted.
			if d := disk.New(fs, disk.Options{}); d.Err() != nil {
				t.Log(d.Err())
				fs = fs.Crash(rnd.Uint64())
			}
		} else {
			fs = fs.Crash(rnd.Uint64())
		}
	}
}

// live has everybody work.
func live(r *rig, ws []*worker, out *outlook, alone *loner, n int) {
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() { out.watch(r, stop) })
	var working sync.WaitGroup
	working.Go(func() { alone.work(r, n) })
	working.Go(func() { run(r, ws, n) })
	working.Wait()
	close(stop)
	watching.Wait()
}

// loadedOrHalted waits until everything is loaded, or the disk stands still; it reports the first.
func (r *rig) loadedOrHalted() bool {
	r.t.Helper()
	r.must(r.make(r.ctx))
	loaded := false
	r.until("everything is loaded, or the disk stands still", func() bool {
		_, err := r.List()
		loaded = err == nil
		return loaded || r.fs.Halted()
	})
	return loaded
}
