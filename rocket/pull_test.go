package rocket

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"penstock"
	"penstock/group"
	"penstock/meta"
	"penstock/metric"
	"penstock/rocket/remoting"
	"penstock/wire"
)

// put sends messages with tags to queue 0 of a topic, all in one write.
func (c *client) put(topic string, tags ...string) {
	c.t.Helper()
	var frames [][]byte
	for i, tag := range tags {
		frames = append(frames, c.frame(310, 0, sendV2(topic, 0, props("UNIQ_KEY", fmt.Sprint("K", i), "TAGS", tag)), []byte(tag+strconv.Itoa(i))))
	}
	c.send(frames...)
	for range frames {
		if r := c.receive(); r == nil || r.code != codeSuccess {
			c.t.Fatalf("%+v", r)
		}
	}
}

// bodies are those of an answer's messages.
func (r *reply) bodies(t testing.TB) string {
	var out []string
	for _, m := range r.messages(t) {
		out = append(out, string(m.Body))
	}
	return strings.Join(out, " ")
}

// TestPullByTag: subscriptions choose messages by their tags, in order, and go on behind what was passed over.
func TestPullByTag(t *testing.T) {
	both(t, func(t *testing.T, kind remoting.Kind) {
		h := build(t, "", nil)
		h.topic("t", 1, nil)
		c := dial(t, h.addr, kind)
		c.put("t", "a", "b", "a", "c", "b", "a", "c")
		for _, test := range []struct {
			tags  string
			count string
			want  string
			next  int64
		}{
			{"*", "32", "a0 b1 a2 c3 b4 a5 c6", 7},
			{"", "32", "a0 b1 a2 c3 b4 a5 c6", 7},
			{"a", "32", "a0 a2 a5", 7},
			{"a||c", "32", "a0 a2 c3 a5 c6", 7},
			{" a || c ||", "2", "a0 a2", 3},
			{"*", "1", "a0", 1},
			{"*", "0", "a0", 1},
			{"*", "-5", "a0", 1},
		} {
			r := c.ask(11, pullOf("t", 0, 0, test.tags).with("maxMsgNums", test.count, "subscription", test.tags), nil)
			if got := r.bodies(t); r.code != codeSuccess || got != test.want || r.number(t, "nextBeginOffset") != test.next {
				t.Errorf("%q, %s of them: %d %q, next %s; want %q, %d", test.tags, test.count, r.code, got, r.fields["nextBeginOffset"], test.want, test.next)
			}
		}
		if r := c.ask(361, pullOf("t", 0, 2, "d").with("sysFlag", "6"), nil); r.code != codePullRetry || r.remark != "NO_MATCHED_MESSAGE" || r.number(t, "nextBeginOffset") != 7 {
			// A lite pull with the right to wait: there was something to pass over, of which the consumer is told.
			t.Errorf("nothing matches: %+v", r)
		}
	})
}

// TestPullEdges: what a pull outside of the queue is answered, with RocketMQ's codes and names, and where to go on.
func TestPullEdges(t *testing.T) {
	h := build(t, "", nil)
	h.topic("empty", 1, nil)
	topic := h.topic("t", 1, nil)
	c := dial(t, h.addr, remoting.JSON)
	c.put("t", "a", "a", "a", "a")
	led := h.replicas.Partition(penstock.PartitionID{Topic: topic.ID})
	if err := led.SetStart(2); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		topic  string
		from   int64
		want   code
		remark string
		next   int64
	}{
		{"empty", 0, codePullNotFound, "NO_MESSAGE_IN_QUEUE", 0},
		{"empty", 3, codePullOffsetMoved, "NO_MESSAGE_IN_QUEUE", 0},
		{"t", 1, codePullOffsetMoved, "OFFSET_TOO_SMALL", 2},
		{"t", -1, codePullOffsetMoved, "OFFSET_TOO_SMALL", 2},
		{"t", 2, codeSuccess, "FOUND", 4},
		{"t", 4, codePullNotFound, "OFFSET_OVERFLOW_ONE", 4},
		{"t", 5, codePullOffsetMoved, "OFFSET_OVERFLOW_BADLY", 4},
	} {
		r := c.ask(11, pullOf(test.topic, 0, test.from, "*"), nil)
		if r.code != test.want || r.remark != test.remark || r.number(t, "nextBeginOffset") != test.next {
			t.Errorf("%s from %d: %+v, want %d %s %d", test.topic, test.from, r, test.want, test.remark, test.next)
		}
		if test.topic == "t" && (r.number(t, "minOffset") != 2 || r.number(t, "maxOffset") != 4) {
			t.Errorf("edges: %+v", r)
		}
	}
}

