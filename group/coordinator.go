package group

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"unicode/utf16"

	"penstock"
	"penstock/meta"
)

// Coordinator owns the groups whose journal this node leads. Make it with New. All methods may be called concurrently, and
// none waits for the disk or for other members: what takes time calls back, from another goroutine.
//
// Every method that names a group returns, or answers, ErrUnavailable (the journal does not exist yet: call Ready),
// ErrLoading and ErrNotCoordinator besides its own errors.
type Coordinator struct {
	o       Options
	alarm   *alarm
	notes   *notes
	figures figures
	ctx     context.Context
	stop    context.CancelFunc
	tasks   sync.WaitGroup
	leaving atomic.Bool

	image   atomic.Pointer[meta.Image] // the newest
	journal atomic.Pointer[journal]    // nil while its topic does not exist
	// making is held while the journal's topic is created, so that many who ask at once do it once.
	making sync.Mutex
	// following is held while an image is followed, so that no shard begins after Close.
	following sync.Mutex
}

// journal is the shards of one life of the journal's topic, by partition; nil where another node leads. It is immutable.
type journal struct {
	topic  *meta.Topic
	shards []*shard
}

// New makes a coordinator, begins to load what this node leads, and follows the cluster's image. It panics if Topics or
// Partitions is missing: that is a fault of the program, not of its user. It must be made after the partitions follow
// the image too.
func New(o Options) *Coordinator {
	if o.Topics == nil || o.Partitions == nil {
		panic("group: Topics and Partitions are demanded")
	}
	c := &Coordinator{o: o.withDefaults(), alarm: newAlarm()}
	c.notes = newNotes(c)
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.figures = newFigures(c)
	if c.o.Roster != nil {
		c.o.Roster.coordinator = c
	}
	c.tasks.Go(func() { c.alarm.run(c.ctx, c.o.Now) })
	c.tasks.Go(func() { c.notes.run(c.ctx) })
	c.o.Topics.Subscribe(c.follow)
	return c
}

// Leave sends away whoever waits for other members, and lets nobody wait any more: the node is about to stop. Commits go on.
func (c *Coordinator) Leave() {
	c.leaving.Store(true)
	c.each((*shard).dissolve)
}

// Close ends the coordinator. It is called when nobody asks any more and before the partitions are closed.
func (c *Coordinator) Close() {
	c.Leave()
	c.notes.close()
	c.following.Lock()
	c.stop()
	c.following.Unlock()
	c.tasks.Wait()
}

// each calls f for every shard of this node.
func (c *Coordinator) each(f func(*shard)) {
	j := c.journal.Load()
	if j == nil {
		return
	}
	for _, s := range j.shards {
		if s != nil {
			f(s)
		}
	}
}

// follow brings the shards up to a new image. It is called for one image at a time, before anybody else sees it: offsets
// of a topic that is gone are deleted before one of the same name can be committed to.
func (c *Coordinator) follow(old, img *meta.Image) {
	c.following.Lock()
	defer c.following.Unlock()
	if c.ctx.Err() != nil {
		return
	}
	c.image.Store(img)
	last := c.journal.Load()
	t := img.Topic(JournalTopic)
	switch {
	case t == nil && last == nil:
	case t == nil:
		c.journal.Store(nil)
		end(last)
	case last == nil || last.topic != t:
		c.lead(last, t)
	}
	if old == img {
		return
	}
	gone := deleted(old, img)
	some := false
	old.Topics(func(t *meta.Topic) bool {
		some = gone(t.Name, t.ID)
		return !some
	})
	if some {
		c.each(func(s *shard) {
			if s.ready.Load() {
				s.purge(gone)
			}
		})
	}
}

// deleted tells which topics of an image are not in a later one, or are others of the same name.
func deleted(old, img *meta.Image) func(topic string, id penstock.TopicID) bool {
	return func(topic string, id penstock.TopicID) bool {
		if id != (penstock.TopicID{}) {
			return img.TopicByID(id) == nil
		}
		was := old.Topic(topic)
		return was != nil && img.TopicByID(was.ID) == nil
	}
}

// missing tells which topics are not in an image. By its name alone a topic cannot be told from a later one.
func missing(img *meta.Image) func(topic string, id penstock.TopicID) bool {
	return func(topic string, id penstock.TopicID) bool {
		if id != (penstock.TopicID{}) {
			return img.TopicByID(id) == nil
		}
		return img.Topic(topic) == nil
	}
}

