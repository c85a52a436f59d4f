package rocket

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"penstock/message"
	"penstock/rocket/remoting"
)

// TestSendAndPull: a message comes back as it was sent, with what the broker adds, under the id and the offset that the producer was told; in both
// kinds of header, with short and long names of fields.
func TestSendAndPull(t *testing.T) {
	both(t, func(t *testing.T, kind remoting.Kind) {
		h := build(t, "", nil)
		h.topic("orders", 2, nil)
		c := dial(t, h.addr, kind)
		for i, request := range []struct {
			code int32
			f    fields
		}{
			{310, sendV2("orders", 1, props("UNIQ_KEY", "0A01", "TAGS", "ä \"quoted\"\\", "WAIT", "true"))},
			{10, fields{
				"producerGroup": "producers", "topic": "orders", "defaultTopic": templateTopic, "defaultTopicQueueNums": "4", "queueId": "1",
				"sysFlag": "0", "bornTimestamp": "1700000000000", "flag": "7", "properties": props("UNIQ_KEY", "0A01", "TAGS", "ä \"quoted\"\\", "WAIT", "true"),
			}},
		} {
			r := c.ask(request.code, request.f, []byte("hello"))
			if r.code != codeSuccess || r.fields["queueId"] != "1" || r.fields["queueOffset"] != strconv.Itoa(i) || r.fields["transactionId"] != "0A01" ||
				r.fields["MSG_REGION"] != "DefaultRegion" || r.fields["TRACE_ON"] != "true" {
				t.Fatalf("request %d: %+v", request.code, r)
			}
			host, at, err := message.ParseOffsetID(r.fields["msgId"])
			if err != nil || host.String() != h.addr {
				t.Fatalf("id %s: %v %v", r.fields["msgId"], host, err)
			}
			got := c.ask(11, pullOf("orders", 1, int64(i), "*"), nil)
			ms := got.messages(t)
			if got.code != codeSuccess || got.remark != "FOUND" || len(ms) != 1 || got.number(t, "nextBeginOffset") != int64(i)+1 ||
				got.number(t, "minOffset") != 0 || got.number(t, "maxOffset") != int64(i)+1 || got.number(t, "suggestWhichBrokerId") != 0 {
				t.Fatalf("pull: %+v", got)
			}
			m := ms[0]
			if string(m.Body) != "hello" || string(m.Topic) != "orders" || m.QueueID != 1 || m.QueueOffset != asOffset(i) || m.Position != at || m.Flag != 7 ||
				m.BornTime != 1700000000000 || m.BornHost.String() != c.LocalAddr().String() || m.StoreHost.String() != h.addr || !m.WithRecordCRC {
				t.Errorf("stored %+v", m)
			}
			if property(m, "UNIQ_KEY") != "0A01" || property(m, "TAGS") != "ä \"quoted\"\\" || property(m, "WAIT") != "true" || property(m, "CLUSTER") != "DefaultCluster" {
				t.Errorf("properties %q", m.Properties)
			}
		}
	})
}

// TestSendIDs: a producer that gives no id is given one, another for each message.
func TestSendIDs(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	c := dial(t, h.addr, remoting.JSON)
	seen := map[string]bool{}
	for range 5 {
		id := c.ask(310, sendV2("t", 0, "").with("i", ""), []byte("x")).fields["transactionId"]
		if len(id) != 32 || seen[id] {
			t.Errorf("id %q", id)
		}
		seen[id] = true
	}
	for _, m := range c.ask(11, pullOf("t", 0, 0, ""), nil).messages(t) {
		if !seen[property(m, "UNIQ_KEY")] {
			t.Errorf("stored with id %q", property(m, "UNIQ_KEY"))
		}
	}
}

// item is one message of a batch as producers encode it.
func item(body, props string) []byte {
	be := binary.BigEndian
	b := be.AppendUint32(nil, uint32(5*4+len(body)+2+len(props)))
	b = be.AppendUint32(b, 0)
	b = be.AppendUint32(b, 0)
	b = be.AppendUint32(b, 3)
	b = be.AppendUint32(b, uint32(len(body)))
	b = append(b, body...)
	b = be.AppendUint16(b, uint16(len(props)))
	return append(b, props...)
}

