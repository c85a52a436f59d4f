package rocket

// What administrators ask clients, by way of the broker: GET_CONSUMER_RUNNING_INFO (307), CONSUME_MESSAGE_DIRECTLY (309), and
// INVOKE_BROKER_TO_GET_CONSUMER_STATUS (223), for which the broker asks each member by GET_CONSUMER_STATUS_FROM_CLIENT (221). What the client answers
// is passed on as it is. RESET_CONSUMER_CLIENT_OFFSET (220) is not sent: offsets are reset in the broker.

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"penstock/group"
	"penstock/message"
	"penstock/rocket/remoting"
)

func apiRunningInfo() *api {
	return &api{code: 307, name: "GET_CONSUMER_RUNNING_INFO", frame: smallFrame, right: right{opGet, onGroup}, handle: runningInfo}
}

func apiConsumeDirectly() *api {
	return &api{code: 309, name: "CONSUME_MESSAGE_DIRECTLY", frame: smallFrame, right: right{opUpdate, onTopicAndGroup}, handle: consumeDirectly}
}

func apiConsumerStatus() *api {
	return &api{code: 223, name: "INVOKE_BROKER_TO_GET_CONSUMER_STATUS", frame: smallFrame, right: right{opGet, onTopicAndGroup}, handle: consumerStatus}
}

const codeConsumerStatus = 221 // GET_CONSUMER_STATUS_FROM_CLIENT

// copyFields are the request's fields, but for those named.
func copyFields(r *request, but ...string) [][2]string {
	var out [][2]string
next:
	for _, f := range r.Fields {
		for _, name := range but {
			if string(f.Key) == name {
				continue next
			}
		}
		out = append(out, [2]string{string(f.Key), string(f.Value)})
	}
	return out
}

// write writes fields.
func write(w *remoting.Writer, fields [][2]string) {
	for _, f := range fields {
		w.Text(f[0], f[1])
	}
}

// member finds a member of a group by its client id.
func (f *Front) member(name, clientID string) (*session, bool) {
	crew, _ := f.o.Roster.Consumers(name)
	for i := len(crew.Members) - 1; i >= 0; i-- {
		if m := &crew.Members[i]; m.ClientID == clientID {
			s, ok := m.Link.(*session)
			return s, ok
		}
	}
	return nil, false
}

func runningInfo(s *session, r *request) {
	t := r.ticket()
	q := r.Reader()
	name, id := q.Text("consumerGroup"), q.Text("clientId")
	if err := q.Err(); err != nil {
		s.fail(t, err)
		return
	}
	fields := copyFields(r)
	t.wire.Release()
	s.relay(t, name, id, fields, nil)
}

func consumeDirectly(s *session, r *request) {
	t := r.ticket()
	q := r.Reader()
	name, id, msgID, topic := q.Text("consumerGroup"), r.Text("clientId"), r.Text("msgId"), r.Text("topic")
	if err := q.Err(); err != nil {
		s.fail(t, err)
		return
	}
	fields := append(copyFields(r, "brokerName", "topicSysFlag", "groupSysFlag"), [2]string{"brokerName", s.front.o.BrokerName}, [2]string{"topicSysFlag", "0"})
	t.wire.Release()
	if g, ok := s.front.group(name); ok {
		fields = append(fields, [2]string{"groupSysFlag", fmt.Sprint(g.SysFlag)})
	}
	_, at, err := message.ParseOffsetID(msgID)
	if err != nil {
		s.refuse(t, codeSystemError, err.Error())
		return
	}
	s.control(func(context.Context) { // it reads the disk
		b, err := s.front.storedAt(at, topic, s.store)
		if err != nil {
			s.refuse(t, codeSystemError, fmt.Sprintf("can not find message by the offset, %d: %v", at, err))
			return
		}
		s.relay(t, name, id, fields, b)
	})
}

