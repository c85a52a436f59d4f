package kafka

// Produce (key 0), versions 3-13; 0-2 are advertised and not served.
//
//	3   transactional id; the first version with record batches of magic 2
//	5   log start offset in the answer
//	7   zstd
//	8   error messages in the answer
//	9   flexible
//	10  leader and its address in the answer where the partition is led elsewhere
//	11  (transactions, second version)
//	12  (likewise)
//	13  topic ids in place of names
//
// Versions 0-2 are shown because clients of before 2025 take their absence to mean that no batch may be compressed
// (KAFKA-18659); a request of one closes the connection, as any version does that is not served, and as Kafka 4 does it.

import (
	"errors"
	"fmt"
	"sync/atomic"

	"penstock"
	"penstock/record"
	"penstock/replica"
)

const (
	keyProduce           int16 = 0
	firstProduce         int16 = 3
	firstProduceZstd     int16 = 7
	firstProduceMessage  int16 = 8
	firstProduceFlexible int16 = 9
	firstProduceLeader   int16 = 10
	firstProduceID       int16 = 13
)

// apiProduce is the row of Produce. It is the only API whose frames carry payload, and so the only one with a large limit.
func apiProduce(l Limits) *api {
	return &api{
		key: keyProduce, name: "Produce", shown: 0, min: firstProduce, max: 13, flexible: firstProduceFlexible,
		before: refuse, after: frameLimit(l.ProduceBytes), right: right{opWrite, onTopic}, handle: produce,
	}
}

var (
	errProduce       = errors.New("malformed Produce request")
	errProduceUnsaid = errors.New("a batch sent with acks=0 was refused")
)

// produceCall is one Produce request under way. It is pooled, with its parts, so that a request allocates nothing.
type produceCall struct {
	front   *Front
	session *session
	request request
	acks    penstock.Acks
	txn     bool // names a transactional id
	topics  []produceTopic
	parts   []*producePart // those of each topic follow those of the one before
	held    int            // by the reader: parts in the tray, and one while the handler runs. The reader's own
	// pending is the number of parts not yet settled, and one while the reader holds the call: who takes it to zero answers.
	pending atomic.Int32
}

// produceTopic is one topic of a request.
type produceTopic struct {
	route *route // nil if there is no such topic
	name  string // of an unknown one: a copy
	id    penstock.TopicID
	parts int
}

// producePart is one partition of a request.
type producePart struct {
	call    *produceCall
	route   *route
	led     *replica.Partition
	index   int32
	records []byte            // of the frame, gone once appended
	batch   [1]penstock.Batch // what Append is given, here so that it needs no allocation
	res     replica.AppendResult
	code    code
	message string
	notify  func(replica.AppendResult) // settleLater, bound once for the life of the part
}

// produce takes a Produce request: all batches are validated in the reader's goroutine, while their bytes are in cache, and
// appended there, at once or with those of the requests that came in the same read. Then the frame is given back. The
// answer goes out when the last promise is met, so requests that follow on the connection are appended meanwhile and
// share a round of group commit.
func produce(s *session, r request) {
	c := s.front.produces.Get().(*produceCall)
	c.front, c.session, c.request = s.front, s, r
	if !c.parse(s.front.routes.Load()) {
		c.recycle()
		r.refuse(fmt.Errorf("%w: version %d", errProduce, r.version))
		return
	}
	c.request.body, c.request.client = nil, nil
	c.pending.Store(1)
	c.held = 1
	c.append()
	c.letGo()
}

// append validates and appends every part.
func (c *produceCall) append() {
	now := c.front.o.Now()
	var last *route
	var rules record.Rules
	for _, p := range c.parts {
		if code, why := c.refusal(p); code != codeNone {
			p.code, p.message = code, why
			continue
		}
		if p.route != last {
			last, rules = p.route, p.route.rulesAt(now)
		}
		p.append(rules)
	}
	c.session.appendLone()
}

