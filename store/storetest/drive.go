package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"penstock"
	"penstock/disk"
	"penstock/disk/disktest"
	"penstock/store"
)

// world is one partition on a disk in memory, with its twin, and the driver of both.
type world struct {
	f    Factory
	r    *rand.Rand
	fs   *disktest.FS
	d    *disk.Disk
	s    store.Store
	p    store.Partition
	w    *twin
	done chan struct{} // a round of group commit ended

	still stillness

	now    penstock.Timestamp
	epoch  penstock.Epoch
	tag    uint64
	faulty bool // calls may fail

	journal bool
}

// theID is the partition that worlds work on.
var theID = penstock.PartitionID{Topic: penstock.TopicID{1, 2, 3, 0xff}, Partition: 7}

// smallConfig makes everything happen early.
func smallConfig() store.Config {
	return store.Config{SegmentBytes: 3000, IndexInterval: 200, RetentionAge: time.Hour, RetentionBytes: 9000,
		FileDeleteDelay: -1, SegmentAge: 30 * time.Minute}
}

func newWorld(f Factory, seed uint64) *world {
	return &world{f: f, still: stillness{make(chan struct{}, 1)}, r: rand.New(rand.NewPCG(seed, 1)), fs: disktest.New(), w: newTwin(f), now: 1_700_000_000_000, journal: seed%2 == 1}
}

// start opens disk, store and partition.
func (x *world) start() error {
	x.d = disk.New(x.fs, x.options())
	var err error
	if x.s, err = x.f.Open(x.d); err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	if x.p, err = x.s.Open(theID, x.config()); err != nil {
		return fmt.Errorf("open: %w", err)
	}
	x.done = make(chan struct{}, 1)
	x.p.Log().Notify(func(store.Mark, error) {
		select {
		case x.done <- struct{}{}:
		default:
		}
	})
	return nil
}

// options are those of the disk: with every other seed all small rounds of group commit go through a small journal.
func (x *world) options() disk.Options {
	o := disk.Options{SyncParallel: 1, SyncAllFrom: -1}
	if x.journal {
		o.JournalFrom, o.JournalBytes = 1, 4<<10
	}
	return o
}

// stop closes everything, cleanly if nothing is in the way.
func (x *world) stop() error {
	var err error
	if x.s != nil {
		err = x.s.Close()
	}
	if err == nil && x.p != nil {
		x.w.acked = x.w.end
	}
	x.s, x.p = nil, nil
	err = errors.Join(err, x.d.Close())
	if v := x.fs.Violations(); len(v) > 0 {
		return fmt.Errorf("misuse of the disk: %q", v)
	}
	if n := x.fs.OpenFiles(); n != 0 && !x.fs.Halted() {
		return fmt.Errorf("%d files left open", n)
	}
	return err
}

// batch makes a random batch.
func (x *world) batch() penstock.Batch {
	x.tag++
	x.now += penstock.Timestamp(x.r.IntN(2000) - 200)
	bytes := x.r.IntN(300)
	if x.r.IntN(20) == 0 {
		bytes = x.r.IntN(4000)
	}
	return x.f.Batch(Spec{Records: 1 + x.r.IntN(5), Bytes: bytes, First: x.now, Of: theID, Tag: x.tag})
}

// step is one operation of the driver. It returns an error that no fault explains.
type step struct {
	weight int
	do     func(*world) error
}

func steps(f Factory) []step {
	list := []step{
		{30, (*world).append}, {10, (*world).read}, {12, (*world).commit}, {2, (*world).checkpoint}, {2, (*world).retain},
		{2, (*world).truncate}, {2, (*world).setStart}, {2, (*world).newEpoch}, {3, (*world).saveState}, {3, (*world).find}, {2, (*world).scan}, {2, (*world).age}, {8, (*world).pull}, {2, (*world).locate},
	}
	if f.Keys {
		list = append(list, step{6, (*world).lookUp}, step{1, (*world).switchKeys})
	}
	return list
}

// drive takes n random steps, fewer when the disk halts.
func (x *world) drive(n int) error {
	all := steps(x.f)
	total := 0
	for _, s := range all {
		total += s.weight
	}
	for range n {
		k := x.r.IntN(total)
		i := 0
		for k >= all[i].weight {
			k -= all[i].weight
			i++
		}
		if err := all[i].do(x); err != nil {
			return err
		}
		x.calm()
		x.w.acked = max(x.w.acked, x.acknowledged())
		if x.fs.Halted() {
			return nil
		}
	}
	return nil
}

// calm waits until no round of group commit is under way or asked for, so that the next disk call is the driver's and a
// seed says all. The disk has one worker, which serves whoever waits in order; a log that asks again during its round comes after
// the first calm, hence two.
func (x *world) calm() {
	for range 2 {
		x.d.Commit(&x.still)
		<-x.still.done
	}
}

// stillness is a log that has nothing to sync.
type stillness struct{ done chan struct{} }

// SyncBegin has nothing.
func (s *stillness) SyncBegin(dst []disk.Part) []disk.Part { return dst }

// SyncEnd tells that whatever waited before is done.
func (s *stillness) SyncEnd(error) { s.done <- struct{}{} }

// acknowledged is what the log says is durable. After a failed truncation it says nothing of what may be cut.
func (x *world) acknowledged() penstock.Offset {
	at := x.w.upTo(x.p.Log().Synced())
	if x.w.cutTo != penstock.NoOffset {
		at = min(at, x.w.cutTo)
	}
	return at
}

// excused tells whether an error may be: a fault was asked for.
func (x *world) excused(err error) bool { return err == nil || x.faulty || x.fs.Halted() }

