package delay

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
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
	"penstock/record"
	"penstock/replica"
	"penstock/store"
	"penstock/store/commit"
	"penstock/store/segment"
)

// clock is a time that tests move.
type clock struct {
	mu   sync.Mutex
	now  time.Time
	real bool // it is the machine's
}

func newClock() *clock { return &clock{now: time.UnixMilli(1_700_000_000_000)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.real {
		return time.Now()
	}
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// lines counts the lines of a log that hold a text.
type lines struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(b)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.all.String(), text)
}

// rig is a scheduler over real rooms on a disk in memory. Step is called by the test.
type rig struct {
	*Scheduler
	t        testing.TB
	fs       *disktest.FS
	disk     *disk.Disk
	meta     *meta.Store
	replicas *replica.Replicas
	groups   *group.Coordinator
	life     *life
	clock    *clock
	log      *lines
}

// life is the metadata as one life of a node sees it: when it is over nothing reaches it any more.
type life struct {
	*meta.Store
	replicas *replica.Replicas
	over     sync.Mutex
	ended    bool
	then     []func(old, new *meta.Image)
}

func (l *life) Subscribe(f func(old, new *meta.Image)) {
	l.over.Lock()
	l.then = append(l.then, f)
	l.over.Unlock()
	f(l.Image(), l.Image())
}

// follow has all that live see images, partitions first.
func (l *life) follow() {
	l.Store.Subscribe(func(old, img *meta.Image) {
		l.over.Lock()
		defer l.over.Unlock()
		if l.ended {
			return
		}
		l.replicas.Apply(old, img)
		for _, f := range l.then {
			f(old, img)
		}
	})
}

// hidden are partitions of which those of some topics cannot be found.
type hidden struct {
	*replica.Replicas
	mu    sync.Mutex
	topic penstock.TopicID
}

func (h *hidden) hide(id penstock.TopicID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.topic = id
}

func (h *hidden) Partition(id penstock.PartitionID) *replica.Partition {
	h.mu.Lock()
	defer h.mu.Unlock()
	if id.Topic == h.topic {
		return nil
	}
	return h.Replicas.Partition(id)
}

func start(t testing.TB, last *rig, change func(*Options)) *rig {
	t.Helper()
	r, err := tryStart(t, last, change)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// tryStart is start on a disk that may fail. last is a life before, or nil.
func tryStart(t testing.TB, last *rig, change func(*Options)) (*rig, error) {
	t.Helper()
	r := &rig{t: t, log: &lines{}}
	if last != nil {
		r.fs, r.meta, r.clock = last.fs, last.meta, last.clock
	} else {
		r.fs, r.clock = disktest.New(), newClock()
		r.meta, _ = metatest.Open(t)
		r.create("real", penstock.FormatMessage, 4)
	}
	r.disk = disk.New(r.fs, disk.Options{})
	records, err := segment.New(r.disk, record.Format{}, segment.Options{})
	if err != nil {
		return nil, errors.Join(err, r.disk.Close())
	}
	messages, err := commit.New(r.disk, message.Format{}, commit.Options{FileBytes: 256 << 10})
	if err != nil {
		return nil, errors.Join(err, r.disk.Close())
	}
	r.replicas = replica.New(replica.Options{Broker: 0, Now: r.clock.Now, Stores: map[replica.StoreKey]store.Store{
		{Layout: penstock.LayoutSegment, Format: penstock.FormatRecord}: records,
		{Layout: penstock.LayoutCommit, Format: penstock.FormatMessage}: messages,
	}})
	r.life = &life{Store: r.meta, replicas: r.replicas}
	r.replicas.Apply(nil, r.meta.Image())
	r.groups = group.New(group.Options{Topics: r.life, Partitions: r.replicas, Now: r.clock.Now, JournalPartitions: 1})
	o := Options{
		Topics: r.life, Partitions: r.replicas, Progress: r.groups, Now: r.clock.Now,
		Logger: slog.New(slog.NewTextHandler(r.log, nil)),
	}
	if change != nil {
		change(&o)
	}
	r.Scheduler = New(o)
	r.life.follow()
	return r, nil
}

// create makes a topic: messages in the commit layout, or records in the segment layout.
func (r *rig) create(name string, f penstock.Format, partitions int) *meta.Topic {
	r.t.Helper()
	n := meta.NewTopic{Name: name, Format: f, Layout: penstock.LayoutSegment, Partitions: partitions, Replicas: []penstock.BrokerID{0}}
	if f == penstock.FormatMessage {
		n.Layout = penstock.LayoutCommit
	}
	t, err := r.meta.CreateTopic(context.Background(), n, false)
	if err != nil {
		r.t.Fatal(err)
	}
	return t
}

// stop ends a life. With dirty what goes wrong meanwhile does not matter.
func (r *rig) stop(dirty bool) {
	r.t.Helper()
	r.life.over.Lock()
	r.life.ended = true
	r.life.over.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if dirty {
		r.end() // what Run would note cannot be
		r.tasks.Wait()
	} else {
		r.Run(ctx)
	}
	r.groups.Close()
	if err := r.replicas.Close(); err != nil && !dirty {
		r.t.Fatal(err)
	}
	if err := r.disk.Close(); err != nil && !dirty {
		r.t.Fatal(err)
	}
}

// made makes the topic of delayed messages.
func (r *rig) made() *rig {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.Ready(ctx); err != nil {
		r.t.Fatal(err)
	}
	return r
}

func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(end) {
			r.t.Fatalf("it never came about that %s; disk %v, halted %v, log:\n%s", what, r.disk.Err(), r.fs.Halted(), r.log.all.String())
		}
	}
}

