package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"penstock"
	"penstock/message"
	"penstock/store"
)

// A message carries the position at which it lies, and RocketMQ's clients look messages up by it. Where each partition has a log
// of its own the position must say which:
//
//	bit 62   set: no position of a shared log is so large
//	40..61   number of the partition
//	0..39    position in the partition's log, modulo 2^40
//
// A number is given to a partition with its first message and never to another. Each message has it, so the log is where it is noted; the
// checkpoint has it too. The file "numbers" says below which number all may have been given.
const (
	ownLog     = 1 << 62
	logBits    = 40
	logBytes   = 1 << logBits
	numberBits = 22
	lastNumber = 1<<numberBits - 1 // of partitions for which there was none left: nothing can be located there
	noNumber   = -1

	numberBlock  = 64 // numbers are reserved by so many, one sync each
	numbersFile  = "numbers"
	numbersMagic = 0x50534e55 // "PSNU"
)

// numbers gives out the numbers of partitions.
type numbers struct {
	mu    sync.Mutex
	next  int32                          // guarded by mu
	limit int32                          // guarded by mu: as the file has it
	of    map[int32]penstock.PartitionID // guarded by mu: of partitions that are open
}

func appendNumbers(dst []byte, limit int32) []byte {
	from := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, numbersMagic)
	dst = binary.BigEndian.AppendUint32(dst, fileVersion)
	return seal(binary.BigEndian.AppendUint32(dst, uint32(limit)), from)
}

func parseNumbers(b []byte) (int32, error) {
	r, err := unseal(b, numbersMagic, 12)
	if err != nil {
		return 0, err
	}
	if len(r.b) != 4 {
		return 0, fmt.Errorf("%w: %d bytes", errFile, len(r.b))
	}
	n := int32(r.u32())
	if n < 0 || n > lastNumber {
		return 0, fmt.Errorf("%w: number %d", errFile, n)
	}
	return n, nil
}

// readNumbers reads which numbers were given. If the file cannot be used the partitions are asked.
func (s *Store) readNumbers() error {
	s.numbers.of = map[int32]penstock.PartitionID{}
	if !s.dense {
		return nil
	}
	b, err := s.d.ReadFile(s.name(numbersFile), maxSmallBytes)
	if err == nil {
		if s.numbers.limit, err = parseNumbers(b); err == nil {
			s.numbers.next = s.numbers.limit
			return nil
		}
		s.o.Logger.Error("numbers of partitions cannot be used, asking the logs", "err", err)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", numbersFile, err)
	}
	ids, err := s.List()
	if err != nil {
		return err
	}
	for _, id := range ids {
		n, err := s.numberIn(s.dirOf(id))
		if err != nil {
			return fmt.Errorf("partition %v: %w", id, err)
		}
		s.numbers.next = max(s.numbers.next, min(n+1, lastNumber))
	}
	return nil
}

// numberIn is the number in the first message of a directory's logs, noNumber if there is none.
func (s *Store) numberIn(dir string) (int32, error) {
	es, err := s.d.ReadDir(dir)
	if err != nil {
		return noNumber, err
	}
	for _, e := range es {
		if base, suffix, ok := parseName(e.Name); ok && suffix == logSuffix && e.Size > 0 {
			if n, err := s.numberAt(fileName(dir, base, logSuffix), e.Size); n != noNumber || err != nil {
				return n, err
			}
		}
	}
	return noNumber, nil
}

// numberAt is the number in the first message of a log, noNumber if there is none.
func (s *Store) numberAt(name string, size int64) (int32, error) {
	h, err := s.d.OpenFile(name, false)
	if err != nil {
		return noNumber, err
	}
	defer h.Release()
	w := s.walker()
	defer s.release(w)
	w.reset(s.f, h, 0, size, false)
	head, err := w.header()
	if err != nil {
		return noNumber, nil // nothing that anybody was told of begins so
	}
	b, err := w.body(&head)
	if err != nil {
		return noNumber, nil
	}
	m, err := message.Parse(b)
	if err != nil {
		return noNumber, nil
	}
	return numberOf(m.Position), nil
}

