package commit

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"penstock"
	"penstock/disk"
	"penstock/message"
	"penstock/record"
	"penstock/store"
)

var rewrite = flag.Bool("rewrite", false, "write testdata again instead of comparing")

// TestDiskCalls compares the disk calls of each operation with testdata/calls-<format>.txt, so that a new one on a path is seen in review.
func TestDiskCalls(t *testing.T) {
	for _, f := range []store.Format{record.Format{}, message.Format{}} {
		t.Run(f.Kind().String(), func(t *testing.T) { diskCalls(t, f, "testdata/calls-"+f.Kind().String()+".txt") })
	}
}

func diskCalls(t *testing.T, f store.Format, golden string) {
	m := newMany(t, f, 2)
	m.stop()
	m.fs = m.fs.Kill()
	now := time.UnixMilli(1_700_000_000_000)
	open := func() {
		m.d = disk.New(m.fs, disk.Options{SyncAllFrom: -1})
		var err error
		m.s, err = New(m.d, m.f, Options{FileBytes: 4 << 10, QueueEntries: suiteEntries, IndexSlots: 16, IndexEntries: 100, tail: 16, block: 16, inline: true,
			Now: func() time.Time { return now }})
		m.must(err)
		m.ps = nil
		for i := range m.want {
			p, err := m.s.Open(m.id(i), store.Config{RetentionAge: -1, FileDeleteDelay: -1})
			m.must(err)
			m.ps = append(m.ps, p.(*Partition))
		}
	}
	var out strings.Builder
	part := func(what string, do func()) {
		t.Helper()
		m.fs.StartTrace()
		do()
		m.d.Settle()
		out.WriteString("# " + what + "\n")
		for _, l := range m.fs.Trace() {
			l = strings.ReplaceAll(l, "commit/"+f.Kind().String()+"/queues/"+m.id(0).Topic.Hex(), "P")
			l = strings.ReplaceAll(l, "commit/"+f.Kind().String()+"/queues/"+m.id(1).Topic.Hex(), "Q")
			out.WriteString(strings.ReplaceAll(l, strings.Repeat("0", 12), "0~") + "\n")
		}
		out.WriteString("\n")
	}
	part("open a new store and two partitions", open)
	part("append, the first", func() { m.append(0) })
	part("append to two, the first of one", func() { m.append(0, 1) })
	part("append to two", func() { m.append(0, 1) })
	part("commit", m.sync)
	part("append and commit", func() { m.append(0); m.sync() })
	part("read what is in memory, one by one, and copy it out", func() {
		for off := range m.want[0] {
			m.readOne(0, penstock.Offset(off))
		}
	})
	part("pull all", func() {
		es, _, err := m.ps[0].Pull(store.PullRequest{Limit: 100, Count: 100, Scan: 100, Max: 1 << 20}, nil)
		m.must(err)
		penstock.ReleaseAll(es)
	})
	if m.s.messages {
		part("find by key", func() {
			m.must(m.s.FindKey(m.id(0).Topic, "all", 0, 1<<60, 2, func(penstock.PartitionID, penstock.Offset) bool { return true }))
		})
		part("locate", func() {
			_, _, err := m.s.Locate(positionOfMessage([]byte(m.want[0][1])))
			m.must(err)
		})
	}
	part("set epoch", func() { m.must(m.ps[0].SetEpoch(1)) })
	part("save state", func() { m.must(m.ps[0].SaveState(1, []byte("state"))) })
	part("checkpoint", func() { m.must(m.s.Checkpoint()) })
	part("checkpoint, idle", func() { m.must(m.s.Checkpoint()) })
	part("append until the next file is made ahead", func() {
		for m.s.log.next == nil {
			m.append(0)
		}
	})
	part("append until it is begun", func() {
		for len(m.s.log.files) == 1 {
			m.append(0)
		}
	})
	part("truncate", func() { m.cut(0, 2) })
	part("set start", func() { m.must(m.ps[0].SetStart(5)) })
	part("retain, nothing to do", func() {
		_, err := m.ps[0].Retain(now, 100)
		m.must(err)
	})
	part("retain", func() {
		for _, p := range m.ps {
			_, end := p.Bounds()
			m.must(p.SetStart(min(end, 100)))
			_, err := p.Retain(now, end)
			m.must(err)
		}
	})
	part("append and close", func() { m.append(0, 1); m.must(m.s.Close()); m.must(m.d.Close()) })
	part("open after a clean stop", open)
	part("append, the first after a clean stop", func() { m.append(0) })
	old := m.fs
	m.fs = old.Kill()
	old.Halt()
	_, _ = m.s.Close(), m.d.Close()
	part("open after a kill", open)
	part("remove", func() { m.must(m.s.Remove(m.id(0))) })
	m.must(m.s.Close())
	m.must(m.d.Close())
	if *rewrite {
		m.must(os.MkdirAll("testdata", 0o755))
		m.must(os.WriteFile(golden, []byte(out.String()), 0o644))
	}
	want, err := os.ReadFile(golden)
	m.must(err)
	if out.String() != string(want) {
		t.Errorf("the disk calls changed; run with -rewrite and read the difference. Got:\n%s", out.String())
	}
}

// readOne reads one batch and copies it out.
func (m *many) readOne(i int, off penstock.Offset) {
	m.t.Helper()
	es, err := m.ps[i].Read(store.ReadRequest{From: off, Limit: off + 1, Max: 1, Whole: true}, nil)
	m.must(err)
	b := make([]byte, es[0].Len)
	_, err = es[0].File.ReadAt(b, es[0].Off)
	m.must(err)
	penstock.ReleaseAll(es)
}
