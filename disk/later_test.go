package disk_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"penstock"
	"penstock/disk"
	"penstock/disk/disktest"
)

// lostNames is a power cut that takes every name that is not durable.
func lostNames(m *disktest.FS) *disktest.FS {
	return m.CrashWith(disktest.CrashOptions{Seed: 1, Data: disktest.Lost, Names: disktest.Lost})
}

// later makes a file with some bytes in it.
func later(t *testing.T, d *disk.Disk, name string) *disk.Handle {
	t.Helper()
	h, err := d.CreateLater(name)
	if err == nil {
		_, err = h.WriteVec([][]byte{[]byte(name)}, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func holds(m *disktest.FS, name string) bool {
	b, err := disk.New(m, disk.Options{}).ReadFile(name, 1<<10)
	return err == nil && string(b) == name
}

// TestCreateLater: no sync when it is made, and the name, its neighbours' and the directories' are durable with the first sync
// of the handle.
func TestCreateLater(t *testing.T) {
	m := disktest.New()
	d := disk.New(m, disk.Options{})
	m.StartTrace()
	other := later(t, d, "logs/a/0/other")
	h := later(t, d, "logs/a/0/log")
	for _, l := range m.Trace() {
		if strings.HasPrefix(l, "sync") {
			t.Errorf("made with a sync: %s", l)
		}
	}
	if holds(lostNames(m), "logs/a/0/log") {
		t.Fatal("durable before the first sync")
	}
	if err := other.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := h.Sync(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"logs/a/0/other", "logs/a/0/log"} {
		if !holds(lostNames(m), name) {
			t.Errorf("%s is lost after its sync", name)
		}
	}
	m.StartTrace()
	if err := h.Sync(); err != nil {
		t.Fatal(err)
	}
	if got := m.Trace(); len(got) != 1 {
		t.Errorf("calls of a second sync: %q", got)
	}
	if _, err := d.CreateLater("logs/a/0/log"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("made twice: %v", err)
	}
	h.Release()
	other.Release()
}

// TestCreateLaterBeforeSync: a name put into a directory after that was synced needs a sync of its own.
func TestCreateLaterBeforeSync(t *testing.T) {
	m := disktest.New()
	d := disk.New(m, disk.Options{})
	for i := range 3 {
		name := fmt.Sprintf("p/%d", i)
		h := later(t, d, name)
		if holds(lostNames(m), name) {
			t.Errorf("%s is durable before its sync", name)
		}
		if err := h.Sync(); err != nil {
			t.Fatal(err)
		}
		if !holds(lostNames(m), name) {
			t.Errorf("%s is lost", name)
		}
		h.Release()
	}
}

// TestCreateLaterShares: of many new directories in one, the first sync covers the names of all.
func TestCreateLaterShares(t *testing.T) {
	const n = 20
	m := disktest.New()
	d := disk.New(m, disk.Options{})
	var hs []*disk.Handle
	for i := range n {
		hs = append(hs, later(t, d, fmt.Sprintf("logs/a/%d/log", i)))
	}
	m.StartTrace()
	for _, h := range hs {
		if err := h.Sync(); err != nil {
			t.Fatal(err)
		}
		h.Release()
	}
	dirs := 0
	for _, l := range m.Trace() {
		if strings.HasPrefix(l, "syncdir") {
			dirs++
		}
	}
	if dirs != n+3 { // one for each partition, and one for each level above
		t.Errorf("%d syncs of directories", dirs)
	}
	for i := range n {
		if name := fmt.Sprintf("logs/a/%d/log", i); !holds(lostNames(m), name) {
			t.Errorf("%s is lost", name)
		}
	}
}

// TestCreateLaterCommit: group commit makes the names durable, file by file and by a sync of all files, and a round that cannot
// takes the directory offline.
func TestCreateLaterCommit(t *testing.T) {
	for _, from := range []int{-1, 1} {
		m := disktest.New()
		d := disk.New(m, disk.Options{SyncAllFrom: from})
		h := later(t, d, "logs/a/0/log")
		l := &logOf{d: d, h: h, written: 1}
		l.changed.L = &l.mu
		d.Commit(l)
		d.Settle()
		if l.synced != 1 || l.err != nil || !holds(lostNames(m), "logs/a/0/log") {
			t.Errorf("syncfs from %d: %d synced, %v", from, l.synced, l.err)
		}
		m.StartTrace()
		if err := h.Sync(); err != nil {
			t.Error(err)
		}
		if got := m.Trace(); len(got) != 1 {
			t.Errorf("syncfs from %d: calls of a sync after the round: %q", from, got)
		}
		h.Release()
	}
	m := disktest.New()
	d := disk.New(m, disk.Options{})
	h := later(t, d, "logs/a/0/log")
	defer h.Release()
	m.Inject("syncdir#*=EIO")
	if err := h.Sync(); !errors.Is(err, penstock.ErrOffline) || d.Err() == nil {
		t.Errorf("a failed sync of names: %v, %v", err, d.Err())
	}
}

// TestCreateLaterRemoved: a file that was removed with its directory before its first sync stays removed.
func TestCreateLaterRemoved(t *testing.T) {
	m := disktest.New()
	d := disk.New(m, disk.Options{})
	h := later(t, d, "logs/a/0/log")
	if err := d.RemoveAll("logs/a"); err != nil {
		t.Fatal(err)
	}
	if err := h.Sync(); err != nil || d.Err() != nil {
		t.Errorf("sync of a removed file: %v, %v", err, d.Err())
	}
	h.Release()
	if es, err := d.ReadDir("logs"); err != nil || len(es) > 0 {
		t.Errorf("it came back: %v, %v", es, err)
	}
}

// TestOpenLater: a file that a killed process left is durable, with its names, after the first sync of the handle.
func TestOpenLater(t *testing.T) {
	m := disktest.New()
	later(t, disk.New(m, disk.Options{}), "logs/a/0/log").Release()
	m = m.Kill()
	d := disk.New(m, disk.Options{})
	m.StartTrace()
	h, err := d.OpenLater("logs/a/0/log")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range m.Trace() {
		if strings.HasPrefix(l, "sync") {
			t.Errorf("opened with a sync: %s", l)
		}
	}
	if err := h.Sync(); err != nil {
		t.Fatal(err)
	}
	h.Release()
	if !holds(lostNames(m), "logs/a/0/log") {
		t.Error("lost after its sync")
	}
	if _, err := d.OpenLater("logs/b/0/log"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opened what is not there: %v", err)
	}
	if es, err := d.ReadDir("logs/b"); err != nil || len(es) > 0 {
		t.Errorf("%v, %v", es, err)
	}
}

// TestSyncNames: what a killed process left is durable once its directory was asked for, or everything was.
func TestSyncNames(t *testing.T) {
	m := disktest.New()
	later(t, disk.New(m, disk.Options{}), "logs/a/0/log").Release()
	m = m.Kill()
	data := disktest.CrashOptions{Data: disktest.Kept, Names: disktest.Lost}
	d := disk.New(m, disk.Options{})
	if err := d.SyncNames("logs/a/0"); err != nil {
		t.Fatal(err)
	}
	if !holds(m.CrashWith(data), "logs/a/0/log") {
		t.Error("names are lost after SyncNames")
	}
	m.StartTrace()
	if err := d.SyncNames("logs/a/0"); err != nil || len(m.Trace()) > 0 {
		t.Errorf("a second time: %v, calls %q", err, m.Trace())
	}
	if err := d.SyncNames("../x"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("outside of the root: %v", err)
	}
	later(t, d, "logs/b/0/log").Release()
	if done, err := d.SyncAll(); !done || err != nil || !holds(lostNames(m), "logs/b/0/log") {
		t.Errorf("sync of everything: %v, %v", done, err)
	}
	m.Inject("syncall#*=EIO")
	if _, err := d.SyncAll(); !errors.Is(err, penstock.ErrOffline) {
		t.Errorf("a failed sync of everything: %v", err)
	}
	if _, err := d.SyncAll(); !errors.Is(err, penstock.ErrOffline) {
		t.Errorf("offline: %v", err)
	}
}

// TestWriteLater: a file is what it was until it is put in place, and durable after the second sync of everything.
func TestWriteLater(t *testing.T) {
	m := disktest.New()
	d := disk.New(m, disk.Options{})
	read := func(m *disktest.FS) string {
		b, err := disk.New(m, disk.Options{}).ReadFile("a/f", 1<<10)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	steps := []func() error{
		func() error { return d.WriteFile("a/f", []byte("old")) },
		func() error { return d.WriteLater("a/f", []byte("never")) },
		func() error { return d.WriteLater("a/f", []byte("new")) },
		func() error { _, err := d.SyncAll(); return err },
		func() error { return d.PutLater("a/f") },
		func() error { _, err := d.SyncAll(); return err },
	}
	for i, step := range steps {
		if err := step(); err != nil {
			t.Fatal(err)
		}
		for seed := range uint64(50) {
			got := read(m.Crash(seed))
			if got != "old" && (i < 4 || got != "new") || i == len(steps)-1 && got != "new" {
				t.Fatalf("step %d, seed %d: %q", i, seed, got)
			}
		}
	}
	if err := d.PutLater("a/f"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("put twice: %v", err)
	}
	if err := d.WriteLater("../f", nil); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("outside of the root: %v", err)
	}
}