// TestSendBatch: a batch is stored as ordinary messages one behind another, each with its own flag and properties, and answered with all ids; by
// SEND_BATCH_MESSAGE, and by SEND_MESSAGE_V2 with the flag.
func TestSendBatch(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	c := dial(t, h.addr, remoting.JSON)
	var body []byte
	for i := range 3 {
		body = append(body, item(fmt.Sprint("m", i), props("UNIQ_KEY", fmt.Sprint("K", i)))...)
	}
	for i, code := range []int32{320, 310} {
		r := c.ask(code, sendV2("t", 0, props("UNIQ_KEY", "WHOLE")).with("m", "true"), body)
		ids := strings.Split(r.fields["msgId"], ",")
		if r.code != codeSuccess || len(ids) != 3 || r.fields["queueOffset"] != strconv.Itoa(3*i) {
			t.Fatalf("%+v", r)
		}
		for j, m := range c.ask(11, pullOf("t", 0, int64(3*i), "*"), nil).messages(t) {
			_, at, err := message.ParseOffsetID(ids[j])
			if err != nil || m.Position != at || string(m.Body) != fmt.Sprint("m", j) || property(m, "UNIQ_KEY") != fmt.Sprint("K", j) || m.Flag != 3 {
				t.Errorf("message %d: %+v, id %s", j, m, ids[j])
			}
		}
	}
	for _, bad := range [][]byte{body[:len(body)-1], append([]byte{0, 0, 0, 1}, body...), []byte("x")} {
		if r := c.ask(320, sendV2("t", 0, ""), bad); r.code != codeMessageIllegal {
			t.Errorf("a body that is no batch: %+v", r)
		}
	}
	if n := c.ask(30, fields{"topic": "t", "queueId": "0"}, nil).number(t, "offset"); n != 6 {
		t.Errorf("%d messages after bad batches, want 6", n)
	}
}

// TestSendRefusals: what is refused, with RocketMQ's codes, and a remark that says why. Nothing is stored.
func TestSendRefusals(t *testing.T) {
	h := build(t, "", func(o *Options) { o.Limits.MessageBytes = 1000 })
	h.topic("t", 2, nil)
	h.topic("small", 1, map[string]string{"max.message.bytes": "300"})
	h.topic("closed", 1, map[string]string{"rocketmq.perm": "4"})
	c := dial(t, h.addr, remoting.JSON)
	good := sendV2("t", 0, "")
	for _, test := range []struct {
		what string
		code int32
		f    fields
		body string
		want code
		text string
	}{
		{"no topic", 310, good.with("b", ""), "x", codeSystemError, "the custom field <topic> is null"},
		{"a queue that is no number", 310, good.with("e", "one"), "x", codeSystemError, "<e> is"},
		{"a queue beyond 32 bits", 310, good.with("e", "4294967296"), "x", codeSystemError, "<e> is"},
		{"no body", 310, good, "", codeMessageIllegal, "without a body"},
		{"a large body", 310, good, strings.Repeat("x", 1001), codeMessageIllegal, "at most 1000"},
		{"a body that is much too large", 310, good, strings.Repeat("x", 15<<20), codeMessageIllegal, "at most 1000"},
		{"more than the topic takes", 310, good.with("b", "small"), strings.Repeat("x", 250), codeMessageIllegal, "takes 300"},
		{"properties too long", 310, good.with("i", strings.Repeat("x", 32768)), "x", codeMessageIllegal, "at most 32767"},
		{"properties too long once the broker's are there", 310, good.with("i", props("K", strings.Repeat("x", 32760))), "x", codeMessageIllegal, "properties"},
		{"a queue that is not there", 310, good.with("e", "2"), "x", codeInvalidParameter, "queueId[2] is illegal"},
		{"a name that is none", 310, good.with("b", "a.b"), "x", codeInvalidParameter, "illegal characters"},
		{"a name too long", 310, good.with("b", strings.Repeat("x", 128)), "x", codeInvalidParameter, "longer than"},
		{"a topic that nobody creates", 310, good.with("b", "new", "c", "t"), "x", codeTopicNotExist, "not exist"},
		{"a topic of no queues", 310, good.with("b", "new", "d", "0"), "x", codeTopicNotExist, "not exist"},
		{"read only", 310, good.with("b", "closed"), "x", codeNoPermission, "forbidden"},
		{"the broker's own", 310, good.with("b", delayTopic), "x", codeNoPermission, "forbidden"},
		{"the template", 310, good.with("b", templateTopic), "x", codeNoPermission, "forbidden"},
		{"a transaction", 310, good.with("i", props("TRAN_MSG", "true")), "x", codeNoPermission, "transactions"},
		{"an arbitrary delay", 310, good.with("i", props("TIMER_DELAY_MS", "10")), "x", codeMessageIllegal, "TIMER_DELAY_MS"},
		{"an inner batch", 310, good.with("i", props("INNER_NUM", "10")), "x", codeMessageIllegal, "INNER_NUM"},
		{"a batch for a retry topic", 320, good.with("b", retryPrefix+"g"), string(item("x", "")), codeMessageIllegal, "batch request does not support"},
		{"pop", 200050, fields{}, "", codeNotSupported, "pop"},
		{"the end of a transaction", 37, fields{}, "", codeNotSupported, "transactions"},
		{"what nobody has heard of", 9999, fields{}, "", codeNotSupported, "9999"},
	} {
		if r := c.ask(test.code, test.f, []byte(test.body)); r.code != test.want || !strings.Contains(r.remark, test.text) {
			t.Errorf("%s: %d %q", test.what, r.code, r.remark)
		}
	}
	for _, topic := range []string{"t", "small", "closed"} {
		if n := c.ask(30, fields{"topic": topic, "queueId": "0"}, nil).number(t, "offset"); n != 0 {
			t.Errorf("%d messages in %s", n, topic)
		}
	}
	if r := h.front.routes.Load().names["new"]; r != nil {
		t.Error("a topic was created by what was refused")
	}
}

