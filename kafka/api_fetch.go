package kafka

// Fetch (key 1), versions 4-18.
//
//	4   isolation level, last stable offset and aborted transactions
//	5   log start offset
//	7   incremental fetch sessions (KIP-227), an error for the whole answer
//	8   (throttling)
//	9   the leader epoch that the client believes in (KIP-320)
//	10  zstd
//	11  rack; preferred read replica (KIP-392)
//	12  flexible; epoch of the last record fetched, diverging epoch (KIP-595), cluster id
//	13  topic ids in place of names
//	14  (tiered storage)
//	15  replica state moves to a tagged field
//	16  addresses of leaders in the answer (KIP-951)
//	17  replica directory id
//	18  high watermark known to a follower
//
// Followers do not fetch by this protocol: a request that names a replica is refused.

import (
	"errors"
	"fmt"
	"time"

	"penstock"
	"penstock/replica"
	"penstock/wire"
)

const (
	keyFetch             int16 = 1
	firstFetch           int16 = 4
	firstFetchStart      int16 = 5
	firstFetchSession    int16 = 7
	firstFetchEpoch      int16 = 9
	firstFetchRack       int16 = 11
	firstFetchFlexible   int16 = 12
	firstFetchID         int16 = 13
	firstFetchState      int16 = 15
	firstFetchBrokers    int16 = 16
	lastFetchPlainSender int16 = 14
)

// apiFetch is the row of Fetch. The request carries no payload, so its frame limit only leaves room for many partitions.
func apiFetch() *api {
	return &api{
		key: keyFetch, name: "Fetch", shown: firstFetch, min: firstFetch, max: 18, flexible: firstFetchFlexible,
		before: refuse, after: fetchFrame, right: right{opRead, onTopic}, handle: fetch,
	}
}

var errFetch = errors.New("malformed Fetch request")

// fetchCall is one Fetch request under way. It is pooled, with its slices, so that a request allocates nothing. It
// is used by one goroutine at a time: the reader's, then that of whatever ends the long poll.
type fetchCall struct {
	front   *Front
	session *session
	request request
	fetchHead
	parts     []fetchPart // what is read, in the order of reading
	forgotten []fetchKey
	extents   []penstock.Extent // of all parts, in their order
	converted *converted        // of the parts that are topics of messages; nil until there is one
	bytes     int64             // in extents, and converted
	urgent    bool              // an error or a divergence, which is told at once
	whole     code              // error for the whole answer
	mode      fetchMode
	kept      *fetchSession // that an incremental fetch belongs to
}

// fetchHead is what a request asks for as a whole.
type fetchHead struct {
	wait         time.Duration
	minBytes     int64
	maxBytes     int64
	isolation    replica.Isolation
	follower     bool
	sessionID    int32
	sessionEpoch int32
}

// fetchAsk is what a request wants of one partition.
type fetchAsk struct {
	route *route // nil if there is no such topic
	name  string // of an unknown one
	id    penstock.TopicID
	index int32
	from  penstock.Offset
	max   int64
	epoch penstock.Epoch // that the client believes in
	last  penstock.Epoch // of the last record that the client has
}

// fetchPart is one partition of a request and what was found.
type fetchPart struct {
	fetchAsk
	kept *keptPart // what an incremental fetch remembers of it
	code code
	res  replica.ReadResult
	lo   int // its extents are extents[lo:hi]; of a topic of messages it has converted.bytes[lo:hi]
	hi   int
	size int64
	told bool // is in the answer
}

// fetch takes a Fetch request. If there is enough to answer it is answered at once; else the frame is given back and the
// request waits for data without holding anything but its own list.
func fetch(s *session, r request) {
	c := s.front.fetches.Get().(*fetchCall)
	c.front, c.session, c.request = s.front, s, r
	t := s.front.routes.Load()
	if !c.parse(t) {
		c.recycle()
		r.refuse(fmt.Errorf("%w: version %d", errFetch, r.version))
		return
	}
	c.request.body, c.request.client = nil, nil
	r.wire.Release()
	c.minBytes = min(c.minBytes, c.maxBytes)
	r.seen.wait(c.wait)
	c.resolve(t)
	c.read()
	if c.ready() {
		c.answer()
		return
	}
	c.poll()
}

