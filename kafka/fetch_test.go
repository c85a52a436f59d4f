package kafka

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock/metric"
	"penstock/replica"
)

// fetchOf is a request for partitions of topic t from their given offsets.
func (h *house) fetchOf(wait, minBytes, maxBytes int32, from ...int64) *kmsg.FetchRequest {
	q := kmsg.NewPtrFetchRequest()
	q.MaxWaitMillis, q.MinBytes, q.MaxBytes, q.SessionEpoch = wait, minBytes, maxBytes, -1
	topic := kmsg.FetchRequestTopic{Topic: "t"}
	if t := h.meta.Image().Topic("t"); t != nil {
		topic.TopicID = t.ID
	}
	for i, at := range from {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch, p.LastFetchedEpoch = int32(i), at, 1<<20, -1, -1
		topic.Partitions = append(topic.Partitions, p)
	}
	q.Topics = []kmsg.FetchRequestTopic{topic}
	return q
}

func (h *house) fetch(q *kmsg.FetchRequest, v int16) []kmsg.FetchResponseTopicPartition {
	h.t.Helper()
	resp := h.ask(q, v).(*kmsg.FetchResponse)
	if resp.ErrorCode != 0 || len(resp.Topics) == 0 {
		h.t.Fatalf("version %d: %+v", v, resp)
	}
	return resp.Topics[0].Partitions
}

const second = 1000

// stored is a batch as it comes back: with its offset and epoch stamped.
func stored(b []byte, p kmsg.FetchResponseTopicPartition) bool {
	return len(p.RecordBatches) >= len(b) && bytes.Equal(p.RecordBatches[16:len(b)], b[16:])
}

// TestFetchVersions: in every version the stored bytes come out as they went in.
func TestFetchVersions(t *testing.T) {
	h := build(t, t.TempDir(), nil)
	h.topic("t", 1, nil)
	small, large := batch(2, 100), batch(3, 10_000)
	h.put(9, -1, small)
	h.put(9, -1, large)
	for v := int16(4); v <= 18; v++ {
		p := h.fetch(h.fetchOf(0, 1, 1<<20, 0), v)[0]
		if p.ErrorCode != 0 || p.HighWatermark != 5 || p.LastStableOffset != 5 || v >= 5 && p.LogStartOffset != 0 || v >= 11 && p.PreferredReadReplica != -1 {
			t.Fatalf("version %d: %+v", v, p)
		}
		if !stored(small, p) || len(p.RecordBatches) != len(small)+len(large) {
			t.Fatalf("version %d: %d bytes", v, len(p.RecordBatches))
		}
		p.RecordBatches = p.RecordBatches[len(small):]
		if !stored(large, p) {
			t.Fatalf("version %d: the second batch differs", v)
		}
	}
}

// TestFetchBounds: the first partition with data gives one batch however small the bounds are; the whole stays within max bytes;
// a partition within its own.
func TestFetchBounds(t *testing.T) {
	h := build(t, "", nil)
	topic := h.topic("t", 4, nil)
	size := len(batch(1, 1000))
	for range 3 {
		for p := int32(1); p < 4; p++ {
			h.ask(produceOf("t", topic.ID, -1, map[int32][]byte{p: batch(1, 1000)}), 9)
		}
	}
	sizes := func(change func(q *kmsg.FetchRequest)) string {
		q := h.fetchOf(0, 1, 1<<20, 0, 0, 0, 0)
		change(q)
		var out []int
		for _, p := range h.fetch(q, 11) {
			out = append(out, len(p.RecordBatches)/size)
		}
		return fmt.Sprint(out)
	}
	for _, test := range []struct {
		want   string
		change func(q *kmsg.FetchRequest)
	}{
		{"[0 3 3 3]", func(*kmsg.FetchRequest) {}},
		{"[0 1 0 0]", func(q *kmsg.FetchRequest) { q.MaxBytes = 1 }},
		{"[0 1 0 0]", func(q *kmsg.FetchRequest) { q.MaxBytes = 0 }},
		{"[0 1 3 3]", func(q *kmsg.FetchRequest) { q.Topics[0].Partitions[1].PartitionMaxBytes = 1 }},
		{"[0 3 0 3]", func(q *kmsg.FetchRequest) { q.Topics[0].Partitions[2].PartitionMaxBytes = 0 }},
	} {
		if got := sizes(test.change); got != test.want {
			t.Errorf("batches %s, want %s", got, test.want)
		}
	}
	q := h.fetchOf(0, 1, int32(2*size), 0, 0, 0, 0)
	total := 0
	for _, p := range h.fetch(q, 11) {
		total += len(p.RecordBatches)
	}
	if total < size || total > 2*size {
		t.Errorf("%d bytes of at most %d", total, 2*size)
	}
}

