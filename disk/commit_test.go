package disk_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"penstock"
	"penstock/disk"
	"penstock/disk/disktest"
)

// logOf is a Syncer with one file, as a log would be: it counts bytes written and learns how many are durable.
type logOf struct {
	d *disk.Disk
	h *disk.Handle

	mu       sync.Mutex // guards the rest
	changed  sync.Cond
	written  int64
	noted    int64 // by SyncBegin
	synced   int64
	rounds   int
	inRound  bool
	overlaps int
	err      error
}

func newLog(t testing.TB, d *disk.Disk, name string) *logOf {
	t.Helper()
	h, err := d.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	l := &logOf{d: d, h: h}
	l.changed.L = &l.mu
	return l
}

// SyncBegin implements disk.Syncer.
func (l *logOf) SyncBegin(dst []disk.Part) []disk.Part {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inRound {
		l.overlaps++
	}
	l.inRound = true
	l.noted = l.written
	l.h.Retain()
	return append(dst, disk.Part{Handle: l.h, From: l.synced, To: l.written})
}

// SyncEnd implements disk.Syncer.
func (l *logOf) SyncEnd(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.inRound {
		l.overlaps++
	}
	l.inRound = false
	l.rounds++
	l.err = err
	if err == nil {
		l.synced = l.noted
	}
	l.changed.Broadcast()
}

// append writes n bytes and asks for their durability.
func (l *logOf) append(t testing.TB, n int) {
	t.Helper()
	l.mu.Lock()
	_, err := l.h.WriteVec([][]byte{make([]byte, n)}, l.written)
	l.written += int64(n)
	l.mu.Unlock()
	if err != nil {
		t.Error(err)
	}
	l.d.Commit(l)
}

// wait returns when everything written is durable, or the error of the last round.
func (l *logOf) wait() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	end := l.written
	for l.synced < end && l.err == nil {
		l.changed.Wait()
	}
	return l.err
}

// waitRounds returns when n rounds have ended.
func (l *logOf) waitRounds(n int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.rounds < n {
		l.changed.Wait()
	}
	return l.err
}

func (l *logOf) check(t *testing.T, rounds int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.overlaps > 0 {
		t.Errorf("%s: %d rounds overlap", l.h.Name(), l.overlaps)
	}
	if rounds > 0 && l.rounds != rounds {
		t.Errorf("%s: %d rounds, want %d", l.h.Name(), l.rounds, rounds)
	}
}

// newMemory opens a Disk in memory that is checked and closed at the end of the test.
func newMemory(t testing.TB, o disk.Options) (*disk.Disk, *disktest.FS) {
	t.Helper()
	m := disktest.New()
	d := disk.New(m, o)
	t.Cleanup(func() {
		m.Heal()
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if v := m.Violations(); len(v) > 0 {
			t.Errorf("violations: %q", v)
		}
	})
	return d, m
}

// TestCommitMerges lets 64 waiters come while a sync is in flight: they share the next one.
func TestCommitMerges(t *testing.T) {
	d, m := newMemory(t, disk.Options{})
	l := newLog(t, d, "log")
	defer l.h.Release()
	m.Inject("sync#1=stall")
	l.append(t, 10)
	m.WaitStalled(1)
	for range 64 {
		l.append(t, 10)
	}
	m.Unstall()
	if err := l.wait(); err != nil {
		t.Fatal(err)
	}
	l.check(t, 2)
	if n := m.Counts()[disktest.KindSync]; n != 2 {
		t.Errorf("%d syncs, want 2", n)
	}
	if got := m.Unsynced(); len(got) > 0 {
		t.Errorf("not durable: %q", got)
	}
	if s := d.Stats(); s.Rounds != 2 || s.Syncs != 2 || s.SyncAlls != 0 {
		t.Errorf("%+v", s)
	}
}

