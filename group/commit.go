package group

import (
	"fmt"
	"time"

	"penstock"
)

// Commit is offsets that a member, or a consumer that assigns itself, has read up to.
type Commit struct {
	MemberID   string
	InstanceID string
	Generation int32         // negative for a consumer that assigns itself
	Keep       time.Duration // how long to keep them whatever the group does; 0 or negative: the broker's retention
	Rocket     bool          // of RocketMQ's consumers, or of the broker itself: the group may have members in the roster
	Offsets    []CommitOffset

	own   bool             // of the broker itself: see SaveProgress
	still func(place) bool // of notes: whether one still counts. They were taken while the group could have them, whoever its members are now
}

// CommitOffset is one of them. One that comes with an error is left out; the coordinator sets Err on those that it leaves
// out itself: ErrMetadataTooLarge, penstock.ErrUnknownTopic if the topic with that id is gone.
type CommitOffset struct {
	Topic     string
	TopicID   penstock.TopicID // zero: whatever topic has the name
	Partition int32
	Offset    penstock.Offset
	Epoch     penstock.Epoch
	Metadata  string
	Err       error
}

// Commit stores offsets. answer is called once, possibly before Commit returns, when they are as durable as the journal's topic promises and
// readers see them, or with the error that kept them from it, which counts for all: ErrUnknownMember,
// ErrIllegalGeneration, ErrFencedInstance, ErrRebalanceInProgress, ErrOtherKind, and what replica.Partition.Append returns. After an error of the
// disk they may be stored or not.
func (c *Coordinator) Commit(name string, r *Commit, answer func(error)) {
	c.notes.drop(name, r.Offsets)
	err := refuseOwn(name)
	if err == nil || r.own {
		err = c.commit(name, r, answer)
	}
	if err != nil {
		answer(err)
	}
}

// commit returns an error where answer will not be called.
func (c *Coordinator) commit(name string, r *Commit, answer func(error)) error {
	s, err := c.shard(name)
	if err != nil {
		return err
	}
	g, err := s.lock(name, r.Generation < 0)
	if err != nil {
		return err
	}
	if g == nil {
		return fmt.Errorf("%w: there is no group %q", ErrIllegalGeneration, name)
	}
	var out calls
	err = g.step(Check{MemberID: r.MemberID, InstanceID: r.InstanceID, Generation: r.Generation}, &out)
	switch {
	case r.still != nil:
		err = g.commit(r, answer)
	case err != nil && r.Rocket, err == nil && !r.Rocket && c.o.Roster.has(name):
		err = fmt.Errorf("%w: group %q", ErrOtherKind, name)
	case err == nil:
		err = g.commit(r, answer)
	}
	g.unlock(out)
	return err
}

// commit appends the offsets. The caller holds mu.
func (g *group) commit(r *Commit, answer func(error)) error {
	now := g.shard.c.now()
	w := newWriter(now)
	defer w.free()
	changes := make([]change, 0, len(r.Offsets))
	for i := range r.Offsets {
		o := &r.Offsets[i]
		if most := g.shard.c.o.MaxMetadata; len(o.Metadata) > most {
			o.Err = fmt.Errorf("%w: %d bytes, at most %d", ErrMetadataTooLarge, len(o.Metadata), most)
		}
		if o.Err == nil && g.shard.c.isGone(o.TopicID) {
			o.Err = fmt.Errorf("%w: %q was deleted", penstock.ErrUnknownTopic, o.Topic)
		}
		if o.Err != nil || r.still != nil && !r.still(place{o.Topic, o.Partition}) {
			continue
		}
		to := &Committed{Offset: o.Offset, Epoch: o.Epoch, Metadata: o.Metadata, At: now, Expires: penstock.NoTimestamp, TopicID: o.TopicID}
		if r.Keep > 0 {
			to.Expires = now + penstock.Timestamp(r.Keep.Milliseconds())
		}
		changes = append(changes, change{place{o.Topic, o.Partition}, to})
		w.offset(g.name, o.Topic, o.Partition, to)
	}
	if w.empty() {
		go answer(nil)
		return nil
	}
	g.shard.c.figures.commits.Inc()
	g.append(w, changes, func(err error, out *calls) {
		*out = append(*out, func() { answer(err) })
	})
	return nil
}

// Read calls f with what is committed for a partition, or noted since (see Note), for each of those asked for; ok is false where nothing is. With nil
// it is called for all that there are, in no particular order of topics. What was committed to a topic that is gone is not
// there, also while its deletion from the journal is still under way.
func (c *Coordinator) Read(name string, topics map[string][]int32, f func(topic string, partition int32, o Committed, ok bool)) error {
	noted := c.notes.of(name) // first: what is committed meanwhile is seen twice, and not missed
	if len(noted) == 0 {
		return c.committed(name, topics, f)
	}
	shown := func(one *note) Committed {
		return Committed{Offset: one.offset, Epoch: penstock.NoEpoch, At: c.now(), Expires: penstock.NoTimestamp, TopicID: one.topic}
	}
	err := c.committed(name, topics, func(topic string, partition int32, o Committed, ok bool) {
		p := place{topic, partition}
		if one := noted[p]; one != nil {
			o, ok = shown(one), true
			delete(noted, p)
		}
		f(topic, partition, o, ok)
	})
	if err == nil && topics == nil {
		for p, one := range noted {
			f(p.topic, p.partition, shown(one), true)
		}
	}
	return err
}

// committed is Read without what is only noted.
func (c *Coordinator) committed(name string, topics map[string][]int32, f func(topic string, partition int32, o Committed, ok bool)) error {
	g, err := c.lock(name, false)
	if err != nil {
		return err
	}
	if g == nil {
		g = &group{}
		g.mu.Lock()
	}
	defer g.mu.Unlock()
	if topics == nil {
		g.offsets.each(func(p place, at *Committed) {
			if !c.isGone(at.TopicID) {
				f(p.topic, p.partition, *at, true)
			}
		})
		return nil
	}
	for topic, partitions := range topics {
		for _, n := range partitions {
			at, ok := g.offsets.get(place{topic, n})
			if ok && c.isGone(at.TopicID) {
				at, ok = Committed{}, false
			}
			f(topic, n, at, ok)
		}
	}
	return nil
}

// erase appends deletions of offsets and, with state, of the membership. then may be nil. The caller holds mu.
func (g *group) erase(some []place, state bool, then func(error)) {
	w := newWriter(g.shard.c.now())
	defer w.free()
	changes := make([]change, 0, len(some))
	for _, p := range some {
		changes = append(changes, change{place: p})
		w.offset(g.name, p.topic, p.partition, nil)
	}
	if state && g.state != nil {
		w.state(g.name, nil)
		g.state = nil
	}
	if w.empty() {
		if then != nil {
			go then(nil)
		}
		return
	}
	g.append(w, changes, func(err error, out *calls) {
		if then != nil {
			*out = append(*out, func() { then(err) })
		}
	})
}

// places lists the offsets of the group, durable or not, that match. The caller holds mu.
func (g *group) places(match func(place) bool) []place {
	var all []place
	g.offsets.each(func(p place, _ *Committed) {
		if match(p) {
			all = append(all, p)
		}
	})
	for p, u := range g.latest {
		if _, ok := g.offsets.get(p); !ok && u.to != nil && match(p) {
			all = append(all, p)
		}
	}
	return all
}
