package commit

import (
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"penstock"
)

// Checksums of a queue. They are CRC-32C of blocks of queueBlock entries, counted from the beginning of each file of the queue, and lie in the
// checkpoint. A block is compared when this process reads it for the first time. One that differs, or is not there, is made again from the
// log; the next checkpoint writes it.

// queueBlock is the number of entries that have one checksum: what the first look at a place reads.
const queueBlock = 8192

// sums are the checksums of a queue as its files are. They are guarded by Partition.own.
type sums struct {
	from int64    // nothing is known of entries before this place
	full []uint32 // of the blocks from from's on that have all their entries
	part uint32   // of the entries so far in the block that comes next
}

// old is what the checkpoint of the process before vouches for. It is guarded by Partition.hmu.
type old struct {
	from, to int64
	sums     []uint32         // the last may be that of a part of a block
	seen     map[int64]bool   // blocks that were compared
	fixed    map[int64][]byte // blocks made again: what the checkpoint vouched for of them
}

// blockOf is the number of the block that holds place i; blockStart and blockEnd are its bounds.
func (s *Store) blockOf(i int64) int64 {
	per := (s.o.QueueEntries + s.o.block - 1) / s.o.block
	return i/s.o.QueueEntries*per + i%s.o.QueueEntries/s.o.block
}

func (s *Store) blockStart(i int64) int64 {
	return i - i%s.o.QueueEntries%s.o.block
}

func (s *Store) blockEnd(i int64) int64 {
	return min(s.blockStart(i)+s.o.block, i-i%s.o.QueueEntries+s.o.QueueEntries)
}

// summed takes in entries that were written from place i on. The caller holds own.
func (p *Partition) summed(i int64, b []byte) {
	size := p.st.entrySize()
	for len(b) > 0 {
		n := min(int64(len(b))/size, p.st.blockEnd(i)-i)
		p.sums.part = crc32.Update(p.sums.part, castagnoli, b[:n*size])
		if i += n; i == p.st.blockEnd(i-1) {
			p.sums.full, p.sums.part = append(p.sums.full, p.sums.part), 0
		}
		b = b[n*size:]
	}
}

// cutSums forgets what the files have from place i on. What cannot be read of the block that stays in part is without a checksum from
// now on. The caller holds own; the files are as they were.
func (p *Partition) cutSums(i int64) {
	if i >= p.q.flushed {
		return
	}
	s := &p.sums
	defer p.cutOld(i)
	if start := max(p.st.blockStart(i), s.from); i > start {
		raw, err := p.raw(start, i)
		if err == nil {
			s.full = s.full[:p.st.blockOf(i)-p.st.blockOf(s.from)]
			s.part = crc32.Checksum(raw, castagnoli)
			return
		}
		p.st.o.Logger.Warn("entries of a queue are without a checksum", "partition", p.id, "before", i, "err", err)
		*s = sums{from: i}
		return
	}
	if i <= s.from {
		*s = sums{from: i}
		return
	}
	s.full, s.part = s.full[:p.st.blockOf(i)-p.st.blockOf(s.from)], 0
}

// cutOld forgets what the old checkpoint vouches for from place i on. The block that stays in part was compared, or cannot be.
func (p *Partition) cutOld(i int64) {
	p.hmu.Lock()
	defer p.hmu.Unlock()
	o := &p.old
	if i >= o.to {
		return
	}
	o.to = max(i, o.from)
	for b, raw := range o.fixed {
		switch {
		case b > p.st.blockOf(i):
			delete(o.fixed, b)
		case b == p.st.blockOf(i):
			from := max(p.st.blockStart(i), o.from)
			o.fixed[b] = raw[:max(0, i-from)*p.st.entrySize()]
		}
	}
}

