package node_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/node"
)

// mixed makes a topic of three partitions in each layout, "segment" and "commit", and fills them.
type mixed struct {
	t    *testing.T
	want map[string]map[int32][]string
}

// smallFiles keeps a shared log small enough to be copied by a test.
func smallFiles() map[string]string {
	return map[string]string{"commit.file.bytes": "4MiB", "checkpoint.interval": "1s"}
}

func newMixed(t *testing.T, n *node.Node) *mixed {
	m := &mixed{t, map[string]map[int32][]string{"segment": {}, "commit": {}}}
	adm := kadm.NewClient(client(t, n))
	for _, layout := range []string{"segment", "commit"} {
		if _, err := adm.CreateTopic(within(t), 3, 1, map[string]*string{"penstock.layout": &layout}, layout); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// produce adds records to every partition of both, by an idempotent producer.
func (m *mixed) produce(n *node.Node) {
	m.t.Helper()
	c := client(m.t, n, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	defer c.Close()
	var rs []*kgo.Record
	for topic, parts := range m.want {
		for i := range 90 {
			p := int32(i % 3)
			v := fmt.Sprintf("%s %d %d %s", topic, p, len(parts[p]), strings.Repeat("x", 7*i))
			rs = append(rs, &kgo.Record{Topic: topic, Partition: p, Value: []byte(v)})
			parts[p] = append(parts[p], v)
		}
	}
	if err := c.ProduceSync(within(m.t), rs...).FirstErr(); err != nil {
		m.t.Fatal(err)
	}
}

// check demands that all of it comes out, in order.
func (m *mixed) check(n *node.Node) {
	m.t.Helper()
	for topic, parts := range m.want {
		total := 0
		for _, vs := range parts {
			total += len(vs)
		}
		got := consume(m.t, n, topic, total)
		for p, vs := range parts {
			if !slices.Equal(got[p], vs) {
				m.t.Fatalf("%s partition %d: what came out is not what went in", topic, p)
			}
		}
	}
}

// TestLayouts: topics of both layouts live side by side over clean stops and a kill, after which the leader's epoch has grown in both.
func TestLayouts(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir, smallFiles())
	m := newMixed(t, n)
	m.produce(n)
	m.check(n)
	for range 2 {
		stop(t, n)
		n = start(t, dir, smallFiles())
		if !n.Info().Clean {
			t.Error("a stop that was in order is not taken for one")
		}
		m.check(n)
		m.produce(n)
		m.check(n)
	}
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(copied, "endpoints.json")); err != nil {
		t.Error(err)
	}
	k := start(t, copied, smallFiles())
	if k.Info().Clean {
		t.Error("a kill is taken for a clean stop")
	}
	m.check(k)
	topics, err := kadm.NewClient(client(t, k)).ListTopics(within(t))
	for _, topic := range []string{"segment", "commit"} {
		for _, p := range topics[topic].Partitions {
			if err != nil || p.LeaderEpoch != 1 {
				t.Errorf("%s: %+v, %v: want leader epoch 1", topic, p, err)
			}
		}
	}
	m.produce(k)
	m.check(k)
}

// TestCommitLayout: DeleteRecords, log directories, metrics, look-up by time and deletion, followed by a topic of the same name, serve a topic on
// the shared log as any other.
func TestCommitLayout(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir, smallFiles())
	m := newMixed(t, n)
	m.produce(n)
	adm := kadm.NewClient(client(t, n))
	cut := kadm.Offsets{}
	cut.Add(kadm.Offset{Topic: "commit", Partition: 1, At: 7})
	if got, err := adm.DeleteRecords(within(t), cut); err != nil || got.Error() != nil || got["commit"][1].LowWatermark != 7 {
		t.Fatalf("delete records: %+v, %v", got, err)
	}
	starts, err := adm.ListStartOffsets(within(t), "commit")
	if err != nil || starts["commit"][1].Offset != 7 || starts["commit"][0].Offset != 0 {
		t.Errorf("starts %+v, %v", starts, err)
	}
	if after, err := adm.ListOffsetsAfterMilli(within(t), 1, "commit"); err != nil || after["commit"][0].Offset != 0 || after["commit"][1].Offset != 7 {
		t.Errorf("first after 1970: %+v, %v", after, err)
	}
	logs, err := adm.DescribeAllLogDirs(within(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	sized := 0
	logs.Each(func(d kadm.DescribedLogDir) {
		d.Topics.Each(func(p kadm.DescribedLogDirPartition) {
			if p.Topic == "commit" && p.Size > 500 {
				sized++
			}
		})
	})
	_, body := get(t, n, "/metrics")
	if sized != 3 || !strings.Contains(body, `kafka_log_log_size{partition="2",topic="commit"}`) ||
		!strings.Contains(body, `kafka_topic_partition_oldest_offset{partition="1",topic="commit"} 7`) {
		t.Errorf("%d partitions have a size by DescribeLogDirs, and one in metrics: %v", sized, strings.Contains(body, "kafka_log_log_size"))
	}
	for range 2 {
		topics, err := adm.ListTopics(within(t), "commit")
		if err != nil {
			t.Fatal(err)
		}
		id := topics["commit"].ID
		queues := filepath.Join(dir, "commit", "record", "queues", fmt.Sprintf("%x", id[:]))
		if _, err := os.Stat(queues); err != nil {
			t.Error(err)
		}
		if _, err := adm.DeleteTopic(within(t), "commit"); err != nil {
			t.Fatal(err)
		}
		until(t, "the files of a deleted topic go", func() bool { _, err := os.Stat(queues); return os.IsNotExist(err) })
		layout := "commit"
		if _, err := adm.CreateTopic(within(t), 3, 1, map[string]*string{"penstock.layout": &layout}, "commit"); err != nil {
			t.Fatal(err)
		}
		m.want["commit"] = map[int32][]string{}
		m.produce(n)
		m.check(n)
		stop(t, n)
		n = start(t, dir, smallFiles())
		m.check(n)
		adm = kadm.NewClient(client(t, n))
	}
}

// TestStoresAreLazy: a store that no topic uses leaves no trace, neither at the start nor at the stop; one that is used does.
func TestStoresAreLazy(t *testing.T) {
	dir := t.TempDir()
	there := func() string {
		var out []string
		for _, d := range []string{"segment/message", "commit/record", "commit/message"} {
			if _, err := os.Stat(filepath.Join(dir, d)); err == nil {
				out = append(out, d)
			}
		}
		return strings.Join(out, " ")
	}
	n := start(t, dir, smallFiles())
	if got := there(); got != "" {
		t.Errorf("a new node has made %s", got)
	}
	stop(t, n)
	n = start(t, dir, smallFiles())
	newMixed(t, n).produce(n)
	stop(t, n)
	if got := there(); got != "commit/record" {
		t.Errorf("after the use of commit/record there are %q", got)
	}
}
