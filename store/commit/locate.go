package commit

import (
	"errors"
	"fmt"

	"penstock"
	"penstock/message"
	"penstock/store"
)

var _ store.Locator = (*Store)(nil)

// Locate finds the batch that begins at a position of the shared log. A message says whose it is; among records the frames of the
// position's file are walked, which takes reads in the number of frames before it. What is told is what the partition's queue
// says as well.
func (s *Store) Locate(at penstock.Position) (penstock.PartitionID, penstock.Offset, error) {
	find := s.locateRecord
	if s.messages {
		find = s.locateMessage
	}
	id, off, err := find(at)
	if err == nil {
		err = s.points(id, off, at)
	}
	if err != nil {
		return penstock.PartitionID{}, penstock.NoOffset, fmt.Errorf("locate position %d: %w", at, err)
	}
	return id, off, nil
}

func noBatch(why error) error {
	return fmt.Errorf("%w: no batch begins there: %w", penstock.ErrOffsetOutOfRange, why)
}

// openAt opens the file that holds a position at which a batch may begin, with a reference.
func (s *Store) openAt(at penstock.Position) (*logFile, error) {
	if at < 0 || int64(at) >= s.log.end.Load() {
		return nil, fmt.Errorf("%w: the log ends at %d", penstock.ErrOffsetOutOfRange, s.log.end.Load())
	}
	f, err := s.log.open(at)
	if err != nil && errors.Is(err, penstock.ErrCorrupt) {
		err = noBatch(err)
	}
	return f, err
}

// points checks that the queue of a partition has the batch of an offset at a position.
func (s *Store) points(id penstock.PartitionID, off penstock.Offset, at penstock.Position) error {
	s.mu.Lock()
	p, closed := s.parts[id], s.closed
	s.mu.Unlock()
	if closed {
		return fmt.Errorf("store: %w", penstock.ErrClosed)
	}
	if p == nil {
		return noBatch(errors.New("its partition was removed"))
	}
	e, err := p.entryOf(off)
	if err == nil && (e.pos != at || e.base != off) {
		err = noBatch(fmt.Errorf("offset %d of partition %v lies at %d", off, id, e.pos))
	}
	return err
}

// entryOf is the entry of the batch that holds an offset.
func (p *Partition) entryOf(off penstock.Offset) (entry, error) {
	for {
		e, err := p.entryNow(off)
		if !errors.Is(err, errGone) {
			return e, err
		}
	}
}

func (p *Partition) entryNow(off penstock.Offset) (entry, error) {
	sp, err := p.look(off, off+1)
	if err != nil {
		return entry{}, err
	}
	defer sp.done()
	e, ok, err := sp.next()
	if err == nil && !ok {
		err = fmt.Errorf("partition %v: %w: %d is the end", p.id, penstock.ErrOffsetOutOfRange, off)
	}
	return e, err
}

// locateMessage asks the message.
func (s *Store) locateMessage(at penstock.Position) (penstock.PartitionID, penstock.Offset, error) {
	var id penstock.PartitionID
	var off penstock.Offset
	err := s.messageAt(at, func(b []byte) error {
		m, err := message.Parse(b)
		if err != nil {
			return noBatch(err)
		}
		off = m.QueueOffset
		var ok bool
		if id, ok = s.names.holder(m.Topic, m.QueueID); !ok {
			return noBatch(errors.New("its topic was removed"))
		}
		return nil
	})
	return id, off, err
}

// messageAt calls visit with the bytes of the message that may begin at a position. They are valid until it returns.
func (s *Store) messageAt(at penstock.Position, visit func(b []byte) error) error {
	f, err := s.openAt(at)
	if err != nil {
		return err
	}
	defer f.h.Release()
	sc := s.room()
	defer s.giveRoom(sc)
	b := sc.bytes(s.f.HeaderSize())
	if n, err := f.h.ReadAt(b, int64(at-f.start)); n < len(b) {
		return noBatch(err)
	}
	h, err := s.f.Header(b)
	if err != nil {
		return noBatch(err)
	}
	if at+penstock.Position(h.Size) > penstock.Position(s.log.end.Load()) {
		return noBatch(fmt.Errorf("%d bytes would reach behind the log's end", h.Size))
	}
	b = sc.bytes(int(h.Size))
	if n, err := f.h.ReadAt(b, int64(at-f.start)); n < len(b) {
		return noBatch(err)
	}
	return visit(b)
}

// locateRecord walks frames.
func (s *Store) locateRecord(at penstock.Position) (id penstock.PartitionID, off penstock.Offset, err error) {
	f, err := s.openAt(at)
	if err != nil {
		return id, 0, err
	}
	defer f.h.Release()
	sc := s.room()
	defer s.giveRoom(sc)
	for pos := f.start; pos < at; {
		b := sc.bytes(frameSize)
		if n, err := f.h.ReadAt(b, int64(pos-f.start)); n < len(b) {
			return id, 0, noBatch(err)
		}
		fr, err := parseFrame(b)
		if err != nil {
			return id, 0, noBatch(err)
		}
		id = fr.id
		next := pos + frameSize + penstock.Position(fr.bytes)
		if at >= next {
			pos = next
			continue
		}
		if at < pos+frameSize {
			break
		}
		b = sc.bytes(s.f.HeaderSize())
		if n, err := f.h.ReadAt(b, int64(at-f.start)); n < len(b) {
			return id, 0, noBatch(err)
		}
		h, err := s.f.Header(b)
		if err != nil {
			return id, 0, noBatch(err)
		}
		return id, h.BaseOffset, nil
	}
	return id, 0, noBatch(errors.New("a frame does"))
}
