package disk_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"penstock/disk"
	"penstock/disk/disktest"
)

// sealed makes a file whose content is its own name, and opens it for reading.
func sealed(t testing.TB, d *disk.Disk, name string) *disk.Handle {
	t.Helper()
	if err := d.WriteFile(name, []byte(name)); err != nil {
		t.Fatal(err)
	}
	h, err := d.OpenFile(name, false)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// checkReads demands that the content is the name.
func checkReads(t testing.TB, h *disk.Handle) {
	t.Helper()
	b := make([]byte, len(h.Name()))
	if _, err := h.ReadAt(b, 0); err != nil || string(b) != h.Name() {
		t.Errorf("%s: read %q, %v", h.Name(), b, err)
	}
}

// TestOpenFiles holds 50 sealed files with room for 5 descriptors.
func TestOpenFiles(t *testing.T) {
	d, m := newMemory(t, disk.Options{OpenFiles: 5})
	hs := make([]*disk.Handle, 50)
	for i := range hs {
		hs[i] = sealed(t, d, fmt.Sprintf("t/%02d", i))
	}
	for range 3 {
		for _, h := range hs {
			checkReads(t, h)
			if n := m.OpenFiles(); n > 6 {
				t.Fatalf("%d files are open", n)
			}
		}
	}
	// Whoever holds extents holds descriptors.
	var extents []interface{ Release() }
	for _, h := range hs {
		e := h.Extent(0, 1)
		if _, err := e.File.ReadAt(make([]byte, 1), 0); err != nil {
			t.Error(err)
		}
		extents = append(extents, e)
	}
	if n := m.OpenFiles(); n != len(hs) {
		t.Errorf("%d files are open, want %d", n, len(hs))
	}
	for _, e := range extents {
		e.Release()
	}
	for range 20 { // the next readers close what is too many, a few each
		checkReads(t, hs[0])
		h := sealed(t, d, "t/x")
		h.Release()
	}
	if n := m.OpenFiles(); n > 6 {
		t.Errorf("%d files are open", n)
	}
	if s := d.Stats(); int(s.Files) != m.OpenFiles() || int(s.Handles) != len(hs) || s.Reopens == 0 {
		t.Errorf("%+v", s)
	}
	for _, h := range hs {
		h.Release()
	}
	if n := m.OpenFiles(); n != 0 {
		t.Errorf("%d files are open", n)
	}
	if s := d.Stats(); s.Files != 0 || s.Handles != 0 {
		t.Errorf("%+v", s)
	}
}

// TestSealed keeps the descriptor of a file that is written, or was and is not durable, and gives it up after that,
// whichever way it becomes durable.
func TestSealed(t *testing.T) {
	for _, from := range []int{-1, 1} {
		t.Run(fmt.Sprint("all from ", from), func(t *testing.T) { testSealed(t, disk.Options{OpenFiles: 1, SyncAllFrom: from}) })
	}
}

func testSealed(t *testing.T, o disk.Options) {
	d, m := newMemory(t, o)
	l := newLog(t, d, "log")
	h := l.h
	if _, err := h.WriteVec([][]byte{[]byte("log")}, 0); err != nil {
		t.Fatal(err)
	}
	others := []*disk.Handle{sealed(t, d, "a"), sealed(t, d, "b"), sealed(t, d, "c")}
	reopens := func() bool {
		for range 3 {
			for _, o := range others {
				checkReads(t, o)
			}
		}
		before := m.Counts()[disktest.KindOpen]
		checkReads(t, h)
		return m.Counts()[disktest.KindOpen] > before
	}
	if reopens() {
		t.Error("the descriptor of a file that is written was closed")
	}
	h.Seal()
	h.Seal()
	if reopens() {
		t.Error("the descriptor of a file that is not durable was closed")
	}
	if _, err := h.WriteVec([][]byte{{1}}, 0); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("write after Seal: %v", err)
	}
	d.Commit(l)
	if err := l.waitRounds(1); err != nil {
		t.Fatal(err)
	}
	if !reopens() {
		t.Error("the descriptor of a sealed, durable file was never closed")
	}
	for _, o := range append(others, h) {
		o.Release()
	}
}

