package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"sync"

	"penstock"
	"penstock/metric"
)

// Answer is one response: bytes, with extents inserted at places between them. B starts with four bytes that wire
// fills with the length. Append to B; call Attach where stored bytes belong.
type Answer struct {
	B []byte

	parts  []part   // extents by ascending place
	copies []copied // payload that the front put into B
	stored int64    // bytes of all extents
	pieces int      // extents that do not go on where the one before ends
	small  bool     // set when sent: the extents were copied on purpose
}

// inMemory reports whether the answer is short and has nothing to read from a file: sending it takes one quick call.
func (a *Answer) inMemory() bool { return len(a.parts) == 0 && len(a.B) <= shortAnswer }

// shortAnswer is the length, in bytes, up to which an answer is sent by whoever completes it.
const shortAnswer = 4 << 10

// part is one extent and its place: after B[:at].
type part struct {
	at    int
	ext   penstock.Extent
	tally *metric.Tally
}

// copied is payload that a front has put into B, to be counted when it has left.
type copied struct {
	n     int64
	why   metric.Reason
	tally *metric.Tally
}

// keepAnswer is the largest B that goes back to the pool with its answer.
const keepAnswer = 16 << 10

var answers = sync.Pool{New: func() any { return &Answer{B: make([]byte, lenBytes, 512)} }}

// NewAnswer takes an answer from the pool, with its four length bytes in place.
func NewAnswer() *Answer { return answers.Get().(*Answer) }

// Attach inserts an extent after the bytes appended so far; the answer owns its reference. Its bytes are counted in t,
// which may be nil, by the path they take, when they have left.
func (a *Answer) Attach(e penstock.Extent, t *metric.Tally) {
	if e.Len <= 0 {
		e.Release()
		return
	}
	if n := len(a.parts); n == 0 || a.parts[n-1].ext.File != e.File || a.parts[n-1].ext.Off+a.parts[n-1].ext.Len != e.Off {
		a.pieces++
	}
	a.parts = append(a.parts, part{at: len(a.B), ext: e, tally: t})
	a.stored += e.Len
}

// Copied counts n payload bytes that the front put into B itself, and why. They are counted when they have left.
func (a *Answer) Copied(n int, why metric.Reason, t *metric.Tally) {
	if n > 0 {
		a.copies = append(a.copies, copied{n: int64(n), why: why, tally: t})
	}
}

// Size is the number of bytes that the answer has now on the wire, its length included.
func (a *Answer) Size() int64 { return int64(len(a.B)) + a.stored }

// Discard gives up an answer that will not be sent.
func (a *Answer) Discard() {
	for i := range a.parts {
		a.parts[i].ext.Release()
	}
	clear(a.parts)
	clear(a.copies)
	a.parts, a.copies = a.parts[:0], a.copies[:0]
	a.stored, a.pieces, a.small = 0, 0, false
	if cap(a.B) < lenBytes || cap(a.B) > keepAnswer {
		return
	}
	a.B = a.B[:lenBytes]
	answers.Put(a)
}

// seal writes the length in front.
func (a *Answer) seal() error {
	n := a.Size() - lenBytes
	if n < 0 || n > math.MaxInt32 {
		return fmt.Errorf("answer of %d bytes cannot be framed", n)
	}
	binary.BigEndian.PutUint32(a.B, uint32(n))
	return nil
}

// count enters into the account what the sender has not counted as it went.
func (a *Answer) count() {
	for i := range a.copies {
		c := &a.copies[i]
		c.tally.Add(metric.PathCopied, c.why, c.n)
	}
	if !a.small {
		return
	}
	for i := range a.parts {
		a.parts[i].tally.Add(metric.PathCopied, metric.ReasonSmall, a.parts[i].ext.Len)
	}
}
