package commit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"penstock"
	"penstock/store"
)

// The magic numbers of our own small files, each "PSC" and a letter. A version follows, and a CRC-32C ends the file.
const (
	ownerMagic      = 0x5053434f
	factsMagic      = 0x50534346
	stateMagic      = 0x50534353
	checkpointMagic = 0x50534350
	cleanMagic      = 0x5053434c
	fileVersion     = 1

	checkpointVersion = 2 // 1 had no checksums of queues
)

// Limits of files that are read whole.
const (
	maxSmallBytes      = 64 << 10
	maxFactsBytes      = 64 << 20
	maxStateBytes      = 256 << 20
	maxCheckpointBytes = 1 << 30
)

// errFile says that one of our own small files cannot be believed.
var errFile = errors.New("file is damaged")

// begin appends magic and version, seal the checksum of what lies behind from.
func begin(dst []byte, magic uint32) []byte {
	return put32(put32(dst, magic), versionOf(magic))
}

func versionOf(magic uint32) uint32 {
	if magic == checkpointMagic {
		return checkpointVersion
	}
	return fileVersion
}

func seal(dst []byte, from int) []byte { return put32(dst, crc32.Checksum(dst[from:], castagnoli)) }

func put32(dst []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(dst, v) }

func put64[T ~int64 | ~uint64](dst []byte, v T) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(v))
}

// reader takes numbers off the front of bytes. Behind their end it reads zeros and remembers that.
type reader struct {
	b     []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if len(r.b) < n {
		r.short, r.b = true, nil
		return make([]byte, n)
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) u32() uint32 { return binary.BigEndian.Uint32(r.take(4)) }
func (r *reader) i64() int64  { return int64(binary.BigEndian.Uint64(r.take(8))) }

// many reads a count of things of size bytes each, which must be there.
func (r *reader) many(size int) int {
	n := int(r.u32())
	if n > len(r.b)/size {
		r.short, n = true, 0
	}
	return n
}

// end is the error of what was read.
func (r *reader) end(what string) error {
	if r.short || len(r.b) > 0 {
		return fmt.Errorf("%w: %s: length", errFile, what)
	}
	return nil
}

// unseal checks magic, version and checksum, and returns what lies between version and checksum.
func unseal(b []byte, magic uint32, what string) (reader, error) {
	if len(b) < 12 || crc32.Checksum(b[:len(b)-4], castagnoli) != binary.BigEndian.Uint32(b[len(b)-4:]) {
		return reader{}, fmt.Errorf("%w: %s: checksum", errFile, what)
	}
	if m, v := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]); m != magic || v != versionOf(magic) {
		return reader{}, fmt.Errorf("%w: %s: magic %08x version %d", errFile, what, m, v)
	}
	return reader{b: b[8 : len(b)-4]}, nil
}

// owner is the content of the file "owner": the batches in the log from this position on that name the partition, or of messages
// topic and queue, are this partition's.
type owner struct {
	from penstock.Position
	name queueName // of messages only
}

func (o *owner) append(dst []byte) []byte {
	at := len(dst)
	dst = put64(begin(dst, ownerMagic), o.from)
	dst = put32(dst, uint32(o.name.queue))
	return seal(append(dst, o.name.topic...), at)
}

func parseOwner(b []byte) (owner, error) {
	r, err := unseal(b, ownerMagic, ownerFile)
	if err != nil {
		return owner{}, err
	}
	o := owner{from: penstock.Position(r.i64()), name: queueName{queue: int32(r.u32())}}
	o.name.topic = string(r.b)
	if r.short || o.from < 0 {
		return owner{}, fmt.Errorf("%w: %s", errFile, ownerFile)
	}
	return o, nil
}

// cut is a truncation: batches from offset to on that lie before position at are void.
type cut struct {
	at   penstock.Position
	to   penstock.Offset
	idx  int64 // place of the first entry that went
	left int64 // bytes of batches that stay, of those in the same file of the log as the first that went
}

// badRange is a run of offsets that cannot be read.
type badRange struct{ from, to penstock.Offset }

// facts is the content of the file "facts".
type facts struct {
	start  penstock.Offset // first offset that readers see
	first  penstock.Offset // first offset that the queue keeps
	epochs []store.EpochStart
	cuts   []cut
	bad    []badRange
}

func (f *facts) append(dst []byte) []byte {
	at := len(dst)
	dst = put64(put64(begin(dst, factsMagic), f.start), f.first)
	dst = put32(dst, uint32(len(f.epochs)))
	for _, e := range f.epochs {
		dst = put64(put32(dst, uint32(e.Epoch)), e.Start)
	}
	dst = put32(dst, uint32(len(f.cuts)))
	for _, c := range f.cuts {
		dst = put64(put64(put64(put64(dst, c.at), c.to), c.idx), c.left)
	}
	dst = put32(dst, uint32(len(f.bad)))
	for _, b := range f.bad {
		dst = put64(put64(dst, b.from), b.to)
	}
	return seal(dst, at)
}

