package kafka

import (
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// put sends one batch to partition 0 of topic t and returns its part of the answer.
func (h *house) put(version, acks int16, b []byte) kmsg.ProduceResponseTopicPartition {
	h.t.Helper()
	topic := h.meta.Image().Topic("t")
	resp := h.ask(produceOf("t", topic.ID, acks, map[int32][]byte{0: b}), version).(*kmsg.ProduceResponse)
	return resp.Topics[0].Partitions[0]
}

// TestProduceVersions: in every version a batch is appended and answered with its offset, and with its place in the log where
// the version has room for it.
func TestProduceVersions(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	next := int64(0)
	for v := int16(3); v <= 13; v++ {
		for _, acks := range []int16{-1, 1} {
			p := h.put(v, acks, batch(3, 10))
			if p.ErrorCode != 0 || p.BaseOffset != next || p.LogAppendTime != -1 || v >= 5 && p.LogStartOffset != 0 || p.ErrorMessage != nil {
				t.Fatalf("version %d: %+v", v, p)
			}
			next += 3
		}
	}
}

// TestProduceAppendTime: where the broker stamps the time the answer tells it.
func TestProduceAppendTime(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, map[string]string{"message.timestamp.type": "LogAppendTime"})
	b := plainBatch(1, 10)
	b.FirstTimestamp, b.MaxTimestamp = 5, 5
	if p := h.put(9, -1, seal(b)); p.ErrorCode != 0 || p.LogAppendTime < 1_700_000_000_000 {
		t.Errorf("%+v", p)
	}
}

// TestProduceBadBatches: each fault of a batch has its code, and nothing of it is appended.
func TestProduceBadBatches(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, map[string]string{"max.message.bytes": "10000"})
	change := func(f func(b *kmsg.RecordBatch)) []byte {
		b := plainBatch(2, 20)
		f(b)
		return seal(b)
	}
	flipped := batch(1, 50)
	flipped[70] ^= 1
	for _, test := range []struct {
		what    string
		version int16
		b       []byte
		want    code
	}{
		{"a flipped bit", 9, flipped, codeCorruptMessage},
		{"no bytes", 9, []byte{}, codeInvalidRecord},
		{"null", 9, nil, codeInvalidRecord},
		{"half a batch", 9, batch(1, 50)[:80], codeInvalidRecord},
		{"two batches", 9, append(batch(1, 10), batch(1, 10)...), codeInvalidRecord},
		{"magic 1", 9, func() []byte { b := batch(1, 10); b[16] = 1; return b }(), codeInvalidRecord},
		{"a base offset", 9, change(func(b *kmsg.RecordBatch) { b.FirstOffset = 7 }), codeInvalidRecord},
		{"a wrong count", 9, change(func(b *kmsg.RecordBatch) { b.NumRecords = 3 }), codeInvalidRecord},
		{"a control batch", 9, change(func(b *kmsg.RecordBatch) { b.Attributes = 1 << 5 }), codeInvalidRecord},
		{"a transaction", 9, change(func(b *kmsg.RecordBatch) {
			b.Attributes, b.ProducerID, b.ProducerEpoch, b.FirstSequence = 1<<4, 1, 0, 0
		}), codeUnsupportedVersion},
		{"too large", 9, batch(1, 10_000), codeMessageTooLarge},
		{"far in the future", 9, change(func(b *kmsg.RecordBatch) { b.MaxTimestamp += 48 * 3600 * 1000 }), codeInvalidTimestamp},
		{"zstd before version 7", 6, change(func(b *kmsg.RecordBatch) { b.Attributes = 4 }), codeUnsupportedCompression},
	} {
		p := h.put(test.version, -1, test.b)
		if code(p.ErrorCode) != test.want || p.BaseOffset != -1 || test.version >= 8 && p.ErrorMessage == nil {
			t.Errorf("%s: %+v", test.what, p)
		}
	}
	if p := h.put(9, 1, batch(1, 10)); p.BaseOffset != 0 {
		t.Errorf("a refused batch was appended: next offset %d", p.BaseOffset)
	}
}

// TestProduceEachForItself: of the partitions of one request the good ones are appended, whatever is wrong with the others.
func TestProduceEachForItself(t *testing.T) {
	h := build(t, "", nil)
	topic := h.topic("t", 2, nil)
	resp := h.ask(produceOf("t", topic.ID, -1, map[int32][]byte{0: batch(1, 10), 1: batch(1, 10)[:60], 2: batch(1, 10)}), 9).(*kmsg.ProduceResponse)
	var codes []code
	for _, p := range resp.Topics[0].Partitions {
		codes = append(codes, code(p.ErrorCode))
	}
	if len(codes) != 3 || codes[0] != codeNone || codes[1] != codeInvalidRecord || codes[2] != codeUnknownTopicOrPartition {
		t.Errorf("%v", codes)
	}
}

