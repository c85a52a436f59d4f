package disk_test

import (
	"fmt"
	"sync"
	"testing"

	"penstock/disk"
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
