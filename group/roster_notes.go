package group

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"penstock"
)

// notes are offsets that RocketMQ's clients have told and that are not in the journal yet. Such a client tells how far it has read with each
// pull, and every five seconds, whether it got further or not; its broker keeps that in memory and writes it down each five seconds. A record
// of the journal for each would cost more than the messages. So what is told is shown at once, and committed by notesEvery for all groups
// together; a kill takes no more than that back, and the messages read since are read again.
type notes struct {
	c    *Coordinator
	bell chan struct{} // rings when there is something to commit

	// flushing is held over a flush, so that one group's commits keep their order.
	flushing sync.Mutex

	// mu guards what follows.
	mu    sync.Mutex
	dirty map[string]map[place]*note // by group
	n     int
}

// note is one of them. It is immutable: a newer one takes its place.
type note struct {
	offset penstock.Offset
	topic  penstock.TopicID
}

const (
	// notesEvery is how long what a client has told is in memory only. RocketMQ's broker: 5 s.
	notesEvery = time.Second
	// maxNotes bounds them; that many queues told of within a second are a client gone wild.
	maxNotes = 1_000_000
	// refreshShare is the part of the retention after which an offset that has not changed is written down again, so that it does not expire.
	refreshShare = 16
	// lastFlush is how long the last flush may take when the coordinator closes.
	lastFlush = 10 * time.Second
)

func newNotes(c *Coordinator) *notes {
	return &notes{c: c, bell: make(chan struct{}, 1), dirty: map[string]map[place]*note{}}
}

// Note takes how far a group of RocketMQ's has read in a partition of a topic. It is shown by Noted at once, and committed, as by Commit,
// within about a second. Errors: ErrOtherKind, ErrInvalidGroup, ErrRosterFull.
func (c *Coordinator) Note(name, topic string, id penstock.TopicID, partition int32, at penstock.Offset) error {
	if name == "" || max(len(name), len(topic)) > maxText {
		return fmt.Errorf("%w: a name of %d bytes, at least 1 and at most %d", ErrInvalidGroup, max(len(name), len(topic)), maxText)
	}
	if err := refuseOwn(name); err != nil {
		return err
	}
	if g, err := c.lock(name, false); err == nil && g != nil {
		full := g.machine.phase != Empty
		g.mu.Unlock()
		if full {
			return fmt.Errorf("%w: group %q has Kafka's", ErrOtherKind, name)
		}
	}
	n := c.notes
	n.mu.Lock()
	defer n.mu.Unlock()
	of := n.dirty[name]
	p := place{topic, partition}
	if of[p] == nil {
		if n.n >= maxNotes {
			return fmt.Errorf("%w: %d offsets wait to be committed", ErrRosterFull, n.n)
		}
		if of == nil {
			of = map[place]*note{}
			n.dirty[name] = of
		}
		n.n++
	}
	of[p] = &note{at, id}
	ring(n.bell)
	return nil
}

// Noted is how far a group has read in a partition: what was noted last, or else what is committed. ok is false where nothing is. Errors are those
// of Read.
func (c *Coordinator) Noted(name, topic string, partition int32) (at penstock.Offset, ok bool, err error) {
	p := place{topic, partition}
	c.notes.mu.Lock()
	one := c.notes.dirty[name][p]
	c.notes.mu.Unlock()
	if one != nil && !c.isGone(one.topic) {
		return one.offset, true, nil
	}
	at = penstock.NoOffset
	err = c.committed(name, map[string][]int32{topic: {partition}}, func(_ string, _ int32, o Committed, there bool) {
		if there {
			at, ok = o.Offset, true
		}
	})
	if errors.Is(err, ErrUnavailable) && !c.Exists() {
		err = nil // nothing was ever committed
	}
	return at, ok, err
}

// Notes calls f with what a group has noted that may not be committed yet, in no particular order. Whoever wants all that the group has told calls
// it before Read: a note that is committed meanwhile is then seen twice, and not missed.
func (c *Coordinator) Notes(name string, f func(topic string, partition int32, at penstock.Offset)) {
	for p, one := range c.notes.of(name) {
		f(p.topic, p.partition, one.offset)
	}
}

// of is what is noted of a group at this moment, without topics that are gone. The caller owns it.
func (n *notes) of(name string) map[place]*note {
	n.mu.Lock()
	some := maps.Clone(n.dirty[name])
	n.mu.Unlock()
	maps.DeleteFunc(some, func(_ place, one *note) bool { return n.c.isGone(one.topic) })
	return some
}

// run commits what is noted, until ctx ends. What cannot be committed is tried again.
func (n *notes) run(ctx context.Context) {
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.bell:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(notesEvery):
		}
		err := n.flush(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			n.c.o.Logger.Warn("offsets of RocketMQ's consumers not committed; they are kept and tried again each second", "error", err)
		}
		failing = err != nil
	}
}

