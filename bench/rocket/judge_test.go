package main

import (
	"strings"
	"testing"

	"penstock/bench/rocket/talk"
)

// sample is a batch of n messages and what a reader sees of it, in two queues.
func sample(n int) (batch, map[int][]talk.Msg) {
	b := batch{cmd: talk.Command{Prefix: "x", Count: n, Tags: []string{"A", "B"}, Key: "k", Size: 50, Mode: "sync"}}
	read := map[int][]talk.Msg{}
	for i := range n {
		body := talk.Body("x", i, 50)
		q := i % 2
		id := "id" + b.name(i)
		m := talk.Msg{
			Queue: q, Offset: int64(len(read[q])), ID: id, OffsetID: "o" + id, Body: talk.Head(body), Size: len(body), CRC: talk.Sum(body),
			Tag: b.tag(i), Keys: "k" + b.name(i)[2:], N: b.name(i)[2:], Born: 1000, Stored: 1001, Read: 1002,
		}
		b.sent = append(b.sent, talk.Sent{I: i, ID: id, OffsetID: m.OffsetID, Queue: q, Offset: m.Offset, Status: "SEND_OK"})
		read[q] = append(read[q], m)
	}
	return b, read
}

// wants fails the test unless err has this text; no text means no error.
func wants(t *testing.T, err error, text string) {
	t.Helper()
	if text == "" && err != nil || text != "" && (err == nil || !strings.Contains(err.Error(), text)) {
		t.Errorf("error %v, want %q", err, text)
	}
}

func TestAccountFindsWhatIsWrong(t *testing.T) {
	b, read := sample(10)
	wants(t, account([]batch{b}, flat(read), false, nil), "")
	wants(t, account([]batch{b}, flat(read)[1:], false, nil), "1 messages are lost: x:0")
	wants(t, account([]batch{b}, append(flat(read), read[0][0]), false, nil), "came more than once: x:0")
	wants(t, account([]batch{b}, append(flat(read), read[0][0]), true, nil), "")
	wants(t, account([]batch{b}, flat(read), false, func(_ batch, i int) bool { return i > 0 }), "should not")
	wants(t, account(nil, flat(read), false, nil), "nobody sent")
	for name, change := range map[string]func(*talk.Msg){
		"body": func(m *talk.Msg) { m.CRC++ }, "tag": func(m *talk.Msg) { m.Tag = "" }, "keys": func(m *talk.Msg) { m.Keys = "" },
		"property n": func(m *talk.Msg) { m.N = "" }, "stored at": func(m *talk.Msg) { m.Stored = 0 },
	} {
		_, read := sample(10)
		change(&read[1][2])
		wants(t, account([]batch{b}, flat(read), false, nil), name)
	}
}

func TestPlacesAndOrder(t *testing.T) {
	b, read := sample(10)
	wants(t, places([]batch{b}, read), "")
	wants(t, inOrder([]batch{b}, read), "")
	wants(t, queueOf(b, read), "")
	read[0][1], read[0][2] = read[0][2], read[0][1]
	wants(t, places([]batch{b}, read), "where x:4 lies")
	wants(t, inOrder([]batch{b}, read), "x:2 after x:4")
	b, read = sample(10)
	b.sent[3].ID = "other"
	wants(t, places([]batch{b}, read), "sent with ids")
	b.sent[3].Queue = 0
	wants(t, queueOf(b, read), "went to queue 0, want 1")
	b, read = sample(10)
	read[1] = read[1][:4]
	wants(t, places([]batch{b}, read), "which has 4 messages")
}

// happened makes events of lines "consumer event queue offset".
func happened(t *testing.T, lines ...string) []talk.Answer {
	t.Helper()
	var out []talk.Answer
	for _, l := range lines {
		f := strings.Fields(l)
		out = append(out, talk.Answer{Name: f[0], Event: f[1], M: &talk.Msg{Queue: int(f[2][0] - '0'), Offset: int64(f[3][0] - '0'), Body: "x:" + f[3]}})
	}
	return out
}

func TestOrderly(t *testing.T) {
	for _, c := range []struct {
		err   string
		lines []string
	}{
		{"", []string{"a begin 0 0", "a fail 0 0", "a begin 0 0", "a read 0 0", "a begin 0 1", "b begin 1 0", "a read 0 1", "b read 1 0"}},
		{"", []string{"a begin 0 0", "a read 0 0", "b begin 0 0", "b read 0 0", "b begin 0 1", "b read 0 1"}},
		{"a reads offset 1, want 0", []string{"a begin 0 1"}},
		{"a reads offset 1, want 0", []string{"a begin 0 0", "a fail 0 0", "a begin 0 1"}},
		{"a reads offset 0, want 1", []string{"a begin 0 0", "a read 0 0", "a begin 0 0"}},
		{"b reads offset 0 while a reads", []string{"a begin 0 0", "b begin 0 0"}},
		{"ends what it did not begin", []string{"a begin 0 0", "b read 0 0"}},
	} {
		wants(t, orderly(happened(t, c.lines...)), c.err)
	}
}

func TestRetries(t *testing.T) {
	event := func(kind string, again int, at int64) talk.Answer {
		return talk.Answer{Event: kind, M: &talk.Msg{Body: "x:0", Again: again, Read: at}}
	}
	second := func(int) int64 { return 1000 }
	good := []talk.Answer{event("fail", 0, 0), event("fail", 1, 1000), event("fail", 2, 2500)}
	wants(t, retries(good, 2, second), "")
	wants(t, retries(good, 1, second), "more than 1 times")
	wants(t, retries([]talk.Answer{event("fail", 0, 0), event("fail", 1, 999)}, 2, second), "999 ms after it failed")
	wants(t, retries([]talk.Answer{event("fail", 0, 0), event("read", 2, 5000)}, 2, second), "says that it was delivered 2 times")
}

func TestSharedNeedsTwoReadersApart(t *testing.T) {
	b := batch{cmd: talk.Command{Prefix: "x"}}
	if shared(happened(t, "a read 0 0", "a read 1 0"), b) || shared(happened(t, "a read 0 0", "b read 0 1"), b) {
		t.Error("one reader, or two of one queue, is no sharing")
	}
	if !shared(happened(t, "a read 0 0", "b read 1 0"), b) {
		t.Error("two readers of two queues share")
	}
}

func TestFactsAreCompared(t *testing.T) {
	of := func(on string, facts map[string]string) outcome {
		return outcome{scenario: "s", client: "c", on: on, facts: facts}
	}
	got := differingFacts([]outcome{of("real", map[string]string{"a": "1", "~b": "1", "c": "3"}), of("penstock", map[string]string{"a": "2", "~b": "2"})})
	if len(got) != 2 || !strings.Contains(got[0], `RocketMQ "1", penstock "2"`) || !strings.Contains(got[1], `c: RocketMQ "3", penstock ""`) {
		t.Errorf("%q", got)
	}
	if got := differingFacts([]outcome{of("real", map[string]string{"a": "1"})}); len(got) != 0 {
		t.Errorf("one broker alone differs from nothing: %q", got)
	}
}