// trimSums forgets blocks before the first entry kept. The caller holds own.
func (p *Partition) trimSums() {
	s := &p.sums
	first := p.st.blockStart(min(p.q.first, p.q.flushed))
	if n := p.st.blockOf(first) - p.st.blockOf(s.from); n > 0 && n <= int64(len(s.full)) {
		s.full, s.from = slices.Clone(s.full[n:]), first
	}
}

// list is what the checkpoint gets: the checksums of all blocks.
func (p *Partition) sumList() []uint32 {
	out := slices.Clone(p.sums.full)
	if i := p.q.flushed; i > p.sums.from && i > p.st.blockStart(i) {
		out = append(out, p.sums.part)
	}
	return out
}

// adoptSums takes over what the checkpoint says. One that does not fit counts as none.
func (p *Partition) adoptSums(snap *snapshot) {
	n := snap.count - 1 // the last entry
	if snap.sumFrom > n || snap.sumFrom < 0 || int64(len(snap.sums)) != p.st.blockOf(n)-p.st.blockOf(snap.sumFrom)+1 {
		p.sums = sums{from: snap.count}
		return
	}
	p.old = old{from: snap.sumFrom, to: snap.count, sums: snap.sums, seen: map[int64]bool{}, fixed: map[int64][]byte{}}
	p.sums = sums{from: snap.sumFrom, full: slices.Clone(snap.sums)}
	if last := len(snap.sums) - 1; p.st.blockEnd(n) > snap.count {
		p.sums.full, p.sums.part = p.sums.full[:last], snap.sums[last]
	}
}

// raw reads the entries from one place to another, all of one block, as they lie in the file.
func (p *Partition) raw(from, to int64) ([]byte, error) {
	sc := p.st.room()
	defer p.st.giveRoom(sc)
	if err := p.load(sc, from, int(to-from)); err != nil {
		return nil, err
	}
	if int64(len(sc.es)) != to-from {
		return nil, fmt.Errorf("%w: %d entries at %d, want %d", penstock.ErrCorrupt, len(sc.es), from, to-from)
	}
	var out []byte
	for i := range sc.es {
		out = p.st.appendEntry(out, &sc.es[i])
	}
	return out, nil
}

// span of what the old checkpoint vouches for in the block of place i.
func (p *Partition) oldSpan(i int64) (from, to int64) {
	return max(p.st.blockStart(i), p.old.from), min(p.st.blockEnd(i), p.old.to)
}

// check compares the block of place i with the old checkpoint the first time, and makes it again if it differs. The caller holds hmu.
func (p *Partition) check(i int64) error {
	if i < p.old.from || i >= p.old.to {
		return nil
	}
	b := p.st.blockOf(i)
	if p.old.seen[b] {
		return nil
	}
	from, to := p.oldSpan(i)
	size, want := p.st.entrySize(), p.old.sums[b-p.st.blockOf(p.old.from)]
	raw := make([]byte, (to-from)*size)
	h, err := p.queueHandle(p.queueFile(i))
	if err == nil {
		_, err = h.ReadAt(raw, from%p.st.o.QueueEntries*size)
		h.Release()
	}
	if err == nil && crc32.Checksum(raw, castagnoli) == want {
		p.old.seen[b] = true
		return nil
	}
	if errors.Is(err, penstock.ErrClosed) {
		return err
	}
	p.st.o.Logger.Error("queue is damaged, making entries again from the log", "partition", p.id, "from", from, "to", to, "err", err)
	if raw, err = p.remake(from, to); err != nil {
		return fmt.Errorf("partition %v: queue entries %d to %d are damaged: %w", p.id, from, to-1, err)
	}
	p.old.seen[b], p.old.fixed[b] = true, raw
	return nil
}

