package check

// Pass is one reading of a partition from an offset to its end. It demands every claim made before it began; claims
// made meanwhile are left for the next. Passes of one log do not overlap. A Pass is used by one goroutine.
type Pass struct {
	log   *Log
	next  int64   // offset expected
	until int64   // claims below it must be met
	acked []Value // acknowledged and not met at their place; they may stand elsewhere
}

// Pass begins a reading at the offset from, or at the frontier if that is lower, so that no offset is left unread.
func (l *Log) Pass(from int64) *Pass {
	l.mu.Lock()
	defer l.mu.Unlock()
	from = max(l.base, min(from, l.frontier))
	p := &Pass{log: l, next: from, until: l.base + int64(len(l.claims))}
	for v := range l.nowhere {
		p.acked = append(p.acked, v)
	}
	clear(l.nowhere)
	return p
}

// From is the offset to read from.
func (p *Pass) From() int64 { return p.next }

// Read judges the value that stands at an offset. Offsets come in order.
func (p *Pass) Read(v Value, off int64) {
	l := p.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if off < p.next {
		l.report.found(Backwards, "%s offset %d where %d was expected", l.name, off, p.next)
		return
	}
	p.missing(off)
	p.next = off + 1
	if i := off - l.base; i < int64(len(l.claims)) {
		if c := l.claims[i]; c != 0 && c.value() != v {
			l.report.found(Inconsistent, "%s offset %d: %s, and then %s", l.name, off, c.value(), v)
			if c&ackedBit != 0 {
				p.acked = append(p.acked, c.value())
			}
			l.claims[i] = 0
		}
	}
	l.claim(v, off, seenBit)
	l.judge(v, off)
}

// judge looks at a value as its writer's: was it sent, once, in order. Order is judged at the frontier only, so that reading
// an offset again changes nothing.
func (l *Log) judge(v Value, off int64) {
	fresh := off >= l.frontier
	if fresh {
		l.report.Read++
		l.frontier = off + 1
	}
	w := l.writers[v.Writer()]
	if w == nil || v.Seq() > w.sent {
		l.report.found(Phantom, "%s offset %d: %s was never sent", l.name, off, v)
		return
	}
	place := w.place(v.Seq())
	switch {
	case place == off+1:
	case place != 0 && !w.exact:
		if fresh {
			l.report.Repeats++
		}
	case place != 0:
		l.report.found(Duplicate, "%s: %s at offsets %d and %d", l.name, v, place-1, off)
	default:
		if fresh && v.Seq() < w.last {
			l.report.found(Reordered, "%s offset %d: %s after sequence %d", l.name, off, v, w.last)
		}
		w.put(v.Seq(), off)
		w.last = max(w.last, v.Seq())
	}
}

// missing judges the offsets from the one expected to before off, which the partition did not give.
func (p *Pass) missing(off int64) {
	l := p.log
	for o := p.next; o < off; o++ {
		var c claim
		if i := o - l.base; i < int64(len(l.claims)) {
			c = l.claims[i]
			l.claims[i] = 0
		}
		switch {
		case c&ackedBit != 0:
			p.acked = append(p.acked, c.value())
		case c&seenBit != 0:
			l.report.found(Vanished, "%s offset %d: %s", l.name, o, c.value())
		case o >= l.frontier:
			l.report.found(Hole, "%s: nothing at offset %d", l.name, o)
		}
	}
}

// End closes the pass: end is the partition's end as the broker told it after the pass began, up to which everything was
// read. Writers may have gone on meanwhile.
func (p *Pass) End(end int64) {
	l := p.log
	l.mu.Lock()
	defer l.mu.Unlock()
	p.missing(max(end, p.next))
	p.next = max(end, p.next)
	l.frontier = max(l.frontier, p.next)
	if p.next < p.until {
		p.cut()
	}
	for _, v := range p.acked {
		p.lost(v)
	}
}

// cut takes the claims at and behind the partition's end: all of them are gone.
func (p *Pass) cut() {
	l := p.log
	for o := p.next; o < p.until; o++ {
		i := o - l.base
		switch c := l.claims[i]; {
		case c&ackedBit != 0:
			p.acked = append(p.acked, c.value())
		case c != 0:
			l.report.found(Vanished, "%s offset %d: %s, the log ends at %d", l.name, o, c.value(), p.next)
		}
		l.claims[i] = 0
	}
}

// lost reports an acknowledged value unless it was met at another offset.
func (p *Pass) lost(v Value) {
	l := p.log
	if w := l.writers[v.Writer()]; w != nil && w.place(v.Seq()) != 0 && l.holds(v, w.place(v.Seq())-1) {
		return
	}
	l.report.found(Lost, "%s: acknowledged %s is gone, the log ends at %d", l.name, v, p.next)
}

// holds reports whether v is what is known of the offset.
func (l *Log) holds(v Value, off int64) bool {
	i := off - l.base
	return i >= 0 && i < int64(len(l.claims)) && l.claims[i].value() == v
}
