package rocket

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"penstock"
	"penstock/group"
	"penstock/meta"
	"penstock/rocket/remoting"
)

// beatBody is a heartbeat as Java's client writes it.
func beatBody(id, name string, topics ...string) string {
	var subs []string
	for _, topic := range topics {
		subs = append(subs, fmt.Sprintf(`{"classFilterMode":false,"codeSet":[2598919],"expressionType":"TAG","subString":"TagA","subVersion":17,"tagsSet":["TagA"],"topic":%q}`, topic))
	}
	return fmt.Sprintf(`{"clientID":%q,"consumerDataSet":[{"consumeFromWhere":"CONSUME_FROM_FIRST_OFFSET","consumeType":"CONSUME_PASSIVELY",`+
		`"groupName":%q,"messageModel":"CLUSTERING","subscriptionDataSet":[%s],"unitMode":false}],"heartbeatFingerprint":0,`+
		`"producerDataSet":[{"groupName":"CLIENT_INNER_PRODUCER"}],"withoutSub":false}`, id, name, strings.Join(subs, ","))
}

// TestHashesOfTags: Java's clients write numbers, the client for Go strings; anything else is no hash.
func TestHashesOfTags(t *testing.T) {
	for text, want := range map[string][]int32{`[2598919,-7]`: {2598919, -7}, `["2598919","-7"]`: {2598919, -7}, `[]`: {}, `["x"]`: nil, `[4294967296]`: nil, `{}`: nil} {
		var c tagCodes
		if err := json.Unmarshal([]byte(text), &c); (err != nil) != (want == nil) || err == nil && !slices.Equal(c, want) {
			t.Errorf("%s: %v, %v", text, c, err)
		}
	}
}

// notice reads what the broker says by itself: that a group has changed.
func (c *client) notice() string {
	c.t.Helper()
	r := c.receive()
	if r == nil || r.code != 40 || r.flag != remoting.FlagOneWay || r.kind != c.kind {
		c.t.Fatalf("%+v", r)
	}
	return r.fields["consumerGroup"]
}

// beats sends a heartbeat and reads its answer, and the notices before it.
func (c *client) beats(body string, notices int) *reply {
	c.t.Helper()
	c.send(c.frame(34, 0, nil, []byte(body)))
	for range notices {
		c.notice()
	}
	r := c.receive()
	if r == nil || r.opaque != c.opaque || r.flag != remoting.FlagResponse {
		c.t.Fatalf("%+v", r)
	}
	return r
}

// TestHeartbeat: a client is a member, its group has a topic for messages that come again, all members hear of a change, and go with their connection.
func TestHeartbeat(t *testing.T) {
	both(t, func(t *testing.T, kind remoting.Kind) {
		h := administered(t)
		h.topic("T", 4, nil)
		a, b := dial(t, h.addr, kind), dial(t, h.addr, kind)
		r := a.beats(beatBody("one", "G", "T", retryPrefix+"G"), 1)
		if r.code != codeSuccess || r.fields["IS_SUPPORT_HEART_BEAT_V2"] != "true" || r.fields["IS_SUB_CHANGE"] != "true" {
			t.Fatalf("%+v", r)
		}
		if topic := h.meta.Image().Topic(retryPrefix + "G"); topic == nil || len(topic.Partitions) != 1 || topic.Format != penstock.FormatMessage {
			t.Fatalf("%+v", topic)
		}
		if s, ok := h.roster.Subscription("G", "T"); !ok || s.Version != 17 || !slices.Equal(s.Codes, []int32{2598919}) || s.Expression != "TagA" {
			t.Errorf("%+v", s)
		}
		contains(t, a.body(38, fields{"consumerGroup": "G"}, ""), `{"consumerIdList":["one"]}`)
		b.beats(beatBody("two", "G", "T", retryPrefix+"G"), 1)
		if g := a.notice(); g != "G" {
			t.Errorf("notice of %q", g)
		}
		contains(t, a.body(38, fields{"consumerGroup": "G"}, ""), `{"consumerIdList":["one","two"]}`)
		d, _ := h.roster.Consumers("G")
		m := d.Members[0]
		if d.From != group.FromFirst || d.Type != group.ConsumePassively || m.Host != a.LocalAddr().String() || m.Language != "GO" || m.Version != remoting.Version {
			t.Errorf("%+v", d)
		}
		if r := b.ask(35, fields{"clientID": "two", "consumerGroup": "G", "producerGroup": "CLIENT_INNER_PRODUCER"}, nil); r.code != codeSuccess {
			t.Fatalf("%+v", r)
		}
		a.notice()
		contains(t, a.body(38, fields{"consumerGroup": "G"}, ""), `{"consumerIdList":["one"]}`)
		b.beats(beatBody("two", "G", "T", retryPrefix+"G"), 1)
		a.notice()
		a.Close()
		if g := b.notice(); g != "G" {
			t.Errorf("notice of %q", g)
		}
		contains(t, b.body(38, fields{"consumerGroup": "G"}, ""), `{"consumerIdList":["two"]}`)
		b.refused(38, fields{"consumerGroup": "none"}, "", codeSystemError, "no consumer for this group, none")
		b.refused(35, fields{"consumerGroup": "G"}, "", codeSystemError, "clientID")
	})
}

