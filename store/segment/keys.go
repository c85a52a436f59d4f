package segment

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"

	"penstock"
	"penstock/store"
	idx "penstock/store/index"
)

// The index of keys, where a topic asks for it (store.Config.IndexKeys): one for each partition, in the directory "keys" beside its segments. A log
// of its own has recovery, truncation and retention of its own, and so must what is made of it; what one log does costs the others nothing.
//
// The position of a batch in it is its base offset. What is believed after a crash is what "vouched" counts; its mark is the offset up to which everything is
// in, with the number of the checkpoint that said so. What lies behind comes from the log again, and the whole log is gone over
// where the mark was lost, or the log was cut since (void). Entries may point to what was cut or retired: whoever finds one looks at the batch.
const keysDir = "keys"

// Defaults of Options for the files of an index: 10 MiB for half a million keys, of which the table of slots, 256 KiB, lies in memory while it is written.
const (
	defaultKeySlots   = 1 << 16
	defaultKeyEntries = 1 << 19
)

// keyIndex is the index of a partition.
type keyIndex struct {
	x     *idx.Index
	noted keysMark // guarded by Store.checking: of the last checkpoint; the zero value is none
}

// keysMark says that everything below an offset is in the index, as the checkpoint of that number found it.
type keysMark struct {
	upto penstock.Offset
	seq  uint64
}

func (m *keysMark) append(dst []byte) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(dst, uint64(m.upto)), m.seq)
}

