package convert

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"

	"penstock"
	"penstock/message"
	"penstock/record"
)

// Place is what a message has that its record does not: where it is stored, and by whom.
type Place struct {
	Topic     []byte
	Queue     int32
	Offset    penstock.Offset
	Position  penstock.Position
	StoreTime penstock.Timestamp
	BornHost  netip.AddrPort
	StoreHost netip.AddrPort
	RecordCRC bool // with a checksum of the whole message
	// Producer is the header of the batch of an idempotent producer that begins with this record, kept in the property PropertyProducer; else nil.
	Producer *penstock.BatchHeader
}

// An Unpacker makes stored messages of records.
type Unpacker struct {
	props   []byte
	names   map[string]struct{} // of the properties written so far that are headers, once there are several
	headers int                 // such properties
	m       *message.Message    // being filled
	room    int                 // bytes that its properties may take
	n       int                 // headers seen

	sequence []byte // the property of the batch's producer
}

// Append appends to dst the stored message that a record becomes. Errors: penstock.ErrInvalidRecord for a record whose key and headers take more
// than the 32,767 bytes that a message has for properties, penstock.ErrTooLarge for a value that a message cannot hold.
func (u *Unpacker) Append(dst []byte, r *record.Record, at *Place) ([]byte, error) {
	m := message.Message{
		QueueID: at.Queue, QueueOffset: at.Offset, Position: at.Position, BornTime: r.Timestamp, BornHost: at.BornHost,
		StoreTime: at.StoreTime, StoreHost: at.StoreHost, Topic: at.Topic, Body: r.Value, WithRecordCRC: at.RecordCRC,
	}
	u.room = message.MaxProperties
	if at.RecordCRC {
		u.room -= recordCRCSize
	}
	u.sequence = u.sequence[:0]
	if at.Producer != nil {
		u.sequence = appendSequence(u.sequence, at.Producer)
		u.room -= len(u.sequence)
	}
	if err := u.fill(&m, r); err != nil {
		return dst, fmt.Errorf("record %d: %w", r.Offset, err)
	}
	u.props = append(u.props, u.sequence...)
	m.Properties = u.props
	out, err := message.Append(dst, &m)
	if err != nil {
		return dst, fmt.Errorf("record %d: %w", r.Offset, err)
	}
	return out, nil
}

// fill sets what key, value and headers say of the message.
func (u *Unpacker) fill(m *message.Message, r *record.Record) error {
	u.m, u.props, u.headers, u.n = m, u.props[:0], 0, 0
	clear(u.names)
	if r.Value == nil {
		u.put([]byte(propertyValue), []byte(nullValue))
	}
	switch {
	case r.Key == nil:
	case len(r.Key) > u.room: // what is escaped is no shorter
		return u.tooLong(len(r.Key))
	case len(r.Key) > 0 && text(r.Key):
		u.put([]byte(message.PropertyKeys), r.Key)
	default:
		u.put([]byte(propertyKey), appendName(nil, r.Key))
	}
	r.EachHeader(u.addHeader)
	if len(u.props) > u.room {
		return u.tooLong(len(u.props))
	}
	m.Properties, u.m = u.props, nil
	return nil
}

func (u *Unpacker) tooLong(n int) error {
	return fmt.Errorf("%w: key and headers take %d bytes or more as a message's properties, which hold %d", penstock.ErrInvalidRecord, n, u.room)
}

// put adds a property. Neither part has a separator in it.
func (u *Unpacker) put(name, value []byte) {
	u.props = append(append(append(append(u.props, name...), separators[0]), value...), separators[1])
}

// addHeader adds one header, as a field of the head, as a property, or escaped. It is false when there is no room for more.
func (u *Unpacker) addHeader(name, value []byte) bool {
	switch {
	case u.setHead(name, value):
	case len(name)+len(value) > u.room:
		u.props = append(u.props, make([]byte, u.room+1)...) // there is no telling it shorter
	case u.natural(name, value):
		u.put(name, value)
	default:
		u.props = strconv.AppendInt(append(u.props, propertyHeader...), int64(u.n), 10)
		u.props = appendHeader(append(u.props, separators[0]), name, value)
		u.props = append(u.props, separators[1])
	}
	u.n++
	return len(u.props) <= u.room
}

// setHead takes a header that stands for a field of the message's head, the first time that it comes.
func (u *Unpacker) setHead(name, value []byte) bool {
	switch string(name) {
	case headerFlag, headerSysFlag, headerReconsumed:
	default:
		return false
	}
	v, ok := number(value)
	if !ok {
		return false
	}
	field := &u.m.Flag
	switch string(name) {
	case headerReconsumed:
		field = &u.m.Reconsumed
	case headerSysFlag:
		flags := message.SysFlag(v)
		if u.m.SysFlag != 0 || flags != message.FlagMultiTags { // a client may not say what the body is, or of what transaction
			return false
		}
		u.m.SysFlag = flags
		return true
	}
	if *field != 0 {
		return false
	}
	*field = v
	return true
}

// natural reports whether a header can be a property of its own name.
func (u *Unpacker) natural(name, value []byte) bool {
	switch {
	case len(name) == 0 || value == nil || !text(name) || !text(value):
		return false
	case bytes.HasPrefix(name, []byte(propertyOwn)):
		return false
	}
	switch string(name) {
	case message.PropertyKeys, propertyCRC, headerFlag, headerSysFlag, headerReconsumed:
		return false
	}
	return u.first(name)
}

// manyNames is the number of headers from which on a map knows their names.
const manyNames = 8

// first notes the name of a header, and reports whether no property has it yet.
func (u *Unpacker) first(name []byte) bool {
	if u.headers < manyNames {
		found := false
		message.Properties(u.props, func(k, _ []byte) bool {
			found = bytes.Equal(k, name)
			return !found
		})
		u.headers++
		return !found
	}
	if u.names == nil {
		u.names = map[string]struct{}{}
	}
	if len(u.names) == 0 {
		message.Properties(u.props, func(k, _ []byte) bool {
			u.names[string(k)] = struct{}{}
			return true
		})
	}
	if _, ok := u.names[string(name)]; ok {
		return false
	}
	u.names[string(name)] = struct{}{}
	return true
}
