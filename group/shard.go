package group

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"penstock"
	"penstock/replica"
)

// shard is one partition of the journal and the groups in it.
type shard struct {
	c       *Coordinator
	id      penstock.PartitionID
	ctx     context.Context // ends with the shard
	end     context.CancelFunc
	ready   atomic.Bool           // everything is loaded
	loaded  chan struct{}         // closed with ready
	broken  atomic.Pointer[error] // why it will not be loaded; nil while it may
	failed  chan struct{}         // closed with broken
	part    *replica.Partition    // set before ready
	skipped bool                  // places of the journal could not be read; set before ready

	size  atomic.Int64  // bytes of the log from its start, nearly
	limit atomic.Int64  // size at which it is looked whether the log can be shortened
	bell  chan struct{} // rings when size has reached limit

	// mu guards groups.
	mu     sync.RWMutex
	groups map[string]*group

	// landing guards landed, outcomes of appends that are to be told, and is held for no call out. come rings when
	// there are some.
	landing sync.Mutex
	landed  []landing
	come    chan struct{}
}

type landing struct {
	then func(error)
	err  error
}

func newShard(c *Coordinator, id penstock.PartitionID) *shard {
	s := &shard{
		c: c, id: id, groups: map[string]*group{},
		loaded: make(chan struct{}), failed: make(chan struct{}), bell: make(chan struct{}, 1), come: make(chan struct{}, 1),
	}
	s.ctx, s.end = context.WithCancel(c.ctx)
	return s
}

// start loads the journal and then keeps it, until the shard ends.
func (s *shard) start() {
	s.c.tasks.Go(s.tell)
	s.c.tasks.Go(func() {
		if s.open() {
			s.keep()
		}
	})
}

// unready is why nothing can be done with the shard's groups, nil if it is loaded.
func (s *shard) unready() error {
	if s.ready.Load() {
		return nil
	}
	if why := s.broken.Load(); why != nil {
		return *why
	}
	return ErrLoading
}

func (s *shard) len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.groups)
}

// list is the groups at this moment.
func (s *shard) list() []*group {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]*group, 0, len(s.groups))
	for _, g := range s.groups {
		all = append(all, g)
	}
	return all
}

// lock returns the group with its lock held, nil if there is none. With create it is made.
func (s *shard) lock(name string, create bool) (*group, error) {
	for {
		s.mu.RLock()
		g := s.groups[name]
		s.mu.RUnlock()
		if g == nil {
			if !create {
				return nil, nil
			}
			var err error
			if g, err = s.create(name); err != nil {
				return nil, err
			}
		}
		g.mu.Lock()
		if !g.dead {
			return g, nil
		}
		g.mu.Unlock()
	}
}

func (s *shard) create(name string) (*group, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.groups[name]
	if g == nil {
		if len(s.groups) >= s.c.o.MaxGroups {
			return nil, fmt.Errorf("%w: %d groups are as many as there may be", ErrUnavailable, len(s.groups))
		}
		g = newGroup(name, s)
		s.groups[name] = g
	}
	return g, nil
}

// forget takes a dead group out. The caller holds the group's lock.
func (s *shard) forget(g *group) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.groups[g.name] == g {
		delete(s.groups, g.name)
	}
}

// append writes what w holds at the end of the journal, with the promise of acks=all. then is told of the outcome, once, by
// another goroutine. The caller holds the lock of the group that it is about; w is free again on return.
func (s *shard) append(w *writer, then func(error)) {
	batches, err := w.batches()
	if err != nil {
		s.land(then, err)
		return
	}
	req := replica.AppendRequest{Batches: batches, Acks: penstock.AcksAll, Epoch: penstock.NoEpoch}
	res, done := s.part.Append(req, func(r replica.AppendResult) { s.land(then, r.Err) })
	if done {
		s.land(then, res.Err)
	}
	if done && res.Err != nil {
		return // nothing was written
	}
	if s.size.Add(int64(len(w.b))) > s.limit.Load() {
		ring(s.bell)
	}
}

func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default: // it rings already
	}
}

// land queues an outcome to be told. It is called by the goroutine of group commit, which must not wait.
func (s *shard) land(then func(error), err error) {
	switch {
	case errors.Is(err, penstock.ErrClosed):
		err = fmt.Errorf("%w: %w", ErrNotCoordinator, err)
	case err != nil:
		err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	s.landing.Lock()
	s.landed = append(s.landed, landing{then, err})
	s.landing.Unlock()
	if s.ctx.Err() != nil {
		go s.tellAll() // tell has ended, or is about to
		return
	}
	ring(s.come)
}

// tell tells outcomes until the shard ends.
func (s *shard) tell() {
	for {
		s.tellAll()
		select {
		case <-s.come:
		case <-s.ctx.Done():
			s.tellAll()
			return
		}
	}
}

func (s *shard) tellAll() {
	for {
		s.landing.Lock()
		all := s.landed
		s.landed = nil
		s.landing.Unlock()
		if len(all) == 0 {
			return
		}
		for _, l := range all {
			l.then(l.err)
		}
	}
}

// shortenRetry is waited after a log could not be shortened.
const shortenRetry = 10 * time.Second

// keep shortens the log when it has grown and forgets what has expired, until the shard ends.
func (s *shard) keep() {
	expire := time.NewTicker(s.c.o.ExpireEvery)
	defer expire.Stop()
	again := s.skipped // whatever its size: so the damage lies below the start
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-expire.C:
			s.expire(s.c.o.Now())
		case <-s.bell:
			err := s.shorten(again)
			if err == nil {
				again = false
			} else if s.ctx.Err() == nil {
				s.c.o.Logger.Warn("group journal not shortened", "partition", s.id, "error", err)
				s.limit.Store(s.size.Load() + s.c.o.ShortenAbove)
				// The attempt itself rang the bell again: a disk that fails must not be asked all the time.
				select {
				case <-s.ctx.Done():
				case <-time.After(shortenRetry):
				}
			}
		}
	}
}

// dissolve sends away whoever waits for a group of the shard.
func (s *shard) dissolve() {
	for _, g := range s.list() {
		var out calls
		g.mu.Lock()
		g.step(Dissolve{ErrNotCoordinator}, &out)
		g.unlock(out)
	}
}
