package rocket

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"penstock"
	"penstock/meta"
	"penstock/replica"
)

// makeTopic creates a topic of messages, and returns when there is a route to it. That somebody else creates it is fine.
func (f *Front) makeTopic(ctx context.Context, name string, queues int) error {
	_, err := f.o.Topics.CreateTopic(ctx, meta.NewTopic{
		Name: name, Format: penstock.FormatMessage, Layout: f.o.Layout, Partitions: queues, Replicas: []penstock.BrokerID{f.o.Broker},
	}, false)
	if errors.Is(err, penstock.ErrTopicExists) && f.seeTopic(ctx, name) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("topic %s is created on demand: %w", name, err)
	}
	return nil
}

// seeTopic waits for the image that shows a topic: who creates it gets his answer after that, who finds it created may be before. It is false
// where none comes, as when the name is taken by another that is too much like it.
func (f *Front) seeTopic(ctx context.Context, name string) bool {
	ctx, cancel := context.WithTimeout(ctx, f.o.Limits.ControlTime/4)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for f.routes.Load().names[name] == nil {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}

// opened is the partition of a queue, which is waited for while it is being opened: who creates a topic gets his answer after that, who finds it created
// may be before. It is nil if the partition does not open in time. There are clients that take no refusal of what they send back (rocketmq-client-go looks
// only at whether there was an answer), so that a message that becomes the second dead letter of its group would be lost.
func (f *Front) opened(ctx context.Context, r *route, queue int32) *replica.Partition {
	ctx, cancel := context.WithTimeout(ctx, f.o.Limits.ControlTime/4)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if p := f.partition(r, queue); p != nil {
			return p
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// template returns how many queues a topic created by sending to a default topic may have, 0 if none may be created so. The default topics of
// RocketMQ's clients are TBW102, and by configuration the name of the cluster or of a broker; none of them exists here as a topic.
func (f *Front) template(name string) int {
	switch {
	case f.o.NoAutoCreate:
		return 0
	case name == templateTopic:
		return f.o.DefaultQueues
	case name == f.o.ClusterName:
		return clusterQueues
	case name == f.o.BrokerName:
		return 1
	}
	return 0
}

// clusterQueues is the number of queues of the topic that RocketMQ has under the cluster's name.
const clusterQueues = 16

// queuesOf says with how many queues the topic of a message is to be created, 0 if it is not to be.
func (f *Front) queuesOf(topic, defaultTopic string, wanted int32) int {
	if n := f.template(defaultTopic); n > 0 {
		if n = min(n, int(wanted)); n > 0 {
			return n
		}
	}
	if strings.HasPrefix(topic, retryPrefix) {
		return 1
	}
	return 0
}
