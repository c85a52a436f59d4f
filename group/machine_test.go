package group

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// script drives a machine by hand. Tokens are counted, and each may be answered once.
type script struct {
	t        *testing.T
	m        *Machine
	now      time.Time
	token    Token
	answered map[Token]bool
	stores   []Store
	durable  bool // a Store is durable at once
}

func newScript(t *testing.T, l Limits) *script {
	return &script{t: t, m: NewMachine(l), now: time.UnixMilli(1_700_000_000_000), answered: map[Token]bool{}, durable: true}
}

var noDelay = Limits{InitialDelay: -1}

// step takes an event and returns all effects, those of stores that became durable included.
func (s *script) step(e Event) (out []Effect) {
	s.t.Helper()
	for _, f := range slices.Clone(s.m.Step(e, s.now)) {
		switch f := f.(type) {
		case JoinAnswer:
			s.once(f.Token)
		case SyncAnswer:
			s.once(f.Token)
		case LeaveAnswer:
			s.once(f.Token)
		case Answer:
			s.once(f.Token)
		case Store:
			s.stores = append(s.stores, f)
			if s.durable {
				out = append(out, s.step(Stored{Number: f.Number})...)
			}
			continue
		}
		out = append(out, f)
	}
	return out
}

func (s *script) once(t Token) {
	s.t.Helper()
	if s.answered[t] {
		s.t.Fatalf("token %d is answered twice", t)
	}
	s.answered[t] = true
}

func (s *script) next() Token { s.token++; return s.token }

// pass moves the clock and ticks, as the alarm does: whenever something is due.
func (s *script) pass(d time.Duration) (out []Effect) {
	s.t.Helper()
	end := s.now.Add(d)
	for {
		at, ok := s.m.Wake()
		if !ok || at.After(end) {
			break
		}
		if at.After(s.now) {
			s.now = at
		}
		out = append(out, s.step(Tick{})...)
		if again, ok := s.m.Wake(); ok && !again.After(s.now) {
			s.t.Fatalf("the machine wants to be woken for ever")
		}
	}
	s.now = end
	return append(out, s.step(Tick{})...)
}

// join is a join of the member, by default with the protocol range.
func (s *script) join(id, instance string, protocols ...string) Join {
	if len(protocols) == 0 {
		protocols = []string{"range"}
	}
	j := Join{
		Token: s.next(), MemberID: id, InstanceID: instance, NewID: fmt.Sprintf("new-%d", s.token), SessionTimeout: 10 * time.Second,
		RebalanceTimeout: 30 * time.Second, ProtocolType: "consumer",
	}
	for _, p := range protocols {
		j.Protocols = append(j.Protocols, Protocol{p, subscription("t")})
	}
	return j
}

func find[T Effect](t *testing.T, out []Effect, token Token) T {
	t.Helper()
	for _, e := range out {
		switch e := e.(type) {
		case JoinAnswer:
			if e.Token == token {
				return any(e).(T)
			}
		case SyncAnswer:
			if e.Token == token {
				return any(e).(T)
			}
		case LeaveAnswer:
			if e.Token == token {
				return any(e).(T)
			}
		case Answer:
			if e.Token == token {
				return any(e).(T)
			}
		}
	}
	t.Fatalf("no answer to %d among %+v", token, out)
	panic("unreachable")
}

// stable makes a stable group of static members (named "i…" by their instances) or dynamic ones and returns their ids.
func (s *script) stable(instances ...string) []string {
	s.t.Helper()
	var joins []Join
	var out []Effect
	for _, i := range instances {
		j := s.join("", i)
		joins = append(joins, j)
		out = append(out, s.step(j)...)
	}
	var ids []string
	// The first was alone in a generation; it joins again.
	first := find[JoinAnswer](s.t, out, joins[0].Token)
	ids = append(ids, first.MemberID)
	if len(joins) > 1 {
		again := s.join(first.MemberID, instances[0])
		out = append(out, s.step(again)...)
		for _, j := range joins[1:] {
			ids = append(ids, find[JoinAnswer](s.t, out, j.Token).MemberID)
		}
	}
	assignment := map[string][]byte{}
	for _, id := range ids {
		assignment[id] = []byte("for " + id)
	}
	for i, id := range ids {
		y := Sync{Token: s.next(), MemberID: id, InstanceID: instances[i], Generation: s.m.generation}
		if id == s.m.leader {
			y.Assignment = assignment
		}
		s.step(y)
	}
	if s.m.Phase() != Stable {
		s.t.Fatalf("group is %v", s.m.Phase())
	}
	return ids
}