// TestProduceSequences cites KIP-98 and KIP-360: a batch sent again is answered with the offset that it got, a gap is out of
// order, an old epoch is fenced.
func TestProduceSequences(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	for i, test := range []struct {
		b      []byte
		want   code
		offset int64
	}{
		{sequenced(7, 1, 0), codeNone, 0},
		{sequenced(7, 1, 1), codeNone, 1},
		{sequenced(7, 1, 0), codeNone, 0},
		{sequenced(7, 1, 1), codeNone, 1},
		{sequenced(7, 1, 5), codeOutOfOrderSequence, -1},
		{sequenced(7, 0, 2), codeInvalidProducerEpoch, -1},
		{sequenced(7, 1, 2), codeNone, 2},
	} {
		if p := h.put(9, -1, test.b); code(p.ErrorCode) != test.want || p.BaseOffset != test.offset {
			t.Errorf("step %d: %+v", i, p)
		}
	}
	if n := h.front.routes.Load().names["t"].in.records.Value(); n != 3 {
		t.Errorf("%d records counted, 3 were appended", n)
	}
}

// TestAcksNone: there is no answer, and the one after it is that of the next request.
func TestAcksNone(t *testing.T) {
	h := build(t, "", nil)
	topic := h.topic("t", 1, nil)
	c := dial(t, h.addr)
	q := produceOf("t", topic.ID, 0, map[int32][]byte{0: batch(2, 10)})
	c.send(frame(q, 9, 1), frame(q, 9, 2))
	q.Acks = 1
	c.send(frame(q, 9, 3))
	resp := kmsg.NewPtrProduceResponse()
	if c.answer(3, resp, 9); resp.Topics[0].Partitions[0].BaseOffset != 4 {
		t.Errorf("%+v", resp)
	}
	q.Acks = 0
	q.Topics[0].Partitions[0].Partition = 9
	c.send(frame(q, 9, 4))
	if b := c.receive(); b != nil {
		t.Errorf("an error with acks=0 does not close: %x", b)
	}
}

// TestPipelinedAcks: requests with acks=all that follow one another on a connection are all appended while the disk is
// still busy with the first, and are answered in order when it is done.
func TestPipelinedAcks(t *testing.T) {
	h := build(t, "", nil)
	topic := h.topic("t", 1, nil)
	h.disk.Inject("sync(*.log)#1=stall")
	c := dial(t, h.addr)
	const n = 20
	for i := range int32(n) {
		c.send(frame(produceOf("t", topic.ID, -1, map[int32][]byte{0: batch(1, 10)}), 9, i))
	}
	p, _ := h.front.partition(h.front.routes.Load().names["t"], 0)
	h.until("all are appended", func() bool { return p.Offsets().End == n })
	h.disk.WaitStalled(1)
	if o := p.Offsets(); o.HighWatermark != 0 {
		t.Errorf("readers see up to %d before anything is durable", o.HighWatermark)
	}
	for iso := range int8(2) {
		if p := h.ask(listOf(-1, iso), 5).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]; p.Offset != 0 {
			t.Errorf("the latest offset is told to be %d before anything is durable", p.Offset)
		}
	}
	h.disk.Unstall()
	for i := range int32(n) {
		resp := kmsg.NewPtrProduceResponse()
		if c.answer(i, resp, 9); resp.Topics[0].Partitions[0].BaseOffset != int64(i) || resp.Topics[0].Partitions[0].ErrorCode != 0 {
			t.Fatalf("%d: %+v", i, resp)
		}
	}
}

// TestDiskTroubles: a failed sync is told as a storage error, which clients retry, and so is what comes after; a full disk
// likewise, and it passes.
func TestDiskTroubles(t *testing.T) {
	h := build(t, "", nil)
	h.topic("t", 1, nil)
	h.disk.Inject("write(*.log)#1=ENOSPC")
	if p := h.put(9, -1, batch(1, 10)); code(p.ErrorCode) != codeStorageError {
		t.Errorf("full: %+v", p)
	}
	h.disk.Heal()
	h.until("there is room again", func() bool { return h.put(9, -1, batch(1, 10)).ErrorCode == 0 })
	h.broken = true
	h.disk.Inject("sync(*.log)#1=EIO")
	for range 2 {
		if p := h.put(9, -1, batch(1, 10)); code(p.ErrorCode) != codeStorageError {
			t.Errorf("sync failed: %+v", p)
		}
	}
}

// TestBatchHelperSeals checks the tests' own batches against the documented places.
func TestBatchHelperSeals(t *testing.T) {
	b := batch(2, 5)
	if binary.BigEndian.Uint32(b[17:]) != crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)) || int(binary.BigEndian.Uint32(b[8:])) != len(b)-12 {
		t.Error("not sealed")
	}
}
