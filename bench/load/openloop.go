package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/bench/stat"
)

// OpenLoop says how records leave at a steady rate and are read again by a consumer in the same process. A record's time runs from
// when it was due to leave to when the consumer has it.
type OpenLoop struct {
	Target
	Acks       int // 1, or -1 for all
	ValueBytes int // at least stampBytes
	Rate       float64
	Warm       int // records before those that count
	Count      int // records that count
}

// Arrived is what an OpenLoop came to.
type Arrived struct {
	Latency stat.Samples // from due to received, one for each record that counts
	Late    stat.Samples // from due to handed to the client, likewise: what the pacing itself adds
}

// stampBytes is the size of the stamp at the start of a value: the number of the record and when it was due, in nanoseconds. A value
// shorter than that is a greeting: one goes through each partition before the clock starts.
const stampBytes = 16

// greetingLimit bounds the wait for the greetings. A client that meets a new topic too early may look again seconds later.
const greetingLimit = 30 * time.Second

// Run sends and reads all records. The topic must be empty.
func (o OpenLoop) Run(ctx context.Context) (Arrived, error) {
	var a Arrived
	if o.ValueBytes < stampBytes {
		return a, fmt.Errorf("open loop: values of %d bytes cannot hold a stamp of %d", o.ValueBytes, stampBytes)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p, err := kgo.NewClient(append(producing(o.Target, o.Acks, DefaultInFlight), kgo.ProducerLinger(0),
		kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))...)
	if err != nil {
		return a, fmt.Errorf("open loop: %w", err)
	}
	defer p.Close()
	if err := p.Ping(ctx); err != nil {
		return a, fmt.Errorf("open loop: %w", err)
	}
	pace := newPacer(o.Rate)
	read, greeted := make(chan error, 1), make(chan struct{})
	go func() {
		err := o.read(ctx, pace.now, greeted, &a)
		if err != nil {
			cancel(err)
		}
		read <- err
	}()
	late, err := o.greetAndSend(ctx, p, pace, greeted)
	if err != nil {
		cancel(err)
		<-read
		return a, context.Cause(ctx)
	}
	a.Late = late
	return a, <-read
}

// greetAndSend sends one record through each partition, waits until all have come back, and then sends those of the loop.
func (o OpenLoop) greetAndSend(ctx context.Context, p *kgo.Client, pace *pacer, greeted <-chan struct{}) (stat.Samples, error) {
	for range o.Partitions { // the partitioner takes one after the other
		if err := p.ProduceSync(ctx, &kgo.Record{}).FirstErr(); err != nil {
			return nil, fmt.Errorf("open loop: greeting: %w", err)
		}
	}
	select {
	case <-greeted:
		return o.send(ctx, p, pace)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-time.After(greetingLimit):
		return nil, errors.New("open loop: the consumer does not get what was sent")
	}
}

// send sends all records when they are due, and says by how much each that counts was late.
func (o OpenLoop) send(ctx context.Context, p *kgo.Client, pace *pacer) (stat.Samples, error) {
	var failed atomic.Pointer[error]
	acknowledged := func(_ *kgo.Record, err error) {
		if err != nil {
			failed.CompareAndSwap(nil, &err)
		}
	}
	v := newValues(o.ValueBytes, 2)
	late := make(stat.Samples, 0, o.Count)
	i := 0
	err := pace.run(ctx, o.Warm+o.Count, func(due time.Duration) {
		value := append([]byte(nil), v.next()...)
		binary.BigEndian.PutUint64(value, uint64(i))
		binary.BigEndian.PutUint64(value[8:], uint64(due))
		if i >= o.Warm {
			late = append(late, pace.now()-due)
		}
		i++
		p.Produce(ctx, &kgo.Record{Value: value}, acknowledged)
	})
	if err == nil {
		err = p.Flush(ctx)
	}
	if first := failed.Load(); first != nil {
		err = *first
	}
	if err != nil {
		return nil, fmt.Errorf("open loop: send: %w", err)
	}
	return late, nil
}

// read reads all records and takes the time of those that count. It closes greeted when the greetings have come.
func (o OpenLoop) read(ctx context.Context, now func() time.Duration, greeted chan<- struct{}, a *Arrived) error {
	from := make(map[int32]kgo.Offset, o.Partitions)
	for p := range o.Partitions {
		from[int32(p)] = kgo.NewOffset().At(0)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(o.Addr), kgo.DisableClientMetrics(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{o.Topic: from}))
	if err != nil {
		return fmt.Errorf("open loop: %w", err)
	}
	defer cl.Close()
	a.Latency = make(stat.Samples, 0, o.Count)
	greetings := 0
	for got := 0; got < o.Warm+o.Count; {
		fetches, err := poll(ctx, cl)
		at := now()
		if err != nil {
			return fmt.Errorf("open loop: read: %w", err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if len(r.Value) < stampBytes {
				if greetings++; greetings == o.Partitions {
					close(greeted)
				}
				return
			}
			got++
			if binary.BigEndian.Uint64(r.Value) < uint64(o.Warm) {
				return
			}
			a.Latency = append(a.Latency, at-time.Duration(binary.BigEndian.Uint64(r.Value[8:])))
		})
	}
	if len(a.Latency) != o.Count {
		return fmt.Errorf("open loop: %d records that count came back, %d were sent", len(a.Latency), o.Count)
	}
	return nil
}
