package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/bench/clients/drive"
	"penstock/bench/clients/history"
	"penstock/bench/clients/spec"
	"penstock/bench/screen"
	"penstock/bench/suite"
)

const (
	groupTopic      = "groups"
	groupPartitions = 12
	groupRate       = 1000 // records a second into the topic
	sessionMs       = 6000 // session time-out of members, the least that Kafka allows
	// thaw is how long a frozen member sleeps: longer than its session.
	thaw = sessionMs*time.Millisecond + 2*time.Second
	// drainLimit bounds the wait until everything is committed after the last change.
	drainLimit = 3 * time.Minute
	// quitLimit bounds the wait for a member that was told to stop. A slow client waits out a rebalance first.
	quitLimit = 2 * time.Minute
	// crowd is how many members a group has at most, core how many it has at least at the end.
	crowd, core = 8, 3
)

// member is one life of a driver in a group, and what it told.
type member struct {
	*crewman
	name     string
	instance string
	mu       sync.Mutex // guards events
	events   []spec.Event
	frozen   time.Time // when it was stopped, zero if it runs
}

func (m *member) tell(e spec.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, e)
}

func (m *member) told() []spec.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.events)
}

// company is a group whose members come and go.
type company struct {
	b        *bench
	addr     string
	name     string
	assignor string
	session  int // of members, in ms; 0 means sessionMs
	clients  []*drive.Client
	rng      *rand.Rand
	all      []*member // every life there was
	alive    []*member
	deeds    map[string]int
}

// runGroups has consumers of all clients come and go in two groups of one topic, one eager and one cooperative, while records are
// written. Package history says what is demanded of what they read.
func runGroups(ctx context.Context, b *bench) (_ string, err error) {
	fleet, err := b.fleet(ctx)
	if err != nil {
		return "", err
	}
	br, end, err := b.peer(ctx, b.quick(), b.quickApache())
	if err != nil {
		return "", err
	}
	defer end(&err)
	if err := createTopic(ctx, br.Kafka, groupTopic, groupPartitions, nil); err != nil {
		return "", err
	}
	calm, err := b.restarts(ctx, br.Kafka, fleet)
	if err != nil {
		return "", err
	}
	seed := b.seed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano()) % 1_000_000
	}
	suite.Note("groups: seed %d", seed)
	f := b.feed(ctx, br.Kafka)
	defer f.stop()
	var companies []*company
	for i, assignor := range []string{"eager", "cooperative"} {
		c := &company{b: b, addr: br.Kafka, name: "group-" + assignor, assignor: assignor, rng: rand.New(rand.NewPCG(seed, uint64(i))), deeds: map[string]int{}}
		if c.clients, err = able(ctx, fleet, assignor); err != nil {
			return "", err
		}
		companies = append(companies, c)
		defer c.end()
	}
	if err := b.churnAll(ctx, companies); err != nil {
		return "", err
	}
	if err := f.stop(); err != nil {
		return "", fmt.Errorf("the producer: %w", err)
	}
	_, ends, err := ends(ctx, br.Kafka, groupTopic)
	if err != nil {
		return "", err
	}
	var text []string
	var failed error
	for _, c := range companies {
		t, err := c.finish(ctx, ends)
		text, failed = append(text, t), errors.Join(failed, err)
	}
	return fmt.Sprintf("seed %d: %s; %s", seed, strings.Join(text, "; "), calm), failed
}

// able are the clients that know a way of assigning.
func able(ctx context.Context, fleet []*drive.Client, assignor string) ([]*drive.Client, error) {
	var out []*drive.Client
	for _, c := range fleet {
		w, err := hire(ctx, c, nil)
		if err != nil {
			return nil, err
		}
		if slices.Contains(w.info.Assignors, assignor) {
			out = append(out, c)
		}
		w.dismiss()
	}
	return out, nil
}

// feeder writes records to the topic, one after the other: record i goes to partition i mod groupPartitions.
type feeder struct {
	quit chan struct{}
	done chan error
	once sync.Once
	err  error
}

func (b *bench) feed(ctx context.Context, addr string) *feeder {
	f := &feeder{quit: make(chan struct{}), done: make(chan error, 1)}
	go func() { f.done <- feed(ctx, addr, f.quit) }()
	return f
}

