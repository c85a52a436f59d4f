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
//  5. When JournalFrom Syncers wait, and no more than a little was written to each, one worker takes them all and makes them
//     durable by one record of the journal. One such round is in flight at most, and nobody starts a worker beside it: who comes
//     meanwhile shares the next one. For a while after several have shared one, a Syncer that comes alone waits for the round
//     in flight too, instead of having a sync of its own: syncs cost processor time, which its followers need.
//  6. A syncfs also writes what others have left in the page cache of the same file system. When syncfs calls have lost
//     too much time against syncing file by file, there is none until many times that time has passed.
//  7. A worker ends when nothing waits, so an idle disk has no goroutine. Starting one costs what waking one does.
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
	sharing bool          // a round that may use the journal is in flight
	apart   int           // rounds to be made without trying the journal
	along   int           // rounds to be made by one worker, for those that come alone to share
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
	parts   []Part
	marks   []uint64 // per part: how far its file was written when the round began
	all     bool     // many Syncers, to be made durable by one syncfs
	shared  bool     // several, to be made durable by the journal if they have written little
	refused bool     // the journal did not take them
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
	start := c.workers == 0 || c.workers < c.d.o.SyncParallel && !c.sharing && c.along == 0
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
	if left == 0 || c.sharing {
		return false
	}
	n := 1
	switch {
	case c.sharedDue(left):
		n, r.shared, c.sharing = left, true, true
	case c.allDue(left):
		n, r.all, c.allBusy = left, true, true
	case c.apart > 0:
		c.apart--
	case c.along > 0:
		c.along--
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

// sharedDue tells whether the Syncers that wait should try the journal. It needs mu.
func (c *committer) sharedDue(left int) bool {
	return left >= c.d.o.JournalFrom && c.apart == 0 && !c.allBusy && c.d.journal.half > 0
}

// apartRounds is how many rounds are made without the journal after one that it did not take, because too much was written or it was not ready.
const apartRounds = 64

// A round that at least manyShare Syncers have shared lets those of the next alongRounds wait for one another.
const (
	manyShare   = 3
	alongRounds = 16
)

// Bounds of invariant 6. Each syncfs may take slowTimes the time of its files one by one. What it takes longer is lost,
// what it takes less is won back; when more than maxLost is lost there is no syncfs for restTimes that time.
const (
	slowTimes = 2
	maxLost   = 200 * time.Millisecond
	restTimes = 10
	smoothing = 16 // rounds that the moving average looks back, about
)

// learn notes how long a round took. It needs mu.
func (c *committer) learn(r *round, took time.Duration) {
	if r.shared {
		return
	}
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
	if r.shared {
		r.shared, c.sharing = false, false
		switch {
		case r.refused:
			r.refused, c.apart, c.along = false, apartRounds, 0
		case len(r.syncers) >= manyShare:
			c.along = alongRounds
		}
	}
	clear(r.syncers)
	r.syncers = r.syncers[:0]
	left := len(c.queue) - c.head
	if c.sharing || c.sharedDue(left) || c.allDue(left) {
		return // another worker is to take them, or this one all of them
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
		r.parts = s.SyncBegin(r.parts)
	}
	for i := range r.parts {
		r.marks = append(r.marks, r.parts[i].Handle.written.Load())
	}
	err := d.syncParts(r)
	for i := range r.parts {
		r.parts[i].Handle.Release()
	}
	clear(r.parts)
	r.parts, r.marks = r.parts[:0], r.marks[:0]
	d.stats.rounds.Add(1)
	for _, s := range r.syncers {
		s.SyncEnd(err)
	}
}

// syncParts makes the parts of a round durable: by the journal, by one syncfs, or file by file.
func (d *Disk) syncParts(r *round) error {
	if err := d.writable(); err != nil {
		return err
	}
	switch {
	case r.shared:
		done, err := d.syncShared(r)
		if done || err != nil {
			return err
		}
	case r.all && len(r.parts) >= d.o.SyncAllFrom && !d.noSyncAll.Load():
		done, err := d.syncAll()
		if err != nil {
			return err
		}
		if done {
			for i := range r.parts {
				r.parts[i].Handle.syncedTo(r.marks[i])
			}
			return d.Err()
		}
	}
	for i := range r.parts {
		if err := r.parts[i].Handle.Sync(); err != nil {
			return d.certain(r.parts[i].Handle, err)
		}
	}
	// A sync that failed meanwhile may have taken more with it than its own file: nobody is told of a success
	// after it.
	return d.Err()
}

// syncShared makes a round durable by the journal, but for files of which it is not known what is durable: these are synced.
// done is false, and little has happened, where the journal does not take them.
func (d *Disk) syncShared(r *round) (done bool, err error) {
	known := 0 // parts that go first, to be synced
	for i := range r.parts {
		if p := &r.parts[i]; p.From < 0 || p.Handle.later.Load() {
			r.parts[known], r.parts[i] = r.parts[i], r.parts[known]
			known++
		}
	}
	small := r.parts[known:]
	if len(small) < d.o.JournalFrom {
		return false, nil
	}
	if !d.journal.fits(small) {
		r.refused = true
		return false, nil
	}
	for i := range r.parts[:known] {
		if err := r.parts[i].Handle.Sync(); err != nil {
			return false, d.certain(r.parts[i].Handle, err)
		}
	}
	if done, err = d.journal.append(small); err != nil || !done {
		r.refused = err == nil
		return done, err
	}
	return true, d.Err()
}

// certain makes an error of a sync one that took the directory offline: whatever it is, nobody knows what is durable.
func (d *Disk) certain(h *Handle, err error) error {
	if errors.Is(err, penstock.ErrOffline) || errors.Is(err, penstock.ErrClosed) {
		return err
	}
	return d.failSync("sync "+h.name, err)
}
