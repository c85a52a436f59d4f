package group

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"penstock"
)

// The journal's records, in Kafka's formats of __consumer_offsets, big-endian. A string is an int16 length and its bytes, a byte string
// an int32 length and its bytes; a length of -1 is null.
//
//	key 0, 1    int16 version | string group | string topic | int32 partition
//	value 0     int16 version | int64 offset | string metadata | int64 commit time
//	value 1     int16 version | int64 offset | string metadata | int64 commit time | int64 expiry
//	value 2     as 0
//	value 3     int16 version | int64 offset | int32 leader epoch | string metadata | int64 commit time
//	value 4     int16 version | int64 offset | int32 leader epoch | compact string metadata | int64 commit time | tagged fields
//	            tag 0: uuid of the topic
//
//	key 2       int16 version | string group
//	value 0..3  int16 version | string protocol type | int32 generation | string protocol? | string leader?
//	            | int64 since (from 2) | array of members
//	member      string id | string instance? (from 3) | string client id | string client host
//	            | int32 rebalance ms (from 1) | int32 session ms | bytes metadata | bytes assignment
//
// A compact string is an unsigned varint, one more than its length, and its bytes; tagged fields are their number, and of each its tag,
// its length and its bytes, all lengths unsigned varints. A null value deletes its key. Value 4 is written where the topic's id is known:
// it tells offsets of a topic from those of a later one of the same name. Value 1 of an offset is written where the client said how long to keep it, which newer
// versions of the protocol no longer allow.
const (
	offsetKeyVersion   = 1
	groupKeyVersion    = 2
	offsetValueVersion = 3
	offsetValueTopic   = 4
	offsetValueExpiry  = 1
	groupValueVersion  = 3
)

// Committed is an offset that a group has committed for a partition.
type Committed struct {
	Offset   penstock.Offset
	Epoch    penstock.Epoch     // of the last record read, NoEpoch if the client does not say
	Metadata string             // the client's own, at most Options.MaxMetadata bytes
	At       penstock.Timestamp // when it was committed
	Expires  penstock.Timestamp // when it is forgotten, NoTimestamp for what the broker's retention says
	TopicID  penstock.TopicID   // of the topic that it is about, zero if that is not known but by its name
}

func appendText(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

func appendTextOrNull(b []byte, s string) []byte {
	if s == "" {
		return binary.BigEndian.AppendUint16(b, 0xffff)
	}
	return appendText(b, s)
}

func appendBytes(b, v []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(v))), v...)
}

func appendOffsetKey(b []byte, group, topic string, partition int32) []byte {
	b = binary.BigEndian.AppendUint16(b, offsetKeyVersion)
	b = appendText(b, group)
	b = appendText(b, topic)
	return binary.BigEndian.AppendUint32(b, uint32(partition))
}

func appendGroupKey(b []byte, group string) []byte {
	return appendText(binary.BigEndian.AppendUint16(b, groupKeyVersion), group)
}

func appendCommitted(b []byte, c *Committed) []byte {
	if c.Expires != penstock.NoTimestamp {
		b = binary.BigEndian.AppendUint16(b, offsetValueExpiry)
		b = binary.BigEndian.AppendUint64(b, uint64(c.Offset))
		b = appendText(b, c.Metadata)
		b = binary.BigEndian.AppendUint64(b, uint64(c.At))
		return binary.BigEndian.AppendUint64(b, uint64(c.Expires))
	}
	byName := c.TopicID == penstock.TopicID{}
	if byName {
		b = binary.BigEndian.AppendUint16(b, offsetValueVersion)
	} else {
		b = binary.BigEndian.AppendUint16(b, offsetValueTopic)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(c.Offset))
	b = binary.BigEndian.AppendUint32(b, uint32(c.Epoch))
	if byName {
		b = appendText(b, c.Metadata)
		return binary.BigEndian.AppendUint64(b, uint64(c.At))
	}
	b = binary.AppendUvarint(b, uint64(len(c.Metadata))+1)
	b = append(b, c.Metadata...)
	b = binary.BigEndian.AppendUint64(b, uint64(c.At))
	b = append(b, 1, tagTopicID, byte(len(c.TopicID)))
	return append(b, c.TopicID[:]...)
}

// tagTopicID is the tag of the topic's id in value 4 of an offset.
const tagTopicID = 0