// TestPullRefusals: what is refused, with RocketMQ's codes.
func TestPullRefusals(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 2, map[string]string{"rocketmq.read.queues": "1"})
	h.topic("closed", 1, map[string]string{"rocketmq.perm": "2"})
	stopped := meta.DefaultGroup("stopped")
	stopped.Consume = false
	if err := h.meta.SetGroup(h.ctx(), stopped); err != nil {
		t.Fatal(err)
	}
	c := dial(t, h.addr, remoting.JSON)
	good := pullOf("t", 0, 0, "*")
	for _, test := range []struct {
		what string
		f    fields
		want code
		text string
	}{
		{"no offset", good.with("queueOffset", ""), codeSystemError, "<queueOffset> is null"},
		{"an offset that is no number", good.with("queueOffset", "x"), codeSystemError, "<queueOffset> is"},
		{"a topic that is not there", good.with("topic", "none"), codeTopicNotExist, "not exist"},
		{"a queue that is not there", good.with("queueId", "2"), codeInvalidParameter, "queueId[2]"},
		{"a queue that is not read", good.with("queueId", "1"), codeInvalidParameter, "readQueueNums:[1]"},
		{"a queue before the first", good.with("queueId", "-1"), codeInvalidParameter, "queueId[-1]"},
		{"a group that may not read", good.with("consumerGroup", "stopped"), codeNoPermission, "stopped"},
		{"a group of which there can be none", good.with("consumerGroup", "a.b"), codeGroupNotExist, "a.b"},
		{"write only", good.with("topic", "closed"), codeNoPermission, "forbidden"},
		{"SQL92", good.with("expressionType", "SQL92"), codeSubscriptionParse, "SQL92"},
		{"a filter class", good.with("sysFlag", "12"), codeSubscriptionParse, "classes"},
		{"no subscription anywhere", good.with("sysFlag", "0"), codeSubscriptionNotExist, "subscription"},
	} {
		if r := c.ask(11, test.f, nil); r.code != test.want || !strings.Contains(r.remark, test.text) {
			t.Errorf("%s: %d %q", test.what, r.code, r.remark)
		}
	}
}

// TestPullBySubscription: without a subscription of its own a pull reads what the group's heartbeats told, if that is as new as the consumer says.
func TestPullBySubscription(t *testing.T) {
	subs := map[string]group.Subscription{
		"tags":  {Kind: "TAG", Expression: "b", Codes: []int32{'b'}, Version: 5},
		"sql":   {Kind: "SQL92", Expression: "a > 1", Version: 5},
		"class": {ClassFilter: true, Version: 5},
	}
	h := build(t, "", func(o *Options) { o.Roster = tell(subs) })
	h.topic("t", 1, nil)
	c := dial(t, h.addr, remoting.JSON)
	c.put("t", "a", "b")
	for _, test := range []struct {
		group, version string
		want           code
		bodies         string
	}{
		{"tags", "5", codeSuccess, "b1"}, {"tags", "4", codeSuccess, "b1"}, {"tags", "6", codeSubscriptionNotLatest, ""},
		{"sql", "5", codeSubscriptionParse, ""}, {"class", "5", codeSubscriptionParse, ""}, {"others", "1", codeSubscriptionNotExist, ""},
	} {
		r := c.ask(11, pullOf("t", 0, 0, "").with("sysFlag", "0", "consumerGroup", test.group, "subVersion", test.version), nil)
		if r.code != test.want || r.bodies(t) != test.bodies {
			t.Errorf("%s %s: %+v", test.group, test.version, r)
		}
	}
}

