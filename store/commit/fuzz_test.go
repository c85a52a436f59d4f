package commit

import (
	"context"
	"hash/crc32"
	"path"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"penstock"
	"penstock/disk"
	"penstock/message"
	"penstock/record"
	"penstock/store"
	"penstock/store/storetest"
)

// FuzzRecovery replaces one file of a store that was stopped by arbitrary bytes and opens: nothing panics, nothing hangs, and what can be read has a
// header that fits. With resealed set the bytes get a good checksum first, so that the parsers behind it are reached.
func FuzzRecovery(f *testing.F) {
	type base struct {
		m     *many
		names []string
	}
	var bases []base
	for _, format := range []store.Format{record.Format{}, message.Format{}} {
		m := &many{t: &testing.T{}}
		m = newMany(m.t, format, 2)
		for range 20 {
			m.append(0, 1)
		}
		m.cut(0, 3)
		m.append(0)
		m.must(m.ps[0].SetEpoch(1))
		m.must(m.ps[0].SaveState(5, []byte("five")))
		m.must(m.ps[1].SetStart(4))
		m.stop()
		bases = append(bases, base{m, files(f, disk.New(m.fs, disk.Options{}), "commit")})
	}
	for k, b := range bases {
		d := disk.New(b.m.fs, disk.Options{})
		for i, name := range b.names {
			raw, err := d.ReadFile(name, 1<<30)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(uint8(k), uint8(i), raw, false, false)
			f.Add(uint8(k), uint8(i), raw[:len(raw)/2], true, true)
		}
	}
	f.Fuzz(func(t *testing.T, which, kind uint8, b []byte, unclean, resealed bool) {
		base := bases[int(which)%len(bases)]
		m := *base.m
		m.t = t
		m.fs = base.m.fs.Kill()
		d := disk.New(m.fs, disk.Options{})
		if resealed && len(b) > 4 {
			b = put32(b[:len(b)-4:len(b)-4], crc32.Checksum(b[:len(b)-4], castagnoli))
		}
		m.must(d.WriteFile(base.names[int(kind)%len(base.names)], b))
		if unclean {
			_ = d.Remove(path.Join(m.s.dir, cleanFile))
		}
		s, err := New(d, m.f, Options{FileBytes: 4 << 10, QueueEntries: suiteEntries, IndexSlots: 16, IndexEntries: 100, tail: 16, block: 16, inline: true})
		if err != nil {
			return
		}
		for i := range 2 {
			p, err := s.Open(m.id(i), store.Config{RetentionAge: -1})
			m.must(err)
			start, end := p.Bounds()
			if start < 0 || end < start {
				t.Fatalf("bounds %d to %d", start, end)
			}
			for off := start; off < min(end, start+40); off++ {
				if es, err := p.Read(store.ReadRequest{From: off, Limit: end, Max: 500, Whole: true}, nil); err == nil {
					penstock.ReleaseAll(es)
				}
				if es, _, err := p.(store.Queue).Pull(store.PullRequest{From: off, Limit: end, Max: 500, Count: 3, Scan: 9, Tags: []int64{1}}, nil); err == nil {
					penstock.ReleaseAll(es)
				}
			}
			_, _ = p.Find(1000)
			_, _ = p.Find(store.FindMax)
			_ = p.Scan(start, func(*penstock.BatchHeader) error { return nil })
			_, _ = p.LoadState()
			_ = s.FindKey(m.id(i).Topic, "all", 0, 1<<60, 100, func(penstock.PartitionID, penstock.Offset) bool { return true })
			_, _, _ = s.Locate(penstock.Position(len(b)))
			_ = p.Truncate(max(start, end-3))
			_, _ = p.Append([]penstock.Batch{m.batch(specFor(m.id(i)))}, 0, 0)
			_, _ = p.Retain(time.UnixMilli(1), end)
		}
		_ = s.Checkpoint()
		_ = s.Close()
		_ = d.Close()
	})
}

func specFor(id penstock.PartitionID) storetest.Spec {
	return storetest.Spec{Records: 1, Bytes: 30, First: 2000, Of: id, Tag: 4711}
}

// FuzzImport takes over arbitrary bytes as files of a RocketMQ broker: nothing panics, and what comes of it can be opened.
func FuzzImport(f *testing.F) {
	b := messageTo("t", 0, 1, properties("KEYS", "k"))
	f.Add(b.Bytes, make([]byte, 40), `{"topicConfigTable":{"t":{"topicName":"t","readQueueNums":1,"writeQueueNums":1,"perm":6}}}`)
	f.Fuzz(func(t *testing.T, log, queue []byte, topics string) {
		if strings.Contains(topics, "\x00") {
			return
		}
		from := fstest.MapFS{
			"commitlog/00000000000000000000":        {Data: log},
			"consumequeue/t/0/00000000000000000000": {Data: queue},
			"config/topics.json":                    {Data: []byte(topics)},
		}
		m := &many{t: t}
		m = newMany(t, record.Format{}, 0)
		_, err := Import(context.Background(), m.d, from, func(string) (penstock.TopicID, bool) { return penstock.TopicID{1}, true })
		if err == nil {
			s, err := New(m.d, message.Format{}, Options{FileBytes: 4 << 10, QueueEntries: suiteEntries, IndexSlots: 16, IndexEntries: 100})
			m.must(err)
			m.must(s.Close())
		}
		m.stop()
	})
}

// TestTooFar has a message whose offset its queue cannot have reached, as in a store of somebody else that is damaged: it is left out, and what follows it is not.
func TestTooFar(t *testing.T) {
	far, near := messageTo("t", 0, 1, nil), messageTo("t", 0, 1, nil)
	message.Format{}.Stamp(far.Bytes, penstock.Stamp{Base: 1 << 40, AppendTime: penstock.NoTimestamp})
	message.Format{}.Stamp(near.Bytes, penstock.Stamp{Position: penstock.Position(len(far.Bytes)), AppendTime: penstock.NoTimestamp})
	m := newMany(t, record.Format{}, 0)
	from := fstest.MapFS{
		"commitlog/00000000000000000000": {Data: append(far.Bytes, near.Bytes...)},
		"config/topics.json":             {Data: []byte(`{"topicConfigTable":{"t":{"topicName":"t","readQueueNums":1,"writeQueueNums":1,"perm":6}}}`)},
	}
	id := penstock.TopicID{1}
	_, err := Import(t.Context(), m.d, from, func(string) (penstock.TopicID, bool) { return id, true })
	m.must(err)
	s, err := New(m.d, message.Format{}, Options{FileBytes: 4 << 10, QueueEntries: suiteEntries, NoIndex: true})
	m.must(err)
	p, err := s.Open(penstock.PartitionID{Topic: id}, store.Config{})
	m.must(err)
	if start, end := p.Bounds(); start != 0 || end != 1 {
		t.Errorf("queue from %d to %d, want one message", start, end)
	}
	m.must(s.Close())
	m.stop()
}
