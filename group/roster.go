package group

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"penstock/metric"
)

// Link is the connection of one of RocketMQ's clients as its front knows it. It is compared with ==, so it is a pointer.
type Link interface {
	// ConsumersChanged tells the client that the members of a consumer group of its have changed (NOTIFY_CONSUMER_IDS_CHANGED). It must
	// not block, and may be called from any goroutine, also after the connection has ended.
	ConsumersChanged(group string)
}

// RosterOptions configures a Roster. The zero value of everything gives the default named.
type RosterOptions struct {
	Now     func() time.Time // default time.Now; it must not go back
	Logger  *slog.Logger     // default: discard
	Metrics *metric.Registry // default: nobody reads them

	// Expiry is how long a client counts that is not heard of; default 120 s, as in RocketMQ. Its clients send a heartbeat each 30 s.
	Expiry time.Duration
	// Lease is how long a queue stays locked that nobody renews; default 60 s, as in RocketMQ. Its clients renew each 20 s, and take
	// a lock for lost after 30 s: the difference keeps a queue from being read by two at once.
	Lease  time.Duration
	Limits RosterLimits
}

// RosterLimits bound what clients can make a Roster keep. RocketMQ has none of them. Zero gives the default named.
type RosterLimits struct {
	Links         int // connections; default 100,000
	Groups        int // groups of consumers, and as many of producers; default 100,000
	OfLink        int // groups that one connection may be of; default 1,000
	Members       int // of a group; default 10,000
	Subscriptions int // of a group; default 1,000
	Tags          int // of a subscription; default 1,000
	Name          int // bytes of a group, topic, client id or the like; default 1,024
	Expression    int // bytes of a subscription's expression, and of each tag; default 16 KiB
	Locks         int // queues locked, of all groups; default 1,000,000
}

func (l RosterLimits) withDefaults() RosterLimits {
	l.Links = cmp.Or(l.Links, 100_000)
	l.Groups = cmp.Or(l.Groups, 100_000)
	l.OfLink = cmp.Or(l.OfLink, 1_000)
	l.Members = cmp.Or(l.Members, 10_000)
	l.Subscriptions = cmp.Or(l.Subscriptions, 1_000)
	l.Tags = cmp.Or(l.Tags, 1_000)
	l.Name = cmp.Or(l.Name, 1_024)
	l.Expression = cmp.Or(l.Expression, 16<<10)
	l.Locks = cmp.Or(l.Locks, 1_000_000)
	return l
}

func (o RosterOptions) withDefaults() RosterOptions {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = metric.NewRegistry()
	}
	o.Expiry = cmp.Or(o.Expiry, 120*time.Second)
	o.Lease = cmp.Or(o.Lease, 60*time.Second)
	o.Limits = o.Limits.withDefaults()
	return o
}

// Roster knows RocketMQ's clients by their heartbeats: who consumes and who produces in which group, what consumers read, and who
// has locked which queue. It is memory only: after a restart clients tell everything again. How far groups have read is the
// Coordinator's; make it with this roster in its Options, so that a group has members of one kind only.
//
// All methods may be called concurrently. None blocks but for the lock, which is held for no call out.
type Roster struct {
	o           RosterOptions
	coordinator *Coordinator // nil without one; set before use

	// mu guards crews. It is taken after a group's lock.
	mu    sync.Mutex
	crews crews
}

// NewRoster makes a roster. Somebody must call Run.
func NewRoster(o RosterOptions) *Roster {
	r := &Roster{o: o.withDefaults()}
	r.crews = newCrews(r.o.Limits, r.o.Expiry, r.o.Lease)
	gauge := func(name, help string, f func() int) {
		r.o.Metrics.Func(metric.Desc{Name: name, Help: help}, metric.KindGauge, func() int64 {
			r.mu.Lock()
			defer r.mu.Unlock()
			return int64(f())
		})
	}
	gauge("roster_clients", "Connections of RocketMQ's clients that are known by heartbeats.", func() int { return len(r.crews.links) })
	gauge("roster_groups", "Consumer groups with members that are known by heartbeats.", func() int { return len(r.crews.consumers) })
	gauge("roster_locks", "Queues that consumers have locked.", func() int { return r.crews.locked })
	return r
}

// sweepEvery is the time between two looks for clients that are heard of no more: RocketMQ's.
const sweepEvery = 10 * time.Second

// Run forgets who is heard of no more, until ctx ends.
func (r *Roster) Run(ctx context.Context) {
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			r.Sweep()
		}
	}
}

// Sweep forgets who is heard of no more, and locks that nobody renewed.
func (r *Roster) Sweep() {
	r.mu.Lock()
	gone, told := r.crews.sweep(r.o.Now())
	r.mu.Unlock()
	for _, c := range gone {
		r.o.Logger.Warn("client not heard of, forgotten", "client", c.ClientID, "host", c.Host, "since", r.o.Expiry)
	}
	told.tell()
}

// Beat takes a heartbeat. changed reports that the client left out its subscriptions (Beat.Bare) and must tell them, because they are not those that
// the group was last told of. Errors: ErrRosterFull, ErrInvalidGroup, after which nothing of the heartbeat counts; ErrOtherKind and what keeps the
// Coordinator from telling whether a group has Kafka's members (ErrLoading, ErrDamaged), after which only the groups that it names do not count.
func (r *Roster) Beat(b *Beat) (changed bool, err error) {
	r.mu.Lock()
	err = r.crews.check(b)
	var fresh []string // groups that have no member yet: they might have one of Kafka's
	for i := range b.Consumers {
		if name := b.Consumers[i].Group; r.crews.consumers[name] == nil {
			fresh = append(fresh, name)
		}
	}
	r.mu.Unlock()
	if err != nil {
		return false, err
	}
	if r.coordinator == nil || len(fresh) == 0 {
		changed, told := r.take(b)
		told.tell()
		return changed, nil
	}
	return r.beatFresh(b, fresh)
}

