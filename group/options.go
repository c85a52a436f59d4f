package group

import (
	"cmp"
	"context"
	"log/slog"
	"strconv"
	"time"

	"penstock"
	"penstock/meta"
	"penstock/metric"
	"penstock/replica"
)

// Topics is the cluster's truth as the coordinator needs it. meta.Store is the real one. It is an interface because
// the control plane can fail: tests make it do so.
type Topics interface {
	// Image is the newest image; see meta.Store.
	Image() *meta.Image
	// Subscribe calls f with every new image, first with the present one.
	Subscribe(f func(old, new *meta.Image))
	// CreateTopic creates a topic, or with check only says whether it could.
	CreateTopic(ctx context.Context, n meta.NewTopic, check bool) (*meta.Topic, error)
	// SetConfigs replaces a topic's explicit configuration.
	SetConfigs(ctx context.Context, id penstock.TopicID, f func(map[string]string) (map[string]string, error)) error
}

var _ Topics = (*meta.Store)(nil)

// Partitions finds the partitions that this node leads. It is called concurrently and must be cheap.
type Partitions interface {
	// Partition returns the partition, nil if it is not led here.
	Partition(id penstock.PartitionID) *replica.Partition
}

var _ Partitions = (*replica.Replicas)(nil)

// Options configures a Coordinator. Topics and Partitions are demanded; the zero value of everything else gives the
// default named.
type Options struct {
	Broker     penstock.BrokerID // this node
	Topics     Topics
	Partitions Partitions
	Now        func() time.Time // default time.Now; it must not go back
	Logger     *slog.Logger     // default: discard
	Metrics    *metric.Registry // default: nobody reads them
	// Roster is RocketMQ's clients, with whom a group may not be shared; default: there are none.
	Roster *Roster

	Limits Limits
	// MaxGroups bounds the groups kept in memory; default 1,000,000. Kafka has no such bound.
	MaxGroups int
	// MaxMetadata is how many bytes a client may store with an offset; default 4096, at most 32767, which is what a record
	// of the journal holds. Kafka: offset.metadata.max.bytes.
	MaxMetadata int
	// JournalPartitions is the number of partitions of the journal's topic when it is made; default 4. It cannot be changed
	// later: a group's name says its partition. Kafka: offsets.topic.num.partitions.
	JournalPartitions int
	// ShortenAbove is the size of a journal's log in bytes below which it is not shortened; default 8 MiB. Kafka has
	// compaction for it.
	ShortenAbove int64
	// Retention is how long offsets are kept after their group became empty; default 7 days. Kafka: offsets.retention.minutes.
	Retention time.Duration
	// SkipDamage loads a journal that cannot be read in places, without what these places held: offsets committed there are lost,
	// or older ones count again, so consumers read records twice or, where they begin at the end, not at all. Default false: the
	// groups of such a partition of the journal are refused with ErrDamaged until somebody decides. Kafka has no such choice: its
	// older coordinator serves what it could load, its newer one refuses.
	SkipDamage bool
	// ExpireEvery is the time between two looks for expired offsets; default 10 min. Kafka:
	// offsets.retention.check.interval.ms.
	ExpireEvery time.Duration
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
	o.Limits = o.Limits.withDefaults()
	o.MaxGroups = cmp.Or(o.MaxGroups, 1_000_000)
	o.MaxMetadata = min(cmp.Or(o.MaxMetadata, DefaultMetadata), maxText)
	o.JournalPartitions = cmp.Or(o.JournalPartitions, 4)
	o.ShortenAbove = cmp.Or(o.ShortenAbove, 8<<20)
	o.Retention = cmp.Or(o.Retention, 7*24*time.Hour)
	o.ExpireEvery = cmp.Or(o.ExpireEvery, 10*time.Minute)
	return o
}

// JournalTopic is the internal topic in which groups are stored.
const JournalTopic = "__consumer_offsets"

// Internal reports whether a topic is the broker's own: clients may read it and not write to it.
func Internal(topic string) bool { return topic == JournalTopic }

// DefaultMetadata is the default of Options.MaxMetadata.
const DefaultMetadata = 4096

const (
	// batchBytes is the size above which a batch of the journal is closed and another begun.
	batchBytes = 512 << 10
	// journalBatch is the largest batch that the journal's topic accepts. One record may be a whole generation of a
	// large group.
	journalBatch = 64 << 20
	// indexInterval is the bytes of log between two entries of its index.
	indexInterval = 4096
	// chunkOffsets is how many offsets of a group are written again under one hold of its lock.
	chunkOffsets = 2000
)

// journalConfigs are the settings that the journal's topic must have: nothing is deleted by age or size, and what is
// acknowledged is on disk.
func journalConfigs() map[string]string {
	return map[string]string{
		"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1", "segment.bytes": "16777216",
		"max.message.bytes": "67108864", "message.timestamp.type": "CreateTime", "penstock.durability": "fsync",
		"index.interval.bytes": strconv.Itoa(indexInterval),
	}
}

// figures are this room's metrics.
type figures struct {
	commits, rebalances, expired *metric.Counter
	shortened                    *metric.Counter
}

func newFigures(c *Coordinator) figures {
	r := c.o.Metrics
	r.Func(metric.Desc{Name: "groups", Help: "Consumer groups that this node coordinates."}, metric.KindGauge, func() int64 {
		n := int64(0)
		c.each(func(s *shard) { n += int64(s.len()) })
		return n
	})
	r.Func(metric.Desc{Name: "group_journals_damaged", Help: "Partitions of the group journal whose groups are refused because it is damaged."}, metric.KindGauge, func() int64 {
		n := int64(0)
		c.each(func(s *shard) {
			if s.broken.Load() != nil {
				n++
			}
		})
		return n
	})
	return figures{
		commits:    r.Counter(metric.Desc{Name: "group_commits_total", Help: "Commits of offsets that were appended to the journal."}),
		rebalances: r.Counter(metric.Desc{Name: "group_generations_total", Help: "Generations of members that were stored."}),
		expired:    r.Counter(metric.Desc{Name: "group_offsets_expired_total", Help: "Committed offsets deleted because their retention was over."}),
		shortened:  r.Counter(metric.Desc{Name: "group_journal_shortenings_total", Help: "Times that a journal was written anew to keep it short."}),
	}
}
