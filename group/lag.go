package group

import (
	"cmp"
	"slices"
	"strings"

	"penstock"
	"penstock/meta"
	"penstock/replica"
)

// Lag is how far a group is behind in one partition that it has committed an offset of.
type Lag struct {
	Group     string
	Topic     string
	Partition int32
	Committed Committed
	// Backlog is of the records that the group has not read. Its End is NoOffset, and the rest is nothing, where the
	// partition is not led here or cannot be read.
	Backlog replica.Backlog
}

// LagLimits bound what Lags does. Zero is none of it.
type LagLimits struct {
	Partitions int // committed offsets told of
	Looks      int // of these, those behind whose bytes and time are looked for, each of which may read a few blocks of the disk
}

// Lags calls f with the lag of groups, by group, topic and partition in order, and returns how many committed offsets there are beyond
// the limit. It is meant for metrics: a group's lock is held only while its offsets are copied. What a commit under way
// will change is not seen. f keeps nothing of what it is given. Partitions that are loading are left out.
func (c *Coordinator) Lags(limits LagLimits, f func(*Lag)) (left int) {
	var groups []*group
	c.each(func(s *shard) {
		if s.ready.Load() {
			groups = append(groups, s.list()...)
		}
	})
	slices.SortFunc(groups, func(a, b *group) int { return strings.Compare(a.name, b.name) })
	img := c.o.Topics.Image()
	var some []Lag
	for _, g := range groups {
		some = g.committed(some[:0], max(0, limits.Partitions), &left)
		limits.Partitions -= len(some)
		for i := range some {
			l := &some[i]
			l.Group = g.name
			if c.measure(l, img, limits.Looks > 0) {
				limits.Looks--
			}
			f(l)
		}
	}
	return left
}

// committed appends the group's committed offsets, by topic and partition, up to a number of them. Those beyond it are counted.
func (g *group) committed(dst []Lag, most int, left *int) []Lag {
	g.mu.Lock()
	n := 0
	for _, list := range g.offsets {
		n += len(list)
	}
	if most > 0 {
		g.offsets.each(func(p place, at *Committed) {
			dst = append(dst, Lag{Topic: p.topic, Partition: p.partition, Committed: *at})
		})
	}
	g.mu.Unlock()
	slices.SortFunc(dst, func(a, b Lag) int {
		return cmp.Or(strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	dst = dst[:min(len(dst), most)]
	*left += n - len(dst)
	return dst
}

// measure fills in the backlog and reports whether it looked at the disk. Damage is not told of here: reading meets it.
func (c *Coordinator) measure(l *Lag, img *meta.Image, look bool) (looked bool) {
	l.Backlog = replica.Backlog{End: penstock.NoOffset, Bytes: -1, Oldest: penstock.NoTimestamp}
	t := img.Topic(l.Topic)
	if t == nil {
		return false
	}
	p := c.o.Partitions.Partition(penstock.PartitionID{Topic: t.ID, Partition: l.Partition})
	if p == nil {
		return false
	}
	l.Backlog, _ = p.Backlog(l.Committed.Offset, look)
	return look && l.Backlog.Records > 0
}
