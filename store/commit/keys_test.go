package commit

import (
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"testing"
	"time"

	"penstock"
	"penstock/disk"
	"penstock/message"
	"penstock/record"
	"penstock/store"
)

// retainAt is any time: nothing is kept by age in these tests.
var retainAt = time.UnixMilli(1_700_000_000_000)

// find lists what a key gives, as "partition/offset".
func (m *many) find(topic penstock.TopicID, key string, from, to penstock.Timestamp, limit int) (out []string) {
	m.t.Helper()
	m.must(m.s.FindKey(topic, key, from, to, limit, func(id penstock.PartitionID, off penstock.Offset) bool {
		out = append(out, fmt.Sprintf("%d/%d", id.Partition, off))
		return true
	}))
	return out
}

// TestFindKey: unique ids, words of KEYS, tags, times, limits; what is void, gone or another's is not found.
func TestFindKey(t *testing.T) {
	m := newMany(t, message.Format{}, 0)
	orders, other := penstock.TopicID{1}, penstock.TopicID{2}
	var ps []store.Partition
	open := func() {
		ps = nil
		for _, id := range []penstock.PartitionID{{Topic: orders}, {Topic: orders, Partition: 1}, {Topic: other}} {
			p, err := m.s.Open(id, store.Config{})
			m.must(err)
			ps = append(ps, p)
		}
	}
	open()
	send := func(i int, topic string, at penstock.Timestamp, kv ...string) {
		t.Helper()
		_, err := ps[i].Append([]penstock.Batch{messageTo(topic, ps[i].ID().Partition, at, properties(kv...))}, 0, 0)
		m.must(err)
	}
	send(0, "orders", 1000, "UNIQ_KEY", "u1", "KEYS", "Aa  BB x", "TAGS", "red")
	send(1, "orders", 2000, "UNIQ_KEY", "u2", "KEYS", "x", "TAGS", "blue")
	send(2, "other", 3000, "UNIQ_KEY", "u1", "KEYS", "x")
	send(0, "orders", 4000, "KEYS", "BB größe")
	send(1, "orders", 5000, "KEYS", "x x", "TAGS", "red")
	send(0, "orders", 6000, "TAGS", "x")
	send(0, "orders", 7000)
	all := func(when string) {
		t.Helper()
		for _, c := range []struct {
			topic    penstock.TopicID
			key      string
			from, to penstock.Timestamp
			limit    int
			want     []string
		}{
			{orders, "u1", 0, math.MaxInt64, 10, []string{"0/0"}},
			{other, "u1", 0, math.MaxInt64, 10, []string{"0/0"}},
			{orders, "x", 0, math.MaxInt64, 10, []string{"1/1", "1/0", "0/0"}},
			{orders, "x", 0, math.MaxInt64, 2, []string{"1/1", "1/0"}},
			{orders, "x", 0, math.MaxInt64, 0, nil},
			{orders, "x", 1001, 4999, 10, []string{"1/0"}},
			{orders, "x", 2000, 5000, 10, []string{"1/1", "1/0"}},
			{orders, "Aa", 0, math.MaxInt64, 10, []string{"0/0"}}, // it has the hash of BB
			{orders, "BB", 0, math.MaxInt64, 10, []string{"0/1", "0/0"}},
			{orders, "größe", 0, math.MaxInt64, 10, []string{"0/1"}},
			{orders, "T#red", 0, math.MaxInt64, 10, []string{"1/1", "0/0"}},
			{orders, "red", 0, math.MaxInt64, 10, nil},
			{orders, "nothing", 0, math.MaxInt64, 10, nil},
			{orders, "", 0, math.MaxInt64, 10, nil},
			{penstock.TopicID{9}, "x", 0, math.MaxInt64, 10, nil},
		} {
			if got := m.find(c.topic, c.key, c.from, c.to, c.limit); !slices.Equal(got, c.want) {
				t.Errorf("%s: key %q from %d to %d: %v, want %v", when, c.key, c.from, c.to, got, c.want)
			}
		}
	}
	all("at once")
	n := 0
	m.must(m.s.FindKey(orders, "x", 0, math.MaxInt64, 10, func(penstock.PartitionID, penstock.Offset) bool { n++; return false }))
	if n != 1 {
		t.Errorf("%d visited after enough was said", n)
	}
	m.stop()
	m.open()
	open()
	all("after a clean stop")
	for _, spoil := range []func(d *disk.Disk) error{
		func(d *disk.Disk) error { return d.RemoveAll(path.Join(m.s.dir, indexDir)) },
		func(d *disk.Disk) error {
			return d.WriteFile(path.Join(m.s.dir, indexDir, "vouched"), []byte("nonsense"))
		},
	} {
		m.stop()
		m.d = disk.New(m.fs, disk.Options{})
		m.must(spoil(m.d))
		m.open()
		open()
		all("with an index made again")
	}
	// A file of the index that is lost is told, and made again by a checkpoint.
	m.stop()
	m.d = disk.New(m.fs, disk.Options{})
	es, err := m.d.ReadDir(path.Join(m.s.dir, indexDir))
	m.must(err)
	m.must(m.d.Remove(path.Join(m.s.dir, indexDir, es[0].Name)))
	m.open()
	open()
	err = m.s.FindKey(orders, "x", 0, math.MaxInt64, 10, func(penstock.PartitionID, penstock.Offset) bool { return true })
	if !errors.Is(err, penstock.ErrCorrupt) {
		t.Errorf("with a file of the index lost: %v", err)
	}
	send(0, "orders", 8000)
	m.must(m.s.Checkpoint())
	all("with a file made again")

	m.must(ps[1].Truncate(1))
	if got := m.find(orders, "x", 0, math.MaxInt64, 10); !slices.Equal(got, []string{"1/0", "0/0"}) {
		t.Errorf("after a truncation: %v", got)
	}
	m.must(ps[0].SetStart(1))
	if got := m.find(orders, "x", 0, math.MaxInt64, 10); !slices.Equal(got, []string{"1/0"}) {
		t.Errorf("below the start: %v", got)
	}
	m.must(m.s.Remove(ps[1].ID()))
	if got := m.find(orders, "x", 0, math.MaxInt64, 10); got != nil {
		t.Errorf("after a removal: %v", got)
	}
	m.stop()
}

