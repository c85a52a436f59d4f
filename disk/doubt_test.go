package disk_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"penstock"
	"penstock/disk"
	"penstock/disk/disktest"
)

// TestDoubt fails a sync of every kind and starts again: in the same boot the directory is offline and says why, after a reboot
// it is well and holds what is on the disk.
func TestDoubt(t *testing.T) {
	for _, rule := range []string{"sync#1=EIO", "syncdir(p)#1=EIO"} {
		m := disktest.New()
		d := disk.New(m, disk.Options{})
		if err := d.MkdirAll("p"); err != nil {
			t.Fatal(err)
		}
		h, err := d.CreateLater("p/log")
		if err == nil {
			_, err = h.WriteVec([][]byte{[]byte("lost")}, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		m.Inject(rule)
		if err := h.Sync(); !errors.Is(err, penstock.ErrOffline) {
			t.Fatalf("%s: %v", rule, err)
		}
		h.Release()
		again := disk.New(m.Kill(), disk.Options{})
		_, err = again.Create("p/other")
		if !errors.Is(err, penstock.ErrOffline) || !strings.Contains(err.Error(), "Reboot") || !strings.Contains(err.Error(), "sync.failed") {
			t.Errorf("%s: after a kill: %v", rule, err)
		}
		if b, err := again.ReadFile("p/log", 10); err != nil || string(b) != "lost" {
			t.Errorf("%s: reading: %q, %v", rule, b, err)
		}
		booted := m.Kill().Crash(1)
		well := disk.New(booted, disk.Options{})
		if err := well.WriteFile("p/new", []byte("x")); err != nil {
			t.Errorf("%s: after a reboot: %v", rule, err)
		}
		if es, err := well.ReadDir("."); err != nil || len(es) > 2 {
			t.Errorf("%s: the note is left: %v, %v", rule, es, err)
		}
	}
}

// TestDoubtOnDisk refuses to open a directory of the machine's in which a sync failed since it was booted.
func TestDoubtOnDisk(t *testing.T) {
	dir := t.TempDir()
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]bool{strings.TrimSpace(string(boot)): false, "another": true} {
		note := filepath.Join(dir, "sync.failed."+name)
		if err := os.WriteFile(note, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := disk.Open(dir, disk.Options{})
		if (err == nil) != open {
			t.Errorf("%q: %v", name, err)
		}
		if err == nil {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(note); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the note is left: %v", err)
			}
		}
		if err := os.Remove(note); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
}
