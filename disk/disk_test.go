package disk_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"penstock"
	"penstock/disk"
	"penstock/disk/disktest"
)

// seeds is how many power cuts each test tries at each point.
const seeds = 40

// TestDiskFull fills the disk: every writing call says so, nothing goes offline, and it works again when there is room.
func TestDiskFull(t *testing.T) {
	d, m := newMemory(t, disk.Options{})
	h, err := d.Create("log")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Release()
	m.SetCapacity(4 << 12)
	n, err := h.WriteVec([][]byte{make([]byte, 3<<12), make([]byte, 3<<12)}, 0)
	if n != 4<<12 || !errors.Is(err, penstock.ErrDiskFull) || !errors.Is(err, syscall.ENOSPC) || errors.Is(err, penstock.ErrOffline) {
		t.Errorf("wrote %d, %v", n, err)
	}
	if err := h.Allocate(0, 8<<12); !errors.Is(err, penstock.ErrDiskFull) {
		t.Errorf("Allocate: %v", err)
	}
	if err := d.WriteFile("small", []byte("x")); !errors.Is(err, penstock.ErrDiskFull) {
		t.Errorf("WriteFile: %v", err)
	}
	for _, rule := range []string{"mkdir#1=ENOSPC", "create#1=EDQUOT"} {
		m.Inject(rule)
		if _, err := d.Create("new/log"); !errors.Is(err, penstock.ErrDiskFull) {
			t.Errorf("Create, %s: %v", rule, err)
		}
	}
	if es, err := d.ReadDir("."); err != nil || len(es) != 2 {
		t.Errorf("left behind: %v, %v", es, err)
	}
	if d.Err() != nil {
		t.Errorf("offline: %v", d.Err())
	}
	if s := d.Stats(); s.Full != 5 || s.WriteBytes != 4<<12 {
		t.Errorf("%+v", s)
	}
	m.SetCapacity(40 << 12)
	if _, err := h.WriteVec([][]byte{make([]byte, 1<<12)}, 4<<12); err != nil {
		t.Error(err)
	}
	if err := errors.Join(h.Sync(), d.WriteFile("small", []byte("x"))); err != nil {
		t.Error(err)
	}
}

// TestBroken takes the directory offline by each call that finds the device broken.
func TestBroken(t *testing.T) {
	for _, rule := range []string{
		"write#1=EIO", "write#1=EROFS", "write#1=short/EIO", "allocate#1=EIO", "truncate#1=EIO", "sync#1=EIO", "syncdir#1=EIO",
		"create#1=EIO", "mkdir#1=EROFS", "rename#1=EIO", "remove#1=EIO",
	} {
		d, m := newMemory(t, disk.Options{})
		h, err := d.Create("log")
		if err != nil {
			t.Fatal(err)
		}
		m.Inject(rule)
		_, writeErr := h.WriteVec([][]byte{{1, 2}}, 0)
		err = errors.Join(writeErr, h.Allocate(0, 1), h.Truncate(1), d.MkdirAll("d"), d.WriteFile("f", nil), d.Remove("f"))
		if !errors.Is(err, penstock.ErrOffline) || d.Err() == nil {
			t.Errorf("%s: %v, %v", rule, err, d.Err())
		}
		if !errors.Is(err, syscall.EIO) && !errors.Is(err, syscall.EROFS) {
			t.Errorf("%s: the cause is lost: %v", rule, err)
		}
		if _, err := h.ReadAt(nil, 0); err != nil {
			t.Errorf("%s: read: %v", rule, err)
		}
		h.Release()
	}
}

// TestReadErrorIsNotOffline fails a read: only the one who reads hears of it.
func TestReadErrorIsNotOffline(t *testing.T) {
	d, m := newMemory(t, disk.Options{})
	h := sealed(t, d, "log")
	defer h.Release()
	m.Inject("read#1=EIO")
	if _, err := h.ReadAt(make([]byte, 1), 0); !errors.Is(err, syscall.EIO) || d.Err() != nil {
		t.Errorf("%v, %v", err, d.Err())
	}
	checkReads(t, h)
}

// step is one durable operation of a Disk. before is what can be seen if it has not happened, after if it has; a power
// cut while it runs may leave either, and what else is listed in between.
type step struct {
	name    string
	prepare func(d *disk.Disk) error
	do      func(d *disk.Disk) error
	see     func(d *disk.Disk) string
	before  string
	after   string
	between []string
}

