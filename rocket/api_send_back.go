package rocket

// CONSUMER_SEND_MSG_BACK (36): a consumer could not consume a message, which is found by its position and comes again by the group's topic
// %RETRY%group, after a while that grows with the number of times: the level of delay is the one asked for, or 3 + the times it was
// consumed. After the maximum of times, or if the level is negative, it goes to %DLQ%group and does not come again. The maximum is the request's, else
// the group's.
//
// The answer is given when the copy is on disk, whatever the message's producer asked for: the consumer goes on then, and nobody else has the
// message. A consumer that is refused sends the copy itself, by SEND_MESSAGE.

import (
	"context"
	"fmt"
	"math"
	"strconv"

	"penstock"
	"penstock/convert"
	"penstock/message"
	"penstock/meta"
	"penstock/replica"
)

func apiSendBack() *api {
	return &api{code: 36, name: "CONSUMER_SEND_MSG_BACK", frame: smallFrame, right: right{opSub, onGroup}, handle: sendBack}
}

// backCall is one message that is sent back.
type backCall struct {
	position penstock.Position
	topic    string // of the message, as the client knows it; may be empty
	group    string
	level    int32 // asked for
	most     int32 // times it may be consumed; negative: what the group says
	config   *meta.GroupConfig
}

// propertyTimer are the properties of arbitrary delays, for which a level is taken.
var propertyTimer = []string{"TIMER_DELAY_SEC", "TIMER_DELAY_MS", "TIMER_DELIVER_MS"}

func sendBack(s *session, r *request) {
	t := r.ticket()
	q := r.Reader()
	c := backCall{position: penstock.Position(q.Int64("offset")), topic: r.Text("originTopic"), group: q.Text("group"), level: q.Int32("delayLevel"), most: q.Int32Or("maxReconsumeTimes", -1)}
	if err := q.Err(); err != nil {
		s.fail(t, err)
		return
	}
	t.wire.Release()
	var ok bool
	if c.config, ok = s.front.group(c.group); !ok {
		s.refuse(t, codeGroupNotExist, fmt.Sprintf("subscription group not exist, %.300s", c.group))
		return
	}
	if c.config.RetryQueues <= 0 {
		s.reply(t, nil, nil) // the group wants nothing again
		return
	}
	s.control(func(ctx context.Context) { // it reads the disk, and may make topics
		if refused, why := s.back(ctx, t, &c); refused != codeSuccess {
			s.refuse(t, refused, why)
		}
	})
}

// back stores the copy. If it is refused the request is not answered yet; else it is, or will be once the copy is on disk.
func (s *session) back(ctx context.Context, t ticket, c *backCall) (refused code, why string) {
	f := s.front
	b, err := f.storedAt(c.position, c.topic, s.store)
	if err == nil {
		err = message.Format{}.Verify(b)
	}
	if err != nil {
		return codeSystemError, fmt.Sprintf("look message by offset failed, %d: %v", c.position, err)
	}
	m, err := message.Parse(b)
	if err != nil {
		return codeSystemError, err.Error()
	}
	most := c.most
	if most < 0 {
		most = int32(c.config.RetryMax)
	}
	dead := c.level < 0 || m.Reconsumed >= most
	name, queues := retryPrefix+c.group, c.config.RetryQueues
	if dead {
		name, queues = deadPrefix+c.group, 1
	}
	r, err := f.ensure(ctx, name, queues)
	switch {
	case err != nil:
		return codeOf(err), fmt.Sprintf("topic[%s] not exist: %v", name, err)
	case r.perm&permWrite == 0:
		return codeNoPermission, fmt.Sprintf("the topic[%s] sending message is forbidden", name)
	}
	queue, level := anyQueue(min(r.writes, int32(queues))), 0
	if !dead {
		if level = int(c.level); level == 0 {
			level = 3 + int(m.Reconsumed)
		}
		level = min(level, f.o.Delay.Levels())
	}
	return s.storeBack(ctx, t, &m, r, queue, level)
}