// TestOneWay: a request that wants no answer gets none and takes effect, also when it fails.
func TestOneWay(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	c := dial(t, h.addr, remoting.JSON)
	c.send(c.frame(310, remoting.FlagOneWay, sendV2("t", 0, ""), []byte("a")),
		c.frame(310, remoting.FlagOneWay, sendV2("t", 7, ""), []byte("refused")),
		c.frame(9999, remoting.FlagOneWay, nil, nil),
		c.frame(310, remoting.FlagOneWay, sendV2("t", 0, "").with("a", ""), []byte("refused")),
		c.frame(310, remoting.FlagOneWay, sendV2("t", 0, ""), []byte("b")))
	if r := c.ask(30, fields{"topic": "t", "queueId": "0"}, nil); r.code != codeSuccess {
		t.Fatalf("%+v", r)
	}
	h.until("both messages are seen", func() bool {
		return c.ask(30, fields{"topic": "t", "queueId": "0"}, nil).number(t, "offset") == 2
	})
	for i, m := range c.ask(11, pullOf("t", 0, 0, "*"), nil).messages(t) {
		if string(m.Body) != "ab"[i:i+1] {
			t.Errorf("message %d: %s", i, m.Body)
		}
	}
}

// TestAutoCreate: the first message creates its topic with as many queues as its producer and the broker agree on, several at once create it once, and
// all are stored; topics that are retried are created whatever the default topic.
func TestAutoCreate(t *testing.T) {
	h := build(t, "", nil)
	c := dial(t, h.addr, remoting.JSON)
	var frames [][]byte
	for range 20 {
		frames = append(frames, c.frame(310, 0, sendV2("fresh", 0, ""), []byte("x")))
	}
	c.send(frames...)
	for range frames {
		if r := c.receive(); r == nil || r.code != codeSuccess {
			t.Fatalf("%+v", r)
		}
	}
	if n := c.ask(30, fields{"topic": "fresh", "queueId": "0"}, nil).number(t, "offset"); n != 20 {
		t.Errorf("%d messages, want 20", n)
	}
	for _, test := range []struct {
		topic, like, queues string
		want                int
	}{
		{"few", templateTopic, "2", 2}, {"many", templateTopic, "64", 8}, {"cluster", "DefaultCluster", "64", 16}, {"broker", "broker-a", "4", 1},
		{retryPrefix + "g", "nothing", "4", 1},
	} {
		if r := c.ask(310, sendV2(test.topic, 0, "").with("c", test.like, "d", test.queues), []byte("x")); r.code != codeSuccess {
			t.Fatalf("%s: %+v", test.topic, r)
		}
		if n := len(h.meta.Image().Topic(test.topic).Partitions); n != test.want {
			t.Errorf("%s: %d queues, want %d", test.topic, n, test.want)
		}
	}
}