// numberOf is the number in a position, noNumber if it has none.
func numberOf(at penstock.Position) int32 {
	if at&ownLog == 0 || at < 0 {
		return noNumber
	}
	return int32(at >> logBits & lastNumber)
}

// give takes a number for a partition. When all were given it is lastNumber.
func (n *numbers) give(s *Store, id penstock.PartitionID) (int32, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.next >= lastNumber {
		s.o.Logger.Warn("no numbers are left, messages of the partition are not found by position", "partition", id)
		return lastNumber, nil
	}
	if n.next >= n.limit {
		limit := min(n.next+numberBlock, lastNumber)
		if err := n.write(s, limit); err != nil {
			return noNumber, err
		}
	}
	n.next++
	n.of[n.next-1] = id
	return n.next - 1, nil
}

// write replaces the file. The caller holds mu.
func (n *numbers) write(s *Store, limit int32) error {
	if err := s.d.WriteFile(s.name(numbersFile), appendNumbers(nil, limit)); err != nil {
		return fmt.Errorf("%s: %w", numbersFile, err)
	}
	n.limit = limit
	return nil
}

// settle gives back, at a clean stop, the numbers that were reserved and not given.
func (n *numbers) settle(s *Store) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.limit == n.next || n.next == 0 {
		return nil
	}
	return n.write(s, n.next)
}

