// Package message is RocketMQ's stored message, viewed and validated in place. It is what lies in a commit log, and, byte
// for byte, what the answers to pulls and queries carry. Every message is a batch of one record.
//
// The layout is that of RocketMQ's MessageExtEncoder and MessageDecoder: two magic numbers, which differ in the width of the
// topic's length, and host addresses of 4 or 16 bytes by two bits of the system flags. Numbers are big-endian. The CRC in the
// head is that of the body alone, with its highest bit cut off; a broker may also write a CRC of everything before it as the last
// property.
package message

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net/netip"

	"penstock"
)

// The magic numbers.
const (
	MagicV1    uint32 = 0xDAA320A7 // length of the topic in one byte
	MagicV2    uint32 = 0xDAA320AB // in two
	MagicBlank uint32 = 0xCBD43194 // not a message: the rest of a file of a commit log is empty
)

// SysFlag is a set of RocketMQ's system flags.
type SysFlag int32

// The system flags that the broker looks at. The rest are the clients' own business.
const (
	FlagCompressed  SysFlag = 0x1
	FlagMultiTags   SysFlag = 0x2
	FlagPrepared    SysFlag = 0x4
	FlagCommit      SysFlag = 0x8
	FlagRollback    SysFlag = 0xC // the mask of the transaction's state as well
	FlagBornHostV6  SysFlag = 0x10
	FlagStoreHostV6 SysFlag = 0x20
)

// Limits of what is written. A topic of up to 127 bytes is written with MagicV1.
const (
	MaxTopic      = 1<<15 - 1
	MaxV1Topic    = 127
	MaxProperties = 1<<15 - 1
	MaxBytes      = 16 << 20 // of one stored message: what RocketMQ's clients take in one frame
)

// Places from the front that do not hang on anything.
const (
	atTotal       = 0
	atMagic       = 4
	atBodyCRC     = 8
	atQueueID     = 12
	atFlag        = 16
	atQueueOffset = 20
	atPosition    = 28
	atSysFlag     = 36
	atBornTime    = 40
	atBornHost    = 48

	hostV4 = 4 + 4 // address and port
	hostV6 = 16 + 4

	// afterHosts is what stands between the hosts, and after them up to the body's length.
	storeTimeSize = 8
	restSize      = 4 + 8 + 4 // reconsumptions, prepared transaction's position, length of the body

	minHead = atBornHost + hostV4 + storeTimeSize + hostV4 + restSize // 88
	maxHead = atBornHost + hostV6 + storeTimeSize + hostV6 + restSize // 112
	minSize = minHead + 1 + 2
)

// Message is a stored message taken apart. Body, Topic and Properties are parts of the bytes that it was read from.
type Message struct {
	QueueID       int32
	Flag          int32 // the producer's own
	QueueOffset   penstock.Offset
	Position      penstock.Position // of the first byte in its log
	SysFlag       SysFlag
	BornTime      penstock.Timestamp
	BornHost      netip.AddrPort
	StoreTime     penstock.Timestamp
	StoreHost     netip.AddrPort
	Reconsumed    int32 // how often a consumer has sent it back
	PreparedAt    int64 // position of the half message of a transaction
	Body          []byte
	Topic         []byte
	Properties    []byte // see Property
	WithRecordCRC bool   // the last property is a CRC of the record
}

// span is where the parts of a message lie.
type span struct {
	total, storeTime, storeHost, rest, body, bodyLen, topic, topicLen, props, propsLen int
}

func corrupt(format string, a ...any) error {
	return fmt.Errorf("%w: message: %s", penstock.ErrCorrupt, fmt.Sprintf(format, a...))
}

