package index

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"

	"penstock"
	"penstock/disk"
)

// Sizes of the parts of a file.
const (
	headSize  = 40
	slotSize  = 4
	entrySize = 20
)

var (
	be         = binary.BigEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// shape is how large the parts of a file are.
type shape struct {
	slots   int64
	entries int64 // the first is never used
	block   int64 // bytes of slots, or about so many of entries, that have one checksum
}

func (s shape) size() int64 { return headSize + s.slots*slotSize + s.entries*entrySize }

// Bounds of a shape. A file of RocketMQ's size has 306 blocks of slots and 6,106 of entries.
const (
	maxBlock       = 1 << 20
	maxSlotBlocks  = 1 << 14
	maxEntryBlocks = 1 << 18
)

func (s shape) valid() bool {
	return s.slots > 0 && s.entries > 1 && s.slots <= math.MaxInt32 && s.entries <= math.MaxInt32 && s.block >= entrySize && s.block%slotSize == 0 &&
		s.block <= maxBlock && s.slotBlocks() <= maxSlotBlocks && s.entryBlocks(s.entries) <= maxEntryBlocks
}

// slotBlocks is the number of blocks of slots; slotRange where one lies.
func (s shape) slotBlocks() int { return int((s.slots*slotSize + s.block - 1) / s.block) }

func (s shape) slotRange(i int) (off, n int64) {
	at := int64(i) * s.block
	return headSize + at, min(s.block, s.slots*slotSize-at)
}

// perBlock is the number of entries in a block.
func (s shape) perBlock() int64 { return s.block / entrySize }

// entryBlocks is the number of blocks that count entries take; entryRange where one of them lies.
func (s shape) entryBlocks(count int64) int { return int((count + s.perBlock() - 1) / s.perBlock()) }

func (s shape) entryRange(b int, count int64) (off, n int64) {
	at := int64(b) * s.perBlock()
	return headSize + s.slots*slotSize + at*entrySize, min(s.perBlock(), count-at) * entrySize
}

// head is the header of a file.
type head struct {
	beginAt, endAt   penstock.Timestamp // of the first and the last key
	beginPos, endPos int64
	slots            int32 // that are used
	count            int32 // of entries, the first, which is never used, included
}

func (h *head) append(dst []byte) []byte {
	dst = be.AppendUint64(be.AppendUint64(dst, uint64(h.beginAt)), uint64(h.endAt))
	dst = be.AppendUint64(be.AppendUint64(dst, uint64(h.beginPos)), uint64(h.endPos))
	return be.AppendUint32(be.AppendUint32(dst, uint32(h.slots)), uint32(h.count))
}

func parseHead(b []byte) head {
	return head{penstock.Timestamp(be.Uint64(b)), penstock.Timestamp(be.Uint64(b[8:])), int64(be.Uint64(b[16:])), int64(be.Uint64(b[24:])),
		int32(be.Uint32(b[32:])), int32(be.Uint32(b[36:]))}
}

// after is how an entry has a time: in seconds since the first, at least 0.
func (h *head) after(at penstock.Timestamp) int32 {
	if h.beginAt <= 0 {
		return 0
	}
	return int32(max(0, min((int64(at)-int64(h.beginAt))/1000, math.MaxInt32)))
}

// item is an entry of a file.
type item struct {
	hash  int32
	pos   int64
	after int32 // seconds since the file's first
	prev  int32 // entry before it on the same slot, 0 for none
}

func (e *item) append(dst []byte) []byte {
	dst = be.AppendUint64(be.AppendUint32(dst, uint32(e.hash)), uint64(e.pos))
	return be.AppendUint32(be.AppendUint32(dst, uint32(e.after)), uint32(e.prev))
}

func parseItem(b []byte) item {
	return item{int32(be.Uint32(b)), int64(be.Uint64(b[4:])), int32(be.Uint32(b[12:])), int32(be.Uint32(b[16:]))}
}

// file is one file. Everything but name and shape is guarded by Index.mu.
type file struct {
	name  string
	shape shape

	head    head
	oldest  penstock.Timestamp // of all keys: clocks may go back
	newest  penstock.Timestamp
	h       *disk.Handle // while it is written, nil later
	damaged error

	slots  [][]byte       // blocks in memory; nil: as on the disk
	dirty  []bool         // of these, what the disk does not have
	tail   []byte         // the last block of entries, not full
	full   map[int][]byte // blocks of entries that the disk does not have yet
	sealed bool           // full and on the disk, with its sums
	loaded bool           // the sums of a sealed one are in memory

	slotSums  []uint32 // of what the disk has; 0: nothing but zeros
	entrySums []uint32 // of full blocks, of a sealed file all
	slotSeen  []bool   // compared with their sums
	entrySeen []bool
	sealSum   uint32 // checksum of the file of sums
}

func newFile(name string, s shape) *file {
	n := s.slotBlocks()
	return &file{name: name, shape: s, head: head{count: 1}, slots: make([][]byte, n), dirty: make([]bool, n), tail: make([]byte, entrySize, s.perBlock()*entrySize),
		full: map[int][]byte{}, slotSums: make([]uint32, n), slotSeen: make([]bool, n), oldest: penstock.NoTimestamp, newest: penstock.NoTimestamp}
}

func (f *file) count() int64 { return int64(f.head.count) }

func (f *file) isFull() bool { return f.count() >= f.shape.entries }

// positive is what RocketMQ makes of a hash.
func positive(hash int32) int32 {
	if hash == math.MinInt32 {
		return 0
	}
	return max(hash, -hash)
}

// slot is where the entries of a hash hang: the block and the place in it.
func (f *file) slot(hash int32) (block int, at int64) {
	off := int64(hash) % f.shape.slots * slotSize
	return int(off / f.shape.block), off % f.shape.block
}

// put adds a key. The block of slots that it needs is in memory.
func (f *file) put(k *Key) {
	hash := positive(k.Hash)
	block, at := f.slot(hash)
	img := f.slots[block]
	prev := int32(be.Uint32(img[at:]))
	if prev < 0 || prev >= f.head.count {
		prev = 0
	}
	e := item{hash: hash, pos: k.Position, prev: prev, after: f.head.after(k.Time)}
	f.tail = e.append(f.tail)
	be.PutUint32(img[at:], uint32(f.head.count))
	f.dirty[block] = true
	if f.head.count == 1 {
		f.head.beginPos, f.head.beginAt = k.Position, k.Time
		f.oldest, f.newest = k.Time, k.Time
	}
	if prev == 0 {
		f.head.slots++
	}
	f.head.endPos, f.head.endAt = k.Position, k.Time
	f.oldest, f.newest = min(f.oldest, k.Time), max(f.newest, k.Time)
	f.head.count++
	if int64(len(f.tail)) == f.shape.perBlock()*entrySize {
		f.full[len(f.entrySums)] = f.tail
		f.entrySums = append(f.entrySums, sum(f.tail))
		f.entrySeen = append(f.entrySeen, true)
		f.tail = make([]byte, 0, cap(f.tail))
	}
}

// sum is a checksum that is never 0.
func sum(b []byte) uint32 { return max(1, crc32.Checksum(b, castagnoli)) }

// matches compares bytes with what sum said; a sum of 0 wants zeros.
func matches(b []byte, want uint32) bool {
	if want != 0 {
		return sum(b) == want
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// errDamaged is the error of bytes that do not match their checksum.
func (f *file) errDamaged(what string, i int) error {
	return fmt.Errorf("%w: index file %s: %s %d does not match its checksum", penstock.ErrCorrupt, f.name, what, i)
}

// readBlock reads bytes of a block and compares them.
func (f *file) readBlock(h *disk.Handle, off, n int64, want uint32, what string, i int) ([]byte, error) {
	b := make([]byte, n)
	if got, err := h.ReadAt(b, off); int64(got) < n {
		return nil, fmt.Errorf("%w: index file %s: %s %d: %w", penstock.ErrCorrupt, f.name, what, i, errOr(err))
	}
	if !matches(b, want) {
		return nil, f.errDamaged(what, i)
	}
	return b, nil
}

func errOr(err error) error {
	if err == nil {
		return fmt.Errorf("too short")
	}
	return err
}
