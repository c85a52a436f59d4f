package segment

import (
	"bytes"
	"testing"

	"penstock"
	"penstock/disk/disktest"
	"penstock/store"
	"penstock/store/storetest"
)

// TestUnsyncedIsNotNamed: a segment that was sealed and is not durable yet must not be named in "segments": a power cut
// would make damage of what was never promised.
func TestUnsyncedIsNotNamed(t *testing.T) {
	r := newRig(t, store.Config{})
	r.c = damageConfig(r)
	r.p.Configure(r.c)
	r.fs.Inject("sync(*.log)#1=stall")
	r.add(25)
	r.fs.WaitStalled(1)
	r.p.w.Lock()
	err := r.p.writeManifest(r.p.segs, r.p.void)
	r.p.w.Unlock()
	must(t, err)
	old := r.fs
	r.fs = old.CrashWith(disktest.CrashOptions{Data: disktest.Lost, Names: disktest.Kept})
	old.Unstall()
	r.stop()
	r.open()
	if q := r.p.Stats().Quarantined; q != 0 {
		t.Errorf("%d places quarantined that were never durable", q)
	}
	r.bounds(0, 0)
	r.add(1)
}

func (r *rig) bounds(start, end penstock.Offset) {
	r.t.Helper()
	if s, e := r.p.Bounds(); s != start || e != end {
		r.t.Fatalf("bounds %d to %d, want %d to %d", s, e, start, end)
	}
}

// TestTruncateDuringCommit: a truncation waits for a round of group commit that has begun, whose bytes must not change, and that round says
// nothing of what is appended afterwards.
func TestTruncateDuringCommit(t *testing.T) {
	r := newRig(t, store.Config{})
	r.add(10)
	ended := make(chan error, 10)
	r.p.Notify(func(_ store.Mark, err error) { ended <- err })
	r.fs.Inject("sync(*.log)#1=stall")
	r.p.Commit()
	r.fs.WaitStalled(1)
	cut := make(chan error)
	go func() { cut <- r.p.Truncate(4) }()
	r.fs.Unstall()
	must(t, <-ended)
	must(t, <-cut)
	r.add(8)
	if got := r.p.Synced(); got > 4 {
		t.Errorf("durable up to %d, nothing from 4 on was synced", got)
	}
	must(t, r.p.sync(12))
	r.fs = r.fs.CrashWith(disktest.CrashOptions{Data: disktest.Lost, Names: disktest.Lost})
	r.open()
	r.bounds(0, 12)
}

// TestTruncateDuringCheckpoint: a recovery point that was taken before a truncation is dropped, from the checkpoint under way
// and from those before.
func TestTruncateDuringCheckpoint(t *testing.T) {
	r := newRig(t, store.Config{})
	r.add(10)
	must(t, r.s.Checkpoint())
	r.s.seq.Add(1)
	point, _ := r.p.beginCheckpoint(false)
	must(t, r.p.Truncate(4))
	gone, err := r.p.endCheckpoint(point.facts, 1)
	must(t, err)
	if !gone {
		t.Error("a point behind the end is kept")
	}
	r.fs = r.fs.Crash(1)
	r.open()
	r.bounds(0, 4)
	if q := r.p.Stats().Quarantined; q != 0 {
		t.Errorf("%d places quarantined after a truncation", q)
	}
}

// TestStaleBatch: a sound batch of another offset behind the recovery point is not taken for the log's.
func TestStaleBatch(t *testing.T) {
	for _, stale := range []penstock.Offset{3, 6} {
		r := newRig(t, store.Config{})
		r.add(5)
		must(t, r.p.sync(5))
		r.fs = r.fs.Kill()
		r.open()
		b := makeBatch(storetest.Spec{Records: 1, Bytes: 50, First: 1})
		r.s.f.Stamp(b.Bytes, store.Stamp{Base: stale, AppendTime: penstock.NoTimestamp})
		r.edit(r.log(0), func(log []byte) []byte { return append(bytes.Clone(log), b.Bytes...) })
		r.open()
		r.bounds(0, 5)
		if got := r.readable(); got != "xxxxx" {
			t.Errorf("readable %s", got)
		}
	}
}
