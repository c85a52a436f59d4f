package load

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/bench/stat"
)

// Singles says how clients send one record at a time with acks=all: each has a connection of its own and waits for each
// acknowledgement before it sends the next record.
type Singles struct {
	Target
	Clients    int
	ValueBytes int
	For        time.Duration
}

// Acknowledged is what Singles came to.
type Acknowledged struct {
	Latency stat.Samples // one for each acknowledgement
	Elapsed time.Duration
}

// Rate is acknowledgements a second.
func (a Acknowledged) Rate() float64 { return float64(len(a.Latency)) / a.Elapsed.Seconds() }

// Start connects all clients and returns the function that sends, which may be called again, and the one that ends the clients.
func (s Singles) Start(ctx context.Context) (run func(time.Duration) (Acknowledged, error), end func(), err error) {
	clients := make([]*kgo.Client, 0, s.Clients)
	end = func() {
		for _, cl := range clients {
			cl.Close()
		}
	}
	for i := range s.Clients {
		cl, err := kgo.NewClient(append(producing(s.Target, -1, 1),
			kgo.ProducerLinger(0), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
		if err != nil {
			end()
			return nil, nil, fmt.Errorf("client: %w", err)
		}
		clients = append(clients, cl)
		record := &kgo.Record{Partition: int32(i % s.Partitions), Value: make([]byte, s.ValueBytes)}
		if err := cl.ProduceSync(ctx, record).FirstErr(); err != nil {
			end()
			return nil, nil, fmt.Errorf("client's first record: %w", err)
		}
	}
	run = func(d time.Duration) (Acknowledged, error) { return s.run(ctx, clients, d) }
	return run, end, nil
}

func (s Singles) run(ctx context.Context, clients []*kgo.Client, d time.Duration) (Acknowledged, error) {
	lats := make([]stat.Samples, len(clients))
	errs := make([]error, len(clients))
	start := time.Now()
	var wg sync.WaitGroup
	for i, cl := range clients {
		v := newValues(s.ValueBytes, uint64(i))
		wg.Go(func() {
			for time.Since(start) < d && errs[i] == nil {
				t := time.Now()
				record := &kgo.Record{Partition: int32(i % s.Partitions), Value: v.next()}
				errs[i] = cl.ProduceSync(ctx, record).FirstErr()
				lats[i] = append(lats[i], time.Since(t))
			}
		})
	}
	wg.Wait()
	a := Acknowledged{Elapsed: time.Since(start)}
	for i := range clients {
		if errs[i] != nil {
			return a, fmt.Errorf("client %d: %w", i, errs[i])
		}
		a.Latency = append(a.Latency, lats[i]...)
	}
	return a, nil
}
