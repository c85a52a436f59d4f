package admin

import (
	"strings"
	"testing"
	"time"

	"penstock/cli"
)

func TestTopics(t *testing.T) {
	r := newRig(t)
	r.says([]string{"CREATED PARTITIONS REPLICAS ID", "orders 3 1", "payments 3 1"},
		"topic", "create", "orders", "payments", "orders", "--partitions", "3", "--config", "retention.ms=86400000")
	r.says([]string{"tried 1 1", "Nothing was created"}, "topic", "create", "tried", "--partitions", "1", "--dry-run")

	var list []topicRow
	r.JSON(t, &list, "topic", "list")
	if len(list) != 2 || list[0].Name != "orders" || list[0].Partitions != 3 || list[0].Replicas != 1 || list[0].ID == "" {
		t.Errorf("list: %+v", list)
	}
	r.JSON(t, &list, "topic", "list", "p*")
	if len(list) != 1 || list[0].Name != "payments" {
		t.Errorf("list p*: %+v", list)
	}
	r.JSON(t, &list, "topic", "list", "nothing")
	if list == nil || len(list) != 0 {
		t.Errorf("list nothing: %+v, want an empty list", list)
	}
	r.says([]string{"NAME PARTITIONS REPLICAS ID orders 3 1"}, "topic", "list", "orders")

	r.fails(cli.ExitFailed, "TOPIC_ALREADY_EXISTS", "topic", "create", "orders")
	r.fails(cli.ExitFailed, "1 of 2 were not created: topic orders was not created", "topic", "create", "orders", "more")
	r.says(nil, "topic", "create", "orders", "more", "even-more", "--if-missing")
	r.fails(cli.ExitFailed, "Did you mean retention.ms?", "topic", "create", "other", "--config", "retention.m=5")
	r.fails(cli.ExitUsage, "want key=value", "topic", "create", "other", "--config", "retention.ms")
	r.fails(cli.ExitUsage, "given twice", "topic", "create", "other", "--config", "a=1", "--config", "a=2")
	r.fails(cli.ExitUsage, "--partitions 0", "topic", "create", "other", "--partitions", "0")

	r.fails(cli.ExitUsage, "Did you mean list?", "topic", "lst")
	r.fails(cli.ExitUsage, "There are alter, create, delete", "topic", "everything")

	// What is deleted is named before anything is: one wrong name, and nothing goes.
	r.fails(cli.ExitNotFound, "Did you mean more?", "topic", "delete", "payments", "mroe", "--yes")
	r.fails(cli.ExitUsage, "--yes", "topic", "delete", "payments")
	var gone []deletedTopic
	r.JSON(t, &gone, "topic", "delete", "payments", "more", "--yes")
	if len(gone) != 2 || gone[1].Name != "payments" || gone[1].Partitions != 3 || gone[1].Records == nil || *gone[1].Records != 0 {
		t.Errorf("delete: %+v", gone)
	}
	r.says([]string{"DELETED PARTITIONS RECORDS even-more 1 0"}, "topic", "delete", "even-more", "-y")
	r.JSON(t, &list, "topic", "list")
	if len(list) != 1 || list[0].Name != "orders" {
		t.Errorf("left: %+v", list)
	}
}

