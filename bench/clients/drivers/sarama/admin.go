package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/IBM/sarama"

	"penstock/bench/clients/spec"
)

type operation func(sarama.ClusterAdmin, *spec.Session) (spec.Answer, error)

// table is the admin API of Sarama as package spec names it.
func table() map[string]operation {
	return map[string]operation{
		"create_topic": createTopic, "list_topics": listTopics, "describe_topic": describeTopic, "delete_topic": deleteTopic,
		"create_partitions": createPartitions, "describe_configs": describeConfigs, "incremental_configs": incrementalConfigs,
		"alter_configs": alterConfigs, "delete_records": deleteRecords, "list_offsets": listOffsets, "list_groups": listGroups,
		"describe_group": describeGroup, "delete_group": deleteGroup, "group_offsets": groupOffsets,
		"alter_group_offsets": alterGroupOffsets, "delete_group_offsets": deleteGroupOffsets, "remove_member": removeMember,
		"describe_cluster": describeCluster, "log_dirs": logDirs,
	}
}

func operations() []string { return slices.Sorted(maps.Keys(table())) }

func admin(s *spec.Session) (spec.Answer, error) {
	op := table()[s.Op]
	if op == nil {
		return spec.Answer{}, spec.ErrUnsupported
	}
	c, err := config()
	if err != nil {
		return spec.Answer{}, err
	}
	a, err := sarama.NewClusterAdmin([]string{s.Addr}, c)
	if err != nil {
		return spec.Answer{}, coded(err)
	}
	defer a.Close()
	out, err := op(a, s)
	return out, coded(err)
}

func pointers(m map[string]string) map[string]*string {
	out := map[string]*string{}
	for k, v := range m {
		out[k] = &v
	}
	return out
}

func createTopic(a sarama.ClusterAdmin, s *spec.Session) (spec.Answer, error) {
	d := &sarama.TopicDetail{NumPartitions: int32(s.Partitions), ReplicationFactor: 1, ConfigEntries: pointers(s.Configs)}
	return spec.Answer{}, a.CreateTopic(s.Topic, d, s.Validate)
}

func listTopics(a sarama.ClusterAdmin, _ *spec.Session) (spec.Answer, error) {
	ts, err := a.ListTopics()
	return spec.Answer{Topics: slices.Sorted(maps.Keys(ts))}, err
}

func ints(in []int32) []int {
	out := []int{}
	for _, i := range in {
		out = append(out, int(i))
	}
	return out
}

func describeTopic(a sarama.ClusterAdmin, s *spec.Session) (spec.Answer, error) {
	ts, err := a.DescribeTopics([]string{s.Topic})
	if err != nil {
		return spec.Answer{}, err
	}
	if len(ts) != 1 {
		return spec.Answer{}, fmt.Errorf("%d topics were described", len(ts))
	}
	if ts[0].Err != sarama.ErrNoError {
		return spec.Answer{}, ts[0].Err
	}
	var out spec.Answer
	for _, p := range ts[0].Partitions {
		out.Layout = append(out.Layout, spec.PartitionLayout{ID: int(p.ID), Leader: int(p.Leader), Replicas: ints(p.Replicas), ISR: ints(p.Isr)})
	}
	return out, nil
}

func deleteTopic(a sarama.ClusterAdmin, s *spec.Session) (spec.Answer, error) {
	return spec.Answer{}, a.DeleteTopic(s.Topic)
}

func createPartitions(a sarama.ClusterAdmin, s *spec.Session) (spec.Answer, error) {
	return spec.Answer{}, a.CreatePartitions(s.Topic, int32(s.Partitions), nil, s.Validate)
}

func resource(s *spec.Session) sarama.ConfigResourceType {
	if s.Type == "broker" {
		return sarama.BrokerResource
	}
	return sarama.TopicResource
}

