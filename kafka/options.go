package kafka

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"time"

	"penstock"
	"penstock/group"
	"penstock/meta"
	"penstock/metric"
	"penstock/replica"
)

// Topics is the cluster's truth as the front needs it. meta.Store is the real one. It is an interface because it is
// where the control plane can fail: tests make it do so.
type Topics interface {
	// Image is the newest image; see meta.Store.
	Image() *meta.Image
	// Subscribe calls f with every new image, first with the present one.
	Subscribe(f func(old, new *meta.Image))
	// CreateTopic creates a topic, or with check only says whether it could.
	CreateTopic(ctx context.Context, n meta.NewTopic, check bool) (*meta.Topic, error)
	// DeleteTopic deletes a topic.
	DeleteTopic(ctx context.Context, id penstock.TopicID) error
	// AddPartitions raises the number of a topic's partitions, or with check only says whether it could.
	AddPartitions(ctx context.Context, id penstock.TopicID, count int, check bool) error
	// SetConfigs replaces a topic's explicit configuration by what f makes of it.
	SetConfigs(ctx context.Context, id penstock.TopicID, f func(map[string]string) (map[string]string, error)) error
	// SetBrokerConfigs replaces what is set for brokers while they run by what f makes of it.
	SetBrokerConfigs(ctx context.Context, scope string, f func(map[string]string) (map[string]string, error)) error
	// ProducerIDs takes the next block of n producer ids.
	ProducerIDs(ctx context.Context, n int) (penstock.ProducerID, error)
}

// Partitions finds the partitions that this node leads. It is called concurrently and must be cheap.
type Partitions interface {
	// Partition returns the partition, nil if it is not led here.
	Partition(id penstock.PartitionID) *replica.Partition
}

// Options configures a Front. Topics and Partitions are demanded; the zero value of everything else gives the default named.
type Options struct {
	Listener string            // label of the listener in metrics, and its key in meta.Broker.Endpoints
	Broker   penstock.BrokerID // this node
	// Advertised is what clients are told to connect to for this node; nil means what the cluster's image says. It is a
	// function because the port may be known only once the listener is open.
	Advertised func() (host string, port int32)

	// StoreHost is written into messages as the host that stored them, at which RocketMQ's clients look for them; nil means nowhere. Where it has a
	// port and no address, that is the address at which the Kafka client reached this broker.
	StoreHost func() netip.AddrPort

	Topics     Topics
	Partitions Partitions
	Groups     *group.Coordinator // of consumer groups; without it their APIs are not served
	LogDir     *LogDir            // the data directory; without it DescribeLogDirs is not served

	AutoCreate        bool                                // a Metadata request for an unknown topic creates it, if the client allows it
	KeepTopics        bool                                // clients may not delete topics
	DefaultPartitions int                                 // of a topic whose creator leaves it open; default 1
	Layouts           map[penstock.Format]penstock.Layout // of topics whose creator does not say; what is missing is the segment layout
	TopicDefaults     map[string]string                   // broker-wide defaults of topic configuration, by catalogue key
	BrokerConfigs     map[string]string                   // what DescribeConfigs shows of this broker besides, by Kafka's names
	BrokerKeys        map[string]BrokerKey                // what there is to tell of these, and of others that count from the start on
	Account           *metric.CopyAccount                 // payload bytes out; nil means that nobody reads them
	Metrics           *metric.Registry                    // requests by API and payload bytes in; nil means that nobody reads them
	Requests          func(Answered)                      // told of each request just before its answer; it must be quick. nil: nobody is
	Now               func() time.Time                    // default time.Now
	Logger            *slog.Logger                        // default: discard
	LogLevel          *slog.LevelVar                      // of the log, which clients may alter; nil means that they cannot
	Limits            Limits
}

// Limits bound what a client can make the front hold. The zero value of each gives its default.
type Limits struct {
	ProduceBytes      int           // largest Produce request; default 100 MiB, as Kafka's socket.request.max.bytes
	FetchBytes        int64         // most stored bytes of one fetch, one batch aside; default 55 MiB, as Kafka's fetch.max.bytes
	ConvertBytes      int           // most bytes that one batch or one answer may become in the other format; default 16 MiB
	MaxWait           time.Duration // longest long poll; default 5 min
	FetchSessions     int           // incremental fetch sessions kept; default 1,000
	SessionPartitions int           // partitions remembered by all fetch sessions together; default 1,000,000
	SessionIdle       time.Duration // an unused or young session is not evicted for a newcomer before this; default 2 min
	ControlTime       time.Duration // one change of metadata; default 30 s
	AutoCreateTopics  int           // topics that one Metadata request may create; default 100
}

// Frame limits of the requests that carry no payload, by what they may reasonably hold.
const (
	tinyFrame  = 4 << 10   // one client's name and version, one producer id
	smallFrame = 64 << 10  // a question about a few things
	wideFrame  = 1 << 20   // lists of topics and partitions
	fetchFrame = 4 << 20   // a full fetch of 100,000 partitions
	produceMax = 100 << 20 // default of Limits.ProduceBytes
)

// withDefaults fills what is zero.
func (l Limits) withDefaults() Limits {
	l.ProduceBytes = cmp.Or(l.ProduceBytes, produceMax)
	l.FetchBytes = cmp.Or(l.FetchBytes, 55<<20)
	l.ConvertBytes = cmp.Or(l.ConvertBytes, 16<<20)
	l.MaxWait = cmp.Or(l.MaxWait, 5*time.Minute)
	l.FetchSessions = cmp.Or(l.FetchSessions, 1000)
	l.SessionPartitions = cmp.Or(l.SessionPartitions, 1_000_000)
	l.SessionIdle = cmp.Or(l.SessionIdle, 2*time.Minute)
	l.ControlTime = cmp.Or(l.ControlTime, 30*time.Second)
	l.AutoCreateTopics = cmp.Or(l.AutoCreateTopics, 100)
	return l
}

// withDefaults fills what is zero.
func (o Options) withDefaults() Options {
	o.DefaultPartitions = cmp.Or(o.DefaultPartitions, 1)
	if o.Account == nil {
		o.Account = metric.NewCopyAccount()
	}
	if o.Metrics == nil {
		o.Metrics = metric.NewRegistry()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Limits = o.Limits.withDefaults()
	return o
}
