package record_test

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
	"penstock/record"
)

// TestHeaderFields reads every field of a header that franz-go wrote, each with a value of its own.
func TestHeaderFields(t *testing.T) {
	b := batchOf(t, penstock.CodecZstd, some(7))
	b.FirstOffset, b.PartitionLeaderEpoch = 123456789012, 17
	b.FirstTimestamp, b.MaxTimestamp = baseTime+1, baseTime+77
	b.ProducerID, b.ProducerEpoch, b.FirstSequence = 9876543210, 31, 4242
	b.Attributes |= 1<<4 | 1<<5
	raw := build(b)
	got, err := record.Format{}.Header(raw[:record.Format{}.HeaderSize()])
	if err != nil {
		t.Fatal(err)
	}
	want := penstock.BatchHeader{
		Size: int32(len(raw)), Records: 7, BaseOffset: 123456789012, LastDelta: 6, Epoch: 17,
		FirstTimestamp: baseTime + 1, MaxTimestamp: baseTime + 77,
		ProducerID: 9876543210, BaseSequence: 4242, ProducerEpoch: 31,
		Codec: penstock.CodecZstd, Flags: penstock.FlagTransactional | penstock.FlagControl,
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestHeaderTimes: with the append time, or a delete horizon in its field, the first timestamp is the largest one.
func TestHeaderTimes(t *testing.T) {
	for _, bit := range []int16{1 << 3, 1 << 6} {
		b := batchOf(t, penstock.CodecNone, some(3))
		b.Attributes |= bit
		h, err := record.Format{}.Header(build(b))
		if err != nil || h.FirstTimestamp != h.MaxTimestamp {
			t.Errorf("bit %#x: first %d, max %d, %v", bit, h.FirstTimestamp, h.MaxTimestamp, err)
		}
	}
}

func TestValidateAccepts(t *testing.T) {
	for _, codec := range codecs {
		raw := build(batchOf(t, codec, some(50)))
		got, err := record.Validate(raw, record.Rules{})
		if err != nil {
			t.Errorf("%s: %v", codec, err)
			continue
		}
		if h := got.Header; h.Codec != codec || h.Records != 50 || h.LastDelta != 49 || int(h.Size) != len(raw) || len(got.Bytes) != len(raw) {
			t.Errorf("%s: %+v", codec, h)
		}
	}
}

// TestValidateForeign: clients without idempotence leave any epoch and sequence beside producer id -1 (kafkajs sends 0
// for both), and the header then says that there is none.
func TestValidateForeign(t *testing.T) {
	b := batchOf(t, penstock.CodecNone, some(2))
	b.ProducerEpoch, b.FirstSequence = 0, 0
	got, err := record.Validate(build(b), record.Rules{})
	if err != nil || got.Header.BaseSequence != penstock.NoSequence || got.Header.ProducerEpoch != -1 {
		t.Errorf("%+v, %v", got.Header, err)
	}
}

// TestValidateRefuses has one row for each thing that Kafka's leader checks (UnifiedLog.analyzeAndValidateRecords,
// LogValidator), and what follows from the drawing of the header.
func TestValidateRefuses(t *testing.T) {
	type b = kmsg.RecordBatch
	rows := []struct {
		name   string
		change func(*b)
		want   error
	}{
		{"base offset", func(b *b) { b.FirstOffset = 1 }, penstock.ErrInvalidRecord},
		{"negative base offset", func(b *b) { b.FirstOffset = -1 }, penstock.ErrCorrupt},
		{"no records", func(b *b) { b.NumRecords, b.LastOffsetDelta, b.Records = 0, -1, nil }, penstock.ErrCorrupt},
		{"count 0", func(b *b) { b.NumRecords = 0 }, penstock.ErrInvalidRecord},
		{"count below offsets", func(b *b) { b.NumRecords-- }, penstock.ErrInvalidRecord},
		{"count above offsets", func(b *b) { b.NumRecords++ }, penstock.ErrInvalidRecord},
		{"negative count", func(b *b) { b.NumRecords = -1 }, penstock.ErrCorrupt},
		{"count that wraps", func(b *b) { b.NumRecords, b.LastOffsetDelta = math.MinInt32, math.MaxInt32 }, penstock.ErrCorrupt},
		{"more records than fit", func(b *b) { b.NumRecords, b.LastOffsetDelta = 1000, 999 }, penstock.ErrInvalidRecord},
		{"control", func(b *b) { b.Attributes |= 1 << 5; b.ProducerID, b.ProducerEpoch, b.FirstSequence = 1, 1, 1 }, penstock.ErrInvalidRecord},
		{"delete horizon", func(b *b) { b.Attributes |= 1 << 6 }, penstock.ErrInvalidRecord},
		{"reserved bit 7", func(b *b) { b.Attributes |= 1 << 7 }, penstock.ErrInvalidRecord},
		{"reserved bit 15", func(b *b) { b.Attributes |= math.MinInt16 }, penstock.ErrInvalidRecord},
		{"append time", func(b *b) { b.Attributes |= 1 << 3 }, penstock.ErrInvalidTimestamp},
		{"codec 5", func(b *b) { b.Attributes |= 5 }, penstock.ErrCorrupt},
		{"codec without records", func(b *b) { b.Attributes |= 1; b.Records = nil }, penstock.ErrInvalidRecord},
		{"transactional without producer", func(b *b) { b.Attributes |= 1 << 4 }, penstock.ErrInvalidRecord},
		{"producer -2", func(b *b) { b.ProducerID = -2 }, penstock.ErrInvalidRecord},
		{"producer without sequence", func(b *b) { b.ProducerID, b.ProducerEpoch = 5, 0 }, penstock.ErrInvalidRecord},
		{"producer without epoch", func(b *b) { b.ProducerID, b.FirstSequence = 5, 0 }, penstock.ErrInvalidRecord},
		{"magic 0", func(b *b) { b.Magic = 0 }, record.ErrMagic},
		{"magic 1", func(b *b) { b.Magic = 1 }, record.ErrMagic},
		{"magic 3", func(b *b) { b.Magic = 3 }, record.ErrMagic},
		{"negative time", func(b *b) { b.MaxTimestamp = -2 }, penstock.ErrInvalidTimestamp},
	}
	for _, row := range rows {
		b := batchOf(t, penstock.CodecNone, some(5))
		row.change(b)
		if _, err := record.Validate(build(b), record.Rules{}); !errors.Is(err, row.want) {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
	}
}

// TestValidateBytes refuses bytes that are not exactly one whole batch, and each single changed byte.
func TestValidateBytes(t *testing.T) {
	good := build(batchOf(t, penstock.CodecLZ4, some(5)))
	rows := []struct {
		name string
		b    []byte
		want error
	}{
		{"empty", nil, penstock.ErrInvalidRecord},
		{"eleven bytes", good[:11], penstock.ErrInvalidRecord},
		{"no magic", good[:16], penstock.ErrInvalidRecord},
		{"header cut", good[:60], penstock.ErrInvalidRecord},
		{"records cut", good[:len(good)-1], penstock.ErrInvalidRecord},
		{"shorter than a header, and whole", append([]byte{8: 0, 11: 20}, good[12:32]...), penstock.ErrCorrupt},
		{"negative length", append([]byte{8: 0xff, 11: 20}, good[12:]...), penstock.ErrCorrupt},
		{"magic 3, cut", append(append(append([]byte{}, good[:16]...), 3), good[17:50]...), penstock.ErrCorrupt},
		{"two batches", append(append([]byte{}, good...), good...), penstock.ErrInvalidRecord},
		{"one byte more", append(append([]byte{}, good...), 0), penstock.ErrInvalidRecord},
	}
	for _, row := range rows {
		if _, err := record.Validate(row.b, record.Rules{}); !errors.Is(err, row.want) {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
	}
	for i := range good {
		if i >= 12 && i < 16 {
			continue // the leader epoch is the broker's to write, a producer's is not looked at
		}
		bad := append([]byte{}, good...)
		bad[i] ^= 0x10
		if _, err := record.Validate(bad, record.Rules{}); err == nil {
			t.Errorf("byte %d changed and nobody saw it", i)
		}
	}
	for _, length := range []uint32{0, 48, math.MaxInt32, math.MaxInt32 - 11, math.MaxUint32} {
		bad := append([]byte{}, good...)
		binary.BigEndian.PutUint32(bad[8:], length)
		if _, err := record.Validate(bad, record.Rules{MaxBytes: math.MaxInt32}); !errors.Is(err, penstock.ErrCorrupt) {
			t.Errorf("length %d: %v", length, err)
		}
	}
}

func TestValidateRules(t *testing.T) {
	raw := build(batchOf(t, penstock.CodecNone, some(5))) // the largest timestamp is baseTime + 40
	n := int32(len(raw))
	rows := []struct {
		name  string
		rules record.Rules
		want  error
	}{
		{"size met", record.Rules{MaxBytes: n}, nil},
		{"size exceeded", record.Rules{MaxBytes: n - 1}, penstock.ErrTooLarge},
		{"just old enough", record.Rules{Now: baseTime + 1040, Before: time.Second}, nil},
		{"too old", record.Rules{Now: baseTime + 1041, Before: time.Second}, penstock.ErrInvalidTimestamp},
		{"just new enough", record.Rules{Now: baseTime - 960, After: time.Second}, nil},
		{"too new", record.Rules{Now: baseTime - 961, After: time.Second}, penstock.ErrInvalidTimestamp},
		{"no bounds", record.Rules{Now: 0}, nil},
		{"keys missing", record.Rules{Keys: true}, penstock.ErrInvalidRecord},
	}
	for _, row := range rows {
		if _, err := record.Validate(raw, row.rules); !errors.Is(err, row.want) || err == nil != (row.want == nil) {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
	}
	none := batchOf(t, penstock.CodecNone, some(5))
	none.FirstTimestamp, none.MaxTimestamp = -1, -1
	if _, err := record.Validate(build(none), record.Rules{Now: baseTime, Before: 1, After: 1}); err != nil {
		t.Errorf("a batch without timestamps: %v", err)
	}
}

// TestValidateDefaultSize: without a rule the largest batch is Kafka's 1 MiB and 12 bytes.
func TestValidateDefaultSize(t *testing.T) {
	for _, row := range []struct {
		size int
		want error
	}{{1<<20 + 12, nil}, {1<<20 + 13, penstock.ErrTooLarge}} {
		b := batchOf(t, penstock.CodecNone, some(1))
		b.Records = make([]byte, row.size-61) // not looked into
		if _, err := record.Validate(build(b), record.Rules{}); !errors.Is(err, row.want) {
			t.Errorf("%d bytes: %v, want %v", row.size, err, row.want)
		}
	}
}

func TestValidateKeys(t *testing.T) {
	for _, codec := range codecs {
		if _, err := record.Validate(build(batchOf(t, codec, keyed(40))), record.Rules{Keys: true}); err != nil {
			t.Errorf("%s: keyed: %v", codec, err)
		}
		for _, missing := range []int{0, 20, 39} {
			es := keyed(40)
			es[missing].key = nil
			if _, err := record.Validate(build(batchOf(t, codec, es)), record.Rules{Keys: true}); !errors.Is(err, penstock.ErrInvalidRecord) {
				t.Errorf("%s: record %d without a key: %v", codec, missing, err)
			}
		}
		es := keyed(3)
		es[1].key = []byte{}
		if _, err := record.Validate(build(batchOf(t, codec, es)), record.Rules{Keys: true}); err != nil {
			t.Errorf("%s: an empty key is a key: %v", codec, err)
		}
	}
}

// TestStamp: base offset and epoch cost no checksum, the append time costs one, and Verify agrees with both.
func TestStamp(t *testing.T) {
	f := record.Format{}
	raw := build(batchOf(t, penstock.CodecSnappy, some(9)))
	crc := binary.BigEndian.Uint32(raw[17:])
	f.Stamp(raw, penstock.Stamp{Base: 1 << 40, Position: 5, Epoch: 12, AppendTime: penstock.NoTimestamp})
	h, err := f.Header(raw)
	if err != nil || h.BaseOffset != 1<<40 || h.Epoch != 12 || h.Is(penstock.FlagLogAppendTime) || h.MaxTimestamp != baseTime+80 {
		t.Errorf("%+v, %v", h, err)
	}
	if binary.BigEndian.Uint32(raw[17:]) != crc || f.Verify(raw) != nil {
		t.Errorf("the checksum changed, or does not hold: %v", f.Verify(raw))
	}
	f.Stamp(raw, penstock.Stamp{Base: 7, Epoch: 13, AppendTime: baseTime + 5555})
	h, err = f.Header(raw)
	if err != nil || h.BaseOffset != 7 || h.Epoch != 13 || !h.Is(penstock.FlagLogAppendTime) || h.MaxTimestamp != baseTime+5555 || h.Codec != penstock.CodecSnappy {
		t.Errorf("%+v, %v", h, err)
	}
	if err := f.Verify(raw); err != nil || binary.BigEndian.Uint32(raw[17:]) == crc {
		t.Errorf("checksum after the append time: %v", err)
	}
	var k kmsg.RecordBatch
	if err := k.ReadFrom(raw); err != nil || k.FirstOffset != 7 || k.PartitionLeaderEpoch != 13 || k.MaxTimestamp != baseTime+5555 {
		t.Errorf("franz-go reads %+v, %v", k, err)
	}
}

func TestVerify(t *testing.T) {
	f := record.Format{}
	raw := build(batchOf(t, penstock.CodecNone, some(9)))
	if err := f.Verify(raw); err != nil {
		t.Fatal(err)
	}
	for i := 21; i < len(raw); i++ {
		raw[i] ^= 1
		if err := f.Verify(raw); !errors.Is(err, penstock.ErrCorrupt) {
			t.Errorf("byte %d: %v", i, err)
		}
		raw[i] ^= 1
	}
	for _, b := range [][]byte{nil, raw[:60], raw[:len(raw)-1], append(append([]byte{}, raw...), 1)} {
		if err := f.Verify(b); !errors.Is(err, penstock.ErrCorrupt) {
			t.Errorf("%d bytes of %d: %v", len(b), len(raw), err)
		}
	}
}

// TestAllocations: the way of a batch through this room allocates nothing.
func TestAllocations(t *testing.T) {
	raw := build(batchOf(t, penstock.CodecNone, keyed(50)))
	f := record.Format{}
	rows := map[string]func(){
		"Validate": func() {
			must(t, second(record.Validate(raw, record.Rules{Now: baseTime, Before: time.Hour, After: time.Hour})))
		},
		"keys":     func() { must(t, second(record.Validate(raw, record.Rules{Keys: true}))) },
		"Header":   func() { must(t, second(f.Header(raw))) },
		"Verify":   func() { must(t, f.Verify(raw)) },
		"FindTime": func() { _, _, _, err := f.FindTime(raw, baseTime+33); must(t, err) },
		"Walk": func() {
			w := record.Walk(raw)
			for r := (record.Record{}); w.Next(&r); {
			}
			must(t, w.Err())
		},
		"Stamp": func() { f.Stamp(raw, penstock.Stamp{Base: 0, Epoch: 3, AppendTime: penstock.NoTimestamp}) },
	}
	for name, run := range rows {
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func must(t *testing.T, err error) {
	if err != nil {
		t.Error(err)
	}
}

func second[T any](_ T, err error) error { return err }

func BenchmarkValidate(b *testing.B) {
	for _, size := range []int{100, 16 << 10, 1 << 20} {
		raw := build(batchOf(b, penstock.CodecNone, []entry{{value: make([]byte, size-80)}}))
		b.Run(byteSize(size), func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := record.Validate(raw, record.Rules{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func byteSize(n int) string {
	if n < 1<<10 {
		return "100B"
	}
	if n < 1<<20 {
		return "16KiB"
	}
	return "1MiB"
}
