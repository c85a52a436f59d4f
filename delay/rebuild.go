package delay

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"penstock"
	"penstock/message"
)

// propertyDue is when a message that was put off was due first, in milliseconds. Nobody but this package writes it, and it is not delivered.
const propertyDue = "PENSTOCK_FIRST_DUE"

// propertyCRC is the checksum at the end of the properties, which is computed again.
const propertyCRC = "__CRC32#"

// errNowhere is why a message is given up: it says not where it belongs.
var errNowhere = errors.New("it names no topic that it could be delivered to")

// parcel is a delayed message taken apart.
type parcel struct {
	message.Message
	topic    string
	queue    int32
	firstDue time.Time // zero unless it was put off
}

// open takes a stored message of the topic apart. Errors: penstock.ErrCorrupt, errNowhere.
func open(stored []byte) (parcel, error) {
	if err := (message.Format{}).Verify(stored); err != nil {
		return parcel{}, err
	}
	m, err := message.Parse(stored)
	if err != nil {
		return parcel{}, err
	}
	p := parcel{Message: m}
	topic, _ := message.Property(m.Properties, message.PropertyRealTopic)
	queue, _ := message.Property(m.Properties, message.PropertyRealQueue)
	n, err := strconv.ParseInt(string(queue), 10, 32)
	p.topic, p.queue = string(topic), int32(n)
	if err != nil || n < 0 || p.topic == "" || p.topic == Topic || p.topic == halfTopic {
		return p, fmt.Errorf("%w: %s=%.99q, %s=%.20q", errNowhere, message.PropertyRealTopic, topic, message.PropertyRealQueue, queue)
	}
	if due, ok := message.Property(m.Properties, propertyDue); ok {
		if ms, err := strconv.ParseInt(string(due), 10, 64); err == nil {
			p.firstDue = time.UnixMilli(ms)
		}
	}
	return p, nil
}

// delivered is the message as it is appended to its real topic: everything as its producer sent it, and the properties that it was delayed by, as
// RocketMQ leaves them (DELAY, REAL_TOPIC, REAL_QID). Its place is stamped when it is appended.
func (p *parcel) delivered(queue int32, now time.Time) message.Message {
	m := p.Message
	m.Topic, m.QueueID = []byte(p.topic), queue
	m.StoreTime, m.PreparedAt = penstock.Timestamp(now.UnixMilli()), 0
	m.Properties = message.DropProperty(message.DropProperty(m.Properties, propertyCRC), propertyDue)
	return m
}

// putOff is the message as it goes another round through the topic, at a level.
func (p *parcel) putOff(level int, due time.Time) (message.Message, error) {
	m := p.Message
	m.Topic, m.QueueID = []byte(Topic), int32(level-1)
	props := message.DropProperty(message.DropProperty(message.DropProperty(m.Properties, propertyCRC), propertyDue), message.PropertyDelayLevel)
	if !p.firstDue.IsZero() {
		due = p.firstDue
	}
	props, err := message.AppendProperty(props, message.PropertyDelayLevel, strconv.Itoa(level))
	if err == nil {
		props, err = message.AppendProperty(props, propertyDue, strconv.FormatInt(due.UnixMilli(), 10))
	}
	m.Properties = props
	return m, err
}

// batch is the stored form of a message.
func batch(dst []byte, m *message.Message) (penstock.Batch, error) {
	b, err := message.Append(dst, m)
	if err != nil {
		return penstock.Batch{}, err
	}
	h, err := message.Format{}.Header(b)
	return penstock.Batch{Header: h, Bytes: b}, err
}
