package disk

import (
	"errors"
	"sync"
	"time"

	"penstock"
)

// committer is group commit. Syncers wait in one queue; up to SyncParallel workers serve it, and each takes one Syncer,
// syncs its files itself, and tells it. There is no timer and no barrier between logs:
//
//  1. A Syncer is waiting, in a round, or in a round with another one asked for; never in two rounds.
//  2. What is asked for during a round of the same Syncer becomes one next round: the sync in flight is the linger.
//  3. A slow file occupies its worker and holds up nobody else while another worker is left.
//  4. When SyncAllFrom Syncers wait, one worker takes them all and makes one syncfs of it. One syncfs is in flight at
//     most; meanwhile the other workers go on file by file.
//  5. A syncfs also writes what others have left in the page cache of the same file system. When syncfs calls have lost
//     too much time against syncing file by file, there is none until many times that time has passed.
//  6. A worker ends when nothing waits, so an idle disk has no goroutine. Starting one costs what waking one does.
//
// In the steady state a round allocates nothing: its slices are kept, and a worker is started from a ready func value.
type committer struct {
	d   *Disk
	run func() // work as a value: "go c.work()" would allocate a closure

	mu      sync.Mutex // guards everything below
	queue   []Syncer   // waiting, oldest first, from head on
	head    int
	state   map[Syncer]syncerState
	workers int
	allBusy bool          // a syncfs is in flight
	lost    time.Duration // by syncfs that were slow
	rest    time.Time     // no syncfs before
	each    time.Duration // of a round of one Syncer: a moving average
	ended   sync.Cond     // signalled when the last worker ends
	spare   []*round
}

type syncerState uint8

const (
	waiting syncerState = iota + 1
	inRound
	inRoundAgain // and the next round is asked for
)

// round is the working space of one worker.
type round struct {
	syncers []Syncer
	handles []*Handle
	marks   []uint64 // per handle: how far it was written when the round began
	all     bool     // many Syncers, to be made durable by one syncfs
}

func (c *committer) init(d *Disk) {
	c.d = d
	c.run = c.work
	c.state = make(map[Syncer]syncerState)
	c.ended.L = &c.mu
}

// commit queues s unless it waits already.
func (c *committer) commit(s Syncer) {
	c.mu.Lock()
	switch c.state[s] {
	case waiting, inRoundAgain:
		c.mu.Unlock()
		return
	case inRound:
		c.state[s] = inRoundAgain
		c.mu.Unlock()
		return
	}
	c.push(s)
	start := c.workers < c.d.o.SyncParallel
	if start {
		c.workers++
	}
	c.mu.Unlock()
	if start {
		go c.run()
	}
}

// push puts s at the end of the queue. Room at its front is used again once it is most of the queue, so that a queue that
// is never empty neither grows nor is copied at every turn. It needs mu.
func (c *committer) push(s Syncer) {
	if len(c.queue) == cap(c.queue) && c.head > len(c.queue)/2 {
		n := copy(c.queue, c.queue[c.head:])
		clear(c.queue[n:])
		c.queue, c.head = c.queue[:n], 0
	}
	c.state[s] = waiting
	c.queue = append(c.queue, s)
}

// work is the life of one worker: rounds until nothing waits.
func (c *committer) work() {
	c.mu.Lock()
	r := c.borrow()
	for c.take(r) {
		c.mu.Unlock()
		start := time.Now()
		c.d.syncRound(r)
		took := time.Since(start)
		c.mu.Lock()
		c.learn(r, took)
		c.finish(r)
	}
	c.spare = append(c.spare, r)
	c.workers--
	if c.workers == 0 {
		c.ended.Broadcast()
	}
	c.mu.Unlock()
}

// borrow returns a round to work with, one that was used before if there is one. It needs mu.
func (c *committer) borrow() *round {
	n := len(c.spare)
	if n == 0 {
		return new(round)
	}
	r := c.spare[n-1]
	c.spare = c.spare[:n-1]
	return r
}

