package rocket

// How far a group has read: QUERY_CONSUMER_OFFSET (14) and UPDATE_CONSUMER_OFFSET (15). What clients tell is shown at once and committed within a
// second: see group.Coordinator.Note.
//
// Where nothing was ever told a client begins where its configuration says, which it learns from QUERY_NOT_FOUND. But a queue that still has its first
// message, in memory, is read from it: so a consumer that is started together with its topic misses nothing. That is RocketMQ's rule.

import (
	"fmt"

	"penstock"
	"penstock/replica"
	"penstock/rocket/remoting"
)

func apiQueryOffset() *api {
	return &api{code: 14, name: "QUERY_CONSUMER_OFFSET", frame: smallFrame, right: right{opSub, onGroup}, handle: queryOffset}
}

func apiUpdateOffset() *api {
	return &api{code: 15, name: "UPDATE_CONSUMER_OFFSET", frame: smallFrame, right: right{opSub, onGroup}, handle: updateOffset}
}

func queryOffset(s *session, r *request) {
	t := r.ticket()
	q := r.Reader()
	name, topic, queue := q.Text("consumerGroup"), q.Text("topic"), q.Int32("queueId")
	if err := q.Err(); err != nil {
		s.fail(t, err)
		return
	}
	zero := r.Text("setZeroIfNotFound") != "false"
	t.wire.Release()
	f := s.front
	at, ok, err := f.o.Groups.Noted(name, topic, queue)
	if err != nil {
		s.fail(t, err)
		return
	}
	if !ok {
		route := f.routes.Load().names[topic]
		switch {
		case !zero:
			s.refuse(t, codeQueryNotFound, "Not found, do not set to zero, maybe this group boot first")
			return
		case route == nil || !f.whole(route, queue):
			s.refuse(t, codeQueryNotFound, "Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first")
			return
		}
		at = 0
	}
	s.reply(t, func(w *remoting.Writer) { w.Int("offset", int64(at)) }, nil)
}

// memoryShare is the part of the machine's memory, in percent, that the newest messages are taken to lie in (accessMessageInMemoryMaxRatio).
const memoryShare = 40

// whole reports whether a queue still has its first message, and in memory, as far as can be told from how much was stored since.
func (f *Front) whole(r *route, queue int32) bool {
	p := f.partition(r, queue)
	if p == nil {
		return false
	}
	if o := p.Offsets(); o.Start > 0 || o.HighWatermark == 0 {
		return false
	}
	return f.since(r, p) <= f.o.Memory/100*memoryShare
}

// since is how many bytes were stored since the first message of a queue: in all queues where they share a log.
func (f *Front) since(r *route, p *replica.Partition) int64 {
	if runtime := f.o.Admin.Runtime; runtime != nil && r.native && r.topic.Layout == penstock.LayoutCommit {
		if m, err := f.message(p, 0); err == nil {
			return int64(runtime().MaxPosition - m.Position)
		}
	}
	b, err := p.Backlog(0, true)
	if err != nil || b.Bytes < 0 {
		return f.o.Memory // nobody knows: it is much
	}
	return b.Bytes
}

func updateOffset(s *session, r *request) {
	t := r.ticket()
	q := r.Reader()
	name, topic, queue, at := q.Text("consumerGroup"), q.Text("topic"), q.Int32("queueId"), q.Int64("commitOffset")
	if err := q.Err(); err != nil {
		s.fail(t, err)
		return
	}
	t.wire.Release()
	f := s.front
	route := f.routes.Load().names[topic]
	if _, ok := f.group(name); !ok {
		s.refuse(t, codeGroupNotExist, fmt.Sprintf("Group %.300s not exist!", name))
		return
	}
	switch {
	case route == nil:
		s.refuse(t, codeTopicNotExist, fmt.Sprintf("Topic %.300s not exist!", topic))
	case queue < 0 || int(queue) >= len(route.parts):
		s.refuse(t, codeInvalidParameter, fmt.Sprintf("queueId[%d] is illegal, topic %s has %d queues", queue, topic, len(route.parts)))
	case at < 0:
		s.refuse(t, codeInvalidParameter, fmt.Sprintf("commitOffset[%d] is illegal, topic is %s", at, topic))
	case f.resets.pending(name, penstock.PartitionID{Topic: route.id, Partition: queue}):
		s.reply(t, nil, nil) // an administrator moved the group's offset: what a member tells that has not heard of it is of before
	default:
		if err := f.o.Groups.Note(name, topic, route.id, queue, penstock.Offset(at)); err != nil {
			s.fail(t, err)
			return
		}
		s.reply(t, nil, nil)
	}
}
