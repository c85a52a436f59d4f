package group

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"

	"penstock"
	"penstock/disk/disktest"
	"penstock/meta"
	"penstock/meta/metatest"
)

// worker commits to one partition for one group, one after the other, and now and then deletes the group.
type worker struct {
	group     string
	partition int32
	next      penstock.Offset
	may       []penstock.Offset // what may be committed after a crash: what was acknowledged last, and what came after it
}

// work does n things and stops at the first that fails. Each is in doubt until it is acknowledged.
func (w *worker) work(r *rig, n int) {
	for range n {
		w.next++
		what := w.next
		var err error
		if w.next%7 == 3 && w.partition == 0 {
			what = penstock.NoOffset
			w.may = append(w.may, what)
			wait := make(chan error, 1)
			r.Delete(w.group, func(err error) { wait <- err })
			if err = <-wait; err == ErrGroupNotFound {
				err = nil
			}
		} else {
			w.may = append(w.may, what)
			err = r.commit(w.group, "t", w.partition, what)
		}
		if err != nil {
			return
		}
		w.may = []penstock.Offset{what}
		if got := r.read(w.group, "t", w.partition); got != what {
			r.t.Errorf("%s reads %d after %d was acknowledged", w.group, got, what)
		}
	}
}

// check compares what is there after a crash with what may be, and takes it from there.
func (w *worker) check(r *rig) {
	got := r.read(w.group, "t", w.partition)
	if !slices.Contains(w.may, got) {
		r.t.Errorf("%s, partition %d: %d is committed, want one of %d", w.group, w.partition, got, w.may)
	}
	w.may = []penstock.Offset{got}
}

func newWorkers() (ws []*worker) {
	for i := range 4 {
		ws = append(ws, &worker{group: fmt.Sprint("group-", i), may: []penstock.Offset{penstock.NoOffset}})
	}
	// Two of one group, which is never deleted: they meet in its lock and its queue.
	ws = append(ws, &worker{group: "shared", partition: 1, may: []penstock.Offset{penstock.NoOffset}})
	return append(ws, &worker{group: "shared", partition: 2, may: []penstock.Offset{penstock.NoOffset}})
}

func run(r *rig, ws []*worker, n int) {
	var wg sync.WaitGroup
	for _, w := range ws {
		wg.Go(func() { w.work(r, n) })
	}
	wg.Wait()
}

// eager shortens the journal all the time.
func eager(o *Options) { o.ShortenAbove = 1500 }

func fresh(t *testing.T) *meta.Store {
	m, _ := metatest.Open(t)
	metatest.Topic(t, m, "t", 8, nil)
	return m
}

// TestCrashAtEveryCall stops the disk at its nth call that changes anything, for every n of a run, cuts the power, and looks whether a committed
// offset has gone back. With STORETEST_SEEDS set it is every n, else some. Then it does so again in the life after, while the journal is loaded and shortened.
func TestCrashAtEveryCall(t *testing.T) {
	const ops = 20
	fs := disktest.New()
	r := start(t, fs, fresh(t), nil, eager).loaded()
	before := changes(fs)
	ws := newWorkers()
	run(r, ws, ops)
	calls := changes(fs) - before
	// How often depends on how many commits share an append, so on the machine.
	r.until("the journal was shortened three times", func() bool {
		run(r, ws, 1)
		return r.figures.shortened.Value() >= 3
	})
	r.stop(false)
	step := calls/80 + 1
	switch {
	case os.Getenv("STORETEST_SEEDS") != "":
		step = 1
	case testing.Short():
		step = calls/20 + 1
	}
	for n := 1; n <= calls; n += step {
		t.Run(fmt.Sprint(n), func(t *testing.T) { crashAt(t, n, ops) })
	}
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

func crashAt(t *testing.T, n, ops int) {
	m, ws := fresh(t), newWorkers()
	fs := disktest.New()
	r := start(t, fs, m, nil, eager).loaded()
	for life := range 3 {
		for _, w := range ws {
			w.check(r)
		}
		if life == 2 {
			break
		}
		r.fs.Inject(fmt.Sprintf("change#%d=halt", n))
		run(r, ws, ops)
		r.fs.Halt()
		next := r.fs.Crash(uint64(n))
		if n%3 == 0 {
			next = r.fs.Kill()
		}
		r.stop(true)
		r = start(t, next, m, r.clock, eager).loaded()
	}
	r.stop(false)
}
