package group

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"
	"time"

	"penstock"
	"penstock/disk"
	"penstock/disk/disktest"
	"penstock/record"
)

// journalFile finds the log of the first partition of the journal on a disk that nobody uses, and its bytes.
func journalFile(t *testing.T, fs *disktest.FS, r *rig, partition int32) (disk.File, []byte) {
	t.Helper()
	want := fmt.Sprintf("/%s/%d/", r.meta.Image().Topic(JournalTopic).ID.Hex(), partition)
	var found disk.File
	var walk func(dir string)
	walk = func(dir string) {
		list, err := fs.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			name := path.Join(dir, e.Name)
			if e.Dir {
				walk(name)
			} else if path.Ext(name) == ".log" && strings.Contains(name, want) {
				f, err := fs.Open(name, disk.ModeWrite)
				if err != nil {
					t.Fatal(err)
				}
				found = f
			}
		}
	}
	walk(".")
	if found == nil {
		t.Fatalf("no log of %s", want)
	}
	n, err := found.Size()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, n)
	if _, err := found.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return found, b
}

// batchAt is where the nth batch of a log begins, and how long it is.
func batchAt(t *testing.T, b []byte, n int) (at, size int) {
	t.Helper()
	for {
		h, err := record.Format{}.Header(b[at:])
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return at, int(h.Size)
		}
		at += int(h.Size)
		n--
	}
}

// TestDamagedJournal: a journal that cannot be read in one place is refused, and said to be damaged, not to be loading; the groups of the
// other partitions are served. Who asks for it gets everything outside of the damage, and a journal that is whole from then on.
func TestDamagedJournal(t *testing.T) {
	spoil := map[string]func(b []byte){
		"a value":    func(b []byte) { b[len(b)-3] ^= 1 },
		"the length": func(b []byte) { b[9] ^= 0x55 },
		"the magic":  func(b []byte) { b[16] = 9 },
		"the count":  func(b []byte) { b[24] ^= 0x7f },
		"the base":   func(b []byte) { b[3] ^= 0xff },
		"all of it":  func(b []byte) { clear(b) },
	}
	for what, f := range spoil {
		t.Run(what, func(t *testing.T) { damageJournal(t, f, what != "a value") })
	}
}

func damageJournal(t *testing.T, spoil func(b []byte), header bool) {
	const groups, victim = 20, 4
	r := start(t, nil, nil, nil, nil).loaded()
	var here, elsewhere []string // groups by the partition of the journal
	for i := range groups {
		name := fmt.Sprint("group-", i)
		r.must(r.commit(name, "t", 1, 1))
		if partitionOf(name, 2) == 0 {
			here = append(here, name)
		} else {
			elsewhere = append(elsewhere, name)
		}
	}
	for _, name := range here { // a batch each, after what was there before
		r.must(r.commit(name, "t", 0, 5))
	}
	r.stop(false)
	file, b := journalFile(t, r.fs, r, 0)
	at, size := batchAt(t, b, len(here)+victim)
	spoil(b[at : at+size])
	if _, err := file.WriteVec([][]byte{b[at : at+size]}, int64(at)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		t.Fatal(err)
	}

	r = start(t, r.fs, r.meta, r.clock, nil)
	r.refused(here, elsewhere)
	r.stop(true)

	r = start(t, r.fs, r.meta, r.clock, func(o *Options) { o.SkipDamage = true }).loaded()
	lost := 0
	for i, name := range here {
		if got := r.read(name, "t", 1); got != 1 {
			t.Errorf("%s: %d before the damage, want 1", name, got)
		}
		if got := r.read(name, "t", 0); got == penstock.NoOffset {
			if lost++; i < victim {
				t.Errorf("%s is lost, which lies before the damage", name)
			}
		} else if got != 5 {
			t.Errorf("%s: %d, want 5", name, got)
		}
	}
	// Behind a damaged header the next batch is found by the index, which has an entry for every 4 KiB.
	if lost == 0 || lost > 1 && !header {
		t.Errorf("%d offsets are lost, one was damaged", lost)
	}
	r.must(r.commit(here[0], "t", 2, 9))
	r.until("the journal is written anew", func() bool { return r.figures.shortened.Value() > 0 })
	r.stop(false)

	r = start(t, r.fs, r.meta, r.clock, nil).loaded()
	if r.read(here[0], "t", 2) != 9 || r.read(elsewhere[0], "t", 1) != 1 {
		t.Error("offsets are lost once the journal is whole")
	}
	r.stop(false)
}

// refused waits until damage is found, and looks who is told of it.
func (r *rig) refused(here, elsewhere []string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := r.Ready(ctx); !errors.Is(err, ErrDamaged) {
		r.t.Fatalf("Ready: %v", err)
	}
	r.until("the other partition is loaded", func() bool {
		_, err := r.Describe(elsewhere[0])
		return err == nil
	})
	for _, name := range here {
		_, of := r.Of(name)
		_, describe := r.Describe(name)
		for _, err := range []error{of, describe, r.commit(name, "t", 0, 6), (<-r.join(name, joinOf("", "m"))).Err, r.Read(name, nil, nil)} {
			if !errors.Is(err, ErrDamaged) || !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrLoading) {
				r.t.Errorf("%s: %v", name, err)
			}
		}
	}
	for _, name := range elsewhere {
		if _, err := r.Of(name); err != nil || r.read(name, "t", 1) != 1 {
			r.t.Errorf("%s: %v", name, err)
		}
	}
	if all, err := r.List(); !errors.Is(err, ErrDamaged) || len(all) != len(elsewhere) {
		r.t.Errorf("%d groups are listed, %v", len(all), err)
	}
}
