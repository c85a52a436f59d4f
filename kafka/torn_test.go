package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
	"penstock/meta"
)

// TestMessagesTorn: of an idempotent producer's batch that a kill or a power cut has left a part of in the log nothing is there after the start. Sent again it
// is appended once, where it was to lie; it is found when it comes once more, and after another kill; and the next one follows on it.
func TestMessagesTorn(t *testing.T) {
	const n = 20
	tear := map[penstock.Layout]string{
		penstock.LayoutCommit:  "write(commit/message/log/*)#1=short truncate#*=EIO", // what was written stays, as where the process ends in the write
		penstock.LayoutSegment: "write(*.log)#1=short truncate#*=EIO",
	}
	for _, l := range bothLayouts {
		gone, there := 0, 0
		for seed := range uint64(13) { // the first is a kill in the middle of the write, the others are power cuts behind it
			h := build(t, "", nil, withMessages)
			topic := h.messageTopic("t", l, 1, nil)
			send := func(seq int32, acks int16, want code, base int64) {
				t.Helper()
				if p := h.sequencedMessages(topic, seq, n, acks); code(p.ErrorCode) != want || p.BaseOffset != base {
					t.Fatalf("%v, seed %d, sequence %d: %+v, want offset %d, %v", l, seed, seq, p, base, want)
				}
			}
			ends := func(want penstock.Offset) {
				t.Helper()
				if got := h.led(topic, 0).Offsets(); got.HighWatermark != want || got.Start != 0 {
					t.Fatalf("%v, seed %d: %+v, want the end at %d", l, seed, got, want)
				}
			}
			send(0, -1, codeNone, 0)
			if seed == 0 {
				h.disk.Inject(tear[l])
				if p := h.sequencedMessages(topic, n, n, -1); p.ErrorCode == 0 {
					t.Fatalf("%v: appended by a write that failed: %+v", l, p)
				}
			} else {
				send(n, 1, codeNone, n)
				h.disk = h.disk.Crash(seed)
			}
			h = h.again(false)
			if seed > 0 && h.led(topic, 0).Offsets().HighWatermark == 2*n {
				there++
			} else {
				ends(n)
				gone++
			}
			send(n, -1, codeNone, n)
			ends(2 * n)
			h = h.again(false)
			ends(2 * n)
			send(n, -1, codeNone, n)
			send(3*n, -1, codeOutOfOrderSequence, -1)
			send(2*n, -1, codeNone, 2*n)
			ends(3 * n)
			h = h.again(true)
			ends(3 * n)
			send(n, -1, codeNone, n)
			send(2*n, -1, codeNone, 2*n)
			ends(3 * n)
		}
		t.Logf("%v: gone %d, there %d", l, gone, there)
	}
}

// sequencedMessages sends a batch of n large records of one idempotent producer.
func (h *house) sequencedMessages(topic *meta.Topic, seq int32, n int, acks int16) kmsg.ProduceResponseTopicPartition {
	h.t.Helper()
	b := plainBatch(n, 1000)
	b.ProducerID, b.ProducerEpoch, b.FirstSequence = 9, 3, seq
	resp := h.ask(produceOf(topic.Name, topic.ID, acks, map[int32][]byte{0: seal(b)}), 9).(*kmsg.ProduceResponse)
	return resp.Topics[0].Partitions[0]
}
