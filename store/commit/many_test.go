package commit

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strconv"
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

// many is a store with several partitions, and for each what was appended to it.
type many struct {
	t     *testing.T
	f     store.Format
	batch func(storetest.Spec) penstock.Batch
	fs    *disktest.FS
	d     *disk.Disk
	s     *Store
	ps    []*Partition
	want  [][]string // bytes of each batch
	safe  []int      // so many of them are durable
	tag   uint64
	keys  bool // of records: they have keys, which are indexed
}

func newMany(t *testing.T, f store.Format, n int) *many {
	m := &many{t: t, f: f, batch: makeBatch, fs: disktest.New(), want: make([][]string, n), safe: make([]int, n)}
	if f.Kind() == penstock.FormatMessage {
		m.batch = makeMessage
	}
	m.open()
	return m
}

func (m *many) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *many) id(i int) penstock.PartitionID {
	return penstock.PartitionID{Topic: penstock.TopicID{byte(i % 3), 1}, Partition: int32(i)}
}

func (m *many) open() {
	m.t.Helper()
	m.d = disk.New(m.fs, disk.Options{SyncAllFrom: -1})
	var err error
	m.s, err = New(m.d, m.f, Options{FileBytes: 4 << 10, QueueEntries: suiteEntries, IndexSlots: 16, IndexEntries: 100, tail: 16, block: 16, inline: true})
	m.must(err)
	m.ps = nil
	for i := range m.want {
		p, err := m.s.Open(m.id(i), m.config())
		m.must(err)
		m.ps = append(m.ps, p.(*Partition))
	}
}

func (m *many) config() store.Config { return store.Config{RetentionAge: -1, IndexKeys: m.keys} }

func (m *many) stop() {
	m.t.Helper()
	m.must(errors.Join(m.s.Close(), m.d.Close()))
	if v := m.fs.Violations(); len(v) > 0 || m.fs.OpenFiles() != 0 {
		m.t.Fatalf("misuse of the disk: %q, %d files open", v, m.fs.OpenFiles())
	}
}

// append appends one batch to each of the partitions named, in one call.
func (m *many) append(to ...int) {
	m.t.Helper()
	var lots []Lot
	for _, i := range to {
		m.tag++
		b := m.batch(storetest.Spec{Records: 1, Bytes: int(m.tag*37%200) + 1, First: 1000 + penstock.Timestamp(m.tag), Of: m.id(i), Tag: m.tag})
		lots = append(lots, Lot{m.ps[i], []penstock.Batch{b}, 0})
	}
	res, err := m.s.Append(lots, 0)
	m.must(err)
	for k, i := range to {
		if res[k].First != penstock.Offset(len(m.want[i])) || res[k].End != m.s.log.Written() {
			m.t.Fatalf("partition %d: appended %+v, want offset %d", i, res[k], len(m.want[i]))
		}
		m.want[i] = append(m.want[i], string(lots[k].Batches[0].Bytes))
	}
}

func (m *many) sync() {
	m.t.Helper()
	m.must(m.s.log.sync(m.s.log.end.Load()))
	for i := range m.want {
		m.safe[i] = len(m.want[i])
	}
}

// compare reads everything. After a crash the end may be anywhere from what is safe on.
func (m *many) compare(crashed bool) error {
	for i, p := range m.ps {
		start, end := p.Bounds()
		if crashed && int(end) >= m.safe[i] && int(end) < len(m.want[i]) {
			m.want[i] = m.want[i][:end]
		}
		if start != 0 || int(end) != len(m.want[i]) {
			return fmt.Errorf("partition %d: %d to %d, want %d, of which %d are safe", i, start, end, len(m.want[i]), m.safe[i])
		}
		m.safe[i] = min(m.safe[i], int(end))
		for off, want := range m.want[i] {
			es, err := p.Read(store.ReadRequest{From: penstock.Offset(off), Limit: end, Max: 1, Whole: true}, nil)
			if err != nil || len(es) != 1 {
				return fmt.Errorf("partition %d: read at %d: %d extents, %w", i, off, len(es), err)
			}
			b := make([]byte, es[0].Len)
			_, err = es[0].File.ReadAt(b, es[0].Off)
			penstock.ReleaseAll(es)
			if err != nil || string(b) != want {
				return fmt.Errorf("partition %d: batch %d differs, %v", i, off, err)
			}
		}
	}
	for i := range m.ps {
		if err := m.findAll(i); err != nil {
			return err
		}
	}
	return nil
}

