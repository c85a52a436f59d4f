package group

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"penstock"
	"penstock/disk/disktest"
	"penstock/meta"
	"penstock/meta/metatest"
)

// TestOrderOfOutcomes: what the journal reports out of order is taken in order.
func TestOrderOfOutcomes(t *testing.T) {
	r := start(t, nil, nil, nil, nil).loaded()
	defer r.stop(false)
	g, err := r.lock("g", true)
	r.must(err)
	p := place{"t", 0}
	var told []int
	for i := range 3 {
		a := &appended{changes: []change{{p, &Committed{Offset: penstock.Offset(i)}}}, then: func(error, *calls) { told = append(told, i) }}
		g.flight = append(g.flight, a)
		g.latest[p] = unsettled{a.changes[0].to, a}
	}
	flight := g.flight
	g.mu.Unlock()
	g.landed(flight[2], nil)
	g.landed(flight[1], ErrUnavailable)
	if len(told) != 0 || len(g.offsets) != 0 {
		t.Fatal(told, g.offsets)
	}
	g.landed(flight[0], nil)
	if at, _ := g.offsets.get(p); fmt.Sprint(told) != "[0 1 2]" || at.Offset != 2 || len(g.latest) != 0 {
		t.Fatal(told, at, g.latest)
	}
}

// TestAlarm: sessions end without anybody asking.
func TestAlarm(t *testing.T) {
	r := start(t, nil, nil, nil, nil).loaded()
	defer r.stop(false)
	<-r.join("g", joinOf("", "m1"))
	r.sync("g", "m1", 1, nil)
	for range 5 {
		r.clock.add(9 * time.Second)
		r.must(r.Heartbeat("g", Heartbeat{MemberID: "m1", Generation: 1}))
		r.alarm.ring(r.clock.Now())
	}
	r.clock.add(11 * time.Second)
	r.alarm.ring(r.clock.Now())
	if d, err := r.Describe("g"); err != nil || d.Phase != Empty {
		t.Errorf("%+v %v", d, err)
	}
	if n := r.alarm.due.Len(); n > 2 {
		t.Errorf("%d entries in the heap after heartbeats of one member", n)
	}
}

// TestRetention: KIP-211. Offsets are kept while the group has members that read their topic and for the retention after it became
// empty; those of consumers that assign themselves for it after the commit; those with a time of their own until then.
func TestRetention(t *testing.T) {
	r := start(t, nil, nil, nil, func(o *Options) { o.Retention = 24 * time.Hour }).loaded()
	defer func() { r.stop(false) }()
	metatest.Topic(t, r.meta, "u", 1, nil)
	r.must(r.commit("alone", "t", 0, 1))
	r.must(r.commit("g", "t", 0, 2))
	r.must(r.commit("g", "u", 0, 3)) // nobody will read it
	own := make(chan error, 1)
	r.Commit("own", &Commit{Generation: -1, Keep: time.Hour, Offsets: []CommitOffset{{Topic: "t", Offset: 4, Epoch: 1, Metadata: "4"}}}, func(err error) { own <- err })
	r.must(<-own)
	<-r.join("g", joinOf("", "m1"))
	r.sync("g", "m1", 1, nil)
	look := func(want ...penstock.Offset) {
		t.Helper()
		r.each(func(s *shard) {
			s.expire(r.clock.Now())
			for _, g := range s.list() {
				r.until("nothing is under way", func() bool { g.mu.Lock(); defer g.mu.Unlock(); return len(g.flight) == 0 })
			}
		})
		r.until("deletions are durable", func() bool {
			return r.read("alone", "t", 0) == want[0] && r.read("g", "t", 0) == want[1] && r.read("g", "u", 0) == want[2] && r.read("own", "t", 0) == want[3]
		})
	}
	look(1, 2, 3, 4)
	r.clock.add(time.Hour)
	look(1, 2, 3, -1) // and the member is gone, for its session is over: the group is empty from now on
	r.alarm.ring(r.clock.Now())
	if d, _ := r.Describe("g"); d.Phase != Empty {
		t.Fatalf("%+v", d)
	}
	<-r.join("g", joinOf("", "m2"))
	r.sync("g", "m2", 3, nil)
	beat := func(d time.Duration) {
		for end := r.clock.Now().Add(d); r.clock.Now().Before(end); {
			r.clock.add(9 * time.Second)
			r.must(r.Heartbeat("g", Heartbeat{MemberID: "m2", Generation: 3}))
		}
	}
	beat(24 * time.Hour)
	look(-1, 2, -1, -1)
	_, err := r.Depart("g", []Leaver{{MemberID: "m2"}})
	r.must(err)
	r.clock.add(23 * time.Hour)
	look(-1, 2, -1, -1)
	r.clock.add(time.Hour)
	look(-1, -1, -1, -1)
	for _, name := range []string{"alone", "g", "own"} {
		r.until(name+" is gone", func() bool {
			r.each(func(s *shard) { s.expire(r.clock.Now()) }) // the passes after it
			_, err := r.Describe(name)
			return errors.Is(err, ErrGroupNotFound)
		})

	}
	r.stop(false)
	r = start(t, r.fs, r.meta, r.clock, nil).loaded()
	if all, _ := r.List(); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}