// told is a roster that knows what groups read, by their names, without a member.
type told struct {
	*group.Roster
	subs map[string]group.Subscription
}

func tell(subs map[string]group.Subscription) told {
	return told{group.NewRoster(group.RosterOptions{}), subs}
}

func (s told) Subscription(name, _ string) (group.Subscription, bool) {
	sub, ok := s.subs[name]
	return sub, ok
}

func (s told) Locked(name string) bool { return name == "locked" }

// TestLocked: what a group that consumes in order gives up becomes a dead letter at once.
func TestLocked(t *testing.T) {
	h := build(t, "", func(o *Options) { o.Roster = tell(nil) })
	c := dial(t, h.addr, remoting.JSON)
	for _, g := range []string{"free", "locked"} {
		if r := c.ask(310, sendV2(retryPrefix+g, 0, ""), []byte("x")); r.code != codeSuccess {
			t.Fatalf("%+v", r)
		}
	}
	if h.end(deadPrefix+"free") != 0 || h.end(deadPrefix+"locked") != 1 {
		t.Errorf("dead letters: %d and %d", h.end(deadPrefix+"free"), h.end(deadPrefix+"locked"))
	}
}

// TestPullWaits: a pull at the end waits for the next message that matches, and is told where to go on if only others come until its time is over.
func TestPullWaits(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	p, c := dial(t, h.addr, remoting.JSON), dial(t, h.addr, remoting.JSON)
	wait := pullOf("t", 0, 0, "b").with("sysFlag", "6", "suspendTimeoutMillis", "60000")
	c.send(c.frame(11, 0, wait, nil))
	h.until("the pull waits", func() bool { return h.front.waiting.Value() == 1 })
	p.put("t", "a", "a")
	h.until("it waits again", func() bool { return h.front.waiting.Value() == 1 })
	p.put("t", "b")
	if r := c.receive(); r.code != codeSuccess || r.bodies(t) != "b0" || r.number(t, "nextBeginOffset") != 3 {
		t.Fatalf("%+v", r)
	}
	c.send(c.frame(11, 0, wait.with("queueOffset", "3", "suspendTimeoutMillis", "300"), nil))
	p.put("t", "a")
	if r := c.receive(); r.code != codePullRetry || r.number(t, "nextBeginOffset") != 4 {
		t.Errorf("the time is over: %+v", r)
	}
	if r := c.ask(11, wait.with("queueOffset", "4", "suspendTimeoutMillis", "1"), nil); r.code != codePullNotFound || r.number(t, "nextBeginOffset") != 4 {
		t.Errorf("nothing came: %+v", r)
	}
	if r := c.ask(11, wait.with("queueOffset", "4", "sysFlag", "4"), nil); r.code != codePullNotFound {
		t.Errorf("a pull that may not wait: %+v", r)
	}
	if n := h.front.waiting.Value(); n != 0 {
		t.Errorf("%d pulls wait", n)
	}
}

// TestPullsWaitTogether: many pulls of one connection wait at once and are answered as messages come, in the order of these and not of the pulls.
func TestPullsWaitTogether(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 8, nil)
	p, c := dial(t, h.addr, remoting.Binary), dial(t, h.addr, remoting.Binary)
	opaque := map[int]int32{}
	for q := range 8 {
		c.send(c.frame(11, 0, pullOf("t", q, 0, "*").with("sysFlag", "6", "suspendTimeoutMillis", "60000"), nil))
		opaque[q] = c.opaque
	}
	h.until("all wait", func() bool { return h.front.waiting.Value() == 8 })
	for q := 7; q >= 0; q-- {
		if r := p.ask(310, sendV2("t", q, ""), []byte{byte('0' + q)}); r.code != codeSuccess {
			t.Fatalf("%+v", r)
		}
		if r := c.receive(); r.opaque != opaque[q] || r.bodies(t) != strconv.Itoa(q) {
			t.Fatalf("queue %d: %+v", q, r)
		}
	}
}

