package commit

import (
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"sync"
	"testing"

	"penstock"
	"penstock/disk"
	"penstock/record"
	"penstock/store"
	"penstock/store/index"
)

// newKeyedMany is newMany for records with keys.
func newKeyedMany(t *testing.T, n int) *many {
	m := newMany(t, record.Format{}, 0)
	m.keys, m.batch = true, makeKeyed
	m.want, m.safe = make([][]string, n), make([]int, n)
	m.stop()
	m.open()
	return m
}

// findRecords looks for all keys of a topic, and compares with a look at every record.
func (m *many) findRecords(topic penstock.TopicID) error {
	if !m.keys {
		return nil
	}
	want := map[string][]string{"never": nil}
	for k, batches := range m.want {
		for _, b := range batches {
			w := record.Walk([]byte(b))
			if b[22]&7 != 0 {
				w = record.Walk(unpacked([]byte(b)))
			}
			for r := (record.Record{}); w.Next(&r); {
				if m.id(k).Topic == topic && r.Key != nil {
					want[string(r.Key)] = append(want[string(r.Key)], fmt.Sprintf("%d/%d", k, r.Offset))
				}
			}
			if w.Err() != nil {
				return w.Err()
			}
		}
	}
	for key, at := range want {
		got := m.find(topic, key, 0, math.MaxInt64, math.MaxInt)
		slices.Sort(got)
		slices.Sort(at)
		if !slices.Equal(got, at) {
			return fmt.Errorf("key %q: found %v, want %v", key, got, at)
		}
	}
	return nil
}

// keyBatch makes a batch whose records have the keys, a second apart.
func keyBatch(at penstock.Timestamp, keys ...string) penstock.Batch {
	var w record.Builder
	w.Begin(nil)
	for i, key := range keys {
		if err := w.Add(&record.Entry{Offset: penstock.Offset(i), Timestamp: at + penstock.Timestamp(i)*1000, Key: []byte(key), Value: []byte("value")}); err != nil {
			panic(err)
		}
	}
	return batchOf(record.Format{}, w.End())
}

// TestFindRecords: several partitions and batches in one write, times, limits; what is below the start, cut or removed is not found.
func TestFindRecords(t *testing.T) {
	m := newMany(t, record.Format{}, 0)
	topic := penstock.TopicID{1}
	var ps []*Partition
	open := func() {
		ps = nil
		for _, id := range []penstock.PartitionID{{Topic: topic}, {Topic: topic, Partition: 1}, {Topic: penstock.TopicID{2}}} {
			p, err := m.s.Open(id, store.Config{RetentionAge: -1, IndexKeys: true})
			m.must(err)
			ps = append(ps, p.(*Partition))
		}
	}
	open()
	_, err := m.s.Append([]Lot{
		{ps[0], []penstock.Batch{keyBatch(10_000, "a", "b", "a"), keyBatch(9_000, "two words", "a")}, 0},
		{ps[2], []penstock.Batch{keyBatch(20_000, "a")}, 0},
		{ps[1], []penstock.Batch{keyBatch(30_000, "a", "c")}, 0},
	}, 0)
	m.must(err)
	_, err = ps[0].Append([]penstock.Batch{keyBatch(40_000, "a", "a")}, 0, 0)
	m.must(err)
	all := func(when string) {
		t.Helper()
		for _, c := range []struct {
			key      string
			from, to penstock.Timestamp
			limit    int
			want     []string
		}{
			{"a", 0, math.MaxInt64, 10, []string{"0/6", "0/5", "1/0", "0/4", "0/2", "0/0"}},
			{"a", 0, math.MaxInt64, 3, []string{"0/6", "0/5", "1/0"}},
			{"a", 0, math.MaxInt64, 0, nil},
			{"a", 10_001, 30_000, 10, []string{"1/0", "0/2"}},
			{"words", 0, math.MaxInt64, 10, []string{"0/3"}},
			{"two words", 0, math.MaxInt64, 10, []string{"0/3"}},
			{"c", 0, math.MaxInt64, 10, []string{"1/1"}},
			{"d", 0, math.MaxInt64, 10, nil},
			{"", 0, math.MaxInt64, 10, nil},
		} {
			if got := m.find(topic, c.key, c.from, c.to, c.limit); !slices.Equal(got, c.want) {
				t.Errorf("%s: %+v: %v", when, c, got)
			}
		}
	}
	all("at once")
	m.stop()
	m.open()
	open()
	all("after a stop")
	m.stop()
	m.d = disk.New(m.fs, disk.Options{})
	m.must(m.d.WriteFile(path.Join(m.s.dir, indexDir, "vouched"), []byte("nonsense")))
	m.open()
	open()
	all("with an index made again")
	m.must(ps[0].SetStart(1))
	if got := m.find(topic, "a", 0, math.MaxInt64, 10); !slices.Equal(got, []string{"0/6", "0/5", "1/0", "0/4", "0/2"}) {
		t.Errorf("in the middle of a batch: %v", got)
	}
	m.must(ps[0].Truncate(5))
	_, err = ps[0].Append([]penstock.Batch{keyBatch(50_000, "b")}, 0, 0)
	m.must(err)
	if got := m.find(topic, "a", 0, math.MaxInt64, 10); !slices.Equal(got, []string{"1/0", "0/4", "0/2"}) {
		t.Errorf("after a truncation: %v", got)
	}
	if got := m.find(topic, "b", 0, math.MaxInt64, 10); !slices.Equal(got, []string{"0/5", "0/1"}) {
		t.Errorf("what came in its place: %v", got)
	}
	m.must(m.s.Remove(ps[1].ID()))
	if got := m.find(topic, "a", 0, math.MaxInt64, 10); !slices.Equal(got, []string{"0/4", "0/2"}) {
		t.Errorf("after a removal: %v", got)
	}
	m.stop()
}

