package kafka

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
	"penstock/message"
	"penstock/meta"
	"penstock/metric"
	"penstock/replica"
	"penstock/store"
	"penstock/store/commit"
	"penstock/store/segment"
)

// bothLayouts are those that topics of messages have.
var bothLayouts = []penstock.Layout{penstock.LayoutCommit, penstock.LayoutSegment}

// withMessages makes a house take topics of messages.
func withMessages(h *house) { h.layouts = bothLayouts }

// messageStore makes the store of messages of a layout.
func (h *house) messageStore(l penstock.Layout) store.Store {
	h.t.Helper()
	var st store.Store
	var err error
	if l == penstock.LayoutCommit {
		st, err = commit.New(h.store, message.Format{}, commit.Options{FileBytes: 32 << 20})
	} else {
		st, err = segment.New(h.store, message.Format{}, segment.Options{})
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return st
}

// messageTopic creates a topic of messages.
func (h *house) messageTopic(name string, l penstock.Layout, partitions int, configs map[string]string) *meta.Topic {
	h.t.Helper()
	topic, err := h.meta.CreateTopic(h.ctx(), meta.NewTopic{
		Name: name, Format: penstock.FormatMessage, Layout: l, Partitions: partitions, Replicas: []penstock.BrokerID{0}, Configs: configs,
	}, false)
	if err != nil {
		h.t.Fatal(err)
	}
	return topic
}

// send appends messages as RocketMQ's front does.
func (h *house) send(topic *meta.Topic, partition int32, ms ...message.Message) {
	h.t.Helper()
	var bs []penstock.Batch
	for i := range ms {
		m := ms[i]
		m.Topic, m.QueueID, m.StoreTime, m.WithRecordCRC = []byte(topic.Name), partition, penstock.Timestamp(time.Now().UnixMilli()), true
		b, err := message.Append(nil, &m)
		if err != nil {
			h.t.Fatal(err)
		}
		head, err := message.Format{}.Header(b)
		if err != nil {
			h.t.Fatal(err)
		}
		bs = append(bs, penstock.Batch{Header: head, Bytes: b})
	}
	res, _ := h.led(topic, partition).Append(replica.AppendRequest{Batches: bs, Acks: penstock.AcksLeader, Epoch: penstock.NoEpoch}, nil)
	if res.Err != nil {
		h.t.Fatal(res.Err)
	}
}

func (h *house) led(topic *meta.Topic, partition int32) *replica.Partition {
	return h.replicas.Partition(penstock.PartitionID{Topic: topic.ID, Partition: partition})
}

// messages reads what is stored.
func (h *house) messages(topic *meta.Topic, partition int32) (out []message.Message) {
	h.t.Helper()
	ext, _, err := h.led(topic, partition).Read(replica.ReadRequest{Max: 64 << 20, Whole: true, Epoch: penstock.NoEpoch, LastEpoch: penstock.NoEpoch}, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	defer penstock.ReleaseAll(ext)
	for _, e := range ext {
		b := make([]byte, e.Len)
		if _, err := e.File.ReadAt(b, e.Off); err != nil {
			h.t.Fatal(err)
		}
		for len(b) > 0 {
			head, err := message.Format{}.Header(b)
			if err == nil {
				err = message.Format{}.Verify(b[:head.Size])
			}
			if err != nil {
				h.t.Fatal(err)
			}
			m, err := message.Parse(b[:head.Size])
			if err != nil {
				h.t.Fatal(err)
			}
			out, b = append(out, m), b[head.Size:]
		}
	}
	return out
}

// same reports whether a record came back as it was sent.
func same(a, b *kgo.Record) bool {
	null := func(p []byte) string { return fmt.Sprintf("%v %q", p == nil, p) }
	header := func(a, b kgo.RecordHeader) bool { return a.Key == b.Key && null(a.Value) == null(b.Value) }
	return null(a.Key) == null(b.Key) && null(a.Value) == null(b.Value) && a.Timestamp.Equal(b.Timestamp) && slices.EqualFunc(a.Headers, b.Headers, header)
}

// TestMessagesRoundTrip: what a Kafka client writes to a topic of messages, under every codec, it reads as it was; the store holds messages that
// RocketMQ's clients understand; and the account has every byte that left as converted.
func TestMessagesRoundTrip(t *testing.T) {
	h := build(t, "", func(o *Options) {
		o.StoreHost = func() netip.AddrPort { return netip.MustParseAddrPort("192.0.2.7:10911") }
	}, withMessages)
	for i, l := range bothLayouts {
		for j, codec := range []kgo.CompressionCodec{
			kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(),
		} {
			topic := h.messageTopic(fmt.Sprintf("t-%d-%d", i, j), l, 1, nil)
			at := time.UnixMilli(time.Now().UnixMilli() - 5000)
			sent := []*kgo.Record{
				{Key: []byte("order-7"), Value: []byte("paid"), Headers: []kgo.RecordHeader{{Key: "TAGS", Value: []byte("a")}, {Key: "trace", Value: []byte("1")}}},
				{Value: bytes.Repeat([]byte("large"), 20_000)},
				{Key: []byte{0, 1, 255}, Headers: []kgo.RecordHeader{{Key: "n"}, {Key: "n", Value: []byte{2}}, {Key: "", Value: []byte{}}}},
				{Key: []byte{}, Value: []byte{}},
				{Value: []byte("x"), Headers: []kgo.RecordHeader{{Key: "rocketmq.flag", Value: []byte("7")}}},
			}
			for n, r := range sent {
				r.Topic, r.Timestamp = topic.Name, at.Add(time.Duration(n)*time.Second)
			}
			c := h.franz(kgo.ProducerBatchCompression(codec), kgo.ConsumeTopics(topic.Name))
			if err := c.ProduceSync(h.ctx(), sent...).FirstErr(); err != nil {
				t.Fatal(err)
			}
			size := int64(0)
			for n, r := range h.consume(c, len(sent)) {
				if !same(r, sent[n]) || r.Offset != int64(n) {
					t.Errorf("%v, codec %d: got %+v\nwant %+v", l, j, r, sent[n])
				}
				size += int64(len(r.Value))
			}
			c.Close()
			ms := h.messages(topic, 0)
			first := &ms[0]
			tag, _ := message.Property(first.Properties, message.PropertyTags)
			keys, _ := message.Property(first.Properties, message.PropertyKeys)
			if len(ms) != len(sent) || string(tag) != "a" || string(keys) != "order-7" || string(first.Topic) != topic.Name || !first.WithRecordCRC ||
				first.StoreHost.String() != "192.0.2.7:10911" || first.BornHost.Addr().String() != "127.0.0.1" || first.BornTime != penstock.Timestamp(at.UnixMilli()) ||
				first.StoreTime < first.BornTime+5000 || ms[4].Flag != 7 {
				t.Errorf("%v, codec %d: %d messages, first %+v", l, j, len(ms), first)
			}
			h.converted(topic.Name, size)
		}
	}
}

// converted demands that all payload of a topic has left as converted, and as much of it as least.
func (h *house) converted(topic string, least int64) {
	h.t.Helper()
	h.until("the answers are counted", func() bool {
		return h.copied(topic, metric.PathCopied.String(), metric.ReasonConverted.String()) >= least
	})
	for _, l := range h.account.Lines() {
		if l.Topic == topic && (l.Reason != metric.ReasonConverted.String() || l.Path != metric.PathCopied.String()) {
			h.t.Errorf("left otherwise: %+v", l)
		}
	}
}

func (h *house) copied(topic, path, reason string) int64 {
	for _, l := range h.account.Lines() {
		if l.Topic == topic && l.Path == path && l.Reason == reason {
			return l.Bytes
		}
	}
	return 0
}

// TestMessagesOfRocket: a Kafka group reads what RocketMQ's clients sent, waits for more, and its offsets are kept.
func TestMessagesOfRocket(t *testing.T) {
	for _, l := range bothLayouts {
		h := build(t, "", nil, withMessages)
		topic := h.messageTopic("t", l, 2, nil)
		one := func(i int) message.Message {
			return message.Message{
				Body: fmt.Appendf(nil, "body %d", i), BornTime: penstock.Timestamp(1_700_000_000_000 + i), Flag: int32(i),
				Properties: fmt.Appendf(nil, "UNIQ_KEY\x01%032d\x02KEYS\x01k%d\x02TAGS\x01even\x02", i, i),
			}
		}
		for i := range 20 {
			h.send(topic, int32(i%2), one(i))
		}
		c := h.franz(kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.FetchMaxWait(10*time.Second), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
		seen := map[string]*kgo.Record{}
		for _, r := range h.consume(c, 20) {
			seen[string(r.Value)] = r
		}
		for i := range 20 {
			r := seen[fmt.Sprintf("body %d", i)]
			if r == nil || string(r.Key) != fmt.Sprintf("k%d", i) || r.Offset != int64(i/2) || r.Partition != int32(i%2) || r.Timestamp.UnixMilli() != int64(1_700_000_000_000+i) {
				t.Fatalf("%v: message %d: %+v", l, i, r)
			}
			want := fmt.Sprintf("[{UNIQ_KEY %032d} {TAGS even}", i)
			if i > 0 {
				want += fmt.Sprintf(" {rocketmq.flag %d}", i)
			}
			if got := strings.ReplaceAll(fmt.Sprintf("%s", r.Headers), "%!s(MISSING)", ""); got != want+"]" {
				t.Errorf("%v: headers %s, want %s]", l, got, want)
			}
		}
		if err := c.CommitUncommittedOffsets(h.ctx()); err != nil {
			t.Fatal(err)
		}
		// The poll is under way by the time that something comes, or else finds it at once: either way it ends.
		waited := make(chan []*kgo.Record, 1)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			waited <- c.PollFetches(ctx).Records()
		}()
		h.send(topic, 0, one(20))
		if rs := <-waited; len(rs) != 1 || string(rs[0].Value) != "body 20" || rs[0].Offset != 10 {
			t.Errorf("%v: after waiting: %v", l, rs)
		}
		c.Close()
	}
}

// fetchMessages asks for one partition and returns its records' count, offsets and size.
func (h *house) fetchMessages(topic *meta.Topic, change func(*kmsg.FetchRequest), parts ...kmsg.FetchRequestTopicPartition) []kmsg.FetchResponseTopicPartition {
	h.t.Helper()
	q := kmsg.NewPtrFetchRequest()
	q.MaxBytes, q.SessionEpoch, q.MaxWaitMillis = 64<<20, -1, 0
	q.Topics = []kmsg.FetchRequestTopic{{Topic: topic.Name, TopicID: topic.ID, Partitions: parts}}
	if change != nil {
		change(q)
	}
	resp := h.ask(q, 12).(*kmsg.FetchResponse)
	if len(resp.Topics) == 0 {
		return nil
	}
	return resp.Topics[0].Partitions
}

func wantPart(index int32, from int64, most int32) kmsg.FetchRequestTopicPartition {
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch, p.LastFetchedEpoch = index, from, most, -1, -1
	return p
}

// offsetsIn are the first offset and the number of records of the batches in the bytes of an answer.
func offsetsIn(t testing.TB, b []byte) (first int64, n int) {
	t.Helper()
	first = -1
	for len(b) > 0 {
		var k kmsg.RecordBatch
		if err := k.ReadFrom(b); err != nil {
			t.Fatal(err)
		}
		if first < 0 {
			first = k.FirstOffset
		}
		n += int(k.NumRecords)
		b = b[k.Length+12:]
	}
	return first, n
}

// TestMessagesFetchBounds: an answer has as much as was asked for and at least one message, of the parts in their order, from any offset, and no
// more in memory than the limit says.
func TestMessagesFetchBounds(t *testing.T) {
	h := build(t, "", func(o *Options) { o.Limits.ConvertBytes = 300_000 }, withMessages)
	for _, l := range bothLayouts {
		topic := h.messageTopic("t"+l.String(), l, 2, nil)
		for i := range 20 {
			h.send(topic, int32(i%2), message.Message{Body: make([]byte, 100_000)})
		}
		for _, c := range []struct {
			what string
			ask  []kmsg.FetchRequestTopicPartition
			most int32
			want string
		}{
			{"a little", []kmsg.FetchRequestTopicPartition{wantPart(0, 0, 1000), wantPart(1, 0, 1000)}, 1 << 20, "0+1 -1+0"},
			{"one each", []kmsg.FetchRequestTopicPartition{wantPart(1, 4, 150_000), wantPart(0, 9, 150_000)}, 1 << 20, "4+1 9+1"},
			{"all that may be", []kmsg.FetchRequestTopicPartition{wantPart(0, 3, 10<<20), wantPart(1, 3, 10<<20)}, 64 << 20, "3+2 -1+0"},
			{"nothing in all", []kmsg.FetchRequestTopicPartition{wantPart(0, 2, 10<<20), wantPart(1, 0, 10<<20)}, 0, "2+1 -1+0"},
			{"the end", []kmsg.FetchRequestTopicPartition{wantPart(0, 10, 10<<20), wantPart(1, 9, 10<<20)}, 64 << 20, "-1+0 9+1"},
		} {
			var got []string
			for _, p := range h.fetchMessages(topic, func(q *kmsg.FetchRequest) { q.MaxBytes = c.most }, c.ask...) {
				first, n := offsetsIn(t, p.RecordBatches)
				got = append(got, fmt.Sprintf("%d+%d", first, n))
				if p.ErrorCode != 0 || p.HighWatermark != 10 || p.LastStableOffset != 10 || p.LogStartOffset != 0 {
					t.Errorf("%v: %s: %+v", l, c.what, p)
				}
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("%v: %s: %s, want %s", l, c.what, s, c.want)
			}
		}
		for at, want := range map[int64]code{11: codeOffsetOutOfRange, -5: codeOffsetOutOfRange, 3: codeNone} {
			if p := h.fetchMessages(topic, nil, wantPart(0, at, 1000))[0]; code(p.ErrorCode) != want {
				t.Errorf("%v: from %d: %v", l, at, code(p.ErrorCode))
			}
		}
	}
}

// TestMessagesMixed: one fetch gives topics of both formats, one produce request writes them, and batches sent together keep their order.
func TestMessagesMixed(t *testing.T) {
	h := build(t, "", nil, withMessages)
	records, messages := h.topic("records", 1, nil), h.messageTopic("messages", penstock.LayoutCommit, 1, nil)
	c := dial(t, h.addr)
	defer c.Close()
	var frames []byte
	for i := range int32(30) {
		q := produceOf("records", records.ID, -1, map[int32][]byte{0: batch(2, int(i)+1)})
		q.Topics = append(q.Topics, produceOf("messages", messages.ID, -1, map[int32][]byte{0: batch(2, int(i)+1)}).Topics...)
		frames = append(frames, frame(q, 9, i)...)
	}
	c.send(frames)
	for i := range int32(30) {
		resp := kmsg.NewPtrProduceResponse()
		c.answer(i, resp, 9)
		for _, rt := range resp.Topics {
			if p := rt.Partitions[0]; p.ErrorCode != 0 || p.BaseOffset != int64(2*i) {
				t.Fatalf("%s: request %d: %+v", rt.Topic, i, p)
			}
		}
	}
	for i, m := range h.messages(messages, 0) {
		if len(m.Body) != i/2+1 || m.QueueOffset != penstock.Offset(i) {
			t.Fatalf("message %d: offset %d, body of %d bytes", i, m.QueueOffset, len(m.Body))
		}
	}
	q := kmsg.NewPtrFetchRequest()
	q.MaxBytes, q.SessionEpoch = 64<<20, -1
	for _, topic := range []*meta.Topic{messages, records, messages} {
		q.Topics = append(q.Topics, kmsg.FetchRequestTopic{Topic: topic.Name, TopicID: topic.ID, Partitions: []kmsg.FetchRequestTopicPartition{wantPart(0, 0, 1<<20)}})
	}
	resp := h.ask(q, 12).(*kmsg.FetchResponse)
	for _, rt := range resp.Topics {
		if first, n := offsetsIn(t, rt.Partitions[0].RecordBatches); first != 0 || n != 60 {
			t.Errorf("%s: %d records from %d on", rt.Topic, n, first)
		}
	}
	if len(resp.Topics) != 3 {
		t.Errorf("%d topics", len(resp.Topics))
	}
}

// TestMessagesSequences: a batch of an idempotent producer that comes again is found, though it has become several messages, and what is out of order
// is refused.
func TestMessagesSequences(t *testing.T) {
	h := build(t, "", nil, withMessages)
	for _, l := range bothLayouts {
		topic := h.messageTopic("t"+l.String(), l, 1, nil)
		send := func(seq int32, n int) kmsg.ProduceResponseTopicPartition {
			b := plainBatch(n, 10)
			b.ProducerID, b.ProducerEpoch, b.FirstSequence = 9, 0, seq
			resp := h.ask(produceOf(topic.Name, topic.ID, -1, map[int32][]byte{0: seal(b)}), 9).(*kmsg.ProduceResponse)
			return resp.Topics[0].Partitions[0]
		}
		for _, c := range []struct {
			seq  int32
			n    int
			base int64
			code code
		}{
			{0, 12, 0, codeNone}, {12, 1, 12, codeNone}, {0, 12, 0, codeNone}, {12, 1, 12, codeNone}, {14, 1, -1, codeOutOfOrderSequence}, {13, 2, 13, codeNone},
		} {
			if p := send(c.seq, c.n); code(p.ErrorCode) != c.code || p.BaseOffset != c.base {
				t.Errorf("%v: sequence %d: %+v, want offset %d, %v", l, c.seq, p, c.base, c.code)
			}
		}
		if n := len(h.messages(topic, 0)); n != 15 {
			t.Errorf("%v: %d messages, want 15", l, n)
		}
	}
}

// TestMessagesRefused: a batch of which one record cannot be a message is refused whole, with a text that says which and why; so is one that is
// too large once it is decompressed, and what is sent to a topic that is RocketMQ's own.
func TestMessagesRefused(t *testing.T) {
	h := build(t, "", func(o *Options) { o.Limits.ConvertBytes = 6 << 20 }, withMessages)
	topic := h.messageTopic("t", penstock.LayoutCommit, 1, map[string]string{"max.message.bytes": "7000000"})
	h.messageTopic("SCHEDULE_TOPIC_XXXX", penstock.LayoutCommit, 1, nil)
	h.messageTopic("%RETRY%g", penstock.LayoutCommit, 1, nil)
	c := h.franz(kgo.RequestRetries(0), kgo.RecordRetries(0), kgo.ProducerBatchCompression(kgo.ZstdCompression()), kgo.ProducerBatchMaxBytes(7_000_000), kgo.DisableIdempotentWrite())
	for _, row := range []struct {
		what  string
		topic string
		rs    []*kgo.Record
		want  code
	}{
		{"headers of 40,000 bytes", "t", []*kgo.Record{{Value: []byte("a")}, {Headers: []kgo.RecordHeader{{Key: "h", Value: make([]byte, 40_000)}}}}, codeInvalidRecord},
		{"6.9 MB in all", "t", []*kgo.Record{{Value: make([]byte, 4_000_000)}, {Value: make([]byte, 2_900_000)}}, codeMessageTooLarge},
		{"the topic of delayed messages", "SCHEDULE_TOPIC_XXXX", []*kgo.Record{{Value: []byte("a")}}, codeInvalidTopic},
	} {
		for _, r := range row.rs {
			r.Topic = row.topic
		}
		err := c.ProduceSync(h.ctx(), row.rs...).FirstErr()
		if got := kgoCode(err); got != row.want {
			t.Errorf("%s: %v", row.what, err)
		}
	}
	resp := h.ask(produceOf("t", topic.ID, -1, map[int32][]byte{0: withHeader(make([]byte, 40_000))}), 9).(*kmsg.ProduceResponse)
	if m := resp.Topics[0].Partitions[0].ErrorMessage; m == nil || !strings.Contains(*m, "record 1: ") || !strings.Contains(*m, "32747") {
		t.Errorf("told %v", resp.Topics[0].Partitions[0])
	}
	resp = h.ask(produceOf("%RETRY%g", [16]byte{}, -1, map[int32][]byte{0: batch(1, 1)}), 9).(*kmsg.ProduceResponse)
	if p := resp.Topics[0].Partitions[0]; code(p.ErrorCode) != codeInvalidTopic {
		t.Errorf("a topic of retries: %+v", p)
	}
	if ms := h.messages(topic, 0); len(ms) != 0 {
		t.Errorf("%d messages are there", len(ms))
	}
}

// withHeader is a batch of two records of which the second has a header.
func withHeader(value []byte) []byte {
	b := plainBatch(1, 1)
	r := kmsg.Record{OffsetDelta: 1, Headers: []kmsg.Header{{Key: "h", Value: value}}}
	r.Length = int32(len(r.AppendTo(nil)) - 1)
	raw := r.AppendTo(nil)
	// The length of what follows is written as of one byte: it is right once its own bytes are taken off.
	r.Length = int32(len(raw) - varints(int64(r.Length)))
	b.Records, b.NumRecords, b.LastOffsetDelta = r.AppendTo(b.Records), 2, 1
	return seal(b)
}

func varints(v int64) (n int) {
	for u := uint64(v << 1); ; u >>= 7 {
		if n++; u < 0x80 {
			return n
		}
	}
}

// kgoCode is the code in an error of franz-go's.
func kgoCode(err error) code {
	var coded interface{ Error() string }
	if err == nil || !errors.As(err, &coded) {
		return codeNone
	}
	for c, name := range codeNames {
		if strings.Contains(err.Error(), name) {
			return c
		}
	}
	return codeUnknownServerError
}

// TestMessagesTimes: a time is looked up by when messages were stored, so nothing that was born later is passed over; with the broker's time for a
// topic's, records have it.
func TestMessagesTimes(t *testing.T) {
	h := build(t, "", nil, withMessages)
	for _, l := range bothLayouts {
		for _, stamped := range []bool{false, true} {
			configs := map[string]string{}
			if stamped {
				configs["message.timestamp.type"] = "LogAppendTime"
			}
			topic := h.messageTopic(fmt.Sprintf("t-%v-%v", l, stamped), l, 1, configs)
			before := time.Now().UnixMilli()
			h.send(topic, 0, message.Message{Body: []byte("a"), BornTime: 5}, message.Message{Body: []byte("b"), BornTime: 6})
			q := kmsg.NewPtrListOffsetsRequest()
			find := func(at int64) (int64, int64) {
				q.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic.Name, Partitions: []kmsg.ListOffsetsRequestTopicPartition{{Timestamp: at, CurrentLeaderEpoch: -1}}}}
				p := h.ask(q, 7).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
				if p.ErrorCode != 0 {
					t.Fatalf("%v: %+v", l, p)
				}
				return p.Offset, p.Timestamp
			}
			for at, want := range map[int64]int64{-1: 2, -2: 0, 5: 0, before: 0, before + 3_600_000: -1} {
				if off, _ := find(at); off != want {
					t.Errorf("%v: offset %d at %d, want %d", l, off, at, want)
				}
			}
			if _, at := find(0); at < before {
				t.Errorf("%v: found at %d, stored from %d on", l, at, before)
			}
			b := h.fetchMessages(topic, nil, wantPart(0, 0, 1<<20))[0].RecordBatches
			var k kmsg.RecordBatch
			if err := k.ReadFrom(b); err != nil || (k.FirstTimestamp >= before) != stamped || !stamped && (k.FirstTimestamp != 5 || k.MaxTimestamp != 6) {
				t.Errorf("%v, stamped %v: %+v, %v", l, stamped, k, err)
			}
		}
	}
}

