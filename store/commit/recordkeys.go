package commit

import (
	"errors"
	"fmt"
	"slices"

	"penstock"
	"penstock/store"
	"penstock/store/index"
)

// Records are indexed where their topic asks for it (store.Config.IndexKeys), by the hash of the topic's id and the key. The position in the index is that of
// the frame: it alone says whose the batches in it are, and that their keys are in the index, so that the index is made of the log alone
// as that of messages is. Their times are the producers' and say nothing of where they lie.

// weighKeys takes the keys of a batch, if the topic asks for it. One whose keys cannot be read is refused: nobody would find it.
func (l *lot) weighKeys(b *penstock.Batch) error {
	if !l.c.IndexKeys || l.To.st.keyer == nil {
		return nil
	}
	err := l.To.st.keyer.EachKey(b.Bytes, func(_ penstock.Offset, at penstock.Timestamp, key []byte) bool {
		l.keys = addKey(l.keys, index.Key{Hash: index.HashOf(l.To.id.Topic, key), Time: at})
		return len(l.keys) <= index.MaxAdd
	})
	if errors.Is(err, penstock.ErrCorrupt) {
		return fmt.Errorf("%w: the keys of a batch cannot be read for the index of its topic: %s", penstock.ErrInvalidRecord, err.Error())
	}
	return err
}

// fewKeys refuses an append of too many keys. What is refused as a whole its owner tries part by part.
func fewKeys(work []lot) error {
	n := 0
	for i := range work {
		n += len(work[i].keys)
	}
	if n > index.MaxAdd {
		return fmt.Errorf("%w: more than %d keys in one append to topics with an index of keys", penstock.ErrTooLarge, index.MaxAdd)
	}
	return nil
}

// addKey appends a key, unless the one before is the same.
func addKey(keys []index.Key, k index.Key) []index.Key {
	if n := len(keys); n > 0 && keys[n-1] == k {
		return keys
	}
	return append(keys, k)
}

// beginKeys says where the records will lie that keys were taken of, in a frame at a position. Before the first that is ever indexed it is noted durably that
// the index has nothing of what lies before. The caller holds w.
func (s *Store) beginKeys(l *lot, at penstock.Position) error {
	if len(l.keys) == 0 {
		return nil
	}
	if !s.indexed {
		if err := s.keys.Checkpoint(markAt(s.log.end.Load()), nil); err != nil {
			return err
		}
		s.indexed = true
	}
	for i := range l.keys {
		l.keys[i].Position = int64(at)
		if l.res.Time != penstock.NoTimestamp {
			l.keys[i].Time = l.res.Time
		}
	}
	return nil
}

// frameKeys appends the keys of a frame at a position, whose batches are b. A batch that is not whole has none.
func (s *Store) frameKeys(dst []index.Key, fr *frame, b []byte, at penstock.Position) []index.Key {
	for len(b) >= s.f.HeaderSize() && s.keyer != nil {
		h, err := s.f.Header(b[:s.f.HeaderSize()])
		if err != nil || int(h.Size) < s.f.HeaderSize() || int(h.Size) > len(b) {
			break
		}
		if s.f.Verify(b[:h.Size]) == nil {
			// What cannot be read was not indexed when it was appended either.
			_ = s.keyer.EachKey(b[:h.Size], func(_ penstock.Offset, t penstock.Timestamp, key []byte) bool {
				dst = addKey(dst, index.Key{Hash: index.HashOf(fr.id.Topic, key), Position: int64(at), Time: t})
				return true
			})
		}
		b = b[h.Size:]
	}
	return dst
}

// frameHere is keysHere for a frame. One without keys is passed over unread.
func (w *walk) frameHere(f *logFile) (int64, error) {
	b, err := w.read(f, 0, frameSize)
	if err != nil {
		return 0, err
	}
	fr, err := parseFrame(b)
	if err == nil && frameSize+fr.bytes > w.left(f) {
		err = fmt.Errorf("%w: frame of %d bytes, %d are left in the file", penstock.ErrCorrupt, fr.bytes, w.left(f))
	}
	if err == nil && fr.keyed {
		if b, err = w.read(f, frameSize, fr.bytes); err == nil {
			w.keys = w.s.frameKeys(w.keys, &fr, b, w.pos)
		}
	}
	return frameSize + fr.bytes, err
}

// wanted is what a look-up by key looks for.
type wanted struct {
	topic    penstock.TopicID
	key      []byte
	from, to penstock.Timestamp
}

