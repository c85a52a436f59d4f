package replica

import (
	"testing"

	"penstock"
)

// TestTail: a log ends with a part of a batch only where nothing lies behind the batch's beginning but messages without a producer of the same time.
func TestTail(t *testing.T) {
	const other = penstock.Timestamp(6)
	whole := func(base penstock.Offset, n int32) penstock.BatchHeader {
		return penstock.BatchHeader{BaseOffset: base, LastDelta: n - 1, ProducerID: 9, MaxTimestamp: 5}
	}
	alone := func(base penstock.Offset, at penstock.Timestamp) penstock.BatchHeader {
		return penstock.BatchHeader{BaseOffset: base, ProducerID: penstock.NoProducer, MaxTimestamp: at}
	}
	for name, c := range map[string]struct {
		headers []penstock.BatchHeader
		torn    penstock.Offset
		count   int
	}{
		"nothing":              {nil, penstock.NoOffset, 0},
		"whole":                {[]penstock.BatchHeader{whole(6, 4), alone(7, 5), alone(8, 5), alone(9, 5)}, penstock.NoOffset, 4},
		"first of two":         {[]penstock.BatchHeader{whole(8, 1), whole(9, 2)}, 9, 1},
		"three of four":        {[]penstock.BatchHeader{alone(6, 5), whole(7, 4), alone(8, 5), alone(9, 5)}, 7, 3},
		"filled by a producer": {[]penstock.BatchHeader{whole(7, 4), alone(8, 5), whole(9, 1)}, penstock.NoOffset, 2},
		"filled later":         {[]penstock.BatchHeader{whole(7, 4), alone(8, 5), alone(9, other)}, penstock.NoOffset, 2},
		"filled between":       {[]penstock.BatchHeader{whole(7, 4), alone(8, other), alone(9, 5)}, penstock.NoOffset, 2},
		"filled by a part":     {[]penstock.BatchHeader{whole(7, 4), alone(8, 5), whole(9, 2)}, 9, 1},
	} {
		got, count := tail{end: 10, base: penstock.NoOffset}, 0
		for i := range c.headers {
			if got.visit(&c.headers[i]) {
				count++
			}
		}
		if got.base != c.torn || count != c.count {
			t.Errorf("%s: begins at %d, %d whole, want %d, %d", name, got.base, count, c.torn, c.count)
		}
	}
}
