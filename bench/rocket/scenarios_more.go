package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"penstock/bench/rocket/talk"
)

// playQuery looks messages up by key, by the client's id, and by the broker's.
func playQuery(s *stage) (int, error) {
	topic, err := s.producer(4)
	if err != nil {
		return 0, err
	}
	begin := time.Now().Add(-time.Minute).UnixMilli()
	end := time.Now().Add(time.Hour).UnixMilli()
	n := s.pick(10, 50)
	b, err := s.send(talk.Command{Topic: topic, Prefix: "x", Count: n, Key: "order-", Tags: []string{"A"}})
	if err != nil {
		return 0, err
	}
	same, err := s.send(talk.Command{Topic: topic, Prefix: "same", Count: 5, Key: "k both", Mode: "batch", Batch: 5})
	if err != nil {
		return 0, err
	}
	ask := func(kind, key string) ([]talk.Msg, error) {
		a, err := s.do(talk.Command{Op: "query", Name: "p", Kind: kind, Topic: topic, Key: key, Count: 32, Begin: begin, End: end})
		return a.Msgs, err
	}
	for _, r := range b.sent {
		for _, w := range []struct{ kind, key string }{{"key", fmt.Sprintf("order-%d", r.I)}, {"id", r.ID}, {"id", r.OffsetID}} {
			var got []talk.Msg
			err := s.eventually(w.kind+" "+w.key, func() (bool, error) { // RocketMQ indexes a moment after the acknowledgement
				var err error
				got, err = ask(w.kind, w.key)
				if _, ok := errors.AsType[*talk.Failure](err); ok {
					return false, nil
				}
				return len(got) > 0, err
			})
			if err != nil {
				return 0, err
			}
			if len(got) != 1 || got[0].Body != b.name(r.I) {
				return 0, fmt.Errorf("%s %s: %d messages, the first %q", w.kind, w.key, len(got), got[0].Body)
			}
			if err := b.exact(r.I, &got[0]); err != nil {
				return 0, err
			}
		}
	}
	got, err := ask("key", "k") // a key of every message of the second batch
	if err == nil && len(got) != same.cmd.Count {
		err = fmt.Errorf("key k: %d messages, want %d", len(got), same.cmd.Count)
	}
	if err != nil {
		return 0, err
	}
	for i, w := range []struct{ kind, key string }{
		{"key", "nobody"}, {"id", "7F000001000078BF000000000000FFFF"}, {"id", "AC11000100000000000000000000000000000001"},
	} {
		got, err := ask(w.kind, w.key)
		code, _ := refused(err)
		s.fact(fmt.Sprintf("missing %d", i), "%d messages, code %s", len(got), code)
	}
	return 3*n + same.cmd.Count, nil
}

// playTime looks offsets up by time: the first message that is not older.
func playTime(s *stage) (int, error) {
	topic, err := s.producer(1)
	if err != nil {
		return 0, err
	}
	for i := range 10 {
		if _, err := s.send(talk.Command{Topic: topic, Prefix: fmt.Sprintf("lot%d", i), Count: 10}); err != nil {
			return 0, err
		}
		time.Sleep(20 * time.Millisecond) // so that times differ
	}
	if err := s.puller("q", topic); err != nil {
		return 0, err
	}
	msgs, err := s.readQueue("q", topic, 0)
	if err != nil {
		return 0, err
	}
	queue := 0
	ask := func(at int64) (int64, error) {
		a, err := s.do(talk.Command{Op: "offsets", Name: "q", Topic: topic, Queue: &queue, Begin: at})
		return a.At, err
	}
	for _, m := range msgs {
		for _, at := range []int64{m.Stored, m.Stored - 1} {
			want := slices.IndexFunc(msgs, func(m talk.Msg) bool { return m.Stored >= at })
			got, err := ask(at)
			if err != nil {
				return 0, err
			}
			if got != int64(want) {
				return 0, fmt.Errorf("time %d: offset %d, want %d (that message is of %d)", at, got, want, msgs[want].Stored)
			}
		}
	}
	for name, at := range map[string]int64{"before all": msgs[0].Stored - 60_000, "after all": msgs[len(msgs)-1].Stored + 60_000} {
		got, err := ask(at)
		if err != nil {
			return 0, err
		}
		s.fact("offset by time "+name, "%d", got)
	}
	return len(msgs), nil
}

