package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"penstock"
	"penstock/disk"
	"penstock/message"
	"penstock/store"
)

// A segment of messages has a queue in place of the sparse indexes: an entry for every batch, RocketMQ's, so that entry n is that of
// offset base+n. Of what the indexes of records are, a queue differs in three things. It is never loaded whole: entries
// are read from the file as they are asked for, after the file was compared once with its checksum. It has no times:
// looking for one goes over headers in the log, by halves. And of the active segment only the last entries stay in memory.

// cell is what a queue has of the batch with one offset.
type cell struct {
	pos  uint32 // first byte in the segment
	size int32  // 0: nobody knows, the place is quarantined
	tag  int64  // code of the tag
}

// cellSize is the size of an entry in the file: position (8), size (4), code of the tag (8).
const cellSize = 20

// maxCells bounds the entries of an active segment in memory: the file gets them then, and a quarter stays.
const maxCells = 1024

// grown reports whether entries in memory should go to the files.
func (p *Partition) grown() bool {
	return len(p.tail.offs) > maxTailEntries || len(p.tail.cells) > p.st.o.cells
}

// offSize is the size of an entry in the file that a batch is found by.
func (s *Store) offSize() int64 {
	if s.dense {
		return cellSize
	}
	return offEntrySize
}

// indexSuffixes are the files beside a log in the order in which they are synced, newSuffixes those that are made with it, and
// suffixes all in the order in which they are removed.
func (s *Store) indexSuffixes() []string {
	if s.dense {
		return []string{queueSuffix}
	}
	return []string{offSuffix, timeSuffix, baseSuffix}
}

func (s *Store) newSuffixes() []string {
	if s.dense {
		return []string{queueSuffix}
	}
	return []string{offSuffix, timeSuffix}
}

func (s *Store) suffixes() []string {
	if s.dense {
		return []string{queueSuffix, logSuffix}
	}
	return []string{timeSuffix, baseSuffix, offSuffix, logSuffix}
}

// newBuilder is the builder of a new segment.
func (p *Partition) newBuilder() builder {
	if p.st.dense {
		return newBuilder(0)
	}
	return newBuilder(p.cfg.Load().IndexInterval)
}

// addCell takes the next batch of a segment of messages, which begins at pos. Offsets that are missing get empty entries. Of the builder's fields
// offs, firstAt and maxAt mean what they do for records, since is the longest way in milliseconds that a time lies before
// one in front of it, and timeAt is such that there is no closing entry.
func (b *builder) addCell(x *index, base penstock.Offset, h *penstock.BatchHeader, pos, tag int64) {
	rel := int32(h.BaseOffset - base)
	for ; b.offs < rel; b.offs++ {
		x.cells = append(x.cells, cell{pos: uint32(pos)})
	}
	if pos == 0 {
		b.firstAt = h.MaxTimestamp
	}
	if h.MaxTimestamp > b.maxAt {
		b.maxAt, b.maxLast = h.MaxTimestamp, uint32(rel)
	}
	b.since = max(b.since, int64(b.maxAt-h.MaxTimestamp))
	b.timeAt = b.maxAt
	b.named = entry{uint32(rel), uint32(rel), uint32(pos)}
	b.offs = rel + 1
	x.cells = append(x.cells, cell{uint32(pos), h.Size, tag})
}

// gist is what a queue needs of a message.
type gist struct {
	tag int64
	at  penstock.Position // that was stamped
}

// describe takes the gist of a whole message. Properties that end in a zero byte are refused: this is how a message looks of which
// a power cut has taken the end, its record's checksum with it.
func describe(b []byte) (gist, error) {
	m, err := message.Parse(b)
	if err != nil {
		return gist{}, err
	}
	if n := len(m.Properties); n > 0 && m.Properties[n-1] == 0 {
		return gist{}, fmt.Errorf("%w: message whose properties end in a zero byte", penstock.ErrCorrupt)
	}
	g := gist{at: m.Position}
	if tag, ok := message.Property(m.Properties, message.PropertyTags); ok {
		g.tag = int64(message.HashOn(0, tag))
	}
	return g, nil
}

// describeAt takes the gist of the batch at the walker, whose offset must be at least least and below next.
func describeAt(w *walker, h *penstock.BatchHeader, least, next penstock.Offset) (gist, error) {
	if h.BaseOffset < least || h.BaseOffset >= next {
		return gist{}, fmt.Errorf("%w: batch of offset %d where %d should be", penstock.ErrCorrupt, h.BaseOffset, least)
	}
	b, err := w.body(h)
	if err != nil {
		return gist{}, err
	}
	return describe(b)
}

// weighMessage checks that batch i of an append is one message that has a place in a queue, and notes its tag. The caller holds w.
func (p *Partition) weighMessage(i int, b []byte) error {
	if !p.st.dense {
		return nil
	}
	g, err := describe(b)
	if err != nil {
		return err
	}
	p.w.tags = append(p.w.tags[:i], g.tag)
	return nil
}

