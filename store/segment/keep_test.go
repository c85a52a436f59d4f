package segment

import (
	"errors"
	"testing"

	"penstock"
	"penstock/disk"
	"penstock/store"
)

// TestKeepState: what was said of the newest state survives a clean stop and a checkpoint, and ends with a newer state, a truncation,
// and a crash before the checkpoint.
func TestKeepState(t *testing.T) {
	r := newRig(t, store.Config{})
	expect := func(when string, at penstock.Offset, state string) {
		t.Helper()
		if got, s := r.p.LoadState(); got != at || string(s) != state {
			t.Errorf("%s: %q at %d, want %q at %d", when, s, got, state, at)
		}
	}
	crash := func() { r.fs = r.fs.Crash(1); r.open() }
	restart := func() { r.stop(); r.open() }
	end := func() penstock.Offset { _, e := r.p.Bounds(); return e }
	r.add(10)
	must(t, r.s.Checkpoint())
	must(t, r.p.KeepState(10))
	expect("none, kept", 10, "")
	if err := r.p.KeepState(11); err == nil {
		t.Error("a state holds behind the end")
	}
	crash()
	expect("a crash before the checkpoint", penstock.NoOffset, "")
	at := end()
	must(t, r.p.KeepState(at))
	must(t, r.s.Checkpoint())
	r.add(5)
	crash()
	expect("a crash after it", at, "")
	must(t, r.p.KeepState(end()))
	at = end()
	restart()
	expect("a clean stop", at, "")

	must(t, r.p.SaveState(at, []byte("one")))
	expect("a newer state", at, "one")
	crash()
	expect("a newer state, after a crash", at, "one")
	r.add(5)
	must(t, r.p.KeepState(end()))
	expect("kept", end(), "one")
	if err := r.p.KeepState(at - 1); err == nil {
		t.Error("a state holds until before it was true")
	}
	must(t, r.p.Truncate(end()-2))
	expect("cut", at, "one")
	must(t, r.p.KeepState(end()))
	must(t, r.s.Checkpoint())
	must(t, r.p.Truncate(end()-2))
	restart()
	expect("cut after a checkpoint", at, "one")
}

// TestCheckpointAfterRemoval: a checkpoint that began before a partition was removed leaves nothing of it, and does not fail.
func TestCheckpointAfterRemoval(t *testing.T) {
	r := newRig(t, store.Config{})
	r.add(10)
	must(t, r.p.sync(10))
	at, made := r.p.beginCheckpoint(false)
	if !made {
		t.Fatal("no point of a log with batches")
	}
	r.add(10)
	must(t, r.s.Remove(rigID))
	if gone, err := r.p.endCheckpoint(at.facts, 1); !gone || err != nil {
		t.Errorf("the end of a checkpoint: gone %v, %v", gone, err)
	}
	if _, made := r.p.beginCheckpoint(false); made {
		t.Error("a removed partition has a recovery point")
	}
	if es, err := r.d.ReadDir(dirName(rigID)); err != nil || len(es) > 0 {
		t.Errorf("left of the partition: %v, %v", es, err)
	}
	must(t, r.s.Checkpoint())
	if es, err := r.d.ReadDir(logsDir); err != nil || len(es) > 0 {
		t.Errorf("left of the topic: %v, %v", es, err)
	}
}

// TestCheckpointAtRest: a checkpoint that would say what the last one says is not written, and what is there goes on to count: after a
// crash, after a truncation, and at a clean stop.
func TestCheckpointAtRest(t *testing.T) {
	r := newRig(t, store.Config{})
	r.add(10)
	for range 5 {
		must(t, r.s.Checkpoint())
	}
	r.fs = r.fs.Crash(1)
	r.open()
	if n := r.s.walked.Load(); n != 0 {
		t.Errorf("%d bytes walked behind a recovery point", n)
	}
	for range 3 {
		must(t, r.s.Checkpoint())
	}
	must(t, r.p.Truncate(8))
	r.add(2)
	must(t, r.s.Checkpoint())
	r.fs = r.fs.Crash(2)
	r.open()
	if _, end := r.p.Bounds(); end != 10 || r.s.walked.Load() != 0 {
		t.Errorf("end %d, %d bytes walked after a truncation and a checkpoint", end, r.s.walked.Load())
	}
	for range 3 {
		must(t, r.s.Checkpoint())
	}
	r.stop()
	r.open()
	if !r.s.Clean() {
		t.Error("a stop after checkpoints at rest is not clean")
	}
}

// TestUnopenedStaysUnclean: a store that was killed and opened without its partitions, as by a tool, does not say that its stop was clean: nobody has seen
// whether they are whole.
func TestUnopenedStaysUnclean(t *testing.T) {
	r := newRig(t, store.Config{})
	r.add(3)
	r.fs = r.fs.Kill()
	d := disk.New(r.fs, disk.Options{})
	s, err := New(d, r.format(), Options{})
	must(t, err)
	must(t, errors.Join(s.Close(), d.Close()))
	for _, clean := range []bool{false, true} {
		r.open()
		if r.s.Clean() != clean {
			t.Errorf("clean: %v, want %v", r.s.Clean(), clean)
		}
		r.stop()
	}
}