func (s *script) heartbeat(id, instance string, generation int32) error {
	s.t.Helper()
	t := s.next()
	return find[Answer](s.t, s.step(Heartbeat{t, id, instance, generation}), t).Err
}

func (s *script) check(id, instance string, generation int32) error {
	s.t.Helper()
	t := s.next()
	return find[Answer](s.t, s.step(Check{t, id, instance, generation}), t).Err
}

// TestKnownMember: KIP-394. A new dynamic member is sent away with an id, is not in the group until it comes back, and is
// forgotten if it does not within its session.
func TestKnownMember(t *testing.T) {
	s := newScript(t, noDelay)
	j := s.join("", "")
	j.RequireKnown = true
	a := find[JoinAnswer](t, s.step(j), j.Token)
	if a.Err != ErrMemberIDRequired || a.MemberID != j.NewID || s.m.Phase() != Empty || s.m.Idle() {
		t.Fatalf("%+v", a)
	}
	back := s.join(a.MemberID, "")
	back.RequireKnown = true
	if got := find[JoinAnswer](t, s.step(back), back.Token); got.Err != nil || got.Generation != 1 || got.Leader != a.MemberID {
		t.Fatalf("%+v", got)
	}
	late := s.join("", "")
	late.RequireKnown = true
	s.step(late)
	s.pass(late.SessionTimeout)
	late.MemberID, late.Token = late.NewID, s.next()
	if got := find[JoinAnswer](t, s.step(late), late.Token); got.Err != ErrUnknownMember {
		t.Fatalf("%+v", got)
	}
	// A static member is known by its instance id and need not come twice.
	static := s.join("", "i")
	static.RequireKnown = true
	s2 := newScript(t, noDelay)
	if got := find[JoinAnswer](t, s2.step(static), static.Token); got.Err != nil {
		t.Fatalf("%+v", got)
	}
}

// TestPendingHoldsTheJoinPhase: a join phase waits for a member that was given an id, as for one that is in the group.
func TestPendingHoldsTheJoinPhase(t *testing.T) {
	s := newScript(t, noDelay)
	id := s.stable("")[0]
	n := s.join("", "")
	n.RequireKnown = true
	given := find[JoinAnswer](t, s.step(n), n.Token).MemberID
	other := s.join("", "")
	s.step(other)
	again := s.join(id, "")
	if out := s.step(again); len(out) != 0 {
		t.Fatalf("the phase ended without the one that was given an id: %+v", out)
	}
	n.MemberID, n.Token = given, s.next()
	out := s.step(n)
	if len(out) != 3 || len(find[JoinAnswer](t, out, again.Token).Members) != 3 {
		t.Fatalf("%+v", out)
	}
}

// TestInitialDelay: KIP-134. An empty group waits, longer while members come, and never beyond the rebalance timeout.
func TestInitialDelay(t *testing.T) {
	s := newScript(t, Limits{InitialDelay: 3 * time.Second})
	a, b := s.join("", ""), s.join("", "")
	s.step(a)
	s.pass(2 * time.Second)
	s.step(b)
	if out := s.pass(3 * time.Second); len(out) != 0 { // at 3 s it is prolonged to 6 s
		t.Fatalf("%+v", out)
	}
	out := s.pass(time.Second)
	if find[JoinAnswer](t, out, a.Token).Generation != 1 || find[JoinAnswer](t, out, b.Token).Generation != 1 {
		t.Fatalf("%+v", out)
	}
	s = newScript(t, Limits{InitialDelay: 3 * time.Second})
	began := s.now
	first := s.join("", "")
	s.step(first)
	for range 100 {
		s.step(s.join("", ""))
		if out := s.pass(time.Second); len(out) > 0 {
			break
		}
	}
	if took := s.now.Sub(began); took > first.RebalanceTimeout || took < first.RebalanceTimeout-time.Second {
		t.Errorf("newcomers held the others for %v", took)
	}
}

