package loopfs

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestCutLosesWhatWasNotSynced shows on each kind of file system that a cut keeps synced bytes and loses the others,
// without which a power-cut test would prove nothing.
func TestCutLosesWhatWasNotSynced(t *testing.T) {
	for _, kind := range Kinds {
		t.Run(kind, func(t *testing.T) {
			if err := Check(kind); err != nil {
				t.Skipf("no loop file system here: %v", err)
			}
			f, err := Make(t.Context(), t.TempDir(), kind, MinSize)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := f.Close(); err != nil {
					t.Error(err)
				}
			}()
			synced := write(t, f, "synced", true)
			write(t, f, "unsynced", false)
			if err := f.Cut(); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(f.Dir, "late"), []byte("x"), 0o644); err == nil {
				t.Error("a file system without power takes writes")
			}
			if err := f.Remount(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(filepath.Join(f.Dir, "synced")); err != nil || !bytes.Equal(got, synced) {
				t.Errorf("synced bytes are gone: %d of %d, %v", len(got), len(synced), err)
			}
			if got, _ := os.ReadFile(filepath.Join(f.Dir, "unsynced")); len(got) != 0 && bytes.Count(got, []byte{0}) < len(got) {
				t.Errorf("%d unsynced bytes are still there", len(got))
			}
		})
	}
}

func write(t *testing.T, f *FS, name string, sync bool) []byte {
	t.Helper()
	b := bytes.Repeat([]byte("penstock"), 5000)
	w, err := os.Create(filepath.Join(f.Dir, name))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if !sync {
		return b
	}
	if err := w.Sync(); err != nil {
		t.Fatal(err)
	}
	d, err := os.Open(f.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
	return b
}