// writeFixed writes blocks that were made again. The caller holds own.
func (p *Partition) writeFixed() error {
	p.hmu.Lock()
	fixed := p.old.fixed
	p.hmu.Unlock()
	for b, raw := range fixed {
		i := p.old.from // the block's first place of those that were made again
		for p.st.blockOf(i) < b {
			i = p.st.blockEnd(i)
		}
		to := min(i+int64(len(raw))/p.st.entrySize(), p.q.flushed)
		if to > i && i >= p.q.first-p.q.first%p.st.o.QueueEntries {
			if err := p.writeQueue(p.queueFile(i), raw[:(to-i)*p.st.entrySize()], i%p.st.o.QueueEntries*p.st.entrySize()); err != nil {
				return fmt.Errorf("partition %v: queue: %w", p.id, err)
			}
			p.resum(i)
		}
		p.hmu.Lock()
		delete(p.old.fixed, b)
		p.hmu.Unlock()
	}
	return nil
}

// resum computes the checksum of the block that begins at place i, or at the first that has one, from what the file has. The caller holds own.
func (p *Partition) resum(i int64) {
	s := &p.sums
	start, end := max(p.st.blockStart(i), s.from), min(p.st.blockEnd(i), p.q.flushed)
	if start >= end {
		return
	}
	raw, err := p.raw(start, end)
	if err != nil {
		p.st.o.Logger.Warn("entries of a queue are without a checksum", "partition", p.id, "before", end, "err", err)
		return
	}
	crc := crc32.Checksum(raw, castagnoli)
	if k := p.st.blockOf(i) - p.st.blockOf(s.from); k < int64(len(s.full)) {
		s.full[k] = crc
		return
	}
	s.part = crc
}

// remake makes entries again from the log, as bytes. The caller holds hmu.
func (p *Partition) remake(from, to int64) ([]byte, error) {
	p.mu.RLock()
	groups, count, f := slices.Clone(p.q.groups), p.q.count, p.facts
	p.mu.RUnlock()
	var out []byte
	for i, g := range groups {
		end := count
		if i+1 < len(groups) {
			end = groups[i+1].idx
		}
		if end <= from || g.idx >= to {
			continue
		}
		next := g.idx
		err := p.st.walkPartition(p, g.file, &f, func(e *entry) {
			if e.base < g.base || p.st.messages && int64(e.base) != next || next >= end {
				return
			}
			if next >= from && next < to {
				out = p.st.appendEntry(out, e)
			}
			next++
		})
		if err != nil {
			return nil, err
		}
	}
	// What lies before the first group was trimmed: nobody reads it.
	lost := int64(0)
	if len(groups) > 0 {
		lost = max(0, min(to, groups[0].idx)-from)
	}
	size := p.st.entrySize()
	out = append(make([]byte, lost*size), out...)
	if int64(len(out)) != (to-from)*size {
		return nil, fmt.Errorf("%w: the log has %d of %d", penstock.ErrCorrupt, int64(len(out))/size, to-from)
	}
	return out, nil
}

// walkPartition visits the entries of a partition's batches in one file of the log, but for those that are void.
func (s *Store) walkPartition(p *Partition, file penstock.Position, f *facts, visit func(*entry)) error {
	lf, err := s.log.open(file)
	if err != nil {
		return err
	}
	defer lf.h.Release()
	w := walk{s: s, pos: lf.start, only: p}
	w.sink = func(b []byte, at penstock.Position, g *gist) error {
		h, err := s.f.Header(b[:s.f.HeaderSize()])
		if err == nil && at >= p.owner.from && !f.void(h.BaseOffset, at) {
			visit(&entry{base: h.BaseOffset, pos: at, size: h.Size, delta: h.LastDelta, maxAt: h.MaxTimestamp, tag: g.code(h.MaxTimestamp)})
		}
		return err
	}
	end := min(lf.end(), max(lf.start, penstock.Position(s.log.end.Load())))
	for end == lf.start || w.pos < end { // while the store is opened nobody knows the end
		n, err := w.step(lf)
		if errors.Is(err, penstock.ErrCorrupt) {
			return nil // the rest is blank, or damaged: whoever counts sees
		}
		if err != nil {
			return err
		}
		w.pos += penstock.Position(n)
	}
	return nil
}
