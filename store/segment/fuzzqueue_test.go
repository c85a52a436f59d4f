package segment

import (
	"context"
	"path"
	"testing"

	"penstock"
	"penstock/disk"
	"penstock/disk/disktest"
	"penstock/message"
	"penstock/store"
)

// queueKinds are the files that a fuzzed byte string may stand for.
func queueKinds(r *rig) []string {
	return []string{
		r.s.name(pointsFile), r.s.name(cleanFile), r.s.name(numbersFile), path.Join(r.dir(), manifestFile), path.Join(r.dir(), epochFile),
		r.log(0), r.log(10), r.log(20), r.queue(0), r.queue(10), r.queue(20),
	}
}

// FuzzQueueRecovery is FuzzRecovery for messages: nothing panics, nothing hangs, and every message that is given out is the one asked for or
// lies where the log was altered.
func FuzzQueueRecovery(f *testing.F) {
	r := &rig{t: &testing.T{}, fs: disktest.New(), f: message.Format{}}
	r.c = store.Config{SegmentBytes: int64(10 * r.batchSize())}
	r.open()
	r.add(25)
	kinds := queueKinds(r)
	r.stop()
	base := r.fs
	d := disk.New(base, disk.Options{})
	for i, name := range kinds {
		b, err := d.ReadFile(name, 1<<30)
		must(f, err)
		f.Add(uint8(i), b, false, false)
		f.Add(uint8(i), b[:len(b)/2], true, true)
	}
	f.Fuzz(func(t *testing.T, kind uint8, b []byte, unclean, resealed bool) {
		d := disk.New(base.Kill(), disk.Options{})
		if resealed && len(b) > crcSize {
			b = seal(b[:len(b)-crcSize:len(b)-crcSize], 0)
		}
		must(t, d.WriteFile(kinds[int(kind)%len(kinds)], b))
		if unclean {
			_ = d.Remove(kinds[1])
		}
		s, err := New(d, message.Format{}, Options{Now: testNow})
		if err != nil {
			return
		}
		p, err := s.Open(rigID, store.Config{})
		if err != nil {
			return
		}
		start, end := p.Bounds()
		if end < start {
			t.Fatalf("bounds %d to %d", start, end)
		}
		for off := start; off < min(end, start+40); off++ {
			es, _, err := p.(store.Queue).Pull(store.PullRequest{From: off, Limit: end, Max: 500, Count: 3, Scan: 5}, nil)
			if err == nil {
				penstock.ReleaseAll(es)
			}
			_, _, _ = s.Locate(bare(p).global(penstock.Position(off) * 255))
		}
		_, _ = p.Find(1_700_000_000_100)
		_, _ = p.Find(store.FindMax)
		_ = p.Scan(start, func(*penstock.BatchHeader) error { return nil })
		_, _ = s.Scrub(context.Background(), 0)
		_ = p.Truncate(max(start, end-3))
		_ = s.Close()
		_ = d.Close()
	})
}
