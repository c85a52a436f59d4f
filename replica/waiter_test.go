package replica

import (
	"sync"
	"sync/atomic"
	"testing"

	"penstock"
	"penstock/meta"
)

// poll is a waiter whose firing a test can wait for.
type poll struct {
	*Waiter
	fired chan struct{}
}

func newPoll(need int64) *poll {
	p := &poll{fired: make(chan struct{}, 10)}
	p.Waiter = NewWaiter(need, func() { p.fired <- struct{}{} })
	return p
}

// has reports whether it fired exactly once so far. Those that fire in the caller's goroutine have done so by now.
func (p *poll) has() bool { return len(p.fired) == 1 }

func TestWaiter(t *testing.T) {
	p, f := newRig(t).lead(t, topicOf(1, penstock.DurabilityFsync), 0)
	leader := func() { p.Append(request(penstock.AcksLeader, batches(1)...), nil) }
	leader()
	w := newPoll(250)
	p.Wait(w.Waiter, 10, ReadUncommitted)
	leader()
	leader()
	if w.has() {
		t.Fatal("fired after 200 of 250 bytes")
	}
	p.Append(request(penstock.AcksAll, batches(1)...), nil)
	leader()
	if w.has() {
		t.Fatal("fired by what is not visible yet")
	}
	f.log.sync(f.log.Written(), nil)
	if !w.has() {
		t.Fatal("did not fire")
	}
	leader()
	if !w.has() {
		t.Error("fired twice")
	}
	if p.waiters.head != nil {
		t.Error("still on the list")
	}
}

// TestWaiterMissesNothing: what became visible between the read and the wait counts at once, and once only.
func TestWaiterMissesNothing(t *testing.T) {
	p, _ := newRig(t).lead(t, topicOf(1, penstock.DurabilityFsync), 0)
	for range 3 {
		p.Append(request(penstock.AcksLeader, batches(1)...), nil)
	}
	enough := newPoll(300)
	p.Wait(enough.Waiter, 0, ReadUncommitted)
	<-enough.fired
	few := newPoll(301)
	p.Wait(few.Waiter, 0, ReadUncommitted)
	if few.left.Load() != 1 || few.has() {
		t.Errorf("%d bytes to go, want 1", few.left.Load())
	}
	p.Append(request(penstock.AcksLeader, batches(1)...), nil)
	if !few.has() {
		t.Error("did not fire")
	}
	none := newPoll(0)
	p.Wait(none.Waiter, 40, ReadUncommitted)
	<-none.fired
}

// TestWaiterOnMany: bytes of several partitions add up, more of them than a waiter has links of its own, and cancelling
// takes it off all.
func TestWaiterOnMany(t *testing.T) {
	const n = 50
	g := newRig(t)
	topic := topicOf(n, penstock.DurabilityFsync)
	var ps []*Partition
	for i := range int32(n) {
		p, _ := g.lead(t, topic, i)
		ps = append(ps, p)
	}
	w, cancelled := newPoll(100*n), newPoll(1)
	for _, p := range ps {
		p.Wait(w.Waiter, 0, ReadUncommitted)
		p.Wait(cancelled.Waiter, 0, ReadCommitted)
	}
	cancelled.Cancel()
	cancelled.Cancel()
	for i, p := range ps {
		if w.has() {
			t.Fatalf("fired after %d partitions", i)
		}
		p.Append(request(penstock.AcksLeader, batches(1)...), nil)
	}
	if !w.has() {
		t.Error("did not fire")
	}
	w.Cancel()
	for _, p := range ps {
		if p.waiters.head != nil {
			t.Fatal("a waiter is still on a list")
		}
	}
	if len(cancelled.fired) != 0 {
		t.Error("a cancelled waiter fired")
	}
	ps[0].Wait(cancelled.Waiter, 0, ReadUncommitted)
	if ps[0].waiters.head != nil || len(cancelled.fired) != 0 {
		t.Error("a cancelled waiter waits again")
	}
}

// TestWaiterClose: who waits on a partition that closes, or is closed, is told.
func TestWaiterClose(t *testing.T) {
	g := newRig(t)
	p, _ := g.lead(t, topicOf(1, penstock.DurabilityFsync), 0)
	before, after := newPoll(100), newPoll(100)
	p.Wait(before.Waiter, 0, ReadUncommitted)
	g.apply(nil)
	if !before.has() {
		t.Error("not told")
	}
	p.Wait(after.Waiter, 0, ReadUncommitted)
	<-after.fired
}

