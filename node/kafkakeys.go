package node

import (
	"math"
	"slices"
	"strings"
	"sync"

	"penstock/meta"
)

// KafkaStatus is what becomes of one of Kafka's broker configurations here.
type KafkaStatus string

// The statuses.
const (
	KafkaHonoured KafkaStatus = "honoured" // it has Kafka's effect
	KafkaAccepted KafkaStatus = "accepted" // what it tunes is not there or needs no tuning, so leaving it alone does no harm
	KafkaRefused  KafkaStatus = "refused"  // what it asks for is not served
)

// KafkaKey is one configuration of Kafka's brokers, as of Kafka 4.3, and what becomes of it when server.properties is
// imported.
type KafkaKey struct {
	Name    string
	Type    string // Kafka's, in small letters
	Default string // Kafka's, empty if it has none
	Status  KafkaStatus
	To      string // the key of this broker that it sets; may be empty
	Why     string // of what is not honoured: why not, and what to do instead. Else what is particular, or empty
}

// secret reports whether the value must not be shown.
func (k *KafkaKey) secret() bool { return k.Type == "password" }

// KafkaKeys lists every configuration that a broker of Kafka 4.3 has, by name. The slice is the caller's.
func KafkaKeys() []KafkaKey {
	var out []KafkaKey
	for _, k := range kafkaTable() {
		out = append(out, k.KafkaKey)
	}
	return out
}

// kafkaKey is a row of the table. take turns the value into one of this broker's; without it nothing is set.
type kafkaKey struct {
	KafkaKey
	take func(im *importer, v string) (taken, error)
}

// taken is what a value becomes. Without a key nothing is set, and why says why not.
type taken struct{ key, value, why string }

// kafkaTable is sorted by name. It is built once.
var kafkaTable = sync.OnceValue(func() []kafkaKey {
	list := slices.Concat(addressKeys(), placeKeys(), limitKeys(), ageKeys(), groupKeys(), refusalKeys(),
		encryptionKeys(), authenticationKeys(), aloneKeys(), metadataKeys(), quotaWindowKeys(), quotaKeys(), pluginKeys(), selectorKeys(),
		consumerGroupKeys(), shareGroupKeys(), streamsGroupKeys(), coordinatorKeys(), transactionKeys(),
		tieredKeys(), cleanerKeys(), flushKeys(), threadKeys(), socketKeys(), purgatoryKeys(), sampleKeys(),
		housekeepingKeys(), unstableKeys(), telemetryKeys(), requestSizeKeys(), topicDefaultKeys())
	slices.SortFunc(list, func(a, b kafkaKey) int { return strings.Compare(a.Name, b.Name) })
	return list
})

// findKafkaKey returns the row of that name, nil if Kafka has none.
func findKafkaKey(name string) *kafkaKey { return findIn(kafkaTable(), name) }

// family makes rows that share their status and their reason from lines of name, type and default.
func family(status KafkaStatus, why, lines string) []kafkaKey {
	var out []kafkaKey
	for line := range strings.Lines(lines) {
		f := append(strings.Fields(line), "", "")
		if f[0] != "" {
			out = append(out, kafkaKey{KafkaKey: KafkaKey{Name: f[0], Type: f[1], Default: f[2], Status: status, Why: why}})
		}
	}
	return out
}

// asCatalogue gives broker-wide defaults of topics the status that the catalogue of topic configuration has for them.
func asCatalogue(list []kafkaKey) []kafkaKey {
	for i := range list {
		k := &list[i]
		for _, t := range meta.Catalog() {
			if t.Broker != k.Name {
				continue
			}
			k.Status, k.Why, k.To, k.take = KafkaStatus(t.Status), clause(t.Why), k.Name, to(k.Name, same)
		}
	}
	return list
}

// clause is a sentence without its capital and its full stop, as reasons are here.
func clause(s string) string {
	if len(s) > 1 && s[1] >= 'a' && s[1] <= 'z' || strings.HasPrefix(s, "A ") {
		s = strings.ToLower(s[:1]) + s[1:]
	}
	return strings.TrimSuffix(s, ".")
}

