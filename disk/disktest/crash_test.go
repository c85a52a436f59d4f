package disktest_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"penstock/disk"
	"penstock/disk/disktest"
)

// seeds is how many power cuts each test tries.
const seeds = 400

// fataler is what testing.T, testing.B and rapid.T have in common, as far as it is needed here.
type fataler interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func create(t fataler, m *disktest.FS, name string) disk.File {
	t.Helper()
	f, err := m.Open(name, disk.ModeCreate)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func write(t fataler, f disk.File, off int64, data string) {
	t.Helper()
	if n, err := f.WriteVec([][]byte{[]byte(data)}, off); err != nil || n != int64(len(data)) {
		t.Fatalf("wrote %d of %d: %v", n, len(data), err)
	}
}

// must fails the test if one of the calls did.
func must(t fataler, errs ...error) {
	t.Helper()
	for i, err := range errs {
		if err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
	}
}

// content is a whole file, "missing" if there is none.
func content(t fataler, m *disktest.FS, name string) string {
	t.Helper()
	f, err := m.Open(name, disk.ModeRead)
	if err != nil {
		return "missing"
	}
	defer func() { must(t, f.Close()) }()
	size, err := f.Size()
	must(t, err)
	b := make([]byte, size)
	_, err = f.ReadAt(b, 0)
	must(t, err)
	return string(b)
}

// outcomes counts what describe says about the file system after each of many power cuts.
func outcomes(m *disktest.FS, describe func(*disktest.FS) string) map[string]int {
	got := map[string]int{}
	for seed := range uint64(seeds) {
		got[describe(m.Crash(seed))]++
	}
	return got
}

// wantOutcomes demands that exactly these outcomes are seen: fewer, and the disk hides a loss that a program must be
// ready for; more, and it invents one that cannot happen.
func wantOutcomes(t *testing.T, got map[string]int, want ...string) {
	t.Helper()
	slices.Sort(want)
	if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, want) {
		t.Errorf("seen %q (%v), want %q", names, got, want)
	}
}

