package index

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path"

	"penstock"
)

// Our own files beside RocketMQ's: a magic number and a version, of four bytes each, in front, and a CRC-32C of everything before it at the end.
const (
	vouchedFile  = "vouched"
	sumsSuffix   = ".sums"
	vouchedMagic = 0x50534958 // "PSIX"
	sumsMagic    = 0x50534953 // "PSIS"
	fileVersion  = 1

	maxVouched = 1 << 30
	maxSums    = 64 << 20
)

// record is what "vouched" says of a file.
type record struct {
	name   string
	shape  shape
	head   head
	oldest penstock.Timestamp
	newest penstock.Timestamp

	damaged bool
	sealed  bool
	sealSum uint32

	from      int32 // of files that are not sealed: the slots may lack entries from here on
	slotSums  []uint32
	entrySums []uint32 // the last may be that of a part of a block
}

// The states of a file.
const (
	stateOpen = iota
	stateSealed
	stateDamaged
)

// vouched is the content of the file of that name.
type vouched struct {
	mark  []byte
	files []record
}

func put32[T ~int32 | ~uint32 | ~int](dst []byte, v T) []byte { return be.AppendUint32(dst, uint32(v)) }
func put64[T ~int64](dst []byte, v T) []byte                  { return be.AppendUint64(dst, uint64(v)) }

func putSums(dst []byte, sums []uint32) []byte {
	dst = put32(dst, len(sums))
	for _, s := range sums {
		dst = put32(dst, s)
	}
	return dst
}

func begin(magic uint32) []byte { return put32(put32([]byte(nil), magic), uint32(fileVersion)) }

func seal(b []byte) []byte { return put32(b, crc32.Checksum(b, castagnoli)) }

func (v *vouched) append() []byte {
	b := begin(vouchedMagic)
	b = append(put32(b, len(v.mark)), v.mark...)
	b = put32(b, len(v.files))
	for i := range v.files {
		r := &v.files[i]
		b = append(b, r.name...)
		b = put32(put64(put64(b, r.shape.slots), r.shape.entries), uint32(r.shape.block))
		b = put64(put64(r.head.append(b), r.oldest), r.newest)
		switch {
		case r.damaged:
			b = put32(b, stateDamaged)
		case r.sealed:
			b = put32(put32(b, stateSealed), r.sealSum)
		default:
			b = put32(put32(b, stateOpen), r.from)
			b = putSums(putSums(b, r.slotSums), r.entrySums)
		}
	}
	return seal(b)
}

// taker takes numbers off the front of bytes. Behind their end it gives zeros and remembers that.
type taker struct {
	b     []byte
	short bool
}

func (t *taker) take(n int) []byte {
	if n < 0 || len(t.b) < n {
		t.short, t.b = true, nil
		return make([]byte, max(0, min(n, headSize)))
	}
	b := t.b[:n]
	t.b = t.b[n:]
	return b
}

func (t *taker) u32() uint32 { return be.Uint32(t.take(4)) }
func (t *taker) i64() int64  { return int64(be.Uint64(t.take(8))) }

// many is a count of things of size bytes each, which must be there.
func (t *taker) many(size int) int {
	n := int(t.u32())
	if n > len(t.b)/size {
		t.short, n = true, 0
	}
	return n
}

func (t *taker) sums() []uint32 {
	out := make([]uint32, t.many(4))
	for i := range out {
		out[i] = t.u32()
	}
	return out
}

// unseal checks magic, version and checksum.
func unseal(b []byte, magic uint32, name string) (taker, error) {
	if len(b) < 12 || crc32.Checksum(b[:len(b)-4], castagnoli) != be.Uint32(b[len(b)-4:]) {
		return taker{}, fmt.Errorf("%w: %s: checksum", penstock.ErrCorrupt, name)
	}
	if be.Uint32(b) != magic || be.Uint32(b[4:]) != fileVersion {
		return taker{}, fmt.Errorf("%w: %s: magic %08x, version %d", penstock.ErrCorrupt, name, be.Uint32(b), be.Uint32(b[4:]))
	}
	return taker{b: b[8 : len(b)-4]}, nil
}

func parseVouched(b []byte) (vouched, error) {
	t, err := unseal(b, vouchedMagic, vouchedFile)
	if err != nil {
		return vouched{}, err
	}
	v := vouched{mark: t.take(t.many(1))}
	for range t.many(nameLen + 20 + headSize + 24) {
		r := record{name: string(t.take(nameLen))}
		r.shape = shape{t.i64(), t.i64(), int64(t.u32())}
		r.head = parseHead(t.take(headSize))
		r.oldest, r.newest = penstock.Timestamp(t.i64()), penstock.Timestamp(t.i64())
		switch t.u32() {
		case stateDamaged:
			r.damaged = true
		case stateSealed:
			r.sealed, r.sealSum = true, t.u32()
		case stateOpen:
			r.from = int32(t.u32())
			r.slotSums, r.entrySums = t.sums(), t.sums()
		default:
			t.short = true
		}
		if !r.valid() {
			t.short = true
		}
		if t.short {
			break
		}
		v.files = append(v.files, r)
	}
	if t.short || len(t.b) > 0 {
		return vouched{}, fmt.Errorf("%w: %s: content", penstock.ErrCorrupt, vouchedFile)
	}
	return v, nil
}

func (r *record) valid() bool {
	count := int64(r.head.count)
	if _, ok := parseName(r.name); !ok || !r.shape.valid() || count < 1 || count > r.shape.entries {
		return false
	}
	return r.sealed || r.damaged || r.from >= 1 && int64(r.from) <= count && len(r.slotSums) == r.shape.slotBlocks() && len(r.entrySums) == r.shape.entryBlocks(count)
}

// readSums reads the checksums of a sealed file.
func (x *Index) readSums(f *file) (slots, entries []uint32, err error) {
	name := f.name + sumsSuffix
	b, err := x.d.ReadFile(path.Join(x.dir, name), maxSums)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%w: %s is missing", penstock.ErrCorrupt, name)
	}
	if err != nil {
		return nil, nil, err
	}
	if sum(b) != f.sealSum {
		return nil, nil, fmt.Errorf("%w: %s is not the one that is vouched for", penstock.ErrCorrupt, name)
	}
	t, err := unseal(b, sumsMagic, name)
	if err != nil {
		return nil, nil, err
	}
	slots, entries = t.sums(), t.sums()
	if t.short || len(t.b) > 0 || len(slots) != f.shape.slotBlocks() || len(entries) != f.shape.entryBlocks(f.count()) {
		return nil, nil, fmt.Errorf("%w: %s: content", penstock.ErrCorrupt, name)
	}
	return slots, entries, nil
}

// writeSums writes the checksums of a file that is full and clean, and returns their own.
func (x *Index) writeSums(name string, slots, entries []uint32) (uint32, error) {
	b := seal(putSums(putSums(begin(sumsMagic), slots), entries))
	return sum(b), x.d.WriteFile(path.Join(x.dir, name+sumsSuffix), b)
}