// TestDeletedTopic: the offsets of a topic go with it, and do not count for one of the same name; also when it is deleted while
// nobody is there to see it.
func TestDeletedTopic(t *testing.T) {
	r := start(t, nil, nil, nil, nil).loaded()
	defer func() { r.stop(false) }()
	for range 2 {
		u := metatest.Topic(t, r.meta, "u", 1, nil)
		if got := r.read("g", "u", 0); got != penstock.NoOffset {
			t.Fatalf("the offset %d of the topic's last life counts", got)
		}
		r.must(r.commit("g", "u", 0, 7))
		r.must(r.commit("g", "t", 0, 8))
		r.must(r.meta.DeleteTopic(context.Background(), u.ID))
	}
	r.until("they are deleted", func() bool { return r.read("g", "u", 0) == penstock.NoOffset })
	u := metatest.Topic(t, r.meta, "u", 1, nil)
	r.must(r.commit("g", "u", 0, 9))
	r.stop(false)
	r.must(r.meta.DeleteTopic(context.Background(), u.ID))
	r = start(t, r.fs, r.meta, r.clock, nil).loaded()
	r.until("they are deleted", func() bool { return r.read("g", "u", 0) == penstock.NoOffset })
	if r.read("g", "t", 0) != 8 {
		t.Error("the other topic's are gone too")
	}
}

// TestNoJournal: before there is a journal, while it is loaded, and after it is gone, members are told to look again.
func TestNoJournal(t *testing.T) {
	r := start(t, nil, nil, nil, nil)
	ask := func() []error {
		_, err1 := r.Depart("g", nil)
		_, err2 := r.Describe("g")
		return []error{
			(<-r.join("g", joinOf("", "m"))).Err, r.sync("g", "m", 1, nil).Err, r.Heartbeat("g", Heartbeat{}), r.commit("g", "t", 0, 1), err1, err2,
			r.Read("g", nil, nil),
		}
	}
	for i, err := range ask() {
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("%d before: %v", i, err)
		}
	}
	r.loaded()
	r.must(r.commit("g", "t", 0, 1))
	r.each(func(s *shard) { s.ready.Store(false) })
	for i, err := range ask() {
		if !errors.Is(err, ErrLoading) {
			t.Errorf("%d while loading: %v", i, err)
		}
	}
	r.each(func(s *shard) { s.ready.Store(true) })
	<-r.join("h", joinOf("", "m1"))
	waits := r.join("h", joinOf("", "m2"))
	r.must(r.meta.DeleteTopic(context.Background(), r.meta.Image().Topic(JournalTopic).ID))
	if a := <-waits; !errors.Is(a.Err, ErrNotCoordinator) {
		t.Errorf("%+v", a)
	}
	for i, err := range ask() {
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("%d after: %v", i, err)
		}
	}
	r.loaded()
	if r.read("g", "t", 0) != penstock.NoOffset {
		t.Error("a new journal knows the old one's groups")
	}
	r.stop(false)
}

