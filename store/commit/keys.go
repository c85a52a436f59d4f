package commit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"penstock"
	"penstock/message"
	"penstock/store"
	"penstock/store/index"
)

var _ store.Finder = (*Store)(nil)

const indexDir = "index"

// tagPrefix stands before a tag in its key, as RocketMQ has it.
const tagPrefix = "T#"

var (
	keySeparator = []byte(message.KeySeparator)
	keyMark      = []byte("#")
	keyTag       = []byte(tagPrefix)
)

// appendKeys appends the keys of a message, in RocketMQ's order: unique id, the words of KEYS, tag. Position and time are the caller's to fill in.
func (g *gist) appendKeys(dst []index.Key, pos penstock.Position, at penstock.Timestamp) []index.Key {
	if g.back || g.words.unique == nil && g.words.keys == nil && g.words.tag == nil {
		return dst
	}
	topic := message.HashOn(message.HashOn(0, g.topic), keyMark)
	k := index.Key{Position: int64(pos), Time: at}
	if g.words.unique != nil {
		k.Hash = message.HashOn(topic, g.words.unique)
		dst = append(dst, k)
	}
	for rest := g.words.keys; len(rest) > 0; {
		var word []byte
		if word, rest, _ = bytes.Cut(rest, keySeparator); len(word) > 0 {
			k.Hash = message.HashOn(topic, word)
			dst = append(dst, k)
		}
	}
	if len(g.words.tag) > 0 {
		k.Hash = message.HashOn(message.HashOn(topic, keyTag), g.words.tag)
		dst = append(dst, k)
	}
	return dst
}

// has reports whether the message has a key.
func (w *words) has(key string) bool {
	if string(w.unique) == key && w.unique != nil {
		return true
	}
	if tag, ok := strings.CutPrefix(key, tagPrefix); ok && tag != "" && string(w.tag) == tag {
		return true
	}
	for rest := w.keys; len(rest) > 0; {
		var word []byte
		if word, rest, _ = bytes.Cut(rest, keySeparator); len(word) > 0 && string(word) == key {
			return true
		}
	}
	return false
}

// FindKey calls visit with the messages of a topic that have a key, a unique id, or a tag (key "T#tag"), stored between from and to, both included. Each
// message was looked at: it has the key, and its queue points to it. Of records see findRecords.
func (s *Store) FindKey(topic penstock.TopicID, key string, from, to penstock.Timestamp, limit int, visit func(penstock.PartitionID, penstock.Offset) bool) error {
	if !s.messages {
		return s.findRecords(&wanted{topic, []byte(key), from, to}, limit, visit)
	}
	if s.keys == nil {
		return fmt.Errorf("%w: this store keeps no index of keys (rocket.index)", penstock.ErrUnsupported)
	}
	name := s.names.topic(topic)
	if name == "" || limit <= 0 {
		return nil
	}
	var failed error
	err := s.keys.Find(message.JavaHash(name+"#"+key), from, to, func(pos int64) bool {
		id, off, err := s.hit(penstock.Position(pos), name, key, from, to)
		if errors.Is(err, penstock.ErrOffsetOutOfRange) || errors.Is(err, penstock.ErrCorrupt) {
			return true // gone, void, or another's
		}
		if failed = err; failed != nil {
			return false
		}
		if id.Topic != topic {
			return true
		}
		limit--
		return visit(id, off) && limit > 0
	})
	if err = errors.Join(failed, err); err != nil {
		return fmt.Errorf("find key %.64q of topic %v: %w", key, topic, err)
	}
	return nil
}

// hit looks at a message that may be meant.
func (s *Store) hit(at penstock.Position, topic, key string, from, to penstock.Timestamp) (id penstock.PartitionID, off penstock.Offset, err error) {
	err = s.messageAt(at, func(b []byte) error {
		m, err := message.Parse(b)
		if err != nil {
			return noBatch(err)
		}
		w := wordsOf(m.Properties)
		if string(m.Topic) != topic || m.StoreTime < from || m.StoreTime > to || !w.has(key) {
			return noBatch(errors.New("it is another message"))
		}
		var ok bool
		if id, ok = s.names.holder(m.Topic, m.QueueID); !ok {
			return noBatch(errors.New("its topic was removed"))
		}
		off = m.QueueOffset
		return nil
	})
	if err == nil {
		err = s.points(id, off, at)
	}
	return id, off, err
}

