package node

import (
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"penstock"
	"penstock/disk"
	"penstock/meta"
	"penstock/producer"
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
	Partitions   int // of a topic whose creator leaves it open
	Rocket       RocketConfig
	KafkaLayout  penstock.Layout   // of topics in Kafka's format whose creator leaves it open
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

	SessionMin   time.Duration // of a group's member
	SessionMax   time.Duration
	GroupDelay   time.Duration // that an empty group waits for more members; 0: none
	GroupMembers int           // 0: no limit
	Groups       int           // kept in memory
	OffsetsKept  time.Duration // after their group became empty
	OffsetsEvery time.Duration // between two looks for old offsets
	OffsetsParts int           // partitions of the journal of groups when it is made
	OffsetsText  int           // bytes that a client may store with an offset
	OffsetsShort int64         // bytes of a journal's log below which it is not shortened
	OffsetsSkip  bool          // damaged places of the journal of groups are passed over

	SessionParts  int           // partitions that all fetch sessions remember together
	SessionIdle   time.Duration // a fetch session is kept for at least
	ControlTime   time.Duration // one change of metadata
	AutoCreateMax int           // topics that one request may create unasked
	DeleteTopics  bool

	SyncParallel int   // files synced at once; 0: as many as there are processors
	SyncAllFrom  int   // logs from which one sync of the file system replaces one of each; 0: never
	JournalBytes int64 // of each of the two files of the journal; 0: no journal
	JournalFrom  int   // logs waiting from which it is used
	OpenFiles    int   // sealed files kept open
	OpenParallel int   // partitions opened at once
	CommitFile   int64 // size of a file of the log that many partitions share
	Commit       CommitConfig
	ZeroAhead    int64 // bytes of zeros written ahead; 0: none
	StallWarning time.Duration
	MetadataTime time.Duration // for the metadata store to start
	Producers    int           // idempotent producers remembered for each partition

	StopTime      time.Duration // for answers under way, at a stop
	MemoryLimit   int64         // 0: from the machine or its control group
	MetricTopic   int           // topics with series of their own
	MetricParts   int           // partitions with series of their own
	MetricGroup   int           // committed offsets with series of their own
	MetricLooks   int           // of these, those whose lag is told in bytes and seconds too
	MetricNames   string        // jmx, or also newer
	Profiles      string        // auto, on or off
	LogLevel      slog.Level
	Level         *slog.LevelVar // of the log that Start is given, for who alters it while the node runs; may be nil
	LogFormat     string         // auto, text or json
	Requests      string         // whose requests are logged: off, slow or all
	RequestsSlow  time.Duration  // what slow means
	RequestsEvery int            // of all, one in so many is logged

	inner inner
}