func (x *world) append() error {
	bs := make([]penstock.Batch, 1+x.r.IntN(3))
	for i := range bs {
		bs[i] = x.batch()
		bs[i].Header.BaseOffset = penstock.NoOffset // until it is stamped
	}
	got, err := x.p.Append(bs, x.epoch, x.now)
	if err != nil {
		if _, end := x.p.Bounds(); end != x.w.end {
			return fmt.Errorf("end %d after a failed append, want %d", end, x.w.end)
		}
		if bs[0].Header.BaseOffset != penstock.NoOffset {
			x.w.maybe = copies(bs, x.epoch)
		}
		if !x.excused(err) {
			return fmt.Errorf("append: %w", err)
		}
		return nil
	}
	first := x.w.end
	x.w.appended(bs, x.epoch, got.End)
	if got.First != first || got.Next != x.w.end || bs[0].Header.BaseOffset != first || bs[0].Header.Epoch != x.f.epoch(x.epoch) {
		return fmt.Errorf("append at %d: %+v, first header %+v", first, got, bs[0].Header)
	}
	return nil
}

func (x *world) read() error {
	if x.w.start == x.w.end {
		return nil
	}
	from := x.w.start + penstock.Offset(x.r.Int64N(int64(x.w.end-x.w.start)))
	limit := x.w.edge(from + penstock.Offset(x.r.Int64N(int64(x.w.end-from)+1)))
	_, err := x.w.read(x.p, store.ReadRequest{From: from, Limit: limit, Max: int64(x.r.IntN(5000)), Whole: x.r.IntN(2) == 0})
	if x.excused(err) || x.faultInRead(err) {
		return nil
	}
	return err
}

// faultInRead tells whether a failed read failed by the disk: comparing bytes never does.
func (x *world) faultInRead(err error) bool { return x.faulty && err != nil }

func (x *world) commit() error {
	want := x.p.Log().Written()
	for {
		x.p.Log().Commit()
		<-x.done
		if x.p.Log().Synced() >= want || x.d.Err() != nil || x.fs.Halted() {
			return nil
		}
	}
}

func (x *world) checkpoint() error {
	if err := x.s.Checkpoint(); !x.excused(err) {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}

func (x *world) retain() error {
	x.now += penstock.Timestamp(x.r.IntN(20 * 60 * 1000))
	limit := x.w.edge(penstock.Offset(x.r.Int64N(int64(x.w.end) + 1)))
	_, err := x.p.Retain(time.UnixMilli(int64(x.now)), limit)
	if err != nil {
		x.w.startMax = max(x.w.startMax, limit)
		if !x.excused(err) {
			return fmt.Errorf("retain: %w", err)
		}
		return nil
	}
	start, end := x.p.Bounds()
	if start < x.w.start || start > max(limit, x.w.start) || end != x.w.end {
		return fmt.Errorf("bounds %d to %d after retaining below %d, before %d to %d", start, end, limit, x.w.start, x.w.end)
	}
	x.w.start = start
	return nil
}

func (x *world) truncate() error {
	if x.w.start == x.w.end {
		return nil
	}
	to := x.w.end - penstock.Offset(x.r.Int64N(min(30, int64(x.w.end-x.w.start))))
	at := x.w.edge(to)
	if at < x.w.start {
		return nil // the batch at the start would go
	}
	if err := x.p.Truncate(to); err != nil {
		x.w.cutTo = at
		x.w.acked = min(x.w.acked, at)
		x.w.doubtStates(at)
		if !x.excused(err) {
			return fmt.Errorf("truncate at %d: %w", to, err)
		}
		return nil
	}
	x.w.cut(at)
	return nil
}

func (x *world) setStart() error {
	to := x.w.start + penstock.Offset(x.r.Int64N(int64(x.w.end-x.w.start)/3+1))
	if err := x.p.SetStart(to); err != nil {
		x.w.startMax = max(x.w.startMax, to)
		if !x.excused(err) {
			return fmt.Errorf("set start %d: %w", to, err)
		}
		return nil
	}
	x.w.start = max(x.w.start, to)
	return nil
}

func (x *world) newEpoch() error {
	x.epoch++
	if err := x.p.SetEpoch(x.epoch); !x.excused(err) {
		return fmt.Errorf("set epoch: %w", err)
	}
	return nil
}

func (x *world) saveState() error {
	at := x.w.end
	if x.r.IntN(3) == 0 {
		at = x.w.edge(penstock.Offset(x.r.Int64N(int64(x.w.end) + 1)))
	}
	x.tag++
	state := fmt.Appendf(nil, "state %d at %d", x.tag, at)
	if err := x.p.SaveState(at, state); err != nil {
		x.w.doubt = append(x.w.doubt, saved{at, state})
		if !x.excused(err) {
			return fmt.Errorf("save state: %w", err)
		}
		return nil
	}
	x.w.save(at, state)
	return nil
}

func (x *world) find() error {
	t := x.now - penstock.Timestamp(x.r.IntN(30_000))
	if x.r.IntN(4) == 0 {
		t = store.FindMax
	}
	if err := x.w.find(x.p, t); !x.excused(err) {
		return err
	}
	return nil
}

func (x *world) scan() error {
	if x.w.start == x.w.end {
		return nil
	}
	from := x.w.start + penstock.Offset(x.r.Int64N(int64(x.w.end-x.w.start)))
	if err := x.w.scan(x.p, from); !x.excused(err) {
		return err
	}
	return nil
}

// age lets time pass, so that segments roll by it.
func (x *world) age() error {
	x.now += penstock.Timestamp(x.r.IntN(40 * 60 * 1000))
	return nil
}