// take fills r with the next Syncer, or with all of them if there are many. It needs mu.
func (c *committer) take(r *round) bool {
	left := len(c.queue) - c.head
	if left == 0 {
		return false
	}
	n := 1
	if c.allDue(left) {
		n, r.all, c.allBusy = left, true, true
	}
	for _, s := range c.queue[c.head : c.head+n] {
		c.state[s] = inRound
		r.syncers = append(r.syncers, s)
	}
	clear(c.queue[c.head : c.head+n])
	c.head += n
	if c.head == len(c.queue) {
		c.queue, c.head = c.queue[:0], 0
	}
	return true
}

// allDue tells whether one syncfs is the way for the Syncers that wait. It needs mu.
func (c *committer) allDue(left int) bool {
	from := c.d.o.SyncAllFrom
	return from > 0 && left >= from && !c.allBusy && (c.rest.IsZero() || time.Now().After(c.rest))
}

// Bounds of invariant 5. Each syncfs may take slowTimes the time of its files one by one. What it takes longer is lost,
// what it takes less is won back; when more than maxLost is lost there is no syncfs for restTimes that time.
const (
	slowTimes = 2
	maxLost   = 200 * time.Millisecond
	restTimes = 10
	smoothing = 16 // rounds that the moving average looks back, about
)

// learn notes how long a round took. It needs mu.
func (c *committer) learn(r *round, took time.Duration) {
	if !r.all {
		c.each += (took - c.each) / smoothing
		return
	}
	byFile := c.each * time.Duration(len(r.syncers)) / time.Duration(c.d.o.SyncParallel)
	c.lost = max(0, c.lost+took-slowTimes*byFile)
	if c.lost > maxLost {
		c.rest = time.Now().Add(restTimes * c.lost)
		c.lost = 0
	}
}

// finish ends the round r, queues those of its Syncers that asked again, and sees that enough workers run. It needs mu.
func (c *committer) finish(r *round) {
	for _, s := range r.syncers {
		if c.state[s] == inRoundAgain {
			c.push(s)
			continue
		}
		delete(c.state, s)
	}
	if r.all {
		r.all, c.allBusy = false, false
	}
	clear(r.syncers)
	r.syncers = r.syncers[:0]
	left := len(c.queue) - c.head
	if c.allDue(left) {
		return // this worker is about to take them all
	}
	for extra := left - 1; extra > 0 && c.workers < c.d.o.SyncParallel; extra-- {
		c.workers++
		go c.run()
	}
}

// drain waits until nothing waits and no round is in flight.
func (c *committer) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.workers > 0 {
		c.ended.Wait()
	}
}

// syncRound makes one round: what its Syncers have written so far becomes durable, or they hear why not.
func (d *Disk) syncRound(r *round) {
	for _, s := range r.syncers {
		r.handles = s.SyncBegin(r.handles)
	}
	for _, h := range r.handles {
		r.marks = append(r.marks, h.written.Load())
	}
	err := d.syncHandles(r)
	for _, h := range r.handles {
		h.Release()
	}
	clear(r.handles)
	r.handles, r.marks = r.handles[:0], r.marks[:0]
	d.stats.rounds.Add(1)
	for _, s := range r.syncers {
		s.SyncEnd(err)
	}
}

// syncHandles makes the files of a round durable, by one syncfs if the round is of that kind and has enough files.
func (d *Disk) syncHandles(r *round) error {
	if err := d.writable(); err != nil {
		return err
	}
	if r.all && len(r.handles) >= d.o.SyncAllFrom && !d.noSyncAll.Load() {
		done, err := d.syncAll()
		if err != nil {
			return err
		}
		if done {
			for i, h := range r.handles {
				h.syncedTo(r.marks[i])
			}
			return d.Err()
		}
	}
	for _, h := range r.handles {
		if err := h.Sync(); err != nil {
			return d.certain(h, err)
		}
	}
	// A sync that failed meanwhile may have taken more with it than its own file: nobody is told of a success
	// after it.
	return d.Err()
}

// certain makes an error of a sync one that took the directory offline: whatever it is, nobody knows what is durable.
func (d *Disk) certain(h *Handle, err error) error {
	if errors.Is(err, penstock.ErrOffline) || errors.Is(err, penstock.ErrClosed) {
		return err
	}
	return d.fail("sync "+h.name, err)
}
