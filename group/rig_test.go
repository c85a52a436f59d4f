package group

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"penstock"
	"penstock/disk"
	"penstock/disk/disktest"
	"penstock/meta"
	"penstock/meta/metatest"
	"penstock/record"
	"penstock/replica"
	"penstock/store"
	"penstock/store/segment"
)

// rig is a coordinator over real rooms on a disk in memory.
type rig struct {
	*Coordinator
	t        testing.TB
	fs       *disktest.FS
	disk     *disk.Disk
	meta     *meta.Store
	replicas *replica.Replicas
	clock    *clock
}

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.UnixMilli(1_700_000_000_000)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// start builds a rig; fs, m and clk come from a life before, or are nil. change may be nil.
func start(t testing.TB, fs *disktest.FS, m *meta.Store, clk *clock, change func(*Options)) *rig {
	t.Helper()
	r, err := tryStart(t, fs, m, clk, change)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// tryStart is start on a disk that may fail.
func tryStart(t testing.TB, fs *disktest.FS, m *meta.Store, clk *clock, change func(*Options)) (*rig, error) {
	t.Helper()
	if fs == nil {
		fs = disktest.New()
	}
	if m == nil {
		m, _ = metatest.Open(t)
		metatest.Topic(t, m, "t", 8, nil)
	}
	if clk == nil {
		clk = newClock()
	}
	r := &rig{t: t, fs: fs, disk: disk.New(fs, disk.Options{}), meta: m, clock: clk}
	st, err := segment.New(r.disk, record.Format{}, segment.Options{})
	if err != nil {
		return nil, errors.Join(err, r.disk.Close())
	}
	r.replicas = replica.New(replica.Options{Broker: 0, Stores: map[replica.StoreKey]store.Store{{}: st}, Now: clk.Now})
	r.replicas.Apply(nil, m.Image())
	o := Options{Topics: &life{Store: m, replicas: r.replicas}, Partitions: r.replicas, Now: clk.Now, JournalPartitions: 2, Limits: Limits{InitialDelay: -1}}
	if change != nil {
		change(&o)
	}
	r.Coordinator = New(o)
	return r, nil
}

// life is the metadata as one life of a node sees it: when it is over nothing reaches it any more.
type life struct {
	*meta.Store
	replicas *replica.Replicas
	over     sync.Mutex
	ended    bool
}

func (l *life) Subscribe(f func(old, new *meta.Image)) {
	l.Store.Subscribe(func(old, img *meta.Image) {
		l.over.Lock()
		defer l.over.Unlock()
		if !l.ended {
			l.replicas.Apply(old, img)
			f(old, img)
		}
	})
}

// stop ends a life. With dirty what goes wrong meanwhile does not matter.
func (r *rig) stop(dirty bool) {
	r.t.Helper()
	l := r.o.Topics.(*life)
	l.over.Lock()
	l.ended = true
	l.over.Unlock()
	r.Close()
	if err := r.replicas.Close(); err != nil && !dirty {
		r.t.Fatal(err)
	}
	if err := r.disk.Close(); err != nil && !dirty {
		r.t.Fatal(err)
	}
}

// loaded waits until the journal exists and everything is loaded.
func (r *rig) loaded() *rig {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := r.Ready(ctx); err != nil {
		r.t.Fatal(err)
	}
	r.until("everything is loaded", func() bool {
		_, err := r.List()
		return err == nil
	})
	return r
}

func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(end) {
			r.t.Fatal("it never came about that " + what)
		}
	}
}