// inner is what only tests change; the zero value is what everybody has.
type inner struct {
	space        func() (disk.Space, error) // how full the disk is
	queueEntries int64                      // of a file of a queue of the commit layout
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

// Environment variables that name files with configurations.
const (
	EnvConfig       = envPrefix + "CONFIG"        // YAML
	EnvKafkaConfig  = envPrefix + "KAFKA_CONFIG"  // Kafka's server.properties
	EnvRocketConfig = envPrefix + "ROCKET_CONFIG" // RocketMQ's broker.conf
)

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
	return slices.Concat(placeSettings(), rocketSettings(), limitSettings(), groupSettings(), upkeepSettings(), diskSettings(), commitSettings(), topicSettings())
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
		{Key{"auto.create.max", "100", "topics that one request for metadata may create", false},
			number(1, 1_000_000, func(c *Config) *int { return &c.AutoCreateMax })},
		{Key{"delete.topics", "true", "let clients delete topics", false},
			boolean(func(c *Config) *bool { return &c.DeleteTopics })},
		{Key{"default.partitions", "1", "partitions of a topic whose creator does not say", true},
			number(1, meta.MaxPartitions, func(c *Config) *int { return &c.Partitions })},
		{Key{"kafka.layout", "segment", "layout of topics in Kafka's format whose creator does not say penstock.layout: segment, a log for each partition, or commit, one log for all", true},
			layout(func(c *Config) *penstock.Layout { return &c.KafkaLayout })},
		{Key{"logs.level", "info", "what is logged: debug, info, warn or error", true}, logLevel},
		{Key{"logs.format", "auto", "auto, text or json; auto is text on a terminal", true},
			oneOf(func(c *Config) *string { return &c.LogFormat }, "auto", "text", "json")},
		{Key{"logs.requests", requestsOff, "log clients' requests, without what they carry: off, slow (and those that failed) or all", true},
			oneOf(func(c *Config) *string { return &c.Requests }, requestsOff, requestsSlow, requestsAll)},
		{Key{"logs.requests.slow", "500ms", "a request that takes longer is slow; what a client asked to wait does not count", false},
			duration(1, func(c *Config) *time.Duration { return &c.RequestsSlow })},
		{Key{"logs.requests.every", "1", "with logs.requests=all, one request in so many is logged", false},
			number(1, 1_000_000_000, func(c *Config) *int { return &c.RequestsEvery })},
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
		{Key{"fetch.session.partitions", "1000000", "partitions that all incremental fetch sessions remember together", false},
			number(1, 100_000_000, func(c *Config) *int { return &c.SessionParts })},
		{Key{"fetch.session.idle", "2m", "an incremental fetch session is not dropped for a newer one before this", false},
			duration(time.Second, func(c *Config) *time.Duration { return &c.SessionIdle })},
		{Key{"connections.max", "100000", "connections on the Kafka listener", false},
			number(1, maxConnections, func(c *Config) *int { return &c.Conns })},
		{Key{"connections.max.per.ip", "0", "connections from one address; 0 is no limit", false},
			number(0, maxConnections, func(c *Config) *int { return &c.ConnsPerIP })},
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
		{Key{"timeout.control", "30s", "one change of metadata, such as the creation of a topic", false},
			duration(time.Millisecond, func(c *Config) *time.Duration { return &c.ControlTime })},
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
		{Key{"producers.max", strconv.Itoa(producer.DefaultMax), "idempotent producers remembered for each partition", false},
			number(1, 10_000_000, func(c *Config) *int { return &c.Producers })},
		{Key{"stop.time", "10s", "for answers under way at a stop", false},
			duration(0, func(c *Config) *time.Duration { return &c.StopTime })},
		{Key{"memory.limit", "0", "soft limit of the program's memory; 0 takes a part of what the machine or its control group has", false},
			size(0, func(c *Config) *int64 { return &c.MemoryLimit })},
		{Key{"metrics.topics", "1000", "topics that have metrics of their own; the rest are added up", false},
			number(0, 1_000_000, func(c *Config) *int { return &c.MetricTopic })},
		{Key{"metrics.partitions", "1000", "partitions, of those topics, that have metrics of their own", false},
			number(0, 1_000_000, func(c *Config) *int { return &c.MetricParts })},
		{Key{"metrics.offsets", "2000", "committed offsets, by group, topic and partition, whose lag has metrics; the rest are counted", false},
			number(0, 1_000_000, func(c *Config) *int { return &c.MetricGroup })},
		{Key{"metrics.offsets.looks", "200", "of these, those whose lag is also measured in bytes and seconds, for which the disk may be read", false},
			number(0, 1_000_000, func(c *Config) *int { return &c.MetricLooks })},
		{Key{"metrics.names", "jmx", "names of Kafka's metrics: jmx, those of its JMX exporter, or both, with those of its newer exporter (...persec_total) besides", false},
			oneOf(func(c *Config) *string { return &c.MetricNames }, "jmx", "both")},
		{Key{"http.profiles", "auto", "serve /debug/pprof on http.listen: on, off, or auto, which is where only this machine can reach it", false},
			oneOf(func(c *Config) *string { return &c.Profiles }, "auto", "on", "off")},
	}
}