// TestNoIndex: records have none, and messages need not have one.
func TestNoIndex(t *testing.T) {
	m := newMany(t, record.Format{}, 1)
	if err := m.s.FindKey(m.id(0).Topic, "x", 0, 1, 1, nil); !errors.Is(err, penstock.ErrUnsupported) {
		t.Errorf("records: %v", err)
	}
	m.stop()
	m.d = disk.New(m.fs, disk.Options{})
	s, err := New(m.d, message.Format{}, Options{NoIndex: true})
	m.must(err)
	if err := s.FindKey(m.id(0).Topic, "x", 0, 1, 1, nil); !errors.Is(err, penstock.ErrUnsupported) {
		t.Errorf("messages without an index: %v", err)
	}
	m.must(errors.Join(s.Close(), m.d.Close()))
}

// TestTrimKeys: files of the index go with the log that they point into.
func TestTrimKeys(t *testing.T) {
	m := newMany(t, message.Format{}, 2)
	for range 120 {
		m.append(0, 1)
	}
	before := len(m.s.keys.Files())
	first := m.s.log.files[0].start
	for i, p := range m.ps {
		m.must(p.SetStart(100))
		_, err := p.Retain(retainAt, penstock.Offset(len(m.want[i])))
		m.must(err)
	}
	after := m.s.keys.Files()
	if m.s.log.files[0].start == first || len(after) >= before || after[0].End < int64(m.s.log.files[0].start) {
		t.Errorf("log from %d, before %d; %d files of %d left, the first %+v", m.s.log.files[0].start, first, len(after), before, after[0])
	}
	old := m.fs
	m.fs = old.Kill()
	old.Halt()
	_, _ = m.s.Close(), m.d.Close()
	m.open()
	if got := m.s.keys.Files(); len(got) == 0 || got[0].Damaged {
		t.Errorf("after a kill: %+v", got)
	}
	m.stop()
}
