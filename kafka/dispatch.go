package kafka

import "penstock/wire"

// api is one row of the dispatcher's table.
type api struct {
	key      int16
	name     string
	shown    int16 // lowest version advertised; min, but where a client needs to see more (Produce)
	min, max int16 // versions served
	flexible int16 // first flexible version: request header v2, response header v1, compact lengths
	before   frameLimit
	after    frameLimit
	right    right
	shape    shape // of what kmsg decodes; nil where the decoder is written by hand
	spare    bool  // bytes behind a whole request are passed over, as Kafka does for all APIs, because a client sends some
	handle   func(s *session, r request)
}

// frameLimit is the largest frame of an API, in bytes after the length, before or after authentication. It is never
// zero, so that a forgotten one is seen: refuse says that the API is not served at that stage.
type frameLimit int

// refuse admits no frame that has a header.
const refuse frameLimit = 1

// right is what a client must be allowed to do for a request to be served, on what. It is checked once there are users
// other than the anonymous one; the table has it from the start so that no API can be added without.
type right struct {
	op operation
	on resource
}

// operation is what a client does to a resource.
type operation uint8

// The operations, as Kafka's ACLs have them. The zero value is none of them: an entry must choose.
const (
	opNone operation = iota + 1 // anybody
	opRead
	opWrite
	opCreate
	opDelete
	opAlter
	opAlterConfigs
	opDescribe
	opDescribeConfigs
	opIdempotentWrite
)

// resource is a kind of thing that rights are held on.
type resource uint8

// The kinds of things that rights are held on.
const (
	onNothing resource = iota + 1
	onTopic            // each topic that the request names
	onCluster
	onTopicOrCluster // by what the request names
	onGroup          // each group that the request names, and the topics that it names besides
)

// anonymous is the user of a listener without authentication, as Kafka calls it. nobody is who has yet to
// authenticate where that is demanded.
const (
	anonymous = "User:ANONYMOUS"
	nobody    = ""
)

// maxKey is the largest API key that Kafka has given out, with room for those to come.
const maxKey = 127

// dispatcher is the table, by API key, with the figures of each API beside it.
type dispatcher struct {
	table [maxKey + 1]*api
	stats [maxKey + 1]apiStats
	list  []*api // those served, by key
}

// newDispatcher makes the table. An API is served if and only if it is in this list.
func newDispatcher(l Limits) *dispatcher {
	d := &dispatcher{list: []*api{
		apiProduce(l), apiFetch(), apiListOffsets(), apiMetadata(), apiVersions(), apiCreateTopics(), apiDeleteTopics(),
		apiInitProducerID(), apiOffsetForLeaderEpoch(), apiDescribeConfigs(),
		apiCreatePartitions(), apiAlterConfigs(), apiIncrementalAlterConfigs(), apiListConfigResources(),
		apiFindCoordinator(), apiJoinGroup(), apiSyncGroup(), apiHeartbeat(), apiLeaveGroup(), apiOffsetCommit(), apiOffsetFetch(),
		apiOffsetDelete(), apiDescribeGroups(), apiListGroups(), apiDeleteGroups(),
		apiDeleteRecords(), apiDescribeCluster(), apiDescribeLogDirs(), apiDescribeTopicPartitions(), apiDescribeProducers(),
		apiListPartitionReassignments(), apiElectLeaders(), apiDescribeACLs(),
	}}
	for _, a := range d.list {
		d.table[a.key] = a
	}
	return d
}

// find returns the API with that key, nil if it is not served.
func (d *dispatcher) find(key int16) *api {
	if key < 0 || key > maxKey {
		return nil
	}
	return d.table[key]
}

// request is one request on its way to its handler: the header, and the frame it came in.
type request struct {
	header
	api  *api
	wire *wire.Request
	body []byte // of the frame: gone once the frame is released
	seen *seen  // nil if nobody is told of requests
}

// flex reports whether the request and its answer are in a flexible version.
func (r *request) flex() bool { return r.version >= r.api.flexible }
