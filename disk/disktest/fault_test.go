package disktest_test

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"

	"penstock/disk"
	"penstock/disk/disktest"
)

// TestFull fills the disk by writing and by reserving, and gives room back.
func TestFull(t *testing.T) {
	const block = 4096
	m := disktest.New()
	m.SetCapacity(10 * block)
	free := func(want int64) {
		t.Helper()
		s, err := m.Space()
		if err != nil || s.Free != want*block || s.Total != 10*block {
			t.Errorf("%+v, %v, want %d blocks free", s, err, want)
		}
	}
	f, g := create(t, m, "f"), create(t, m, "g")
	must(t, f.Allocate(0, 4*block), f.Allocate(block, 2*block))
	free(6)
	write(t, f, 0, strings.Repeat("x", 4*block)) // into the reservation
	free(6)
	write(t, g, block-1, "xx")
	free(4)
	if err := g.Allocate(0, 7*block); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("reserved more than there is: %v", err)
	}
	free(4)
	n, err := g.WriteVec([][]byte{make([]byte, block), make([]byte, 9*block)}, block)
	if n != 5*block || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("wrote %d, %v", n, err)
	}
	free(0)
	write(t, g, 0, "over what is there")
	if n, err := g.WriteVec([][]byte{{1}}, 100*block); n != 0 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("wrote %d, %v", n, err)
	}
	must(t, g.Truncate(block+1))
	free(4)
	must(t, f.Truncate(1))
	free(7)
	must(t, m.Remove("f"))
	free(7) // still open
	must(t, f.Close())
	free(8)
	must(t, g.Close(), m.Remove("g"))
	free(10)
	m.SetCapacity(20 * block)
	if s, err := m.Space(); err != nil || s.Free != 20*block {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestRoomAfterCrash recounts what is occupied, a file included whose removal was lost.
func TestRoomAfterCrash(t *testing.T) {
	const block = 4096
	m := disktest.New()
	m.SetCapacity(100 * block)
	f := create(t, m, "f")
	write(t, f, 0, strings.Repeat("x", 3*block))
	must(t, m.SyncAll(), f.Close(), m.Remove("f"))
	g := create(t, m, "g")
	must(t, g.Allocate(0, 10*block))
	got := map[int64]bool{}
	for seed := range uint64(seeds) {
		s, err := m.Crash(seed).Space()
		must(t, err)
		got[100-s.Free/block] = true
	}
	for _, want := range []int64{0, 3, 10} {
		if !got[want] {
			t.Errorf("never %d blocks occupied: %v", want, got)
		}
	}
	if len(got) > 4 { // 13 is possible too
		t.Errorf("occupied: %v", got)
	}
}

// TestRules runs calls under rules and looks at which fail.
func TestRules(t *testing.T) {
	for _, tt := range []struct {
		rules string
		want  string // verdict of each of: write a, sync a, write b.log, sync b.log, write a, sync a
	}{
		{"", "......"},
		{"write#1=EIO", "E....."},
		{"write#2=EIO", "..E..."},
		{"write#3=ENOSPC", "....N."},
		{"write(a)#2=EDQUOT", "....Q."},
		{"write(*.log)#1=EROFS", "..R..."},
		{"sync(d/*.log)#1=EIO", "...E.."},
		{"sync(x/*.log)#1=EIO", "......"},
		{"sync#*=EIO", ".E.E.E"},
		{"sync#2+=EIO", "...E.E"},
		{"any#2-4=EIO", ".EEE.."},
		{"change#4-5=EIO; write#1=ENOSPC", "N..EE."},
		{"write#1=ENOSPC\nany#1=EIO", "N....."},
		{"write#2=short", "..N..."},
		{"write#2=short/EIO", "..E..."},
		{"sync#1=lie", "......"},
		{"write#2=halt", "..HHHH"},
		{"sync#2=halt", "...HHH"},
	} {
		m := disktest.New()
		must(t, m.MkdirAll("d"))
		a, b := create(t, m, "d/a"), create(t, m, "d/b.log")
		m.Inject(tt.rules)
		w := func(f disk.File) error {
			n, err := f.WriteVec([][]byte{make([]byte, 10)}, 0)
			switch {
			case err == nil && n != 10:
				t.Errorf("%s: wrote %d without an error", tt.rules, n)
			case strings.Contains(tt.rules, "short") && err != nil && n != 5:
				t.Errorf("%s: wrote %d", tt.rules, n)
			}
			return err
		}
		got := ""
		for _, err := range []error{w(a), a.Sync(), w(b), b.Sync(), w(a), a.Sync()} {
			got += letter(err)
		}
		if got != tt.want {
			t.Errorf("%q: %s, want %s", tt.rules, got, tt.want)
		}
	}
}

func letter(err error) string {
	for _, l := range []struct {
		err  error
		name string
	}{
		{disktest.ErrHalted, "H"}, {syscall.EIO, "E"}, {syscall.ENOSPC, "N"}, {syscall.EDQUOT, "Q"}, {syscall.EROFS, "R"},
	} {
		if errors.Is(err, l.err) {
			return l.name
		}
	}
	if err != nil {
		return "?"
	}
	return "."
}

// TestRulesEveryKind fails one call of each kind: it has no effect, and the next one works.
func TestRulesEveryKind(t *testing.T) {
	m := disktest.New()
	must(t, m.MkdirAll("d"))
	f := create(t, m, "d/f")
	var g disk.File
	for kind, call := range map[disktest.Kind]func() error{
		disktest.KindOpen: func() (err error) {
			if g, err = m.Open("d/f", disk.ModeRead); err == nil {
				err = g.Close()
			}
			return err
		},
		disktest.KindCreate: func() (err error) {
			if g, err = m.Open("d/g", disk.ModeCreate); err == nil {
				err = g.Close()
			}
			return err
		},
		disktest.KindRead:     func() error { _, err := f.ReadAt(nil, 0); return err },
		disktest.KindWrite:    func() error { _, err := f.WriteVec([][]byte{{1}}, 0); return err },
		disktest.KindAllocate: func() error { return f.Allocate(0, 1) },
		disktest.KindTruncate: func() error { return f.Truncate(1) },
		disktest.KindSync:     func() error { return f.Sync() },
		disktest.KindSize:     func() error { _, err := f.Size(); return err },
		disktest.KindMkdir:    func() error { return m.MkdirAll("e") },
		disktest.KindReadDir:  func() error { _, err := m.ReadDir("d"); return err },
		disktest.KindSyncDir:  func() error { return m.SyncDir("d") },
		disktest.KindSyncAll:  func() error { return m.SyncAll() },
		disktest.KindSpace:    func() error { _, err := m.Space(); return err },
	} {
		m.Inject(string(kind) + "#1=EROFS")
		if err := call(); !errors.Is(err, syscall.EROFS) {
			t.Errorf("%s: %v", kind, err)
		}
		if err := call(); err != nil {
			t.Errorf("%s again: %v", kind, err)
		}
		if n := m.Counts()[kind]; n < 2 {
			t.Errorf("%s was counted %d times", kind, n)
		}
	}
	m.Inject("rename#1=EIO remove#1=EIO")
	if err := m.Rename("d/f", "d/h"); !errors.Is(err, syscall.EIO) || content(t, m, "d/f") == "missing" {
		t.Errorf("rename: %v", err)
	}
	if err := m.Remove("d/f"); !errors.Is(err, syscall.EIO) || content(t, m, "d/f") == "missing" {
		t.Errorf("remove: %v", err)
	}
	m.Inject("close#1=EIO")
	if err := f.Close(); !errors.Is(err, syscall.EIO) || m.OpenFiles() != 0 {
		t.Errorf("close: %v, %d open", err, m.OpenFiles())
	}
}

// TestHalt stops at each kind of change: its effect may be there after the power cut or not, and nothing works any more.
func TestHalt(t *testing.T) {
	for _, tt := range []struct {
		rule string
		call func(m *disktest.FS, f disk.File) error
		want []string // of f and g
	}{
		{"write#1=halt", func(_ *disktest.FS, f disk.File) error {
			_, err := f.WriteVec([][]byte{[]byte("new")}, 0)
			return err
		}, []string{"old -", "new -"}},
		{"sync#1=halt", func(_ *disktest.FS, f disk.File) error {
			_, err := f.WriteVec([][]byte{[]byte("new")}, 0)
			return errors.Join(err, f.Sync())
		}, []string{"old -", "new -"}},
		{"truncate#1=halt", func(_ *disktest.FS, f disk.File) error { return f.Truncate(1) }, []string{"old -", "o -"}},
		{"create#1=halt", func(m *disktest.FS, _ disk.File) error { _, err := m.Open("g", disk.ModeCreate); return err },
			[]string{"old -", "old "}},
		{"remove#1=halt", func(m *disktest.FS, _ disk.File) error { return m.Remove("f") }, []string{"old -", "- -"}},
		{"rename#1=halt", func(m *disktest.FS, _ disk.File) error { return m.Rename("f", "g") }, []string{"old -", "- old"}},
		{"syncall#1=halt", func(m *disktest.FS, _ disk.File) error { return errors.Join(m.Remove("f"), m.SyncAll()) },
			[]string{"old -", "- -"}},
		{"syncdir#1=halt", func(m *disktest.FS, _ disk.File) error { return errors.Join(m.Remove("f"), m.SyncDir(".")) },
			[]string{"old -", "- -"}},
	} {
		m := disktest.New()
		f := create(t, m, "f")
		write(t, f, 0, "old")
		must(t, m.SyncAll())
		m.Inject(tt.rule)
		if err := tt.call(m, f); !errors.Is(err, disktest.ErrHalted) || !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: %v", tt.rule, err)
		}
		if _, err := m.Space(); !m.Halted() || !errors.Is(err, disktest.ErrHalted) {
			t.Errorf("%s: goes on, %v", tt.rule, err)
		}
		wantOutcomes(t, outcomes(m, func(c *disktest.FS) string {
			return strings.ReplaceAll(content(t, c, "f")+" "+content(t, c, "g"), "missing", "-")
		}), tt.want...)
	}
	m := disktest.New()
	m.Inject("space#1=halt")
	if _, err := m.Space(); !errors.Is(err, disktest.ErrHalted) {
		t.Errorf("a reading call at the halt: %v", err)
	}
}

