package rocket

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"penstock"
	"penstock/convert"
	"penstock/message"
)

// admit decides whether a call may be stored, and where. If something must be created before, it is returned, to be done elsewhere; then
// admit is asked again.
func (c *sendCall) admit() (first func(ctx context.Context) error, refused code, why string) {
	h := &c.head
	if refused, why = c.checkSize(); refused != codeSuccess {
		return nil, refused, why
	}
	f := c.front
	r := f.routes.Load().byName(h.Topic)
	if r == nil {
		return c.create()
	}
	if refused, why = c.check(r); refused != codeSuccess {
		return nil, refused, why
	}
	if c.queue = h.Queue; c.queue < 0 {
		c.queue = anyQueue(r.writes)
	}
	c.stored = c.queue
	return c.place(r)
}

// checkSize holds the request to RocketMQ's limits.
func (c *sendCall) checkSize() (refused code, why string) {
	h, l := &c.head, &c.front.o.Limits
	switch {
	case len(h.Properties) > message.MaxProperties:
		return codeMessageIllegal, fmt.Sprintf("message properties of %d bytes, at most %d are taken", len(h.Properties), message.MaxProperties)
	case len(c.body) == 0:
		return codeMessageIllegal, "message without a body"
	case len(c.body) > l.MessageBytes:
		return codeMessageIllegal, fmt.Sprintf("the message is illegal: body of %d bytes, at most %d are taken", len(c.body), l.MessageBytes)
	}
	return codeSuccess, ""
}

// create says how the topic of the call is to be created, or why it is not.
func (c *sendCall) create() (first func(ctx context.Context) error, refused code, why string) {
	topic := string(c.head.Topic)
	if wrong := checkTopic(topic); wrong != "" {
		return nil, codeInvalidParameter, wrong
	}
	if reserved[topic] || c.front.template(topic) > 0 {
		return nil, codeNoPermission, forbidden(topic)
	}
	n := c.front.queuesOf(topic, string(c.head.DefaultTopic), c.head.DefaultQueues)
	if n == 0 {
		return nil, codeTopicNotExist, fmt.Sprintf("topic[%s] not exist, apply first please!", topic)
	}
	return func(ctx context.Context) error { return c.front.makeTopic(ctx, topic, n) }, codeSuccess, ""
}

func forbidden(topic string) string {
	return fmt.Sprintf("Sending message to topic[%s] is forbidden.", topic)
}

// check decides whether messages may be sent to the topic at all.
func (c *sendCall) check(r *route) (refused code, why string) {
	queues := max(r.reads, r.writes)
	switch {
	case reserved[r.name]:
		return codeNoPermission, forbidden(r.name)
	case r.perm&permWrite == 0:
		return codeNoPermission, fmt.Sprintf("the topic[%s] sending message is forbidden", r.name)
	case c.head.Queue >= queues:
		return codeInvalidParameter, fmt.Sprintf("request queueId[%d] is illegal, topic %s has %d queues", c.head.Queue, r.name, queues)
	case c.head.Batch && strings.HasPrefix(r.name, retryPrefix):
		return codeMessageIllegal, "batch request does not support retry group " + r.name
	}
	return codeSuccess, ""
}

// place decides in which topic and queue the call is stored: in that of the request, or with the group's dead letters, or with the delayed
// messages.
func (c *sendCall) place(r *route) (first func(ctx context.Context) error, refused code, why string) {
	to := r
	p := c.look()
	if refused, why = p.refusal(); refused != codeSuccess {
		return nil, refused, why
	}
	c.acks = penstock.AcksAll
	if !p.wait {
		c.acks = penstock.AcksLeader
	}
	if strings.HasPrefix(r.name, retryPrefix) {
		c.acks = penstock.AcksAll // what is sent back has nobody else who keeps it
		group := r.name[len(retryPrefix):]
		dead, refused, why := c.isDead(group)
		if refused != codeSuccess {
			return nil, refused, why
		}
		if dead {
			p.delay, c.dead = 0, true
			if to, first = c.system(deadPrefix+group, 1); first != nil {
				return first, codeSuccess, ""
			}
			c.queue, c.stored = 0, 0
		}
	}
	if p.delay > 0 && !c.head.Batch {
		return c.placeDelayed(p.delay)
	}
	refused, why = c.lead(to)
	return nil, refused, why
}

// system finds a topic of the broker's own making, or says how it is made.
func (c *sendCall) system(name string, queues int) (*route, func(ctx context.Context) error) {
	if r := c.front.routes.Load().names[name]; r != nil {
		return r, nil
	}
	return nil, func(ctx context.Context) error { return c.front.makeTopic(ctx, name, queues) }
}

// isDead reports whether a message for a group's retry topic has come back too often.
func (c *sendCall) isDead(group string) (dead bool, refused code, why string) {
	g, ok := c.front.group(group)
	if !ok {
		return false, codeGroupNotExist, "subscription group not exist, " + group
	}
	most := int32(g.RetryMax)
	if c.head.MaxReconsume >= 0 {
		most = c.head.MaxReconsume
	}
	if roster := c.front.o.Roster; roster != nil && roster.Locked(group) {
		return true, codeSuccess, "" // a group that consumes in order tries again by itself, and sends what it gives up
	}
	return c.head.Reconsumed > most, codeSuccess, ""
}

