package kafka

// DeleteRecords (key 21), versions 0-2.
//
//	1  the client waits out the throttle time itself (KIP-219)
//	2  flexible
//
// The start of a partition moves forward, to the offset asked for or with -1 to the high watermark. It is durable before
// the answer. An offset that is deleted already is no error: the answer says where the partition begins.

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
)

const keyDeleteRecords int16 = 21

const (
	// deleteToEnd asks for everything up to the high watermark.
	deleteToEnd penstock.Offset = -1
	// deleteWorkers is how many partitions of one request are cut at a time: each waits for the disk.
	deleteWorkers = 16
)

// apiDeleteRecords is the row of DeleteRecords.
func apiDeleteRecords() *api {
	return &api{
		key: keyDeleteRecords, name: "DeleteRecords", shown: 0, min: 0, max: 2, flexible: 2,
		before: refuse, after: wideFrame, right: right{opDelete, onTopic},
		shape: shape{
			array[kmsg.DeleteRecordsRequestTopic](text(), array[kmsg.DeleteRecordsRequestTopicPartition](fixed(4), fixed(8))),
			fixed(4),
		},
		handle: deleteRecords,
	}
}

// deleteRecords cuts several partitions at once. What the time limit does not leave room for is answered as timed out.
func deleteRecords(s *session, r request) {
	q := kmsg.NewPtrDeleteRecordsRequest()
	if !r.decode(q) {
		return
	}
	r.idle()
	s.control(r, func(ctx context.Context) {
		resp := kmsg.NewPtrDeleteRecordsResponse()
		jobs := make(chan func(), deleteWorkers)
		var workers sync.WaitGroup
		for range deleteWorkers {
			workers.Go(func() {
				defer s.front.contain(r.wire.Conn())
				for do := range jobs {
					do()
				}
			})
		}
		t := s.front.routes.Load()
		for i := range q.Topics {
			qt := &q.Topics[i]
			rt := kmsg.NewDeleteRecordsResponseTopic()
			rt.Topic = qt.Topic
			rt.Partitions = make([]kmsg.DeleteRecordsResponseTopicPartition, len(qt.Partitions))
			for j := range qt.Partitions {
				qp, rp, route := &qt.Partitions[j], &rt.Partitions[j], t.names[qt.Topic]
				jobs <- func() { s.cut(ctx, r, route, qp, rp) }
			}
			resp.Topics = append(resp.Topics, rt)
		}
		close(jobs)
		workers.Wait()
		s.reply(r, resp)
	})
}

// cut moves the start of one partition.
func (s *session) cut(ctx context.Context, r request, route *route, q *kmsg.DeleteRecordsRequestTopicPartition, out *kmsg.DeleteRecordsResponseTopicPartition) {
	out.Default()
	out.Partition, out.LowWatermark = q.Partition, int64(penstock.NoOffset)
	start, refused := s.cutAt(ctx, route, q.Partition, penstock.Offset(q.Offset))
	if out.ErrorCode = s.count(r, refused); refused == codeNone {
		out.LowWatermark = int64(start)
	}
}

// cutAt moves the start of a partition to an offset and returns where it begins then.
func (s *session) cutAt(ctx context.Context, route *route, index int32, to penstock.Offset) (penstock.Offset, code) {
	switch {
	case ctx.Err() != nil:
		return 0, codeRequestTimedOut
	case route != nil && route.internal:
		return 0, codeInvalidTopic
	}
	p, now, refused := s.edges(route, index, penstock.NoEpoch)
	switch {
	case refused != codeNone:
		return 0, refused
	case !strings.Contains(route.topic.Settings.CleanupPolicy, "delete"):
		return 0, codePolicyViolation // compaction alone keeps the last record of each key
	case to == deleteToEnd:
		to = now.HighWatermark
	case to < 0:
		return 0, codeOffsetOutOfRange
	}
	if err := p.SetStart(to); err != nil {
		if c := codeOf(err); c != codeOffsetOutOfRange {
			s.front.o.Logger.Warn("records not deleted", "topic", route.name, "partition", index, "error", fmt.Errorf("move the start to %d: %w", to, err))
		}
		return 0, codeOf(err)
	}
	return p.Offsets().Start, codeNone
}
