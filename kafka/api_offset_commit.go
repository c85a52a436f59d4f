package kafka

// OffsetCommit (key 8), versions 2-10.
//
//	2   how long to keep the offsets, until 4
//	3   throttle time
//	5   the broker's retention counts (KIP-211)
//	6   leader epoch (KIP-320)
//	7   static members (KIP-345)
//	8   flexible
//	9   (errors of the newer group protocol, KIP-848)
//	10  topic ids in place of names (KIP-848)
//
// The answer waits until the offsets are durable.

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
	"penstock/group"
)

const (
	keyOffsetCommit           int16 = 8
	firstOffsetCommit         int16 = 2
	lastOffsetCommitRetention int16 = 4
	firstOffsetCommitEpoch    int16 = 6
	firstOffsetCommitInstance int16 = 7
	firstOffsetCommitID       int16 = 10
)

func apiOffsetCommit() *api {
	return &api{
		key: keyOffsetCommit, name: "OffsetCommit", shown: firstOffsetCommit, min: firstOffsetCommit, max: 10, flexible: 8,
		before: refuse, after: groupFrame, right: right{opRead, onGroup},
		shape: shape{
			text(), fixed(4), text(), text().from(firstOffsetCommitInstance), fixed(8).to(lastOffsetCommitRetention),
			array[kmsg.OffsetCommitRequestTopic](
				text().to(firstOffsetCommitID-1), fixed(16).from(firstOffsetCommitID),
				array[kmsg.OffsetCommitRequestTopicPartition](fixed(4), fixed(8), fixed(4).from(firstOffsetCommitEpoch), text()),
			),
		},
		handle: offsetCommit,
	}
}

func offsetCommit(s *session, r request) {
	q := kmsg.NewPtrOffsetCommitRequest()
	if !r.decode(q) {
		return
	}
	r.idle()
	c, codes := s.commitOf(r, q)
	s.coordinator().Commit(q.Group, c, func(err error) {
		defer s.front.contain(r.wire.Conn())
		resp := kmsg.NewPtrOffsetCommitResponse()
		n := 0
		for i := range q.Topics {
			t := kmsg.NewOffsetCommitResponseTopic()
			t.Topic, t.TopicID = q.Topics[i].Topic, q.Topics[i].TopicID
			for j := range q.Topics[i].Partitions {
				p := kmsg.NewOffsetCommitResponseTopicPartition()
				p.Partition = q.Topics[i].Partitions[j].Partition
				why := codes[n]
				switch {
				case err != nil:
					why = codeOf(err)
				case why == codeNone:
					why = codeOf(c.Offsets[n].Err)
				}
				p.ErrorCode = s.count(r, why)
				t.Partitions = append(t.Partitions, p)
				n++
			}
			resp.Topics = append(resp.Topics, t)
		}
		s.reply(r, resp)
	})
}

// commitOf is the request in the words of the group room, with the code of each partition that is not known.
func (s *session) commitOf(r request, q *kmsg.OffsetCommitRequest) (*group.Commit, []code) {
	c := &group.Commit{MemberID: q.MemberID, InstanceID: orEmpty(q.InstanceID), Generation: q.Generation}
	if r.version <= lastOffsetCommitRetention && q.RetentionTimeMillis > 0 {
		const most = 100 * 365 * 24 * time.Hour
		c.Keep = time.Duration(min(q.RetentionTimeMillis, most.Milliseconds())) * time.Millisecond
	}
	var codes []code
	routes := s.front.routes.Load()
	for i := range q.Topics {
		t := &q.Topics[i]
		found, why := routes.find(t.Topic, t.TopicID, r.version >= firstOffsetCommitID)
		for j := range t.Partitions {
			p := &t.Partitions[j]
			o := group.CommitOffset{
				Partition: p.Partition, Offset: penstock.Offset(p.Offset), Epoch: penstock.Epoch(p.LeaderEpoch), Metadata: orEmpty(p.Metadata),
			}
			mine := why
			if found != nil {
				o.Topic, o.TopicID = found.name, found.id
				if p.Partition < 0 || int(p.Partition) >= len(found.parts) {
					mine = codeUnknownTopicOrPartition
				}
			}
			if mine != codeNone {
				o.Err = penstock.ErrUnknownTopic
			}
			c.Offsets, codes = append(c.Offsets, o), append(codes, mine)
		}
	}
	return c, codes
}