func parseKeysMark(b []byte) (m keysMark, ok bool) {
	if len(b) != 16 {
		return m, false
	}
	m = keysMark{penstock.Offset(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint64(b[8:])}
	return m, m.upto >= 0
}

// mark notes that a mark has a checkpoint's number, whether or not that checkpoint comes to be noted.
func (s *Store) mark(seq uint64) {
	for {
		if old := s.marked.Load(); seq <= old || s.marked.CompareAndSwap(old, seq) {
			return
		}
	}
}

// newMark is a number for a mark that no checkpoint writes. No truncation has voided it yet.
func (s *Store) newMark() uint64 {
	seq := s.lastSaid() + 1
	s.mark(seq)
	return seq
}

// lastSaid is the largest number that a recovery point or the mark of an index may have.
func (s *Store) lastSaid() uint64 { return max(s.seq.Load(), s.marked.Load()) }

// indexesKeys reports whether keys are to be indexed under a configuration.
func (p *Partition) indexesKeys(c *store.Config) bool { return c.IndexKeys && p.st.keyer != nil }

// keyRoom is where the keys of an append are taken down. It is used again.
type keyRoom struct{ keys []idx.Key }

// maxKeyRoom is the number of keys above which a room is not kept.
const maxKeyRoom = 1 << 14

// keyRoom is an empty one.
func (s *Store) keyRoom() *keyRoom {
	if room, _ := s.keys.Get().(*keyRoom); room != nil {
		room.keys = room.keys[:0]
		return room
	}
	return new(keyRoom)
}

// weighKeys takes the keys of what is to be appended, each with the number of its batch; nil if nobody asks for them. A batch whose keys cannot be read is refused:
// nobody would find it.
func (p *Partition) weighKeys(batches []penstock.Batch, c *store.Config) (*keyRoom, error) {
	if !p.indexesKeys(c) {
		return nil, nil
	}
	room := p.st.keyRoom()
	for i := range batches {
		err := p.st.keyer.EachKey(batches[i].Bytes, func(_ penstock.Offset, at penstock.Timestamp, key []byte) bool {
			room.keys = addKey(room.keys, idx.Key{Hash: idx.HashOf(p.id.Topic, key), Position: int64(i), Time: at})
			return len(room.keys) <= idx.MaxAdd
		})
		if errors.Is(err, penstock.ErrCorrupt) {
			err = fmt.Errorf("%w: the keys of a batch cannot be read for the index of its topic: %s", penstock.ErrInvalidRecord, err.Error())
		}
		if err == nil && len(room.keys) > idx.MaxAdd {
			err = fmt.Errorf("%w: more than %d keys in one append to a topic with an index of keys", penstock.ErrTooLarge, idx.MaxAdd)
		}
		if err != nil {
			return nil, err
		}
	}
	return room, nil
}

// addKey appends a key, unless the one before is the same.
func addKey(keys []idx.Key, k idx.Key) []idx.Key {
	if n := len(keys); n > 0 && keys[n-1] == k {
		return keys
	}
	return append(keys, k)
}

// switchKeys begins or ends the index as the configuration says, before something is appended. The caller holds w.
func (p *Partition) switchKeys(c *store.Config) error {
	has := p.keys.Load() != nil
	switch {
	case p.indexesKeys(c) == has:
		return nil
	case has:
		p.dropKeys()
		return nil
	}
	return p.beginKeys()
}

// beginKeys begins an index with what is appended next. Where there is something before, that it is not in the index is durable on return.
func (p *Partition) beginKeys() error {
	dir := path.Join(p.dir, keysDir)
	if es, err := p.st.d.ReadDir(dir); err != nil {
		return err
	} else if len(es) > 0 {
		if err := idx.Remove(p.st.d, dir); err != nil {
			return err
		}
	}
	x, _, err := idx.Open(p.st.d, dir, p.keyOptions(), false)
	if err != nil {
		return fmt.Errorf("partition %v: %w", p.id, err)
	}
	if end := penstock.Offset(p.end.Load()); end > 0 {
		m := keysMark{end, p.st.newMark()}
		if err := x.Checkpoint(m.append(nil), nil); err != nil {
			x.Close()
			return fmt.Errorf("partition %v: %w", p.id, err)
		}
	}
	p.keys.Store(&keyIndex{x: x})
	return nil
}

func (p *Partition) keyOptions() idx.Options {
	return idx.Options{Logger: p.log(), Slots: p.st.o.KeySlots, Entries: p.st.o.KeyEntries, Walk: p.walkKeys, Now: p.st.o.Now, Unordered: true}
}

// dropKeys ends the idx. What stays of its files is removed when it begins again, or at the next start. The caller holds w.
func (p *Partition) dropKeys() {
	p.closeKeys()
	if err := idx.Remove(p.st.d, path.Join(p.dir, keysDir)); err != nil {
		p.log().Warn("index of keys not removed yet", "partition", p.id, "err", err)
	}
}

// closeKeys gives the index up. Where a checkpoint is at it, it waits for that.
func (p *Partition) closeKeys() {
	if k := p.keys.Swap(nil); k != nil {
		k.x.Close()
	}
}

// fileKeys adds the keys of what was appended. The caller holds w.
func (p *Partition) fileKeys(room *keyRoom, batches []penstock.Batch, at penstock.Timestamp) {
	k := p.keys.Load()
	if k == nil || room == nil {
		return
	}
	for i := range room.keys {
		key := &room.keys[i]
		key.Position = int64(batches[key.Position].Header.BaseOffset)
		if at != penstock.NoTimestamp {
			key.Time = at
		}
	}
	k.x.Add(room.keys)
	if cap(room.keys) <= maxKeyRoom {
		p.st.keys.Put(room)
	}
}

// openKeys ends the opening of a partition: the index is brought up to the log's end.
func (r *recovery) openKeys() error {
	p := r.p
	if !p.indexesKeys(p.cfg.Load()) {
		if r.keyed {
			if err := p.st.touch(); err != nil {
				return err
			}
			p.dropKeys()
		}
		return nil
	}
	if r.fresh {
		return nil // the first append begins it
	}
	x, mark, err := idx.Open(p.st.d, path.Join(p.dir, keysDir), p.keyOptions(), p.st.clean)
	if err != nil {
		return err
	}
	p.keys.Store(&keyIndex{x: x})
	p.trimKeys()
	end := penstock.Offset(p.end.Load())
	m, ok := parseKeysMark(mark)
	p.st.mark(m.seq)
	void := r.m != nil && m.seq <= r.m.void
	// What looks as if Kafka wrote it may be ours, and have lost the names of its small files and of its index in a crash.
	from := penstock.Offset(0)
	switch {
	case ok && !void:
		from = min(m.upto, end)
	case !ok && !r.keyed && r.pointed:
		from = min(r.point.next, end) // nobody asked for an index when that was noted
	}
	from = max(from, p.segs[0].base)
	beyond := ok && !void && m.upto > end // the log lost what lay below: what takes its place is not in the index
	if ok && from >= end && !beyond {
		return nil
	}
	if err := p.st.touch(); err != nil {
		return err
	}
	if !ok && from > 0 || beyond {
		// What lies before is not gone over at the next start either, and what follows is.
		first := keysMark{from, p.st.newMark()}
		if err := x.Checkpoint(first.append(nil), nil); err != nil {
			return err
		}
	}
	if from >= end {
		return nil
	}
	p.log().Info("index of keys is behind the log, going over it", "partition", p.id, "from", from, "to", end)
	return p.catchUp(x, from, end)
}

// catchUp adds what lies from one offset to before another, and is not there yet.
func (p *Partition) catchUp(x *idx.Index, from, end penstock.Offset) error {
	last, any := x.Last()
	var keys []idx.Key
	var failed error
	err := p.walkKeys(int64(from), int64(end)-1, func(k idx.Key) {
		if failed != nil {
			return
		}
		if any && k.Position <= last {
			var has bool
			if has, failed = x.Has(k); has || failed != nil {
				return
			}
		}
		keys = append(keys[:0], k)
		x.Add(keys)
	})
	return errors.Join(err, failed)
}

// checkpointKeys makes the index durable, no further than the log, as everything below an offset is in it. It reports whether there is anything that a start can
// go on from.
func (p *Partition) checkpointKeys(upto penstock.Offset, seq uint64) bool {
	k := p.keys.Load()
	if k == nil {
		return true
	}
	p.w.Lock()
	void := p.void
	p.w.Unlock()
	m := keysMark{upto, seq}
	if k.noted.upto == upto && k.noted.seq > void {
		m = k.noted // nothing has changed
	}
	p.st.mark(m.seq)
	err := k.x.Checkpoint(m.append(nil), func() error { return p.sync(penstock.Offset(p.end.Load())) })
	if errors.Is(err, penstock.ErrClosed) {
		return true // ended meanwhile
	}
	if err != nil {
		p.log().Warn("index of keys not written yet", "partition", p.id, "err", err)
		return k.noted.seq > 0
	}
	k.noted = m
	return true
}

// trimKeys removes files of the index whose records are all gone.
func (p *Partition) trimKeys() {
	k := p.keys.Load()
	if k == nil {
		return
	}
	p.mu.RLock()
	first := int64(p.segs[0].base)
	p.mu.RUnlock()
	if err := k.x.Trim(func(i idx.Info) bool { return i.End < first }); err != nil {
		p.log().Warn("index of keys not trimmed yet", "partition", p.id, "err", err)
	}
}

// walkKeys gives out the keys of all whole batches whose offsets lie from from to to.
func (p *Partition) walkKeys(from, to int64, add func(idx.Key)) error {
	for next := penstock.Offset(from); int64(next) <= to; {
		l, ok, err := p.lookFor(next)
		if errors.Is(err, penstock.ErrCorrupt) && l.s != nil {
			next = max(next+1, l.next) // missing
			continue
		}
		if err != nil || !ok {
			return err
		}
		err = p.keysIn(&l, next, penstock.Offset(to), add)
		l.release()
		if err != nil {
			return err
		}
		if l.next <= next {
			return nil // it was the last
		}
		next = l.next
	}
	return nil
}

// keysIn gives out the keys of a segment. Damage is passed over as far as that is known, and ends it else.
func (p *Partition) keysIn(l *look, from, to penstock.Offset, add func(idx.Key)) error {
	pos, err := p.placeOf(l, from)
	if errors.Is(err, penstock.ErrCorrupt) {
		pos, err = 0, nil
	}
	if err != nil {
		return err
	}
	w := p.st.walker()
	defer p.st.release(w)
	w.reset(p.st.f, l.h, pos, l.size, true)
	for {
		p.skipBad(l.s.base, w)
		h, err := w.header()
		if err == io.EOF || errors.Is(err, errZero) || errors.Is(err, penstock.ErrCorrupt) || err == nil && h.BaseOffset > to {
			return nil
		}
		if err != nil {
			return err
		}
		if h.LastOffset() >= from {
			b, err := w.body(&h)
			if err != nil && !errors.Is(err, penstock.ErrCorrupt) {
				return err
			}
			if err == nil && p.st.f.Verify(b) == nil {
				// What cannot be read was not indexed when it was appended either.
				_ = p.st.keyer.EachKey(b, func(_ penstock.Offset, at penstock.Timestamp, key []byte) bool {
					add(idx.Key{Hash: idx.HashOf(p.id.Topic, key), Position: int64(h.BaseOffset), Time: at})
					return true
				})
			}
		}
		w.skip(&h)
	}
}

// placeOf is where in a segment a walk may begin that looks for an offset.
func (p *Partition) placeOf(l *look, off penstock.Offset) (int64, error) {
	switch {
	case off <= l.s.base:
		return 0, nil
	case p.st.dense:
		return p.cellPosition(l, off)
	}
	return p.timePosition(l, penstock.NoTimestamp-1, off)
}

var _ store.Finder = (*Store)(nil)

// wanted is what a look-up by key looks for.
type wanted struct {
	topic    penstock.TopicID
	key      []byte
	from, to penstock.Timestamp
}

// keyHit is a record that has the key.
type keyHit struct {
	id  penstock.PartitionID
	off penstock.Offset
	at  penstock.Timestamp
}

// FindKey calls visit with the records, of the partitions that are open, that have a key and a time between from and to, both included: those of a partition from its
// end on, those of several by their times, the newest first. Each was looked at. It takes a look into each file of the index of each
// partition of the topic.
func (s *Store) FindKey(topic penstock.TopicID, key string, from, to penstock.Timestamp, limit int, visit func(penstock.PartitionID, penstock.Offset) bool) error {
	q := wanted{topic, []byte(key), from, to}
	var hits []keyHit
	indexed := false
	for _, p := range s.opened() {
		if p.id.Topic != topic || !p.indexesKeys(p.cfg.Load()) {
			continue
		}
		indexed = true
		if len(q.key) == 0 || limit <= 0 {
			continue
		}
		more, err := p.findKey(&q, limit)
		if err != nil {
			return fmt.Errorf("find key %.64q of partition %v: %w", key, p.id, err)
		}
		hits = merge(hits, more, limit)
	}
	if !indexed {
		return fmt.Errorf("%w: no index of keys for topic %v", penstock.ErrUnsupported, topic)
	}
	for i := range hits {
		if !visit(hits[i].id, hits[i].off) {
			break
		}
	}
	return nil
}

// merge puts two lists together, the newer of their first ones first. No more than limit are kept, which depends on no more of either.
func merge(a, b []keyHit, limit int) []keyHit {
	out := make([]keyHit, 0, min(len(a)+len(b), limit))
	for len(out) < cap(out) {
		from := &a
		if len(a) == 0 || len(b) > 0 && cmp.Or(cmp.Compare(b[0].at, a[0].at), cmp.Compare(a[0].id.Partition, b[0].id.Partition)) > 0 {
			from = &b
		}
		out, *from = append(out, (*from)[0]), (*from)[1:]
	}
	return out
}

// findKey is what a partition has, no more than limit.
func (p *Partition) findKey(q *wanted, limit int) (hits []keyHit, err error) {
	k := p.keys.Load()
	if k == nil {
		return nil, nil // nothing was appended since it was asked for
	}
	var failed error
	err = k.x.Find(idx.HashOf(q.topic, q.key), q.from, q.to, func(pos int64) bool {
		first := len(hits)
		hits, failed = p.hits(penstock.Offset(pos), q, hits)
		if errors.Is(failed, penstock.ErrCorrupt) || errors.Is(failed, penstock.ErrOffsetOutOfRange) || errors.Is(failed, fs.ErrNotExist) {
			hits, failed = hits[:first], nil // gone, or damaged
		}
		slices.Reverse(hits[first:])
		return failed == nil && len(hits) < limit
	})
	if errors.Is(err, penstock.ErrClosed) {
		err = nil // ended meanwhile
	}
	return hits[:min(len(hits), limit)], errors.Join(err, failed)
}

// hits appends the records that are meant of the batch that begins with an offset, in order.
func (p *Partition) hits(base penstock.Offset, q *wanted, dst []keyHit) ([]keyHit, error) {
	for {
		p.mu.RLock()
		gen := p.gen
		p.mu.RUnlock()
		out, err := p.hitsNow(base, q, dst)
		if !p.taken(gen) {
			return out, err
		}
	}
}

// hitsNow is hits unless offsets are taken back meanwhile.
func (p *Partition) hitsNow(base penstock.Offset, q *wanted, dst []keyHit) ([]keyHit, error) {
	l, ok, err := p.lookFor(base)
	if err != nil || !ok {
		return dst, err
	}
	defer l.release()
	start, end := p.Bounds()
	if base < l.s.base || base >= min(end, l.next) || p.isBad(base) {
		return dst, nil
	}
	pos, err := p.placeOf(&l, base)
	if err != nil {
		return dst, err
	}
	w := p.st.walker()
	defer p.st.release(w)
	w.reset(p.st.f, l.h, pos, l.size, false)
	for {
		p.skipBad(l.s.base, w)
		h, err := w.header()
		if err == io.EOF || errors.Is(err, errZero) || err == nil && h.BaseOffset > base {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
		if h.BaseOffset < base {
			w.skip(&h)
			continue
		}
		b, err := w.body(&h)
		if err == nil {
			err = p.st.f.Verify(b)
		}
		if err == nil {
			err = p.st.keyer.EachKey(b, func(off penstock.Offset, at penstock.Timestamp, key []byte) bool {
				if off >= start && off < end && at >= q.from && at <= q.to && string(key) == string(q.key) && (len(dst) == 0 || dst[len(dst)-1] != keyHit{p.id, off, at}) {
					dst = append(dst, keyHit{p.id, off, at})
				}
				return true
			})
		}
		return dst, err
	}
}

// isBad reports whether an offset lies in a damaged place.
func (p *Partition) isBad(off penstock.Offset) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	_, err := p.clip(off, off+1)
	return err != nil
}
