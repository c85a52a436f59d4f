package kafka

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"penstock"
	"penstock/disk/disktest"
	"penstock/meta"
)

// sent is one request of a pipeline as a test made it.
type sent struct {
	partition int32
	acks      int16
	producer  int64 // -1: without a sequence
	records   int
	size      int
}

func (s sent) batch(sequence int32) []byte {
	b := plainBatch(s.records, s.size)
	if s.producer >= 0 {
		b.ProducerID, b.ProducerEpoch, b.FirstSequence = s.producer, 0, sequence
	}
	return seal(b)
}

// TestGatherTwin: whatever is sent in one go, of several partitions, with and without sequences, with any acks, lies in
// the log as if each request had been appended for itself in its turn, and is answered so.
func TestGatherTwin(t *testing.T) {
	t.Run("segment", func(t *testing.T) { gatherTwin(t, build(t, "", nil), penstock.LayoutSegment) })
	t.Run("commit", func(t *testing.T) {
		gatherTwin(t, build(t, "", nil, func(h *house) { h.shared = true }), penstock.LayoutCommit)
	})
}

func gatherTwin(t *testing.T, h *house, l penstock.Layout) {
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		topic := h.laid(fmt.Sprintf("t%d", run), l, 3)
		list := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) sent {
			return sent{
				partition: rapid.Int32Range(0, 2).Draw(rt, "partition"), acks: rapid.SampledFrom([]int16{-1, 0, 1}).Draw(rt, "acks"),
				producer: rapid.SampledFrom([]int64{-1, -1, -1, 5}).Draw(rt, "producer"),
				records:  rapid.IntRange(1, 3).Draw(rt, "records"), size: rapid.IntRange(1, 300).Draw(rt, "size"),
			}
		}), 1, 30).Draw(rt, "requests")

		var frames []byte
		want := make([][]byte, 3)           // the twin's logs
		next := make([]int64, 3)            // their ends
		offsets := make([]int64, len(list)) // what each is answered
		sequences := make([]int32, 3)
		for i, s := range list {
			b := s.batch(sequences[s.partition])
			if s.producer >= 0 {
				sequences[s.partition] += int32(s.records)
			}
			frames = append(frames, frame(produceOf(topic.Name, topic.ID, s.acks, map[int32][]byte{s.partition: b}), 13, int32(i))...)
			want[s.partition] = append(want[s.partition], b[16:]...)
			offsets[i] = next[s.partition]
			next[s.partition] += int64(s.records)
		}
		c := dial(t, h.addr)
		defer c.Close()
		last := kmsg.NewPtrMetadataRequest()
		c.send(append(frames, frame(last, 9, 999)...)) // ends the pipeline, for those with acks=0
		for i, s := range list {
			if s.acks == 0 {
				continue
			}
			resp := kmsg.NewPtrProduceResponse()
			if c.answer(int32(i), resp, 13); resp.Topics[0].Partitions[0].ErrorCode != 0 || resp.Topics[0].Partitions[0].BaseOffset != offsets[i] {
				rt.Fatalf("request %d: %+v, want offset %d", i, resp.Topics[0].Partitions[0], offsets[i])
			}
		}
		c.answer(999, kmsg.NewPtrMetadataResponse(), 9)
		h.sameLogs(rt, topic.ID, want)
	})
}

// laid creates a topic of records with a layout.
func (h *house) laid(name string, l penstock.Layout, partitions int) *meta.Topic {
	h.t.Helper()
	topic, err := h.meta.CreateTopic(h.ctx(), meta.NewTopic{Name: name, Layout: l, Partitions: partitions, Replicas: []penstock.BrokerID{0}}, false)
	if err != nil {
		h.t.Fatal(err)
	}
	return topic
}

// TestGatherManyPartitions: batches with and without sequences, of one request for many partitions of a shared log, are one write to it.
func TestGatherManyPartitions(t *testing.T) {
	const partitions = 50
	h := build(t, "", nil, func(h *house) { h.shared = true })
	topic := h.laid("t", penstock.LayoutCommit, partitions)
	c := dial(t, h.addr)
	defer c.Close()
	for i, producer := range []int64{-1, 5, -1, 5} {
		records := map[int32][]byte{}
		for p := range int32(partitions) {
			records[p] = sent{producer: producer, records: 1, size: 10}.batch(int32(i / 2))
		}
		h.disk.StartTrace()
		c.send(frame(produceOf("t", topic.ID, -1, records), 13, int32(i)))
		resp := kmsg.NewPtrProduceResponse()
		c.answer(int32(i), resp, 13)
		for _, p := range resp.Topics[0].Partitions {
			if p.ErrorCode != 0 || p.BaseOffset != int64(i) {
				t.Fatalf("request %d: %+v", i, p)
			}
		}
		writes := 0
		for _, call := range h.disk.Trace() {
			if strings.HasPrefix(call, string(disktest.KindWrite)) && strings.Contains(call, "/log/") {
				writes++
			}
		}
		if i >= 2 && writes != 1 { // the first make the files
			t.Fatalf("request %d: %d writes to the log", i, writes)
		}
	}
}

