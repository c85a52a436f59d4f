package node_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/node"
)

// What a RocketMQ broker has below config, as it writes it: keys that are numbers are bare.
var rocketFiles = map[string]string{
	"topics.json": `{"dataVersion":{"counter":2},"topicConfigTable":{
		"orders":{"attributes":{"message.type":"NORMAL"},"order":true,"perm":4,"readQueueNums":3,"topicFilterType":"SINGLE_TAG","topicName":"orders","writeQueueNums":2},
		"%RETRY%billing":{"attributes":{},"perm":6,"readQueueNums":1,"topicName":"%RETRY%billing","writeQueueNums":1},
		"SCHEDULE_TOPIC_XXXX":{"perm":6,"readQueueNums":18,"topicName":"SCHEDULE_TOPIC_XXXX","writeQueueNums":18},
		"TBW102":{"perm":7,"readQueueNums":8,"topicName":"TBW102","writeQueueNums":8}}}`,
	"subscriptionGroup.json": `{"dataVersion":{"counter":1},"forbiddenTable":{},"subscriptionGroupTable":{
		"TOOLS_CONSUMER":{"groupName":"TOOLS_CONSUMER","retryMaxTimes":16,"groupRetryPolicy":{"type":"CUSTOMIZED"}},
		"billing":{"attributes":{"a":"1:2"},"brokerId":0,"consumeBroadcastEnable":false,"consumeEnable":true,"consumeFromMinEnable":true,"consumeMessageOrderly":false,
			"consumeTimeoutMinute":5,"groupName":"billing","groupRetryPolicy":{"exponentialRetryPolicy":{"initial":1000,"max":9,"multiplier":2},"type":"EXPONENTIAL"},
			"groupSysFlag":0,"notifyConsumerIdsChangedEnable":true,"retryMaxTimes":3,"retryQueueNums":2,"whichBrokerWhenConsumeSlowly":1}}}`,
	"consumerOffset.json": `{
	"dataVersion":{"counter":0,"stateVersion":0,"timestamp":1795284610305},
	"groupTopicMap":{"billing":["orders"]},
	"offsetTable":{
		"orders@billing":{
			0:6,
			2:100
		},
		"%RETRY%billing@billing":{0:0},
		"orders@audit":{1:55},
		"gone@audit":{1:2}
	},
	"pullOffsetTable":{"orders@billing":{0:7}}
}`,
	"delayOffset.json": `{"dataVersion":{"counter":0},"offsetTable":{3:12,4:1}}`,
}

