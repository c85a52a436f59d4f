package group

import (
	"encoding/binary"
	"slices"
)

// consumerType is the protocol type of members that read topics. Their metadata begins with the topics they read:
//
//	int16 version | array of string topics | ...
const consumerType = "consumer"

// topicsOf reads the topics from a consumer's metadata, in the order given. ok is false if it is not such metadata.
func topicsOf(metadata []byte) (topics []string, ok bool) {
	r := reader{b: metadata}
	r.int16()
	n := int(r.int32())
	if n < 0 || n > len(r.b)/2 {
		return nil, false
	}
	for range n {
		topics = append(topics, r.text())
	}
	return topics, !r.bad
}

// sameTopics reports whether two consumers' metadata name the same topics. What it cannot read it compares as bytes.
func sameTopics(a, b []byte) bool {
	ta, oka := topicsOf(a)
	tb, okb := topicsOf(b)
	if !oka || !okb {
		return slices.Equal(a, b)
	}
	slices.Sort(ta)
	slices.Sort(tb)
	return slices.Equal(ta, tb)
}

// reader takes the journal's primitive types off the front of b. After the first fault it is bad and everything is zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.b, r.bad = nil, true
		return nil
	}
	p := r.b[:n:n]
	r.b = r.b[n:]
	return p
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

// text reads a string; null is empty.
func (r *reader) text() string {
	n := r.int16()
	if n < 0 {
		return ""
	}
	return string(r.take(int(n)))
}

// bytes reads a byte string and copies it.
func (r *reader) bytes() []byte {
	n := r.int32()
	if n < 0 {
		return nil
	}
	return slices.Clone(r.take(int(n)))
}
