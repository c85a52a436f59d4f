package record_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
	"penstock/record"
)

// full is a record with copies of all that Each shows.
type full struct {
	off        penstock.Offset
	at         penstock.Timestamp
	key, value []byte
	headers    []record.Header
}

func clone(p []byte) []byte {
	if p == nil {
		return nil
	}
	return append([]byte{}, p...)
}

// all are the records of a batch.
func all(b []byte, l record.Limits) (out []full, err error) {
	err = record.Each(b, l, func(r *record.Record) error {
		f := full{off: r.Offset, at: r.Timestamp, key: clone(r.Key), value: clone(r.Value)}
		r.EachHeader(func(k, v []byte) bool {
			f.headers = append(f.headers, record.Header{Key: clone(k), Value: clone(v)})
			return true
		})
		out = append(out, f)
		return nil
	})
	return out, err
}

// wantOf is what a batch of these entries holds.
func wantOf(es []entry) (out []full) {
	for i, e := range es {
		f := full{off: penstock.Offset(i), at: penstock.Timestamp(baseTime + e.at), key: e.key, value: e.value}
		for _, h := range e.headers {
			f.headers = append(f.headers, record.Header{Key: []byte(h.Key), Value: h.Value})
		}
		out = append(out, f)
	}
	return out
}

// TestEach: every record comes whole, under each codec, also one far larger than what is read at a time; visit's error ends it.
func TestEach(t *testing.T) {
	es := some(100)
	es[50].value = bytes.Repeat([]byte("large"), 100_000)
	for _, codec := range codecs {
		b := build(batchOf(t, codec, es))
		got, err := all(b, record.Limits{})
		if err != nil || !reflect.DeepEqual(got, wantOf(es)) {
			t.Errorf("%s: %d records, %v", codec, len(got), err)
		}
		n, stop := 0, errors.New("stop")
		if err := record.Each(b, record.Limits{}, func(*record.Record) error { n++; return stop }); err != stop || n != 1 {
			t.Errorf("%s: visited %d, %v", codec, n, err)
		}
	}
}

// TestEachStamped: where the broker's clock was stamped, all records have its time.
func TestEachStamped(t *testing.T) {
	for _, codec := range codecs {
		b := build(batchOf(t, codec, some(3)))
		record.Format{}.Stamp(b, penstock.Stamp{Base: 40, AppendTime: 77})
		got, err := all(b, record.Limits{})
		if err != nil || len(got) != 3 || got[2].at != 77 || got[2].off != 42 {
			t.Errorf("%s: %v, %v", codec, got, err)
		}
	}
}

// TestEachLimits: a batch that becomes too large, or too many times as large, is refused as such and not as broken, and one just
// below the limit is not.
func TestEachLimits(t *testing.T) {
	zeros := []entry{{value: make([]byte, 6<<20)}}
	for _, codec := range codecs[1:] {
		b := build(batchOf(t, codec, zeros))
		if _, err := all(b, record.Limits{Bytes: 5 << 20, Ratio: 1 << 30}); !errors.Is(err, penstock.ErrTooLarge) {
			t.Errorf("%s: more bytes than allowed: %v", codec, err)
		}
		if _, err := all(b, record.Limits{Bytes: 6<<20 + 100, Ratio: 1 << 30}); err != nil {
			t.Errorf("%s: within the bytes: %v", codec, err)
		}
		if _, err := all(b, record.Limits{Ratio: 1}); !errors.Is(err, penstock.ErrTooLarge) {
			t.Errorf("%s: a ratio of %d allowed: %v", codec, 6<<20/len(b), err)
		}
		if _, err := all(build(batchOf(t, codec, []entry{{value: make([]byte, 3<<20)}})), record.Limits{Ratio: 1}); err != nil {
			t.Errorf("%s: the first 4 MiB: %v", codec, err)
		}
	}
}

// TestEachMalformed: what is cut, claims too much, or goes on behind the last record is corrupt.
func TestEachMalformed(t *testing.T) {
	for _, codec := range codecs {
		for name, change := range map[string]func(*kmsg.RecordBatch){
			"more records":  func(b *kmsg.RecordBatch) { b.NumRecords, b.LastOffsetDelta = 11, 10 },
			"fewer records": func(b *kmsg.RecordBatch) { b.NumRecords = 9 },
			"lower offsets": func(b *kmsg.RecordBatch) { b.LastOffsetDelta = 8 },
			"cut":           func(b *kmsg.RecordBatch) { b.Records = b.Records[:len(b.Records)*2/3] },
			"a length of two billion": func(b *kmsg.RecordBatch) {
				b.Records = compress(t, codec, []byte{0xFE, 0xFF, 0xFF, 0xFF, 0x0F, 0, 0, 0})
			},
			"a length of nothing": func(b *kmsg.RecordBatch) { b.Records = compress(t, codec, []byte{0, 0, 0, 0}) },
		} {
			k := batchOf(t, codec, some(10))
			change(k)
			_, err := all(build(k), record.Limits{})
			if !errors.Is(err, penstock.ErrCorrupt) && !errors.Is(err, penstock.ErrTooLarge) {
				t.Errorf("%s: %s: %v", codec, name, err)
			}
		}
	}
}

