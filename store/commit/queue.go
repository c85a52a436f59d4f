package commit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sort"

	"penstock"
	"penstock/disk"
)

// entry says where a batch lies.
type entry struct {
	base  penstock.Offset
	pos   penstock.Position
	maxAt penstock.Timestamp // NoTimestamp where the queue's file does not have it
	tag   int64              // of messages only
	size  int32
	delta int32 // offset of the last record minus base
}

func (e *entry) last() penstock.Offset { return e.base + penstock.Offset(e.delta) }

// The entries of a queue in its files:
//
//	message   position 8, size 4, hash of the tag 8: RocketMQ's. The place in the queue is the offset.
//	record    base offset 8, position 8, largest timestamp 8, size 4, offset of the last record minus the first 4.
const (
	messageEntry = 20
	recordEntry  = 32
)

func (s *Store) entrySize() int64 {
	if s.messages {
		return messageEntry
	}
	return recordEntry
}

func (s *Store) appendEntry(dst []byte, e *entry) []byte {
	be := binary.BigEndian
	if s.messages {
		dst = be.AppendUint64(dst, uint64(e.pos))
		dst = be.AppendUint32(dst, uint32(e.size))
		return be.AppendUint64(dst, uint64(e.tag))
	}
	dst = be.AppendUint64(dst, uint64(e.base))
	dst = be.AppendUint64(dst, uint64(e.pos))
	dst = be.AppendUint64(dst, uint64(e.maxAt))
	dst = be.AppendUint32(dst, uint32(e.size))
	return be.AppendUint32(dst, uint32(e.delta))
}

// parseEntry reads entry i.
func (s *Store) parseEntry(b []byte, i int64) entry {
	be := binary.BigEndian
	if s.messages {
		return entry{base: penstock.Offset(i), pos: penstock.Position(be.Uint64(b)), size: int32(be.Uint32(b[8:])),
			tag: int64(be.Uint64(b[12:])), maxAt: penstock.NoTimestamp}
	}
	return entry{base: penstock.Offset(be.Uint64(b)), pos: penstock.Position(be.Uint64(b[8:])), maxAt: penstock.Timestamp(be.Uint64(b[16:])),
		size: int32(be.Uint32(b[24:])), delta: int32(be.Uint32(b[28:]))}
}

// group is what of a partition lies in one file of the log.
type group struct {
	file   penstock.Position  // where the file begins
	idx    int64              // place of the first entry in the queue
	base   penstock.Offset    // of the first batch
	bytes  int64              // of batches
	maxAt  penstock.Timestamp // the largest
	lastAt penstock.Timestamp // of the last batch
	sorted bool               // times do not go down from batch to batch
}

// queue is the queue of a partition. Fields are guarded by Partition.mu, and changed under Partition.own as well.
type queue struct {
	groups  []group
	first   int64   // place of the first entry kept
	count   int64   // place behind the last
	tail    []entry // the last entries: those from count-len(tail) on
	flushed int64   // entries below are in the files; guarded by Partition.own
}

// add appends an entry whose batch lies in the file of the log that begins at file.
func (q *queue) add(e entry, file penstock.Position, maxAt penstock.Timestamp) {
	if n := len(q.groups); n == 0 || q.groups[n-1].file != file {
		q.groups = append(q.groups, group{file: file, idx: q.count, base: e.base, maxAt: maxAt, lastAt: maxAt, sorted: true})
	}
	g := &q.groups[len(q.groups)-1]
	g.bytes += int64(e.size)
	g.sorted = g.sorted && maxAt >= g.lastAt
	g.lastAt, g.maxAt = maxAt, max(g.maxAt, maxAt)
	q.tail = append(q.tail, e)
	q.count++
}

// tailFrom is the place of the first entry in memory.
func (q *queue) tailFrom() int64 { return q.count - int64(len(q.tail)) }

