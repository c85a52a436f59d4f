package group

import (
	"slices"
	"sync"
	"time"

	"penstock"
)

// group is one group: its offsets and its membership, if its members are Kafka's; RocketMQ's are in the Roster.
//
// The order of its appends is the order in which their outcomes are taken, whatever the order in which the journal
// reports them: flight is a queue whose head alone is settled. So what readers see only moves forward.
type group struct {
	name  string
	shard *shard

	// mu guards everything below. It is taken before shard.mu.
	mu      sync.Mutex
	machine *Machine            // of Kafka's classic protocol
	offsets offsets             // durable
	latest  map[place]unsettled // appended and not known to be durable, the last of each
	state   []byte              // of the last record of its membership that was appended, nil if there is none
	flight  []*appended         // whose outcome is not known, in the order of the journal
	waiting map[Token]func(Effect)
	token   Token
	armed   time.Time // the time of its entry in the alarm that counts
	dead    bool      // taken out of its shard: look for it again
}

// place names a partition in a group's offsets.
type place struct {
	topic     string
	partition int32
}

// change is one offset set, or deleted if it has none.
type change struct {
	place
	to *Committed
}

// unsettled is the last change to a place that was appended.
type unsettled struct {
	to *Committed // nil for a deletion
	by *appended
}

// appended is one append under way.
type appended struct {
	changes []change
	done    bool
	err     error
	then    func(error, *calls)
}

func newGroup(name string, s *shard) *group {
	return &group{
		name: name, shard: s, machine: NewMachine(s.c.o.Limits), offsets: offsets{}, latest: map[place]unsettled{},
		waiting: map[Token]func(Effect){},
	}
}

// calls are answers to be given once the group's lock is given back.
type calls []func()

func (c calls) run() {
	for _, f := range c {
		f()
	}
}

// step lets the machine take an event and does what it asks for. An Answer that comes of it is returned. The caller
// holds mu and runs the calls after giving it back.
func (g *group) step(e Event, out *calls) (answer error) {
	now := g.shard.c.o.Now()
	for _, effect := range g.machine.Step(e, now) {
		switch effect := effect.(type) {
		case Answer:
			answer = effect.Err
		case JoinAnswer:
			g.answer(effect.Token, effect, out)
		case SyncAnswer:
			g.answer(effect.Token, effect, out)
		case LeaveAnswer:
			g.answer(effect.Token, effect, out)
		case Store:
			g.store(effect, now)
		}
	}
	g.arm()
	return answer
}

// unlock gives the lock back, after taking the group out if nothing is left of it, and then makes the calls.
func (g *group) unlock(out calls) {
	g.drop()
	g.mu.Unlock()
	out.run()
}

func (g *group) answer(t Token, e Effect, out *calls) {
	f := g.waiting[t]
	delete(g.waiting, t)
	if f != nil {
		*out = append(*out, func() { f(e) })
	}
}

// wait gives an event's answer to f.
func (g *group) wait(f func(Effect)) Token {
	g.token++
	g.waiting[g.token] = f
	return g.token
}

// store appends the state of the membership, and tells the machine when it is durable.
func (g *group) store(e Store, now time.Time) {
	w := newWriter(penstock.Timestamp(now.UnixMilli()))
	defer w.free()
	g.state = appendState(nil, &e.State)
	w.state(g.name, g.state)
	g.shard.c.figures.rebalances.Inc()
	machine := g.machine
	g.append(w, nil, func(err error, out *calls) {
		if g.machine == machine {
			g.step(Stored{e.Number, err}, out)
		}
	})
}

// append writes what w holds at the end of the journal. Once it is durable, or has failed, the changes are made or given
// up and then is called under the lock, in the order of the appends. The caller holds mu.
func (g *group) append(w *writer, changes []change, then func(error, *calls)) {
	a := &appended{changes: changes, then: then}
	for _, c := range changes {
		g.latest[c.place] = unsettled{c.to, a}
	}
	g.flight = append(g.flight, a)
	g.shard.append(w, func(err error) { g.landed(a, err) })
}

// landed takes the outcome of an append.
func (g *group) landed(a *appended, err error) {
	var out calls
	g.mu.Lock()
	a.done, a.err = true, err
	for len(g.flight) > 0 && g.flight[0].done {
		head := g.flight[0]
		g.flight[0] = nil
		g.flight = g.flight[1:]
		g.make(head)
		head.then(head.err, &out)
	}
	g.unlock(out)
}

// make shows the changes of an append to readers, if it succeeded. The caller holds mu.
func (g *group) make(a *appended) {
	for _, c := range a.changes {
		if a.err == nil {
			g.offsets.set(c.place, c.to)
		}
		if g.latest[c.place].by == a {
			delete(g.latest, c.place)
		}
	}
}

// arm has the alarm ring when something is due earlier than it would. The caller holds mu.
func (g *group) arm() {
	at, ok := g.machine.Wake()
	if ok && (g.armed.IsZero() || at.Before(g.armed)) {
		g.armed = at
		g.shard.c.alarm.set(g, at)
	}
}

// rung is called by the alarm.
func (g *group) rung(at, now time.Time) {
	if g.shard.c.leaving.Load() || g.shard.ctx.Err() != nil {
		return
	}
	var out calls
	g.mu.Lock()
	if !g.armed.Equal(at) || g.dead {
		g.mu.Unlock()
		return
	}
	g.armed = time.Time{}
	g.step(Tick{}, &out)
	g.unlock(out)
}

// drop takes the group out of its shard if nothing is left of it, in memory or in the journal. The caller holds mu.
func (g *group) drop() {
	if g.dead || g.state != nil || len(g.offsets) > 0 || len(g.flight) > 0 || !g.machine.Idle() {
		return
	}
	g.dead = true
	g.shard.forget(g)
}

// offsets are what a group has committed, by topic, then sorted by partition.
type offsets map[string][]offset

type offset struct {
	partition int32
	Committed
}

func (o offsets) find(p place) (i int, found bool) {
	return slices.BinarySearchFunc(o[p.topic], p.partition, func(x offset, n int32) int { return int(x.partition) - int(n) })
}

func (o offsets) get(p place) (Committed, bool) {
	if i, ok := o.find(p); ok {
		return o[p.topic][i].Committed, true
	}
	return Committed{}, false
}

// set sets an offset, or deletes it with nil.
func (o offsets) set(p place, to *Committed) {
	i, found := o.find(p)
	list := o[p.topic]
	switch {
	case found && to != nil:
		list[i].Committed = *to
	case found && len(list) == 1:
		delete(o, p.topic)
	case found:
		o[p.topic] = slices.Delete(list, i, i+1)
	case to != nil:
		o[p.topic] = slices.Insert(list, i, offset{p.partition, *to})
	}
}

// each calls f for every offset, in no particular order of topics. f may not change them.
func (o offsets) each(f func(place, *Committed)) {
	for topic, list := range o {
		for i := range list {
			f(place{topic, list[i].partition}, &list[i].Committed)
		}
	}
}
