package record_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
	"penstock/record"
)

func TestWalk(t *testing.T) {
	es := some(60)
	b := batchOf(t, penstock.CodecNone, es)
	b.FirstOffset = 1000
	w := record.Walk(build(b))
	i := 0
	for r := (record.Record{}); w.Next(&r); i++ {
		e := es[i]
		if r.Offset != penstock.Offset(1000+i) || r.Timestamp != penstock.Timestamp(baseTime+e.at) ||
			!bytes.Equal(r.Key, e.key) || !bytes.Equal(r.Value, e.value) || r.Headers != len(e.headers) ||
			(r.Key == nil) != (e.key == nil) || (r.Value == nil) != (e.value == nil) || (r.Headers == 0) != (len(r.Raw) == 0) {
			t.Fatalf("record %d: %+v", i, r)
		}
	}
	if i != len(es) || w.Err() != nil {
		t.Errorf("%d records of %d, %v", i, len(es), w.Err())
	}
}

// TestWalkAppendTime: with the append time every record has the batch's.
func TestWalkAppendTime(t *testing.T) {
	raw := build(batchOf(t, penstock.CodecNone, some(5)))
	record.Format{}.Stamp(raw, penstock.Stamp{AppendTime: 99})
	w := record.Walk(raw)
	n := 0
	for r := (record.Record{}); w.Next(&r); n++ {
		if r.Timestamp != 99 {
			t.Errorf("record %d at %d", n, r.Timestamp)
		}
	}
	if n != 5 || w.Err() != nil {
		t.Errorf("%d records, %v", n, w.Err())
	}
}

// TestWalkMalformed breaks one thing of a record each.
func TestWalkMalformed(t *testing.T) {
	rows := map[string][]byte{ // the records of a batch that claims two
		"empty":                {},
		"length 0":             {0, 0},
		"length negative":      {1},
		"length beyond":        {100, 0, 0, 0, 1, 1, 0},
		"key beyond":           {12, 0, 0, 0, 20, 0, 0},
		"key -2":               {12, 0, 0, 0, 3, 1, 0},
		"value beyond":         {12, 0, 0, 0, 1, 20, 0},
		"headers negative":     {12, 0, 0, 0, 1, 1, 1},
		"headers beyond":       {12, 0, 0, 0, 1, 1, 100},
		"header without a key": {16, 0, 0, 0, 1, 1, 2, 1, 1},
		"byte left over":       {14, 0, 0, 0, 1, 1, 0, 0},
		"offset beyond":        {12, 0, 0, 4, 1, 1, 0},
		"offset negative":      {12, 0, 0, 1, 1, 1, 0},
		"offset twice":         {12, 0, 0, 0, 1, 1, 0, 12, 0, 0, 0, 1, 1, 0},
		"one record only":      {12, 0, 0, 0, 1, 1, 0},
		"third record":         {12, 0, 0, 0, 1, 1, 0, 12, 0, 0, 2, 1, 1, 0, 12, 0, 0, 4, 1, 1, 0},
		"endless varint":       bytes.Repeat([]byte{0xff}, 40),
	}
	for name, records := range rows {
		b := batchOf(t, penstock.CodecNone, some(2))
		b.Records = records
		w := record.Walk(build(b))
		n := 0
		for r := (record.Record{}); w.Next(&r); n++ {
		}
		if !errors.Is(w.Err(), penstock.ErrCorrupt) || n > 2 {
			t.Errorf("%s: %d records, %v", name, n, w.Err())
		}
	}
	w := record.Walk(build(batchOf(t, penstock.CodecGzip, some(2))))
	if r := (record.Record{}); w.Next(&r) || w.Err() == nil {
		t.Error("a compressed batch was walked")
	}
}

