package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"penstock/bench/rocket/talk"
)

func scenarios() []scenario {
	return []scenario{
		{name: "send", short: true, goes: true, play: playSend},
		{name: "push", short: true, goes: true, play: playPush},
		{name: "orderly", short: true, goes: true, slow: true, play: playOrderly},
		{name: "broadcast", goes: true, play: playBroadcast},
		{name: "retry", short: true, goes: true, slow: true, play: playRetry},
		{name: "backoff", goes: true, slow: true, play: playBackoff},
		{name: "tags", short: true, goes: true, play: playTags},
		{name: "delay", short: true, goes: true, play: playDelay},
		{name: "query", short: true, play: playQuery},
		{name: "time", play: playTime},
		{name: "pull", short: true, play: playPull},
		{name: "lite", short: true, play: playLite},
		{name: "topics", goes: true, play: playTopics},
		{name: "sizes", goes: true, play: playSizes},
		{name: "refused", play: playRefused},
	}
}

// playSend sends in every way there is and pulls everything.
func playSend(s *stage) (int, error) {
	topic, err := s.producer(4)
	if err != nil {
		return 0, err
	}
	n := s.pick(40, 400)
	tags := []string{"A", "B", "C"}
	var all []batch
	for _, c := range []talk.Command{
		{Mode: "sync", Prefix: "s", Count: n, Tags: tags, Key: "k"},
		{Mode: "async", Prefix: "a", Count: 4 * n, Size: 300},
		{Mode: "oneway", Prefix: "w", Count: n, Tags: tags, Size: 1024},
		{Mode: "batch", Prefix: "b", Count: n, Batch: 20, Tags: tags, Key: "b", Size: 200},
		{Mode: "ordered", Prefix: "o", Count: n, Tags: tags, Thread: 4},
	} {
		c.Topic = topic
		b, err := s.send(c)
		if err != nil {
			return 0, err
		}
		all = append(all, b)
	}
	if err := s.puller("all", topic); err != nil {
		return 0, err
	}
	var read map[int][]talk.Msg
	want := 0
	for _, b := range all {
		want += b.cmd.Count
	}
	err = s.eventually("one-way messages arrive", func() (bool, error) {
		read, err = s.readAll("all", topic)
		return len(flat(read)) >= want, err
	})
	if err != nil {
		return 0, errors.Join(err, account(all, flat(read), false, nil))
	}
	s.fact("queues", "%d", len(read))
	m := flat(read)[0]
	s.fact("properties", "%s", properties(&m))
	for _, m := range flat(read) {
		if strings.HasPrefix(m.Body, "b:") {
			s.fact("properties of a batch's message", "%s", properties(&m))
			break
		}
	}
	return want, errors.Join(account(all, flat(read), false, nil), places(all, read), inOrder(all[3:], read), queueOf(all[4], read))
}

// queueOf looks whether each message of an ordered batch is in the queue that its number chooses.
func queueOf(b batch, read map[int][]talk.Msg) error {
	for _, r := range b.sent {
		if want := r.I % len(read); r.Queue != want {
			return fmt.Errorf("%s went to queue %d, want %d", b.name(r.I), r.Queue, want)
		}
	}
	return nil
}

// playPush has two consumers share a topic, and a third go on where they stopped.
func playPush(s *stage) (int, error) {
	topic, err := s.producer(4)
	if err != nil {
		return 0, err
	}
	group := s.group("c")
	consumer := func(name string) talk.Command {
		return talk.Command{Op: "push", Kind: "concurrent", Name: name, Group: group, Topic: topic}
	}
	if err := s.start(consumer("c1")); err != nil {
		return 0, err
	}
	first, err := s.send(talk.Command{Topic: topic, Prefix: "one", Count: s.pick(40, 400), Mode: "async"})
	if err != nil {
		return 0, err
	}
	all := []batch{first}
	arrived := func(what string) ([]talk.Answer, error) {
		want := 0
		for _, b := range all {
			want += b.cmd.Count
		}
		return s.until(what, "c", func(got []talk.Answer) bool { return distinct(those(got, "read")) >= want })
	}
	if _, err := arrived("one consumer reads all"); err != nil {
		return 0, err
	}
	if err := s.start(consumer("c2")); err != nil {
		return 0, err
	}
	begin := time.Now()
	for round := 0; ; round++ { // until the consumers share the queues
		b, err := s.send(talk.Command{Topic: topic, Prefix: fmt.Sprintf("share%d", round), Count: 16, Mode: "ordered", Thread: 4})
		if err != nil {
			return 0, err
		}
		all = append(all, b)
		got, err := arrived("messages while a consumer joins")
		if err != nil {
			return 0, err
		}
		if shared(got, b) {
			break
		}
		if time.Since(begin) > arriveLimit {
			return 0, fmt.Errorf("the consumers do not share the queues after %s", arriveLimit)
		}
	}
	s.fact("~shared", "after %s", time.Since(begin).Round(time.Millisecond))
	s.fact("told of the other consumer", "%v", time.Since(begin) < 15*time.Second) // or it looks for itself after 20 s
	for _, name := range []string{"c1", "c2"} {
		if err := s.close(name); err != nil {
			return 0, err
		}
	}
	before := those(s.events("c"), "read")
	if err := account(all, before, true, nil); err != nil {
		return 0, err
	}
	last, err := s.send(talk.Command{Topic: topic, Prefix: "last", Count: 20})
	if err != nil {
		return 0, err
	}
	if err := s.start(consumer("d1")); err != nil {
		return 0, err
	}
	got, err := s.until("a consumer goes on", "d", func(got []talk.Answer) bool { return distinct(those(got, "read")) >= 20 })
	if err != nil {
		return 0, err
	}
	return len(before) + 20, account([]batch{last}, those(got, "read"), false, nil)
}