// sameLogs compares the partitions' batches, but for what the log stamps before byte 16 of each.
func (h *house) sameLogs(t interface{ Fatalf(string, ...any) }, id penstock.TopicID, want [][]byte) {
	h.t.Helper()
	q := h.fetchOf(0, 1, 64<<20, 0, 0, 0)
	q.Topics[0].TopicID = id
	for _, p := range h.fetch(q, 13) {
		var got []byte
		for b := p.RecordBatches; len(b) > 0; {
			n := 12 + int(uint32(b[8])<<24|uint32(b[9])<<16|uint32(b[10])<<8|uint32(b[11]))
			got = append(got, b[16:n]...)
			b = b[n:]
		}
		if !bytes.Equal(got, want[p.Partition]) {
			t.Fatalf("partition %d: %d bytes, want %d, or others", p.Partition, len(got), len(want[p.Partition]))
		}
	}
}

// pipelined sends n batches of one record in one go and returns their codes and offsets.
func (h *house) pipelined(n int32, acks int16) (codes []code, offsets []int64) {
	h.t.Helper()
	topic := h.meta.Image().Topic("t")
	var frames []byte
	for i := range n {
		frames = append(frames, frame(produceOf("t", topic.ID, acks, map[int32][]byte{0: batch(1, 10)}), 9, i)...)
	}
	c := dial(h.t, h.addr)
	defer c.Close()
	c.send(frames)
	for i := range n {
		resp := kmsg.NewPtrProduceResponse()
		c.answer(i, resp, 9)
		p := resp.Topics[0].Partitions[0]
		codes, offsets = append(codes, code(p.ErrorCode)), append(offsets, p.BaseOffset)
	}
	return codes, offsets
}

// TestGatherWrites: what comes in one read is written in few writes.
func TestGatherWrites(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	h.pipelined(1, 1)
	before := h.disk.Counts()[disktest.KindWrite]
	const n = 20
	h.pipelined(n, 1)
	if got := h.disk.Counts()[disktest.KindWrite] - before; got > n/4 {
		t.Errorf("%d writes for %d batches sent in one go", got, n)
	}
}

// TestGatherRefused: when the write of a bundle fails, each batch is tried alone and answered for itself.
func TestGatherRefused(t *testing.T) {
	for _, acks := range []int16{1, -1} {
		h := build(t, "", nil)
		h.topic("t", 1, nil)
		h.pipelined(1, 1)
		h.disk.Inject("write(*.log)#1-2=ENOSPC") // the bundle, and the first alone
		codes, offsets := h.pipelined(8, acks)
		next, full := int64(1), 0
		for i := range codes {
			switch codes[i] {
			case codeStorageError:
				full++
			case codeNone:
				if offsets[i] != next {
					t.Errorf("acks %d, batch %d: offset %d, want %d", acks, i, offsets[i], next)
				}
				next++
			default:
				t.Errorf("acks %d, batch %d: %v", acks, i, codes[i])
			}
		}
		if full == 0 || full > 2 {
			t.Errorf("acks %d: %d batches refused for two writes that failed", acks, full)
		}
	}
}

// TestGatherInOrder: a request behind a produce on one connection sees what it appended.
func TestGatherInOrder(t *testing.T) {
	h := build(t, "", nil)
	topic := h.topic("t", 1, nil)
	c := dial(t, h.addr)
	c.send(append(frame(produceOf("t", topic.ID, 0, map[int32][]byte{0: batch(3, 10)}), 9, 1), frame(listOf(-1, 0), 5, 2)...))
	resp := kmsg.NewPtrListOffsetsResponse()
	if c.answer(2, resp, 5); resp.Topics[0].Partitions[0].Offset != 3 {
		t.Errorf("%+v", resp)
	}
}

// TestGatherClosed: what was sent with acks=0 right before the connection was closed is appended.
func TestGatherClosed(t *testing.T) {
	h := build(t, "", nil)
	topic := h.topic("t", 1, nil)
	c := dial(t, h.addr)
	c.send(frame(produceOf("t", topic.ID, 0, map[int32][]byte{0: batch(3, 10)}), 9, 1))
	c.Close()
	p, _ := h.front.partition(h.front.routes.Load().names["t"], 0)
	h.until("the batch is appended", func() bool { return p.Offsets().End == 3 })
}
