package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/bench/faults/check"
)

// Target is a topic that load is put on, and what is known of each of its partitions.
type Target struct {
	Addr       string
	NameServer string // for RocketMQ's clients
	Topic      string
	Gate       *Gate // which acknowledgements and reads count
	Logs       []*check.Log
}

// clientOptions make clients that find a restarted broker quickly. Their requests go to the loopback address only.
func clientOptions(addr string) []kgo.Opt {
	return []kgo.Opt{
		kgo.SeedBrokers(addr),
		kgo.DialTimeout(time.Second),
		kgo.MetadataMinAge(20 * time.Millisecond),
		kgo.RetryBackoffFn(func(tries int) time.Duration {
			return min(time.Duration(tries)*5*time.Millisecond, 50*time.Millisecond)
		}),
	}
}

// createTries bounds the attempts at creating a topic on a broker that has just started.
const createTries = 50

// Create makes the topic and returns it as a target with empty logs.
func Create(ctx context.Context, addr, topic string, partitions int, configs map[string]string) (*Target, error) {
	cl, err := kgo.NewClient(clientOptions(addr)...)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	values := map[string]*string{}
	for k, v := range configs {
		values[k] = kadm.StringPtr(v)
	}
	for try := 1; ; try++ {
		_, err = kadm.NewClient(cl).CreateTopic(ctx, int32(partitions), 1, values, topic)
		if err == nil || errors.Is(err, kerr.TopicAlreadyExists) && try > 1 {
			break
		}
		if try == createTries || ctx.Err() != nil {
			return nil, fmt.Errorf("create topic %s: %w", topic, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	t := &Target{Addr: addr, Topic: topic, Gate: &Gate{}}
	for p := range partitions {
		t.Logs = append(t.Logs, check.NewLog(fmt.Sprintf("%s-%d", topic, p), 0))
	}
	return t, nil
}

// Delete deletes the topic.
func (t *Target) Delete(ctx context.Context) error {
	cl, err := kgo.NewClient(clientOptions(t.Addr)...)
	if err != nil {
		return err
	}
	defer cl.Close()
	if _, err := kadm.NewClient(cl).DeleteTopic(ctx, t.Topic); err != nil {
		return fmt.Errorf("delete topic %s: %w", t.Topic, err)
	}
	return nil
}

// Forget starts new histories at the present ends, as if the topic were new.
func (t *Target) Forget(ctx context.Context) error {
	ends, err := t.Ends(ctx)
	if err != nil {
		return err
	}
	for p := range t.Logs {
		t.Logs[p] = check.NewLog(t.Logs[p].Name(), ends[p])
	}
	return nil
}

// Report is what was found in all partitions.
func (t *Target) Report() check.Report {
	var sum check.Report
	for _, l := range t.Logs {
		sum.Add(l.Report())
	}
	return sum
}

// Ends asks the broker for the high watermark of each partition.
func (t *Target) Ends(ctx context.Context) ([]int64, error) {
	cl, err := kgo.NewClient(clientOptions(t.Addr)...)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	return t.ends(ctx, cl)
}

func (t *Target) ends(ctx context.Context, cl *kgo.Client) ([]int64, error) {
	listed, err := kadm.NewClient(cl).ListEndOffsets(ctx, t.Topic)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("ends of %s: %w", t.Topic, err)
	}
	ends := make([]int64, len(t.Logs))
	for p := range ends {
		o, ok := listed.Lookup(t.Topic, int32(p))
		if !ok {
			return nil, fmt.Errorf("ends of %s: no partition %d", t.Topic, p)
		}
		ends[p] = o.Offset
	}
	return ends, nil
}