// headSpan finds what the first minHead bytes tell: everything up to the body's length needs maxHead at most.
func headSpan(b []byte) (s span, err error) {
	if len(b) < minSize {
		return s, corrupt("%d bytes", len(b))
	}
	be := binary.BigEndian
	s.total = int(int32(be.Uint32(b[atTotal:])))
	if m := be.Uint32(b[atMagic:]); m != MagicV1 && m != MagicV2 {
		return s, corrupt("magic %#x", m)
	}
	if s.total < minSize || s.total > MaxBytes {
		return s, corrupt("length %d", s.total)
	}
	flags := SysFlag(be.Uint32(b[atSysFlag:]))
	at := atBornHost + hostV4
	if flags&FlagBornHostV6 != 0 {
		at = atBornHost + hostV6
	}
	s.storeTime = at
	s.storeHost = at + storeTimeSize
	s.rest = s.storeHost + hostV4
	if flags&FlagStoreHostV6 != 0 {
		s.rest = s.storeHost + hostV6
	}
	s.body = s.rest + restSize
	return s, nil
}

// find finds all parts of the whole message b.
func find(b []byte) (s span, err error) {
	if s, err = headSpan(b); err != nil {
		return s, err
	}
	if s.total != len(b) {
		return s, corrupt("length %d in %d bytes", s.total, len(b))
	}
	be := binary.BigEndian
	if s.body+3 > len(b) {
		return s, corrupt("head of %d bytes in %d", s.body, len(b))
	}
	s.bodyLen = int(int32(be.Uint32(b[s.body-4:])))
	if s.bodyLen < 0 || s.bodyLen > len(b)-s.body-3 {
		return s, corrupt("body of %d bytes in %d", s.bodyLen, len(b))
	}
	at := s.body + s.bodyLen
	if be.Uint32(b[atMagic:]) == MagicV2 {
		s.topicLen, s.topic = int(int16(be.Uint16(b[at:]))), at+2
	} else {
		s.topicLen, s.topic = int(int8(b[at])), at+1
	}
	if s.topicLen < 0 || s.topicLen > len(b)-s.topic-2 {
		return s, corrupt("topic of %d bytes", s.topicLen)
	}
	at = s.topic + s.topicLen
	s.propsLen, s.props = int(int16(be.Uint16(b[at:]))), at+2
	if s.propsLen < 0 || s.props+s.propsLen != len(b) {
		return s, corrupt("properties of %d bytes, %d are left", s.propsLen, len(b)-s.props)
	}
	return s, nil
}

// Parse takes the whole message b apart. It checks lengths and not checksums. Errors wrap penstock.ErrCorrupt.
func Parse(b []byte) (Message, error) {
	s, err := find(b)
	if err != nil {
		return Message{}, err
	}
	be := binary.BigEndian
	m := Message{
		QueueID:     int32(be.Uint32(b[atQueueID:])),
		Flag:        int32(be.Uint32(b[atFlag:])),
		QueueOffset: penstock.Offset(be.Uint64(b[atQueueOffset:])),
		Position:    penstock.Position(be.Uint64(b[atPosition:])),
		SysFlag:     SysFlag(be.Uint32(b[atSysFlag:])),
		BornTime:    penstock.Timestamp(be.Uint64(b[atBornTime:])),
		BornHost:    host(b[atBornHost:s.storeTime]),
		StoreTime:   penstock.Timestamp(be.Uint64(b[s.storeTime:])),
		StoreHost:   host(b[s.storeHost:s.rest]),
		Reconsumed:  int32(be.Uint32(b[s.rest:])),
		PreparedAt:  int64(be.Uint64(b[s.rest+4:])),
		Body:        b[s.body : s.body+s.bodyLen : s.body+s.bodyLen],
		Topic:       b[s.topic : s.topic+s.topicLen : s.topic+s.topicLen],
		Properties:  b[s.props:len(b):len(b)],
	}
	m.WithRecordCRC = crcAt(b, s) >= 0
	return m, nil
}

// host reads an address and a port of four bytes.
func host(b []byte) netip.AddrPort {
	n := len(b) - 4
	addr, _ := netip.AddrFromSlice(b[:n]) // 4 or 16 bytes: always one
	return netip.AddrPortFrom(addr, uint16(binary.BigEndian.Uint32(b[n:])))
}

