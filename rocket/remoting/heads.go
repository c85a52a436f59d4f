package remoting

import (
	"errors"
	"fmt"
	"math"
)

// ErrField says that a field is missing or is not what it should be. The command was read: it can be answered.
var ErrField = errors.New("bad field")

func badField(key string, value []byte) error {
	if value == nil {
		return fmt.Errorf("%w: the custom field <%s> is null", ErrField, key)
	}
	return fmt.Errorf("%w: the custom field <%s> is %.64q", ErrField, key, value)
}

// SendHead is what the fields of the three requests that send messages tell: SEND_MESSAGE with long names, SEND_MESSAGE_V2 and
// SEND_BATCH_MESSAGE with names of one letter. Bytes are the frame's.
type SendHead struct {
	Group         []byte // a, producerGroup
	Topic         []byte // b, topic
	DefaultTopic  []byte // c, defaultTopic: whose settings a new topic takes
	DefaultQueues int32  // d, defaultTopicQueueNums
	Queue         int32  // e, queueId; negative: any
	SysFlag       int32  // f, sysFlag
	BornTime      int64  // g, bornTimestamp
	Flag          int32  // h, flag
	Properties    []byte // i, properties
	Reconsumed    int32  // j, reconsumeTimes
	UnitMode      bool   // k, unitMode
	MaxReconsume  int32  // l, maxReconsumeTimes; negative if absent
	Batch         bool   // m, batch
}

// bits of what a send must have.
const (
	sendGroup = 1 << iota
	sendTopic
	sendDefault
	sendQueues
	sendQueue
	sendSysFlag
	sendBorn
	sendFlag
	sendAll = 1<<iota - 1
)

var sendNames = [...]string{"producerGroup", "topic", "defaultTopic", "defaultTopicQueueNums", "queueId", "sysFlag", "bornTimestamp", "flag"}

// Send reads the head of a message sent. Errors wrap ErrField.
func (c *Command) Send(h *SendHead) error {
	*h = SendHead{MaxReconsume: -1}
	seen := 0
	for i := range c.Fields {
		v := c.Fields[i].Value
		ok, bit := true, 0
		switch string(c.Fields[i].Key) {
		case "a", "producerGroup":
			h.Group, bit = v, sendGroup
		case "b", "topic":
			h.Topic, bit = v, sendTopic
		case "c", "defaultTopic":
			h.DefaultTopic, bit = v, sendDefault
		case "d", "defaultTopicQueueNums":
			h.DefaultQueues, ok = int32Of(v)
			bit = sendQueues
		case "e", "queueId":
			h.Queue, ok = int32Of(v)
			bit = sendQueue
		case "f", "sysFlag":
			h.SysFlag, ok = int32Of(v)
			bit = sendSysFlag
		case "g", "bornTimestamp":
			h.BornTime, ok = Int(v)
			bit = sendBorn
		case "h", "flag":
			h.Flag, ok = int32Of(v)
			bit = sendFlag
		case "i", "properties":
			h.Properties = v
		case "j", "reconsumeTimes":
			h.Reconsumed, ok = int32Of(v)
		case "k", "unitMode":
			h.UnitMode = string(v) == "true"
		case "l", "maxReconsumeTimes":
			h.MaxReconsume, ok = int32Of(v)
		case "m", "batch":
			h.Batch = string(v) == "true"
		}
		if !ok {
			return badField(string(c.Fields[i].Key), v)
		}
		seen |= bit
	}
	return missing(seen, sendAll, sendNames[:])
}

// missing names the first field that must be there and is not.
func missing(seen, all int, names []string) error {
	if seen == all {
		return nil
	}
	for i, name := range names {
		if seen&(1<<i) == 0 {
			return badField(name, nil)
		}
	}
	return nil
}

// PullHead is what the fields of PULL_MESSAGE and LITE_PULL_MESSAGE tell. Bytes are the frame's.
type PullHead struct {
	Group        []byte
	Topic        []byte
	Queue        int32
	Offset       int64
	Count        int32
	SysFlag      int32
	CommitOffset int64
	Suspend      int64 // ms
	Subscription []byte
	SubVersion   int64
	Expression   []byte // expressionType; nil if absent
	Bytes        int32  // maxMsgBytes; 0 if absent
}

