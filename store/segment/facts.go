package segment

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"penstock"
)

// facts are what is known of a segment without opening it.
type facts struct {
	base  penstock.Offset
	next  penstock.Offset   // offset after its last record
	size  int64             // bytes of whole batches
	start penstock.Position // of its first byte in the log
	build builder
	sums  sums // of the index files with build's entries; the time index of a sealed segment includes the closing entry
}

// Sizes of the encoded parts, checked by a test.
const (
	builderSize  = 4 + 4 + 4 + 8 + 8 + 8 + 4 + 8 + 12
	factsSize    = 8 + 8 + 8 + 8 + builderSize + 12
	badSize      = 5 * 8
	manifestHead = 4 + 4 + 8 + 8 + 8 + 8 + 4 + 4
	pointSize    = 16 + 4 + factsSize + 16
	queuePoint   = pointSize + 4
	pointHead    = 4 + 4 + 8 + 4
	crcSize      = 4
)

const (
	manifestMagic   = 0x50534753 // "PSGS"
	checkpointMagic = 0x5053434b // "PSCK"
	cleanMagic      = 0x5053434c // "PSCL"
	stateMagic      = 0x50535354 // "PSST"
	fileVersion     = 1
	pointsVersion   = 2 // of the checkpoint: version 1 did not say how far states hold
	queuesVersion   = 3 // of the checkpoint of partitions with queues: these have numbers
)

// errFile says that one of our own small files cannot be believed.
var errFile = errors.New("file is damaged")

func (b *builder) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(b.interval))
	dst = binary.BigEndian.AppendUint32(dst, uint32(b.offs))
	dst = binary.BigEndian.AppendUint32(dst, uint32(b.times))
	dst = binary.BigEndian.AppendUint64(dst, uint64(b.since))
	dst = binary.BigEndian.AppendUint64(dst, uint64(b.firstAt))
	dst = binary.BigEndian.AppendUint64(dst, uint64(b.maxAt))
	dst = binary.BigEndian.AppendUint32(dst, b.maxLast)
	dst = binary.BigEndian.AppendUint64(dst, uint64(b.timeAt))
	dst = binary.BigEndian.AppendUint32(dst, b.named.base)
	dst = binary.BigEndian.AppendUint32(dst, b.named.last)
	return binary.BigEndian.AppendUint32(dst, b.named.pos)
}

func (f *facts) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(f.base))
	dst = binary.BigEndian.AppendUint64(dst, uint64(f.next))
	dst = binary.BigEndian.AppendUint64(dst, uint64(f.size))
	dst = binary.BigEndian.AppendUint64(dst, uint64(f.start))
	dst = f.build.append(dst)
	dst = binary.BigEndian.AppendUint32(dst, f.sums.off)
	dst = binary.BigEndian.AppendUint32(dst, f.sums.time)
	return binary.BigEndian.AppendUint32(dst, f.sums.base)
}

// reader takes numbers off the front of bytes whose length was checked.
type reader struct{ b []byte }

func (r *reader) u32() uint32 {
	v := binary.BigEndian.Uint32(r.b)
	r.b = r.b[4:]
	return v
}