// TestLeave: before a stop whoever waits is sent away to look for the coordinator, nobody waits any more, and commits go on.
func TestLeave(t *testing.T) {
	r := start(t, nil, nil, nil, nil).loaded()
	<-r.join("g", joinOf("", "m1"))
	waits := r.join("g", joinOf("", "m2"))
	r.Leave()
	if a := <-waits; !errors.Is(a.Err, ErrNotCoordinator) {
		t.Errorf("%+v", a)
	}
	if a := <-r.join("g", joinOf("", "m3")); !errors.Is(a.Err, ErrNotCoordinator) {
		t.Errorf("%+v", a)
	}
	r.must(r.commit("alone", "t", 0, 3))
	r.clock.add(time.Hour)
	r.alarm.ring(r.clock.Now())
	if d, _ := r.Describe("g"); len(d.Members) == 0 {
		t.Error("members are lost because the node stops")
	}
	r.stop(false)
}

// TestForget: who waits and goes away is forgotten, and never answered.
func TestForget(t *testing.T) {
	r := start(t, nil, nil, nil, nil).loaded()
	defer r.stop(false)
	<-r.join("g", joinOf("", "m1"))
	var answered atomic.Bool
	forget := r.Join("g", joinOf("", "m2"), func(JoinAnswer) { answered.Store(true) })
	if !forget() || forget() {
		t.Error("forgotten twice, or not at all")
	}
	if a := <-r.join("g", joinOf("m1", "")); a.Err != nil || len(a.Members) != 1 {
		t.Errorf("%+v", a)
	}
	if answered.Load() {
		t.Error("answered")
	}
}

// TestEmptyGroupsAreDropped: groups that hold nothing take no memory, whatever names are asked for.
func TestEmptyGroupsAreDropped(t *testing.T) {
	r := start(t, nil, nil, nil, func(o *Options) { o.MaxGroups = 1 }).loaded()
	defer r.stop(false)
	for i := range 100 {
		name := fmt.Sprint("g", i)
		_ = r.Heartbeat(name, Heartbeat{MemberID: "m"})
		j := joinOf("", "m")
		j.SessionTimeout = 0
		<-r.join(name, j)
		wait := make(chan error, 1)
		r.Commit(name, &Commit{Generation: -1, Offsets: []CommitOffset{{Topic: "t", Metadata: string(make([]byte, DefaultMetadata+1))}}}, func(err error) { wait <- err })
		r.must(<-wait)
	}
	r.each(func(s *shard) { r.until("they are dropped", func() bool { return s.len() == 0 }) })
	r.must(r.commit("a", "t", 0, 1))
	full := 0
	for i := range 10 {
		if err := r.commit(fmt.Sprint("g", i), "t", 0, 1); errors.Is(err, ErrUnavailable) {
			full++
		}
	}
	if full < 8 {
		t.Errorf("%d of 10 were one too many", full)
	}
	wait := make(chan error, 1)
	r.Commit("nobody", &Commit{MemberID: "m", Generation: 5}, func(err error) { wait <- err })
	if err := <-wait; !errors.Is(err, ErrIllegalGeneration) {
		t.Errorf("a commit of a generation that there never was: %v", err)
	}
	long := string(make([]byte, maxText+1))
	if err := r.commit(long, "t", 0, 1); !errors.Is(err, ErrInvalidGroup) {
		t.Error(err)
	}
	j := joinOf("", "m")
	j.InstanceID = long
	if a := <-r.join("a", j); !errors.Is(a.Err, ErrInvalidGroup) {
		t.Error(a.Err)
	}
	if a := <-r.join("", joinOf("", "m")); !errors.Is(a.Err, ErrInvalidGroup) {
		t.Error(a.Err)
	}
}

// TestDeleteOffsets: KIP-496.
func TestDeleteOffsets(t *testing.T) {
	r := start(t, nil, nil, nil, nil).loaded()
	defer r.stop(false)
	metatest.Topic(t, r.meta, "u", 1, nil)
	drop := func(name string, ds ...DeleteOffset) error {
		wait := make(chan error, 1)
		r.DeleteOffsets(name, ds, func(err error) { wait <- err })
		return <-wait
	}
	if err := drop("g"); err != ErrGroupNotFound {
		t.Error(err)
	}
	r.must(r.commit("g", "t", 0, 1))
	r.must(r.commit("g", "u", 0, 2))
	<-r.join("g", joinOf("", "m1"))
	ds := []DeleteOffset{{Topic: "t"}, {Topic: "u"}, {Topic: "u", Partition: 9}}
	r.must(drop("g", ds...))
	if ds[0].Err != ErrSubscribed || ds[1].Err != nil || r.read("g", "t", 0) != 1 || r.read("g", "u", 0) != -1 {
		t.Errorf("%+v", ds)
	}
	j := joinOf("", "m1")
	j.ProtocolType = "connect"
	<-r.join("h", j)
	if err := drop("h", DeleteOffset{Topic: "t"}); err != ErrGroupNotEmpty {
		t.Error(err)
	}
	wait := make(chan error, 1)
	r.Delete("h", func(err error) { wait <- err })
	if err := <-wait; err != ErrGroupNotEmpty {
		t.Error(err)
	}
}

