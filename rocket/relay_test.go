package rocket

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"penstock/rocket/remoting"
)

// reply sends a client's answer to a request of the broker.
func (c *client) reply(to *reply, code int32, f fields, body string) {
	c.t.Helper()
	b := make([]byte, 4)
	w := remoting.Begin(b, remoting.Head{Kind: c.kind, Code: code, Opaque: to.opaque, Flag: remoting.FlagResponse, Remark: "said"})
	for k, v := range f {
		w.Text(k, v)
	}
	b = append(w.End(), body...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	c.send(b)
}

// asked reads a request of the broker.
func (c *client) asked(code code) *reply {
	c.t.Helper()
	r := c.receive()
	if r == nil || r.code != code || r.flag != 0 {
		c.t.Fatalf("%+v", r)
	}
	return r
}

// outstanding is how many requests wait.
func (r *relays) outstanding() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiting)
}

// TestRelay: what an administrator asks a member goes to its connection, in its kind of header, and the answer comes back.
func TestRelay(t *testing.T) {
	both(t, func(t *testing.T, kind remoting.Kind) {
		h := administered(t)
		h.topic("T", 1, nil)
		member, admin, other := dial(t, h.addr, kind), dial(t, h.addr, remoting.JSON), dial(t, h.addr, kind)
		member.beats(beatBody("one", "G", "T"), 1)
		ask := fields{"consumerGroup": "G", "clientId": "one", "jstackEnable": "true"}
		admin.send(admin.frame(307, 0, ask, nil))
		q := member.asked(307)
		if q.fields["jstackEnable"] != "true" || q.fields["clientId"] != "one" {
			t.Errorf("%+v", q)
		}
		other.reply(q, 0, nil, "forged")
		other.ask(38, fields{"consumerGroup": "G"}, nil) // what was forged has been read
		member.reply(q, 0, fields{"k": "v"}, `{"properties":{}}`)
		r := admin.receive()
		if r.code != codeSuccess || string(r.body) != `{"properties":{}}` || r.fields["k"] != "v" || r.opaque != admin.opaque || r.remark != "said" {
			t.Errorf("%+v", r)
		}
		member.reply(q, 0, nil, "again")
		admin.refused(307, fields{"consumerGroup": "G", "clientId": "none"}, "", codeSystemError, "not online")
		admin.refused(307, fields{"consumerGroup": "none", "clientId": "one"}, "", codeSystemError, "not online")
		admin.refused(307, fields{"consumerGroup": "G"}, "", codeSystemError, "clientId")

		// A message for the member to consume.
		sent := admin.ask(310, sendV2("T", 0, ""), []byte("body"))
		admin.send(admin.frame(309, 0, fields{"consumerGroup": "G", "clientId": "one", "msgId": sent.fields["msgId"], "topic": "T"}, nil))
		q = member.asked(309)
		if ms := q.messages(t); len(ms) != 1 || string(ms[0].Body) != "body" || q.fields["brokerName"] != "broker-a" {
			t.Errorf("%+v", q)
		}
		member.reply(q, 0, nil, `{"consumeResult":"CR_SUCCESS"}`)
		if r := admin.receive(); string(r.body) != `{"consumeResult":"CR_SUCCESS"}` {
			t.Errorf("%+v", r)
		}
		admin.refused(309, fields{"consumerGroup": "G", "clientId": "one", "msgId": "x"}, "", codeSystemError, "message id")
		admin.refused(309, fields{"consumerGroup": "G", "clientId": "one", "msgId": strings.Repeat("0", 31) + "7"}, "", codeSystemError, "can not find")

		// The member goes while it is asked.
		admin.send(admin.frame(307, 0, ask, nil))
		member.asked(307)
		member.Close()
		if r := admin.receive(); r.code != codeSystemError || !strings.Contains(r.remark, "ended") {
			t.Errorf("%+v", r)
		}
		if n := h.front.relays.outstanding(); n != 0 {
			t.Errorf("%d wait", n)
		}
	})
}