// close commits what is noted before the coordinator ends.
func (n *notes) close() {
	if n.c.ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(n.c.ctx, lastFlush)
	defer cancel()
	if err := n.flush(ctx); err != nil {
		n.c.o.Logger.Warn("last offsets of RocketMQ's consumers not committed: some messages will be read again", "error", err)
	}
}

// flush commits what is noted, and returns when it is durable or cannot be. The error is one of those met.
func (n *notes) flush(ctx context.Context) error {
	n.flushing.Lock()
	defer n.flushing.Unlock()
	all := n.copy()
	if len(all) == 0 {
		return nil
	}
	if err := n.c.Ready(ctx); err != nil && !n.c.Exists() {
		ring(n.bell)
		return err
	}
	var failure error
	outcomes := make(chan error, len(all))
	for name, some := range all {
		n.commit(name, some, func(err error) { outcomes <- err })
	}
	for range all {
		select {
		case err := <-outcomes:
			failure = errors.Join(failure, err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if failure != nil {
		ring(n.bell)
	}
	return failure
}

// copy is all that is noted at this moment.
func (n *notes) copy() map[string]map[place]*note {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make(map[string]map[place]*note, len(n.dirty))
	for name, of := range n.dirty {
		some := make(map[place]*note, len(of))
		for p, one := range of {
			some[p] = one
		}
		all[name] = some
	}
	return all
}

// commit commits what is noted of one group. What is committed already is not written down again, unless it would expire.
func (n *notes) commit(name string, some map[place]*note, then func(error)) {
	r := &Commit{Generation: -1, Rocket: true, still: func(p place) bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.dirty[name][p] == some[p]
	}}
	asked := map[string][]int32{}
	for p := range some {
		asked[p.topic] = append(asked[p.topic], p.partition)
	}
	now, refresh := n.c.o.Now(), n.c.o.Retention/refreshShare
	err := n.c.committed(name, asked, func(topic string, partition int32, o Committed, ok bool) {
		p := place{topic, partition}
		one := some[p]
		if ok && o.Offset == one.offset && o.TopicID == one.topic && now.Sub(time.UnixMilli(int64(o.At))) < refresh {
			n.take(name, p, one)
			return
		}
		r.Offsets = append(r.Offsets, CommitOffset{Topic: topic, TopicID: one.topic, Partition: partition, Offset: one.offset, Epoch: penstock.NoEpoch})
	})
	if err != nil || len(r.Offsets) == 0 {
		then(err)
		return
	}
	answer := func(err error) {
		if err == nil {
			for p, one := range some {
				n.take(name, p, one)
			}
		}
		then(err)
	}
	if err := n.c.commit(name, r, answer); err != nil {
		answer(err)
	}
}

// take takes a note out, unless a newer one is there.
func (n *notes) take(name string, p place, one *note) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.dirty[name][p] == one {
		n.remove(name, p)
	}
}

// remove takes out a note that is there. The caller holds mu.
func (n *notes) remove(name string, p place) {
	delete(n.dirty[name], p)
	n.n--
	if len(n.dirty[name]) == 0 {
		delete(n.dirty, name)
	}
}

// drop takes out the notes of a group that somebody else's commit takes the place of.
func (n *notes) drop(name string, some []CommitOffset) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.dirty[name] == nil {
		return
	}
	for i := range some {
		if p := (place{some[i].Topic, some[i].Partition}); n.dirty[name][p] != nil {
			n.remove(name, p)
		}
	}
}

// forget takes out what is noted of one place: its offset is deleted.
func (n *notes) forget(name string, p place) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.dirty[name][p] != nil {
		n.remove(name, p)
	}
}

// dropAll takes out all notes of a group.
func (n *notes) dropAll(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.n -= len(n.dirty[name])
	delete(n.dirty, name)
}

// alone calls f, which lets RocketMQ's clients be members of a group, unless the group has Kafka's, and lets none of these in meanwhile. Errors:
// ErrOtherKind, and why it cannot be told: ErrLoading, ErrDamaged. f has not been called then.
func (c *Coordinator) alone(name string, f func()) error {
	c.following.Lock()
	if !c.Exists() { // there are no members without a journal, and there will be none before the lock is given back
		f()
		c.following.Unlock()
		return nil
	}
	c.following.Unlock()
	g, err := c.lock(name, true)
	switch {
	case errors.Is(err, ErrNotCoordinator):
		f() // whoever coordinates it does not know RocketMQ's clients of this node
		return nil
	case err != nil:
		return err
	}
	defer g.unlock(nil)
	if g.machine.phase != Empty {
		return fmt.Errorf("%w: group %q has Kafka's", ErrOtherKind, name)
	}
	f()
	return nil
}
