// Package record views and validates Kafka record batches of magic 2 in place, and builds them for what was not stored as such.
// Nothing here keeps a reference to a batch. Everything may be called concurrently but a Builder and a Walker.
//
// A batch is a header of 61 bytes, big-endian, and its records, which are one compressed block if there is a codec:
//
//	 0  8  base offset               stamped by the log, outside the checksum
//	 8  4  length                    bytes after this field
//	12  4  partition leader epoch    stamped by the log, outside the checksum
//	16  1  magic                     2
//	17  4  CRC-32C                   of everything from byte 21 to the end
//	21  2  attributes                bits 0-2 codec, 3 append time, 4 transactional, 5 control, 6 delete horizon
//	23  4  last offset delta
//	27  8  base timestamp
//	35  8  max timestamp
//	43  8  producer id
//	51  2  producer epoch
//	53  4  base sequence
//	57  4  number of records
//	61  .. records
//
// A record is varints (zig-zag) and bytes: length, attributes (one byte), timestamp delta, offset delta, key length and key,
// value length and value, number of headers, and for each header key length, key, value length and value. A length
// of -1 is null, which a header's key may not be.
package record

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"penstock"
)

// Rules are what a topic demands of a produced batch beyond being well-formed.
type Rules struct {
	MaxBytes int32              // largest batch; 0 means 1 MiB + 12
	Now      penstock.Timestamp // the broker's clock
	Before   time.Duration      // oldest acceptable MaxTimestamp, as an age; 0 means no bound
	After    time.Duration      // newest acceptable MaxTimestamp, as a lead; 0 means no bound
	Keys     bool               // every record needs a key (compacted topics); walks the records
}

// defaultMaxBytes is Kafka's default of max.message.bytes.
const defaultMaxBytes = 1<<20 + 12

// Validate checks one produced batch, which is all of b, and returns it with its header: length, magic, attributes,
// CRC-32C, counts, sequence, time. Compressed batches are not decompressed, and the records of plain ones are not
// walked, unless the rules need it. Errors wrap penstock.ErrCorrupt, ErrInvalidRecord, ErrInvalidTimestamp,
// ErrTooLarge; that of an old magic wraps ErrMagic beside ErrInvalidRecord.
func Validate(b []byte, r Rules) (penstock.Batch, error) {
	// The magic lies where it always has, and messages of an old one may be shorter than a header of ours.
	if len(b) > atMagic && b[atMagic] < magic {
		return penstock.Batch{}, fmt.Errorf("%w: %w: %d", penstock.ErrInvalidRecord, ErrMagic, b[atMagic])
	}
	if need := wanted(b); need > int64(len(b)) {
		return penstock.Batch{}, fmt.Errorf("%w: %d bytes of %d are no batch", penstock.ErrInvalidRecord, len(b), need)
	}
	if len(b) < headerSize {
		return penstock.Batch{}, fmt.Errorf("%w: %d bytes are no batch", penstock.ErrCorrupt, len(b))
	}
	h, err := parse(b)
	if err != nil {
		return penstock.Batch{}, err
	}
	if err := r.checkSize(&h, len(b)); err != nil {
		return penstock.Batch{}, err
	}
	if err := checksum(b); err != nil {
		return penstock.Batch{}, err
	}
	if err := checkProduced(b, &h); err != nil {
		return penstock.Batch{}, err
	}
	if err := r.checkTime(&h); err != nil {
		return penstock.Batch{}, err
	}
	if r.Keys {
		if err := checkKeys(b, &h); err != nil {
			return penstock.Batch{}, err
		}
	}
	return penstock.Batch{Header: h, Bytes: b}, nil
}

// wanted is how many bytes b must have to be one batch, as far as its first bytes say; 0 where its length makes no sense. What is cut
// short is no batch for Kafka and is refused as INVALID_RECORD: sent again, as a corrupt one would be, it is no longer.
func wanted(b []byte) int64 {
	if len(b) < lengthExcess {
		return lengthExcess
	}
	length := int32(binary.BigEndian.Uint32(b[atLength:]))
	switch {
	case length < 0 || length > math.MaxInt32-lengthExcess || len(b) > atMagic && b[atMagic] != magic:
		return 0
	case len(b) <= atMagic:
		return atMagic + 1
	}
	return int64(length) + lengthExcess
}

// checkSize demands exactly one batch, no larger than the topic takes.
func (r *Rules) checkSize(h *penstock.BatchHeader, n int) error {
	limit := r.MaxBytes
	if limit <= 0 {
		limit = defaultMaxBytes
	}
	if h.Size > limit {
		return fmt.Errorf("%w: %d bytes, at most %d", penstock.ErrTooLarge, h.Size, limit)
	}
	if int(h.Size) < n {
		return fmt.Errorf("%w: %d bytes after the one batch", penstock.ErrInvalidRecord, n-int(h.Size))
	}
	return nil
}

// checkProduced demands what Kafka's leader demands of a client's header and what a log written by a broker need not
// keep to: a compacted batch has holes, a marker is a control batch.
func checkProduced(b []byte, h *penstock.BatchHeader) error {
	fault := ""
	attributes := attributesOf(b)
	switch {
	case attributes&^producedAttributes != 0:
		fault = "attribute bits that a producer may not set"
	case h.BaseOffset != 0:
		fault = "base offset other than 0"
	case h.Records <= 0 || int64(h.LastDelta)+1 != int64(h.Records):
		fault = "count of records that differs from the offsets"
	case h.Codec == penstock.CodecNone && int64(h.Records)*minRecordSize > int64(h.Size-headerSize):
		fault = "more records than fit"
	case h.Codec != penstock.CodecNone && h.Size == headerSize:
		fault = "no records behind the header"
	case producerOf(b) < penstock.NoProducer:
		fault = "negative producer id"
	case h.ProducerID != penstock.NoProducer && (h.BaseSequence < 0 || h.ProducerEpoch < 0):
		fault = "producer without sequence or epoch"
	case h.ProducerID == penstock.NoProducer && h.Is(penstock.FlagTransactional):
		fault = "transactional without a producer"
	}
	if fault != "" {
		return fmt.Errorf("%w: %s", penstock.ErrInvalidRecord, fault)
	}
	if attributes&attrAppendTime != 0 {
		return fmt.Errorf("%w: append time set by a producer", penstock.ErrInvalidTimestamp)
	}
	return nil
}

// checkTime compares the largest timestamp with the broker's clock. A batch without timestamps passes.
func (r *Rules) checkTime(h *penstock.BatchHeader) error {
	at := h.MaxTimestamp
	if at == penstock.NoTimestamp {
		return nil
	}
	if at < 0 {
		return fmt.Errorf("%w: %d is before 1970", penstock.ErrInvalidTimestamp, at)
	}
	if oldest := r.Now - penstock.Timestamp(r.Before.Milliseconds()); r.Before > 0 && at < oldest {
		return fmt.Errorf("%w: %d, oldest %d", penstock.ErrInvalidTimestamp, at, oldest)
	}
	if newest := r.Now + penstock.Timestamp(r.After.Milliseconds()); r.After > 0 && at > newest {
		return fmt.Errorf("%w: %d, newest %d", penstock.ErrInvalidTimestamp, at, newest)
	}
	return nil
}