// shared reports whether the messages of a batch were read by two consumers, each its own queues.
func shared(events []talk.Answer, b batch) bool {
	who := map[int]map[string]bool{}
	names := map[string]bool{}
	for _, e := range events {
		if e.Event == "read" && strings.HasPrefix(e.M.Body, b.cmd.Prefix+":") {
			if who[e.M.Queue] == nil {
				who[e.M.Queue] = map[string]bool{}
			}
			who[e.M.Queue][e.Name] = true
			names[e.Name] = true
		}
	}
	for _, w := range who {
		if len(w) > 1 {
			return false
		}
	}
	return len(names) == 2
}

// playOrderly reads queues in order while some messages fail at first and a second consumer joins and leaves.
func playOrderly(s *stage) (int, error) {
	topic, err := s.producer(4)
	if err != nil {
		return 0, err
	}
	most := 16
	consumer := func(name string) talk.Command {
		return talk.Command{Op: "push", Kind: "orderly", Name: name, Group: s.group("c"), Topic: topic, Fail: 1, Every: 25, Max: &most}
	}
	if err := s.start(consumer("c1")); err != nil {
		return 0, err
	}
	var all []batch
	n := s.pick(40, 200)
	for round, step := range []func() error{
		func() error { return nil },
		func() error { return s.start(consumer("c2")) },
		func() error { return nil },
		func() error { return s.close("c1") },
	} {
		if err := step(); err != nil {
			return 0, err
		}
		b, err := s.send(talk.Command{Topic: topic, Prefix: fmt.Sprintf("r%d", round), Count: n, Mode: "ordered", Thread: 4})
		if err != nil {
			return 0, err
		}
		all = append(all, b)
		if _, err := s.until("ordered messages", "c", func(got []talk.Answer) bool { return distinct(those(got, "read")) >= n*len(all) }); err != nil {
			return 0, err
		}
	}
	got := s.events("c")
	if len(those(got, "fail")) == 0 {
		return 0, errors.New("no message failed")
	}
	return n * len(all), errors.Join(account(all, those(got, "read"), true, nil), orderly(got))
}

// playBroadcast has two consumers of which each reads everything once.
func playBroadcast(s *stage) (int, error) {
	topic, err := s.producer(4)
	if err != nil {
		return 0, err
	}
	for _, name := range []string{"c1", "c2"} {
		if err := s.start(talk.Command{Op: "push", Kind: "broadcast", Name: name, Group: s.group("c"), Topic: topic}); err != nil {
			return 0, err
		}
	}
	b, err := s.send(talk.Command{Topic: topic, Prefix: "x", Count: 200, Mode: "async"})
	if err != nil {
		return 0, err
	}
	for _, name := range []string{"c1", "c2"} {
		got, err := s.until("broadcast", name, func(got []talk.Answer) bool { return distinct(those(got, "read")) >= 200 })
		if err != nil {
			return 0, err
		}
		if err := account([]batch{b}, those(got, "read"), false, nil); err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
	}
	return 400, nil
}

// playRetry has every fifth message fail always: it comes again twice, a second after it failed, and becomes a dead letter.
func playRetry(s *stage) (int, error) { return retry(s, 1, 25, func(int) int64 { return 1000 }) }

// playBackoff leaves the delay to the broker: 10 s, then 30 s.
func playBackoff(s *stage) (int, error) {
	return retry(s, 0, 5, func(again int) int64 { return []int64{0, 10_000, 30_000}[again] })
}

func retry(s *stage, level, n int, pause func(int) int64) (int, error) {
	topic, err := s.producer(2)
	if err != nil {
		return 0, err
	}
	most, group := 2, s.group("c")
	err = s.start(talk.Command{Op: "push", Kind: "concurrent", Name: "c", Group: group, Topic: topic, Fail: 100, Every: 5, Max: &most, Level: level})
	if err != nil {
		return 0, err
	}
	b, err := s.send(talk.Command{Topic: topic, Prefix: "x", Count: n, Tags: []string{"A", "B"}, Key: "k"})
	if err != nil {
		return 0, err
	}
	dead := (n + 4) / 5
	got, err := s.until("retries", "c", func(got []talk.Answer) bool {
		return len(those(got, "read")) >= n-dead && len(those(got, "fail")) >= dead*(most+1)
	})
	if err != nil {
		return 0, err
	}
	if err := retries(got, most, pause); err != nil {
		return 0, err
	}
	again := those(got, "fail")
	m := again[len(again)-1]
	s.fact("properties of a retry", "%s", properties(&m))
	s.fact("topic of a retry", "%v", m.Topic == topic)
	fails := func(_ batch, i int) bool { return i%5 == 0 }
	if err := account([]batch{b}, those(got, "read"), false, func(b batch, i int) bool { return !fails(b, i) }); err != nil {
		return 0, err
	}
	return n + dead, s.deadLetters(b, group, dead, fails)
}

