package kafka

import (
	"time"

	"penstock"
	"penstock/replica"
	"penstock/wire"
)

// What Fetch looks like, by hand: the answer is made around stored bytes that never come here.
//
//	request   int32 replica (to 14) | int32 max wait ms | int32 min bytes | int32 max bytes | int8 isolation |
//	          int32 session, int32 session epoch (7+) | array of topics | array of forgotten (7+) | string rack (11+) |
//	          tag 0: cluster id (12+), tag 1: replica state (15+)
//	topic     string name (to 12) or uuid id (13+) | array of partitions
//	partition int32 index | int32 leader epoch (9+) | int64 offset | int32 last epoch (12+) | int64 log start (5+) |
//	          int32 max bytes | tags: replica directory (17+), high watermark (18+)
//	forgotten string name (to 12) or uuid id (13+) | array of int32 index
//
//	answer    int32 throttle ms | int16 error, int32 session (7+) | array of topics | tag 0: brokers (16+)
//	topic     string name (to 12) or uuid id (13+) | array of partitions
//	partition int32 index | int16 error | int64 high watermark | int64 last stable | int64 log start (5+) |
//	          nullable array of aborted transactions | int32 preferred replica (11+) | bytes records |
//	          tag 0: diverging epoch, tag 1: leader (12+)

// Places of a request that are read in another place than their own, and tags.
const (
	tagReplicaState uint32 = 1
	tagDiverging    byte   = 0
	tagLeader       byte   = 1
)

// maxParts bounds the partitions of one request, which take several times more memory here than in the frame.
const maxParts = 100_000

// parse reads the request's body. It allocates only for topics that do not exist, and to grow its slices.
func (c *fetchCall) parse(t *routes) bool {
	v := c.request.version
	r := reader{b: c.request.body, flex: c.request.flex()}
	c.follower = v <= lastFetchPlainSender && r.int32() >= 0
	c.wait = min(time.Duration(r.int32())*time.Millisecond, c.front.o.Limits.MaxWait)
	c.minBytes = int64(r.int32())
	c.maxBytes = max(min(int64(r.int32()), c.front.o.Limits.FetchBytes), 0)
	c.isolation = replica.Isolation(r.int8())
	c.sessionID, c.sessionEpoch = 0, finalEpoch
	if v >= firstFetchSession {
		c.sessionID, c.sessionEpoch = r.int32(), r.int32()
	}
	for n := r.count(); n > 0 && !r.bad; n-- {
		c.parseTopic(&r, t)
	}
	if v >= firstFetchSession {
		c.parseForgotten(&r, t)
	}
	if v >= firstFetchRack {
		r.text()
	}
	for n := r.tags(); n > 0 && !r.bad; n-- {
		tag, body := r.tag()
		state := reader{b: body, flex: true}
		c.follower = c.follower || v >= firstFetchState && tag == tagReplicaState && state.int32() >= 0
	}
	return !r.bad && len(r.b) == 0 && c.isolation <= replica.ReadCommitted
}

// parseTopic reads one topic. What is asked of each partition is a value of its own, so that a part needs nothing else.
func (c *fetchCall) parseTopic(r *reader, t *routes) {
	v := c.request.version
	route, name, id := t.named(r, v >= firstFetchID)
	for n := r.count(); n > 0 && !r.bad; n-- {
		a := fetchAsk{route: route, name: name, id: id, index: r.int32(), epoch: penstock.NoEpoch, last: penstock.NoEpoch}
		if v >= firstFetchEpoch {
			a.epoch = penstock.Epoch(r.int32())
		}
		a.from = penstock.Offset(r.int64())
		if v >= firstFetchFlexible {
			a.last = penstock.Epoch(r.int32())
		}
		if v >= firstFetchStart {
			r.int64() // a follower's log start
		}
		a.max = int64(r.int32())
		r.skipTags()
		if r.bad = r.bad || len(c.parts) >= maxParts; !r.bad {
			c.parts = append(c.parts, fetchPart{fetchAsk: a})
		}
	}
	r.skipTags()
}

// parseForgotten reads the partitions that an incremental fetch wants no more.
func (c *fetchCall) parseForgotten(r *reader, t *routes) {
	for n := r.count(); n > 0 && !r.bad; n-- {
		route, name, id := t.named(r, c.request.version >= firstFetchID)
		for m := r.count(); m > 0 && !r.bad; m-- {
			a := fetchAsk{route: route, name: name, id: id, index: r.int32()}
			if r.bad = r.bad || len(c.forgotten) >= maxParts; !r.bad {
				c.forgotten = append(c.forgotten, a.key(c.request.version >= firstFetchID))
			}
		}
		r.skipTags()
	}
}

