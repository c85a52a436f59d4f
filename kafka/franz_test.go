package kafka

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
)

// TestFranz: records go in by franz-go and come out as they were, with every codec, kind of acknowledgement and
// both disks.
func TestFranz(t *testing.T) {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	for _, dir := range []string{"", t.TempDir()} {
		h := build(t, dir, nil)
		for name, codec := range codecs {
			for i, acks := range []kgo.Acks{kgo.AllISRAcks(), kgo.LeaderAck(), kgo.NoAck()} {
				opts := []kgo.Opt{kgo.ProducerBatchCompression(codec), kgo.RequiredAcks(acks), kgo.RecordPartitioner(kgo.ManualPartitioner())}
				if acks != kgo.AllISRAcks() {
					opts = append(opts, kgo.DisableIdempotentWrite())
				}
				topic := fmt.Sprintf("topic-%s-%d", name, i)
				h.topic(topic, 3, nil)
				p := h.franz(opts...)
				const n = 200
				for part := range int32(3) {
					h.produce(p, topic, part, n)
				}
				c := h.franz(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
				next := map[int32]int64{}
				for _, r := range h.consume(c, 3*n) {
					if want := fmt.Sprintf("%s-%d-%d", topic, r.Partition, r.Offset); string(r.Value) != want || r.Offset != next[r.Partition] {
						t.Fatalf("partition %d, offset %d, want %d: %q", r.Partition, r.Offset, next[r.Partition], r.Value)
					}
					next[r.Partition]++
				}
			}
		}
		for _, s := range h.account.Lines() {
			if dir == "" && s.Reason != "nofile" && s.Reason != "small" {
				t.Errorf("disk in memory: %+v", s)
			}
		}
	}
}

// TestAutoCreate: a client that produces to a topic which does not exist finds it in the first answer.
func TestAutoCreate(t *testing.T) {
	h := build(t, "", func(o *Options) { o.DefaultPartitions = 4 })
	c := h.franz(kgo.AllowAutoTopicCreation(), kgo.DefaultProduceTopic("made-on-demand"))
	if err := c.ProduceSync(h.ctx(), kgo.StringRecord("x")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	topic := h.meta.Image().Topic("made-on-demand")
	if topic == nil || len(topic.Partitions) != 4 {
		t.Fatalf("%+v", topic)
	}
	q := kmsg.NewPtrMetadataRequest()
	q.Topics = []kmsg.MetadataRequestTopic{{Topic: kmsg.StringPtr("not made")}, {Topic: kmsg.StringPtr("unasked")}}
	q.AllowAutoTopicCreation = true
	resp, err := q.RequestWith(h.ctx(), c)
	if err != nil || code(resp.Topics[0].ErrorCode) != codeInvalidTopic || resp.Topics[1].ErrorCode != 0 || len(resp.Topics[1].Partitions) != 4 {
		t.Fatalf("%+v %v", resp, err)
	}
	q.AllowAutoTopicCreation = false
	q.Topics = []kmsg.MetadataRequestTopic{{Topic: kmsg.StringPtr("forbidden")}}
	if resp, err = q.RequestWith(h.ctx(), c); err != nil || code(resp.Topics[0].ErrorCode) != codeUnknownTopicOrPartition || h.meta.Image().Topic("forbidden") != nil {
		t.Fatalf("%+v %v", resp, err)
	}
}

// TestAutoCreateBound: one request makes no more topics than the limit; the client asks again for the others.
func TestAutoCreateBound(t *testing.T) {
	h := build(t, "", func(o *Options) { o.Limits.AutoCreateTopics = 2 })
	q := kmsg.NewPtrMetadataRequest()
	q.AllowAutoTopicCreation = true
	for _, name := range []string{"a", "b", "c"} {
		q.Topics = append(q.Topics, kmsg.MetadataRequestTopic{Topic: kmsg.StringPtr(name)})
	}
	got := h.ask(q, 9).(*kmsg.MetadataResponse).Topics
	if got[0].ErrorCode != 0 || got[1].ErrorCode != 0 || code(got[2].ErrorCode) != codeUnknownTopicOrPartition || h.meta.Image().Len() != 2 {
		t.Errorf("%+v", got)
	}
}

// TestLongPoll: a consumer at the end waits, and gets the next record when it is written.
func TestLongPoll(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	p := h.franz(kgo.DefaultProduceTopic("t"))
	c := h.franz(kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(20_000_000_000))
	for i := range 50 {
		h.produce(p, "t", 0, 1)
		if got := h.consume(c, 1); len(got) != 1 || got[0].Offset != int64(i) {
			t.Fatalf("%+v", got)
		}
	}
}

// TestDeleteTopic: a deleted topic is unknown by name and by id, and one made anew under its name is empty.
func TestDeleteTopic(t *testing.T) {
	h := build(t, "", nil)
	old := h.topic("t", 1, nil)
	c := h.franz()
	h.produce(c, "t", 0, 3)
	was := h.front.routes.Load().ids[old.ID]
	q := kmsg.NewPtrDeleteTopicsRequest()
	q.Topics = []kmsg.DeleteTopicsRequestTopic{{TopicID: old.ID}}
	resp, err := q.RequestWith(h.ctx(), c)
	if err != nil || resp.Topics[0].ErrorCode != 0 || resp.Topics[0].Topic == nil || *resp.Topics[0].Topic != "t" {
		t.Fatalf("%+v %v", resp, err)
	}
	if resp, err = q.RequestWith(h.ctx(), c); err != nil || code(resp.Topics[0].ErrorCode) != codeUnknownTopicID {
		t.Fatalf("%+v %v", resp, err)
	}
	if h.front.routes.Load().names["t"] != nil || h.front.routes.Load().ids[old.ID] != nil {
		t.Fatal("its route is still there")
	}
	if _, why := h.front.partition(was, 0); why != codeNotLeaderOrFollower {
		t.Errorf("its partition is still found by a route kept over a wait: %d", why)
	}
	fresh := h.topic("t", 1, nil)
	p, _ := h.front.partition(h.front.routes.Load().ids[fresh.ID], 0)
	if p == nil || p.Offsets().End != penstock.Offset(0) {
		t.Fatal("the new topic is not empty")
	}
}
