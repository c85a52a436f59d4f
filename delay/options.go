package delay

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"penstock"
	"penstock/meta"
	"penstock/metric"
	"penstock/replica"
)

// Topic is RocketMQ's topic of delayed messages.
const Topic = "SCHEDULE_TOPIC_XXXX"

// Group is RocketMQ's name under which it is noted how far the levels are delivered.
const Group = "CID_RMQ_SYS_SCHEDULE"

// halfTopic is where RocketMQ keeps messages of transactions under way: nothing may be delivered there.
const halfTopic = "RMQ_SYS_TRANS_HALF_TOPIC"

// Topics is the cluster's truth as the scheduler needs it. meta.Store is the real one. It is an interface because the control plane can fail: tests
// make it do so.
type Topics interface {
	// Image is the newest image; see meta.Store.
	Image() *meta.Image
	// Subscribe calls f with every new image, first with the present one.
	Subscribe(f func(old, new *meta.Image))
	// CreateTopic creates a topic, or with check only says whether it could.
	CreateTopic(ctx context.Context, n meta.NewTopic, check bool) (*meta.Topic, error)
	// AddPartitions raises the number of a topic's partitions, or with check only says whether it could.
	AddPartitions(ctx context.Context, id penstock.TopicID, count int, check bool) error
}

var _ Topics = (*meta.Store)(nil)

// Partitions finds the partitions that this node leads. replica.Replicas is the real one. It is called concurrently.
type Partitions interface {
	// Partition returns the partition, nil if it is not led here. It is cheap.
	Partition(id penstock.PartitionID) *replica.Partition
	// Ready waits until a topic's partitions are open, or have said why not.
	Ready(ctx context.Context, id penstock.TopicID) error
}

var _ Partitions = (*replica.Replicas)(nil)

// Progress keeps how far the queues of a topic are delivered. group.Coordinator is the real one.
type Progress interface {
	// LoadProgress returns what was saved, by queue; those of which nothing was are left out. It may wait.
	LoadProgress(ctx context.Context, group, topic string, id penstock.TopicID) (map[int32]penstock.Offset, error)
	// SaveProgress makes it durable and calls answer once, from any goroutine, possibly before it returns. It does not wait, and keeps
	// nothing of at.
	SaveProgress(group, topic string, id penstock.TopicID, at map[int32]penstock.Offset, answer func(error))
}

// Options configures a Scheduler. Topics, Partitions and Progress are demanded; the zero value of everything else gives the default named.
type Options struct {
	Broker     penstock.BrokerID // this node
	Topics     Topics
	Partitions Partitions
	Progress   Progress
	Now        func() time.Time // default time.Now
	Logger     *slog.Logger     // default: discard
	Metrics    *metric.Registry // default: nobody reads them

	// Levels are the delays of the levels, from 1 on; default DefaultLevels. More may be given later; a message waits as long as its level says when
	// it is looked at.
	Levels []time.Duration
	// Layout of the topic when it is made; default the commit layout, as RocketMQ has it.
	Layout *penstock.Layout
	// SaveEvery is the least time between two notes of how far levels are delivered; default 200 ms. What was delivered within it is delivered
	// again after a crash. RocketMQ: 10 s.
	SaveEvery time.Duration
	// GiveUp is how long after its time a message is kept whose topic is gone; default 72 h, as long as RocketMQ keeps any message.
	GiveUp time.Duration
	// TrimEvery is the time between two moves of a queue's start behind what is delivered, so that its files go; default 10 min.
	TrimEvery time.Duration
	// Ahead is how many deliveries of a level may be on their way to the disk; default 256. AheadBytes of them together; default 4 MiB.
	Ahead      int
	AheadBytes int64
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = metric.NewRegistry()
	}
	if len(o.Levels) == 0 {
		o.Levels, _ = ParseLevels(DefaultLevels) // it is right: a test looks
	}
	if o.Layout == nil {
		l := penstock.LayoutCommit
		o.Layout = &l
	}
	o.SaveEvery = cmp.Or(o.SaveEvery, 200*time.Millisecond)
	o.GiveUp = cmp.Or(o.GiveUp, 72*time.Hour)
	o.TrimEvery = cmp.Or(o.TrimEvery, 10*time.Minute)
	o.Ahead = cmp.Or(o.Ahead, 256)
	o.AheadBytes = cmp.Or(o.AheadBytes, 4<<20)
	return o
}

// topicConfigs are the settings of the topic: nothing is deleted by age, for what was not delivered is still wanted; what is
// accepted is on disk; and the broker's clock is in each message, in the order of the queue.
func topicConfigs() map[string]string {
	return map[string]string{
		"retention.ms": "-1", "retention.bytes": "-1", "message.timestamp.type": "LogAppendTime", "max.message.bytes": "16777216",
		"penstock.durability": "fsync",
	}
}

// figures are this room's metrics.
type figures struct {
	delivered, putOff, discarded, damaged *metric.Counter
}

func newFigures(s *Scheduler) figures {
	r := s.o.Metrics
	r.Func(metric.Desc{Name: "delay_pending", Help: "Delayed messages that are not delivered yet."}, metric.KindGauge, s.pending)
	return figures{
		delivered: r.Counter(metric.Desc{Name: "delay_delivered_total", Help: "Delayed messages delivered to their topic."}),
		putOff:    r.Counter(metric.Desc{Name: "delay_put_off_total", Help: "Times that a delayed message was put off because its topic is gone or cannot take it."}),
		discarded: r.Counter(metric.Desc{Name: "delay_discarded_total", Help: "Delayed messages given up because their topic was gone for too long, or because they name none."}),
		damaged:   r.Counter(metric.Desc{Name: "delay_damaged_total", Help: "Delayed messages that were passed over because they are damaged on the disk."}),
	}
}
