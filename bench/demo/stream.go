package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/bench/screen"
)

// codec is a compression with its name.
type codec struct {
	name  string
	codec kgo.CompressionCodec
}

// codecs are all that Kafka knows.
func codecs() []codec {
	return []codec{
		{"none", kgo.NoCompression()}, {"gzip", kgo.GzipCompression()}, {"snappy", kgo.SnappyCompression()},
		{"lz4", kgo.Lz4Compression()}, {"zstd", kgo.ZstdCompression()},
	}
}

// figures are what one topic's stream came to.
type figures struct {
	records, bytes int64
	batches, wire  int64 // sent, as the client counts them
	in, out        time.Duration
}

// counter counts the batches that a client writes.
type counter struct{ batches, wire atomic.Int64 }

var _ kgo.HookProduceBatchWritten = (*counter)(nil)

// OnProduceBatchWritten hears of every batch written.
func (c *counter) OnProduceBatchWritten(_ kgo.BrokerMetadata, _ string, _ int32, m kgo.ProduceBatchMetrics) {
	c.batches.Add(1)
	c.wire.Add(int64(m.CompressedBytes))
}

// stream sends the corpus through a topic of its own with one codec, reads it back and compares.
func stream(ctx context.Context, addr string, cd codec, c *corpus) (figures, error) {
	f := figures{records: c.records, bytes: c.bytes}
	topic := "demo-" + cd.name
	var err error
	if f.in, err = send(ctx, addr, topic, cd, c, &f); err != nil {
		return f, err
	}
	begin := time.Now()
	got, err := receive(ctx, addr, topic, cd.name, c)
	f.out = time.Since(begin)
	if err != nil {
		return f, err
	}
	for p, sum := range sums(got) {
		if !bytes.Equal(sum, c.sums[p]) {
			err = errors.Join(err, fmt.Errorf("partition %d: SHA-256 is %x, want %x", p, sum, c.sums[p]))
		}
	}
	return f, err
}

// send makes the topic and writes the corpus to it, with acks=all by an idempotent producer.
func send(ctx context.Context, addr, topic string, cd codec, c *corpus, f *figures) (time.Duration, error) {
	var n counter
	cl, err := kgo.NewClient(
		kgo.SeedBrokers(addr), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(cd.codec), kgo.WithHooks(&n), kgo.MaxBufferedBytes(64<<20),
		kgo.MetadataMinAge(100*time.Millisecond),
	)
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	if _, err := kadm.NewClient(cl).CreateTopic(ctx, int32(len(c.counts)), 1, nil, topic); err != nil {
		return 0, fmt.Errorf("create topic %s: %w", topic, err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	bar := screen.NewBar(c.bytes, cd.name+" in ", true)
	defer bar.Close()
	begin := time.Now()
	for _, r := range c.parts {
		// The client writes into the records it is given, so each round has its own; the bytes are shared.
		own := *r
		cl.Produce(ctx, &own, func(r *kgo.Record, err error) {
			if err != nil {
				cancel(fmt.Errorf("produce %s: %w", r.Key, err))
				return
			}
			bar.Add(int64(len(r.Key) + len(r.Value)))
		})
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
	}
	if err := cl.Flush(ctx); err != nil {
		return 0, errors.Join(context.Cause(ctx), err)
	}
	took := time.Since(begin)
	cl.Close() // the last batches are counted after their records are acknowledged
	f.batches, f.wire = n.batches.Load(), n.wire.Load()
	return took, context.Cause(ctx)
}

// receive reads the topic from its beginning until every partition has given as many records as the corpus has, and hashes
// them. That nothing lies behind them is asked of the broker.
func receive(ctx context.Context, addr, topic, name string, c *corpus) ([]hash.Hash, error) {
	from := map[int32]kgo.Offset{}
	left := c.records
	for p, n := range c.counts {
		if n > 0 {
			from[int32(p)] = kgo.NewOffset().AtStart()
		}
	}
	cl, err := kgo.NewClient(
		kgo.SeedBrokers(addr), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}),
		kgo.FetchMaxPartitionBytes(4<<20),
	)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	for p, n := range c.counts {
		if o, ok := ends.Lookup(topic, int32(p)); !ok || o.Err != nil || o.Offset != n {
			return nil, fmt.Errorf("partition %d ends at %d (%v), want %d", p, o.Offset, o.Err, n)
		}
	}
	bar := screen.NewBar(c.bytes, name+" out", true)
	defer bar.Close()
	got, next := newHashes(len(c.counts)), make([]int64, len(c.counts))
	for left > 0 {
		fs := cl.PollFetches(ctx)
		if err := fs.Err0(); err != nil {
			return nil, err
		}
		for _, e := range fs.Errors() {
			return nil, fmt.Errorf("partition %d: %w", e.Partition, e.Err)
		}
		var size int64
		for it := fs.RecordIter(); !it.Done(); {
			r := it.Next()
			if r.Offset != next[r.Partition] {
				return nil, fmt.Errorf("partition %d: offset %d came, want %d", r.Partition, r.Offset, next[r.Partition])
			}
			next[r.Partition]++
			left--
			feed(got[r.Partition], r)
			size += int64(len(r.Key) + len(r.Value))
		}
		bar.Add(size)
	}
	return got, nil
}
