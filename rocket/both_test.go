package rocket

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"penstock"
	"penstock/group"
	"penstock/kafka"
	"penstock/meta"
	"penstock/rocket/remoting"
	"penstock/wire"
)

// withKafka opens a listener for Kafka's clients over the same rooms.
func (h *house) withKafka(opts ...kgo.Opt) *kgo.Client {
	h.t.Helper()
	ln := listen(h.t)
	addr := ln.Addr().String()
	front := kafka.New(kafka.Options{
		Listener: "kafka", Topics: h.meta, Partitions: h.replicas, Groups: h.groups, Account: h.account,
		Advertised: func() (string, int32) { return endpointOf(addr) },
		StoreHost:  func() netip.AddrPort { return netip.MustParseAddrPort(h.addr) },
	})
	serveOn(h.t, ln, front, wire.Options{Listener: "kafka", Account: h.account})
	h.t.Cleanup(front.Leave)
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(addr), kgo.RecordPartitioner(kgo.ManualPartitioner())}, opts...)...)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(c.Close)
	return c
}

// consume polls until n records have come.
func (h *house) consume(c *kgo.Client, n int) (out []*kgo.Record) {
	h.t.Helper()
	for ctx := h.ctx(); len(out) < n; {
		fs := c.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			h.t.Fatal(err)
		}
		out = append(out, fs.Records()...)
	}
	return out
}

// kinds are a topic of each format, and of messages in each layout.
func (h *house) kinds(queues int) []*meta.Topic {
	return []*meta.Topic{
		h.recordTopic("records", queues, nil),
		h.topic("shared", queues, nil),
		h.make(meta.NewTopic{Name: "own", Format: penstock.FormatMessage, Layout: penstock.LayoutSegment, Partitions: queues}),
	}
}

// TestBoth: a client of either protocol writes a topic of either format and a client of either reads it, all in one order and by the same names.
func TestBoth(t *testing.T) {
	h := build(t, "", nil)
	topics := h.kinds(2)
	rocket := dial(t, h.addr, remoting.JSON)
	for _, topic := range topics {
		k := h.withKafka(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic.Name: {1: kgo.NewOffset().AtStart()}}))
		for i := range 6 {
			if i%2 == 0 {
				p := props("KEYS", fmt.Sprint("key-", i), "TAGS", "even", "color", "red", "UNIQ_KEY", fmt.Sprint("ID", i))
				if r := rocket.ask(310, sendV2(topic.Name, 1, p), fmt.Append(nil, "body-", i)); r.code != codeSuccess || r.number(t, "queueOffset") != int64(i) {
					t.Fatalf("%s: %+v", topic.Name, r)
				}
				continue
			}
			r := &kgo.Record{
				Topic: topic.Name, Partition: 1, Key: fmt.Append(nil, "key-", i), Value: fmt.Append(nil, "body-", i),
				Headers: []kgo.RecordHeader{{Key: "TAGS", Value: []byte("odd")}, {Key: "color", Value: []byte("blue")}, {Key: "bin", Value: []byte{0xFF, 1}}},
			}
			if err := k.ProduceSync(h.ctx(), r).FirstErr(); err != nil || r.Offset != int64(i) {
				t.Fatalf("%s: offset %d, %v", topic.Name, r.Offset, err)
			}
		}
		for i, r := range h.consume(k, 6) {
			get := func(name string) string {
				n := slices.IndexFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == name })
				if n < 0 {
					return ""
				}
				return string(r.Headers[n].Value)
			}
			want := []string{"even red ID" + strconv.Itoa(i) + " ", "odd blue  \xff\x01"}[i%2]
			got := get("TAGS") + " " + get("color") + " " + get("UNIQ_KEY") + " " + get("bin")
			if string(r.Value) != fmt.Sprint("body-", i) || string(r.Key) != fmt.Sprint("key-", i) || got != want || r.Offset != int64(i) {
				t.Errorf("%s: Kafka read %+v, want %q", topic.Name, r, want)
			}
		}
		k.Close()
		r := rocket.ask(11, pullOf(topic.Name, 1, 0, "*"), nil)
		for i, m := range r.messages(t) {
			want := []string{"even red", "odd blue"}[i%2]
			if string(m.Body) != fmt.Sprint("body-", i) || property(m, "KEYS") != fmt.Sprint("key-", i) || property(m, "TAGS")+" "+property(m, "color") != want ||
				m.QueueOffset != penstock.Offset(i) || m.StoreHost.String() != h.addr {
				t.Errorf("%s: RocketMQ read %+v", topic.Name, m)
			}
			if bin := property(m, "kafka.header.2"); i%2 == 1 && bin != "bin=%FF%01" {
				t.Errorf("%s: a binary header: %q", topic.Name, bin)
			}
		}
		if r := rocket.ask(11, pullOf(topic.Name, 1, 0, "odd"), nil); r.bodies(t) != "body-1 body-3 body-5" {
			t.Errorf("%s: by tag: %q, %+v", topic.Name, r.bodies(t), r)
		}
	}
}