// row makes a row that is honoured.
func row(name, kind, def, target string, take func(*importer, string) (taken, error), why string) kafkaKey {
	return kafkaKey{KafkaKey{Name: name, Type: kind, Default: def, Status: KafkaHonoured, To: target, Why: why}, take}
}

// addressKeys say where the broker listens and what it tells clients.
func addressKeys() []kafkaKey {
	return []kafkaKey{
		row("listeners", "list", "PLAINTEXT://:9092", "kafka.listen", takeListeners,
			"the one listener for clients is taken, which must be PLAINTEXT; those of controllers are left out"),
		row("advertised.listeners", "list", "", "advertise", takeAdvertised, "the address of the listener that listeners gives"),
		row("listener.security.protocol.map", "string", "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT", "",
			nothing("read with listeners"), "says which listeners are PLAINTEXT"),
		row("controller.listener.names", "list", "", "", nothing("read with listeners"), "says which listeners are not for clients"),
		row("inter.broker.listener.name", "string", "", "", nothing("read with listeners"), "says which of several listeners is not for clients"),
	}
}

// placeKeys say who and where the broker is.
func placeKeys() []kafkaKey {
	return []kafkaKey{
		row("process.roles", "list", "", "", takeRoles, "broker must be among them"),
		row("node.id", "int", "", "broker.id", to("broker.id", same), ""),
		row("broker.id", "int", "-1", "broker.id", takeBrokerID, "node.id goes before it; -1 sets nothing"),
		row("broker.rack", "string", "", "broker.rack", to("broker.rack", same), ""),
		row("log.dirs", "list", "", "data", takeDirs, "there is one data directory"),
		row("log.dir", "list", "/tmp/kafka-logs", "data", unless(takeDirs, "log.dirs"), "log.dirs goes before it"),
		row("auto.create.topics.enable", "boolean", "true", "auto.create.topics", to("auto.create.topics", same), ""),
		row("delete.topic.enable", "boolean", "true", "delete.topics", to("delete.topics", same), ""),
		row("num.partitions", "int", "1", "default.partitions", to("default.partitions", same), ""),
		row("default.replication.factor", "int", "1", "", oneCopy, "1 is what there is; more stops the start"),
	}
}

// limitKeys bound what clients may take.
func limitKeys() []kafkaKey {
	return []kafkaKey{
		row("queued.max.request.bytes", "long", "-1", "request.memory", unlessIs("-1", to("request.memory", same)), "-1 leaves request.memory as it is: it always has a bound"),
		row("socket.request.max.bytes", "int", "104857600", "request.max.bytes", to("request.max.bytes", same), ""),
		row("fetch.max.bytes", "int", "57671680", "fetch.max.bytes", to("fetch.max.bytes", same), ""),
		row("max.incremental.fetch.session.cache.slots", "int", "1000", "fetch.sessions", to("fetch.sessions", same), ""),
		row("max.connections", "int", "2147483647", "connections.max", to("connections.max", atMost(maxConnections)), "more than 10,000,000 is taken for that"),
		row("max.connections.per.ip", "int", "2147483647", "connections.max.per.ip", takePerIP, "2147483647 is no limit"),
		row("connections.max.idle.ms", "long", "600000", "timeout.idle", to("timeout.idle", millis), ""),
	}
}

