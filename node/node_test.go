package node_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/node"
)

// patience bounds a test; nothing waits as long when all is well.
const patience = 30 * time.Second

// testLog shows what a node logs if the test fails.
type testLog struct{ t testing.TB }

// Write logs a line.
func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("%s", strings.TrimSpace(string(p)))
	return len(p), nil
}

// start runs a node on free ports.
func start(t testing.TB, dir string, flags map[string]string) *node.Node {
	t.Helper()
	all := map[string]string{"data": dir, "kafka.listen": "127.0.0.1:0", "http.listen": "127.0.0.1:0", "rocket.listen": "127.0.0.1:0", "rocket.namesrv.listen": "127.0.0.1:0"}
	for k, v := range flags {
		all[k] = v
	}
	l, err := node.Load(node.Sources{Flags: all})
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.Start(t.Context(), l.Config, slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, n) })
	return n
}

func stop(t testing.TB, n *node.Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func client(t testing.TB, n *node.Node, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(n.Info().Kafka)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// consume reads n records of a topic from its beginning and returns their values by partition.
func consume(t testing.TB, nd *node.Node, topic string, n int) map[int32][]string {
	t.Helper()
	c := client(t, nd, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer c.Close()
	ctx := within(t)
	got := map[int32][]string{}
	for seen := 0; seen < n; {
		fs := c.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			t.Fatalf("after %d of %d records: %v", seen, n, err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			if int64(len(got[r.Partition])) != r.Offset {
				t.Fatalf("partition %d: offset %d after %d records", r.Partition, r.Offset, len(got[r.Partition]))
			}
			got[r.Partition] = append(got[r.Partition], string(r.Value))
			seen++
		})
	}
	return got
}

// TestRoad goes the whole way: a topic is made, an idempotent producer fills it with each codec, a consumer reads it, and
// all of it is there after a restart, and after a second one with more.
func TestRoad(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir, nil)
	adm := kadm.NewClient(client(t, n))
	if _, err := adm.CreateTopic(within(t), 3, 1, nil, "road"); err != nil {
		t.Fatal(err)
	}
	want := map[int32][]string{}
	total := 0
	produce := func(n *node.Node, codec kgo.CompressionCodec) {
		c := client(t, n, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(codec))
		defer c.Close()
		var rs []*kgo.Record
		for i := range 300 {
			v := fmt.Sprintf("value %d %s", i, strings.Repeat("x", i))
			rs = append(rs, &kgo.Record{Topic: "road", Partition: int32(i % 3), Value: []byte(v)})
			want[int32(i%3)] = append(want[int32(i%3)], v)
		}
		if err := c.ProduceSync(within(t), rs...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		total += len(rs)
	}
	check := func(n *node.Node) {
		t.Helper()
		if got := consume(t, n, "road", total); !slices.Equal(got[0], want[0]) || !slices.Equal(got[1], want[1]) || !slices.Equal(got[2], want[2]) {
			t.Fatal("what came out is not what went in")
		}
	}
	for _, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		produce(n, codec)
	}
	check(n)
	for range 2 {
		stop(t, n)
		n = start(t, dir, nil)
		if !n.Info().Clean {
			t.Error("a stop that was in order is not taken for one")
		}
		check(n)
		produce(n, kgo.NoCompression())
		check(n)
	}
}

// TestTopics creates, finds and deletes topics, and shows that a deleted topic's files go.
func TestTopics(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir, map[string]string{"default.partitions": "2"})
	adm := kadm.NewClient(client(t, n))
	ctx := within(t)
	if _, err := adm.CreateTopic(ctx, 200, 1, map[string]*string{"retention.ms": kadm.StringPtr("60000")}, "wide"); err != nil {
		t.Fatal(err)
	}
	if _, err := adm.CreateTopic(ctx, 1, 1, nil, "wide"); !errors.Is(err, kerr.TopicAlreadyExists) {
		t.Errorf("second creation: %v", err)
	}
	if _, err := adm.CreateTopic(ctx, 1, 1, map[string]*string{"cleanup.policy": kadm.StringPtr("compact")}, "c"); !errors.Is(err, kerr.InvalidConfig) {
		t.Errorf("compacted topic: %v", err)
	}
	auto := client(t, n, kgo.AllowAutoTopicCreation())
	if err := auto.ProduceSync(ctx, &kgo.Record{Topic: "auto", Value: []byte("v")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	topics, err := adm.ListTopics(ctx)
	if err != nil || len(topics) != 2 || len(topics["wide"].Partitions) != 200 || len(topics["auto"].Partitions) != 2 {
		t.Fatalf("%d topics, %d and %d partitions, %v", len(topics), len(topics["wide"].Partitions), len(topics["auto"].Partitions), err)
	}
	logs := func(id kadm.TopicID) string { return filepath.Join(dir, "logs", fmt.Sprintf("%x", id[:])) }
	id := topics["wide"].ID
	last := client(t, n, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err := last.ProduceSync(ctx, &kgo.Record{Topic: "wide", Partition: 199, Value: []byte("v")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(logs(id), "199")); err != nil {
		t.Fatal(err)
	}
	for _, topic := range []string{"wide", "auto"} {
		if r, err := adm.DeleteTopics(ctx, topic); err != nil || r[topic].Err != nil {
			t.Fatalf("%v, %v", r, err)
		}
	}
	for _, err := os.Stat(logs(id)); !errors.Is(err, os.ErrNotExist); _, err = os.Stat(logs(id)) { // they go in the background
		if ctx.Err() != nil {
			t.Fatalf("files of the deleted topic: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	// A client of its own, because clients remember topics.
	if topics, err := kadm.NewClient(client(t, n)).ListTopics(ctx); err != nil || len(topics) != 0 {
		t.Errorf("%d topics left, %v", len(topics), err)
	}
}

// TestDescribe shows what Kafka's tools are told of the broker and of a topic, and where each value comes from.
func TestDescribe(t *testing.T) {
	n := start(t, t.TempDir(), map[string]string{"log.segment.bytes": "65536", "broker.rack": "r1"})
	adm := kadm.NewClient(client(t, n))
	if _, err := adm.CreateTopic(within(t), 1, 1, map[string]*string{"retention.ms": kadm.StringPtr("5000")}, "a"); err != nil {
		t.Fatal(err)
	}
	find := func(rs kadm.ResourceConfigs, err error, key string) kadm.Config {
		t.Helper()
		if err != nil || len(rs) != 1 || rs[0].Err != nil {
			t.Fatalf("%v, %v", rs, err)
		}
		for _, c := range rs[0].Configs {
			if c.Key == key {
				return c
			}
		}
		t.Fatalf("%s is not described", key)
		return kadm.Config{}
	}
	topic, err := adm.DescribeTopicConfigs(within(t), "a")
	for key, want := range map[string]string{
		"retention.ms": "5000 DYNAMIC_TOPIC_CONFIG", "segment.bytes": "65536 STATIC_BROKER_CONFIG", "segment.ms": "604800000 DEFAULT_CONFIG",
	} {
		if c := find(topic, err, key); c.MaybeValue()+" "+c.Source.String() != want {
			t.Errorf("topic's %s: %s %v, want %s", key, c.MaybeValue(), c.Source, want)
		}
	}
	broker, err := adm.DescribeBrokerConfigs(within(t), 0)
	for key, want := range map[string]string{
		"listeners": "PLAINTEXT://" + n.Info().Kafka, "broker.rack": "r1", "log.segment.bytes": "65536", "connections.max.idle.ms": "600000",
	} {
		if c := find(broker, err, key); c.MaybeValue() != want {
			t.Errorf("broker's %s: %s, want %s", key, c.MaybeValue(), want)
		}
	}
}

// TestUnclean copies the data directory of a running node, as a kill leaves it, and starts on the copy: everything
// acknowledged is there, and the leader epoch has grown.
func TestUnclean(t *testing.T) {
	dir, copied := t.TempDir(), t.TempDir()
	n := start(t, dir, nil)
	c := client(t, n, kgo.AllowAutoTopicCreation(), kgo.DefaultProduceTopic("a"))
	var rs []*kgo.Record
	for i := range 100 {
		rs = append(rs, kgo.StringRecord(fmt.Sprint(i)))
	}
	if err := c.ProduceSync(within(t), rs...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(copied, "endpoints.json")); err != nil {
		t.Error(err)
	}
	m := start(t, copied, nil)
	if m.Info().Clean {
		t.Error("a copy of a running node's directory is taken for a clean stop")
	}
	if got := consume(t, m, "a", 100); len(got[0]) != 100 {
		t.Errorf("%d records", len(got[0]))
	}
	topics, err := kadm.NewClient(client(t, m)).ListTopics(within(t))
	if err != nil || topics["a"].Partitions[0].LeaderEpoch != 1 {
		t.Errorf("%+v, %v: want leader epoch 1", topics["a"], err)
	}
	if err := client(t, m, kgo.DefaultProduceTopic("a")).ProduceSync(within(t), kgo.StringRecord("more")).FirstErr(); err != nil {
		t.Error(err)
	}
}

func get(t testing.TB, n *node.Node, path string) (int, string) {
	t.Helper()
	r, err := http.Get("http://" + n.Info().HTTP + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

// TestHTTP reads everything that the HTTP listener has, with data in it.
func TestHTTP(t *testing.T) {
	n := start(t, t.TempDir(), map[string]string{"metrics.topics": "1"})
	big := strings.Repeat("x", 300_000)
	for _, topic := range []string{"a", "b", "c"} {
		c := client(t, n, kgo.AllowAutoTopicCreation(), kgo.ProducerBatchCompression(kgo.NoCompression()))
		if err := c.ProduceSync(within(t), &kgo.Record{Topic: topic, Value: []byte(big)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		consume(t, n, topic, 1)
	}
	if code, body := get(t, n, "/livez"); code != 200 || body != "live\n" {
		t.Errorf("livez: %d %q", code, body)
	}
	if code, body := get(t, n, "/readyz"); code != 200 || body != "ready\n" {
		t.Errorf("readyz: %d %q", code, body)
	}
	if code, body := get(t, n, "/readyz?verbose"); code != 200 || body != "[+] started\n[+] data directory\n[+] metadata\nready\n" {
		t.Errorf("readyz: %d %q", code, body)
	}
	_, body := get(t, n, "/metrics")
	for _, want := range []string{
		`kafka_server_brokertopicmetrics_messagesin_total{topic="a"} 1`,
		`kafka_server_brokertopicmetrics_messagesin_total{topic="(other)"} 2`,
		`kafka_topic_partition_current_offset{partition="0",topic="a"} 1`,
		`kafka_topic_partitions{topic="(other)"} 2`,
		`kafka_brokers 1`,
		`kafka_server_replicamanager_leadercount 3`,
		`penstock_copy_bytes_total{listener="kafka",path="sendfile",reason="",topic="a"}`,
		`penstock_promise_seconds_count 3`,
		`kafka_server_brokertopicmetrics_totalproducerequests_total`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("metrics have no %s", want)
		}
	}
	if strings.Contains(body, `topic="b"`) {
		t.Error("a topic beyond the cap has series of its own")
	}
	var copies node.Copies
	code, body := get(t, n, "/api/copies")
	if err := json.Unmarshal([]byte(body), &copies); err != nil || code != 200 || len(copies.Lines) != 3 {
		t.Fatalf("copies: %d %q, %v", code, body, err)
	}
	for _, l := range copies.Lines {
		if l.Path != "sendfile" || l.Bytes < int64(len(big)) || l.Listener != "kafka" {
			t.Errorf("copies: %+v", l)
		}
	}
	if code, _ := get(t, n, "/debug/pprof/"); code != 200 {
		t.Errorf("profiles on loopback: %d", code)
	}
	if code, _ := get(t, n, "/nothing"); code != 404 {
		t.Errorf("unknown path: %d", code)
	}
	if r, err := http.Post("http://"+n.Info().HTTP+"/api/copies", "", nil); err != nil || r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %v, %v", r, err)
	}
}

// TestEndpoints shows that the file is there while the node runs, and says where.
func TestEndpoints(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir, map[string]string{"advertise": "broker.example"})
	var got node.Info
	b, err := os.ReadFile(filepath.Join(dir, "endpoints.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	i := n.Info()
	_, port, _ := strings.Cut(i.Kafka, ":")
	if got.Kafka != i.Kafka || got.HTTP != i.HTTP || got.PID != os.Getpid() || got.Advertised != "broker.example:"+port || strings.HasSuffix(i.Kafka, ":0") {
		t.Errorf("%+v", got)
	}
	stop(t, n)
	if _, err := os.Stat(filepath.Join(dir, "endpoints.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after the stop: %v", err)
	}
}

// TestTwice shows what the second of two nodes says that want the same directory, or the same address, and that it leaves
// nothing behind.
func TestTwice(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir, nil)
	second := func(flags map[string]string, want string) {
		t.Helper()
		const slack = 8 // goroutines that the first node may have started meanwhile; a node has some forty
		before := runtime.NumGoroutine()
		l, err := node.Load(node.Sources{Flags: flags})
		if err != nil {
			t.Fatal(err)
		}
		m, err := node.Start(t.Context(), l.Config, slog.New(slog.DiscardHandler))
		if err == nil {
			stop(t, m)
			t.Fatalf("%v: it started", flags)
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", flags, err, want)
		}
		for limit := time.Now().Add(patience); runtime.NumGoroutine() > before+slack; {
			if time.Now().After(limit) {
				t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
			}
			time.Sleep(time.Millisecond)
		}
	}
	second(map[string]string{"data": dir, "kafka.listen": "127.0.0.1:0", "http.listen": "127.0.0.1:0", "rocket.listen": "127.0.0.1:0", "rocket.namesrv.listen": "127.0.0.1:0"}, fmt.Sprintf("in use by process %d", os.Getpid()))
	second(map[string]string{"data": t.TempDir(), "kafka.listen": n.Info().Kafka, "http.listen": "127.0.0.1:0", "rocket.listen": ""}, "--kafka-listen")
	second(map[string]string{"data": t.TempDir(), "kafka.listen": "127.0.0.1:0", "http.listen": n.Info().HTTP, "rocket.listen": ""}, "--http-listen")
	for key, addr := range map[string]string{"rocket.listen": n.Info().Rocket, "rocket.namesrv.listen": n.Info().NameServer, "rocket.vip.listen": n.Info().Rocket} {
		flags := map[string]string{"data": t.TempDir(), "kafka.listen": "127.0.0.1:0", "http.listen": "127.0.0.1:0", "rocket.listen": "127.0.0.1:0", "rocket.namesrv.listen": ""}
		flags[key] = addr
		second(flags, "--"+node.FlagName(key))
	}
}

// TestStopIsQuick shows that a stop does not wait for a consumer that waits for data, and answers it.
func TestStopIsQuick(t *testing.T) {
	n := start(t, t.TempDir(), map[string]string{"stop.time": "30s"})
	if _, err := kadm.NewClient(client(t, n)).CreateTopic(within(t), 1, 1, nil, "a"); err != nil {
		t.Fatal(err)
	}
	c := client(t, n, kgo.ConsumeTopics("a"), kgo.FetchMaxWait(25*time.Second))
	polled := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(polled)
		c.PollFetches(ctx)
	}()
	for {
		if _, body := get(t, n, "/metrics"); strings.Contains(body, `penstock_kafka_fetches_waiting{listener="kafka"} 1`) {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	began := time.Now()
	stop(t, n)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the stop waited %v for a long poll", took)
	}
	cancel()
	<-polled
}
