package commit

import (
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"penstock"
	"penstock/disk"
	"penstock/message"
	"penstock/record"
	"penstock/store"
)

// files lists what lies below a directory.
func files(t testing.TB, d *disk.Disk, dir string) (out []string) {
	t.Helper()
	es, err := d.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range es {
		if e.Dir {
			out = append(out, files(t, d, path.Join(dir, e.Name))...)
		} else {
			out = append(out, path.Join(dir, e.Name))
		}
	}
	return out
}

// TestQueueDamage changes, cuts and removes files of queues of a stopped store: every batch is found nevertheless, whatever is done meanwhile, and
// a checkpoint makes the files right again.
func TestQueueDamage(t *testing.T) {
	for _, f := range []store.Format{record.Format{}, message.Format{}} {
		t.Run(f.Kind().String(), func(t *testing.T) {
			queueDamage(t, f, 2028) // the file that is cut is lost, and one follows it
			for seed := range seeds(120) {
				queueDamage(t, f, seed)
			}
		})
	}
}

func queueDamage(t *testing.T, f store.Format, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 11))
	m := newMany(t, f, 3)
	for range 40 + r.IntN(80) {
		m.append(r.Perm(3)[:1+r.IntN(3)]...)
		if i := r.IntN(3); r.IntN(30) == 0 {
			m.cut(i, r.IntN(20))
		}
	}
	m.stop()
	m.d = disk.New(m.fs, disk.Options{})
	var what []string
	for range 1 + r.IntN(3) {
		queues := slices.DeleteFunc(files(t, m.d, path.Join(m.s.dir, queuesDir)), func(name string) bool {
			_, ok := parseDigits(path.Base(name))
			return !ok
		})
		name := queues[r.IntN(len(queues))]
		b, err := m.d.ReadFile(name, 1<<20)
		m.must(err)
		what = append(what, name)
		switch r.IntN(4) {
		case 0:
			m.must(m.d.Remove(name))
		case 1:
			m.must(m.d.WriteFile(name, b[:r.IntN(len(b))]))
		default:
			b = slices.Clone(b)
			used := len(b)
			for used > 0 && b[used-1] == 0 {
				used-- // what lies behind the last entry is nobody's
			}
			if used > 0 {
				b[r.IntN(used)] ^= 1 << r.IntN(8)
			}
			m.must(m.d.WriteFile(name, b))
		}
	}
	m.must(m.d.Close())
	if r.IntN(2) == 0 {
		m.must(m.fs.Remove(path.Join(m.s.dir, cleanFile)))
	}
	m.open()
	for range r.IntN(4) {
		switch i := r.IntN(3); r.IntN(4) {
		case 0:
			m.must(m.s.Checkpoint())
		case 1:
			m.cut(i, r.IntN(30))
		case 2:
			for range r.IntN(40) {
				m.append(i)
			}
		default:
			if err := m.compare(false); err != nil {
				t.Fatalf("seed %d, %q: %v", seed, what, err)
			}
		}
	}
	for range 2 {
		if err := m.compare(false); err != nil {
			t.Fatalf("seed %d, %q: %v", seed, what, err)
		}
		for i, p := range m.ps {
			if q := p.Stats().Quarantined; q != 0 {
				t.Fatalf("seed %d, %q: %d places of partition %d quarantined", seed, what, q, i)
			}
		}
		m.append(0, 1, 2)
		m.stop()
		if err := checkFiles(disk.New(m.fs, disk.Options{}), f); err != nil {
			t.Fatalf("seed %d, %q: %v", seed, what, err)
		}
		m.open()
	}
	m.stop()
}

// cut truncates a partition by some batches.
func (m *many) cut(i, by int) {
	m.t.Helper()
	to := len(m.want[i]) - min(len(m.want[i]), by)
	m.must(m.ps[i].Truncate(penstock.Offset(to)))
	m.want[i], m.safe[i] = m.want[i][:to], min(m.safe[i], to)
}

// TestQueueDamageKnown: what was made again is the same, and said once; where the log has it no more, readers are refused and not deceived.
func TestQueueDamageKnown(t *testing.T) {
	m := newMany(t, message.Format{}, 1)
	for range 100 {
		m.append(0)
	}
	m.stop()
	name := m.ps[0].queueFile(0)
	m.d = disk.New(m.fs, disk.Options{})
	want, err := m.d.ReadFile(name, 1<<20)
	m.must(err)
	b := slices.Clone(want)
	b[20*30] ^= 1
	m.must(m.d.WriteFile(name, b))
	m.open()
	m.must(m.compare(false))
	m.append(0) // else a clean stop has nothing to write
	m.must(m.s.Checkpoint())
	got, err := m.d.ReadFile(name, 1<<20)
	m.must(err)
	if !slices.Equal(got, want) {
		t.Error("the file is not what it was")
	}
	m.stop()

	// The same with the log's file gone, too.
	m.d = disk.New(m.fs, disk.Options{})
	m.must(m.d.WriteFile(name, b))
	m.must(m.d.Remove(path.Join(m.s.dir, logDir, strings.Repeat("0", nameDigits))))
	m.open()
	refused := 0
	for off := range penstock.Offset(100) {
		es, err := m.ps[0].Read(store.ReadRequest{From: off, Limit: 101, Max: 1, Whole: true}, nil)
		if err != nil {
			refused++
			continue
		}
		raw := make([]byte, es[0].Len)
		_, err = es[0].File.ReadAt(raw, es[0].Off)
		m.must(err)
		if string(raw) != m.want[0][off] {
			t.Errorf("offset %d reads as something else", off)
		}
		penstock.ReleaseAll(es)
	}
	if refused == 0 || refused == 100 {
		t.Errorf("%d of 100 refused", refused)
	}
	m.stop()
}
