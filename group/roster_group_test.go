package group

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"penstock"
	"penstock/disk/disktest"
	"penstock/meta"
)

// startRoster is start with a roster.
func startRoster(t testing.TB, last *rig) (*rig, *Roster) {
	t.Helper()
	var fs *disktest.FS
	var m *meta.Store
	clk := newClock()
	if last != nil {
		fs, m, clk = last.fs, last.meta, last.clock
	}
	roster := testRoster(clk, RosterLimits{})
	return start(t, fs, m, clk, func(o *Options) { o.Roster = roster }), roster
}

// TestOneKind has each kind of members refuse the other, whether the journal exists or not.
func TestOneKind(t *testing.T) {
	r, roster := startRoster(t, nil)
	early := &line{name: "early"}
	roster.mustBeat(t, beatOf(early, consumerOf("early", "t"))) // there is no journal
	r.loaded()
	if a := <-r.join("early", joinOf("", "m1")); !errors.Is(a.Err, ErrOtherKind) {
		t.Errorf("%+v", a)
	}
	a := <-r.join("kafka", joinOf("", "m1"))
	r.must(a.Err)
	b := beatOf(&line{name: "c"}, consumerOf("kafka", "t"), consumerOf("rocket", "t"))
	if _, err := roster.Beat(b); !errors.Is(err, ErrOtherKind) {
		t.Error(err)
	}
	if roster.has("kafka") || !roster.has("rocket") {
		t.Error("the group with Kafka's member has two kinds, or the other group was refused too")
	}
	if err := r.Note("kafka", "t", penstock.TopicID{}, 0, 1); !errors.Is(err, ErrOtherKind) {
		t.Error(err)
	}
	if a := <-r.join("rocket", joinOf("", "m1")); !errors.Is(a.Err, ErrOtherKind) {
		t.Errorf("%+v", a)
	}
	if err := r.commit("rocket", "t", 0, 5); !errors.Is(err, ErrOtherKind) {
		t.Error(err)
	}
	r.must(r.Note("rocket", "t", penstock.TopicID{}, 0, 5))
	// Once its last member is gone a group may become of the other kind.
	roster.Closed(b.Link)
	a = <-r.join("rocket", joinOf("", "m1"))
	r.must(a.Err)
	r.stop(false)
}

// TestKindsRace has both kinds come to the same groups at once: never are both in one, and never is nobody.
func TestKindsRace(t *testing.T) {
	r, roster := startRoster(t, nil)
	r.loaded()
	for i := range 200 {
		name := "g" + string(rune('a'+i%26)) + string(rune('a'+i/26))
		l := &line{name: "c"}
		var wg sync.WaitGroup
		var mine error
		var theirs JoinAnswer
		wg.Go(func() { _, mine = roster.Beat(beatOf(l, consumerOf(name, "t"))) })
		wg.Go(func() { theirs = <-r.join(name, joinOf("", "m1")) })
		wg.Wait()
		if (mine == nil) == (theirs.Err == nil) {
			t.Fatalf("%s: %v, %v", name, mine, theirs.Err)
		}
	}
	r.stop(false)
}