// TestLosses is what a power cut may do after each of the mistakes that a program can make, and after none. Each row
// is a planted violation: a test that cannot see the outcome would not find the mistake.
func TestLosses(t *testing.T) {
	file := func(name string) func(*testing.T, *disktest.FS) string {
		return func(t *testing.T, m *disktest.FS) string { return content(t, m, name) }
	}
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, m *disktest.FS)
		see  func(*testing.T, *disktest.FS) string
		want []string
	}{
		{"everything synced", func(t *testing.T, m *disktest.FS) {
			must(t, m.MkdirAll("a/b"), m.SyncDir("."), m.SyncDir("a"))
			f := create(t, m, "a/b/f")
			write(t, f, 0, "data")
			must(t, f.Sync(), m.SyncDir("a/b"))
		}, file("a/b/f"), []string{"data"}},
		{"everything synced at once", func(t *testing.T, m *disktest.FS) {
			must(t, m.MkdirAll("a/b"))
			write(t, create(t, m, "a/b/f"), 0, "data")
			must(t, m.SyncAll())
		}, file("a/b/f"), []string{"data"}},
		{"file not synced", func(t *testing.T, m *disktest.FS) {
			write(t, create(t, m, "f"), 0, "data")
			must(t, m.SyncDir("."))
		}, file("f"), []string{"", "\x00\x00\x00\x00", "data"}},
		{"directory not synced", func(t *testing.T, m *disktest.FS) {
			f := create(t, m, "f")
			write(t, f, 0, "data")
			must(t, f.Sync())
		}, file("f"), []string{"data", "missing"}},
		{"parent not synced", func(t *testing.T, m *disktest.FS) {
			must(t, m.MkdirAll("a"))
			f := create(t, m, "a/f")
			write(t, f, 0, "data")
			must(t, f.Sync(), m.SyncDir("a"))
		}, file("a/f"), []string{"data", "missing"}},
		{"renamed without a sync of the file", func(t *testing.T, m *disktest.FS) {
			old := create(t, m, "f")
			write(t, old, 0, "old")
			must(t, old.Sync(), m.SyncDir("."))
			write(t, create(t, m, "tmp"), 0, "new")
			must(t, m.Rename("tmp", "f"), m.SyncDir("."))
		}, file("f"), []string{"", "\x00\x00\x00", "new"}},
		{"renamed without a sync of the directory", func(t *testing.T, m *disktest.FS) {
			old := create(t, m, "f")
			write(t, old, 0, "old")
			must(t, old.Sync(), m.SyncDir("."))
			f := create(t, m, "tmp")
			write(t, f, 0, "new")
			must(t, f.Sync(), m.Rename("tmp", "f"))
		}, file("f"), []string{"new", "old"}},
		{"moved, one directory synced", func(t *testing.T, m *disktest.FS) {
			must(t, m.MkdirAll("a"), m.MkdirAll("b"))
			create(t, m, "a/f")
			must(t, m.SyncAll(), m.Rename("a/f", "b/f"), m.SyncDir("b"))
		}, func(t *testing.T, m *disktest.FS) string {
			return "a:" + content(t, m, "a/f") + " b:" + content(t, m, "b/f")
		}, []string{"a: b:missing", "a:missing b:"}},
		{"moved, both directories synced", func(t *testing.T, m *disktest.FS) {
			must(t, m.MkdirAll("a"), m.MkdirAll("b"))
			create(t, m, "a/f")
			must(t, m.SyncAll(), m.Rename("a/f", "b/f"), m.SyncDir("b"), m.SyncDir("a"))
		}, func(t *testing.T, m *disktest.FS) string {
			return "a:" + content(t, m, "a/f") + " b:" + content(t, m, "b/f")
		}, []string{"a:missing b:"}},
		{"renamed twice without a sync", func(t *testing.T, m *disktest.FS) {
			create(t, m, "f")
			must(t, m.SyncAll(), m.Rename("f", "g"), m.Rename("g", "h"))
		}, func(t *testing.T, m *disktest.FS) string {
			es, err := m.ReadDir(".")
			must(t, err)
			return fmt.Sprint(es)
		}, []string{"[{f 0 false}]", "[{g 0 false}]", "[{h 0 false}]"}},
		{"removed without a sync", func(t *testing.T, m *disktest.FS) {
			write(t, create(t, m, "f"), 0, "data")
			must(t, m.SyncAll(), m.Remove("f"))
		}, file("f"), []string{"data", "missing"}},
		{"removed, made again, not synced", func(t *testing.T, m *disktest.FS) {
			write(t, create(t, m, "f"), 0, "old")
			must(t, m.SyncAll(), m.Remove("f"))
			f := create(t, m, "f")
			write(t, f, 0, "new")
			must(t, f.Sync())
		}, file("f"), []string{"missing", "new", "old"}},
		{"truncate not synced", func(t *testing.T, m *disktest.FS) {
			f := create(t, m, "f")
			write(t, f, 0, "123456")
			must(t, m.SyncAll(), f.Truncate(3))
		}, file("f"), []string{"123", "123456"}},
		{"truncate not synced, written over", func(t *testing.T, m *disktest.FS) {
			f := create(t, m, "f")
			write(t, f, 0, "123456")
			must(t, m.SyncAll(), f.Truncate(3))
			write(t, f, 3, "x")
		}, file("f"), []string{"123", "123456", "123x", "123x56", "123\x00"}},
		{"synced, then written", func(t *testing.T, m *disktest.FS) {
			f := create(t, m, "f")
			write(t, f, 0, "aa")
			must(t, f.Sync(), m.SyncDir("."))
			write(t, f, 2, "bb")
		}, file("f"), []string{"aa", "aa\x00\x00", "aabb"}},
		{"a sync of another file", func(t *testing.T, m *disktest.FS) {
			write(t, create(t, m, "f"), 0, "f")
			g := create(t, m, "g")
			must(t, g.Sync(), m.SyncDir("."))
		}, file("f"), []string{"", "\x00", "f"}},
		{"two writes", func(t *testing.T, m *disktest.FS) {
			f := create(t, m, "f")
			must(t, f.Truncate(1024), f.Sync(), m.SyncDir("."))
			write(t, f, 0, "a")
			write(t, f, 512, "b")
		}, func(t *testing.T, m *disktest.FS) string {
			return strings.ReplaceAll(content(t, m, "f"), "\x00", "")
		}, []string{"", "a", "b", "ab"}},
		{"one write of two sectors", func(t *testing.T, m *disktest.FS) {
			f := create(t, m, "f")
			must(t, f.Truncate(1024), f.Sync(), m.SyncDir("."))
			write(t, f, 511, "ab")
		}, func(t *testing.T, m *disktest.FS) string {
			return strings.ReplaceAll(content(t, m, "f"), "\x00", "")
		}, []string{"", "a", "b", "ab"}},
		{"one write in one sector", func(t *testing.T, m *disktest.FS) {
			f := create(t, m, "f")
			must(t, f.Truncate(1024), f.Sync(), m.SyncDir("."))
			write(t, f, 0, strings.Repeat("a", 512))
		}, func(t *testing.T, m *disktest.FS) string {
			return fmt.Sprint(strings.Count(content(t, m, "f"), "a"))
		}, []string{"0", "512"}},
		{"a sector written twice", func(t *testing.T, m *disktest.FS) {
			f := create(t, m, "f")
			must(t, f.Truncate(2), f.Sync(), m.SyncDir("."))
			write(t, f, 0, "a")
			write(t, f, 1, "b")
		}, file("f"), []string{"\x00\x00", "a\x00", "\x00b", "ab"}},
		{"a sync that failed, and one that did not", func(t *testing.T, m *disktest.FS) {
			f := create(t, m, "f")
			must(t, f.Truncate(1), f.Sync(), m.SyncDir("."))
			write(t, f, 0, "a")
			m.Inject("sync#1=EIO")
			if f.Sync() == nil {
				t.Error("no error")
			}
			must(t, f.Sync(), m.SyncAll())
		}, file("f"), []string{"\x00", "a"}},
		{"written again after a sync that failed", func(t *testing.T, m *disktest.FS) {
			f := create(t, m, "f")
			must(t, f.Truncate(1), f.Sync(), m.SyncDir("."))
			write(t, f, 0, "a")
			m.Inject("sync#1=EIO")
			if f.Sync() == nil {
				t.Error("no error")
			}
			write(t, f, 0, "b")
			must(t, f.Sync())
		}, file("f"), []string{"b"}},
		{"a sync of all that failed", func(t *testing.T, m *disktest.FS) {
			write(t, create(t, m, "f"), 0, "a")
			m.Inject("syncall#1=EIO")
			if m.SyncAll() == nil {
				t.Error("no error")
			}
			must(t, m.SyncAll())
		}, file("f"), []string{"", "\x00", "a", "missing"}},
		{"a sync of a directory that failed", func(t *testing.T, m *disktest.FS) {
			create(t, m, "f")
			m.Inject("syncdir#1=EIO")
			if m.SyncDir(".") == nil {
				t.Error("no error")
			}
			must(t, m.SyncDir("."))
		}, file("f"), []string{"", "missing"}},
		{"a sync that lies", func(t *testing.T, m *disktest.FS) {
			f := create(t, m, "f")
			must(t, m.SyncDir("."))
			write(t, f, 0, "a")
			m.Inject("sync#1=lie")
			must(t, f.Sync())
		}, file("f"), []string{"", "\x00", "a"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := disktest.New()
			tt.do(t, m)
			wantOutcomes(t, outcomes(m, func(c *disktest.FS) string { return tt.see(t, c) }), tt.want...)
		})
	}
}