func TestTopicDescribe(t *testing.T) {
	r := newRig(t)
	r.Do(t, "topic", "create", "orders", "--partitions", "2", "--config", "retention.ms=86400000")
	r.Do(t, "topic", "create", "empty", "--partitions", "1")
	r.produce("orders", 1, 5, time.Now())

	var views []topicView
	r.JSON(t, &views, "topic", "describe", "orders")
	if len(views) != 1 || len(views[0].Partitions) != 2 {
		t.Fatalf("describe: %+v", views)
	}
	v := views[0]
	if v.Records == nil || *v.Records != 5 || v.ID == "" || v.Internal {
		t.Errorf("describe: %+v", v)
	}
	p := v.Partitions[1]
	if p.Partition != 1 || p.Leader == nil || *p.Leader != 0 || *p.Start != 0 || *p.End != 5 || len(p.Replicas) != 1 || len(p.InSync) != 1 || p.Offline == nil || len(p.Offline) != 0 {
		t.Errorf("partition: %+v", p)
	}
	if len(v.Configs) != 1 || v.Configs[0].Key != "retention.ms" || *v.Configs[0].Value != "86400000" || v.Configs[0].Source != "topic" || *v.Configs[0].Default != "604800000" || v.Configs[0].Doc != "" {
		t.Errorf("configs: %+v", v.Configs)
	}
	r.says([]string{"orders: 2 partitions, 5 records", "PARTITION LEADER EPOCH REPLICAS IN-SYNC START END SIZE", "CONFIG VALUE SOURCE DEFAULT retention.ms 86400000 topic 604800000"},
		"topic", "describe", "orders")

	r.JSON(t, &views, "topic", "describe")
	if len(views) != 2 || views[0].Name != "empty" || *views[0].Records != 0 || len(views[0].Configs) != 0 {
		t.Errorf("all: %+v", views)
	}
	r.fails(cli.ExitNotFound, "topic ordrs does not exist. Did you mean orders?", "topic", "describe", "ordrs")
	r.fails(cli.ExitNotFound, "penstock topic list", "topic", "describe", "nothingalike")
}

func TestTopicAlter(t *testing.T) {
	r := newRig(t)
	r.Do(t, "topic", "create", "orders", "--partitions", "2")
	args := []string{"topic", "alter", "orders", "--partitions", "4", "--set", "retention.ms=86400000", "--set", "segment.bytes=1048576"}
	var v alteredTopic
	r.JSON(t, &v, append(args, "--dry-run")...)
	if v.Applied || v.Partitions == nil || *v.Partitions != (grown{2, 4}) || len(v.Changes) != 2 || *v.Changes[0].Before != "604800000" || *v.Changes[0].After != "86400000" {
		t.Errorf("dry run: %+v", v)
	}
	var views []topicView
	r.JSON(t, &views, "topic", "describe", "orders")
	if len(views[0].Partitions) != 2 || len(views[0].Configs) != 0 {
		t.Errorf("the dry run changed something: %+v", views[0])
	}
	r.says([]string{"orders: 4 partitions, before 2", "retention.ms set 604800000 86400000"}, args...)
	r.JSON(t, &views, "topic", "describe", "orders")
	if len(views[0].Partitions) != 4 || len(views[0].Configs) != 2 {
		t.Errorf("after: %+v", views[0])
	}
	r.says([]string{"retention.ms unset 86400000 604800000"}, "topic", "alter", "orders", "--unset", "retention.ms")
	r.JSON(t, &views, "topic", "describe", "orders")
	if len(views[0].Configs) != 1 {
		t.Errorf("after unset: %+v", views[0].Configs)
	}
	r.fails(cli.ExitUsage, "partitions can only be added", "topic", "alter", "orders", "--partitions", "3")
	r.fails(cli.ExitUsage, "Did you mean retention.ms?", "topic", "alter", "orders", "--set", "retenton.ms=5")
	r.fails(cli.ExitUsage, "changed twice", "topic", "alter", "orders", "--set", "retention.ms=5", "--unset", "retention.ms")
	r.fails(cli.ExitUsage, "nothing to change", "topic", "alter", "orders")
	r.fails(cli.ExitUsage, "want key=value", "topic", "alter", "orders", "--append", "x")
	r.fails(cli.ExitNotFound, "Did you mean orders?", "topic", "alter", "order", "--partitions", "9")
	r.fails(cli.ExitFailed, "INVALID_CONFIG", "topic", "alter", "orders", "--set", "retention.ms=soon")
	// All is checked before anything is changed.
	r.fails(cli.ExitFailed, "INVALID_CONFIG", "topic", "alter", "orders", "--partitions", "5", "--set", "retention.ms=soon")
	r.JSON(t, &views, "topic", "describe", "orders")
	if len(views[0].Partitions) != 4 {
		t.Errorf("partitions were added all the same: %d", len(views[0].Partitions))
	}
}