// TestStall holds a sync: what is written meanwhile is not covered by it, and a halt ends it.
func TestStall(t *testing.T) {
	m := disktest.New()
	f := create(t, m, "f")
	must(t, f.Truncate(1024), m.SyncAll())
	m.Inject("sync#1=stall sync#2=stall/EIO sync#3=stall")
	done := make(chan error)
	write(t, f, 0, "a")
	go func() { done <- f.Sync() }()
	m.WaitStalled(1)
	write(t, f, 512, "b")
	m.Unstall()
	must(t, <-done)
	see := func(c *disktest.FS) string { return strings.ReplaceAll(content(t, c, "f"), "\x00", "") }
	wantOutcomes(t, outcomes(m, see), "a", "ab")
	go func() { done <- f.Sync() }()
	m.WaitStalled(1)
	m.Heal()
	if err := <-done; !errors.Is(err, syscall.EIO) {
		t.Errorf("stall/EIO: %v", err)
	}
	m.Inject("sync#1=stall")
	go func() { done <- f.Sync() }()
	m.WaitStalled(1)
	m.Halt()
	if err := <-done; !errors.Is(err, disktest.ErrHalted) {
		t.Errorf("stalled at the halt: %v", err)
	}
}

// TestStallNames holds syncs of names: what is renamed or removed meanwhile is not covered.
func TestStallNames(t *testing.T) {
	m := disktest.New()
	write(t, create(t, m, "f"), 0, "f")
	m.Inject("syncall#1=stall syncdir#1=stall")
	done := make(chan error)
	go func() { done <- m.SyncAll() }()
	m.WaitStalled(1)
	must(t, m.Remove("f"))
	m.Unstall()
	must(t, <-done)
	wantOutcomes(t, outcomes(m, func(c *disktest.FS) string { return content(t, c, "f") }), "f", "missing")
	create(t, m, "g")
	go func() { done <- m.SyncDir(".") }()
	m.WaitStalled(1)
	must(t, m.Rename("g", "h"))
	m.Unstall()
	must(t, <-done)
	wantOutcomes(t, outcomes(m, func(c *disktest.FS) string {
		return content(t, c, "f") + " " + content(t, c, "g") + " " + content(t, c, "h")
	}), "missing  missing", "missing missing ")
	must(t, m.SyncAll())
	m.Inject("syncdir#1=stall")
	go func() { done <- m.SyncDir(".") }()
	m.WaitStalled(1)
	must(t, m.Remove("h"))
	m.Unstall()
	must(t, <-done)
	wantOutcomes(t, outcomes(m, func(c *disktest.FS) string { return content(t, c, "h") }), "", "missing")
}

