package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"penstock/cli"
)

// group is what a cluster knows of a consumer group.
type group struct {
	name         string
	state        string
	kind         string // classic, or consumer (KIP-848)
	protocol     string
	protocolType string
	coordinator  kadm.BrokerDetail
	members      []memberView
	committed    map[place]kadm.Offset
}

// memberView is a member of a group as commands show it.
type memberView struct {
	ID         string           `json:"id"`
	InstanceID string           `json:"instance_id,omitempty"`
	Client     string           `json:"client"`
	Host       string           `json:"host"`
	Assigned   []assignmentView `json:"assigned"`
}

// assignmentView is what a member consumes of a topic.
type assignmentView struct {
	Topic      string  `json:"topic"`
	Partitions []int32 `json:"partitions"`
}

// active reports whether somebody consumes, so that offsets must not be changed behind his back.
func (g *group) active() bool {
	return len(g.members) > 0 || g.state != "Empty" && g.state != "Dead"
}

// who names the members, for an error.
func (g *group) who() string {
	const most = 5
	var words []string
	for i, m := range g.members {
		if i == most {
			words = append(words, fmt.Sprintf("%d more", len(g.members)-most))
			break
		}
		words = append(words, fmt.Sprintf("%s at %s", cmp.Or(m.InstanceID, m.Client, m.ID), strings.TrimPrefix(m.Host, "/")))
	}
	if len(words) == 0 {
		return "it is " + g.state
	}
	return count(int64(len(g.members)), "member") + ": " + strings.Join(words, ", ")
}

// busy refuses to change a group that is active.
func (g *group) busy(what string) error {
	if !g.active() {
		return nil
	}
	return &cli.Error{
		What: what, Why: fmt.Errorf("group %s is in use: %s", g.name, g.who()), Code: cli.ExitFailed,
		Next: "Stop its consumers and try again once penstock group describe " + g.name + " says Empty",
	}
}

// places lists where the group has committed or consumes, in order.
func (g *group) places() []place {
	set := map[place]bool{}
	for p := range g.committed {
		set[p] = true
	}
	for _, m := range g.members {
		for _, a := range m.Assigned {
			for _, n := range a.Partitions {
				set[place{a.Topic, n}] = true
			}
		}
	}
	return slices.SortedFunc(maps.Keys(set), place.compare)
}

// owners says which member consumes what.
func (g *group) owners() map[place]string {
	out := map[place]string{}
	for _, m := range g.members {
		for _, a := range m.Assigned {
			for _, n := range a.Partitions {
				out[place{a.Topic, n}] = m.ID
			}
		}
	}
	return out
}

// groups describes groups with what they have committed. One that does not exist is not in the answer.
func (k *cluster) groups(ctx context.Context, names []string) (map[string]*group, error) {
	out := map[string]*group{}
	if len(names) == 0 {
		return out, nil
	}
	found, err := k.DescribeGroups(ctx, names...)
	if err != nil && len(found) == 0 {
		return nil, cli.Fail("groups cannot be described", err, "")
	}
	var other []string
	for _, n := range names {
		d, ok := found[n]
		switch {
		case !ok || d.State == "Dead" && len(d.Members) == 0 || errors.Is(d.Err, kerr.GroupIDNotFound):
			other = append(other, n)
		case d.Err != nil:
			return nil, refused("group "+n+" cannot be described", d.Err, d.ErrMessage, "")
		default:
			out[n] = classicGroup(&d)
		}
	}
	if err := k.newGroups(ctx, other, out); err != nil {
		return nil, err
	}
	return out, k.commits(ctx, out)
}

