package group

import (
	"errors"
	"slices"
	"strings"
)

// Description is a group as administrators see it.
type Description struct {
	Name         string
	Phase        Phase
	ProtocolType string
	Protocol     string // while it is stable
	Size         int    // number of members
	Members      []MemberState
}

// Describe describes a group. Metadata and assignments are told while it is stable. RocketMQ's consumers are members too; they have neither.
// Errors: ErrGroupNotFound.
func (c *Coordinator) Describe(name string) (Description, error) {
	g, err := c.lock(name, false)
	if err != nil {
		return Description{}, err
	}
	if g != nil {
		defer g.mu.Unlock()
	}
	if c.o.Roster != nil {
		if crew, ok := c.o.Roster.Consumers(name); ok {
			return crew.description(), nil
		}
	}
	if g == nil {
		return Description{}, ErrGroupNotFound
	}
	d := g.describe()
	s := g.machine.State()
	for i := range s.Members {
		if d.Phase != Stable {
			s.Members[i].Metadata, s.Members[i].Assignment = nil, nil
		}
	}
	d.Members = s.Members
	return d, nil
}

func (g *group) describe() Description {
	d := Description{Name: g.name, Phase: g.machine.phase, ProtocolType: g.machine.protocolType, Size: len(g.machine.members)}
	if d.Phase == Stable {
		d.Protocol = g.machine.protocol
	}
	return d
}

// List describes all groups, without their members, by name. Errors: ErrLoading if some are not loaded yet, ErrDamaged if some will not be;
// the others are returned with it.
func (c *Coordinator) List() ([]Description, error) {
	var all []Description
	var err error
	c.each(func(s *shard) {
		if why := s.unready(); why != nil {
			err = why
			return
		}
		for _, g := range s.list() {
			g.mu.Lock()
			if !g.dead {
				all = append(all, g.describe())
			}
			g.mu.Unlock()
		}
	})
	if crews := c.o.Roster.descriptions(); len(crews) > 0 {
		byName := func(d Description, name string) int { return strings.Compare(d.Name, name) }
		all = slices.DeleteFunc(all, func(d Description) bool {
			_, found := slices.BinarySearchFunc(crews, d.Name, byName)
			return found
		})
		all = append(all, crews...)
	}
	slices.SortFunc(all, func(a, b Description) int { return strings.Compare(a.Name, b.Name) })
	return all, err
}

// Delete deletes a group without members, with all its offsets. answer is called once when that is durable, possibly before Delete returns.
// Errors: ErrGroupNotFound, ErrGroupNotEmpty.
func (c *Coordinator) Delete(name string, answer func(error)) {
	if err := refuseOwn(name); err != nil {
		answer(err)
		return
	}
	g, err := c.lock(name, false)
	if err == nil && g == nil {
		err = ErrGroupNotFound
		if c.o.Roster.has(name) {
			err = ErrGroupNotEmpty
		}
	}
	if err != nil {
		answer(err)
		return
	}
	defer g.mu.Unlock()
	if g.machine.phase != Empty || c.o.Roster.has(name) {
		go answer(ErrGroupNotEmpty)
		return
	}
	c.notes.dropAll(name)
	g.machine = NewMachine(c.o.Limits)
	g.erase(g.places(func(place) bool { return true }), true, answer)
	g.drop()
}

// DeleteOffset is one offset to be deleted, and why it was not.
type DeleteOffset struct {
	Topic     string
	Partition int32
	Err       error // set by the coordinator to ErrSubscribed; one that comes with an error is left alone
}

// DeleteOffsets deletes offsets that no member reads (KIP-496). answer is called once, possibly before DeleteOffsets returns,
// when that is durable. Errors: ErrGroupNotFound, ErrGroupNotEmpty if the group has members that do not say what they read.
func (c *Coordinator) DeleteOffsets(name string, which []DeleteOffset, answer func(error)) {
	if err := c.deleteOffsets(name, which, answer); err != nil {
		answer(err)
	}
}

func (c *Coordinator) deleteOffsets(name string, which []DeleteOffset, answer func(error)) error {
	if err := refuseOwn(name); err != nil {
		return err
	}
	g, err := c.lock(name, false)
	if err != nil {
		return err
	}
	if g == nil {
		return ErrGroupNotFound
	}
	defer g.mu.Unlock()
	if g.machine.phase != Empty && g.machine.protocolType != consumerType {
		return ErrGroupNotEmpty
	}
	asked := map[place]bool{}
	for i := range which {
		d := &which[i]
		if d.Err == nil && (g.machine.phase != Empty && g.machine.offered(d.Topic) || c.o.Roster.reads(name, d.Topic)) {
			d.Err = ErrSubscribed
		}
		if d.Err == nil {
			p := place{d.Topic, d.Partition}
			asked[p] = true
			c.notes.forget(name, p)
		}
	}
	g.erase(g.places(func(p place) bool { return asked[p] }), false, answer)
	return nil
}

// offered reports whether a member reads a topic by any of the protocols that it offers: in a join phase none is chosen yet.
func (g *Machine) offered(topic string) bool {
	for _, m := range g.members {
		for _, p := range m.protocols {
			if topics, ok := topicsOf(p.Metadata); !ok || slices.Contains(topics, topic) {
				return true
			}
		}
	}
	return false
}

// Retriable reports whether an error means that the same request may succeed later, here or elsewhere.
func Retriable(err error) bool {
	return errors.Is(err, ErrLoading) || errors.Is(err, ErrNotCoordinator) || errors.Is(err, ErrUnavailable)
}