func describeConfigs(a sarama.ClusterAdmin, s *spec.Session) (spec.Answer, error) {
	rs, err := a.DescribeConfigs([]*sarama.ConfigResource{{Type: resource(s), Name: s.Name}}, sarama.DescribeConfigsOptions{})
	if err != nil {
		return spec.Answer{}, err
	}
	if len(rs) != 1 {
		return spec.Answer{}, fmt.Errorf("%d resources were described", len(rs))
	}
	if rs[0].ErrorCode != sarama.ErrNoError {
		return spec.Answer{}, rs[0].ErrorCode
	}
	out := spec.Answer{Values: map[string]string{}}
	for _, e := range rs[0].Configs {
		out.Values[e.Name] = e.Value
		if e.Source == sarama.SourceTopic || e.Source == sarama.SourceDynamicBroker {
			out.Changed = append(out.Changed, e.Name)
		}
	}
	return out, err
}

func incrementalConfigs(a sarama.ClusterAdmin, s *spec.Session) (spec.Answer, error) {
	kinds := map[string]sarama.IncrementalAlterConfigsOperation{
		"set": sarama.IncrementalAlterConfigsOperationSet, "delete": sarama.IncrementalAlterConfigsOperationDelete,
		"append": sarama.IncrementalAlterConfigsOperationAppend, "subtract": sarama.IncrementalAlterConfigsOperationSubtract,
	}
	entries := map[string]sarama.IncrementalAlterConfigsEntry{}
	for _, o := range s.Ops {
		e := sarama.IncrementalAlterConfigsEntry{Operation: kinds[o.Op]}
		if o.Op != "delete" {
			e.Value = &o.Value
		}
		entries[o.Key] = e
	}
	return spec.Answer{}, a.IncrementalAlterConfig(resource(s), s.Name, entries, s.Validate)
}

func alterConfigs(a sarama.ClusterAdmin, s *spec.Session) (spec.Answer, error) {
	return spec.Answer{}, a.AlterConfig(resource(s), s.Name, pointers(s.Configs), s.Validate)
}

func byPartition(s *spec.Session) map[int32]int64 {
	out := map[int32]int64{}
	for p, o := range s.Offsets {
		i, _ := strconv.Atoi(p)
		out[int32(i)] = o
	}
	return out
}

func deleteRecords(a sarama.ClusterAdmin, s *spec.Session) (spec.Answer, error) {
	return spec.Answer{}, a.DeleteRecords(s.Topic, byPartition(s))
}

func listOffsets(a sarama.ClusterAdmin, s *spec.Session) (spec.Answer, error) {
	if s.At == "max" {
		return spec.Answer{}, spec.ErrUnsupported // it takes version 7 of ListOffsets, Sarama speaks 6
	}
	at := map[string]int64{"earliest": sarama.OffsetOldest, "latest": sarama.OffsetNewest}
	when, ok := at[s.At]
	if !ok {
		when, _ = strconv.ParseInt(s.At, 10, 64)
	}
	ask := map[int32]int64{}
	for p := range int32(s.Partitions) {
		ask[p] = when
	}
	r, err := a.ListOffsets(map[string]map[int32]int64{s.Topic: ask}, nil)
	out := spec.Answer{Offsets: map[string]int64{}}
	for p, o := range r[s.Topic] {
		if err == nil && o.Err != nil && !errors.Is(o.Err, sarama.ErrNoError) {
			err = o.Err
		}
		out.Offsets[strconv.Itoa(int(p))] = o.Offset
	}
	return out, err
}

func listGroups(a sarama.ClusterAdmin, _ *spec.Session) (spec.Answer, error) {
	gs, err := a.ListConsumerGroups()
	return spec.Answer{Groups: slices.Sorted(maps.Keys(gs))}, err
}

