package check

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Value is the identity of one record in its partition: 22 bits of writer and 40 bits of sequence number, the first
// being 1. The zero Value is none.
type Value uint64

const (
	seqBits    = 40
	writerBits = 22
	maxSeq     = 1<<seqBits - 1
	// MaxWriter is the largest number that a writer may have.
	MaxWriter = 1<<writerBits - 1
	// MinPayload is the smallest payload that holds a value.
	MinPayload = 8
)

// MakeValue names the seq-th record of a writer in a partition.
func MakeValue(writer uint32, seq int64) Value {
	if writer > MaxWriter || seq < 1 || seq > maxSeq {
		panic(fmt.Sprintf("check: writer %d sequence %d is out of range", writer, seq))
	}
	return Value(writer)<<seqBits | Value(seq)
}

// Writer is the number of the value's writer.
func (v Value) Writer() uint32 { return uint32(v >> seqBits) }

// Seq is the value's sequence number.
func (v Value) Seq() int64 { return int64(v & maxSeq) }

// String is "writer.sequence".
func (v Value) String() string { return fmt.Sprintf("%d.%d", v.Writer(), v.Seq()) }

// AppendPayload adds size bytes that carry v: the value, then bytes that follow from it, so that a record whose bytes
// were mixed up is noticed whatever checksums say. Sizes below MinPayload are raised to it.
func AppendPayload(dst []byte, v Value, size int) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(v))
	x := uint64(v)
	for n := MinPayload; n < size; n += 8 {
		var word [8]byte
		x = next(x)
		binary.LittleEndian.PutUint64(word[:], x)
		dst = append(dst, word[:min(8, size-n)]...)
	}
	return dst
}

var errPayload = errors.New("payload does not carry a value")

// ParsePayload returns the value that a payload carries, after checking all of its bytes.
func ParsePayload(b []byte) (Value, error) {
	if len(b) < MinPayload {
		return 0, fmt.Errorf("%d bytes: %w", len(b), errPayload)
	}
	v := Value(binary.BigEndian.Uint64(b))
	if v.Seq() == 0 || v>>(seqBits+writerBits) != 0 {
		return 0, errPayload
	}
	x := uint64(v)
	for n := MinPayload; n < len(b); n += 8 {
		var word [8]byte
		x = next(x)
		binary.LittleEndian.PutUint64(word[:], x)
		if string(word[:min(8, len(b)-n)]) != string(b[n:min(n+8, len(b))]) {
			return 0, fmt.Errorf("byte %d of %s: %w", n, v, errPayload)
		}
	}
	return v, nil
}

// next is one step of splitmix64.
func next(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
