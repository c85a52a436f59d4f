package rocket

// VIEW_MESSAGE_BY_ID (33): the message at a position, which a client has from its offset id.

import (
	"fmt"

	"penstock"
	"penstock/rocket/remoting"
	"penstock/wire"
)

func apiViewMessage() *api {
	return &api{code: 33, name: "VIEW_MESSAGE_BY_ID", frame: smallFrame, right: right{opSub, onTopic}, handle: viewMessage}
}

func viewMessage(s *session, r *request) {
	t := r.ticket()
	q := r.Reader()
	at := q.Int64("offset")
	if err := q.Err(); err != nil {
		s.fail(t, err)
		return
	}
	topic := r.Text("topic")
	t.wire.Release()
	f := s.front
	if ofRecord(penstock.Position(at)) {
		s.viewRecord(t, penstock.Position(at), topic)
		return
	}
	extents, led, err := f.located(penstock.Position(at))
	if err != nil {
		s.refuse(t, codeSystemError, fmt.Sprintf("can not find message by the offset, %d: %v", at, err))
		return
	}
	a := wire.NewAnswer()
	w := remoting.Begin(a.B, t.head(codeSuccess, ""))
	a.B = w.End()
	for _, e := range extents {
		a.Attach(e, led.out)
	}
	f.send(t, codeSuccess, a)
}

// located finds the message at a position, and its topic.
func (f *Front) located(at penstock.Position) ([]penstock.Extent, *route, error) {
	id, off, err := f.o.Locate(at)
	if err != nil {
		return nil, nil, err
	}
	r := f.routes.Load().ids[id.Topic]
	if r == nil {
		return nil, nil, fmt.Errorf("%w: of the message at %d", penstock.ErrUnknownTopic, at)
	}
	p := f.partition(r, id.Partition)
	if p == nil {
		return nil, nil, fmt.Errorf("%w: queue %d of topic %s", penstock.ErrNotLeader, id.Partition, r.name)
	}
	e, err := f.one(p, off)
	return e, r, err
}
