package meta

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"penstock"
)

// GroupConfig is what RocketMQ keeps of a group of consumers (SubscriptionGroupConfig, 5.5.0). Members and offsets are not among it. It is immutable
// once it is in an Image.
type GroupConfig struct {
	Name           string            `json:"name"`
	Consume        bool              `json:"consume"`          // its members may pull
	ConsumeFromMin bool              `json:"consume_from_min"` // kept and shown; consumers say themselves where they begin
	Broadcast      bool              `json:"broadcast"`        // its members may each read everything
	Orderly        bool              `json:"orderly"`          // its members read one message of a queue at a time
	NotifyIDs      bool              `json:"notify_ids"`       // members are told when others come and go
	RetryQueues    int               `json:"retry_queues"`     // of its topic for messages that come again; 0 to MaxRetryQueues
	RetryMax       int               `json:"retry_max"`        // deliveries after which a message is given up; -1 is the default of orderly consumers
	RetryPolicy    string            `json:"retry_policy"`     // JSON of groupRetryPolicy as sent; empty: back-off by delay level
	BrokerID       int64             `json:"broker_id"`        // to read from
	SlowBrokerID   int64             `json:"slow_broker_id"`   // to read from when slow
	SysFlag        int               `json:"sys_flag"`         // groupSysFlag
	ConsumeTimeout int               `json:"consume_timeout"`  // minutes
	Subscriptions  string            `json:"subscriptions"`    // JSON of subscriptionDataSet as sent, may be empty
	Attributes     map[string]string `json:"attributes,omitempty"`
	Revision       int64             `json:"-"` // of the last change
}

// Bounds of what is kept of groups.
const (
	MaxGroups      = 100_000 // configurations of groups
	MaxRetryQueues = 1024
	maxGroupBytes  = 64 << 10 // of one, as it is stored
)

// DefaultGroup is the configuration of a group for which nothing was set: RocketMQ's.
func DefaultGroup(name string) GroupConfig {
	return GroupConfig{
		Name: name, Consume: true, ConsumeFromMin: true, Broadcast: true, NotifyIDs: true,
		RetryQueues: 1, RetryMax: 16, SlowBrokerID: 1, ConsumeTimeout: 15,
	}
}

// Group is the configuration of the group of that name, nil if none was set. It must not be changed.
func (i *Image) Group(name string) *GroupConfig { return i.groups[name] }

// Groups calls f for every configuration of a group, in no particular order, until it returns false.
func (i *Image) Groups(f func(*GroupConfig) bool) {
	for _, g := range i.groups {
		if !f(g) {
			return
		}
	}
}

// check reports what cannot be kept.
func (g *GroupConfig) check() error {
	if err := CheckGroupName(g.Name); err != nil {
		return fmt.Errorf("%w: name of a group: %w", penstock.ErrInvalidConfig, err)
	}
	switch {
	case g.RetryQueues < 0 || g.RetryQueues > MaxRetryQueues:
		return fmt.Errorf("%w: %d retry queues, want 0 to %d", penstock.ErrInvalidConfig, g.RetryQueues, MaxRetryQueues)
	case g.RetryMax < -1:
		return fmt.Errorf("%w: %d deliveries at most, want -1 or more", penstock.ErrInvalidConfig, g.RetryMax)
	}
	return nil
}

// SetGroup makes g the configuration of the group that it names, whatever it was before. Errors: ErrInvalidConfig, also if there would be too
// many, ErrConflict, ErrUnavailable.
func (s *Store) SetGroup(ctx context.Context, g GroupConfig) error {
	if err := g.check(); err != nil {
		return fmt.Errorf("group %q: %w", clip(g.Name), err)
	}
	value := encode(groupValue{version{valueVersion}, g})
	if len(value) > maxGroupBytes {
		return fmt.Errorf("group %q: %w: %d bytes, at most %d are kept", g.Name, penstock.ErrInvalidConfig, len(value), maxGroupBytes)
	}
	return s.putGroup(ctx, g.Name, value)
}

// DeleteGroup forgets the configuration of a group. That there is none is no error. Its members and offsets stay. Errors: ErrConflict, ErrUnavailable.
func (s *Store) DeleteGroup(ctx context.Context, name string) error {
	if s.Image().Group(name) == nil {
		return nil
	}
	return s.putGroup(ctx, name, nil)
}

func (s *Store) putGroup(ctx context.Context, name string, value []byte) error {
	key := prefixGroup + name
	for range maxTries {
		img := s.Image()
		was := int64(0)
		if g := img.Group(name); g != nil {
			was = g.Revision
		} else if value != nil && len(img.groups) >= MaxGroups {
			return fmt.Errorf("group %q: %w: %d groups are configured, which is the most; delete some", name, penstock.ErrInvalidConfig, MaxGroups)
		}
		ok, revision, err := s.engine.Commit(ctx, []Cond{{key, was}}, []Change{{key, value}})
		if err != nil {
			return fmt.Errorf("configure group %q: %w", name, unavailable(err))
		}
		if ok {
			return s.await(ctx, revision)
		}
		s.settled(ctx, revision)
	}
	return fmt.Errorf("configure group %q: %w", name, penstock.ErrConflict)
}

// groupValue is what a group's configuration is stored as.
type groupValue struct {
	version
	GroupConfig
}

func decodeGroup(name string, b []byte) (*GroupConfig, error) {
	var v groupValue
	if err := decode(b, &v); err != nil {
		return nil, err
	}
	if v.Name != name {
		return nil, fmt.Errorf("group %q: %w", clip(v.Name), errors.New("its key names another"))
	}
	return &v.GroupConfig, v.check()
}

// group takes over the configuration of a group.
func (b *builder) group(c Change, revision int64) error {
	name := strings.TrimPrefix(c.Key, prefixGroup)
	var g *GroupConfig
	if c.Value != nil {
		var err error
		if g, err = decodeGroup(name, c.Value); err != nil {
			return err
		}
		g.Revision = revision
	}
	if !b.ownGroups {
		b.next.groups, b.ownGroups = cloneMap(b.next.groups), true
	}
	if g == nil {
		delete(b.next.groups, name)
		return nil
	}
	b.next.groups[name] = g
	return nil
}