// openKeys opens the index, which is behind by what lies in the log from its mark on: up to the checkpoint's position it is brought up to
// date here, and walk sees to the rest. That of records begins with the first append of a topic that asks for it; where its directory is empty there
// was none.
func (s *Store) openKeys(c *checkpoint) error {
	if s.messages && s.o.NoIndex {
		return nil
	}
	dir := path.Join(s.dir, indexDir)
	begun := s.messages
	if !begun {
		es, err := s.d.ReadDir(dir)
		if err != nil {
			return err
		}
		begun = len(es) > 0
	}
	x, mark, err := index.Open(s.d, dir, s.indexOptions(), s.clean)
	if err != nil {
		return err
	}
	s.keys, s.indexed = x, begun
	from := int64(0)
	if len(mark) == 8 {
		from = int64(binary.BigEndian.Uint64(mark))
	}
	if !begun || from >= int64(c.pos) {
		return nil
	}
	if err := s.touch(); err != nil {
		return err
	}
	s.o.Logger.Info("index of keys is behind the log, going over it", "from", from, "to", c.pos)
	var keys []index.Key
	last, ok := x.Last()
	return s.walkKeys(from, int64(c.pos)-1, func(k index.Key) {
		if !ok || k.Position > last {
			keys = append(keys[:0], k)
			x.Add(keys)
		}
	})
}

// indexOptions has times unordered for records: producers choose them.
func (s *Store) indexOptions() index.Options {
	return index.Options{Logger: s.o.Logger, Slots: s.o.IndexSlots, Entries: s.o.IndexEntries, Walk: s.walkKeys, Now: s.o.Now, Unordered: !s.messages}
}

// checkKeys makes the index again where it knows more than the log, which was damaged or taken away: others will lie at these positions.
func (s *Store) checkKeys(end penstock.Position) error {
	if s.keys == nil {
		return nil
	}
	last, ok := s.keys.Last()
	if !ok || last < int64(end) {
		return nil
	}
	s.o.Logger.Error("index of keys goes on behind the end of the log, it is made again", "last", last, "end", end)
	if err := s.touch(); err != nil {
		return err
	}
	if err := s.keys.Reset(markAt(0)); err != nil {
		return err
	}
	return s.walkKeys(0, int64(end)-1, func(k index.Key) { s.keys.Add([]index.Key{k}) })
}

// markAt is the mark of an index that has everything before a position.
func markAt(pos int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(pos)) }

// walkKeys gives out the keys of all whole messages that lie in the log from from to to. Behind damage it goes on at the next file. It may run
// beside everything.
func (s *Store) walkKeys(from, to int64, add func(index.Key)) error {
	w := walk{s: s, pos: penstock.Position(from)}
	for int64(w.pos) <= to {
		next, err := s.keysInFile(&w, to, add)
		if err != nil {
			return err
		}
		if next <= w.pos {
			return nil
		}
		w.pos = next
	}
	return nil
}

// keysInFile goes over what the file that holds w.pos has from there on, and returns where the next file begins.
func (s *Store) keysInFile(w *walk, to int64, add func(index.Key)) (next penstock.Position, err error) {
	f, err := s.log.open(w.pos)
	if errors.Is(err, penstock.ErrCorrupt) {
		return s.log.after(w.pos), nil // trimmed, or lost
	}
	if err != nil {
		return 0, err
	}
	defer f.h.Release()
	defer w.forget()
	for int64(w.pos) <= to && w.pos < f.end() {
		n, err := w.keysHere(f)
		if err == nil {
			for _, k := range w.keys {
				add(k)
			}
			w.pos += penstock.Position(n)
			continue
		}
		if !errors.Is(err, penstock.ErrCorrupt) && !errors.Is(err, io.EOF) {
			return 0, err
		}
		break // its blank end, or damage
	}
	return f.end(), nil
}

// keysHere puts the keys of the message or the frame at pos into keys, and returns its size.
func (w *walk) keysHere(f *logFile) (int64, error) {
	w.keys = w.keys[:0]
	if !w.s.messages {
		return w.frameHere(f)
	}
	b, err := w.batch(f)
	if err != nil {
		return 0, err
	}
	g, err := w.s.describe(b)
	w.keys = g.appendKeys(w.keys, w.pos, g.stored)
	return int64(len(b)), err
}

// after is where the first file begins that begins behind pos; pos where none does.
func (l *Log) after(pos penstock.Position) penstock.Position {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, f := range l.files {
		if f.start > pos {
			return f.start
		}
	}
	return pos
}

// checkpointKeys makes the index durable, no further than the log.
func (s *Store) checkpointKeys() error {
	if s.keys == nil {
		return nil
	}
	s.w.Lock()
	end, begun := s.log.end.Load(), s.indexed
	s.w.Unlock()
	if end == 0 || !begun {
		return nil
	}
	return s.keys.Checkpoint(markAt(end), func() error { return s.log.sync(s.log.end.Load()) })
}

// trimKeys removes files of the index whose messages are all gone.
func (s *Store) trimKeys() error {
	if s.keys == nil {
		return nil
	}
	s.log.mu.RLock()
	first := penstock.Position(0)
	if len(s.log.files) > 0 {
		first = s.log.files[0].start
	}
	s.log.mu.RUnlock()
	return s.keys.Trim(func(i index.Info) bool { return i.End < int64(first) })
}
