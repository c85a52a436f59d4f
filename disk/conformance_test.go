package disk_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"penstock/disk"
	"penstock/disk/disktest"
)

// forEachFS runs a test on the kernel's file system and on the one in memory.
func forEachFS(t *testing.T, test func(t *testing.T, fsys disk.FS)) {
	t.Run("kernel", func(t *testing.T) { test(t, openKernel(t)) })
	t.Run("memory", func(t *testing.T) {
		m := disktest.New()
		test(t, m)
		if v := m.Violations(); len(v) > 0 {
			t.Errorf("violations: %q", v)
		}
		if n := m.OpenFiles(); n > 0 {
			t.Errorf("%d files are left open", n)
		}
	})
}

func openKernel(t *testing.T) disk.FS {
	t.Helper()
	k, closeFS, err := disk.OpenKernel(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := closeFS(); err != nil {
			t.Error(err)
		}
	})
	return k
}

// machine does operations on an FS and tells what came of each in words that do not depend on which FS it is.
type machine struct {
	fs    disk.FS
	files map[string]disk.File
}

func newMachine(fsys disk.FS) *machine { return &machine{fs: fsys, files: map[string]disk.File{}} }

// verdict names an error by what callers look for in it.
func verdict(err error) string {
	for _, e := range []struct {
		err  error
		name string
	}{
		{fs.ErrNotExist, "missing"}, {syscall.ENOTEMPTY, "not empty"}, {fs.ErrExist, "exists"}, {syscall.ENOTDIR, "not a directory"},
		{io.EOF, "end"}, {fs.ErrClosed, "closed"},
	} {
		if errors.Is(err, e.err) {
			return e.name
		}
	}
	if err != nil {
		return "error"
	}
	return "ok"
}

func (m *machine) open(key, name string, mode disk.Mode) string {
	f, err := m.fs.Open(name, mode)
	if err == nil {
		if old := m.files[key]; old != nil {
			err = old.Close()
		}
		m.files[key] = f
	}
	return verdict(err)
}

func (m *machine) write(key string, off int64, parts ...string) string {
	f := m.files[key]
	if f == nil {
		return "no file"
	}
	var bufs [][]byte
	for _, p := range parts {
		bufs = append(bufs, []byte(p))
	}
	n, err := f.WriteVec(bufs, off)
	return fmt.Sprint(n, " ", verdict(err))
}

func (m *machine) read(key string, off int64, n int) string {
	f := m.files[key]
	if f == nil {
		return "no file"
	}
	b := bytes.Repeat([]byte{0xee}, n)
	got, err := f.ReadAt(b, off)
	return fmt.Sprintf("%q %s", b[:got], verdict(err))
}

// do calls a method of an open file that returns nothing but an error.
func (m *machine) do(key string, call func(disk.File) error) string {
	f := m.files[key]
	if f == nil {
		return "no file"
	}
	return verdict(call(f))
}

func (m *machine) size(key string) string {
	f := m.files[key]
	if f == nil {
		return "no file"
	}
	n, err := f.Size()
	return fmt.Sprint(n, " ", verdict(err))
}

func (m *machine) list(name string) string {
	es, err := m.fs.ReadDir(name)
	return fmt.Sprint(es, " ", verdict(err))
}

func (m *machine) close() error {
	var errs []error
	for _, f := range m.files {
		errs = append(errs, f.Close())
	}
	clear(m.files)
	return errors.Join(errs...)
}