// beforeMessages makes durable what the log of messages does not tell: which number the partition has, and where an epoch begins. The
// caller holds w.
func (p *Partition) beforeMessages(epoch penstock.Epoch, n int64) error {
	if !p.st.dense || n == 0 {
		return nil
	}
	if err := p.takeNumber(); err != nil {
		return err
	}
	if epoch <= p.lastEpoch() && !p.w.files.epochs {
		return nil
	}
	return p.writeEpochs(store.AssignEpoch(p.epochs, store.EpochStart{Epoch: epoch, Start: penstock.Offset(p.end.Load())}))
}

// appendCells writes entries as they lie in the file of s.
func (p *Partition) appendCells(dst []byte, s *segment, cells []cell) []byte {
	dst = slices.Grow(dst, len(cells)*cellSize)
	for _, e := range cells {
		dst = binary.BigEndian.AppendUint64(dst, uint64(p.global(s.start+penstock.Position(e.pos))))
		dst = binary.BigEndian.AppendUint32(dst, uint32(e.size))
		dst = binary.BigEndian.AppendUint64(dst, uint64(e.tag))
	}
	return dst
}

// parseCells reads entries of s. One that points out of the segment is empty.
func parseCells(dst []cell, s *segment, b []byte) []cell {
	for ; len(b) >= cellSize; b = b[cellSize:] {
		e := cell{size: int32(binary.BigEndian.Uint32(b[8:])), tag: int64(binary.BigEndian.Uint64(b[12:]))}
		pos := (penstock.Position(binary.BigEndian.Uint64(b)) - s.start) & (logBytes - 1)
		if pos > maxSegmentBytes || e.size < 0 {
			pos, e = 0, cell{}
		}
		e.pos = uint32(pos)
		dst = append(dst, e)
	}
	return dst
}

// flushQueue writes the entries of the active segment that its file does not have yet, and brings the checksum up to date. The
// caller holds w. It reports whether the file has everything.
func (p *Partition) flushQueue() bool {
	seg := p.active()
	cells := p.tail.cells
	buf := p.appendCells(p.w.buf[:0], seg, cells[p.w.summed.offs-p.head.offs:])
	seg.sums.off = crcUpdate(seg.sums.off, buf)
	again := p.w.inFile != p.w.summed
	p.w.summed = tally{offs: seg.build.offs}
	p.w.buf = buf
	if p.w.inFile == p.w.summed {
		return true
	}
	if again {
		buf = p.appendCells(buf[:0], seg, cells[p.w.inFile.offs-p.head.offs:])
		p.w.buf = buf
	}
	if err := p.writeIndexFile(fileName(p.dir, seg.base, queueSuffix), buf, int64(p.w.inFile.offs)*cellSize); err != nil {
		p.log().Warn("queue not written, to be built again", "partition", p.id, "segment", seg.base, "err", err)
		return false
	}
	p.w.inFile = p.w.summed
	return true
}

// dropCells gives up entries in memory that the file has, but for the last keep. The caller holds w.
func (p *Partition) dropCells(keep int) {
	n := len(p.tail.cells) - keep
	if p.w.inFile != p.w.summed || n <= 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.head.offs += int32(n)
	rest := p.tail.cells[n:]
	if keep == 0 || cap(p.tail.cells) > 4*p.st.o.cells {
		p.tail.cells = append([]cell(nil), rest...)
		return
	}
	p.tail.cells = append(p.tail.cells[:0], rest...)
}

// writeQueue replaces the file of a segment's queue.
func (p *Partition) writeQueue(s *segment, cells []cell) error {
	err := p.writeIndexFile(fileName(p.dir, s.base, queueSuffix), p.appendCells(nil, s, cells), 0)
	if err != nil {
		p.log().Warn("queue not written", "partition", p.id, "segment", s.base, "err", err)
	}
	return err
}

// checkPiece is how many bytes of a queue are compared with its checksum at once.
const checkPiece = 64 << 10

// checkQueue compares the first entries of a queue's file with their checksum.
func (p *Partition) checkQueue(base penstock.Offset, t tally) error {
	n := int64(t.offs) * cellSize
	if n == 0 {
		return nil
	}
	name := fileName(p.dir, base, queueSuffix)
	h, err := p.st.d.OpenFile(name, false)
	if err != nil {
		return err
	}
	defer h.Release()
	if size, err := h.Size(); err != nil || size < n {
		return fmt.Errorf("%w: %s has %d bytes, want %d: %v", errFile, name, size, n, err)
	}
	buf, sum := make([]byte, min(n, checkPiece)), uint32(0)
	for at := int64(0); at < n; at += int64(len(buf)) {
		buf = buf[:min(int64(len(buf)), n-at)]
		if _, err := h.ReadAt(buf, at); err != nil && err != io.EOF {
			return fmt.Errorf("index file %s: %w", name, err)
		}
		sum = crcUpdate(sum, buf)
	}
	if sum != t.sums.off {
		return fmt.Errorf("%w: checksum of %s", errFile, name)
	}
	return nil
}