// TestGenerations: who asks with another generation than the group's, or is not in the group, is told so.
func TestGenerations(t *testing.T) {
	s := newScript(t, noDelay)
	ids := s.stable("", "")
	for _, c := range []struct {
		id         string
		generation int32
		want       error
	}{
		{ids[0], 2, nil}, {ids[0], 1, ErrIllegalGeneration}, {ids[0], 3, ErrIllegalGeneration}, {"x", 2, ErrUnknownMember}, {"", -1, ErrUnknownMember},
		{ids[0], -1, ErrIllegalGeneration},
	} {
		if err := s.heartbeat(c.id, "", c.generation); err != c.want {
			t.Errorf("heartbeat of %q in %d: %v, want %v", c.id, c.generation, err, c.want)
		}
		if err := s.check(c.id, "", c.generation); err != c.want {
			t.Errorf("commit of %q in %d: %v, want %v", c.id, c.generation, err, c.want)
		}
		y := Sync{Token: s.next(), MemberID: c.id, Generation: c.generation}
		if a := find[SyncAnswer](t, s.step(y), y.Token); a.Err != c.want || c.want == nil && string(a.Assignment) != "for "+c.id {
			t.Errorf("sync of %q in %d: %+v, want %v", c.id, c.generation, a, c.want)
		}
	}
	// During the join phase heartbeats call to join, and commits are taken; after it they are not, until the assignment is known.
	j := s.join(ids[1], "", "range", "roundrobin")
	s.step(j)
	if err := s.heartbeat(ids[0], "", 2); err != ErrRebalanceInProgress {
		t.Error(err)
	}
	if err := s.check(ids[0], "", 2); err != nil {
		t.Error(err)
	}
	y := Sync{Token: s.next(), MemberID: ids[0], Generation: 2}
	if a := find[SyncAnswer](t, s.step(y), y.Token); a.Err != ErrRebalanceInProgress {
		t.Error(a)
	}
	s.step(s.join(ids[0], ""))
	if s.m.Phase() != Completing || s.m.generation != 3 {
		t.Fatal(s.m.Phase(), s.m.generation)
	}
	if err := s.heartbeat(ids[0], "", 3); err != nil {
		t.Error(err)
	}
	if err := s.check(ids[0], "", 3); err != ErrRebalanceInProgress {
		t.Error(err)
	}
}

// TestCommitsOfEmptyGroup: consumers that assign themselves store offsets in groups without members.
func TestCommitsOfEmptyGroup(t *testing.T) {
	s := newScript(t, noDelay)
	if err := s.check("", "", -1); err != nil {
		t.Error(err)
	}
	if err := s.check("gone", "", 4); err != ErrUnknownMember {
		t.Error(err)
	}
}

