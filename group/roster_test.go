package group

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// line is a connection that counts what it is told.
type line struct {
	name string
	mu   sync.Mutex
	told map[string]int
}

func (l *line) ConsumersChanged(group string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.told == nil {
		l.told = map[string]int{}
	}
	l.told[group]++
}

func (l *line) count(group string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.told[group]
}

func testRoster(clk *clock, l RosterLimits) *Roster {
	return NewRoster(RosterOptions{Now: clk.Now, Limits: l})
}

func consumerOf(group string, topics ...string) Consumer {
	c := Consumer{Group: group, Type: ConsumePassively, Model: Clustering}
	for _, t := range topics {
		c.Subscriptions = append(c.Subscriptions, Subscription{Topic: t, Kind: "TAG", Expression: "*", Version: 1})
	}
	return c
}

func beatOf(l *line, consumers ...Consumer) *Beat {
	return &Beat{Client: Client{Link: l, ClientID: l.name, Host: "h"}, Consumers: consumers}
}

func (r *Roster) mustBeat(t *testing.T, b *Beat) bool {
	t.Helper()
	changed, err := r.Beat(b)
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

// TestRoster goes once through the life of a group.
func TestRoster(t *testing.T) {
	clk := newClock()
	r := testRoster(clk, RosterLimits{})
	a, b := &line{name: "a"}, &line{name: "b"}
	r.mustBeat(t, beatOf(a, consumerOf("g", "t1")))
	if a.count("g") != 1 {
		t.Errorf("the first is told of itself %d times", a.count("g"))
	}
	r.mustBeat(t, beatOf(a, consumerOf("g", "t1")))
	if a.count("g") != 1 {
		t.Error("a heartbeat without news is told of")
	}
	r.mustBeat(t, beatOf(b, consumerOf("g", "t1", "t2")))
	if a.count("g") != 2 || b.count("g") != 1 {
		t.Errorf("a new member with a new topic: %d, %d", a.count("g"), b.count("g"))
	}
	if ids := r.ClientIDs("g"); !slices.Equal(ids, []string{"a", "b"}) {
		t.Error(ids)
	}
	if s, ok := r.Subscription("g", "t2"); !ok || s.Expression != "*" {
		t.Error(s, ok)
	}
	if all := r.Readers("t2"); !slices.Equal(all, []string{"g"}) {
		t.Error(all)
	}
	// The same client on a second connection is one to those who share out.
	again := &line{name: "a"}
	r.mustBeat(t, beatOf(again, consumerOf("g", "t1", "t2")))
	if ids := r.ClientIDs("g"); !slices.Equal(ids, []string{"a", "b"}) {
		t.Error(ids)
	}
	if d, ok := r.Consumers("g"); !ok || len(d.Members) != 3 || len(d.Subscriptions) != 2 || d.Model != Clustering {
		t.Errorf("%+v", d)
	}
	r.Closed(a)
	was := b.count("g")
	r.Unregister(again, "", "g", false)
	if b.count("g") != was+1 {
		t.Error("nobody is told of a member that left")
	}
	if ids := r.ClientIDs("g"); !slices.Equal(ids, []string{"b"}) {
		t.Error(ids)
	}
	clk.add(120 * time.Second)
	r.Sweep()
	if r.ClientIDs("g") == nil {
		t.Error("forgotten too early")
	}
	clk.add(time.Millisecond)
	r.Sweep()
	if r.ClientIDs("g") != nil {
		t.Error("not forgotten")
	}
	if _, ok := r.Consumers("g"); ok {
		t.Error("an empty group is described")
	}
}

// TestRosterVersions has RocketMQ's rules of what a group reads: the newest heartbeat says which topics, the highest version what of them.
func TestRosterVersions(t *testing.T) {
	r := testRoster(newClock(), RosterLimits{})
	a, b := &line{name: "a"}, &line{name: "b"}
	with := func(l *line, version int64, expression string) *Beat {
		c := consumerOf("g", "t")
		c.Subscriptions[0].Version, c.Subscriptions[0].Expression = version, expression
		return beatOf(l, c)
	}
	r.mustBeat(t, with(a, 5, "new"))
	r.mustBeat(t, with(b, 4, "old"))
	if s, _ := r.Subscription("g", "t"); s.Expression != "new" {
		t.Error("an older version took the place of a newer one")
	}
	r.mustBeat(t, with(b, 6, "newest"))
	if s, _ := r.Subscription("g", "t"); s.Expression != "newest" {
		t.Error("a newer version does not count")
	}
	told := a.count("g")
	r.mustBeat(t, beatOf(b, consumerOf("g")))
	if _, ok := r.Subscription("g", "t"); ok || a.count("g") != told+1 {
		t.Error("a topic that the newest heartbeat leaves out is read still")
	}
}

// TestRosterBare has heartbeats that leave out subscriptions (heartbeat V2).
func TestRosterBare(t *testing.T) {
	r := testRoster(newClock(), RosterLimits{})
	a := &line{name: "a"}
	bare := beatOf(a, Consumer{Group: "g", Model: Clustering})
	bare.Fingerprint, bare.Bare = 7, true
	if !r.mustBeat(t, bare) {
		t.Error("a roster that was told nothing does not ask: the consumer would read nothing until its subscriptions change")
	}
	full := beatOf(a, consumerOf("g", "t"))
	full.Fingerprint = 7
	if r.mustBeat(t, full) || r.mustBeat(t, bare) {
		t.Error("told, and asks again")
	}
	if _, ok := r.Subscription("g", "t"); !ok {
		t.Error("a heartbeat without subscriptions took them away")
	}
	other := beatOf(&line{name: "b"}, consumerOf("g", "t", "t2"))
	other.Fingerprint = 8
	r.mustBeat(t, other)
	if !r.mustBeat(t, bare) {
		t.Error("others were told since, and it does not ask")
	}
}

func TestRosterQuiet(t *testing.T) {
	r := testRoster(newClock(), RosterLimits{})
	a, b := &line{name: "a"}, &line{name: "b"}
	all := consumerOf("all", "t")
	all.Model = Broadcasting
	quiet := consumerOf("quiet", "t")
	quiet.Quiet = true
	r.mustBeat(t, beatOf(a, all, quiet))
	r.mustBeat(t, beatOf(b, all, quiet))
	r.Closed(b)
	if a.count("all")+a.count("quiet") != 0 {
		t.Errorf("told: %v", a.told)
	}
}

func TestRosterProducers(t *testing.T) {
	clk := newClock()
	r := testRoster(clk, RosterLimits{})
	a := &line{name: "a"}
	b := beatOf(a)
	b.Producers = []string{"p", "q"}
	r.mustBeat(t, b)
	if all := r.Producers("p"); len(all) != 1 || all[0].ClientID != "a" {
		t.Errorf("%+v", all)
	}
	r.Unregister(a, "p", "", false)
	if _, names := r.Groups(); !slices.Equal(names, []string{"q"}) {
		t.Error(names)
	}
	r.Closed(a)
	if _, names := r.Groups(); len(names) != 0 || len(r.crews.links) != 0 {
		t.Error(names, r.crews.links)
	}
}

func TestRosterLimits(t *testing.T) {
	l := RosterLimits{Links: 2, Groups: 3, OfLink: 2, Members: 2, Subscriptions: 2, Tags: 2, Name: 10, Expression: 5, Locks: 2}
	r := testRoster(newClock(), l)
	lines := []*line{{name: "a"}, {name: "b"}, {name: "c"}}
	r.mustBeat(t, beatOf(lines[0], consumerOf("g1", "t"), consumerOf("g2", "t")))
	r.mustBeat(t, beatOf(lines[1], consumerOf("g1", "t")))
	long := strings.Repeat("x", 11)
	tags := consumerOf("g1", "t")
	tags.Subscriptions[0].Tags = []string{"1", "2", "3"}
	wide := consumerOf("g1", "t")
	wide.Subscriptions[0].Expression = "123456"
	before := fmt.Sprintf("%+v", r.ClientIDs("g1"))
	for what, c := range map[string]struct {
		b    *Beat
		want error
	}{
		"links":         {beatOf(lines[2], consumerOf("g2", "t")), ErrRosterFull},
		"members":       {beatOf(lines[2], consumerOf("g1", "t")), ErrRosterFull},
		"of link":       {beatOf(lines[0], consumerOf("g3", "t")), ErrRosterFull},
		"groups":        {beatOf(lines[1], consumerOf("g3"), consumerOf("g4")), ErrRosterFull},
		"subscriptions": {beatOf(lines[0], consumerOf("g1", "1", "2", "3")), ErrRosterFull},
		"tags":          {beatOf(lines[0], tags), ErrRosterFull},
		"expression":    {beatOf(lines[0], wide), ErrInvalidGroup},
		"name":          {beatOf(lines[0], consumerOf(long)), ErrInvalidGroup},
		"topic":         {beatOf(lines[0], consumerOf("g1", long)), ErrInvalidGroup},
		"no name":       {beatOf(lines[0], consumerOf("")), ErrInvalidGroup},
		"no client id":  {beatOf(&line{}, consumerOf("g2")), ErrInvalidGroup},
	} {
		if _, err := r.Beat(c.b); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got := fmt.Sprintf("%+v", r.ClientIDs("g1")); got != before || len(r.crews.links) != 2 || len(r.crews.consumers) != 2 {
		t.Errorf("a refused heartbeat changed something: %s, was %s; %v", got, before, r.crews.consumers)
	}
	held, err := r.Lock("g", "a", []Queue{{"t", "b", 0}, {"t", "b", 1}, {"t", "b", 2}})
	if len(held) != 2 || !errors.Is(err, ErrRosterFull) {
		t.Error(held, err)
	}
	if _, err := r.Lock("", "a", nil); !errors.Is(err, ErrInvalidGroup) {
		t.Error(err)
	}
	r.Unlock("g", "a", held)
	if _, err := r.Lock("g", "a", []Queue{{Topic: strings.Repeat("x", 21)}}); !errors.Is(err, ErrInvalidGroup) {
		t.Error(err)
	}
}

func TestRosterLocks(t *testing.T) {
	clk := newClock()
	r := testRoster(clk, RosterLimits{})
	q := []Queue{{"t", "b", 0}, {"t", "b", 1}}
	lock := func(who string, want int) {
		t.Helper()
		if held, err := r.Lock("g", who, q); len(held) != want || err != nil {
			t.Errorf("%s holds %v, %v, want %d", who, held, err, want)
		}
	}
	lock("a", 2)
	lock("b", 0)
	if !r.Locked("g") || r.Locked("other") {
		t.Error("locked?")
	}
	clk.add(59 * time.Second)
	lock("a", 2) // renewed
	clk.add(60 * time.Second)
	lock("b", 0)
	clk.add(time.Millisecond)
	if r.Locked("g") {
		t.Error("locked although nobody renewed")
	}
	lock("b", 2)
	r.Unlock("g", "a", q) // not its own
	lock("a", 0)
	r.Unlock("g", "b", q[:1])
	lock("a", 1)
	clk.add(61 * time.Second)
	r.Sweep()
	if r.crews.locked != 0 || len(r.crews.locks) != 0 {
		t.Error(r.crews.locks)
	}
}

// slow is a twin of crews that keeps heartbeats and looks through all of them.
type slow struct {
	beats []slowBeat // the last of each connection and group
	subs  map[string]map[string]int64
	locks map[string]map[Queue]slowLock
}

type slowBeat struct {
	link     *line
	group    string
	producer bool
	at       time.Time
}

type slowLock struct {
	who string
	at  time.Time
}

func (s *slow) drop(f func(slowBeat) bool) (changed map[string]bool) {
	changed = map[string]bool{}
	s.beats = slices.DeleteFunc(s.beats, func(b slowBeat) bool {
		if f(b) && !b.producer {
			changed[b.group] = true
		}
		return f(b)
	})
	for g := range s.subs {
		if !slices.ContainsFunc(s.beats, func(b slowBeat) bool { return b.group == g && !b.producer }) {
			delete(s.subs, g)
		}
	}
	return changed
}

func (s *slow) beat(l *line, group string, producer bool, topics map[string]int64, now time.Time) (changed bool) {
	i := slices.IndexFunc(s.beats, func(b slowBeat) bool { return b.link == l && b.group == group && b.producer == producer })
	if i < 0 {
		s.beats = append(s.beats, slowBeat{l, group, producer, now})
		changed = true
	} else {
		s.beats[i].at = now
	}
	if producer {
		return false
	}
	old := s.subs[group]
	fresh := map[string]int64{}
	for name, v := range topics {
		was, ok := old[name]
		fresh[name] = max(v, was)
		changed = changed || !ok
	}
	changed = changed || len(old) != len(fresh)
	s.subs[group] = fresh
	return changed
}

func (s *slow) members(group string, producer bool) (all []string) {
	for _, b := range s.beats {
		if b.group == group && b.producer == producer {
			all = append(all, b.link.name)
		}
	}
	slices.Sort(all)
	return all
}

// TestRosterTwin compares with the slow twin, by seed.
func TestRosterTwin(t *testing.T) {
	seeds := 300
	if testing.Short() {
		seeds = 40
	}
	for seed := range seeds {
		rosterSeed(t, rand.New(rand.NewPCG(uint64(seed), 9)))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func rosterSeed(t *testing.T, rnd *rand.Rand) {
	clk := newClock()
	r := testRoster(clk, RosterLimits{})
	s := &slow{subs: map[string]map[string]int64{}, locks: map[string]map[Queue]slowLock{}}
	var lines []*line
	for i := range 5 {
		lines = append(lines, &line{name: fmt.Sprint("c", i)})
	}
	groups := []string{"g0", "g1", "g2"}
	want := map[*line]map[string]int{}
	expect := func(group string) {
		for _, b := range s.beats {
			if b.group == group && !b.producer {
				if want[b.link] == nil {
					want[b.link] = map[string]int{}
				}
				want[b.link][group]++
			}
		}
	}
	for range 200 {
		l, g := lines[rnd.IntN(len(lines))], groups[rnd.IntN(len(groups))]
		clk.add(time.Duration(rnd.IntN(25)) * time.Second)
		now := clk.Now()
		switch rnd.IntN(9) {
		case 0, 1, 2:
			topics, c := map[string]int64{}, consumerOf(g)
			for n := range rnd.IntN(3) {
				name, v := fmt.Sprint("t", n), int64(rnd.IntN(4))
				topics[name] = v
				c.Subscriptions = append(c.Subscriptions, Subscription{Topic: name, Version: v})
			}
			r.mustBeat(t, beatOf(l, c))
			if s.beat(l, g, false, topics, now) {
				expect(g)
			}
		case 3:
			b := beatOf(l)
			b.Producers = []string{g}
			r.mustBeat(t, b)
			s.beat(l, g, true, nil, now)
		case 4:
			r.Unregister(l, g, g, false)
			for name := range s.drop(func(b slowBeat) bool { return b.link == l && b.group == g }) {
				expect(name)
			}
		case 5:
			r.Closed(l)
			for name := range s.drop(func(b slowBeat) bool { return b.link == l }) {
				expect(name)
			}
		case 6:
			r.Sweep()
			for name := range s.drop(func(b slowBeat) bool { return now.Sub(b.at) > 120*time.Second }) {
				expect(name)
			}
		default:
			s.lockStep(t, r, rnd, l.name, g, now)
		}
		s.compare(t, r, groups, now)
	}
	for _, l := range lines {
		if !maps.Equal(l.told, want[l]) {
			t.Errorf("%s was told %v, want %v", l.name, l.told, want[l])
		}
	}
}

// lockStep locks or unlocks some queues in both.
func (s *slow) lockStep(t *testing.T, r *Roster, rnd *rand.Rand, who, group string, now time.Time) {
	var some []Queue
	for n := range int32(4) {
		if rnd.IntN(2) == 0 {
			some = append(some, Queue{"t", "b", n})
		}
	}
	if s.locks[group] == nil {
		s.locks[group] = map[Queue]slowLock{}
	}
	if rnd.IntN(3) == 0 {
		r.Unlock(group, who, some)
		for _, q := range some {
			if s.locks[group][q].who == who {
				delete(s.locks[group], q)
			}
		}
		return
	}
	var want []Queue
	for _, q := range some {
		if l := s.locks[group][q]; l.who == "" || l.who == who || now.Sub(l.at) > 60*time.Second {
			s.locks[group][q] = slowLock{who, now}
			want = append(want, q)
		}
	}
	if held, err := r.Lock(group, who, some); !slices.Equal(held, want) || err != nil {
		t.Errorf("%s locks %v and holds %v, %v, want %v", who, some, held, err, want)
	}
}

func (s *slow) compare(t *testing.T, r *Roster, groups []string, now time.Time) {
	for _, g := range groups {
		if got, want := r.ClientIDs(g), s.members(g, false); !slices.Equal(got, want) {
			t.Errorf("consumers of %s: %v, want %v", g, got, want)
		}
		var names []string
		for _, c := range r.Producers(g) {
			names = append(names, c.ClientID)
		}
		if want := s.members(g, true); !slices.Equal(names, want) {
			t.Errorf("producers of %s: %v, want %v", g, names, want)
		}
		d, _ := r.Consumers(g)
		subs := map[string]int64{}
		for _, one := range d.Subscriptions {
			subs[one.Topic] = one.Version
		}
		if want := s.subs[g]; len(subs)+len(want) > 0 && !reflect.DeepEqual(subs, want) {
			t.Errorf("%s reads %v, want %v", g, subs, want)
		}
		locked := false
		for _, l := range s.locks[g] {
			locked = locked || now.Sub(l.at) <= 60*time.Second
		}
		if r.Locked(g) != locked {
			t.Errorf("%s is locked: %v", g, !locked)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	in := map[Link]bool{}
	for _, b := range s.beats {
		in[b.link] = true
	}
	if len(r.crews.links) != len(in) {
		t.Errorf("%d connections are known, want %d", len(r.crews.links), len(in))
	}
	n := 0
	for _, held := range r.crews.locks {
		n += len(held)
	}
	if n != r.crews.locked || cmp.Compare(n, 0) < 0 {
		t.Errorf("%d queues are locked, counted %d", n, r.crews.locked)
	}
}