// TestHeartbeatKinds: constants by name and by number, groups that there cannot be, what is not JSON.
func TestHeartbeatKinds(t *testing.T) {
	h := build(t, "", nil)
	c := dial(t, h.addr, remoting.JSON)
	body := `{"clientID":"c","consumerDataSet":[{"consumeFromWhere":5,"consumeType":0,"groupName":"G","messageModel":0,"subscriptionDataSet":[{"topic":"T","subString":"*"}]},` +
		`{"groupName":"no such.group"}]}`
	if r := c.ask(34, nil, []byte(body)); r.code != codeSuccess {
		t.Fatalf("%+v", r)
	}
	d, ok := h.roster.Consumers("G")
	if !ok || d.From != group.FromTime || d.Type != group.ConsumeActively || d.Model != group.Broadcasting || d.Subscriptions[0].Kind != "TAG" {
		t.Errorf("%+v", d)
	}
	if _, ok := h.roster.Consumers("no such.group"); ok || h.meta.Image().Topic(retryPrefix+"no such.group") != nil {
		t.Error("a group that there cannot be")
	}
	for words, bad := range map[string]string{
		"heartbeat": `{`, "consumeType": `{"clientID":"c","consumerDataSet":[{"groupName":"G","consumeType":7}]}`,
		"messageModel": `{"clientID":"c","consumerDataSet":[{"groupName":"G","messageModel":"SOME"}]}`,
	} {
		c.refused(34, nil, bad, codeSystemError, words)
	}
	c.refused(34, nil, `{"clientID":"","producerDataSet":[{"groupName":"G"}]}`, codeInvalidParameter, "client id")
	// A consumer without retry queues has no topic for them, one that wants no notices gets none.
	g := meta.DefaultGroup("quiet")
	g.RetryQueues, g.NotifyIDs = 0, false
	if err := h.meta.SetGroup(h.ctx(), g); err != nil {
		t.Fatal(err)
	}
	c.body(34, nil, beatBody("c", "quiet", "T"))
	if h.meta.Image().Topic(retryPrefix+"quiet") != nil {
		t.Error("a topic for a group that wants nothing again")
	}
	c.body(46, nil, `{"clientId":"c","group":"G","subscriptionData":{"expressionType":"TAG","subString":"a"}}`)
	c.refused(46, nil, `{"clientId":"c","group":"G","subscriptionData":{"expressionType":"SQL92","subString":"a > 1"}}`, codeSystemError, "does not support consumer to filter message by SQL92")
}