// TestUnreachable runs every command against a port where nobody listens.
func TestUnreachable(t *testing.T) {
	file := scratch(t, "undo.json")
	if err := (&undoFile{Version: 1, Group: "g", Offsets: []undoOffset{{Topic: "t"}}}).write(file); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"topic create a", "topic list", "topic describe", "topic alter a --partitions 2", "topic delete a --yes", "topic trim a --offset 1",
		"config get topic/a", "config set topic/a b=c", "config unset brokers a",
		"group list", "group describe", "group seek g --to earliest", "group seek g --from " + file, "group forget g --topic t", "group delete g",
	} {
		r := runWithout(t, line)
		if r.Code != cli.ExitUnreachable || !strings.Contains(r.Failure.Error(), "--brokers") || r.Out != "" {
			t.Errorf("%s: %d %v\n%s", line, r.Code, r.Failure, r.Out)
		}
	}
}

// TestTopicKinds: topics of every layout and format are created, described, listed, altered and deleted; what cannot be altered says so.
func TestTopicKinds(t *testing.T) {
	r := newRig(t)
	r.Do(t, "topic", "create", "plain", "--partitions", "2")
	r.Do(t, "topic", "create", "shared", "--partitions", "2", "--layout", "commit", "--config", "retention.ms=86400000")
	r.Do(t, "topic", "create", "mq", "--partitions", "2", "--format", "message")
	r.Do(t, "topic", "create", "mq-own", "--partitions", "2", "--format", "message", "--layout", "segment")
	r.Do(t, "topic", "create", "%RETRY%readers", "--partitions", "1", "--format", "message")
	r.produce("shared", 1, 5, time.Now())
	var views []topicView
	r.JSON(t, &views, "topic", "describe", "plain", "shared", "mq", "mq-own")
	kinds := map[string]string{}
	for _, v := range views {
		kinds[v.Name] = v.Layout + " " + v.Format
		if v.Name == "shared" && (v.Records == nil || *v.Records != 5 || len(v.Configs) != 1 || v.Bytes == nil || *v.Bytes == 0) {
			t.Errorf("%+v", v)
		}
	}
	for name, want := range map[string]string{"plain": "segment record", "shared": "commit record", "mq": "commit message", "mq-own": "segment message"} {
		if kinds[name] != want {
			t.Errorf("%s is %q, want %q", name, kinds[name], want)
		}
	}
	r.says([]string{"on the shared log"}, "topic", "describe", "shared")
	r.says([]string{"on the shared log, RocketMQ's messages"}, "topic", "describe", "mq")
	var list []topicRow
	if r.JSON(t, &list, "topic", "list"); len(list) != 4 {
		t.Errorf("a topic that Kafka has no name for is listed: %+v", list)
	}
	if r.JSON(t, &list, "topic", "list", "--internal", "%*"); len(list) != 1 || list[0].Name != "%RETRY%readers" || !list[0].Internal {
		t.Errorf("internal topics: %+v", list)
	}
	r.says(nil, "topic", "alter", "mq", "--partitions", "4")
	if r.JSON(t, &views, "topic", "describe", "mq"); len(views) != 1 || len(views[0].Partitions) != 4 {
		t.Errorf("%+v", views)
	}
	r.fails(cli.ExitFailed, "chosen when the topic was created", "config", "set", "topic/shared", "penstock.layout=segment")
	r.fails(cli.ExitUsage, "want segment or commit", "topic", "create", "x", "--layout", "heap")
	r.fails(cli.ExitUsage, "give one of them", "topic", "create", "x", "--layout", "commit", "--config", "penstock.layout=segment")
	r.fails(cli.ExitFailed, "something other than", "topic", "create", "a.b", "--format", "message")
	r.says(nil, "topic", "delete", "%RETRY%readers", "mq", "shared", "mq-own", "--yes")
}
