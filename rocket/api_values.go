package rocket

// PUT_KV_CONFIG (100), GET_KV_CONFIG (101), DELETE_KV_CONFIG (102), GET_KVLIST_BY_NAMESPACE (219): pairs of keys and values that the name server keeps,
// by namespace. ORDER_TOPIC_CONFIG holds the queues of ordered topics.

import (
	"context"
	"fmt"

	"penstock/rocket/remoting"
)

func apiPutValue() *api {
	return &api{code: 100, name: "PUT_KV_CONFIG", frame: smallFrame, right: right{opUpdate, onCluster}, handle: func(s *session, r *request) {
		q := r.Reader()
		value := q.Text("value")
		s.setValue(r, &q, &value)
	}}
}

func apiDeleteValue() *api {
	return &api{code: 102, name: "DELETE_KV_CONFIG", frame: smallFrame, right: right{opUpdate, onCluster}, handle: func(s *session, r *request) {
		q := r.Reader()
		s.setValue(r, &q, nil)
	}}
}

// setValue sets or deletes the pair that a request names.
func (s *session) setValue(r *request, q *remoting.Reader, value *string) {
	space, key := q.Text("namespace"), q.Text("key")
	t := r.ticket()
	if err := q.Err(); err != nil {
		s.fail(t, err)
		return
	}
	t.wire.Release()
	s.control(func(ctx context.Context) {
		if err := s.front.o.Values.SetValue(ctx, space, key, value); err != nil {
			s.fail(t, err)
			return
		}
		s.reply(t, nil, nil)
	})
}

func apiGetValue() *api {
	return &api{code: 101, name: "GET_KV_CONFIG", frame: smallFrame, right: right{opGet, onCluster}, handle: func(s *session, r *request) {
		q := r.Reader()
		space, key := q.Text("namespace"), q.Text("key")
		if err := q.Err(); err != nil {
			s.fail(r.ticket(), err)
			return
		}
		v, ok := s.front.o.Values.Values(space)[key]
		if !ok {
			s.refuse(r.ticket(), codeQueryNotFound, fmt.Sprintf("No config item, Namespace: %.300s Key: %.300s", space, key))
			return
		}
		s.reply(r.ticket(), func(w *remoting.Writer) { w.Text("value", v) }, nil)
	}}
}

func apiListValues() *api {
	return &api{code: 219, name: "GET_KVLIST_BY_NAMESPACE", frame: smallFrame, right: right{opGet, onCluster}, handle: func(s *session, r *request) {
		q := r.Reader()
		space := q.Text("namespace")
		if err := q.Err(); err != nil {
			s.fail(r.ticket(), err)
			return
		}
		table := s.front.o.Values.Values(space)
		if len(table) == 0 {
			s.refuse(r.ticket(), codeQueryNotFound, fmt.Sprintf("No config item, Namespace: %.300s", space))
			return
		}
		s.replyJSON(r, map[string]map[string]string{"table": table})
	}}
}
