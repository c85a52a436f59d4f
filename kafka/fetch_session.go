package kafka

import (
	"cmp"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"penstock"
)

// Incremental fetch sessions (KIP-227): the broker remembers which partitions a client reads and from where, and what it was
// told last, so that requests and answers name only what changed. Session ids are drawn at random and are not bound to a
// connection: a client may go on after it has connected again.

// fetchMode is how a request relates to a session.
type fetchMode uint8

const (
	fetchPlain       fetchMode = iota // without a session
	fetchFull                         // names everything and wants a session
	fetchIncremental                  // names what changed
)

// Epochs of a session with a meaning of their own; the others count its requests from 1.
const (
	initialEpoch int32 = 0  // a full fetch that wants a session
	finalEpoch   int32 = -1 // a full fetch that ends its session, or wants none
)

// nextEpoch follows e; it goes round past the special ones.
func nextEpoch(e int32) int32 {
	if e == math.MaxInt32 {
		return 1
	}
	return e + 1
}

// fetchKey names a partition within a session: by name or by id, as the session does throughout.
type fetchKey struct {
	name  string
	id    penstock.TopicID
	index int32
}

// key is the part's name in a session.
func (a *fetchAsk) key(byID bool) fetchKey {
	if byID {
		return fetchKey{id: a.id, index: a.index}
	}
	return fetchKey{name: a.topicName(), index: a.index}
}

// keptPart is one partition of a session: what the client asked last, and what it was told last. It is guarded by its session.
type keptPart struct {
	fetchAsk
	key        fetchKey
	high       penstock.Offset
	start      penstock.Offset
	prev, next *keptPart // in the order of reading
}

// fetchSession is one session. Partitions are read in a ring's order: one that gave data goes to the end, so that each
// has its turn when an answer is too small for all.
type fetchSession struct {
	id      int32
	byID    bool
	created time.Time

	// used and size are guarded by the cache's lock.
	used time.Time
	size int

	mu    sync.Mutex
	epoch int32                  // guarded by mu: of the next request
	parts map[fetchKey]*keptPart // guarded by mu
	ring  keptPart               // guarded by mu: head of the ring
}

// push puts a partition at the end of the ring.
func (s *fetchSession) push(p *keptPart) {
	p.prev, p.next = s.ring.prev, &s.ring
	p.prev.next, s.ring.prev = p, p
}

// unlink takes a partition out of its ring.
func (p *keptPart) unlink() { p.prev.next, p.next.prev = p.next, p.prev }

// sessionCache holds the sessions, within bounds on their number and on the partitions of all together.
type sessionCache struct {
	limits Limits
	now    func() time.Time

	mu    sync.Mutex
	byID  map[int32]*fetchSession // guarded by mu
	parts int                     // guarded by mu: sum of the sizes
}

// newSessionCache makes an empty cache.
func newSessionCache(l Limits, now func() time.Time) *sessionCache {
	return &sessionCache{limits: l, now: now, byID: map[int32]*fetchSession{}}
}

// len is the number of sessions.
func (sc *sessionCache) len() int {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	return len(sc.byID)
}

// begin says what a request with this session id and epoch is. A full fetch ends the session that it names.
func (sc *sessionCache) begin(id, epoch int32, byID bool) (fetchMode, *fetchSession, code) {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	s := sc.byID[id]
	switch {
	case epoch == initialEpoch:
		sc.drop(s)
		return fetchFull, nil, codeNone
	case epoch == finalEpoch:
		sc.drop(s)
		return fetchPlain, nil, codeNone
	case s == nil:
		return fetchPlain, nil, codeFetchSessionNotFound
	case s.byID != byID:
		return fetchPlain, nil, codeFetchSessionTopicID
	}
	s.used = sc.now()
	return fetchIncremental, s, codeNone
}

// merge brings the session of an incremental fetch up to what the request says, and fills the call with all partitions
// of the session. A session without any left is over.
func (sc *sessionCache) merge(c *fetchCall, t *routes) (fetchMode, code) {
	s := c.kept
	s.mu.Lock()
	if s.epoch != c.sessionEpoch {
		s.mu.Unlock()
		return fetchPlain, codeInvalidFetchSessionEpoch
	}
	s.epoch = nextEpoch(s.epoch)
	s.update(c)
	s.fill(c, t)
	size := len(s.parts)
	s.mu.Unlock()

	sc.mu.Lock()
	defer sc.mu.Unlock()
	if sc.byID[s.id] == s {
		sc.parts += size - s.size
		s.size = size
		if size == 0 {
			sc.drop(s)
		}
	}
	if size == 0 {
		return fetchPlain, codeNone
	}
	return fetchIncremental, codeNone
}

