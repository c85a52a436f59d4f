package segment

import (
	"context"
	"errors"
	"io"
	"time"

	"penstock"
)

// scrubPiece is how many bytes are checked between two looks at the clock.
const scrubPiece = 4 << 20

// Scrub reads every durable batch of every open partition and checks its sum, at most bytesPerSecond (0 is no bound),
// until all were read or ctx ends. What is damaged is quarantined. It returns the bytes checked.
func (s *Store) Scrub(ctx context.Context, bytesPerSecond int64) (int64, error) {
	b := &brake{ctx: ctx, rate: bytesPerSecond, begun: time.Now()}
	for _, p := range s.opened() {
		for i := 0; i < p.segmentCount(); i++ {
			if err := p.scrub(i, b); err != nil {
				return b.done, err
			}
		}
	}
	return b.done, nil
}

// brake holds a scrub to its rate.
type brake struct {
	ctx   context.Context
	rate  int64
	begun time.Time
	done  int64
	since int64
}

// spend counts n bytes and waits if they came too early.
func (b *brake) spend(n int64) error {
	b.done += n
	b.since += n
	if b.since < scrubPiece && (b.rate <= 0 || b.since < b.rate/16) {
		return nil
	}
	b.since = 0
	wait := time.Duration(0)
	if b.rate > 0 {
		wait = time.Duration(float64(b.done)/float64(b.rate)*float64(time.Second)) - time.Since(b.begun)
	}
	if wait <= 0 {
		return b.ctx.Err()
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-b.ctx.Done():
		return b.ctx.Err()
	case <-t.C:
		return nil
	}
}

// scrub checks one segment, as far as it is durable.
func (p *Partition) scrub(i int, b *brake) error {
	l, ok, err := p.look(i)
	if errors.Is(err, penstock.ErrCorrupt) || !ok && err == nil {
		return nil
	}
	if err != nil {
		return err
	}
	defer l.release()
	if l.n.tally.offs > 0 {
		// The entries say where the log is whole again behind a damaged place.
		if err := p.loadIndex(l.s, l.h, l.n.tally, l.n.sealed); err != nil {
			return err
		}
	}
	w := p.st.walker()
	defer p.st.release(w)
	w.reset(p.st.f, l.h, 0, l.size, true)
	next := l.s.base
	for int64(next) < p.synced.Load() {
		p.skipBad(l.s.base, w)
		h, err := w.header()
		if err == nil {
			var body []byte
			if body, err = w.body(&h); err == nil {
				err = p.st.f.Verify(body)
			}
		}
		if err == io.EOF || p.taken(l.n.gen) {
			return nil
		}
		if err == nil {
			next = h.NextOffset()
			w.skip(&h)
			if err := b.spend(int64(h.Size)); err != nil {
				return err
			}
			continue
		}
		if !errors.Is(err, penstock.ErrCorrupt) && !errors.Is(err, errZero) {
			return err
		}
		if h.Size > 0 && h.BaseOffset == next {
			// The header is sound and the content is not: only this batch is lost.
			if p.addBad(badRange{from: next, to: h.NextOffset(), base: l.s.base, pos: w.pos, end: w.pos + int64(h.Size)}) {
				p.log().Error("batch is damaged, quarantined", "partition", p.id, "segment", l.s.base, "offset", next, "position", w.pos, "err", err)
			}
		} else if !p.quarantine(l.s, l.h, next, w.pos, err) {
			return nil
		}
		at := w.pos
		if p.skipBad(l.s.base, w); w.pos == at {
			return nil
		}
		next = p.after(next)
	}
	return nil
}

// after is the end of the quarantined range that holds off, or off.
func (p *Partition) after(off penstock.Offset) penstock.Offset {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, b := range p.bad {
		if off >= b.from && off < b.to {
			return b.to
		}
	}
	return off
}