// TestViolations is what the disk says about those who misuse it.
func TestViolations(t *testing.T) {
	m := disktest.New()
	f := create(t, m, "f")
	m.Inject("write#1=stall")
	done := make(chan error)
	go func() { _, err := f.WriteVec([][]byte{{1}}, 0); done <- err }()
	m.WaitStalled(1)
	must(t, f.Truncate(0))
	m.Unstall()
	must(t, <-done, f.Truncate(0), f.Close())
	if got := m.Violations(); len(got) != 1 || !strings.Contains(got[0], "truncate of f during") {
		t.Errorf("two writers: %q", got)
	}
	if err := f.Sync(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("sync after close: %v", err)
	}
	if err := f.Close(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("close after close: %v", err)
	}
	if _, err := m.Open("../f", disk.ModeRead); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("name: %v", err)
	}
	if got := m.Violations(); len(got) != 4 {
		t.Errorf("violations: %q", got)
	}
}

// TestTrace is the list of calls.
func TestTrace(t *testing.T) {
	m := disktest.New()
	must(t, m.MkdirAll("before"))
	m.StartTrace()
	must(t, m.MkdirAll("d"))
	f := create(t, m, "d/f")
	write(t, f, 3, "data")
	must(t, f.Truncate(2), f.Sync(), f.Close(), m.SyncDir("d"), m.Rename("d/f", "d/g"), m.SyncAll())
	want := []string{"mkdir d", "create d/f", "write d/f 3+4", "truncate d/f 2", "sync d/f", "close d/f", "syncdir d", "rename d/f d/g", "syncall ."}
	if got := m.Trace(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestRuleFaults are texts that are no rules.
func TestRuleFaults(t *testing.T) {
	for _, text := range []string{
		"sync", "sync#1", "sync=EIO", "#1=EIO", "sink#1=EIO", "sync#=EIO", "sync#0=EIO", "sync#-1=EIO", "sync#x=EIO", "sync#3-2=EIO",
		"sync#1+-2=EIO", "sync#1=", "sync#1=EWHAT", "sync#1=short", "sync#1=lie/EIO", "sync#1=halt/EIO", "sync#1=EIO/EIO",
		"sync(a#1=EIO", "sync([)#1=EIO", "write#1=EIO sync",
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q is taken for a rule", text)
				}
			}()
			disktest.New().Inject(text)
		}()
	}
}
