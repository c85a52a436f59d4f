package segment

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"

	"penstock"
	"penstock/disk"
	"penstock/disk/disktest"
	"penstock/message"
	"penstock/store"
	"penstock/store/storetest"
)

func newMessageRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, fs: disktest.New(), f: message.Format{}}
	r.c = store.Config{SegmentBytes: int64(10 * r.batchSize())}
	r.open()
	t.Cleanup(func() {
		_ = r.s.Close()
		_ = r.d.Close()
	})
	return r
}

func (r *rig) queue(base penstock.Offset) string { return fileName(r.dir(), base, queueSuffix) }

// pulled is which offsets a pull gives, one by one, '.' for one that it does not.
func (r *rig) pulled() string {
	r.t.Helper()
	_, end := r.p.Bounds()
	out := make([]byte, end)
	for off := range end {
		out[off] = '.'
		es, got, err := queued{r.p}.Pull(store.PullRequest{From: off, Limit: end, Max: 1, Count: 1, Scan: 1}, nil)
		if err != nil && !errors.Is(err, penstock.ErrCorrupt) {
			r.t.Fatal(err)
		}
		if err == nil && got.Count == 1 {
			if h, err := r.format().Header(readOut(r.t, es)); err == nil && h.BaseOffset == off {
				out[off] = 'x'
			}
		}
	}
	return string(out)
}

// TestQueueDamage damages the files of queues: nothing of the log is lost, no pull gives another message than asked for, and the files are right
// again after a clean stop.
func TestQueueDamage(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(r *rig)
	}{
		{"nothing", func(*rig) {}},
		{"sealed one missing", func(r *rig) { must(r.t, r.d.Remove(r.queue(10))) }},
		{"sealed one short", func(r *rig) { r.edit(r.queue(10), cutAt(cellSize*4+3)) }},
		{"sealed one empty", func(r *rig) { r.edit(r.queue(0), cutAt(0)) }},
		{"sealed one altered", func(r *rig) { r.edit(r.queue(10), flip(cellSize*4+7)) }},
		{"sealed one of another segment", func(r *rig) {
			b, err := r.d.ReadFile(r.queue(0), 1<<20)
			must(r.t, err)
			must(r.t, r.d.WriteFile(r.queue(10), b))
		}},
		{"active one missing", func(r *rig) { must(r.t, r.d.Remove(r.queue(20))) }},
		{"active one short", func(r *rig) { r.edit(r.queue(20), cutAt(cellSize*2+9)) }},
		{"active one altered", func(r *rig) { r.edit(r.queue(20), flip(cellSize*2+7)) }},
		{"active one longer", func(r *rig) { r.edit(r.queue(20), func(b []byte) []byte { return append(b, b...) }) }},
	} {
		for _, unclean := range []bool{false, true} {
			r := newMessageRig(t)
			r.add(25)
			r.stop()
			r.d = disk.New(r.fs, disk.Options{})
			c.damage(r)
			if unclean {
				must(t, r.d.Remove("segment/message/segment.clean"))
			}
			r.open()
			if got, want := r.pulled(), "xxxxxxxxxxxxxxxxxxxxxxxxx"; got != want {
				t.Errorf("%s: pulled %s", c.name, got)
			}
			r.add(8)
			if got, want := r.pulled(), "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"; got != want {
				t.Errorf("%s: pulled %s after appending", c.name, got)
			}
			if q := r.p.Stats().Quarantined; q != 0 {
				t.Errorf("%s: %d places quarantined", c.name, q)
			}
			r.stop()
			if err := checkQueues(disk.New(r.fs, disk.Options{})); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			r.open()
		}
	}
}

