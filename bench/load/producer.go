package load

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// DefaultInFlight is how many produce requests a Producer keeps in flight, the default of the Java client.
	DefaultInFlight = 5
	// DefaultLinger is how long a batch that is not full waits. It is long, so that batches leave full.
	DefaultLinger = 50 * time.Millisecond
	// bufferBytes bounds what a Producer holds that is not acknowledged.
	bufferBytes = 64 << 20
	// minBatches is how many full batches the buffer holds for each partition at least, whatever bufferBytes says.
	minBatches = 2
)

// Producing says how a Producer sends. Values are random; nothing is compressed.
type Producing struct {
	Target
	Acks       int // 1, or -1 for all; idempotence is on with all and off with 1
	ValueBytes int
	BatchBytes int // the most that a batch may hold; one partition is filled up before the next
	InFlight   int // produce requests in flight with acks=1; 0: DefaultInFlight
}

// A Producer is one franz-go client that sends as fast as it can. Only one goroutine may use it.
type Producer struct {
	p       Producing
	cl      *kgo.Client
	values  *values
	records atomic.Int64
	batches atomic.Int64
	bytes   atomic.Int64

	mu  sync.Mutex // guards err
	err error      // the first failure of a record
}

var _ kgo.HookProduceBatchWritten = (*Producer)(nil)

// NewProducer connects a producer and sends one record, so that what follows finds everything ready.
func NewProducer(ctx context.Context, p Producing) (*Producer, error) {
	if p.InFlight == 0 {
		p.InFlight = DefaultInFlight
	}
	out := &Producer{p: p, values: newValues(p.ValueBytes, 1)}
	buffer := max(bufferBytes, minBatches*p.BatchBytes*p.Partitions)
	opts := append(producing(p.Target, p.Acks, p.InFlight),
		kgo.ProducerLinger(DefaultLinger),
		kgo.ProducerBatchMaxBytes(int32(p.BatchBytes)),
		kgo.RecordPartitioner(kgo.UniformBytesPartitioner(p.BatchBytes, false, false, nil)),
		kgo.MaxBufferedBytes(buffer),
		kgo.MaxBufferedRecords(max(10_000, buffer/p.ValueBytes)),
		kgo.WithHooks(out),
	)
	var err error
	if out.cl, err = kgo.NewClient(opts...); err != nil {
		return nil, fmt.Errorf("producer: %w", err)
	}
	if _, err := out.Run(ctx, 1); err != nil {
		out.Close()
		return nil, err
	}
	return out, nil
}

// producing is the options that every producer here has in common.
func producing(t Target, acks, inFlight int) []kgo.Opt {
	opts := []kgo.Opt{
		kgo.SeedBrokers(t.Addr), kgo.DefaultProduceTopic(t.Topic),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.DisableClientMetrics(), kgo.RecordDeliveryTimeout(stallLimit),
	}
	if acks == 1 {
		return append(opts, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite(),
			kgo.MaxProduceRequestsInflightPerBroker(inFlight))
	}
	return append(opts, kgo.RequiredAcks(kgo.AllISRAcks()))
}

// OnProduceBatchWritten counts a batch. The client calls it.
func (p *Producer) OnProduceBatchWritten(_ kgo.BrokerMetadata, _ string, _ int32, m kgo.ProduceBatchMetrics) {
	p.records.Add(int64(m.NumRecords))
	p.batches.Add(1)
	p.bytes.Add(int64(m.CompressedBytes) + batchHead)
}

// slab is how many records are made at a time.
const slab = 512

// Run sends n records and waits until all are acknowledged. It fails if one is not.
func (p *Producer) Run(ctx context.Context, n int64) (Moved, error) {
	before := p.moved()
	start := time.Now()
	for n > 0 {
		records := make([]kgo.Record, min(n, slab))
		for i := range records {
			records[i].Value = p.values.next()
			p.cl.Produce(ctx, &records[i], p.acknowledged)
		}
		n -= int64(len(records))
	}
	if err := p.cl.Flush(ctx); err != nil {
		return Moved{}, fmt.Errorf("producer: %w", err)
	}
	p.mu.Lock()
	err := p.err
	p.mu.Unlock()
	if err != nil {
		return Moved{}, fmt.Errorf("producer: %w", err)
	}
	now := p.moved()
	return Moved{
		Records: now.Records - before.Records, Batches: now.Batches - before.Batches, Bytes: now.Bytes - before.Bytes,
		Elapsed: time.Since(start),
	}, nil
}

func (p *Producer) moved() Moved {
	return Moved{Records: p.records.Load(), Batches: p.batches.Load(), Bytes: p.bytes.Load()}
}

func (p *Producer) acknowledged(_ *kgo.Record, err error) {
	if err == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
}

// Close ends the client.
func (p *Producer) Close() { p.cl.Close() }
