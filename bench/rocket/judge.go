package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"penstock/bench/rocket/talk"
)

// batch is what one send command sent.
type batch struct {
	cmd  talk.Command
	sent []talk.Sent
}

// tag and key are those of message i.
func (b batch) tag(i int) string {
	if len(b.cmd.Tags) == 0 {
		return ""
	}
	return b.cmd.Tags[i%len(b.cmd.Tags)]
}

// exact says what is wrong with message i of the batch as it was read.
func (b batch) exact(i int, m *talk.Msg) error {
	body := talk.Body(b.cmd.Prefix, i, b.cmd.Size)
	key := ""
	if b.cmd.Key != "" {
		key = b.cmd.Key + strconv.Itoa(i)
	}
	switch {
	case m.Body != talk.Head(body) || m.Size != len(body) || m.CRC != talk.Sum(body):
		return fmt.Errorf("message %d of %q: body %q of %d bytes", i, b.cmd.Prefix, m.Body, m.Size)
	case m.Tag != b.tag(i):
		return fmt.Errorf("message %d of %q: tag %q, want %q", i, b.cmd.Prefix, m.Tag, b.tag(i))
	case m.Keys != key:
		return fmt.Errorf("message %d of %q: keys %q, want %q", i, b.cmd.Prefix, m.Keys, key)
	case m.N != strconv.Itoa(i):
		return fmt.Errorf("message %d of %q: property n is %q", i, b.cmd.Prefix, m.N)
	case m.Born == 0 || m.Stored == 0 || m.Stored < m.Born-1000:
		return fmt.Errorf("message %d of %q: born at %d, stored at %d", i, b.cmd.Prefix, m.Born, m.Stored)
	}
	return nil
}

// number is which message of which of the batches a message is.
func number(batches []batch, m *talk.Msg) (batch, int, error) {
	prefix, n, _ := strings.Cut(m.Body, ":")
	i, err := strconv.Atoi(n)
	if err == nil {
		for _, b := range batches {
			if b.cmd.Prefix == prefix && i >= b.cmd.From && i < b.cmd.From+b.cmd.Count {
				return b, i, nil
			}
		}
	}
	return batch{}, 0, fmt.Errorf("nobody sent %q", m.Body)
}

// name is a message's name in reports.
func (b batch) name(i int) string { return fmt.Sprintf("%s:%d", b.cmd.Prefix, i) }

// account compares the messages that were read with those that were sent: each read message must be exact, and each message sent
// must have been read once, or at least once if again is true; filter says which of them shall be read at all, nil means all.
func account(batches []batch, read []talk.Msg, again bool, filter func(b batch, i int) bool) error {
	times := map[string]int{}
	for _, m := range read {
		b, i, err := number(batches, &m)
		if err != nil {
			return err
		}
		if err := b.exact(i, &m); err != nil {
			return err
		}
		if filter != nil && !filter(b, i) {
			return fmt.Errorf("%s with tag %q came and should not", m.Body, m.Tag)
		}
		times[b.name(i)]++
	}
	var lost, twice []string
	for _, b := range batches {
		for i := b.cmd.From; i < b.cmd.From+b.cmd.Count; i++ {
			switch n := times[b.name(i)]; {
			case filter != nil && !filter(b, i):
			case n == 0:
				lost = append(lost, b.name(i))
			case n > 1 && !again:
				twice = append(twice, b.name(i))
			}
		}
	}
	var errs []error
	if len(lost) > 0 {
		errs = append(errs, fmt.Errorf("%d messages are lost: %s", len(lost), some(lost)))
	}
	if len(twice) > 0 {
		errs = append(errs, fmt.Errorf("%d messages came more than once: %s", len(twice), some(twice)))
	}
	return errors.Join(errs...)
}

func some(names []string) string {
	if len(names) > 5 {
		return strings.Join(names[:5], " ") + " ..."
	}
	return strings.Join(names, " ")
}

// places compares where messages lie with what the senders were told.
func places(batches []batch, read map[int][]talk.Msg) error {
	for _, b := range batches {
		last := map[int]int64{}
		for _, r := range b.sent {
			q := read[r.Queue]
			if r.Offset < 0 || r.Offset >= int64(len(q)) {
				return fmt.Errorf("%s was acknowledged at offset %d of queue %d, which has %d messages", b.name(r.I), r.Offset, r.Queue, len(q))
			}
			m := &q[r.Offset]
			if m.Body != b.name(r.I) {
				return fmt.Errorf("%s was acknowledged at offset %d of queue %d, where %s lies", b.name(r.I), r.Offset, r.Queue, m.Body)
			}
			if r.ID != "" && m.ID != r.ID || m.OffsetID != r.OffsetID { // the Go client gives no ids to a batch
				return fmt.Errorf("%s: sent with ids %s %s, read with %s %s", b.name(r.I), r.ID, r.OffsetID, m.ID, m.OffsetID)
			}
			if before, ok := last[r.Queue]; ok && b.cmd.Mode != "async" && r.Offset <= before {
				return fmt.Errorf("%s: offset %d of queue %d after %d", b.name(r.I), r.Offset, r.Queue, before)
			}
			last[r.Queue] = r.Offset
		}
	}
	return nil
}