// TestNoAutoCreate: turned off, nothing is created but what the broker itself needs, and the default topic has no route.
func TestNoAutoCreate(t *testing.T) {
	h := build(t, "", func(o *Options) { o.NoAutoCreate = true })
	c := dial(t, h.addr, remoting.JSON)
	if r := c.ask(310, sendV2("fresh", 0, ""), []byte("x")); r.code != codeTopicNotExist {
		t.Errorf("%+v", r)
	}
	if r := c.ask(310, sendV2(retryPrefix+"g", 0, ""), []byte("x")); r.code != codeSuccess {
		t.Errorf("%+v", r)
	}
	if r := dial(t, h.names, remoting.JSON).ask(105, fields{"topic": templateTopic}, nil); r.code != codeTopicNotExist {
		t.Errorf("%+v", r)
	}
}

// TestRetryAndDead: a message for a retry topic goes there until it has come back more often than its group, or the message, allows; then to the dead
// letters, with what tells of a delay taken off.
func TestRetryAndDead(t *testing.T) {
	h := build(t, "", nil)
	g := *h.front.mustGroup(t, "g")
	g.Name, g.RetryMax = "g", 3
	if err := h.meta.SetGroup(h.ctx(), g); err != nil {
		t.Fatal(err)
	}
	c := dial(t, h.addr, remoting.JSON)
	for _, test := range []struct {
		times, most string
		dead        bool
	}{{"3", "", false}, {"4", "", true}, {"4", "9", false}, {"10", "9", true}, {"1", "0", true}, {"4", "-1", true}} {
		before := h.end(deadPrefix + "g")
		f := sendV2(retryPrefix+"g", 0, props("UNIQ_KEY", "K", "A", "b")).with("j", test.times, "l", test.most)
		if test.dead {
			f["i"] += props("DELAY", "5")
		}
		if r := c.ask(310, f, []byte("x")); r.code != codeSuccess {
			t.Fatalf("%+v", r)
		}
		if got := h.end(deadPrefix+"g") > before; got != test.dead {
			t.Errorf("%s times of %s: dead %v, want %v", test.times, test.most, got, test.dead)
		}
	}
	for _, m := range c.ask(11, pullOf(deadPrefix+"g", 0, 0, "*"), nil).messages(t) {
		if string(m.Topic) != deadPrefix+"g" || property(m, "DELAY") != "-1" || property(m, "A") != "b" {
			t.Errorf("%+v %q", m, m.Properties)
		}
	}
	if r := c.ask(310, sendV2(retryPrefix+strings.Repeat("g", 121), 0, ""), []byte("x")); r.code != codeGroupNotExist {
		t.Errorf("a group of which there can be none: %+v", r)
	}
}