// TestFates forces what becomes of the changes.
func TestFates(t *testing.T) {
	m := disktest.New()
	f := create(t, m, "f")
	must(t, m.SyncDir("."))
	for i := range 4 {
		write(t, f, int64(i)*512, strings.Repeat(string(rune('a'+i)), 512))
	}
	create(t, m, "g")
	create(t, m, "h")
	see := func(c *disktest.FS) string {
		b := content(t, c, "f")
		return fmt.Sprintf("%d%s %s %s", len(b)/512, strings.Map(func(r rune) rune {
			if r == 0 {
				return '0'
			}
			return -1
		}, b[:min(len(b), 1)]), content(t, c, "g"), content(t, c, "h"))
	}
	count := func(o disktest.CrashOptions) map[string]int {
		got := map[string]int{}
		for o.Seed = range uint64(seeds) {
			got[see(m.CrashWith(o))]++
		}
		return got
	}
	wantOutcomes(t, count(disktest.CrashOptions{Data: disktest.Lost, Names: disktest.Lost}), "0 missing missing")
	wantOutcomes(t, count(disktest.CrashOptions{Data: disktest.Kept, Names: disktest.Kept}), "4  ")
	wantOutcomes(t, count(disktest.CrashOptions{Data: disktest.Ordered, Names: disktest.Lost}),
		"0 missing missing", "1 missing missing", "2 missing missing", "3 missing missing", "4 missing missing")
	wantOutcomes(t, count(disktest.CrashOptions{Data: disktest.Kept, Names: disktest.Ordered}), "4 missing missing", "4  missing", "4  ")
}

// TestCrashIsAFunctionOfTheSeed crashes twice with each seed, and demands that seeds differ.
func TestCrashIsAFunctionOfTheSeed(t *testing.T) {
	m := disktest.New()
	for i := range 5 {
		write(t, create(t, m, fmt.Sprint(i)), int64(i), strings.Repeat("x", 3000))
	}
	see := func(c *disktest.FS) (s string) {
		for i := range 5 {
			s += content(t, c, fmt.Sprint(i)) + "|"
		}
		return s
	}
	got := map[string]int{}
	for seed := range uint64(seeds) {
		one, two := see(m.Crash(seed)), see(m.Crash(seed))
		if one != two {
			t.Fatalf("seed %d gives two outcomes", seed)
		}
		got[one]++
	}
	if len(got) < seeds/2 {
		t.Errorf("%d seeds give %d outcomes only", seeds, len(got))
	}
}