// Append appends the stored form of m to dst. Its flags of address families follow its hosts, an absent host is 0.0.0.0:0. Errors
// wrap penstock.ErrTooLarge or, for properties that are none, penstock.ErrInvalidRecord.
func Append(dst []byte, m *Message) ([]byte, error) {
	if len(m.Topic) > MaxTopic || len(m.Properties) > MaxProperties || len(m.Body) > MaxBytes {
		return dst, fmt.Errorf("%w: message with a topic of %d, a body of %d and properties of %d bytes", penstock.ErrTooLarge, len(m.Topic), len(m.Body), len(m.Properties))
	}
	props := len(m.Properties)
	open := m.WithRecordCRC && props > 0 && m.Properties[props-1] != propertyEnd
	if m.WithRecordCRC {
		props += recordCRCSize
		if open {
			props++
		}
		if props > MaxProperties {
			return dst, fmt.Errorf("%w: message with properties of %d bytes and a checksum", penstock.ErrTooLarge, len(m.Properties))
		}
	}
	start := len(dst)
	magic := MagicV1
	if len(m.Topic) > MaxV1Topic {
		magic = MagicV2
	}
	born, store := plainHost(m.BornHost), plainHost(m.StoreHost)
	flags := m.SysFlag &^ (FlagBornHostV6 | FlagStoreHostV6)
	if born.Addr().Is6() {
		flags |= FlagBornHostV6
	}
	if store.Addr().Is6() {
		flags |= FlagStoreHostV6
	}
	be := binary.BigEndian
	dst = be.AppendUint32(dst, 0) // the length, below
	dst = be.AppendUint32(dst, magic)
	dst = be.AppendUint32(dst, BodyCRC(m.Body))
	dst = be.AppendUint32(dst, uint32(m.QueueID))
	dst = be.AppendUint32(dst, uint32(m.Flag))
	dst = be.AppendUint64(dst, uint64(m.QueueOffset))
	dst = be.AppendUint64(dst, uint64(m.Position))
	dst = be.AppendUint32(dst, uint32(flags))
	dst = be.AppendUint64(dst, uint64(m.BornTime))
	dst = appendHost(dst, born)
	dst = be.AppendUint64(dst, uint64(m.StoreTime))
	dst = appendHost(dst, store)
	dst = be.AppendUint32(dst, uint32(m.Reconsumed))
	dst = be.AppendUint64(dst, uint64(m.PreparedAt))
	dst = be.AppendUint32(dst, uint32(len(m.Body)))
	dst = append(dst, m.Body...)
	if magic == MagicV2 {
		dst = be.AppendUint16(dst, uint16(len(m.Topic)))
	} else {
		dst = append(dst, byte(len(m.Topic)))
	}
	dst = append(dst, m.Topic...)
	dst = be.AppendUint16(dst, uint16(props))
	dst = append(dst, m.Properties...)
	if open { // some clients leave out the last separator
		dst = append(dst, propertyEnd)
	}
	if m.WithRecordCRC {
		dst = appendRecordCRC(dst)
	}
	b := dst[start:]
	if len(b) > MaxBytes {
		return dst[:start], fmt.Errorf("%w: message of %d bytes", penstock.ErrTooLarge, len(b))
	}
	be.PutUint32(b, uint32(len(b)))
	stampRecordCRC(b)
	return dst, nil
}

// plainHost makes an absent host an address of four bytes, and takes IPv4 in IPv6 for what it is.
func plainHost(h netip.AddrPort) netip.AddrPort {
	addr := h.Addr().Unmap()
	if !addr.IsValid() {
		addr = netip.IPv4Unspecified()
	}
	return netip.AddrPortFrom(addr, h.Port())
}

func appendHost(dst []byte, h netip.AddrPort) []byte {
	return binary.BigEndian.AppendUint32(append(dst, h.Addr().AsSlice()...), uint32(h.Port()))
}

// BodyCRC is the checksum of a body in a message's head: CRC-32 (IEEE) without its highest bit.
func BodyCRC(body []byte) uint32 { return crc32.ChecksumIEEE(body) & 0x7FFFFFFF }
