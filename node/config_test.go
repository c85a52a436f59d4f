package node

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "penstock.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaultsAreValid(t *testing.T) {
	l, err := Load(Sources{})
	if err != nil {
		t.Fatal(err)
	}
	c := l.Config
	if c.KafkaListen != "127.0.0.1:9092" || c.HTTPListen != "127.0.0.1:8080" || c.Insecure || !c.AutoCreate || c.Partitions != 1 ||
		c.RequestMemory != 256<<20 || c.RequestBytes != 100<<20 || c.Idle != 10*time.Minute || len(c.TopicDefault) != 0 {
		t.Errorf("%+v", c)
	}
	for _, v := range l.Values {
		if v.Source != "default" {
			t.Errorf("%s comes from %s", v.Key, v.Source)
		}
	}
}

// TestEveryField demands that every field of Config has a key: with all values set to something else, none is as before.
func TestEveryField(t *testing.T) {
	base, err := Load(Sources{})
	if err != nil {
		t.Fatal(err)
	}
	other := map[string]string{
		"data": "/d", "kafka.listen": "[::1]:1", "http.listen": "localhost:2", "advertise": "h:3", "insecure": "yes", "broker.id": "4",
		"broker.rack": "r", "auto.create.topics": "off", "default.partitions": "5", "logs.level": "debug", "logs.format": "json",
		"request.memory": "1GiB", "request.max.bytes": "65536", "fetch.max.bytes": "6k", "fetch.max.wait": "7s", "fetch.sessions": "8",
		"connections.max": "9", "connections.max.per.ip": "10", "connections.in.flight": "11", "timeout.first.byte": "12s",
		"timeout.frame": "13s", "timeout.write": "14s", "timeout.idle": "15s", "copy.below": "16", "checkpoint.interval": "17s",
		"retention.interval": "18s", "scrub.rate": "19", "index.cache": "20m", "producer.expiry": "2d", "stop.time": "21s",
		"group.session.min": "24s", "group.session.max": "25m", "group.initial.delay": "26s", "group.members.max": "27", "group.max": "28",
		"offsets.retention": "29d", "offsets.retention.interval": "30s", "offsets.partitions": "31", "offsets.shorten.above": "1m",
		"fetch.session.partitions": "33", "fetch.session.idle": "34s", "timeout.control": "35s", "auto.create.max": "36", "delete.topics": "false",
		"sync.parallel": "7", "sync.all.from": "38", "open.files": "39", "open.parallel": "40", "zero.ahead": "41", "stall.warning": "42s",
		"timeout.metadata": "43s", "producers.max": "44", "offsets.skip.damage": "true", "journal.bytes": "1m", "journal.from": "53", "metrics.partitions": "50", "metrics.offsets": "51", "metrics.offsets.looks": "52", "metrics.names": "both", "http.profiles": "on", "logs.requests": "all", "logs.requests.slow": "46ms", "logs.requests.every": "47", "offsets.metadata.max": "45",
		"memory.limit": "22g", "metrics.topics": "23", "log.segment.bytes": "65536",
		"kafka.layout": "commit", "commit.file.bytes": "54m",
		"rocket.listen": "localhost:55", "rocket.namesrv.listen": "localhost:56", "rocket.vip.listen": "", "rocket.advertise": "r:57", "rocket.cluster": "c",
		"rocket.broker.name": "b", "rocket.layout": "segment", "rocket.auto.create": "false", "rocket.default.queues": "58", "rocket.message.max": "59",
		"rocket.pull.max.bytes": "60", "rocket.pull.max.count": "61", "rocket.pull.max.wait": "62s", "rocket.client.expiry": "63s", "rocket.delay.levels": "1s 1d",
		"commit.warm": "false", "commit.delete.hours": "4,16", "commit.disk.clean": "70", "commit.disk.force": "71", "commit.disk.refuse": "72",
		"rocket.index": "false", "rocket.index.slots": "64", "rocket.index.entries": "65",
	}
	l, err := Load(Sources{Flags: other})
	if err != nil {
		t.Fatal(err)
	}
	for _, pair := range [][2]reflect.Value{
		{reflect.ValueOf(base.Config), reflect.ValueOf(l.Config)}, {reflect.ValueOf(base.Config.Rocket), reflect.ValueOf(l.Config.Rocket)},
		{reflect.ValueOf(base.Config.Commit), reflect.ValueOf(l.Config.Commit)},
	} {
		was, is := pair[0], pair[1]
		for i := range was.NumField() {
			if f := was.Type().Field(i); f.Name == "Level" || !f.IsExported() {
				continue // of the log that the caller of Start has made: logs.level begins it
			}
			if reflect.DeepEqual(was.Field(i).Interface(), is.Field(i).Interface()) {
				t.Errorf("%s has no key, or it was not set", was.Type().Field(i).Name)
			}
		}
	}
	if l.Config.ProducerExpiry != 48*time.Hour || l.Config.FetchBytes != 6<<10 || l.Config.LogLevel != slog.LevelDebug {
		t.Errorf("%+v", l.Config)
	}
	for _, k := range Keys() {
		if _, set := other[k.Name]; !set && !strings.HasPrefix(k.Doc, "default of the topics'") {
			t.Errorf("%s is not in this test", k.Name)
		}
		if k.Doc == "" {
			t.Errorf("%s has no documentation", k.Name)
		}
	}
}