// commit commits an offset without being a member and waits for the answer.
func (r *rig) commit(group, topic string, partition int32, at penstock.Offset) error {
	wait := make(chan error, 1)
	r.Commit(group, &Commit{Generation: -1, Offsets: []CommitOffset{{Topic: topic, Partition: partition, Offset: at, Epoch: 1, Metadata: fmt.Sprint(at)}}},
		func(err error) { wait <- err })
	return <-wait
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// read is what is committed, NoOffset if nothing.
func (r *rig) read(group, topic string, partition int32) penstock.Offset {
	r.t.Helper()
	at := penstock.NoOffset
	r.must(r.Read(group, map[string][]int32{topic: {partition}}, func(_ string, _ int32, o Committed, ok bool) {
		if ok {
			at = o.Offset
			if o.Metadata != fmt.Sprint(at) || o.Epoch != 1 {
				r.t.Errorf("%+v", o)
			}
		}
	}))
	return at
}

func joinOf(id, newID string) Join {
	return Join{
		MemberID: id, NewID: newID, ClientID: "c", ClientHost: "/h", SessionTimeout: 10 * time.Second, RebalanceTimeout: 20 * time.Second,
		ProtocolType: "consumer", Protocols: []Protocol{{"range", subscription("t")}},
	}
}

// subscription is a consumer's metadata.
func subscription(topics ...string) []byte {
	b := []byte{0, 1, 0, 0, 0, byte(len(topics))}
	for _, t := range topics {
		b = appendText(b, t)
	}
	return append(b, 0xff, 0xff, 0xff, 0xff)
}

func (r *rig) join(group string, j Join) chan JoinAnswer {
	wait := make(chan JoinAnswer, 1)
	r.Join(group, j, func(a JoinAnswer) { wait <- a })
	return wait
}

func (r *rig) sync(group, id string, generation int32, assignment map[string][]byte) SyncAnswer {
	wait := make(chan SyncAnswer, 1)
	r.Sync(group, Sync{MemberID: id, Generation: generation, Assignment: assignment}, func(a SyncAnswer) { wait <- a })
	return <-wait
}

// TestCoordinator goes once through the life of a group, over two restarts.
func TestCoordinator(t *testing.T) {
	r := start(t, nil, nil, nil, nil)
	if _, err := r.Of("g"); err == nil {
		t.Error("there is a coordinator before there is a journal")
	}
	r.loaded()
	if b, err := r.Of("g"); b != 0 || err != nil {
		t.Error(b, err)
	}
	a := <-r.join("g", joinOf("", "m1"))
	if a.Err != nil || a.Generation != 1 || a.Leader != "m1" || len(a.Members) != 1 || a.Protocol != "range" {
		t.Fatalf("%+v", a)
	}
	if s := r.sync("g", "m1", 1, map[string][]byte{"m1": []byte("all")}); s.Err != nil || string(s.Assignment) != "all" {
		t.Fatalf("%+v", s)
	}
	r.must(r.Heartbeat("g", Heartbeat{MemberID: "m1", Generation: 1}))
	wait := make(chan error, 1)
	r.Commit("g", &Commit{MemberID: "m1", Generation: 1, Offsets: []CommitOffset{{Topic: "t", Partition: 3, Offset: 77, Epoch: 1, Metadata: "77"}}}, func(err error) { wait <- err })
	r.must(<-wait)
	r.must(r.commit("alone", "t", 0, 5))
	if err := r.commit("g", "t", 3, 78); err == nil {
		t.Error("who is no member committed to a group with members")
	}
	for range 2 {
		r.stop(false)
		r = start(t, r.fs, r.meta, r.clock, nil).loaded()
		if r.read("g", "t", 3) != 77 || r.read("alone", "t", 0) != 5 || r.read("g", "t", 0) != penstock.NoOffset {
			t.Fatal("offsets are lost")
		}
		r.must(r.Heartbeat("g", Heartbeat{MemberID: "m1", Generation: 1}))
		d, err := r.Describe("g")
		if err != nil || d.Phase != Stable || len(d.Members) != 1 || string(d.Members[0].Assignment) != "all" || d.Members[0].ClientHost != "/h" {
			t.Fatalf("%+v, %v", d, err)
		}
	}
	errs, err := r.Depart("g", []Leaver{{MemberID: "m1"}, {MemberID: "m1"}})
	if err != nil || errs[0] != nil || errs[1] != ErrUnknownMember {
		t.Fatal(errs, err)
	}
	all, err := r.List()
	if err != nil || !slices.EqualFunc(all, []string{"alone", "g"}, func(d Description, n string) bool { return d.Name == n && d.Phase == Empty }) {
		t.Fatalf("%+v %v", all, err)
	}
	done := make(chan error, 1)
	r.Delete("g", func(err error) { done <- err })
	r.must(<-done)
	if _, err := r.Describe("g"); err != ErrGroupNotFound {
		t.Error(err)
	}
	r.stop(false)
	r = start(t, r.fs, r.meta, r.clock, nil).loaded()
	if r.read("g", "t", 3) != penstock.NoOffset || r.read("alone", "t", 0) != 5 {
		t.Error("a deleted group is back, or another is gone")
	}
	r.stop(false)
}