// TestRecordKeysSwitched: only what is appended while a topic asks for it is indexed; whoever never asks costs no file.
func TestRecordKeysSwitched(t *testing.T) {
	m := newMany(t, record.Format{}, 0)
	id, c := penstock.PartitionID{Topic: penstock.TopicID{1}}, store.Config{RetentionAge: -1}
	var p store.Partition
	open := func() {
		var err error
		p, err = m.s.Open(id, c)
		m.must(err)
	}
	put := func() {
		t.Helper()
		_, err := p.Append([]penstock.Batch{keyBatch(1000, "a")}, 0, 0)
		m.must(err)
	}
	kill := func() {
		old := m.fs
		m.fs = old.Kill()
		old.Halt()
		_, _ = m.s.Close(), m.d.Close()
		m.open()
		open()
	}
	want := func(when string, at ...string) {
		t.Helper()
		if got := m.find(id.Topic, "a", 0, math.MaxInt64, 10); !slices.Equal(got, at) {
			t.Errorf("%s: %v, want %v", when, got, at)
		}
	}
	open()
	put()
	m.must(m.s.Checkpoint())
	err := m.s.FindKey(id.Topic, "a", 0, math.MaxInt64, 10, nil)
	es, dirErr := m.d.ReadDir(path.Join(m.s.dir, indexDir))
	if !errors.Is(err, penstock.ErrUnsupported) || len(es) > 0 || dirErr != nil {
		t.Errorf("nobody asks: %v, files %v %v", err, es, dirErr)
	}
	c.IndexKeys = true
	p.Configure(c)
	want("before anything is appended")
	put()
	want("from then on", "0/1")
	kill()
	want("after a kill", "0/1")
	c.IndexKeys = false
	p.Configure(c)
	put()
	c.IndexKeys = true
	p.Configure(c)
	put()
	want("off and on", "0/3", "0/1")
	kill()
	want("after a kill, off and on", "0/3", "0/1")
	var w record.Builder // one key more than an append may have
	w.Begin(nil)
	for i := range index.MaxAdd + 1 {
		m.must(w.Add(&record.Entry{Offset: penstock.Offset(i), Key: []byte{'k', byte(i), byte(i >> 8), byte(i >> 16)}}))
	}
	p.Configure(store.Config{IndexKeys: true, MaxBatchBytes: 64 << 20})
	if _, err := p.Append([]penstock.Batch{batchOf(record.Format{}, packed(w.End()))}, 0, 0); !errors.Is(err, penstock.ErrTooLarge) {
		t.Errorf("too many keys: %v", err)
	}
	torn := keyBatch(0, "a", "b")
	torn = batchOf(record.Format{}, packed(append(torn.Bytes[:61:61], 1, 2, 3)))
	if _, err := p.Append([]penstock.Batch{torn}, 0, 0); !errors.Is(err, penstock.ErrInvalidRecord) || errors.Is(err, penstock.ErrCorrupt) {
		t.Errorf("a batch whose keys cannot be read: %v", err)
	}
	m.stop()
}

// TestRecordKeysTogether: look-ups, checkpoints and retention go on beside appends; what is found has the key.
func TestRecordKeysTogether(t *testing.T) {
	m := newKeyedMany(t, 0)
	id := penstock.PartitionID{Topic: penstock.TopicID{1}}
	p, err := m.s.Open(id, store.Config{IndexKeys: true, RetentionBytes: 20_000, RetentionAge: -1, FileDeleteDelay: -1})
	m.must(err)
	var wg sync.WaitGroup
	done := make(chan struct{})
	beside := func(do func() error) {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := do(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	beside(func() error {
		return m.s.FindKey(id.Topic, "k1", 0, math.MaxInt64, 20, func(_ penstock.PartitionID, off penstock.Offset) bool {
			if off%3 != 1 {
				t.Errorf("k1 at %d", off)
			}
			return true
		})
	})
	beside(m.s.Checkpoint)
	for i := range 1500 {
		_, err := p.Append([]penstock.Batch{keyBatch(1000, fmt.Sprint("k", i%3))}, 0, 0)
		m.must(err)
		if i%50 == 0 {
			_, err := p.Retain(retainAt, penstock.Offset(i))
			m.must(err)
		}
	}
	close(done)
	wg.Wait()
	start, end := p.Bounds()
	n := 0
	for off := start; off < end; off++ {
		if off%3 == 1 {
			n++
		}
	}
	if got := m.find(id.Topic, "k1", 0, math.MaxInt64, math.MaxInt); len(got) != n {
		t.Errorf("%d found, want %d", len(got), n)
	}
	m.stop()
}
