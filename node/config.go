package node

import (
	"log/slog"
	"slices"
	"strings"
	"time"

	"penstock"
	"penstock/meta"
)

// Config is what a node is told. Load makes it; every field has a key of the same meaning in Keys.
type Config struct {
	Data         string // data directory
	KafkaListen  string // host:port
	HTTPListen   string // host:port
	Advertise    string // host or host:port; empty: where it listens
	Insecure     bool   // listen on addresses that others can reach, without authentication
	Broker       penstock.BrokerID
	Rack         string
	AutoCreate   bool
	Partitions   int               // of a topic whose creator leaves it open
	TopicDefault map[string]string // broker-wide defaults of topic configuration, by the topics' names of them

	RequestMemory int64 // bytes of all requests together
	RequestBytes  int   // largest request
	FetchBytes    int64
	FetchWait     time.Duration
	FetchSessions int
	Conns         int
	ConnsPerIP    int // 0: no limit
	InFlight      int
	FirstByte     time.Duration
	FrameTime     time.Duration
	WriteTime     time.Duration
	Idle          time.Duration
	CopyBelow     int64 // 0: what was measured

	CheckpointEvery time.Duration
	RetentionEvery  time.Duration
	ScrubRate       int64 // bytes a second
	IndexCache      int64
	ProducerExpiry  time.Duration

	StopTime    time.Duration // for answers under way, at a stop
	MemoryLimit int64         // 0: from the machine or its control group
	MetricTopic int           // topics with series of their own
	LogLevel    slog.Level
	LogFormat   string // auto, text or json
}

// Key is one configuration of a node.
type Key struct {
	Name    string
	Default string
	Doc     string
	Flag    bool // it has a flag of its own, not only --set
}

// setting is a key and how its value gets into a Config. set returns an error that says what is wanted.
type setting struct {
	Key
	set func(c *Config, v string) error
}

// FlagName is the flag of a key.
func FlagName(key string) string { return strings.ReplaceAll(key, ".", "-") }

// EnvName is the environment variable of a key.
func EnvName(key string) string {
	return envPrefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(strings.TrimPrefix(key, "penstock.")))
}

const envPrefix = "PENSTOCK_"

// Keys lists every configuration of a node, its own in the order in which they are best read, then the broker-wide
// defaults of topics by name.
func Keys() []Key {
	var out []Key
	for _, s := range settings() {
		out = append(out, s.Key)
	}
	return out
}

func settings() []setting {
	return slices.Concat(placeSettings(), limitSettings(), upkeepSettings(), topicSettings())
}

// placeSettings are about where the node is.
func placeSettings() []setting {
	return []setting{
		{Key{"data", "./data", "directory that holds everything the broker stores", true},
			text(func(c *Config) *string { return &c.Data }, "a directory")},
		{Key{"kafka.listen", "127.0.0.1:9092", "address for Kafka clients; port 0 takes a free one", true},
			address(func(c *Config) *string { return &c.KafkaListen })},
		{Key{"http.listen", "127.0.0.1:8080", "address for metrics, health and administration; port 0 takes a free one", true},
			address(func(c *Config) *string { return &c.HTTPListen })},
		{Key{"advertise", "", "host or host:port that Kafka clients are told to connect to; default: the listener's address", true},
			advertised},
		{Key{"insecure", "false", "allow addresses that others can reach although nobody has to authenticate", true},
			boolean(func(c *Config) *bool { return &c.Insecure })},
		{Key{"broker.id", "0", "number of this broker", true}, brokerID},
		{Key{"broker.rack", "", "rack that this broker stands in, told to clients", true},
			anyText(func(c *Config) *string { return &c.Rack })},
		{Key{"auto.create.topics", "true", "create a topic when a client asks for metadata of one that does not exist", true},
			boolean(func(c *Config) *bool { return &c.AutoCreate })},
		{Key{"default.partitions", "1", "partitions of a topic whose creator does not say", true},
			number(1, meta.MaxPartitions, func(c *Config) *int { return &c.Partitions })},
		{Key{"logs.level", "info", "what is logged: debug, info, warn or error", true}, logLevel},
		{Key{"logs.format", "auto", "auto, text or json; auto is text on a terminal", true},
			oneOf(func(c *Config) *string { return &c.LogFormat }, "auto", "text", "json")},
	}
}