// TestFetchErrors: offsets out of range, and epochs older and newer than the leader's (KIP-320).
func TestFetchErrors(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	if err := h.meta.Elect(h.ctx(), 0); err != nil {
		t.Fatal(err)
	}
	h.put(9, -1, batch(5, 10))
	epoch := int32(h.meta.Image().Topic("t").Partitions[0].Epoch)
	if epoch < 1 {
		t.Fatalf("epoch %d", epoch)
	}
	for _, test := range []struct {
		what   string
		change func(p *kmsg.FetchRequestTopicPartition)
		want   code
	}{
		{"before the start", func(p *kmsg.FetchRequestTopicPartition) { p.FetchOffset = -1 }, codeOffsetOutOfRange},
		{"after the end", func(p *kmsg.FetchRequestTopicPartition) { p.FetchOffset = 6 }, codeOffsetOutOfRange},
		{"at the end", func(p *kmsg.FetchRequestTopicPartition) { p.FetchOffset = 5 }, codeNone},
		{"an old epoch", func(p *kmsg.FetchRequestTopicPartition) { p.CurrentLeaderEpoch = epoch - 1 }, codeFencedLeaderEpoch},
		{"a new epoch", func(p *kmsg.FetchRequestTopicPartition) { p.CurrentLeaderEpoch = epoch + 1 }, codeUnknownLeaderEpoch},
		{"the epoch", func(p *kmsg.FetchRequestTopicPartition) { p.CurrentLeaderEpoch = epoch }, codeNone},
		{"no such partition", func(p *kmsg.FetchRequestTopicPartition) { p.Partition = 1 }, codeUnknownTopicOrPartition},
		{"a negative partition", func(p *kmsg.FetchRequestTopicPartition) { p.Partition = -1 }, codeUnknownTopicOrPartition},
	} {
		q := h.fetchOf(0, 1, 1<<20, 0)
		test.change(&q.Topics[0].Partitions[0])
		if p := h.fetch(q, 12)[0]; code(p.ErrorCode) != test.want || p.RecordBatches == nil {
			t.Errorf("%s: %+v", test.what, p)
		}
	}
}

// TestFetchErrorAtOnce: an error in one partition is told at once, although the client would wait for data in the others.
func TestFetchErrorAtOnce(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 2, nil)
	ps := h.fetch(h.fetchOf(600*second, 1, 1<<20, 99, 0), 11)
	if len(ps) != 2 || code(ps[0].ErrorCode) != codeOffsetOutOfRange || ps[1].ErrorCode != 0 {
		t.Errorf("%+v", ps)
	}
}

// TestFetchDiverging: who read records of an epoch that ended before where he stands is told where it ended, and not made to wait.
func TestFetchDiverging(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	h.put(9, -1, batch(5, 10))
	if err := h.meta.Elect(h.ctx(), 0); err != nil {
		t.Fatal(err)
	}
	h.put(9, -1, batch(5, 10))
	epoch := int32(h.meta.Image().Topic("t").Partitions[0].Epoch)
	q := h.fetchOf(600*second, 1<<20, 1<<20, 8)
	q.Topics[0].Partitions[0].LastFetchedEpoch = epoch - 1
	p := h.fetch(q, 12)[0]
	if p.ErrorCode != 0 || p.DivergingEpoch.Epoch != epoch-1 || p.DivergingEpoch.EndOffset != 5 || len(p.RecordBatches) != 0 {
		t.Errorf("%+v", p)
	}
}

// waits sends a fetch and returns when it waits.
func (h *house) waits(q *kmsg.FetchRequest, v int16) client {
	h.t.Helper()
	c := dial(h.t, h.addr)
	before := h.front.waiting.Value()
	c.send(frame(q, v, 5))
	h.until("the fetch waits", func() bool { return h.front.waiting.Value() == before+1 })
	return c
}

// got reads the answer to a fetch that waited.
func (c client) got(v int16) []kmsg.FetchResponseTopicPartition {
	c.t.Helper()
	resp := kmsg.NewPtrFetchResponse()
	c.answer(5, resp, v)
	if resp.ErrorCode != 0 || len(resp.Topics) == 0 {
		c.t.Fatalf("%+v", resp)
	}
	return resp.Topics[0].Partitions
}