// TestCommitSlowFile stalls one file: others have round after round meanwhile.
func TestCommitSlowFile(t *testing.T) {
	d, m := newMemory(t, disk.Options{SyncParallel: 2})
	slow, fast := newLog(t, d, "slow"), newLog(t, d, "fast")
	defer slow.h.Release()
	defer fast.h.Release()
	m.Inject("sync(slow)#1=stall")
	slow.append(t, 1)
	m.WaitStalled(1)
	for range 10 {
		fast.append(t, 1)
		if err := fast.wait(); err != nil {
			t.Fatal(err)
		}
	}
	slow.check(t, 0)
	m.Unstall()
	if err := slow.wait(); err != nil {
		t.Fatal(err)
	}
	slow.check(t, 1)
}

// TestCommitAll lets many logs wait behind one: a single syncfs serves them, and logs that come during it are synced
// file by file.
func TestCommitAll(t *testing.T) {
	d, m := newMemory(t, disk.Options{SyncParallel: 2, SyncAllFrom: 10})
	var logs []*logOf
	for i := range 15 {
		l := newLog(t, d, fmt.Sprint("log", i))
		defer l.h.Release()
		logs = append(logs, l)
	}
	m.Inject("sync#1=stall sync#2=stall syncall#1=stall")
	for _, l := range logs[:12] { // two stall, ten wait
		l.append(t, 100)
		if l == logs[1] {
			m.WaitStalled(2)
		}
	}
	m.Unstall()
	m.WaitStalled(1)
	for _, l := range append(logs[12:], logs[0], logs[1]) {
		l.append(t, 100)
		if err := l.wait(); err != nil {
			t.Fatal(err)
		}
	}
	logs[5].append(t, 100) // in the round of the syncfs, so it has to wait for the next
	m.Unstall()
	for _, l := range logs {
		if err := l.wait(); err != nil {
			t.Fatal(err)
		}
		l.check(t, 0)
	}
	logs[5].check(t, 2)
	if got := m.Unsynced(); len(got) > 0 {
		t.Errorf("not durable: %q", got)
	}
	counts := m.Counts()
	if counts[disktest.KindSyncAll] != 1 || counts[disktest.KindSync] != 2+5+1 {
		t.Errorf("calls: %v", counts)
	}
}

// TestCommitWaiting asks several times for a log that waits already: it has one round.
func TestCommitWaiting(t *testing.T) {
	d, m := newMemory(t, disk.Options{SyncParallel: 1})
	busy, l := newLog(t, d, "busy"), newLog(t, d, "log")
	defer busy.h.Release()
	defer l.h.Release()
	m.Inject("sync#1=stall")
	busy.append(t, 1)
	m.WaitStalled(1)
	for range 3 {
		l.append(t, 1)
	}
	m.Unstall()
	if err := errors.Join(busy.wait(), l.wait()); err != nil {
		t.Fatal(err)
	}
	busy.append(t, 1) // behind any further round
	if err := busy.wait(); err != nil {
		t.Fatal(err)
	}
	l.check(t, 1)
}

// TestCommitAllAgain has one syncfs after the other, and then, when only few of its logs ask again, as many workers as
// there is work for.
func TestCommitAllAgain(t *testing.T) {
	d, m := newMemory(t, disk.Options{SyncParallel: 2, SyncAllFrom: 3})
	logs := make([]*logOf, 5)
	for i := range logs {
		logs[i] = newLog(t, d, fmt.Sprint("log", i))
		defer logs[i].h.Release()
	}
	for range 2 {
		m.Inject("sync#1-2=stall syncall#1=stall")
		for i, l := range logs {
			l.append(t, 1)
			m.WaitStalled(min(i+1, 2))
		}
		m.Unstall()
		m.WaitStalled(1) // the syncfs for logs 2, 3 and 4
		if err := errors.Join(logs[0].wait(), logs[1].wait()); err != nil {
			t.Fatal(err)
		}
		logs[2].append(t, 1)
		logs[3].append(t, 1)
		m.Inject("sync(log2)#1=stall")
		m.Unstall()
		if err := errors.Join(logs[3].wait(), logs[4].wait()); err != nil {
			t.Fatal(err)
		}
		m.WaitStalled(1)
		m.Heal()
		if err := logs[2].wait(); err != nil {
			t.Fatal(err)
		}
	}
	if n := m.Counts()[disktest.KindSyncAll]; n != 2 {
		t.Errorf("%d syncfs", n)
	}
}

