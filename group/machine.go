package group

import (
	"cmp"
	"slices"
	"time"
)

// Phase is where a group is in the classic protocol.
type Phase uint8

// The phases, with Kafka's names.
const (
	Empty      Phase = iota // no members
	Preparing               // waiting for the members to join the next generation
	Completing              // waiting for the leader's assignment
	Stable                  // every member has its assignment, or can ask for it
)

// String is Kafka's name of the phase.
func (p Phase) String() string {
	return [...]string{"Empty", "PreparingRebalance", "CompletingRebalance", "Stable"}[p]
}

// Limits bound what members may ask for. The zero value of each gives its default.
type Limits struct {
	MinSession   time.Duration // default 6 s; Kafka: group.min.session.timeout.ms
	MaxSession   time.Duration // default 30 min; Kafka: group.max.session.timeout.ms
	InitialDelay time.Duration // how long an empty group waits for more members; default 3 s, negative none; Kafka: group.initial.rebalance.delay.ms
	MaxMembers   int           // of one group; default unlimited; Kafka: group.max.size
}

func (l Limits) withDefaults() Limits {
	l.MinSession = cmp.Or(l.MinSession, 6*time.Second)
	l.MaxSession = cmp.Or(l.MaxSession, 30*time.Minute)
	l.InitialDelay = cmp.Or(l.InitialDelay, 3*time.Second)
	return l
}

// freshTime is how long a member that was never told its id may wait for the end of a join phase, as in Kafka.
const freshTime = 5 * time.Minute

// Machine is one group. It is not safe for concurrent use; its owner holds a lock.
//
// Its invariants, between two steps:
//
//  1. Empty has no members; Completing and Stable have some, and a leader among them.
//  2. Assignments exist only in Completing, from the leader's sync on, and in Stable, all of one generation.
//  3. The generation grows by one at the end of each join phase, and only there.
//  4. Every token given with a request is answered exactly once, unless it was said to be gone.
//  5. Nothing is due before wake.
type Machine struct {
	limits       Limits
	phase        Phase
	generation   int32
	protocolType string
	protocol     string
	leader       string
	members      map[string]*member
	static       map[string]string    // instance id to member id
	pending      map[string]time.Time // ids given out and not come back yet, with their end (KIP-394)
	order        []string             // member ids in the order of joining, for determinism and the choice of the leader

	until    time.Time // Preparing: when the join phase ends at the latest; Completing and Stable: when members must have synced, zero if all have
	initial  time.Time // Preparing from Empty: the end of the present initial delay; zero otherwise
	grew     bool      // somebody joined during the present initial delay
	since    time.Time
	wake     time.Time // nothing is due before it; zero if nothing ever is
	stores   uint64    // number of the last Store effect
	awaiting uint64    // number of the Store effect that the sync phase waits for, 0 if none
	out      []Effect
}

// NewMachine makes a group that has never had a member.
func NewMachine(l Limits) *Machine {
	return &Machine{limits: l.withDefaults(), members: map[string]*member{}, static: map[string]string{}, pending: map[string]time.Time{}}
}

// Restore makes a group from its stored state; every member's session starts anew at now.
func Restore(l Limits, s State, now time.Time) *Machine {
	g := NewMachine(l)
	g.generation, g.protocolType, g.protocol, g.leader, g.since = s.Generation, s.ProtocolType, s.Protocol, s.Leader, s.Since
	for _, ms := range s.Members {
		m := &member{
			id: ms.ID, instance: ms.InstanceID, clientID: ms.ClientID, host: ms.ClientHost, session: ms.Session, rebalance: ms.Rebalance,
			protocols: []Protocol{{s.Protocol, ms.Metadata}}, assignment: ms.Assignment, deadline: now.Add(ms.Session), synced: true,
		}
		g.add(m)
	}
	if len(g.members) > 0 {
		g.phase = Stable
		if g.members[g.leader] == nil {
			g.leader = g.order[0]
		}
	} else {
		g.leader, g.protocol = "", ""
	}
	g.findWake()
	return g
}

// Phase is where the group is.
func (g *Machine) Phase() Phase { return g.phase }

// Idle reports whether nobody belongs to the group or is about to.
func (g *Machine) Idle() bool { return g.phase == Empty && len(g.pending) == 0 }

// State is the group as it would be stored now.
func (g *Machine) State() State {
	s := State{Generation: g.generation, ProtocolType: g.protocolType, Protocol: g.protocol, Leader: g.leader, Since: g.since}
	for _, id := range g.order {
		m := g.members[id]
		s.Members = append(s.Members, MemberState{m.id, m.instance, m.clientID, m.host, m.session, m.rebalance, m.metadata(g.protocol), m.assignment})
	}
	return s
}