// beatFresh is Beat for consumers some of whose groups have no members yet.
func (r *Roster) beatFresh(b *Beat, fresh []string) (changed bool, err error) {
	one := *b
	for _, name := range fresh {
		i := slices.IndexFunc(b.Consumers, func(c Consumer) bool { return c.Group == name })
		one.Producers, one.Consumers = nil, b.Consumers[i:i+1]
		var told notices
		why := r.coordinator.alone(name, func() {
			var c bool
			c, told = r.take(&one)
			changed = changed || c
		})
		told.tell()
		err = errors.Join(err, why)
	}
	one.Producers = b.Producers
	one.Consumers = slices.DeleteFunc(slices.Clone(b.Consumers), func(c Consumer) bool { return slices.Contains(fresh, c.Group) })
	c, told := r.take(&one)
	told.tell()
	return changed || c, err
}

func (r *Roster) take(b *Beat) (changed bool, _ notices) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.crews.beat(b, r.o.Now())
}

// Unregister takes a client out of a group of consumers and one of producers; either may be empty. With quiet the others are not told.
func (r *Roster) Unregister(link Link, producer, consumer string, quiet bool) {
	r.mu.Lock()
	told := r.crews.unregister(link, producer, consumer, quiet)
	r.mu.Unlock()
	told.tell()
}

// Closed forgets a connection that has ended.
func (r *Roster) Closed(link Link) {
	r.mu.Lock()
	told := r.crews.closed(link)
	r.mu.Unlock()
	told.tell()
}

// Consumers describes a group of consumers. ok is false if it has no members.
func (r *Roster) Consumers(group string) (d Crew, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.crews.consumers[group]
	if c == nil {
		return Crew{}, false
	}
	return c.describe(), true
}

// has reports whether a group has consumers. r may be nil.
func (r *Roster) has(group string) bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.crews.consumers[group] != nil
}

// reads reports whether the consumers of a group read a topic. r may be nil.
func (r *Roster) reads(group, topic string) bool {
	if r == nil {
		return false
	}
	_, ok := r.Subscription(group, topic)
	return ok
}

// ClientIDs are the ids of a group's members, sorted and each once: a client that came back on another connection before its old one was
// found to have ended must not count twice when queues are shared out. RocketMQ names it twice.
func (r *Roster) ClientIDs(group string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.crews.consumers[group]
	if c == nil {
		return nil
	}
	ids := make([]string, 0, len(c.members))
	for _, m := range c.members {
		ids = append(ids, m.ClientID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Subscription is what a group reads of a topic, as the newest heartbeat told it. ok is false if no member reads it.
func (r *Roster) Subscription(group, topic string) (s Subscription, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.crews.consumers[group]; c != nil {
		s, ok = c.subscriptions[topic]
	}
	return s, ok
}

// Producers are the members of a group of producers, by client id.
func (r *Roster) Producers(group string) []Client {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.crews.producers[group].list()
}

// Groups are the names of the groups of consumers, or of producers, in order.
func (r *Roster) Groups() (consumers, producers []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.crews.consumers)), slices.Sorted(maps.Keys(r.crews.producers))
}

// Readers are the groups of consumers that read a topic, in order.
func (r *Roster) Readers(topic string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for name, c := range r.crews.consumers {
		if _, ok := c.subscriptions[topic]; ok {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// Lock locks queues for a client, and returns those that it holds now: for RosterOptions.Lease, if it does not renew. Another client's are left
// out, and, with ErrRosterFull, those for which there is no room.
func (r *Roster) Lock(group, clientID string, queues []Queue) (held []Queue, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.crews.lock(group, clientID, queues, r.o.Now())
}

// Unlock gives up the queues that the client holds.
func (r *Roster) Unlock(group, clientID string, queues []Queue) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.crews.unlock(group, clientID, queues)
}

// Locked reports whether a member of the group holds a queue: it then consumes in order.
func (r *Roster) Locked(group string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.crews.anyLocked(group, r.o.Now())
}

// description describes a group of consumers as the administrators of Kafka's groups see it.
func (d *Crew) description() Description {
	out := Description{Name: d.Group, Phase: Stable, ProtocolType: RocketType, Protocol: d.Model.String(), Size: len(d.Members)}
	for _, m := range d.Members {
		out.Members = append(out.Members, MemberState{ID: m.ClientID, ClientID: m.ClientID, ClientHost: m.Host})
	}
	return out
}

// RocketType is the protocol type of groups whose members are RocketMQ's, as administrators see it.
const RocketType = "rocketmq"

// descriptions are the groups of consumers, without their members, by name.
func (r *Roster) descriptions() []Description {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Description, 0, len(r.crews.consumers))
	for name, c := range r.crews.consumers {
		all = append(all, Description{Name: name, Phase: Stable, ProtocolType: RocketType, Protocol: c.model.String(), Size: len(c.members)})
	}
	slices.SortFunc(all, func(a, b Description) int { return strings.Compare(a.Name, b.Name) })
	return all
}