// TestRosterDescribed has Kafka's administrators see RocketMQ's groups.
func TestRosterDescribed(t *testing.T) {
	r, roster := startRoster(t, nil)
	r.loaded()
	r.must(r.commit("b", "t", 3, 9))
	l := &line{name: "c1"}
	roster.mustBeat(t, beatOf(l, consumerOf("a", "t"), consumerOf("b", "t")))
	d, err := r.Describe("b")
	if err != nil || d.Phase != Stable || d.ProtocolType != RocketType || d.Protocol != "CLUSTERING" || len(d.Members) != 1 || d.Members[0].ClientID != "c1" || d.Members[0].ClientHost != "h" {
		t.Errorf("%+v, %v", d, err)
	}
	r.must(r.commit("z", "t", 0, 1))
	all, err := r.List()
	if err != nil || !slices.EqualFunc(all, []string{"a", "b", "z"}, func(d Description, n string) bool {
		return d.Name == n && (d.ProtocolType == RocketType && d.Size == 1) == (n != "z")
	}) {
		t.Errorf("%+v, %v", all, err)
	}
	for _, name := range []string{"a", "b"} {
		done := make(chan error, 1)
		r.Delete(name, func(err error) { done <- err })
		if err := <-done; !errors.Is(err, ErrGroupNotEmpty) {
			t.Error(name, err)
		}
	}
	done := make(chan error, 1)
	which := []DeleteOffset{{Topic: "t", Partition: 3}}
	r.DeleteOffsets("b", which, func(err error) { done <- err })
	if err := <-done; err != nil || !errors.Is(which[0].Err, ErrSubscribed) {
		t.Error(err, which)
	}
	r.clock.add(8 * 24 * time.Hour)
	r.each(func(s *shard) { s.expire(r.clock.Now()) })
	if r.read("b", "t", 3) != 9 {
		t.Error("an offset of a group with members has expired")
	}
	roster.Closed(l)
	r.each(func(s *shard) { s.expire(r.clock.Now()) })
	r.until("an offset of an empty group expires", func() bool { return r.read("b", "t", 3) == penstock.NoOffset })
	r.stop(false)
}

func (r *rig) noted(name string, partition int32) penstock.Offset {
	r.t.Helper()
	at, ok, err := r.Noted(name, "t", partition)
	if err != nil || ok == (at == penstock.NoOffset) {
		r.t.Fatal(at, ok, err)
	}
	return at
}

func (r *rig) note(name string, partition int32, at penstock.Offset) {
	r.t.Helper()
	r.must(r.Note(name, "t", r.meta.Image().Topic("t").ID, partition, at))
}

// TestNotes has offsets shown at once, and in the journal after a flush, which makes the journal if need be.
func TestNotes(t *testing.T) {
	r := start(t, nil, nil, nil, nil)
	if r.noted("g", 0) != penstock.NoOffset {
		t.Error("nothing was noted, and it is there")
	}
	r.note("g", 0, 5)
	if r.noted("g", 0) != 5 {
		t.Error("not shown at once")
	}
	told := map[int32]penstock.Offset{}
	r.Notes("g", func(topic string, partition int32, at penstock.Offset) { told[partition] = at })
	r.Notes("nobody", func(string, int32, penstock.Offset) { t.Error("a note of nobody") })
	if len(told) != 1 || told[0] != 5 {
		t.Error("noted", told)
	}
	r.must(r.notes.flush(context.Background()))
	at := penstock.NoOffset
	r.must(r.Read("g", nil, func(_ string, _ int32, o Committed, _ bool) { at = o.Offset }))
	if at != 5 || len(r.notes.dirty) != 0 || r.notes.n != 0 {
		t.Error(at, r.notes.dirty)
	}
	// What has not changed is not written again, until it would expire.
	wrote := r.figures.commits.Value()
	r.note("g", 0, 5)
	r.must(r.notes.flush(context.Background()))
	if r.figures.commits.Value() != wrote || len(r.notes.dirty) != 0 {
		t.Error("an unchanged offset was written again, or is kept")
	}
	r.clock.add(r.o.Retention / 4)
	r.note("g", 0, 5)
	r.must(r.notes.flush(context.Background()))
	if r.figures.commits.Value() != wrote+1 {
		t.Error("an unchanged offset was not written again before it expires")
	}
	// Another's commit, and a deletion, count more than what was noted before.
	r.note("g", 0, 7)
	r.must(r.commit("g", "t", 0, 3))
	if r.noted("g", 0) != 3 {
		t.Error("an older note hides a commit")
	}
	r.note("g", 0, 8)
	done := make(chan error, 1)
	r.Delete("g", func(err error) { done <- err })
	r.must(<-done)
	r.must(r.notes.flush(context.Background()))
	if r.noted("g", 0) != penstock.NoOffset {
		t.Error("a note outlived its group")
	}
	// A stop writes down what is noted.
	r.note("g", 1, 77)
	r.stop(false)
	r = start(t, r.fs, r.meta, r.clock, nil).loaded()
	if r.noted("g", 1) != 77 {
		t.Error("lost by a stop")
	}
	// A topic that is gone has no offsets, also if they are noted only.
	r.note("g", 2, 5)
	r.must(r.meta.DeleteTopic(context.Background(), r.meta.Image().Topic("t").ID))
	if r.noted("g", 1) != penstock.NoOffset || r.noted("g", 2) != penstock.NoOffset {
		t.Error("offsets of a topic that is gone")
	}
	r.must(r.notes.flush(context.Background()))
	if len(r.notes.dirty) != 0 {
		t.Error("kept for ever")
	}
	for _, bad := range []string{"", string(make([]byte, maxText+1))} {
		if err := r.Note(bad, "t", penstock.TopicID{}, 0, 1); !errors.Is(err, ErrInvalidGroup) {
			t.Error(err)
		}
	}
	r.stop(false)
}