// TestDelayed: a message with a level of delay lies in the queue of its level, the highest if it asks for more, and names where it is to go.
func TestDelayed(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 4, nil)
	c := dial(t, h.addr, remoting.JSON)
	for _, test := range []struct {
		level string
		queue int
	}{{"1", 0}, {"3", 2}, {"18", 17}, {"99", 17}} {
		r := c.ask(310, sendV2("t", 3, props("DELAY", test.level, "TIMER_DELAY_MS", "5", "REAL_TOPIC", "forged", "KEYS", "k")), []byte("x"))
		if r.code != codeSuccess || r.fields["queueId"] != "3" {
			t.Fatalf("%+v", r)
		}
		ms := c.ask(11, pullOf(delayTopic, test.queue, r.number(t, "queueOffset"), "*"), nil).messages(t)
		if len(ms) != 1 {
			t.Fatalf("level %s: %d messages in queue %d", test.level, len(ms), test.queue)
		}
		m := ms[0]
		if string(m.Topic) != delayTopic || m.QueueID != int32(test.queue) || property(m, "REAL_TOPIC") != "t" || property(m, "REAL_QID") != "3" ||
			property(m, "DELAY") != test.level || property(m, "KEYS") != "k" || property(m, "TIMER_DELAY_MS") != "" {
			t.Errorf("%+v %q", m, m.Properties)
		}
	}
	if n := h.end("t"); n != 0 {
		t.Errorf("%d messages in the topic before their time", n)
	}
	if r := c.ask(310, sendV2("t", 0, props("DELAY", "0")), []byte("x")); r.code != codeSuccess || h.end("t") != 1 {
		t.Errorf("level 0: %+v", r)
	}
}

// TestSendsTogether: many sends in one write, to several queues and topics, with and without waiting for the disk, of which some are refused: each is
// answered for itself, with the place that its message really has, and each queue keeps the order.
func TestSendsTogether(t *testing.T) {
	h := build(t, "", nil)
	h.topic("a", 3, nil)
	h.topic("b", 2, relaxed)
	h.topic("small", 1, map[string]string{"max.message.bytes": "400"})
	c := dial(t, h.addr, remoting.Binary)
	type sent struct {
		topic string
		queue int
		body  string
	}
	all := map[int32]sent{}
	var frames [][]byte
	for i := range 300 {
		s := sent{[]string{"a", "b", "small"}[i%3], i % 2, fmt.Sprint("message ", i)}
		p := props("UNIQ_KEY", fmt.Sprint("K", i), "WAIT", fmt.Sprint(i%5 != 0))
		if s.topic == "small" {
			s.queue = 0
			if i%2 == 0 {
				s.body = strings.Repeat("x", 500)
			}
		}
		frames = append(frames, c.frame(310, 0, sendV2(s.topic, s.queue, p), []byte(s.body)))
		all[c.opaque] = s
	}
	c.send(frames...)
	at := map[string]string{} // topic, queue and offset to body
	ids := map[string]string{}
	for range frames {
		r := c.receive()
		s := all[r.opaque]
		delete(all, r.opaque)
		if large := len(s.body) == 500; large != (r.code == codeMessageIllegal) || !large && r.code != codeSuccess {
			t.Fatalf("%+v: %+v", s, r)
		}
		if r.code == codeSuccess {
			key := fmt.Sprintf("%s/%d/%s", s.topic, s.queue, r.fields["queueOffset"])
			if at[key] != "" {
				t.Errorf("%s given to %q and %q", key, at[key], s.body)
			}
			at[key], ids[key] = s.body, r.fields["msgId"]
		}
	}
	n := 0
	for topic, queues := range map[string]int{"a": 2, "b": 2, "small": 1} {
		for q := range queues {
			last := -1
			for from := int64(0); ; {
				r := c.ask(11, pullOf(topic, q, from, "*"), nil)
				if r.code != codeSuccess {
					break
				}
				for _, m := range r.messages(t) {
					key := fmt.Sprintf("%s/%d/%d", topic, q, m.QueueOffset)
					if at[key] != string(m.Body) || ids[key] != message.OffsetID(m.StoreHost, m.Position) {
						t.Errorf("%s: %q, told %q; id %s of %d", key, m.Body, at[key], ids[key], m.Position)
					}
					var i int
					if _, err := fmt.Sscanf(string(m.Body), "message %d", &i); err != nil || i <= last {
						t.Errorf("%s: %q after %d", key, m.Body, last)
					}
					last = i
					n++
				}
				from = r.number(t, "nextBeginOffset")
			}
		}
	}
	if n != len(at) || n != 250 {
		t.Errorf("%d messages, %d were answered", n, len(at))
	}
}