// topicName is the name that the answer gives a part's topic.
func (a *fetchAsk) topicName() string {
	if a.route != nil {
		return a.route.name
	}
	return a.name
}

// sameTopic reports whether two parts may stand under one topic in the answer.
func (a *fetchAsk) sameTopic(b *fetchAsk) bool {
	return a.route == b.route && a.id == b.id && a.name == b.name
}

// encode adds the answer's body, with the stored bytes attached at their places.
func (c *fetchCall) encode(a *wire.Answer) {
	v, flex := c.request.version, c.request.flex()
	a.B = appendInt32(a.B, 0)
	if v >= firstFetchSession {
		a.B = appendInt16(a.B, int16(c.whole))
		a.B = appendInt32(a.B, c.sessionID)
	}
	a.B = appendCount(a.B, c.runs(), flex)
	elsewhere := false
	for i := c.nextTold(0); i < len(c.parts); {
		end, told := c.run(i)
		if v >= firstFetchID {
			a.B = append(a.B, c.parts[i].id[:]...)
		} else {
			a.B = appendText(a.B, c.parts[i].topicName(), flex)
		}
		a.B = appendCount(a.B, told, flex)
		for ; i < end; i++ {
			if p := &c.parts[i]; p.told {
				c.encodePart(a, p)
				elsewhere = elsewhere || p.code == codeNotLeaderOrFollower
			}
		}
		a.B = appendNoTags(a.B, flex)
		i = c.nextTold(end)
	}
	if elsewhere && v >= firstFetchBrokers {
		a.B = c.front.appendBrokers(a.B)
		return
	}
	a.B = appendNoTags(a.B, flex)
}

// nextTold is the first part from i on that is in the answer.
func (c *fetchCall) nextTold(i int) int {
	for i < len(c.parts) && !c.parts[i].told {
		i++
	}
	return i
}

// run is the end of the parts from i on that stand under one topic, and how many of them are in the answer.
func (c *fetchCall) run(i int) (end, told int) {
	first := &c.parts[i].fetchAsk
	for end = i; end < len(c.parts) && (!c.parts[end].told || c.parts[end].sameTopic(first)); end++ {
		if c.parts[end].told {
			told++
		}
	}
	return end, told
}

// runs is the number of topics in the answer.
func (c *fetchCall) runs() int {
	n := 0
	for i := c.nextTold(0); i < len(c.parts); n++ {
		end, _ := c.run(i)
		i = c.nextTold(end)
	}
	return n
}

// encodePart adds one partition of the answer.
func (c *fetchCall) encodePart(a *wire.Answer, p *fetchPart) {
	v, flex := c.request.version, c.request.flex()
	high, stable, start := p.res.HighWatermark, p.res.LastStable, p.res.Start
	if p.code != codeNone {
		high, stable, start = penstock.NoOffset, penstock.NoOffset, penstock.NoOffset
	}
	b := appendInt32(a.B, p.index)
	b = appendInt16(b, int16(p.code))
	b = appendInt64(b, int64(high))
	b = appendInt64(b, int64(stable))
	if v >= firstFetchStart {
		b = appendInt64(b, int64(start))
	}
	// Nobody can abort a transaction yet: none for who asks for committed records, null for who does not.
	b = appendCount(b, int(c.isolation)-1, flex)
	if v >= firstFetchRack {
		b = appendInt32(b, int32(penstock.NoBroker))
	}
	a.B = appendCount(b, int(p.size), flex)
	if p.route != nil && p.route.messages {
		c.encodeMessages(a, p)
	} else {
		for _, e := range c.extents[p.lo:p.hi] {
			a.Attach(e, p.route.out)
		}
	}
	a.B = p.appendTags(a.B, flex)
}

// appendTags ends a partition of the answer.
func (p *fetchPart) appendTags(dst []byte, flex bool) []byte {
	switch {
	case flex && p.code == codeNone && p.res.Diverging != nil:
		dst = append(dst, 1, tagDiverging, 4+8+1)
		dst = appendInt32(dst, int32(p.res.Diverging.Epoch))
		dst = appendInt64(dst, int64(p.res.Diverging.Start))
		return append(dst, 0)
	case flex && p.code == codeNotLeaderOrFollower:
		return appendLeader(dst, tagLeader, p.route, p.index)
	}
	return appendNoTags(dst, flex)
}