// TestConformance runs one script on both file systems and demands the outcome that stands beside each step.
func TestConformance(t *testing.T) {
	forEachFS(t, func(t *testing.T, fsys disk.FS) {
		m := newMachine(fsys)
		sync := func(f disk.File) error { return f.Sync() }
		truncate := func(n int64) func(disk.File) error { return func(f disk.File) error { return f.Truncate(n) } }
		big := strings.Repeat("x", 5000)
		for i, step := range []struct{ got, want func() string }{
			{func() string { return m.open("a", "t/log", disk.ModeCreate) }, is("missing")},
			{func() string { return verdict(fsys.MkdirAll("t/u")) }, is("ok")},
			{func() string { return verdict(fsys.MkdirAll("t/u")) }, is("ok")},
			{func() string { return m.open("a", "t/log", disk.ModeWrite) }, is("missing")},
			{func() string { return m.open("a", "t/log", disk.ModeCreate) }, is("ok")},
			{func() string { return m.open("b", "t/log", disk.ModeCreate) }, is("exists")},
			{func() string { return verdict(fsys.MkdirAll("t/log/u")) }, is("not a directory")},
			{func() string { return m.open("b", "t/log/u", disk.ModeRead) }, is("not a directory")},
			{func() string { return m.write("a", 0, "hello ", "", "world") }, is("11 ok")},
			{func() string { return m.write("a", 0) }, is("0 ok")},
			{func() string { return m.read("a", 0, 11) }, is(`"hello world" ok`)},
			{func() string { return m.read("a", 6, 9) }, is(`"world" end`)},
			{func() string { return m.read("a", 99, 1) }, is(`"" end`)},
			{func() string { return m.read("a", 0, 0) }, is(`"" ok`)},
			{func() string { return m.do("a", sync) }, is("ok")},
			{func() string { return m.open("r", "t/log", disk.ModeRead) }, is("ok")},
			{func() string { return m.write("r", 0, "no") }, is("0 error")},
			{func() string { return m.do("r", truncate(0)) }, is("error")},
			{func() string { return m.do("r", sync) }, is("ok")},
			{func() string { return m.write("a", 4094, "edge") }, is("4 ok")},
			{func() string { return m.read("r", 4092, 10) }, is(`"\x00\x00edge" end`)},
			{func() string { return m.do("a", truncate(4095)) }, is("ok")},
			{func() string { return m.do("a", truncate(4097)) }, is("ok")},
			{func() string { return m.read("r", 4092, 10) }, is(`"\x00\x00e\x00\x00" end`)},
			{func() string {
				return m.do("a", func(f disk.File) error { return f.Allocate(0, 1<<20) })
			}, is("ok")},
			{func() string { return m.do("a", func(f disk.File) error { return f.Allocate(0, 0) }) }, is("error")},
			{func() string { return m.size("a") }, is("4097 ok")},
			{func() string { return m.write("a", 4097, big) }, is("5000 ok")},
			{func() string { return m.list("t") }, is("[{log 9097 false} {u 0 true}] ok")},
			{func() string { return m.list("missing") }, is("[] missing")},
			{func() string { return verdict(fsys.Remove("t")) }, is("not empty")},
			{func() string { return verdict(fsys.Remove("t/u/x")) }, is("missing")},
			{func() string { return verdict(fsys.Rename("t/log", "t/u/log2")) }, is("ok")},
			{func() string { return verdict(fsys.Rename("t/log", "t/u/log2")) }, is("missing")},
			{func() string { return m.open("c", "t/new", disk.ModeCreate) }, is("ok")},
			{func() string { return m.write("c", 0, "new") }, is("3 ok")},
			{func() string { return verdict(fsys.Rename("t/new", "t/u/log2")) }, is("ok")},
			{func() string { return verdict(fsys.Rename("t/u/log2", "t/u/log2")) }, is("ok")},
			{func() string { return m.read("r", 0, 5) }, is(`"hello" ok`)},
			{func() string { return m.open("d", "t/u/log2", disk.ModeRead) }, is("ok")},
			{func() string { return m.read("d", 0, 9) }, is(`"new" end`)},
			{func() string { return verdict(fsys.Rename("t/u", "v")) }, is("ok")},
			{func() string { return m.list("v") }, is("[{log2 3 false}] ok")},
			{func() string { return verdict(fsys.SyncDir("v")) }, is("ok")},
			{func() string { return verdict(fsys.SyncDir(".")) }, is("ok")},
			{func() string { return verdict(fsys.SyncDir("gone")) }, is("missing")},
			{func() string { return verdict(fsys.SyncAll()) }, is("ok")},
			{func() string { return verdict(fsys.Remove("v/log2")) }, is("ok")},
			{func() string { return m.read("d", 0, 9) }, is(`"new" end`)},
			{func() string { return verdict(fsys.Remove("v")) }, is("ok")},
			{func() string { return m.list(".") }, is("[{t 0 true}] ok")},
		} {
			if got, want := step.got(), step.want(); got != want {
				t.Errorf("step %d: got %s, want %s", i, got, want)
			}
		}
		if err := m.close(); err != nil {
			t.Error(err)
		}
	})
}

func is(s string) func() string { return func() string { return s } }

// TestConformanceRandom does the same random operations on both file systems: whatever they answer, it must be the same.
func TestConformanceRandom(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		k, closeFS, err := disk.OpenKernel(t.TempDir())
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = closeFS() }()
		pair := [2]*machine{newMachine(k), newMachine(disktest.New())}
		defer func() {
			for _, m := range pair {
				if err := m.close(); err != nil {
					rt.Error(err)
				}
			}
		}()
		dirs := []string{"a", "b", "a/c"}
		names := []string{"a/x", "a/y", "b/x", "a/c/x", "z"}
		both := func(what string, do func(m *machine) string) {
			if got, want := do(pair[1]), do(pair[0]); got != want {
				rt.Fatalf("%s: memory says %s, kernel %s", what, got, want)
			}
		}
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			name, to := rapid.SampledFrom(names).Draw(rt, "name"), rapid.SampledFrom(names).Draw(rt, "to")
			dir, todir := rapid.SampledFrom(dirs).Draw(rt, "dir"), rapid.SampledFrom(dirs).Draw(rt, "todir")
			off := rapid.Int64Range(0, 10000).Draw(rt, "off")
			n := rapid.IntRange(0, 9000).Draw(rt, "n")
			switch op := rapid.IntRange(0, 11).Draw(rt, "op"); op {
			case 0:
				both("mkdir", func(m *machine) string { return verdict(m.fs.MkdirAll(dir)) })
			case 1, 2, 3:
				both("open", func(m *machine) string { return m.open(name, name, disk.Mode(op-1)) })
			case 4, 5:
				data := strings.Repeat(string(rune('A'+n%26)), n)
				both("write", func(m *machine) string { return m.write(name, off, data[:n/3], data[n/3:]) })
			case 6:
				both("truncate", func(m *machine) string {
					return m.do(name, func(f disk.File) error { return f.Truncate(off) })
				})
			case 7:
				both("remove", func(m *machine) string { return verdict(m.fs.Remove(name)) })
			case 8:
				both("rename", func(m *machine) string { return verdict(m.fs.Rename(name, to)) })
			case 9:
				both("rmdir", func(m *machine) string { return verdict(m.fs.Remove(dir)) })
			case 10:
				if !strings.HasPrefix(todir+"/", dir+"/") {
					both("rename directory", func(m *machine) string { return verdict(m.fs.Rename(dir, todir)) })
				}
			}
			both("read", func(m *machine) string { return m.read(name, off, n) })
			both("size", func(m *machine) string { return m.size(name) })
			both("list", func(m *machine) string { return m.list(dir) + m.list(".") })
		}
		for _, name := range slices.Sorted(maps.Keys(pair[0].files)) {
			both("read all", func(m *machine) string { return m.read(name, 0, 20000) })
		}
	})
}