func steps() []step {
	file := func(name string) func(d *disk.Disk) string {
		return func(d *disk.Disk) string {
			b, err := d.ReadFile(name, 1000)
			if errors.Is(err, fs.ErrNotExist) {
				return "missing"
			}
			return string(b) + " " + fmt.Sprint(err)
		}
	}
	create := func(d *disk.Disk, name string) error {
		h, err := d.Create(name)
		if err == nil {
			h.Release()
		}
		return err
	}
	return []step{
		{"create", func(*disk.Disk) error { return nil }, func(d *disk.Disk) error { return create(d, "a/b/c/log") },
			file("a/b/c/log"), "missing", " <nil>", nil},
		{"make directories", func(*disk.Disk) error { return nil }, func(d *disk.Disk) error { return d.MkdirAll("a/b/c") },
			func(d *disk.Disk) string {
				es, err := d.ReadDir("a/b")
				return fmt.Sprint(es, err)
			}, "[] <nil>", "[{c 0 true}] <nil>", nil},
		{"write a file", func(*disk.Disk) error { return nil }, func(d *disk.Disk) error { return d.WriteFile("a/b/f", []byte("new")) },
			file("a/b/f"), "missing", "new <nil>", nil},
		{"replace a file", func(d *disk.Disk) error { return d.WriteFile("a/f", []byte("old")) },
			func(d *disk.Disk) error { return d.WriteFile("a/f", []byte("newer")) }, file("a/f"), "old <nil>", "newer <nil>", nil},
		{"remove", func(d *disk.Disk) error { return d.WriteFile("a/f", []byte("old")) },
			func(d *disk.Disk) error { return d.Remove("a/f") }, file("a/f"), "old <nil>", "missing", nil},
		{"rename", func(d *disk.Disk) error { return errors.Join(d.WriteFile("a/f", []byte("old")), d.MkdirAll("b")) },
			func(d *disk.Disk) error { return d.Rename("a/f", "b/g") },
			func(d *disk.Disk) string { return file("a/f")(d) + " " + file("b/g")(d) },
			"old <nil> missing", "missing old <nil>", nil},
		{"rename a directory", func(d *disk.Disk) error { return d.WriteFile("a/b/f", []byte("old")) },
			func(d *disk.Disk) error { return d.Rename("a/b", "c") },
			func(d *disk.Disk) string { return file("a/b/f")(d) + " " + file("c/f")(d) },
			"old <nil> missing", "missing old <nil>", nil},
		{"remove all", func(d *disk.Disk) error {
			return errors.Join(d.WriteFile("a/b/f", nil), d.WriteFile("a/b/c/g", nil), d.WriteFile("a/h", nil))
		}, func(d *disk.Disk) error { return d.RemoveAll("a/b") },
			func(d *disk.Disk) string {
				es, err := d.ReadDir("a")
				in, err2 := d.ReadDir("a/b")
				return fmt.Sprint(es, len(in), err, err2)
			}, "[{b 0 true} {h 0 false}] 2 <nil> <nil>", "[{h 0 false}] 0 <nil> <nil>",
			[]string{"[{b 0 true} {h 0 false}] 1 <nil> <nil>", "[{b 0 true} {h 0 false}] 0 <nil> <nil>"}},
	}
}

// TestPowerCuts stops each operation at each of its calls, cuts the power, by many seeds, and looks: never anything
// but before or after, and after once the operation has returned. Then it is done again, over what is left.
func TestPowerCuts(t *testing.T) {
	for _, s := range steps() {
		t.Run(s.name, func(t *testing.T) {
			for n := 1; ; n++ {
				m := disktest.New()
				d := disk.New(m, disk.Options{})
				if err := s.prepare(d); err != nil {
					t.Fatal(err)
				}
				if got := s.see(d); got != s.before {
					t.Fatalf("before: %s", got)
				}
				m.Inject(fmt.Sprintf("change#%d=halt", n))
				err := s.do(d)
				if !m.Halted() {
					checkAfter(t, s, m, err)
					return
				}
				if err == nil {
					t.Fatalf("call %d failed unnoticed", n)
				}
				for seed := range uint64(seeds) {
					checkBetween(t, s, m.Crash(seed), fmt.Sprintf("call %d, seed %d", n, seed))
				}
				checkBetween(t, s, m.Kill(), fmt.Sprintf("call %d, kill", n))
			}
		})
	}
}

