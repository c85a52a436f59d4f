package delay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"penstock"
	"penstock/convert"
	"penstock/meta"
)

// Scheduler delivers delayed messages. Make it with New. Levels, Ready and Waits may be called concurrently with everything.
type Scheduler struct {
	o       Options
	figures figures
	bell    chan struct{} // rings when Step has something to do
	tasks   sync.WaitGroup
	ctx     context.Context // of loads: ends with Run
	end     context.CancelFunc

	image  atomic.Pointer[meta.Image] // the newest
	levels atomic.Pointer[[]*level]   // of the topic's queues, in order; changed by Step only

	// Of Step alone.
	topic   *meta.Topic // that levels are of; nil while it does not exist
	stopped bool        // nothing more is delivered
	packer  convert.Packer
	text    []byte
	trouble trouble // of loading and saving
	said    map[string]bool

	// mu guards what follows, and done and err of flights.
	mu       sync.Mutex
	loading  bool
	progress map[int32]penstock.Offset // as loaded for topic; nil before
	loadErr  error
	saving   bool
	savedErr error
	savedOne bool      // a load or save succeeded since the last look
	savedAt  time.Time // of the last save that began
	making   sync.Mutex
}

// New makes a scheduler. Somebody must call Run. It panics if Topics, Partitions or Progress is missing: that is a fault of the program, not of
// its user.
func New(o Options) *Scheduler {
	if o.Topics == nil || o.Partitions == nil || o.Progress == nil {
		panic("delay: Topics, Partitions and Progress are demanded")
	}
	s := &Scheduler{o: o.withDefaults(), bell: make(chan struct{}, 1), said: map[string]bool{}}
	s.ctx, s.end = context.WithCancel(context.Background())
	s.levels.Store(&[]*level{})
	s.figures = newFigures(s)
	s.o.Topics.Subscribe(func(old, img *meta.Image) {
		s.image.Store(img) // Topics.Image shows it only when all have been told
		if a, b := old.Topic(Topic), img.Topic(Topic); a != b || b != nil {
			s.ring() // the topic, or a topic that somebody waits for
		}
	})
	return s
}

func (s *Scheduler) ring() {
	select {
	case s.bell <- struct{}{}:
	default: // it rings already
	}
}

// Levels is the number of levels. A message of level n, from 1 on, lies in queue n-1.
func (s *Scheduler) Levels() int { return len(s.o.Levels) }

// Waits is how long a message of a level waits, from 1 on; of one beyond the last as long as of the last.
func (s *Scheduler) Waits(level int) time.Duration {
	return s.o.Levels[min(max(level, 1), len(s.o.Levels))-1]
}

// Ready makes the topic of delayed messages if it does not exist, with a queue for each level, and returns when they can be written to. Errors: those of
// CreateTopic and AddPartitions, and that of ctx.
func (s *Scheduler) Ready(ctx context.Context) error {
	t, err := s.make(ctx)
	if err != nil {
		return fmt.Errorf("topic of delayed messages: %w", err)
	}
	return s.o.Partitions.Ready(ctx, t.ID)
}

func (s *Scheduler) make(ctx context.Context) (*meta.Topic, error) {
	s.making.Lock()
	defer s.making.Unlock()
	t := s.o.Topics.Image().Topic(Topic)
	if t == nil {
		made, err := s.o.Topics.CreateTopic(ctx, meta.NewTopic{
			Name: Topic, Format: penstock.FormatMessage, Layout: *s.o.Layout, Partitions: len(s.o.Levels),
			Replicas: []penstock.BrokerID{s.o.Broker}, Configs: topicConfigs(),
		}, false)
		if err == nil {
			return made, nil
		}
		if t = s.o.Topics.Image().Topic(Topic); t == nil || !errors.Is(err, penstock.ErrTopicExists) {
			return nil, err
		}
	}
	if len(t.Partitions) < len(s.o.Levels) {
		err := s.o.Topics.AddPartitions(ctx, t.ID, len(s.o.Levels), false)
		if t = s.o.Topics.Image().TopicByID(t.ID); t == nil || len(t.Partitions) < len(s.o.Levels) {
			return t, fmt.Errorf("more levels than queues: %w", err)
		}
	}
	return t, nil
}

// lastWords is how long Run goes on after its end to note what was delivered.
const lastWords = 5 * time.Second

// Run delivers until ctx ends. What is on its way to the disk then is waited for and noted, for at most lastWords.
func (s *Scheduler) Run(ctx context.Context) {
	defer s.tasks.Wait()
	defer s.end()
	t := time.NewTimer(time.Hour)
	defer t.Stop()
	var last <-chan time.Time
	over := ctx.Done()
	for {
		next := s.Step()
		if last != nil && (s.rests() || s.trouble.times > 0) {
			return // nothing is left to note, or it cannot be
		}
		wait := time.Hour
		if !next.IsZero() {
			// A millisecond more, so that many that are due together go together.
			wait = min(wait, max(0, next.Sub(s.o.Now()))+time.Millisecond)
		}
		t.Reset(wait)
		select {
		case <-over:
			s.stopped, over, last = true, nil, time.After(lastWords)
		case <-last:
			return
		case <-s.bell:
		case <-t.C:
		}
	}
}

// rests reports whether nothing is under way.
func (s *Scheduler) rests() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range *s.levels.Load() {
		if len(l.flights) > 0 || l.done.Load() > l.saved.Load() && s.progress != nil {
			return false
		}
	}
	return !s.saving
}

