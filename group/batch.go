package group

import (
	"encoding/binary"
	"hash/crc32"
	"sync"

	"penstock"
	"penstock/record"
)

// writer builds plain record batches (see package record) of keys and values. It is reused.
type writer struct {
	now    penstock.Timestamp
	b      []byte // finished batches, then the one under way
	open   int    // where the one under way begins, -1 if none is
	count  int32  // its records
	ends   []int  // ends of the finished batches
	key    []byte // of the record under way
	value  []byte // of the record under way
	record []byte // the record under way
}

// The places in a batch that are filled in at its end; see package record.
const (
	batchHeader  = 61
	atLength     = 8
	atChecksum   = 17
	atAttributes = 21
	atLastDelta  = 23
	atCount      = 57
	lengthFrom   = 12 // the length counts what follows it
)

var (
	writers = sync.Pool{New: func() any { return &writer{open: -1} }}
	// castagnoli is read only.
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// newWriter takes a writer from the pool; free gives it back.
func newWriter(now penstock.Timestamp) *writer {
	w := writers.Get().(*writer)
	w.now = now
	return w
}

func (w *writer) free() {
	const keep = 1 << 20
	if cap(w.b)+cap(w.value)+cap(w.record) > keep {
		return
	}
	w.b, w.ends, w.open, w.count = w.b[:0], w.ends[:0], -1, 0
	writers.Put(w)
}

// offset adds a committed offset, or with nil the deletion of one.
func (w *writer) offset(group, topic string, partition int32, c *Committed) {
	w.key = appendOffsetKey(w.key[:0], group, topic, partition)
	if c == nil {
		w.add(nil)
		return
	}
	w.value = appendCommitted(w.value[:0], c)
	w.add(w.value)
}

// state adds a group's encoded state, or with nil its deletion.
func (w *writer) state(group string, v []byte) {
	w.key = appendGroupKey(w.key[:0], group)
	w.add(v)
}

// add adds a record with the writer's key.
func (w *writer) add(value []byte) {
	if w.open >= 0 && len(w.b)-w.open+len(w.key)+len(value) > batchBytes {
		w.finish()
	}
	if w.open < 0 {
		w.begin()
	}
	r := append(w.record[:0], 0)  // attributes
	r = binary.AppendVarint(r, 0) // timestamp delta
	r = binary.AppendVarint(r, int64(w.count))
	r = binary.AppendVarint(r, int64(len(w.key)))
	r = append(r, w.key...)
	if value == nil {
		r = binary.AppendVarint(r, -1)
	} else {
		r = binary.AppendVarint(r, int64(len(value)))
		r = append(r, value...)
	}
	r = binary.AppendVarint(r, 0) // headers
	w.record = r
	w.b = binary.AppendVarint(w.b, int64(len(r)))
	w.b = append(w.b, r...)
	w.count++
}

func (w *writer) begin() {
	w.open, w.count = len(w.b), 0
	h := [batchHeader]byte{16: 2} // magic
	binary.BigEndian.PutUint32(h[12:], uint32(0xffffffff))
	binary.BigEndian.PutUint64(h[27:], uint64(w.now))
	binary.BigEndian.PutUint64(h[35:], uint64(w.now))
	for i := 43; i < atCount; i++ {
		h[i] = 0xff // no producer id, epoch and sequence
	}
	w.b = append(w.b, h[:]...)
}

func (w *writer) finish() {
	b := w.b[w.open:]
	binary.BigEndian.PutUint32(b[atLength:], uint32(len(b)-lengthFrom))
	binary.BigEndian.PutUint32(b[atLastDelta:], uint32(w.count-1))
	binary.BigEndian.PutUint32(b[atCount:], uint32(w.count))
	binary.BigEndian.PutUint32(b[atChecksum:], crc32.Checksum(b[atAttributes:], castagnoli))
	w.ends = append(w.ends, len(w.b))
	w.open = -1
}

// batches finishes and validates what was added. The bytes are the writer's.
func (w *writer) batches() ([]penstock.Batch, error) {
	if w.open >= 0 {
		w.finish()
	}
	out := make([]penstock.Batch, 0, len(w.ends))
	from := 0
	for _, to := range w.ends {
		b, err := record.Validate(w.b[from:to:to], record.Rules{MaxBytes: journalBatch})
		if err != nil {
			return nil, err
		}
		out, from = append(out, b), to
	}
	return out, nil
}

// empty reports whether nothing was added.
func (w *writer) empty() bool { return len(w.b) == 0 }
