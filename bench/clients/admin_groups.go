package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/bench/clients/spec"
)

// offsetsAre demands offsets by partition.
func offsetsAre(want map[string]int64) func(spec.Answer) error {
	return func(a spec.Answer) error {
		if !maps.Equal(a.Offsets, want) {
			return fmt.Errorf("offsets %v, want %v", a.Offsets, want)
		}
		return nil
	}
}

// every is an offset for each partition.
func every(o int64) map[string]int64 {
	out := map[string]int64{}
	for p := range adminPartitionsLater {
		out[fmt.Sprint(p)] = o
	}
	return out
}

// offsets writes a few records and asks where they are, and deletes some.
func (r *adminRun) offsets() error {
	const each = adminRecords / adminPartitionsLater
	list := func(at string) spec.Command {
		return spec.Command{Op: "list_offsets", At: at, Partitions: adminPartitionsLater}
	}
	_, err := r.do(r.ctx, spec.Command{
		Do: "produce", Addr: r.addr, Topic: r.topic, Partitions: adminPartitionsLater, Codec: "none", Count: adminRecords, Base: adminBase,
	})
	if err != nil {
		return err
	}
	begun := every(0)
	begun["0"] = 4
	deleted := spec.Command{Op: "delete_records", Offsets: map[string]int64{"0": 4}}
	err = all(
		r.want(list("earliest"), offsetsAre(every(0))),
		r.want(list("latest"), offsetsAre(every(each))),
		r.maxOffsets(list("max"), each-1),
		r.want(list(fmt.Sprint(adminBase+adminRecords/2)), offsetsAre(every(each/2))),
		r.want(deleted, func(a spec.Answer) error {
			if a.Offsets != nil && a.Offsets["0"] != 4 {
				return fmt.Errorf("low watermark %d, want 4", a.Offsets["0"])
			}
			return nil
		}),
	)
	if r.can("delete_records") {
		err = all(err, r.want(list("earliest"), offsetsAre(begun)),
			r.refused(spec.Command{Op: "delete_records", Offsets: map[string]int64{"1": each + 1}}, codeOffsetOutOfRange))
	}
	return err
}

// maxOffsets asks for the records with the highest times, which needs a version of 2021.
func (r *adminRun) maxOffsets(c spec.Command, want int64) error {
	if r.Client.Old {
		return nil
	}
	return r.want(c, offsetsAre(every(want)))
}

// groups goes through the life of a group that only has offsets.
func (r *adminRun) groups() error {
	set := map[string]int64{"0": 7, "1": 3}
	if !r.can("alter_group_offsets") {
		return fmt.Errorf("every client has alter_group_offsets, the driver has not")
	}
	empty := func(a spec.Answer) error {
		if a.State != "Empty" || len(a.Members) != 0 {
			return fmt.Errorf("state %q with %d members, want Empty with none", a.State, len(a.Members))
		}
		return nil
	}
	err := all(
		r.want(spec.Command{Op: "alter_group_offsets", Offsets: set}, nil),
		r.want(spec.Command{Op: "group_offsets"}, offsetsAre(set)),
		r.want(spec.Command{Op: "list_groups"}, has(groupsOf, r.group, true)),
		r.want(spec.Command{Op: "describe_group"}, empty),
		r.want(spec.Command{Op: "delete_group_offsets", Offsets: map[string]int64{"1": 0}}, nil),
	)
	if r.can("delete_group_offsets") {
		err = all(err, r.want(spec.Command{Op: "group_offsets"}, offsetsAre(map[string]int64{"0": 7})))
	}
	return all(err,
		r.want(spec.Command{Op: "delete_group"}, nil),
		r.want(spec.Command{Op: "list_groups"}, has(groupsOf, r.group, false)),
		r.refused(spec.Command{Op: "delete_group"}, codeGroupNotFound),
	)
}

