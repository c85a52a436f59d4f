package disk_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"penstock/disk"
	"penstock/disk/disktest"
)

// fleet is several logs that take part in group commit together, so that a seed says which of them share a round. A round
// is waited for before anything else is done.
type fleet struct {
	d    *disk.Disk
	logs map[string]*ship
	done chan error
}

// ship is one log with what is expected of it.
type ship struct {
	name    string
	h       *disk.Handle
	want    []byte // as written
	acked   int    // of it was told to be durable
	covered int64  // as disk.Part has From
	noted   int64
}

// SyncBegin implements disk.Syncer.
func (f *fleet) SyncBegin(dst []disk.Part) []disk.Part {
	for _, name := range f.names() {
		s := f.logs[name]
		s.noted = int64(len(s.want))
		if s.covered < s.noted {
			s.h.Retain()
			dst = append(dst, disk.Part{Handle: s.h, From: s.covered, To: s.noted})
		}
	}
	return dst
}

// SyncEnd implements disk.Syncer.
func (f *fleet) SyncEnd(err error) {
	if err == nil {
		for _, s := range f.logs {
			s.acked, s.covered = int(s.noted), s.noted
		}
	}
	f.done <- err
}

func (f *fleet) names() []string {
	var out []string
	for i := range 4 {
		if name := fleetName(i); f.logs[name] != nil {
			out = append(out, name)
		}
	}
	return out
}

func fleetName(i int) string { return fmt.Sprintf("logs/%d/log", i) }

func (f *fleet) commit() error {
	f.d.Commit(f)
	return <-f.done
}

// open opens the logs that there are after a start and cuts them where their durable part ends.
func (f *fleet) open(m *disktest.FS) error {
	f.d = disk.New(m, disk.Options{SyncParallel: 1, SyncAllFrom: -1, JournalFrom: 1, JournalBytes: 2 << 10})
	for _, s := range f.logs {
		h, err := f.d.OpenFile(s.name, true)
		if errors.Is(err, fs.ErrNotExist) && s.acked == 0 {
			h, err = f.d.Create(s.name) // it was being removed
		}
		if err != nil {
			return err
		}
		s.h, s.covered, s.want = h, -1, s.want[:s.acked]
		if err := errors.Join(h.Truncate(int64(s.acked)), h.Sync()); err != nil {
			return err
		}
	}
	return nil
}

// check compares what is in the files with what was told to be durable.
func (f *fleet) check(m *disktest.FS) error {
	d := disk.New(m, disk.Options{})
	if err := d.Err(); err != nil {
		return err
	}
	for _, s := range f.logs {
		got, err := d.ReadFile(s.name, 1<<20)
		if err != nil && s.acked > 0 {
			return err
		}
		if len(got) < s.acked || !bytes.Equal(got[:s.acked], s.want[:s.acked]) {
			return fmt.Errorf("%s: %d bytes were durable, found %d, or others", s.name, s.acked, len(got))
		}
	}
	es, err := d.ReadDir(".")
	for _, e := range es {
		if strings.HasPrefix(e.Name, "journal.") {
			err = errors.Join(err, fmt.Errorf("%s is left after a replay", e.Name))
		}
	}
	return errors.Join(err, d.Close())
}

// step does one thing at random.
func (f *fleet) step(r *rand.Rand) error {
	name := fleetName(r.IntN(4))
	s := f.logs[name]
	switch k := r.IntN(20); {
	case s == nil:
		h, err := f.d.Create(name)
		if errors.Is(err, fs.ErrExist) {
			h, err = f.d.OpenFile(name, true) // it was being made
		}
		if err != nil {
			return err
		}
		f.logs[name] = &ship{name: name, h: h, covered: -1}
		return h.Truncate(0)
	case k == 0:
		s.h.Release()
		s.h = nil
		if err := f.d.RemoveAll(fmt.Sprintf("logs/%s", strings.Split(name, "/")[1])); err != nil {
			s.acked = 0 // half done, perhaps
			return err
		}
		delete(f.logs, name)
	case k == 1:
		return s.h.Sync()
	case k <= 4:
		n := r.IntN(len(s.want) + 1)
		s.acked, s.want, s.covered = min(s.acked, n), s.want[:n:n], -1
		return errors.Join(s.h.Truncate(int64(n)), s.h.Sync())
	case k <= 12:
		b := make([]byte, r.IntN(300))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		if _, err := s.h.WriteVec([][]byte{b}, int64(len(s.want))); err != nil {
			return err
		}
		s.want = append(s.want[:len(s.want):len(s.want)], b...)
	default:
		return f.commit()
	}
	return nil
}