// playPull pulls everywhere that is not in the middle, waits for a message, commits, and sends one back.
func playPull(s *stage) (int, error) {
	topic, err := s.producer(2)
	if err != nil {
		return 0, err
	}
	b, err := s.send(talk.Command{Topic: topic, Prefix: "x", Count: 20, Mode: "ordered", Queue: new(int), Tags: []string{"A", "B"}})
	if err != nil {
		return 0, err
	}
	if err := s.puller("q", topic); err != nil {
		return 0, err
	}
	for name, c := range map[string]talk.Command{
		"the start":     {Offset: 0, Count: 5},
		"the end":       {Offset: 20, Count: 5},
		"past the end":  {Offset: 25, Count: 5},
		"an odd offset": {Offset: 1 << 40, Count: 5},
		"no such tag":   {Offset: 0, Count: 32, Expr: "Z"},
		"one tag":       {Offset: 0, Count: 32, Expr: "B"},
		"an empty one":  {Offset: 0, Count: 5, Queue: ptr(1)},
		"past an empty": {Offset: 7, Count: 5, Queue: ptr(1)},
	} {
		c.Op, c.Name, c.Topic = "pull", "q", topic
		if c.Queue == nil {
			c.Queue = new(int)
		}
		a, err := s.do(c)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		s.fact("pull from "+name, "%s, %d messages, next %d, min %d, max %d", a.Status, len(a.Msgs), a.Next, a.Min, a.Max)
	}
	if err := s.awaitPull(topic); err != nil {
		return 0, err
	}
	msgs, err := s.readQueue("q", topic, 0)
	if err != nil {
		return 0, err
	}
	if err := errors.Join(s.commits(topic), s.sendBack(topic)); err != nil {
		return 0, err
	}
	return len(msgs), account([]batch{b, {cmd: talk.Command{Prefix: "late", Count: 1}}}, msgs, false, nil)
}

func ptr(n int) *int { return &n }

// awaitPull has a pull wait at the end of a queue until a message comes.
func (s *stage) awaitPull(topic string) error {
	type result struct {
		a   talk.Answer
		err error
	}
	got := make(chan result, 1)
	go func() {
		a, err := s.do(talk.Command{Op: "pull", Name: "q", Topic: topic, Mode: "block", Queue: new(int), Offset: 20, Count: 5})
		got <- result{a, err}
	}()
	select {
	case r := <-got:
		return fmt.Errorf("a pull that shall wait came back with %s, %v", r.a.Status, r.err)
	case <-time.After(500 * time.Millisecond):
	}
	begin := time.Now()
	if _, err := s.send(talk.Command{Topic: topic, Prefix: "late", Count: 1, Mode: "ordered", Queue: new(int)}); err != nil {
		return err
	}
	r := <-got
	s.fact("~woken", "after %s", time.Since(begin).Round(time.Millisecond))
	if r.err != nil {
		return r.err
	}
	if r.a.Status != "FOUND" || len(r.a.Msgs) != 1 || r.a.Msgs[0].Body != "late:0" {
		return fmt.Errorf("a waiting pull came back with %s and %d messages", r.a.Status, len(r.a.Msgs))
	}
	return nil
}

// commits notes an offset and has another consumer of the group find it.
func (s *stage) commits(topic string) error {
	ask := func(name string) (talk.Answer, error) {
		return s.do(talk.Command{Op: "offsets", Name: name, Topic: topic, Queue: new(int)})
	}
	a, err := ask("q")
	if err != nil {
		return err
	}
	s.fact("before a commit", "min %d, max %d, committed %d", a.Min, a.Max, a.Next)
	if _, err := s.do(talk.Command{Op: "commit", Name: "q", Topic: topic, Queue: new(int), Offset: 7}); err != nil {
		return err
	}
	if err := s.start(talk.Command{Op: "puller", Name: "other", Group: s.group("q")}); err != nil {
		return err
	}
	return s.eventually("a commit is seen", func() (bool, error) { // commits are one-way
		a, err := ask("other")
		return a.Next == 7, err
	})
}