// TestPollMinBytes: a fetch waits until what it asked for is there, in all its partitions together, whichever gives it.
func TestPollMinBytes(t *testing.T) {
	for _, iso := range []replica.Isolation{replica.ReadUncommitted, replica.ReadCommitted} {
		h := build(t, "", nil)
		topic := h.topic("t", 3, nil)
		size := len(batch(1, 1000))
		q := h.fetchOf(600*second, int32(3*size), 1<<20, 0, 0, 0)
		q.IsolationLevel = int8(iso)
		h.ask(produceOf("t", topic.ID, -1, map[int32][]byte{0: batch(1, 1000)}), 9)
		c := h.waits(q, 11)
		h.ask(produceOf("t", topic.ID, -1, map[int32][]byte{1: batch(1, 1000)}), 9)
		if n := h.front.waiting.Value(); n != 1 {
			t.Fatalf("%d fetches wait with two of three batches there", n)
		}
		h.ask(produceOf("t", topic.ID, 1, map[int32][]byte{2: batch(1, 1000)}), 9)
		total := 0
		for _, p := range c.got(11) {
			total += len(p.RecordBatches)
		}
		if total != 3*size {
			t.Errorf("%d bytes, want %d", total, 3*size)
		}
		if n := h.front.waiting.Value(); n != 0 {
			t.Errorf("%d fetches still wait", n)
		}
	}
}

// TestPollTime: when the time is over the answer tells what there is, which may be nothing.
func TestPollTime(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	if p := h.fetch(h.fetchOf(1, 1, 1<<20, 0), 11)[0]; p.ErrorCode != 0 || len(p.RecordBatches) != 0 || p.HighWatermark != 0 {
		t.Errorf("%+v", p)
	}
	b := batch(1, 10)
	h.put(9, -1, b)
	if p := h.fetch(h.fetchOf(1, 1<<20, 1<<20, 0), 11)[0]; !stored(b, p) {
		t.Errorf("%+v", p)
	}
}

// TestPollClosed: when its connection ends a waiting fetch is gone, and nothing holds it: neither the session nor the
// partition nor its clock.
func TestPollClosed(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	c := h.waits(h.fetchOf(600*second, 1, 1<<20, 0), 11)
	held := h.onlyPoll()
	c.Close()
	h.until("no fetch waits", func() bool { return h.front.waiting.Value() == 0 })
	h.until("nothing holds the poll", func() bool { runtime.GC(); return held.Value() == nil })
	h.put(9, -1, batch(1, 10))
}

// onlyPoll finds the one long poll under way.
func (h *house) onlyPoll() weak.Pointer[poll] {
	h.t.Helper()
	h.front.mu.Lock()
	defer h.front.mu.Unlock()
	for s := range h.front.open {
		s.mu.Lock()
		defer s.mu.Unlock()
		for p := range s.waiting {
			return weak.Make(p)
		}
	}
	h.t.Fatal("no poll")
	return weak.Pointer[poll]{}
}

// TestPollDeleted: when its topic is deleted a waiting fetch is answered.
func TestPollDeleted(t *testing.T) {
	h := build(t, "", nil)
	topic := h.topic("t", 1, nil)
	c := h.waits(h.fetchOf(600*second, 1, 1<<20, 0), 11)
	if err := h.meta.DeleteTopic(h.ctx(), topic.ID); err != nil {
		t.Fatal(err)
	}
	if p := c.got(11)[0]; p.ErrorCode == 0 {
		t.Errorf("%+v", p)
	}
}

// TestPollLeave: when the broker is about to stop a waiting fetch is answered, and none waits any more.
func TestPollLeave(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	c := h.waits(h.fetchOf(600*second, 1, 1<<20, 0), 11)
	h.front.Leave()
	c.got(11)
	if p := h.fetch(h.fetchOf(600*second, 1, 1<<20, 0), 11)[0]; p.ErrorCode != 0 {
		t.Errorf("%+v", p)
	}
}

// TestPollOrder: an answer behind a waiting fetch on the same connection leaves after it.
func TestPollOrder(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	c := h.waits(h.fetchOf(600*second, 1, 1<<20, 0), 11)
	c.send(frame(kmsg.NewPtrMetadataRequest(), 9, 6))
	h.put(9, -1, batch(1, 10))
	c.got(11)
	c.answer(6, kmsg.NewPtrMetadataResponse(), 9)
}