// bits of what a pull must have.
const (
	pullGroup = 1 << iota
	pullTopic
	pullQueue
	pullOffset
	pullCount
	pullSysFlag
	pullCommit
	pullSuspend
	pullVersion
	pullAll = 1<<iota - 1
)

var pullNames = [...]string{"consumerGroup", "topic", "queueId", "queueOffset", "maxMsgNums", "sysFlag", "commitOffset", "suspendTimeoutMillis", "subVersion"}

// Pull reads the head of a pull. Errors wrap ErrField.
func (c *Command) Pull(h *PullHead) error {
	*h = PullHead{}
	seen := 0
	for i := range c.Fields {
		v := c.Fields[i].Value
		ok, bit := true, 0
		switch string(c.Fields[i].Key) {
		case "consumerGroup":
			h.Group, bit = v, pullGroup
		case "topic":
			h.Topic, bit = v, pullTopic
		case "queueId":
			h.Queue, ok = int32Of(v)
			bit = pullQueue
		case "queueOffset":
			h.Offset, ok = Int(v)
			bit = pullOffset
		case "maxMsgNums":
			h.Count, ok = int32Of(v)
			bit = pullCount
		case "sysFlag":
			h.SysFlag, ok = int32Of(v)
			bit = pullSysFlag
		case "commitOffset":
			h.CommitOffset, ok = Int(v)
			bit = pullCommit
		case "suspendTimeoutMillis":
			h.Suspend, ok = Int(v)
			bit = pullSuspend
		case "subscription":
			h.Subscription = v
		case "subVersion":
			h.SubVersion, ok = Int(v)
			bit = pullVersion
		case "expressionType":
			h.Expression = v
		case "maxMsgBytes":
			h.Bytes, ok = int32Of(v)
		}
		if !ok {
			return badField(string(c.Fields[i].Key), v)
		}
		seen |= bit
	}
	return missing(seen, pullAll, pullNames[:])
}

func int32Of(v []byte) (int32, bool) {
	n, ok := Int(v)
	return int32(n), ok && n >= math.MinInt32 && n <= math.MaxInt32
}

// Reader reads the fields of a command by name and keeps the first fault. It is for requests that are not sent for every message.
//
//	q := c.Reader()
//	topic, queue := q.Text("topic"), q.Int32("queueId")
//	if err := q.Err(); err != nil { ... }
type Reader struct {
	c   *Command
	err error
}

// Reader begins to read the fields.
func (c *Command) Reader() Reader { return Reader{c: c} }

// Err is what was wrong first; it wraps ErrField.
func (q *Reader) Err() error { return q.err }

func (q *Reader) fail(key string, value []byte) {
	if q.err == nil {
		q.err = badField(key, value)
	}
}

// Text reads a string that must be there.
func (q *Reader) Text(key string) string {
	v, ok := q.c.Get(key)
	if !ok {
		q.fail(key, nil)
	}
	return string(v)
}

// Int64 reads a number that must be there.
func (q *Reader) Int64(key string) int64 {
	v, ok := q.c.Get(key)
	if !ok {
		q.fail(key, nil)
		return 0
	}
	n, ok := Int(v)
	if !ok {
		q.fail(key, v)
	}
	return n
}

// Int64Or reads a number that may be absent.
func (q *Reader) Int64Or(key string, absent int64) int64 {
	if _, ok := q.c.Get(key); !ok {
		return absent
	}
	return q.Int64(key)
}

// Int32 reads a number of 32 bits that must be there.
func (q *Reader) Int32(key string) int32 {
	n := q.Int64(key)
	if n < math.MinInt32 || n > math.MaxInt32 {
		v, _ := q.c.Get(key)
		q.fail(key, v)
	}
	return int32(n)
}

// Int32Or reads a number of 32 bits that may be absent.
func (q *Reader) Int32Or(key string, absent int32) int32 {
	if _, ok := q.c.Get(key); !ok {
		return absent
	}
	return q.Int32(key)
}

// Bool reads a truth value; what is absent is false.
func (q *Reader) Bool(key string) bool {
	v, _ := q.c.Get(key)
	return string(v) == "true"
}