// TestCrashIsDurable crashes what came out of a crash: nothing more may be lost.
func TestCrashIsDurable(t *testing.T) {
	m := disktest.New()
	must(t, m.MkdirAll("a"))
	write(t, create(t, m, "a/f"), 0, strings.Repeat("x", 5000))
	for seed := range uint64(seeds) {
		c := m.Crash(seed)
		if got := c.Unsynced(); len(got) > 0 {
			t.Fatalf("seed %d: not durable: %q", seed, got)
		}
		if one, two := content(t, c, "a/f"), content(t, c.Crash(seed+1), "a/f"); one != two {
			t.Fatalf("seed %d: a second crash changed the file", seed)
		}
	}
}

// TestKill keeps what was written, over all seeds, and a power cut after it may still take it.
func TestKill(t *testing.T) {
	m := disktest.New()
	m.SetCapacity(100 << 12)
	must(t, m.MkdirAll("a"))
	f := create(t, m, "a/f")
	must(t, f.Allocate(0, 10<<12))
	write(t, f, 0, "data")
	gone := create(t, m, "gone")
	write(t, gone, 0, "data")
	must(t, m.Remove("gone"))
	k := m.Kill()
	if got := content(t, k, "a/f"); got != "data" {
		t.Errorf("after kill: %q", got)
	}
	if k.OpenFiles() != 0 {
		t.Errorf("%d files are open after kill", k.OpenFiles())
	}
	if s, err := k.Space(); err != nil || s.Free != 90<<12 {
		t.Errorf("%+v, %v", s, err)
	}
	write(t, f, 4, "of the dead")
	if got := content(t, k, "a/f"); got != "data" {
		t.Errorf("the dead process wrote %q", got)
	}
	wantOutcomes(t, outcomes(k, func(c *disktest.FS) string { return content(t, c, "a/f") }), "", "\x00\x00\x00\x00", "data", "missing")
	must(t, k.SyncAll())
	wantOutcomes(t, outcomes(k, func(c *disktest.FS) string { return content(t, c, "a/f") }), "data")
	wantOutcomes(t, outcomes(m, func(c *disktest.FS) string { return content(t, c, "gone") }), "missing", "", "\x00\x00\x00\x00", "data")
}

// TestNamesTwin compares the names after a power cut with a dumb twin: files are made in one of two directories, then
// moved or removed, at random, with syncs in between. A file is in at most one place, and it is in a place where it was
// since the last sync.
func TestNamesTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := disktest.New()
		must(rt, m.MkdirAll("a"), m.MkdirAll("b"), m.SyncAll())
		type twin struct {
			at       string          // empty when it is removed
			possible map[string]bool // where it may be after a power cut
		}
		var files []*twin
		for range rapid.IntRange(0, 20).Draw(rt, "steps") {
			op := rapid.IntRange(0, 6).Draw(rt, "op")
			if op <= 1 {
				if op == 0 {
					must(rt, m.SyncAll())
				} else {
					must(rt, m.SyncDir("a"), m.SyncDir("b"))
				}
				for _, f := range files {
					f.possible = map[string]bool{f.at: true}
				}
				continue
			}
			i := rapid.IntRange(0, min(len(files), 3)).Draw(rt, "file")
			to := fmt.Sprint(rapid.SampledFrom([]string{"a/", "b/"}).Draw(rt, "dir"), i, rapid.SampledFrom([]string{"x", "y"}).Draw(rt, "name"))
			switch {
			case i == len(files):
				must(rt, create(rt, m, to).Close())
				files = append(files, &twin{at: to, possible: map[string]bool{"": true}})
			case files[i].at == "":
				continue
			case op == 2:
				must(rt, m.Remove(files[i].at))
				files[i].at = ""
			default:
				must(rt, m.Rename(files[i].at, to))
				files[i].at = to
			}
			files[i].possible[files[i].at] = true
		}
		c := m.Crash(rapid.Uint64().Draw(rt, "seed"))
		for i, f := range files {
			var places []string
			for _, dir := range []string{"a", "b"} {
				es, err := c.ReadDir(dir)
				must(rt, err)
				for _, e := range es {
					if strings.HasPrefix(e.Name, fmt.Sprint(i)) {
						places = append(places, dir+"/"+e.Name)
					}
				}
			}
			place := strings.Join(places, ",")
			if !f.possible[place] {
				rt.Fatalf("file %d is at %q, possible are %v", i, place, f.possible)
			}
		}
	})
}

