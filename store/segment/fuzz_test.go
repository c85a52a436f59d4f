package segment

import (
	"context"
	"path"
	"testing"

	"penstock"
	"penstock/disk"
	"penstock/disk/disktest"
	"penstock/record"
	"penstock/store"
)

// fuzzKinds are the files that a fuzzed byte string may stand for.
var fuzzKinds = []string{
	pointsFile, cleanFile,
	path.Join(dirName(rigID), manifestFile), path.Join(dirName(rigID), epochFile), path.Join(dirName(rigID), metadataFile),
	fileName(dirName(rigID), 0, logSuffix), fileName(dirName(rigID), 10, logSuffix), fileName(dirName(rigID), 20, logSuffix),
	fileName(dirName(rigID), 10, offSuffix), fileName(dirName(rigID), 10, timeSuffix), fileName(dirName(rigID), 10, baseSuffix),
	fileName(dirName(rigID), 20, offSuffix), fileName(dirName(rigID), 20, stateSuffix),
}

// fuzzBase is a log of three segments that was stopped cleanly, with every kind of file.
func fuzzBase(t testing.TB) *disktest.FS {
	r := &rig{fs: disktest.New()}
	r.t = &testing.T{}
	r.open()
	r.p.Configure(damageConfig(r))
	must(t, r.p.SetEpoch(0))
	r.add(20)
	must(t, r.p.SaveState(20, []byte("twenty")))
	r.add(5)
	r.stop()
	return r.fs
}

// FuzzRecovery replaces one file by arbitrary bytes and opens: nothing panics, nothing hangs, and what can be read is what was
// written or a batch with a sound checksum. With resealed set the bytes get a good checksum first, so that the parsers behind it are reached.
func FuzzRecovery(f *testing.F) {
	base := fuzzBase(f)
	d := disk.New(base, disk.Options{})
	for i, name := range fuzzKinds {
		b, err := d.ReadFile(name, 1<<30)
		must(f, err)
		f.Add(uint8(i), b, false, false)
		f.Add(uint8(i), b[:len(b)/2], true, true)
	}
	f.Fuzz(func(t *testing.T, kind uint8, b []byte, unclean, resealed bool) {
		fs := base.Kill()
		d := disk.New(fs, disk.Options{})
		if resealed && len(b) > crcSize {
			b = seal(b[:len(b)-crcSize:len(b)-crcSize], 0)
		}
		must(t, d.WriteFile(fuzzKinds[int(kind)%len(fuzzKinds)], b))
		if unclean {
			_ = d.Remove(cleanFile)
		}
		s, err := New(d, record.Format{}, Options{Now: testNow})
		must(t, err)
		p, err := s.Open(rigID, store.Config{})
		if err != nil {
			return
		}
		start, end := p.Bounds()
		if end < start {
			t.Fatalf("bounds %d to %d", start, end)
		}
		for off := start; off < min(end, start+40); off++ {
			es, err := p.Read(store.ReadRequest{From: off, Limit: end, Max: 500, Whole: true}, nil)
			if err == nil {
				penstock.ReleaseAll(es)
			}
		}
		_, _ = p.Find(1_700_000_000_100)
		_, _ = p.Find(store.FindMax)
		_ = p.Scan(start, func(*penstock.BatchHeader) error { return nil })
		_, _ = p.LoadState()
		_, _ = s.Scrub(context.Background(), 0)
		_ = p.Truncate(max(start, end-3))
		_ = s.Close()
		_ = d.Close()
	})
}