// findRecords is FindKey for records, of the time that they carry. Each was looked at: it has the key, and its partition's queue points to it.
func (s *Store) findRecords(q *wanted, limit int, visit func(penstock.PartitionID, penstock.Offset) bool) error {
	if !s.indexes(q.topic) {
		return fmt.Errorf("%w: no index of keys for topic %v", penstock.ErrUnsupported, q.topic)
	}
	if len(q.key) == 0 || limit <= 0 {
		return nil
	}
	var failed error
	err := s.keys.Find(index.HashOf(q.topic, q.key), q.from, q.to, func(pos int64) bool {
		id, offs, err := s.hits(penstock.Position(pos), q)
		if errors.Is(err, penstock.ErrOffsetOutOfRange) || errors.Is(err, penstock.ErrCorrupt) {
			return true // gone, or another's
		}
		if failed = err; failed != nil {
			return false
		}
		for _, off := range slices.Backward(offs) {
			limit--
			if !visit(id, off) || limit <= 0 {
				return false
			}
		}
		return true
	})
	if err = errors.Join(failed, err); err != nil {
		return fmt.Errorf("find key %.64q of topic %v: %w", q.key, q.topic, err)
	}
	return nil
}

// indexes reports whether a topic asks for an index of keys.
func (s *Store) indexes(topic penstock.TopicID) bool {
	if s.keyer == nil || s.keys == nil {
		return false
	}
	for _, p := range s.all() {
		if p.id.Topic == topic && p.config().IndexKeys {
			return true
		}
	}
	return false
}

// hits are the records of a frame that are meant, in order.
func (s *Store) hits(at penstock.Position, q *wanted) (id penstock.PartitionID, offs []penstock.Offset, err error) {
	f, err := s.openAt(at)
	if err != nil {
		return id, nil, err
	}
	defer f.h.Release()
	sc := s.room()
	defer s.giveRoom(sc)
	b := sc.bytes(frameSize)
	if n, err := f.h.ReadAt(b, int64(at-f.start)); n < len(b) {
		return id, nil, noBatch(err)
	}
	fr, err := parseFrame(b)
	if err != nil || fr.id.Topic != q.topic || !fr.keyed {
		return id, nil, noBatch(errors.New("it is no frame of the topic with keys"))
	}
	end := min(at+frameSize+penstock.Position(fr.bytes), penstock.Position(s.log.end.Load()), f.end())
	for pos := at + frameSize; pos+penstock.Position(s.f.HeaderSize()) <= end; {
		b := sc.bytes(s.f.HeaderSize())
		if n, err := f.h.ReadAt(b, int64(pos-f.start)); n < len(b) {
			return id, nil, noBatch(err)
		}
		h, err := s.f.Header(b)
		if err != nil || int(h.Size) < len(b) || pos+penstock.Position(h.Size) > end {
			return id, offs, nil // damage: nothing behind it can be trusted
		}
		start, err := s.pointed(fr.id, &h, pos)
		if err == nil {
			b = sc.bytes(int(h.Size))
			if n, err := f.h.ReadAt(b, int64(pos-f.start)); n < len(b) {
				return id, nil, noBatch(err)
			}
			offs = s.matching(offs, b, start, q)
		} else if !errors.Is(err, penstock.ErrOffsetOutOfRange) && !errors.Is(err, penstock.ErrCorrupt) {
			return id, nil, err
		}
		pos += penstock.Position(h.Size)
	}
	return fr.id, offs, nil
}

// pointed checks that the partition's queue has a batch of which something is still kept, and returns the first offset kept.
func (s *Store) pointed(id penstock.PartitionID, h *penstock.BatchHeader, at penstock.Position) (start penstock.Offset, err error) {
	s.mu.Lock()
	p, closed := s.parts[id], s.closed
	s.mu.Unlock()
	if closed {
		return 0, fmt.Errorf("store: %w", penstock.ErrClosed)
	}
	if p == nil {
		return 0, noBatch(errors.New("its partition was removed"))
	}
	start, _ = p.Bounds()
	off := max(h.BaseOffset, start)
	if off > h.LastOffset() {
		return 0, noBatch(errors.New("it lies below the start"))
	}
	e, err := p.entryOf(off)
	if err == nil && (e.pos != at || e.base != h.BaseOffset || e.size != h.Size) {
		err = noBatch(fmt.Errorf("offset %d of partition %v lies at %d", off, id, e.pos))
	}
	return start, err
}

// matching appends the offsets, from start on, of the records in a whole batch that are meant.
func (s *Store) matching(dst []penstock.Offset, b []byte, start penstock.Offset, q *wanted) []penstock.Offset {
	if s.f.Verify(b) != nil {
		return dst // readers are told; here it is not found
	}
	_ = s.keyer.EachKey(b, func(off penstock.Offset, at penstock.Timestamp, key []byte) bool {
		if off >= start && at >= q.from && at <= q.to && string(key) == string(q.key) && (len(dst) == 0 || dst[len(dst)-1] != off) {
			dst = append(dst, off)
		}
		return true
	})
	return dst
}

// keyerOf is the part of a format that knows keys; nil for none.
func keyerOf(f store.Format) store.Keyer {
	k, _ := f.(store.Keyer)
	return k
}
