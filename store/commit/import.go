package commit

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"

	"penstock"
	"penstock/disk"
)

// maxRocketConfig bounds a file of RocketMQ's configuration.
const maxRocketConfig = 256 << 20

// RocketConfig reads a file below config in the store directory of a RocketMQ broker as that broker does: where it is missing or empty, its backup (.bak). It
// returns nothing where there is neither.
func RocketConfig(from fs.FS, name string) ([]byte, error) {
	for _, n := range []string{name, name + ".bak"} {
		b, err := readAll(from, path.Join(rocketConfig, n), maxRocketConfig)
		if err == nil && len(bytes.TrimSpace(b)) > 0 {
			return b, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return nil, nil
}

// RocketTopics lists the topics of the store directory of a RocketMQ broker: those of config/topics.json, and those that have consume queues. Errors:
// penstock.ErrUnsupported where the consume queues are in RocksDB.
func RocketTopics(from fs.FS) ([]RocketTopic, error) {
	table := map[string]*RocketTopic{}
	b, err := RocketConfig(from, path.Base(rocketTopics))
	if err != nil {
		return nil, err
	}
	if b != nil {
		var t rocketTopicTable
		if err := json.Unmarshal(b, &t); err != nil {
			return nil, fmt.Errorf("%s: %w", rocketTopics, err)
		}
		for name, c := range t.Table {
			table[name] = &RocketTopic{Name: name, ReadQueues: c.ReadQueueNums, WriteQueues: c.WriteQueueNums, Perm: c.Perm, Order: c.Order, Attributes: c.Attributes}
		}
	}
	topics, err := fs.ReadDir(from, rocketQueues)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range topics {
		if !e.IsDir() {
			if e.Name() == "CURRENT" { // of RocksDB
				return nil, fmt.Errorf("%s: %w: the consume queues are in RocksDB (storeType=defaultRocksDB)", rocketQueues, penstock.ErrUnsupported)
			}
			continue
		}
		queues, err := fs.ReadDir(from, path.Join(rocketQueues, e.Name()))
		if err != nil {
			return nil, err
		}
		for _, q := range queues {
			n, err := strconv.ParseInt(q.Name(), 10, 32)
			if err != nil || n < 0 {
				continue
			}
			if table[e.Name()] == nil {
				table[e.Name()] = &RocketTopic{Name: e.Name(), Perm: 6}
			}
			table[e.Name()].Queues = max(table[e.Name()].Queues, int(n)+1)
		}
	}
	return sortedTopics(table), nil
}

func readAll(from fs.FS, name string, limit int64) ([]byte, error) {
	f, err := from.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s: more than %d bytes", name, limit)
	}
	return b, err
}

// Import takes over the commit log of the store directory of a RocketMQ broker, which is not running, for the store of messages on d, which has nothing
// yet: files are copied as they are, and each queue is given to a partition of the topic id that ids returns for its topic; queues whose topic has
// none are left out. The queues' offsets stay. The store that New opens then goes over the log and makes queues and index of it, so that what
// comes of a log that was not stopped cleanly is what is whole: also the messages of a queue that has no files yet. It reports the bytes of the log.
func Import(ctx context.Context, d *disk.Disk, from fs.FS, ids func(topic string) (penstock.TopicID, bool)) (int64, error) {
	s := &Store{d: d, o: Options{}.withDefaults(), dir: path.Join(rootDir, penstock.FormatMessage.String()), messages: true}
	if es, err := d.ReadDir(s.dir); err != nil || len(es) > 0 {
		return 0, fmt.Errorf("import: %w", errors.Join(err, fmt.Errorf("%s has files already: %w", s.dir, fs.ErrExist)))
	}
	x := transfer{ctx: ctx, to: d, read: func(name string) (source, int64, error) {
		f, err := from.Open(name)
		if err != nil {
			return nil, 0, err
		}
		i, err := f.Stat()
		src, ok := f.(source)
		if err != nil || !ok {
			return nil, 0, errors.Join(err, fmt.Errorf("%s cannot be read at a place", name), f.Close())
		}
		return src, i.Size(), nil
	}}
	first, size, err := x.importLog(s, from)
	if err != nil {
		return 0, fmt.Errorf("import: %w", err)
	}
	topics, err := RocketTopics(from)
	if err != nil {
		return 0, fmt.Errorf("import: %w", err)
	}
	for i := range topics {
		id, ok := ids(topics[i].Name)
		if !ok {
			continue
		}
		for q := range topics[i].Partitions() {
			if err := x.importQueue(s, from, penstock.PartitionID{Topic: id, Partition: int32(q)}, queueName{topics[i].Name, int32(q)}, first); err != nil {
				return 0, fmt.Errorf("import: queue %d of %q: %w", q, topics[i].Name, err)
			}
		}
	}
	// Nothing is vouched for: all of the log is walked, and damage that more follows is not taken for its end.
	c := checkpoint{seq: 0, pos: first}
	if err := d.WriteFile(path.Join(s.dir, checkpointFile), c.append(nil)); err != nil {
		return 0, fmt.Errorf("import: %w", err)
	}
	return size, nil
}

// importLog copies the files of the log that have something in them, and returns where the first begins.
func (x *transfer) importLog(s *Store, from fs.FS) (first penstock.Position, size int64, err error) {
	es, err := fs.ReadDir(from, rocketLog)
	if err != nil {
		return 0, 0, err
	}
	next := int64(-1)
	for _, e := range es {
		start, ok := parseDigits(e.Name())
		if !ok {
			continue
		}
		i, err := e.Info()
		if err != nil {
			return 0, 0, err
		}
		if next >= 0 && start != next {
			return 0, 0, fmt.Errorf("%w: %s/%s: the file before it ends at %d", penstock.ErrCorrupt, rocketLog, e.Name(), next)
		}
		if next < 0 {
			first = penstock.Position(start)
		}
		next = start + i.Size()
		if used, err := x.used(path.Join(rocketLog, e.Name())); err != nil || !used && start != int64(first) {
			if err != nil {
				return 0, 0, err
			}
			break // made ahead of need, and whatever comes behind it
		}
		if err := x.copy(path.Join(rocketLog, e.Name()), path.Join(s.dir, logDir, e.Name())); err != nil {
			return 0, 0, err
		}
		size += i.Size()
	}
	return first, size, nil
}

// used reports whether a file of the log begins with something.
func (x *transfer) used(name string) (bool, error) {
	src, _, err := x.read(name)
	if err != nil {
		return false, err
	}
	defer func() { _ = src.Close() }() // only read
	b := make([]byte, blankSize)
	if _, err := src.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return !zeroed(b), nil
}

// importQueue gives a queue to a partition. Its first offset is that of the first entry whose message the log still has.
func (x *transfer) importQueue(s *Store, from fs.FS, id penstock.PartitionID, name queueName, log penstock.Position) error {
	at, err := x.firstOffset(from, path.Join(rocketQueues, name.topic, strconv.Itoa(int(name.queue))), log)
	if err != nil {
		return err
	}
	p := newPartition(s, id)
	o := owner{name: name}
	f := facts{start: at, first: at}
	if err := x.to.WriteFile(path.Join(p.dir, factsFile), f.append(nil)); err != nil {
		return err
	}
	return x.to.WriteFile(path.Join(p.dir, ownerFile), o.append(nil))
}

// firstOffset looks through the files of a consume queue, the oldest first, for an entry that points into the log; behind the last one where none does.
func (x *transfer) firstOffset(from fs.FS, dir string, log penstock.Position) (penstock.Offset, error) {
	es, err := fs.ReadDir(from, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	es = slices.DeleteFunc(es, func(e fs.DirEntry) bool { _, ok := parseDigits(e.Name()); return !ok })
	next := penstock.Offset(0)
	for _, e := range es {
		start, _ := parseDigits(e.Name())
		src, size, err := x.read(path.Join(dir, e.Name()))
		if err != nil {
			return 0, err
		}
		b := make([]byte, size/messageEntry*messageEntry)
		_, err = src.ReadAt(b, 0)
		_ = src.Close() // only read
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		for i := 0; i < len(b); i += messageEntry {
			pos, n := penstock.Position(binary.BigEndian.Uint64(b[i:])), int32(binary.BigEndian.Uint32(b[i+8:]))
			if n <= 0 {
				continue // none, or filled up in front of a queue that begins later
			}
			off := penstock.Offset(start+int64(i)) / messageEntry
			if pos >= log && n != 1<<31-1 {
				return off, nil
			}
			next = off + 1
		}
	}
	return next, nil
}
