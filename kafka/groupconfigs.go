package kafka

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
	"penstock/meta"
)

// Groups have configuration in Kafka (KIP-848, KIP-932, KIP-1071), each with a broker-wide default that is called group. and its
// name for the most part. All of it is for protocols that this broker does not serve yet. It is described with the defaults of
// Kafka 4.3.1, as Kafka describes it for any name, a classic group's or nobody's; altering it is refused.

// groupKeys are the configurations of a group, by name.
var groupKeys = [...]struct {
	name   string
	broker string // what the broker-wide default is called
	kind   meta.Kind
	value  string
	doc    string
}{
	{"consumer.assignment.interval.ms", "group.consumer.assignment.interval.ms", meta.KindInt, "1000", "Time between two assignments of a consumer group (KIP-848)."},
	{"consumer.heartbeat.interval.ms", "group.consumer.heartbeat.interval.ms", meta.KindInt, "5000", "Time between two heartbeats of a member of a consumer group (KIP-848)."},
	{"consumer.session.timeout.ms", "group.consumer.session.timeout.ms", meta.KindInt, "45000", "Time without a heartbeat after which a member of a consumer group is gone (KIP-848)."},
	{"share.assignment.interval.ms", "group.share.assignment.interval.ms", meta.KindInt, "1000", "Time between two assignments of a share group."},
	{"share.auto.offset.reset", "share.auto.offset.reset", meta.KindString, "latest", "Where a share group begins in a partition: earliest, latest, or by_duration:PERIOD."},
	{"share.delivery.count.limit", "group.share.delivery.count.limit", meta.KindInt, "5", "How often a record is delivered to a share group at most."},
	{"share.heartbeat.interval.ms", "group.share.heartbeat.interval.ms", meta.KindInt, "5000", "Time between two heartbeats of a member of a share group."},
	{"share.isolation.level", "share.isolation.level", meta.KindString, "read_uncommitted", "Whether a share group is given records of aborted transactions."},
	{"share.partition.max.record.locks", "group.share.partition.max.record.locks", meta.KindInt, "2000", "Records of a partition that members of a share group hold at once, at most."},
	{"share.record.lock.duration.ms", "group.share.record.lock.duration.ms", meta.KindInt, "30000", "Time for which a member of a share group holds a record."},
	{"share.renew.acknowledge.enable", "share.renew.acknowledge.enable", meta.KindBool, "true", "Whether members of a share group may hold a record for longer."},
	{"share.session.timeout.ms", "group.share.session.timeout.ms", meta.KindInt, "45000", "Time without a heartbeat after which a member of a share group is gone."},
	{"streams.assignment.interval.ms", "group.streams.assignment.interval.ms", meta.KindInt, "1000", "Time between two assignments of a streams group."},
	{"streams.heartbeat.interval.ms", "group.streams.heartbeat.interval.ms", meta.KindInt, "5000", "Time between two heartbeats of a member of a streams group."},
	{"streams.initial.rebalance.delay.ms", "group.streams.initial.rebalance.delay.ms", meta.KindInt, "3000", "Time that a new streams group waits for more members."},
	{"streams.num.standby.replicas", "group.streams.num.standby.replicas", meta.KindInt, "0", "Standby copies of each task of a streams group."},
	{"streams.session.timeout.ms", "group.streams.session.timeout.ms", meta.KindInt, "45000", "Time without a heartbeat after which a member of a streams group is gone."},
}

const groupWhy = "it is for the consumer (KIP-848), share and streams protocols, which this broker does not serve; a member of a classic group says itself what it wants"

// groupConfigs is the configuration of any group.
func groupConfigs() []config {
	out := make([]config, 0, len(groupKeys))
	for _, k := range groupKeys {
		c := config{key: meta.Key{Name: k.name, Kind: k.kind, Default: k.value, Doc: k.doc, Status: meta.StatusRefused, Why: groupWhy}}
		c.add(k.broker, k.value, sourceDefault)
		out = append(out, c)
	}
	return out
}

// alterGroup refuses whatever would change the configuration of a group; deleting what nobody set changes nothing.
func alterGroup(a *alteration) (code, error) {
	if a.name == "" {
		return codeInvalidRequest, errors.New("a group has a name; there are no defaults of all groups to alter")
	}
	for i := range a.changes {
		c := &a.changes[i]
		if !isGroupKey(c.name) {
			return codeInvalidConfig, unknownGroupKey(c.name)
		}
		if c.op != kmsg.IncrementalAlterConfigOpDelete {
			return codeInvalidConfig, fmt.Errorf("%w: %s of group %q cannot be altered: %s", penstock.ErrInvalidConfig, c.name, brief(a.name), groupWhy)
		}
	}
	return codeNone, nil
}

func isGroupKey(name string) bool {
	for i := range groupKeys {
		if groupKeys[i].name == name {
			return true
		}
	}
	return false
}

func unknownGroupKey(name string) error {
	var names []string
	for i := range groupKeys {
		names = append(names, groupKeys[i].name)
	}
	if near := meta.Nearest(name, names); near != "" {
		return fmt.Errorf("%w: unknown group config name: %s; did you mean %s?", penstock.ErrInvalidConfig, brief(name), near)
	}
	return fmt.Errorf("%w: unknown group config name: %s", penstock.ErrInvalidConfig, brief(name))
}