// TestQueueUnwritten seals segments while the files of their queues cannot be written: readers do not notice.
func TestQueueUnwritten(t *testing.T) {
	r := newMessageRig(t)
	r.add(5)
	must(t, r.p.sync(5))
	want := "xxxxx"
	for n := 1; n <= 12; n++ {
		r.fs.Inject("write(*.queue)#1-3=ENOSPC")
		for range 6 {
			r.add(1)
			want += "x"
			if got := r.pulled(); got != want {
				t.Fatalf("pulled %s", got)
			}
		}
		r.fs.Heal()
		if n%4 == 0 {
			must(t, r.s.Checkpoint())
			r.fs = r.fs.Crash(uint64(n))
			_ = r.s.Close()
			_ = r.d.Close()
			r.open()
		}
	}
	must(t, r.s.Checkpoint())
	r.stop()
	must(t, checkQueues(disk.New(r.fs, disk.Options{})))
	r.open()
}

// TestMessageDamage damages durable logs of messages: nothing is cut, the place is refused, the rest is served.
func TestMessageDamage(t *testing.T) {
	size := (&rig{f: message.Format{}}).batchSize()
	for _, c := range []struct {
		name   string
		damage func(r *rig)
		want   string
	}{
		{"sealed segment missing", func(r *rig) { must(r.t, r.d.Remove(r.log(10))) }, "xxxxxxxxxx..........xxxxx"},
		{"sealed segment short", func(r *rig) { r.edit(r.log(10), cutAt(size*4+7)) }, "xxxxxxxxxxxxxx......xxxxx"},
		{"sealed segment empty", func(r *rig) { r.edit(r.log(0), cutAt(0)) }, "..........xxxxxxxxxxxxxxx"},
		{"active segment missing", func(r *rig) { must(r.t, r.d.Remove(r.log(20))) }, "xxxxxxxxxxxxxxxxxxxx....."},
		{"active segment short", func(r *rig) { r.edit(r.log(20), cutAt(size*2)) }, "xxxxxxxxxxxxxxxxxxxxxx..."},
		{"active segment torn", func(r *rig) { r.edit(r.log(20), cutAt(size*2+9)) }, "xxxxxxxxxxxxxxxxxxxxxx..."},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newMessageRig(t)
			r.add(25)
			r.stop()
			r.d = disk.New(r.fs, disk.Options{})
			c.damage(r)
			r.open()
			for _, when := range []string{"after the damage", "after a clean stop", "after a crash"} {
				if got := r.readable(); got[:25] != c.want || r.pulled() != got {
					t.Errorf("%s: readable %s, pulled %s, want %s", when, got, r.pulled(), c.want)
				}
				_, end := r.p.Bounds()
				r.add(1)
				if _, now := r.p.Bounds(); now != end+1 || r.readable()[end] != 'x' {
					t.Fatalf("%s: appended at %d, end %d", when, end, now)
				}
				if when == "after the damage" {
					r.stop()
				} else {
					must(t, r.p.sync(end+1))
					r.fs = r.fs.Crash(5)
				}
				r.open()
			}
		})
	}
}

