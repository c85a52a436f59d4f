package record

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"math/bits"

	"penstock"
)

// Header is one header of a record. A nil value is null; the key cannot be.
type Header struct {
	Key   []byte
	Value []byte
}

// Entry is a record to be put into a batch. The bytes that it points to are copied.
type Entry struct {
	Offset    penstock.Offset
	Timestamp penstock.Timestamp
	Key       []byte // nil is null
	Value     []byte // nil is null
	Headers   []Header
}

// A Builder puts plain batches together, one behind the other, in one slice. It allocates nothing once the slice is long
// enough. It is used by one goroutine.
//
//	b.Begin(dst)
//	b.Add(&e) ...
//	dst = b.End()
type Builder struct {
	b        []byte
	start    int // of the batch in b
	records  int32
	base     penstock.Offset // of the first record
	last     penstock.Offset
	baseTime penstock.Timestamp
	maxTime  penstock.Timestamp
}

// Begin starts a batch behind what dst holds. The builder owns dst until End.
func (w *Builder) Begin(dst []byte) {
	*w = Builder{b: dst, start: len(dst)}
	var head [headerSize]byte
	w.b = append(w.b, head[:]...)
}

// Len is the number of records added since Begin.
func (w *Builder) Len() int { return int(w.records) }

// Size is the number of bytes of the batch so far.
func (w *Builder) Size() int { return len(w.b) - w.start }

// Add puts a record behind the others. Its offset is larger than theirs. Errors: penstock.ErrInvalidRecord for an offset that is not;
// ErrTooLarge if the batch has no room for it, which nothing below a GiB meets. Nothing is added then.
func (w *Builder) Add(e *Entry) error {
	if w.records == 0 {
		w.base, w.last, w.baseTime, w.maxTime = e.Offset, e.Offset-1, e.Timestamp, e.Timestamp
	}
	delta, at := int64(e.Offset-w.base), int64(e.Timestamp-w.baseTime)
	if e.Offset <= w.last || e.Offset < 0 || e.Offset > math.MaxInt64-math.MaxInt32-1 || delta > math.MaxInt32 {
		return fmt.Errorf("%w: offset %d after %d in a batch that begins at %d", penstock.ErrInvalidRecord, e.Offset, w.last, w.base)
	}
	n := e.size(at, delta)
	if int64(n)+int64(w.Size()) > maxBuilt {
		return fmt.Errorf("%w: record of %d bytes behind %d", penstock.ErrTooLarge, n, w.Size())
	}
	b := binary.AppendVarint(w.b, int64(n))
	b = append(b, 0)
	b = binary.AppendVarint(b, at)
	b = binary.AppendVarint(b, delta)
	b = appendNullable(b, e.Key)
	b = appendNullable(b, e.Value)
	b = binary.AppendVarint(b, int64(len(e.Headers)))
	for i := range e.Headers {
		h := &e.Headers[i]
		b = append(binary.AppendVarint(b, int64(len(h.Key))), h.Key...)
		b = appendNullable(b, h.Value)
	}
	w.b = b
	w.records++
	w.last = e.Offset
	w.maxTime = max(w.maxTime, e.Timestamp)
	return nil
}

// maxBuilt bounds a batch well below what its length can say.
const maxBuilt = 1 << 30

// End completes the batch: no codec, no producer, no leader epoch, times of creation. Without a record there is no batch. It returns
// the slice.
func (w *Builder) End() []byte {
	if w.records == 0 {
		return w.b[:w.start]
	}
	b, be := w.b[w.start:], binary.BigEndian
	none := penstock.NoEpoch
	be.PutUint64(b[atBaseOffset:], uint64(w.base))
	be.PutUint32(b[atLength:], uint32(len(b)-lengthExcess))
	be.PutUint32(b[atEpoch:], uint32(none))
	b[atMagic] = magic
	be.PutUint32(b[atLastDelta:], uint32(w.last-w.base))
	be.PutUint64(b[atBaseTime:], uint64(w.baseTime))
	be.PutUint64(b[atMaxTime:], uint64(w.maxTime))
	be.PutUint64(b[atProducerID:], math.MaxUint64)
	be.PutUint16(b[atProducerEpoch:], math.MaxUint16)
	be.PutUint32(b[atBaseSequence:], math.MaxUint32)
	be.PutUint32(b[atRecords:], uint32(w.records))
	be.PutUint32(b[atCRC:], crc32.Checksum(b[atAttributes:], castagnoli))
	return w.b
}

// size is the length of a record as it is stored, without that of the length itself.
func (e *Entry) size(at, delta int64) int {
	n := 1 + varintSize(at) + varintSize(delta) + nullableSize(e.Key) + nullableSize(e.Value) + varintSize(int64(len(e.Headers)))
	for i := range e.Headers {
		h := &e.Headers[i]
		n += varintSize(int64(len(h.Key))) + len(h.Key) + nullableSize(h.Value)
	}
	return n
}

func varintSize(v int64) int {
	return (bits.Len64(uint64(v<<1)^uint64(v>>63)|1) + 6) / 7
}

func nullableSize(p []byte) int {
	if p == nil {
		return 1
	}
	return varintSize(int64(len(p))) + len(p)
}

func appendNullable(b, p []byte) []byte {
	if p == nil {
		return binary.AppendVarint(b, -1)
	}
	return append(binary.AppendVarint(b, int64(len(p))), p...)
}
