package kafka

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// batch is a record batch of n records with values of the given size, as a client sends it.
func batch(n, size int) []byte { return seal(plainBatch(n, size)) }

// plainBatch is a batch of which a test may change fields before it is sealed.
func plainBatch(n, size int) *kmsg.RecordBatch {
	var records []byte
	for i := range n {
		r := kmsg.Record{OffsetDelta: int32(i), Value: bytes.Repeat([]byte{'v'}, size)}
		r.Length = int32(len(r.AppendTo(nil)) - 1)
		records = r.AppendTo(records)
	}
	now := time.Now().UnixMilli()
	return &kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2, LastOffsetDelta: int32(n - 1), FirstTimestamp: now, MaxTimestamp: now,
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: int32(n), Records: records,
	}
}

// sequenced is a batch of one record of an idempotent producer.
func sequenced(producer int64, epoch int16, sequence int32) []byte {
	b := plainBatch(1, 10)
	b.ProducerID, b.ProducerEpoch, b.FirstSequence = producer, epoch, sequence
	return seal(b)
}

// seal fills in length and checksum.
func seal(b *kmsg.RecordBatch) []byte {
	out := b.AppendTo(nil)
	binary.BigEndian.PutUint32(out[8:], uint32(len(out)-12))
	binary.BigEndian.PutUint32(out[17:], crc32.Checksum(out[21:], crc32.MakeTable(crc32.Castagnoli)))
	return out
}

// produceOf is a request with one batch for each partition given.
func produceOf(topic string, id [16]byte, acks int16, batches map[int32][]byte) *kmsg.ProduceRequest {
	q := kmsg.NewPtrProduceRequest()
	q.Acks, q.TimeoutMillis = acks, 30_000
	t := kmsg.ProduceRequestTopic{Topic: topic, TopicID: id}
	for p := range int32(100) {
		if b, ok := batches[p]; ok {
			t.Partitions = append(t.Partitions, kmsg.ProduceRequestTopicPartition{Partition: p, Records: b})
		}
	}
	q.Topics = append(q.Topics, t)
	return q
}
