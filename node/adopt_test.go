package node_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"penstock"
	"penstock/node"
)

// kafkaDir makes what a Kafka broker's log directory holds, out of what a node wrote: the files are the same, but lie in
// directories named by topic. It returns the values by topic and partition.
func kafkaDir(t *testing.T) (dir string, want map[string]map[int32][]string) {
	t.Helper()
	dir, own := t.TempDir(), t.TempDir()
	n := start(t, own, map[string]string{"log.segment.bytes": "16384", "penstock.durability": "relaxed"})
	adm := kadm.NewClient(client(t, n))
	if _, err := adm.CreateTopics(within(t), 2, 1, nil, "a.b-c", "orders", "__kept_by_a_tool"); err != nil {
		t.Fatal(err)
	}
	want = map[string]map[int32][]string{}
	c := client(t, n, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerBatchMaxBytes(4096))
	for _, topic := range []string{"a.b-c", "orders", "__kept_by_a_tool"} {
		want[topic] = map[int32][]string{}
		for i := range 100 {
			v := fmt.Sprintf("%s %d %s", topic, i, strings.Repeat("y", 1000))
			r := &kgo.Record{Topic: topic, Partition: int32(i % 2), Value: []byte(v)}
			if err := c.ProduceSync(within(t), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
			want[topic][int32(i%2)] = append(want[topic][int32(i%2)], v)
		}
	}
	topics, err := adm.ListTopicsWithInternal(within(t))
	if err != nil {
		t.Fatal(err)
	}
	stop(t, n)
	for name, topic := range topics {
		for p := range 2 {
			from, to := filepath.Join(own, "logs", fmt.Sprintf("%x", topic.ID[:]), fmt.Sprint(p)), filepath.Join(dir, fmt.Sprintf("%s-%d", name, p))
			if err := os.CopyFS(to, os.DirFS(from)); err != nil {
				t.Fatal(err)
			}
			for _, pattern := range []string{"*.bases", "*.state", "segments"} {
				files, _ := filepath.Glob(filepath.Join(to, pattern))
				for _, f := range files {
					if err := os.Remove(f); err != nil {
						t.Fatal(err)
					}
				}
			}
			epochs := "0\n1\n5 0\n" // as after five elections
			if err := os.WriteFile(filepath.Join(to, "leader-epoch-checkpoint"), []byte(epochs), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, other := range []string{"cleaner-offset-checkpoint", "meta.properties", "recovery-point-offset-checkpoint"} {
		if err := os.WriteFile(filepath.Join(dir, other), []byte("0\n0\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "orders-1.0123456789abcdef0123456789abcdef-delete"), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir, want
}

// snapshot is every file of a directory with its content and modification time.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		fmt.Fprintf(&b, "%s %v %d %x\n", path, info.ModTime(), info.Size(), data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func adopt(t *testing.T, o node.AdoptOptions) (*node.Adopted, error) {
	t.Helper()
	return node.Adopt(t.Context(), o)
}

// TestAdopt takes over a directory, serves it, writes to it, and finds the source as it was.
func TestAdopt(t *testing.T) {
	for _, link := range []bool{false, true} {
		t.Run(fmt.Sprintf("link=%v", link), func(t *testing.T) {
			source, want := kafkaDir(t)
			before := snapshot(t, source)
			// Beside the source, so that links are possible.
			data := filepath.Join(filepath.Dir(source), fmt.Sprintf("data-%v", link))
			last := node.AdoptProgress{}
			sum, err := adopt(t, node.AdoptOptions{Source: source, Data: data, Link: link, Progress: func(p node.AdoptProgress) { last = p }})
			if err != nil {
				t.Fatal(err)
			}
			if len(sum.Topics) != 2 || sum.Topics[0].Name != "a.b-c" || sum.Topics[0].Partitions != 2 || sum.Topics[0].Records != 100 || sum.Topics[0].Epoch != 6 {
				t.Errorf("summary %+v", sum)
			}
			if (sum.Linked > 0) != link || sum.Copied == 0 || last.Partitions != 4 || last.Bytes != last.OfBytes {
				t.Errorf("linked %d, copied %d, progress %+v", sum.Linked, sum.Copied, last)
			}
			if notes := strings.Join(sum.Notes, "\n"); !strings.Contains(notes, "2 partitions of internal topics") || !strings.Contains(notes, "-delete is no partition") {
				t.Errorf("notes %q", notes)
			}
			n := start(t, data, nil)
			if !n.Info().Clean {
				t.Error("the first start after it has to recover")
			}
			for _, topic := range []string{"a.b-c", "orders"} {
				if got := consume(t, n, topic, 100); !slices.Equal(got[0], want[topic][0]) || !slices.Equal(got[1], want[topic][1]) {
					t.Errorf("%s: what came out is not what was there", topic)
				}
			}
			topics, err := kadm.NewClient(client(t, n)).ListTopics(within(t))
			if err != nil || len(topics) != 2 || penstock.TopicID(topics["orders"].ID) != sum.Topics[1].ID || topics["orders"].Partitions[0].LeaderEpoch != 6 {
				t.Errorf("topics %v, %v", topics.Names(), err)
			}
			c := client(t, n, kgo.RecordPartitioner(kgo.ManualPartitioner()))
			if err := c.ProduceSync(within(t), &kgo.Record{Topic: "orders", Value: []byte("new")}).FirstErr(); err != nil {
				t.Fatal(err)
			}
			if got := consume(t, n, "orders", 101)[0]; got[50] != "new" {
				t.Errorf("the new record is not behind the old ones: %.20q", got[50])
			}
			stop(t, n)
			if snapshot(t, source) != before {
				t.Error("the source was changed")
			}
			again, err := adopt(t, node.AdoptOptions{Source: source, Data: data, Link: link, Internal: true})
			if err != nil || len(again.Topics) != 1 || again.Topics[0].Name != "__kept_by_a_tool" {
				t.Errorf("second run, with internal topics: %+v, %v", again, err)
			}
		})
	}
}

// TestAdoptInterrupted stops it at every step in turn; run again it must come to the same end.
func TestAdoptInterrupted(t *testing.T) {
	source, want := kafkaDir(t)
	data := t.TempDir()
	for stopAt := 1; ; stopAt += 3 {
		ctx, cancel := context.WithCancel(t.Context())
		steps := 0
		sum, err := node.Adopt(ctx, node.AdoptOptions{Source: source, Data: data, Progress: func(node.AdoptProgress) {
			if steps++; steps == stopAt {
				cancel()
			}
		}})
		cancel()
		if err == nil {
			if len(sum.Topics) == 2 {
				t.Error("it was never interrupted")
			}
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("interrupted at step %d: %v", stopAt, err)
		}
	}
	n := start(t, data, nil)
	for _, topic := range []string{"a.b-c", "orders"} {
		if got := consume(t, n, topic, 100); !slices.Equal(got[0], want[topic][0]) || !slices.Equal(got[1], want[topic][1]) {
			t.Errorf("%s: what came out is not what was there", topic)
		}
	}
}

// TestAdoptRefuses shows what stands in the way, all of it at once, before anything is done.
func TestAdoptRefuses(t *testing.T) {
	source, _ := kafkaDir(t)
	if _, err := adopt(t, node.AdoptOptions{Source: filepath.Join(source, "none"), Data: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "log.dirs") {
		t.Errorf("no such directory: %v", err)
	}
	if _, err := adopt(t, node.AdoptOptions{Source: t.TempDir(), Data: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "holds no partitions") {
		t.Errorf("empty directory: %v", err)
	}
	data := t.TempDir()
	n := start(t, data, nil)
	if _, err := kadm.NewClient(client(t, n)).CreateTopics(within(t), 1, 1, nil, "a.b-c", "orders"); err != nil {
		t.Fatal(err)
	}
	if _, err := adopt(t, node.AdoptOptions{Source: source, Data: data}); err == nil || !strings.Contains(err.Error(), "Stop the broker") {
		t.Errorf("broker runs: %v", err)
	}
	stop(t, n)
	_, err := adopt(t, node.AdoptOptions{Source: source, Data: data})
	if err == nil || !strings.Contains(err.Error(), `"a.b-c" is there already`) || !strings.Contains(err.Error(), `"orders" is there already`) {
		t.Errorf("topics of other ids: %v", err)
	}
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(source, "orders-0", "partition.metadata"), []byte("version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := adopt(t, node.AdoptOptions{Source: source, Data: other}); err == nil || !strings.Contains(err.Error(), "another partition") {
		t.Errorf("two ids: %v", err)
	}
	if es, _ := os.ReadDir(other); len(es) != 0 {
		t.Errorf("%v was made although nothing was taken over", es)
	}
}

// TestAdoptDamage shows that damage is told, and a torn end left out.
func TestAdoptDamage(t *testing.T) {
	source, _ := kafkaDir(t)
	logs, _ := filepath.Glob(filepath.Join(source, "orders-0", "*.log"))
	f, err := os.OpenFile(logs[len(logs)-1], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(source, "orders-1", "partition.metadata")); err != nil {
		t.Fatal(err)
	}
	sum, err := adopt(t, node.AdoptOptions{Source: source, Data: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if notes := strings.Join(sum.Notes, "\n"); !strings.Contains(notes, `"orders" partition 0: 100 bytes at the end`) {
		t.Errorf("notes %q", notes)
	}
	if sum.Topics[1].Records != 100 {
		t.Errorf("%+v", sum.Topics[1])
	}
}
