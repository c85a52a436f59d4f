package rocket

// SEND_MESSAGE (10, fields with long names), SEND_MESSAGE_V2 (310, with short ones) and SEND_BATCH_MESSAGE (320: many messages in the body).
//
// What is done as by RocketMQ: a topic that is not there is created by the default topic that the request names, %RETRY% topics always are;
// a message for a %RETRY% topic that came back too often goes to the group's dead letters; a message with a DELAY property goes to
// SCHEDULE_TOPIC_XXXX and keeps its topic and queue as properties; a batch is as many ordinary messages, stored all or none, and is answered
// with all their ids.
//
// What is not served yet is refused: transactions (TRAN_MSG), arbitrary delays (TIMER_*), inner batches.

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"

	"penstock"
	"penstock/message"
	"penstock/replica"
	"penstock/rocket/remoting"
	"penstock/wire"
)

func apiSend(l *Limits) *api { return sendRow(10, "SEND_MESSAGE", l) }

func apiSendV2(l *Limits) *api { return sendRow(310, "SEND_MESSAGE_V2", l) }

func apiSendBatch(l *Limits) *api { return sendRow(codeSendBatch, "SEND_BATCH_MESSAGE", l) }

const codeSendBatch = 320

// clientFrame is the largest frame that RocketMQ's clients send or take.
const clientFrame = 16 << 20

// sendRow is a row of the three requests. Their frames are the only ones that carry payload. One with a body that is too large is read, if a client may
// well send it, so that the producer is told why it is refused.
func sendRow(c int32, name string, l *Limits) *api {
	return &api{code: c, name: name, frame: max(remoting.MaxHeader+l.MessageBytes+4<<10, clientFrame), right: right{opPub, onTopic}, gathers: true, handle: send}
}

// sendCall is one message, or batch of messages, under way. It is pooled with its buffers, so that a message allocates nothing. It is used by the
// reader, or by the goroutine that creates its topic, and after Append by whoever meets the promise.
type sendCall struct {
	front   *Front
	session *session
	ticket  ticket
	head    remoting.SendHead // of the frame, until that is released
	body    []byte            // likewise
	tries   int               // topics created for it
	dead    bool              // it is stored with the dead letters of a group
	seen    looked            // of its properties
	delayed bool              // it is stored with the delayed messages

	route   *route // of what it is stored in
	led     *replica.Partition
	queue   int32 // as the producer is told
	stored  int32 // queue in route
	acks    penstock.Acks
	props   []byte // scratch
	buf     []byte // the messages as stored, one behind another
	batches []penstock.Batch
	packing *packing       // for topics of Kafka's records; nil until there is one
	host    netip.AddrPort // that stores
	unique  []byte         // id that the producer gave, a copy
	count   int            // messages
	size    int            // bytes of them as stored
	places  []penstock.Position
	res     replica.AppendResult
	holds   int32 // atomic: whoever appends has one, and the result; who gives up the last answers
	notify  func(replica.AppendResult)
}

// newSendCall makes a call for the pool.
func newSendCall() *sendCall {
	c := &sendCall{}
	c.notify = func(r replica.AppendResult) { c.settle(r) }
	return c
}

// send takes a request that sends. The message is built in a buffer of its own, because it is stored in another order than it comes in, and is stored with those
// that came in the same read. Then frame and buffer are given back: what waits for the disk holds neither, so that the budget of requests' bytes bounds
// the copies too.
func send(s *session, r *request) {
	c := s.front.sends.Get().(*sendCall)
	c.front, c.session, c.ticket, c.host = s.front, s, r.ticket(), s.store
	if err := r.Send(&c.head); err != nil {
		c.refuse(codeOf(err), err.Error())
		return
	}
	c.body = r.Body
	c.head.Batch = c.head.Batch || r.Code == codeSendBatch
	if c.prepare() {
		s.stage(c)
	}
}