// learn notes the number that a partition was found to have.
func (n *numbers) learn(s *Store, id penstock.PartitionID, number int32) {
	if number < 0 || number >= lastNumber {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.next = max(n.next, number+1)
	if other, ok := n.of[number]; ok && other != id {
		s.o.Logger.Error("two partitions have one number, messages of one are not found by position", "number", number, "partition", other, "other", id)
		return
	}
	n.of[number] = id
}

// forget frees nothing: the number is not given again.
func (n *numbers) forget(id penstock.PartitionID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for number, of := range n.of {
		if of == id {
			delete(n.of, number)
			return
		}
	}
}

// takeNumber sees that the partition has a number before its first message is stamped. The caller holds w.
func (p *Partition) takeNumber() error {
	if p.number.Load() != noNumber {
		return nil
	}
	n, err := p.st.numbers.give(p.st, p.id)
	if err != nil {
		return fmt.Errorf("partition %v: %w", p.id, err)
	}
	p.number.Store(n)
	return nil
}

// seeNumber takes the number from a message that was found in the log.
func (p *Partition) seeNumber(at penstock.Position) {
	if p.number.Load() == noNumber {
		p.number.Store(numberOf(at))
	}
}

// knowNumber ends recovery: the number is known if there is any message.
func (p *Partition) knowNumber() error {
	if !p.st.dense {
		return nil
	}
	for i := 0; i < len(p.segs) && p.number.Load() == noNumber; i++ {
		s := p.segs[i]
		if s.missing || s.size == 0 {
			continue
		}
		n, err := p.st.numberAt(s.logName(p.dir), s.size)
		if err != nil {
			return err
		}
		p.number.Store(n)
	}
	p.st.numbers.learn(p.st, p.id, p.number.Load())
	return nil
}

// global is the position that messages carry for one in the partition's log.
func (p *Partition) global(at penstock.Position) penstock.Position {
	if !p.st.dense {
		return at
	}
	n := p.number.Load()
	if n < 0 {
		n = lastNumber
	}
	return ownLog | penstock.Position(n)<<logBits | at&(logBytes-1)
}

var _ store.Locator = (*Store)(nil)

// Locate finds the message that begins at a position, in a partition that is open. The queue must say so as well: what looks like a
// message inside another is none. Records carry no position: for them it is penstock.ErrUnsupported.
func (s *Store) Locate(at penstock.Position) (penstock.PartitionID, penstock.Offset, error) {
	none := penstock.PartitionID{}
	if !s.dense {
		return none, penstock.NoOffset, fmt.Errorf("locate position %d: %w: records do not carry positions in this layout", at, penstock.ErrUnsupported)
	}
	s.numbers.mu.Lock()
	id, ok := s.numbers.of[numberOf(at)]
	s.numbers.mu.Unlock()
	if !ok {
		return none, penstock.NoOffset, fmt.Errorf("locate position %d: %w: no partition has its number", at, penstock.ErrOffsetOutOfRange)
	}
	p, err := s.partition(id)
	var off penstock.Offset
	if err == nil {
		off, err = p.offsetAt(at & (logBytes - 1))
	}
	if err != nil {
		return none, penstock.NoOffset, fmt.Errorf("locate position %d: %w", at, err)
	}
	return id, off, nil
}

// partition is one that is open.
func (s *Store) partition(id penstock.PartitionID) (*Partition, error) {
	s.mu.Lock()
	sl, closed := s.slots[id], s.closed
	s.mu.Unlock()
	if closed {
		return nil, fmt.Errorf("store: %w", penstock.ErrClosed)
	}
	if sl != nil {
		sl.mu.Lock()
		defer sl.mu.Unlock()
		if sl.p != nil {
			return sl.p, nil
		}
	}
	return nil, fmt.Errorf("partition %v: %w: it is not open", id, penstock.ErrOffsetOutOfRange)
}

// offsetAt is the offset of the message that begins at a position of the partition's log, modulo logBytes.
func (p *Partition) offsetAt(at penstock.Position) (penstock.Offset, error) {
	gone := fmt.Errorf("partition %v: %w: no message begins at %d", p.id, penstock.ErrOffsetOutOfRange, at)
	r := p.st.rooms.Get().(*room)
	defer p.st.rooms.Put(r)
	w := p.st.walker()
	defer p.st.release(w)
	for i := p.segmentCount() - 1; i >= 0; i-- {
		l, ok, err := p.look(i)
		if errors.Is(err, penstock.ErrCorrupt) || !ok && err == nil {
			continue
		}
		if err != nil {
			return penstock.NoOffset, err
		}
		off, err := p.offsetIn(r, w, &l, int64((at-l.s.start)&(logBytes-1)))
		l.release()
		if err != nil || off != penstock.NoOffset {
			return off, err
		}
	}
	return penstock.NoOffset, gone
}

// offsetIn is the offset of the message at byte pos of a segment, NoOffset if none begins there.
func (p *Partition) offsetIn(r *room, w *walker, l *look, pos int64) (penstock.Offset, error) {
	if pos >= l.size {
		return penstock.NoOffset, nil
	}
	w.reset(p.st.f, l.h, pos, l.size, false)
	h, err := w.header()
	start, end := p.Bounds()
	if err != nil || h.BaseOffset < max(l.s.base, start) || h.BaseOffset >= min(l.next, end) {
		return penstock.NoOffset, p.badAt(l.s.base, pos)
	}
	es, err := p.cells(r, l.s, int64(h.BaseOffset-l.s.base), 1)
	if err != nil || p.taken(l.n.gen) {
		return penstock.NoOffset, err
	}
	if int64(es[0].pos) != pos || es[0].size != h.Size {
		return penstock.NoOffset, p.badAt(l.s.base, pos)
	}
	return h.BaseOffset, nil
}

// badAt is an error if a byte of a segment lies in a damaged place.
func (p *Partition) badAt(base penstock.Offset, pos int64) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, b := range p.bad {
		if b.base == base && pos >= b.pos && pos < b.end {
			return fmt.Errorf("partition %v: %w: offsets %d to %d are quarantined", p.id, penstock.ErrCorrupt, b.from, b.to-1)
		}
	}
	return nil
}