// resolve finds the session that the request belongs to and, if it is incremental, the partitions to read.
func (c *fetchCall) resolve(t *routes) {
	if c.follower {
		c.sessionID = 0
		c.refuseAll(codeClusterAuthorization)
		return
	}
	c.mode, c.kept, c.whole = c.front.sessions.begin(c.sessionID, c.sessionEpoch, c.request.version >= firstFetchID)
	if c.mode == fetchIncremental {
		c.mode, c.whole = c.front.sessions.merge(c, t)
	}
	if c.mode != fetchIncremental {
		c.sessionID = 0
	}
	if c.whole != codeNone {
		c.parts = c.parts[:0]
	}
}

// refuseAll answers with an error for the whole, or where the version has no place for it, for each partition.
func (c *fetchCall) refuseAll(why code) {
	c.urgent = true
	if c.request.version >= firstFetchSession {
		c.whole, c.parts = why, c.parts[:0]
		return
	}
	for i := range c.parts {
		c.parts[i].code = why
	}
}

// read reads every partition in order, within the bounds of the request: maxBytes in all, and for the first partition
// that has any data one batch, however large, so that every reader gets on.
func (c *fetchCall) read() {
	c.drop()
	for i := range c.parts {
		p := &c.parts[i]
		if p.code == codeNone {
			c.readPart(p)
		}
		c.urgent = c.urgent || p.code != codeNone || p.res.Diverging != nil
	}
}

// readPart reads one partition. Its extents follow those of the parts before it; after an error there are none.
func (c *fetchCall) readPart(p *fetchPart) {
	p.lo, p.hi, p.size = len(c.extents), len(c.extents), 0
	led, refused := c.find(p)
	if refused != codeNone {
		p.code = refused
		return
	}
	if p.route.messages {
		c.readMessages(p, led)
		return
	}
	var err error
	c.extents, p.res, err = led.Read(replica.ReadRequest{
		From: p.from, Max: max(min(p.max, c.maxBytes-c.bytes), 0), Whole: c.bytes == 0,
		Isolation: c.isolation, Epoch: p.epoch, LastEpoch: p.last,
	}, c.extents)
	if err != nil {
		c.extents = c.extents[:p.lo]
		p.code = codeOf(err)
		return
	}
	p.hi = len(c.extents)
	for _, e := range c.extents[p.lo:p.hi] {
		p.size += e.Len
	}
	c.bytes += p.size
}

// find returns the partition that a part names.
func (c *fetchCall) find(p *fetchPart) (*replica.Partition, code) {
	switch {
	case p.route != nil:
		return c.front.partition(p.route, p.index)
	case c.request.version >= firstFetchID:
		return nil, codeUnknownTopicID
	}
	return nil, codeUnknownTopicOrPartition
}

// ready reports whether the request is to be answered now: there is enough, or something to tell at once, or nothing
// that could be waited for.
func (c *fetchCall) ready() bool {
	return c.bytes >= c.minBytes || c.urgent || c.whole != codeNone || c.wait <= 0 || len(c.parts) == 0
}

// answer sends what was read and gives the call back.
func (c *fetchCall) answer() {
	r := c.request
	c.choose()
	a := wire.NewAnswer()
	a.B = appendResponseHeader(a.B, r.correlation, r.flex())
	c.encode(a)
	c.note()
	c.extents = c.extents[:0] // the answer owns their references now
	f := c.front
	c.recycle()
	f.send(r, a)
}

// note counts the errors that the answer tells.
func (c *fetchCall) note() {
	stats := &c.front.apis.stats[keyFetch]
	if c.whole != codeNone {
		stats.failed(c.whole)
		c.request.seen.fail(c.whole)
	}
	for i := range c.parts {
		if p := &c.parts[i]; p.code != codeNone && p.told {
			stats.failed(p.code)
			c.request.seen.fail(p.code)
		}
	}
}

// drop lets go of the extents read so far.
func (c *fetchCall) drop() {
	c.extents = penstock.ReleaseAll(c.extents)
	c.converted.drop(keepAnswered)
	c.bytes = 0
}

// recycle gives the call back, without what it pointed to. Its extents must have been spent or released.
func (c *fetchCall) recycle() {
	f := c.front
	clear(c.parts)
	clear(c.forgotten)
	clear(c.extents[:cap(c.extents)])
	parts, forgotten, extents, converted := c.parts[:0], c.forgotten[:0], c.extents[:0], c.converted
	converted.drop(keepAnswered)
	*c = fetchCall{parts: parts, forgotten: forgotten, extents: extents, converted: converted}
	if cap(parts) <= keepParts && cap(forgotten) <= keepParts && cap(extents) <= keepParts {
		f.fetches.Put(c)
	}
}
