package rocket

import (
	"fmt"

	"penstock/replica"
	"penstock/rocket/remoting"
)

// queue finds the queue that a request names by topic and queueId. If there is none the request is answered, and nil returned.
func (s *session) queue(r *request, q *remoting.Reader) *replica.Partition {
	topic, id := q.Text("topic"), q.Int32("queueId")
	if err := q.Err(); err != nil {
		s.fail(r.ticket(), err)
		return nil
	}
	t := s.front.routes.Load().names[topic]
	if t == nil {
		s.refuse(r.ticket(), codeTopicNotExist, fmt.Sprintf("topic[%.300s] not exist", topic))
		return nil
	}
	if id < 0 || int(id) >= len(t.parts) {
		s.refuse(r.ticket(), codeInvalidParameter, fmt.Sprintf("queueId[%d] is illegal, topic %s has %d queues", id, topic, len(t.parts)))
		return nil
	}
	led := s.front.partition(t, id)
	if led == nil {
		s.refuse(r.ticket(), codeServiceNotAvailable, fmt.Sprintf("queue %d of topic %s is not open here: try again", id, topic))
	}
	return led
}

// replyNumber answers with one field.
func (s *session) replyNumber(r *request, key string, n int64) {
	s.reply(r.ticket(), func(w *remoting.Writer) { w.Int(key, n) }, nil)
}