// prepare finds where the call goes and builds what is stored. If it is false the call is answered, or will be by whoever creates its topic.
func (c *sendCall) prepare() bool {
	first, refused, why := c.admit()
	if refused != codeSuccess {
		c.refuse(refused, why)
		return false
	}
	if first != nil {
		if c.tries++; c.tries > maxTries {
			c.refuse(codeServiceNotAvailable, "the topics that the message needs do not come about")
			return false
		}
		c.after(first)
		return false
	}
	if err := c.build(); err != nil {
		c.refuse(codeOf(err), err.Error())
		return false
	}
	c.head, c.body = remoting.SendHead{}, nil
	c.count, c.size = c.messages(), len(c.buf)
	return true
}

// maxTries bounds the topics that are created for one message: its own, and that of dead letters or of delayed messages.
const maxTries = 3

// after does what must come first in a goroutine of its own, and then goes on there.
func (c *sendCall) after(first func(ctx context.Context) error) {
	c.session.control(func(ctx context.Context) {
		if err := first(ctx); err != nil {
			c.refuse(codeOf(err), err.Error())
			return
		}
		if c.prepare() {
			c.appendAlone()
		}
	})
}

// build makes the stored form of the call's messages.
func (c *sendCall) build() error {
	p := c.properties()
	m := message.Message{
		QueueID: c.stored, Flag: c.head.Flag, SysFlag: message.SysFlag(c.head.SysFlag), BornTime: penstock.Timestamp(c.head.BornTime),
		BornHost: c.session.born, StoreTime: penstock.Timestamp(c.ticket.wire.Arrived().UnixMilli()), StoreHost: c.host,
		Reconsumed: c.head.Reconsumed, Topic: c.route.text, Body: c.body, Properties: p, WithRecordCRC: true,
	}
	if !c.route.native {
		return c.buildRecords(&m)
	}
	if !c.head.Batch {
		var err error
		c.buf, err = message.Append(c.buf[:0], &m)
		if err == nil {
			err = c.frame()
		}
		return err
	}
	c.buf = c.buf[:0]
	n := 0
	err := message.Items(c.body, func(it message.Item) error {
		if n++; n > maxBatch {
			return fmt.Errorf("%w: more than %d messages in a batch", penstock.ErrTooLarge, maxBatch)
		}
		var err error
		m.Body, m.Flag, m.Properties = it.Body, it.Flag, it.Properties
		c.buf, err = message.Append(c.buf, &m)
		return err
	})
	if err != nil {
		return fmt.Errorf("%w: %w", penstock.ErrInvalidRecord, err)
	}
	if n == 0 {
		return fmt.Errorf("%w: batch without a message", penstock.ErrInvalidRecord)
	}
	return c.frame()
}

// maxBatch bounds the messages of one batch: a body of the largest size holds so many that say anything.
const maxBatch = 64 << 10

// frame finds the messages in the buffer.
func (c *sendCall) frame() error {
	c.batches = c.batches[:0]
	for b := c.buf; len(b) > 0; {
		h, err := message.Format{}.Header(b)
		if err != nil {
			return err
		}
		if c.route.most > 0 && int(h.Size) > c.route.most {
			return fmt.Errorf("%w: message of %d bytes, topic %s takes %d (%s)", penstock.ErrTooLarge, h.Size, c.route.name, c.route.most, configMaxBytes)
		}
		c.batches = append(c.batches, penstock.Batch{Header: h, Bytes: b[:h.Size:h.Size]})
		b = b[h.Size:]
	}
	return nil
}

// appendAlone appends the call's messages by themselves.
func (c *sendCall) appendAlone() {
	c.hold()
	res, done := c.led.Append(c.request(), c.notify)
	if done {
		c.settle(res)
	}
	c.appended()
}

// request is the call's messages as their log is given them.
func (c *sendCall) request() replica.AppendRequest {
	return replica.AppendRequest{Batches: c.batches, Acks: c.acks, Epoch: penstock.NoEpoch}
}

