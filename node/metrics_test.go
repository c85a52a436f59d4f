package node_test

import (
	"bufio"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock/node"
)

// exposed is one scrape, held to what Prometheus demands.
type exposed struct {
	kinds  map[string]string // by name of the family
	helps  map[string]string
	series map[string]string // value by name and labels
}

var sampleLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\]|\\.)*",?)*\})? (\S+)$`)

// scrape reads /metrics strictly: each family has one HELP and one TYPE before its samples, all its samples stand together, and no
// series comes twice.
func scrape(t *testing.T, n *node.Node) *exposed {
	t.Helper()
	code, body := get(t, n, "/metrics")
	if code != http.StatusOK {
		t.Fatalf("metrics: %d %s", code, body)
	}
	e := &exposed{map[string]string{}, map[string]string{}, map[string]string{}}
	family := ""
	for s := bufio.NewScanner(strings.NewReader(body)); s.Scan(); {
		line := s.Text()
		if help, ok := strings.CutPrefix(line, "# HELP "); ok {
			name, text, _ := strings.Cut(help, " ")
			if e.helps[name] != "" || text == "" {
				t.Errorf("%s: help %q after %q", name, text, e.helps[name])
			}
			family, e.helps[name] = name, text
			continue
		}
		if kind, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, text, _ := strings.Cut(kind, " ")
			if name != family || e.kinds[name] != "" {
				t.Errorf("type of %s comes in the family %s, after %q", name, family, e.kinds[name])
			}
			e.kinds[name] = text
			continue
		}
		m := sampleLine.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("line %q is no sample", line)
		}
		base := m[1]
		if e.kinds[family] == "histogram" || e.kinds[family] == "summary" {
			base = regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(base, "")
		}
		if base != family || e.kinds[family] == "" {
			t.Errorf("%s stands in the family %s, %s", m[1], family, e.kinds[family])
		}
		if _, twice := e.series[m[1]+m[2]]; twice {
			t.Errorf("%s comes twice", m[1]+m[2])
		}
		e.series[m[1]+m[2]] = m[3]
	}
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	if err != nil {
		t.Errorf("Prometheus cannot read it: %v", err)
	}
	for _, p := range problems {
		// Kafka's own names are as its exporters have them.
		if strings.HasPrefix(p.Metric, "penstock_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	return e
}

// named are the metrics that dashboards for Kafka look for: of kafka_exporter, and of the JMX exporter.
const named = `kafka_brokers kafka_broker_info kafka_topic_partitions kafka_topic_partition_current_offset kafka_topic_partition_oldest_offset
kafka_topic_partition_in_sync_replica kafka_topic_partition_leader kafka_topic_partition_leader_is_preferred kafka_topic_partition_replicas
kafka_topic_partition_under_replicated_partition kafka_consumergroup_current_offset kafka_consumergroup_current_offset_sum
kafka_consumergroup_lag kafka_consumergroup_lag_sum kafka_consumergroup_members
kafka_server_brokertopicmetrics_messagesin_total kafka_server_brokertopicmetrics_bytesin_total kafka_server_brokertopicmetrics_bytesout_total
kafka_server_brokertopicmetrics_totalproducerequests_total kafka_server_brokertopicmetrics_totalfetchrequests_total
kafka_server_brokertopicmetrics_failedproducerequests_total kafka_server_brokertopicmetrics_failedfetchrequests_total
kafka_server_replicamanager_leadercount kafka_server_replicamanager_partitioncount kafka_server_replicamanager_underreplicatedpartitions
kafka_cluster_partition_atminisr kafka_cluster_partition_underminisr kafka_cluster_partition_replicascount
kafka_controller_kafkacontroller_activecontrollercount kafka_controller_kafkacontroller_offlinepartitionscount
kafka_controller_controllerstats_uncleanleaderelections_total kafka_network_socketserver_networkprocessoravgidle_percent
kafka_server_kafkarequesthandlerpool_requesthandleravgidle_percent kafka_server_socket_server_metrics_connection_count kafka_log_log_size
kafka_server_kafkaserver_linux_disk_read_bytes kafka_server_kafkaserver_linux_disk_write_bytes
penstock_group_lag_records penstock_group_lag_bytes penstock_group_lag_seconds penstock_copy_bytes_total`

// TestMetrics holds /metrics to Prometheus' rules with everything in it, and to the names that dashboards look for.
func TestMetrics(t *testing.T) {
	log := &lines{}
	l, err := node.Load(node.Sources{Flags: map[string]string{
		"data": t.TempDir(), "kafka.listen": "127.0.0.1:0", "http.listen": "127.0.0.1:0", "rocket.listen": "127.0.0.1:0", "rocket.namesrv.listen": "127.0.0.1:0", "metrics.names": "both", "group.initial.delay": "0s",
	}})
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.Start(t.Context(), l.Config, slog.New(slog.NewJSONHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, n) })
	c := client(t, n, kgo.AllowAutoTopicCreation())
	for i := range 10 {
		old := &kgo.Record{Topic: "seen", Value: []byte(fmt.Sprint("record ", i)), Timestamp: time.Now().Add(-time.Hour)}
		if err := c.ProduceSync(within(t), old).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	// A member that reads everything and commits three, which leaves seven; and a name that no label may have as it is.
	member := client(t, n, kgo.ConsumerGroup("readers"), kgo.ConsumeTopics("seen"), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err := member.PollFetches(within(t)).Err(); err != nil {
		t.Fatal(err)
	}
	adm := kadm.NewClient(c)
	commit := func(group string, at int64) {
		t.Helper()
		all := kadm.Offsets{}
		all.Add(kadm.Offset{Topic: "seen", Partition: 0, At: at, LeaderEpoch: -1})
		if err := adm.CommitAllOffsets(within(t), group, all); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 1)
	member.CommitOffsetsSync(within(t), map[string]map[int32]kgo.EpochOffset{"seen": {0: {Epoch: -1, Offset: 3}}},
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, _ *kmsg.OffsetCommitResponse, err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	commit("odd \"name\"\n\xff", 10)
	e := scrape(t, n)
	for name := range strings.FieldsSeq(named) {
		if e.kinds[name] == "" {
			t.Errorf("there is no %s", name)
		}
	}
	for series, want := range map[string]string{
		`kafka_consumergroup_lag{consumergroup="readers",partition="0",topic="seen"}`:             "7",
		`kafka_consumergroup_lag_sum{consumergroup="readers",topic="seen"}`:                       "7",
		`kafka_consumergroup_current_offset{consumergroup="readers",partition="0",topic="seen"}`:  "3",
		`kafka_consumergroup_members{consumergroup="readers"}`:                                    "1",
		`penstock_group_lag_records{group="readers",topic="seen"}`:                                "7",
		"kafka_consumergroup_lag_sum{consumergroup=\"odd \\\"name\\\"\\n\uFFFD\",topic=\"seen\"}": "0",
		`penstock_group_offsets_beyond_cap`:                                                       "0",
		`kafka_server_brokertopicmetrics_messagesinpersec_total{topic="seen"}`:                    "10",
	} {
		if e.series[series] != want {
			t.Errorf("%s is %q, want %s", series, e.series[series], want)
		}
	}
	for series, least := range map[string]float64{
		`penstock_group_lag_seconds{group="readers",topic="seen"}`: 3600,
		`penstock_group_lag_bytes{group="readers",topic="seen"}`:   7 * 60,
	} {
		var v float64
		if _, err := fmt.Sscan(e.series[series], &v); err != nil || v < least {
			t.Errorf("%s is %q, want at least %v", series, e.series[series], least)
		}
	}
	for name, help := range e.helps {
		if strings.HasPrefix(name, "penstock_") && !strings.HasSuffix(help, ".") {
			t.Errorf("%s: help is no sentence: %q", name, help)
		}
		if strings.HasPrefix(name, "penstock_") && odd.MatchString(name) {
			t.Errorf("%s: want bytes, seconds or a ratio", name)
		}
	}
	if _, all := log.requests(t); strings.Contains(all, "gathering") {
		t.Errorf("the scrape had faults:\n%s", all)
	}
}

// odd are units that are not Prometheus' base units; promlint knows more of them.
var odd = regexp.MustCompile(`_(ms|us|ns|millis|micros|nanos|minutes|hours|days|kb|mb|gb|kib|mib|gib|percent|pct)(_|$)`)

// TestMetricsDocumented demands that docs/metrics.md names what dashboards look for.
func TestMetricsDocumented(t *testing.T) {
	b, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.FieldsSeq(named) {
		if name != "penstock_copy_bytes_total" && !strings.Contains(string(b), "`"+name+"`") {
			t.Errorf("docs/metrics.md does not name %s", name)
		}
	}
}

// TestMetricCaps demands that what grows with topics, partitions and groups is bounded, and what is left out is counted.
func TestMetricCaps(t *testing.T) {
	n := start(t, t.TempDir(), map[string]string{"metrics.topics": "2", "metrics.partitions": "3", "metrics.offsets": "4", "metrics.offsets.looks": "0"})
	adm := kadm.NewClient(client(t, n))
	topics := []string{"a", "b", "c"}
	if _, err := adm.CreateTopics(within(t), 4, 1, nil, topics...); err != nil {
		t.Fatal(err)
	}
	for _, group := range []string{"g", "h"} {
		all := kadm.Offsets{}
		for _, topic := range topics {
			all.Add(kadm.Offset{Topic: topic, Partition: 1, At: 0, LeaderEpoch: -1})
		}
		if err := adm.CommitAllOffsets(within(t), group, all); err != nil {
			t.Fatal(err)
		}
	}
	e := scrape(t, n)
	count := func(name string) (n int) {
		for s := range e.series {
			if strings.HasPrefix(s, name+"{") {
				n++
			}
		}
		return n
	}
	// The topic of the journal is there beside the three, and comes first by name.
	for name, want := range map[string]int{
		"kafka_topic_partitions": 3, "kafka_topic_partition_current_offset": 3,
		"kafka_consumergroup_current_offset": 2, "kafka_consumergroup_lag_sum": 3, "penstock_group_lag_bytes": 3,
	} {
		if got := count(name); got != want {
			t.Errorf("%d of %s, want %d", got, name, want)
		}
	}
	if got := e.series["penstock_group_offsets_beyond_cap"]; got != "2" {
		t.Errorf("%s offsets beyond the cap, want 2", got)
	}
}
