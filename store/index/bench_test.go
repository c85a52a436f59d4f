package index

import (
	"math/rand/v2"
	"testing"

	"penstock/disk"
)

// BenchmarkAdd is what a key costs, files and their blocks included, on the disk of the temporary directory.
func BenchmarkAdd(b *testing.B) {
	d, err := disk.Open(b.TempDir(), disk.Options{})
	if err != nil {
		b.Fatal(err)
	}
	x, _, err := Open(d, "i", Options{}, false)
	if err != nil {
		b.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	keys := make([]Key, 1)
	pos := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		pos += 1000
		keys[0] = Key{int32(rnd.Uint32()), pos, 1_700_000_000_000}
		x.Add(keys)
	}
	x.Close()
	if err := d.Close(); err != nil {
		b.Fatal(err)
	}
}