// TestHeartbeatBare: a heartbeat without subscriptions is told whether they are known.
func TestHeartbeatBare(t *testing.T) {
	h := build(t, "", nil)
	c := dial(t, h.addr, remoting.JSON)
	full := strings.Replace(beatBody("c", "G", "T"), `"heartbeatFingerprint":0`, `"heartbeatFingerprint":99`, 1)
	bare := strings.Replace(strings.Replace(beatBody("c", "G"), `"heartbeatFingerprint":0`, `"heartbeatFingerprint":99`, 1), `"withoutSub":false`, `"withoutSub":true`, 1)
	for i, step := range []struct {
		body    string
		notices int
		want    string
	}{{bare, 1, "true"}, {full, 1, "false"}, {bare, 0, "false"}, {strings.Replace(bare, "99", "98", 1), 0, "true"}} {
		if r := c.beats(step.body, step.notices); r.code != codeSuccess || r.fields["IS_SUB_CHANGE"] != step.want {
			t.Errorf("step %d: %+v", i, r)
		}
	}
	if _, ok := h.roster.Subscription("G", "T"); !ok {
		t.Error("forgotten")
	}
}

// TestHeartbeatOfKafka: a group that has Kafka's members takes none of RocketMQ's.
func TestHeartbeatOfKafka(t *testing.T) {
	h := build(t, "", nil)
	joined := make(chan group.JoinAnswer, 1)
	h.groups.Join("G", group.Join{
		NewID: "m", SessionTimeout: 60 * time.Second, RebalanceTimeout: 60 * time.Second, ProtocolType: "consumer", Protocols: []group.Protocol{{Name: "range"}},
	}, func(a group.JoinAnswer) { joined <- a })
	if a := <-joined; a.Err != nil {
		t.Fatal(a.Err)
	}
	h.topic("T", 1, nil)
	c := dial(t, h.addr, remoting.JSON)
	c.refused(34, nil, beatBody("c", "G", "T"), codeNoPermission, "Kafka's")
	c.refused(15, fields{"consumerGroup": "G", "topic": "T", "queueId": "0", "commitOffset": "1"}, "", codeNoPermission, "Kafka's")
}

// TestConsumerOffsets: what was told is read at once, what was not is not found, or 0 where the first message is still at hand.
func TestConsumerOffsets(t *testing.T) {
	both(t, func(t *testing.T, kind remoting.Kind) {
		h := administered(t)
		h.topic("T", 2, nil)
		c := dial(t, h.addr, kind)
		query := fields{"consumerGroup": "G", "topic": "T", "queueId": "0"}
		c.refused(14, query, "", codeQueryNotFound, "maybe this group consumer boot first") // nothing was ever sent
		for range 3 {
			c.body(310, sendV2("T", 0, ""), "x")
		}
		if r := c.ask(14, query, nil); r.code != codeSuccess || r.number(t, "offset") != 0 {
			t.Errorf("%+v", r)
		}
		c.refused(14, query.with("setZeroIfNotFound", "false"), "", codeQueryNotFound, "do not set to zero")
		update := fields{"consumerGroup": "G", "topic": "T", "queueId": "0", "commitOffset": "2"}
		c.body(15, update, "")
		if r := c.ask(14, query.with("setZeroIfNotFound", "false"), nil); r.code != codeSuccess || r.number(t, "offset") != 2 {
			t.Errorf("%+v", r)
		}
		c.send(c.frame(15, remoting.FlagOneWay, update.with("commitOffset", "3"), nil))
		if r := c.ask(14, query, nil); r.number(t, "offset") != 3 {
			t.Errorf("told one way: %+v", r)
		}
		p := h.replicas.Partition(penstock.PartitionID{Topic: h.meta.Image().Topic("T").ID})
		if err := p.SetStart(1); err != nil {
			t.Fatal(err)
		}
		c.refused(14, query.with("consumerGroup", "H"), "", codeQueryNotFound, "boot first") // the first message is gone
		c.refused(14, query.with("topic", "none"), "", codeQueryNotFound, "boot first")
		c.refused(14, query.with("queueId", "9"), "", codeQueryNotFound, "boot first")
		c.refused(14, query.with("queueId", ""), "", codeSystemError, "queueId")
		c.refused(15, update.with("topic", "none"), "", codeTopicNotExist, "not exist")
		c.refused(15, update.with("queueId", "2"), "", codeInvalidParameter, "2 queues")
		c.refused(15, update.with("queueId", "-1"), "", codeInvalidParameter, "2 queues")
		c.refused(15, update.with("commitOffset", "-1"), "", codeInvalidParameter, "illegal")
		c.refused(15, update.with("consumerGroup", "a b"), "", codeGroupNotExist, "not exist")
		c.refused(15, update.with("consumerGroup", group.ScheduleGroup), "", codeInvalidParameter, "broker's own")
	})
}

