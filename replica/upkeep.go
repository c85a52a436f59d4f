package replica

import (
	"context"
	"errors"
	"time"

	"penstock"
	"penstock/store"
)

// Upkeep does what must be done now and then, until ctx ends: it deletes what retention no longer keeps, makes logs durable
// and notes where recovery may begin, saves producers' states, cuts what was written ahead of logs at rest, forgets silent producers, and tries again to open what
// could not be opened. It is called once, in a goroutine of its own.
func (r *Replicas) Upkeep(ctx context.Context) {
	retention := time.NewTicker(r.o.RetentionEvery)
	defer retention.Stop()
	checkpoint := time.NewTicker(r.o.CheckpointEvery)
	defer checkpoint.Stop()
	trim := time.NewTicker(r.o.TrimEvery)
	defer trim.Stop()
	if r.recovered() {
		// What recovery has walked is not walked again by the next one, however soon that comes.
		r.checkpoint(ctx)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-retention.C:
			r.reopen()
			r.retain(ctx)
		case <-checkpoint.C:
			r.checkpoint(ctx)
		case <-trim.C:
			r.trim()
		}
	}
}

// recovered reports whether a store had to be recovered at this start.
func (r *Replicas) recovered() bool {
	for _, st := range r.o.Stores {
		if !st.Clean() {
			return true
		}
	}
	return false
}

// retain passes over all partitions once.
func (r *Replicas) retain(ctx context.Context) {
	now := r.o.Now()
	for _, p := range r.list() {
		if ctx.Err() != nil {
			return
		}
		if p.Err() != nil {
			continue
		}
		p.expire(now, time.Duration(r.expiry.Load()))
		freed, err := p.retain(now)
		if freed > 0 {
			r.o.Logger.Info("old segments deleted", "partition", p.id, "bytes", freed)
		}
		r.complain("retention failed", p, err)
	}
}

// checkpoint saves states that have fallen behind and lets the stores note recovery points.
func (r *Replicas) checkpoint(ctx context.Context) {
	for _, p := range r.list() {
		if ctx.Err() != nil {
			return
		}
		if p.Err() == nil {
			r.complain("producer state is not saved", p, p.save(false))
			p.ledger.rest()
		}
	}
	for key, st := range r.o.Stores {
		if err := st.Checkpoint(); err != nil {
			r.o.Logger.Warn("checkpoint failed", "store", key.String(), "err", err)
		}
	}
}

// trim lets the stores cut what they have written ahead of logs that rest.
func (r *Replicas) trim() {
	for _, st := range r.o.Stores {
		if t, ok := st.(store.Trimmer); ok {
			t.Trim()
		}
	}
}

// complain logs what went wrong, but not that a partition was closed meanwhile.
func (r *Replicas) complain(what string, p *Partition, err error) {
	if err != nil && !errors.Is(err, penstock.ErrClosed) {
		r.o.Logger.Warn(what, "partition", p.id, "err", err)
	}
}

// reopen tries again what could not be opened, as when a disk was full, and waits for the outcome. The partition that failed becomes a
// closed one, so that whoever keeps it looks for the new one.
func (r *Replicas) reopen() {
	f := &r.follower
	f.mu.Lock()
	for _, a := range f.topics {
		for _, p := range a.led {
			if p.Err() != nil {
				r.add(a, step{reopen: true})
				break
			}
		}
	}
	f.mu.Unlock()
	r.finish()
}

// rest gives up the memory that only promises under way need.
func (l *ledger) rest() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.queue.len() == 0 {
		l.queue.ring, l.scratch = nil, nil
	}
}
