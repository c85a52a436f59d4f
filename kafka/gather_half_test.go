package kafka

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
)

// TestGatherHalfWritten: when the write of what came in one read fails at any call of the disk, half written or not at all, and each batch is tried alone
// in the bundle's place, no batch is found twice, also after the client has sent again what was refused, and every one acknowledged is where its answer
// said.
func TestGatherHalfWritten(t *testing.T) {
	for _, layout := range []penstock.Layout{penstock.LayoutSegment, penstock.LayoutCommit} {
		for _, acks := range []int16{1, -1} {
			for _, rules := range []string{"write#%d=short", "write#%d-5=short", "write#%d=short/EIO", "write#%d=short truncate#1-2=EIO", "change#%d=EIO", "sync#%d=EIO"} {
				t.Run(fmt.Sprintf("%v/acks %d/%s", layout, acks, rules), func(t *testing.T) {
					refused := 0
					for i := range 5 {
						refused += gatherHalf(t, layout, acks, fmt.Sprintf(rules, i+1))
					}
					// One write that fails is the bundle's, and nobody hears of it; a sync is nothing to those who do not wait for it.
					if silent := rules == "write#%d=short" || acks == 1 && rules == "sync#%d=EIO"; (refused == 0) != silent {
						t.Errorf("%d batches were refused", refused)
					}
				})
			}
		}
	}
}

// gatherHalf does it with a disk that fails by rules, and returns how many batches were refused at first.
func gatherHalf(t *testing.T, layout penstock.Layout, acks int16, rules string) (refused int) {
	h := build(t, "", nil, func(h *house) { h.shared, h.killed = true, true })
	topic := h.laid("t", layout, 2)
	c := dial(t, h.addr)
	defer c.Close()
	at := map[int]int64{} // where a batch was acknowledged, by its size
	ask := func(first int32, bs ...[]byte) (again [][]byte) {
		t.Helper()
		var frames []byte
		for i, b := range bs {
			frames = append(frames, frame(produceOf("t", topic.ID, acks, map[int32][]byte{int32(len(b) % 2): b}), 13, first+int32(i))...)
		}
		c.send(frames)
		for i, b := range bs {
			resp := kmsg.NewPtrProduceResponse()
			c.answer(first+int32(i), resp, 13)
			switch p := resp.Topics[0].Partitions[0]; code(p.ErrorCode) {
			case codeNone:
				at[len(b)] = p.BaseOffset
			case codeStorageError, codeUnknownServerError:
				again = append(again, b)
			default:
				t.Fatalf("%s: batch of %d: %v", rules, len(b), code(p.ErrorCode))
			}
		}
		return again
	}
	ask(0, batch(1, 10), batch(1, 11)) // makes the files
	h.disk.Inject(rules)
	var bs [][]byte
	for i := range 12 {
		bs = append(bs, batch(1, 20+i))
	}
	again := ask(100, bs...)
	h.disk.Heal()
	ask(200, again...)
	found := map[int]bool{}
	for _, p := range h.fetch(h.fetchOf(0, 1, 64<<20, 0, 0), 13) {
		for b := p.RecordBatches; len(b) > 0; {
			n := 12 + int(binary.BigEndian.Uint32(b[8:]))
			if found[n] {
				t.Fatalf("%s: the batch of %d bytes lies in the log twice", rules, n)
			}
			found[n] = true
			if off, acked := at[n]; acked && int64(binary.BigEndian.Uint64(b)) != off {
				t.Fatalf("%s: the batch of %d bytes was acknowledged at %d and is at %d", rules, n, off, binary.BigEndian.Uint64(b))
			}
			b = b[n:]
		}
	}
	for n := range at {
		if !found[n] {
			t.Fatalf("%s: the batch of %d bytes was acknowledged and is not there", rules, n)
		}
	}
	return len(again)
}