// calm steps until nothing is under way and nothing is to be done at this time.
func (r *rig) calm() (next time.Time) {
	r.t.Helper()
	r.until("the scheduler is calm", func() bool {
		select {
		case <-r.bell:
		default:
		}
		next = r.Step()
		r.mu.Lock()
		defer r.mu.Unlock()
		busy := r.loading && r.disk.Err() == nil || r.saving || len(r.bell) > 0
		for _, l := range *r.levels.Load() {
			busy = busy || len(l.flights) > 0 || l.trimming.Load() || l.behind()
		}
		return !busy
	})
	return next
}

// behind reports whether a watch has rung that Step has not seen, or is about to ring: it does when there is more to read than it knows, and when the queue
// is closed.
func (l *level) behind() bool {
	w := l.watch
	return w != nil && (w.rung.Load() || l.led.Err() != nil || l.led.Offsets().HighWatermark > l.next)
}

// pass moves the clock and does what is due then.
func (r *rig) pass(d time.Duration) {
	r.t.Helper()
	r.clock.add(d)
	r.calm()
}

// stored is a delayed message.
func (r *rig) stored(level int, topic string, queue int32, body string) *message.Message {
	props := []byte("KEYS\x01k\x02TAGS\x01t\x02")
	props, _ = message.AppendProperty(props, message.PropertyDelayLevel, strconv.Itoa(level))
	props, _ = message.AppendProperty(props, message.PropertyRealTopic, topic)
	props, _ = message.AppendProperty(props, message.PropertyRealQueue, strconv.Itoa(int(queue)))
	return &message.Message{
		QueueID: int32(level - 1), Flag: 7, SysFlag: message.FlagCompressed, BornTime: 1234, BornHost: netip.MustParseAddrPort("10.0.0.9:99"),
		StoreHost: netip.MustParseAddrPort("10.0.0.1:10911"), Reconsumed: 3, Body: []byte(body), Topic: []byte(Topic), Properties: props, WithRecordCRC: true,
	}
}

// put appends a message to the queue of a level, and waits until that is durable.
func (r *rig) put(level int, m *message.Message) error {
	b, err := batch(nil, m)
	if err != nil {
		r.t.Fatal(err)
	}
	t := r.meta.Image().Topic(Topic)
	if t == nil {
		return errGone
	}
	p := r.replicas.Partition(penstock.PartitionID{Topic: t.ID, Partition: int32(level - 1)})
	if p == nil {
		return errNotOpen
	}
	wait := make(chan error, 1)
	res, done := p.Append(replica.AppendRequest{Batches: []penstock.Batch{b}, Acks: penstock.AcksAll, Epoch: penstock.NoEpoch}, func(a replica.AppendResult) { wait <- a.Err })
	if done {
		return res.Err
	}
	return <-wait
}

// delay puts a message.
func (r *rig) delay(level int, topic string, queue int32, body string) {
	r.t.Helper()
	if err := r.put(level, r.stored(level, topic, queue, body)); err != nil {
		r.t.Fatal(err)
	}
}

// got is what a topic holds, by queue.
func (r *rig) got(topic string) (all []message.Message) {
	r.t.Helper()
	t := r.meta.Image().Topic(topic)
	for n := range t.Partitions {
		p := r.replicas.Partition(penstock.PartitionID{Topic: t.ID, Partition: int32(n)})
		if p == nil {
			r.t.Fatal("not open")
		}
		o := p.Offsets()
		for at := o.Start; at < o.HighWatermark; {
			extents, got, _, err := p.Pull(replica.PullRequest{From: at, Max: 1 << 20, Count: 1, Scan: 1}, nil)
			if err != nil || got.Count != 1 {
				r.t.Fatal(err, got)
			}
			b := make([]byte, extents[0].Len)
			if _, err := extents[0].File.ReadAt(b, extents[0].Off); err != nil {
				r.t.Fatal(err)
			}
			penstock.ReleaseAll(extents)
			if err := (message.Format{}).Verify(b); err != nil {
				r.t.Fatal(err)
			}
			m, err := message.Parse(b)
			if err != nil {
				r.t.Fatal(err)
			}
			all = append(all, m)
			at = got.Next
		}
	}
	return all
}

// bodies are those of all that a topic holds.
func (r *rig) bodies(topic string) string {
	r.t.Helper()
	var all []string
	for _, m := range r.got(topic) {
		all = append(all, string(m.Body))
	}
	return strings.Join(all, " ")
}

func (r *rig) want(topic, bodies string) {
	r.t.Helper()
	if got := r.bodies(topic); got != bodies {
		r.t.Fatalf("%s holds %q, want %q\n%s", topic, got, bodies, r.log.all.String())
	}
}

// noted is how far a level is noted to be delivered, NoOffset if nothing is.
func (r *rig) noted(level int) penstock.Offset {
	r.t.Helper()
	at, err := r.groups.LoadProgress(context.Background(), Group, Topic, r.meta.Image().Topic(Topic).ID)
	if err != nil {
		r.t.Fatal(err)
	}
	if to, ok := at[int32(level-1)]; ok {
		return to
	}
	return penstock.NoOffset
}

func property(m *message.Message, key string) string {
	v, ok := message.Property(m.Properties, key)
	if !ok {
		return "none"
	}
	return string(v)
}
