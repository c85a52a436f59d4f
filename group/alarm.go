package group

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// alarm wakes groups when something of theirs is due. It keeps one heap and one goroutine for all. A group stands in the heap with
// the earliest time it was ever armed for since it last rang, so a heartbeat, which only moves deadlines back, never
// touches the heap: when the group rings too early it is armed again.
type alarm struct {
	bell chan struct{} // rings when the earliest time has changed

	// mu guards due.
	mu  sync.Mutex
	due timers
}

// timer is one entry of the heap. It counts only if its group is armed for just that time.
type timer struct {
	at time.Time
	g  *group
}

type timers []timer

var _ heap.Interface = (*timers)(nil)

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].at.Before(t[j].at) }
func (t timers) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *timers) Push(x any)        { *t = append(*t, x.(timer)) }
func (t *timers) Pop() any {
	last := len(*t) - 1
	x := (*t)[last]
	(*t)[last] = timer{}
	*t = (*t)[:last]
	return x
}

func newAlarm() *alarm { return &alarm{bell: make(chan struct{}, 1)} }

// set has the group rung at a time.
func (a *alarm) set(g *group, at time.Time) {
	a.mu.Lock()
	heap.Push(&a.due, timer{at, g})
	first := a.due[0].at.Equal(at)
	a.mu.Unlock()
	if first {
		select {
		case a.bell <- struct{}{}:
		default: // it rings already
		}
	}
}

// take removes what is due. next is when something else is, zero if never.
func (a *alarm) take(now time.Time) (due []timer, next time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.due) > 0 && !now.Before(a.due[0].at) {
		due = append(due, heap.Pop(&a.due).(timer))
	}
	if len(a.due) > 0 {
		next = a.due[0].at
	}
	return due, next
}

// run rings groups until ctx ends.
func (a *alarm) run(ctx context.Context, now func() time.Time) {
	t := time.NewTimer(time.Hour)
	defer t.Stop()
	for {
		wait := time.Hour
		if next := a.ring(now()); !next.IsZero() {
			// A millisecond more, so that many that are due together ring together.
			wait = min(wait, next.Sub(now())+time.Millisecond)
		}
		t.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-a.bell:
		case <-t.C:
		}
	}
}

// ring wakes the groups that are due and returns when the next is.
func (a *alarm) ring(now time.Time) time.Time {
	due, next := a.take(now)
	for _, t := range due {
		t.g.rung(t.at, now)
	}
	if len(due) > 0 {
		_, next = a.take(time.Time{}) // they may have been armed again
	}
	return next
}
