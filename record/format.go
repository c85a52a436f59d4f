package record

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"penstock"
)

// Format is the record format as a layout sees it: it satisfies store.Format by shape. It holds nothing.
type Format struct{}

// Kind is penstock.FormatRecord.
func (Format) Kind() penstock.Format { return penstock.FormatRecord }

// HeaderSize is the number of bytes that Header reads.
func (Format) HeaderSize() int { return headerSize }

// Header reads the header at the front of b, of which 61 bytes are present. Errors wrap penstock.ErrCorrupt.
func (Format) Header(b []byte) (penstock.BatchHeader, error) {
	if len(b) < headerSize {
		return penstock.BatchHeader{}, fmt.Errorf("%w: header of %d bytes", penstock.ErrCorrupt, len(b))
	}
	return parse(b)
}

// Verify checks header, length and checksum of the whole batch b. Errors wrap penstock.ErrCorrupt.
func (f Format) Verify(b []byte) error {
	h, err := f.Header(b)
	if err != nil {
		return err
	}
	if int(h.Size) != len(b) {
		return fmt.Errorf("%w: batch of %d bytes in %d", penstock.ErrCorrupt, h.Size, len(b))
	}
	return checksum(b)
}

// Stamp writes base offset and leader epoch into the batch b, which lie outside the checksum. An append time also sets
// the attribute that says so and the largest timestamp, and costs a new checksum.
func (Format) Stamp(b []byte, s penstock.Stamp) {
	_ = b[headerSize-1]
	binary.BigEndian.PutUint64(b[atBaseOffset:], uint64(s.Base))
	binary.BigEndian.PutUint32(b[atEpoch:], uint32(s.Epoch))
	if s.AppendTime == penstock.NoTimestamp {
		return
	}
	binary.BigEndian.PutUint16(b[atAttributes:], attributesOf(b)|attrAppendTime)
	binary.BigEndian.PutUint64(b[atMaxTime:], uint64(s.AppendTime))
	binary.BigEndian.PutUint32(b[atCRC:], crc32.Checksum(b[atAttributes:], castagnoli))
}

// FindTime returns the offset and time of the first record in the batch b whose timestamp is at least t; ok is false if
// there is none. A compressed batch is decompressed for it, piece by piece, within the limits in this package. Errors
// wrap penstock.ErrCorrupt, or ErrTooLarge where a limit is met.
func (f Format) FindTime(b []byte, t penstock.Timestamp) (off penstock.Offset, at penstock.Timestamp, ok bool, err error) {
	h, err := f.Header(b)
	if err != nil {
		return penstock.NoOffset, penstock.NoTimestamp, false, err
	}
	if int(h.Size) != len(b) {
		return penstock.NoOffset, penstock.NoTimestamp, false, fmt.Errorf("%w: batch of %d bytes in %d", penstock.ErrCorrupt, h.Size, len(b))
	}
	if h.MaxTimestamp < t || h.Records == 0 {
		return penstock.NoOffset, penstock.NoTimestamp, false, nil
	}
	off, at = penstock.NoOffset, penstock.NoTimestamp
	err = eachBrief(b, &h, func(r brief) bool {
		if r.at < t {
			return true
		}
		off, at, ok = h.BaseOffset+penstock.Offset(r.delta), r.at, true
		return false
	})
	return off, at, ok, err
}