// deadLetters reads the dead letters of a group: those messages and no others.
func (s *stage) deadLetters(b batch, group string, dead int, which func(batch, int) bool) error {
	topic := "%DLQ%" + group
	opened := false
	var read map[int][]talk.Msg
	err := s.eventually("dead letters", func() (bool, error) {
		if !opened {
			if err := s.puller("dead", topic); err != nil {
				return false, nil // the topic comes with its first message
			}
			opened = true
		}
		var err error
		if read, err = s.readAll("dead", topic); err != nil && s.ctx.Err() == nil {
			return false, nil
		}
		return len(flat(read)) >= dead, err
	})
	if err != nil {
		return err
	}
	m := flat(read)[0]
	s.fact("queues of the dead letters", "%d", len(read))
	s.fact("properties of a dead letter", "%s", properties(&m))
	s.fact("deliveries of a dead letter", "%d", m.Again)
	return account([]batch{b}, flat(read), false, which)
}

// playTags reads by tag. Aa and BB have the same hash, so that the client must look at the tags themselves.
func playTags(s *stage) (int, error) {
	topic, err := s.producer(2)
	if err != nil {
		return 0, err
	}
	b, err := s.send(talk.Command{Topic: topic, Prefix: "x", Count: s.pick(40, 200), Tags: []string{"Aa", "BB", "C", "D"}})
	if err != nil {
		return 0, err
	}
	plain, err := s.send(talk.Command{Topic: topic, Prefix: "none", Count: 10})
	if err != nil {
		return 0, err
	}
	total := 0
	for i, w := range []struct {
		expr string
		tags []string
	}{{"Aa", []string{"Aa"}}, {"BB || C", []string{"BB", "C"}}, {"*", []string{"Aa", "BB", "C", "D", ""}}} {
		name := fmt.Sprintf("c%d", i)
		if err := s.start(talk.Command{Op: "push", Kind: "concurrent", Name: name, Topic: topic, Expr: w.expr}); err != nil {
			return 0, err
		}
		filter := func(b batch, i int) bool { return slices.Contains(w.tags, b.tag(i)) }
		want := 0
		for _, b := range []batch{b, plain} {
			for i := range b.cmd.Count {
				if filter(b, i) {
					want++
				}
			}
		}
		got, err := s.until("messages with tags "+w.expr, name, func(got []talk.Answer) bool { return distinct(those(got, "read")) >= want })
		if err != nil {
			return 0, err
		}
		if err := account([]batch{b, plain}, those(got, "read"), false, filter); err != nil {
			return 0, fmt.Errorf("%s: %w", w.expr, err)
		}
		total += want
	}
	return total, nil
}

// playDelay sends with delay levels; nothing may come early.
func playDelay(s *stage) (int, error) {
	topic, err := s.producer(2)
	if err != nil {
		return 0, err
	}
	if err := s.start(talk.Command{Op: "push", Kind: "concurrent", Name: "c", Topic: topic, Expr: "A"}); err != nil {
		return 0, err
	}
	pauses := map[string]int64{"one": 1_000, "two": 5_000, "three": 10_000}
	var all []batch
	n := s.pick(5, 20)
	for i, prefix := range []string{"one", "two", "three"} {
		if s.short && prefix == "three" {
			continue
		}
		b, err := s.send(talk.Command{Topic: topic, Prefix: prefix, Count: n, Level: i + 1, Tags: []string{"A"}, Key: "k"})
		if err != nil {
			return 0, err
		}
		all = append(all, b)
	}
	got, err := s.until("delayed messages", "c", func(got []talk.Answer) bool { return distinct(those(got, "read")) >= n*len(all) })
	if err != nil {
		return 0, err
	}
	read, late := those(got, "read"), int64(0)
	for _, m := range read {
		b, _, err := number(all, &m)
		if err != nil {
			return 0, err
		}
		due := m.Born + pauses[b.cmd.Prefix]
		if m.Read < due || m.Stored < due {
			return 0, fmt.Errorf("%s came %d ms early, stored %d ms early", m.Body, due-m.Read, due-m.Stored)
		}
		late = max(late, m.Read-due)
	}
	s.fact("~latest", "%d ms", late)
	s.fact("properties", "%s", properties(&read[0]))
	return n * len(all), account(all, read, false, nil)
}