// TestBothGroups: a group is one group to both: a Kafka consumer goes on where a RocketMQ consumer of the group stopped, and the other way, in topics of
// either format.
func TestBothGroups(t *testing.T) {
	h := build(t, "", nil)
	rocket := dial(t, h.addr, remoting.JSON)
	for _, topic := range h.kinds(1) {
		for i := range 10 {
			rocket.ask(310, sendV2(topic.Name, 0, ""), fmt.Append(nil, i))
		}
		name := "group-" + topic.Name
		// A pull that tells how far the consumer has come.
		pulled := rocket.ask(11, pullOf(topic.Name, 0, 4, "*").with("consumerGroup", name, "sysFlag", "5", "commitOffset", "4", "maxMsgNums", "1"), nil)
		if pulled.code != codeSuccess {
			t.Fatalf("%+v", pulled)
		}
		h.until("what was told is committed", func() bool {
			at := penstock.NoOffset
			err := h.groups.Read(name, map[string][]int32{topic.Name: {0}}, func(_ string, _ int32, o group.Committed, _ bool) { at = o.Offset })
			return err == nil && at == 4
		})
		k := h.withKafka(kgo.ConsumerGroup(name), kgo.ConsumeTopics(topic.Name), kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()))
		rs := h.consume(k, 6)
		if rs[0].Offset != 4 || string(rs[5].Value) != "9" {
			t.Errorf("%s: Kafka went on at %d", topic.Name, rs[0].Offset)
		}
		if err := k.CommitRecords(h.ctx(), rs[2]); err != nil {
			t.Fatal(err)
		}
		k.Close()
		if at, ok, err := h.groups.Noted(name, topic.Name, 0); err != nil || !ok || at != 7 {
			t.Errorf("%s: RocketMQ goes on at %d, %v, %v", topic.Name, at, ok, err)
		}
	}
}

// TestOwnProperty: what a message says of a Kafka producer's batch is not taken from clients, nor kept in a copy that is sent back.
func TestOwnProperty(t *testing.T) {
	h := build(t, "", nil)
	h.topic("T", 1, nil)
	c := dial(t, h.addr, remoting.JSON)
	c.body(310, sendV2("T", 0, props("kafka.producer", "1:0:0:9", "a", "b")), "body")
	m := h.all("T", 0)[0]
	if property(m, "kafka.producer") != "" || property(m, "a") != "b" {
		t.Errorf("stored with %q", m.Properties)
	}
	r := h.meta.Image().Topic("T")
	k := h.withKafka()
	if err := k.ProduceSync(h.ctx(), &kgo.Record{Topic: r.Name, Value: []byte("v")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	m = h.all("T", 0)[1]
	if property(m, "kafka.producer") == "" {
		t.Fatal("an idempotent producer's batch has no sequence")
	}
	c.body(36, back(m, 0), "")
	if w := h.all(delayTopic, 2); len(w) != 1 || property(w[0], "kafka.producer") != "" || string(w[0].Body) != "v" {
		t.Errorf("%+v", w)
	}
}