// theirStore is a store directory with three hundred messages, and the files above.
func theirStore(t *testing.T) (dir string, want map[int32][]string) {
	t.Helper()
	data := t.TempDir()
	n, want := messageNode(t, data)
	stop(t, n)
	dir = t.TempDir()
	if _, err := node.ExportRocket(t.Context(), node.RocketStoreOptions{Store: dir, Data: data}); err != nil {
		t.Fatal(err)
	}
	for name, text := range rocketFiles {
		if err := os.WriteFile(filepath.Join(dir, "config", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// RocketMQ makes a queue of delayed messages when it gets its first.
	if err := os.MkdirAll(filepath.Join(dir, "consumequeue", "SCHEDULE_TOPIC_XXXX", "2"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir, want
}

var bareKey = regexp.MustCompile(`([{,]\s*)(\d+)(\s*:)`)

// configFile reads a file that RocketMQ or this broker wrote, without the version.
func configFile(t *testing.T, dir, name string) map[string]any {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "config", name))
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(bareKey.ReplaceAll(b, []byte(`$1"$2"$3`)), &m); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	delete(m, "dataVersion")
	return m
}

// TestRocketState takes over what RocketMQ keeps of topics, groups and delays, shows it to a client, commits one offset more, and writes all of it again.
func TestRocketState(t *testing.T) {
	theirs, want := theirStore(t)
	data := t.TempDir()
	in, err := node.ImportRocket(t.Context(), node.RocketStoreOptions{Store: theirs, Data: data})
	if err != nil {
		t.Fatal(err)
	}
	if len(in.Topics) != 3 || in.Groups != 1 || in.Offsets != 4 {
		t.Errorf("taken over: %+v", in)
	}
	n := start(t, data, smallFiles())
	sameOrders(t, n, want)
	c := kadm.NewClient(client(t, n))
	for _, w := range []struct {
		group, topic string
		partition    int32
		at           int64
	}{{"billing", "orders", 0, 6}, {"billing", "orders", 2, 100}, {"audit", "orders", 1, 55}, {"billing", "%RETRY%billing", 0, 0}} {
		got, err := c.FetchOffsets(within(t), w.group)
		if err != nil {
			t.Fatal(err)
		}
		if o, ok := got.Lookup(w.topic, w.partition); !ok || o.At != w.at {
			t.Errorf("%s %s %d: %d %v, want %d", w.group, w.topic, w.partition, o.At, ok, w.at)
		}
	}
	var more kadm.Offsets
	more.AddOffset("orders", 1, 60, -1)
	for _, group := range []string{"audit", "kafka's own group"} {
		if _, err := c.CommitOffsets(within(t), group, more); err != nil {
			t.Fatal(err)
		}
	}
	stop(t, n)
	back := t.TempDir()
	out, err := node.ExportRocket(t.Context(), node.RocketStoreOptions{Store: back, Data: data})
	if err != nil {
		t.Fatal(err)
	}
	if out.Groups != 2 || out.Offsets != 4 || len(out.Notes) != 1 || !strings.Contains(out.Notes[0], "kafka's own group") {
		t.Errorf("written: %+v", out)
	}
	same := func(what string, got, want any) {
		t.Helper()
		g, _ := json.Marshal(got)
		w, _ := json.Marshal(want)
		if string(g) != string(w) {
			t.Errorf("%s: %s, want %s", what, g, w)
		}
	}
	field := func(m any, names ...string) any {
		for _, n := range names {
			m, _ = m.(map[string]any)
			m = m.(map[string]any)[n]
		}
		return m
	}
	same("delays", configFile(t, back, "delayOffset.json"), map[string]any{"offsetTable": map[string]any{"3": 12, "4": 1}})
	same("offsets", configFile(t, back, "consumerOffset.json"), map[string]any{"offsetTable": map[string]any{
		"orders@billing": map[string]any{"0": 6, "2": 100}, "%RETRY%billing@billing": map[string]any{"0": 0}, "orders@audit": map[string]any{"1": 60}}})
	groups, theirGroups := configFile(t, back, "subscriptionGroup.json"), configFile(t, theirs, "subscriptionGroup.json")
	same("billing", field(groups, "subscriptionGroupTable", "billing"), field(theirGroups, "subscriptionGroupTable", "billing"))
	same("audit", field(groups, "subscriptionGroupTable", "audit", "retryMaxTimes"), 16)
	topics, theirTopics := configFile(t, back, "topics.json"), configFile(t, theirs, "topics.json")
	for _, name := range []string{"attributes", "order", "perm", "readQueueNums", "writeQueueNums"} {
		same("orders "+name, field(topics, "topicConfigTable", "orders", name), field(theirTopics, "topicConfigTable", "orders", name))
	}
}

// TestRocketStateRefuses shows that a damaged file keeps everything from being taken over, that its backup is used where it is empty, and what is noted.
func TestRocketStateRefuses(t *testing.T) {
	theirs, _ := theirStore(t)
	name := filepath.Join(theirs, "config", "consumerOffset.json")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ file, text, says string }{
		{"consumerOffset.json", `{"offsetTable":{"orders@billing":{0:`, "consumerOffset.json"},
		{"consumerOffset.json", `{"offsetTable":{"orders@billing":{0:"six"}}}`, "consumerOffset.json"},
		{"subscriptionGroup.json", `{"subscriptionGroupTable":{"bil ling":{"groupName":"bil ling"}}}`, "subscriptionGroup.json"},
		{"subscriptionGroup.json", `{"subscriptionGroupTable":{"billing":{"groupName":"other"}}}`, "other"},
		{"delayOffset.json", `[]`, "delayOffset.json"},
		{"topics.json", `{"topicConfigTable":{"orders":{"attributes":{"a":"1,2"},"perm":6,"readQueueNums":3,"writeQueueNums":3}}}`, "comma"},
	} {
		file := filepath.Join(theirs, "config", c.file)
		write(file, c.text)
		data := t.TempDir()
		_, err := node.ImportRocket(t.Context(), node.RocketStoreOptions{Store: theirs, Data: data})
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.text, err, c.says)
		}
		if _, err := os.Stat(filepath.Join(data, "commit")); err == nil {
			t.Errorf("%s: the log was taken over", c.text)
		}
		write(file, rocketFiles[c.file])
	}
	write(name, "")
	write(name+".bak", rocketFiles["consumerOffset.json"])
	write(filepath.Join(theirs, "config", "consumerFilter.json"), `{"filterDataByTopic":{"orders":{"groupFilterData":{}}}}`)
	if err := os.Mkdir(filepath.Join(theirs, "config", "consumerOffsets"), 0o755); err != nil {
		t.Fatal(err)
	}
	in, err := node.ImportRocket(t.Context(), node.RocketStoreOptions{Store: theirs, Data: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if notes := strings.Join(in.Notes, "\n"); in.Offsets != 4 || !strings.Contains(notes, "SQL") || !strings.Contains(notes, "RocksDB") {
		t.Errorf("taken over: %+v", in)
	}
	write(filepath.Join(theirs, "consumequeue", "CURRENT"), "MANIFEST-000004")
	if _, err := node.ImportRocket(t.Context(), node.RocketStoreOptions{Store: theirs, Data: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "RocksDB") {
		t.Errorf("queues in RocksDB: %v", err)
	}
}

// TestRocketJournalAfterKill shows that groups are not read, nor written, in a directory whose broker was killed.
func TestRocketJournalAfterKill(t *testing.T) {
	data := t.TempDir()
	n, _ := messageNode(t, data)
	c := client(t, n, kgo.ConsumeTopics("orders"), kgo.ConsumerGroup("g"))
	c.PollRecords(within(t), 1)
	if err := c.CommitUncommittedOffsets(within(t)); err != nil {
		t.Fatal(err)
	}
	c.Close()
	stop(t, n)
	found, err := filepath.Glob(filepath.Join(data, "*clean*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("markers %v, %v", found, err)
	}
	if err := os.Remove(found[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := node.ExportRocket(t.Context(), node.RocketStoreOptions{Store: t.TempDir(), Data: data}); err == nil || !strings.Contains(err.Error(), "not stopped cleanly") {
		t.Errorf("export: %v", err)
	}
}