// inOrder says where the numbers of one of these batches go back within a queue.
func inOrder(batches []batch, read map[int][]talk.Msg) error {
	for q, msgs := range read {
		last := map[string]int{}
		for _, m := range msgs {
			b, i, err := number(batches, &m)
			if err != nil {
				continue // of a batch whose order does not matter
			}
			if before, ok := last[b.cmd.Prefix]; ok && i <= before {
				return fmt.Errorf("queue %d: %s after %s", q, b.name(i), b.name(before))
			}
			last[b.cmd.Prefix] = i
		}
	}
	return nil
}

// flat are the messages of all queues.
func flat(read map[int][]talk.Msg) []talk.Msg {
	var out []talk.Msg
	for _, q := range slices.Sorted(maps.Keys(read)) {
		out = append(out, read[q]...)
	}
	return out
}

// those are the messages of events of a kind.
func those(events []talk.Answer, kind string) []talk.Msg {
	var out []talk.Msg
	for _, e := range events {
		if e.Event == kind {
			out = append(out, *e.M)
		}
	}
	return out
}

// distinct is how many different messages there are.
func distinct(msgs []talk.Msg) int {
	seen := map[string]bool{}
	for _, m := range msgs {
		seen[m.Body] = true
	}
	return len(seen)
}

// orderly judges the events of orderly consumers: a queue has one reader at a time; what was read successfully goes up by one from
// offset to offset, but that a change of readers may begin again where the last one had not told the broker; a message that failed comes
// again before any other of its queue.
func orderly(events []talk.Answer) error {
	type state struct {
		busy  string // who is reading now
		owner string // who read last
		next  int64
	}
	queues := map[int]*state{}
	for _, e := range events {
		q := queues[e.M.Queue]
		if q == nil {
			q = &state{}
			queues[e.M.Queue] = q
		}
		switch e.Event {
		case "begin":
			if q.busy != "" {
				return fmt.Errorf("queue %d: %s reads offset %d while %s reads too", e.M.Queue, e.Name, e.M.Offset, q.busy)
			}
			changed := q.owner != "" && q.owner != e.Name
			if e.M.Offset != q.next && !(changed && e.M.Offset < q.next) {
				return fmt.Errorf("queue %d: %s reads offset %d, want %d", e.M.Queue, e.Name, e.M.Offset, q.next)
			}
			q.busy, q.owner, q.next = e.Name, e.Name, e.M.Offset
		default:
			if q.busy != e.Name {
				return fmt.Errorf("queue %d: %s ends what it did not begin", e.M.Queue, e.Name)
			}
			q.busy = ""
			if e.Event == "read" {
				q.next = e.M.Offset + 1
			}
		}
	}
	return nil
}

// retries judges the events of consumers whose messages fail: each message is delivered with 0, 1, 2, ... deliveries before it, up to most,
// and never earlier than pause ms after it failed.
func retries(events []talk.Answer, most int, pause func(again int) int64) error {
	failed := map[string][]talk.Msg{}
	for _, e := range events {
		f := failed[e.M.Body]
		if e.M.Again != len(f) {
			return fmt.Errorf("%s was delivered %d times and says that it was delivered %d times", e.M.Body, len(f), e.M.Again)
		}
		if len(f) > most {
			return fmt.Errorf("%s was delivered more than %d times again", e.M.Body, most)
		}
		if len(f) > 0 {
			last := f[len(f)-1]
			if want := last.Read + pause(len(f)); e.M.Read < want {
				return fmt.Errorf("%s came again %d ms after it failed, want %d", e.M.Body, e.M.Read-last.Read, want-last.Read)
			}
		}
		if e.Event == "fail" {
			failed[e.M.Body] = append(f, *e.M)
		}
	}
	return nil
}

// properties are the names of a message's properties that the broker or the client set, with the values that are the same in every run. Left out are
// those that only some versions set, and what one broker adds to what its clients sent: RocketMQ its region and that messages may be traced, which
// clients take for granted where a message does not say otherwise; penstock the checksum.
func properties(m *talk.Msg) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m.Props)) {
		switch k {
		case "MAX_OFFSET", "MIN_OFFSET", "CONSUME_START_TIME", "CLUSTER":
		case "MSG_REGION", "TRACE_ON", "__CRC32#":
		case "UNIQ_KEY", "n", "KEYS", "ORIGIN_MESSAGE_ID", "DLQ_ORIGIN_MESSAGE_ID", "RETRY_TOPIC", "DLQ_ORIGIN_TOPIC",
			"REAL_TOPIC", "REAL_QID", "TAGS":
			out = append(out, k)
		default:
			out = append(out, k+"="+m.Props[k])
		}
	}
	return strings.Join(out, " ")
}
