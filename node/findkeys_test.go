package node_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/node"
)

// keyed makes topics with an index of keys, and remembers where each key lies, the newest first.
type keyed struct {
	t      *testing.T
	topics []string
	want   map[string]map[string][]string // by topic and key
	value  map[string]string              // of the record at a place of a topic
	n      int
}

// keyFiles keeps what is copied by the test small, and has no checkpoint while it is copied.
func keyFiles() map[string]string {
	return map[string]string{"commit.file.bytes": "4MiB", "checkpoint.interval": "1h", "rocket.index.slots": "1000", "rocket.index.entries": "5000"}
}

func newKeyed(t *testing.T, n *node.Node) *keyed {
	k := &keyed{t: t, want: map[string]map[string][]string{}, value: map[string]string{}}
	adm := kadm.NewClient(client(t, n))
	on := "true"
	for _, layout := range []string{"segment", "commit"} {
		for _, format := range []string{"record", "message"} {
			topic := format + "-" + layout
			if _, err := adm.CreateTopic(within(t), 3, 1, map[string]*string{"penstock.layout": &layout, "penstock.format": &format, "penstock.index.keys": &on}, topic); err != nil {
				t.Fatal(err)
			}
			k.topics, k.want[topic] = append(k.topics, topic), map[string][]string{}
		}
	}
	return k
}

// produce adds records to every topic, in batches that are plain or compressed.
func (k *keyed) produce(n *node.Node) {
	k.t.Helper()
	for _, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.ZstdCompression()} {
		c := client(k.t, n, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(codec))
		var rs []*kgo.Record
		for _, topic := range k.topics {
			for i := range 60 {
				k.n++
				rs = append(rs, &kgo.Record{Topic: topic, Partition: int32(i % 3), Key: fmt.Appendf(nil, "order-%d", k.n%17),
					Value: []byte(fmt.Sprint(k.n, strings.Repeat("x", 5*i)))})
			}
		}
		if err := c.ProduceSync(within(k.t), rs...).FirstErr(); err != nil {
			k.t.Fatal(err)
		}
		for _, r := range rs {
			at := fmt.Sprintf("%d/%d", r.Partition, r.Offset)
			k.want[r.Topic][string(r.Key)] = append(k.want[r.Topic][string(r.Key)], at)
			k.value[r.Topic+at] = string(r.Value)
		}
		c.Close()
	}
}

// places asks the node for a key.
func places(t testing.TB, n *node.Node, topic, key string) (out []string) {
	t.Helper()
	code, body := get(t, n, "/api/find?"+url.Values{"topic": {topic}, "key": {key}}.Encode())
	var found node.Found
	if err := json.Unmarshal([]byte(body), &found); err != nil || code != 200 {
		t.Fatalf("find %s in %s: %d %s, %v", key, topic, code, body, err)
	}
	for _, p := range found.Places {
		out = append(out, fmt.Sprintf("%d/%d", p.Partition, p.Offset))
	}
	return out
}

// check demands that every key is found where it lies, and nowhere else.
func (k *keyed) check(n *node.Node, when string) {
	k.t.Helper()
	for _, topic := range k.topics {
		for key, want := range k.want[topic] {
			got := places(k.t, n, topic, key)
			slices.Sort(got)
			want = slices.Sorted(slices.Values(want))
			if !slices.Equal(got, want) {
				k.t.Fatalf("%s: %s in %s: found %v, want %v", when, key, topic, got, want)
			}
		}
		if got := places(k.t, n, topic, "order-99"); got != nil {
			k.t.Errorf("%s: a key that nobody sent was found in %s at %v", when, topic, got)
		}
	}
}

// TestFindKeys: records are found by key in every layout and format, compressed or not, over a clean stop and after kills.
func TestFindKeys(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir, keyFiles())
	k := newKeyed(t, n)
	k.produce(n)
	k.check(n, "at once")
	killed := func(dir, when string) {
		t.Helper()
		copied := t.TempDir()
		if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(copied, "endpoints.json")); err != nil {
			t.Error(err)
		}
		m := start(t, copied, keyFiles())
		if m.Info().Clean {
			t.Error("a kill is taken for a clean stop")
		}
		k.check(m, when)
		stop(t, m)
	}
	killed(dir, "after a kill")
	stop(t, n)
	n = start(t, dir, keyFiles())
	k.check(n, "after a clean stop")
	k.produce(n)
	k.check(n, "after more")
	killed(dir, "after a second kill")
}

// TestFindKeysSwitched: without an index the answer says how there is one; switched on while the node runs it has what comes from then on, switched off it is
// gone.
func TestFindKeysSwitched(t *testing.T) {
	n := start(t, t.TempDir(), keyFiles())
	adm := kadm.NewClient(client(t, n))
	for _, layout := range []string{"segment", "commit"} {
		if _, err := adm.CreateTopic(within(t), 1, 1, map[string]*string{"penstock.layout": &layout}, layout); err != nil {
			t.Fatal(err)
		}
		c := client(t, n, kgo.DefaultProduceTopic(layout))
		send := func() {
			t.Helper()
			if err := c.ProduceSync(within(t), kgo.KeyStringRecord("a", "v")).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		set := func(value string) {
			t.Helper()
			rs, err := adm.AlterTopicConfigs(within(t), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "penstock.index.keys", Value: &value}}, layout)
			if err == nil {
				_, err = rs.On(layout, func(r *kadm.AlterConfigsResponse) error { return r.Err })
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		none := func(when string) {
			t.Helper()
			code, body := get(t, n, "/api/find?topic="+layout+"&key=a")
			if code != 501 || !strings.Contains(body, "penstock topic alter "+layout+" --set penstock.index.keys=true") || !strings.Contains(body, "penstock consume") {
				t.Errorf("%s, %s: %d %s", layout, when, code, body)
			}
		}
		send()
		none("at first")
		set("true")
		for end := within(t); len(places(t, n, layout, "a")) == 0 && end.Err() == nil; { // the store hears of it a moment later
			send()
		}
		first := places(t, n, layout, "a")
		if slices.Contains(first, "0/0") {
			t.Errorf("%s: %v, the first record was not indexed", layout, first)
		}
		send()
		if got := places(t, n, layout, "a"); len(got) != len(first)+1 {
			t.Errorf("%s: %v after one more than %v", layout, got, first)
		}
		set("false")
		none("switched off")
		c.Close()
	}
}