// placeDelayed puts the call into the queue of its level of delay.
func (c *sendCall) placeDelayed(level int) (first func(ctx context.Context) error, refused code, why string) {
	d := c.front.o.Delay
	if d == nil {
		return nil, codeMessageIllegal, "this broker does not serve delayed messages"
	}
	r := c.front.routes.Load().names[delayTopic]
	if r == nil {
		return d.Ready, codeSuccess, ""
	}
	c.delayed = true
	c.stored = int32(min(level, d.Levels()) - 1)
	refused, why = c.lead(r)
	return nil, refused, why
}

// lead finds the partition that the call is stored in.
func (c *sendCall) lead(r *route) (refused code, why string) {
	c.route = r
	if c.led = c.front.partition(r, c.stored); c.led == nil {
		return codeServiceNotAvailable, "queue " + strconv.Itoa(int(c.stored)) + " of topic " + r.name + " is not open here: try again"
	}
	return codeSuccess, ""
}

// looked is what the broker wants to know of a message's properties.
type looked struct {
	unique  bool
	cluster bool // of this name
	wait    bool
	delay   int  // level
	tran    bool // prepared for a transaction
	timer   string
	inner   bool
	level   bool // has a level of delay
	real    bool // has what only the broker writes into delayed messages
	drop    bool // some are not kept
}

// look reads the properties of the call's message once. Those of a batch as a whole are not stored.
func (c *sendCall) look() *looked {
	p := &c.seen
	*p = looked{wait: true}
	message.Properties(c.head.Properties, func(key, value []byte) bool {
		switch string(key) {
		case message.PropertyUniqueID:
			if len(value) > 0 {
				c.unique = append(c.unique[:0], value...)
				p.unique = true
			} else {
				p.drop = true
			}
		case propertyCluster:
			p.cluster = string(value) == c.front.o.ClusterName
			p.drop = p.drop || !p.cluster
		case message.PropertyWait:
			p.wait = string(value) != "false"
		case message.PropertyDelayLevel:
			p.delay, _ = strconv.Atoi(string(value))
			p.level = true
		case "TRAN_MSG":
			p.tran = string(value) == "true"
		case "TIMER_DELAY_SEC", "TIMER_DELAY_MS", "TIMER_DELIVER_MS":
			p.timer, p.drop = string(key), true
		case "INNER_NUM":
			p.inner = true
		case message.PropertyRealTopic, message.PropertyRealQueue:
			p.real = true
		case "POP_CK", propertyRecordCRC, convert.PropertyProducer:
			p.drop = true
		}
		return true
	})
	return p
}

const (
	propertyCluster   = "CLUSTER"
	propertyRecordCRC = "__CRC32#"
)

// refusal is why a message with these properties is not taken.
func (p *looked) refusal() (code, string) {
	switch {
	case p.tran:
		return codeNoPermission, "sending transaction message is forbidden: this broker does not serve transactions yet"
	case p.timer != "" && p.delay <= 0:
		return codeMessageIllegal, "the message is illegal: this broker does not serve arbitrary delays (" + p.timer + ") yet, only levels (DELAY)"
	case p.inner:
		return codeMessageIllegal, "the message is illegal: this broker does not serve inner batches (INNER_NUM)"
	}
	return codeSuccess, ""
}

// dropped are the properties that are not kept as they came, if there are any of them.
func (c *sendCall) dropped(key, value []byte) bool {
	switch string(key) {
	case message.PropertyUniqueID:
		return len(value) == 0
	case propertyCluster:
		return !c.seen.cluster
	case message.PropertyDelayLevel:
		return c.dead
	case message.PropertyRealTopic, message.PropertyRealQueue:
		return c.delayed
	case "TIMER_DELAY_SEC", "TIMER_DELAY_MS", "TIMER_DELIVER_MS", "POP_CK", propertyRecordCRC, convert.PropertyProducer:
		return true
	}
	return false
}

// properties makes the properties that are stored: those of the request, the cluster's name, an id if the producer gave none, and of a delayed message
// where it is to go. They are the call's scratch.
func (c *sendCall) properties() []byte {
	p, b := &c.seen, c.props[:0]
	if p.drop || c.delayed && p.real || c.dead && p.level {
		message.Properties(c.head.Properties, func(k, v []byte) bool {
			if !c.dropped(k, v) {
				b = appendProperty(b, string(k), v)
			}
			return true
		})
	} else if b = append(b, c.head.Properties...); len(b) > 0 && b[len(b)-1] != propertyEnd {
		b = append(b, propertyEnd)
	}
	if !p.unique && !c.head.Batch {
		c.unique = c.front.unique.append(c.unique[:0], c.front.o.Now())
		b = appendProperty(b, message.PropertyUniqueID, c.unique)
	}
	if !p.cluster && c.route.native {
		b = appendText(b, propertyCluster, c.front.o.ClusterName)
	}
	if c.dead {
		b = appendText(b, message.PropertyDelayLevel, "-1")
	}
	if c.delayed {
		b = appendProperty(b, message.PropertyRealTopic, c.head.Topic)
		b = append(append(append(b, message.PropertyRealQueue...), propertyMid), strconv.Itoa(int(c.queue))...)
		b = append(b, propertyEnd)
	}
	c.props = b
	return b
}

// The bytes between a property's key and its value, and after it.
const (
	propertyMid = 1
	propertyEnd = 2
)

func appendText(b []byte, key, value string) []byte {
	b = append(append(b, key...), propertyMid)
	return append(append(b, value...), propertyEnd)
}

func appendProperty(b []byte, key string, value []byte) []byte {
	b = append(append(b, key...), propertyMid)
	return append(append(b, value...), propertyEnd)
}