// sendBack sends one message back; it comes again through the group's retry topic.
func (s *stage) sendBack(topic string) error {
	if _, err := s.do(talk.Command{Op: "back", Name: "q", Topic: topic, Queue: new(int), Offset: 3, Level: 1}); err != nil {
		return err
	}
	retry := "%RETRY%" + s.group("q")
	if err := s.start(talk.Command{Op: "puller", Name: "r", Topic: retry}); err != nil {
		return err
	}
	var msgs []talk.Msg
	err := s.eventually("a message that was sent back", func() (bool, error) {
		read, err := s.readAll("r", retry)
		if _, ok := errors.AsType[*talk.Failure](err); ok {
			return false, nil // the topic comes with it
		}
		msgs = flat(read)
		return len(msgs) > 0, err
	})
	if err != nil {
		return err
	}
	s.fact("sent back", "%s %d %s", msgs[0].Body, msgs[0].Again, strings.ReplaceAll(properties(&msgs[0]), s.name, "NAME"))
	return nil
}

// playLite has two lite pull consumers share a topic, and one assign itself all queues and seek.
func playLite(s *stage) (int, error) {
	topic, err := s.producer(4)
	if err != nil {
		return 0, err
	}
	group := s.group("l")
	for _, name := range []string{"l1", "l2"} {
		if err := s.start(talk.Command{Op: "lite", Kind: "subscribe", Name: name, Group: group, Topic: topic}); err != nil {
			return 0, err
		}
	}
	n := s.pick(40, 200)
	b, err := s.send(talk.Command{Topic: topic, Prefix: "x", Count: n, Mode: "ordered", Thread: 4})
	if err != nil {
		return 0, err
	}
	var read []talk.Msg
	err = s.eventually("lite consumers share the queues and read all", func() (bool, error) {
		held := 0
		for _, name := range []string{"l1", "l2"} {
			a, err := s.do(talk.Command{Op: "poll", Name: name, Topic: topic, Count: n, Wait: 300})
			if err != nil {
				return false, err
			}
			read = append(read, a.Msgs...)
			held += len(a.Queues)
		}
		return distinct(read) >= n && held == 4, nil
	})
	if err != nil {
		return 0, err
	}
	if err := account([]batch{b}, read, true, nil); err != nil {
		return 0, err
	}
	if err := s.start(talk.Command{Op: "lite", Kind: "assign", Mode: "manual", Name: "a", Topic: topic}); err != nil {
		return 0, err
	}
	from := int64(n/4 - 3)
	for q := range 4 {
		c := talk.Command{Op: "seek", Name: "a", Topic: topic, Queue: &q, Offset: from}
		if q == 0 { // the first by time: that of its message at that offset
			c.Begin = stored(read, 0, from)
		}
		a, err := s.do(c)
		if err != nil {
			return 0, err
		}
		if q == 0 && (a.At > from || stored(read, 0, a.At) != c.Begin) {
			return 0, fmt.Errorf("offset %d for the time of offset %d", a.At, from)
		}
		if q == 0 && a.At < from {
			from0 := talk.Command{Op: "seek", Name: "a", Topic: topic, Queue: &q, Offset: from}
			if _, err := s.do(from0); err != nil {
				return 0, err
			}
		}
	}
	got, err := s.do(talk.Command{Op: "poll", Name: "a", Topic: topic, Count: 12, Wait: arriveLimit.Milliseconds(), Mode: "commit"})
	if err != nil {
		return 0, err
	}
	for _, m := range got.Msgs {
		if m.Offset < from {
			return 0, fmt.Errorf("offset %d of queue %d after a seek to %d", m.Offset, m.Queue, from)
		}
	}
	if d := distinct(got.Msgs); d != 12 {
		return 0, fmt.Errorf("%d messages after a seek, want 12", d)
	}
	for q := range 4 {
		err := s.eventually("a commit", func() (bool, error) {
			a, err := s.do(talk.Command{Op: "seek", Mode: "ask", Name: "a", Topic: topic, Queue: &q})
			return a.Next == int64(n/4), err
		})
		if err != nil {
			return 0, fmt.Errorf("queue %d: %w", q, err)
		}
	}
	return distinct(read) + 12, nil
}

func stored(msgs []talk.Msg, queue int, offset int64) int64 {
	for _, m := range msgs {
		if m.Queue == queue && m.Offset == offset {
			return m.Stored
		}
	}
	return 0
}