// limitSettings are about what clients may take.
func limitSettings() []setting {
	return []setting{
		{Key{"request.memory", "256MiB", "memory of all requests together; reading waits when it is used up", false},
			size(1<<20, func(c *Config) *int64 { return &c.RequestMemory })},
		{Key{"request.max.bytes", "100MiB", "largest request", false}, requestBytes},
		{Key{"fetch.max.bytes", "55MiB", "most stored bytes of one answer to a fetch, one batch aside", false},
			size(1, func(c *Config) *int64 { return &c.FetchBytes })},
		{Key{"fetch.max.wait", "5m", "longest time that a fetch waits for data", false},
			duration(time.Millisecond, func(c *Config) *time.Duration { return &c.FetchWait })},
		{Key{"fetch.sessions", "1000", "incremental fetch sessions kept", false},
			number(1, 1_000_000, func(c *Config) *int { return &c.FetchSessions })},
		{Key{"connections.max", "100000", "connections on the Kafka listener", false},
			number(1, 10_000_000, func(c *Config) *int { return &c.Conns })},
		{Key{"connections.max.per.ip", "0", "connections from one address; 0 is no limit", false},
			number(0, 10_000_000, func(c *Config) *int { return &c.ConnsPerIP })},
		{Key{"connections.in.flight", "256", "requests of one connection that are not yet answered", false},
			number(1, 1_000_000, func(c *Config) *int { return &c.InFlight })},
		{Key{"timeout.first.byte", "10s", "from a connection to its first byte", false},
			duration(time.Millisecond, func(c *Config) *time.Duration { return &c.FirstByte })},
		{Key{"timeout.frame", "30s", "without progress inside a request", false},
			duration(time.Millisecond, func(c *Config) *time.Duration { return &c.FrameTime })},
		{Key{"timeout.write", "30s", "without progress of an answer", false},
			duration(time.Millisecond, func(c *Config) *time.Duration { return &c.WriteTime })},
		{Key{"timeout.idle", "10m", "between requests", false},
			duration(time.Millisecond, func(c *Config) *time.Duration { return &c.Idle })},
		{Key{"copy.below", "0", "answers with less payload are copied on purpose; 0 takes the size that was measured, 1 never copies", false},
			size(0, func(c *Config) *int64 { return &c.CopyBelow })},
	}
}

// upkeepSettings are about what the node does by itself.
func upkeepSettings() []setting {
	return []setting{
		{Key{"checkpoint.interval", "60s", "between two times that recovery points are noted", false},
			duration(time.Second, func(c *Config) *time.Duration { return &c.CheckpointEvery })},
		{Key{"retention.interval", "5m", "between two times that old data is deleted", false},
			duration(time.Second, func(c *Config) *time.Duration { return &c.RetentionEvery })},
		{Key{"scrub.rate", "32MiB", "bytes a second that are checked in the background after an unclean stop; 0 turns it off", false},
			size(0, func(c *Config) *int64 { return &c.ScrubRate })},
		{Key{"index.cache", "64MiB", "memory for index entries of sealed segments", false},
			size(1<<20, func(c *Config) *int64 { return &c.IndexCache })},
		{Key{"producer.expiry", "24h", "silence after which an idempotent producer is forgotten", false},
			duration(time.Second, func(c *Config) *time.Duration { return &c.ProducerExpiry })},
		{Key{"stop.time", "10s", "for answers under way at a stop", false},
			duration(0, func(c *Config) *time.Duration { return &c.StopTime })},
		{Key{"memory.limit", "0", "soft limit of the program's memory; 0 takes a part of what the machine or its control group has", false},
			size(0, func(c *Config) *int64 { return &c.MemoryLimit })},
		{Key{"metrics.topics", "1000", "topics that have metrics of their own; the rest are added up", false},
			number(0, 1_000_000, func(c *Config) *int { return &c.MetricTopic })},
	}
}

// topicSettings are the broker-wide defaults of topic configuration, by Kafka's names.
func topicSettings() []setting {
	var out []setting
	for _, k := range meta.Catalog() {
		if k.Broker == "" {
			continue
		}
		out = append(out, setting{
			Key{k.Broker, k.Default, "default of the topics' " + k.Name + ". " + k.Doc, false},
			func(c *Config, v string) error { c.TopicDefault[k.Name] = v; return nil },
		})
	}
	slices.SortFunc(out, func(a, b setting) int { return strings.Compare(a.Name, b.Name) })
	return out
}
