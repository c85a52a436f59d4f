// Package load makes a broker work through the public client franz-go, with settings that a measurement can state: a producer and
// a consumer at full speed, clients that send one record at a time, an open loop whose records leave when they are due, and
// fetches whose answers are counted but not opened. And it pulls messages as RocketMQ's clients do, by itself: their answers are not opened either.
//
// Nothing here knows which broker it drives.
package load

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Target is where records go to or come from.
type Target struct {
	Addr       string // one broker
	Topic      string
	Partitions int
}

// stallLimit is how long a record may wait for its acknowledgement, and a consumer for anything at all, before a load gives up. A
// client would go on for ever with a broker that answers every request with an error that may pass.
const stallLimit = 30 * time.Second

// poll gets what has come, and fails if nothing comes for stallLimit.
func poll(ctx context.Context, cl *kgo.Client) (kgo.Fetches, error) {
	ctx, cancel := context.WithTimeout(ctx, stallLimit)
	defer cancel()
	fetches := cl.PollFetches(ctx)
	return fetches, fetches.Err()
}

// batchHead is the size of a record batch's header, which the client's account of a batch leaves out.
const batchHead = 61

// Moved is what a producer or consumer moved.
type Moved struct {
	Records int64
	Batches int64
	Bytes   int64         // of record batches, their headers included
	Elapsed time.Duration // from the first call to the last answer
}

// Add adds what another moved before or after.
func (m *Moved) Add(o Moved) {
	m.Records += o.Records
	m.Batches += o.Batches
	m.Bytes += o.Bytes
	m.Elapsed += o.Elapsed
}

// MeanBatch is the mean size of a batch in bytes.
func (m Moved) MeanBatch() float64 { return float64(m.Bytes) / float64(max(m.Batches, 1)) }

// GiB is Bytes in units of 2^30.
func (m Moved) GiB() float64 { return float64(m.Bytes) / (1 << 30) }

// Create makes the topic with the configuration given as name=value pairs in a map.
func (t Target) Create(ctx context.Context, config map[string]string) error {
	return t.admin(func(adm *kadm.Client) error {
		values := make(map[string]*string, len(config))
		for k, v := range config {
			values[k] = &v
		}
		r, err := adm.CreateTopic(ctx, int32(t.Partitions), 1, values, t.Topic)
		if err == nil {
			err = r.Err
		}
		if err != nil {
			return fmt.Errorf("create topic %s: %w", t.Topic, err)
		}
		return nil
	})
}

// Delete removes the topic.
func (t Target) Delete(ctx context.Context) error {
	return t.admin(func(adm *kadm.Client) error {
		r, err := adm.DeleteTopic(ctx, t.Topic)
		if err == nil {
			err = r.Err
		}
		if err != nil {
			return fmt.Errorf("delete topic %s: %w", t.Topic, err)
		}
		return nil
	})
}

func (t Target) admin(do func(*kadm.Client) error) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(t.Addr))
	if err != nil {
		return err
	}
	defer cl.Close()
	return do(kadm.NewClient(cl))
}