func (f *feeder) stop() error {
	f.once.Do(func() {
		close(f.quit)
		f.err = <-f.done
	})
	return f.err
}

func feed(ctx context.Context, addr string, quit <-chan struct{}) error {
	cl, err := goClient(addr, kgo.DefaultProduceTopic(groupTopic))
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	pace := spec.NewPace(groupRate)
	for i := 0; ctx.Err() == nil; i++ {
		select {
		case <-quit:
			return errors.Join(cl.Flush(ctx), context.Cause(ctx))
		default:
		}
		r := &kgo.Record{Partition: int32(i % groupPartitions), Key: strconv.AppendInt(nil, int64(i), 10)}
		cl.Produce(ctx, r, func(_ *kgo.Record, err error) {
			if err != nil {
				cancel(err)
			}
		})
		pace.Wait()
	}
	return context.Cause(ctx)
}

// groupKey is the key of a record that feed wrote.
func groupKey(p int, o int64) string { return strconv.FormatInt(o*groupPartitions+int64(p), 10) }

// churnAll lets the members of all companies come and go until the time is over.
func (b *bench) churnAll(ctx context.Context, companies []*company) error {
	last := b.churn
	if last == 0 {
		if last = 2 * time.Minute; b.Short {
			last = 10 * time.Second
		}
	}
	for _, c := range companies {
		if err := c.everybody(ctx); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	bar := screen.NewBar(int64(last/time.Second), "members come and go", false)
	defer bar.Close()
	begin, shown := time.Now(), int64(0)
	for time.Since(begin) < last {
		for _, c := range companies {
			if err := c.deed(ctx); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
		pause := time.Duration(companies[0].rng.IntN(2500)) * time.Millisecond
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		done := int64(time.Since(begin) / time.Second)
		bar.Add(done - shown)
		shown = done
	}
	return nil
}

// deed does one thing to the group, as the dice fall.
func (c *company) deed(ctx context.Context) error {
	c.thawAll()
	if len(c.alive) < core || len(c.alive) < crowd && c.rng.IntN(10) < 4 {
		c.deeds["came"]++
		return c.join(ctx, c.clients[c.rng.IntN(len(c.clients))], c.staticName())
	}
	m := c.alive[c.rng.IntN(len(c.alive))]
	if !m.frozen.IsZero() {
		return nil
	}
	switch c.rng.IntN(5) {
	case 0, 1:
		c.deeds["left"]++
		return c.leave(ctx, m)
	case 2:
		c.deeds["killed"]++
		c.kill(m)
		return nil
	case 3:
		c.deeds["frozen"]++
		m.frozen = time.Now()
		return m.Signal(syscall.SIGSTOP)
	}
	c.deeds["restarted"]++
	c.kill(m)
	return c.join(ctx, m.Client, m.instance)
}

// everybody has one member of every client join, in any order.
func (c *company) everybody(ctx context.Context) error {
	for _, i := range c.rng.Perm(len(c.clients)) {
		c.deeds["came"]++
		if err := c.join(ctx, c.clients[i], c.staticName()); err != nil {
			return err
		}
	}
	return nil
}

// staticName is an instance id for every third member, empty for the others.
func (c *company) staticName() string {
	if c.rng.IntN(3) > 0 {
		return ""
	}
	return fmt.Sprintf("%s-%d", c.name, len(c.all))
}

func (c *company) join(ctx context.Context, cl *drive.Client, instance string) error {
	m := &member{name: fmt.Sprintf("%s %d", cl.Name, len(c.all)+1), instance: instance}
	var err error
	if m.crewman, err = hire(ctx, cl, m.tell); err != nil {
		return err
	}
	if !m.info.Static {
		m.instance = ""
	}
	c.all, c.alive = append(c.all, m), append(c.alive, m)
	return m.Tell(spec.Command{
		Do: "group", Addr: c.addr, Topic: groupTopic, Partitions: groupPartitions, Group: c.name, Assignor: c.assignor, Instance: m.instance,
		Session: cmp.Or(c.session, sessionMs), Every: 1 + c.rng.IntN(10),
	})
}

// gone takes a member out of those alive.
func (c *company) gone(m *member) {
	c.alive = slices.DeleteFunc(c.alive, func(o *member) bool { return o == m })
}

func (c *company) kill(m *member) {
	c.gone(m)
	m.Kill()
}

// leave tells a member to stop and waits until it has.
func (c *company) leave(ctx context.Context, m *member) error {
	c.gone(m)
	defer m.Kill()
	ctx, cancel := context.WithTimeout(ctx, quitLimit)
	defer cancel()
	if err := m.Stop(); err != nil {
		return err
	}
	a, err := m.Wait(ctx)
	if err == nil && a.Error != "" {
		err = fmt.Errorf("%s: %s", m.name, a.Error)
	}
	return err
}

// thawAll wakes members that slept past their session: they do not know yet that they are out.
func (c *company) thawAll() {
	for _, m := range c.alive {
		if !m.frozen.IsZero() && time.Since(m.frozen) > thaw {
			_ = m.Signal(syscall.SIGCONT)
			m.frozen = time.Time{}
		}
	}
}

// end kills whoever is left.
func (c *company) end() {
	for _, m := range slices.Clone(c.alive) {
		c.kill(m)
	}
}

// finish lets the members that are left read to the end, sends them away, and judges the whole history.
func (c *company) finish(ctx context.Context, ends []int64) (string, error) {
	for _, m := range c.alive {
		if !m.frozen.IsZero() {
			_ = m.Signal(syscall.SIGCONT)
			m.frozen = time.Time{}
		}
	}
	for len(c.alive) < core {
		if err := c.join(ctx, c.clients[len(c.all)%len(c.clients)], ""); err != nil {
			return "", err
		}
	}
	drained := c.drain(ctx, ends)
	var left error
	for _, m := range slices.Clone(c.alive) {
		left = errors.Join(left, c.leave(ctx, m))
	}
	histories, stutters := map[string][]spec.Event{}, map[string]bool{}
	by, why := map[string]int64{}, map[string]int{}
	for _, m := range c.all {
		histories[m.name], stutters[m.name] = m.told(), m.info.Stutters
		for _, e := range histories[m.name] {
			by[m.Client.Name] += int64(len(e.O))
			if e.E == "refused" {
				why[m.Client.Name+": "+e.Text]++
			}
		}
	}
	for text, n := range why {
		suite.Note("%s: %d commits refused, %.200s", c.name, n, text)
	}
	r := history.Judge(histories, ends, groupKey, stutters)
	if r.Stutter > 0 {
		suite.Note("%s: %d records came twice from clients that stutter", c.name, r.Stutter)
	}
	var failed error
	if r.Count > 0 {
		failed = fmt.Errorf("%s: %d faults:\n  %s", c.name, r.Count, strings.Join(r.Faults, "\n  "))
	}
	failed = errors.Join(failed, drained, left)
	result := fmt.Sprintf("ok, %s in one group", c.assignor)
	if failed != nil {
		result = "FAILED"
		c.trouble()
	}
	for _, cl := range c.clients {
		for _, m := range c.all {
			if m.Client == cl {
				c.b.report(m.crewman, "member of a mixed group", by[cl.Name], result)
				break
			}
		}
	}
	return fmt.Sprintf("%s group of %d clients: %d members, %v, %d spells, %s records read %s times, %d commits, %d refused, %d faults", c.assignor, len(by),
		r.Members, c.deeds, r.Spells, count(int(r.Records)), count(int(r.Reads)), r.Commits, r.Refused, r.Count), failed
}

// trouble prints the last troubles that members told of.
func (c *company) trouble() {
	for _, m := range c.all {
		events := m.told()
		for _, e := range events[max(0, len(events)-3):] {
			suite.Note("%s: %s %v %s", m.name, e.E, e.P, e.Text)
		}
	}
}

// drain waits until the group has committed everything.
func (c *company) drain(ctx context.Context, ends []int64) error {
	cl, err := goClient(c.addr)
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	for {
		offsets, err := kadm.NewClient(cl).FetchOffsets(ctx, c.name)
		behind := map[int]int64{}
		for p, end := range ends {
			if o, ok := offsets.Lookup(groupTopic, int32(p)); !ok || o.At != end {
				behind[p] = o.At
			}
		}
		if err == nil && len(behind) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not commit everything within %s: %v of %v, %w", c.name, drainLimit, behind, ends, errors.Join(err, ctx.Err()))
		case <-time.After(100 * time.Millisecond):
		}
	}
}