func decodeCommitted(v []byte) (Committed, error) {
	r := reader{b: v}
	c := Committed{Epoch: penstock.NoEpoch, Expires: penstock.NoTimestamp}
	version := r.int16()
	if version < 0 || version > offsetValueTopic {
		return c, fmt.Errorf("%w: offset in version %d", penstock.ErrCorrupt, version)
	}
	c.Offset = penstock.Offset(r.int64())
	if version >= offsetValueVersion {
		c.Epoch = penstock.Epoch(r.int32())
	}
	if version >= offsetValueTopic {
		c.Metadata = r.compactText()
	} else {
		c.Metadata = r.text()
	}
	c.At = penstock.Timestamp(r.int64())
	if version == offsetValueExpiry {
		c.Expires = penstock.Timestamp(r.int64())
	}
	if version >= offsetValueTopic {
		c.TopicID = r.topicTag()
	}
	if r.bad {
		return c, fmt.Errorf("%w: offset of %d bytes", penstock.ErrCorrupt, len(v))
	}
	return c, nil
}

// uvarint reads an unsigned varint of at most 31 bits.
func (r *reader) uvarint() int {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > math.MaxInt32 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return int(v)
}

// compactText reads a compact string; null is empty.
func (r *reader) compactText() string { return string(r.take(max(r.uvarint()-1, 0))) }

// topicTag reads tagged fields and returns the topic's id, zero if it is not among them.
func (r *reader) topicTag() (id penstock.TopicID) {
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		tag := r.uvarint()
		b := r.take(r.uvarint())
		if tag == tagTopicID && len(b) == len(id) {
			copy(id[:], b)
		}
	}
	return id
}

func appendState(b []byte, s *State) []byte {
	b = binary.BigEndian.AppendUint16(b, groupValueVersion)
	b = appendText(b, s.ProtocolType)
	b = binary.BigEndian.AppendUint32(b, uint32(s.Generation))
	b = appendTextOrNull(b, s.Protocol)
	b = appendTextOrNull(b, s.Leader)
	since := int64(penstock.NoTimestamp)
	if !s.Since.IsZero() {
		since = s.Since.UnixMilli()
	}
	b = binary.BigEndian.AppendUint64(b, uint64(since))
	b = binary.BigEndian.AppendUint32(b, uint32(len(s.Members)))
	for i := range s.Members {
		m := &s.Members[i]
		b = appendText(b, m.ID)
		b = appendTextOrNull(b, m.InstanceID)
		b = appendText(b, m.ClientID)
		b = appendText(b, m.ClientHost)
		b = binary.BigEndian.AppendUint32(b, uint32(m.Rebalance.Milliseconds()))
		b = binary.BigEndian.AppendUint32(b, uint32(m.Session.Milliseconds()))
		b = appendBytes(b, m.Metadata)
		b = appendBytes(b, m.Assignment)
	}
	return b
}

func decodeState(v []byte) (State, error) {
	r := reader{b: v}
	var s State
	version := r.int16()
	if version < 0 || version > groupValueVersion {
		return s, fmt.Errorf("%w: group in version %d", penstock.ErrCorrupt, version)
	}
	s.ProtocolType = r.text()
	s.Generation = r.int32()
	s.Protocol = r.text()
	s.Leader = r.text()
	if version >= 2 {
		if at := r.int64(); at >= 0 {
			s.Since = time.UnixMilli(at)
		}
	}
	n := int(r.int32())
	if n < 0 || n > len(r.b) {
		r.bad = true
	}
	for i := 0; i < n && !r.bad; i++ {
		s.Members = append(s.Members, r.member(version))
	}
	if r.bad {
		return State{}, fmt.Errorf("%w: group of %d bytes", penstock.ErrCorrupt, len(v))
	}
	return s, nil
}

func (r *reader) member(version int16) MemberState {
	m := MemberState{ID: r.text()}
	if version >= 3 {
		m.InstanceID = r.text()
	}
	m.ClientID = r.text()
	m.ClientHost = r.text()
	if version >= 1 {
		m.Rebalance = time.Duration(r.int32()) * time.Millisecond
	}
	m.Session = time.Duration(r.int32()) * time.Millisecond
	if version == 0 {
		m.Rebalance = m.Session
	}
	m.Metadata = r.bytes()
	m.Assignment = r.bytes()
	return m
}