// TestMessagesDamaged: a message whose bytes have changed is not vouched for by a new checksum: what is before it comes, and then an error.
func TestMessagesDamaged(t *testing.T) {
	dir := t.TempDir()
	h := build(t, dir, nil, withMessages)
	topic := h.messageTopic("t", penstock.LayoutCommit, 1, nil)
	for range 3 {
		h.send(topic, 0, message.Message{Body: []byte("find me here")})
	}
	damage(t, dir, []byte("find me here"), 1)
	p := h.fetchMessages(topic, nil, wantPart(0, 0, 1<<20))[0]
	if first, n := offsetsIn(t, p.RecordBatches); p.ErrorCode != 0 || first != 0 || n != 1 {
		t.Errorf("%d records from %d on, %+v", n, first, p)
	}
	if p := h.fetchMessages(topic, nil, wantPart(0, 1, 1<<20))[0]; code(p.ErrorCode) != codeCorruptMessage || len(p.RecordBatches) != 0 {
		t.Errorf("%+v", p)
	}
}

// damage changes the nth place, from 0, in which files below dir hold some bytes.
func damage(t testing.TB, dir string, what []byte, nth int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		for at := bytes.Index(b, what); err == nil && at >= 0; nth-- {
			if nth == 0 {
				f, err := os.OpenFile(name, os.O_RDWR, 0)
				if err != nil {
					return err
				}
				defer f.Close()
				_, err = f.WriteAt([]byte{what[0] ^ 1}, int64(at))
				nth = -1
				return cmp.Or(err, fs.SkipAll)
			}
			next := bytes.Index(b[at+1:], what)
			if next < 0 {
				nth--
				break
			}
			at += 1 + next
		}
		return err
	})
	if err != nil || nth != -1 {
		t.Fatalf("not found, %v", err)
	}
}

