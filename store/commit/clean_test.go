package commit

import (
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"penstock"
	"penstock/disk"
	"penstock/disk/disktest"
	"penstock/message"
	"penstock/record"
	"penstock/store"
	"penstock/store/storetest"
)

// small is a store of one partition with small files, which cleans when it is told to.
func small(t *testing.T, o Options, c store.Config) *many {
	t.Helper()
	m := &many{t: t, f: record.Format{}, batch: makeBatch, fs: disktest.New(), want: make([][]string, 1), safe: make([]int, 1)}
	m.d = disk.New(m.fs, disk.Options{SyncAllFrom: -1})
	o.FileBytes, o.inline = 64<<10, true
	var err error
	m.s, err = New(m.d, m.f, o)
	m.must(err)
	p, err := m.s.Open(m.id(0), c)
	m.must(err)
	m.ps = []*Partition{p.(*Partition)}
	return m
}

// fill appends until the log has so many files, with times a minute apart. It returns the largest time.
func (m *many) fill(files int) penstock.Timestamp {
	m.t.Helper()
	at := penstock.Timestamp(0)
	for len(m.s.log.files) < files {
		m.tag++
		at = 1_700_000_000_000 + penstock.Timestamp(m.tag)*60_000
		b := m.batch(storetest.Spec{Records: 1, Bytes: 5000, First: at, Of: m.id(0), Tag: m.tag})
		_, err := m.ps[0].Append([]penstock.Batch{b}, 0, 0)
		m.must(err)
	}
	return at
}

func (m *many) logFiles() int {
	m.t.Helper()
	es, err := m.d.ReadDir("commit/record/log")
	m.must(err)
	return len(es)
}

// TestDeleteHours: what is too old goes at its hour only, or at any when the disk is too full.
func TestDeleteHours(t *testing.T) {
	m := small(t, Options{DeleteHours: []int{4}, CleanPercent: 75, NoWarm: true, NoPreallocate: true}, store.Config{RetentionAge: time.Hour, FileDeleteDelay: -1})
	m.fill(4)
	day := time.Date(2026, 11, 21, 0, 0, 0, 0, time.Local)
	for hour, want := range map[int]int{3: 0, 5: 0, 16: 0} {
		freed, err := m.ps[0].Retain(day.Add(time.Duration(hour)*time.Hour), 1<<40)
		if err != nil || freed != int64(want) {
			t.Errorf("at %d: %d bytes freed, %v", hour, freed, err)
		}
	}
	sp, err := m.d.Space()
	m.must(err)
	m.fs.SetCapacity(sp.Used * 100 / 80)
	start, _ := m.ps[0].Bounds()
	m.sync()
	freed, err := m.s.MakeRoom(day.Add(5 * time.Hour))
	if now, _ := m.ps[0].Bounds(); err != nil || freed == 0 || now <= start {
		t.Errorf("on a disk that is too full: %d bytes freed, start %d, %v", freed, now, err)
	}
	m.fs.SetCapacity(sp.Total)
	m.fill(4)
	if freed, err := m.ps[0].Retain(day.Add(5*time.Hour), 1<<40); err != nil || freed != 0 {
		t.Errorf("at 5, with room: %d bytes freed, %v", freed, err)
	}
	if freed, err := m.ps[0].Retain(day.Add(4*time.Hour+30*time.Minute), 1<<40); err != nil || freed == 0 {
		t.Errorf("at 4: %d bytes freed, %v", freed, err)
	}
	m.stop()
}

