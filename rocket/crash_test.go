package rocket

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"penstock"
	"penstock/delay"
	"penstock/disk"
	"penstock/disk/disktest"
	"penstock/group"
	"penstock/message"
	"penstock/meta"
	"penstock/meta/metatest"
	"penstock/replica"
	"penstock/rocket/remoting"
	"penstock/wire"
)

// life is a broker from a start to its end, over a disk that outlives it.
type life struct {
	*house
	fs   *disktest.FS
	disk *disk.Disk
	ends []func()
}

// once passes images on until a life is over.
type once struct {
	*meta.Store
	ctx context.Context
}

func (o once) Subscribe(f func(old, new *meta.Image)) {
	o.Store.Subscribe(func(old, img *meta.Image) {
		if o.ctx.Err() == nil {
			f(old, img)
		}
	})
}

// live begins a life. Levels of delay are milliseconds.
func live(t *testing.T, fs *disktest.FS, m *meta.Store) *life {
	t.Helper()
	l := &life{house: &house{t: t, meta: m}, fs: fs, disk: disk.New(fs, disk.Options{})}
	ctx, cancel := context.WithCancel(context.Background())
	topics := once{m, ctx}
	l.stores = stores(t, l.disk)
	l.replicas = replica.New(replica.Options{Stores: l.stores})
	l.replicas.Apply(nil, m.Image())
	topics.Subscribe(l.replicas.Apply)
	l.roster = group.NewRoster(group.RosterOptions{})
	l.groups = group.New(group.Options{Topics: topics, Partitions: l.replicas, JournalPartitions: 1, Roster: l.roster})
	journal, give := context.WithTimeout(ctx, 10*time.Second)
	if err := l.groups.Ready(journal); err != nil {
		t.Fatal(err)
	}
	give()
	waits := make([]time.Duration, 18)
	for i := range waits {
		waits[i] = time.Duration(1+i%3) * time.Millisecond
	}
	later := delay.New(delay.Options{Topics: topics, Partitions: l.replicas, Progress: l.groups, Levels: waits, SaveEvery: time.Millisecond})
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		later.Run(ctx)
	}()
	ln := listen(t)
	l.addr = ln.Addr().String()
	l.front = New(Options{
		Topics: topics, Partitions: l.replicas, Groups: l.groups, Roster: l.roster, Delay: later, Locate: l.locate, Layout: penstock.LayoutCommit,
		Advertised: func() (string, int32) { return endpointOf(l.addr) },
	})
	s := wire.NewServer(ln, l.front.Broker(), wire.Options{Listener: brokerName, AnyOrder: true})
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	l.ends = []func(){
		func() {
			over, stop := context.WithTimeout(context.Background(), 30*time.Second)
			defer stop()
			l.front.Leave()
			_ = s.Shutdown(over) // what it could not answer does not matter
			<-served
		},
		func() { cancel(); <-ran },
		l.groups.Close,
		func() { _ = l.replicas.Close() },
		func() { _ = l.disk.Close() },
	}
	return l
}

func (l *life) end() {
	for _, f := range l.ends {
		f()
	}
}

// failing is a group whose members consume nothing with success, and give every message back.
type failing struct {
	sent  int
	must  map[string]bool // bodies that the broker has accepted
	queue map[string]int64
}

// work sends a few messages, and gives back what comes, until all are dead letters, or the disk halts.
func (f *failing) work(l *life, more int) {
	c := dial(l.t, l.addr, remoting.JSON)
	defer c.Close()
	f.queue = map[string]int64{}
	for range more {
		body := fmt.Sprint("m", f.sent)
		f.sent++
		if r := c.try(310, sendV2("T", 0, ""), body); r != nil && r.code == codeSuccess {
			f.must[body] = true
		}
	}
	for end := time.Now().Add(60 * time.Second); !l.fs.Halted() && !f.done(l); {
		if time.Now().After(end) {
			l.t.Fatalf("of %v are dead: %v", f.must, f.dead(l))
		}
		for _, topic := range []string{"T", retryPrefix + "G"} {
			if !f.consume(l, c, topic) {
				return
			}
		}
	}
}