// TestPullEnds: pulls that wait are answered when the broker leaves, and forgotten with their connection.
func TestPullEnds(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	wait := pullOf("t", 0, 0, "*").with("sysFlag", "6", "suspendTimeoutMillis", "60000")
	gone, c := dial(t, h.addr, remoting.JSON), dial(t, h.addr, remoting.JSON)
	gone.send(gone.frame(11, 0, wait, nil))
	h.until("it waits", func() bool { return h.front.waiting.Value() == 1 })
	gone.Close()
	h.until("it is forgotten", func() bool { return h.front.waiting.Value() == 0 })
	c.send(c.frame(11, 0, wait, nil))
	h.until("the other waits", func() bool { return h.front.waiting.Value() == 1 })
	h.front.Leave()
	if r := c.receive(); r.code != codePullNotFound {
		t.Errorf("%+v", r)
	}
	if r := c.ask(11, wait, nil); r.code != codePullNotFound {
		t.Errorf("after that: %+v", r)
	}
}

// TestPullNotes: how far a group has read is noted when a pull tells it, and not else.
func TestPullNotes(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	c := dial(t, h.addr, remoting.JSON)
	c.put("t", "a", "a", "a")
	c.ask(11, pullOf("t", 0, 0, "*").with("commitOffset", "1"), nil)
	if _, ok, err := h.groups.Noted("readers", "t", 0); ok || err != nil {
		t.Errorf("noted without the flag: %v %v", ok, err)
	}
	c.ask(11, pullOf("t", 0, 2, "*").with("commitOffset", "2", "sysFlag", "5"), nil)
	if at, ok, err := h.groups.Noted("readers", "t", 0); at != 2 || !ok || err != nil {
		t.Errorf("noted %d %v %v", at, ok, err)
	}
}

// TestPullBounds: an answer stays below its bounds in messages and bytes, one message aside, and clients bound it further.
func TestPullBounds(t *testing.T) {
	h := build(t, "", func(o *Options) { o.Limits.PullBytes, o.Limits.PullCount, o.Limits.PullScan = 3000, 5, 6 })
	h.topic("t", 1, nil)
	c := dial(t, h.addr, remoting.JSON)
	big := strings.Repeat("x", 2500)
	for _, body := range []string{"a", "b", "c", "d", "e", "f", "g", big, big} {
		if r := c.ask(310, sendV2("t", 0, props("TAGS", body[:1])), []byte(body)); r.code != codeSuccess {
			t.Fatalf("%+v", r)
		}
	}
	for _, test := range []struct {
		from  int64
		tags  string
		bytes string
		want  int
		next  int64
		code  code
	}{
		{0, "*", "", 5, 5, codeSuccess}, {5, "*", "", 2, 7, codeSuccess}, {7, "*", "", 1, 8, codeSuccess}, {7, "*", "1", 1, 8, codeSuccess},
		{0, "*", "500", 2, 2, codeSuccess}, {0, "x", "", 0, 6, codePullRetry},
	} {
		r := c.ask(11, pullOf("t", 0, test.from, test.tags).with("maxMsgBytes", test.bytes), nil)
		if n := len(r.messages(t)); r.code != test.code || n != test.want || r.number(t, "nextBeginOffset") != test.next {
			t.Errorf("from %d, %s bytes: %d, %d messages, next %s; want %d, %d", test.from, test.bytes, r.code, n, r.fields["nextBeginOffset"], test.want, test.next)
		}
	}
}

