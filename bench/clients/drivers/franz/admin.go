package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"penstock/bench/clients/spec"
)

type operation func(context.Context, *kadm.Client, *spec.Session) (spec.Answer, error)

// table is the admin API of kadm as package spec names it.
func table() map[string]operation {
	return map[string]operation{
		"create_topic": createTopic, "list_topics": listTopics, "describe_topic": describeTopic, "delete_topic": deleteTopic,
		"create_partitions": createPartitions, "describe_configs": describeConfigs, "incremental_configs": incrementalConfigs,
		"alter_configs": alterConfigs, "delete_records": deleteRecords, "list_offsets": listOffsets, "list_groups": listGroups,
		"describe_group": describeGroup, "delete_group": deleteGroup, "group_offsets": groupOffsets,
		"alter_group_offsets": alterGroupOffsets, "delete_group_offsets": deleteGroupOffsets, "remove_member": removeMember,
		"describe_cluster": describeCluster, "log_dirs": logDirs, "describe_producers": describeProducers,
	}
}

func operations() []string { return slices.Sorted(maps.Keys(table())) }

func admin(s *spec.Session) (spec.Answer, error) {
	op := table()[s.Op]
	if op == nil {
		return spec.Answer{}, spec.ErrUnsupported
	}
	cl, err := client(s)
	if err != nil {
		return spec.Answer{}, err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	a, err := op(ctx, kadm.NewClient(cl), s)
	return a, coded(err)
}

func pointers(m map[string]string) map[string]*string {
	out := map[string]*string{}
	for k, v := range m {
		out[k] = &v
	}
	return out
}

func createTopic(ctx context.Context, a *kadm.Client, s *spec.Session) (spec.Answer, error) {
	create := a.CreateTopics
	if s.Validate {
		create = a.ValidateCreateTopics
	}
	r, err := create(ctx, int32(s.Partitions), 1, pointers(s.Configs), s.Topic)
	if err == nil {
		err = r.Error()
	}
	return spec.Answer{}, err
}

func listTopics(ctx context.Context, a *kadm.Client, _ *spec.Session) (spec.Answer, error) {
	ts, err := a.ListTopics(ctx)
	return spec.Answer{Topics: ts.Names()}, err
}

func ints(in []int32) []int {
	out := []int{}
	for _, i := range in {
		out = append(out, int(i))
	}
	return out
}

func describeTopic(ctx context.Context, a *kadm.Client, s *spec.Session) (spec.Answer, error) {
	ts, err := a.ListTopics(ctx, s.Topic)
	if err == nil {
		err = ts[s.Topic].Err
	}
	var out spec.Answer
	for _, p := range ts[s.Topic].Partitions.Sorted() {
		out.Layout = append(out.Layout, spec.PartitionLayout{ID: int(p.Partition), Leader: int(p.Leader), Replicas: ints(p.Replicas), ISR: ints(p.ISR)})
	}
	return out, err
}

func deleteTopic(ctx context.Context, a *kadm.Client, s *spec.Session) (spec.Answer, error) {
	r, err := a.DeleteTopics(ctx, s.Topic)
	if err == nil {
		err = r.Error()
	}
	return spec.Answer{}, err
}

func createPartitions(ctx context.Context, a *kadm.Client, s *spec.Session) (spec.Answer, error) {
	update := a.UpdatePartitions
	if s.Validate {
		update = a.ValidateUpdatePartitions
	}
	r, err := update(ctx, s.Partitions, s.Topic)
	if err == nil {
		err = r.Error()
	}
	return spec.Answer{}, err
}

func describeConfigs(ctx context.Context, a *kadm.Client, s *spec.Session) (spec.Answer, error) {
	var rs kadm.ResourceConfigs
	var err error
	if s.Type == "broker" {
		id, _ := strconv.Atoi(s.Name)
		rs, err = a.DescribeBrokerConfigs(ctx, int32(id))
	} else {
		rs, err = a.DescribeTopicConfigs(ctx, s.Name)
	}
	var r kadm.ResourceConfig
	if err == nil {
		r, err = rs.On(s.Name, nil)
	}
	if err == nil {
		err = r.Err
	}
	out := spec.Answer{Values: map[string]string{}}
	for _, c := range r.Configs {
		if c.Value != nil {
			out.Values[c.Key] = *c.Value
		}
		if src := c.Source.String(); src == "DYNAMIC_TOPIC_CONFIG" || src == "DYNAMIC_BROKER_CONFIG" {
			out.Changed = append(out.Changed, c.Key)
		}
	}
	return out, err
}

func incrementalConfigs(ctx context.Context, a *kadm.Client, s *spec.Session) (spec.Answer, error) {
	kinds := map[string]kadm.IncrementalOp{"set": kadm.SetConfig, "delete": kadm.DeleteConfig, "append": kadm.AppendConfig, "subtract": kadm.SubtractConfig}
	var cs []kadm.AlterConfig
	for _, o := range s.Ops {
		c := kadm.AlterConfig{Op: kinds[o.Op], Name: o.Key}
		if o.Op != "delete" {
			c.Value = &o.Value
		}
		cs = append(cs, c)
	}
	return altered(configCalls{a.AlterTopicConfigs, a.ValidateAlterTopicConfigs, a.AlterBrokerConfigs, a.ValidateAlterBrokerConfigs}, ctx, s, cs)
}

func alterConfigs(ctx context.Context, a *kadm.Client, s *spec.Session) (spec.Answer, error) {
	var cs []kadm.AlterConfig
	for k, v := range s.Configs {
		cs = append(cs, kadm.AlterConfig{Name: k, Value: &v})
	}
	return altered(configCalls{a.AlterTopicConfigsState, a.ValidateAlterTopicConfigsState, a.AlterBrokerConfigsState, a.ValidateAlterBrokerConfigsState}, ctx, s, cs)
}

// configCalls are kadm's calls that change configuration, one for each case.
type configCalls struct {
	topic, checkTopic   func(context.Context, []kadm.AlterConfig, ...string) (kadm.AlterConfigsResponses, error)
	broker, checkBroker func(context.Context, []kadm.AlterConfig, ...int32) (kadm.AlterConfigsResponses, error)
}

func altered(c configCalls, ctx context.Context, s *spec.Session, cs []kadm.AlterConfig) (spec.Answer, error) {
	topic, broker := c.topic, c.broker
	if s.Validate {
		topic, broker = c.checkTopic, c.checkBroker
	}
	var rs kadm.AlterConfigsResponses
	var err error
	if s.Type == "broker" {
		id, _ := strconv.Atoi(s.Name)
		rs, err = broker(ctx, cs, int32(id))
	} else {
		rs, err = topic(ctx, cs, s.Name)
	}
	for _, r := range rs {
		if err == nil {
			err = r.Err
		}
	}
	return spec.Answer{}, err
}

func deleteRecords(ctx context.Context, a *kadm.Client, s *spec.Session) (spec.Answer, error) {
	r, err := a.DeleteRecords(ctx, offsets(s))
	if err == nil {
		err = r.Error()
	}
	out := spec.Answer{Offsets: map[string]int64{}}
	r.Each(func(d kadm.DeleteRecordsResponse) { out.Offsets[strconv.Itoa(int(d.Partition))] = d.LowWatermark })
	return out, err
}

func offsets(s *spec.Session) kadm.Offsets {
	var os kadm.Offsets
	for p, o := range s.Offsets {
		i, _ := strconv.Atoi(p)
		os.Add(kadm.Offset{Topic: s.Topic, Partition: int32(i), At: o, LeaderEpoch: -1})
	}
	return os
}

func listOffsets(ctx context.Context, a *kadm.Client, s *spec.Session) (spec.Answer, error) {
	var r kadm.ListedOffsets
	var err error
	switch s.At {
	case "earliest":
		r, err = a.ListStartOffsets(ctx, s.Topic)
	case "latest":
		r, err = a.ListEndOffsets(ctx, s.Topic)
	case "max":
		r, err = a.ListMaxTimestampOffsets(ctx, s.Topic)
	default:
		at, _ := strconv.ParseInt(s.At, 10, 64)
		r, err = a.ListOffsetsAfterMilli(ctx, at, s.Topic)
	}
	if err == nil {
		err = r.Error()
	}
	out := spec.Answer{Offsets: map[string]int64{}}
	r.Each(func(o kadm.ListedOffset) { out.Offsets[strconv.Itoa(int(o.Partition))] = o.Offset })
	return out, err
}

func listGroups(ctx context.Context, a *kadm.Client, _ *spec.Session) (spec.Answer, error) {
	gs, err := a.ListGroups(ctx)
	return spec.Answer{Groups: gs.Groups()}, err
}

func describeGroup(ctx context.Context, a *kadm.Client, s *spec.Session) (spec.Answer, error) {
	gs, err := a.DescribeGroups(ctx, s.Group)
	g := gs[s.Group]
	if err == nil {
		err = g.Err
	}
	out := spec.Answer{State: g.State, Protocol: g.Protocol}
	for _, m := range g.Members {
		d := spec.Member{Client: m.ClientID, Partitions: []int{}}
		if m.InstanceID != nil {
			d.Instance = *m.InstanceID
		}
		if c, ok := m.Assigned.AsConsumer(); ok {
			for _, t := range c.Topics {
				if t.Topic == s.Topic {
					d.Partitions = ints(t.Partitions)
				}
			}
		}
		out.Members = append(out.Members, d)
	}
	return out, err
}

func deleteGroup(ctx context.Context, a *kadm.Client, s *spec.Session) (spec.Answer, error) {
	r, err := a.DeleteGroups(ctx, s.Group)
	if err == nil {
		err = r.Error()
	}
	return spec.Answer{}, err
}

func groupOffsets(ctx context.Context, a *kadm.Client, s *spec.Session) (spec.Answer, error) {
	r, err := a.FetchOffsets(ctx, s.Group)
	if err == nil {
		err = r.Error()
	}
	out := spec.Answer{Offsets: map[string]int64{}}
	for p, o := range r[s.Topic] {
		out.Offsets[strconv.Itoa(int(p))] = o.At
	}
	return out, err
}

func alterGroupOffsets(ctx context.Context, a *kadm.Client, s *spec.Session) (spec.Answer, error) {
	r, err := a.CommitOffsets(ctx, s.Group, offsets(s))
	if err == nil {
		err = r.Error()
	}
	return spec.Answer{}, err
}

func deleteGroupOffsets(ctx context.Context, a *kadm.Client, s *spec.Session) (spec.Answer, error) {
	r, err := a.DeleteOffsets(ctx, s.Group, offsets(s).TopicsSet())
	if err == nil {
		err = r.Error()
	}
	return spec.Answer{}, err
}

func removeMember(ctx context.Context, a *kadm.Client, s *spec.Session) (spec.Answer, error) {
	r, err := a.LeaveGroup(ctx, kadm.LeaveGroup(s.Group).InstanceIDs(s.Instance))
	for _, m := range r {
		if err == nil {
			err = m.Err
		}
	}
	return spec.Answer{}, err
}

func describeCluster(ctx context.Context, a *kadm.Client, _ *spec.Session) (spec.Answer, error) {
	m, err := a.BrokerMetadata(ctx)
	out := spec.Answer{Cluster: m.Cluster, Lead: int(m.Controller)}
	for _, b := range m.Brokers {
		out.Brokers = append(out.Brokers, fmt.Sprintf("%d@%s:%d", b.NodeID, b.Host, b.Port))
	}
	return out, err
}

func logDirs(ctx context.Context, a *kadm.Client, s *spec.Session) (spec.Answer, error) {
	all, err := a.DescribeAllLogDirs(ctx, nil)
	out := spec.Answer{Offsets: map[string]int64{}}
	all.Each(func(d kadm.DescribedLogDir) {
		if err == nil {
			err = d.Err
		}
		d.Topics.Each(func(p kadm.DescribedLogDirPartition) {
			if p.Topic == s.Topic {
				out.Offsets[strconv.Itoa(int(p.Partition))] = p.Size
			}
		})
	})
	return out, err
}

func describeProducers(ctx context.Context, a *kadm.Client, s *spec.Session) (spec.Answer, error) {
	var set kadm.TopicsSet
	for p := range s.Partitions {
		set.Add(s.Topic, int32(p))
	}
	r, err := a.DescribeProducers(ctx, set)
	var out spec.Answer
	r.EachPartition(func(p kadm.DescribedProducersPartition) {
		if err == nil {
			err = p.Err
		}
		for id := range p.ActiveProducers {
			out.IDs = append(out.IDs, id)
		}
	})
	return out, err
}
