package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"penstock"
	"penstock/convert"
	"penstock/disk"
	"penstock/group"
	"penstock/kafka"
	"penstock/meta"
	"penstock/meta/etcd"
	"penstock/metric"
	"penstock/replica"
	"penstock/rocket"
)

// kafkaListener labels the listener of Kafka's protocol, in metrics and among a broker's endpoints.
const kafkaListener = "kafka"

const (
	metaDir = "meta" // of the metadata store, below the data directory
	// insecureEvery is how often the log says that anybody may connect.
	insecureEvery = time.Minute
	// stopHTTP is for answers of the HTTP listener under way at a stop.
	stopHTTP = time.Second
)

// Node is a running broker. All methods may be called concurrently.
//
// Each step of the start adds what undoes it to closers, and Stop undoes them last first; a start that fails is undone
// the same way. Closing the partitions closes the logs and notes that the stop was clean, so nothing before that step may.
type Node struct {
	c    Config
	log  *slog.Logger
	info Info

	began     time.Time
	listeners []*door

	disk     *disk.Disk
	engine   *etcd.Engine
	stores   *stores
	meta     *meta.Store
	replicas *replica.Replicas
	topics   *topics
	roster   *group.Roster // of RocketMQ's clients; nil if they are not served
	groups   *group.Coordinator
	front    *kafka.Front
	rocket   *rocket.Front // nil if RocketMQ's clients are not served
	admin    *admin
	account  *metric.CopyAccount
	registry *metric.Registry
	requests *requestLog // nil if requests are not logged
	health   *health

	failed chan error // capacity 1: why the node cannot go on

	// mu guards everything below.
	mu       sync.Mutex
	stopping bool
	closers  []closer // in the order of building
	stopErr  error
	stopped  chan struct{}
}

// closer undoes one step of the start.
type closer struct {
	what string
	do   func(ctx context.Context) error
}

// Info is what a node says of itself when it is ready.
type Info struct {
	Kafka            string            `json:"kafka"`                       // address it listens on
	HTTP             string            `json:"http"`                        // address it listens on
	Advertised       string            `json:"advertised"`                  // address that Kafka's clients are told
	Rocket           string            `json:"rocket,omitempty"`            // address it listens on for RocketMQ's clients; empty: they are not served
	VIP              string            `json:"rocket_vip,omitempty"`        // its twin
	NameServer       string            `json:"rocket_namesrv,omitempty"`    // address of the name server
	RocketAdvertised string            `json:"rocket_advertised,omitempty"` // address that RocketMQ's clients are told
	Data             string            `json:"data"`
	Free             int64             `json:"-"` // bytes on the data directory's disk
	Durability       string            `json:"-"` // default of topics
	ZeroCopy         ZeroCopy          `json:"-"`
	Clean            bool              `json:"-"` // the last stop was clean, or there was none
	Topics           int               `json:"-"`
	Limit            int64             `json:"-"` // soft limit of memory, 0 if it was left alone
	Took             time.Duration     `json:"-"` // to be ready
	Broker           penstock.BrokerID `json:"broker"`
	ClusterID        string            `json:"cluster"`
	PID              int               `json:"pid"`
	Insecure         bool              `json:"-"`
	Auto             bool              `json:"-"` // topics are created on demand
}

// Start builds a node and returns when it serves. On failure everything built is taken down again.
func Start(ctx context.Context, c Config, log *slog.Logger) (*Node, error) {
	began := time.Now()
	n := &Node{
		c: c, log: log, began: began, health: &health{}, account: metric.NewCopyAccount(), registry: metric.NewRegistry(),
		failed: make(chan error, 1), stopped: make(chan struct{}),
	}
	if err := n.build(ctx); err != nil {
		hurry, cancel := context.WithCancel(context.Background())
		cancel()
		_ = n.Stop(hurry) // the first error is the one to tell
		return nil, err
	}
	n.info.Took = time.Since(began)
	return n, nil
}

// later has a step undone by Stop.
func (n *Node) later(what string, do func(ctx context.Context) error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closers = append(n.closers, closer{what, do})
}

// background runs f until Stop, which waits for it.
func (n *Node) background(what string, f func(ctx context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f(ctx)
	}()
	n.later(what, func(context.Context) error {
		cancel()
		<-ended
		return nil
	})
}

// build does everything in order. The lock of the data directory comes first: nothing below it may be touched by two.
// Then the addresses, because a wrong one should be told before anything slow. HTTP answers from there on, so that who
// waits for a long recovery sees it. Clients come last, when every partition can answer them.
func (n *Node) build(ctx context.Context) error {
	n.info.Limit = limitMemory(n.c.MemoryLimit)
	n.info.Insecure, n.info.Auto, n.info.Broker = n.c.Insecure, n.c.AutoCreate, n.c.Broker
	ready := &flag{why: errors.New("starting")}
	n.health.add("started", ready.err)
	if err := n.openDisk(); err != nil {
		return err
	}
	httpLn, err := n.listen()
	if err != nil {
		return err
	}
	n.serveAdmin(httpLn)
	if err := n.openStores(ctx); err != nil {
		return err
	}
	if err := n.lead(ctx); err != nil {
		return err
	}
	if err := n.serveClients(); err != nil {
		return err
	}
	n.upkeep()
	n.writeEndpoints()
	ready.set(nil)
	// Added last, so undone first: who asks is told before connections close.
	n.later("ready", func(context.Context) error {
		ready.set(errors.New("stopping"))
		return nil
	})
	return nil
}