// playTopics sends to topics that nobody created.
func playTopics(s *stage) (int, error) {
	if _, err := s.producer(6); err != nil {
		return 0, err
	}
	topic := "auto_" + s.name
	b, err := s.send(talk.Command{Topic: topic, Prefix: "x", Count: 20})
	if err != nil {
		return 0, err
	}
	for i, t := range []string{topic, "t-" + s.name} {
		name := fmt.Sprintf("q%d", i)
		if err := s.puller(name, t); err != nil {
			return 0, err
		}
		a, err := s.do(talk.Command{Op: "queues", Name: name, Topic: t})
		if err != nil {
			return 0, err
		}
		s.fact("queues of "+[]string{"a topic that came by itself", "a topic that was created"}[i], "%d", len(a.Queues))
	}
	if err := s.start(talk.Command{Op: "push", Kind: "concurrent", Name: "c", Topic: topic}); err != nil {
		return 0, err
	}
	got, err := s.until("messages of a topic that came by itself", "c", func(got []talk.Answer) bool { return distinct(those(got, "read")) >= 20 })
	if err == nil {
		err = account([]batch{b}, those(got, "read"), false, nil)
	}
	return 20, err
}

// playSizes sends small and large bodies, compressed by the client and as they are, through the broker's second port too.
func playSizes(s *stage) (int, error) {
	topic, err := s.producer(1)
	if err != nil {
		return 0, err
	}
	var all []batch
	for i, size := range []int{1, 3 << 10, 5 << 10, 100 << 10, 3 << 20} { // the client compresses from 4 KiB on
		b, err := s.send(talk.Command{Topic: topic, Prefix: fmt.Sprintf("z%d", i), Count: 3, Size: size})
		if err != nil {
			return 0, err
		}
		all = append(all, b)
	}
	if err := s.start(talk.Command{Op: "producer", Name: "raw", Kind: "vip", Size: 64 << 20}); err != nil {
		return 0, err
	}
	for i, size := range []int{100 << 10, 1 << 20} {
		c := talk.Command{Op: "send", Name: "raw", Mode: "sync", Topic: topic, Prefix: fmt.Sprintf("r%d", i), Count: 3, Size: size}
		a, err := s.do(c)
		if err != nil {
			return 0, err
		}
		for _, r := range a.Sent {
			if r.Error != "" {
				return 0, fmt.Errorf("%s:%d: %s", c.Prefix, r.I, r.Error)
			}
		}
		all = append(all, batch{c, a.Sent})
	}
	a, err := s.do(talk.Command{Op: "send", Name: "raw", Mode: "sync", Topic: topic, Prefix: "huge", Count: 1, Size: 5 << 20})
	if err != nil || len(a.Sent) != 1 {
		return 0, fmt.Errorf("5 MiB: %d results: %w", len(a.Sent), err)
	}
	if a.Sent[0].Error == "" {
		return 0, errors.New("5 MiB were taken")
	}
	s.fact("5 MiB", "code %d", a.Sent[0].Code)
	if err := s.puller("q", topic); err != nil {
		return 0, err
	}
	msgs, err := s.readQueue("q", topic, 0)
	if err != nil {
		return 0, err
	}
	return len(msgs), account(all, msgs, false, nil)
}

// playRefused asks for what is not there: the code says so, and the connection goes on.
func playRefused(s *stage) (int, error) {
	topic, err := s.producer(1)
	if err != nil {
		return 0, err
	}
	none := 9
	_, err = s.do(talk.Command{Op: "push", Kind: "concurrent", Name: "sql", Topic: "no-such-" + s.name, Group: s.group("sql")})
	s.fact("subscription to a topic that is not there", "%v", err == nil)
	if err == nil {
		_ = s.close("sql")
	}
	if err := s.puller("q", topic); err != nil {
		return 0, err
	}
	_, err = s.do(talk.Command{Op: "pull", Name: "q", Topic: topic, Queue: &none, Count: 1})
	s.fact("a queue that is not there", "%v", err != nil)
	if s.t.name == "penstock" { // RocketMQ has transactions
		_, err := s.do(talk.Command{Op: "transaction", Name: "tx", Group: s.group("tx"), Topic: topic, Prefix: "tx"})
		code, err := refused(err)
		if err != nil {
			return 0, fmt.Errorf("transaction: %w", err)
		}
		s.fact("~transaction", "code %s", code)
	}
	b, err := s.send(talk.Command{Topic: topic, Prefix: "x", Count: 5})
	if err != nil {
		return 0, err
	}
	msgs, err := s.readQueue("q", topic, 0)
	if err != nil {
		return 0, err
	}
	return 5, account([]batch{b}, msgs, false, nil)
}
