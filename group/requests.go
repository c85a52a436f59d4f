package group

import (
	"slices"
	"time"
)

func (g *Machine) refuse(e *Join, err error, id string) {
	g.out = append(g.out, refusal(e.Token, err, id))
}

// join takes a Join.
func (g *Machine) join(e *Join, now time.Time) {
	if e.SessionTimeout < g.limits.MinSession || e.SessionTimeout > g.limits.MaxSession {
		g.refuse(e, ErrInvalidSession, e.MemberID)
		return
	}
	if e.MemberID == "" {
		g.joinUnknown(e, now)
		return
	}
	m, err := g.find(e.MemberID, e.InstanceID)
	_, known := g.pending[e.MemberID]
	switch {
	case err != nil && (!known || e.InstanceID != ""):
		g.refuse(e, err, e.MemberID)
	case !g.accepts(e, m):
		g.refuse(e, ErrInconsistentProtocol, e.MemberID)
	case err == nil:
		g.rejoin(m, e, now)
	case g.full():
		delete(g.pending, e.MemberID)
		g.refuse(e, ErrGroupFull, "")
	default:
		delete(g.pending, e.MemberID)
		g.enter(e, e.MemberID, now)
	}
}

// joinUnknown takes a join without member id: a new member, or a static one that comes back.
func (g *Machine) joinUnknown(e *Join, now time.Time) {
	var old *member
	if e.InstanceID != "" {
		old = g.members[g.static[e.InstanceID]]
	}
	switch {
	case old == nil && g.full():
		g.refuse(e, ErrGroupFull, "")
	case !g.accepts(e, old):
		g.refuse(e, ErrInconsistentProtocol, "")
	case old != nil:
		g.replace(old, e, now)
	case e.RequireKnown && e.InstanceID == "":
		g.pending[e.NewID] = now.Add(e.SessionTimeout)
		g.refuse(e, ErrMemberIDRequired, e.NewID)
	default:
		g.enter(e, e.NewID, now)
	}
}

func (g *Machine) full() bool {
	return g.limits.MaxMembers > 0 && len(g.members) >= g.limits.MaxMembers
}

// accepts reports whether the protocols of a join fit those of the members other than self, which it takes the place of.
// Kafka counts the member's old offer too, so that a single member cannot change its mind; there is no reason for that.
func (g *Machine) accepts(e *Join, self *member) bool {
	if len(e.Protocols) == 0 || e.ProtocolType == "" {
		return false
	}
	if len(g.members) > 0 && e.ProtocolType != g.protocolType {
		return false
	}
	return slices.ContainsFunc(e.Protocols, func(p Protocol) bool {
		for _, m := range g.members {
			if m != self && !m.supports(p.Name) {
				return false
			}
		}
		return true
	})
}

// find returns the member with that id, fenced by its instance id.
func (g *Machine) find(id, instance string) (*member, error) {
	if instance != "" {
		owner, ok := g.static[instance]
		if ok && owner != id {
			return nil, ErrFencedInstance
		}
		if !ok {
			return nil, ErrUnknownMember
		}
	}
	m := g.members[id]
	if m == nil {
		return nil, ErrUnknownMember
	}
	return m, nil
}

// enter adds a member and starts a rebalance for it. A join phase under way is not prolonged by newcomers, else a
// stream of them would keep the others from reading.
func (g *Machine) enter(e *Join, id string, now time.Time) {
	m := &member{id: id, instance: e.InstanceID, fresh: true, deadline: now.Add(freshTime)}
	g.take(m, e)
	if len(g.members) == 0 {
		g.protocolType = e.ProtocolType
	}
	g.add(m)
	if g.phase == Preparing {
		g.grew = true
		return
	}
	g.prepare(now)
}

// take copies what a join says of its member and makes it wait. What waited before is sent away.
func (g *Machine) take(m *member, e *Join) {
	g.sendAway(m, ErrRebalanceInProgress)
	m.clientID, m.host = e.ClientID, e.ClientHost
	m.session, m.rebalance = e.SessionTimeout, e.RebalanceTimeout
	m.protocols = e.Protocols
	j := *e
	m.joining = &j
}

// rejoin takes a join of a member that the group has.
func (g *Machine) rejoin(m *member, e *Join, now time.Time) {
	same := m.sameProtocols(e.Protocols)
	if same && m.swap == nil && (g.phase == Completing || g.phase == Stable && m.id != g.leader) {
		// It missed the answer: it gets the present generation again. A leader of a stable group wants to share out anew.
		m.deadline = now.Add(m.session)
		g.out = append(g.out, g.joined(m, e.Token))
		return
	}
	g.take(m, e)
	if g.phase != Preparing {
		g.prepare(now)
	}
}

// replace gives a static member's place to a new member id (KIP-345). In a stable group nothing is shared out anew if
// neither the protocol chosen nor the topics that the member reads change; the answer waits until the new id is durable, for
// a member that the coordinator does not know after a restart would be fenced for ever.
func (g *Machine) replace(old *member, e *Join, now time.Time) {
	g.sendAway(old, ErrFencedInstance)
	leader := g.leader
	m := &member{id: e.NewID, instance: e.InstanceID, assignment: old.assignment, synced: old.synced, deadline: now.Add(e.SessionTimeout)}
	g.order[slices.Index(g.order, old.id)] = m.id
	delete(g.members, old.id)
	g.members[m.id] = m
	g.static[m.instance] = m.id
	if leader == old.id {
		g.leader = m.id
	}
	g.take(m, e)
	if g.phase == Stable && g.choose() == g.protocol && sameTopics(old.metadata(g.protocol), m.metadata(g.protocol)) {
		m.swap = &swap{leader: leader}
		m.swap.number = g.store()
		return
	}
	if g.phase != Preparing {
		g.prepare(now)
	}
}