// flag is a check that is set by hand.
type flag struct {
	mu  sync.Mutex
	why error // guarded by mu
}

func (f *flag) set(why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.why = why
}

func (f *flag) err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.why
}

func (n *Node) openDisk() error {
	root, err := filepath.Abs(n.c.Data)
	if err != nil {
		return fmt.Errorf("data directory %s: %w", n.c.Data, err)
	}
	d, err := disk.Open(root, disk.Options{
		Logger: n.log, SyncParallel: n.c.SyncParallel, SyncAllFrom: orNever(n.c.SyncAllFrom),
		JournalBytes: orNever(n.c.JournalBytes), JournalFrom: n.c.JournalFrom, OpenFiles: n.c.OpenFiles, StallWarning: n.c.StallWarning,
		Space: n.c.inner.space,
	})
	if err != nil {
		return dataError(root, err)
	}
	n.disk, n.info.Data = d, root
	n.later("data directory", func(context.Context) error { return d.Close() })
	n.health.add("data directory", d.Err)
	if sp, err := d.Space(); err == nil {
		n.info.Free = sp.Free
	}
	return nil
}

// orNever turns a configuration of 0, which is never or none, into what a room's options take for that.
func orNever[T int | int64 | time.Duration](v T) T {
	if v == 0 {
		return -1
	}
	return v
}

// openStores opens metadata and logs, and tries zero copy meanwhile: each waits for the disk most of the time.
func (n *Node) openStores(ctx context.Context) error {
	var wg sync.WaitGroup
	var engineErr, storeErr error
	wg.Go(func() {
		n.engine, engineErr = etcd.Open(ctx, etcd.Options{Dir: filepath.Join(n.info.Data, metaDir), Start: n.c.MetadataTime, Logger: n.log})
	})
	wg.Go(func() {
		n.stores, storeErr = newStores(n.disk, &n.c, n.log)
	})
	wg.Go(func() { n.info.ZeroCopy = probeZeroCopy(n.disk, n.info.Data) })
	wg.Wait()
	if n.engine != nil {
		n.later("metadata engine", func(context.Context) error { return n.engine.Close() })
		n.health.add("metadata", n.engine.Err)
	}
	// The logs are closed with the partitions, and by nobody before: closing them says that the stop was clean, which is not
	// true of a start that failed before it raised the epochs.
	if err := errors.Join(engineErr, storeErr); err != nil {
		return fmt.Errorf("data directory %s: %w", n.info.Data, err)
	}
	s, err := meta.Open(ctx, meta.Options{Engine: n.engine, Broker: n.c.Broker, Defaults: n.c.TopicDefault, Logger: n.log})
	if err != nil {
		return fmt.Errorf("metadata in %s: %w", filepath.Join(n.info.Data, metaDir), err)
	}
	n.meta, n.info.ClusterID = s, s.Image().ClusterID
	n.later("metadata", func(context.Context) error { return s.Close() })
	n.info.Durability = s.Image().Defaults.Durability.String()
	return nil
}