// TestNotesDeleted deletes an offset of which something newer is noted: neither comes back.
func TestNotesDeleted(t *testing.T) {
	r := start(t, nil, nil, nil, nil).loaded()
	for n := range int32(2) {
		r.note("g", n, 5)
	}
	r.must(r.notes.flush(context.Background()))
	for n := range int32(2) {
		r.note("g", n, 6)
	}
	done := make(chan error, 1)
	r.DeleteOffsets("g", []DeleteOffset{{Topic: "t", Partition: 1}}, func(err error) { done <- err })
	r.must(<-done)
	for range 2 {
		got := map[int32]penstock.Offset{}
		r.must(r.Read("g", nil, func(_ string, n int32, o Committed, ok bool) {
			if ok {
				got[n] = o.Offset
			}
		}))
		if want := map[int32]penstock.Offset{0: 6}; !maps.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		r.must(r.notes.flush(context.Background()))
	}
}

// TestNotesRead: whoever reads a group's offsets is shown what is noted, at once. A group that Kafka's members take over before that is committed keeps it,
// until they commit something themselves.
func TestNotesRead(t *testing.T) {
	r := start(t, nil, nil, nil, nil).loaded()
	all := func(topics map[string][]int32) map[int32]penstock.Offset {
		t.Helper()
		got := map[int32]penstock.Offset{}
		r.must(r.Read("g", topics, func(topic string, n int32, o Committed, ok bool) {
			if topic != "t" || o.Metadata != "" || ok && o.Epoch != penstock.NoEpoch {
				t.Errorf("%s %d: %+v", topic, n, o)
			}
			if got[n] = penstock.NoOffset; ok {
				got[n] = o.Offset
			}
		}))
		return got
	}
	r.note("g", 0, 5)
	r.must(r.notes.flush(context.Background()))
	r.note("g", 0, 6)
	r.note("g", 1, 7)
	want := map[int32]penstock.Offset{0: 6, 1: 7}
	if got := all(nil); !maps.Equal(got, want) {
		t.Errorf("all: %v, want %v", got, want)
	}
	want[2] = penstock.NoOffset
	if got := all(map[string][]int32{"t": {0, 1, 2}}); !maps.Equal(got, want) {
		t.Errorf("asked for: %v, want %v", got, want)
	}
	a := <-r.join("g", joinOf("", "m1"))
	r.must(a.Err)
	if s := r.sync("g", "m1", 1, map[string][]byte{"m1": nil}); s.Err != nil {
		t.Fatal(s.Err)
	}
	if got := all(map[string][]int32{"t": {0, 1, 2}}); !maps.Equal(got, want) {
		t.Errorf("to a member of Kafka's: %v, want %v", got, want)
	}
	done := make(chan error, 1)
	r.Commit("g", &Commit{MemberID: "m1", Generation: 1, Offsets: []CommitOffset{{Topic: "t", Partition: 0, Offset: 4, Epoch: penstock.NoEpoch}}},
		func(err error) { done <- err })
	r.must(<-done)
	want[0] = 4
	for range 2 {
		if got := all(map[string][]int32{"t": {0, 1, 2}}); !maps.Equal(got, want) {
			t.Errorf("after a member's commit: %v, want %v", got, want)
		}
		r.must(r.notes.flush(context.Background()))
	}
	if r.read2("g", 0) != 4 || r.read2("g", 1) != 7 {
		t.Errorf("committed are %d and %d, want 4 and 7", r.read2("g", 0), r.read2("g", 1))
	}
	r.stop(false)
}