// TestSessions: a member that is not heard of is out at the end of its session; one that waits for an answer is alive.
func TestSessions(t *testing.T) {
	s := newScript(t, noDelay)
	ids := s.stable("", "")
	for range 5 {
		s.pass(9 * time.Second)
		for _, id := range ids {
			if err := s.heartbeat(id, "", 2); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.pass(9 * time.Second)
	_ = s.heartbeat(ids[0], "", 2)
	s.pass(2 * time.Second)
	if err := s.heartbeat(ids[1], "", 2); err != ErrUnknownMember {
		t.Error(err)
	}
	if err := s.heartbeat(ids[0], "", 2); err != ErrRebalanceInProgress {
		t.Error(err)
	}
	again := s.join(ids[0], "")
	out := s.step(again)
	if a := find[JoinAnswer](t, out, again.Token); a.Generation != 3 || len(a.Members) != 1 {
		t.Errorf("%+v", a)
	}
}

// TestRebalanceTimeout: who has not joined by then is out, and the others go on.
func TestRebalanceTimeout(t *testing.T) {
	s := newScript(t, noDelay)
	ids := s.stable("", "")
	n := s.join("", "")
	s.step(n)
	again := s.join(ids[0], "")
	s.step(again)
	var out []Effect
	for range 29 {
		out = append(out, s.pass(time.Second)...)
		_ = s.heartbeat(ids[1], "", 2) // alive, but busy
	}
	if len(out) != 0 {
		t.Fatalf("%+v", out)
	}
	out = s.pass(time.Second)
	if a := find[JoinAnswer](t, out, n.Token); a.Generation != 3 || a.Leader != ids[0] {
		t.Errorf("%+v", a)
	}
	if err := s.heartbeat(ids[1], "", 2); err != ErrUnknownMember {
		t.Error(err)
	}
}

// TestSyncTimeout: a member that never asks for its assignment is out after the rebalance timeout, in Kafka since 3.0 (KAFKA-12701),
// even when the group is stable by then.
func TestSyncTimeout(t *testing.T) {
	s := newScript(t, noDelay)
	ids := s.stable("", "")
	n := s.join("", "")
	s.step(n)
	s.step(s.join(ids[0], ""))
	s.step(s.join(ids[1], ""))
	for _, id := range ids {
		s.step(Sync{Token: s.next(), MemberID: id, Generation: 3, Assignment: map[string][]byte{}})
	}
	if s.m.Phase() != Stable {
		t.Fatal(s.m.Phase())
	}
	for range 31 {
		s.pass(time.Second)
		for _, id := range append(ids, n.NewID) {
			_ = s.heartbeat(id, "", 3)
		}
	}
	if err := s.heartbeat(n.NewID, "", 3); err != ErrUnknownMember || s.m.Phase() != Preparing {
		t.Error(err, s.m.Phase())
	}
}

// TestStatic: KIP-345. A static member that comes back takes its old place without a rebalance, the old process is fenced, and only what
// changes the protocol or the topics makes the group share out anew.
func TestStatic(t *testing.T) {
	s := newScript(t, noDelay)
	ids := s.stable("i1", "i2")
	back := s.join("", "i2")
	a := find[JoinAnswer](t, s.step(back), back.Token)
	if a.Err != nil || a.Generation != 2 || a.MemberID != back.NewID || a.Leader != ids[0] || a.SkipAssignment || s.m.Phase() != Stable {
		t.Fatalf("%+v, %v", a, s.m.Phase())
	}
	last := s.stores[len(s.stores)-1].State
	if len(last.Members) != 2 || last.Members[1].ID != back.NewID || string(last.Members[1].Assignment) != "for "+ids[1] {
		t.Errorf("%+v", last)
	}
	y := Sync{Token: s.next(), MemberID: back.NewID, InstanceID: "i2", Generation: 2}
	if got := find[SyncAnswer](t, s.step(y), y.Token); string(got.Assignment) != "for "+ids[1] {
		t.Errorf("%+v", got)
	}
	if err := s.heartbeat(ids[1], "i2", 2); err != ErrFencedInstance {
		t.Error(err)
	}
	if err := s.check(ids[1], "i2", 2); err != ErrFencedInstance {
		t.Error(err)
	}
	old := s.join(ids[1], "i2")
	if got := find[JoinAnswer](t, s.step(old), old.Token); got.Err != ErrFencedInstance {
		t.Error(got)
	}
	if err := s.heartbeat("x", "i3", 2); err != ErrUnknownMember {
		t.Error(err)
	}
	changed := s.join("", "i2")
	changed.Protocols[0].Metadata = subscription("t", "u")
	s.step(changed)
	if s.m.Phase() != Preparing {
		t.Errorf("a member that reads another topic is back, and the group is %v", s.m.Phase())
	}
}

// TestStaticLeader: KIP-814. A leader that comes back leads on and need not share out; an older client is told of the old
// leader, so that it does not try.
func TestStaticLeader(t *testing.T) {
	s := newScript(t, noDelay)
	ids := s.stable("i1", "i2")
	old := s.join("", "i1")
	if a := find[JoinAnswer](t, s.step(old), old.Token); a.Leader != ids[0] || a.SkipAssignment || a.Members != nil || a.MemberID != old.NewID {
		t.Fatalf("%+v", a)
	}
	young := s.join("", "i1")
	young.CanSkip = true
	if a := find[JoinAnswer](t, s.step(young), young.Token); a.Leader != young.NewID || !a.SkipAssignment || len(a.Members) != 2 {
		t.Fatalf("%+v", a)
	}
}

// TestStaticIsDurableFirst: a static member hears of its new id when that is durable, and not before.
func TestStaticIsDurableFirst(t *testing.T) {
	s := newScript(t, noDelay)
	s.stable("i1", "i2")
	s.durable = false
	back := s.join("", "i2")
	if out := s.step(back); len(out) != 0 {
		t.Fatalf("%+v", out)
	}
	number := s.stores[len(s.stores)-1].Number
	broken := errors.New("disk")
	if a := find[JoinAnswer](t, s.step(Stored{number, broken}), back.Token); a.Err != broken {
		t.Fatalf("%+v", a)
	}
	again := s.join("", "i2")
	s.step(again)
	// Somebody else joins meanwhile: then it has joined too.
	s.step(s.join("", "i3"))
	if out := s.step(Stored{Number: s.stores[len(s.stores)-1].Number}); len(out) != 0 {
		t.Fatalf("%+v", out)
	}
	lead := s.join(s.m.leader, "i1")
	if a := find[JoinAnswer](t, s.step(lead), lead.Token); a.Generation != 3 || len(a.Members) != 3 {
		t.Fatalf("%+v", a)
	}
}

// TestStaticAbsent: a static member that does not join is kept until its session ends, and the lead goes to one that is there.
func TestStaticAbsent(t *testing.T) {
	s := newScript(t, noDelay)
	ids := s.stable("i1", "i2")
	s.pass(5 * time.Second)
	_ = s.heartbeat(ids[1], "i2", 2)
	leave := Leave{Token: s.next(), Members: []Leaver{{InstanceID: "i1"}, {InstanceID: "i9"}, {MemberID: ids[0], InstanceID: "i2"}, {MemberID: "x"}}}
	errs := find[LeaveAnswer](t, s.step(leave), leave.Token).Errs
	if !slices.Equal(errs, []error{nil, ErrUnknownMember, ErrFencedInstance, ErrUnknownMember}) {
		t.Fatalf("%v", errs)
	}
	if s.m.leader != ids[1] {
		t.Error("nobody leads")
	}
	s.pass(20 * time.Second)
	if s.m.Phase() != Empty || s.m.generation != 3 {
		t.Error(s.m.Phase(), s.m.generation)
	}
	if last := s.stores[len(s.stores)-1].State; len(last.Members) != 0 || last.Generation != 3 || !last.Since.Before(s.now) {
		t.Errorf("%+v", last)
	}
}

// TestStaticKept: a join phase that ends without a static member keeps it, and its place in the next generation; the lead goes to
// one that is there.
func TestStaticKept(t *testing.T) {
	s := newScript(t, noDelay)
	long := func(j Join) Join { j.SessionTimeout = 5 * time.Minute; return j }
	a := long(s.join("", "i1"))
	s.step(a)
	b := long(s.join("", "i2"))
	s.step(b)
	s.step(long(s.join(a.NewID, "i1")))
	if s.m.leader != a.NewID || s.m.generation != 2 {
		t.Fatal(s.m.leader, s.m.generation)
	}
	n := long(s.join("", ""))
	s.step(n)
	s.step(long(s.join(b.NewID, "i2")))
	out := s.pass(30 * time.Second)
	if got := find[JoinAnswer](t, out, n.Token); got.Generation != 3 || got.Leader != b.NewID {
		t.Errorf("%+v", got)
	}
	if s.m.members[a.NewID] == nil || len(s.m.members) != 3 {
		t.Error("the static member is out")
	}
	// Alone and not there: the phase waits for its session to end, and no generation is made of nobody.
	s = newScript(t, noDelay)
	ids := s.stable("i1", "i2")
	s.step(s.join(ids[0], "i1", "range", "other"))
	leave := Leave{Token: s.next(), Members: []Leaver{{MemberID: ids[0], InstanceID: "i1"}}}
	s.step(leave)
	if s.m.Phase() != Preparing || s.m.generation != 2 {
		t.Error(s.m.Phase(), s.m.generation)
	}
	s.pass(time.Minute)
	if s.m.Phase() != Empty || s.m.generation != 3 {
		t.Error(s.m.Phase(), s.m.generation)
	}
}

// TestForgottenTries: clients that do not learn their id from the broker first may leave tries behind, which are out after
// five minutes even if the join phase goes on, as in Kafka.
func TestForgottenTries(t *testing.T) {
	s := newScript(t, noDelay)
	slow := s.join("", "")
	slow.RebalanceTimeout = time.Hour
	s.step(slow)
	s.step(Sync{Token: s.next(), MemberID: slow.NewID, Generation: 1})
	try := s.join("", "")
	s.step(try)
	var out []Effect
	for range 40 {
		out = append(out, s.pass(8*time.Second)...)
		_ = s.heartbeat(slow.NewID, "", 1)
	}
	if a := find[JoinAnswer](t, out, try.Token); a.Err != ErrUnknownMember {
		t.Errorf("%+v", a)
	}
}

// TestProtocols: all members must have a protocol in common, and the one that most like best is chosen.
func TestProtocols(t *testing.T) {
	s := newScript(t, noDelay)
	a := s.join("", "", "sticky", "range")
	s.step(a)
	for _, c := range []struct {
		kind      string
		protocols []Protocol
		want      error
	}{
		{"consumer", nil, ErrInconsistentProtocol},
		{"", []Protocol{{Name: "range"}}, ErrInconsistentProtocol},
		{"connect", []Protocol{{Name: "range"}}, ErrInconsistentProtocol},
		{"consumer", []Protocol{{Name: "other"}}, ErrInconsistentProtocol},
	} {
		j := s.join("", "")
		j.ProtocolType, j.Protocols = c.kind, c.protocols
		if got := find[JoinAnswer](t, s.step(j), j.Token); got.Err != c.want {
			t.Errorf("%+v: %v", c, got.Err)
		}
	}
	b, c := s.join("", "", "range", "sticky"), s.join("", "", "range", "sticky", "other")
	s.step(b)
	s.step(c)
	again := s.join(a.NewID, "", "sticky", "range")
	if got := find[JoinAnswer](t, s.step(again), again.Token); got.Protocol != "range" || got.ProtocolType != "consumer" {
		t.Errorf("%+v", got)
	}
	for _, y := range []Sync{{ProtocolType: "connect"}, {ProtocolName: "sticky"}} {
		y.Token, y.MemberID, y.Generation = s.next(), a.NewID, s.m.generation
		if got := find[SyncAnswer](t, s.step(y), y.Token); got.Err != ErrInconsistentProtocol {
			t.Errorf("%+v", got)
		}
	}
}

// TestRejoin: a member that asks again with what it offered gets the same generation; the leader of a stable group, and one that
// offers something else, make the group share out anew.
func TestRejoin(t *testing.T) {
	s := newScript(t, noDelay)
	ids := s.stable("", "")
	follower := s.join(ids[1], "")
	if a := find[JoinAnswer](t, s.step(follower), follower.Token); a.Generation != 2 || a.Members != nil || s.m.Phase() != Stable {
		t.Errorf("%+v", a)
	}
	lead := s.join(ids[0], "")
	if out := s.step(lead); len(out) != 0 || s.m.Phase() != Preparing {
		t.Errorf("%+v", out)
	}
	twice := s.join(ids[0], "")
	if a := find[JoinAnswer](t, s.step(twice), lead.Token); a.Err != ErrRebalanceInProgress {
		t.Errorf("what waited is lost: %+v", a)
	}
}

// TestLimits: sessions outside the limits, and more members than there may be.
func TestLimits(t *testing.T) {
	s := newScript(t, Limits{InitialDelay: -1, MaxMembers: 1})
	for _, d := range []time.Duration{0, 6*time.Second - 1, 30*time.Minute + 1} {
		j := s.join("", "")
		j.SessionTimeout = d
		if a := find[JoinAnswer](t, s.step(j), j.Token); a.Err != ErrInvalidSession {
			t.Errorf("%v: %+v", d, a)
		}
	}
	id := s.stable("")[0]
	j := s.join("", "")
	if a := find[JoinAnswer](t, s.step(j), j.Token); a.Err != ErrGroupFull {
		t.Errorf("%+v", a)
	}
	if err := s.heartbeat(id, "", 1); err != nil {
		t.Error(err)
	}
}

// TestGone: a member whose connection ended while it waited lives until its session ends; one that never heard of its id
// is out at once.
func TestGone(t *testing.T) {
	s := newScript(t, noDelay)
	ids := s.stable("", "")
	n := s.join("", "")
	s.step(n)
	s.step(Gone{n.Token})
	if len(s.m.members) != 2 {
		t.Error("nobody can ever use its place")
	}
	lead := s.join(ids[0], "")
	s.step(lead)
	s.step(Gone{lead.Token})
	other := s.join(ids[1], "")
	s.step(other)
	out := s.pass(10 * time.Second)
	if a := find[JoinAnswer](t, out, other.Token); a.Generation != 3 || a.Leader != ids[1] || len(a.Members) != 1 {
		t.Errorf("%+v", a)
	}
}

// TestStoreFails: an assignment that cannot be stored is shared out anew.
func TestStoreFails(t *testing.T) {
	s := newScript(t, noDelay)
	j := s.join("", "")
	s.step(j)
	s.durable = false
	y := Sync{Token: s.next(), MemberID: j.NewID, Generation: 1, Assignment: map[string][]byte{j.NewID: {1}}}
	if out := s.step(y); len(out) != 0 {
		t.Fatalf("answered before it is durable: %+v", out)
	}
	out := s.step(Stored{s.stores[0].Number, errors.New("disk")})
	if a := find[SyncAnswer](t, out, y.Token); a.Err != ErrRebalanceInProgress || a.Assignment != nil || s.m.Phase() != Preparing {
		t.Errorf("%+v", a)
	}
}

// TestPhaseNames: tools print them.
func TestPhaseNames(t *testing.T) {
	var names []string
	for p := Empty; p <= Stable; p++ {
		names = append(names, p.String())
	}
	if got := strings.Join(names, " "); got != "Empty PreparingRebalance CompletingRebalance Stable" {
		t.Error(got)
	}
}