// TestFindTime compares with the dumb way, for every codec and for times before, in, between and after the records.
func TestFindTime(t *testing.T) {
	es := some(30)
	es[4].at, es[5].at, es[6].at = 500, 20, 500 // timestamps need not rise
	for _, codec := range codecs {
		b := batchOf(t, codec, es)
		b.FirstOffset = 77
		raw := build(b)
		for at := int64(-3); at < 520; at++ {
			want, wantAt, wantOK := penstock.NoOffset, penstock.NoTimestamp, false
			for i, e := range es {
				if e.at >= at {
					want, wantAt, wantOK = penstock.Offset(77+i), penstock.Timestamp(baseTime+e.at), true
					break
				}
			}
			got, gotAt, ok, err := record.Format{}.FindTime(raw, penstock.Timestamp(baseTime+at))
			if got != want || gotAt != wantAt || ok != wantOK || err != nil {
				t.Fatalf("%s at %d: %d %d %v %v, want %d %d %v", codec, at, got, gotAt, ok, err, want, wantAt, wantOK)
			}
		}
	}
}

// TestFindTimeLies: a header that claims a later time than its records have finds nothing, and no error.
func TestFindTimeLies(t *testing.T) {
	for _, codec := range codecs {
		b := batchOf(t, codec, some(5))
		b.MaxTimestamp += 1000
		if _, _, ok, err := (record.Format{}).FindTime(build(b), baseTime+500); ok || err != nil {
			t.Errorf("%s: %v, %v", codec, ok, err)
		}
	}
}

// TestFindTimeXerial reads the framing of Java's snappy library, blocks that cut records in two included.
func TestFindTimeXerial(t *testing.T) {
	b := batchOf(t, penstock.CodecNone, some(30))
	plain := b.Records
	framed := []byte("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01")
	for len(plain) > 0 {
		n := min(len(plain), 100)
		block := s2.EncodeSnappy(nil, plain[:n])
		framed = binary.BigEndian.AppendUint32(framed, uint32(len(block)))
		framed = append(framed, block...)
		plain = plain[n:]
	}
	b.Attributes, b.Records = int16(penstock.CodecSnappy), framed
	off, at, ok, err := record.Format{}.FindTime(build(b), baseTime+241)
	if off != 25 || at != baseTime+250 || !ok || err != nil {
		t.Errorf("%d %d %v %v", off, at, ok, err)
	}
	b.Records = framed[:len(framed)-1]
	if _, _, _, err := (record.Format{}).FindTime(build(b), baseTime+290); !errors.Is(err, penstock.ErrCorrupt) {
		t.Errorf("cut: %v", err)
	}
}

// TestBombs: a small batch that decompresses to a great deal ends at the limit, with little memory.
func TestBombs(t *testing.T) {
	// One record whose value is said to be 1 GiB, and zeros.
	head := binary.AppendVarint(nil, 1<<30)
	head = append(head, 0, 0, 0, 1)
	head = binary.AppendVarint(head, 1<<30-100)
	plain := append(head, make([]byte, 300<<20)...)
	for _, codec := range []penstock.Codec{penstock.CodecGzip, penstock.CodecLZ4, penstock.CodecZstd} {
		b := batchOf(t, penstock.CodecNone, some(2))
		b.Attributes, b.Records = int16(codec), compress(t, codec, plain)
		raw := build(b)
		allocated, err := allocates(func() error {
			_, _, _, err := record.Format{}.FindTime(raw, baseTime+5)
			return err
		})
		if !errors.Is(err, penstock.ErrTooLarge) {
			t.Errorf("%s: %v", codec, err)
		}
		if allocated > allocationBound(len(raw)) {
			t.Errorf("%s: %d bytes allocated for %d", codec, allocated, len(raw))
		}
	}
}