// shrink gives up entries in memory that the files have.
func (q *queue) shrink(keep int) {
	n := min(len(q.tail)-keep, int(q.flushed-q.tailFrom()))
	if n > 0 {
		q.tail = append([]entry(nil), q.tail[n:]...)
	}
}

// groupOf is the number of the group that holds off.
func (q *queue) groupOf(off penstock.Offset) int {
	return max(0, sort.Search(len(q.groups), func(i int) bool { return q.groups[i].base > off })-1)
}

// groupEnd is the place behind the last entry of group i.
func (q *queue) groupEnd(i int) int64 {
	if i+1 < len(q.groups) {
		return q.groups[i+1].idx
	}
	return q.count
}

func (p *Partition) queueFile(idx int64) string {
	return path.Join(p.dir, digits(idx/p.st.o.QueueEntries*p.st.o.QueueEntries*p.st.entrySize()))
}

// flush writes the entries that the files do not have. The caller holds own.
func (p *Partition) flush() error {
	q, es := &p.q, p.st.entrySize()
	for q.flushed < q.count {
		at := q.flushed % p.st.o.QueueEntries
		n := min(p.st.o.QueueEntries-at, q.count-q.flushed)
		buf := make([]byte, 0, n*es)
		for i := range n {
			buf = p.st.appendEntry(buf, &q.tail[q.flushed-q.tailFrom()+i])
		}
		if err := p.writeQueue(p.queueFile(q.flushed), buf, at*es); err != nil {
			return fmt.Errorf("partition %v: queue: %w", p.id, err)
		}
		p.summed(q.flushed, buf)
		p.mu.Lock()
		q.flushed += n
		p.mu.Unlock()
	}
	return nil
}

// writeQueue writes into one file of the queue. A new one is as long as RocketMQ's at once. The caller holds own.
func (p *Partition) writeQueue(name string, b []byte, off int64) error {
	size := p.st.o.QueueEntries * p.st.entrySize()
	h, err := p.st.d.OpenLater(name)
	if errors.Is(err, fs.ErrNotExist) {
		h, err = p.st.d.CreateLater(name)
	}
	if err != nil {
		return err
	}
	defer h.Release()
	if p.sized != name {
		n, err := h.Size()
		if err == nil && n != size {
			err = h.Truncate(size)
		}
		if err != nil {
			return err
		}
		p.sized = name
	}
	p.unsynced[name] = true
	_, err = h.WriteVec([][]byte{b}, off)
	return err
}

// entries returns up to n entries from place i on, fewer at the end of a file or of what memory has. What comes from memory is valid as
// long as mu is held, which the caller does; ok is false if the disk must be asked: load does, without mu.
func (p *Partition) entries(i int64, n int) ([]entry, bool) {
	from := p.q.tailFrom()
	if i < from {
		return nil, false
	}
	es := p.q.tail[i-from:]
	return es[:min(n, len(es))], true
}

// scratch is the room that a look at a queue works in.
type scratch struct {
	es  []entry
	raw []byte
}

// bytes is n bytes of it.
func (sc *scratch) bytes(n int) []byte {
	sc.raw = slices.Grow(sc.raw[:0], n)[:n]
	return sc.raw
}

// load reads up to n entries from the files into sc, of one block only. The caller has seen that the files have them.
func (p *Partition) load(sc *scratch, i int64, n int) error {
	size := p.st.entrySize()
	n = int(min(int64(n), p.st.blockEnd(i)-i))
	p.hmu.Lock()
	defer p.hmu.Unlock()
	if err := p.check(i); err != nil {
		return err
	}
	sc.bytes(n * int(size))
	h, err := p.queueHandle(p.queueFile(i))
	if err == nil {
		_, err = h.ReadAt(sc.raw, i%p.st.o.QueueEntries*size)
		h.Release()
	}
	if raw := p.old.fixed[p.st.blockOf(i)]; raw != nil {
		from, to := p.oldSpan(i)
		if i < to && i >= from {
			copy(sc.raw, raw[(i-from)*size:])
			if err != nil && i+int64(n) <= to {
				err = nil
			}
		}
	}
	if err != nil {
		return fmt.Errorf("partition %v: queue entry %d: %w", p.id, i, err)
	}
	sc.es = sc.es[:0]
	for k := range n {
		sc.es = append(sc.es, p.st.parseEntry(sc.raw[int64(k)*size:], i+int64(k)))
	}
	return nil
}

