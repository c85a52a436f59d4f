package kafka

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"penstock"
	"penstock/replica"
)

// stand is what a client knows of a partition.
type stand struct {
	high, start penstock.Offset
	code        code
}

// world is a broker's partitions as a test moves them: the dumb twin of everything below the sessions.
type world struct {
	front *Front
	table *routes
	now   time.Time
	stand map[fetchKey]stand
	data  map[fetchKey]bool // has data for the next read
}

func newWorld(l Limits) *world {
	w := &world{table: &routes{}, now: time.Unix(1000, 0), stand: map[fetchKey]stand{}, data: map[fetchKey]bool{}}
	w.front = offline()
	w.front.sessions = newSessionCache(l.withDefaults(), func() time.Time { return w.now })
	return w
}

// fetch runs one request through the sessions, with what is read made up from the world, and returns what the answer tells.
func (w *world) fetch(id, epoch int32, asked []fetchKey, forgotten []fetchKey) (*fetchCall, map[fetchKey]stand) {
	c := newFetchCall(w.front, 12, nil)
	c.sessionID, c.sessionEpoch, c.forgotten = id, epoch, forgotten
	for _, k := range asked {
		c.parts = append(c.parts, fetchPart{fetchAsk: fetchAsk{name: k.name, index: k.index}})
	}
	c.resolve(w.table)
	for i := range c.parts {
		p := &c.parts[i]
		s := w.stand[p.key(false)]
		p.code, p.res = s.code, replica.ReadResult{HighWatermark: s.high, Start: s.start}
		if p.size = 0; w.data[p.key(false)] && s.code == codeNone {
			p.size = 100
		}
	}
	c.choose()
	told := map[fetchKey]stand{}
	for i := range c.parts {
		if p := &c.parts[i]; p.told {
			told[p.key(false)] = w.stand[p.key(false)]
		}
	}
	return c, told
}

// TestSessionTwin: a client that reads by an incremental session, and takes from each answer what it tells, always
// knows exactly what a client that fetches everything each time is told (KIP-227).
func TestSessionTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(Limits{})
		keys := make([]fetchKey, 6)
		for i := range keys {
			keys[i] = fetchKey{name: fmt.Sprintf("topic-%d", i/3), index: int32(i % 3)}
			w.stand[keys[i]] = stand{}
		}
		reading := map[fetchKey]bool{}
		known := map[fetchKey]stand{}
		var id, epoch int32
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			for _, k := range rapid.SliceOfN(rapid.SampledFrom(keys), 0, 3).Draw(t, "moved") {
				s := w.stand[k]
				s.high += penstock.Offset(rapid.IntRange(0, 2).Draw(t, "high"))
				s.start += penstock.Offset(rapid.IntRange(0, 1).Draw(t, "start"))
				s.code = rapid.SampledFrom([]code{0, 0, 0, codeNotLeaderOrFollower}).Draw(t, "code")
				w.stand[k], w.data[k] = s, rapid.Bool().Draw(t, "data")
			}
			var asked, forgotten []fetchKey
			for _, k := range rapid.SliceOfNDistinct(rapid.SampledFrom(keys), 0, 3, rapid.ID).Draw(t, "changed") {
				if reading[k] = rapid.IntRange(0, 3).Draw(t, "keep") > 0; reading[k] {
					asked = append(asked, k)
				} else {
					forgotten = append(forgotten, k)
				}
			}
			maps.DeleteFunc(reading, func(_ fetchKey, on bool) bool { return !on })
			if id == 0 {
				asked, forgotten, epoch, known = slices.Collect(maps.Keys(reading)), nil, 0, map[fetchKey]stand{}
			}
			c, told := w.fetch(id, epoch, asked, forgotten)
			if c.whole != codeNone {
				t.Fatalf("refused: %d", c.whole)
			}
			if len(reading) == 0 {
				if id, epoch = 0, 0; c.sessionID != 0 || len(told) != 0 {
					t.Fatalf("session %d with nothing to read tells %v", c.sessionID, told)
				}
				continue
			}
			if c.sessionID == 0 || id != 0 && c.sessionID != id {
				t.Fatalf("session %d, was %d", c.sessionID, id)
			}
			id, epoch = c.sessionID, nextEpoch(epoch)
			maps.Copy(known, told)
			maps.DeleteFunc(known, func(k fetchKey, _ stand) bool { return !reading[k] })
			for k := range reading {
				if known[k] != w.stand[k] {
					t.Fatalf("%v: the client knows %+v, true is %+v", k, known[k], w.stand[k])
				}
				if _, in := told[k]; w.data[k] && !in {
					t.Fatalf("%v: its data is not in the answer", k)
				}
			}
		}
		if s := w.front.sessions; s.parts != 0 && len(s.byID) == 0 {
			t.Fatalf("%d partitions counted in no session", s.parts)
		}
	})
}