func journalSeed(seed uint64) error {
	r := rand.New(rand.NewPCG(seed, 7))
	m := disktest.New()
	f := &fleet{logs: map[string]*ship{}, done: make(chan error, 1)}
	for range 4 {
		m.Inject(fmt.Sprintf("change#%d=halt", 1+r.IntN(120)))
		err := f.open(m)
		for i := 0; i < 60 && err == nil && !m.Halted(); i++ {
			err = f.step(r)
		}
		if err != nil && !m.Halted() {
			return err
		}
		m.Halt()
		for _, s := range f.logs {
			if s.h != nil {
				s.h.Release()
				s.h = nil
			}
		}
		_ = f.d.Close() // the disk has halted
		m = m.Crash(r.Uint64())
		if err := f.check(m.Crash(r.Uint64())); err != nil {
			return err
		}
	}
	return nil
}

// TestJournalSeeds lets logs share records of a small journal, cuts and removes them, and cuts the power at a random disk call,
// replay included: what was told to be durable is there, and nothing that was taken away comes back over it.
func TestJournalSeeds(t *testing.T) {
	seeds := 3000
	if v := os.Getenv("STORETEST_SEEDS"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			t.Fatal(err)
		}
		seeds = n
	}
	if testing.Short() {
		seeds = 300
	}
	for seed := range uint64(seeds) {
		if err := journalSeed(seed); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// waiting stalls the disk's only worker, lets logs append meanwhile, and then lets it go on: they share a round.
func waiting(t *testing.T, m *disktest.FS, busy *logOf, bytes int, logs ...*logOf) {
	t.Helper()
	m.Inject("sync(" + busy.h.Name() + ")#1=stall")
	busy.append(t, 1)
	m.WaitStalled(1)
	for _, l := range logs {
		l.append(t, bytes)
	}
	m.Unstall()
	for _, l := range append(logs, busy) {
		if err := l.wait(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestJournalShares has one sync for the small writes of three logs, and one for each of three large ones.
func TestJournalShares(t *testing.T) {
	d, m := newMemory(t, disk.Options{SyncParallel: 1, SyncAllFrom: -1, JournalBytes: 1 << 20})
	var logs []*logOf
	for i := range 4 {
		l := newLog(t, d, fmt.Sprint("log", i))
		defer l.h.Release()
		logs = append(logs, l)
	}
	waiting(t, m, logs[0], 100, logs[1:]...) // makes the journal
	before := m.Counts()[disktest.KindSync]
	waiting(t, m, logs[0], 100, logs[1:]...)
	if n := m.Counts()[disktest.KindSync] - before; n != 2 {
		t.Errorf("%d syncs, want that of the first log and that of the journal", n)
	}
	if s := d.Stats(); s.JournalRounds != 2 || s.JournalBytes < 600 || s.JournalBytes > 1200 {
		t.Errorf("%+v", s)
	}
	lost := m.CrashWith(disktest.CrashOptions{Data: disktest.Lost, Names: disktest.Lost})
	again := disk.New(lost, disk.Options{})
	for _, l := range logs {
		if b, err := again.ReadFile(l.h.Name(), 1<<20); err != nil || int64(len(b)) != l.synced {
			t.Errorf("%s: %d bytes after a power cut, %v; want %d", l.h.Name(), len(b), err, l.synced)
		}
	}
	before = m.Counts()[disktest.KindSync]
	waiting(t, m, logs[0], 200<<10, logs[1:]...)
	if n := m.Counts()[disktest.KindSync] - before; n != 4 {
		t.Errorf("%d syncs of large writes, want one a log", n)
	}
}

// TestJournalNoRoom: where the disk has no room for it, logs are synced one by one.
func TestJournalNoRoom(t *testing.T) {
	d, m := newMemory(t, disk.Options{SyncParallel: 1, SyncAllFrom: -1, JournalBytes: 1 << 20})
	m.SetCapacity(1 << 20)
	var logs []*logOf
	for i := range 3 {
		l := newLog(t, d, fmt.Sprint("log", i))
		defer l.h.Release()
		logs = append(logs, l)
	}
	waiting(t, m, logs[0], 100, logs[1:]...)
	if s := d.Stats(); s.JournalRounds != 0 || d.Err() != nil {
		t.Errorf("%+v, %v", s, d.Err())
	}
	if es, err := d.ReadDir("."); err != nil || len(es) != 3 {
		t.Errorf("left behind: %v, %v", es, err)
	}
}

// TestJournalFails: a record that cannot be synced takes the directory offline, and nobody is told of a success.
func TestJournalFails(t *testing.T) {
	d, m := newMemory(t, disk.Options{SyncParallel: 1, SyncAllFrom: -1, JournalBytes: 1 << 20})
	var logs []*logOf
	for i := range 3 {
		l := newLog(t, d, fmt.Sprint("log", i))
		defer l.h.Release()
		logs = append(logs, l)
	}
	waiting(t, m, logs[0], 100, logs[1:]...)
	m.Inject("sync(log0)#1=stall sync(journal.0)#1=EIO")
	logs[0].append(t, 1)
	m.WaitStalled(1)
	logs[1].append(t, 1)
	logs[2].append(t, 1)
	m.Unstall()
	for _, l := range logs[1:] {
		if err := l.wait(); err == nil {
			t.Errorf("%s: told of a success", l.h.Name())
		}
	}
	if d.Err() == nil {
		t.Error("not offline")
	}
}

// TestJournalPayload: a record that a client has put into its own data is not taken for one of the journal's, wherever it
// ends up lying.
func TestJournalPayload(t *testing.T) {
	d, m := newMemory(t, disk.Options{SyncParallel: 1, SyncAllFrom: -1, JournalBytes: 1 << 20})
	a, b, c := newLog(t, d, "a"), newLog(t, d, "b"), newLog(t, d, "c")
	for _, l := range []*logOf{a, b, c} {
		defer l.h.Release()
	}
	waiting(t, m, a, 100, b, c)
	fake := disk.FakeRecord(2, "victim", []byte("owned"))
	h, err := d.Create("victim")
	if err != nil {
		t.Fatal(err)
	}
	h.Release()
	// As if the journal's next record had been overwritten by what was in a client's data.
	cut := m.Kill()
	f, err := cut.Open("journal.0", disk.ModeWrite)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteVec([][]byte{fake}, int64(disk.RecordLen(t, cut))); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
	again := disk.New(cut, disk.Options{})
	if v, err := again.ReadFile("victim", 100); err != nil || len(v) != 0 {
		t.Errorf("the victim has %q, %v", v, err)
	}
}

// TestJournalMissingFile goes on when somebody has removed a file by hand.
func TestJournalMissingFile(t *testing.T) {
	d, m := newMemory(t, disk.Options{SyncParallel: 1, SyncAllFrom: -1, JournalBytes: 1 << 20})
	a, b, c := newLog(t, d, "a"), newLog(t, d, "b"), newLog(t, d, "c")
	for _, l := range []*logOf{a, b, c} {
		defer l.h.Release()
	}
	waiting(t, m, a, 10, b, c)
	waiting(t, m, a, 10, b, c)
	lost := m.CrashWith(disktest.CrashOptions{Data: disktest.Lost})
	if err := lost.Remove("b"); err != nil {
		t.Fatal(err)
	}
	again := disk.New(lost, disk.Options{})
	if err := again.Err(); err != nil {
		t.Fatal(err)
	}
	if v, err := again.ReadFile("c", 100); err != nil || int64(len(v)) != c.synced {
		t.Errorf("%d bytes, %v", len(v), err)
	}
	if _, err := again.ReadFile("b", 100); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("b: %v", err)
	}
}
