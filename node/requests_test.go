package node_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/node"
)

// lines is a log that is written and read at once.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// requests are the lines about requests.
func (l *lines) requests(t *testing.T) (out []map[string]any, all string) {
	t.Helper()
	l.mu.Lock()
	all = l.b.String()
	l.mu.Unlock()
	for s := bufio.NewScanner(strings.NewReader(all)); s.Scan(); {
		var line map[string]any
		if err := json.Unmarshal(s.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if line["msg"] == "request" {
			out = append(out, line)
		}
	}
	return out, all
}

// drive starts a node with a log of requests, and produces, consumes and asks for what is not there. Everything is answered,
// and so told, when it returns.
func drive(t *testing.T, flags map[string]string) *lines {
	t.Helper()
	log := &lines{}
	all := map[string]string{"data": t.TempDir(), "kafka.listen": "127.0.0.1:0", "http.listen": "127.0.0.1:0", "rocket.listen": "127.0.0.1:0", "rocket.namesrv.listen": "127.0.0.1:0"}
	for k, v := range flags {
		all[k] = v
	}
	l, err := node.Load(node.Sources{Flags: all})
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.Start(t.Context(), l.Config, slog.New(slog.NewJSONHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, n) })
	c := client(t, n, kgo.ClientID("teller"), kgo.AllowAutoTopicCreation())
	if err := c.ProduceSync(within(t), &kgo.Record{Topic: "told", Value: []byte("the payload is secret")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	consume(t, n, "told", 1)
	if _, err := kadm.NewClient(c).DeleteTopic(within(t), "nothing"); err == nil {
		t.Fatal("a topic that is not there was deleted")
	}
	dial(t, n.Info().Rocket).put("told-mq", "the payload is secret")
	dial(t, n.Info().NameServer).ask(17, 105, "", "topic", "nothing-mq")
	return log
}

// TestRequestLog demands that nothing is told unless that is asked for, and then who asked what and what went wrong, and
// no payload.
func TestRequestLog(t *testing.T) {
	if rs, _ := drive(t, nil).requests(t); len(rs) != 0 {
		t.Errorf("%d requests are told although nobody asked", len(rs))
	}
	rs, all := drive(t, map[string]string{"logs.requests": "all"}).requests(t)
	apis := map[string]map[string]any{}
	for _, r := range rs {
		if r["client"] == "teller" || r["api"] == "Fetch" {
			apis[r["api"].(string)] = r
		}
		for _, key := range []string{"listener", "api", "api_version", "client", "from", "bytes", "took_ms"} {
			if r[key] == nil {
				t.Errorf("%v does not tell its %s", r, key)
			}
		}
	}
	if p := apis["Produce"]; p == nil || p["bytes"].(float64) < 50 || p["error"] != nil || !strings.HasPrefix(p["from"].(string), "127.0.0.1:") || p["listener"] != "kafka" {
		t.Errorf("Produce: %v", p)
	}
	if d := apis["DeleteTopics"]; d == nil || d["error"] != "UNKNOWN_TOPIC_OR_PARTITION" || d["api_version"].(float64) < 1 {
		t.Errorf("DeleteTopics: %v", d)
	}
	for _, r := range rs {
		if r["listener"] == "rocket" {
			apis[r["api"].(string)] = r
		}
	}
	if p := apis["SEND_MESSAGE"]; p == nil || p["bytes"].(float64) < 50 || p["error"] != nil || !strings.HasPrefix(p["from"].(string), "127.0.0.1:") {
		t.Errorf("SEND_MESSAGE: %v", p)
	}
	if p := apis["GET_ROUTEINFO_BY_TOPIC"]; p == nil || p["error"] != "TOPIC_NOT_EXIST" {
		t.Errorf("GET_ROUTEINFO_BY_TOPIC: %v", p)
	}
	if apis["Fetch"] == nil || apis["ApiVersions"] == nil {
		t.Errorf("told of %v", apis)
	}
	if strings.Contains(all, "secret") {
		t.Error("payload is in the log")
	}
}

// TestRequestLogSlow demands that only what failed is told where nothing is slow, and one in so many where that is asked for.
func TestRequestLogSlow(t *testing.T) {
	rs, _ := drive(t, map[string]string{"logs.requests": "slow", "logs.requests.slow": "1h"}).requests(t)
	for _, r := range rs {
		if r["error"] == nil {
			t.Errorf("told of %v", r)
		}
	}
	if len(rs) == 0 {
		t.Error("the failed request is not told")
	}
	if rs, _ := drive(t, map[string]string{"logs.requests": "slow", "logs.requests.slow": "1ns"}).requests(t); len(rs) < 3 {
		t.Errorf("all is slow, and %d are told", len(rs))
	}
	if rs, _ := drive(t, map[string]string{"logs.requests": "all", "logs.requests.every": "1000000"}).requests(t); len(rs) != 1 {
		t.Errorf("%d are told, want the first alone", len(rs))
	}
}