// TestMarks: above the marks what is young goes, never what is not durable or the file that is written; then writes are refused, reads go on, and
// with room again writes are taken.
func TestMarks(t *testing.T) {
	m := small(t, Options{CleanPercent: 75, ForcePercent: 85, RefusePercent: 90, NoWarm: true, NoPreallocate: true}, store.Config{RetentionAge: -1, FileDeleteDelay: -1})
	m.fill(6)
	sp, err := m.d.Space()
	m.must(err)
	m.fs.SetCapacity(sp.Used * 100 / 95)
	now := time.UnixMilli(1_700_000_000_000)
	if freed, err := m.s.MakeRoom(now); err != nil || freed != 0 {
		t.Errorf("%d bytes freed of what is not durable, %v", freed, err)
	}
	if start, _ := m.ps[0].Bounds(); start != 0 {
		t.Errorf("start %d", start)
	}
	m.s.w.Lock()
	m.s.looked = false // as after 16 MiB
	m.s.w.Unlock()
	b := func() []penstock.Batch {
		m.tag++
		return []penstock.Batch{m.batch(storetest.Spec{Records: 1, Bytes: 100, First: 1, Of: m.id(0), Tag: m.tag})}
	}
	_, end := m.ps[0].Bounds()
	for range 3 {
		if _, err := m.ps[0].Append(b(), 0, 0); !errors.Is(err, penstock.ErrDiskFull) || !strings.Contains(err.Error(), "90 %") {
			t.Errorf("append on a disk that is too full: %v", err)
		}
	}
	es, err := m.ps[0].Read(store.ReadRequest{From: 0, Limit: end, Max: 1, Whole: true}, nil)
	if err != nil || len(es) != 1 {
		t.Errorf("read on a disk that is too full: %v", err)
	}
	penstock.ReleaseAll(es)
	m.must(m.s.log.sync(m.s.log.end.Load()))
	freed, err := m.s.MakeRoom(now)
	if used, _ := m.s.usedPercent(); err != nil || freed == 0 || used >= 85 || m.logFiles() < 1 {
		t.Errorf("%d bytes freed, %d %% used, %d files, %v", freed, used, m.logFiles(), err)
	}
	start, _ := m.ps[0].Bounds()
	if start == 0 || start >= end {
		t.Errorf("start %d, end %d", start, end)
	}
	got, err := m.ps[0].Append(b(), 0, 0)
	if err != nil || got.First != end {
		t.Errorf("append with room again: %+v, %v", got, err)
	}
	// With nothing left but the file that is written, nothing more goes.
	m.must(m.s.log.sync(m.s.log.end.Load()))
	m.fs.SetCapacity(80 << 10)
	if _, err := m.s.MakeRoom(now); err != nil || len(m.s.log.files) != 1 {
		t.Errorf("%d files left, %v", len(m.s.log.files), err)
	}
	m.fs.SetCapacity(1 << 40)
	m.stop()
}

// TestMakeRoomBeside has the cleaning done by the appends themselves, in the background.
func TestMakeRoomBeside(t *testing.T) {
	fs := disktest.New()
	d := disk.New(fs, disk.Options{})
	s, err := New(d, record.Format{}, Options{FileBytes: 256 << 10, ForcePercent: 85, RefusePercent: 99, NoWarm: true, NoPreallocate: true})
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Open(penstock.PartitionID{}, store.Config{RetentionAge: -1, FileDeleteDelay: -1})
	if err != nil {
		t.Fatal(err)
	}
	fs.SetCapacity(4 << 20)
	for i := range 200 {
		b := makeBatch(storetest.Spec{Records: 1, Bytes: 60 << 10, First: 1, Tag: uint64(i)})
		if _, err := p.Append([]penstock.Batch{b}, 0, 0); err != nil {
			t.Fatal(err)
		}
		if err := s.log.sync(s.log.end.Load()); err != nil {
			t.Fatal(err)
		}
		s.background.Wait() // nobody else begins anything
	}
	if start, end := p.Bounds(); start == 0 || end != 200 {
		t.Errorf("bounds %d to %d", start, end)
	}
	if err := errors.Join(s.Close(), d.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestFileDeleteDelay: files are deleted when the delay is over, at a clean stop, or at the next start.
func TestFileDeleteDelay(t *testing.T) {
	for _, end := range []string{"later", "stop", "kill"} {
		m := small(t, Options{NoWarm: true, Now: func() time.Time { return time.UnixMilli(0) }}, store.Config{RetentionAge: -1, RetentionBytes: 1, FileDeleteDelay: time.Minute})
		m.fill(5)
		before := m.logFiles()
		now := time.UnixMilli(1_700_000_000_000)
		freed, err := m.ps[0].Retain(now, 1<<40)
		if err != nil || freed == 0 || m.logFiles() != before || len(m.s.log.files) != 1 {
			t.Fatalf("%d bytes freed, %d of %d files there, %d in the log, %v", freed, m.logFiles(), before, len(m.s.log.files), err)
		}
		switch end {
		case "later":
			for _, after := range []time.Duration{time.Minute - 1, time.Minute} {
				_, err = m.ps[0].Retain(now.Add(after), 1<<40)
				m.must(err)
				if gone := m.logFiles() != before; gone != (after == time.Minute) {
					t.Errorf("after %v: %d files, before %d", after, m.logFiles(), before)
				}
			}
			m.stop()
		case "stop":
			m.stop()
		case "kill":
			old := m.fs
			m.fs = old.Kill()
			old.Halt()
			_, _ = m.s.Close(), m.d.Close()
			m.open()
			m.stop()
		}
		m.d = disk.New(m.fs, disk.Options{})
		if n := m.logFiles(); n > 2 {
			t.Errorf("%s: %d files left", end, n)
		}
	}
}

// TestAhead: the next file is there, full of zeros, when it is needed; nobody waits, whatever becomes of the making of it.
func TestAhead(t *testing.T) {
	for _, warm := range []bool{true, false} {
		m := newMany(t, message.Format{}, 1)
		m.stop()
		m.fs = disktest.New()
		m.d = disk.New(m.fs, disk.Options{SyncAllFrom: -1})
		var err error
		m.s, err = New(m.d, m.f, Options{FileBytes: 4 << 10, QueueEntries: suiteEntries, IndexSlots: 16, IndexEntries: 100, tail: 16, block: 16, NoWarm: !warm})
		m.must(err)
		p, err := m.s.Open(m.id(0), store.Config{RetentionAge: -1})
		m.must(err)
		m.ps = []*Partition{p.(*Partition)}
		rolls := 0
		for range 150 {
			m.s.background.Wait()
			files := len(m.s.log.files)
			before := m.fs.Counts()[disktest.KindAllocate]
			m.append(0)
			if len(m.s.log.files) == files {
				continue
			}
			rolls++
			if f := m.s.log.active(); m.s.log.reserved != map[bool]int64{true: f.size, false: m.s.log.reserved}[warm] {
				t.Errorf("a file with %d of %d bytes made ahead", m.s.log.reserved, f.size)
			}
			if n := m.fs.Counts()[disktest.KindAllocate] - before; warm && n > 1 {
				t.Errorf("%d allocations in an append that begins a file", n)
			}
		}
		if rolls < 5 {
			t.Errorf("%d files begun", rolls)
		}
		m.s.background.Wait()
		m.must(m.compare(false))
		m.stop()
		m.open()
		m.must(m.compare(false))
		for range 40 {
			m.append(0)
		}
		m.must(m.compare(false))
		m.stop()
		if err := checkFiles(disk.New(m.fs, disk.Options{}), m.f); err != nil {
			t.Error(err)
		}
	}
}

// TestAheadBeside appends, commits and crashes while files are made in the background.
func TestAheadBeside(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 3))
		m := newMany(t, message.Format{}, 2)
		m.stop()
		m.fs = disktest.New()
		for range 3 {
			m.d = disk.New(m.fs, disk.Options{})
			var err error
			m.s, err = New(m.d, m.f, Options{FileBytes: 4 << 10, QueueEntries: suiteEntries, IndexSlots: 16, IndexEntries: 100, tail: 16, block: 16})
			m.must(err)
			m.ps = nil
			for i := range m.want {
				p, err := m.s.Open(m.id(i), store.Config{RetentionAge: -1})
				m.must(err)
				m.ps = append(m.ps, p.(*Partition))
			}
			if err := m.compare(true); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			for range 100 {
				m.append(r.IntN(2))
				if r.IntN(10) == 0 {
					m.sync()
				}
			}
			old := m.fs
			old.Halt()
			m.fs = old.Crash(seed)
			_, _ = m.s.Close(), m.d.Close()
			if d := disk.New(m.fs, disk.Options{}); d.Err() != nil {
				m.fs = m.fs.Crash(seed)
			}
		}
	}
}