// TestSessionErrors cites KIP-227: an unknown session, an epoch that is not the next, and a change between names and ids.
func TestSessionErrors(t *testing.T) {
	w := newWorld(Limits{})
	keys := []fetchKey{{name: "t", index: 0}}
	if c, _ := w.fetch(99, 1, nil, nil); c.whole != codeFetchSessionNotFound || c.sessionID != 0 {
		t.Errorf("unknown session: %d", c.whole)
	}
	first, _ := w.fetch(0, initialEpoch, keys, nil)
	id := first.sessionID
	if c, _ := w.fetch(id, 2, nil, nil); c.whole != codeInvalidFetchSessionEpoch || len(c.parts) != 0 {
		t.Errorf("epoch skipped: %d", c.whole)
	}
	byID := newFetchCall(w.front, 13, nil)
	byID.sessionID, byID.sessionEpoch = id, 1
	if byID.resolve(w.table); byID.whole != codeFetchSessionTopicID {
		t.Errorf("names then ids: %d", byID.whole)
	}
	if c, _ := w.fetch(id, 1, nil, nil); c.whole != codeNone || c.sessionID != id {
		t.Errorf("the next epoch after refusals: %d", c.whole)
	}
	if c, _ := w.fetch(id, finalEpoch, keys, nil); c.whole != codeNone || c.sessionID != 0 || w.front.sessions.len() != 0 {
		t.Errorf("final epoch: %d, %d sessions left", c.whole, w.front.sessions.len())
	}
	if c, _ := w.fetch(id, 2, nil, nil); c.whole != codeFetchSessionNotFound {
		t.Errorf("after the end: %d", c.whole)
	}
	if nextEpoch(1<<31-1) != 1 {
		t.Error("the epoch after the largest is 1")
	}
}

// TestSessionTurns: a partition that gave data is read last the next time, so that all have their turn.
func TestSessionTurns(t *testing.T) {
	w := newWorld(Limits{})
	keys := []fetchKey{{name: "t", index: 0}, {name: "t", index: 1}, {name: "t", index: 2}}
	c, _ := w.fetch(0, initialEpoch, keys, nil)
	w.data[keys[0]] = true
	w.fetch(c.sessionID, 1, nil, nil)
	c, _ = w.fetch(c.sessionID, 2, nil, nil)
	var order []int32
	for i := range c.parts {
		order = append(order, c.parts[i].index)
	}
	if !slices.Equal(order, []int32{1, 2, 0}) {
		t.Errorf("read in the order %v", order)
	}
}

// TestSessionEviction cites KIP-227: a full cache gives way to a newcomer only for a session unused for long, or for one that has lived
// for long and is not larger; else the newcomer gets none.
func TestSessionEviction(t *testing.T) {
	topics := func(n int) []fetchKey {
		var out []fetchKey
		for i := range n {
			out = append(out, fetchKey{name: "t", index: int32(i)})
		}
		return out
	}
	w := newWorld(Limits{FetchSessions: 2, SessionPartitions: 10, SessionIdle: time.Minute})
	open := func(n int) int32 { c, _ := w.fetch(0, initialEpoch, topics(n), nil); return c.sessionID }
	lives := func(id int32) bool { return w.front.sessions.byID[id] != nil }
	a, b := open(3), open(5)
	if open(4) != 0 {
		t.Error("a young session gave way")
	}
	w.now = w.now.Add(40 * time.Second)
	w.fetch(a, 1, nil, nil)
	w.fetch(b, 1, nil, nil)
	w.now = w.now.Add(40 * time.Second)
	if open(2) != 0 {
		t.Error("a session gave way to a smaller one")
	}
	c := open(4)
	if c == 0 || lives(a) || !lives(b) {
		t.Errorf("the smaller old one did not give way: %d %v %v", c, lives(a), lives(b))
	}
	if open(11) != 0 || open(9) != 0 {
		t.Error("more partitions than all sessions may have")
	}
	w.now = w.now.Add(2 * time.Minute)
	w.fetch(c, 1, nil, nil)
	if d := open(1); d == 0 || lives(b) || !lives(c) {
		t.Errorf("the unused one did not give way: %d %v %v", d, lives(b), lives(c))
	}
	if got := w.front.sessions.parts; got != 5 {
		t.Errorf("%d partitions counted, want 5", got)
	}
}
