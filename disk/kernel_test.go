package disk_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"penstock/disk"
)

// open opens a Disk over a fresh directory of the machine.
func open(t testing.TB, o disk.Options) (*disk.Disk, string) {
	t.Helper()
	root := filepath.Join(t.TempDir(), "data")
	d, err := disk.Open(root, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d, root
}

// TestWriteVecMany writes more buffers than one system call takes, empty ones among them.
func TestWriteVecMany(t *testing.T) {
	d, _ := open(t, disk.Options{})
	h, err := d.Create("log")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Release()
	var bufs [][]byte
	var want []byte
	for i := range 2*disk.MaxVecs + 77 {
		b := bytes.Repeat([]byte{byte(i)}, i%5)
		bufs = append(bufs, b)
		want = append(want, b...)
	}
	const off = 3
	n, err := h.WriteVec(bufs, off)
	if err != nil || n != int64(len(want)) {
		t.Fatalf("wrote %d of %d: %v", n, len(want), err)
	}
	got := make([]byte, len(want))
	if _, err := h.ReadAt(got, off); err != nil || !bytes.Equal(got, want) {
		t.Errorf("read something else, %v", err)
	}
}

// TestWriteVecPartial writes against the limit on the size of a file, where the kernel stops within a buffer. The limit
// holds for the whole process, so it is set to the least that leaves the other tests alone.
func TestWriteVecPartial(t *testing.T) {
	d, _ := open(t, disk.Options{})
	h, err := d.Create("log")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Release()
	const limit = 1 << 30
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
			t.Fatal(err)
		}
	}()
	bufs := [][]byte{make([]byte, 100), make([]byte, 100), make([]byte, 100)}
	n, err := h.WriteVec(bufs, limit-150)
	if n != 150 || !errors.Is(err, syscall.EFBIG) {
		t.Errorf("wrote %d, %v", n, err)
	}
	if d.Err() != nil {
		t.Errorf("offline by a fault of the caller: %v", d.Err())
	}
}

// TestTruncateGivesBack reserves blocks and sees that Allocate takes them and Truncate gives back those beyond the size.
func TestTruncateGivesBack(t *testing.T) {
	d, root := open(t, disk.Options{})
	h, err := d.Create("log")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Release()
	blocks := func() int64 {
		var st syscall.Stat_t
		if err := syscall.Stat(filepath.Join(root, "log"), &st); err != nil {
			t.Fatal(err)
		}
		return st.Blocks * 512
	}
	const reserve, keep = 1 << 20, 5000
	if err := h.Allocate(0, reserve); err != nil {
		t.Fatal(err)
	}
	if got := blocks(); got < reserve {
		t.Errorf("%d bytes are reserved, want %d", got, reserve)
	}
	if _, err := h.WriteVec([][]byte{make([]byte, keep)}, 0); err != nil {
		t.Fatal(err)
	}
	if size, err := h.Size(); size != keep || err != nil {
		t.Errorf("size %d, %v", size, err)
	}
	if err := h.Truncate(keep); err != nil {
		t.Fatal(err)
	}
	if got := blocks(); got > 16<<10 {
		t.Errorf("%d bytes are still occupied", got)
	}
}

// TestLock opens a directory twice: the second must be told who has it, and may have it when the first is closed.
func TestLock(t *testing.T) {
	d, root := open(t, disk.Options{})
	_, err := disk.Open(root, disk.Options{})
	if err == nil || !strings.Contains(err.Error(), "in use by process "+strconv.Itoa(os.Getpid())) || !strings.Contains(err.Error(), root) {
		t.Errorf("second open: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := disk.Open(root, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestBounds tries to get out of the root, by name and by symbolic link.
func TestBounds(t *testing.T) {
	d, root := open(t, disk.Options{})
	outside := filepath.Join(filepath.Dir(root), "outside")
	if err := os.Mkdir(outside, 0o700); err != nil {
		t.Fatal(err)
	}
	victim := filepath.Join(outside, "victim")
	if err := os.WriteFile(victim, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", ".", "..", "../outside", "/", "/etc", "a/../../outside", "a/", "a//b", "./a"} {
		_, createErr := d.Create(name)
		_, readErr := d.ReadFile(name, 1)
		_, openErr := d.OpenFile(name, true)
		for call, err := range map[string]error{
			"Create": createErr, "ReadFile": readErr, "OpenFile": openErr, "Remove": d.Remove(name), "RemoveAll": d.RemoveAll(name),
			"WriteFile": d.WriteFile(name, nil), "Rename from": d.Rename(name, "x"), "Rename to": d.Rename("x", name),
		} {
			if !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("%s(%q): %v", call, name, err)
			}
		}
	}
	if err := d.MkdirAll("t"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(root, "t", "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := d.OpenFile("t/link/victim", false); err == nil {
		t.Error("opened a file outside of the root by a link")
	}
	if _, err := d.Create("t/link/new"); err == nil {
		t.Error("made a file outside of the root by a link")
	}
	if err := d.RemoveAll("t"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(victim); err != nil {
		t.Errorf("RemoveAll followed a link: %v", err)
	}
	if es, err := d.ReadDir("."); err != nil || len(es) != 1 || es[0].Name != disk.LockName {
		t.Errorf("left in the root: %v, %v", es, err)
	}
	if d.Err() != nil {
		t.Error(d.Err())
	}
}

// TestSpace compares with what the machine says.
func TestSpace(t *testing.T) {
	d, root := open(t, disk.Options{})
	s, err := d.Space()
	if err != nil || s.Free <= 0 || s.Free > s.Total {
		t.Fatalf("%+v, %v", s, err)
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(root, &st); err != nil {
		t.Fatal(err)
	}
	if want := int64(st.Blocks) * st.Frsize; s.Total != want {
		t.Errorf("total %d, want %d", s.Total, want)
	}
}

// TestKernelAllocations writes and syncs a real file without allocating.
func TestKernelAllocations(t *testing.T) {
	d, _ := open(t, disk.Options{})
	h, err := d.Create("log")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Release()
	bufs := make([][]byte, 100)
	for i := range bufs {
		bufs[i] = make([]byte, 100)
	}
	got := testing.AllocsPerRun(20, func() {
		if _, err := h.WriteVec(bufs, 0); err != nil {
			t.Error(err)
		}
		if err := h.Sync(); err != nil {
			t.Error(err)
		}
	})
	if got >= 1 { // the pool of vectors may be emptied by a garbage collection
		t.Errorf("a write of %d buffers and a sync allocate %v times", len(bufs), got)
	}
}