func (r *reader) u64() uint64 {
	v := binary.BigEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

func (r *reader) builder() builder {
	return builder{
		interval: int32(r.u32()), offs: int32(r.u32()), times: int32(r.u32()), since: int64(r.u64()),
		firstAt: penstock.Timestamp(r.u64()), maxAt: penstock.Timestamp(r.u64()), maxLast: r.u32(), timeAt: penstock.Timestamp(r.u64()),
		named: entry{r.u32(), r.u32(), r.u32()},
	}
}

func (r *reader) facts() facts {
	return facts{
		base: penstock.Offset(r.u64()), next: penstock.Offset(r.u64()), size: int64(r.u64()), start: penstock.Position(r.u64()),
		build: r.builder(), sums: sums{off: r.u32(), time: r.u32(), base: r.u32()},
	}
}

// valid reports whether the facts could be true: everything that later sizes an allocation is bounded by the file.
func (f *facts) valid() bool {
	b := &f.build
	return f.base >= 0 && f.next >= f.base && f.size >= 0 && f.size <= maxSegmentBytes && f.start >= 0 && b.interval >= 0 &&
		b.offs >= 0 && b.times >= 0 && int64(b.offs) <= f.size && b.times <= b.offs+1 && b.since >= 0
}

// badRange is a run of offsets that cannot be read, and where it lies. A segment that is missing has no bytes.
type badRange struct {
	from, to penstock.Offset
	base     penstock.Offset // of the segment
	pos, end int64           // bytes in it
}

// manifest is the content of the file "segments" of a partition.
type manifest struct {
	void     uint64            // recovery points of checkpoints up to this number do not count
	start    penstock.Offset   // first offset kept
	first    penstock.Offset   // base of the first segment kept
	firstPos penstock.Position // of its first byte
	segs     []facts           // sealed and durable, in order
	bad      []badRange
}

// end is the base of the segment that follows those named.
func (m *manifest) end() penstock.Offset {
	if len(m.segs) == 0 {
		return m.first
	}
	return m.segs[len(m.segs)-1].next
}

func (m *manifest) append(dst []byte) []byte {
	from := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, manifestMagic)
	dst = binary.BigEndian.AppendUint32(dst, fileVersion)
	dst = binary.BigEndian.AppendUint64(dst, m.void)
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.start))
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.first))
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.firstPos))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(m.segs)))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(m.bad)))
	for i := range m.segs {
		dst = m.segs[i].append(dst)
	}
	for _, b := range m.bad {
		for _, v := range [...]int64{int64(b.from), int64(b.to), int64(b.base), b.pos, b.end} {
			dst = binary.BigEndian.AppendUint64(dst, uint64(v))
		}
	}
	return seal(dst, from)
}

// seal appends the checksum of what lies behind from.
func seal(dst []byte, from int) []byte {
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[from:], castagnoli))
}

// unseal checks magic, version, checksum and least length, and returns what lies between version and checksum.
func unseal(b []byte, magic uint32, least int) (reader, error) {
	return unsealVersion(b, magic, fileVersion, least)
}

func unsealVersion(b []byte, magic, version uint32, least int) (reader, error) {
	if len(b) < least+crcSize || len(b) < 8+crcSize {
		return reader{}, fmt.Errorf("%w: %d bytes", errFile, len(b))
	}
	body := b[:len(b)-crcSize]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(b[len(body):]) {
		return reader{}, fmt.Errorf("%w: checksum", errFile)
	}
	if m, v := binary.BigEndian.Uint32(body), binary.BigEndian.Uint32(body[4:]); m != magic || v != version {
		return reader{}, fmt.Errorf("%w: magic %08x version %d", errFile, m, v)
	}
	return reader{body[8:]}, nil
}

func parseManifest(b []byte) (*manifest, error) {
	r, err := unseal(b, manifestMagic, manifestHead)
	if err != nil {
		return nil, err
	}
	m := &manifest{void: r.u64(), start: penstock.Offset(r.u64()), first: penstock.Offset(r.u64()), firstPos: penstock.Position(r.u64())}
	segs, bad := int64(r.u32()), int64(r.u32())
	if segs*factsSize+bad*badSize != int64(len(r.b)) {
		return nil, fmt.Errorf("%w: %d segments and %d ranges in %d bytes", errFile, segs, bad, len(r.b))
	}
	m.segs = make([]facts, segs)
	next := m.first
	for i := range m.segs {
		m.segs[i] = r.facts()
		if f := &m.segs[i]; !f.valid() || f.base < next {
			return nil, fmt.Errorf("%w: facts of segment %d", errFile, f.base)
		}
		next = m.segs[i].next
	}
	for range bad {
		m.bad = append(m.bad, badRange{penstock.Offset(r.u64()), penstock.Offset(r.u64()), penstock.Offset(r.u64()), int64(r.u64()), int64(r.u64())})
	}
	if m.start < m.first || m.first < 0 || m.firstPos < 0 {
		return nil, fmt.Errorf("%w: start %d before first segment %d", errFile, m.start, m.first)
	}
	return m, nil
}

// points is the content of the file segment.checkpoint: for each partition its active segment as far as it is durable.
type points struct {
	seq   uint64
	of    []noted // by topic and number, each once
	dense bool    // the numbers of partitions are noted as well
}

