package record_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
	"penstock/record"
	"penstock/store"
)

var _ store.Format = record.Format{}

// entry is a record to build.
type entry struct {
	key, value []byte
	at         int64 // relative to the batch's first timestamp
	headers    []kmsg.Header
}

// batchOf is a well-formed produced batch as franz-go's types lay it out: the golden form. Tests change fields
// before they call build.
func batchOf(t testing.TB, codec penstock.Codec, entries []entry) *kmsg.RecordBatch {
	t.Helper()
	var raw []byte
	highest := int64(0)
	for i, e := range entries {
		r := kmsg.Record{
			TimestampDelta64: e.at, OffsetDelta: int32(i),
			Key: e.key, Value: e.value, Headers: e.headers,
		}
		// The length counts what follows it, and AppendTo writes one byte for a length of 0.
		r.Length = int32(len(r.AppendTo(nil)) - 1)
		raw = r.AppendTo(raw)
		highest = max(highest, e.at)
	}
	return &kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2,
		Attributes:      int16(codec),
		LastOffsetDelta: int32(len(entries) - 1),
		FirstTimestamp:  baseTime, MaxTimestamp: baseTime + highest,
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1,
		NumRecords: int32(len(entries)),
		Records:    compress(t, codec, raw),
	}
}

const baseTime = 1_700_000_000_000

func compress(t testing.TB, codec penstock.Codec, raw []byte) []byte {
	t.Helper()
	codecs := map[penstock.Codec]kgo.CompressionCodec{
		penstock.CodecGzip:   kgo.GzipCompression(),
		penstock.CodecSnappy: kgo.SnappyCompression(),
		penstock.CodecLZ4:    kgo.Lz4Compression(),
		penstock.CodecZstd:   kgo.ZstdCompression(),
	}
	if codec == penstock.CodecNone {
		return raw
	}
	c, err := kgo.DefaultCompressor(codecs[codec])
	if err != nil {
		t.Fatal(err)
	}
	out, used := c.Compress(new(bytes.Buffer), raw)
	if int(used) != int(codec) {
		t.Fatalf("franz-go used codec %d instead of %s", used, codec)
	}
	return out
}

// build fills in length and checksum.
func build(b *kmsg.RecordBatch) []byte {
	out := b.AppendTo(nil)
	binary.BigEndian.PutUint32(out[8:], uint32(len(out)-12))
	return seal(out)
}

// seal makes the checksum right again.
func seal(b []byte) []byte {
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// some is n records of which every third has no key and every fourth no value, all with rising timestamps.
func some(n int) []entry {
	var es []entry
	for i := range n {
		e := entry{at: int64(i * 10), key: []byte{byte(i), 'k'}, value: bytes.Repeat([]byte{byte(i)}, i%200+1)}
		if i%3 == 2 {
			e.key = nil
		}
		if i%4 == 3 {
			e.value = nil
		}
		if i%5 == 1 {
			e.headers = []kmsg.Header{{Key: "h", Value: []byte("v")}, {Key: "", Value: nil}}
		}
		es = append(es, e)
	}
	return es
}

// keyed is n records with keys.
func keyed(n int) []entry {
	es := some(n)
	for i := range es {
		es[i].key = []byte("key")
	}
	return es
}

var codecs = []penstock.Codec{
	penstock.CodecNone, penstock.CodecGzip, penstock.CodecSnappy, penstock.CodecLZ4, penstock.CodecZstd,
}