// TestCommitFailsMeanwhile lets a sync succeed after another one has taken the directory offline: nobody is told so.
func TestCommitFailsMeanwhile(t *testing.T) {
	d, m := newMemory(t, disk.Options{SyncParallel: 2})
	good, bad := newLog(t, d, "good"), newLog(t, d, "bad")
	defer good.h.Release()
	defer bad.h.Release()
	m.Inject("sync(good)#1=stall sync(bad)#1=EIO")
	good.append(t, 1)
	m.WaitStalled(1)
	bad.append(t, 1)
	if err := bad.wait(); !errors.Is(err, penstock.ErrOffline) {
		t.Errorf("bad: %v", err)
	}
	m.Unstall()
	if err := good.wait(); !errors.Is(err, penstock.ErrOffline) {
		t.Errorf("good: %v", err)
	}
}

// noSyncAll is a file system that cannot sync all files.
type noSyncAll struct {
	disk.FS
	asked atomic.Int32
}

// SyncAll implements disk.FS.
func (n *noSyncAll) SyncAll() error {
	n.asked.Add(1)
	return fmt.Errorf("syncfs: %w", errors.ErrUnsupported)
}

// TestCommitAllUnsupported falls back to syncing file by file, and does not ask again.
func TestCommitAllUnsupported(t *testing.T) {
	m := disktest.New()
	n := &noSyncAll{FS: m}
	d := disk.New(n, disk.Options{SyncParallel: 1, SyncAllFrom: 3})
	logs := make([]*logOf, 4)
	for i := range logs {
		logs[i] = newLog(t, d, fmt.Sprint("log", i))
		defer logs[i].h.Release()
	}
	for range 2 {
		m.Inject("sync#1=stall")
		for i, l := range logs {
			l.append(t, 1)
			if i == 0 {
				m.WaitStalled(1)
			}
		}
		m.Heal()
		for _, l := range logs {
			if err := l.wait(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := m.Unsynced(); len(got) > 0 {
		t.Errorf("not durable: %q", got)
	}
	if n.asked.Load() != 1 || d.Err() != nil {
		t.Errorf("asked %d times, %v", n.asked.Load(), d.Err())
	}
}

// TestCommitFails fails a sync: who waits hears of it, nothing is synced or written again, and reading goes on.
func TestCommitFails(t *testing.T) {
	for _, rule := range []string{"sync#1=EIO", "sync#1=ENOSPC", "syncall#1=EIO"} {
		t.Run(rule, func(t *testing.T) {
			offline := make(chan error, 10)
			o := disk.Options{OnOffline: func(err error) { offline <- err }, SyncAllFrom: -1}
			if rule == "syncall#1=EIO" {
				o.SyncAllFrom = 1
			}
			d, m := newMemory(t, o)
			l, other := newLog(t, d, "log"), newLog(t, d, "other")
			defer l.h.Release()
			defer other.h.Release()
			m.Inject(rule)
			l.append(t, 10)
			cause := syscall.EIO
			if rule == "sync#1=ENOSPC" {
				cause = syscall.ENOSPC
			}
			if err := l.wait(); !errors.Is(err, penstock.ErrOffline) || !errors.Is(err, cause) {
				t.Errorf("wait: %v", err)
			}
			if err := <-offline; !errors.Is(err, cause) || d.Err() == nil || err.Error() != d.Err().Error() {
				t.Errorf("OnOffline says %v, Err %v", err, d.Err())
			}
			before := m.Counts()
			d.Commit(l)
			d.Commit(other)
			if err := errors.Join(l.waitRounds(2), other.waitRounds(1)); !errors.Is(err, penstock.ErrOffline) {
				t.Errorf("commit when offline: %v", err)
			}
			checkRefusesWriting(t, d, l.h, penstock.ErrOffline)
			after := m.Counts()
			if fmt.Sprint(before) != fmt.Sprint(after) {
				t.Errorf("calls when offline: %v, before %v", after, before)
			}
			if n, err := l.h.ReadAt(make([]byte, 10), 0); n != 10 || err != nil {
				t.Errorf("read: %d, %v", n, err)
			}
			if len(offline) > 0 {
				t.Error("OnOffline called twice")
			}
		})
	}
}

// checkRefusesWriting calls everything that writes and demands the error.
func checkRefusesWriting(t *testing.T, d *disk.Disk, h *disk.Handle, want error) {
	t.Helper()
	_, createErr := d.Create("new")
	_, openErr := d.OpenFile(h.Name(), true)
	_, writeErr := h.WriteVec([][]byte{{1}}, 0)
	for call, err := range map[string]error{
		"Create": createErr, "OpenFile": openErr, "WriteVec": writeErr, "Allocate": h.Allocate(0, 1), "Truncate": h.Truncate(0),
		"Sync": h.Sync(), "WriteFile": d.WriteFile("w", nil), "MkdirAll": d.MkdirAll("m"), "Remove": d.Remove("log"),
		"RemoveAll": d.RemoveAll("log"), "Rename": d.Rename("log", "log2"),
	} {
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", call, err)
		}
	}
}

// TestCommitClose lets rounds end that were asked for, and refuses what comes later.
func TestCommitClose(t *testing.T) {
	m := disktest.New()
	d := disk.New(m, disk.Options{})
	l := newLog(t, d, "log")
	m.Inject("sync#1=stall")
	l.append(t, 1)
	m.WaitStalled(1)
	l.append(t, 1)
	time.AfterFunc(20*time.Millisecond, m.Unstall) // so that Close most likely has to wait; it must not matter
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	l.check(t, 2)
	if err := l.wait(); err != nil {
		t.Fatal(err)
	}
	d.Commit(l)
	if err := l.waitRounds(3); !errors.Is(err, penstock.ErrClosed) {
		t.Errorf("commit after close: %v", err)
	}
	checkRefusesWriting(t, d, l.h, penstock.ErrClosed)
	if _, err := d.OpenFile("log", false); !errors.Is(err, penstock.ErrClosed) {
		t.Errorf("open after close: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	l.h.Release()
	if n := m.OpenFiles(); n > 0 {
		t.Errorf("%d files are open", n)
	}
}

// TestCommitStress has many logs written by many goroutines, with every way of syncing, and checks that what a log
// was told to be durable survives a power cut at that moment.
func TestCommitStress(t *testing.T) {
	for _, o := range []disk.Options{{SyncAllFrom: -1}, {SyncParallel: 1}, {SyncParallel: 3, SyncAllFrom: 4}, {SyncAllFrom: 1}} {
		t.Run(fmt.Sprintf("parallel %d all from %d", o.SyncParallel, o.SyncAllFrom), func(t *testing.T) {
			d, m := newMemory(t, o)
			logs := make([]*logOf, 12)
			for i := range logs {
				logs[i] = newLog(t, d, fmt.Sprint("log", i))
				defer logs[i].h.Release()
			}
			var wg sync.WaitGroup
			for g := range 24 {
				wg.Go(func() {
					r := rand.New(rand.NewPCG(1, uint64(g)))
					for i := range 60 {
						l := logs[r.IntN(len(logs))]
						l.append(t, 1+r.IntN(100))
						if err := l.wait(); err != nil {
							t.Error(err)
						}
						if i%20 == 0 {
							checkDurable(t, m, logs, r.Uint64())
						}
					}
				})
			}
			wg.Wait()
			for _, l := range logs {
				l.check(t, 0)
			}
			checkDurable(t, m, logs, 1)
		})
	}
}

// checkDurable cuts the power and demands that each file has at least what its log knows to be durable.
func checkDurable(t *testing.T, m *disktest.FS, logs []*logOf, seed uint64) {
	t.Helper()
	want := make([]int64, len(logs))
	for i, l := range logs {
		l.mu.Lock()
		want[i] = l.synced
		l.mu.Unlock()
	}
	c := disk.New(m.Crash(seed), disk.Options{})
	for i, l := range logs {
		h, err := c.OpenFile(l.h.Name(), false)
		if err != nil {
			t.Error(err)
			continue
		}
		if size, err := h.Size(); size < want[i] || err != nil {
			t.Errorf("%s: %d bytes after the power cut, %d were durable, %v", l.h.Name(), size, want[i], err)
		}
		h.Release()
	}
}

// nullFS has files that do nothing, so that only the disk's own allocations are counted.
type nullFS struct{ disk.FS }

type nullFile struct{ disk.File }

// Open implements disk.FS.
func (nullFS) Open(_ string, mode disk.Mode) (disk.File, error) {
	if mode == disk.ModeRead {
		return nil, fs.ErrNotExist // there is no journal
	}
	return nullFile{}, nil
}

// SyncDir implements disk.FS.
func (nullFS) SyncDir(string) error { return nil }

// SyncAll implements disk.FS.
func (nullFS) SyncAll() error { return nil }

// Sync implements disk.File.
func (nullFile) Sync() error { return nil }

// Close implements disk.File.
func (nullFile) Close() error { return nil }

// WriteVec implements disk.File.
func (nullFile) WriteVec(bufs [][]byte, _ int64) (int64, error) { return int64(len(bufs[0])), nil }

// ReadAt implements io.ReaderAt.
func (nullFile) ReadAt(p []byte, _ int64) (int, error) { return len(p), nil }

// Fd implements disk.File.
func (nullFile) Fd() (int, bool) { return 7, true }

var (
	_ disk.FS   = nullFS{}
	_ disk.File = nullFile{}
)

// TestNoAllocations proves that rounds, writes, reads and extents allocate nothing in the steady state.
func TestNoAllocations(t *testing.T) {
	for _, from := range []int{-1, 2} {
		d := disk.New(nullFS{FS: disktest.New()}, disk.Options{SyncAllFrom: from, SyncParallel: 1})
		logs := make([]*logOf, 10)
		for i := range logs {
			logs[i] = newLog(t, d, fmt.Sprint("log", i))
			defer logs[i].h.Release()
		}
		rounds := 0
		got := testing.AllocsPerRun(1000, func() {
			rounds++
			for _, l := range logs {
				d.Commit(l)
			}
			for _, l := range logs {
				if err := l.waitRounds(rounds); err != nil {
					t.Error(err)
				}
			}
		})
		if got != 0 {
			t.Errorf("SyncAllFrom %d: a round of %d logs allocates %v times", from, len(logs), got)
		}
		h, bufs, b := logs[0].h, [][]byte{make([]byte, 10)}, make([]byte, 10)
		got = testing.AllocsPerRun(1000, func() {
			e := h.Extent(0, 10)
			_, ok := e.File.Fd()
			_, rerr := e.File.ReadAt(b, 0)
			e.Release()
			if _, err := h.WriteVec(bufs, 0); err != nil || rerr != nil || !ok {
				t.Error(err, rerr, ok)
			}
		})
		if got != 0 {
			t.Errorf("an extent, a read and a write allocate %v times", got)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := (nullFS{}).Open("", disk.ModeWrite); errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