// TestMessageScrub finds messages whose content was altered, and those whose header was, and what the queue says is whole behind them.
func TestMessageScrub(t *testing.T) {
	r := newMessageRig(t)
	r.add(25)
	r.stop()
	size := r.batchSize()
	r.d = disk.New(r.fs, disk.Options{})
	r.edit(r.log(0), flip(size*3+size/2))
	r.edit(r.log(10), flip(size*6))
	r.edit(r.log(20), flip(size*2+size/2))
	r.open()
	if _, err := r.s.Scrub(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
	for want := "xxx.xxxxxxxxxxxx.xxxxx.xx"; len(want) < 28; want += "x" {
		if got := r.readable(); got != want || r.pulled() != want {
			t.Errorf("readable %s, pulled %s, want %s", got, r.pulled(), want)
		}
		if f, err := r.p.Find(1_700_000_000_000 + 3*10); err != nil || f.Offset != 4 {
			t.Errorf("find the time of a damaged message: %+v, %v", f, err)
		}
		r.add(1) // a store that was not written to writes nothing when it stops
		r.stop()
		r.open()
	}
}

// TestTornMessage shows that a message whose end a power cut has taken is cut off, with the record's checksum and without.
func TestTornMessage(t *testing.T) {
	for _, zero := range []int{1, 5, 30, 60} {
		r := newMessageRig(t)
		r.add(3)
		must(t, r.p.sync(3))
		r.fs = r.fs.Kill()
		r.d = disk.New(r.fs, disk.Options{})
		r.edit(r.log(0), func(b []byte) []byte {
			clear(b[len(b)-zero:])
			return b
		})
		r.open()
		if _, end := r.p.Bounds(); end != 2 {
			t.Errorf("%d bytes gone: end %d", zero, end)
		}
	}
	r := newMessageRig(t)
	b := makeMessage(storetest.Spec{Bytes: 10, First: 1})
	b.Bytes[len(b.Bytes)-1] = 0
	if _, err := r.p.Append([]penstock.Batch{b}, 0, 0); !errors.Is(err, penstock.ErrCorrupt) {
		t.Errorf("a message that recovery would not believe is taken: %v", err)
	}
	if _, err := r.p.Append([]penstock.Batch{{Header: b.Header, Bytes: make([]byte, len(b.Bytes))}}, 0, 0); !errors.Is(err, penstock.ErrCorrupt) {
		t.Errorf("what is no message is taken: %v", err)
	}
}

// partitionOf opens a partition of messages with n of them.
func (r *rig) partitionOf(i, n int) (*Partition, []penstock.Position) {
	r.t.Helper()
	id := penstock.PartitionID{Topic: penstock.TopicID{9}, Partition: int32(i)}
	p, err := r.s.Open(id, r.c)
	must(r.t, err)
	var at []penstock.Position
	for range n {
		b := makeMessage(storetest.Spec{Bytes: 10, First: 1, Of: id})
		_, err := p.Append([]penstock.Batch{b}, 0, 0)
		must(r.t, err)
		at = append(at, positionIn(b.Bytes))
	}
	return bare(p), at
}

// TestNumbers gives each partition its number once: over restarts, crashes and removals, and with a damaged file of numbers.
func TestNumbers(t *testing.T) {
	r := newMessageRig(t)
	given := map[int32]int{}
	for round := range 12 {
		for i := round * 10; i < round*10+10; i++ {
			p, at := r.partitionOf(i, 2)
			n := p.number.Load()
			if who, ok := given[n]; ok {
				t.Fatalf("partitions %d and %d have number %d", who, i, n)
			}
			given[n] = i
			if numberOf(at[0]) != n || at[1]-at[0] != penstock.Position(len(makeMessage(storetest.Spec{Bytes: 10, First: 1}).Bytes)) {
				t.Fatalf("positions %x with number %d", at, n)
			}
			if id, off, err := r.s.Locate(at[1]); err != nil || id.Partition != int32(i) || off != 1 {
				t.Fatalf("located %v %d, %v", id, off, err)
			}
			must(t, p.sync(2))
		}
		gone, _ := r.partitionOf(round*10+3, 0)
		must(t, r.s.Remove(gone.id))
		if _, _, err := r.s.Locate(gone.global(0)); !errors.Is(err, penstock.ErrOffsetOutOfRange) {
			t.Errorf("a message of a removed partition is found: %v", err)
		}
		switch round % 4 {
		case 0:
			r.stop()
		case 1:
			r.fs = r.fs.Crash(uint64(round))
		case 2:
			must(t, r.s.Checkpoint())
			r.fs = r.fs.Kill()
		case 3:
			r.stop()
			r.d = disk.New(r.fs, disk.Options{})
			r.edit("segment/message/numbers", func(b []byte) []byte { b[9] ^= 1; return b })
		}
		_ = r.s.Close()
		_ = r.d.Close()
		r.open()
		for n, i := range given {
			if i%10 == 3 && i/10 <= round {
				continue
			}
			p, _ := r.partitionOf(i, 0)
			if p.number.Load() != n {
				t.Fatalf("partition %d had number %d, has %d", i, n, p.number.Load())
			}
			if id, off, err := r.s.Locate(p.global(0)); err != nil || off != 0 || id != p.id {
				t.Fatalf("located %v %d, %v", id, off, err)
			}
		}
	}
	if r.s.numbers.limit > 12*10+12*numberBlock {
		t.Errorf("%d numbers used up for 120 partitions", r.s.numbers.limit)
	}
}

// TestNumbersUsedUp goes on without: messages are stored and not located.
func TestNumbersUsedUp(t *testing.T) {
	r := newMessageRig(t)
	r.s.numbers.next, r.s.numbers.limit = lastNumber-1, lastNumber-1
	_, last := r.partitionOf(1, 1)
	p, none := r.partitionOf(2, 3)
	if numberOf(last[0]) != lastNumber-1 || numberOf(none[0]) != lastNumber {
		t.Errorf("numbers %d and %d", numberOf(last[0]), numberOf(none[0]))
	}
	if _, _, err := r.s.Locate(last[0]); err != nil {
		t.Error(err)
	}
	if _, _, err := r.s.Locate(none[0]); !errors.Is(err, penstock.ErrOffsetOutOfRange) {
		t.Errorf("located without a number: %v", err)
	}
	if _, end := p.Bounds(); end != 3 {
		t.Errorf("end %d", end)
	}
	r.stop()
	r.open()
	if p, _ := r.partitionOf(2, 0); p.number.Load() != lastNumber {
		t.Errorf("number %d after a start", p.number.Load())
	}
}

// TestPositionWraps lets a log pass the 40 bits of a position.
func TestPositionWraps(t *testing.T) {
	r := newMessageRig(t)
	r.p.segs[0].start = logBytes - penstock.Position(5*r.batchSize()+30)
	r.add(28)
	var at []penstock.Position
	for off := range penstock.Offset(28) {
		es, err := r.p.Read(store.ReadRequest{From: off, Limit: off + 1, Max: 1, Whole: true}, nil)
		must(t, err)
		at = append(at, positionIn(readOut(t, es)))
	}
	if at[6] > at[5] || numberOf(at[6]) != numberOf(at[5]) {
		t.Errorf("positions %x do not wrap as they should", at)
	}
	for off, pos := range at {
		if _, got, err := r.s.Locate(pos); err != nil || got != penstock.Offset(off) {
			t.Errorf("offset %d at %x: located %d, %v", off, pos, got, err)
		}
	}
}

// TestLocateForgery hides a message in the body of another, with the right position: it is not found.
func TestLocateForgery(t *testing.T) {
	r := newMessageRig(t)
	r.add(1)
	inner := makeMessage(storetest.Spec{Bytes: 10, First: 1})
	outer := makeMessage(storetest.Spec{Bytes: 400, First: 1})
	const at = 100 // in the outer one, inside of its body
	copy(outer.Bytes[at:], inner.Bytes)
	pos := r.p.global(penstock.Position(r.p.segs[0].size + at))
	binary.BigEndian.PutUint64(outer.Bytes[at+20:], 1) // the outer one's offset
	binary.BigEndian.PutUint64(outer.Bytes[at+28:], uint64(pos))
	_, err := r.p.Append([]penstock.Batch{outer}, 0, 0)
	must(t, err)
	if id, off, err := r.s.Locate(pos); !errors.Is(err, penstock.ErrOffsetOutOfRange) {
		t.Errorf("a forged message is found: %v %d %v", id, off, err)
	}
	if _, off, err := r.s.Locate(pos - at); err != nil || off != 1 {
		t.Errorf("the one around it is not: %d %v", off, err)
	}
}

// TestRecordsHaveNoQueue: a partition of records is no store.Queue, and nothing is located in it.
func TestRecordsHaveNoQueue(t *testing.T) {
	r := newRig(t, store.Config{})
	p, err := r.s.Open(rigID, r.c)
	must(t, err)
	if _, ok := p.(store.Queue); ok {
		t.Error("a partition of records says that it has a queue")
	}
	if _, _, err := r.s.Locate(ownLog); !errors.Is(err, penstock.ErrUnsupported) {
		t.Errorf("locate among records: %v", err)
	}
}
