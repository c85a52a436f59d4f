package group

import (
	"fmt"

	"penstock"
)

// The log is kept short without compaction. What still counts is written again at its end, a piece at a time while commits go
// on, and when that is durable the log's start moves to where the end was before. Nothing is lost on the way:
//
//  1. Every record below the cut is about a group that was in the map when the cut was taken, or about one that has been
//     deleted since, by a record behind the cut.
//  2. A group's lock is held over looking at it and appending what was seen, so a commit is either seen, and written again
//     behind itself, or appended later, and counts.
//  3. A commit that was appended and is not yet known to be durable is seen as if it were (group.latest): its record may
//     lie below the cut, and the one behind it must not be older.
//
// Until the start has moved a crash leaves both, and the later ones count.

// shorten writes the log anew if more than half of it does not count, or in any case.
func (s *shard) shorten(always bool) error {
	s.setLimit()
	before := s.size.Load()
	if before <= s.limit.Load() && !always {
		return nil
	}
	if always {
		if err := s.pad(); err != nil {
			return fmt.Errorf("write behind the damage: %w", err)
		}
	}
	cut := s.part.Offsets().End
	for _, g := range s.list() {
		if err := s.rewrite(g); err != nil {
			return fmt.Errorf("write group %q again: %w", g.name, err)
		}
	}
	if err := s.part.SetStart(cut); err != nil {
		return err
	}
	s.size.Add(-before)
	s.setLimit()
	s.c.figures.shortened.Inc()
	s.c.o.Logger.Info("group journal shortened", "partition", s.id, "bytes_before", before, "bytes", s.size.Load())
	return nil
}

// pad writes deletions of what never was, so many that the next batch has an entry of its own in the log's index: a reader finds its way to
// it without walking over the damage that lies before.
func (s *shard) pad() error {
	w := newWriter(s.c.now())
	defer w.free()
	for n := int32(0); len(w.b) <= 2*indexInterval; n++ {
		w.offset("", "", n, nil)
	}
	wait := make(chan error, 1)
	s.append(w, func(err error) { wait <- err })
	select {
	case err := <-wait:
		return err
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// setLimit looks how much of the log counts.
func (s *shard) setLimit() {
	live := int64(0)
	for _, g := range s.list() {
		g.mu.Lock()
		live += g.weight()
		g.mu.Unlock()
	}
	s.limit.Store(2*live + s.c.o.ShortenAbove)
}

// Bytes of a record of the journal besides names, metadata and state, with its share of a batch of a few.
const (
	offsetWeight = 78
	stateWeight  = 80
)

// weight is about what the group takes in the journal. The caller holds mu.
func (g *group) weight() int64 {
	n := int64(0)
	if g.state != nil {
		n += int64(len(g.state)+len(g.name)) + stateWeight
	}
	for topic, list := range g.offsets {
		n += int64(len(list)) * int64(len(topic)+len(g.name)+offsetWeight)
	}
	return n
}

// rewrite writes again what counts of a group, and returns when it is durable.
func (s *shard) rewrite(g *group) error {
	g.mu.Lock()
	var all []place
	g.offsets.each(func(p place, _ *Committed) { all = append(all, p) })
	for p := range g.latest {
		if _, ok := g.offsets.get(p); !ok {
			all = append(all, p)
		}
	}
	g.mu.Unlock()
	for first := true; first || len(all) > 0; first = false {
		n := min(len(all), chunkOffsets)
		if err := s.rewriteSome(g, all[:n], first); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

// rewriteSome writes again some offsets of a group and, if asked, its membership.
func (s *shard) rewriteSome(g *group, some []place, state bool) error {
	w := newWriter(penstock.Timestamp(s.c.o.Now().UnixMilli()))
	defer w.free()
	wait := make(chan error, 1)
	g.mu.Lock()
	if state && g.state != nil {
		w.state(g.name, g.state)
	}
	for _, p := range some {
		if c := g.newest(p); c != nil {
			w.offset(g.name, p.topic, p.partition, c)
		}
	}
	if w.empty() {
		g.mu.Unlock()
		return nil
	}
	s.append(w, func(err error) { wait <- err })
	g.mu.Unlock()
	select {
	case err := <-wait:
		return err
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// newest is the last offset that was appended for a place, durable or not, nil if there is none. The caller holds mu.
func (g *group) newest(p place) *Committed {
	if u, ok := g.latest[p]; ok {
		return u.to
	}
	if c, ok := g.offsets.get(p); ok {
		return &c
	}
	return nil
}
