package kafka

import (
	"encoding/binary"
	"math"
)

// reader takes Kafka's primitive types off the front of a frame, in place. Once anything is missing or malformed it is
// bad and stays so, everything it returns is zero, and nothing more is consumed: decoders read on and ask once at the end.
// With flex the lengths of strings, byte strings and arrays are the compact ones (KIP-482).
type reader struct {
	b    []byte
	flex bool
	bad  bool
}

// take returns the next n bytes.
func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	p := r.b[:n:n]
	r.b = r.b[n:]
	return p
}

// The fixed types are big-endian.

func (r *reader) int8() int8 {
	if p := r.take(1); p != nil {
		return int8(p[0])
	}
	return 0
}

func (r *reader) int16() int16 {
	if p := r.take(2); p != nil {
		return int16(binary.BigEndian.Uint16(p))
	}
	return 0
}

func (r *reader) int32() int32 {
	if p := r.take(4); p != nil {
		return int32(binary.BigEndian.Uint32(p))
	}
	return 0
}

func (r *reader) int64() int64 {
	if p := r.take(8); p != nil {
		return int64(binary.BigEndian.Uint64(p))
	}
	return 0
}

// uvarint reads an unsigned varint of at most 32 bits.
func (r *reader) uvarint() uint32 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > math.MaxUint32 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return uint32(v)
}

// length reads a length in the way of the request's version, -1 for null. What is longer than the bytes left is bad,
// so the result never exceeds the frame.
func (r *reader) length(wide bool) int {
	var n int
	switch {
	case r.flex:
		n = int(r.uvarint()) - 1
	case wide:
		n = int(r.int32())
	default:
		n = int(r.int16())
	}
	if r.bad || n < -1 || n > len(r.b) {
		r.bad, r.b = true, nil
		return -1
	}
	return n
}

// count reads an array's length, -1 for null. Every element takes a byte at least, so it never exceeds the bytes left.
func (r *reader) count() int { return r.length(true) }

// text reads a string; null is told from empty by nil.
func (r *reader) text() []byte { return r.slice(r.length(false)) }

// bytes reads a byte string; null is told from empty by nil.
func (r *reader) bytes() []byte { return r.slice(r.length(true)) }

// slice returns n bytes of the frame, nil for a length of null. An empty one is not nil.
func (r *reader) slice(n int) []byte {
	if n < 0 {
		return nil
	}
	return r.take(n)
}

// tag reads the head of one tagged field: its number and its bytes.
func (r *reader) tag() (number uint32, body []byte) {
	number = r.uvarint()
	return number, r.take(int(r.uvarint()))
}

// tags is the number of tagged fields that follow, 0 before the flexible versions. Each takes two bytes at least.
func (r *reader) tags() int {
	if !r.flex {
		return 0
	}
	n := r.uvarint()
	if int64(n)*2 > int64(len(r.b)) {
		r.bad, r.b = true, nil
		return 0
	}
	return int(n)
}

// skipTags passes over tagged fields that mean nothing here.
func (r *reader) skipTags() {
	for n := r.tags(); n > 0 && !r.bad; n-- {
		r.tag()
	}
}

// The append functions are the encoders' half: each adds one primitive to dst and returns it.

func appendInt16(dst []byte, v int16) []byte { return binary.BigEndian.AppendUint16(dst, uint16(v)) }
func appendInt32(dst []byte, v int32) []byte { return binary.BigEndian.AppendUint32(dst, uint32(v)) }
func appendInt64(dst []byte, v int64) []byte { return binary.BigEndian.AppendUint64(dst, uint64(v)) }

// appendLength adds a length, -1 for null, in the way of the response's version.
func appendLength(dst []byte, n int, flex, wide bool) []byte {
	switch {
	case flex:
		return binary.AppendUvarint(dst, uint64(n+1))
	case wide:
		return appendInt32(dst, int32(n))
	}
	return appendInt16(dst, int16(n))
}

// appendCount adds an array's length.
func appendCount(dst []byte, n int, flex bool) []byte { return appendLength(dst, n, flex, true) }

// appendText adds a string that is not null.
func appendText(dst []byte, s string, flex bool) []byte {
	return append(appendLength(dst, len(s), flex, false), s...)
}

// appendTextOrNull adds a string, or null for the empty one.
func appendTextOrNull(dst []byte, s string, flex bool) []byte {
	if s == "" {
		return appendLength(dst, -1, flex, false)
	}
	return appendText(dst, s, flex)
}

// appendNoTags ends a structure that has no tagged fields.
func appendNoTags(dst []byte, flex bool) []byte {
	if flex {
		return append(dst, 0)
	}
	return dst
}
