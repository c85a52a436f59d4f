package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/bench/faults/check"
)

// Style is how a writer behaves.
type Style struct {
	Exact    bool          // idempotent; else plain, with one request in flight
	Single   bool          // one record at a time, each awaited
	MaxSize  int           // of a value; 0 means 1 KiB
	Buffered int           // records in flight or waiting; 0 means 256
	Pause    time.Duration // between records, 0 for none
	Rocket   bool          // a RocketWriter, which knows of these only MaxSize
}

// Writer sends records to random partitions of a target until it is stopped. It survives restarts of the broker: what it
// could not send it sends again.
type Writer struct {
	target *Target
	number uint32
	style  Style
	client *kgo.Client
	rng    *rand.Rand // used by run alone
	seq    []int64    // by partition; used by run alone
	cancel context.CancelFunc
	done   chan struct{}
	acked  atomic.Int64
	failed atomic.Int64

	mu   sync.Mutex // guards what follows
	errs []error    // what the client should never report
}

// NewWriter makes and starts a writer. number is unique among the writers of the target.
func NewWriter(t *Target, number uint32, s Style, seed uint64) (*Writer, error) {
	if s.MaxSize == 0 {
		s.MaxSize = 1024
	}
	if s.Buffered == 0 {
		s.Buffered = 256
	}
	w := &Writer{target: t, number: number, style: s, seq: make([]int64, len(t.Logs)), done: make(chan struct{})}
	w.rng = rand.New(rand.NewPCG(seed, uint64(number)))
	opts := append(clientOptions(t.Addr),
		kgo.DefaultProduceTopic(t.Topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(codec(w.rng)),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.MaxBufferedRecords(s.Buffered),
		kgo.ProduceRequestTimeout(5*time.Second),
		kgo.ProducerLinger(time.Duration(w.rng.IntN(2))*time.Millisecond),
		kgo.StopProducerOnDataLossDetected(),
		kgo.ProducerOnDataLossDetected(func(topic string, p int32) {
			w.complain(fmt.Errorf("writer %d: the client saw a loss of data in %s-%d", number, topic, p))
		}),
	)
	if !s.Exact {
		opts = append(opts, kgo.DisableIdempotentWrite())
	}
	var err error
	if w.client, err = kgo.NewClient(opts...); err != nil {
		return nil, err
	}
	w.Resume()
	return w, nil
}

// codec draws a compression: most records are sent plain, since the load is many small batches.
func codec(r *rand.Rand) kgo.CompressionCodec {
	all := []kgo.CompressionCodec{
		kgo.NoCompression(), kgo.NoCompression(), kgo.Lz4Compression(), kgo.SnappyCompression(), kgo.ZstdCompression(), kgo.GzipCompression(),
	}
	return all[r.IntN(len(all))]
}

// Resume goes on sending after a Pause.
func (w *Writer) Resume() {
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel, w.done = cancel, make(chan struct{})
	go w.run(ctx, w.done)
}

func (w *Writer) run(ctx context.Context, done chan struct{}) {
	defer close(done)
	for ctx.Err() == nil {
		p := w.rng.IntN(len(w.seq))
		w.seq[p]++
		v := check.MakeValue(w.number, w.seq[p])
		log := w.target.Logs[p]
		log.Sent(v, w.style.Exact)
		size := check.MinPayload + w.rng.IntN(w.style.MaxSize)
		r := &kgo.Record{Partition: int32(p), Value: check.AppendPayload(nil, v, size)}
		// The record's context never ends: a record given up would tear a hole into an exact writer's sequence.
		answered := make(chan struct{})
		w.client.Produce(context.Background(), r, func(r *kgo.Record, err error) {
			w.answered(log, v, r, err)
			close(answered)
		})
		if w.style.Single {
			select {
			case <-answered:
			case <-ctx.Done():
			}
		}
		if w.style.Pause > 0 {
			select {
			case <-time.After(w.style.Pause):
			case <-ctx.Done():
			}
		}
	}
}

// answered hears of the fate of a record: acknowledged if the gate is open, else unknown.
func (w *Writer) answered(log *check.Log, v check.Value, r *kgo.Record, err error) {
	if err != nil {
		w.failed.Add(1)
		// A connection that ends before its first answer, because the broker was just being ended, makes a new client
		// give up the records that wait for its producer id. They were never sent.
		var early *kgo.ErrFirstReadEOF
		if !errors.Is(err, kgo.ErrClientClosed) && !errors.As(err, &early) {
			w.complain(fmt.Errorf("writer %d: %s: %w", w.number, v, err))
		}
		return
	}
	w.acked.Add(1)
	w.target.Gate.Do(func() { log.Acked(v, r.Offset) })
}

// maxComplaints bounds what a writer remembers.
const maxComplaints = 4

func (w *Writer) complain(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.errs) < maxComplaints {
		w.errs = append(w.errs, err)
	}
}

// Acked is the number of records acknowledged so far, whether the gate was open or not.
func (w *Writer) Acked() int64 { return w.acked.Load() }

// Pause stops making records. Those made before are still sent; Settle waits for them.
func (w *Writer) Pause() {
	w.cancel()
	// Produce blocks while the buffer is full, which it may be until the broker is back; so nobody waits here.
}

// Settle waits until every record made before Pause is acknowledged.
func (w *Writer) Settle(ctx context.Context) error {
	select {
	case <-w.done:
	case <-ctx.Done():
		return fmt.Errorf("writer %d: still waiting for room: %w", w.number, ctx.Err())
	}
	if err := w.client.Flush(ctx); err != nil {
		return fmt.Errorf("writer %d: %d records are not acknowledged: %w", w.number, w.client.BufferedProduceRecords(), err)
	}
	return nil
}

// Abandon gives up everything that is not acknowledged yet, as a client that dies would, and ends the writer.
func (w *Writer) Abandon() {
	w.cancel()
	w.client.Close()
	<-w.done
}

// Err is what the client reported that no client should ever see.
func (w *Writer) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return errors.Join(w.errs...)
}
