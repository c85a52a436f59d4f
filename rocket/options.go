package rocket

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"penstock"
	"penstock/group"
	"penstock/meta"
	"penstock/metric"
	"penstock/replica"
)

// Topics is the cluster's truth as the front needs it. meta.Store is the real one. It is an interface because it is where the control plane
// can fail: tests make it do so.
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
}

// Partitions finds the partitions that this node leads. It is called concurrently and must be cheap.
type Partitions interface {
	// Partition returns the partition, nil if it is not led here.
	Partition(id penstock.PartitionID) *replica.Partition
}

// Groups is where it is kept how far consumer groups have read. group.Coordinator is the real one.
type Groups interface {
	// Ready makes the journal if there is none, and returns when what is led of it here is loaded.
	Ready(ctx context.Context) error
	// Noted is how far a group has read: what was noted last, or else what is committed. ok is false where nothing is.
	Noted(name, topic string, partition int32) (at penstock.Offset, ok bool, err error)
	// Note takes how far a group has read; it is shown at once and committed soon.
	Note(name, topic string, id penstock.TopicID, partition int32, at penstock.Offset) error
}

// Roster knows RocketMQ's clients by their heartbeats, and the queues that they have locked. group.Roster is the real one.
type Roster interface {
	// Beat takes a heartbeat; changed reports that the client must tell what it left out.
	Beat(b *group.Beat) (changed bool, err error)
	// Unregister takes a client out of a group of producers and one of consumers; either may be empty.
	Unregister(link group.Link, producer, consumer string, quiet bool)
	// Closed forgets a connection that has ended.
	Closed(link group.Link)
	// Consumers describes a group of consumers; ok is false if it has no members. ClientIDs are those of its members, each once.
	Consumers(name string) (c group.Crew, ok bool)
	ClientIDs(name string) []string
	// Subscription is what a group reads of a topic. ok is false if no member reads it.
	Subscription(name, topic string) (s group.Subscription, ok bool)
	Locks
}

// Locks are the queues that members of groups have locked.
type Locks interface {
	// Lock locks queues for a client, and returns those that it holds now.
	Lock(name, clientID string, queues []group.Queue) (held []group.Queue, err error)
	// Unlock gives up the queues that the client holds.
	Unlock(name, clientID string, queues []group.Queue)
	// Locked reports whether a member of the group holds a queue: it then consumes in order.
	Locked(name string) bool
}

// Delay delivers what lies in the topic of delayed messages when its time has come.
type Delay interface {
	// Levels is the number of levels. A message of level n, from 1 on, lies in queue n-1.
	Levels() int
	// Ready makes the topic of delayed messages if it does not exist, and returns when its queues can be written to.
	Ready(ctx context.Context) error
}

// Values keeps the pairs of keys and values that a name server keeps for its clients, by namespace. The order of queues of ordered topics is one
// of its uses.
type Values interface {
	// Values are the pairs of a namespace. They must not be changed.
	Values(namespace string) map[string]string
	// SetValue sets a pair, durably; with a nil value it deletes it.
	SetValue(ctx context.Context, namespace, key string, value *string) error
}

// Options configures a Front. Topics and Partitions are demanded; the zero value of everything else gives the default named.
type Options struct {
	Broker      penstock.BrokerID // this node
	BrokerName  string            // as routes tell it; default broker-a
	ClusterName string            // default DefaultCluster
	// Advertised is where clients reach the broker of this node, and the host that is written into messages. It is a function because the port
	// may be known only once the listener is open.
	Advertised func() (host string, port int32)

	Topics     Topics
	Partitions Partitions
	Groups     Groups // how far consumer groups have read; without it their requests are not served
	Roster     Roster // who is connected; without it heartbeats and locks are not served, and a pull without a subscription of its own is refused
	Delay      Delay  // delayed messages; without it a message with a delay is refused
	Values     Values // of the name server; without it the requests for them are not served

	// Locate finds a message by the position written into it; without it messages are not found by their offset id.
	Locate func(at penstock.Position) (penstock.PartitionID, penstock.Offset, error)
	// FindKey finds messages by key; see store.Finder. Without it they are not found so.
	FindKey func(topic penstock.TopicID, key string, from, to penstock.Timestamp, limit int, visit func(penstock.PartitionID, penstock.Offset) bool) error

	Admin         Admin               // what administrators ask for
	Memory        int64               // bytes of the machine, which say how much of what was stored lies in it; default 8 GiB
	NoAutoCreate  bool                // a message sent to an unknown topic does not create it
	DefaultQueues int                 // of a topic whose creator leaves it open, and at most of one created by sending; default 8
	Layout        penstock.Layout     // of topics created here
	Account       *metric.CopyAccount // payload bytes out; nil means that nobody reads them
	Metrics       *metric.Registry    // requests by code and payload bytes in; nil means that nobody reads them
	Requests      func(Answered)      // told of each request just before its answer; it must be quick. nil: nobody is
	Now           func() time.Time    // default time.Now
	Logger        *slog.Logger        // default: discard
	Limits        Limits
}

// Limits bound what a client can make the front hold. The zero value of each gives its default.
type Limits struct {
	MessageBytes int           // largest body of a message, or of a batch of them; default 4 MiB, as RocketMQ's maxMessageSize
	PullBytes    int64         // most stored bytes of one answer, one message aside; default 12 MiB: clients take no frame over 16 MiB
	PullCount    int           // most messages of one answer; default 1024
	PullScan     int           // entries of a queue looked at by one pull, those passed over included; default 16384
	MaxWait      time.Duration // longest long poll; default 5 min
	ControlTime  time.Duration // one change of metadata; default 30 s
}

// withDefaults fills what is zero.
func (l Limits) withDefaults() Limits {
	l.MessageBytes = cmp.Or(l.MessageBytes, 4<<20)
	l.PullBytes = cmp.Or(l.PullBytes, 12<<20)
	l.PullCount = cmp.Or(l.PullCount, 1024)
	l.PullScan = cmp.Or(l.PullScan, 16384)
	l.MaxWait = cmp.Or(l.MaxWait, 5*time.Minute)
	l.ControlTime = cmp.Or(l.ControlTime, 30*time.Second)
	return l
}

// withDefaults fills what is zero.
func (o Options) withDefaults() Options {
	o.BrokerName = cmp.Or(o.BrokerName, "broker-a")
	o.ClusterName = cmp.Or(o.ClusterName, "DefaultCluster")
	o.DefaultQueues = cmp.Or(o.DefaultQueues, 8)
	o.Memory = cmp.Or(o.Memory, 8<<30)
	if o.Advertised == nil {
		o.Advertised = func() (string, int32) { return "127.0.0.1", 10911 }
	}
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