// findAll looks for all messages of a partition by their unique ids, and for those of its topic that share a key.
func (m *many) findAll(i int) error {
	if m.f.Kind() != penstock.FormatMessage {
		return m.findRecords(m.id(i).Topic)
	}
	key := fmt.Sprintf("k%d", i)
	var want []penstock.Position
	for k := range m.want {
		if m.id(k).Topic != m.id(i).Topic {
			continue
		}
		for off, b := range m.want[k] {
			parsed, err := message.Parse([]byte(b))
			if err != nil {
				return err
			}
			keys, _ := message.Property(parsed.Properties, message.PropertyKeys)
			if slices.Contains(strings.Fields(string(keys)), key) {
				want = append(want, parsed.Position)
			}
			if k != i {
				continue
			}
			unique, _ := message.Property(parsed.Properties, message.PropertyUniqueID)
			found := 0
			err = m.s.FindKey(m.id(i).Topic, string(unique), parsed.StoreTime, parsed.StoreTime, 10, func(id penstock.PartitionID, at penstock.Offset) bool {
				if id == m.id(i) && at == penstock.Offset(off) {
					found++
				} else {
					found = -100
				}
				return true
			})
			if err != nil || found != 1 {
				return fmt.Errorf("message %d of partition %d, found %d times by %s, %w", off, i, found, unique, err)
			}
		}
	}
	slices.SortFunc(want, func(a, b penstock.Position) int { return int(b - a) })
	var got []penstock.Position
	err := m.s.FindKey(m.id(i).Topic, key, 0, 1<<60, 1<<30, func(id penstock.PartitionID, off penstock.Offset) bool {
		for k := range m.want {
			if m.id(k) == id && int(off) < len(m.want[k]) {
				got = append(got, positionOfMessage([]byte(m.want[k][off])))
			}
		}
		return true
	})
	if err != nil || !slices.Equal(got, want) {
		return fmt.Errorf("key %s: found %v, want %v, %w", key, got, want, err)
	}
	return nil
}

// seeds is how many seeds a loop runs; COMMIT_SEEDS asks for more.
func seeds(short uint64) uint64 {
	if n, err := strconv.ParseUint(os.Getenv("COMMIT_SEEDS"), 10, 64); err == nil {
		return n
	}
	return short
}

// TestManyCrash drives several partitions on one log through power cuts and kills: appends to some at once, truncations, removals,
// checkpoints. Each seed is a run of its own.
func TestManyCrash(t *testing.T) {
	for name, start := range map[string]func() *many{
		"record":           func() *many { return newMany(t, record.Format{}, 5) },
		"record with keys": func() *many { return newKeyedMany(t, 5) },
		"message":          func() *many { return newMany(t, message.Format{}, 5) },
	} {
		t.Run(name, func(t *testing.T) {
			manySeed(t, start(), 9014) // a truncation was forgotten that the checkpoint did not know
			for seed := range seeds(150) {
				manySeed(t, start(), seed)
			}
		})
	}
}

func manySeed(t *testing.T, m *many, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 7))
	for range 3 {
		for range 25 {
			switch i := r.IntN(len(m.ps)); r.IntN(12) {
			case 0:
				m.sync()
			case 1:
				m.must(m.s.Checkpoint())
				m.sync()
			case 2:
				to := len(m.want[i]) - min(len(m.want[i]), r.IntN(6))
				m.must(m.ps[i].Truncate(penstock.Offset(to)))
				m.want[i], m.safe[i] = m.want[i][:to], min(m.safe[i], to)
			case 3:
				m.must(m.s.Remove(m.id(i)))
				p, err := m.s.Open(m.id(i), m.config())
				m.must(err)
				m.ps[i], m.want[i], m.safe[i] = p.(*Partition), nil, 0
			default:
				m.append(r.Perm(len(m.ps))[:1+r.IntN(3)]...)
			}
		}
		old := m.fs
		if r.IntN(3) == 0 {
			m.fs = old.Kill()
		} else {
			m.fs = old.Crash(seed)
		}
		old.Halt()
		_, _ = m.s.Close(), m.d.Close()
		m.open()
		if err := m.compare(true); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	m.append(0, 1, 2, 3, 4)
	m.stop()
	if err := checkFiles(disk.New(m.fs, disk.Options{}), m.f); err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	m.open()
	if err := m.compare(false); err != nil || !m.s.Clean() {
		t.Fatalf("seed %d: after a clean stop: %v", seed, err)
	}
	m.stop()
}

