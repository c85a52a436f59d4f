package load

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// handClock is a clock that moves only when somebody sleeps or works. Sleeps take somewhat longer than asked.
type handClock struct {
	at      time.Duration
	oversee time.Duration
}

func (c *handClock) now() time.Duration        { return c.at }
func (c *handClock) sleep(d time.Duration)     { c.at += d + c.oversee }
func (c *handClock) pacer(rate float64) *pacer { return &pacer{now: c.now, sleep: c.sleep, rate: rate} }

func TestPaceIsSteady(t *testing.T) {
	c := &handClock{at: time.Hour, oversee: 60 * time.Microsecond}
	var dues []time.Duration
	if err := c.pacer(1000).run(t.Context(), 500, func(due time.Duration) {
		dues = append(dues, due)
		if late := c.now() - due; late < 0 || late > c.oversee {
			t.Fatalf("call %d is %s late", len(dues), late)
		}
	}); err != nil {
		t.Fatal(err)
	}
	for i, due := range dues {
		if want := time.Hour + time.Duration(i)*time.Millisecond; due != want {
			t.Fatalf("call %d is due at %s, want %s", i, due, want)
		}
	}
	if len(dues) != 500 {
		t.Fatalf("%d calls", len(dues))
	}
}

// An open loop does not wait for what it drives: after a stall the late calls follow at once, with the times that were due.
func TestPaceIsOpen(t *testing.T) {
	const stall = 50 * time.Millisecond
	c := &handClock{}
	calls, late := 0, 0
	if err := c.pacer(1000).run(t.Context(), 200, func(due time.Duration) {
		if want := time.Duration(calls) * time.Millisecond; due != want {
			t.Fatalf("call %d is due at %s, want %s", calls, due, want)
		}
		if c.now() > due {
			late++
		}
		if calls == 100 {
			c.at += stall
		}
		calls++
	}); err != nil {
		t.Fatal(err)
	}
	if late != 49 { // calls 101 to 149; call 150 is just due
		t.Errorf("%d calls came late after a stall of %s, want 49", late, stall)
	}
	if want := 199 * time.Millisecond; c.at != want {
		t.Errorf("ended at %s, want %s: the stall must not stretch the run", c.at, want)
	}
}