// Step takes one event. The effects are valid until the next Step. Time may stand still between two steps, but not go back.
func (g *Machine) Step(e Event, now time.Time) []Effect {
	g.out = g.out[:0]
	due := !g.wake.IsZero() && !now.Before(g.wake)
	if due {
		g.expire(now)
	}
	quiet := false // a heartbeat or commit moves one deadline back, which leaves wake early and right
	switch e := e.(type) {
	case Join:
		g.join(&e, now)
	case Sync:
		g.sync(&e, now)
	case Heartbeat:
		g.out = append(g.out, Answer{e.Token, g.heartbeat(e, now)})
		quiet = true
	case Leave:
		g.leave(e, now)
	case Check:
		g.out = append(g.out, Answer{e.Token, g.check(e, now)})
		quiet = true
	case Stored:
		g.stored(e, now)
	case Gone:
		g.gone(e, now)
	case Dissolve:
		g.dissolve(e)
	case Tick:
		quiet = true
	}
	if due || !quiet {
		g.complete(now)
		g.findWake()
	}
	return g.out
}

// Wake is when a Tick is due at the latest, false if never. It may be earlier than anything happens.
func (g *Machine) Wake() (time.Time, bool) { return g.wake, !g.wake.IsZero() }

// findWake looks for the earliest deadline.
func (g *Machine) findWake() {
	g.wake = time.Time{}
	soonest := func(t time.Time) {
		if !t.IsZero() && (g.wake.IsZero() || t.Before(g.wake)) {
			g.wake = t
		}
	}
	if g.awaiting == 0 {
		soonest(g.until) // else Stored moves the group on
	}
	soonest(g.initial)
	for _, t := range g.pending {
		soonest(t)
	}
	for _, m := range g.members {
		if m.mortal() {
			soonest(m.deadline)
		}
	}
}

// expire takes out what has run out of time.
func (g *Machine) expire(now time.Time) {
	for id, t := range g.pending {
		if !now.Before(t) {
			delete(g.pending, id)
		}
	}
	lost := false
	for _, id := range slices.Clone(g.order) {
		if m := g.members[id]; m.mortal() && !now.Before(m.deadline) {
			g.remove(m)
			lost = true
		}
	}
	late := !g.until.IsZero() && !now.Before(g.until) && g.awaiting == 0
	if late && (g.phase == Completing || g.phase == Stable) {
		lost = g.dropUnsynced() || lost
	}
	if lost {
		g.lost(now)
	}
}

// dropUnsynced takes out members that did not ask for their assignment in time, and reports whether there were any.
func (g *Machine) dropUnsynced() (dropped bool) {
	g.until = time.Time{}
	for _, id := range slices.Clone(g.order) {
		if m := g.members[id]; !m.synced {
			g.remove(m)
			dropped = true
		}
	}
	return dropped
}

// lost reacts to members gone.
func (g *Machine) lost(now time.Time) {
	if g.phase == Stable || g.phase == Completing {
		g.prepare(now)
	}
}

func (g *Machine) add(m *member) {
	g.members[m.id] = m
	g.order = append(g.order, m.id)
	if m.instance != "" {
		g.static[m.instance] = m.id
	}
	if g.leader == "" {
		g.leader = m.id
	}
}

func (g *Machine) remove(m *member) {
	delete(g.members, m.id)
	g.order = slices.DeleteFunc(g.order, func(id string) bool { return id == m.id })
	if m.instance != "" && g.static[m.instance] == m.id {
		delete(g.static, m.instance)
	}
	if g.leader == m.id {
		g.leader = ""
		if len(g.order) > 0 {
			g.leader = g.order[0]
		}
	}
	g.sendAway(m, ErrUnknownMember)
}

// sendAway answers what the member waits for with an error.
func (g *Machine) sendAway(m *member, err error) {
	m.swap = nil
	if m.joining != nil {
		g.out = append(g.out, refusal(m.joining.Token, err, m.id))
		m.joining = nil
	}
	if m.syncing != nil {
		g.out = append(g.out, SyncAnswer{Token: m.syncing.Token, Err: err})
		m.syncing = nil
	}
}

