package replica

import (
	"testing"
	"time"

	"penstock"
)

// asked is how many rounds of group commit were asked for.
func (l *fakeLog) asked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.commits
}

// TestFlushRecords: a round is asked for when as many records were appended as the topic says, each time, whoever waits;
// a promise that asks for one counts as one.
func TestFlushRecords(t *testing.T) {
	topic := topicOf(1, penstock.DurabilityFsync)
	topic.Settings.FlushRecords = 30
	p, f := newRig(t).lead(t, topic, 0)
	for i, want := range []int{0, 0, 1, 1, 1, 2} {
		if res, done := p.Append(request(penstock.AcksLeader, batches(1)...), nil); !done || res.Err != nil {
			t.Fatalf("append %d: done %v, %+v", i, done, res)
		}
		if got := f.log.asked(); got != want {
			t.Fatalf("%d rounds after %d records, want %d", got, 10*(i+1), want)
		}
	}
	p.Append(request(penstock.AcksLeader, batches(2)...), nil)
	p.Append(request(penstock.AcksAll, batches(1)...), func(AppendResult) {})
	p.Append(request(penstock.AcksLeader, batches(2)...), nil)
	if got := f.log.asked(); got != 3 {
		t.Fatalf("%d rounds, want only the one of the promise", got)
	}
	if p.Append(request(penstock.AcksNone, batches(1)...), nil); f.log.asked() != 4 {
		t.Fatalf("%d rounds, want one for 30 records", f.log.asked())
	}
}

// TestFlushAge: a round is asked for when the oldest record is as old as the topic says, by an append or without; a topic
// that says nothing asks for none; a change counts from the next append on; and a closed partition asks no more.
func TestFlushAge(t *testing.T) {
	for _, durability := range []penstock.Durability{penstock.DurabilityFsync, penstock.DurabilityRelaxed} {
		g := newRig(t)
		topic := topicOf(1, durability)
		p, f := g.lead(t, topic, 0)
		p.Append(request(penstock.AcksLeader, batches(1)...), nil)
		if p.flush.timer != nil {
			t.Fatal("a timer for a topic that does not ask for one")
		}
		slow := *topic
		slow.Settings.FlushAge = time.Hour
		g.lead(t, &slow, 0)
		p.Append(request(penstock.AcksLeader, batches(1)...), nil)
		if !p.flush.armed || f.log.asked() != 0 {
			t.Fatalf("armed %v, %d rounds", p.flush.armed, f.log.asked())
		}
		fast := *topic
		fast.Settings.FlushAge = time.Millisecond
		g.lead(t, &fast, 0)
		for want := 1; want <= 3; want++ {
			p.Append(request(penstock.AcksLeader, batches(1)...), nil)
			for end := time.Now().Add(30 * time.Second); f.log.asked() < want; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("%d rounds, want %d", f.log.asked(), want)
				}
			}
		}
		g.lead(t, &slow, 0)
		p.Append(request(penstock.AcksLeader, batches(1)...), nil)
		g.apply(nil)
		p.ledger.mu.Lock()
		armed := p.flush.armed
		p.ledger.mu.Unlock()
		if armed {
			t.Fatal("the timer of a closed partition runs")
		}
		before := f.log.asked()
		if p.flushNow(); f.log.asked() != before {
			t.Fatal("a closed partition asks for a round")
		}
	}
}
