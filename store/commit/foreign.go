package commit

import (
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
	"penstock/message"
)

// Names in the store directory of a RocketMQ broker, as storePathRootDir has it.
const (
	rocketLog        = "commitlog"
	rocketQueues     = "consumequeue"
	rocketIndex      = "index"
	rocketCheckpoint = "checkpoint"
	rocketConfig     = "config"
	rocketTopics     = "config/topics.json"
)

// RocketTopic is a topic in the store directory of a RocketMQ broker.
type RocketTopic struct {
	Name        string
	ReadQueues  int
	WriteQueues int
	Perm        int               // 2 write, 4 read
	Order       bool              //
	Attributes  map[string]string // as RocketMQ keeps them, without the sign in front
	Queues      int               // that have files: the number of the last plus 1
}

// Partitions is how many queues there are in all.
func (t *RocketTopic) Partitions() int { return max(t.ReadQueues, t.WriteQueues, t.Queues) }

// rocketTopicConfig is an entry of topics.json.
type rocketTopicConfig struct {
	TopicName       string            `json:"topicName"`
	ReadQueueNums   int               `json:"readQueueNums"`
	WriteQueueNums  int               `json:"writeQueueNums"`
	Perm            int               `json:"perm"`
	TopicFilterType string            `json:"topicFilterType"`
	TopicSysFlag    int               `json:"topicSysFlag"`
	Order           bool              `json:"order"`
	Attributes      map[string]string `json:"attributes"`
}

type rocketTopicTable struct {
	DataVersion map[string]int64             `json:"dataVersion"`
	Table       map[string]rocketTopicConfig `json:"topicConfigTable"`
}

// Export writes what the store of messages on d holds as the store directory of a RocketMQ broker, which to is: commit log, consume queues, index
// files, checkpoint and config/topics.json. Files are copied as they are; d and its store are not changed, and nobody may write to them meanwhile. Topics
// are told with their queues and the permission 6, unless known names more. The last stop must have been clean. What the log has of
// removed topics is copied with it; what was truncated is marked as rolled back, so that neither a RocketMQ broker nor Import takes it for the queue's.
func Export(ctx context.Context, d, to *disk.Disk, known []RocketTopic) ([]RocketTopic, error) {
	x := transfer{ctx: ctx, to: to, read: func(name string) (source, int64, error) {
		h, err := d.OpenFile(name, false)
		if err != nil {
			return nil, 0, err
		}
		n, err := h.Size()
		return held{h}, n, err
	}}
	s := &Store{d: d, f: message.Format{}, o: Options{}.withDefaults(), dir: path.Join(rootDir, penstock.FormatMessage.String()), messages: true}
	c, err := s.readCheckpoint()
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	if !s.clean {
		return nil, fmt.Errorf("export: %w: the store was not stopped cleanly, start and stop the broker first", penstock.ErrUnsupported)
	}
	if es, err := to.ReadDir(rocketLog); err != nil || len(es) > 0 {
		return nil, fmt.Errorf("export: %w", errors.Join(err, fmt.Errorf("%s is there already: %w", rocketLog, fs.ErrExist)))
	}
	table := map[string]*RocketTopic{}
	for i := range known {
		t := known[i]
		table[t.Name] = &t
	}
	if err := x.exportLog(s, c.pos); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	if err := x.voidLog(s, &c); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	if err := x.exportQueues(s, &c, table); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	last, err := x.exportIndex(s)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	out := sortedTopics(table)
	if err := x.exportConfig(out, last); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	return out, nil
}

func sortedTopics(table map[string]*RocketTopic) []RocketTopic {
	var out []RocketTopic
	for _, t := range table {
		out = append(out, *t)
	}
	slices.SortFunc(out, func(a, b RocketTopic) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out
}

// source is a file that is copied.
type source interface {
	io.ReaderAt
	io.Closer
}

// held is a Handle as a source.
type held struct{ *disk.Handle }

func (h held) Close() error { h.Release(); return nil }

// transfer copies files onto a disk.
type transfer struct {
	ctx  context.Context
	to   *disk.Disk
	read func(name string) (source, int64, error)
	buf  []byte
}

// copy copies a file. Runs of zeros become holes.
func (x *transfer) copy(from, to string) error {
	if x.buf == nil {
		x.buf = make([]byte, 1<<20)
	}
	src, size, err := x.read(from)
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }() // only read
	h, err := create(x.to, to)
	if err != nil {
		return err
	}
	defer h.Release()
	if err := h.Truncate(size); err != nil {
		return err
	}
	for at := int64(0); at < size; at += int64(len(x.buf)) {
		if err := x.ctx.Err(); err != nil {
			return err
		}
		b := x.buf[:min(size-at, int64(len(x.buf)))]
		if n, err := src.ReadAt(b, at); n < len(b) {
			return fmt.Errorf("%s: %d of %d bytes at %d: %w", from, n, len(b), at, err)
		}
		if zeroed(b) {
			continue
		}
		if _, err := h.WriteVec([][]byte{b}, at); err != nil {
			return err
		}
	}
	return h.Sync()
}

