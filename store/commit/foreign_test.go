package commit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"penstock"
	"penstock/disk"
	"penstock/message"
	"penstock/store"
)

// onDisk is a store of messages in a directory of the machine.
func onDisk(t *testing.T, dir string, o Options) (*disk.Disk, *Store) {
	t.Helper()
	d, err := disk.Open(dir, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(d, message.Format{}, o)
	if err != nil {
		t.Fatal(err)
	}
	return d, s
}

// TestExportAndImport takes a store to RocketMQ's directory and back: the files are the same, and so are offsets, starts, messages and keys.
func TestExportAndImport(t *testing.T) {
	o := Options{FileBytes: 16 << 10, QueueEntries: 300_000, IndexSlots: 50, IndexEntries: 1000}
	data := t.TempDir()
	d, s := onDisk(t, data, o)
	m := &many{t: t, s: s}
	orders, retry := penstock.TopicID{1}, penstock.TopicID{2}
	var ps []store.Partition
	for _, id := range []penstock.PartitionID{{Topic: orders}, {Topic: orders, Partition: 3}, {Topic: retry}} {
		p, err := s.Open(id, store.Config{RetentionAge: -1, FileDeleteDelay: -1})
		m.must(err)
		ps = append(ps, p)
	}
	names := []string{"orders", "orders", "%RETRY%group"}
	want := map[penstock.PartitionID][]string{}
	for i := range 200 {
		k := i % 3
		b := messageTo(names[k], ps[k].ID().Partition, 1_700_000_000_000+penstock.Timestamp(i), properties("UNIQ_KEY", fmt.Sprint("u", i), "KEYS", fmt.Sprint("k", i%7), "TAGS", fmt.Sprint("t", i%2)))
		_, err := ps[k].Append([]penstock.Batch{b}, 0, 0)
		m.must(err)
		want[ps[k].ID()] = append(want[ps[k].ID()], string(b.Bytes))
	}
	// What is cut comes back nowhere, though it lies in the log in front of what was appended in its place.
	m.must(ps[0].Truncate(64))
	want[ps[0].ID()] = want[ps[0].ID()][:64]
	for i := range 2 {
		b := messageTo(names[0], 0, 1_700_000_000_500+penstock.Timestamp(i), properties("UNIQ_KEY", fmt.Sprint("later", i)))
		_, err := ps[0].Append([]penstock.Batch{b}, 0, 0)
		m.must(err)
		want[ps[0].ID()] = append(want[ps[0].ID()], string(b.Bytes))
	}
	m.must(s.log.sync(s.log.end.Load()))
	m.must(ps[1].SetStart(40))
	m.must(ps[0].SetStart(50))
	m.must(ps[2].SetStart(45))
	for _, p := range ps {
		_, err := p.Retain(retainAt, 1<<40)
		m.must(err)
	}
	if s.log.files[0].start == 0 {
		t.Fatal("nothing was trimmed")
	}
	to, err := disk.Open(t.TempDir(), disk.Options{})
	m.must(err)
	if _, err := Export(context.Background(), d, to, nil); !errors.Is(err, penstock.ErrUnsupported) {
		t.Errorf("export of a store in use: %v", err)
	}
	m.must(errors.Join(s.Close(), to.Close()))
	out := t.TempDir()
	to, err = disk.Open(out, disk.Options{})
	m.must(err)
	topics, err := Export(context.Background(), d, to, []RocketTopic{{Name: "idle", ReadQueues: 2, WriteQueues: 2, Perm: 6}})
	m.must(err)
	if len(topics) != 3 || topics[0].Name != "%RETRY%group" || topics[1].Partitions() != 2 || topics[2].Partitions() != 4 {
		t.Errorf("topics %+v", topics)
	}
	_, err = Export(context.Background(), d, to, nil)
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("export over another: %v", err)
	}
	m.must(errors.Join(to.Close(), d.Close()))
	for _, name := range []string{"consumequeue/orders/3/00000000000000000000", "checkpoint", "config/topics.json"} {
		if _, err := os.Stat(filepath.Join(out, name)); err != nil {
			t.Error(err)
		}
	}

	back := t.TempDir()
	d, err = disk.Open(back, disk.Options{})
	m.must(err)
	told, err := RocketTopics(os.DirFS(out))
	m.must(err)
	if len(told) != 3 || told[2].Partitions() != 4 || told[1].ReadQueues != 2 {
		t.Errorf("topics %+v", told)
	}
	ids := map[string]penstock.TopicID{"orders": {7}, "%RETRY%group": {8}}
	_, err = Import(context.Background(), d, os.DirFS(out), func(name string) (penstock.TopicID, bool) { id, ok := ids[name]; return id, ok })
	m.must(err)
	if _, err := Import(context.Background(), d, os.DirFS(out), nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("import over another: %v", err)
	}
	s2, err := New(d, message.Format{}, o)
	m.must(err)
	m.s = s2
	for i, p := range ps {
		id := penstock.PartitionID{Topic: ids[names[i]], Partition: p.ID().Partition}
		q, err := s2.Open(id, store.Config{RetentionAge: -1})
		m.must(err)
		start, end := q.Bounds()
		if int(end) != len(want[p.ID()]) || start == 0 || start > []penstock.Offset{50, 40, 45}[i] {
			t.Errorf("%s %d: %d to %d, want to %d", names[i], id.Partition, start, end, len(want[p.ID()]))
		}
		if at, state := q.LoadState(); at != end || state != nil {
			t.Errorf("%s %d: producers are known to offset %d, want %d", names[i], id.Partition, at, end)
		}
		for off := start; off < end; off++ {
			es, _, err := q.(*Partition).Pull(store.PullRequest{From: off, Limit: end, Count: 1, Scan: 1}, nil)
			m.must(err)
			b := make([]byte, es[0].Len)
			_, err = es[0].File.ReadAt(b, es[0].Off)
			m.must(err)
			penstock.ReleaseAll(es)
			if string(b) != want[p.ID()][off] {
				t.Errorf("%s %d: message %d differs", names[i], id.Partition, off)
			}
		}
		if got := m.find(ids[names[i]], fmt.Sprint("u", 180+i), 0, 1<<60, 10); !slices.Equal(got, []string{fmt.Sprintf("%d/60", id.Partition)}) {
			t.Errorf("%s: found %v", names[i], got)
		}
	}
	m.must(errors.Join(s2.Close(), d.Close()))
}