// prepare starts the join phase. Members that wait for a swap to be durable have joined.
func (g *Machine) prepare(now time.Time) {
	for _, id := range g.order {
		m := g.members[id]
		if m.syncing != nil {
			g.out = append(g.out, SyncAnswer{Token: m.syncing.Token, Err: ErrRebalanceInProgress})
			m.syncing = nil
			m.deadline = now.Add(m.session)
		}
		m.assignment, m.swap, m.synced = nil, nil, false
	}
	g.awaiting = 0
	g.initial = time.Time{}
	if g.phase == Empty && g.limits.InitialDelay > 0 {
		g.initial = now.Add(g.limits.InitialDelay)
	}
	g.grew = false
	g.phase = Preparing
	g.until = now.Add(g.longestRebalance())
}

func (g *Machine) longestRebalance() time.Duration {
	var d time.Duration
	for _, m := range g.members {
		d = max(d, m.rebalance)
	}
	return d
}

// complete ends the join phase when everybody is there or the time is up. An initial delay (KIP-134) is waited for
// to its end, prolonged while members come, and then ends the phase whoever is missing.
func (g *Machine) complete(now time.Time) {
	if g.phase != Preparing {
		return
	}
	late := !now.Before(g.until)
	if !g.initial.IsZero() && len(g.members) > 0 && !late {
		if now.Before(g.initial) {
			return
		}
		if g.grew {
			g.initial, g.grew = now.Add(g.limits.InitialDelay), false
			return
		}
		late = true
	}
	g.initial = time.Time{}
	waiting := len(g.pending) > 0
	for _, m := range g.members {
		waiting = waiting || m.joining == nil
	}
	if waiting && !late {
		return
	}
	g.nextGeneration(now)
}

// nextGeneration ends the join phase: whoever has not joined is out, unless static; the rest hear who leads.
func (g *Machine) nextGeneration(now time.Time) {
	joined := false
	for _, id := range slices.Clone(g.order) {
		m := g.members[id]
		if m.joining == nil && m.instance == "" {
			g.remove(m)
		}
		joined = joined || m.joining != nil
	}
	if len(g.members) > 0 && !joined {
		// Only static members are left and none of them has come: wait for them until their sessions end.
		g.until = now.Add(max(g.longestRebalance(), time.Second))
		return
	}
	g.generation++
	g.since = now
	if len(g.members) == 0 {
		g.phase, g.protocol, g.leader, g.until = Empty, "", "", time.Time{}
		g.store()
		return
	}
	g.electLeader()
	g.protocol = g.choose()
	g.phase = Completing
	g.until = now.Add(g.longestRebalance())
	for _, id := range g.order {
		m := g.members[id]
		if m.joining == nil {
			continue
		}
		g.out = append(g.out, g.joined(m, m.joining.Token))
		m.joining, m.fresh = nil, false
		m.deadline = now.Add(m.session)
	}
}

// electLeader gives the lead to a member that has joined if the leader has not.
func (g *Machine) electLeader() {
	if m := g.members[g.leader]; m != nil && m.joining != nil {
		return
	}
	for _, id := range g.order {
		if g.members[id].joining != nil {
			g.leader = id
			return
		}
	}
}

// choose picks the protocol that most members like best among those all support; ties go to the first member's order.
func (g *Machine) choose() string {
	common := g.common()
	votes := map[string]int{}
	for _, id := range g.order {
		for _, p := range g.members[id].protocols {
			if common[p.Name] {
				votes[p.Name]++
				break
			}
		}
	}
	best := ""
	for _, p := range g.members[g.order[0]].protocols {
		if n := votes[p.Name]; n > 0 && (best == "" || n > votes[best]) {
			best = p.Name
		}
	}
	return best
}

// common is the set of protocols that all members support.
func (g *Machine) common() map[string]bool {
	set := map[string]bool{}
	for _, p := range g.members[g.order[0]].protocols {
		set[p.Name] = true
	}
	for _, m := range g.members {
		for name := range set {
			if !m.supports(name) {
				delete(set, name)
			}
		}
	}
	return set
}

// joined is the answer to a member of the present generation.
func (g *Machine) joined(m *member, t Token) JoinAnswer {
	a := JoinAnswer{
		Token: t, Generation: g.generation, ProtocolType: g.protocolType, Protocol: g.protocol, Leader: g.leader, MemberID: m.id,
	}
	if m.id == g.leader {
		for _, id := range g.order {
			o := g.members[id]
			a.Members = append(a.Members, JoinedMember{o.id, o.instance, o.metadata(g.protocol)})
		}
	}
	return a
}

// refusal is the answer to a join that came to nothing.
func refusal(t Token, err error, id string) JoinAnswer {
	return JoinAnswer{Token: t, Err: err, Generation: -1, MemberID: id}
}

func (g *Machine) store() uint64 {
	g.stores++
	g.out = append(g.out, Store{g.stores, g.State()})
	return g.stores
}