// isGone reports whether the topic with that id was deleted. A commit asks it under its group's lock: either it sees the image that the
// topic is missing in, or the purge for that image comes after it and finds what it appended.
func (c *Coordinator) isGone(id penstock.TopicID) bool {
	return id != (penstock.TopicID{}) && c.image.Load().TopicByID(id) == nil
}

// lead makes a shard of each partition of the journal that this node leads; those that it led already go on.
func (c *Coordinator) lead(last *journal, t *meta.Topic) {
	if last != nil && last.topic.ID != t.ID {
		end(last)
		last = nil
	}
	j := &journal{topic: t, shards: make([]*shard, len(t.Partitions))}
	var fresh, ended []*shard
	for i := range t.Partitions {
		var s *shard
		if last != nil && i < len(last.shards) {
			s = last.shards[i]
		}
		mine := t.Partitions[i].Leader == c.o.Broker
		switch {
		case mine && s == nil:
			s = newShard(c, penstock.PartitionID{Topic: t.ID, Partition: int32(i)})
			fresh = append(fresh, s)
		case !mine && s != nil:
			ended = append(ended, s)
			s = nil
		}
		j.shards[i] = s
	}
	c.journal.Store(j)
	for _, s := range fresh {
		s.start()
	}
	end(&journal{shards: ended})
}

// end gives shards up.
func end(j *journal) {
	for _, s := range j.shards {
		if s != nil {
			s.end()
			s.dissolve()
		}
	}
}

// Exists reports whether there is a journal.
func (c *Coordinator) Exists() bool { return c.journal.Load() != nil }

// Ready makes the journal's topic if it does not exist, and returns when what is led of it here is loaded. It may take long.
// Errors: what CreateTopic returns, and that of ctx.
func (c *Coordinator) Ready(ctx context.Context) error {
	if err := c.make(ctx); err != nil {
		return err
	}
	var err error
	c.each(func(s *shard) {
		select {
		case <-s.loaded:
		case <-s.failed:
			err = *s.broken.Load()
		case <-s.ctx.Done():
		case <-ctx.Done():
			err = fmt.Errorf("%w: %w", ErrLoading, ctx.Err())
		}
	})
	return err
}

// make makes the journal's topic.
func (c *Coordinator) make(ctx context.Context) error {
	if c.Exists() {
		return nil
	}
	c.making.Lock()
	defer c.making.Unlock()
	if c.Exists() {
		return nil
	}
	_, err := c.o.Topics.CreateTopic(ctx, meta.NewTopic{
		Name: JournalTopic, Partitions: c.o.JournalPartitions, Replicas: []penstock.BrokerID{c.o.Broker}, Configs: journalConfigs(),
	}, false)
	if err != nil && !errors.Is(err, penstock.ErrTopicExists) {
		return fmt.Errorf("create %s: %w", JournalTopic, err)
	}
	return nil
}

// repair gives the journal's topic the settings that it must have, should somebody have made or changed it otherwise.
func (c *Coordinator) repair(ctx context.Context) error {
	j := c.journal.Load()
	if j == nil || holds(j.topic.Configs, journalConfigs()) {
		return nil
	}
	c.making.Lock()
	defer c.making.Unlock()
	err := c.o.Topics.SetConfigs(ctx, j.topic.ID, func(has map[string]string) (map[string]string, error) {
		maps.Copy(has, journalConfigs())
		return has, nil
	})
	if err != nil {
		return fmt.Errorf("configure %s: %w", JournalTopic, err)
	}
	return nil
}

// holds reports whether has says all that want says.
func holds(has, want map[string]string) bool {
	for k, v := range want {
		if has[k] != v {
			return false
		}
	}
	return true
}

// Of is the broker that coordinates a group, NoBroker if there is none now. Errors: ErrUnavailable.
func (c *Coordinator) Of(name string) (penstock.BrokerID, error) {
	t := c.o.Topics.Image().Topic(JournalTopic)
	if t == nil {
		return penstock.NoBroker, ErrUnavailable
	}
	leader := t.Partitions[partitionOf(name, len(t.Partitions))].Leader
	if leader == penstock.NoBroker {
		return leader, ErrUnavailable
	}
	if _, err := c.shard(name); errors.Is(err, ErrDamaged) {
		return penstock.NoBroker, err
	}
	return leader, nil
}

// partitionOf is the partition of the journal that holds a group: by Java's hash of the name, so that Kafka's tools look
// for it where it is.
func partitionOf(name string, n int) int {
	h := int32(0)
	for _, u := range utf16.Encode([]rune(name)) {
		h = 31*h + int32(u)
	}
	return int(h&0x7fffffff) % n
}

