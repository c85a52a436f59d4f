package kafka

// OffsetFetch (key 9), versions 1-10.
//
//	2   null means all topics; an error for the whole answer
//	3   throttle time
//	5   leader epoch (KIP-320)
//	6   flexible
//	7   whether offsets of open transactions are waited for (KIP-447): there are none
//	8   several groups (KIP-709)
//	9   member id and epoch of the newer group protocol (KIP-848), which mean nothing for classic groups
//	10  topic ids in place of names (KIP-848)

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
	"penstock/group"
)

const (
	keyOffsetFetch          int16 = 9
	firstOffsetFetch        int16 = 1
	firstOffsetFetchError   int16 = 2
	firstOffsetFetchStable  int16 = 7
	firstOffsetFetchGroups  int16 = 8
	firstOffsetFetchMembers int16 = 9
	firstOffsetFetchID      int16 = 10
)

func apiOffsetFetch() *api {
	return &api{
		key: keyOffsetFetch, name: "OffsetFetch", shown: firstOffsetFetch, min: firstOffsetFetch, max: 10, flexible: 6,
		before: refuse, after: wideFrame, right: right{opDescribe, onGroup},
		shape: shape{
			text().to(firstOffsetFetchGroups - 1),
			array[kmsg.OffsetFetchRequestTopic](text(), plain[int32](fixed(4))).to(firstOffsetFetchGroups - 1),
			array[kmsg.OffsetFetchRequestGroup](
				text(), text().from(firstOffsetFetchMembers), fixed(4).from(firstOffsetFetchMembers),
				array[kmsg.OffsetFetchRequestGroupTopic](
					text().to(firstOffsetFetchID-1), fixed(16).from(firstOffsetFetchID), plain[int32](fixed(4)),
				),
			).from(firstOffsetFetchGroups),
			fixed(1).from(firstOffsetFetchStable),
		},
		handle: offsetFetch,
	}
}

func offsetFetch(s *session, r request) {
	q := kmsg.NewPtrOffsetFetchRequest()
	if !r.decode(q) {
		return
	}
	resp := kmsg.NewPtrOffsetFetchResponse()
	if r.version >= firstOffsetFetchGroups {
		for i := range q.Groups {
			resp.Groups = append(resp.Groups, s.fetchOffsets(r, &q.Groups[i]))
		}
		s.reply(r, resp)
		return
	}
	// Before, there is one group, and its answer lies in the response itself.
	one := kmsg.OffsetFetchRequestGroup{Group: q.Group}
	if q.Topics != nil || r.version < firstOffsetFetchError {
		one.Topics = []kmsg.OffsetFetchRequestGroupTopic{}
	}
	for i := range q.Topics {
		one.Topics = append(one.Topics, kmsg.OffsetFetchRequestGroupTopic{Topic: q.Topics[i].Topic, Partitions: q.Topics[i].Partitions})
	}
	g := s.fetchOffsets(r, &one)
	resp.ErrorCode = g.ErrorCode
	for i := range g.Topics {
		t := kmsg.NewOffsetFetchResponseTopic()
		t.Topic = g.Topics[i].Topic
		for j := range g.Topics[i].Partitions {
			gp, p := &g.Topics[i].Partitions[j], kmsg.NewOffsetFetchResponseTopicPartition()
			p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode = gp.Partition, gp.Offset, gp.LeaderEpoch, gp.Metadata, gp.ErrorCode
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	s.reply(r, resp)
}

// noOffset is the answer for a partition that nothing was committed for.
func noOffset(partition int32) kmsg.OffsetFetchResponseGroupTopicPartition {
	p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
	p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = partition, int64(penstock.NoOffset), int32(penstock.NoEpoch), kmsg.StringPtr("")
	return p
}

func fillOffset(p *kmsg.OffsetFetchResponseGroupTopicPartition, at *group.Committed) {
	p.Offset, p.LeaderEpoch, p.Metadata = int64(at.Offset), int32(at.Epoch), kmsg.StringPtr(at.Metadata)
}

// fetchOffsets answers for one group.
func (s *session) fetchOffsets(r request, q *kmsg.OffsetFetchRequestGroup) kmsg.OffsetFetchResponseGroup {
	out := kmsg.NewOffsetFetchResponseGroup()
	out.Group = q.Group
	if q.Topics == nil {
		return s.fetchAllOffsets(r, out)
	}
	routes := s.front.routes.Load()
	wanted := map[string][]int32{}
	places := map[string]map[int32][][2]int{} // of each partition in the answer
	for i := range q.Topics {
		qt := &q.Topics[i]
		t := kmsg.NewOffsetFetchResponseGroupTopic()
		t.Topic, t.TopicID = qt.Topic, qt.TopicID
		name, why := qt.Topic, codeNone
		if r.version >= firstOffsetFetchID {
			found, c := routes.find("", qt.TopicID, true)
			if why = c; found != nil {
				name = found.name
			}
		}
		if places[name] == nil {
			places[name] = map[int32][][2]int{}
		}
		for j, n := range qt.Partitions {
			p := noOffset(n)
			if why != codeNone {
				p.ErrorCode = s.count(r, why)
			} else {
				wanted[name] = append(wanted[name], n)
				places[name][n] = append(places[name][n], [2]int{i, j})
			}
			t.Partitions = append(t.Partitions, p)
		}
		out.Topics = append(out.Topics, t)
	}
	err := s.coordinator().Read(q.Group, wanted, func(topic string, n int32, at group.Committed, ok bool) {
		for _, place := range places[topic][n] {
			if ok {
				fillOffset(&out.Topics[place[0]].Partitions[place[1]], &at)
			}
		}
	})
	if err != nil {
		out.ErrorCode = s.count(r, codeOf(err))
		for i := range out.Topics {
			for j := range out.Topics[i].Partitions {
				out.Topics[i].Partitions[j].ErrorCode = out.ErrorCode
			}
		}
		if r.version >= firstOffsetFetchError {
			out.Topics = nil
		}
	}
	return out
}

// fetchAllOffsets answers with everything that a group has committed. Where topics go by their ids those that are gone
// are left out.
func (s *session) fetchAllOffsets(r request, out kmsg.OffsetFetchResponseGroup) kmsg.OffsetFetchResponseGroup {
	routes := s.front.routes.Load()
	index := map[string]int{}
	err := s.coordinator().Read(out.Group, nil, func(topic string, n int32, at group.Committed, _ bool) {
		i, ok := index[topic]
		if !ok {
			t := kmsg.NewOffsetFetchResponseGroupTopic()
			t.Topic = topic
			if found := routes.names[topic]; found != nil {
				t.TopicID = found.id
			} else if r.version >= firstOffsetFetchID {
				return
			}
			i = len(out.Topics)
			index[topic] = i
			out.Topics = append(out.Topics, t)
		}
		p := noOffset(n)
		fillOffset(&p, &at)
		out.Topics[i].Partitions = append(out.Topics[i].Partitions, p)
	})
	out.ErrorCode = s.count(r, codeOf(err))
	return out
}