// noted is a partition with its point.
type noted struct {
	id penstock.PartitionID
	point
}

// before orders points in the file, so that two with the same content are the same bytes.
func (n *noted) before(o *noted) int {
	return cmp.Or(bytes.Compare(n.id.Topic[:], o.id.Topic[:]), cmp.Compare(n.id.Partition, o.id.Partition))
}

// point is what the checkpoint says of one partition.
type point struct {
	facts
	kept   kept
	number int32 // of the partition in positions of messages; noNumber for none
}

// kept says that the owner's state saved at the offset saved, NoOffset for none, is still true at until. The zero value says
// nothing.
type kept struct{ saved, until penstock.Offset }

// form is the version of the file, and the bytes of a point.
func (p *points) form() (version uint32, size int) {
	if p.dense {
		return queuesVersion, queuePoint
	}
	return pointsVersion, pointSize
}

func (p *points) append(dst []byte) []byte {
	from := len(dst)
	version, size := p.form()
	dst = slices.Grow(dst, pointHead+len(p.of)*size+crcSize)
	dst = binary.BigEndian.AppendUint32(dst, checkpointMagic)
	dst = binary.BigEndian.AppendUint32(dst, version)
	dst = binary.BigEndian.AppendUint64(dst, p.seq)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(p.of)))
	for i := range p.of {
		f := &p.of[i]
		dst = append(dst, f.id.Topic[:]...)
		dst = binary.BigEndian.AppendUint32(dst, uint32(f.id.Partition))
		dst = f.facts.append(dst)
		dst = binary.BigEndian.AppendUint64(dst, uint64(f.kept.saved))
		dst = binary.BigEndian.AppendUint64(dst, uint64(f.kept.until))
		if p.dense {
			dst = binary.BigEndian.AppendUint32(dst, uint32(f.number))
		}
	}
	return seal(dst, from)
}

func parsePoints(b []byte, dense bool) (points, error) {
	p := points{dense: dense}
	version, size := p.form()
	r, err := unsealVersion(b, checkpointMagic, version, pointHead)
	if err != nil {
		return p, err
	}
	p.seq = r.u64()
	n := int64(r.u32())
	if n*int64(size) != int64(len(r.b)) {
		return p, fmt.Errorf("%w: %d points in %d bytes", errFile, n, len(r.b))
	}
	p.of = make([]noted, 0, n)
	for range n {
		var id penstock.PartitionID
		copy(id.Topic[:], r.b)
		r.b = r.b[len(id.Topic):]
		id.Partition = int32(r.u32())
		f := point{facts: r.facts(), kept: kept{penstock.Offset(r.u64()), penstock.Offset(r.u64())}, number: noNumber}
		if dense {
			f.number = int32(r.u32())
		}
		if !f.valid() || f.number < noNumber || f.number > lastNumber {
			return p, fmt.Errorf("%w: point of %v", errFile, id)
		}
		p.of = append(p.of, noted{id, f})
	}
	return p, nil
}

// appendClean and parseClean are the clean-shutdown marker: the number of the checkpoint that was the last thing written.
func appendClean(dst []byte, seq uint64) []byte {
	from := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, cleanMagic)
	dst = binary.BigEndian.AppendUint32(dst, fileVersion)
	return seal(binary.BigEndian.AppendUint64(dst, seq), from)
}

func parseClean(b []byte) (seq uint64, err error) {
	r, err := unseal(b, cleanMagic, 16)
	if err != nil {
		return 0, err
	}
	return r.u64(), nil
}

// appendState and parseState are an owner's state.
func appendState(dst []byte, at penstock.Offset, state []byte) []byte {
	from := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, stateMagic)
	dst = binary.BigEndian.AppendUint32(dst, fileVersion)
	dst = binary.BigEndian.AppendUint64(dst, uint64(at))
	return seal(append(dst, state...), from)
}

func parseState(b []byte) (at penstock.Offset, state []byte, err error) {
	r, err := unseal(b, stateMagic, 16)
	if err != nil {
		return penstock.NoOffset, nil, err
	}
	return penstock.Offset(r.u64()), r.b, nil
}
