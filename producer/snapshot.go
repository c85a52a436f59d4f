package producer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"penstock"
)

// A snapshot is a version byte and then varints (encoding/binary's, zig-zag):
//
//	number of producers, and for each, the one silent longest first:
//	    id, epoch, time of the last batch, number of batches
//	    and for each batch, oldest first: offset, largest timestamp, first sequence, last sequence
//	number of transactions, and for each, by first offset:
//	    producer id, first offset, offset of the marker or -1 while it is open
//
// Whoever stores it adds a checksum. Kafka's own snapshot files keep one batch of each producer; all five are kept here, so
// that a restart does not make a retried batch a new one.
const (
	snapshotVersion = 1
	minEntryBytes   = 4 // an entry without batches, every number in one byte
	minTxnBytes     = 3
)

// errSnapshot says that bytes are no snapshot.
var errSnapshot = errors.New("malformed producer snapshot")

// Append appends the snapshot of s to dst.
func (s *State) Append(dst []byte) []byte {
	dst = append(dst, snapshotVersion)
	dst = binary.AppendVarint(dst, int64(len(s.producers)))
	for e := s.oldest; e != nil; e = e.newer {
		dst = binary.AppendVarint(dst, int64(e.id))
		dst = binary.AppendVarint(dst, int64(e.epoch))
		dst = binary.AppendVarint(dst, int64(e.seen))
		dst = binary.AppendVarint(dst, int64(e.n))
		for _, b := range e.batches[:e.n] {
			dst = binary.AppendVarint(dst, int64(b.offset))
			dst = binary.AppendVarint(dst, int64(b.at))
			dst = binary.AppendVarint(dst, int64(b.first))
			dst = binary.AppendVarint(dst, int64(b.last))
		}
	}
	dst = binary.AppendVarint(dst, int64(len(s.txns)))
	for _, t := range s.txns {
		dst = binary.AppendVarint(dst, int64(t.id))
		dst = binary.AppendVarint(dst, int64(t.first))
		dst = binary.AppendVarint(dst, int64(t.end))
	}
	return dst
}

// Decode reads a snapshot, which is all of b. It allocates in proportion to b, whatever b says.
func Decode(b []byte) (*State, error) {
	if len(b) == 0 || b[0] != snapshotVersion {
		return nil, fmt.Errorf("%w: unknown version", errSnapshot)
	}
	d := decoder{b: b[1:]}
	s := &State{}
	n := d.count(minEntryBytes)
	if n > 0 {
		s.producers = make(map[penstock.ProducerID]*entry, n)
	}
	for range n {
		s.decodeEntry(&d)
	}
	s.decodeTxns(&d)
	if d.bad || len(d.b) != 0 {
		return nil, errSnapshot
	}
	return s, nil
}

func (s *State) decodeEntry(d *decoder) {
	e := &entry{
		id:    penstock.ProducerID(d.number(0, math.MaxInt64)),
		epoch: int16(d.number(math.MinInt16, math.MaxInt16)),
		seen:  penstock.Timestamp(d.number(math.MinInt64, math.MaxInt64)),
		n:     uint8(d.number(0, Window)),
	}
	for i := range e.batches[:e.n] {
		e.batches[i] = batch{
			offset: penstock.Offset(d.number(0, math.MaxInt64)),
			at:     penstock.Timestamp(d.number(math.MinInt64, math.MaxInt64)),
			first:  int32(d.number(math.MinInt32, math.MaxInt32)),
			last:   int32(d.number(0, math.MaxInt32)),
		}
	}
	if d.bad || s.producers[e.id] != nil || s.newest != nil && s.newest.seen > e.seen {
		d.bad = true
		return
	}
	s.producers[e.id] = e
	s.link(e)
}

func (s *State) decodeTxns(d *decoder) {
	n := d.count(minTxnBytes)
	if n > 0 {
		s.txns = make([]txn, 0, n)
	}
	last := penstock.NoOffset
	for range n {
		t := txn{
			id:    penstock.ProducerID(d.number(0, math.MaxInt64)),
			first: penstock.Offset(d.number(0, math.MaxInt64)),
			end:   penstock.Offset(d.number(-1, math.MaxInt64)),
		}
		e := s.producers[t.id]
		if d.bad || t.first <= last || t.end != penstock.NoOffset && t.end <= t.first || t.end == penstock.NoOffset && (e == nil || e.open) {
			d.bad = true
			return
		}
		if t.end == penstock.NoOffset {
			e.open = true
		}
		last = t.first
		s.txns = append(s.txns, t)
	}
}

// decoder reads varints from the front of b. After the first fault bad is set and every number is its lower bound.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) number(low, high int64) int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 || v < low || v > high {
		d.b, d.bad = nil, true
		return low
	}
	d.b = d.b[n:]
	return v
}

// count reads a number of things that take size bytes each at least.
func (d *decoder) count(size int) int {
	n := d.number(0, math.MaxInt32)
	if n > int64(len(d.b)/size) {
		d.b, d.bad = nil, true
		return 0
	}
	return int(n)
}
