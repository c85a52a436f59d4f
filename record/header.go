package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"penstock"
)

// ErrMagic says that a batch has one of the formats before magic 2 or one that does not exist yet.
var ErrMagic = errors.New("record batch magic is not 2")

// Where the fields of a header are. The drawing is in the package comment.
const (
	atBaseOffset    = 0
	atLength        = 8
	atEpoch         = 12
	atMagic         = 16
	atCRC           = 17
	atAttributes    = 21
	atLastDelta     = 23
	atBaseTime      = 27
	atMaxTime       = 35
	atProducerID    = 43
	atProducerEpoch = 51
	atBaseSequence  = 53
	atRecords       = 57
	headerSize      = 61
)

const (
	magic         = 2
	lengthExcess  = atEpoch // bytes of a batch that its length field does not count
	minRecordSize = 7       // length, attributes, two deltas, two lengths, count of headers
)

// The bits of the attributes.
const (
	attrCodec         = 7
	attrAppendTime    = 1 << 3
	attrTransactional = 1 << 4
	attrControl       = 1 << 5
	attrDeleteHorizon = 1 << 6 // the base timestamp is the time from which the compactor may drop tombstones

	// producedAttributes are the bits that may be set in a produced batch. Append time has an error of its own.
	producedAttributes = attrCodec | attrAppendTime | attrTransactional
)

// castagnoli is the table for which hash/crc32 uses the processor's instruction.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func attributesOf(b []byte) uint16 { return binary.BigEndian.Uint16(b[atAttributes:]) }

func producerOf(b []byte) penstock.ProducerID {
	return penstock.ProducerID(binary.BigEndian.Uint64(b[atProducerID:]))
}

// parse reads the header at the front of b, which holds headerSize bytes at least. It refuses what no broker writes.
func parse(b []byte) (penstock.BatchHeader, error) {
	_ = b[headerSize-1]
	if b[atMagic] != magic {
		return penstock.BatchHeader{}, fmt.Errorf("%w: %w: %d", penstock.ErrCorrupt, ErrMagic, b[atMagic])
	}
	length := int32(binary.BigEndian.Uint32(b[atLength:]))
	if length < headerSize-lengthExcess || length > math.MaxInt32-lengthExcess {
		return penstock.BatchHeader{}, fmt.Errorf("%w: length %d", penstock.ErrCorrupt, length)
	}
	attributes := attributesOf(b)
	h := penstock.BatchHeader{
		Size:           length + lengthExcess,
		Records:        int32(binary.BigEndian.Uint32(b[atRecords:])),
		BaseOffset:     penstock.Offset(binary.BigEndian.Uint64(b[atBaseOffset:])),
		LastDelta:      int32(binary.BigEndian.Uint32(b[atLastDelta:])),
		Epoch:          penstock.Epoch(binary.BigEndian.Uint32(b[atEpoch:])),
		FirstTimestamp: penstock.Timestamp(binary.BigEndian.Uint64(b[atBaseTime:])),
		MaxTimestamp:   penstock.Timestamp(binary.BigEndian.Uint64(b[atMaxTime:])),
		ProducerID:     producerOf(b),
		BaseSequence:   int32(binary.BigEndian.Uint32(b[atBaseSequence:])),
		ProducerEpoch:  int16(binary.BigEndian.Uint16(b[atProducerEpoch:])),
		Codec:          penstock.Codec(attributes & attrCodec),
		Flags:          flagsOf(attributes),
	}
	if h.ProducerID < 0 {
		// Clients without idempotence leave all kinds of numbers here.
		h.ProducerID, h.BaseSequence, h.ProducerEpoch = penstock.NoProducer, penstock.NoSequence, -1
	}
	if attributes&(attrAppendTime|attrDeleteHorizon) != 0 {
		// The field is not the first record's time then, and this is the nearest that the header knows.
		h.FirstTimestamp = h.MaxTimestamp
	}
	return h, checkHeader(&h)
}

// checkHeader refuses a header whose numbers cannot be, whoever wrote it.
func checkHeader(h *penstock.BatchHeader) error {
	switch {
	case h.BaseOffset < 0 || h.BaseOffset > math.MaxInt64-math.MaxInt32-1:
		return fmt.Errorf("%w: base offset %d", penstock.ErrCorrupt, h.BaseOffset)
	case h.LastDelta < 0:
		return fmt.Errorf("%w: last offset delta %d", penstock.ErrCorrupt, h.LastDelta)
	case h.Records < 0:
		return fmt.Errorf("%w: %d records", penstock.ErrCorrupt, h.Records)
	case h.Codec > penstock.CodecZstd:
		return fmt.Errorf("%w: codec %d", penstock.ErrCorrupt, h.Codec)
	}
	return nil
}

func flagsOf(attributes uint16) penstock.BatchFlags {
	var f penstock.BatchFlags
	if attributes&attrTransactional != 0 {
		f |= penstock.FlagTransactional
	}
	if attributes&attrControl != 0 {
		f |= penstock.FlagControl
	}
	if attributes&attrAppendTime != 0 {
		f |= penstock.FlagLogAppendTime
	}
	return f
}

// checksum compares the CRC-32C of the whole batch b with the one it holds.
func checksum(b []byte) error {
	want := binary.BigEndian.Uint32(b[atCRC:])
	if got := crc32.Checksum(b[atAttributes:], castagnoli); got != want {
		return fmt.Errorf("%w: CRC-32C is %08x, the batch says %08x", penstock.ErrCorrupt, got, want)
	}
	return nil
}
