package disk_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"penstock/disk"
	"penstock/disk/disktest"
)

// TestRemoveSiblings removes the directories in one directory, and that one whenever it looks empty, from many
// goroutines, as the deletion of a topic does: that a directory is gone before its names were synced is not a failed
// sync.
func TestRemoveSiblings(t *testing.T) {
	d, err := disk.Open(t.TempDir(), disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for round := range 20 {
		topic := fmt.Sprintf("logs/%d", round)
		for i := range 8 {
			h, err := d.Create(fmt.Sprintf("%s/%d/f", topic, i))
			if err != nil {
				t.Fatal(err)
			}
			h.Release()
		}
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				if err := d.RemoveAll(fmt.Sprintf("%s/%d", topic, i)); err != nil {
					t.Error(err)
				}
				if es, err := d.ReadDir(topic); err != nil || len(es) > 0 {
					return
				}
				if err := d.RemoveAll(topic); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if err := d.Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRemoveManySiblings removes many directories side by side: the syncs of the one that they are in are shared, and a removal
// that has returned is durable.
func TestRemoveManySiblings(t *testing.T) {
	const n = 64
	fs := disktest.New()
	d := disk.New(fs, disk.Options{})
	for i := range n {
		h, err := d.Create(fmt.Sprintf("logs/t/%d/f", i))
		if err != nil {
			t.Fatal(err)
		}
		h.Release()
	}
	if err := d.RemoveEmpty("logs/t"); err != nil {
		t.Fatal(err)
	}
	before := fs.Counts()[disktest.KindSyncDir]
	var wg sync.WaitGroup
	for i := range n - 1 {
		wg.Go(func() {
			if err := d.RemoveAll(fmt.Sprintf("logs/t/%d", i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := fs.Counts()[disktest.KindSyncDir] - before; got > n-1 {
		t.Errorf("%d syncs for %d removals", got, n-1)
	}
	for seed := range uint64(20) {
		es, err := disk.New(fs.Crash(seed), disk.Options{}).ReadDir("logs/t")
		if err != nil || len(es) != 1 {
			t.Errorf("after a power cut: %v, %v", es, err)
		}
	}
	for range 2 {
		if err := errors.Join(d.RemoveAll(fmt.Sprintf("logs/t/%d", n-1)), d.RemoveEmpty("logs/t")); err != nil {
			t.Fatal(err)
		}
	}
	if es, err := disk.New(fs.Crash(1), disk.Options{}).ReadDir("logs"); err != nil || len(es) != 0 {
		t.Errorf("after the last and a power cut: %v, %v", es, err)
	}
}