// ensure finds a topic, or makes it.
func (f *Front) ensure(ctx context.Context, name string, queues int) (*route, error) {
	for range maxTries {
		if r := f.routes.Load().names[name]; r != nil {
			return r, nil
		}
		if err := f.makeTopic(ctx, name, queues); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: %s", penstock.ErrUnknownTopic, name)
}

// storeBack appends the copy of m to a queue of a topic, by way of the level's queue if it is not 0.
func (s *session) storeBack(ctx context.Context, t ticket, m *message.Message, r *route, queue int32, level int) (refused code, why string) {
	f := s.front
	m.Properties = backProperties(m, r, queue, level)
	to, stored := r, queue
	if level > 0 {
		if err := f.o.Delay.Ready(ctx); err != nil {
			return codeOf(err), err.Error()
		}
		if to = f.routes.Load().names[delayTopic]; to == nil {
			return codeServiceNotAvailable, "the topic of delayed messages does not come about"
		}
		stored = int32(level - 1)
	}
	m.Topic, m.QueueID, m.StoreHost, m.StoreTime = to.text, stored, s.store, penstock.Timestamp(f.o.Now().UnixMilli())
	if m.Reconsumed < math.MaxInt32 {
		m.Reconsumed++
	}
	m.PreparedAt, m.WithRecordCRC = 0, true
	b, err := message.Append(nil, m)
	if err != nil {
		return codeMessageIllegal, fmt.Sprintf("message sent back: %v", err)
	}
	h, err := message.Format{}.Header(b)
	if err != nil {
		return codeOf(err), err.Error()
	}
	p := f.opened(ctx, to, stored)
	if p == nil {
		return codeServiceNotAvailable, fmt.Sprintf("queue %d of topic %s is not open here: try again", stored, to.name)
	}
	settle := func(res replica.AppendResult) {
		if res.Err != nil {
			s.refuse(t, codeOf(res.Err), fmt.Sprintf("message is not stored: %v", res.Err))
			return
		}
		to.in.add(1, len(b))
		s.reply(t, nil, nil)
	}
	req := replica.AppendRequest{Batches: []penstock.Batch{{Header: h, Bytes: b}}, Acks: penstock.AcksAll, Epoch: penstock.NoEpoch}
	if res, done := p.Append(req, settle); done {
		settle(res)
	}
	return codeSuccess, ""
}

// backProperties are those of the copy: where the message was first, its first id, and, if it is delayed, where it is to go. WAIT=false is what
// RocketMQ's copies have; it waits for the disk none the less. A dead letter keeps where it went last.
func backProperties(m *message.Message, r *route, queue int32, level int) []byte {
	had := func(key string) string {
		v, _ := message.Property(m.Properties, key)
		return string(v)
	}
	first, origin := had(message.PropertyRetryTopic), had(message.PropertyOriginID)
	p := m.Properties
	drop := append([]string{
		message.PropertyRetryTopic, message.PropertyOriginID, message.PropertyDelayLevel, message.PropertyWait, propertyRecordCRC, convert.PropertyProducer,
	}, propertyTimer...)
	if level > 0 {
		drop = append(drop, message.PropertyRealTopic, message.PropertyRealQueue)
	}
	for _, key := range drop {
		p = message.DropProperty(p, key)
	}
	p = append([]byte(nil), p...)
	if len(p) > 0 && p[len(p)-1] != propertyEnd {
		p = append(p, propertyEnd)
	}
	if first == "" {
		first = string(m.Topic)
	}
	if origin == "" {
		origin = message.OffsetID(m.StoreHost, m.Position)
	}
	p = appendText(p, message.PropertyWait, "false")
	p = appendText(p, message.PropertyRetryTopic, first)
	p = appendText(p, message.PropertyOriginID, origin)
	p = appendText(p, message.PropertyDelayLevel, strconv.Itoa(level))
	if level > 0 {
		p = appendText(p, message.PropertyRealTopic, r.name)
		p = appendText(p, message.PropertyRealQueue, strconv.Itoa(int(queue)))
	}
	return p
}
