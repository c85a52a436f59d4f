package group

import (
	"time"

	"penstock"
)

// purge deletes the offsets of topics that are gone. gone is given the name that an offset was committed under, and the id, zero if
// that is not known.
func (s *shard) purge(gone func(topic string, id penstock.TopicID) bool) {
	for _, g := range s.list() {
		g.mu.Lock()
		match := func(p place) bool {
			c := g.newest(p)
			return c != nil && gone(p.topic, c.TopicID)
		}
		if all := g.places(match); len(all) > 0 {
			g.erase(all, false, nil)
			for _, p := range all {
				g.offsets.set(p, nil) // at once: a topic of the same name may be made as soon as this returns
			}
		}
		g.mu.Unlock()
	}
}

// expire deletes offsets that are kept no longer, and groups of which nothing is left.
func (s *shard) expire(now time.Time) {
	for _, g := range s.list() {
		g.mu.Lock()
		g.expire(now)
		g.mu.Unlock()
	}
}

// expire is shard.expire for one group. Offsets are kept while the group has members that read their topic, and for the
// retention after it became empty (KIP-211). Those of consumers that assign themselves are kept for it after the commit;
// those whose client said how long, for as long. The caller holds mu.
func (g *group) expire(now time.Time) {
	if g.dead {
		return
	}
	all := g.places(func(p place) bool { return g.expired(p, now) })
	left := 0
	for _, list := range g.offsets {
		left += len(list)
	}
	last := len(all) >= left && len(g.flight) == 0 && g.machine.Idle()
	if len(all) > 0 || last {
		g.shard.c.figures.expired.Add(int64(len(all)))
		g.erase(all, last, nil)
	}
	if last {
		g.machine = NewMachine(g.shard.c.o.Limits)
	}
	g.drop()
}

// expired reports whether an offset is kept no longer. The caller holds mu.
func (g *group) expired(p place, now time.Time) bool {
	at, ok := g.offsets.get(p)
	if _, changing := g.latest[p]; !ok || changing || g.name == ScheduleGroup || g.shard.c.o.Roster.has(g.name) {
		return false
	}
	if at.Expires != penstock.NoTimestamp {
		return g.machine.Idle() && now.UnixMilli() >= int64(at.Expires)
	}
	retention := g.shard.c.o.Retention
	since := now.Sub(time.UnixMilli(int64(at.At)))
	switch {
	case g.machine.phase == Empty && g.machine.protocolType != "" && !g.machine.since.IsZero():
		return min(since, now.Sub(g.machine.since)) >= retention
	case g.machine.phase == Empty:
		return since >= retention
	case g.machine.phase == Stable && g.machine.protocolType == consumerType:
		return !g.machine.reads(p.topic) && since >= retention
	}
	return false
}

// reads reports whether a member of the group reads a topic, or may.
func (g *Machine) reads(topic string) bool {
	for _, m := range g.members {
		topics, ok := topicsOf(m.metadata(g.protocol))
		if !ok {
			return true
		}
		for _, t := range topics {
			if t == topic {
				return true
			}
		}
	}
	return false
}
