package rocket

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"penstock"
	"penstock/group"
	"penstock/meta"
	"penstock/metric"
	"penstock/rocket/remoting"
)

// linked is a connection of a client in the roster.
type linked struct{ changes int }

func (l *linked) ConsumersChanged(string) { l.changes++ }

// administered builds a house whose front answers administrators.
func administered(t *testing.T) *house {
	h := build(t, "", func(o *Options) {
		o.Admin = Admin{
			Crews:  o.Roster.(*group.Roster),
			Groups: o.Groups.(*group.Coordinator),
			Config: o.Topics.(*meta.Store),
			Runtime: func() Runtime {
				return Runtime{Started: 1, DiskTotal: 1000, DiskFree: 250, MaxPosition: 77, LogDir: "/x", EarliestTime: penstock.NoTimestamp}
			},
			BrokerConfig: func() map[string]string { return map[string]string{"brokerName": "broker-a", "aKey": "x"} },
		}
	})
	return h
}

// beat lets a client consume a topic in a group, and produce in another.
func (h *house) beat(name, topic, id string) *linked {
	h.t.Helper()
	l := &linked{}
	_, err := h.roster.Beat(&group.Beat{
		Client:    group.Client{Link: l, ClientID: id, Host: "127.0.0.1:5", Language: "JAVA", Version: 479},
		Producers: []string{"P"},
		Consumers: []group.Consumer{{
			Group: name, Type: group.ConsumePassively, Model: group.Clustering, From: group.FromFirst,
			Subscriptions: []group.Subscription{{Topic: topic, Kind: "TAG", Expression: "a || b", Tags: []string{"a", "b"}, Codes: []int32{97, 98}, Version: 5}},
		}},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return l
}

// body asks, wants success, and gives the body.
func (c *client) body(code int32, f fields, body string) string {
	c.t.Helper()
	r := c.ask(code, f, []byte(body))
	if r.code != codeSuccess {
		c.t.Fatalf("request %d: code %d, %s", code, r.code, r.remark)
	}
	return string(r.body)
}

// refused asks and wants a code.
func (c *client) refused(code int32, f fields, body string, want code, words string) {
	c.t.Helper()
	r := c.ask(code, f, []byte(body))
	if r.code != want || !strings.Contains(r.remark, words) {
		c.t.Fatalf("request %d: code %d, %q, want %v with %q", code, r.code, r.remark, want, words)
	}
}

// contains wants parts in a body.
func contains(t *testing.T, body string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(body, p) {
			t.Fatalf("no %s in\n%s", p, body)
		}
	}
}

func TestAdministerTopics(t *testing.T) {
	both(t, func(t *testing.T, kind remoting.Kind) {
		h := administered(t)
		c := dial(t, h.addr, kind)
		create := fields{"topic": "T", "readQueueNums": "3", "writeQueueNums": "2", "perm": "6", "topicFilterType": "SINGLE_TAG", "order": "true", "attributes": "+message.type=FIFO,+penstock.layout=segment"}
		c.body(17, create, "")
		topic := h.meta.Image().Topic("T")
		if topic == nil || len(topic.Partitions) != 3 || topic.Layout != penstock.LayoutSegment || topic.Format != penstock.FormatMessage {
			t.Fatalf("created %+v", topic)
		}
		var one topicJSON
		if err := json.Unmarshal([]byte(c.body(351, fields{"topic": "T"}, "")), &one); err != nil {
			t.Fatal(err)
		}
		if one.ReadQueueNums != 3 || one.WriteQueueNums != 2 || !one.Order || one.Perm != 6 || one.Attributes["message.type"] != "FIFO" {
			t.Fatalf("described as %+v", one)
		}
		// A change: more queues, no writing, no order; the layout stays.
		c.body(17, create.with("readQueueNums", "4", "writeQueueNums", "4", "perm", "4", "order", "false", "attributes", "-message.type"), "")
		one = topicJSON{}
		if err := json.Unmarshal([]byte(c.body(351, fields{"topic": "T"}, "")), &one); err != nil {
			t.Fatal(err)
		}
		if one.ReadQueueNums != 4 || one.WriteQueueNums != 4 || one.Order || one.Perm != 4 || len(one.Attributes) != 0 {
			t.Fatalf("after the change described as %+v", one)
		}
		c.refused(17, create.with("attributes", "+penstock.layout=commit"), "", codeInvalidParameter, "chosen when it is created")
		c.refused(17, create.with("topic", "rmq_sys_x"), "", codeInvalidParameter, "conflict with system topic")
		c.refused(17, create.with("topic", "a b"), "", codeInvalidParameter, "illegal characters")
		c.refused(17, create.with("topic", "U", "readQueueNums", "0", "writeQueueNums", "0"), "", codeInvalidParameter, "want 1 to")
		c.refused(17, create.with("topic", "U", "readQueueNums", "99999999"), "", codeInvalidParameter, "want 1 to")
		c.refused(17, create.with("topic", "U", "attributes", "x"), "", codeInvalidParameter, "+name=value")
		c.refused(351, fields{"topic": "none"}, "", codeTopicNotExist, "not exist")

		r := c.ask(21, fields{"topicSeq": "0"}, nil)
		if n := r.number(t, "totalTopicNum"); n < 1 {
			t.Fatalf("%d topics in all", n)
		}
		contains(t, string(r.body), `"topicName":"T"`, `"dataVersion":{`)
		if r = c.ask(21, fields{"topicSeq": "1000000"}, nil); strings.Contains(string(r.body), "topicName") {
			t.Fatalf("topics beyond the last: %s", r.body)
		}
		c.body(215, fields{"topic": "T"}, "")
		c.body(215, fields{"topic": "T"}, "") // gone already
		c.refused(202, fields{"topic": "T"}, "", codeTopicNotExist, "not exist")
	})
}

func TestAdministerGroups(t *testing.T) {
	h := administered(t)
	c := dial(t, h.addr, remoting.JSON)
	contains(t, c.body(352, fields{"group": "G"}, ""), `"retryMaxTimes":16`, `"groupRetryPolicy":{"type":"CUSTOMIZED"}`)
	c.body(200, nil, `{"groupName":"G","retryMaxTimes":3,"consumeBroadcastEnable":false,"attributes":{"+a":"1","+b":"2"}}`)
	g := h.meta.Image().Group("G")
	if g == nil || g.RetryMax != 3 || g.Broadcast || !g.Consume || g.Attributes["a"] != "1" {
		t.Fatalf("kept %+v", g)
	}
	// What is not named keeps its value.
	c.body(200, nil, `{"groupName":"G","consumeEnable":false,"attributes":{"-a":""}}`)
	if g = h.meta.Image().Group("G"); g.RetryMax != 3 || g.Consume || g.Attributes["a"] != "" || g.Attributes["b"] != "2" {
		t.Fatalf("after the change kept %+v", g)
	}
	c.body(225, nil, `{"groupConfigList":[{"groupName":"H"},{"groupName":"I","retryQueueNums":2}]}`)
	r := c.ask(201, nil, nil)
	if n := r.number(t, "totalGroupNum"); n != 3 {
		t.Fatalf("%d groups", n)
	}
	contains(t, string(r.body), `"G":{`, `"H":{`, `"I":{`)
	c.refused(200, nil, `{"groupName":"a b"}`, codeInvalidParameter, "illegal characters")
	c.refused(200, nil, `{"groupName":`, codeInvalidParameter, "configuration of a group")
	c.refused(200, nil, `{"groupName":"G","retryQueueNums":-7}`, codeInvalidParameter, "")
	c.body(207, fields{"groupName": "G", "cleanOffset": "true"}, "")
	if h.meta.Image().Group("G") != nil {
		t.Fatal("the group is still configured")
	}
}

func TestAdministerOffsets(t *testing.T) {
	h := administered(t)
	h.topic("T", 2, nil)
	c := dial(t, h.addr, remoting.JSON)
	// Before anything was committed nobody has read anything.
	contains(t, c.body(300, fields{"topic": "T"}, ""), `{"groupList":[]}`)
	contains(t, c.body(208, fields{"consumerGroup": "G"}, ""), `"offsetTable":{}`)
	for range 5 {
		c.body(310, sendV2("T", 0, props("TAGS", "a")), "hello")
	}
	c.refused(203, fields{"consumerGroup": "G"}, "", codeConsumerNotOnline, "not online")
	link := h.beat("G", "T", "me@1")
	contains(t, c.body(203, fields{"consumerGroup": "G"}, ""), `"clientId":"me@1"`, `"consumeType":"CONSUME_PASSIVELY"`, `"messageModel":"CLUSTERING"`,
		`"consumeFromWhere":"CONSUME_FROM_FIRST_OFFSET"`, `"subscriptionTable":{"T":{`, `"codeSet":[97,98]`)
	contains(t, c.body(204, fields{"producerGroup": "P"}, ""), `"clientId":"me@1"`, `"version":479`)
	c.refused(204, fields{"producerGroup": "Q"}, "", codeSystemError, "not exist")
	contains(t, c.body(328, nil, ""), `"P":[{`)
	contains(t, c.body(345, fields{"group": "G", "topic": "T"}, ""), `"subString":"a || b"`)

	contains(t, c.body(202, fields{"topic": "T"}, ""), `{"offsetTable":{{"brokerName":"broker-a","queueId":0,"topic":"T"}:{"lastUpdateTimestamp":`,
		`"maxOffset":5,"minOffset":0}`, `"topicPutTps":`)

	// A reset to the beginning and one to an offset are committed, and told by the next pull, once.
	contains(t, c.body(222, fields{"topic": "T", "group": "G", "queueId": "0", "offset": "3", "timestamp": "-1", "isForce": "true"}, ""),
		`"queueId":0,"topic":"T"}:3`)
	contains(t, c.body(208, fields{"consumerGroup": "G"}, ""), `"brokerOffset":5,"consumerOffset":3`, `"consumeTps":0`)
	pull := fields{"consumerGroup": "G", "topic": "T", "queueId": "0", "queueOffset": "0", "maxMsgNums": "10", "sysFlag": "4", "commitOffset": "0", "suspendTimeoutMillis": "0", "subVersion": "0", "subscription": "*"}
	moved := c.ask(11, pull, nil)
	if moved.code != codePullOffsetMoved || moved.number(t, "nextBeginOffset") != 3 {
		t.Fatalf("after a reset: code %d, next %d", moved.code, moved.number(t, "nextBeginOffset"))
	}
	if got := c.ask(11, pull, nil); len(got.messages(t)) != 5 {
		t.Fatalf("the reset is told twice: code %d", got.code)
	}
	contains(t, c.body(222, fields{"topic": "T", "group": "G", "queueId": "-1", "timestamp": "0", "isForce": "true"}, ""), `}:0,`)
	contains(t, c.body(222, fields{"topic": "T", "group": "G", "queueId": "0", "timestamp": "-1", "isForce": "true"}, ""), `}:5}`)
	c.refused(222, fields{"topic": "T", "group": "G", "queueId": "0", "offset": "99", "isForce": "true"}, "", codeSystemError, "not in consume queue range")
	c.refused(222, fields{"topic": "T", "group": "G", "queueId": "9", "isForce": "true"}, "", codeInvalidParameter, "queueId[9]")
	c.refused(222, fields{"topic": "none", "group": "G", "isForce": "true"}, "", codeTopicNotExist, "does not exist")

	contains(t, c.body(300, fields{"topic": "T"}, ""), `{"groupList":["G"]}`)
	contains(t, c.body(343, fields{"group": "G"}, ""), `"topicList":["T"]`)
	contains(t, c.body(303, fields{"topic": "T", "group": "G"}, ""), `"consumeTimeSpanSet":[{"consumeTimeStamp":`, `"messageQueue":{"brokerName":"broker-a"`)
	contains(t, c.body(43, nil, ""), `"T@G":{0:5,1:0}`)
	contains(t, c.body(45, nil, ""), `"offsetTable":{}`)
	contains(t, c.body(317, fields{"isOrder": "false"}, ""), `{"G":[{"consumeTps":`, `"totalInflightDiff":0}`)
	h.roster.Closed(link)
	c.body(314, fields{"srcGroup": "G", "destGroup": "H", "topic": "T", "offline": "true"}, "")
	contains(t, c.body(208, fields{"consumerGroup": "H"}, ""), `"consumerOffset":5`)
	c.body(207, fields{"groupName": "H", "cleanOffset": "true"}, "")
	contains(t, c.body(208, fields{"consumerGroup": "H"}, ""), `"offsetTable":{}`)
}

// TestInflight has a group pull and not commit, and then tell an offset: both are shown at once.
func TestInflight(t *testing.T) {
	h := administered(t)
	topic := h.topic("T", 1, nil)
	c := dial(t, h.addr, remoting.JSON)
	for range 5 {
		c.body(310, sendV2("T", 0, ""), "hello")
	}
	h.beat("G", "T", "me@1")
	pull := fields{"consumerGroup": "G", "topic": "T", "queueId": "0", "queueOffset": "0", "maxMsgNums": "4", "sysFlag": "4", "commitOffset": "0",
		"suspendTimeoutMillis": "0", "subVersion": "0", "subscription": "*"}
	if got := c.ask(11, pull, nil); len(got.messages(t)) != 4 {
		t.Fatalf("pulled with code %d", got.code)
	}
	stats := func() string { return c.body(208, fields{"consumerGroup": "G", "topic": "T"}, "") }
	contains(t, stats(), `"brokerOffset":5,"consumerOffset":0,`, `"pullOffset":4}`)
	c.body(15, fields{"consumerGroup": "G", "topic": "T", "queueId": "0", "commitOffset": "3"}, "")
	contains(t, stats(), `"brokerOffset":5,"consumerOffset":3,`, `"pullOffset":4}`)
	contains(t, c.body(317, fields{"isOrder": "false"}, ""), `"totalDiff":2,"totalInflightDiff":1}`)
	contains(t, c.body(300, fields{"topic": "T"}, ""), `{"groupList":["G"]}`)
	c.body(222, fields{"topic": "T", "group": "G", "queueId": "0", "timestamp": "-1", "isForce": "true"}, "")
	contains(t, stats(), `"consumerOffset":5,`, `"pullOffset":5}`)
	if err := h.meta.DeleteTopic(h.ctx(), topic.ID); err != nil {
		t.Fatal(err)
	}
	h.until("the meters of a deleted topic are gone", func() bool { return h.front.meters.pulledTo("T", "G", 0) == 0 && h.front.meters.places.Load() == 0 })
}

// TestQueryByKey has the newest messages of a key chosen, and sent in the order in which they were stored.
func TestQueryByKey(t *testing.T) {
	h := build(t, "", func(o *Options) {
		// Newest first, as the index has them: of all queues, since each has one message.
		o.FindKey = func(id penstock.TopicID, _ string, _, _ penstock.Timestamp, _ int, f func(penstock.PartitionID, penstock.Offset) bool) error {
			for queue := int32(3); queue >= 0 && f(penstock.PartitionID{Topic: id, Partition: queue}, 0); queue-- {
			}
			return nil
		}
	})
	h.topic("T", 4, nil)
	c := dial(t, h.addr, remoting.JSON)
	for queue := range 4 {
		key := "k"
		if queue == 1 {
			key = "another"
		}
		c.body(310, sendV2("T", queue, props("KEYS", key)), fmt.Sprint("hello ", queue))
	}
	for most, want := range map[string][]string{"9": {"hello 0", "hello 2", "hello 3"}, "2": {"hello 2", "hello 3"}} {
		r := c.ask(12, fields{"topic": "T", "key": "k", "maxNum": most, "beginTimestamp": "0", "endTimestamp": "9000000000000000000"}, nil)
		var got []string
		for _, m := range r.messages(t) {
			got = append(got, string(m.Body))
		}
		if !slices.Equal(got, want) {
			t.Errorf("at most %s: %q, want %q", most, got, want)
		}
	}
}

// TestQueryRecordsByKey looks for records of Kafka's by key, as messages: of those of the same hash only these that have the key.
func TestQueryRecordsByKey(t *testing.T) {
	h := build(t, "", func(o *Options) {
		o.FindKey = func(id penstock.TopicID, _ string, _, _ penstock.Timestamp, _ int, f func(penstock.PartitionID, penstock.Offset) bool) error {
			for at := penstock.Offset(3); at >= 0 && f(penstock.PartitionID{Topic: id}, at); at-- {
			}
			return nil
		}
	})
	topic := h.recordTopic("t", 1, nil)
	h.produce(topic, 0, kgo.ZstdCompression(), &kgo.Record{Key: []byte("k"), Value: []byte("one")}, &kgo.Record{Key: []byte("other"), Value: []byte("two")},
		&kgo.Record{Key: []byte("a k"), Value: []byte("three")}, &kgo.Record{Value: []byte("four")})
	c := dial(t, h.addr, remoting.JSON)
	ask := func(most string) *reply {
		return c.ask(12, fields{"topic": "t", "key": "k", "maxNum": most, "beginTimestamp": "0", "endTimestamp": "9000000000000000000"}, nil)
	}
	for most, want := range map[string]string{"9": "one three", "1": "three"} {
		r := ask(most)
		if got := r.bodies(t); got != want {
			t.Errorf("at most %s: %q, want %q", most, got, want)
		}
		if ms := r.messages(t); ms[0].Position == 0 || property(ms[len(ms)-1], "KEYS") != "a k" {
			t.Errorf("%+v", ms)
		}
	}
	if lines := h.account.Lines(); !slices.ContainsFunc(lines, func(l metric.CopyLine) bool {
		return l.Topic == "t" && l.Reason == metric.ReasonConverted.String() && l.Bytes > 0
	}) {
		t.Errorf("not in the copy account: %+v", lines)
	}
}

func TestAdministerQueues(t *testing.T) {
	h := administered(t)
	h.topic("T", 1, nil)
	c := dial(t, h.addr, remoting.JSON)
	for i := range 7 {
		c.body(310, sendV2("T", 0, props("TAGS", string(rune('a'+i)))), "hello")
	}
	h.beat("G", "T", "me")
	var got struct {
		Max     int64       `json:"maxQueueIndex"`
		Entries []entryJSON `json:"queueData"`
	}
	ask := fields{"topic": "T", "queueId": "0", "index": "1", "count": "4", "consumerGroup": "G"}
	if err := json.Unmarshal([]byte(c.body(321, ask, "")), &got); err != nil {
		t.Fatal(err)
	}
	if got.Max != 7 || len(got.Entries) != 4 {
		t.Fatalf("%+v", got)
	}
	for i, e := range got.Entries {
		if want := int64('b' + i); e.Code != want || e.Taken != (i == 0) || e.Size == 0 {
			t.Fatalf("entry %d: %+v", i, e)
		}
	}
	c.refused(321, ask.with("queueId", "5"), "", codeSystemError, "is not exist")
}

func TestAdministerBroker(t *testing.T) {
	h := administered(t)
	h.topic("T", 1, nil)
	c := dial(t, h.addr, remoting.JSON)
	c.body(310, sendV2("T", 0, ""), "hello")
	contains(t, c.body(28, nil, ""), `"brokerVersionDesc":"V5_5_0"`, `"msgPutTotalTodayNow":"1"`, `"commitLogDiskRatio":"0.75"`, `"commitLogMaxOffset":"77"`, `"commitLogDiskRatio_/x":"0.75"`, `"commitLogMinOffset":"-1"`, `"putMessageSizeTotal":"`, `"putLatency99":"`,
		`"putTps":"`)
	if got := c.body(26, nil, ""); got != "aKey=x\nbrokerName=broker-a\n" {
		t.Fatalf("configuration %q", got)
	}
	contains(t, c.body(315, fields{"statsName": statTopicPut, "statsKey": "T"}, ""), `"statsMinute":{"avgpt":`)
	c.refused(315, fields{"statsName": "x", "statsKey": "y"}, "", codeSystemError, "not exist")
	contains(t, c.body(305, nil, ""), `"topicList":[`)
}

func TestWritePerm(t *testing.T) {
	h := administered(t)
	h.topic("T", 1, nil)
	c := dial(t, h.names, remoting.JSON)
	route := fields{"topic": "T"}
	for _, step := range []struct {
		code  int32
		field string
		perm  string
	}{{205, "wipeTopicCount", `"perm":4`}, {327, "addTopicCount", `"perm":6`}} {
		if n := c.ask(step.code, fields{"brokerName": "another"}, nil).number(t, step.field); n != 0 {
			t.Fatalf("%d topics of another broker", n)
		}
		if n := c.ask(step.code, fields{"brokerName": "broker-a"}, nil).number(t, step.field); n < 1 {
			t.Fatalf("%d topics", n)
		}
		contains(t, c.body(105, route, ""), step.perm)
	}
}

func TestMeters(t *testing.T) {
	var ms meters
	now := time.Unix(1_000_000, 0)
	k := meterKey{statTopicPut, "T"}
	m := ms.find(k, now)
	for range 12 { // 5 a second, in lots of 10
		for range 5 {
			m.add(10)
		}
		now = now.Add(tickEvery)
		ms.tick(now, "c")
	}
	minute, hour, day := m.spans(now)
	if minute.second != 5 || minute.sum != 300 || minute.average != 10 {
		t.Fatalf("over a minute %+v", minute)
	}
	if hour.sum != 600 || day.sum != 600 || hour.second != 5 {
		t.Fatalf("over an hour and a day that have just begun, %+v and %+v", hour, day)
	}
	if got := m.ten(); got.second != 5 {
		t.Fatalf("over ten seconds %+v", got)
	}
	for range hourTicks * 7 {
		m.add(1)
		now = now.Add(tickEvery)
		ms.tick(now, "c")
	}
	if _, hour, day = m.spans(now); hour.sum < hourTicks*(hourKept-1) || hour.sum >= hourTicks*hourKept || day.sum != 600+hourTicks*7 {
		t.Fatalf("over an hour %+v, over a day %+v", hour, day)
	}
	ms.forget("T")
	if ms.rate(k) != 0 || ms.n.Load() != 0 {
		t.Fatal("a topic's meter outlives it")
	}
	for i := range maxMeters + 10 {
		ms.find(meterKey{"x", fmt.Sprint(i)}, now)
	}
	if ms.n.Load() > maxMeters {
		t.Fatalf("%d meters", ms.n.Load())
	}
	var none *meter
	none.add(1)
}

func TestMidnight(t *testing.T) {
	var ms meters
	now := time.Date(2026, 3, 4, 23, 0, 0, 0, time.UTC)
	put := ms.find(meterKey{statBrokerPut, "c"}, now)
	put.add(3)
	ms.tick(now, "c")
	ms.tick(now.Add(2*time.Hour), "c")
	put.add(4)
	ms.tick(now.Add(26*time.Hour), "c")
	if yesterday, today := ms.mornings(); yesterday.put != 3 || today.put != 7 {
		t.Fatalf("yesterday %+v, today %+v", yesterday, today)
	}
}

func TestTexts(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{sizeText(5), "5 B"}, {sizeText(1536), "1.5 KiB"}, {sizeText(252 << 30), "252.0 GiB"},
		{uptime(90061 * time.Second), "[ 1 days, 1 hours, 1 minutes, 1 seconds ]"},
		{fromWhere(group.FromTime), "CONSUME_FROM_TIMESTAMP"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}