// checkAfter demands that the operation is durable.
func checkAfter(t *testing.T, s step, m *disktest.FS, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("without a fault: %v", err)
	}
	if n := m.OpenFiles(); n > 0 {
		t.Errorf("%d files are left open", n)
	}
	for seed := range uint64(seeds) {
		if got := s.see(disk.New(m.Crash(seed), disk.Options{})); got != s.after {
			t.Fatalf("seed %d: %s after the operation returned", seed, got)
		}
	}
}

// checkBetween demands before or after, does the operation again and demands that it is durable then.
func checkBetween(t *testing.T, s step, m *disktest.FS, when string) {
	t.Helper()
	d := disk.New(m, disk.Options{})
	if got := s.see(d); got != s.before && got != s.after && !slices.Contains(s.between, got) {
		t.Errorf("%s: %s", when, got)
	}
	err := s.do(d)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
		t.Errorf("%s, again: %v", when, err)
	}
	if err != nil {
		return // it had happened; that need not be durable, as nobody was told so
	}
	if got := s.see(disk.New(m.Crash(1), disk.Options{})); got != s.after {
		t.Errorf("%s: %s after it was done again", when, got)
	}
}

// TestEveryCallFails fails each call of each operation in turn: the operation fails, or it did not need the call; where
// the directory is offline nothing is half done afterwards, and where it is not the operation works when tried again.
func TestEveryCallFails(t *testing.T) {
	for _, s := range steps() {
		for _, errno := range []string{"EIO", "ENOSPC"} {
			for n := 1; ; n++ {
				m := disktest.New()
				d := disk.New(m, disk.Options{})
				if err := s.prepare(d); err != nil {
					t.Fatal(err)
				}
				before := m.Counts()
				m.Inject(fmt.Sprintf("change#%d=%s", n, errno))
				err := s.do(d)
				if err == nil {
					checkAfter(t, s, m, nil)
					if changes(m.Counts())-changes(before) < n {
						break
					}
					t.Errorf("%s: call %d failed unnoticed", s.name, n)
					continue
				}
				if errno == "EIO" && d.Err() == nil {
					t.Errorf("%s: call %d, EIO: not offline: %v", s.name, n, err)
				}
				m.Heal()
				if d.Err() == nil {
					checkBetween(t, s, m, fmt.Sprintf("%s: call %d, %s", s.name, n, errno))
				}
				if n := m.OpenFiles(); n > 0 {
					t.Errorf("%s: %d files are left open", s.name, n)
				}
			}
		}
	}
}

// changes is the number of calls that rules of kind "change" see.
func changes(counts map[disktest.Kind]int) (n int) {
	for _, k := range []disktest.Kind{
		disktest.KindCreate, disktest.KindWrite, disktest.KindAllocate, disktest.KindTruncate, disktest.KindSync, disktest.KindMkdir,
		disktest.KindRemove, disktest.KindRename, disktest.KindSyncDir, disktest.KindSyncAll,
	} {
		n += counts[k]
	}
	return n
}

// TestNamesOfTheDead kills a process between the making of a file and the sync of its directory. The next process
// appends to the file, syncs it, and must not lose it in a power cut.
func TestNamesOfTheDead(t *testing.T) {
	m := disktest.New()
	m.Inject("syncdir#1=halt")
	if _, err := disk.New(m, disk.Options{}).Create("a/b/log"); err == nil {
		t.Fatal("no error")
	}
	m = m.Kill()
	if err := m.MkdirAll("a/b"); err != nil { // as if it had come further
		t.Fatal(err)
	}
	f, err := m.Open("a/b/log", disk.ModeCreate)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	m = m.Kill()
	d := disk.New(m, disk.Options{})
	h, err := d.OpenFile("a/b/log", true)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Release()
	if _, err := h.WriteVec([][]byte{[]byte("data")}, 0); err != nil {
		t.Fatal(err)
	}
	if err := h.Sync(); err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(seeds) {
		got, err := disk.New(m.Crash(seed), disk.Options{}).ReadFile("a/b/log", 10)
		if string(got) != "data" || err != nil {
			t.Fatalf("seed %d: %q, %v", seed, got, err)
		}
	}
}

