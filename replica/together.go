package replica

import (
	"penstock/isr"
	"penstock/store"
)

// Part is one partition's part of AppendTogether.
type Part struct {
	Partition *Partition
	Request   AppendRequest
	Notify    func(AppendResult) // see Append
	Result    AppendResult       // if Done
	Done      bool               // the promise was met, or the append failed, on return; else Notify hears of it
}

// AppendTogether is Append for several partitions. Those that share a log are written to it in one write; that one part fails does not keep the
// others from being appended. A partition that is named again is appended to again, after the others.
func AppendTogether(parts []Part) {
	if len(parts) > 1 {
		if l := parts[0].Partition.ledger; l != nil && l.gatherer != nil && shared(parts, l) {
			l.together(parts)
			return
		}
	}
	for i := range parts {
		pt := &parts[i]
		pt.Result, pt.Done = pt.Partition.Append(pt.Request, pt.Notify)
	}
}

// shared reports whether all partitions lie on the ledger's log.
func shared(parts []Part, l *ledger) bool {
	for i := range parts {
		if parts[i].Partition.ledger != l {
			return false
		}
	}
	return true
}

// lots is what several partitions append together, on its way. Its memory is kept.
type lots struct {
	parts    []*Part
	promises []promise
	lots     []store.Lot
	apps     []store.Appended
}

// together appends to several partitions of the log, under one hold of its locks. See Partition.append for the order of things.
func (l *ledger) together(parts []Part) {
	var all outcome
	var again []*Part
	l.write.Lock()
	if l.lots == nil {
		l.lots = &lots{}
	}
	w := l.lots
	for i := range parts {
		pt := &parts[i]
		p := pt.Partition
		if p.gathered {
			again = append(again, pt) // it must see what the first did
			continue
		}
		pr, res, out, ready := p.begin(&pt.Request, pt.Notify)
		if !ready {
			pt.Result, pt.Done = res, out.done
			all.commit = all.commit || out.commit
			continue
		}
		p.gathered = true
		if len(w.promises) > 0 {
			pr.since = w.promises[0].since // one write has one time
		}
		w.parts, w.promises = append(w.parts, pt), append(w.promises, pr)
		w.lots = append(w.lots, store.Lot{To: p.store, Batches: pt.Request.Batches, Epoch: p.leaderEpoch()})
	}
	l.writeLots(w, &all)
	for _, pt := range w.parts {
		pt.Partition.gathered = false
	}
	for _, pt := range again {
		var out outcome
		pt.Result, out = pt.Partition.append(&pt.Request, pt.Notify)
		pt.Done = out.done
		all.commit = all.commit || out.commit
		all.fired.take(&out.fired)
	}
	w.reset()
	l.write.Unlock()
	if all.commit {
		l.log.Commit()
	}
	all.fired.fire()
}

// writeLots writes what was let pass. If the log refuses it as a whole each part is tried alone, so that the fault of one is not the others'. The
// caller holds write.
func (l *ledger) writeLots(w *lots, all *outcome) {
	if len(w.lots) == 0 {
		return
	}
	var err error
	if w.apps, err = l.gatherer.AppendLots(w.lots, w.promises[0].stamp(), w.apps[:0]); err != nil {
		for i, pt := range w.parts {
			var out outcome
			pt.Result, out = pt.Partition.write(&pt.Request, &w.promises[i])
			pt.Done = out.done
			all.commit = all.commit || out.commit
			all.fired.take(&out.fired)
		}
		return
	}
	// All promises are about the end of the one write, so that they stand in the order of the log.
	var end store.Mark
	for i := range w.apps {
		end = max(end, w.apps[i].End)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, pt := range w.parts {
		pt.Partition.finish(&pt.Request, &w.promises[i], w.apps[i], isr.Mark(end), all)
		pt.Result, pt.Done = w.promises[i].res, all.done
	}
}

// keepLots bounds what is kept for the next time.
const keepLots = 1 << 10

// reset lets go of what was appended.
func (w *lots) reset() {
	if cap(w.lots) > keepLots {
		*w = lots{}
		return
	}
	clear(w.parts)
	clear(w.promises)
	clear(w.lots)
	w.parts, w.promises, w.lots = w.parts[:0], w.promises[:0], w.lots[:0]
}