// hold is taken before an append: once for whoever appends, once for the result.
func (c *sendCall) hold() { atomic.StoreInt32(&c.holds, 2) }

// appended is called by whoever appended, when the log has the messages or has refused them: their places are in the buffer.
func (c *sendCall) appended() {
	c.places = c.places[:0]
	if c.route.native {
		for i := range c.batches {
			c.places = append(c.places, penstock.Position(binary.BigEndian.Uint64(c.batches[i].Bytes[atPosition:])))
		}
	}
	clear(c.batches)
	if c.batches = c.batches[:0]; cap(c.buf) > keepBuffer {
		c.buf, c.packing = nil, nil
	}
	c.ticket.wire.Release()
	c.letGo()
}

// settle takes the result of the append, from whatever goroutine meets the promise.
func (c *sendCall) settle(res replica.AppendResult) {
	c.res = res
	c.letGo()
}

// letGo gives up one hold; with the last the call is answered.
func (c *sendCall) letGo() {
	if atomic.AddInt32(&c.holds, -1) == 0 {
		c.answer()
	}
}

// answer tells the producer what came of the append.
func (c *sendCall) answer() {
	res := &c.res
	if res.Err != nil {
		c.refuse(codeOf(res.Err), fmt.Sprintf("message is not stored: %v", res.Err))
		return
	}
	c.route.in.add(c.count, c.size)
	a := wire.NewAnswer()
	w := remoting.Begin(a.B, c.ticket.head(codeSuccess, ""))
	c.props = c.props[:0]
	for i := range c.count {
		if i > 0 {
			c.props = append(c.props, ',')
		}
		if c.route.native {
			c.props = appendPositionID(c.props, c.host, c.places[i])
		} else {
			c.props = c.appendRecordID(c.props, res.First+penstock.Offset(i))
		}
	}
	w.Bytes("msgId", c.props)
	w.Int("queueId", int64(c.queue))
	w.Int("queueOffset", int64(res.First))
	if len(c.unique) > 0 {
		w.Bytes("transactionId", c.unique)
	}
	w.Text("MSG_REGION", "DefaultRegion")
	w.Text("TRACE_ON", "true")
	a.B = w.End()
	c.front.send(c.ticket, codeSuccess, a)
	c.recycle()
}

// appendPositionID appends the name by which clients ask for a stored message: see message.OffsetID.
func appendPositionID(dst []byte, host netip.AddrPort, at penstock.Position) []byte {
	var b [16 + 4 + 8]byte
	n := 4
	if addr := host.Addr(); addr.Is6() {
		v := addr.As16()
		n = copy(b[:], v[:])
	} else if addr.Is4() {
		v := addr.As4()
		copy(b[:], v[:])
	}
	binary.BigEndian.PutUint32(b[n:], uint32(host.Port()))
	binary.BigEndian.PutUint64(b[n+4:], uint64(at))
	return appendHex(dst, b[:n+4+8])
}

// atPosition is where a stored message has its position.
const atPosition = 28

// refuse answers with a code and a remark.
func (c *sendCall) refuse(why code, remark string) {
	c.session.refuse(c.ticket, why, remark)
	c.recycle()
}

// keepBuffer is the largest buffer that a pooled call keeps.
const keepBuffer = 64 << 10

// recycle gives the call back, without what it pointed to.
func (c *sendCall) recycle() {
	f := c.front
	clear(c.batches)
	*c = sendCall{
		buf: c.buf[:0], props: c.props[:0], batches: c.batches[:0], unique: c.unique[:0], places: c.places[:0], packing: c.packing, notify: c.notify,
	}
	if cap(c.buf) <= keepBuffer && cap(c.batches) <= maxTray && cap(c.places) <= maxTray {
		f.sends.Put(c)
	}
}

// anyQueue chooses a queue for a message that leaves it open.
func anyQueue(n int32) int32 {
	if n <= 1 {
		return 0
	}
	return rand.Int32N(n)
}