func describeGroup(a sarama.ClusterAdmin, s *spec.Session) (spec.Answer, error) {
	gs, err := a.DescribeConsumerGroups([]string{s.Group})
	if err != nil {
		return spec.Answer{}, err
	}
	if len(gs) != 1 {
		return spec.Answer{}, fmt.Errorf("%d groups were described", len(gs))
	}
	if gs[0].Err != sarama.ErrNoError {
		return spec.Answer{}, gs[0].Err
	}
	out := spec.Answer{State: gs[0].State, Protocol: gs[0].Protocol}
	for _, m := range gs[0].Members {
		d := spec.Member{Client: m.ClientId, Partitions: []int{}}
		if m.GroupInstanceId != nil {
			d.Instance = *m.GroupInstanceId
		}
		if as, err := m.GetMemberAssignment(); err == nil && as != nil {
			d.Partitions = ints(as.Topics[s.Topic])
		}
		out.Members = append(out.Members, d)
	}
	return out, nil
}

func deleteGroup(a sarama.ClusterAdmin, s *spec.Session) (spec.Answer, error) {
	return spec.Answer{}, a.DeleteConsumerGroup(s.Group)
}

func groupOffsets(a sarama.ClusterAdmin, s *spec.Session) (spec.Answer, error) {
	r, err := a.ListConsumerGroupOffsets(s.Group, nil)
	if err != nil {
		return spec.Answer{}, err
	}
	if r.Err != sarama.ErrNoError {
		return spec.Answer{}, r.Err
	}
	out := spec.Answer{Offsets: map[string]int64{}}
	for p, o := range r.Blocks[s.Topic] {
		out.Offsets[strconv.Itoa(int(p))] = o.Offset
	}
	return out, nil
}

func alterGroupOffsets(a sarama.ClusterAdmin, s *spec.Session) (spec.Answer, error) {
	to := map[int32]sarama.OffsetAndMetadata{}
	for p, o := range byPartition(s) {
		to[p] = sarama.OffsetAndMetadata{Offset: o, LeaderEpoch: -1}
	}
	r, err := a.AlterConsumerGroupOffsets(s.Group, map[string]map[int32]sarama.OffsetAndMetadata{s.Topic: to}, nil)
	if err == nil {
		for _, e := range r.Errors[s.Topic] {
			if e != sarama.ErrNoError {
				err = e
			}
		}
	}
	return spec.Answer{}, err
}

func deleteGroupOffsets(a sarama.ClusterAdmin, s *spec.Session) (spec.Answer, error) {
	for p := range byPartition(s) {
		if err := a.DeleteConsumerGroupOffset(s.Group, s.Topic, p); err != nil {
			return spec.Answer{}, err
		}
	}
	return spec.Answer{}, nil
}

func removeMember(a sarama.ClusterAdmin, s *spec.Session) (spec.Answer, error) {
	r, err := a.RemoveMemberFromConsumerGroup(s.Group, []string{s.Instance})
	if err != nil {
		return spec.Answer{}, err
	}
	if r.Err != sarama.ErrNoError {
		return spec.Answer{}, r.Err
	}
	for _, m := range r.Members {
		if m.Err != sarama.ErrNoError {
			return spec.Answer{}, m.Err
		}
	}
	return spec.Answer{}, nil
}

func describeCluster(a sarama.ClusterAdmin, _ *spec.Session) (spec.Answer, error) {
	bs, lead, err := a.DescribeCluster()
	out := spec.Answer{Lead: int(lead)}
	for _, b := range bs {
		out.Brokers = append(out.Brokers, fmt.Sprintf("%d@%s", b.ID(), b.Addr()))
	}
	return out, err
}

func logDirs(a sarama.ClusterAdmin, s *spec.Session) (spec.Answer, error) {
	bs, _, err := a.DescribeCluster()
	if err != nil {
		return spec.Answer{}, err
	}
	var ids []int32
	for _, b := range bs {
		ids = append(ids, b.ID())
	}
	all, err := a.DescribeLogDirs(ids)
	out := spec.Answer{Offsets: map[string]int64{}}
	for _, dirs := range all {
		for _, d := range dirs {
			if d.ErrorCode != sarama.ErrNoError {
				return out, d.ErrorCode
			}
			for _, t := range d.Topics {
				for _, p := range t.Partitions {
					if t.Topic == s.Topic {
						out.Offsets[strconv.Itoa(int(p.PartitionID))] = p.Size
					}
				}
			}
		}
	}
	return out, err
}
