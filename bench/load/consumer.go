package load

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Consuming says how a Consumer reads: every partition from its start, without a group.
type Consuming struct {
	Target
	PartitionBytes int // the most that an answer holds of one partition
}

// A Consumer is one franz-go client that reads as fast as it can. Only one goroutine may use it, and Run once.
type Consumer struct {
	c       Consuming
	cl      *kgo.Client
	batches atomic.Int64
	bytes   atomic.Int64
}

var _ kgo.HookFetchBatchRead = (*Consumer)(nil)

// NewConsumer connects a consumer. It reads nothing yet.
func NewConsumer(ctx context.Context, c Consuming) (*Consumer, error) {
	out := &Consumer{c: c}
	var err error
	out.cl, err = kgo.NewClient(
		kgo.SeedBrokers(c.Addr), kgo.DisableClientMetrics(),
		kgo.FetchMaxPartitionBytes(int32(c.PartitionBytes)),
		kgo.FetchMaxBytes(int32(c.PartitionBytes*c.Partitions)),
		kgo.DisableFetchCRCValidation(), // the load is not what is measured
		kgo.WithHooks(out),
	)
	if err != nil {
		return nil, fmt.Errorf("consumer: %w", err)
	}
	if err := out.cl.Ping(ctx); err != nil {
		out.Close()
		return nil, fmt.Errorf("consumer: %w", err)
	}
	return out, nil
}

// OnFetchBatchRead counts a batch. The client calls it.
func (c *Consumer) OnFetchBatchRead(_ kgo.BrokerMetadata, _ string, _ int32, m kgo.FetchBatchMetrics) {
	c.batches.Add(1)
	c.bytes.Add(int64(m.CompressedBytes) + batchHead)
}

// Run reads n records.
func (c *Consumer) Run(ctx context.Context, n int64) (Moved, error) {
	start := time.Now()
	from := make(map[int32]kgo.Offset, c.c.Partitions)
	for p := range c.c.Partitions {
		from[int32(p)] = kgo.NewOffset().At(0)
	}
	c.cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{c.c.Topic: from})
	var m Moved
	for m.Records < n {
		fetches, err := poll(ctx, c.cl)
		if err != nil {
			return m, fmt.Errorf("consumer after %d of %d records: %w", m.Records, n, err)
		}
		m.Records += int64(fetches.NumRecords())
	}
	m.Batches, m.Bytes, m.Elapsed = c.batches.Load(), c.bytes.Load(), time.Since(start)
	return m, nil
}

// Close ends the client.
func (c *Consumer) Close() { c.cl.Close() }