// loadQueue makes sure that the entries of s can be read from its file, or builds them from the log. Only where they cannot be written
// again either, or where anew says that the file cannot be read, are they kept in memory, in the cache. The caller keeps file, the log, alive.
func (p *Partition) loadQueue(s *segment, file io.ReaderAt, anew bool) error {
	p.loading.Lock()
	defer p.loading.Unlock()
	p.mu.RLock()
	t, sealed, had := p.wanted(s), s != p.active(), p.head.offs
	p.mu.RUnlock()
	if !anew {
		if s.checked.Load() {
			return nil
		}
		err := p.checkQueue(s.base, t)
		if err == nil {
			p.mu.RLock()
			defer p.mu.RUnlock()
			if sealed == (s != p.active()) {
				s.checked.Store(true)
			}
			return nil
		}
		p.log().Warn("queue does not fit, building it from the log", "partition", p.id, "segment", s.base, "err", err)
	}
	if !sealed {
		t = tally{offs: had}
	}
	x, err := p.rebuild(s, file, t, sealed)
	if x == nil {
		return err
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	switch {
	case sealed != (s != p.active()) || s.gone: // sealed or cut meanwhile
	case err == nil && sealed && !anew && int32(len(x.cells)) == t.offs:
		s.checked.Store(true)
	default:
		p.st.cache.put(s, x)
	}
	return nil
}

// room is what a look at a queue works in.
type room struct {
	cells []cell
	raw   []byte
}

// cells are up to n entries of s from entry i on, at least one, read into r. They are right as long as no offsets were taken back.
func (p *Partition) cells(r *room, s *segment, i int64, n int) ([]cell, error) {
	for try := 0; ; try++ {
		r.cells = r.cells[:0]
		p.mu.RLock()
		stop := int64(s.build.offs)
		if s == p.active() {
			if k := i - int64(p.head.offs); k >= 0 && i < stop {
				r.cells = append(r.cells, p.tail.cells[k:min(int(k)+n, len(p.tail.cells))]...)
				p.mu.RUnlock()
				return r.cells, nil
			}
			stop = int64(p.head.offs)
		}
		checked := s.checked.Load()
		p.mu.RUnlock()
		if x := s.idx.Load(); x != nil && i >= 0 && i < int64(len(x.cells)) {
			s.touch()
			r.cells = append(r.cells, x.cells[i:min(int(i)+n, len(x.cells))]...)
			return r.cells, nil
		}
		if i < 0 || i >= stop {
			return nil, fmt.Errorf("partition %v: segment %d: %w: no entry %d in its queue", p.id, s.base, penstock.ErrCorrupt, i)
		}
		if checked {
			err := p.readCells(r, s, i, min(n, int(stop-i)))
			if err == nil {
				return r.cells, nil
			}
			if try > 1 || errors.Is(err, penstock.ErrClosed) {
				return nil, fmt.Errorf("partition %v: segment %d: %w", p.id, s.base, err)
			}
		}
		if try > 1 {
			return nil, fmt.Errorf("partition %v: segment %d: %w: its queue cannot be built", p.id, s.base, penstock.ErrCorrupt)
		}
		h, err := p.handle(s)
		if err != nil {
			return nil, err
		}
		err = p.loadQueue(s, h, checked)
		h.Release()
		if err != nil {
			return nil, err
		}
	}
}

// readCells reads entries from the file.
func (p *Partition) readCells(r *room, s *segment, i int64, n int) error {
	h, err := p.queueHandle(s)
	if err != nil {
		return err
	}
	defer h.Release()
	r.raw = slices.Grow(r.raw[:0], n*cellSize)[:n*cellSize]
	if got, err := h.ReadAt(r.raw, i*cellSize); got < len(r.raw) {
		return fmt.Errorf("queue entry %d: %w", i, err)
	}
	r.cells = parseCells(r.cells, s, r.raw)
	return nil
}

// queueHandle returns the file of the queue of s with a reference, opening it if nobody needed it yet. No lock is held.
func (p *Partition) queueHandle(s *segment) (*disk.Handle, error) {
	p.mu.RLock()
	h := s.q
	if h != nil {
		h.Retain()
	}
	p.mu.RUnlock()
	if h != nil {
		return h, nil
	}
	h, err := p.st.d.OpenFile(fileName(p.dir, s.base, queueSuffix), false)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.q == nil && !s.gone {
		s.q = h
		h.Retain()
	}
	return h, nil
}

// badCells finds, after the damaged place b, the next entry whose batch is whole.
func (p *Partition) badCells(s *segment, file io.ReaderAt, b badRange) badRange {
	r := p.st.rooms.Get().(*room)
	defer p.st.rooms.Put(r)
	w := p.st.walker()
	defer p.st.release(w)
	for off := b.from + 1; off < b.to; {
		es, err := p.cells(r, s, int64(off-s.base), window)
		if err != nil {
			return b
		}
		for _, e := range es {
			if off >= b.to {
				return b
			}
			if e.size > 0 && int64(e.pos) > b.pos {
				w.reset(p.st.f, file, int64(e.pos), b.end, false)
				if h, err := w.header(); err == nil && h.BaseOffset == off && h.Size == e.size {
					b.to, b.end = off, int64(e.pos)
					return b
				}
			}
			off++
		}
	}
	return b
}
