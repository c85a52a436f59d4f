package kafka

// Metadata (key 3), versions 0-13.
//
//	1   null means all topics; rack, controller, internal topics
//	2   cluster id
//	3   throttle time
//	4   whether unknown topics may be created
//	5   offline replicas
//	7   leader epoch
//	8   authorized operations
//	9   flexible
//	10  topic ids in the answer
//	11  authorized operations of the cluster are gone
//	12  topics may be asked for by id
//	13  an error for the whole answer
//
// A topic that is created on request is in the answer with its partitions: there is nothing to wait for and ask again.

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
	"penstock/group"
	"penstock/meta"
)

const (
	keyMetadata        int16 = 3
	firstMetadataNull  int16 = 1
	firstMetadataAllow int16 = 4
	firstMetadataRight int16 = 8
	firstMetadataByID  int16 = 12
)

// apiMetadata is the row of Metadata.
func apiMetadata() *api {
	return &api{
		key: keyMetadata, name: "Metadata", shown: 0, min: 0, max: 13, flexible: 9,
		before: refuse, after: wideFrame, right: right{opDescribe, onTopic},
		shape: shape{
			array[kmsg.MetadataRequestTopic](fixed(16).from(10), text()),
			fixed(1).from(firstMetadataAllow),
			fixed(1).from(firstMetadataRight).to(10),
			fixed(1).from(firstMetadataRight),
		},
		// librdkafka 2.16 asks for all topics in flexible versions with 0 as the length of the list, as it should, and then three
		// bytes of the four that it had kept free for it.
		spare:  true,
		handle: metadata,
	}
}

// metadataCall is one Metadata request under way.
type metadataCall struct {
	s       *session
	request request
	q       *kmsg.MetadataRequest
	create  []string // unknown topics to create
}

// metadata answers at once from the image in memory, unless topics are to be created: that waits for the metadata store, in a
// goroutine of its own.
func metadata(s *session, r request) {
	c := &metadataCall{s: s, request: r, q: kmsg.NewPtrMetadataRequest()}
	if !r.decode(c.q) {
		return
	}
	r.wire.Release()
	c.request.body, c.request.client = nil, nil
	c.missing()
	if len(c.create) == 0 {
		c.answer(nil)
		return
	}
	s.control(r, func(ctx context.Context) { c.answer(c.createMissing(ctx)) })
}

// missing lists the topics asked for by name that are to be created.
func (c *metadataCall) missing() {
	o := &c.s.front.o
	if c.request.version >= firstMetadataAllow && !c.q.AllowAutoTopicCreation || !c.s.front.autoCreate() {
		return
	}
	img := o.Topics.Image()
	for i := range c.q.Topics {
		t := &c.q.Topics[i]
		if t.Topic != nil && t.TopicID == [16]byte{} && !group.Internal(*t.Topic) && img.Topic(*t.Topic) == nil && len(c.create) < o.Limits.AutoCreateTopics {
			c.create = append(c.create, *t.Topic)
		}
	}
}

// createMissing creates topics and returns the errors of those that could not be.
func (c *metadataCall) createMissing(ctx context.Context) map[string]error {
	o := &c.s.front.o
	failed := map[string]error{}
	for _, name := range c.create {
		_, err := o.Topics.CreateTopic(ctx, meta.NewTopic{
			Name: name, Layout: o.Layouts[penstock.FormatRecord], Partitions: c.s.front.defaultPartitions(), Replicas: []penstock.BrokerID{o.Broker},
		}, false)
		if err != nil && !errors.Is(err, penstock.ErrTopicExists) {
			failed[name] = fmt.Errorf("create topic %q: %w", name, err)
			o.Logger.Warn("topic not created", "topic", name, "error", err)
		}
	}
	return failed
}