// TestCalls is the golden list of the calls of each operation, so that none is added unseen. Directories that are known
// to be durable are not synced again.
func TestCalls(t *testing.T) {
	m := disktest.New()
	d := disk.New(m, disk.Options{})
	for _, tt := range []struct {
		do   func() error
		want []string
	}{
		{func() error { _, err := d.Create("t/0/1.log"); return err }, []string{
			"mkdir t", "syncdir .", "mkdir t/0", "syncdir t", "create t/0/1.log", "syncdir t/0"}},
		{func() error { _, err := d.Create("t/0/2.log"); return err }, []string{"create t/0/2.log", "syncdir t/0"}},
		{func() error { _, err := d.OpenFile("t/0/2.log", true); return err }, []string{"open t/0/2.log"}},
		{func() error { return d.WriteFile("t/0/f", []byte("data")) }, []string{
			"create t/0/f.tmp", "write t/0/f.tmp 0+4", "sync t/0/f.tmp", "close t/0/f.tmp", "rename t/0/f.tmp t/0/f", "syncdir t/0"}},
		{func() error { _, err := d.ReadFile("t/0/f", 4); return err }, []string{"open t/0/f", "size t/0/f", "read t/0/f", "close t/0/f"}},
		{func() error { return d.Remove("t/0/f") }, []string{"remove t/0/f", "syncdir t/0"}},
		{func() error { return d.Rename("t/0/1.log", "t/1.log") }, []string{"rename t/0/1.log t/1.log", "syncdir t", "syncdir t/0"}},
		{func() error { return d.MkdirAll("t/0") }, nil},
		{func() error { return d.RemoveAll("t") }, []string{
			"readdir t", "readdir t/0", "remove t/0/2.log", "remove t/0", "remove t/1.log", "remove t", "syncdir ."}},
		{func() error { return d.MkdirAll("t") }, []string{"mkdir t", "syncdir ."}},
	} {
		m.StartTrace()
		if err := tt.do(); err != nil {
			t.Error(err)
		}
		if got := m.Trace(); !slices.Equal(got, tt.want) {
			t.Errorf("got  %q\nwant %q", got, tt.want)
		}
	}
}

// TestReadFile has limits and a file that is missing.
func TestReadFile(t *testing.T) {
	d, m := newMemory(t, disk.Options{})
	if err := d.WriteFile("f", []byte("12345")); err != nil {
		t.Fatal(err)
	}
	if got, err := d.ReadFile("f", 5); string(got) != "12345" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := d.ReadFile("f", 4); err == nil {
		t.Error("read a file over the limit")
	}
	if _, err := d.ReadFile("g", 4); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if es, err := d.ReadDir("missing"); es != nil || err != nil {
		t.Errorf("%v, %v", es, err)
	}
	if s, err := d.Space(); err != nil || s.Free <= 0 {
		t.Errorf("%+v, %v", s, err)
	}
	if n := m.OpenFiles(); n > 0 {
		t.Errorf("%d files are left open", n)
	}
}

// TestWriteFileTogether replaces one file from many goroutines, over a temporary file that a crash left behind.
func TestWriteFileTogether(t *testing.T) {
	d, m := newMemory(t, disk.Options{})
	if _, err := m.Open("f"+disk.TempSuffix, disk.ModeCreate); err != nil {
		t.Fatal(err)
	}
	const writers = 8
	done := make(chan error)
	for i := range writers {
		go func() { done <- d.WriteFile("f", bytes.Repeat([]byte{byte(i)}, 100)) }()
	}
	for range writers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	got, err := d.ReadFile("f", 100)
	if err != nil || len(got) != 100 || !bytes.Equal(got, bytes.Repeat(got[:1], 100)) {
		t.Errorf("%q, %v", got, err)
	}
	es, err := d.ReadDir(path.Dir("f"))
	if err != nil || len(es) != 1 {
		t.Errorf("%v, %v", es, err)
	}
}

// TestStall counts and logs a call that takes too long.
func TestStall(t *testing.T) {
	var log bytes.Buffer
	d, _ := newMemory(t, disk.Options{StallWarning: time.Nanosecond, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	h := sealed(t, d, "log")
	defer h.Release()
	checkReads(t, h)
	if s := d.Stats(); s.Stalls == 0 || s.Reads != 1 || s.ReadBytes != 3 {
		t.Errorf("%+v", s)
	}
	if !strings.Contains(log.String(), "disk is slow") {
		t.Errorf("log: %s", log.String())
	}
}
