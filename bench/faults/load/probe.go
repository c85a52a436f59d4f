package load

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/bench/faults/check"
)

// probeLimit bounds the wait for the answer to a probe.
const probeLimit = 5 * time.Second

// Probe sends single records and hands out the broker's own answer, where a Writer would try again. It is used by one
// goroutine.
type Probe struct {
	target *Target
	number uint32
	client *kgo.Client
	seq    []int64
}

// NewProbe makes a probe. number is unique among the writers of the target.
func NewProbe(t *Target, number uint32) (*Probe, error) {
	cl, err := kgo.NewClient(append(clientOptions(t.Addr),
		kgo.DefaultProduceTopic(t.Topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.DisableIdempotentWrite(),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ProduceRequestTimeout(probeLimit),
		kgo.RecordRetries(0),
	)...)
	if err != nil {
		return nil, err
	}
	return &Probe{target: t, number: number, client: cl, seq: make([]int64, len(t.Logs))}, nil
}

// Send sends one record to the partition and returns the error with which the broker refused it.
func (p *Probe) Send(ctx context.Context, partition, size int) error {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	p.seq[partition]++
	v := check.MakeValue(p.number, p.seq[partition])
	log := p.target.Logs[partition]
	log.Sent(v, false)
	r := &kgo.Record{Partition: int32(partition), Value: check.AppendPayload(nil, v, size)}
	if err := p.client.ProduceSync(ctx, r).FirstErr(); err != nil {
		return err
	}
	p.target.Gate.Do(func() { log.Acked(v, r.Offset) })
	return nil
}

// Close ends the probe.
func (p *Probe) Close() { p.client.Close() }
