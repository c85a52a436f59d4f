package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/bench/faults/check"
)

// Verify reads every partition to its end, from overlap records before the place where the last Verify stopped, and has
// the checker judge it. Writers may be active: the end is what it is at the beginning.
func (t *Target) Verify(ctx context.Context, overlap int64) error {
	passes := make([]*check.Pass, len(t.Logs))
	offsets := map[int32]kgo.Offset{}
	for p, l := range t.Logs {
		passes[p] = l.Pass(max(0, l.Frontier()-overlap))
		offsets[int32(p)] = kgo.NewOffset().At(passes[p].From())
	}
	cl, err := kgo.NewClient(clientOptions(t.Addr)...)
	if err != nil {
		return err
	}
	defer cl.Close()
	ends, err := t.ends(ctx, cl)
	if err != nil {
		return err
	}
	todo := 0
	for p := range passes {
		if passes[p].From() < ends[p] {
			todo++
		} else {
			delete(offsets, int32(p))
			passes[p].End(ends[p])
		}
	}
	if todo == 0 {
		return nil
	}
	rd, err := kgo.NewClient(append(clientOptions(t.Addr),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{t.Topic: offsets}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxWait(100*time.Millisecond),
	)...)
	if err != nil {
		return err
	}
	defer rd.Close()
	return t.drain(ctx, rd, passes, ends, todo)
}

// drain reads until todo partitions have met their ends.
func (t *Target) drain(ctx context.Context, rd *kgo.Client, passes []*check.Pass, ends []int64, todo int) error {
	finished := make([]bool, len(passes))
	for todo > 0 {
		fs := rd.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("verify %s: %d partitions do not come to their end: %w", t.Topic, todo, err)
		}
		for _, e := range fs.Errors() {
			if !transient(e.Err) {
				return fmt.Errorf("verify %s-%d: %w", e.Topic, e.Partition, e.Err)
			}
		}
		fs.EachPartition(func(ftp kgo.FetchTopicPartition) {
			p := ftp.Partition
			for _, r := range ftp.Records {
				if finished[p] || r.Offset >= ends[p] {
					break
				}
				v, err := check.ParsePayload(r.Value)
				if err != nil {
					t.Logs[p].Corrupt(r.Offset, err)
					continue
				}
				passes[p].Read(v, r.Offset)
			}
			n := len(ftp.Records)
			if n > 0 && !finished[p] && ftp.Records[n-1].Offset+1 >= ends[p] {
				finished[p] = true
				todo--
				passes[p].End(ends[p])
			}
		})
	}
	return nil
}

// transient reports whether a reader may go on after the error: the broker was away.
func transient(err error) bool {
	var loss *kgo.ErrDataLoss
	return !errors.As(err, &loss) && kgo.IsRetryableBrokerErr(err)
}

// Follower reads a target as it grows, across restarts of the broker, and claims what it saw.
type Follower struct {
	client *kgo.Client
	cancel context.CancelFunc
	done   chan struct{}
	seen   int64
}

// Follow starts a follower at the present ends of the target.
func Follow(ctx context.Context, t *Target) (*Follower, error) {
	ends, err := t.Ends(ctx)
	if err != nil {
		return nil, err
	}
	offsets := map[int32]kgo.Offset{}
	for p, end := range ends {
		offsets[int32(p)] = kgo.NewOffset().At(end)
	}
	cl, err := kgo.NewClient(append(clientOptions(t.Addr),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{t.Topic: offsets}),
		kgo.FetchMaxWait(200*time.Millisecond),
	)...)
	if err != nil {
		return nil, err
	}
	f := &Follower{client: cl, done: make(chan struct{})}
	ctx, f.cancel = context.WithCancel(context.Background())
	go f.run(ctx, t)
	return f, nil
}

func (f *Follower) run(ctx context.Context, t *Target) {
	defer close(f.done)
	for {
		fs := f.client.PollFetches(ctx)
		if ctx.Err() != nil {
			return
		}
		t.Gate.Do(func() {
			fs.EachRecord(func(r *kgo.Record) {
				f.seen++
				v, err := check.ParsePayload(r.Value)
				if err != nil {
					t.Logs[r.Partition].Corrupt(r.Offset, err)
					return
				}
				t.Logs[r.Partition].Saw(v, r.Offset)
			})
		})
	}
}

// Stop ends the follower and returns the number of records it saw. It may be called again.
func (f *Follower) Stop() int64 {
	f.cancel()
	<-f.done
	f.client.Close()
	return f.seen
}
