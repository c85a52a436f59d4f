package rocket

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"penstock"
	"penstock/disk"
	"penstock/disk/disktest"
	"penstock/group"
	"penstock/message"
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

// house is a broker of real rooms, as node builds it, with a listener for each side.
type house struct {
	t        testing.TB
	meta     *meta.Store
	engine   *metatest.Engine
	disk     *disktest.FS // nil with files in a directory
	replicas *replica.Replicas
	stores   map[replica.StoreKey]store.Store
	groups   *group.Coordinator
	roster   *group.Roster
	account  *metric.CopyAccount
	metrics  *metric.Registry
	front    *Front
	addr     string // of the broker
	names    string // of the name server
	stop     func()
}

// build makes a house over a disk in memory, or with files in a directory. change may be nil.
func build(t testing.TB, dir string, change func(*Options)) *house {
	t.Helper()
	return buildWire(t, dir, change, nil)
}

// buildWire is build with changed options of the broker's listener.
func buildWire(t testing.TB, dir string, change func(*Options), listener func(*wire.Options)) *house {
	t.Helper()
	h := &house{t: t, disk: disktest.New(), account: metric.NewCopyAccount(), metrics: metric.NewRegistry()}
	d := disk.New(h.disk, disk.Options{})
	if dir != "" {
		var err error
		h.disk = nil
		if d, err = disk.Open(dir, disk.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	h.meta, h.engine = metatest.Open(t)
	h.stores = stores(t, d)
	h.replicas = replica.New(replica.Options{Stores: h.stores})
	t.Cleanup(func() {
		if err := errors.Join(h.replicas.Close(), d.Close()); err != nil {
			t.Error(err)
		}
	})
	h.meta.Subscribe(h.replicas.Apply)
	h.roster = group.NewRoster(group.RosterOptions{})
	h.groups = group.New(group.Options{Topics: h.meta, Partitions: h.replicas, JournalPartitions: 2, Roster: h.roster, Limits: group.Limits{InitialDelay: -1}})
	t.Cleanup(h.groups.Close)
	if err := h.groups.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	broker, names := listen(t), listen(t)
	h.addr, h.names = broker.Addr().String(), names.Addr().String()
	o := Options{
		Topics: h.meta, Partitions: h.replicas, Groups: h.groups, Roster: h.roster, Delay: (*levels)(h), Values: values{h.meta},
		Layout: penstock.LayoutCommit, Account: h.account, Metrics: h.metrics, Locate: h.locate,
		Advertised: func() (string, int32) { return endpointOf(h.addr) },
	}
	if change != nil {
		change(&o)
	}
	h.front = New(o)
	w := wire.Options{Listener: brokerName, Account: h.account, AnyOrder: true}
	if listener != nil {
		listener(&w)
	}
	stops := []func(){serveOn(t, broker, h.front.Broker(), w), serveOn(t, names, h.front.NameServer(), wire.Options{Listener: nameServerName})}
	h.stop = func() {
		for _, stop := range stops {
			stop()
		}
	}
	t.Cleanup(h.front.Leave)
	return h
}

// stores are those that topics of these tests lie in.
func stores(t testing.TB, d *disk.Disk) map[replica.StoreKey]store.Store {
	records, err := segment.New(d, record.Format{}, segment.Options{})
	if err != nil {
		t.Fatal(err)
	}
	own, err := segment.New(d, message.Format{}, segment.Options{})
	if err != nil {
		t.Fatal(err)
	}
	shared, err := commit.New(d, message.Format{}, commit.Options{FileBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return map[replica.StoreKey]store.Store{
		{}:                               records,
		{Format: penstock.FormatMessage}: own,
		{Layout: penstock.LayoutCommit, Format: penstock.FormatMessage}: shared,
	}
}

// locate finds a message of the shared log.
func (h *house) locate(at penstock.Position) (penstock.PartitionID, penstock.Offset, error) {
	return h.stores[replica.StoreKey{Layout: penstock.LayoutCommit, Format: penstock.FormatMessage}].(store.Locator).Locate(at)
}

// levels are 18 levels of delay whose topic is made on demand. Nobody delivers.
type levels house

func (*levels) Levels() int { return 18 }

func (l *levels) Ready(ctx context.Context) error {
	return l.front.makeTopic(ctx, delayTopic, 18)
}

// values are the name server's.
type values struct{ *meta.Store }

func (v values) Values(namespace string) map[string]string { return v.Image().Values(namespace) }

func endpointOf(addr string) (string, int32) {
	host, digits, _ := net.SplitHostPort(addr)
	port, _ := strconv.Atoi(digits)
	return host, int32(port)
}

// topic creates a topic of messages.
func (h *house) topic(name string, queues int, configs map[string]string) *meta.Topic {
	h.t.Helper()
	return h.make(meta.NewTopic{Name: name, Format: penstock.FormatMessage, Layout: penstock.LayoutCommit, Partitions: queues, Configs: configs})
}

// make creates a topic.
func (h *house) make(n meta.NewTopic) *meta.Topic {
	h.t.Helper()
	n.Replicas = []penstock.BrokerID{0}
	t, err := h.meta.CreateTopic(h.ctx(), n, false)
	if err != nil {
		h.t.Fatal(err)
	}
	return t
}

// ctx ends long after the test should have.
func (h *house) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	h.t.Cleanup(cancel)
	return ctx
}

// until waits for a condition.
func (h *house) until(what string, ok func() bool) {
	h.t.Helper()
	for end := time.Now().Add(60 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			h.t.Fatal("it never came about that " + what)
		}
	}
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// serveOn runs a protocol on a listener until stop is called or the test ends. After stop everything is given back.
func serveOn(t testing.TB, ln net.Listener, p wire.Protocol, o wire.Options) (stop func()) {
	s := wire.NewServer(ln, p, o)
	done := make(chan error, 1)
	go func() { done <- s.Serve() }()
	stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// mustGroup is what is configured of a group.
func (f *Front) mustGroup(t testing.TB, name string) *meta.GroupConfig {
	t.Helper()
	g, ok := f.group(name)
	if !ok {
		t.Fatalf("no group %s", name)
	}
	return g
}

// end is how many messages consumers see in all queues of a topic.
func (h *house) end(topic string) (n int64) {
	if t := h.meta.Image().Topic(topic); t != nil {
		for i := range t.Partitions {
			n += int64(h.replicas.Partition(penstock.PartitionID{Topic: t.ID, Partition: int32(i)}).Offsets().HighWatermark)
		}
	}
	return n
}

func asOffset(i int) penstock.Offset { return penstock.Offset(i) }