// update takes the request's changes into the session.
func (s *fetchSession) update(c *fetchCall) {
	for i := range c.parts {
		a := &c.parts[i].fetchAsk
		key := a.key(s.byID)
		if p := s.parts[key]; p != nil {
			p.fetchAsk = *a
		} else {
			s.add(&c.parts[i], key)
		}
	}
	for _, key := range c.forgotten {
		if p := s.parts[key]; p != nil {
			p.unlink()
			delete(s.parts, key)
		}
	}
}

// add remembers a partition of which the client has been told nothing yet.
func (s *fetchSession) add(p *fetchPart, key fetchKey) *keptPart {
	k := &keptPart{fetchAsk: p.fetchAsk, key: key, high: penstock.NoOffset, start: penstock.NoOffset}
	s.parts[key] = k
	s.push(k)
	return k
}

// fill makes the session's partitions those of the call, each with the route that its topic has now.
func (s *fetchSession) fill(c *fetchCall, t *routes) {
	clear(c.parts)
	c.parts = c.parts[:0]
	for k := s.ring.next; k != &s.ring; k = k.next {
		if s.byID {
			k.route = t.ids[k.key.id]
		} else if k.route = t.names[k.key.name]; k.route == nil {
			k.name = k.key.name
		}
		c.parts = append(c.parts, fetchPart{fetchAsk: k.fetchAsk, kept: k})
	}
}

// choose decides which partitions are in the answer, and remembers what the client is told with it: everything,
// unless the fetch is incremental; then those that have data, an error, a divergence, or other edges than told last.
func (c *fetchCall) choose() {
	if c.mode != fetchIncremental {
		for i := range c.parts {
			c.parts[i].told = true
		}
		if c.mode == fetchFull {
			c.sessionID = c.front.sessions.create(c)
		}
		return
	}
	s := c.kept
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range c.parts {
		p := &c.parts[i]
		p.told = p.tell(p.kept)
		if p.size > 0 && s.parts[p.kept.key] == p.kept {
			p.kept.unlink()
			s.push(p.kept)
		}
	}
}

// tell reports whether the part says something new to who was told k, and brings k up to it. After an error or a
// divergence the next answer tells the edges again.
func (p *fetchPart) tell(k *keptPart) bool {
	if p.code != codeNone || p.res.Diverging != nil {
		k.high = penstock.NoOffset
		return true
	}
	news := p.size > 0 || p.res.HighWatermark != k.high || p.res.Start != k.start
	k.high, k.start = p.res.HighWatermark, p.res.Start
	return news
}

// create makes a session of a full fetch and returns its id, 0 if there is no room for it: the client then goes on
// with full fetches.
func (sc *sessionCache) create(c *fetchCall) int32 {
	if len(c.parts) == 0 {
		return 0
	}
	now := sc.now()
	s := &fetchSession{
		byID: c.request.version >= firstFetchID, created: now, used: now,
		epoch: nextEpoch(initialEpoch), parts: make(map[fetchKey]*keptPart, len(c.parts)),
	}
	s.ring.prev, s.ring.next = &s.ring, &s.ring
	for i := range c.parts {
		p := &c.parts[i]
		key := p.key(s.byID)
		if s.parts[key] == nil {
			p.tell(s.add(p, key))
		}
	}
	s.size = len(s.parts)
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if !sc.makeRoom(s.size, now) {
		return 0
	}
	for s.id == 0 || sc.byID[s.id] != nil {
		s.id = 1 + rand.Int32N(math.MaxInt32)
	}
	sc.byID[s.id] = s
	sc.parts += s.size
	return s.id
}

// makeRoom evicts sessions until one of the given size fits, and is false if too few may be evicted.
func (sc *sessionCache) makeRoom(size int, now time.Time) bool {
	if size > sc.limits.SessionPartitions {
		return false
	}
	for len(sc.byID) >= sc.limits.FetchSessions || sc.parts+size > sc.limits.SessionPartitions {
		victim := sc.victim(size, now)
		if victim == nil {
			return false
		}
		sc.drop(victim)
	}
	return true
}

// victim picks the session to evict for a newcomer of the given size: the one unused for longest if that is long
// enough; else the smallest of those that have lived long enough, if it is not larger than the newcomer (KIP-227). It
// looks at all of them, which are few, and only when the cache is full.
func (sc *sessionCache) victim(size int, now time.Time) *fetchSession {
	var stale, small *fetchSession
	for _, s := range sc.byID {
		if now.Sub(s.used) > sc.limits.SessionIdle && (stale == nil || s.used.Before(stale.used)) {
			stale = s
		}
		if now.Sub(s.created) <= sc.limits.SessionIdle || s.size > size {
			continue
		}
		if small == nil || cmp.Or(cmp.Compare(s.size, small.size), cmp.Compare(s.id, small.id)) < 0 {
			small = s
		}
	}
	if stale != nil {
		return stale
	}
	return small
}

// drop forgets a session; nil is none. The caller holds mu.
func (sc *sessionCache) drop(s *fetchSession) {
	if s != nil && sc.byID[s.id] == s {
		delete(sc.byID, s.id)
		sc.parts -= s.size
	}
}