func zeroed(b []byte) bool {
	for len(b) >= 8 {
		if binary.NativeEndian.Uint64(b) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// exportLog copies the files of the log, but for the one that was made ahead of need.
func (x *transfer) exportLog(s *Store, end penstock.Position) error {
	es, err := s.d.ReadDir(path.Join(s.dir, logDir))
	if err != nil {
		return err
	}
	for _, e := range es {
		start, ok := parseDigits(e.Name)
		if !ok || penstock.Position(start) > end {
			continue
		}
		if err := x.copy(path.Join(s.dir, logDir, e.Name), path.Join(rocketLog, e.Name)); err != nil {
			return err
		}
	}
	return nil
}

// exportQueues copies the queues, under the names that messages have.
func (x *transfer) exportQueues(s *Store, c *checkpoint, table map[string]*RocketTopic) error {
	ids, err := s.List()
	if err != nil {
		return err
	}
	for _, id := range ids {
		p := newPartition(s, id)
		snap, ok := c.of[id]
		if !ok {
			continue
		}
		b, err := s.d.ReadFile(path.Join(p.dir, ownerFile), maxSmallBytes)
		if err != nil {
			return err
		}
		o, err := parseOwner(b)
		if err != nil {
			return fmt.Errorf("partition %v: %w", id, err)
		}
		t := table[o.name.topic]
		if t == nil {
			t = &RocketTopic{Name: o.name.topic, Perm: 6}
			table[t.Name] = t
		}
		t.Queues = max(t.Queues, int(o.name.queue)+1)
		size := s.o.QueueEntries
		for at := snap.first / size * size; at < snap.count; at += size {
			name := path.Base(p.queueFile(at))
			if err := x.copy(p.queueFile(at), path.Join(rocketQueues, o.name.topic, strconv.Itoa(int(o.name.queue)), name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// exportIndex copies the index files, and returns the time of the last key.
func (x *transfer) exportIndex(s *Store) (last int64, err error) {
	es, err := s.d.ReadDir(path.Join(s.dir, indexDir))
	if err != nil {
		return 0, err
	}
	const digits = 17 // of a name
	for _, e := range es {
		if len(e.Name) != digits {
			continue
		}
		from := path.Join(s.dir, indexDir, e.Name)
		if err := x.copy(from, path.Join(rocketIndex, e.Name)); err != nil {
			return 0, err
		}
		h, err := s.d.OpenFile(from, false)
		if err != nil {
			return 0, err
		}
		var b [16]byte
		_, err = h.ReadAt(b[:], 0)
		h.Release()
		if err != nil {
			return 0, err
		}
		last = max(last, int64(binary.BigEndian.Uint64(b[8:])))
	}
	return last, nil
}

// rocketCheckpointSize is the length of RocketMQ's checkpoint: times up to which log, queues and index are on the disk, and zeros.
const rocketCheckpointSize = 4096

func (x *transfer) exportConfig(topics []RocketTopic, last int64) error {
	b := make([]byte, 0, rocketCheckpointSize)
	for range 3 {
		b = put64(b, last)
	}
	if err := x.to.WriteFile(rocketCheckpoint, b[:rocketCheckpointSize]); err != nil {
		return err
	}
	t := rocketTopicTable{DataVersion: map[string]int64{"counter": 1, "stateVersion": 0, "timestamp": last}, Table: map[string]rocketTopicConfig{}}
	for i := range topics {
		r := &topics[i]
		n := r.Partitions()
		c := rocketTopicConfig{TopicName: r.Name, ReadQueueNums: r.ReadQueues, WriteQueueNums: r.WriteQueues, Perm: r.Perm, TopicFilterType: "SINGLE_TAG",
			Order: r.Order, Attributes: r.Attributes}
		if c.ReadQueueNums == 0 {
			c.ReadQueueNums = n
		}
		if c.WriteQueueNums == 0 {
			c.WriteQueueNums = n
		}
		if c.Attributes == nil {
			c.Attributes = map[string]string{}
		}
		t.Table[r.Name] = c
	}
	js, err := json.MarshalIndent(t, "", "\t")
	if err != nil {
		return err
	}
	return x.to.WriteFile(rocketTopics, js)
}
