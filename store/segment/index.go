package segment

import (
	"encoding/binary"
	"hash/crc32"
	"sort"

	"penstock"
)

// Sizes of the entries in the three index files of a segment. Numbers are big-endian, offsets relative to the
// segment's base.
//
//	.index      last offset (4)  position (4)     of the batch at position, as Kafka
//	.timeindex  timestamp (8)    last offset (4)  largest timestamp so far, and the batch that has it, as Kafka
//	.bases      base offset (4)                   of the batch that the .index entry of the same number names
const (
	offEntrySize  = 8
	timeEntrySize = 12
	baseEntrySize = 4
)

// entry is one batch that the offset index names. All three are relative to the segment.
type entry struct {
	base uint32 // first offset
	last uint32 // last offset
	pos  uint32 // first byte
}

// timeEntry says that at is the largest timestamp up to the batch that ends at offset last.
type timeEntry struct {
	at   penstock.Timestamp
	last uint32
}

// index is a run of entries of a segment, in ascending order: offs and times, or cells where every batch has an entry.
type index struct {
	offs  []entry
	times []timeEntry
	cells []cell
}

// bytes is the memory held.
func (x *index) bytes() int64 {
	return int64(cap(x.offs))*12 + int64(cap(x.times))*16 + int64(cap(x.cells))*16
}

// ceil is the number of the first entry whose batch ends at or after rel.
func (x *index) ceil(rel uint32) int {
	return sort.Search(len(x.offs), func(i int) bool { return x.offs[i].last >= rel })
}

// floorPos is the number of the last entry at or before pos, or -1.
func (x *index) floorPos(pos int64) int {
	return sort.Search(len(x.offs), func(i int) bool { return int64(x.offs[i].pos) > pos }) - 1
}

// floorTime is the number of the last time entry at or before t, or -1.
func (x *index) floorTime(t penstock.Timestamp) int {
	return sort.Search(len(x.times), func(i int) bool { return x.times[i].at > t }) - 1
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sums are the checksums (CRC-32C) of the three index files, up to the entries that a tally counts. A queue's is off.
type sums struct{ off, time, base uint32 }

// appendOffs, appendTimes and appendBases write entries as they lie in the files.
func appendOffs(dst []byte, es []entry) []byte {
	for _, e := range es {
		dst = binary.BigEndian.AppendUint32(dst, e.last)
		dst = binary.BigEndian.AppendUint32(dst, e.pos)
	}
	return dst
}

func appendTimes(dst []byte, es []timeEntry) []byte {
	for _, e := range es {
		dst = binary.BigEndian.AppendUint64(dst, uint64(e.at))
		dst = binary.BigEndian.AppendUint32(dst, e.last)
	}
	return dst
}

func appendBases(dst []byte, es []entry) []byte {
	for _, e := range es {
		dst = binary.BigEndian.AppendUint32(dst, e.base)
	}
	return dst
}

// parseIndex reads the three files, whose lengths were checked to fit.
func parseIndex(offs, times, bases []byte) *index {
	x := &index{offs: make([]entry, len(offs)/offEntrySize), times: make([]timeEntry, len(times)/timeEntrySize)}
	for i := range x.offs {
		o := offs[i*offEntrySize:]
		x.offs[i] = entry{
			base: binary.BigEndian.Uint32(bases[i*baseEntrySize:]),
			last: binary.BigEndian.Uint32(o),
			pos:  binary.BigEndian.Uint32(o[4:]),
		}
	}
	for i := range x.times {
		b := times[i*timeEntrySize:]
		x.times[i] = timeEntry{at: penstock.Timestamp(binary.BigEndian.Uint64(b)), last: binary.BigEndian.Uint32(b[8:])}
	}
	return x
}

// builder makes the index entries of one segment, batch by batch, by the rule of Kafka's LogSegment.append: an entry
// for the first batch that begins more than interval bytes after the one that got the last entry. Its state is all
// that is needed to go on, so it is part of a recovery point.
type builder struct {
	interval int32              // fixed for the life of the segment
	offs     int32              // entries made
	times    int32              // time entries made, the closing one excepted
	since    int64              // bytes since the batch that got the last entry began; of a queue see addCell
	firstAt  penstock.Timestamp // largest timestamp of the first batch, for rolling by time
	maxAt    penstock.Timestamp // largest so far
	maxLast  uint32             // last offset of the first batch that has it
	timeAt   penstock.Timestamp // of the last time entry
	named    entry              // the last entry
}

func newBuilder(interval int64) builder {
	return builder{interval: int32(interval), firstAt: penstock.NoTimestamp, maxAt: penstock.NoTimestamp, timeAt: penstock.NoTimestamp}
}

// add takes the next batch, which begins at e.pos, and appends to x the entries that it gets.
func (b *builder) add(x *index, e entry, size int32, at penstock.Timestamp) {
	if e.pos == 0 {
		b.firstAt = at
	}
	if at > b.maxAt {
		b.maxAt, b.maxLast = at, e.last
	}
	if b.since > int64(b.interval) {
		x.offs = append(x.offs, e)
		b.named = e
		b.offs++
		if b.maxAt > b.timeAt {
			x.times = append(x.times, timeEntry{at: b.maxAt, last: b.maxLast})
			b.timeAt = b.maxAt
			b.times++
		}
		b.since = 0
	}
	b.since += int64(size)
}

// closing is the entry that a time index ends with when its segment is sealed or closed, if it needs one.
func (b *builder) closing() (timeEntry, bool) {
	return timeEntry{at: b.maxAt, last: b.maxLast}, b.maxAt > b.timeAt
}

// place is a byte position found in memory; without exact the batch looked for begins there or later.
type place struct {
	pos   int64
	exact bool
}

// between places offset rel, which is above prev and at most next.last; either may be missing.
func between(prev, next *entry, rel uint32) place {
	if next != nil && next.base <= rel {
		return place{int64(next.pos), true}
	}
	if prev == nil {
		return place{0, rel == 0}
	}
	return place{int64(prev.pos), false}
}