// refusal is why a part cannot be looked at further, whatever is in its batch.
func (c *produceCall) refusal(p *producePart) (code, string) {
	switch {
	case c.acks < penstock.AcksAll || c.acks > penstock.AcksLeader:
		return codeInvalidRequiredAcks, "acks must be -1, 0 or 1"
	case c.txn:
		return codeUnsupportedVersion, noTransactions
	case p.route == nil && c.request.version >= firstProduceID:
		return codeUnknownTopicID, "no topic has this id"
	case p.route == nil:
		return codeUnknownTopicOrPartition, "no topic has this name"
	case p.route.internal:
		return codeInvalidTopic, "the topic is the broker's own"
	}
	return codeNone, ""
}

const noTransactions = "this broker does not serve transactions"

// append validates the part's batch and appends it.
func (p *producePart) append(rules record.Rules) {
	led, code := p.call.front.partition(p.route, p.index)
	if code != codeNone {
		p.code, p.message = code, "not a partition that this broker leads"
		return
	}
	b, err := record.Validate(p.records, rules)
	if err != nil {
		p.fail(err)
		return
	}
	switch {
	case b.Header.Is(penstock.FlagTransactional):
		p.code, p.message = codeUnsupportedVersion, noTransactions
		return
	case b.Header.Codec == penstock.CodecZstd && p.call.request.version < firstProduceZstd:
		p.code, p.message = codeUnsupportedCompression, "zstd needs version 7 of Produce"
		return
	}
	p.led, p.batch[0] = led, b
	if p.route.messages {
		p.appendMessages()
		return
	}
	s := p.call.session
	if b.Header.ProducerID == penstock.NoProducer {
		s.appendLone()
		s.stage(p)
		return
	}
	s.appendTray()
	p.call.pending.Add(1)
	if p.route.topic.Layout == penstock.LayoutCommit {
		s.lone = append(s.lone, p)
		return
	}
	if p.appendAlone() {
		p.call.pending.Add(-1) // never the last: the handler holds one
	}
}

// appendAlone appends the part's batch, and reports whether the result is there. If not it comes to settleLater.
func (p *producePart) appendAlone() bool {
	res, done := p.led.Append(p.request(), p.notify)
	if done {
		p.settle(res)
	}
	return done
}

// request is the part's batch as its log is given it.
func (p *producePart) request() replica.AppendRequest {
	return replica.AppendRequest{Batches: p.batch[:], Acks: p.call.acks, Epoch: penstock.NoEpoch}
}

// settleLater is the notify of Append: it comes from the goroutine that met the promise.
func (p *producePart) settleLater(res replica.AppendResult) {
	p.settle(res)
	p.call.settled()
}

// settle takes the result of the append.
func (p *producePart) settle(res replica.AppendResult) {
	p.res = res
	if p.route.messages && !p.route.stored {
		p.res.Time = penstock.NoTimestamp
	}
	switch {
	case res.Err != nil:
		p.fail(res.Err)
	case !res.Duplicate:
		h := &p.batch[0].Header
		p.route.in.bytes.Add(int64(h.Size))
		p.route.in.records.Add(int64(h.Records))
		p.route.in.batches.Inc()
	}
}

// fail answers the part with an error: its code, and its text for who reads logs.
func (p *producePart) fail(err error) {
	p.code, p.message = codeOf(err), err.Error()
}

// settled gives up one pending; with the last the answer goes out.
func (c *produceCall) settled() {
	if c.pending.Add(-1) > 0 {
		return
	}
	refused := 0
	for _, p := range c.parts {
		if p.code != codeNone {
			refused++
			c.front.apis.stats[keyProduce].failed(p.code)
			c.request.seen.fail(p.code)
		}
	}
	c.answer(refused)
	c.recycle()
}

// Bounds on what a pooled call keeps, so that one large request does not hold memory for ever.
const (
	keepParts  = 1024
	keepTopics = 1024
)

// recycle gives the call back, without the bytes and routes it pointed to.
func (c *produceCall) recycle() {
	front := c.front
	for _, p := range c.parts {
		*p = producePart{call: c, notify: p.notify}
	}
	clear(c.topics)
	c.parts, c.topics = c.parts[:0], c.topics[:0]
	c.front, c.session, c.request = nil, nil, request{}
	if cap(c.parts) <= keepParts && cap(c.topics) <= keepTopics {
		front.produces.Put(c)
	}
}
