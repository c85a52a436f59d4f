package segment

import (
	"flag"
	"os"
	"strings"
	"testing"

	"penstock"
	"penstock/disk"
	"penstock/disk/disktest"
	"penstock/message"
	"penstock/record"
	"penstock/store"
	"penstock/store/storetest"
)

var rewrite = flag.Bool("rewrite", false, "write testdata again instead of comparing")

// TestDiskCalls compares the disk calls of each operation with testdata/calls.txt, so that a new one on a path is seen in review.
func TestDiskCalls(t *testing.T) { diskCalls(t, nil, "testdata/calls.txt") }

// TestDiskCallsOfMessages is the same where each batch has an entry in a queue.
func TestDiskCallsOfMessages(t *testing.T) {
	diskCalls(t, message.Format{}, "testdata/calls-messages.txt")
}

func diskCalls(t *testing.T, f store.Format, golden string) {
	r := &rig{t: t, fs: disktest.New(), c: store.Config{IndexInterval: 300}, f: f}
	var out strings.Builder
	part := func(what string, do func()) {
		r.fs.StartTrace()
		do()
		if r.d != nil {
			r.d.Settle()
		}
		out.WriteString("# " + what + "\n")
		for _, l := range r.fs.Trace() {
			l = strings.ReplaceAll(l, r.dir(), "P")
			out.WriteString(strings.ReplaceAll(l, strings.Repeat("0", 12), "0~") + "\n")
		}
		out.WriteString("\n")
	}
	commit := func() { _, end := r.p.Bounds(); must(t, r.p.sync(end)) }
	part("open a new store and partition", r.open)
	part("append, the first", func() { r.add(1) })
	part("append", func() { r.add(1) })
	part("commit", commit)
	part("append and commit", func() { r.add(1); commit() })
	part("read each record and copy it out", func() { r.readable() })
	part("set epoch", func() { must(t, r.p.SetEpoch(1)) })
	part("save state", func() { must(t, r.p.SaveState(1, []byte("state"))) })
	part("checkpoint", func() { must(t, r.s.Checkpoint()) })
	part("checkpoint again, at rest", func() { must(t, r.s.Checkpoint()) })
	part("and again", func() { must(t, r.s.Checkpoint()) })
	part("roll", func() { r.p.Configure(store.Config{SegmentBytes: 1, IndexInterval: 300}); r.add(1) })
	part("checkpoint after a roll", func() { must(t, r.s.Checkpoint()) })
	part("truncate", func() { must(t, r.p.Truncate(2)) })
	part("set start", func() { must(t, r.p.SetStart(1)) })
	part("append and roll", func() { r.add(1) })
	part("retain", func() {
		_, err := r.p.Retain(testNow(), 3)
		must(t, err)
	})
	part("close", r.stop)
	part("open after a clean stop", r.open)
	part("append, the first after a clean stop", func() { r.add(1) })
	r.fs = r.fs.Kill()
	part("open after a kill", r.open)
	part("remove", func() { must(t, r.s.Remove(rigID)) })
	if *rewrite {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.WriteFile(golden, []byte(out.String()), 0o644))
	}
	want, err := os.ReadFile(golden)
	must(t, err)
	if out.String() != string(want) {
		t.Errorf("the disk calls changed; run with -rewrite and read the difference. Got:\n%s", out.String())
	}
}

// TestCleanStartReadsNoLog opens many partitions after a clean stop and looks at what is read: no log, few calls.
func TestCleanStartReadsNoLog(t *testing.T) {
	const n = 50
	fs := disktest.New()
	for _, again := range []bool{false, true} {
		d := disk.New(fs, disk.Options{})
		s, err := New(d, record.Format{}, Options{Now: testNow})
		must(t, err)
		before := fs.Counts()
		fs.StartTrace()
		for i := range n {
			p, err := s.Open(penstock.PartitionID{Topic: penstock.TopicID{1}, Partition: int32(i)}, store.Config{SegmentBytes: 2000, IndexInterval: 300})
			must(t, err)
			if !again {
				for k := range 40 {
					_, err := p.Append([]penstock.Batch{makeBatch(storetest.Spec{Records: 1, Bytes: 300, First: 1, Tag: uint64(k)})}, 0, 1)
					must(t, err)
				}
			}
		}
		if again {
			for _, l := range fs.Trace() {
				if strings.HasPrefix(l, "read ") && strings.Contains(l, ".log") {
					t.Errorf("a clean start reads a log: %s", l)
				}
			}
			calls := -total(before) + total(fs.Counts())
			t.Logf("%d calls each", calls/n)
			if calls > 12*n {
				t.Errorf("%d calls for %d partitions", calls, n)
			}
		}
		must(t, s.Close())
		must(t, d.Close())
	}
}

func total(m map[disktest.Kind]int) (n int) {
	for _, c := range m {
		n += c
	}
	return n
}