// consume reads a topic's queue from where the group is, and gives back what there is.
func (f *failing) consume(l *life, c *client, topic string) (goOn bool) {
	where := fields{"consumerGroup": "G", "topic": topic, "queueId": "0"}
	at, ok := f.queue[topic]
	if !ok {
		r := c.try(14, where, "")
		if r == nil {
			return false
		}
		if r.code == codeSuccess {
			at = r.number(l.t, "offset")
		}
	}
	r := c.try(11, pullOf(topic, 0, at, "*").with("sysFlag", "4", "consumerGroup", "G"), "")
	if r == nil {
		return false
	}
	if r.code != codeSuccess {
		return true
	}
	for _, m := range r.messages(l.t) {
		b := c.try(36, back(m, 0).with("maxReconsumeTimes", "4"), "")
		if b == nil {
			return false
		}
		if b.code != codeSuccess {
			return true // it is tried again
		}
		at++
		f.queue[topic] = at
		// Durable at once, unlike what UPDATE_CONSUMER_OFFSET notes: a copy that gets lost must not be made again from the first message.
		done := make(chan error, 1)
		l.groups.Commit("G", &group.Commit{Generation: -1, Rocket: true, Offsets: []group.CommitOffset{{
			Topic: topic, TopicID: l.meta.Image().Topic(topic).ID, Offset: penstock.Offset(at), Epoch: penstock.NoEpoch,
		}}}, func(err error) { done <- err })
		if <-done != nil {
			return false
		}
	}
	return true
}

// try asks on a connection that may end.
func (c *client) try(code int32, f fields, body string) *reply {
	if _, err := c.Write(c.frame(code, 0, f, []byte(body))); err != nil {
		return nil
	}
	return c.receive()
}

// dead counts the dead letters by body.
func (f *failing) dead(l *life) map[string]int {
	out := map[string]int{}
	all, err := l.read(deadPrefix+"G", 0)
	if err != nil && !l.fs.Halted() && !errors.Is(err, penstock.ErrNotLeader) {
		l.t.Fatal(err)
	}
	for _, m := range all {
		out[string(m.Body)]++
		if m.Reconsumed != 5 || property(m, message.PropertyRetryTopic) != "T" {
			l.t.Errorf("dead letter %s has come back %d times, of topic %s", m.Body, m.Reconsumed, property(m, message.PropertyRetryTopic))
		}
	}
	return out
}

func (f *failing) done(l *life) bool {
	dead := f.dead(l)
	for body := range f.must {
		if dead[body] == 0 {
			return false
		}
	}
	return true
}

func fresh(t *testing.T) *meta.Store {
	m, _ := metatest.Open(t)
	_, err := m.CreateTopic(context.Background(), meta.NewTopic{
		Name: "T", Format: penstock.FormatMessage, Layout: penstock.LayoutCommit, Partitions: 1, Replicas: []penstock.BrokerID{0},
	}, false)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// changed counts the calls so far that change anything.
func changed(fs *disktest.FS) (n int) {
	for kind, some := range fs.Counts() {
		switch kind {
		case disktest.KindCreate, disktest.KindWrite, disktest.KindAllocate, disktest.KindTruncate, disktest.KindSync, disktest.KindMkdir,
			disktest.KindRemove, disktest.KindRename, disktest.KindSyncDir, disktest.KindSyncAll:
			n += some
		}
	}
	return n
}

// TestRetriesOverCrashes stops the disk at its nth call that changes anything while messages fail again and again, and cuts the power or kills the
// process: what was accepted is among the dead letters in the end, and came back as often as it may before. With STORETEST_SEEDS set it is every
// fifth n, else a few.
func TestRetriesOverCrashes(t *testing.T) {
	fs, m := disktest.New(), fresh(t)
	l, f := live(t, fs, m), &failing{must: map[string]bool{}}
	before := changed(fs)
	f.work(l, 3)
	calls := changed(fs) - before
	l.end()
	step := calls/12 + 1
	switch {
	case os.Getenv("STORETEST_SEEDS") != "":
		step = 5
	case testing.Short():
		step = calls/4 + 1
	}
	for n := 1; n <= calls; n += step {
		t.Run(strconv.Itoa(n), func(t *testing.T) { retriesOver(t, n) })
	}
}

func retriesOver(t *testing.T, n int) {
	fs, m := disktest.New(), fresh(t)
	f := &failing{must: map[string]bool{}}
	for range 2 {
		l := live(t, fs, m)
		fs.Inject(fmt.Sprintf("change#%d=halt", n))
		f.work(l, 3)
		fs.Halt()
		l.end()
		next := fs.Crash(uint64(n))
		if n%3 == 0 {
			next = fs.Kill()
			if d := disk.New(next, disk.Options{}); d.Err() != nil {
				next = next.Crash(uint64(n)) // after a failed sync nobody may start before the machine has booted
			}
		}
		fs = next
	}
	l := live(t, fs, m)
	f.work(l, 1)
	twice := 0
	for _, count := range f.dead(l) {
		twice += count - 1
	}
	t.Logf("%d sent, %d accepted, %d dead letters more than that", f.sent, len(f.must), twice)
	l.end()
}