// TestConsumerStatus gathers what members tell.
func TestConsumerStatus(t *testing.T) {
	h := administered(t)
	h.topic("T", 1, nil)
	a, b, admin := dial(t, h.addr, remoting.JSON), dial(t, h.addr, remoting.Binary), dial(t, h.addr, remoting.JSON)
	a.beats(beatBody("one", "G", "T"), 1)
	b.beats(beatBody("two", "G", "T"), 1)
	a.notice()
	admin.send(admin.frame(223, 0, fields{"topic": "T", "group": "G"}, nil))
	q := a.asked(221)
	if q.fields["topic"] != "T" || q.fields["group"] != "G" {
		t.Errorf("%+v", q)
	}
	a.reply(q, 0, nil, `{"consumerTable":{},"messageQueueTable":{{"brokerName":"b{","queueId":0,"topic":"T"}:7}}`)
	b.reply(b.asked(221), 1, nil, "")
	if r := admin.receive(); string(r.body) != `{"consumerTable":{"one":{{"brokerName":"b{","queueId":0,"topic":"T"}:7}},"messageQueueTable":{}}` {
		t.Errorf("%s", r.body)
	}
	admin.send(admin.frame(223, 0, fields{"topic": "T", "group": "G", "clientAddr": "two"}, nil))
	b.reply(b.asked(221), 0, nil, `{"messageQueueTable":{}}`)
	if r := admin.receive(); string(r.body) != `{"consumerTable":{"two":{}},"messageQueueTable":{}}` {
		t.Errorf("%s", r.body)
	}
	if r := admin.ask(223, fields{"topic": "T", "group": "G", "clientAddr": "none"}, nil); string(r.body) != `{"consumerTable":{},"messageQueueTable":{}}` {
		t.Errorf("%s", r.body)
	}
	admin.refused(223, fields{"topic": "T", "group": "none"}, "", codeSystemError, "No Any Consumer online")
}

// TestRelayLimits: requests to clients are bounded, and one whose time is over counts no more.
func TestRelayLimits(t *testing.T) {
	h := administered(t)
	h.topic("T", 1, nil)
	member := dial(t, h.addr, remoting.JSON)
	member.beats(beatBody("one", "G", "T"), 1)
	s, ok := h.front.member("G", "one")
	if !ok {
		t.Fatal("no member")
	}
	r := &h.front.relays
	errs := make(chan error, 2)
	ask := func() { h.front.ask(s, 307, nil, nil, func(_ *answer, err error) { errs <- err }) }
	ask()
	q := member.asked(307)
	r.mu.Lock()
	one := r.waiting[q.opaque]
	for n := int32(1 << 30); len(r.waiting) < maxRelays; n++ {
		r.waiting[n] = one
	}
	r.mu.Unlock()
	ask()
	if err := <-errs; err == nil || !strings.Contains(err.Error(), "as many as may") {
		t.Error(err)
	}
	r.mu.Lock()
	r.waiting = map[int32]*relay{q.opaque: one}
	r.mu.Unlock()
	one.timer.Reset(0)
	if err := <-errs; !errors.Is(err, errRelayTime) {
		t.Error(err)
	}
	member.reply(q, 0, nil, "late")
	member.ask(38, fields{"consumerGroup": "G"}, nil)
	if len(errs) != 0 || r.outstanding() != 0 {
		t.Error("a late answer counts")
	}
}

func TestValueOf(t *testing.T) {
	for body, want := range map[string]string{
		`{"k":{}}`: `{}`, `{"a":{"k":{"x":1}},"k":{"y":2}}`: `{"y":2}`, `{"k":{{"q":"}\"{"}:1}}`: `{{"q":"}\"{"}:1}`, `{"k":1}`: "", `{`: "", `"`: "", `{"k":{`: "", `}`: "", "": "",
	} {
		if got := string(valueOf([]byte(body), "k")); got != want {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
}