// TestMessagesSequencesCrash: after a kill or a power cut batches of idempotent producers that come again are found, and the next goes on; one that the
// crash has cut is gone, and comes again.
func TestMessagesSequencesCrash(t *testing.T) {
	for _, power := range []bool{false, true} {
		h := build(t, "", nil, withMessages)
		var topics []*meta.Topic
		send := func(topic *meta.Topic, producer int64, seq int32, n int) kmsg.ProduceResponseTopicPartition {
			b := plainBatch(n, 10)
			b.ProducerID, b.ProducerEpoch, b.FirstSequence = producer, 3, seq
			resp := h.ask(produceOf(topic.Name, topic.ID, -1, map[int32][]byte{0: seal(b)}), 9).(*kmsg.ProduceResponse)
			return resp.Topics[0].Partitions[0]
		}
		for _, l := range bothLayouts {
			topic := h.messageTopic("t"+l.String(), l, 1, nil)
			topics = append(topics, topic)
			h.send(topic, 0, message.Message{Body: []byte("a")}, message.Message{Body: []byte("b"), Properties: []byte("kafka.producer\x0111:3:0:4\x02")})
			for _, b := range []struct {
				seq int32
				n   int
			}{{0, 12}, {12, 1}, {13, 20}} {
				if p := send(topic, 9, b.seq, b.n); p.ErrorCode != 0 || p.BaseOffset != int64(2+b.seq) {
					t.Fatalf("%v: %+v", l, p)
				}
			}
			h.send(topic, 0, message.Message{Body: []byte("c"), Properties: []byte("kafka.producer\x0113:3:0:3\x02")}, message.Message{Body: []byte("d")})
		}
		for _, topic := range topics {
			send(topic, 12, 0, 1) // makes durable what was sent with fewer acks
			if !power {
				h.send(topic, 0, message.Message{Body: []byte("first of three"), Properties: []byte("kafka.producer\x0110:3:0:3\x02")})
			}
		}
		h = h.again(power)
		for _, topic := range topics {
			for _, c := range []struct {
				producer int64
				seq      int32
				n        int
				base     int64
				code     code
			}{
				{9, 13, 20, 15, codeNone}, {9, 0, 12, 2, codeNone}, {9, 34, 1, -1, codeOutOfOrderSequence}, {12, 0, 1, 37, codeNone},
				{13, 0, 3, 35, codeNone}, {9, 33, 2, 38, codeNone}, {10, 0, 3, 40, codeNone}, {10, 3, 1, 43, codeNone},
			} {
				if p := send(topic, c.producer, c.seq, c.n); code(p.ErrorCode) != c.code || p.BaseOffset != c.base {
					t.Errorf("%s, power cut %v: producer %d, sequence %d: %+v, want offset %d, %v", topic.Name, power, c.producer, c.seq, p, c.base, c.code)
				}
			}
		}
	}
}
