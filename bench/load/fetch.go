package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Fetched counts the answers to fetches. Their batches are not opened.
type Fetched struct {
	Answers  int64 // how many
	Payload  int64 // bytes of record batches in them
	Wire     int64 // their bytes as they came over the connection
	Smallest int64 // payload of the smallest
}

// fetchKey is the key of the Fetch API.
const fetchKey = 1

// wireCount adds up the sizes of answers to Fetch.
type wireCount struct{ n atomic.Int64 }

var _ kgo.HookBrokerRead = (*wireCount)(nil)

// OnBrokerRead counts an answer. The client calls it.
func (w *wireCount) OnBrokerRead(_ kgo.BrokerMetadata, key int16, bytesRead int, _, _ time.Duration, err error) {
	if key == fetchKey && err == nil {
		w.n.Add(int64(bytesRead))
	}
}

// Fetch asks for all partitions at once with plain Fetch requests without a session, one request at a time, from offset 0 on. It
// stops before a partition has fewer than margin records left, so that no answer is cut short by a partition's end.
func (c Consuming) Fetch(ctx context.Context, margin int64) (Fetched, error) {
	var wire wireCount
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Addr), kgo.DisableClientMetrics(), kgo.WithHooks(&wire))
	if err != nil {
		return Fetched{}, fmt.Errorf("fetch: %w", err)
	}
	defer cl.Close()
	ask := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = kmsg.StringPtr(c.Topic)
	ask.Topics = append(ask.Topics, topic)
	meta, err := ask.RequestWith(ctx, cl)
	if err != nil {
		return Fetched{}, fmt.Errorf("fetch: metadata: %w", err)
	}
	if len(meta.Topics) != 1 || len(meta.Topics[0].Partitions) != c.Partitions {
		return Fetched{}, fmt.Errorf("fetch: the broker does not know %d partitions of %s", c.Partitions, c.Topic)
	}
	broker := cl.Broker(int(meta.Topics[0].Partitions[0].Leader))
	next := make([]int64, c.Partitions)
	f := Fetched{Smallest: math.MaxInt64}
	for {
		r, err := broker.RetriableRequest(ctx, c.request(meta.Topics[0].TopicID, next))
		if err != nil {
			return f, fmt.Errorf("fetch: %w", err)
		}
		payload, more, err := advance(next, r.(*kmsg.FetchResponse), margin)
		if err != nil {
			return f, fmt.Errorf("fetch %s: %w", c.Topic, err)
		}
		f.Answers++
		f.Payload += payload
		f.Smallest = min(f.Smallest, payload)
		if !more {
			f.Wire = wire.n.Load()
			return f, nil
		}
	}
}

// request asks for what follows the offsets next, by the topic's name and id: the version of the request decides which counts.
func (c Consuming) request(id [16]byte, next []int64) *kmsg.FetchRequest {
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID = c.Topic, id
	for i, offset := range next {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes = int32(i), offset, int32(c.PartitionBytes)
		topic.Partitions = append(topic.Partitions, p)
	}
	r := kmsg.NewPtrFetchRequest()
	r.MaxWaitMillis, r.MinBytes, r.MaxBytes = 500, 1, int32(c.PartitionBytes*c.Partitions)
	r.SessionID, r.SessionEpoch = 0, -1
	r.Topics = append(r.Topics, topic)
	return r
}

// advance moves next behind the batches of an answer. It returns their bytes, and whether each partition has margin records left.
func advance(next []int64, r *kmsg.FetchResponse, margin int64) (payload int64, more bool, err error) {
	if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
		return 0, false, err
	}
	more = true
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return 0, false, fmt.Errorf("partition %d: %w", p.Partition, err)
			}
			if int(p.Partition) >= len(next) {
				return 0, false, fmt.Errorf("partition %d was not asked for", p.Partition)
			}
			payload += int64(len(p.RecordBatches))
			next[p.Partition] = behind(p.RecordBatches, next[p.Partition])
			more = more && p.HighWatermark-next[p.Partition] >= margin
		}
	}
	if payload == 0 {
		return 0, false, errors.New("an answer without batches, though there are some")
	}
	return payload, more, nil
}

// behind is the offset behind the last whole batch of b, or offset if there is none. A broker may cut the last batch short.
func behind(b []byte, offset int64) int64 {
	// Base offset (8), length of what follows (4), and, 23 bytes into the batch, the last record's distance from the base (4).
	const prefix, delta = 12, 23
	for len(b) >= batchHead {
		size := prefix + int(binary.BigEndian.Uint32(b[8:]))
		if size > len(b) {
			break
		}
		offset = int64(binary.BigEndian.Uint64(b)) + int64(binary.BigEndian.Uint32(b[delta:])) + 1
		b = b[size:]
	}
	return offset
}
