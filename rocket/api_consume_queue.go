package rocket

// QUERY_CONSUME_QUEUE (321): what the queue's entries say of messages, and whether a group's subscription takes them.

import (
	"fmt"
	"slices"

	"penstock"
	"penstock/message"
	"penstock/replica"
)

func apiConsumeQueue() *api {
	return &api{code: 321, name: "QUERY_CONSUME_QUEUE", frame: smallFrame, right: right{opGet, onTopic}, handle: consumeQueue}
}

// maxEntries bounds the entries of one answer.
const maxEntries = 1000

// entryJSON is RocketMQ's ConsumeQueueData.
type entryJSON struct {
	Taken    bool  `json:"eval"`
	Position int64 `json:"physicOffset"`
	Size     int32 `json:"physicSize"`
	Code     int64 `json:"tagsCode"`
}

func consumeQueue(s *session, r *request) {
	t := r.ticket()
	q := r.Reader()
	topic, queue, from, count := q.Text("topic"), q.Int32("queueId"), q.Int64("index"), q.Int32("count")
	name := r.Text("consumerGroup")
	if err := q.Err(); err != nil {
		s.fail(t, err)
		return
	}
	t.wire.Release()
	route := s.front.routes.Load().names[topic]
	if route == nil || !route.native || queue < 0 || int(queue) >= len(route.parts) {
		s.refuse(t, codeSystemError, fmt.Sprintf("%d@%.300s is not exist!", queue, topic))
		return
	}
	s.look(t, func(f *Front) ([]byte, error) {
		p := f.partition(route, queue)
		if p == nil {
			return nil, fmt.Errorf("%w: queue %d of topic %s", penstock.ErrNotLeader, queue, topic)
		}
		o := p.Offsets()
		var sub *subscriptionJSON
		var filter string
		if name != "" && f.o.Admin.Crews != nil {
			filter = "null" // there is none but the tags
			if sub = f.subscription(name, topic); sub == nil {
				filter = fmt.Sprintf("%s@%s is not online!", name, topic)
			}
		}
		entries, err := f.entries(p, penstock.Offset(max(from, int64(o.Start))), int(min(max(count, 0), maxEntries)), sub)
		return mustJSON(struct {
			Filter  string            `json:"filterData,omitempty"`
			Max     int64             `json:"maxQueueIndex"`
			Min     int64             `json:"minQueueIndex"`
			Entries []entryJSON       `json:"queueData"`
			Sub     *subscriptionJSON `json:"subscriptionData,omitempty"`
		}{filter, int64(o.HighWatermark), int64(o.Start), entries, sub}), err
	})
}

// entries reads messages, of which it tells what the queue's entries say. It stops at the end, or where an answer is full.
func (f *Front) entries(p *replica.Partition, from penstock.Offset, count int, sub *subscriptionJSON) ([]entryJSON, error) {
	out := []entryJSON{}
	for len(out) < count && from < p.Offsets().HighWatermark {
		es, got, _, err := p.Pull(replica.PullRequest{From: from, Max: 1 << 20, Count: count - len(out), Scan: count}, nil)
		if err != nil {
			return nil, err
		}
		if got.Count == 0 {
			break
		}
		b, err := load(es)
		if err != nil {
			return nil, err
		}
		for len(b) > 0 {
			h, err := message.Format{}.Header(b)
			if err != nil {
				return nil, err
			}
			m, err := message.Parse(b[:h.Size])
			if err != nil {
				return nil, err
			}
			tag, _ := message.Property(m.Properties, message.PropertyTags)
			e := entryJSON{Position: int64(m.Position), Size: h.Size}
			if len(tag) > 0 {
				e.Code = message.TagCode(string(tag))
			}
			e.Taken = sub != nil && (len(sub.Codes) == 0 || slices.Contains(sub.Codes, int32(e.Code)))
			out = append(out, e)
			b = b[h.Size:]
		}
		from = got.Next
	}
	return out, nil
}
