package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"penstock/bench/broker"
	"penstock/bench/rocket/talk"
)

// Codes of requests that a hand sends itself.
const (
	askOffset      = 14
	makeTopic      = 17
	makeGroup      = 200
	askTopicConfig = 351
	askGroupConfig = 352
	askRoute       = 105 // of the name server
)

const (
	// storeQueues is how many queues the topic has that most is sent to.
	storeQueues = 4
	// schedule is where both brokers keep what is delayed, in a queue for each level.
	schedule = "SCHEDULE_TOPIC_XXXX"
	// lastLevel is the longest delay, of two hours.
	lastLevel = 18
)

// storeDelays are the levels used, in ms.
var storeDelays = map[int]int64{1: 1_000, 3: 10_000, 4: 30_000}

// hand is what one client does on a journey, and what it knows of the store.
type hand struct {
	j    *journey
	c    client
	d    *talk.Driver
	name string // in names of topics and groups

	s     *stage // at the present stop
	sent  []batch
	fresh []batch // of these, at the present stop
	late  []batch // delayed, and delivered some time

	// What the store held when the last broker was left.
	shelf     map[string]map[int][]talk.Msg // by topic and queue
	committed map[string]string             // by group, topic and queue
	configs   map[string]any                // by request and name
}

func newHand(j *journey, c client, d *talk.Driver) *hand {
	return &hand{j: j, c: c, d: d, name: j.name + "-" + c.name, shelf: map[string]map[int][]talk.Msg{}}
}

func (h *hand) topic(name string) string { return "t-" + h.name + "-" + name }
func (h *hand) group(name string) string { return "g-" + h.name + "-" + name }

// count is how many messages it knows.
func (h *hand) count() int {
	n := 0
	for _, queues := range h.shelf {
		n += len(flat(queues))
	}
	return n
}

// visit is what it does at one broker. Unless sure, the broker before was killed, and what RocketMQ keeps in memory for seconds is lost: offsets of groups, and how
// far delayed messages were delivered.
func (h *hand) visit(ctx context.Context, t *target, i int, sure bool) error {
	ctx, cancel := context.WithTimeout(ctx, scenarioLimit)
	defer cancel()
	h.s = &stage{ctx: ctx, t: t, d: h.d, name: fmt.Sprintf("%s-%d", h.name, i), short: h.j.Short, facts: map[string]string{}}
	defer h.close(i)
	p := talk.Command{Op: "producer", Name: "p", Group: h.group("p")}
	if i%2 == 0 {
		p.Size = 1 << 30 // from where on bodies are compressed
	}
	if err := h.s.start(p); err != nil {
		return err
	}
	steps := []struct {
		what string
		do   func() error
	}{
		{"what was written before", func() error { return h.check(sure) }},
		{"write", func() error { return h.write(i) }},
		{"delayed messages", func() error { return h.delay(i, sure) }},
		{"consumer group", func() error { return h.consume(sure) }},
		{"retries", func() error { return h.back(i) }},
		{"commit", func() error { return h.commit(i) }},
		{"leave", func() error { return h.leave(i) }},
	}
	if i == 0 {
		steps[0].what, steps[0].do = "topics", h.found
	}
	for _, s := range steps {
		began := time.Now()
		if err := s.do(); err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
		h.j.took(began, "stop %d, %s, %s", i, h.c.name, s.what)
	}
	return nil
}

// close closes the clients, all at once: some take seconds for it.
func (h *hand) close(i int) {
	began := time.Now()
	var all sync.WaitGroup
	for _, name := range slices.Clone(h.s.open) {
		all.Go(func() { _ = h.s.close(name) })
	}
	all.Wait()
	h.j.took(began, "stop %d, %s, clients closed", i, h.c.name)
}

