package group

import (
	"fmt"
	"time"
)

// crews is what a Roster knows, as a pure state machine: no goroutine, no clock, no lock.
//
// A member is a connection, as in RocketMQ: two connections that give the same client id are two members. What a group reads is one table for all
// its members: the newest heartbeat says which topics are in it, and the highest version what of each.
type crews struct {
	limits        RosterLimits
	expiry, lease time.Duration

	consumers map[string]*crew
	producers map[string]linked
	links     map[Link]*joined
	locks     map[string]map[Queue]*lease // by group
	locked    int                         // queues in locks
}

// crew is a group of consumers. It has at least one member.
type crew struct {
	name          string
	consume       ConsumeType
	model         Model
	from          FromWhere
	unit, quiet   bool
	fingerprint   int32 // of the subscriptions that were told last
	told          bool  // they were told at all
	subscriptions map[string]Subscription
	members       linked
}

type linked map[Link]*Client

// joined is the groups that a connection is of.
type joined struct {
	consumers, producers map[string]bool
}

// lease is a lock on a queue.
type lease struct {
	client string
	until  time.Time // it holds until then, and at that moment
}

func newCrews(l RosterLimits, expiry, forQueue time.Duration) crews {
	return crews{
		limits: l, expiry: expiry, lease: forQueue,
		consumers: map[string]*crew{}, producers: map[string]linked{}, links: map[Link]*joined{}, locks: map[string]map[Queue]*lease{},
	}
}

// notices are the groups whose members must be told of a change, and the members.
type notices []notice

type notice struct {
	group string
	links []Link
}

// tell tells them. The caller holds no lock.
func (c notices) tell() {
	for _, g := range c {
		for _, l := range g.links {
			l.ConsumersChanged(g.group)
		}
	}
}

// with is in how many groups a connection would be after the heartbeat.
func (j *joined) with(b *Beat) int {
	n := 0
	var consumers, producers map[string]bool
	if j != nil {
		consumers, producers = j.consumers, j.producers
		n = len(consumers) + len(producers)
	}
	for i := range b.Consumers {
		if !consumers[b.Consumers[i].Group] {
			n++
		}
	}
	for _, name := range b.Producers {
		if !producers[name] {
			n++
		}
	}
	return n
}

// beat takes a heartbeat that check has passed.
func (s *crews) beat(b *Beat, now time.Time) (changed bool, out notices) {
	if len(b.Consumers) == 0 && len(b.Producers) == 0 {
		return false, nil
	}
	j := s.links[b.Link]
	if j == nil {
		j = &joined{consumers: map[string]bool{}, producers: map[string]bool{}}
		s.links[b.Link] = j
	}
	me := b.Client
	me.Seen = now
	for i := range b.Consumers {
		if s.consume(b, &b.Consumers[i], me, &out) {
			changed = true
		}
		j.consumers[b.Consumers[i].Group] = true
	}
	for _, name := range b.Producers {
		m := s.producers[name]
		if m == nil {
			m = linked{}
			s.producers[name] = m
		}
		one := me
		m[b.Link] = &one
		j.producers[name] = true
	}
	return changed, out
}

// consume registers a consumer. It reports whether a client that left out its subscriptions must tell them.
func (s *crews) consume(b *Beat, c *Consumer, me Client, out *notices) (unknown bool) {
	g := s.consumers[c.Group]
	if g == nil {
		g = &crew{name: c.Group, subscriptions: map[string]Subscription{}, members: linked{}}
		s.consumers[c.Group] = g
	}
	g.consume, g.model, g.from, g.unit, g.quiet = c.Type, c.Model, c.From, c.Unit, c.Quiet
	news := g.members[b.Link] == nil
	g.members[b.Link] = &me
	unknown = b.Bare && (!g.told || g.fingerprint != b.Fingerprint)
	if !b.Bare {
		news = g.subscribe(c.Subscriptions) || news
		g.told, g.fingerprint = true, b.Fingerprint
	}
	if news {
		g.notice(out)
	}
	return unknown
}

// subscribe takes what a heartbeat says is read, and reports whether the topics are others.
func (g *crew) subscribe(some []Subscription) (changed bool) {
	names := make(map[string]bool, len(some))
	for _, s := range some {
		names[s.Topic] = true
		old, ok := g.subscriptions[s.Topic]
		if !ok {
			changed = true
		}
		if !ok || s.Version > old.Version {
			g.subscriptions[s.Topic] = s
		}
	}
	for name := range g.subscriptions {
		if !names[name] {
			delete(g.subscriptions, name)
			changed = true
		}
	}
	return changed
}