// Step does what is due now, and returns when something else will be, zero if nothing is known to be: then the bell rings when there is. It never waits.
// It is not to be called concurrently.
func (s *Scheduler) Step() (next time.Time) {
	now := s.o.Now()
	sooner := func(at time.Time) {
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	sooner(s.follow(now))
	if s.topic == nil {
		return next
	}
	s.mu.Lock()
	ready := s.progress != nil
	s.mu.Unlock()
	if !ready {
		return next
	}
	for _, l := range *s.levels.Load() {
		sooner(l.step(now))
	}
	sooner(s.save(now))
	return next
}

// follow brings the levels up to the newest image, and has it loaded how far they are delivered.
func (s *Scheduler) follow(now time.Time) (next time.Time) {
	t := s.image.Load().Topic(Topic)
	if t == nil || s.topic == nil || t.ID != s.topic.ID {
		s.topic = t
		s.levels.Store(&[]*level{})
		s.trouble = trouble{}
		s.mu.Lock()
		s.progress, s.loadErr = nil, nil
		s.mu.Unlock()
	}
	if t == nil {
		return time.Time{}
	}
	s.topic = t
	all := *s.levels.Load()
	for len(all) < len(t.Partitions) {
		all = append(all[:len(all):len(all)], newLevel(s, penstock.PartitionID{Topic: t.ID, Partition: int32(len(all))}))
	}
	s.levels.Store(&all)
	return s.load(now)
}

// loadTime bounds one try to load how far levels are delivered.
const loadTime = 30 * time.Second

// load begins to load how far the levels are delivered, unless that is known.
func (s *Scheduler) load(now time.Time) (next time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.progress != nil || s.loading || s.stopped {
		return time.Time{}
	}
	if err := s.loadErr; err != nil {
		s.loadErr = nil
		s.trouble.fail(now)
		if s.trouble.first() {
			s.o.Logger.Warn("delayed messages wait: it cannot be read how far they were delivered; tried again", "topic", Topic, "error", err)
		}
	}
	if now.Before(s.trouble.until) {
		return s.trouble.until
	}
	s.loading = true
	id := s.topic.ID
	s.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(s.ctx, loadTime)
		defer cancel()
		at, err := s.o.Progress.LoadProgress(ctx, Group, Topic, id)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.loading = false
		if err == nil {
			if at == nil {
				at = map[int32]penstock.Offset{}
			}
			s.progress, s.savedOne = at, true // the trouble is over
		}
		s.loadErr = err
		s.ring()
	})
	return time.Time{}
}

// loaded is what was loaded for a queue, NoOffset if nothing was.
func (s *Scheduler) loaded(queue int32) penstock.Offset {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, ok := s.progress[queue]; ok {
		return at
	}
	return penstock.NoOffset
}

// save notes how far the levels are delivered, if that has changed, and it was not done just now.
func (s *Scheduler) save(now time.Time) (next time.Time) {
	s.mu.Lock()
	if err := s.savedErr; err != nil {
		s.savedErr = nil
		s.trouble.fail(now)
		if s.trouble.first() {
			s.o.Logger.Warn("it cannot be noted how far delayed messages are delivered; tried again. After a crash they are delivered again", "topic", Topic, "error", err)
		}
	}
	if s.savedOne {
		s.savedOne, s.trouble = false, trouble{}
	}
	busy, since := s.saving, s.savedAt
	s.mu.Unlock()
	at := map[int32]penstock.Offset{}
	for _, l := range *s.levels.Load() {
		if done := l.done.Load(); done > l.saved.Load() {
			at[l.id.Partition] = penstock.Offset(done)
		}
	}
	if busy || len(at) == 0 {
		return time.Time{}
	}
	due := since.Add(s.o.SaveEvery)
	if s.stopped {
		due = now
	}
	if s.trouble.until.After(due) {
		due = s.trouble.until
	}
	if now.Before(due) {
		return due
	}
	s.mu.Lock()
	s.saving, s.savedAt = true, now
	s.mu.Unlock()
	levels := *s.levels.Load()
	s.o.Progress.SaveProgress(Group, Topic, s.topic.ID, at, func(err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.saving, s.savedErr = false, err
		if err == nil {
			s.savedOne = true
			for queue, to := range at {
				levels[queue].saved.Store(int64(to))
			}
		}
		s.ring()
	})
	return time.Time{}
}

// pending is how many messages wait for their time.
func (s *Scheduler) pending() (n int64) {
	for _, l := range *s.levels.Load() {
		if p := s.o.Partitions.Partition(l.id); p != nil {
			n += max(0, int64(p.Offsets().HighWatermark)-l.done.Load())
		}
	}
	return n
}

// say reports whether something is said for the first time, or the first time since many other things were.
func (s *Scheduler) say(what string) bool {
	if s.said[what] {
		return false
	}
	if len(s.said) >= 1024 {
		clear(s.said)
	}
	s.said[what] = true
	return true
}

// trouble is when something that failed is tried again.
type trouble struct {
	times int // in a row
	until time.Time
}

// The least and the longest time between two tries.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 10 * time.Second
)

// fail counts a failure.
func (t *trouble) fail(now time.Time) {
	t.until = now.Add(min(longestPause, firstPause<<min(t.times, 10)))
	t.times++
}

// first reports whether the failure counted last was the first in a row: then it is told.
func (t *trouble) first() bool { return t.times == 1 }