// TestWindow: a zstd frame that wants a larger window than the limit is refused before it gets it.
func TestWindow(t *testing.T) {
	var frame bytes.Buffer
	z, err := zstd.NewWriter(&frame, zstd.WithWindowSize(256<<20), zstd.WithSingleSegment(false), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	b := batchOf(t, penstock.CodecNone, some(5))
	for range 2 { // two writes with a flush between, so that the size is not known in the frame's header
		if _, err := z.Write(b.Records); err != nil {
			t.Fatal(err)
		}
		if err := z.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	b.Attributes, b.Records = int16(penstock.CodecZstd), frame.Bytes()
	raw := build(b)
	allocated, err := allocates(func() error {
		_, _, _, err := record.Format{}.FindTime(raw, baseTime+5)
		return err
	})
	if !errors.Is(err, penstock.ErrTooLarge) || allocated > 8<<20 {
		t.Errorf("%v, %d bytes allocated", err, allocated)
	}
}

// TestSnappyClaim: a block that claims to be larger than it can be is not believed.
func TestSnappyClaim(t *testing.T) {
	b := batchOf(t, penstock.CodecNone, some(5))
	b.Attributes, b.Records = int16(penstock.CodecSnappy), append(binary.AppendUvarint(nil, 200<<20), 0, 0, 0)
	raw := build(b)
	allocated, err := allocates(func() error {
		_, _, _, err := record.Format{}.FindTime(raw, baseTime)
		return err
	})
	if !errors.Is(err, penstock.ErrCorrupt) || allocated > 1<<20 {
		t.Errorf("%v, %d bytes allocated", err, allocated)
	}
}

// allocates is what f allocates, of anybody's.
func allocates(f func() error) (uint64, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc, err
}

// allocationBound is what decompressing a batch of n bytes may allocate: windows and tables, and for snappy the
// largest block that n bytes can hold.
func allocationBound(n int) uint64 { return 80<<20 + 64*uint64(n) }

func seeds(f *testing.F) {
	for _, codec := range codecs {
		f.Add(build(batchOf(f, codec, some(20))))
		f.Add(build(batchOf(f, codec, keyed(1))))
	}
	b := batchOf(f, penstock.CodecNone, some(3))
	b.ProducerID, b.ProducerEpoch, b.FirstSequence = 1, 2, 3
	f.Add(build(b))
}

func FuzzHeader(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := record.Format{}.Header(b)
		if err != nil {
			if !errors.Is(err, penstock.ErrCorrupt) {
				t.Errorf("%v is not corrupt", err)
			}
			return
		}
		if h.Size < 61 || h.LastDelta < 0 || h.Records < 0 || h.NextOffset() <= h.BaseOffset || h.ProducerID < -1 {
			t.Errorf("%+v", h)
		}
	})
}

// FuzzValidate also compares with franz-go's reading of what was accepted.
func FuzzValidate(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 61 {
			return
		}
		seal(b)
		got, err := record.Validate(b, record.Rules{})
		if err != nil {
			return
		}
		var k kmsg.RecordBatch
		if err := k.ReadFrom(b); err != nil {
			t.Fatalf("accepted, and franz-go says %v", err)
		}
		h := got.Header
		if h.Records != k.NumRecords || h.LastDelta != k.LastOffsetDelta || int64(h.ProducerID) != k.ProducerID || int(h.Codec) != int(k.Attributes)&7 {
			t.Errorf("%+v, franz-go %+v", h, k)
		}
	})
}

// FuzzWalk compares the walk with franz-go's records for what both accept.
func FuzzWalk(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		w := record.Walk(b)
		n := 0
		var last record.Record
		for w.Next(&last) {
			n++
		}
		if w.Err() != nil {
			return
		}
		var k kmsg.RecordBatch
		if err := k.ReadFrom(b); err != nil || int(k.NumRecords) != n {
			t.Fatalf("%d records, franz-go %d, %v", n, k.NumRecords, err)
		}
	})
}

// FuzzFindTime puts arbitrary bytes through every decompressor and bounds what they allocate.
func FuzzFindTime(f *testing.F) {
	for _, codec := range codecs {
		f.Add(uint8(codec), batchOf(f, codec, some(20)).Records, int64(baseTime+55))
	}
	f.Fuzz(func(t *testing.T, codec uint8, records []byte, at int64) {
		b := batchOf(t, penstock.CodecNone, some(20))
		b.Attributes, b.Records = int16(codec%5), records
		raw := build(b)
		allocated, err := allocates(func() error {
			off, _, ok, err := record.Format{}.FindTime(raw, penstock.Timestamp(at))
			if ok && (err != nil || off < 0 || off > 19) {
				t.Errorf("%d %v", off, err)
			}
			return err
		})
		if allocated > allocationBound(len(raw)) {
			t.Errorf("%d bytes allocated for %d: %v", allocated, len(raw), err)
		}
	})
}