// relay passes a request on to a member of a group, and its answer back.
func (s *session) relay(t ticket, name, id string, fields [][2]string, body []byte) {
	to, ok := s.front.member(name, id)
	if !ok {
		s.refuse(t, codeSystemError, fmt.Sprintf("The Consumer <%.300s> <%.300s> not online", name, id))
		return
	}
	s.front.ask(to, t.api.code, func(w *remoting.Writer) { write(w, fields) }, body, func(a *answer, err error) {
		switch {
		case errors.Is(err, errRelayTime):
			s.refuse(t, codeConsumeTimeout, fmt.Sprintf("consumer <%.300s> <%.300s> Timeout: %v", name, id, err))
		case err != nil:
			s.refuse(t, codeSystemError, fmt.Sprintf("invoke consumer <%.300s> <%.300s> Exception: %v", name, id, err))
		default:
			s.pass(t, a)
		}
	})
}

func consumerStatus(s *session, r *request) {
	t := r.ticket()
	q := r.Reader()
	name, topic, only := q.Text("group"), q.Text("topic"), r.Text("clientAddr")
	if err := q.Err(); err != nil {
		s.fail(t, err)
		return
	}
	t.wire.Release()
	crew, ok := s.front.o.Roster.Consumers(name)
	if !ok {
		s.refuse(t, codeSystemError, fmt.Sprintf("No Any Consumer online in the consumer group: [%.300s]", name))
		return
	}
	var asked []group.Client
	for _, m := range crew.Members {
		if only == "" || only == m.ClientID {
			asked = append(asked, m)
		}
	}
	c := &statusCall{session: s, ticket: t, left: len(asked)}
	if len(asked) == 0 {
		c.answer()
		return
	}
	for _, m := range asked {
		to, ok := m.Link.(*session)
		if !ok {
			c.take(m.ClientID, nil)
			continue
		}
		s.front.ask(to, codeConsumerStatus, func(w *remoting.Writer) {
			w.Text("topic", topic)
			w.Text("group", name)
		}, nil, func(a *answer, err error) {
			if err != nil {
				s.front.o.Logger.Debug("a client does not tell its status", "group", name, "client", m.ClientID, "err", err)
				a = nil
			}
			c.take(m.ClientID, a)
		})
	}
}

// statusCall gathers what members tell of their offsets.
type statusCall struct {
	session *session
	ticket  ticket

	mu    sync.Mutex
	left  int    // guarded by mu: members that have not answered
	table []byte // guarded by mu: entries by client id, as they are sent
}

// take takes what one member says, nil if it says nothing.
func (c *statusCall) take(id string, a *answer) {
	c.mu.Lock()
	if a != nil && a.code == codeSuccess {
		if offsets := valueOf(a.body, "messageQueueTable"); offsets != nil {
			if len(c.table) > 0 {
				c.table = append(c.table, ',')
			}
			c.table = append(append(append(c.table, mustJSON(id)...), ':'), offsets...)
		}
	}
	c.left--
	last := c.left == 0
	c.mu.Unlock()
	if last {
		c.answer()
	}
}

func (c *statusCall) answer() {
	c.session.reply(c.ticket, nil, append(append([]byte(`{"consumerTable":{`), c.table...), `},"messageQueueTable":{}}`...))
}

// valueOf is the object that a body has under a key, as it stands. Bodies of Java's clients have objects for keys, which JSON proper does not know: so
// braces are counted, and strings passed over. It is nil where there is no such object.
func valueOf(body []byte, key string) []byte {
	at, depth := -1, 0
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '"':
			from := i
			for i++; i < len(body) && body[i] != '"'; i++ {
				if body[i] == '\\' {
					i++
				}
			}
			if depth == 1 && at < 0 && i < len(body) && string(body[from+1:i]) == key && i+2 < len(body) && body[i+1] == ':' && body[i+2] == '{' {
				at = i + 2
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; at >= 0 && depth == 1 {
				return body[at : i+1]
			}
		}
	}
	return nil
}

// pass answers with what a client answered.
func (s *session) pass(t ticket, a *answer) {
	out := newAnswerOf(t.head(a.code, a.remark), a)
	s.front.send(t, a.code, out)
}