// TestAheadConcurrent: appends of many goroutines, on a disk of the machine, over many files made ahead.
func TestAheadConcurrent(t *testing.T) {
	d, err := disk.Open(t.TempDir(), disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(d, record.Format{}, Options{FileBytes: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 4 {
		p, err := s.Open(penstock.PartitionID{Partition: int32(i)}, store.Config{})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for k := range 200 {
				b := makeBatch(storetest.Spec{Records: 1, Bytes: 4000, First: 1, Tag: uint64(k)})
				if _, err := p.Append([]penstock.Batch{b}, 0, 0); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if n := len(s.log.files); n < 12 {
		t.Errorf("%d files", n)
	}
	for _, p := range s.all() {
		n := 0
		if err := p.Scan(0, func(*penstock.BatchHeader) error { n++; return nil }); err != nil || n != 200 {
			t.Errorf("%d batches, %v", n, err)
		}
	}
	if err := errors.Join(s.Close(), d.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestTrimUnwritten: entries that are given up before they were written make no file of the queue afterwards that was removed.
func TestTrimUnwritten(t *testing.T) {
	for others := range 24 { // so that files of the log begin at other entries
		m := newMany(t, message.Format{}, 2)
		for range others {
			m.append(1)
		}
		for range 121 {
			m.append(0)
			p := m.ps[0]
			m.must(p.SetStart(p.end))
			_, err := p.Retain(retainAt, p.end)
			m.must(err)
		}
		m.must(m.s.Checkpoint())
		p := m.ps[0]
		es, err := m.d.ReadDir(p.dir)
		m.must(err)
		for _, e := range es {
			if at, ok := parseDigits(e.Name); ok && at < p.q.first/suiteEntries*suiteEntries*p.st.entrySize() {
				t.Errorf("%d others: file %s is there, the queue begins at entry %d", others, e.Name, p.q.first)
			}
		}
		m.stop()
	}
}