// TestOrder sets one key in every place: defaults, file, environment, flags, the later before the earlier.
func TestOrder(t *testing.T) {
	path := writeFile(t, "default.partitions: 2\nbroker:\n  id: 2\n  rack: two\nlog.segment.bytes: 65536\n")
	l, err := Load(Sources{
		File:  path,
		Env:   []string{"PENSTOCK_BROKER_ID=3", "PENSTOCK_BROKER_RACK=three", "PENSTOCK_DURABILITY=relaxed", "PATH=/bin", "PENSTOCK_SERVICE_HOST=10.0.0.1", "PENSTOCK_PORT_9092_TCP=x"},
		Flags: map[string]string{"broker.rack": "four"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Value{
		"default.partitions":  {"default.partitions", "2", "file " + path + ":1", path, 1},
		"broker.id":           {"broker.id", "3", "environment PENSTOCK_BROKER_ID", "", 0},
		"broker.rack":         {"broker.rack", "four", "flag --broker-rack", "", 0},
		"log.segment.bytes":   {"log.segment.bytes", "65536", "file " + path + ":5", path, 5},
		"penstock.durability": {"penstock.durability", "relaxed", "environment PENSTOCK_DURABILITY", "", 0},
		"data":                {"data", "./data", "default", "", 0},
	}
	for _, v := range l.Values {
		if w, ok := want[v.Key]; ok && v != w {
			t.Errorf("%+v, want %+v", v, w)
		}
	}
	c := l.Config
	if c.Partitions != 2 || c.Broker != 3 || c.Rack != "four" || c.TopicDefault["segment.bytes"] != "65536" || c.TopicDefault["penstock.durability"] != "relaxed" || len(c.TopicDefault) != 2 {
		t.Errorf("%+v", c)
	}
	if len(l.Warnings) != 0 {
		t.Errorf("warnings %q", l.Warnings)
	}
}

// TestAllFaultsAtOnce demands that nobody has to start a broker twice to learn what is wrong.
func TestAllFaultsAtOnce(t *testing.T) {
	path := writeFile(t, "kafka.lisen: 1\ndata: [1]\nsegment.bytes: 1\ndefault.partitions: 2\ndefault: {partitions: 3}\n")
	_, err := Load(Sources{
		File:  path,
		Env:   []string{"PENSTOCK_KAFKA_LISTENER=x", "PENSTOCK_WHATEVER=1"},
		Flags: map[string]string{"http.listen": "nowhere", "log.cleanup.policy": "compact", "broker.id": "-1", "timeout.idle": "0s"},
	})
	var faults *ConfigError
	if !errors.As(err, &faults) {
		t.Fatalf("error %v", err)
	}
	want := []string{
		"kafka.lisen (file " + path + ":1): unknown; did you mean kafka.listen?",
		"data (file " + path + ":2): want one value",
		"segment.bytes (file " + path + ":3): it is a topic's; the broker-wide default is called log.segment.bytes",
		"it is set in line 4 already",
		"environment PENSTOCK_KAFKA_LISTENER: unknown; did you mean PENSTOCK_KAFKA_LISTEN?",
		"http.listen=nowhere (flag --http-listen): want host:port",
		"log.cleanup.policy=compact (flag --log-cleanup-policy): compaction does not exist yet",
		"broker.id=-1 (flag --broker-id): want a whole number",
		"timeout.idle=0s (flag --timeout-idle): want a duration",
	}
	all := faults.Error()
	for _, w := range want {
		if !strings.Contains(all, w) {
			t.Errorf("no fault says %q", w)
		}
	}
	if len(faults.Faults) != len(want) {
		t.Errorf("%d faults, want %d:\n%s", len(faults.Faults), len(want), all)
	}
}

// TestExposure refuses addresses that others can reach, unless that was asked for.
func TestExposure(t *testing.T) {
	for _, c := range []struct {
		flags map[string]string
		want  string // "" means that it is accepted
	}{
		{map[string]string{"kafka.listen": "127.0.0.1:0"}, ""},
		{map[string]string{"kafka.listen": "127.9.9.9:1", "http.listen": "[::1]:0"}, ""},
		{map[string]string{"kafka.listen": "localhost:9092"}, ""},
		{map[string]string{"kafka.listen": "10.0.0.5:9092"}, "--insecure"},
		{map[string]string{"kafka.listen": "broker:9092"}, "--insecure"},
		{map[string]string{"http.listen": ":8080"}, "--insecure"},
		{map[string]string{"http.listen": "0.0.0.0:8080", "insecure": "true"}, ""},
		{map[string]string{"kafka.listen": "10.0.0.5:9092", "insecure": "true"}, ""},
		{map[string]string{"kafka.listen": ":9092", "insecure": "true"}, "--advertise"},
		{map[string]string{"kafka.listen": "[::]:9092", "insecure": "true"}, "--advertise"},
		{map[string]string{"kafka.listen": "0.0.0.0:9092", "insecure": "true", "advertise": "h"}, ""},
		{map[string]string{"rocket.listen": "10.0.0.5:10911"}, "--insecure"},
		{map[string]string{"rocket.namesrv.listen": ":9876"}, "--insecure"},
		{map[string]string{"rocket.vip.listen": "h:10909"}, "--insecure"},
		{map[string]string{"rocket.listen": ":10911", "insecure": "true"}, "--rocket-advertise"},
		{map[string]string{"rocket.listen": ":10911", "insecure": "true", "advertise": "h:9092"}, ""},
		{map[string]string{"rocket.listen": ":10911", "insecure": "true", "rocket.advertise": "h"}, ""},
		{map[string]string{"rocket.listen": "", "rocket.namesrv.listen": ":9876"}, ""},
		{map[string]string{"rocket.listen": "x"}, "want host:port"},
		{map[string]string{"rocket.vip.listen": "x"}, "want auto"},
		{map[string]string{"rocket.delay.levels": "1s x"}, "want durations"},
		{map[string]string{"rocket.delay.levels": " "}, "want 1 to"},
		{map[string]string{"rocket.broker.name": "a/b"}, "want 1 to 255"},
		{map[string]string{"commit.delete.hours": "4;24"}, "from 0 to 23"},
		{map[string]string{"rocket.message.max": "16MiB"}, "to 15MiB"},
		{map[string]string{"advertise": "0.0.0.0:9092"}, "stands for every address"},
		{map[string]string{"advertise": "h:0"}, "want host"},
		{map[string]string{"advertise": "h:x"}, "want host"},
		{map[string]string{"advertise": "::1"}, ""},
		{map[string]string{"request.memory": "1MiB"}, "request.max.bytes"},
	} {
		_, err := Load(Sources{Flags: c.flags})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%v: %v, want %q", c.flags, err, c.want)
		}
	}
}

func TestBadFiles(t *testing.T) {
	deep := strings.Repeat("{a: ", 20) + "1" + strings.Repeat("}", 20)
	for _, c := range []struct{ content, want string }{
		{"- a\n", "want keys with values"},
		{"a: b: c\n", "mapping values are not allowed"},
		{"x: " + deep + "\n", "want keys with values"},
		{strings.Repeat("# long\n", 1<<18), "at most"},
	} {
		if _, err := Load(Sources{File: writeFile(t, c.content)}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40q: %v, want %q", c.content, err, c.want)
		}
	}
	for _, ok := range []string{"", "# nothing\n", "advertise:\n", "insecure: false\nstop.time: 1s\n"} {
		if _, err := Load(Sources{File: writeFile(t, ok)}); err != nil {
			t.Errorf("%q: %v", ok, err)
		}
	}
	if _, err := Load(Sources{File: "/nonexistent/penstock.yaml"}); err == nil || !strings.Contains(err.Error(), "/nonexistent/penstock.yaml") {
		t.Errorf("missing file: %v", err)
	}
}

func TestParseSize(t *testing.T) {
	for v, want := range map[string]int64{"0": 0, "1": 1, "64KiB": 65536, "64 kb": 65536, "2M": 2 << 20, "1g": 1 << 30, "3TiB": 3 << 40} {
		if got, err := parseSize(v); err != nil || got != want {
			t.Errorf("%q: %d, %v, want %d", v, got, err, want)
		}
	}
	for _, v := range []string{"", "k", "-1", "1.5g", "9999999TiB", "1x", "0x10"} {
		if got, err := parseSize(v); err == nil {
			t.Errorf("%q is accepted as %d", v, got)
		}
	}
}

// FuzzFile demands that no file makes Load panic.
func FuzzFile(f *testing.F) {
	f.Add("kafka:\n  listen: 127.0.0.1:1\n")
	f.Add("a: &x [*x]\n")
	f.Fuzz(func(t *testing.T, content string) {
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if l, err := Load(Sources{File: path}); err == nil && len(l.Values) != len(Keys()) {
			t.Fatal("values are missing")
		}
	})
}