// TestNamesGo removes, renames and replaces files whose descriptors are closed: their handles read on.
func TestNamesGo(t *testing.T) {
	forEachFS(t, func(t *testing.T, fsys disk.FS) {
		d := disk.New(fsys, disk.Options{OpenFiles: 1})
		names := []string{"t/removed", "t/moved", "t/replaced", "t/by", "u/all", "u/v/all", "w/x/dir", "w/dir", "stays"}
		hs := map[string]*disk.Handle{}
		for _, name := range names {
			hs[name] = sealed(t, d, name)
		}
		twice, err := d.OpenFile("t/removed", false)
		if err != nil {
			t.Fatal(err)
		}
		readAll := func() {
			for range 2 {
				for _, h := range hs {
					checkReads(t, h)
				}
				checkReads(t, twice)
			}
		}
		readAll()
		for call, err := range map[string]error{
			"remove": d.Remove("t/removed"), "rename": d.Rename("t/moved", "u2"), "replace": d.Rename("t/by", "t/replaced"),
			"remove all": d.RemoveAll("u"), "rename directory": d.Rename("w", "z"), "remove all of nothing": d.RemoveAll("missing/x"),
		} {
			if err != nil {
				t.Errorf("%s: %v", call, err)
			}
		}
		readAll()
		if err := d.Remove("t/removed"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("removed twice: %v", err)
		}
		if got, err := d.ReadFile("t/replaced", 100); string(got) != "t/by" || err != nil {
			t.Errorf("replaced: %q, %v", got, err)
		}
		// A new file of an old name is not the old file.
		h, err := d.Create("t/removed")
		if err != nil {
			t.Fatal(err)
		}
		readAll()
		h.Release()
		for _, name := range names {
			hs[name].Release()
		}
		twice.Release()
		if s := d.Stats(); s.Files != 0 || s.Handles != 0 {
			t.Errorf("%+v", s)
		}
		if es, err := d.ReadDir("z/x"); err != nil || len(es) != 1 {
			t.Errorf("%v, %v", es, err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestOutOfFiles runs out of descriptors: idle ones are given up, and the file is opened.
func TestOutOfFiles(t *testing.T) {
	d, m := newMemory(t, disk.Options{})
	hs := []*disk.Handle{sealed(t, d, "a"), sealed(t, d, "b"), sealed(t, d, "c")}
	m.Inject("open#1=EMFILE")
	h, err := d.OpenFile("a", false)
	if err != nil {
		t.Fatal(err)
	}
	if n := m.OpenFiles(); n != 1 {
		t.Errorf("%d files are open", n)
	}
	for _, h := range append(hs, h) {
		checkReads(t, h)
		h.Release()
	}
	gone := sealed(t, d, "gone")
	if err := d.Remove("gone"); err != nil {
		t.Fatal(err)
	}
	m.Inject("open#1-2=EMFILE")
	if _, err := d.OpenFile("a", false); !errors.Is(err, syscall.EMFILE) || d.Err() != nil {
		t.Errorf("open: %v, %v", err, d.Err())
	}
	checkReads(t, gone) // its descriptor cannot be had again, so it was not given up
	gone.Release()
}

// TestMisuse demands a panic where a count of references goes wrong.
func TestMisuse(t *testing.T) {
	d, _ := newMemory(t, disk.Options{})
	for name, misuse := range map[string]func(h *disk.Handle){
		"release": func(h *disk.Handle) { h.Release() },
		"retain":  func(h *disk.Handle) { h.Retain() },
		"extent":  func(h *disk.Handle) { h.Extent(0, 1) },
	} {
		h := sealed(t, d, name)
		h.Release()
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s after the last release did not panic", name)
				}
			}()
			misuse(h)
		}()
	}
}

// TestDescriptorsStress reads by descriptor from many goroutines while descriptors are closed and files are removed: the
// number in an extent must lead to the same file until it is released.
func TestDescriptorsStress(t *testing.T) {
	d, root := open(t, disk.Options{OpenFiles: 3})
	const files = 12
	hs, inodes := make([]*disk.Handle, files), make([]uint64, files)
	for i := range hs {
		hs[i] = sealed(t, d, fmt.Sprintf("%02d", i))
		var st syscall.Stat_t
		if err := syscall.Stat(filepath.Join(root, hs[i].Name()), &st); err != nil {
			t.Fatal(err)
		}
		inodes[i] = st.Ino
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(2, uint64(g)))
			for range 300 {
				i := r.IntN(files)
				if r.IntN(3) == 0 {
					checkReads(t, hs[i])
					continue
				}
				e := hs[i].Extent(0, 2)
				fd, ok := e.File.Fd()
				b := make([]byte, 2)
				for range 3 {
					var st syscall.Stat_t
					if err := syscall.Fstat(fd, &st); !ok || err != nil || st.Ino != inodes[i] {
						t.Errorf("descriptor %d, %t: inode %d, want %d, %v", fd, ok, st.Ino, inodes[i], err)
					}
					if _, err := syscall.Pread(fd, b, 0); err != nil || string(b) != hs[i].Name() {
						t.Errorf("read %q, %v", b, err)
					}
				}
				e.Release()
			}
		})
	}
	for _, h := range hs[:files/2] {
		if err := d.Remove(h.Name()); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	for _, h := range hs {
		h.Release()
	}
	if s := d.Stats(); s.Files != 0 || s.Reopens == 0 {
		t.Errorf("%+v", s)
	}
}