// TestOldMessages: a queue whose first message has left the memory is not read from it by who never told an offset.
func TestOldMessages(t *testing.T) {
	for layout, want := range map[penstock.Layout]code{penstock.LayoutCommit: codeQueryNotFound, penstock.LayoutSegment: codeQueryNotFound} {
		h := build(t, "", func(o *Options) { o.Memory = 1000 }) // 400 bytes count
		h.make(meta.NewTopic{Name: "T", Format: penstock.FormatMessage, Layout: layout, Partitions: 1})
		c := dial(t, h.addr, remoting.JSON)
		query := fields{"consumerGroup": "G", "topic": "T", "queueId": "0"}
		c.body(310, sendV2("T", 0, ""), "x")
		if r := c.ask(14, query, nil); r.code != codeSuccess {
			t.Errorf("%v: %+v", layout, r)
		}
		c.body(310, sendV2("T", 0, ""), strings.Repeat("x", 400))
		if r := c.ask(14, query, nil); r.code != want {
			t.Errorf("%v: %+v", layout, r)
		}
	}
}

// TestResetTold: an offset that an administrator has moved is not moved back by a member that has not heard of it.
func TestResetTold(t *testing.T) {
	h := administered(t)
	h.topic("T", 1, nil)
	c := dial(t, h.addr, remoting.JSON)
	for range 5 {
		c.body(310, sendV2("T", 0, ""), "x")
	}
	query := fields{"consumerGroup": "G", "topic": "T", "queueId": "0"}
	c.body(15, query.with("commitOffset", "4"), "")
	c.body(222, fields{"topic": "T", "group": "G", "queueId": "0", "offset": "1", "timestamp": "-1", "isForce": "true"}, "")
	c.body(15, query.with("commitOffset", "5"), "")
	if r := c.ask(14, query, nil); r.number(t, "offset") != 1 {
		t.Errorf("%+v", r)
	}
}

// TestLocks: queues are locked by one client at a time, and only those that there are.
func TestLocks(t *testing.T) {
	h := build(t, "", nil)
	h.topic("T", 2, nil)
	c := dial(t, h.addr, remoting.JSON)
	body := func(id string, queues ...int) string {
		var list []queueJSON
		for _, q := range queues {
			list = append(list, queueJSON{"broker-a", int32(q), "T"})
		}
		return string(mustJSON(lockJSON{"G", id, list}))
	}
	held := func(id string, queues ...int) int {
		t.Helper()
		var l struct {
			OK []queueJSON `json:"lockOKMQSet"`
		}
		if err := json.Unmarshal([]byte(c.body(41, nil, body(id, queues...))), &l); err != nil || l.OK == nil {
			t.Fatal(err, l)
		}
		for _, q := range l.OK {
			if q.Topic != "T" || q.BrokerName != "broker-a" {
				t.Errorf("%+v", q)
			}
		}
		return len(l.OK)
	}
	if a, b, again := held("a", 0, 1, 2, -1), held("b", 0, 1), held("a", 1); a != 2 || b != 0 || again != 1 {
		t.Error(a, b, again)
	}
	c.body(42, nil, body("b", 0)) // not b's
	if n := held("b", 0); n != 0 {
		t.Error(n)
	}
	c.body(42, nil, body("a", 0))
	if n := held("b", 0, 1); n != 1 {
		t.Error(n)
	}
	c.refused(41, nil, "{", codeSystemError, "queues to lock")
	c.refused(42, nil, "{", codeSystemError, "queues to lock")
	c.refused(41, nil, `{"consumerGroup":"","clientId":"a","mqSet":[]}`, codeInvalidParameter, "name")
}