// TestOneWrite: lots of several partitions are one write to the log, and lie in files that are full to the end.
func TestOneWrite(t *testing.T) {
	m := newMany(t, message.Format{}, 4)
	m.append(0)
	m.append(1, 2, 3)
	m.append(3, 0)
	before := m.fs.Counts()[disktest.KindWrite]
	m.append(2, 0, 1, 3)
	if n := m.fs.Counts()[disktest.KindWrite] - before; n != 1 {
		t.Errorf("%d writes for one append to four partitions, want 1", n)
	}
	if err := m.compare(false); err != nil {
		t.Error(err)
	}
	_, err := m.s.Append([]Lot{{m.ps[0], nil, 0}, {m.ps[0], nil, 0}}, 0)
	if !errors.Is(err, penstock.ErrInvalidRecord) {
		t.Errorf("a partition named twice: %v", err)
	}
	b := makeMessage(storetest.Spec{Records: 1, Of: m.id(1), Tag: 1})
	if _, err := m.ps[0].Append([]penstock.Batch{b}, 0, 0); !errors.Is(err, penstock.ErrInvalidRecord) {
		t.Errorf("a message of another queue: %v", err)
	}
	m.stop()
}

// TestLostFile: a file of the log that is gone is reported and refused, whether the stop was clean or not, and what the others have stays.
func TestLostFile(t *testing.T) {
	for _, lost := range []int{0, 1, -1} {
		m := newMany(t, record.Format{}, 2)
		for range 40 {
			m.append(0, 1)
		}
		var names []string
		for _, f := range m.s.log.files {
			names = append(names, m.s.log.fileName(f.start))
		}
		m.stop()
		if lost < 0 {
			lost = len(names) - 1
		}
		m.must(m.fs.Remove(names[lost]))
		m.open()
		for i, p := range m.ps {
			if start, end := p.Bounds(); start != 0 || end != 40 || p.Stats().Quarantined != 1 {
				t.Errorf("file %d lost: %d to %d, %d places quarantined", lost, start, end, p.Stats().Quarantined)
			}
			refused := 0
			for off := range penstock.Offset(40) {
				es, err := p.Read(store.ReadRequest{From: off, Limit: 40, Max: 1, Whole: true}, nil)
				if errors.Is(err, penstock.ErrCorrupt) {
					refused++
				} else if err != nil || len(es) != 1 {
					t.Errorf("file %d lost: read of %d at %d: %v", lost, i, off, err)
				}
				penstock.ReleaseAll(es)
			}
			if refused == 0 || refused == 40 {
				t.Errorf("file %d lost: %d of 40 refused", lost, refused)
			}
		}
		_, err := m.ps[0].Append([]penstock.Batch{makeBatch(storetest.Spec{Records: 1, Bytes: 3, Tag: 1})}, 0, 0)
		m.must(err)
		m.stop()
	}
}

// TestDamagedCheckpoint: without the checkpoint the log says everything.
func TestDamagedCheckpoint(t *testing.T) {
	m := newMany(t, record.Format{}, 3)
	for range 30 {
		m.append(0, 1, 2)
	}
	m.must(m.ps[1].Truncate(25))
	m.want[1] = m.want[1][:25]
	m.append(1)
	m.stop()
	d := disk.New(m.fs, disk.Options{})
	name := path.Join(m.s.dir, checkpointFile)
	b, err := d.ReadFile(name, 1<<20)
	m.must(err)
	b = slices.Clone(b)
	b[len(b)/2] ^= 1
	m.must(errors.Join(d.WriteFile(name, b), d.Close()))
	m.open()
	if m.s.Clean() {
		t.Error("a start without a checkpoint is called clean")
	}
	if err := m.compare(false); err != nil {
		t.Error(err)
	}
	m.stop()
}