// TestOffsetsByTime: edges and times of a queue.
func TestOffsetsByTime(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	h.topic("empty", 1, nil)
	c := dial(t, h.addr, remoting.JSON)
	before := time.Now().UnixMilli()
	var stored []int64
	for i := range 3 {
		c.put("t", "a")
		ms := c.ask(11, pullOf("t", 0, int64(i), "*"), nil).messages(t)
		stored = append(stored, int64(ms[0].StoreTime))
		time.Sleep(5 * time.Millisecond) // so that the times differ
	}
	if stored[0] < before || stored[2] > time.Now().UnixMilli() {
		t.Errorf("stored at %v, from %d on", stored, before)
	}
	at := func(topic string, when int64, boundary string) int64 {
		f := fields{"topic": topic, "queueId": "0", "timestamp": strconv.FormatInt(when, 10), "boundaryType": boundary}
		return c.ask(29, f.with("boundaryType", boundary), nil).number(t, "offset")
	}
	for _, test := range []struct {
		when     int64
		boundary string
		want     int64
	}{
		{0, "", 0}, {stored[0], "", 0}, {stored[0] + 1, "", 1}, {stored[1], "LOWER", 1}, {stored[2], "", 2}, {stored[2] + 1, "", 3}, {-1, "", 0},
		{0, "UPPER", 0}, {stored[0], "UPPER", 0}, {stored[1], "UPPER", 1}, {stored[1] - 1, "UPPER", 0}, {stored[2] + 5, "UPPER", 2},
	} {
		if got := at("t", test.when, test.boundary); got != test.want {
			t.Errorf("%s of %d: %d, want %d (stored %v)", test.boundary, test.when, got, test.want, stored)
		}
	}
	for _, test := range []struct {
		code  int32
		topic string
		field string
		want  int64
	}{{30, "t", "offset", 3}, {31, "t", "offset", 0}, {32, "t", "timestamp", stored[0]}, {30, "empty", "offset", 0}, {31, "empty", "offset", 0}, {32, "empty", "timestamp", -1}} {
		if got := c.ask(test.code, fields{"topic": test.topic, "queueId": "0"}, nil).number(t, test.field); got != test.want {
			t.Errorf("%d of %s: %d, want %d", test.code, test.topic, got, test.want)
		}
	}
	if got := at("empty", now.UnixMilli(), ""); got != 0 {
		t.Errorf("time in an empty queue: %d", got)
	}
	for _, code := range []int32{29, 30, 31, 32} {
		f := fields{"topic": "t", "queueId": "0", "timestamp": "0"}
		if r := c.ask(code, f.with("topic", "none"), nil); r.code != codeTopicNotExist {
			t.Errorf("%d: %+v", code, r)
		}
		if r := c.ask(code, f.with("queueId", "1"), nil); r.code != codeInvalidParameter {
			t.Errorf("%d: %+v", code, r)
		}
		if r := c.ask(code, f.with("queueId", ""), nil); r.code != codeSystemError {
			t.Errorf("%d: %+v", code, r)
		}
	}
}

// TestZeroCopy: a large answer of messages that lie one behind another leaves by sendfile, all of it, and the account says so; in either
// layout.
func TestZeroCopy(t *testing.T) {
	for _, layout := range []penstock.Layout{penstock.LayoutSegment, penstock.LayoutCommit} {
		t.Run(layout.String(), func(t *testing.T) {
			k := &countedKernel{}
			h := buildWire(t, t.TempDir(), nil, func(o *wire.Options) { o.Kernel = k })
			h.make(meta.NewTopic{Name: "t", Format: penstock.FormatMessage, Layout: layout, Partitions: 1})
			c := dial(t, h.addr, remoting.JSON)
			body := []byte(strings.Repeat("x", 10_000))
			for range 20 {
				if r := c.ask(310, sendV2("t", 0, ""), body); r.code != codeSuccess {
					t.Fatalf("%+v", r)
				}
			}
			r := c.ask(11, pullOf("t", 0, 0, "*"), nil)
			if n := len(r.messages(t)); n != 20 || len(r.body) < 200_000 {
				t.Fatalf("%d messages, %d bytes", n, len(r.body))
			}
			h.stop()
			for _, l := range h.account.Lines() {
				if l.Path != metric.PathSendfile.String() || l.Topic != "t" || l.Listener != brokerName || l.Bytes != int64(len(r.body)) {
					t.Errorf("%+v", l)
				}
			}
			if n := k.sendfiles.Load(); n == 0 || k.sent.Load() != int64(len(r.body)) || k.copies.Load() != 0 {
				t.Errorf("%d calls of sendfile for %d of %d bytes, %d reads", n, k.sent.Load(), len(r.body), k.copies.Load())
			}
		})
	}
}
