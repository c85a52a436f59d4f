package load

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Fill says how a topic is filled with batches that all hold the same number of records. A producer at full speed also sends batches
// that are not full; here none is.
type Fill struct {
	Target
	ValueBytes int
	Records    int // of a batch
	Batches    int // of each partition
}

// Run fills the topic: one batch for each partition at a time, with acks=1.
func (f Fill) Run(ctx context.Context) error {
	batch := max(1<<20, f.Records*f.ValueBytes+f.Records*64+batchHead)
	cl, err := kgo.NewClient(append(producing(f.Target, 1, 1), kgo.ManualFlushing(), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(int32(batch)), kgo.MaxBufferedRecords(2*f.Records*f.Partitions))...)
	if err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	defer cl.Close()
	v := newValues(f.ValueBytes, 3)
	for range f.Batches {
		failed := make(chan error, f.Records*f.Partitions)
		for i := range f.Records * f.Partitions {
			record := &kgo.Record{Partition: int32(i % f.Partitions), Value: v.next()}
			cl.Produce(ctx, record, func(_ *kgo.Record, err error) { failed <- err })
		}
		if err := cl.Flush(ctx); err != nil {
			return fmt.Errorf("fill: %w", err)
		}
		for range f.Records * f.Partitions {
			if err := <-failed; err != nil {
				return fmt.Errorf("fill: %w", err)
			}
		}
	}
	return nil
}
