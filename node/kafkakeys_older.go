package node

import "strings"

// olderKeys are what brokers before Kafka 4 had, and what Kafka's own authorizer reads, with what took their place.
var olderKeys = map[string]string{
	"super.users":                             "there are no access rights yet: everybody may do everything",
	"allow.everyone.if.no.acl.found":          "there are no access rights yet: everybody may do everything",
	"advertised.host.name":                    "Kafka 3 removed it. Use advertised.listeners",
	"advertised.port":                         "Kafka 3 removed it. Use advertised.listeners",
	"auto.include.jmx.reporter":               "Kafka 4 removed it. Prometheus reads /metrics on http.listen",
	"broker.id.generation.enable":             "Kafka 4 removed it with ZooKeeper. Use node.id",
	"control.plane.listener.name":             "Kafka 4 removed it with ZooKeeper",
	"controlled.shutdown.max.retries":         "Kafka 4 removed it. A stop is always in order, within stop.time",
	"controlled.shutdown.retry.backoff.ms":    "Kafka 4 removed it. A stop is always in order, within stop.time",
	"delegation.token.master.key":             "Kafka 4 removed it. There are no delegation tokens",
	"group.coordinator.new.enable":            "Kafka 4 removed it",
	"host.name":                               "Kafka 3 removed it. Use listeners",
	"inter.broker.protocol.version":           "Kafka 4 removed it. Clients of every version are served at once",
	"leader.imbalance.per.broker.percentage":  "Kafka 4 removed it. This node leads everything",
	"log.message.downconversion.enable":       "Kafka 4 removed it with the old message formats",
	"log.message.format.version":              "Kafka 4 removed it with the old message formats",
	"log.message.timestamp.difference.max.ms": "Kafka 4 removed it. Use log.message.timestamp.before.max.ms and log.message.timestamp.after.max.ms",
	"offsets.commit.required.acks":            "Kafka 4 removed it. A commit is answered when it is on disk",
	"port":                                    "Kafka 3 removed it. Use listeners",
	"quota.consumer.default":                  "Kafka 3 removed it. There are no quotas",
	"quota.producer.default":                  "Kafka 3 removed it. There are no quotas",
	"reserved.broker.max.id":                  "Kafka 4 removed it with ZooKeeper",
	"zookeeper.connect":                       "Kafka 4 removed ZooKeeper. Metadata lies in an embedded store",
}

// olderKey says why a key of older brokers is not taken, empty if it is none.
func olderKey(name string) string {
	switch {
	case olderKeys[name] != "":
		return olderKeys[name]
	case strings.HasPrefix(name, "zookeeper."):
		return "Kafka 4 removed ZooKeeper"
	case strings.HasPrefix(name, "password.encoder."):
		return "Kafka 4 removed it with ZooKeeper"
	}
	return ""
}