// TestRepair: a journal's topic that somebody made by hand is given the settings that it must have.
func TestRepair(t *testing.T) {
	m, _ := metatest.Open(t)
	metatest.Topic(t, m, "t", 1, nil)
	metatest.Topic(t, m, JournalTopic, 3, map[string]string{"retention.ms": "1000"})
	r := start(t, nil, m, nil, nil).loaded()
	defer r.stop(false)
	s := m.Image().Topic(JournalTopic).Settings
	if s.RetentionAge >= 0 || s.RetentionBytes >= 0 || s.Durability != penstock.DurabilityFsync || s.MaxMessageBytes != journalBatch {
		t.Errorf("%+v", s)
	}
	r.must(r.commit("g", "t", 0, 1))
}

// TestShorten: the journal stays short however often the same is committed, also over restarts, and a generation survives.
func TestShorten(t *testing.T) {
	r := start(t, nil, nil, nil, func(o *Options) { o.ShortenAbove = 20_000 }).loaded()
	defer func() { r.stop(false) }()
	<-r.join("g", joinOf("", "m1"))
	r.sync("g", "m1", 1, map[string][]byte{"m1": []byte("all")})
	var wg sync.WaitGroup
	for w := range int32(4) {
		wg.Go(func() {
			for i := range penstock.Offset(1500) {
				if err := r.commit("alone", "t", w, i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	r.each(func(s *shard) {
		r.until("the log is short", func() bool { return s.size.Load() <= s.limit.Load() })
		o := s.part.Offsets()
		t.Logf("partition %v: %+v, %d bytes, limit %d", s.id, o, s.size.Load(), s.limit.Load())
		if s.size.Load() > 60_000 {
			t.Errorf("%d bytes", s.size.Load())
		}
	})
	if r.figures.shortened.Value() < 5 {
		t.Errorf("shortened %d times", r.figures.shortened.Value())
	}
	r.stop(false)
	r = start(t, r.fs, r.meta, r.clock, nil).loaded()
	for w := range int32(4) {
		if got := r.read("alone", "t", w); got != 1499 {
			t.Errorf("partition %d: %d", w, got)
		}
	}
	if s := r.sync("g", "m1", 1, nil); string(s.Assignment) != "all" {
		t.Errorf("%+v", s)
	}
}

// TestManyMembers: heartbeats of many members, joins that come and go and commits beside one another, with real time.
func TestManyMembers(t *testing.T) {
	fs, m := disktest.New(), (*meta.Store)(nil)
	r := start(t, fs, m, nil, nil).loaded()
	defer r.stop(false)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			name, id := fmt.Sprint("g", i%4), fmt.Sprint("m", i)
			known := ""
			for k := range 40 {
				a := <-r.join(name, joinOf(known, id))
				if a.Err != nil {
					known = ""
					continue
				}
				known = a.MemberID
				shares := map[string][]byte{}
				for _, x := range a.Members {
					shares[x.MemberID] = []byte(x.MemberID)
				}
				s := r.sync(name, known, a.Generation, shares)
				if s.Err == nil && string(s.Assignment) != known {
					t.Errorf("%s has the assignment of %q", known, s.Assignment)
				}
				_ = r.Heartbeat(name, Heartbeat{MemberID: known, Generation: a.Generation})
				if k%5 == 4 {
					_, _ = r.Depart(name, []Leaver{{MemberID: known}})
					known, id = "", fmt.Sprintf("m%d-%d", i, k)
				}
			}
			_, _ = r.Depart(name, []Leaver{{MemberID: known}})
		})
	}
	wg.Wait()
}