// liveGroup has the client look at a group with a member.
func (r *adminRun) liveGroup() error {
	group, instance := r.group+"-live", "instance-"+r.group
	cl, err := watched(r.ctx, r.addr, group, instance, r.topic)
	if err != nil {
		return err
	}
	defer cl.Close()
	described := func(a spec.Answer) error {
		if a.State != "Stable" || a.Protocol != "" && a.Protocol != "range" || len(a.Members) != 1 {
			return fmt.Errorf("state %q, protocol %q, %d members, want Stable, range, 1", a.State, a.Protocol, len(a.Members))
		}
		m := a.Members[0]
		slices.Sort(m.Partitions)
		if m.Client != "watched" || !slices.Equal(m.Partitions, []int{0, 1, 2, 3, 4}) || m.Instance != "" && m.Instance != instance {
			return fmt.Errorf("member %+v, want client watched, instance %s, partitions 0 to 4", m, instance)
		}
		return nil
	}
	return all(
		r.want(spec.Command{Op: "describe_group", Group: group}, described),
		r.want(spec.Command{Op: "describe_classic_group", Group: group}, described),
		r.refused(spec.Command{Op: "delete_group", Group: group}, codeNonEmptyGroup),
		r.refused(spec.Command{Op: "delete_group_offsets", Group: group, Offsets: map[string]int64{"0": 0}}, codeSubscribedToTopic),
		r.want(spec.Command{Op: "remove_member", Group: group, Instance: instance}, nil),
	)
}

// watched starts a member of franz-go and waits until it has its partitions.
func watched(ctx context.Context, addr, group, instance, topic string) (*kgo.Client, error) {
	assigned := make(chan struct{}, 1)
	cl, err := goClient(addr, kgo.ClientID("watched"), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.Balancers(kgo.RangeBalancer()),
		kgo.InstanceID(instance), kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, m map[string][]int32) {
			if len(m[topic]) == adminPartitionsLater {
				select {
				case assigned <- struct{}{}:
				default:
				}
			}
		}))
	if err != nil {
		return nil, err
	}
	select {
	case <-assigned:
	case <-time.After(settleLimit):
		cl.Close()
		return nil, fmt.Errorf("the watched member got no partitions within %s", settleLimit)
	case <-ctx.Done():
		cl.Close()
		return nil, ctx.Err()
	}
	return cl, nil
}

// cluster asks for the broker and what it holds.
func (r *adminRun) cluster() error {
	return all(
		r.want(spec.Command{Op: "describe_cluster"}, func(a spec.Answer) error {
			if want := []string{fmt.Sprintf("%d@%s", r.broker, r.addr)}; !slices.Equal(a.Brokers, want) || a.Lead != r.broker {
				return fmt.Errorf("brokers %v led by %d, want %v led by %d", a.Brokers, a.Lead, want, r.broker)
			}
			if a.Cluster == "" && !strings.HasPrefix(r.Client.Name, "sarama") {
				return fmt.Errorf("the cluster has no id")
			}
			return nil
		}),
		r.want(spec.Command{Op: "log_dirs"}, func(a spec.Answer) error {
			for p := range adminPartitionsLater {
				if a.Offsets[fmt.Sprint(p)] < 1 {
					return fmt.Errorf("partition %d has %d bytes: %v", p, a.Offsets[fmt.Sprint(p)], a.Offsets)
				}
			}
			return nil
		}),
		r.want(spec.Command{Op: "describe_producers", Partitions: adminPartitionsLater}, func(a spec.Answer) error {
			if len(a.IDs) < adminPartitionsLater {
				return fmt.Errorf("%d producers are active in %d partitions, want one in each", len(a.IDs), adminPartitionsLater)
			}
			return nil
		}),
	)
}

// deleting ends the topic.
func (r *adminRun) deleting() error {
	return all(
		r.want(spec.Command{Op: "delete_topic"}, nil),
		r.want(spec.Command{Op: "list_topics"}, has(topicsOf, r.topic, false)),
		r.refused(spec.Command{Op: "delete_topic"}, codeUnknownTopic),
	)
}
