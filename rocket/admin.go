package rocket

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"penstock"
	"penstock/group"
	"penstock/meta"
)

// Admin is what the front needs besides to answer administrators. Every part may be absent; the requests that need it are then not served.
type Admin struct {
	Crews  Crews        // who is connected
	Groups GroupAdmin   // which groups there are, and their deletion
	Config GroupConfigs // what is configured of groups
	// Runtime tells what a broker's status shows and only the node knows.
	Runtime func() Runtime
	// BrokerConfig is the broker's configuration under RocketMQ's names (broker.conf).
	BrokerConfig func() map[string]string
}

// Crews knows who is connected. group.Roster is the real one.
type Crews interface {
	Consumers(group string) (group.Crew, bool)
	Producers(group string) []group.Client
	Groups() (consumers, producers []string)
	Readers(topic string) []string
}

// GroupAdmin knows which groups have committed offsets. group.Coordinator is the real one.
type GroupAdmin interface {
	// Exists reports whether anything was ever committed: else no group has read anything.
	Exists() bool
	List() ([]group.Description, error)
	Read(name string, topics map[string][]int32, f func(topic string, partition int32, o group.Committed, ok bool)) error
	// Notes is what was noted and may not be committed yet.
	Notes(name string, f func(topic string, partition int32, at penstock.Offset))
	Commit(name string, r *group.Commit, answer func(error))
	Delete(name string, answer func(error))
}

// GroupConfigs keeps what is configured of groups. meta.Store is the real one.
type GroupConfigs interface {
	SetGroup(ctx context.Context, g meta.GroupConfig) error
	DeleteGroup(ctx context.Context, name string) error
}

// Runtime are figures of the node.
type Runtime struct {
	Started      penstock.Timestamp
	DiskTotal    int64 // bytes of the data directory's file system
	DiskFree     int64
	LogDir       string            // where the shared log of messages lies
	MinPosition  penstock.Position // of the shared log of messages
	MaxPosition  penstock.Position
	EarliestTime penstock.Timestamp // of the oldest message kept, NoTimestamp if there is none
}

// adminAPIs are the requests of administrators, and those that look for messages.
func (f *Front) adminAPIs() []*api {
	list := []*api{
		apiCreateTopic(), apiDeleteTopic(), apiAllTopics(), apiTopicConfig(), apiTopicStats(), apiSystemTopicsOfBroker(),
		apiConsumeQueue(), apiStatsData(),
	}
	if f.o.Locate != nil {
		list = append(list, apiViewMessage())
	}
	if f.o.FindKey != nil {
		list = append(list, apiQueryMessage())
	}
	a := &f.o.Admin
	if a.Config != nil {
		list = append(list, apiSetGroup(), apiSetGroups(), apiAllGroups(), apiGroupConfig(), apiDeleteGroup())
	}
	if a.Crews != nil {
		list = append(list, apiConsumerConnections(), apiProducerConnections(), apiAllProducers(), apiSubscriptionOf())
	}
	if a.Groups != nil && a.Crews != nil {
		list = append(list, apiConsumeStats(), apiBrokerConsumeStats(), apiResetOffset(), apiGroupsOfTopic(), apiTopicsOfGroup(), apiTimeSpan(),
			apiCloneOffset(), apiAllOffsets(), apiDelayOffsets())
	}
	if a.Runtime != nil {
		list = append(list, apiRuntime())
	}
	if a.BrokerConfig != nil {
		list = append(list, apiBrokerConfig())
	}
	return list
}

// queueJSON names a queue as RocketMQ's bodies do, with its keys in order of their names.
type queueJSON struct {
	BrokerName string `json:"brokerName"`
	QueueID    int32  `json:"queueId"`
	Topic      string `json:"topic"`
}

// queueName is a queue of this broker.
func (f *Front) queueName(topic string, queue int32) queueJSON {
	return queueJSON{f.o.BrokerName, queue, topic}
}

// queueTable is a map whose keys are queues: RocketMQ's clients write and read such keys as objects, which JSON proper does not have. It is
// valid as part of a body, and not for package json.
type queueTable struct{ b []byte }

// add appends an entry. Its value is one that package json can write.
func (t *queueTable) add(q queueJSON, value any) {
	if len(t.b) > 0 {
		t.b = append(t.b, ',')
	}
	t.b = append(t.b, mustJSON(q)...)
	t.b = append(t.b, ':')
	t.b = append(t.b, mustJSON(value)...)
}

// appendTo appends the table.
func (t *queueTable) appendTo(dst []byte) []byte {
	dst = append(dst, '{')
	return append(append(dst, t.b...), '}')
}

// mustJSON writes what can always be written: structs of numbers, strings and lists of these.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("rocket: " + err.Error())
	}
	return b
}

// dataVersion is how RocketMQ's brokers tell each other which of two states is newer. Here it is the revision of the metadata.
type dataVersion struct {
	Counter      int64 `json:"counter"`
	StateVersion int64 `json:"stateVersion"`
	Timestamp    int64 `json:"timestamp"`
}

func (f *Front) dataVersion() dataVersion {
	return dataVersion{Counter: f.o.Topics.Image().Revision}
}

// sortedRoutes are the topics that clients see, by name.
func (f *Front) sortedRoutes() []*route {
	t := f.routes.Load()
	list := make([]*route, 0, len(t.names))
	for _, r := range t.names {
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b *route) int { return strings.Compare(a.name, b.name) })
	return list
}
