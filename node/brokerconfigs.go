package node

import (
	"math"
	"strconv"
	"time"

	"penstock/kafka"
	"penstock/meta"
)

// brokerConfigs is what Kafka's tools are shown of the node, by the names and in the units that they know. What can be altered
// while the broker runs the front knows itself.
func (n *Node) brokerConfigs() map[string]string {
	out := kafkaValues(&n.c)
	out["listeners"] = "PLAINTEXT://" + n.info.Kafka
	out["advertised.listeners"] = "PLAINTEXT://" + n.info.Advertised
	out["log.dir"], out["log.dirs"] = n.info.Data, n.info.Data
	if n.c.Rack != "" {
		out["broker.rack"] = n.c.Rack
	}
	return out
}

// kafkaValues are the values of a configuration by Kafka's names and in Kafka's units.
func kafkaValues(c *Config) map[string]string {
	millis := func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
	orAll := func(v int) string {
		if v == 0 {
			v = math.MaxInt32 // Kafka's way to say that there is no limit
		}
		return strconv.Itoa(v)
	}
	return map[string]string{
		"listener.security.protocol.map":            "PLAINTEXT:PLAINTEXT",
		"inter.broker.listener.name":                "PLAINTEXT",
		"delete.topic.enable":                       strconv.FormatBool(c.DeleteTopics),
		"default.replication.factor":                "1",
		"fetch.max.bytes":                           strconv.FormatInt(c.FetchBytes, 10),
		"socket.request.max.bytes":                  strconv.Itoa(c.RequestBytes),
		"max.incremental.fetch.session.cache.slots": strconv.Itoa(c.FetchSessions),
		"queued.max.request.bytes":                  strconv.FormatInt(c.RequestMemory, 10),
		"max.connections":                           strconv.Itoa(c.Conns),
		"max.connections.per.ip":                    orAll(c.ConnsPerIP),
		"connections.max.idle.ms":                   millis(c.Idle),
		"log.retention.check.interval.ms":           millis(c.RetentionEvery),
		"log.flush.offset.checkpoint.interval.ms":   millis(c.CheckpointEvery),
		"producer.id.expiration.ms":                 millis(c.ProducerExpiry),
		"num.recovery.threads.per.data.dir":         strconv.Itoa(c.OpenParallel),
		"group.coordinator.rebalance.protocols":     "classic",
		"group.min.session.timeout.ms":              millis(c.SessionMin),
		"group.max.session.timeout.ms":              millis(c.SessionMax),
		"group.initial.rebalance.delay.ms":          millis(c.GroupDelay),
		"group.max.size":                            orAll(c.GroupMembers),
		"offset.metadata.max.bytes":                 strconv.Itoa(c.OffsetsText),
		"offsets.retention.minutes":                 strconv.FormatInt(int64(c.OffsetsKept/time.Minute), 10),
		"offsets.retention.check.interval.ms":       millis(c.OffsetsEvery),
		"offsets.topic.num.partitions":              strconv.Itoa(c.OffsetsParts),
		"offsets.topic.replication.factor":          "1",
	}
}

// kindOf is the number of one of Kafka's types.
var kindOf = map[string]meta.Kind{
	"boolean": meta.KindBool, "string": meta.KindString, "int": meta.KindInt, "short": meta.KindShort, "long": meta.KindLong,
	"double": meta.KindDouble, "list": meta.KindList, "class": meta.KindClass, "password": meta.KindPassword,
}

// brokerKeys is what is told of Kafka's broker configurations: what sets them here, and what becomes of those that nothing sets.
func brokerKeys() map[string]kafka.BrokerKey {
	docs := map[string]string{}
	for _, k := range Keys() {
		docs[k.Name] = k.Doc
	}
	defaults := map[string]string{}
	if l, err := Load(Sources{}); err == nil { // without sources it cannot fail
		defaults = kafkaValues(&l.Config)
	}
	out := map[string]kafka.BrokerKey{}
	for _, k := range KafkaKeys() {
		b := kafka.BrokerKey{Kind: kindOf[k.Type], Doc: docs[k.To], File: k.To, Default: defaults[k.Name], Secret: k.secret()}
		switch {
		case k.Why == "":
		case b.Doc == "":
			b.Doc = string(k.Status) + ": " + k.Why
		default:
			b.Doc += " (" + k.Why + ")"
		}
		if k.Status != KafkaHonoured {
			b.Unserved = k.Why
		}
		out[k.Name] = b
	}
	return out
}