// shard finds the shard of a group, loaded.
func (c *Coordinator) shard(name string) (*shard, error) {
	if len(name) > maxText {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrInvalidGroup, len(name), maxText)
	}
	j := c.journal.Load()
	if j == nil {
		return nil, ErrUnavailable
	}
	s := j.shards[partitionOf(name, len(j.shards))]
	if s == nil {
		return nil, ErrNotCoordinator
	}
	if err := s.unready(); err != nil {
		return nil, err
	}
	return s, nil
}

// maxText is the longest string that the journal's records hold.
const maxText = 1<<15 - 1

// lock returns a group with its lock held, nil if there is none. With create it is made.
func (c *Coordinator) lock(name string, create bool) (*group, error) {
	s, err := c.shard(name)
	if err != nil {
		return nil, err
	}
	return s.lock(name, create)
}

// member is lock for what only a group with that name serves.
func (c *Coordinator) member(name string, create bool) (*group, error) {
	if name == "" {
		return nil, ErrInvalidGroup
	}
	g, err := c.lock(name, create)
	if err == nil && g == nil {
		err = ErrUnknownMember
	}
	return g, err
}

// Join takes a Join; its Token is set here. answer is called once, possibly before Join returns. The function returned
// forgets the request when its connection has ended; if it is true answer will never be called.
func (c *Coordinator) Join(name string, j Join, answer func(JoinAnswer)) (forget func() bool) {
	nothing := func() bool { return false }
	err := firstOf(j.check(), refuseOwn(name))
	if c.leaving.Load() {
		err = ErrNotCoordinator
	}
	var g *group
	if err == nil {
		g, err = c.member(name, j.MemberID == "")
	}
	var out calls
	if err == nil && g.machine.phase == Empty && c.o.Roster.has(name) {
		err = fmt.Errorf("%w: group %q has RocketMQ's", ErrOtherKind, name)
		g.unlock(out)
	}
	if err != nil {
		answer(refusal(0, err, j.MemberID))
		return nothing
	}
	j.Token = g.wait(func(e Effect) { answer(e.(JoinAnswer)) })
	g.step(j, &out)
	g.unlock(out)
	return func() bool { return g.forget(j.Token) }
}

// check refuses what the journal cannot hold.
func (j *Join) check() error {
	n := max(len(j.InstanceID), len(j.ClientID), len(j.ClientHost), len(j.ProtocolType), len(j.NewID), len(j.MemberID))
	for i := range j.Protocols {
		n = max(n, len(j.Protocols[i].Name))
	}
	if n > maxText {
		return fmt.Errorf("%w: a name of %d bytes, at most %d", ErrInvalidGroup, n, maxText)
	}
	return nil
}

// forget lets nobody wait for the answer with that token. It is false if it was answered, or is about to be.
func (g *group) forget(t Token) bool {
	var out calls
	g.mu.Lock()
	waited := g.waiting[t] != nil
	if waited {
		delete(g.waiting, t)
		g.step(Gone{t}, &out)
	}
	g.unlock(out)
	return waited
}

// Sync takes a Sync; see Join.
func (c *Coordinator) Sync(name string, y Sync, answer func(SyncAnswer)) (forget func() bool) {
	nothing := func() bool { return false }
	var g *group
	err := error(ErrNotCoordinator)
	if !c.leaving.Load() {
		g, err = c.member(name, false)
	}
	if err != nil {
		answer(SyncAnswer{Err: err})
		return nothing
	}
	var out calls
	y.Token = g.wait(func(e Effect) { answer(e.(SyncAnswer)) })
	g.step(y, &out)
	g.unlock(out)
	return func() bool { return g.forget(y.Token) }
}

// Heartbeat takes a Heartbeat and returns its answer.
func (c *Coordinator) Heartbeat(name string, h Heartbeat) error {
	g, err := c.member(name, false)
	if err != nil {
		return err
	}
	var out calls
	err = g.step(h, &out)
	g.unlock(out)
	return err
}

// Depart takes members out of a group and returns an error for each, in order.
func (c *Coordinator) Depart(name string, who []Leaver) ([]error, error) {
	g, err := c.member(name, false)
	errs := make([]error, len(who))
	if errors.Is(err, ErrUnknownMember) {
		for i := range errs {
			errs[i] = err
		}
		return errs, nil
	}
	if err != nil {
		return nil, err
	}
	var out calls
	t := g.wait(func(e Effect) { errs = e.(LeaveAnswer).Errs })
	g.step(Leave{Token: t, Members: who}, &out)
	g.unlock(out)
	return errs, nil
}

// now is the time in a record.
func (c *Coordinator) now() penstock.Timestamp { return penstock.Timestamp(c.o.Now().UnixMilli()) }