// ageKeys time what the broker does by itself.
func ageKeys() []kafkaKey {
	return []kafkaKey{
		row("log.retention.check.interval.ms", "long", "300000", "retention.interval", to("retention.interval", millis), ""),
		row("log.flush.offset.checkpoint.interval.ms", "int", "60000", "checkpoint.interval", to("checkpoint.interval", millis), ""),
		row("producer.id.expiration.ms", "int", "86400000", "producer.expiry", to("producer.expiry", millis), ""),
		row("log.retention.ms", "long", "", "log.retention.ms", to("log.retention.ms", forEver(1)), "negative is for ever"),
		row("log.retention.minutes", "int", "", "log.retention.ms", unless(to("log.retention.ms", forEver(60_000)), "log.retention.ms"), "log.retention.ms goes before it"),
		row("log.retention.hours", "int", "168", "log.retention.ms", unless(to("log.retention.ms", forEver(3_600_000)), "log.retention.ms", "log.retention.minutes"),
			"log.retention.ms and log.retention.minutes go before it"),
		row("log.roll.ms", "long", "", "log.roll.ms", to("log.roll.ms", same), ""),
		row("log.roll.hours", "int", "168", "log.roll.ms", unless(to("log.roll.ms", times(3_600_000)), "log.roll.ms"), "log.roll.ms goes before it"),
		row("log.roll.jitter.ms", "long", "", "log.roll.jitter.ms", to("log.roll.jitter.ms", same), ""),
		row("log.roll.jitter.hours", "int", "0", "log.roll.jitter.ms", unless(to("log.roll.jitter.ms", times(3_600_000)), "log.roll.jitter.ms"), "log.roll.jitter.ms goes before it"),
	}
}

// groupKeys are about the classic protocol of groups and committed offsets.
func groupKeys() []kafkaKey {
	return []kafkaKey{
		row("group.initial.rebalance.delay.ms", "int", "3000", "group.initial.delay", to("group.initial.delay", millis), ""),
		row("group.min.session.timeout.ms", "int", "6000", "group.session.min", to("group.session.min", millis), ""),
		row("group.max.session.timeout.ms", "int", "1800000", "group.session.max", to("group.session.max", millis), ""),
		row("group.max.size", "int", "2147483647", "group.members.max", takeGroupSize, "2147483647 is no limit"),
		row("group.coordinator.rebalance.protocols", "list", "classic,consumer,streams", "", takeProtocols, "classic is served, and must be among them"),
		row("offsets.retention.minutes", "int", "10080", "offsets.retention", to("offsets.retention", minutes), ""),
		row("offsets.retention.check.interval.ms", "long", "600000", "offsets.retention.interval", to("offsets.retention.interval", millis), ""),
		row("offset.metadata.max.bytes", "int", "4096", "offsets.metadata.max", to("offsets.metadata.max", atMost(math.MaxInt16)), "more than 32,767 is taken for that"),
		row("offsets.topic.num.partitions", "int", "50", "offsets.partitions", to("offsets.partitions", same), "of a topic that does not exist yet"),
		row("offsets.topic.replication.factor", "short", "3", "", oneCopy, "1 is what there is; more stops the start"),
	}
}

// refusalKeys are those whose value may promise what is not kept. Such a value stops the start.
func refusalKeys() []kafkaKey {
	refused := func(name, kind, def, why string, take func(*importer, string) (taken, error)) kafkaKey {
		return kafkaKey{KafkaKey{Name: name, Type: kind, Default: def, Status: KafkaRefused, Why: why}, take}
	}
	return []kafkaKey{
		refused("authorizer.class.name", "string", "", "there are no access rights yet: everybody may do everything. A class stops the start",
			stops("nobody would be kept from anything. Take it out to accept that")),
		refused("create.topic.policy.class.name", "class", "", "classes of Java cannot be loaded here. A class stops the start",
			stops("the policy would not be kept. Take it out to accept that")),
		refused("alter.config.policy.class.name", "class", "", "classes of Java cannot be loaded here. A class stops the start",
			stops("the policy would not be kept. Take it out to accept that")),
		refused("config.providers", "list", "", "classes of Java cannot be loaded here: a value that refers to a provider stops the start. Write the values themselves, "+
			"or give them in the environment", nil),
		refused("remote.log.storage.system.enable", "boolean", "false", "tiered storage does not exist; true stops the start",
			stopsAt("true", "what was moved to the remote storage would not be found. Set it to false to accept that")),
		refused("max.connections.per.ip.overrides", "string", "", "connections.max.per.ip is the same for every address", nil),
		refused("cordoned.log.dirs", "list", "", "there is one data directory, which takes every partition", nil),
		{KafkaKey{Name: "num.recovery.threads.per.data.dir", Type: "int", Default: "2", Status: KafkaHonoured, To: "open.parallel",
			Why: "partitions opened at once"}, to("open.parallel", same)},
	}
}
