package admin

import (
	"strings"
	"testing"

	"penstock/cli"
	"penstock/cli/clitest"
)

// runWithout runs a command line without a cluster.
func runWithout(t *testing.T, line string) clitest.Result {
	return clitest.Run(t.Context(), family, "", append(strings.Fields(line), "--brokers", "127.0.0.1:1", "--timeout", "2s")...)
}

func TestConfigGet(t *testing.T) {
	r := newRig(t)
	r.Do(t, "topic", "create", "orders", "--config", "retention.ms=86400000")
	var v configsView
	r.JSON(t, &v, "config", "get", "topic/orders")
	if v.Resource != "topic/orders" || len(v.Configs) != 1 || v.Configs[0].Key != "retention.ms" || *v.Configs[0].Value != "86400000" || v.Configs[0].Source != "topic" {
		t.Errorf("get: %+v", v)
	}
	layers := v.Configs[0].Layers
	if len(layers) < 2 || layers[0].Source != "topic" || layers[len(layers)-1].Source != "default" || *layers[len(layers)-1].Value != "604800000" {
		t.Errorf("layers: %+v", layers)
	}
	r.JSON(t, &v, "config", "get", "topic/orders", "--all")
	if len(v.Configs) < 10 {
		t.Errorf("--all shows %d", len(v.Configs))
	}
	r.says([]string{"CONFIG VALUE SOURCE DEFAULT segment.bytes", "segment.bytes (int)", "default log.segment.bytes"}, "config", "get", "topic/orders", "segment.bytes")
	r.Do(t, "topic", "create", "plain")
	r.says([]string{"Everything has its default"}, "config", "get", "topic/plain")
	r.JSON(t, &v, "config", "get", "broker/0", "node.id")
	if len(v.Configs) != 1 || *v.Configs[0].Value != "0" || v.Configs[0].Source != "static" {
		t.Errorf("broker: %+v", v)
	}
	r.fails(cli.ExitNotFound, "Did you mean retention.ms?", "config", "get", "topic/orders", "retention.sm")
	r.fails(cli.ExitNotFound, "Did you mean orders?", "config", "get", "topic/order")
	r.fails(cli.ExitNotFound, "the cluster has 0", "config", "get", "broker/7")
	r.fails(cli.ExitUsage, "want topic/NAME, broker/ID or brokers", "config", "get", "orders")
	r.fails(cli.ExitUsage, "want topic/NAME", "config", "get", "broker/x")
}

func TestConfigSet(t *testing.T) {
	r := newRig(t)
	r.Do(t, "topic", "create", "orders")
	var e editedView
	r.JSON(t, &e, "config", "set", "topic/orders", "retention.ms=5000", "--dry-run")
	if e.Applied || e.Resource != "topic/orders" || len(e.Changes) != 1 || *e.Changes[0].Before != "604800000" || *e.Changes[0].After != "5000" {
		t.Errorf("dry run: %+v", e)
	}
	r.says([]string{"Everything has its default"}, "config", "get", "topic/orders")
	r.says([]string{"CONFIG CHANGE BEFORE AFTER retention.ms set 604800000 5000"}, "config", "set", "topic/orders", "retention.ms=5000")
	var v configsView
	r.JSON(t, &v, "config", "get", "topic/orders")
	if len(v.Configs) != 1 || *v.Configs[0].Value != "5000" {
		t.Errorf("after set: %+v", v)
	}
	r.says([]string{"retention.ms unset 5000 604800000"}, "config", "unset", "topic/orders", "retention.ms")
	r.says([]string{"Everything has its default"}, "config", "get", "topic/orders")

	r.fails(cli.ExitUsage, "Did you mean retention.ms?", "config", "set", "topic/orders", "retention.mss=5")
	r.fails(cli.ExitUsage, "Did you mean log.retention.ms?", "config", "set", "brokers", "log.retention.sm=5")
	r.fails(cli.ExitFailed, "INVALID_CONFIG", "config", "set", "topic/orders", "retention.mss=5", "--force")
	r.fails(cli.ExitUsage, "want key=value", "config", "set", "topic/orders", "retention.ms")
	r.fails(cli.ExitNotFound, "topic orders2 does not exist", "config", "set", "topic/orders2", "retention.ms=5")
}

// TestForesee foretells what a change makes of a value.
func TestForesee(t *testing.T) {
	text := func(s string) *string { return &s }
	now := &configView{Key: "k", Value: text("a,b"), Source: "topic", Layers: []layer{{"k", text("a,b"), "topic"}, {"log.k", text("c"), "static"}, {"log.k", text("d"), "default"}}}
	topic, broker := resource{kindTopic, "t"}, resource{kindBroker, "1"}
	for _, c := range []struct {
		of            resource
		change, value string
		after         string
	}{
		{topic, "set", "x", "x"},
		{topic, "append", "b,c", "a,b,c"},
		{topic, "subtract", "a", "b"},
		{topic, "subtract", "a,b", ""},
		{topic, "unset", "", "c"},
		{broker, "unset", "", "a,b"},
	} {
		if v := foresee(c.of, now, "k", c.change, &c.value); v.After == nil || *v.After != c.after || *v.Before != "a,b" {
			t.Errorf("%s %q: %v, want %q", c.change, c.value, or(v.After, "-"), c.after)
		}
	}
	hidden := &configView{Key: "k", Sensitive: true}
	if v := foresee(topic, hidden, "k", "set", text("secret")); v.After != nil || showValue(v.After, v.hidden) != "(hidden)" {
		t.Errorf("a secret is shown: %+v", v)
	}
}

// TestLayerUnits takes Kafka's hours under a key in milliseconds for what they are.
func TestLayerUnits(t *testing.T) {
	for _, c := range []struct{ under, key, value, want string }{
		{"retention.ms", "log.retention.hours", "168", "604800000"},
		{"retention.ms", "log.retention.minutes", "2", "120000"},
		{"retention.ms", "log.retention.hours", "-1", "-1"},
		{"retention.ms", "log.retention.ms", "5", "5"},
		{"retention.ms", "log.retention.hours", "soon", "-"},
		{"flush.messages", "log.flush.interval.messages", "7", "7"},
		{"preallocate", "log.preallocate", "true", "true"},
		{"segment.bytes", "log.roll.hours", "7", "-"},
	} {
		l := layer{c.key, &c.value, "default"}
		if got := or(l.as(c.under), "-"); got != c.want {
			t.Errorf("%s=%s under %s: %v, want %s", c.key, c.value, c.under, got, c.want)
		}
	}
	if (&layer{Key: "a"}).as("b") != nil {
		t.Error("a hidden value is told")
	}
}