// TestWaiterCommitted: a reader of committed data is woken by the end of a transaction, not by its batches.
func TestWaiterCommitted(t *testing.T) {
	g := newRig(t)
	topic := topicOf(1, penstock.DurabilityFsync)
	p, f := g.lead(t, topic, 0)
	open := sequenced(1, 0, 0)
	open.Header.Flags = penstock.FlagTransactional
	marker := sequenced(1, 0, -1)
	marker.Header.Flags = penstock.FlagTransactional | penstock.FlagControl
	committed, uncommitted := newPoll(1), newPoll(1)
	p.Wait(committed.Waiter, 0, ReadCommitted)
	p.Wait(uncommitted.Waiter, 0, ReadUncommitted)
	p.arrive(t, f, open)
	if committed.has() || !uncommitted.has() {
		t.Errorf("committed %v, uncommitted %v", committed.has(), uncommitted.has())
	}
	if o := p.Offsets(); o.LastStable != 0 || o.HighWatermark != 10 {
		t.Errorf("%+v", o)
	}
	p.arrive(t, f, batches(1)[0])
	if committed.has() {
		t.Error("woken by what lies behind an open transaction")
	}
	p.arrive(t, f, marker)
	if !committed.has() || p.Offsets().LastStable != 30 {
		t.Errorf("%v, %+v", committed.has(), p.Offsets())
	}
}

// arrive appends a batch as a log that is replicated from elsewhere gets it, transactions and all.
func (p *Partition) arrive(t *testing.T, f *fakePartition, b penstock.Batch) {
	t.Helper()
	bs := []penstock.Batch{b}
	app, err := f.Append(bs, 3, 0)
	if err != nil {
		t.Fatal(err)
	}
	var fired firedList
	p.ledger.mu.Lock()
	p.apply(&AppendRequest{Batches: bs}, app.First, 0)
	p.end, p.total = app.Next, p.total+app.Bytes
	p.showAll(&fired)
	p.ledger.mu.Unlock()
	fired.fire()
}

// TestWaitersRace: appenders, rounds of group commit, waiters that come and go, and changes of the topic, all at once.
// Every waiter that is not cancelled fires, because what it waits for is appended in the end.
func TestWaitersRace(t *testing.T) {
	g := newRig(t)
	topic := topicOf(3, penstock.DurabilityFsync)
	var ps []*Partition
	var fs []*fakePartition
	for i := range int32(3) {
		p, f := g.lead(t, topic, i)
		ps, fs = append(ps, p), append(fs, f)
	}
	var busy sync.WaitGroup
	var stop atomic.Bool
	var answers atomic.Int64
	sent := int64(0)
	for i, p := range ps {
		acks := []penstock.Acks{penstock.AcksAll, penstock.AcksLeader, penstock.AcksAll}[i]
		if acks == penstock.AcksAll {
			sent += 300
		}
		busy.Go(func() {
			for range 300 {
				_, done := p.Append(request(acks, batches(1)...), func(AppendResult) { answers.Add(1) })
				if done && acks == penstock.AcksAll {
					answers.Add(1) // a round of group commit under way took the batch with it
				}
			}
		})
	}
	var syncers sync.WaitGroup
	for _, f := range fs {
		syncers.Go(func() {
			for !stop.Load() {
				f.log.sync(f.log.Written(), nil)
			}
		})
	}
	syncers.Go(func() {
		for i := 0; !stop.Load(); i++ {
			next := *topic
			next.Settings.RetentionBytes = int64(i)
			g.apply([]*meta.Topic{&next})
		}
	})
	for n := range 200 {
		busy.Go(func() {
			w := newPoll(100)
			for _, p := range ps {
				p.Wait(w.Waiter, p.Offsets().HighWatermark, Isolation(n%2))
			}
			if n%3 == 0 {
				w.Cancel()
				return
			}
			for _, p := range ps {
				p.Append(request(penstock.AcksLeader, batches(1)...), nil)
			}
			<-w.fired
			w.Cancel()
		})
	}
	busy.Wait()
	stop.Store(true)
	syncers.Wait()
	for i, f := range fs {
		f.log.sync(f.log.Written(), nil)
		if o := ps[i].Offsets(); o.HighWatermark != f.end || ps[i].waiters.head != nil {
			t.Errorf("partition %d: %+v, end %d", i, o, f.end)
		}
	}
	if answers.Load() != sent {
		t.Errorf("%d answers, want %d", answers.Load(), sent)
	}
}

// TestWaitAllocates little: the waiter itself, and nothing for each of a few partitions or for each firing.
func TestWaitAllocates(t *testing.T) {
	p, _ := newRig(t).lead(t, topicOf(1, penstock.DurabilityFsync), 0)
	fire := func() {}
	n := testing.AllocsPerRun(100, func() {
		w := NewWaiter(1, fire)
		for range fewLinks {
			p.Wait(w, p.Offsets().HighWatermark, ReadUncommitted)
		}
		w.Cancel()
	})
	if n > 1 {
		t.Errorf("%v allocations", n)
	}
}