// randomEntry is a record of any shape.
func randomEntry(rng *rand.Rand, off penstock.Offset) record.Entry {
	blob := func(n int) []byte {
		if rng.IntN(5) == 0 {
			return nil
		}
		b := make([]byte, rng.IntN(n))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	e := record.Entry{Offset: off, Timestamp: penstock.Timestamp(rng.Int64N(1 << 40)), Key: blob(80), Value: blob(300)}
	if rng.IntN(9) == 0 {
		e.Timestamp = penstock.NoTimestamp
	}
	for range rng.IntN(4) {
		e.Headers = append(e.Headers, record.Header{Key: append([]byte{}, blob(70)...), Value: blob(70)})
	}
	return e
}

// TestBuilder: what is put in comes out, with its offsets and the gaps between them, from batches that lie behind one another, which
// franz-go's types read the same way.
func TestBuilder(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var w record.Builder
		dst := []byte("before")
		off := penstock.Offset(rng.Int64N(1 << 40))
		var want, got []full
		var edges []int
		for range 1 + rng.IntN(3) {
			w.Begin(dst)
			for range rng.IntN(6) {
				e := randomEntry(rng, off)
				if err := w.Add(&e); err != nil {
					t.Fatal(seed, err)
				}
				want = append(want, full{e.Offset, e.Timestamp, e.Key, e.Value, e.Headers})
				off += 1 + penstock.Offset(rng.IntN(3))
			}
			size := w.Size()
			edges = append(edges, len(dst))
			if dst = w.End(); w.Len() > 0 && len(dst) != edges[len(edges)-1]+size {
				t.Fatalf("seed %d: %d bytes, Size said %d", seed, len(dst)-edges[len(edges)-1], size)
			}
		}
		if !bytes.HasPrefix(dst, []byte("before")) {
			t.Fatal("what was there has changed")
		}
		for i, from := range append(edges, len(dst))[:len(edges)] {
			b := dst[from:append(edges, len(dst))[i+1]]
			if len(b) == 0 {
				continue
			}
			if err := (record.Format{}).Verify(b); err != nil {
				t.Fatal(seed, err)
			}
			var k kmsg.RecordBatch
			if err := k.ReadFrom(b); err != nil || k.ProducerID != -1 || k.Attributes != 0 || k.PartitionLeaderEpoch != -1 {
				t.Fatalf("seed %d: %+v, %v", seed, k, err)
			}
			part, err := all(b, record.Limits{})
			if err != nil {
				t.Fatal(seed, err)
			}
			got = append(got, part...)
		}
		if fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) {
			t.Fatalf("seed %d: got %v, want %v", seed, got, want)
		}
	}
}

// TestBuilderRefuses: offsets go up, by no more than a batch can say.
func TestBuilderRefuses(t *testing.T) {
	for _, offs := range [][]penstock.Offset{{5, 5}, {5, 4}, {-1}, {0, 1 << 31}, {1<<63 - 1}} {
		var w record.Builder
		w.Begin(nil)
		var err error
		for _, off := range offs {
			err = w.Add(&record.Entry{Offset: off})
		}
		if !errors.Is(err, penstock.ErrInvalidRecord) || w.Len() != len(offs)-1 {
			t.Errorf("%v: %v, %d records", offs, err, w.Len())
		}
	}
}

// TestBuilderTimes: the header has the first and the largest time.
func TestBuilderTimes(t *testing.T) {
	var w record.Builder
	w.Begin(nil)
	for i, at := range []penstock.Timestamp{50, 90, 10} {
		if err := w.Add(&record.Entry{Offset: penstock.Offset(i), Timestamp: at}); err != nil {
			t.Fatal(err)
		}
	}
	h, err := record.Format{}.Header(w.End())
	if err != nil || h.FirstTimestamp != 50 || h.MaxTimestamp != 90 || h.LastDelta != 2 || h.Records != 3 {
		t.Errorf("%+v, %v", h, err)
	}
}

// TestBuilderAllocations: a builder whose slice is long enough takes no memory.
func TestBuilderAllocations(t *testing.T) {
	var w record.Builder
	buf := make([]byte, 0, 1<<10)
	e := record.Entry{Key: []byte("k"), Value: []byte("v"), Headers: []record.Header{{Key: []byte("h"), Value: []byte("v")}}}
	if n := testing.AllocsPerRun(100, func() {
		w.Begin(buf)
		if w.Add(&e) != nil {
			t.Fatal("refused")
		}
		buf = w.End()[:0]
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzEach: no bytes make it panic or show a record that a plain walk would not; what it takes has as many records as it says.
func FuzzEach(f *testing.F) {
	for _, codec := range codecs {
		f.Add(build(batchOf(f, codec, some(9))))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := all(b, record.Limits{Bytes: 1 << 20})
		if err != nil {
			return
		}
		h, err := record.Format{}.Header(b)
		if err != nil || len(got) != int(h.Records) {
			t.Fatalf("%d records of %d, %v", len(got), h.Records, err)
		}
	})
}
