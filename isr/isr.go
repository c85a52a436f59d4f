// Package isr computes the high watermark of a log from how far the members of its in-sync set have got. It is pure:
// no clock, no I/O. A Tracker is used under the lock of whoever owns the log.
package isr

import (
	"slices"

	"penstock"
)

// Mark is how far a member has got: what store counts in (store.Mark), compared and never interpreted. For the leader
// it is the mark that its promise asks for, durable or written; for a follower what it has reported.
type Mark int64

// Tracker holds the in-sync set of one log, as its leader sees it. Make it with New. Its invariants:
//
//  1. The committed mark is at most the smallest mark of the members at the moment it last moved.
//  2. It never goes back, not even when a member that lags joins or a member's own mark goes back.
//  3. It does not move while there are fewer members than the minimum (KAFKA-15583): what is committed is on as many.
type Tracker struct {
	committed Mark
	self      Mark
	leader    penstock.BrokerID
	minimum   int
	others    []member // nil on a single node: then nothing here allocates or loops
}

type member struct {
	id   penstock.BrokerID
	mark Mark
}

// New makes the tracker of a log that leader leads alone, all of whose first mark bytes, or offsets, are committed.
// The minimum is the topic's min.insync.replicas.
func New(leader penstock.BrokerID, minimum int, mark Mark) Tracker {
	return Tracker{leader: leader, minimum: minimum, self: mark, committed: mark}
}

// Report notes how far a member is and returns the committed mark. A broker that is not in the set changes nothing.
func (t *Tracker) Report(id penstock.BrokerID, mark Mark) Mark {
	if id == t.leader {
		t.self = mark
		return t.commit()
	}
	if i := t.find(id); i >= 0 {
		t.others[i].mark = mark
	}
	return t.commit()
}

// Add takes a broker into the set with the mark that it has reached. One that is there already gets the mark.
func (t *Tracker) Add(id penstock.BrokerID, mark Mark) {
	if id != t.leader && t.find(id) < 0 {
		t.others = append(t.others, member{id, mark})
	}
	t.Report(id, mark)
}

// Remove takes a broker out of the set and returns the committed mark, which may grow by it. The leader stays.
func (t *Tracker) Remove(id penstock.BrokerID) Mark {
	if i := t.find(id); i >= 0 {
		t.others = slices.Delete(t.others, i, i+1)
	}
	return t.commit()
}

// SetMinimum changes the smallest set that commits and returns the committed mark.
func (t *Tracker) SetMinimum(n int) Mark {
	t.minimum = n
	return t.commit()
}

// Committed is the mark that all members have reached: the high watermark in marks.
func (t *Tracker) Committed() Mark { return t.committed }

// Enough reports whether the set is large enough to commit, so that acks=all may be accepted.
func (t *Tracker) Enough() bool { return 1+len(t.others) >= t.minimum }

// Len is the number of members, the leader included.
func (t *Tracker) Len() int { return 1 + len(t.others) }

// Mark is what a member reported last, false if the broker is not in the set.
func (t *Tracker) Mark(id penstock.BrokerID) (Mark, bool) {
	if id == t.leader {
		return t.self, true
	}
	if i := t.find(id); i >= 0 {
		return t.others[i].mark, true
	}
	return 0, false
}

func (t *Tracker) find(id penstock.BrokerID) int {
	for i := range t.others {
		if t.others[i].id == id {
			return i
		}
	}
	return -1
}

// commit moves the committed mark to where the slowest member is.
func (t *Tracker) commit() Mark {
	if !t.Enough() {
		return t.committed
	}
	slowest := t.self
	for i := range t.others {
		slowest = min(slowest, t.others[i].mark)
	}
	t.committed = max(t.committed, slowest)
	return t.committed
}