// TestNotesFailing keeps what cannot be committed.
func TestNotesFailing(t *testing.T) {
	r := start(t, nil, nil, nil, nil).loaded()
	r.note("g", 0, 5)
	r.fs.Inject("write#*=ENOSPC")
	if err := r.notes.flush(context.Background()); err == nil {
		t.Fatal("committed on a full disk")
	}
	if r.noted("g", 0) != 5 {
		t.Error("lost")
	}
	r.fs.Heal()
	r.until("it is committed", func() bool {
		return r.notes.flush(context.Background()) == nil && r.read2("g", 0) == 5
	})
	r.stop(false)
}

// read2 is what is committed by notes, which have neither epoch nor metadata.
func (r *rig) read2(name string, partition int32) (at penstock.Offset) {
	at = penstock.NoOffset
	_ = r.committed(name, map[string][]int32{"t": {partition}}, func(_ string, _ int32, o Committed, ok bool) {
		if ok {
			at = o.Offset
		}
	})
	return at
}

// TestNotesRace has many note, flush and read at once: what one client noted last is what is there in the end, and what is read by one who notes
// does not go back.
func TestNotesRace(t *testing.T) {
	r := start(t, nil, nil, nil, nil).loaded()
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for n := range int32(4) {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(n), 1))
			for at := range penstock.Offset(400) {
				r.note("g", n, at)
				if got := r.noted("g", n); got != at {
					t.Errorf("%d was noted, and %d is read", at, got)
					return
				}
				if rnd.IntN(8) == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	flusher := make(chan struct{})
	go func() {
		defer close(flusher)
		for {
			select {
			case <-stop:
				return
			default:
				if err := r.notes.flush(context.Background()); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	wg.Wait()
	close(stop)
	<-flusher
	r.must(r.notes.flush(context.Background()))
	for n := range int32(4) {
		if at := r.read2("g", n); at != 399 {
			t.Errorf("partition %d: %d", n, at)
		}
	}
	r.stop(false)
}

// TestOwnGroup: what the broker notes of its own is there after a restart, does not expire, belongs to one topic only, and nobody else touches it.
func TestOwnGroup(t *testing.T) {
	r := start(t, nil, nil, nil, nil)
	id := r.meta.Image().Topic("t").ID
	load := func() map[int32]penstock.Offset {
		t.Helper()
		at, err := r.LoadProgress(context.Background(), ScheduleGroup, "t", id)
		r.must(err)
		return at
	}
	if at := load(); len(at) != 0 {
		t.Error(at)
	}
	done := make(chan error, 1)
	answer := func(err error) { done <- err }
	r.SaveProgress(ScheduleGroup, "t", id, map[int32]penstock.Offset{1: 7, 3: 9}, answer)
	r.must(<-done)
	r.SaveProgress(ScheduleGroup, "t", penstock.TopicID{9}, map[int32]penstock.Offset{1: 8}, answer)
	if err := <-done; !errors.Is(err, penstock.ErrUnknownTopic) {
		t.Error(err)
	}
	for what, err := range map[string]error{
		"commit": r.commit(ScheduleGroup, "t", 1, 99), "join": (<-r.join(ScheduleGroup, joinOf("", "m"))).Err,
		"note": r.Note(ScheduleGroup, "t", id, 1, 99),
	} {
		if !errors.Is(err, ErrInvalidGroup) {
			t.Error(what, err)
		}
	}
	r.Delete(ScheduleGroup, answer)
	if err := <-done; !errors.Is(err, ErrInvalidGroup) {
		t.Error(err)
	}
	r.DeleteOffsets(ScheduleGroup, []DeleteOffset{{Topic: "t", Partition: 1}}, answer)
	if err := <-done; !errors.Is(err, ErrInvalidGroup) {
		t.Error(err)
	}
	r.clock.add(100 * 24 * time.Hour)
	r.each(func(s *shard) { s.expire(r.clock.Now()) })
	r.stop(false)
	r = start(t, r.fs, r.meta, r.clock, nil)
	if at := load(); len(at) != 2 || at[1] != 7 || at[3] != 9 {
		t.Error(at)
	}
	r.stop(false)
}
