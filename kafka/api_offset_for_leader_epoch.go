package kafka

// OffsetForLeaderEpoch (key 23), versions 2-4.
//
//	2  the leader epoch that the client believes in (KIP-320)
//	3  replica id
//	4  flexible
//
// A consumer asks it after a change of leader: where did the last epoch that it knows end? If before its own
// position, what it read last was cut away.

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
)

const keyOffsetForLeaderEpoch int16 = 23

// apiOffsetForLeaderEpoch is the row of OffsetForLeaderEpoch.
func apiOffsetForLeaderEpoch() *api {
	return &api{
		key: keyOffsetForLeaderEpoch, name: "OffsetForLeaderEpoch", shown: 2, min: 2, max: 4, flexible: 4,
		before: refuse, after: wideFrame, right: right{opDescribe, onTopic},
		shape: shape{
			fixed(4).from(3),
			array[kmsg.OffsetForLeaderEpochRequestTopic](
				text(),
				array[kmsg.OffsetForLeaderEpochRequestTopicPartition](fixed(4), fixed(4), fixed(4)),
			),
		},
		handle: offsetForLeaderEpoch,
	}
}

// offsetForLeaderEpoch answers from the history of epochs, which is in memory.
func offsetForLeaderEpoch(s *session, r request) {
	q := kmsg.NewPtrOffsetForLeaderEpochRequest()
	if !r.decode(q) {
		return
	}
	resp := kmsg.NewPtrOffsetForLeaderEpochResponse()
	t := s.front.routes.Load()
	for i := range q.Topics {
		qt := &q.Topics[i]
		rt := kmsg.NewOffsetForLeaderEpochResponseTopic()
		rt.Topic = qt.Topic
		for j := range qt.Partitions {
			qp := &qt.Partitions[j]
			rp := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			rp.Partition, rp.LeaderEpoch, rp.EndOffset = qp.Partition, int32(penstock.NoEpoch), int64(penstock.NoOffset)
			rp.ErrorCode = s.count(r, s.epochEnd(t.names[qt.Topic], qp, &rp))
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	s.reply(r, resp)
}

// epochEnd looks up one partition. An epoch that nothing is known of is no error: it is answered with -1 and -1.
func (s *session) epochEnd(route *route, q *kmsg.OffsetForLeaderEpochRequestTopicPartition, out *kmsg.OffsetForLeaderEpochResponseTopicPartition) code {
	p, _, refused := s.edges(route, q.Partition, penstock.Epoch(q.CurrentLeaderEpoch))
	if refused != codeNone {
		return refused
	}
	end, err := p.EpochEnd(penstock.Epoch(q.LeaderEpoch))
	if err != nil {
		return codeOf(err)
	}
	out.LeaderEpoch, out.EndOffset = int32(end.Epoch), int64(end.Start)
	return codeNone
}
