package message

import (
	"encoding/binary"
	"hash/crc32"
	"strconv"

	"penstock"
)

// Format is the message format as a layout sees it: it satisfies store.Format by shape. It holds nothing.
//
// A message is a batch of one record. Its offset is the queue offset, its time that of storing, as RocketMQ looks messages up by that
// time. It has no room for a leader epoch and no producer's sequence.
type Format struct{}

// Kind is penstock.FormatMessage.
func (Format) Kind() penstock.Format { return penstock.FormatMessage }

// HeaderSize is the number of bytes that Header wants to see. No message is shorter.
func (Format) HeaderSize() int { return minSize }

// Header reads the header at the front of b. Errors wrap penstock.ErrCorrupt.
func (Format) Header(b []byte) (penstock.BatchHeader, error) {
	s, err := headSpan(b)
	if err != nil {
		return penstock.BatchHeader{}, err
	}
	if s.body+3 > s.total {
		return penstock.BatchHeader{}, corrupt("head of %d bytes in %d", s.body, s.total)
	}
	be := binary.BigEndian
	at := penstock.Timestamp(be.Uint64(b[s.storeTime:]))
	h := penstock.BatchHeader{
		Size: int32(s.total), Records: 1, BaseOffset: penstock.Offset(be.Uint64(b[atQueueOffset:])), Epoch: penstock.NoEpoch,
		FirstTimestamp: at, MaxTimestamp: at, ProducerID: penstock.NoProducer, BaseSequence: penstock.NoSequence, ProducerEpoch: -1,
		Flags: penstock.FlagLogAppendTime,
	}
	if h.BaseOffset < 0 {
		return h, corrupt("queue offset %d", h.BaseOffset)
	}
	return h, nil
}

// Verify checks lengths and checksums of the whole message b. Errors wrap penstock.ErrCorrupt.
func (Format) Verify(b []byte) error {
	s, err := find(b)
	if err != nil {
		return err
	}
	if want, got := binary.BigEndian.Uint32(b[atBodyCRC:]), BodyCRC(b[s.body:s.body+s.bodyLen]); want != got {
		return corrupt("checksum %#x of the body, computed %#x", want, got)
	}
	if at := crcAt(b, s); at >= 0 {
		want, err := strconv.ParseUint(string(b[at+len(recordCRCKey):len(b)-1]), 10, 32)
		if got := recordCRC(b[:at]); err != nil || uint32(want) != got {
			return corrupt("checksum %s of the record, computed %d", b[at+len(recordCRCKey):len(b)-1], got)
		}
	}
	return nil
}

// Stamp writes queue offset, position and, if it is given, the time of storing into the message b, and computes the record's checksum again if
// it has one.
func (Format) Stamp(b []byte, s penstock.Stamp) {
	be := binary.BigEndian
	be.PutUint64(b[atQueueOffset:], uint64(s.Base))
	be.PutUint64(b[atPosition:], uint64(s.Position))
	if s.AppendTime != penstock.NoTimestamp {
		if p, err := headSpan(b); err == nil {
			be.PutUint64(b[p.storeTime:], uint64(s.AppendTime))
		}
	}
	stampRecordCRC(b)
}

// FindTime returns offset and time of the message b if it was stored at t or later. Errors wrap penstock.ErrCorrupt.
func (f Format) FindTime(b []byte, t penstock.Timestamp) (off penstock.Offset, at penstock.Timestamp, ok bool, err error) {
	h, err := f.Header(b)
	if err != nil || h.MaxTimestamp < t {
		return penstock.NoOffset, penstock.NoTimestamp, false, err
	}
	return h.BaseOffset, h.MaxTimestamp, true, nil
}

// The checksum of the whole record is the last property, ten decimal digits of fixed width, and covers what stands before it.
const (
	recordCRCKey  = "__CRC32#\x01"
	recordCRCSize = len(recordCRCKey) + 10 + 1
)

// crcAt is where the checksum's property begins, -1 if the message has none.
func crcAt(b []byte, s span) int {
	at := len(b) - recordCRCSize
	if at < s.props || string(b[at:at+len(recordCRCKey)]) != recordCRCKey || b[len(b)-1] != propertyEnd {
		return -1
	}
	return at
}

// recordCRC is the checksum of a record without the property that holds it.
func recordCRC(b []byte) uint32 { return crc32.ChecksumIEEE(b) }

func appendRecordCRC(b []byte) []byte {
	return append(append(b, recordCRCKey...), "0000000000\x02"...)
}

// stampRecordCRC computes the record's checksum and writes it, if there is a place for it.
func stampRecordCRC(b []byte) {
	s, err := find(b)
	if err != nil {
		return
	}
	at := crcAt(b, s)
	if at < 0 {
		return
	}
	v := recordCRC(b[:at])
	for i := len(b) - 2; i >= at+len(recordCRCKey); i-- {
		b[i] = byte('0' + v%10)
		v /= 10
	}
}