// answer describes what was asked for as the newest image has it.
func (c *metadataCall) answer(failed map[string]error) {
	f := c.s.front
	img := f.o.Topics.Image()
	resp := kmsg.NewPtrMetadataResponse()
	resp.ClusterID = kmsg.StringPtr(img.ClusterID)
	resp.ControllerID = int32(f.o.Broker)
	for i, b := range f.brokers() {
		mb := kmsg.NewMetadataResponseBroker()
		mb.NodeID, mb.Host, mb.Port = int32(b.id), b.host, b.port
		if b.rack != "" {
			mb.Rack = kmsg.StringPtr(b.rack)
		}
		if i == 0 {
			resp.ControllerID = mb.NodeID // any broker changes metadata; all name the same one
		}
		resp.Brokers = append(resp.Brokers, mb)
	}
	if c.q.IncludeClusterAuthorizedOperations {
		resp.AuthorizedOperations = allClusterOperations
	}
	all := c.q.Topics == nil || c.request.version < firstMetadataNull && len(c.q.Topics) == 0
	if all {
		img.Topics(func(t *meta.Topic) bool {
			resp.Topics = append(resp.Topics, c.describe(t))
			return true
		})
	}
	for i := range c.q.Topics {
		resp.Topics = append(resp.Topics, c.find(img, &c.q.Topics[i], failed))
	}
	c.s.reply(c.request, resp)
}

// find describes one topic asked for, or says why it cannot be.
func (c *metadataCall) find(img *meta.Image, q *kmsg.MetadataRequestTopic, failed map[string]error) kmsg.MetadataResponseTopic {
	byID := q.TopicID != [16]byte{}
	var t *meta.Topic
	why := codeUnknownTopicOrPartition
	switch {
	case (byID || q.Topic == nil) && c.request.version < firstMetadataByID:
		why = codeInvalidRequest
	case byID:
		t, why = img.TopicByID(q.TopicID), codeUnknownTopicID
	case q.Topic == nil:
		why = codeInvalidRequest
	default:
		if t = img.Topic(*q.Topic); failed[*q.Topic] != nil {
			why = codeOf(failed[*q.Topic])
		}
	}
	if t != nil {
		return c.describe(t)
	}
	out := kmsg.NewMetadataResponseTopic()
	out.ErrorCode, out.Topic, out.TopicID = c.s.count(c.request, why), q.Topic, q.TopicID
	if out.Topic == nil && c.request.version < firstMetadataByID {
		out.Topic = kmsg.StringPtr("")
	}
	return out
}

// describe tells everything of a topic.
func (c *metadataCall) describe(t *meta.Topic) kmsg.MetadataResponseTopic {
	out := kmsg.NewMetadataResponseTopic()
	out.Topic, out.TopicID, out.IsInternal = kmsg.StringPtr(t.Name), t.ID, shownInternal(t)
	if c.q.IncludeTopicAuthorizedOperations {
		out.AuthorizedOperations = allTopicOperations
	}
	out.Partitions = make([]kmsg.MetadataResponseTopicPartition, len(t.Partitions))
	for i := range t.Partitions {
		p, mp := &t.Partitions[i], &out.Partitions[i]
		mp.Default()
		mp.Partition, mp.Leader, mp.LeaderEpoch = int32(i), int32(p.Leader), int32(p.Epoch)
		mp.Replicas, mp.ISR = brokerIDs(p.Replicas), brokerIDs(p.InSync)
		mp.OfflineReplicas = []int32{}
		if p.Leader == penstock.NoBroker {
			mp.ErrorCode = c.s.count(c.request, codeLeaderNotAvailable)
		}
	}
	return out
}

// brokerIDs is a list of brokers in kmsg's type.
func brokerIDs(ids []penstock.BrokerID) []int32 {
	out := make([]int32, len(ids))
	for i, id := range ids {
		out[i] = int32(id)
	}
	return out
}

// Sets of operations, as bits by their numbers in Kafka's AclOperation, that the anonymous user has: all that
// there are for a topic (3 to 8, 10, 11) and for the cluster (5, 7 to 12).
const (
	allTopicOperations   = 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<8 | 1<<10 | 1<<11
	allClusterOperations = 1<<5 | 1<<7 | 1<<8 | 1<<9 | 1<<10 | 1<<11 | 1<<12
	_                    = int32(math.MinInt32) // the answer where nobody asked, which kmsg gives by default
)
