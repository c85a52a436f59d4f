package replica

import (
	"context"
	"fmt"
	"sync"

	"penstock"
	"penstock/meta"
)

// follower does what images ask for, outside of the lock that they are published under.
//
//  1. What is to be done for one topic is done image by image, in their order: a step begins when the one before has ended.
//     Different topics wait for each other only where all workers are busy. A topic that is deleted and made again under its
//     name is another topic, with another id, and other files.
//  2. The jobs of one step are for different partitions, so their order does not matter.
//  3. A partition is published when it is open. Until then it is not led here, as far as clients are told: they come again.
//  4. applied.led is changed only when a step begins, by a step's own job for the same partition, and under mu.
type follower struct {
	mu      sync.Mutex
	changed sync.Cond // on mu: a step has ended
	closed  bool      // guarded by mu: nothing begins any more
	topics  map[penstock.TopicID]*applied
	jobs    []job // ready, oldest first
	removal []job // ready, of topics that were deleted: done when there is nothing else to do, since nobody waits for them
	workers int   // at work
}

// applied is a topic and what is made of it. follower.mu guards it.
type applied struct {
	topic   *meta.Topic          // as of the last step begun
	asked   *meta.Topic          // as of the last image
	led     map[int32]*Partition // those that this node leads, also while they are being opened
	steps   []step               // not begun
	left    int                  // jobs of the step under way
	deleted bool                 // forgotten after the last step
}

// step is one change of a topic.
type step struct {
	topic  *meta.Topic // bring it to this; nil: what follows
	delete bool
	reopen bool // try again what could not be opened
}

// job is a part of a step.
type job struct {
	a  *applied
	do func()
}

// Follow begins to bring the partitions up to the new image: those led here are opened, or made, many at once; changed settings
// and epochs are taken over; those led here no longer are closed, and those of deleted topics deleted. It does not wait for the disk; Ready tells
// when a topic is there. The first image is done on return: it is called with the present one as both old and new. It is a
// function for meta.Store.Subscribe. What is on disk and in no image it leaves alone, because an image may be another cluster's.
func (r *Replicas) Follow(old, img *meta.Image) {
	r.begin(topicsOf(img))
	if old == img {
		r.finish()
	}
}

// Apply is Follow, and returns when all that was asked for is done.
func (r *Replicas) Apply(_, img *meta.Image) { r.apply(topicsOf(img)) }

func topicsOf(img *meta.Image) []*meta.Topic {
	topics := make([]*meta.Topic, 0, img.Len())
	img.Topics(func(t *meta.Topic) bool {
		topics = append(topics, t)
		return true
	})
	return topics
}

func (r *Replicas) apply(topics []*meta.Topic) {
	r.begin(topics)
	r.finish()
}

// begin notes what an image asks for. A topic is immutable, so one whose pointer is that of the last time has not changed, and an
// image that differs in one topic costs a look at each.
func (r *Replicas) begin(topics []*meta.Topic) {
	f := &r.follower
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	seen := make(map[penstock.TopicID]bool, len(topics))
	for _, t := range topics {
		seen[t.ID] = true
		a := f.topics[t.ID]
		if a == nil {
			a = &applied{led: map[int32]*Partition{}}
			f.topics[t.ID] = a
		}
		if a.asked != t {
			a.asked, a.deleted = t, false
			r.add(a, step{topic: t})
		}
	}
	for id, a := range f.topics {
		if !seen[id] && !a.deleted {
			a.asked, a.deleted = nil, true
			r.add(a, step{delete: true})
		}
	}
}

// add puts a step behind those of the topic. The caller holds follower.mu.
func (r *Replicas) add(a *applied, s step) {
	a.steps = append(a.steps, s)
	r.next(a)
}

// next begins the next step of a topic if none is under way. The caller holds follower.mu.
func (r *Replicas) next(a *applied) {
	f := &r.follower
	for a.left == 0 && len(a.steps) > 0 && !f.closed {
		s := a.steps[0]
		a.steps = a.steps[1:]
		jobs := r.jobsOf(a, s)
		a.left = len(jobs)
		queue := &f.jobs
		if s.delete {
			queue = &f.removal
		}
		for _, do := range jobs {
			*queue = append(*queue, job{a, do})
		}
	}
	if a.left == 0 && len(a.steps) == 0 {
		a.steps = nil
		if a.deleted && a.topic != nil && f.topics[a.topic.ID] == a {
			delete(f.topics, a.topic.ID)
		}
		f.changed.Broadcast()
	}
	for f.workers < min(r.o.Workers, len(f.jobs)+len(f.removal)) {
		f.workers++
		go r.work()
	}
}