// TestSessionOverTheWire follows a session: a full fetch makes it, an incremental one tells only what is new, and waits for
// partitions that it does not name.
func TestSessionOverTheWire(t *testing.T) {
	for _, v := range []int16{7, 12, 13, 18} {
		h := build(t, "", nil)
		topic := h.topic("t", 2, nil)
		q := h.fetchOf(0, 1, 1<<20, 0, 0)
		q.SessionEpoch = 0
		first := h.ask(q, v).(*kmsg.FetchResponse)
		if first.SessionID == 0 || len(first.Topics[0].Partitions) != 2 {
			t.Fatalf("version %d: %+v", v, first)
		}
		q.Topics, q.SessionID, q.SessionEpoch = nil, first.SessionID, 1
		if resp := h.ask(q, v).(*kmsg.FetchResponse); resp.ErrorCode != 0 || resp.SessionID != first.SessionID || len(resp.Topics) != 0 {
			t.Fatalf("version %d, nothing new: %+v", v, resp)
		}
		q.MaxWaitMillis, q.SessionEpoch = 600*second, 2
		c := h.waits(q, v)
		b := batch(1, 10)
		h.ask(produceOf("t", topic.ID, -1, map[int32][]byte{1: b}), 9)
		if ps := c.got(v); len(ps) != 1 || ps[0].Partition != 1 || !stored(b, ps[0]) {
			t.Fatalf("version %d: %+v", v, ps)
		}
		q.SessionEpoch = 2
		if resp := h.ask(q, v).(*kmsg.FetchResponse); code(resp.ErrorCode) != codeInvalidFetchSessionEpoch {
			t.Fatalf("version %d, an epoch again: %+v", v, resp)
		}
		q.SessionID++
		if resp := h.ask(q, v).(*kmsg.FetchResponse); code(resp.ErrorCode) != codeFetchSessionNotFound {
			t.Fatalf("version %d, no such session: %+v", v, resp)
		}
	}
}

// TestPollEnds: whatever ends a poll, and however many do at once, it ends once. The bubble's clock brings the time limit.
func TestPollEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &poll{call: &fetchCall{front: offline()}}
		ended := make(chan bool, 3)
		p.mu.Lock() // as while it is armed
		p.waiter = replica.NewWaiter(1, func() {})
		p.timer = time.AfterFunc(time.Hour, func() { ended <- p.finish() })
		for range 2 {
			time.AfterFunc(time.Hour, func() { ended <- p.finish() })
		}
		p.mu.Unlock()
		time.Sleep(2 * time.Hour)
		n := 0
		for len(ended) > 0 {
			if <-ended {
				n++
			}
		}
		if n != 1 {
			t.Errorf("ended %d times", n)
		}
	})
}

// TestZeroCopy: of large answers every stored byte goes by sendfile, and the account says so for the topic.
func TestZeroCopy(t *testing.T) {
	h := build(t, t.TempDir(), nil)
	h.topic("t", 1, nil)
	var want int64
	for range 20 {
		b := batch(1, 100_000)
		want += int64(len(b))
		h.put(9, 1, b)
	}
	q := h.fetchOf(0, 1, 64<<20, 0)
	q.Topics[0].Partitions[0].PartitionMaxBytes = 64 << 20
	if got := int64(len(h.fetch(q, 11)[0].RecordBatches)); got != want {
		t.Errorf("%d bytes, want %d", got, want)
	}
	h.stop()
	for _, l := range h.account.Lines() {
		if l.Path != metric.PathSendfile.String() || l.Topic != "t" || l.Listener != "kafka" {
			t.Errorf("%+v", l)
		}
	}
}

// TestTwoConsumers: two clients that read one partition at different paces each get every record once, in order.
func TestTwoConsumers(t *testing.T) {
	h := build(t, t.TempDir(), nil)
	h.topic("t", 1, nil)
	p := h.franz(kgo.DefaultProduceTopic("t"), kgo.ProducerBatchMaxBytes(2000))
	const n = 2000
	a := h.franz(kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxPartitionBytes(3000))
	b := h.franz(kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	h.produce(p, "t", 0, n)
	for _, c := range []*kgo.Client{a, b} {
		for i, r := range h.consume(c, n) {
			if r.Offset != int64(i) || string(r.Value) != fmt.Sprintf("t-0-%d", i) {
				t.Fatalf("record %d: %d %q", i, r.Offset, r.Value)
			}
		}
	}
}
