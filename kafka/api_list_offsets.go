package kafka

// ListOffsets (key 2), versions 1-11.
//
//	1   one offset and its timestamp
//	2   isolation level, throttle time
//	4   leader epoch, ours and the client's
//	6   flexible
//	7   -3: the record with the largest timestamp (KIP-734)
//	8   -4: earliest offset on local disk (KIP-405)
//	9   -5: latest offset in tiered storage (KIP-1005)
//	10  a time limit
//	11  -6: earliest offset not yet in tiered storage (KIP-1023)
//
// There is no tiered storage here: -4 is the earliest offset, and -5 and -6 are answered with no offset, as Kafka
// does where it is off.

import (
	"context"
	"sort"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
	"penstock/replica"
)

const keyListOffsets int16 = 2

// What a client may ask for in place of a time, and the first version in which it may.
const (
	askLatest         penstock.Timestamp = -1
	askEarliest       penstock.Timestamp = -2
	askMaxTime        penstock.Timestamp = -3
	askEarliestLocal  penstock.Timestamp = -4
	askLatestTiered   penstock.Timestamp = -5
	askEarliestUntier penstock.Timestamp = -6
)

// knownTimes maps what may stand in place of a time, negated, to the first version in which it may.
var knownTimes = [...]int16{1: 1, 2: 1, 3: 7, 4: 8, 5: 9, 6: 11}

// apiListOffsets is the row of ListOffsets.
func apiListOffsets() *api {
	return &api{
		key: keyListOffsets, name: "ListOffsets", shown: 1, min: 1, max: 11, flexible: 6,
		before: refuse, after: wideFrame, right: right{opDescribe, onTopic},
		shape: shape{
			fixed(4), fixed(1).from(2),
			array[kmsg.ListOffsetsRequestTopic](
				text(),
				array[kmsg.ListOffsetsRequestTopicPartition](fixed(4), fixed(4).from(4), fixed(8)),
			),
			fixed(4).from(10),
		},
		handle: listOffsets,
	}
}

// listOffsets answers at once unless a time is looked up: that may read the disk, and gets a goroutine of its own.
func listOffsets(s *session, r request) {
	q := kmsg.NewPtrListOffsetsRequest()
	if !r.decode(q) {
		return
	}
	r.wire.Release()
	r.body, r.client = nil, nil
	answer := func(context.Context) { s.reply(r, s.lookUp(r, q)) }
	if asksTime(q) {
		s.control(r, answer)
		return
	}
	answer(s.ctx)
}

// asksTime reports whether the request has to look into the log, rather than only at its edges.
func asksTime(q *kmsg.ListOffsetsRequest) bool {
	for i := range q.Topics {
		for j := range q.Topics[i].Partitions {
			if t := penstock.Timestamp(q.Topics[i].Partitions[j].Timestamp); t >= 0 || t == askMaxTime {
				return true
			}
		}
	}
	return false
}

// lookUp answers every partition of the request, each for itself.
func (s *session) lookUp(r request, q *kmsg.ListOffsetsRequest) *kmsg.ListOffsetsResponse {
	resp := kmsg.NewPtrListOffsetsResponse()
	t := s.front.routes.Load()
	iso := replica.Isolation(q.IsolationLevel)
	for i := range q.Topics {
		qt := &q.Topics[i]
		rt := kmsg.NewListOffsetsResponseTopic()
		rt.Topic = qt.Topic
		for j := range qt.Partitions {
			qp := &qt.Partitions[j]
			rp := kmsg.NewListOffsetsResponseTopicPartition()
			rp.Partition, rp.Timestamp, rp.Offset = qp.Partition, int64(penstock.NoTimestamp), int64(penstock.NoOffset)
			rp.LeaderEpoch = int32(penstock.NoEpoch)
			rp.ErrorCode = s.count(r, s.offset(t.names[qt.Topic], r.version, iso, qp, &rp))
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

// offset looks up one partition.
func (s *session) offset(route *route, version int16, iso replica.Isolation, q *kmsg.ListOffsetsRequestTopicPartition, out *kmsg.ListOffsetsResponseTopicPartition) code {
	at := penstock.Timestamp(q.Timestamp)
	if at < 0 && (at <= -penstock.Timestamp(len(knownTimes)) || version < knownTimes[-at]) {
		return codeUnsupportedVersion
	}
	p, now, refused := s.edges(route, q.Partition, penstock.Epoch(q.CurrentLeaderEpoch))
	if refused != codeNone {
		return refused
	}
	switch at {
	case askLatest:
		out.LeaderEpoch = int32(now.Epoch)
		if out.Offset = int64(now.HighWatermark); iso == replica.ReadCommitted {
			out.Offset = int64(now.LastStable)
		}
		return codeNone
	case askEarliest, askEarliestLocal:
		out.Offset, out.LeaderEpoch = int64(now.Start), int32(epochOf(p, now.Start, now.Epoch))
		return codeNone
	case askLatestTiered, askEarliestUntier:
		return codeNone
	}
	found, err := p.Find(at, iso)
	if err == nil && found.Offset != penstock.NoOffset {
		out.Offset, out.Timestamp, out.LeaderEpoch = int64(found.Offset), int64(found.Timestamp), int32(found.Epoch)
	}
	return codeOf(err)
}

// edges finds a partition and its offsets, and refuses who believes in another leader epoch (KIP-320).
func (s *session) edges(route *route, index int32, believed penstock.Epoch) (*replica.Partition, replica.Offsets, code) {
	if route == nil {
		return nil, replica.Offsets{}, codeUnknownTopicOrPartition
	}
	p, refused := s.front.partition(route, index)
	if refused != codeNone {
		return nil, replica.Offsets{}, refused
	}
	if err := p.Err(); err != nil {
		return nil, replica.Offsets{}, codeOf(err)
	}
	now := p.Offsets()
	switch {
	case believed == penstock.NoEpoch || believed == now.Epoch:
		return p, now, codeNone
	case believed < now.Epoch:
		return nil, now, codeFencedLeaderEpoch
	}
	return nil, now, codeUnknownLeaderEpoch
}

// epochOf is the leader epoch of the record at an offset: the smallest epoch that ends behind it. The ends of epochs never
// fall, so it is found by halving.
func epochOf(p *replica.Partition, at penstock.Offset, latest penstock.Epoch) penstock.Epoch {
	n := sort.Search(int(latest), func(e int) bool {
		end, err := p.EpochEnd(penstock.Epoch(e))
		return err == nil && end.Epoch != penstock.NoEpoch && end.Start > at
	})
	return penstock.Epoch(n)
}