func TestPaceEndsEarly(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := &handClock{}
	calls := 0
	err := c.pacer(10).run(ctx, 100, func(time.Duration) {
		if calls++; calls == 3 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || calls != 3 {
		t.Errorf("%d calls, %v", calls, err)
	}
}

func TestValues(t *testing.T) {
	v := newValues(1000, 1)
	seen := map[[16]byte]bool{}
	for range 3 * poolBytes / 1000 {
		b := v.next()
		if len(b) != 1000 || cap(b) != 1000 {
			t.Fatalf("value of %d bytes, room for %d", len(b), cap(b))
		}
		key := [16]byte(b)
		if seen[key] {
			t.Fatal("a value came twice")
		}
		seen[key] = true
	}
	if a, b := newValues(64, 1).next(), newValues(64, 2).next(); string(a) == string(b) {
		t.Error("two seeds, one value")
	}
	if a, b := newValues(64, 1).next(), newValues(64, 1).next(); string(a) != string(b) {
		t.Error("one seed, two values")
	}
}

// batch is the head of a record batch (Kafka protocol, record batch v2) with size bytes in all and n records.
func batch(base int64, n, size int) []byte {
	b := make([]byte, size)
	binary.BigEndian.PutUint64(b, uint64(base))
	binary.BigEndian.PutUint32(b[8:], uint32(size-12))
	binary.BigEndian.PutUint32(b[23:], uint32(n-1))
	return b
}

func TestBehind(t *testing.T) {
	two := append(batch(7, 3, 100), batch(10, 5, 200)...)
	for _, c := range []struct {
		name string
		b    []byte
		want int64
	}{
		{"nothing", nil, 7},
		{"one", batch(7, 3, 100), 10},
		{"two", two, 15},
		{"two and a cut one", append(two[:len(two):len(two)], batch(15, 2, 300)[:250]...), 15},
		{"two and a cut head", append(two[:len(two):len(two)], batch(15, 2, 300)[:20]...), 15},
		{"a cut one alone", batch(7, 3, 100)[:99], 7},
		{"the smallest", batch(7, 1, batchHead), 8},
	} {
		if got := behind(c.b, 7); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestAdvance(t *testing.T) {
	answer := func(code int16, parts ...kmsg.FetchResponseTopicPartition) *kmsg.FetchResponse {
		r := kmsg.NewPtrFetchResponse()
		r.ErrorCode = code
		r.Topics = []kmsg.FetchResponseTopic{{Partitions: parts}}
		return r
	}
	part := func(i int32, high int64, b []byte) kmsg.FetchResponseTopicPartition {
		p := kmsg.NewFetchResponseTopicPartition()
		p.Partition, p.HighWatermark, p.RecordBatches = i, high, b
		return p
	}
	bad := part(0, 100, nil)
	bad.ErrorCode = 3
	for _, c := range []struct {
		name    string
		r       *kmsg.FetchResponse
		payload int64
		more    bool
		fails   bool
	}{
		{name: "plenty", r: answer(0, part(0, 20, batch(0, 10, 100)), part(1, 30, batch(0, 20, 150))), payload: 250, more: true},
		{name: "one runs out", r: answer(0, part(0, 19, batch(0, 10, 100)), part(1, 30, batch(0, 20, 150))), payload: 250},
		{name: "empty", r: answer(0, part(0, 20, nil)), fails: true},
		{name: "error", r: answer(6), fails: true},
		{name: "partition's error", r: answer(0, bad), fails: true},
		{name: "foreign partition", r: answer(0, part(2, 20, batch(0, 10, 100))), fails: true},
	} {
		next := make([]int64, 2)
		payload, more, err := advance(next, c.r, 10)
		if payload != c.payload || more != c.more || (err != nil) != c.fails {
			t.Errorf("%s: %d, %t, %v", c.name, payload, more, err)
		}
	}
}

func TestMoved(t *testing.T) {
	m := Moved{Batches: 4, Bytes: 1 << 29}
	if m.MeanBatch() != 1<<27 || m.GiB() != 0.5 {
		t.Errorf("%g bytes a batch, %g GiB", m.MeanBatch(), m.GiB())
	}
	if got := (Moved{}).MeanBatch(); got != 0 || math.IsNaN(got) {
		t.Errorf("of nothing: %g", got)
	}
}

// What Spread writes is what a client library would read: one batch of the size asked for, for the partition that is patched in.
func TestSpreadRequest(t *testing.T) {
	s := Spread{Target: Target{Topic: "wide", Partitions: 300}, Acks: -1, BatchBytes: 16 << 10}
	raw, at := s.request()
	binary.BigEndian.PutUint32(raw[at:], 299)
	if n := binary.BigEndian.Uint32(raw); int(n) != len(raw)-4 {
		t.Fatalf("a frame of %d bytes says %d", len(raw)-4, n)
	}
	q := kmsg.NewPtrProduceRequest()
	q.Version = produceVersion
	if err := q.ReadFrom(raw[4+8+2+len("bench"):]); err != nil {
		t.Fatal(err)
	}
	p := q.Topics[0].Partitions[0]
	if q.Acks != -1 || q.Topics[0].Topic != "wide" || p.Partition != 299 || len(p.Records) != s.BatchBytes {
		t.Fatalf("acks %d, topic %s, partition %d, %d bytes", q.Acks, q.Topics[0].Topic, p.Partition, len(p.Records))
	}
	var b kmsg.RecordBatch
	if err := b.ReadFrom(p.Records); err != nil {
		t.Fatal(err)
	}
	var r kmsg.Record
	if err := r.ReadFrom(b.Records); err != nil {
		t.Fatal(err)
	}
	if b.NumRecords != 1 || int(b.Length)+12 != s.BatchBytes || len(r.Value) < s.BatchBytes-100 {
		t.Errorf("%d records, length %d, a value of %d", b.NumRecords, b.Length, len(r.Value))
	}
	if sum := crc32.Checksum(p.Records[21:], crc32.MakeTable(crc32.Castagnoli)); uint32(b.CRC) != sum {
		t.Errorf("checksum %08x, want %08x", uint32(b.CRC), sum)
	}
}