// newGroups looks for groups that speak the protocol of KIP-848, where the cluster has it.
func (k *cluster) newGroups(ctx context.Context, names []string, out map[string]*group) error {
	if len(names) == 0 || !k.has(ctx, keyConsumerGroupDescribe) {
		return nil
	}
	found, err := k.DescribeConsumerGroups(ctx, names...)
	if err != nil && len(found) == 0 {
		return cli.Fail("groups cannot be described", err, "")
	}
	for _, n := range names {
		d, ok := found[n]
		switch {
		case !ok || errors.Is(d.Err, kerr.GroupIDNotFound) || d.Err == nil && d.State == "Dead":
		case d.Err != nil:
			return cli.Fail("group "+n+" cannot be described", d.Err, "")
		default:
			out[n] = consumerGroup(&d)
		}
	}
	return nil
}

// keyConsumerGroupDescribe is the key of ConsumerGroupDescribe.
const keyConsumerGroupDescribe = 69

// has reports whether some broker of the cluster serves an API.
func (k *cluster) has(ctx context.Context, key int16) bool {
	versions, err := k.ApiVersions(ctx)
	if err != nil {
		return false
	}
	for _, v := range versions {
		if _, ok := v.KeyMaxVersion(key); ok {
			return true
		}
	}
	return false
}

func classicGroup(d *kadm.DescribedGroup) *group {
	g := &group{
		name: d.Group, state: d.State, kind: "classic", protocol: d.Protocol, protocolType: d.ProtocolType,
		coordinator: d.Coordinator, members: []memberView{},
	}
	for _, m := range d.Members {
		v := memberView{ID: m.MemberID, Client: m.ClientID, Host: m.ClientHost, Assigned: []assignmentView{}}
		if m.InstanceID != nil {
			v.InstanceID = *m.InstanceID
		}
		if a, ok := m.Assigned.AsConsumer(); ok {
			for _, t := range a.Topics {
				v.Assigned = append(v.Assigned, assignmentView{t.Topic, listed(slices.Sorted(slices.Values(t.Partitions)))})
			}
		}
		g.members = append(g.members, v)
	}
	return g
}

func consumerGroup(d *kadm.DescribedConsumerGroup) *group {
	g := &group{
		name: d.Group, state: d.State, kind: "consumer", protocol: d.AssignorName, protocolType: "consumer",
		coordinator: d.Coordinator, members: []memberView{},
	}
	for _, m := range d.Members {
		v := memberView{ID: m.MemberID, Client: m.ClientID, Host: m.ClientHost, Assigned: []assignmentView{}}
		if m.InstanceID != nil {
			v.InstanceID = *m.InstanceID
		}
		for _, t := range m.Assignment.Sorted() {
			v.Assigned = append(v.Assigned, assignmentView{t.Topic, listed(t.Partitions)})
		}
		g.members = append(g.members, v)
	}
	return g
}

// commits fills in what groups have committed.
func (k *cluster) commits(ctx context.Context, of map[string]*group) error {
	fetched := k.FetchManyOffsets(ctx, slices.Sorted(maps.Keys(of))...)
	for n, g := range of {
		g.committed = map[place]kadm.Offset{}
		f, ok := fetched[n]
		if !ok {
			f.Err = errNoAnswer
		}
		if f.Err != nil {
			return cli.Fail("offsets of group "+n+" cannot be fetched", f.Err, "")
		}
		for t, partitions := range f.Fetched {
			for p, o := range partitions {
				if o.Err != nil {
					return cli.Fail(fmt.Sprintf("offset of group %s in %s, partition %d, cannot be fetched", n, t, p), o.Err, "")
				}
				if o.At >= 0 {
					g.committed[place{t, p}] = o.Offset
				}
			}
		}
	}
	return nil
}

// group describes one group; nil is one that does not exist.
func (k *cluster) group(ctx context.Context, name string) (*group, error) {
	all, err := k.groups(ctx, []string{name})
	return all[name], err
}

// noGroup says that a group does not exist.
func (k *cluster) noGroup(ctx context.Context, name string) error {
	next := "penstock group list shows what there is"
	if all, err := k.ListGroups(ctx); err == nil {
		next = didYouMean(name, all.Groups(), next)
	}
	return cli.NotFound("group %s does not exist. %s", name, next)
}
