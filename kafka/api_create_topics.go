package kafka

// CreateTopics (key 19), versions 2-7.
//
//	2  throttle time
//	4  -1 partitions and replication factor mean the broker's defaults (KIP-464)
//	5  flexible; the new topic's configuration in the answer (KIP-525)
//	7  topic id in the answer

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
	"penstock/meta"
)

const keyCreateTopics int16 = 19

// apiCreateTopics is the row of CreateTopics. Both levels of arrays are bounded by what is decoded, not by a number.
func apiCreateTopics() *api {
	return &api{
		key: keyCreateTopics, name: "CreateTopics", shown: 2, min: 2, max: 7, flexible: 5,
		before: refuse, after: wideFrame, right: right{opCreate, onTopicOrCluster},
		shape: shape{
			array[kmsg.CreateTopicsRequestTopic](
				text(), fixed(4), fixed(2),
				array[kmsg.CreateTopicsRequestTopicReplicaAssignment](fixed(4), plain[int32](fixed(4))),
				array[kmsg.CreateTopicsRequestTopicConfig](text(), text()),
			),
			fixed(4), fixed(1),
		},
		handle: createTopics,
	}
}

// createTopics creates the topics one after another in a goroutine of its own: each is a transaction in the metadata store. A
// name that occurs twice is refused each time, because which of the two was meant cannot be known.
func createTopics(s *session, r request) {
	q := kmsg.NewPtrCreateTopicsRequest()
	if !r.decode(q) {
		return
	}
	r.wire.Release()
	r.body, r.client = nil, nil
	s.control(r, func(ctx context.Context) {
		resp := kmsg.NewPtrCreateTopicsResponse()
		named := map[string]int{}
		for i := range q.Topics {
			named[q.Topics[i].Topic]++
		}
		for i := range q.Topics {
			out := kmsg.NewCreateTopicsResponseTopic()
			out.Topic = q.Topics[i].Topic
			why, err := codeInvalidRequest, fmt.Errorf("topic %q is named more than once", out.Topic)
			if named[out.Topic] == 1 {
				why, err = s.createTopic(ctx, &q.Topics[i], q.ValidateOnly, &out)
			}
			if err != nil {
				out.ErrorCode, out.ErrorMessage = s.count(r, why), kmsg.StringPtr(err.Error())
			}
			resp.Topics = append(resp.Topics, out)
		}
		s.reply(r, resp)
	})
}

// createTopic creates one topic and describes it.
func (s *session) createTopic(ctx context.Context, q *kmsg.CreateTopicsRequestTopic, check bool, out *kmsg.CreateTopicsResponseTopic) (code, error) {
	o := &s.front.o
	n := meta.NewTopic{Name: q.Topic, Partitions: int(q.NumPartitions), Configs: map[string]string{}}
	for _, c := range q.Configs {
		if c.Value == nil {
			return codeInvalidConfig, fmt.Errorf("configuration %q has no value", c.Name)
		}
		n.Configs[c.Name] = *c.Value
	}
	n.Format = meta.FormatOf(n.Configs)
	n.Layout = o.Layouts[n.Format]
	if why, err := s.place(q, &n); err != nil {
		return why, err
	}
	t, err := o.Topics.CreateTopic(ctx, n, check)
	if err != nil {
		return codeOf(err), err
	}
	out.NumPartitions, out.ReplicationFactor = int32(n.Partitions), int16(len(n.Replicas))
	if !check && t != nil {
		out.TopicID = t.ID
	}
	for _, c := range s.front.topicConfigs(o.Topics.Image(), t) {
		rc := kmsg.NewCreateTopicsResponseTopicConfig()
		rc.Name, rc.Value, rc.Source = c.key.Name, c.shown(0), int8(c.source())
		out.Configs = append(out.Configs, rc)
	}
	return codeNone, nil
}

// place decides on how many partitions a new topic has and on which brokers they lie.
func (s *session) place(q *kmsg.CreateTopicsRequestTopic, n *meta.NewTopic) (code, error) {
	if len(q.ReplicaAssignment) > 0 {
		if q.NumPartitions != -1 || q.ReplicationFactor != -1 {
			return codeInvalidRequest, fmt.Errorf("both an assignment and a number of partitions or replicas were given")
		}
		return s.placeByHand(q, n)
	}
	if q.NumPartitions == -1 {
		n.Partitions = s.front.defaultPartitions()
	}
	brokers := s.front.placeable()
	factor := int(q.ReplicationFactor)
	switch {
	case factor == -1:
		factor = 1
	case factor < 1:
		return codeInvalidReplicationFactor, fmt.Errorf("replication factor %d: want at least 1, or -1 for the default", factor)
	case factor > len(brokers):
		return codeInvalidReplicationFactor, fmt.Errorf("replication factor %d: there are %d brokers", factor, len(brokers))
	}
	n.Replicas = brokers[:factor]
	return codeNone, nil
}

// placeByHand takes an assignment that the client made. All partitions must lie on the same brokers in the same order.
func (s *session) placeByHand(q *kmsg.CreateTopicsRequestTopic, n *meta.NewTopic) (code, error) {
	brokers := s.front.placeable()
	seen := make([]bool, len(q.ReplicaAssignment))
	for i := range q.ReplicaAssignment {
		a := &q.ReplicaAssignment[i]
		if a.Partition < 0 || int(a.Partition) >= len(seen) || seen[a.Partition] {
			return codeInvalidReplicaAssignment, fmt.Errorf("partitions must be numbered from 0 without gaps: %d", a.Partition)
		}
		seen[a.Partition] = true
		var replicas []penstock.BrokerID
		for _, id := range a.Replicas {
			b := penstock.BrokerID(id)
			if !slices.Contains(brokers, b) || slices.Contains(replicas, b) {
				return codeInvalidReplicaAssignment, fmt.Errorf("partition %d: broker %d does not exist or is named twice", a.Partition, id)
			}
			replicas = append(replicas, b)
		}
		if len(replicas) == 0 || n.Replicas != nil && !slices.Equal(n.Replicas, replicas) {
			return codeInvalidReplicaAssignment, fmt.Errorf("partition %d: all partitions must lie on the same brokers, at least one", a.Partition)
		}
		n.Replicas = replicas
	}
	n.Partitions = len(q.ReplicaAssignment)
	return codeNone, nil
}

// placeable lists the brokers that a topic may lie on, this one first.
func (f *Front) placeable() []penstock.BrokerID {
	out := []penstock.BrokerID{f.o.Broker}
	for _, id := range sortedBrokers(f.o.Topics.Image().Brokers) {
		if id != f.o.Broker {
			out = append(out, id)
		}
	}
	return out
}