// found makes topics and a group, among them such as are not usual.
func (h *hand) found() error {
	for name, queues := range map[string]int{"plain": storeQueues, "late": 1, "far": 1} {
		if _, err := h.s.do(talk.Command{Op: "create", Name: "p", Topic: h.topic(name), Queues: queues, Key: h.s.t.addr}); err != nil {
			return err
		}
	}
	_, err := h.ask(makeTopic, map[string]string{
		"topic": h.topic("odd"), "defaultTopic": "TBW102", "readQueueNums": "5", "writeQueueNums": "3", "perm": "6", "topicFilterType": "SINGLE_TAG",
		"topicSysFlag": "0", "order": "true", "attributes": "+message.type=FIFO",
	}, nil)
	if err != nil {
		return err
	}
	_, err = h.ask(makeGroup, nil, map[string]any{
		"groupName": h.group("odd"), "consumeEnable": true, "consumeFromMinEnable": true, "consumeBroadcastEnable": false, "consumeMessageOrderly": true,
		"retryQueueNums": 2, "retryMaxTimes": 7, "brokerId": 0, "whichBrokerWhenConsumeSlowly": 1, "notifyConsumerIdsChangedEnable": true,
		"groupSysFlag": 0, "consumeTimeoutMinute": 9,
		"groupRetryPolicy": map[string]any{"type": "EXPONENTIAL", "exponentialRetryPolicy": map[string]any{"initial": 2000, "max": 60000, "multiplier": 2}},
	})
	if err != nil {
		return err
	}
	for _, name := range []string{"plain", "late", "far", "odd"} {
		err := h.s.eventually("the name server knows "+h.topic(name), func() (bool, error) { // the broker tells it in the background
			a, err := broker.AskRocket(h.s.ctx, h.s.t.names, askRoute, map[string]string{"topic": h.topic(name)})
			return a.Code == 0, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ask sends a request of its own.
func (h *hand) ask(code int, fields map[string]string, body any) (broker.RocketAnswer, error) {
	var b []byte
	if body != nil {
		var err error
		if b, err = json.Marshal(body); err != nil {
			return broker.RocketAnswer{}, err
		}
	}
	a, err := broker.CallRocket(h.s.ctx, h.s.t.addr, code, fields, b)
	if err == nil && a.Code != 0 {
		err = fmt.Errorf("request %d of %v: code %d: %s", code, fields, a.Code, a.Remark)
	}
	return a, err
}

// write sends in every way.
func (h *hand) write(i int) error {
	h.fresh = nil
	n := h.s.pick(40, 400)
	tags := []string{"A", "B", "C"}
	for _, c := range []talk.Command{
		{Mode: "sync", Prefix: "s", Count: n, Tags: tags, Key: "k", Size: 1500},
		{Mode: "async", Prefix: "a", Count: 4 * n, Size: 300},
		{Mode: "oneway", Prefix: "w", Count: n, Tags: tags, Size: 1024},
		{Mode: "batch", Prefix: "b", Count: n, Batch: 20, Tags: tags, Key: "b", Size: 200},
		{Mode: "ordered", Prefix: "o", Count: n, Tags: tags, Thread: storeQueues},
		{Mode: "sync", Prefix: "big", Count: h.s.pick(10, 30), Key: "big", Size: 250_000},
	} {
		c.Topic, c.Prefix = h.topic("plain"), fmt.Sprint(c.Prefix, i)
		if c.Key != "" {
			c.Key = c.Prefix + "-"
		}
		b, err := h.s.send(c)
		if err != nil {
			return err
		}
		h.fresh = append(h.fresh, b)
	}
	h.sent = append(h.sent, h.fresh...)
	_, err := h.s.send(talk.Command{Topic: h.topic("odd"), Prefix: fmt.Sprint("odd", i), Count: 10, Tags: tags})
	return err
}

// delay sends messages that wait a second, and waits for all that are due, those that the broker before has left too: each comes once, and not early.
func (h *hand) delay(i int, sure bool) error {
	if err := h.sendLate(fmt.Sprint("l", i), 1); err != nil {
		return err
	}
	want := 0
	for _, b := range h.late {
		want += b.cmd.Count
	}
	if err := h.s.puller("late", h.topic("late")); err != nil {
		return err
	}
	var read []talk.Msg
	err := h.s.eventually("delayed messages arrive", func() (bool, error) {
		queues, err := h.s.readAll("late", h.topic("late"))
		read = flat(queues)
		return distinct(read) >= want, err
	})
	if err != nil {
		return errors.Join(err, account(h.late, read, !sure, nil))
	}
	for _, m := range read {
		b, _, err := number(h.late, &m)
		if err != nil {
			return err
		}
		if due := m.Born + storeDelays[b.cmd.Level]; m.Stored < due {
			return fmt.Errorf("%s was delivered %d ms early", m.Body, due-m.Stored)
		}
	}
	return account(h.late, read, !sure, nil)
}

func (h *hand) sendLate(prefix string, level int) error {
	b, err := h.s.send(talk.Command{Topic: h.topic("late"), Prefix: prefix, Count: 5, Level: level, Tags: []string{"A"}, Key: prefix})
	h.late = append(h.late, b)
	return err
}

// consume has a group go on where it stopped at the broker before, until it has read everything and the broker knows.
func (h *hand) consume(sure bool) error {
	topic, group := h.topic("plain"), h.group("c")
	if err := h.s.start(talk.Command{Op: "push", Kind: "concurrent", Name: "c", Group: group, Topic: topic}); err != nil {
		return err
	}
	expect := h.fresh
	if !sure {
		expect = h.sent
	}
	news := func(msgs []talk.Msg) int {
		seen := map[string]bool{}
		for _, m := range msgs {
			if _, _, err := number(h.fresh, &m); err == nil {
				seen[m.Body] = true
			}
		}
		return len(seen)
	}
	want := 0
	for _, b := range h.fresh {
		want += b.cmd.Count
	}
	got, err := h.s.until("the group reads what is new", "c", func(got []talk.Answer) bool { return news(those(got, "read")) >= want })
	if err == nil && sure {
		err = account(expect, those(got, "read"), false, nil)
	}
	if err != nil {
		return err
	}
	if err := h.s.close("c"); err != nil {
		return err
	}
	if err := h.s.puller("all", topic); err != nil {
		return err
	}
	read, err := h.s.readAll("all", topic)
	if err != nil {
		return err
	}
	return h.s.eventually("the group's offsets are known", func() (bool, error) {
		for q, msgs := range read {
			at, err := h.offset(group, topic, q)
			if err != nil || at != strconv.Itoa(len(msgs)) {
				return false, err
			}
		}
		return true, nil
	})
}

// offset is how far a group has read in a queue, "none" where nothing is known.
func (h *hand) offset(group, topic string, queue int) (string, error) {
	const notFound = 22
	a, err := broker.AskRocket(h.s.ctx, h.s.t.addr, askOffset, map[string]string{
		"consumerGroup": group, "topic": topic, "queueId": strconv.Itoa(queue), "setZeroIfNotFound": "false",
	})
	switch {
	case err != nil:
		return "", err
	case a.Code == notFound:
		return "none", nil
	case a.Code != 0:
		return "", fmt.Errorf("offset of %s in queue %d of %s: code %d: %s", group, queue, topic, a.Code, a.Remark)
	}
	return a.Fields["offset"], nil
}

// back sends one message back, which comes again by the group's retry topic, and one to the dead letters.
func (h *hand) back(i int) error {
	if h.c.goes {
		return nil // the client has no such call
	}
	if err := h.s.start(talk.Command{Op: "puller", Name: "q", Group: h.group("q")}); err != nil {
		return err
	}
	for _, w := range []struct {
		topic         string
		offset, level int
	}{{h.topic2("%RETRY%"), 3 + i, 1}, {h.topic2("%DLQ%"), 10 + i, -1}} {
		if _, err := h.s.do(talk.Command{Op: "back", Name: "q", Topic: h.topic("plain"), Queue: new(int), Offset: int64(w.offset), Level: w.level}); err != nil {
			return err
		}
		err := h.s.eventually("a message in "+w.topic, func() (bool, error) {
			read, err := h.s.readAll("q", w.topic)
			if _, ok := errors.AsType[*talk.Failure](err); ok {
				return false, nil // the topic comes with its first message
			}
			return len(flat(read)) == i+1, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// topic2 is a topic of the group that sends back.
func (h *hand) topic2(prefix string) string { return prefix + h.group("q") }

// commit commits offsets of a group that reads nothing.
func (h *hand) commit(i int) error {
	if h.c.goes {
		return nil // the client has no such call
	}
	for q := range 2 {
		c := talk.Command{Op: "commit", Name: "q", Topic: h.topic("plain"), Queue: ptr(q), Offset: int64(5 + 7*i + q)}
		if _, err := h.s.do(c); err != nil {
			return err
		}
		err := h.s.eventually("a commit is known", func() (bool, error) { // it is one-way
			at, err := h.offset(h.group("q"), c.Topic, q)
			return at == strconv.FormatInt(c.Offset, 10), err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// topics are those whose messages it knows.
func (h *hand) topics() []string {
	all := []string{h.topic("plain"), h.topic("odd"), h.topic("late")}
	if !h.c.goes {
		all = append(all, h.topic2("%RETRY%"), h.topic2("%DLQ%"), schedule)
	}
	return all
}

// read reads a topic. Of delayed messages only those of the last level are kept: the others go when they were delivered.
func (h *hand) read(topic string) (map[int][]talk.Msg, error) {
	name := "r" + topic
	if !slices.Contains(h.s.open, name) {
		if err := h.s.start(talk.Command{Op: "puller", Name: name, Group: h.group("r"), Topic: topic}); err != nil {
			return nil, err
		}
	}
	var read map[int][]talk.Msg
	var err error
	if topic != schedule {
		read, err = h.s.readAll(name, topic)
	} else {
		read = map[int][]talk.Msg{}
		read[lastLevel-1], err = h.s.readQueue(name, topic, lastLevel-1)
	}
	for _, msgs := range read {
		for i := range msgs {
			msgs[i].Read = 0
			for _, p := range []string{"MIN_OFFSET", "MAX_OFFSET"} { // the client's
				delete(msgs[i].Props, p)
			}
		}
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", topic, err)
	}
	return read, err
}

// leave notes what the store holds, after it looked whether all is where it was acknowledged, and puts delayed messages in that the next broker shall deliver, or its next.
func (h *hand) leave(i int) error {
	var err error
	for _, t := range h.topics()[:3] {
		if h.shelf[t], err = h.read(t); err != nil {
			return err
		}
	}
	read := h.shelf[h.topic("plain")]
	ordered := slices.DeleteFunc(slices.Clone(h.sent), func(b batch) bool { return b.cmd.Mode != "ordered" })
	if err := errors.Join(account(h.sent, flat(read), false, nil), places(h.sent, read), inOrder(ordered, read)); err != nil {
		return err
	}
	if h.committed, err = h.offsets(); err != nil {
		return err
	}
	if h.configs, err = h.askConfigs(); err != nil {
		return err
	}
	if _, err := h.s.send(talk.Command{Topic: h.topic("far"), Prefix: fmt.Sprint("far", i), Count: 3, Level: lastLevel, Key: "far"}); err != nil {
		return err
	}
	if err := h.sendLate(fmt.Sprint("p", i), h.s.pick(3, 4)); err != nil {
		return err
	}
	for _, t := range h.topics()[3:] {
		if h.shelf[t], err = h.read(t); err != nil {
			return err
		}
	}
	return nil
}

// offsets are how far the groups have read.
func (h *hand) offsets() (map[string]string, error) {
	out := map[string]string{}
	for _, group := range []string{h.group("c"), h.group("q"), h.group("nobody")} {
		for q := range storeQueues {
			at, err := h.offset(group, h.topic("plain"), q)
			if err != nil {
				return nil, err
			}
			out[fmt.Sprint(group, " ", q)] = at
		}
	}
	return out, nil
}

// askConfigs is what is configured of topics and groups.
func (h *hand) askConfigs() (map[string]any, error) {
	out := map[string]any{}
	for _, r := range []struct {
		code        int
		field, name string
	}{{askTopicConfig, "topic", h.topic("plain")}, {askTopicConfig, "topic", h.topic("odd")}, {askGroupConfig, "group", h.group("odd")}, {askGroupConfig, "group", h.group("c")}} {
		a, err := h.ask(r.code, map[string]string{r.field: r.name}, nil)
		if err != nil {
			return nil, err
		}
		var v map[string]any
		if err := json.Unmarshal(a.Body, &v); err != nil {
			return nil, fmt.Errorf("request %d of %s: %w", r.code, r.name, err)
		}
		// Brokers print what is not set or not.
		maps.DeleteFunc(v, func(_ string, v any) bool { return v == nil })
		out[fmt.Sprint(r.code, " ", r.name)] = v
	}
	return out, nil
}

// check looks for everything that the broker before has left.
func (h *hand) check(sure bool) error {
	for _, t := range h.topics() {
		read, err := h.read(t)
		if err != nil {
			return err
		}
		// Meanwhile others add to what is delayed, and what was delayed arrives.
		if err := sameShelf(h.shelf[t], read, t == schedule || t == h.topic("late")); err != nil {
			return fmt.Errorf("%s: %w", t, err)
		}
	}
	for _, expr := range []string{"A", "B || C", "nothing"} {
		if err := h.checkTag(expr); err != nil {
			return fmt.Errorf("by tag %q: %w", expr, err)
		}
	}
	if err := h.lookUp(); err != nil {
		return err
	}
	configs, err := h.askConfigs()
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		if !reflect.DeepEqual(configs[name], h.configs[name]) {
			return fmt.Errorf("request %s: answered with %v, was %v", name, configs[name], h.configs[name])
		}
	}
	committed, err := h.offsets()
	if err == nil && sure && !maps.Equal(committed, h.committed) {
		err = fmt.Errorf("groups have read up to %v, had up to %v", committed, h.committed)
	}
	return err
}

// sameShelf compares a topic with what it was; more says that there may be more now.
func sameShelf(was, is map[int][]talk.Msg, more bool) error {
	for _, q := range slices.Sorted(maps.Keys(was)) {
		if len(is[q]) < len(was[q]) || len(is[q]) > len(was[q]) && !more {
			return fmt.Errorf("queue %d has %d messages, had %d", q, len(is[q]), len(was[q]))
		}
		for i := range was[q] {
			if !reflect.DeepEqual(is[q][i], was[q][i]) {
				return fmt.Errorf("queue %d, offset %d: %+v, was %+v", q, i, is[q][i], was[q][i])
			}
		}
	}
	if len(is) != len(was) {
		return fmt.Errorf("%d queues, had %d", len(is), len(was))
	}
	return nil
}

// checkTag pulls by tag what must be there.
func (h *hand) checkTag(expr string) error {
	topic, name := h.topic("plain"), "tag"
	if err := h.s.start(talk.Command{Op: "puller", Name: name, Group: h.group("t"), Topic: topic, Expr: expr}); err != nil {
		return err
	}
	tags := strings.Split(expr, " || ")
	for q, all := range h.shelf[topic] {
		var want, got []int64
		for _, m := range all {
			if slices.Contains(tags, m.Tag) {
				want = append(want, m.Offset)
			}
		}
		for next := int64(0); next < int64(len(all)); {
			a, err := h.s.do(talk.Command{Op: "pull", Name: name, Topic: topic, Expr: expr, Queue: ptr(q), Offset: next, Count: pullCount})
			if err != nil {
				return err
			}
			for _, m := range a.Msgs {
				got = append(got, m.Offset)
			}
			if a.Next <= next {
				return fmt.Errorf("queue %d, offset %d: pull says %s, and to go on at %d", q, next, a.Status, a.Next)
			}
			next = a.Next
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("queue %d: offsets %v, want %v", q, got, want)
		}
	}
	return h.s.close(name)
}

// lookUp finds some messages of each topic by key, by the client's id and by the broker's.
func (h *hand) lookUp() error {
	if h.c.goes {
		return nil // the client has no such call
	}
	begin, end := time.Now().Add(-time.Hour).UnixMilli(), time.Now().Add(time.Hour).UnixMilli()
	for _, topic := range h.topics() {
		all := flat(h.shelf[topic])
		if topic == schedule {
			continue // its messages have the keys of their real topics
		}
		for i := 0; i < len(all); i += max(1, len(all)/8) {
			m := &all[i]
			for _, w := range []struct{ kind, key string }{{"key", m.Keys}, {"id", m.ID}, {"id", m.OffsetID}} {
				if w.key == "" {
					continue
				}
				a, err := h.s.do(talk.Command{Op: "query", Name: "p", Kind: w.kind, Topic: topic, Key: w.key, Count: 32, Begin: begin, End: end})
				if err != nil {
					return fmt.Errorf("%s, offset %d of queue %d by %s %s: %w", topic, m.Offset, m.Queue, w.kind, w.key, err)
				}
				if !slices.ContainsFunc(a.Msgs, func(f talk.Msg) bool {
					return f.Topic == m.Topic && f.Queue == m.Queue && f.Offset == m.Offset && f.OffsetID == m.OffsetID && f.CRC == m.CRC
				}) {
					return fmt.Errorf("%s, offset %d of queue %d is not found by %s %s: %d others are", topic, m.Offset, m.Queue, w.kind, w.key, len(a.Msgs))
				}
			}
		}
	}
	return nil
}

// commands are mqadmin's that look at what it wrote.
func (h *hand) commands() [][]string {
	topic := h.topic("plain")
	m := h.shelf[topic][0][3]
	return [][]string{
		{"topicStatus", "-t", topic}, {"topicRoute", "-t", topic}, {"consumerProgress", "-g", h.group("c")}, {"getConsumerConfig", "-g", h.group("odd")},
		{"queryMsgByKey", "-t", topic, "-k", m.Keys}, {"queryMsgByUniqueKey", "-t", topic, "-i", m.ID}, {"queryMsgById", "-t", topic, "-i", m.OffsetID},
		{"queryMsgByOffset", "-t", topic, "-b", "broker-a", "-i", "0", "-o", "3"},
	}
}
