package segment

import (
	"sync"

	"penstock"
	"penstock/store"
)

// Zeros written ahead are for a log that is synced in small pieces one after the other. Others who read the file, as Kafka's
// DumpLogSegments does, stop at them with a complaint, so they go as soon as the log rests. Trim is called every second or so;
// a log that has not grown between two calls loses its zeros, and gets new ones after as many small commits as at first.

// ahead are the partitions whose active file may have zeros behind the end, with the end that the last Trim saw.
type ahead struct {
	mu sync.Mutex // innermost
	of map[*Partition]penstock.Offset
}

var _ store.Trimmer = (*Store)(nil)

// note takes up a partition that has written zeros ahead.
func (a *ahead) note(p *Partition) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.of[p]; ok {
		return
	}
	if a.of == nil {
		a.of = map[*Partition]penstock.Offset{}
	}
	a.of[p] = penstock.NoOffset
}

// list is a copy.
func (a *ahead) list() map[*Partition]penstock.Offset {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.of) == 0 {
		return nil
	}
	out := make(map[*Partition]penstock.Offset, len(a.of))
	for p, end := range a.of {
		out[p] = end
	}
	return out
}

// set notes the end that was seen, or forgets a partition that has no zeros any more.
func (a *ahead) set(p *Partition, end penstock.Offset, zeros bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if zeros {
		a.of[p] = end
		return
	}
	delete(a.of, p)
}

// Trim cuts what was written ahead of logs that have not grown since the call before. One that is being written to is left for the
// next.
func (s *Store) Trim() {
	for p, seen := range s.ahead.list() {
		if !p.w.TryLock() {
			continue
		}
		end, zeros := p.trim(seen)
		s.ahead.set(p, end, zeros)
		p.w.Unlock()
	}
}

// trim cuts the zeros if the end is still where it was seen, and returns the end and whether there are zeros. The caller holds w.
func (p *Partition) trim(seen penstock.Offset) (end penstock.Offset, zeros bool) {
	seg := p.active()
	if p.over() || p.w.zeroed <= seg.size {
		return 0, false
	}
	if seg.next != seen {
		return seg.next, true
	}
	if err := p.cutTail(); err != nil {
		p.log().Warn("zeros written ahead stay until the next checkpoint", "partition", p.id, "err", err)
	}
	p.small.Store(0)
	return 0, false
}
