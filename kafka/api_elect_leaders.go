package kafka

// ElectLeaders (key 43), versions 0-2.
//
//	1  unclean elections may be asked for (KIP-460); an error for the whole answer
//	2  flexible
//
// A partition that is led by the replica that should lead it needs no election. Where that replica cannot lead, on a cluster
// without followers, nobody else can either.

import (
	"cmp"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
	"penstock/meta"
)

const keyElectLeaders int16 = 43

// The kinds of elections.
const (
	electPreferred int8 = 0 // the first replica, if it is in sync
	electUnclean   int8 = 1 // any replica, if there is no leader
)

// apiElectLeaders is the row of ElectLeaders.
func apiElectLeaders() *api {
	return &api{
		key: keyElectLeaders, name: "ElectLeaders", shown: 0, min: 0, max: 2, flexible: 2,
		before: refuse, after: wideFrame, right: right{opAlter, onCluster},
		shape:  shape{fixed(1).from(1), array[kmsg.ElectLeadersRequestTopic](text(), plain[int32](fixed(4))), fixed(4)},
		handle: electLeaders,
	}
}

// electLeaders answers from the image in memory. Where all partitions are asked for, those that need no election are left out,
// as in Kafka.
func electLeaders(s *session, r request) {
	q := kmsg.NewPtrElectLeadersRequest()
	if !r.decode(q) {
		return
	}
	resp := kmsg.NewPtrElectLeadersResponse()
	if q.ElectionType != electPreferred && q.ElectionType != electUnclean {
		resp.ErrorCode = s.count(r, codeInvalidRequest)
		s.reply(r, resp)
		return
	}
	img := s.front.o.Topics.Image()
	for i := range q.Topics {
		qt := &q.Topics[i]
		rt := kmsg.NewElectLeadersResponseTopic()
		rt.Topic = qt.Topic
		for _, n := range qt.Partitions {
			rt.Partitions = append(rt.Partitions, s.elect(r, img.Topic(qt.Topic), n, q.ElectionType))
		}
		resp.Topics = append(resp.Topics, rt)
	}
	if q.Topics == nil {
		resp.Topics = s.electAll(r, img, q.ElectionType)
	}
	s.reply(r, resp)
}

// electAll is elect for every partition that needs an election, by name of the topic.
func (s *session) electAll(r request, img *meta.Image, kind int8) []kmsg.ElectLeadersResponseTopic {
	var out []kmsg.ElectLeadersResponseTopic
	img.Topics(func(t *meta.Topic) bool {
		rt := kmsg.NewElectLeadersResponseTopic()
		rt.Topic = t.Name
		for n := range t.Partitions {
			if election(&t.Partitions[n], kind) != codeElectionNotNeeded {
				rt.Partitions = append(rt.Partitions, s.elect(r, t, int32(n), kind))
			}
		}
		if len(rt.Partitions) > 0 {
			out = append(out, rt)
		}
		return true
	})
	slices.SortFunc(out, func(a, b kmsg.ElectLeadersResponseTopic) int { return cmp.Compare(a.Topic, b.Topic) })
	return out
}

// elect answers for one partition; t is nil if there is no such topic.
func (s *session) elect(r request, t *meta.Topic, n int32, kind int8) kmsg.ElectLeadersResponseTopicPartition {
	out := kmsg.NewElectLeadersResponseTopicPartition()
	out.Partition = n
	why := codeUnknownTopicOrPartition
	if t != nil && n >= 0 && int(n) < len(t.Partitions) {
		why = election(&t.Partitions[n], kind)
	}
	out.ErrorCode, out.ErrorMessage = s.count(r, why), kmsg.StringPtr(electionMessages[why])
	return out
}

// election is what comes of an election of a partition's leader.
func election(p *meta.Partition, kind int8) code {
	switch {
	case kind == electPreferred && len(p.Replicas) > 0 && p.Leader == p.Replicas[0]:
		return codeElectionNotNeeded
	case kind == electPreferred:
		return codePreferredLeaderNotAvailable
	case p.Leader != penstock.NoBroker:
		return codeElectionNotNeeded
	}
	return codeEligibleLeadersNotAvailable
}

// electionMessages say it in words.
var electionMessages = map[code]string{
	codeUnknownTopicOrPartition:     "there is no such partition",
	codeElectionNotNeeded:           "the partition is led by the replica that should lead it",
	codePreferredLeaderNotAvailable: "the first replica of the partition cannot lead it now",
	codeEligibleLeadersNotAvailable: "no replica of the partition can lead it now",
}
