package group

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// ConsumeType is how a group of RocketMQ's consumers comes by its messages. The numbers are RocketMQ's.
type ConsumeType uint8

// The types.
const (
	ConsumeActively  ConsumeType = iota // it pulls when it likes
	ConsumePassively                    // messages are pushed, by long polls
	ConsumePop
)

// String is RocketMQ's name.
func (t ConsumeType) String() string {
	return [...]string{"CONSUME_ACTIVELY", "CONSUME_PASSIVELY", "CONSUME_POP"}[min(t, ConsumePop)]
}

// Model is who of a group of RocketMQ's consumers gets a message. The numbers are RocketMQ's.
type Model uint8

// The models.
const (
	Broadcasting Model = iota // every member; each keeps for itself how far it has read
	Clustering                // one member
)

// String is RocketMQ's name.
func (m Model) String() string { return [...]string{"BROADCASTING", "CLUSTERING"}[min(m, Clustering)] }

// FromWhere is where a consumer begins a queue of which nothing is committed. The client decides; the broker only tells of it. The
// numbers are RocketMQ's, those between are names that it gave up.
type FromWhere uint8

// The places.
const (
	FromLast  FromWhere = 0
	FromFirst FromWhere = 4
	FromTime  FromWhere = 5
)

// Subscription is what a group of RocketMQ's consumers reads of a topic.
type Subscription struct {
	Topic       string
	Kind        string // TAG or SQL92
	Expression  string // "a || b", "*"
	Tags        []string
	Codes       []int32 // of the tags, by Java's hash; none means all
	Version     int64   // grows with every change of it
	ClassFilter bool
}

// Consumer is a group that a client consumes in, as its heartbeat tells.
type Consumer struct {
	Group         string
	Type          ConsumeType
	Model         Model
	From          FromWhere
	Unit          bool
	Quiet         bool // the group's configuration wants no notices of changes
	Subscriptions []Subscription
}

// Client is one of RocketMQ's clients.
type Client struct {
	Link     Link
	ClientID string
	Host     string // where it connects from, as administrators see it
	Language string
	Version  int       // RocketMQ's number of the client's version
	Seen     time.Time // the last heartbeat; the roster's
}

// Beat is a heartbeat: all groups that a client is of.
type Beat struct {
	Client
	Producers []string
	Consumers []Consumer
	// Fingerprint stands for all subscriptions told; 0 from clients that do not know of it (heartbeat V2).
	Fingerprint int32
	Bare        bool // subscriptions are left out: they are those that the fingerprint stands for
}

// Crew is a group of RocketMQ's consumers.
type Crew struct {
	Group         string
	Type          ConsumeType
	Model         Model
	From          FromWhere
	Unit          bool
	Subscriptions []Subscription // by topic
	Members       []Client       // by client id
}

// Queue is a queue as RocketMQ's clients name it.
type Queue struct {
	Topic  string
	Broker string
	ID     int32
}

// check refuses what must not be kept. It changes nothing.
func (s *crews) check(b *Beat) error {
	l := &s.limits
	if err := l.checkNames(b); err != nil {
		return err
	}
	fresh := 0
	for _, name := range b.Producers {
		if s.producers[name] == nil {
			fresh++
		}
	}
	if n := len(s.producers) + fresh; fresh > 0 && n > l.Groups {
		return fmt.Errorf("%w: %d groups of producers, at most %d", ErrRosterFull, n, l.Groups)
	}
	fresh = 0
	for i := range b.Consumers {
		c := &b.Consumers[i]
		if err := l.checkSubscriptions(c); err != nil {
			return err
		}
		switch crew := s.consumers[c.Group]; {
		case crew == nil:
			fresh++
		case crew.members[b.Link] == nil && len(crew.members) >= l.Members:
			return fmt.Errorf("%w: group %q has %d members, which is as many as it may", ErrRosterFull, c.Group, len(crew.members))
		}
	}
	if n := len(s.consumers) + fresh; fresh > 0 && n > l.Groups {
		return fmt.Errorf("%w: %d groups of consumers, at most %d", ErrRosterFull, n, l.Groups)
	}
	if n := s.links[b.Link].with(b); n > l.OfLink {
		return fmt.Errorf("%w: client %.64q is in %d groups, at most %d", ErrRosterFull, b.ClientID, n, l.OfLink)
	}
	if n := len(s.links); s.links[b.Link] == nil && n >= l.Links {
		return fmt.Errorf("%w: %d clients are known, which is as many as may be", ErrRosterFull, n)
	}
	return nil
}

func (l *RosterLimits) checkNames(b *Beat) error {
	names := append([]string{b.ClientID}, b.Producers...)
	for i := range b.Consumers {
		names = append(names, b.Consumers[i].Group)
	}
	for _, name := range names {
		if name == "" {
			return fmt.Errorf("%w: a heartbeat names no client id, or a group without a name", ErrInvalidGroup)
		}
	}
	for _, name := range append(names, b.Host, b.Language) {
		if len(name) > l.Name {
			return fmt.Errorf("%w: a name of %d bytes, at most %d", ErrInvalidGroup, len(name), l.Name)
		}
	}
	return nil
}

func (l *RosterLimits) checkSubscriptions(c *Consumer) error {
	if n := len(c.Subscriptions); n > l.Subscriptions {
		return fmt.Errorf("%w: group %.64q reads %d topics, at most %d", ErrRosterFull, c.Group, n, l.Subscriptions)
	}
	for i := range c.Subscriptions {
		s := &c.Subscriptions[i]
		if n := max(len(s.Tags), len(s.Codes)); n > l.Tags {
			return fmt.Errorf("%w: group %.64q reads %d tags of topic %.64q, at most %d", ErrRosterFull, c.Group, n, s.Topic, l.Tags)
		}
		long := max(len(s.Topic), len(s.Kind))
		if s.Topic == "" || long > l.Name {
			return fmt.Errorf("%w: group %.64q reads a topic with a name of %d bytes, at least 1 and at most %d", ErrInvalidGroup, c.Group, long, l.Name)
		}
		long = len(s.Expression)
		for _, tag := range s.Tags {
			long = max(long, len(tag))
		}
		if long > l.Expression {
			return fmt.Errorf("%w: group %.64q reads topic %.64q by an expression of %d bytes, at most %d", ErrInvalidGroup, c.Group, s.Topic, long, l.Expression)
		}
	}
	return nil
}

// list is the members, by client id.
func (m linked) list() []Client {
	all := make([]Client, 0, len(m))
	for _, c := range m {
		all = append(all, *c)
	}
	slices.SortFunc(all, func(a, b Client) int {
		if c := strings.Compare(a.ClientID, b.ClientID); c != 0 {
			return c
		}
		return strings.Compare(a.Host, b.Host)
	})
	return all
}

func (c *crew) describe() Crew {
	d := Crew{Group: c.name, Type: c.consume, Model: c.model, From: c.from, Unit: c.unit, Members: c.members.list()}
	for _, s := range c.subscriptions {
		d.Subscriptions = append(d.Subscriptions, s)
	}
	slices.SortFunc(d.Subscriptions, func(a, b Subscription) int { return strings.Compare(a.Topic, b.Topic) })
	return d
}
