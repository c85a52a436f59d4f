package delay

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"penstock"
	"penstock/disk"
	"penstock/disk/disktest"
	"penstock/message"
)

// sender sends delayed messages through lives that end badly, and knows what must arrive, and when at the earliest.
type sender struct {
	rnd      *rand.Rand
	n        int
	earliest map[string]penstock.Timestamp // by body
	acked    map[string]bool
	copies   int // deliveries beyond the first
}

func newSender(seed uint64) *sender {
	return &sender{rnd: rand.New(rand.NewPCG(seed, 21)), earliest: map[string]penstock.Timestamp{}, acked: map[string]bool{}}
}

// work sends n messages and has time pass, until something fails.
func (s *sender) work(r *rig, n int) {
	for range n {
		if r.fs.Halted() {
			return
		}
		level := 1 + s.rnd.IntN(3)
		body := fmt.Sprint("m", s.n)
		s.n++
		s.earliest[body] = penstock.Timestamp(r.clock.Now().Add(r.Waits(level)).UnixMilli())
		if r.put(level, r.stored(level, "real", int32(s.rnd.IntN(4)), body)) == nil {
			s.acked[body] = true
		}
		if s.rnd.IntN(2) == 0 {
			r.clock.add(time.Duration(s.rnd.IntN(4000)) * time.Millisecond)
			r.quiet()
		}
	}
}

// quiet is calm on a disk that may fail.
func (r *rig) quiet() {
	r.t.Helper()
	for range 3 { // what was retried is retried again
		r.calm()
		r.clock.add(time.Millisecond)
	}
}

// check looks at all that was delivered.
func (s *sender) check(r *rig) (missing []string) {
	r.t.Helper()
	seen := map[string]int{}
	for _, m := range r.got("real") {
		body := string(m.Body)
		seen[body]++
		least, sent := s.earliest[body]
		if !sent {
			r.t.Errorf("%q was never sent", body)
		}
		if m.StoreTime < least {
			r.t.Errorf("%s is %d ms early", body, least-m.StoreTime)
		}
		if property(&m, message.PropertyRealTopic) != "real" {
			r.t.Errorf("%s has lost its properties: %q", body, m.Properties)
		}
	}
	s.copies = 0
	for body := range s.earliest {
		s.copies += max(0, seen[body]-1)
		if s.acked[body] && seen[body] == 0 {
			missing = append(missing, body)
		}
	}
	return missing
}

// last is a life without faults, in which everything must arrive.
func (s *sender) last(r *rig) {
	r.t.Helper()
	var missing []string
	for range 30 {
		r.pass(10 * time.Second)
		if missing = s.check(r); len(missing) == 0 {
			return
		}
	}
	r.t.Errorf("lost: %v\n%s", missing, r.log.all.String())
}

// changes counts the calls so far that change anything.
func changes(fs *disktest.FS) int {
	n := 0
	counts := fs.Counts()
	for _, k := range []disktest.Kind{disktest.KindCreate, disktest.KindWrite, disktest.KindAllocate, disktest.KindTruncate, disktest.KindSync,
		disktest.KindMkdir, disktest.KindRemove, disktest.KindRename, disktest.KindSyncDir, disktest.KindSyncAll} {
		n += counts[k]
	}
	return n
}

// eager notes and trims all the time.
func eager(o *Options) { o.SaveEvery, o.TrimEvery = 1, time.Second }

// TestCrashAtEveryCall stops the disk at its nth call that changes anything, for every n of a run, and cuts the power or kills the process: what was
// accepted arrives, and not early. With STORETEST_SEEDS set it is every n, else some.
func TestCrashAtEveryCall(t *testing.T) {
	const ops = 12
	r := start(t, nil, eager).made()
	r.calm()
	before := changes(r.fs)
	s := newSender(0)
	s.work(r, ops)
	calls := changes(r.fs) - before
	s.last(r)
	r.stop(false)
	step := calls/60 + 1
	switch {
	case os.Getenv("STORETEST_SEEDS") != "":
		step = 1
	case testing.Short():
		step = calls/15 + 1
	}
	for n := 1; n <= calls; n += step {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			r, s := start(t, nil, eager).made(), newSender(0)
			r.calm()
			for range 2 {
				r.fs.Inject(fmt.Sprintf("change#%d=halt", n))
				s.work(r, ops)
				r = next(r, uint64(n), n%3 == 0)
			}
			s.last(r)
			r.stop(false)
		})
	}
}

// next ends a life and begins one on what the crash leaves. After a failed sync nobody may start before the machine has booted.
func next(r *rig, seed uint64, kill bool) *rig {
	r.t.Helper()
	r.fs.Halt()
	r.stop(true)
	fs := r.fs.Crash(seed)
	if kill {
		fs = r.fs.Kill()
		if d := disk.New(fs, disk.Options{}); d.Err() != nil {
			fs = fs.Crash(seed)
		}
	}
	r.fs = fs
	return start(r.t, r, eager).made()
}

// TestCrashSeeds goes through lives that end by seed: a failing or halted disk, then a power cut or a kill. Of STORETEST_SEEDS it takes the
// fiftieth part.
func TestCrashSeeds(t *testing.T) {
	seeds := uint64(40)
	if n, err := strconv.ParseUint(os.Getenv("STORETEST_SEEDS"), 10, 64); err == nil {
		seeds = n/50 + 1
	} else if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { crashSeed(t, seed) })
	}
}

func crashSeed(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 22))
	r, s := start(t, nil, eager).made(), newSender(seed)
	for life := range 4 {
		faults := []string{"change#%d=halt", "write#%d=halt", "sync#%d=halt", "write#%d=EIO", "write#%d=short", "write#%d=ENOSPC", "allocate#%d=ENOSPC", "sync#%d=EIO"}
		fault := fmt.Sprintf(faults[rnd.IntN(len(faults))], 1+rnd.IntN(60))
		r.fs.Inject(fault)
		s.work(r, 1+rnd.IntN(25))
		kill := rnd.IntN(2) == 0
		t.Logf("life %d: %s, %d sent, %d accepted; then kill %v", life, fault, s.n, len(s.acked), kill)
		r = next(r, rnd.Uint64(), kill)
	}
	s.last(r)
	t.Logf("%d sent, %d accepted, %d delivered more than once", s.n, len(s.acked), s.copies)
	r.stop(false)
}
