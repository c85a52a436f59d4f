package node_test

import (
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

// messageNode starts a node with a topic of messages that has three partitions, and records in all of them.
func messageNode(t *testing.T, data string) (n *node.Node, want map[int32][]string) {
	t.Helper()
	n = start(t, data, smallFiles())
	message := "message"
	if _, err := kadm.NewClient(client(t, n)).CreateTopic(within(t), 3, 1, map[string]*string{"penstock.format": &message}, "orders"); err != nil {
		t.Fatal(err)
	}
	want = map[int32][]string{}
	writeOrders(t, n, want)
	return n, want
}

// writeOrders adds a hundred records to each partition.
func writeOrders(t *testing.T, n *node.Node, want map[int32][]string) {
	t.Helper()
	c := client(t, n, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer c.Close()
	var rs []*kgo.Record
	for i := range 300 {
		p := int32(i % 3)
		v := fmt.Sprintf("order %d of %d %s", len(want[p]), p, strings.Repeat("z", i))
		rs = append(rs, &kgo.Record{Topic: "orders", Partition: p, Key: fmt.Append(nil, i), Value: []byte(v)})
		want[p] = append(want[p], v)
	}
	if err := c.ProduceSync(within(t), rs...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func sameOrders(t *testing.T, n *node.Node, want map[int32][]string) {
	t.Helper()
	total := 0
	for _, vs := range want {
		total += len(vs)
	}
	got := consume(t, n, "orders", total)
	for p := range int32(3) {
		if !slices.Equal(got[p], want[p]) {
			t.Errorf("partition %d: what came out is not what went in", p)
		}
	}
}

// listing is every file of a directory with its size and modification time. Index files are large and have holes: nobody wants to read them.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		i, err := d.Info()
		if err == nil {
			fmt.Fprintln(&b, path, i.Size(), i.ModTime())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestRocketStore writes a store as RocketMQ's, takes it over with another node, goes on there, and the same once more.
func TestRocketStore(t *testing.T) {
	data := t.TempDir()
	n, want := messageNode(t, data)
	for range 2 {
		stop(t, n)
		before := listing(t, filepath.Join(data, "commit"))
		theirs := t.TempDir()
		out, err := node.ExportRocket(t.Context(), node.RocketStoreOptions{Store: theirs, Data: data})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Topics) != 1 || out.Topics[0].Name != "orders" || out.Topics[0].Queues != 3 || len(out.Notes) != 0 {
			t.Errorf("written: %+v", out)
		}
		if listing(t, filepath.Join(data, "commit")) != before {
			t.Error("the store was changed by writing it for RocketMQ")
		}
		for _, name := range []string{"commitlog/00000000000000000000", "consumequeue/orders/2/00000000000000000000", "checkpoint", "config/topics.json"} {
			if _, err := os.Stat(filepath.Join(theirs, name)); err != nil {
				t.Error(err)
			}
		}

		source := listing(t, theirs)
		data = t.TempDir()
		in, err := node.ImportRocket(t.Context(), node.RocketStoreOptions{Store: theirs, Data: data})
		if err != nil {
			t.Fatal(err)
		}
		if len(in.Topics) != 1 || in.Topics[0].Name != "orders" || in.Topics[0].Queues != 3 || in.Topics[0].ID == (penstock.TopicID{}) || in.Bytes == 0 {
			t.Errorf("taken over: %+v", in)
		}
		if listing(t, theirs) != source {
			t.Error("the source was changed")
		}
		n = start(t, data, smallFiles())
		sameOrders(t, n, want)
		cs, err := kadm.NewClient(client(t, n)).DescribeTopicConfigs(within(t), "orders")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range cs[0].Configs {
			if v := c.MaybeValue(); c.Key == "retention.ms" && v != "-1" || c.Key == "penstock.format" && v != "message" {
				t.Errorf("%s is %q", c.Key, v)
			}
		}
		writeOrders(t, n, want)
		sameOrders(t, n, want)
	}
}

// TestRocketStoreAfterKill takes over a store whose broker was killed: what is whole in the log is there, and a tail of something else is not.
func TestRocketStoreAfterKill(t *testing.T) {
	data := t.TempDir()
	n, want := messageNode(t, data)
	stop(t, n)
	theirs := t.TempDir()
	if _, err := node.ExportRocket(t.Context(), node.RocketStoreOptions{Store: theirs, Data: data}); err != nil {
		t.Fatal(err)
	}
	// RocketMQ writes its queues and index after the log: after a kill they may be behind it, or empty.
	for _, p := range []string{"0", "2"} {
		if err := os.Truncate(filepath.Join(theirs, "consumequeue", "orders", p, strings.Repeat("0", 20)), 20*10); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.RemoveAll(filepath.Join(theirs, "index")); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(theirs, "commitlog", strings.Repeat("0", 20))
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	end := len(b)
	for b[end-1] == 0 {
		end--
	}
	copy(b[end+3:], "half a message")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	data = t.TempDir()
	if _, err := node.ImportRocket(t.Context(), node.RocketStoreOptions{Store: theirs, Data: data}); err != nil {
		t.Fatal(err)
	}
	n = start(t, data, smallFiles())
	sameOrders(t, n, want)
	writeOrders(t, n, want)
	sameOrders(t, n, want)
}

// TestRocketStoreRefuses shows what stands in the way, and that nothing is done then.
func TestRocketStoreRefuses(t *testing.T) {
	data := t.TempDir()
	n, _ := messageNode(t, data)
	export := func(to, from string) error {
		_, err := node.ExportRocket(t.Context(), node.RocketStoreOptions{Store: to, Data: from})
		return err
	}
	take := func(from, to string) error {
		_, err := node.ImportRocket(t.Context(), node.RocketStoreOptions{Store: from, Data: to})
		return err
	}
	expect := func(what string, err error, says string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", what, err, says)
		}
	}
	theirs := filepath.Join(t.TempDir(), "store")
	expect("export from a running broker", export(theirs, data), "Stop the broker")
	stop(t, n)
	if err := export(theirs, data); err != nil {
		t.Fatal(err)
	}
	expect("export over a store", export(theirs, data), "is there already")
	marker := filepath.Join(data, "commit", "message", "clean")
	b, err := os.ReadFile(marker)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(marker); err != nil {
		t.Fatal(err)
	}
	expect("export after a kill", export(t.TempDir(), data), "not stopped cleanly")
	if err := os.WriteFile(marker, b, 0o600); err != nil {
		t.Fatal(err)
	}

	expect("import of nothing", take(filepath.Join(t.TempDir(), "none"), t.TempDir()), "no such file")
	expect("import over topics", take(theirs, data), "nothing was taken over")
	used := t.TempDir()
	if err := take(theirs, used); err != nil {
		t.Fatal(err)
	}
	expect("import twice", take(theirs, used), "nothing was taken over")
	n = start(t, used, smallFiles())
	expect("import into a running broker", take(theirs, used), "Stop the broker")
	stop(t, n)
	topics := filepath.Join(theirs, "config", "topics.json")
	if err := os.WriteFile(topics, []byte(`{"topicConfigTable":{"orders":[`), 0o600); err != nil {
		t.Fatal(err)
	}
	fresh := t.TempDir()
	expect("import with damaged topics", take(theirs, fresh), "topics.json")
	if es, err := os.ReadDir(fresh); err != nil || len(es) != 0 {
		t.Errorf("%v was made although nothing was taken over, %v", es, err)
	}
}