// notice has all members told of a change, unless nobody wants to know: where everybody gets everything nothing is shared out.
func (g *crew) notice(out *notices) {
	if g.quiet || g.model == Broadcasting || len(g.members) == 0 {
		return
	}
	c := notice{group: g.name, links: make([]Link, 0, len(g.members))}
	for l := range g.members {
		c.links = append(c.links, l)
	}
	*out = append(*out, c)
}

// leave takes a connection out of a group of consumers.
func (s *crews) leave(link Link, name string, out *notices) {
	g := s.consumers[name]
	if g == nil || g.members[link] == nil {
		return
	}
	delete(g.members, link)
	if len(g.members) == 0 {
		delete(s.consumers, name)
	}
	g.notice(out)
	if j := s.links[link]; j != nil {
		delete(j.consumers, name)
		s.drop(link, j)
	}
}

// retire takes a connection out of a group of producers.
func (s *crews) retire(link Link, name string) {
	m := s.producers[name]
	delete(m, link)
	if len(m) == 0 {
		delete(s.producers, name)
	}
	if j := s.links[link]; j != nil {
		delete(j.producers, name)
		s.drop(link, j)
	}
}

// drop forgets a connection that is in no group.
func (s *crews) drop(link Link, j *joined) {
	if len(j.consumers) == 0 && len(j.producers) == 0 {
		delete(s.links, link)
	}
}

func (s *crews) unregister(link Link, producer, consumer string, quiet bool) (out notices) {
	if producer != "" {
		s.retire(link, producer)
	}
	if consumer != "" {
		s.leave(link, consumer, &out)
	}
	if quiet {
		return nil
	}
	return out
}

func (s *crews) closed(link Link) (out notices) {
	j := s.links[link]
	if j == nil {
		return nil
	}
	for name := range j.consumers {
		s.leave(link, name, &out)
	}
	for name := range j.producers {
		s.retire(link, name)
	}
	return out
}

// sweep forgets members that are not heard of, and locks that are over.
func (s *crews) sweep(now time.Time) (gone []Client, out notices) {
	silent := func(c *Client) bool { return now.Sub(c.Seen) > s.expiry }
	for name, g := range s.consumers {
		before := len(gone)
		for _, c := range g.members {
			if silent(c) {
				gone = append(gone, *c)
			}
		}
		for _, c := range gone[before:] {
			var each notices // one notice for all of them, below
			s.leave(c.Link, name, &each)
		}
		if len(gone) > before {
			g.notice(&out)
		}
	}
	for name, m := range s.producers {
		for link, c := range m {
			if silent(c) {
				gone = append(gone, *c)
				s.retire(link, name)
			}
		}
	}
	for name, held := range s.locks {
		for q, l := range held {
			if now.After(l.until) {
				s.release(name, q)
			}
		}
	}
	return gone, out
}

func (s *crews) lock(group, client string, queues []Queue, now time.Time) (held []Queue, err error) {
	l := &s.limits
	for _, name := range []string{group, client} {
		if name == "" || len(name) > l.Name {
			return nil, fmt.Errorf("%w: a group or client with a name of %d bytes, at least 1 and at most %d", ErrInvalidGroup, len(name), l.Name)
		}
	}
	for _, q := range queues {
		have := s.locks[group][q]
		switch {
		case have == nil && s.locked >= l.Locks:
			err = fmt.Errorf("%w: %d queues are locked, which is as many as may be", ErrRosterFull, s.locked)
			continue
		case have == nil && len(q.Topic)+len(q.Broker) > 2*l.Name:
			err = fmt.Errorf("%w: a queue with a name of %d bytes, at most %d", ErrInvalidGroup, len(q.Topic)+len(q.Broker), 2*l.Name)
			continue
		case have == nil:
			have = &lease{}
			if s.locks[group] == nil {
				s.locks[group] = map[Queue]*lease{}
			}
			s.locks[group][q] = have
			s.locked++
		case have.client != client && !now.After(have.until):
			continue
		}
		have.client, have.until = client, now.Add(s.lease)
		held = append(held, q)
	}
	return held, err
}

func (s *crews) unlock(group, client string, queues []Queue) {
	for _, q := range queues {
		if l := s.locks[group][q]; l != nil && l.client == client {
			s.release(group, q)
		}
	}
}

// release takes a lock that is there away.
func (s *crews) release(group string, q Queue) {
	delete(s.locks[group], q)
	s.locked--
	if len(s.locks[group]) == 0 {
		delete(s.locks, group)
	}
}

func (s *crews) anyLocked(group string, now time.Time) bool {
	for _, l := range s.locks[group] {
		if !now.After(l.until) {
			return true
		}
	}
	return false
}
