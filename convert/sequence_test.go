package convert_test

import (
	"errors"
	"testing"

	"penstock"
	"penstock/convert"
	"penstock/message"
	"penstock/record"
)

// TestSequences: what a batch's first message says of it is found again with its offset, and no record has it; what is no sequence is none.
func TestSequences(t *testing.T) {
	var u convert.Unpacker
	at := place
	at.Producer = &penstock.BatchHeader{ProducerID: 1<<40 + 7, ProducerEpoch: 3, BaseSequence: 2147483647, LastDelta: 19}
	at.Offset = 41
	b, err := u.Append(nil, &record.Record{Value: []byte("first")}, &at)
	if err != nil {
		t.Fatal(err)
	}
	if e := toEntries(t, new(convert.Packer), convert.PackOptions{}, b); len(e[0].Headers) != 0 {
		t.Errorf("a record with %v", e[0].Headers)
	}
	for i, v := range []string{"", "1", "1:2:3", "1:2:3:4:5", "-1:2:3:4", "1:40000:3:4", "1:2:3:0", "1:2:4294967296:1", "a:b:c:d"} {
		b = append(b, stored(t, message.Message{QueueOffset: penstock.Offset(42 + i), Properties: props("kafka.producer", v)})...)
	}
	b = append(b, stored(t, message.Message{QueueOffset: 60, StoreTime: 99, Properties: props("a", "b", "kafka.producer", "5:0:6:2")})...)
	cut := len(b) - 3
	for _, end := range []int{len(b), cut} {
		var got []penstock.BatchHeader
		alone := 0
		next, err := convert.Sequences(b[:end], func(h *penstock.BatchHeader) {
			if h.ProducerID != penstock.NoProducer {
				got = append(got, *h)
				return
			}
			if alone++; h.BaseOffset != penstock.Offset(41+alone) || h.NextOffset() != h.BaseOffset+1 {
				t.Errorf("message %d alone: %+v", alone, h)
			}
		})
		if alone != 9 {
			t.Errorf("%d messages without a producer, want 9", alone)
		}
		if err != nil || len(got) < 1 || got[0].BaseOffset != 41 || got[0].ProducerID != 1<<40+7 || got[0].ProducerEpoch != 3 || got[0].BaseSequence != 2147483647 ||
			got[0].LastDelta != 19 || got[0].Records != 20 {
			t.Fatalf("%+v, %v", got, err)
		}
		if end == cut && (len(got) != 1 || next != 51) {
			t.Errorf("cut: next %d, %+v", next, got)
		}
		if end == len(b) && (len(got) != 2 || next != 61 || got[1].BaseOffset != 60 || got[1].ProducerID != 5 || got[1].MaxTimestamp != 99) {
			t.Errorf("next %d, %+v", next, got)
		}
	}
	if next, err := convert.Sequences(nil, nil); next != penstock.NoOffset || err != nil {
		t.Error(next, err)
	}
	if _, err := convert.Sequences(make([]byte, 200), nil); !errors.Is(err, penstock.ErrCorrupt) {
		t.Error(err)
	}
}
