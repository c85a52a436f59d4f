package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
	"github.com/apache/rocketmq-client-go/v2/rlog"

	"penstock/bench/faults/check"
)

const (
	// rocketSend bounds one send of a RocketWriter.
	rocketSend = 2 * time.Second
	// rocketPause is how long a RocketWriter waits after a send that failed.
	rocketPause = 20 * time.Millisecond
)

// RocketWriter sends messages with RocketMQ's client to random queues of a target, one at a time, until it is stopped. What was not acknowledged it sends
// again, as a plain Writer does, until it is.
type RocketWriter struct {
	target *Target
	number uint32
	size   int
	client rocketmq.Producer
	rng    *rand.Rand // used by run alone
	seq    []int64    // by queue; used by run alone
	stop   context.CancelFunc
	kill   context.CancelFunc
	killed context.Context
	done   chan struct{}
	acked  atomic.Int64
}

// toQueue sends to the queue whose number is the message's sharding key.
type toQueue struct{}

func (toQueue) Select(m *primitive.Message, all []*primitive.MessageQueue, _ string) *primitive.MessageQueue {
	for _, q := range all {
		if fmt.Sprint(q.QueueId) == m.GetShardingKey() {
			return q
		}
	}
	return nil
}

// NewRocketWriter makes and starts a writer for a target with a name server. number is unique among all writers of the target; size bounds a body, 0
// means 1 KiB.
func NewRocketWriter(t *Target, number uint32, size int, seed uint64) (*RocketWriter, error) {
	if size == 0 {
		size = 1024
	}
	rlog.SetLogLevel("fatal")
	w := &RocketWriter{target: t, number: number, size: size, seq: make([]int64, len(t.Logs)), rng: rand.New(rand.NewPCG(seed, uint64(number)))}
	var err error
	w.client, err = rocketmq.NewProducer(
		producer.WithNsResolver(primitive.NewPassthroughResolver([]string{t.NameServer})), producer.WithGroupName(fmt.Sprintf("writer-%d", number)),
		producer.WithInstanceName(fmt.Sprintf("%s-%d", t.Topic, number)), producer.WithRetry(0), producer.WithSendMsgTimeout(rocketSend),
		producer.WithQueueSelector(toQueue{}),
	)
	if err != nil {
		return nil, err
	}
	if err := w.client.Start(); err != nil {
		return nil, fmt.Errorf("writer %d: %w", number, err)
	}
	w.killed, w.kill = context.WithCancel(context.Background())
	w.Resume()
	return w, nil
}

// Resume goes on sending after a Pause.
func (w *RocketWriter) Resume() {
	ctx, cancel := context.WithCancel(w.killed)
	w.stop, w.done = cancel, make(chan struct{})
	go w.run(ctx, w.done)
}

func (w *RocketWriter) run(ctx context.Context, done chan struct{}) {
	defer close(done)
	for ctx.Err() == nil {
		p := w.rng.IntN(len(w.seq))
		w.seq[p]++
		v := check.MakeValue(w.number, w.seq[p])
		w.target.Logs[p].Sent(v, false)
		m := primitive.NewMessage(w.target.Topic, check.AppendPayload(nil, v, check.MinPayload+w.rng.IntN(w.size)))
		m.WithShardingKey(fmt.Sprint(p))
		for w.killed.Err() == nil && !w.send(m, p, v) {
			select {
			case <-w.killed.Done():
			case <-time.After(rocketPause):
			}
		}
	}
}

// send sends a message once and reports whether it was acknowledged.
func (w *RocketWriter) send(m *primitive.Message, p int, v check.Value) bool {
	ctx, cancel := context.WithTimeout(w.killed, rocketSend)
	defer cancel()
	r, err := w.client.SendSync(ctx, m)
	if err != nil || r.Status != primitive.SendOK || r.MessageQueue.QueueId != p {
		return false
	}
	w.acked.Add(1)
	w.target.Gate.Do(func() { w.target.Logs[p].Acked(v, r.QueueOffset) })
	return true
}

// Acked is the number of messages acknowledged so far, whether the gate was open or not.
func (w *RocketWriter) Acked() int64 { return w.acked.Load() }

// Pause stops making messages. The one that was made before is still sent; Settle waits for it.
func (w *RocketWriter) Pause() { w.stop() }

// Settle waits until every message made before Pause is acknowledged.
func (w *RocketWriter) Settle(ctx context.Context) error {
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("writer %d: its last message is not acknowledged: %w", w.number, ctx.Err())
	}
}

// Abandon gives up what is not acknowledged yet, as a client that dies would, and ends the writer.
func (w *RocketWriter) Abandon() {
	w.kill()
	<-w.done
	_ = w.client.Shutdown()
}

// Err is nil: what a send of RocketMQ's fails with depends on the moment, and is tried again.
func (w *RocketWriter) Err() error { return nil }
