package admin

import (
	"testing"

	"penstock/cli"
)

// TestConfigOfBrokers changes what holds for all brokers and for one, and takes both back.
func TestConfigOfBrokers(t *testing.T) {
	r := newRig(t)
	r.Do(t, "topic", "create", "orders")
	value := func(of string, want, source string) {
		t.Helper()
		key := "log.retention.ms"
		if of == "topic/orders" {
			key = "retention.ms"
		}
		var v configsView
		r.JSON(t, &v, "config", "get", of, key)
		if len(v.Configs) != 1 || *v.Configs[0].Value != want || v.Configs[0].Source != source {
			t.Errorf("%s of %s: %+v, want %s from %s", key, of, v.Configs, want, source)
		}
	}
	r.says([]string{"log.retention.ms set", "5000"}, "config", "set", "brokers", "log.retention.ms=5000")
	value("broker/0", "5000", "brokers")
	value("topic/orders", "5000", "brokers")
	r.says([]string{"log.retention.ms set 5000 7000"}, "config", "set", "broker/0", "log.retention.ms=7000")
	value("broker/0", "7000", "broker")
	value("topic/orders", "7000", "broker")
	r.says([]string{"log.retention.ms unset 7000 5000"}, "config", "unset", "broker/0", "log.retention.ms")
	value("topic/orders", "5000", "brokers")
	r.Do(t, "config", "unset", "brokers", "log.retention.ms")
	value("topic/orders", "604800000", "default")
	r.fails(cli.ExitUsage, "Did you mean log.retention.ms?", "config", "set", "broker/0", "log.retention.sm=5")
	r.fails(cli.ExitNotFound, "the cluster has 0", "config", "set", "broker/3", "log.retention.ms=5")
	r.fails(cli.ExitFailed, "node.id", "config", "set", "broker/0", "node.id=5")
}