// swapped answers a static member that is back. It may skip sharing out anew if it leads (KIP-814); an older client
// would do so when it sees that it leads, so it is told of the leader that was.
func (g *Machine) swapped(m *member, err error, now time.Time) {
	e, s := m.joining, m.swap
	m.joining, m.swap = nil, nil
	m.deadline = now.Add(m.session)
	if err != nil {
		g.refuse(e, err, "")
		return
	}
	a := g.joined(m, e.Token)
	if e.CanSkip {
		a.SkipAssignment = m.id == g.leader
	} else {
		a.Leader, a.Members = s.leader, nil
	}
	g.out = append(g.out, a)
}

// sync takes a Sync.
func (g *Machine) sync(e *Sync, now time.Time) {
	m, err := g.validate(e.MemberID, e.InstanceID, e.Generation)
	if err == nil && (e.ProtocolType != "" && e.ProtocolType != g.protocolType || e.ProtocolName != "" && e.ProtocolName != g.protocol) {
		err = ErrInconsistentProtocol
	}
	if err == nil && g.phase == Preparing {
		err = ErrRebalanceInProgress
	}
	if err != nil {
		g.out = append(g.out, SyncAnswer{Token: e.Token, Err: err})
		return
	}
	m.synced = true
	if g.phase == Stable {
		m.deadline = now.Add(m.session)
		g.out = append(g.out, g.synced(m, e.Token))
		g.settle()
		return
	}
	if m.syncing != nil {
		g.out = append(g.out, SyncAnswer{Token: m.syncing.Token, Err: ErrRebalanceInProgress})
	}
	s := *e
	m.syncing = &s
	if m.id == g.leader && g.awaiting == 0 {
		for id, o := range g.members {
			o.assignment = e.Assignment[id]
		}
		g.awaiting = g.store()
	}
	s.Assignment = nil
}

func (g *Machine) synced(m *member, t Token) SyncAnswer {
	return SyncAnswer{Token: t, ProtocolType: g.protocolType, Protocol: g.protocol, Assignment: m.assignment}
}

// settle ends the wait for syncs once all have come.
func (g *Machine) settle() {
	for _, m := range g.members {
		if !m.synced {
			return
		}
	}
	g.until = time.Time{}
}

// stored ends the sync phase once its assignments are durable, and the wait of a static member that is back. What could
// not be made durable is tried again: the group rebalances.
func (g *Machine) stored(e Stored, now time.Time) {
	for _, m := range g.members {
		if m.swap != nil && m.swap.number == e.Number {
			g.swapped(m, e.Err, now)
			return
		}
	}
	if g.phase != Completing || e.Number != g.awaiting {
		return
	}
	g.awaiting = 0
	if e.Err != nil {
		g.prepare(now)
		return
	}
	g.phase = Stable
	g.since = now
	for _, id := range g.order {
		m := g.members[id]
		if m.syncing != nil {
			g.out = append(g.out, g.synced(m, m.syncing.Token))
			m.syncing = nil
			m.deadline = now.Add(m.session)
		}
	}
	g.settle()
}

// validate finds a member and checks its generation.
func (g *Machine) validate(id, instance string, generation int32) (*member, error) {
	m, err := g.find(id, instance)
	if err != nil {
		return nil, err
	}
	if generation != g.generation {
		return nil, ErrIllegalGeneration
	}
	return m, nil
}

func (g *Machine) heartbeat(e Heartbeat, now time.Time) error {
	m, err := g.validate(e.MemberID, e.InstanceID, e.Generation)
	if err != nil {
		return err
	}
	if !m.fresh {
		m.deadline = now.Add(m.session)
	}
	if g.phase == Preparing {
		return ErrRebalanceInProgress
	}
	return nil
}

// check decides on a commit. A group without members takes commits from consumers that assign themselves. During the join
// phase members go on committing what they have read; they hear of the rebalance by their heartbeats.
func (g *Machine) check(e Check, now time.Time) error {
	if e.Generation < 0 && g.phase == Empty {
		return nil
	}
	m, err := g.validate(e.MemberID, e.InstanceID, e.Generation)
	if err != nil {
		return err
	}
	if g.phase == Completing {
		return ErrRebalanceInProgress
	}
	if !m.fresh {
		m.deadline = now.Add(m.session)
	}
	return nil
}

// leave takes members out. An instance id alone is an administrator's word.
func (g *Machine) leave(e Leave, now time.Time) {
	errs := make([]error, len(e.Members))
	gone := false
	for i, l := range e.Members {
		id := l.MemberID
		if id == "" && l.InstanceID != "" {
			id = g.static[l.InstanceID]
		}
		if _, ok := g.pending[id]; ok {
			delete(g.pending, id)
			continue
		}
		m, err := g.find(id, l.InstanceID)
		if err != nil {
			errs[i] = err
			continue
		}
		g.remove(m)
		gone = true
	}
	if gone {
		g.lost(now)
	}
	g.out = append(g.out, LeaveAnswer{e.Token, errs})
}

// gone forgets that a request waits.
func (g *Machine) gone(e Gone, now time.Time) {
	for _, m := range g.members {
		switch {
		case m.joining != nil && m.joining.Token == e.Token:
			m.joining, m.swap = nil, nil
			m.deadline = now.Add(m.session)
			if m.fresh {
				g.remove(m)
				g.lost(now)
			}
			return
		case m.syncing != nil && m.syncing.Token == e.Token:
			m.syncing = nil
			m.deadline = now.Add(m.session)
			return
		}
	}
}

// dissolve sends away everybody who waits. The machine is not used after it.
func (g *Machine) dissolve(e Dissolve) {
	for _, id := range g.order {
		g.sendAway(g.members[id], e.Err)
	}
}