// take takes the next job. The caller holds mu.
func (f *follower) take() (j job, ok bool) {
	queue := &f.jobs
	if len(*queue) == 0 {
		*queue, queue = nil, &f.removal
	}
	if len(*queue) == 0 {
		*queue = nil
		return job{}, false
	}
	j = (*queue)[0]
	(*queue)[0] = job{}
	*queue = (*queue)[1:]
	return j, true
}

// work is the life of a worker: jobs until there are none.
func (r *Replicas) work() {
	f := &r.follower
	f.mu.Lock()
	for j, ok := f.take(); ok; j, ok = f.take() {
		f.mu.Unlock()
		j.do()
		f.mu.Lock()
		if j.a.left--; j.a.left == 0 {
			r.next(j.a)
		}
	}
	f.workers--
	if f.workers == 0 {
		r.count()
	}
	f.changed.Broadcast()
	f.mu.Unlock()
}

// jobsOf is what a step means for the partitions of its topic. The caller holds follower.mu.
func (r *Replicas) jobsOf(a *applied, s step) (jobs []func()) {
	switch {
	case s.topic != nil:
		a.topic = s.topic
		for i := range s.topic.Partitions {
			if do := r.jobOf(a, s.topic, int32(i)); do != nil {
				jobs = append(jobs, do)
			}
		}
	case s.delete && a.topic != nil:
		t := a.topic
		for i := range t.Partitions {
			p := a.led[int32(i)]
			delete(a.led, int32(i))
			jobs = append(jobs, func() { r.remove(t, int32(i), p) })
		}
	case s.reopen && a.topic != nil:
		for i, p := range a.led {
			if p.Err() != nil {
				again := r.newPartition(a.topic, i)
				jobs = append(jobs, func() { r.tryAgain(a, again, p) })
			}
		}
	}
	return jobs
}

// jobOf is what a changed topic means for one of its partitions. The caller holds follower.mu.
func (r *Replicas) jobOf(a *applied, t *meta.Topic, i int32) func() {
	p, mine := a.led[i], t.Partitions[i].Leader == r.o.Broker
	switch {
	case mine && p == nil:
		p = r.newPartition(t, i)
		a.led[i] = p
		return func() { r.open(p, t); r.publish(p) }
	case mine:
		return func() { p.reconfigure(t) }
	case p != nil:
		delete(a.led, i)
		return func() { r.close(p, errNotLed) }
	}
	return nil
}

// tryAgain replaces the partition p, which failed, if it can be opened now.
func (r *Replicas) tryAgain(a *applied, again, p *Partition) {
	f := &r.follower
	f.mu.Lock()
	topic := a.topic // of the step under way, which this is
	f.mu.Unlock()
	if err := r.tryOpen(again, topic); err != nil {
		return
	}
	r.o.Logger.Info("partition is open at last", "topic", topic.Name, "partition", p.id)
	f.mu.Lock()
	a.led[p.id.Partition] = again
	f.mu.Unlock()
	r.publish(again)
	p.close(errReopen)
}

// finish waits until nothing is left to do, or until Close.
func (r *Replicas) finish() {
	f := &r.follower
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.workers > 0 {
		f.changed.Wait()
	}
}

// Ready waits until all that images have asked for of a topic so far is done: partitions are open, or have said why not, and
// those that went are closed. A topic that is not known has nothing to wait for. It fails with that of ctx, wrapped with
// penstock.ErrUnavailable: what was asked for is still being done then.
func (r *Replicas) Ready(ctx context.Context, id penstock.TopicID) error {
	f := &r.follower
	defer context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.changed.Broadcast()
	})()
	f.mu.Lock()
	defer f.mu.Unlock()
	for a := f.topics[id]; a != nil && !f.closed && (a.left > 0 || len(a.steps) > 0); {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("topic %v: %d partitions are not ready here yet: %w: %w", id, a.left, penstock.ErrUnavailable, err)
		}
		f.changed.Wait()
	}
	return nil
}

// stop keeps further jobs from beginning and waits for those under way. It is false when it was called before.
func (r *Replicas) stop() bool {
	f := &r.follower
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	f.closed, f.jobs, f.removal = true, nil, nil
	for f.workers > 0 {
		f.changed.Wait()
	}
	return true
}
