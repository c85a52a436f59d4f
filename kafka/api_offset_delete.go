package kafka

// OffsetDelete (key 47), versions 0-0.
//
// Offsets of topics that no member of the group reads are deleted (KIP-496).

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
	"penstock/group"
)

const keyOffsetDelete int16 = 47

func apiOffsetDelete() *api {
	return &api{
		key: keyOffsetDelete, name: "OffsetDelete", shown: 0, min: 0, max: 0, flexible: 1,
		before: refuse, after: wideFrame, right: right{opDelete, onGroup},
		shape: shape{
			text(),
			array[kmsg.OffsetDeleteRequestTopic](text(), array[kmsg.OffsetDeleteRequestTopicPartition](fixed(4))),
		},
		handle: offsetDelete,
	}
}

func offsetDelete(s *session, r request) {
	q := kmsg.NewPtrOffsetDeleteRequest()
	if !r.decode(q) {
		return
	}
	r.idle()
	routes := s.front.routes.Load()
	var which []group.DeleteOffset
	for i := range q.Topics {
		found := routes.names[q.Topics[i].Topic]
		for j := range q.Topics[i].Partitions {
			d := group.DeleteOffset{Topic: q.Topics[i].Topic, Partition: q.Topics[i].Partitions[j].Partition}
			if found == nil || d.Partition < 0 || int(d.Partition) >= len(found.parts) {
				d.Err = penstock.ErrUnknownTopic
			}
			which = append(which, d)
		}
	}
	s.coordinator().DeleteOffsets(q.Group, which, func(err error) {
		defer s.front.contain(r.wire.Conn())
		resp := kmsg.NewPtrOffsetDeleteResponse()
		resp.ErrorCode = s.count(r, codeOf(err))
		n := 0
		for i := range q.Topics {
			t := kmsg.NewOffsetDeleteResponseTopic()
			t.Topic = q.Topics[i].Topic
			for j := range q.Topics[i].Partitions {
				p := kmsg.NewOffsetDeleteResponseTopicPartition()
				p.Partition, p.ErrorCode = q.Topics[i].Partitions[j].Partition, s.count(r, codeOf(which[n].Err))
				t.Partitions = append(t.Partitions, p)
				n++
			}
			if err == nil {
				resp.Topics = append(resp.Topics, t)
			}
		}
		s.reply(r, resp)
	})
}
