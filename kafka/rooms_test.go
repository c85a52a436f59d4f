package kafka

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"penstock"
	"penstock/convert"
	"penstock/disk"
	"penstock/disk/disktest"
	"penstock/group"
	"penstock/meta"
	"penstock/meta/metatest"
	"penstock/metric"
	"penstock/record"
	"penstock/replica"
	"penstock/store"
	"penstock/store/commit"
	"penstock/store/segment"
	"penstock/wire"
)

// house is a broker of real rooms, as node builds it, on one listener.
type house struct {
	t        testing.TB
	meta     *meta.Store
	engine   *metatest.Engine
	disk     *disktest.FS // nil with files in a directory
	broken   bool         // the disk has failed, so that closing will
	replicas *replica.Replicas
	groups   *group.Coordinator
	store    *disk.Disk
	killed   bool              // what goes wrong while it is closed does not matter
	layouts  []penstock.Layout // in which it has topics of messages
	shared   bool              // it has topics of records on a shared log
	account  *metric.CopyAccount
	metrics  *metric.Registry
	front    *Front
	addr     string
	stop     func()
}

// build makes a house over a disk in memory, or with files in a directory. change may be nil.
func build(t testing.TB, dir string, change func(*Options), more ...func(*house)) *house {
	t.Helper()
	memory := disktest.New()
	d := disk.New(memory, disk.Options{})
	if dir != "" {
		var err error
		memory = nil
		if d, err = disk.Open(dir, disk.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	h := &house{t: t, disk: memory, store: d}
	h.meta, h.engine = metatest.Open(t)
	for _, f := range more {
		f(h)
	}
	h.raise(change)
	return h
}

// raise builds the rooms over disk and metadata.
func (h *house) raise(change func(*Options)) {
	t, d := h.t, h.store
	h.account, h.metrics = metric.NewCopyAccount(), metric.NewRegistry()
	st, err := segment.New(d, record.Format{}, segment.Options{})
	if err != nil {
		t.Fatal(err)
	}
	stores := map[replica.StoreKey]store.Store{{}: st}
	if h.shared {
		if stores[replica.StoreKey{Layout: penstock.LayoutCommit}], err = commit.New(d, record.Format{}, commit.Options{FileBytes: 32 << 20}); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range h.layouts {
		stores[replica.StoreKey{Layout: l, Format: penstock.FormatMessage}] = h.messageStore(l)
	}
	h.replicas = replica.New(replica.Options{Broker: 0, Stores: stores, Sequences: convert.Sequences})
	t.Cleanup(func() {
		if err := h.replicas.Close(); (err != nil) != h.broken && !h.killed {
			t.Error(err)
		}
		if err := d.Close(); err != nil && !h.killed {
			t.Error(err)
		}
	})
	h.meta.Subscribe(h.replicas.Apply)
	h.groups = group.New(group.Options{
		Topics: h.meta, Partitions: h.replicas, JournalPartitions: 2, Limits: group.Limits{InitialDelay: -1},
	})
	t.Cleanup(h.groups.Close)
	ln := listen(t)
	h.addr = ln.Addr().String()
	o := Options{
		Listener: "kafka", Topics: h.meta, Partitions: h.replicas, Groups: h.groups, Account: h.account, Metrics: h.metrics, AutoCreate: true,
		Advertised: func() (string, int32) { return endpointOf(h.addr) },
		LogDir: &LogDir{Path: "/data", Err: d.Err, Space: func() (total, usable int64, err error) {
			sp, err := d.Space()
			return sp.Total, sp.Free, err
		}},
	}
	if change != nil {
		change(&o)
	}
	h.front = New(o)
	h.stop = serveOn(t, ln, h.front, wire.Options{Listener: "kafka", Account: h.account})
	t.Cleanup(h.front.Leave)
}

func endpointOf(addr string) (string, int32) {
	host, digits, _ := net.SplitHostPort(addr)
	port, _ := strconv.Atoi(digits)
	return host, int32(port)
}

// ask sends one request in a version and reads its answer.
func (h *house) ask(q kmsg.Request, version int16) kmsg.Response {
	h.t.Helper()
	c := dial(h.t, h.addr)
	defer c.Close()
	c.send(frame(q, version, 11))
	resp := q.ResponseKind()
	c.answer(11, resp, version)
	return resp
}

// until waits for a condition.
func (h *house) until(what string, ok func() bool) {
	h.t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			h.t.Fatal("it never came about that " + what)
		}
	}
}

// topic creates a topic.
func (h *house) topic(name string, partitions int, configs map[string]string) *meta.Topic {
	h.t.Helper()
	return metatest.Topic(h.t, h.meta, name, partitions, configs)
}

// franz is a franz-go client of the house.
func (h *house) franz(opts ...kgo.Opt) *kgo.Client {
	h.t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(h.addr)}, opts...)...)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(c.Close)
	return c
}

// ctx ends long after the test should have.
func (h *house) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	h.t.Cleanup(cancel)
	return ctx
}

// produce sends n records to one partition and waits for all.
func (h *house) produce(c *kgo.Client, topic string, partition int32, n int) {
	h.t.Helper()
	var rs []*kgo.Record
	for i := range n {
		rs = append(rs, &kgo.Record{Topic: topic, Partition: partition, Value: fmt.Appendf(nil, "%s-%d-%d", topic, partition, i)})
	}
	if err := c.ProduceSync(h.ctx(), rs...).FirstErr(); err != nil {
		h.t.Fatal(err)
	}
}

// consume polls until n records have come.
func (h *house) consume(c *kgo.Client, n int) []*kgo.Record {
	h.t.Helper()
	var out []*kgo.Record
	ctx := h.ctx()
	for len(out) < n {
		fs := c.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			h.t.Fatal(err)
		}
		out = append(out, fs.Records()...)
	}
	return out
}