// TestSectorsTwin compares each sector after a power cut with everything that it may be: any of the writes since the
// last sync, in order, each there or not.
func TestSectorsTwin(t *testing.T) {
	const size = 6 * 512
	rapid.Check(t, func(rt *rapid.T) {
		m := disktest.New()
		f := create(rt, m, "f")
		must(rt, f.Truncate(size), m.SyncAll())
		durable, now := make([]byte, size), make([]byte, size)
		type op struct {
			off  int
			data []byte
		}
		var pending []op
		for i := range rapid.IntRange(0, 8).Draw(rt, "writes") {
			off := rapid.IntRange(0, size-1).Draw(rt, "off")
			data := bytes.Repeat([]byte{byte(i + 1)}, rapid.IntRange(1, size-off).Draw(rt, "n"))
			write(rt, f, int64(off), string(data))
			copy(now[off:], data)
			pending = append(pending, op{off, data})
			if rapid.IntRange(0, 4).Draw(rt, "sync") == 0 {
				must(rt, f.Sync())
				copy(durable, now)
				pending = nil
			}
		}
		got := []byte(content(rt, m.Crash(rapid.Uint64().Draw(rt, "seed")), "f"))
		if len(got) != size {
			rt.Fatalf("%d bytes", len(got))
		}
		for at := 0; at < size; at += 512 {
			found := false
			for subset := range 1 << len(pending) {
				want := bytes.Clone(durable)
				for i, o := range pending {
					if subset>>i&1 == 1 {
						copy(want[o.off:], o.data)
					}
				}
				found = found || bytes.Equal(want[at:at+512], got[at:at+512])
			}
			if !found {
				rt.Fatalf("sector %d is nothing that was ever written there", at/512)
			}
		}
		if content(rt, m, "f") != string(now) {
			rt.Fatal("the file was changed by a crash of its copy")
		}
	})
}

// TestCopiesAreApart changes a file system and its copies in turn: none sees the changes of another.
func TestCopiesAreApart(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := disktest.New()
		must(rt, create(rt, m, "f").Close(), m.SyncAll())
		all, want := []*disktest.FS{m}, [][]byte{nil}
		for range rapid.IntRange(1, 20).Draw(rt, "steps") {
			i := rapid.IntRange(0, len(all)-1).Draw(rt, "which")
			f, err := all[i].Open("f", disk.ModeWrite)
			must(rt, err)
			switch rapid.IntRange(0, 4).Draw(rt, "op") {
			case 0:
				all, want = append(all, all[i].Kill()), append(want, bytes.Clone(want[i]))
			case 1:
				all = append(all, all[i].CrashWith(disktest.CrashOptions{Data: disktest.Kept, Names: disktest.Kept}))
				want = append(want, bytes.Clone(want[i]))
			case 2:
				must(rt, f.Sync())
			case 3:
				n := rapid.IntRange(0, 9000).Draw(rt, "size")
				must(rt, f.Truncate(int64(n)))
				want[i] = append(bytes.Clone(want[i]), make([]byte, max(0, n-len(want[i])))...)[:n]
			case 4:
				off, n := rapid.IntRange(0, 9000).Draw(rt, "off"), rapid.IntRange(0, 9000).Draw(rt, "n")
				data := bytes.Repeat([]byte{byte(off)}, n)
				write(rt, f, int64(off), string(data))
				if n > 0 {
					want[i] = append(want[i], make([]byte, max(0, off+n-len(want[i])))...)
					copy(want[i][off:], data)
				}
			}
			must(rt, f.Close())
			for i := range all {
				if content(rt, all[i], "f") != string(want[i]) {
					rt.Fatalf("copy %d of %d has changed", i, len(all))
				}
			}
		}
	})
}

// BenchmarkCrash is the cost of one seed: 20 files of 64 KiB, a quarter of which is not durable.
func BenchmarkCrash(b *testing.B) {
	m := disktest.New()
	for i := range 20 {
		f := create(b, m, fmt.Sprint(i))
		write(b, f, 0, strings.Repeat("x", 48<<10))
		must(b, f.Sync())
		for j := range 16 {
			write(b, f, int64(48+j)<<10, strings.Repeat("x", 1<<10))
		}
	}
	must(b, m.SyncDir("."))
	b.ReportAllocs()
	for seed := range uint64(b.N) {
		m.Crash(seed)
	}
}