// lead brings up the partitions that this node leads, and makes itself known. Replicas subscribe before the front: when
// the front hears of a topic its partitions are on their way, and a change is answered when they are there.
func (n *Node) lead(ctx context.Context) error {
	n.info.Clean = n.stores.clean() || n.meta.Image().Len() == 0
	if !n.info.Clean {
		// A tail may be cut: who read it must notice by the epoch (KIP-320).
		if err := n.meta.Elect(ctx, n.c.Broker); err != nil {
			return fmt.Errorf("after an unclean stop: %w", err)
		}
	}
	n.replicas = replica.New(replica.Options{
		Broker: n.c.Broker, Stores: n.stores.forReplicas(),
		Logger: n.log, Registry: n.registry, Sequences: convert.Sequences,
		Workers: n.c.OpenParallel, RetentionEvery: n.c.RetentionEvery, CheckpointEvery: n.c.CheckpointEvery,
		ProducerExpiry: n.c.ProducerExpiry, MaxProducers: n.c.Producers,
	})
	n.later("partitions", func(context.Context) error { return n.replicas.Close() })
	n.meta.Subscribe(n.replicas.Follow)
	seen := &topics{n.meta, n.replicas}
	n.topics, n.roster = seen, n.newRoster()
	n.groups = group.New(group.Options{
		Broker: n.c.Broker, Topics: seen, Partitions: n.replicas, Roster: n.roster, Logger: n.log, Metrics: n.registry,
		Limits: group.Limits{
			MinSession: n.c.SessionMin, MaxSession: n.c.SessionMax, InitialDelay: orNever(n.c.GroupDelay), MaxMembers: n.c.GroupMembers,
		},
		MaxGroups: n.c.Groups, MaxMetadata: n.c.OffsetsText, JournalPartitions: n.c.OffsetsParts, ShortenAbove: n.c.OffsetsShort,
		SkipDamage: n.c.OffsetsSkip, Retention: n.c.OffsetsKept, ExpireEvery: n.c.OffsetsEvery,
	})
	n.later("groups", func(context.Context) error {
		n.groups.Close()
		return nil
	})
	endpoints := map[string]string{kafkaListener: n.info.Advertised}
	if n.info.RocketAdvertised != "" {
		endpoints[rocketListener] = n.info.RocketAdvertised
	}
	if _, err := n.meta.Register(ctx, meta.Broker{ID: n.c.Broker, Rack: n.c.Rack, Endpoints: endpoints}); err != nil {
		return err
	}
	n.requests = newRequestLog(&n.c, n.log)
	n.leadKafka()
	n.leadRocket()
	n.info.Topics = n.meta.Image().Len()
	return nil
}

// leadKafka builds what serves Kafka's clients.
func (n *Node) leadKafka() {
	host, digits, _ := net.SplitHostPort(n.info.Advertised)
	port, _ := strconv.ParseUint(digits, 10, 16)
	n.front = kafka.New(kafka.Options{
		Listener: kafkaListener, Broker: n.c.Broker,
		Advertised: func() (string, int32) { return host, int32(port) },
		Topics:     n.topics, Partitions: n.replicas, Groups: n.groups, LogDir: n.logDir(), StoreHost: n.storeHost,
		Layouts:    map[penstock.Format]penstock.Layout{penstock.FormatRecord: n.c.KafkaLayout, penstock.FormatMessage: n.c.Rocket.Layout},
		AutoCreate: n.c.AutoCreate, KeepTopics: !n.c.DeleteTopics, DefaultPartitions: n.c.Partitions, TopicDefaults: n.c.TopicDefault,
		Requests:      n.requests.ofKafka(),
		BrokerConfigs: n.brokerConfigs(), BrokerKeys: brokerKeys(), LogLevel: n.c.Level, Account: n.account, Metrics: n.registry, Logger: n.log,
		Limits: kafka.Limits{
			ProduceBytes: n.c.RequestBytes, FetchBytes: n.c.FetchBytes, MaxWait: n.c.FetchWait, FetchSessions: n.c.FetchSessions,
			SessionPartitions: n.c.SessionParts, SessionIdle: n.c.SessionIdle, ControlTime: n.c.ControlTime, AutoCreateTopics: n.c.AutoCreateMax,
		},
	})
}

// logDir is the data directory as Kafka's clients are told of it.
func (n *Node) logDir() *kafka.LogDir {
	return &kafka.LogDir{Path: n.info.Data, Err: n.disk.Err, Space: func() (total, usable int64, err error) {
		sp, err := n.disk.Space()
		return sp.Total, sp.Free, err
	}}
}

// serveAdmin begins to answer HTTP, as soon as there is anything to say: a start may take long.
func (n *Node) serveAdmin(ln net.Listener) {
	host, _, _ := net.SplitHostPort(n.info.HTTP)
	n.admin = newAdmin(n.health, n.account, serveProfiles(n.c.Profiles, host), n.log)
	go n.admin.serve(ln)
	n.later("HTTP clients", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, stopHTTP)
		defer cancel()
		return n.admin.stop(ctx)
	})
}

// fail tells whoever waits on Failed.
func (n *Node) fail(err error) {
	select {
	case n.failed <- err:
	default: // the first says it
	}
}

// Failed receives the error when the node cannot go on.
func (n *Node) Failed() <-chan error { return n.failed }

// Info tells what is worth telling of the node.
func (n *Node) Info() Info { return n.info }

// Stop takes the node down: it stops accepting, lets answers under way leave until stop.time or ctx ends, makes the logs durable and
// closes everything. Calls after the first wait for it and return the same.
func (n *Node) Stop(ctx context.Context) error {
	n.mu.Lock()
	if n.stopping {
		n.mu.Unlock()
		<-n.stopped
		return n.stopErr
	}
	n.stopping = true
	closers := n.closers
	n.mu.Unlock()
	var errs []error
	for i := len(closers) - 1; i >= 0; i-- {
		began := time.Now()
		err := closers[i].do(ctx)
		n.log.Debug("stopped", "what", closers[i].what, "took", time.Since(began), "error", err)
		if err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", closers[i].what, err))
		}
	}
	n.stopErr = errors.Join(errs...)
	close(n.stopped)
	return n.stopErr
}