// TestExtentOutlives removes a file and gives up the owner's reference while an extent is held.
func TestExtentOutlives(t *testing.T) {
	d, root := open(t, disk.Options{OpenFiles: 1})
	h := sealed(t, d, "log")
	e := h.Extent(1, 2)
	if e.Off != 1 || e.Len != 2 {
		t.Errorf("%+v", e)
	}
	if err := d.Remove("log"); err != nil {
		t.Fatal(err)
	}
	h.Release()
	for i := range 5 { // crowd it out, if that were possible
		sealed(t, d, fmt.Sprint(i)).Release()
	}
	fd, ok := e.File.Fd()
	b := make([]byte, 2)
	if n, err := syscall.Pread(fd, b, e.Off); !ok || err != nil || string(b[:n]) != "og" {
		t.Errorf("read %q, %v", b[:n], err)
	}
	link := fmt.Sprintf("/proc/self/fd/%d", fd)
	if to, err := os.Readlink(link); err != nil || to != filepath.Join(root, "log")+" (deleted)" {
		t.Errorf("descriptor leads to %q, %v", to, err)
	}
	e.Release()
	if to, err := os.Readlink(link); err == nil && to == filepath.Join(root, "log")+" (deleted)" {
		t.Error("the descriptor is still open")
	}
}

// TestFdOfHandle keeps the descriptor that was given out without an extent.
func TestFdOfHandle(t *testing.T) {
	d, root := open(t, disk.Options{OpenFiles: 1})
	h := sealed(t, d, "log")
	defer h.Release()
	fd, ok := h.Fd()
	for i := range 5 {
		sealed(t, d, fmt.Sprint(i)).Release()
	}
	if to, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); !ok || err != nil || to != filepath.Join(root, "log") {
		t.Errorf("descriptor leads to %q, %v", to, err)
	}
	h.Advise(0, 3, disk.AdviceWillNeed)
	h.Advise(0, 3, disk.AdviceDontNeed)
	checkReads(t, h)
}
