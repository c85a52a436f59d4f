package kafka

import (
	"penstock"
	"penstock/wire"
)

// What Produce looks like, by hand: the batches are found in the frame and stay there.
//
//	request   nullable string transactional id | int16 acks | int32 timeout ms | array of topics
//	topic     string name (to 12) or uuid id (13+) | array of partitions
//	partition int32 index | nullable bytes records
//
//	answer    array of topics | int32 throttle ms | tag 0: brokers (10+)
//	topic     string name (to 12) or uuid id (13+) | array of partitions
//	partition int32 index | int16 error | int64 base offset | int64 append time | int64 log start (5+) |
//	          array of record errors (8+) | nullable string message (8+) | tag 0: leader (10+)

// shortRecords is the size below which records cannot be a batch. A request may name few such partitions: each takes far more
// memory here than in the frame.
const (
	shortRecords = 61
	maxShort     = 1024
)

// parse finds the topics and batches in the request's body. It allocates only for topics that do not exist.
func (c *produceCall) parse(t *routes) bool {
	r := reader{b: c.request.body, flex: c.request.flex()}
	c.txn = r.text() != nil
	c.acks = penstock.Acks(r.int16())
	r.int32() // the timeout is that of replication, which has its own
	short := 0
	for n := r.count(); n > 0 && !r.bad; n-- {
		c.parseTopic(&r, t, &short)
	}
	r.skipTags()
	return !r.bad && len(r.b) == 0
}

// parseTopic reads one topic and its batches. short counts, over the whole request, the partitions without room for a batch.
func (c *produceCall) parseTopic(r *reader, t *routes, short *int) {
	var topic produceTopic
	topic.route, topic.name, topic.id = t.named(r, c.request.version >= firstProduceID)
	topic.parts = max(r.count(), 0)
	for range topic.parts {
		p := c.addPart()
		p.route, p.index, p.records = topic.route, r.int32(), r.bytes()
		r.skipTags()
		if len(p.records) < shortRecords {
			*short++
		}
		if r.bad = r.bad || *short > maxShort; r.bad {
			return
		}
	}
	r.skipTags()
	c.topics = append(c.topics, topic)
}

// addPart returns the next part, from an earlier use of the call if there is one.
func (c *produceCall) addPart() *producePart {
	n := len(c.parts)
	if n < cap(c.parts) {
		c.parts = c.parts[:n+1]
	} else {
		c.parts = append(c.parts, nil)
	}
	if c.parts[n] == nil {
		p := &producePart{call: c}
		p.notify = p.settleLater
		c.parts[n] = p
	}
	return c.parts[n]
}

// answer ends the request. With acks=0 there is no answer, and an error closes the connection: it is the only way
// to tell, and what Kafka does.
func (c *produceCall) answer(refused int) {
	r := c.request
	if c.acks == penstock.AcksNone {
		c.front.apis.stats[keyProduce].done(r.wire.Arrived(), c.front.o.Now())
		r.tell(nil)
		if refused > 0 {
			r.wire.Fail(errProduceUnsaid)
			return
		}
		r.wire.Skip()
		return
	}
	a := wire.NewAnswer()
	a.B = appendResponseHeader(a.B, r.correlation, r.flex())
	a.B = c.encode(a.B)
	c.front.send(r, a)
}

// encode adds the answer's body.
func (c *produceCall) encode(dst []byte) []byte {
	v, flex := c.request.version, c.request.flex()
	dst = appendCount(dst, len(c.topics), flex)
	parts, elsewhere := c.parts, false
	for i := range c.topics {
		t := &c.topics[i]
		switch {
		case v >= firstProduceID:
			dst = append(dst, t.id[:]...)
		case t.route != nil:
			dst = appendText(dst, t.route.name, flex)
		default:
			dst = appendText(dst, t.name, flex)
		}
		dst = appendCount(dst, t.parts, flex)
		for _, p := range parts[:t.parts] {
			dst = p.encode(dst, v, flex)
			elsewhere = elsewhere || p.code == codeNotLeaderOrFollower
		}
		parts = parts[t.parts:]
		dst = appendNoTags(dst, flex)
	}
	dst = appendInt32(dst, 0)
	if elsewhere && v >= firstProduceLeader {
		return c.front.appendBrokers(dst)
	}
	return appendNoTags(dst, flex)
}

// encode adds one partition of the answer.
func (p *producePart) encode(dst []byte, v int16, flex bool) []byte {
	first, at, start := p.res.First, p.res.Time, p.res.Start
	if p.code != codeNone {
		first, at, start = penstock.NoOffset, penstock.NoTimestamp, penstock.NoOffset
	}
	dst = appendInt32(dst, p.index)
	dst = appendInt16(dst, int16(p.code))
	dst = appendInt64(dst, int64(first))
	dst = appendInt64(dst, int64(at))
	if v >= 5 {
		dst = appendInt64(dst, int64(start))
	}
	if v >= firstProduceMessage {
		dst = appendCount(dst, 0, flex)
		dst = appendTextOrNull(dst, p.message, flex)
	}
	if p.code == codeNotLeaderOrFollower && v >= firstProduceLeader {
		return appendLeader(dst, 0, p.route, p.index)
	}
	return appendNoTags(dst, flex)
}