func parseFacts(b []byte) (f facts, err error) {
	r, err := unseal(b, factsMagic, factsFile)
	if err != nil {
		return f, err
	}
	f.start, f.first = penstock.Offset(r.i64()), penstock.Offset(r.i64())
	for range r.many(12) {
		f.epochs = append(f.epochs, store.EpochStart{Epoch: penstock.Epoch(r.u32()), Start: penstock.Offset(r.i64())})
	}
	for range r.many(32) {
		f.cuts = append(f.cuts, cut{penstock.Position(r.i64()), penstock.Offset(r.i64()), r.i64(), r.i64()})
	}
	for range r.many(16) {
		f.bad = append(f.bad, badRange{penstock.Offset(r.i64()), penstock.Offset(r.i64())})
	}
	if err := r.end(factsFile); err != nil || f.first < 0 || f.start < f.first {
		return facts{}, errors.Join(err, fmt.Errorf("%w: %s: start %d, first %d", errFile, factsFile, f.start, f.first))
	}
	return f, nil
}

// void reports whether a batch at a position was cut off later.
func (f *facts) void(base penstock.Offset, pos penstock.Position) bool {
	for _, c := range f.cuts {
		if base >= c.to && pos < c.at {
			return true
		}
	}
	return false
}

// snapshot is what the checkpoint says of a partition: everything of it that lies in the log before upto is in the files of
// its queue.
type snapshot struct {
	from   penstock.Position // as in "owner": whose queue it is
	upto   penstock.Position
	first  int64
	count  int64
	end    penstock.Offset
	kept   kept
	groups []group

	sumFrom int64    // place of the first entry that has a checksum
	sums    []uint32 // of blocks of entries, the last of them maybe of a part
}

// kept says that the owner's state saved at the offset saved, NoOffset for none, is still true at until. The zero value says nothing.
type kept struct{ saved, until penstock.Offset }

const groupSize = 8*6 + 4

func (s *snapshot) append(dst []byte, id penstock.PartitionID) []byte {
	dst = put32(append(dst, id.Topic[:]...), uint32(id.Partition))
	dst = put64(put64(put64(put64(put64(dst, s.from), s.upto), s.first), s.count), s.end)
	dst = put64(put64(dst, s.kept.saved), s.kept.until)
	dst = put32(dst, uint32(len(s.groups)))
	for _, g := range s.groups {
		dst = put64(put64(put64(put64(put64(put64(dst, g.file), g.idx), g.base), g.bytes), g.maxAt), g.lastAt)
		sorted := uint32(0)
		if g.sorted {
			sorted = 1
		}
		dst = put32(dst, sorted)
	}
	dst = put32(put64(dst, s.sumFrom), uint32(len(s.sums)))
	for _, c := range s.sums {
		dst = put32(dst, c)
	}
	return dst
}

func (r *reader) snapshot() (id penstock.PartitionID, s snapshot) {
	copy(id.Topic[:], r.take(16))
	id.Partition = int32(r.u32())
	s.from, s.upto = penstock.Position(r.i64()), penstock.Position(r.i64())
	s.first, s.count, s.end = r.i64(), r.i64(), penstock.Offset(r.i64())
	s.kept = kept{penstock.Offset(r.i64()), penstock.Offset(r.i64())}
	for range r.many(groupSize) {
		s.groups = append(s.groups, group{file: penstock.Position(r.i64()), idx: r.i64(), base: penstock.Offset(r.i64()), bytes: r.i64(),
			maxAt: penstock.Timestamp(r.i64()), lastAt: penstock.Timestamp(r.i64()), sorted: r.u32() == 1})
	}
	s.sumFrom = r.i64()
	for range r.many(4) {
		s.sums = append(s.sums, r.u32())
	}
	return id, s
}

// checkpoint is the content of the file "checkpoint".
type checkpoint struct {
	seq uint64
	pos penstock.Position // the log is durable up to here, and walked from here after an unclean stop
	of  map[penstock.PartitionID]snapshot
}

func (c *checkpoint) append(dst []byte) []byte {
	at := len(dst)
	dst = put64(put64(begin(dst, checkpointMagic), c.seq), c.pos)
	dst = put32(dst, uint32(len(c.of)))
	for id, s := range c.of {
		dst = s.append(dst, id)
	}
	return seal(dst, at)
}

func parseCheckpoint(b []byte) (c checkpoint, err error) {
	r, err := unseal(b, checkpointMagic, checkpointFile)
	if err != nil {
		return c, err
	}
	c = checkpoint{seq: uint64(r.i64()), pos: penstock.Position(r.i64()), of: map[penstock.PartitionID]snapshot{}}
	for range r.many(20 + 8*8 + 8) {
		id, s := r.snapshot()
		c.of[id] = s
	}
	return c, r.end(checkpointFile)
}

// appendClean and parseClean are the marker of a clean stop: the number of the checkpoint that was the last thing written.
func appendClean(dst []byte, seq uint64) []byte {
	at := len(dst)
	return seal(put64(begin(dst, cleanMagic), seq), at)
}

func parseClean(b []byte) (uint64, error) {
	r, err := unseal(b, cleanMagic, cleanFile)
	if err != nil {
		return 0, err
	}
	seq := uint64(r.i64())
	return seq, r.end(cleanFile)
}

func appendState(dst []byte, at penstock.Offset, state []byte) []byte {
	from := len(dst)
	return seal(append(put64(begin(dst, stateMagic), at), state...), from)
}

func parseState(b []byte) (penstock.Offset, []byte, error) {
	r, err := unseal(b, stateMagic, "state")
	if err != nil {
		return penstock.NoOffset, nil, err
	}
	at := penstock.Offset(r.i64())
	return at, r.b, nil
}
