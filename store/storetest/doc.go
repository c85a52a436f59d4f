// Package storetest is the suite that every layout passes with every format. Run is all of it: plain cases, a dumb twin
// driven by random operations through clean stops, kills and power cuts, every nth disk call failed or the last, and a
// disk that is full and has room again.
//
// Every random case is a function of its seed, which the failure names. STORETEST_SEEDS sets how many seeds the crash
// loop runs (a few hundred without it), STORETEST_FROM the first of them.
package storetest

import (
	"os"
	"strconv"
	"testing"

	"penstock"
	"penstock/disk"
	"penstock/store"
)

// Factory is what is tested: a layout with a format.
type Factory struct {
	Format store.Format
	// Open opens the store on d. It is closed by the suite.
	Open func(d *disk.Disk) (store.Store, error)
	// FileBytes is, for layouts whose partitions share a log, the factory with files that two batches of so many bytes fill, each appended
	// alone. It is nil where a partition's SegmentBytes says how large files are.
	FileBytes func(batch int64) Factory
	// Batch makes a validated batch. A format may make one of one record whatever is asked for.
	Batch func(Spec) penstock.Batch
	// Tag is the code of a batch's tag, by which store.Queue chooses, and Position where its bytes say that it lies. Both are nil for formats
	// that have none.
	Tag      func(batch []byte) int64
	Position func(batch []byte) penstock.Position
	// Keys is set where batches have keys and the store is a store.Finder: it indexes them, and the suite looks for them.
	Keys bool
	// Check compares the files of a store that was closed cleanly with each other, nil for none: that the indexes are what a
	// simpler hand would build from the logs, and that no file is there without need.
	Check func(d *disk.Disk) error
}

// epoch is what the header of a batch says that was appended in an epoch: messages have no place for it.
func (f Factory) epoch(e penstock.Epoch) penstock.Epoch {
	if f.Format.Kind() == penstock.FormatMessage {
		return penstock.NoEpoch
	}
	return e
}

// Spec says what batch is wanted.
type Spec struct {
	Records int                  // at least 1
	Bytes   int                  // about so many of payload
	First   penstock.Timestamp   // of the first record; the others follow one millisecond after another
	Of      penstock.PartitionID // whose it is, for formats whose batches say
	Tag     uint64               // goes into the payload, so that batches differ
}

// shortSeeds is the length of the crash loop in an ordinary test run.
const shortSeeds = 300

func fromEnv(name string, or uint64) uint64 {
	if n, err := strconv.ParseUint(os.Getenv(name), 10, 64); err == nil {
		return n
	}
	return or
}

// Run runs the suite.
func Run(t *testing.T, f Factory) {
	t.Helper()
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) { c.run(t, f) })
	}
	RunDriven(t, f)
}

// RunDriven runs what does not depend on the sizes of batches: all but the plain cases.
func RunDriven(t *testing.T, f Factory) {
	t.Helper()
	t.Run("Twin", func(t *testing.T) { runSeeds(t, f, 0, 100, twinSeed) })
	from, seeds := fromEnv("STORETEST_FROM", 0), fromEnv("STORETEST_SEEDS", shortSeeds)
	t.Run("Crash", func(t *testing.T) {
		runSeeds(t, f, 106_997, 1, crashSeed) // states whose saving failed are there, push older ones out, and are cut off
		runSeeds(t, f, from, seeds, crashSeed)
	})
	t.Run("EveryNthCallLast", func(t *testing.T) { everyNth(t, f, "change#%d=halt") })
	t.Run("EveryNthCallFails", func(t *testing.T) { everyNth(t, f, "any#%d=EIO") })
	t.Run("EveryNthCallFindsDiskFull", func(t *testing.T) { everyNth(t, f, "change#%d=ENOSPC") })
	t.Run("ShortWrites", func(t *testing.T) { everyNth(t, f, "write#%d=short") })
	t.Run("FullAndBack", func(t *testing.T) { runSeeds(t, f, 0, 50, fullSeed) })
}

// runSeeds runs one function for many seeds and stops at the first few failures.
func runSeeds(t *testing.T, f Factory, from, n uint64, run func(Factory, uint64) error) {
	t.Helper()
	failed := 0
	for seed := from; seed < from+n && failed < 3; seed++ {
		if err := run(f, seed); err != nil {
			failed++
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}