// queueHandle opens a file of the queue, or takes the one that was read last. The caller holds hmu.
func (p *Partition) queueHandle(name string) (*disk.Handle, error) {
	if p.h == nil || p.h.Name() != name {
		h, err := p.st.d.OpenFile(name, false)
		if err != nil {
			return nil, err
		}
		p.dropHandle()
		p.h = h
	}
	p.h.Retain()
	return p.h, nil
}

// dropHandle closes the file of the queue that was read last. The caller holds hmu.
func (p *Partition) dropHandle() {
	if p.h != nil {
		p.h.Release()
		p.h = nil
	}
}

// view is what one look at a queue sees, for those who read entries one after another. done gives its room back.
type view struct {
	p    *Partition
	gen  int
	from int64 // place of the first entry in sc
	sc   *scratch
}

// errGone says that the queue was cut or trimmed meanwhile: look again.
var errGone = errors.New("queue changed")

// How many entries are looked up at once: the first time, and later.
const (
	firstWindow = 32
	window      = 128
)

// done ends the look.
func (v *view) done() {
	if v.sc != nil {
		v.p.st.giveRoom(v.sc)
		v.sc = nil
	}
}

// has is what at returns without looking again.
func (v *view) has(i int64) (entry, bool) {
	if v.sc == nil || i < v.from || i-v.from >= int64(len(v.sc.es)) {
		return entry{}, false
	}
	return v.sc.es[i-v.from], true
}

// at returns entry i.
func (v *view) at(i int64) (entry, error) {
	if e, ok := v.has(i); ok {
		return e, nil
	}
	p, n := v.p, window
	if v.sc == nil {
		v.sc, n = p.st.room(), firstWindow
	}
	v.sc.es = v.sc.es[:0]
	p.mu.RLock()
	if p.gen != v.gen || p.closed || i < p.q.first || i >= p.q.count {
		p.mu.RUnlock()
		return entry{}, errGone
	}
	es, ok := p.entries(i, n)
	if ok {
		v.sc.es, v.from = append(v.sc.es, es...), i
		p.mu.RUnlock()
		return v.sc.es[0], nil
	}
	n = int(min(int64(n), p.q.tailFrom()-i))
	p.mu.RUnlock()
	err := p.load(v.sc, i, n)
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.gen != v.gen || i < p.q.first {
		v.sc.es = v.sc.es[:0]
		return entry{}, errGone
	}
	if err != nil {
		v.sc.es = v.sc.es[:0]
		return entry{}, err
	}
	v.from = i
	return v.sc.es[0], nil
}

// maxRoom is how many bytes of room are kept for the next look.
const maxRoom = 1 << 20

func (s *Store) giveRoom(sc *scratch) {
	if cap(sc.raw) <= maxRoom {
		s.scratch.Put(sc)
	}
}

// room is what a look works in.
func (s *Store) room() *scratch {
	sc, _ := s.scratch.Get().(*scratch)
	if sc == nil {
		sc = new(scratch)
	}
	sc.es = sc.es[:0]
	return sc
}

// place is the place of the entry that holds off, in the group that does, given by the places of its first and behind its last.
func (v *view) place(off penstock.Offset, lo, hi int64) (int64, error) {
	if v.p.st.messages {
		return int64(off), nil
	}
	for lo+1 < hi {
		mid := lo + (hi-lo)/2
		e, err := v.at(mid)
		if err != nil {
			return 0, err
		}
		if e.base <= off {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo, nil
}
