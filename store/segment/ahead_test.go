package segment

import (
	"testing"

	"penstock/store"
)

// size is how long the file of the active segment is.
func (r *rig) size() int64 {
	r.t.Helper()
	r.p.w.Lock()
	defer r.p.w.Unlock()
	n, err := r.p.active().h.Size()
	must(r.t, err)
	return n
}

// TestTrim: zeros written ahead go when the log has not grown between two calls, not before, and come back with small commits.
// Whatever a crash does to the cut, every record is there and nothing else.
func TestTrim(t *testing.T) {
	r := newRig(t, store.Config{})
	commit := func() {
		t.Helper()
		r.add(1)
		_, end := r.p.Bounds()
		must(t, r.p.sync(end))
	}
	grow := func() {
		t.Helper()
		for range smallCommits + 2 {
			commit()
		}
		if got := r.size(); got < defaultZeroAhead {
			t.Fatalf("the file has %d bytes, no zeros ahead", got)
		}
	}
	grow()
	r.s.Trim() // sees it for the first time
	commit()
	r.s.Trim() // it has grown
	if got := r.size(); got < defaultZeroAhead {
		t.Errorf("a log that grows lost its zeros: %d bytes", got)
	}
	r.s.Trim()
	if got, want := r.size(), r.p.active().size; got != want {
		t.Errorf("a log at rest has %d bytes in its file, %d of batches", got, want)
	}
	if n := len(r.s.ahead.of); n != 0 {
		t.Errorf("%d logs are looked at without zeros", n)
	}
	commit()
	if got, want := r.size(), r.p.active().size; got != want {
		t.Errorf("one commit after a rest: %d bytes in the file, %d of batches", got, want)
	}
	grow()
	r.s.Trim()
	r.s.Trim()
	_, end := r.p.Bounds()
	for seed := range uint64(20) {
		fs := r.fs.Crash(seed)
		again := &rig{t: t, fs: fs, c: r.c}
		again.open()
		if _, got := again.p.Bounds(); got != end {
			t.Errorf("seed %d: end %d after a crash, want %d", seed, got, end)
		}
		for i, c := range again.readable() {
			if c != 'x' {
				t.Fatalf("seed %d: record %d cannot be read", seed, i)
			}
		}
		again.stop()
	}
}

// TestTrimRemoved: a partition that is removed with zeros ahead is forgotten.
func TestTrimRemoved(t *testing.T) {
	r := newRig(t, store.Config{})
	for range smallCommits + 2 {
		r.add(1)
		_, end := r.p.Bounds()
		must(t, r.p.sync(end))
	}
	must(t, r.s.Remove(rigID))
	r.s.Trim()
	if n := len(r.s.ahead.of); n != 0 {
		t.Errorf("%d partitions are looked at after they were removed", n)
	}
}
