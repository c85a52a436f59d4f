package kafka

// DescribeTopicPartitions (key 75), versions 0-0.
//
// It is Metadata a page at a time (KIP-966): topics by name, up to a number of partitions, and a cursor where the next page
// begins. No topic is ever created by it. There are no replicas but those in sync, so none that were and might lead again.

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
	"penstock/meta"
)

const keyDescribeTopicPartitions int16 = 75

// maxPagePartitions bounds a page, as Kafka's max.request.partition.size.limit.
const maxPagePartitions = 2000

// apiDescribeTopicPartitions is the row of DescribeTopicPartitions.
func apiDescribeTopicPartitions() *api {
	return &api{
		key: keyDescribeTopicPartitions, name: "DescribeTopicPartitions", shown: 0, min: 0, max: 0, flexible: 0,
		before: refuse, after: wideFrame, right: right{opDescribe, onTopic},
		shape: shape{
			array[kmsg.DescribeTopicPartitionsRequestTopic](text()),
			fixed(4),
			maybe[kmsg.DescribeTopicPartitionsRequestCursor](text(), fixed(4)),
		},
		handle: describeTopicPartitions,
	}
}

// describeTopicPartitions answers from the image in memory.
func describeTopicPartitions(s *session, r request) {
	q := kmsg.NewPtrDescribeTopicPartitionsRequest()
	if !r.decode(q) {
		return
	}
	img := s.front.o.Topics.Image()
	resp := kmsg.NewPtrDescribeTopicPartitionsResponse()
	names, all := pageNames(img, q), len(q.Topics) == 0
	if !soundCursor(q, names) {
		for i := range q.Topics {
			resp.Topics = append(resp.Topics, noTopic(q.Topics[i].Topic, s.count(r, codeInvalidRequest)))
		}
		s.reply(r, resp)
		return
	}
	left := min(int(q.ResponsePartitionLimit), maxPagePartitions)
	for _, name := range names {
		from := int32(0)
		if q.Cursor != nil && q.Cursor.Topic == name {
			from = q.Cursor.Partition
		}
		if left <= 0 {
			resp.NextCursor = cursorAt(name, from)
			break
		}
		t := img.Topic(name)
		if t == nil {
			if !all {
				resp.Topics = append(resp.Topics, noTopic(name, s.count(r, whyNoTopic(name))))
			}
			continue
		}
		page := s.topicPage(r, t, int(from), left)
		resp.Topics = append(resp.Topics, page)
		left -= len(page.Partitions)
		if next := int(from) + len(page.Partitions); next < len(t.Partitions) {
			resp.NextCursor = cursorAt(name, int32(next))
			break
		}
	}
	s.reply(r, resp)
}

// pageNames lists the topics that are asked for, by name, from the cursor's on.
func pageNames(img *meta.Image, q *kmsg.DescribeTopicPartitionsRequest) []string {
	first := ""
	if q.Cursor != nil {
		first = q.Cursor.Topic
	}
	var names []string
	add := func(name string) {
		if name >= first {
			names = append(names, name)
		}
	}
	for i := range q.Topics {
		add(q.Topics[i].Topic)
	}
	if len(q.Topics) == 0 {
		img.Topics(func(t *meta.Topic) bool {
			add(t.Name)
			return true
		})
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// soundCursor reports whether a cursor, if there is one, is at a topic that is asked for. Where all are, it may have been
// deleted since.
func soundCursor(q *kmsg.DescribeTopicPartitionsRequest, names []string) bool {
	if q.Cursor == nil {
		return true
	}
	return q.Cursor.Partition >= 0 && (len(q.Topics) == 0 || len(names) > 0 && names[0] == q.Cursor.Topic)
}

// topicPage describes up to most partitions of a topic, from one on.
func (s *session) topicPage(r request, t *meta.Topic, from, most int) kmsg.DescribeTopicPartitionsResponseTopic {
	out := kmsg.NewDescribeTopicPartitionsResponseTopic()
	out.Topic, out.TopicID, out.IsInternal = kmsg.StringPtr(t.Name), t.ID, shownInternal(t)
	out.AuthorizedOperations = allTopicOperations
	for i := from; i < len(t.Partitions) && i-from < most; i++ {
		p, tp := &t.Partitions[i], kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
		tp.Partition, tp.LeaderID, tp.LeaderEpoch = int32(i), int32(p.Leader), int32(p.Epoch)
		tp.Replicas, tp.ISR, tp.OfflineReplicas = brokerIDs(p.Replicas), brokerIDs(p.InSync), []int32{}
		tp.EligibleLeaderReplicas, tp.LastKnownELR = []int32{}, []int32{}
		if p.Leader == penstock.NoBroker {
			tp.ErrorCode = s.count(r, codeLeaderNotAvailable)
		}
		out.Partitions = append(out.Partitions, tp)
	}
	return out
}

// noTopic is the answer for a topic that cannot be described.
func noTopic(name string, why int16) kmsg.DescribeTopicPartitionsResponseTopic {
	out := kmsg.NewDescribeTopicPartitionsResponseTopic()
	out.Topic, out.ErrorCode = kmsg.StringPtr(name), why
	return out
}

// whyNoTopic is why there is no topic of that name.
func whyNoTopic(name string) code {
	if meta.CheckName(name) != nil {
		return codeInvalidTopic
	}
	return codeUnknownTopicOrPartition
}

func cursorAt(topic string, partition int32) *kmsg.DescribeTopicPartitionsResponseNextCursor {
	c := kmsg.NewDescribeTopicPartitionsResponseNextCursor()
	c.Topic, c.Partition = topic, partition
	return &c
}
