package kafka

// DescribeProducers (key 61), versions 0-0.
//
// It tells of the idempotent producers that a partition remembers (KIP-664): those that wrote to it since the time after
// which one that is silent is forgotten.

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
)

const keyDescribeProducers int16 = 61

// maxDescribedProducers bounds the answer: a partition may remember thousands, and a request name thousands of partitions.
const maxDescribedProducers = 500_000

// noCoordinatorEpoch is told of a producer that has never had a transaction.
const noCoordinatorEpoch = -1

// apiDescribeProducers is the row of DescribeProducers.
func apiDescribeProducers() *api {
	return &api{
		key: keyDescribeProducers, name: "DescribeProducers", shown: 0, min: 0, max: 0, flexible: 0,
		before: refuse, after: smallFrame, right: right{opRead, onTopic},
		shape:  shape{array[kmsg.DescribeProducersRequestTopic](text(), plain[int32](fixed(4)))},
		handle: describeProducers,
	}
}

// describeProducers answers from memory. Partitions beyond the bound of an answer are refused, not cut short.
func describeProducers(s *session, r request) {
	q := kmsg.NewPtrDescribeProducersRequest()
	if !r.decode(q) {
		return
	}
	resp := kmsg.NewPtrDescribeProducersResponse()
	t := s.front.routes.Load()
	left := maxDescribedProducers
	for i := range q.Topics {
		qt := &q.Topics[i]
		rt := kmsg.NewDescribeProducersResponseTopic()
		rt.Topic = qt.Topic
		for _, n := range qt.Partitions {
			rp := kmsg.NewDescribeProducersResponseTopicPartition()
			rp.Partition = n
			refused, why := s.producersOf(t.names[qt.Topic], n, left, &rp)
			if rp.ErrorCode = s.count(r, refused); refused != codeNone {
				rp.ErrorMessage = orNull(why)
			}
			left -= len(rp.ActiveProducers)
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	s.reply(r, resp)
}

// producersOf lists the producers of one partition, if there are no more than most.
func (s *session) producersOf(route *route, index int32, most int, out *kmsg.DescribeProducersResponseTopicPartition) (refused code, why string) {
	p, _, refused := s.edges(route, index, penstock.NoEpoch)
	if refused != codeNone {
		return refused, "not a partition that this broker leads"
	}
	all, err := p.Producers()
	switch {
	case err != nil:
		return codeOf(err), err.Error()
	case len(all) > most:
		return codeInvalidRequest, "more producers than one answer may hold: ask for fewer partitions"
	}
	for _, a := range all {
		rp := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
		rp.ProducerID, rp.ProducerEpoch, rp.LastSequence = int64(a.ID), int32(a.Epoch), a.LastSequence
		rp.LastTimestamp, rp.CurrentTxnStartOffset = int64(a.LastTime), int64(a.TransactionStart)
		rp.CoordinatorEpoch = noCoordinatorEpoch
		out.ActiveProducers = append(out.ActiveProducers, rp)
	}
	return codeNone, ""
}