// groupSettings are about consumer groups and committed offsets.
func groupSettings() []setting {
	return []setting{
		{Key{"group.session.min", "6s", "shortest session time-out that a member of a group may ask for", false},
			duration(time.Millisecond, func(c *Config) *time.Duration { return &c.SessionMin })},
		{Key{"group.session.max", "30m", "longest session time-out that a member of a group may ask for", false},
			duration(time.Millisecond, func(c *Config) *time.Duration { return &c.SessionMax })},
		{Key{"group.initial.delay", "3s", "an empty group waits for more members before it begins; 0 does not wait", false},
			duration(0, func(c *Config) *time.Duration { return &c.GroupDelay })},
		{Key{"group.members.max", "0", "members of one group; 0 is no limit", false},
			number(0, 10_000_000, func(c *Config) *int { return &c.GroupMembers })},
		{Key{"group.max", "1000000", "groups kept", false},
			number(1, 100_000_000, func(c *Config) *int { return &c.Groups })},
		{Key{"offsets.retention", "7d", "committed offsets are kept for so long after their group became empty", false},
			duration(time.Second, func(c *Config) *time.Duration { return &c.OffsetsKept })},
		{Key{"offsets.retention.interval", "10m", "between two looks for committed offsets that are too old", false},
			duration(time.Second, func(c *Config) *time.Duration { return &c.OffsetsEvery })},
		{Key{"offsets.metadata.max", "4096", "bytes that a client may store with a committed offset", false},
			number(1, math.MaxInt16, func(c *Config) *int { return &c.OffsetsText })},
		{Key{"offsets.partitions", "4", "partitions of the topic in which groups are stored, when it is made", false},
			number(1, 1000, func(c *Config) *int { return &c.OffsetsParts })},
		{Key{"offsets.shorten.above", "8MiB", "size of such a partition below which it is not written anew to be shorter", false},
			size(64<<10, func(c *Config) *int64 { return &c.OffsetsShort })},
		{Key{"offsets.skip.damage", "false", "load groups although their journal cannot be read in places: offsets committed there are lost, or older ones count again", false},
			boolean(func(c *Config) *bool { return &c.OffsetsSkip })},
	}
}

// diskSettings are about how the node uses its disk.
func diskSettings() []setting {
	return []setting{
		{Key{"sync.parallel", "0", "files synced at once; 0 is the number of processors", false},
			number(0, disk.MaxSyncParallel, func(c *Config) *int { return &c.SyncParallel })},
		{Key{"sync.all.from", strconv.Itoa(disk.DefaultSyncAllFrom), "logs waiting for a sync from which one sync of the whole file system replaces one of each; 0 is never", false},
			number(0, 10_000_000, func(c *Config) *int { return &c.SyncAllFrom })},
		{Key{"journal.bytes", "32MiB", "size of each of the two files of the journal, which makes small writes of many logs durable by one sync; 0 is no journal", false},
			journalBytes},
		{Key{"journal.from", "2", "logs waiting for a sync from which the journal is used", false},
			number(1, 10_000_000, func(c *Config) *int { return &c.JournalFrom })},
		{Key{"open.files", strconv.Itoa(disk.DefaultOpenFiles), "files of sealed segments kept open while nobody reads them", false},
			number(1, 10_000_000, func(c *Config) *int { return &c.OpenFiles })},
		{Key{"open.parallel", "16", "partitions opened or removed at once", false},
			number(1, 1024, func(c *Config) *int { return &c.OpenParallel })},
		{Key{"commit.file.bytes", "1GiB", "size of each file of the log that partitions of the commit layout share, for files made from now on", false},
			commitFile},
		{Key{"zero.ahead", "1MiB", "zeros written ahead of a log that is synced in small pieces; 0 writes none", false},
			size(0, func(c *Config) *int64 { return &c.ZeroAhead })},
		{Key{"stall.warning", "2s", "a call to the disk that takes longer is logged and counted", false},
			duration(time.Millisecond, func(c *Config) *time.Duration { return &c.StallWarning })},
		{Key{"timeout.metadata", "30s", "for the metadata store to start", false},
			duration(time.Second, func(c *Config) *time.Duration { return &c.MetadataTime })},
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
