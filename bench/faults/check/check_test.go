package check

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

// bug is something that the fake broker does wrong, once in a while.
type bug int

const (
	none            bug = iota
	dropAcked           // acknowledges without appending
	dropTail            // loses acknowledged records in a crash
	dropMiddle          // loses an acknowledged record below the end, and closes the gap
	forgetMiddle        // loses an acknowledged record below the end, and leaves a gap
	dropSeen            // loses records that a reader saw but that nobody was told of
	twice               // appends a record of an exact writer two times
	swap                // appends two records of a writer in the wrong order
	swapOffsets         // appends rightly, answers with the offset of another record
	zeroOffset          // answers with offset zero
	invent              // appends a record that nobody sent
	flip                // changes a byte
	rewind              // gives a reader an offset again
	overwrite           // puts another writer's record at an offset that is taken
	noOffsetDropped     // says that it is done but not where, and has not done it
	bugs
)

// fake is a broker of one partition with a bug. It plays its writers too.
type fake struct {
	t     *testing.T
	r     *rand.Rand
	bug   bug
	fired bool
	log   *Log
	vals  []Value
	acked int // below it everything is acknowledged
	seq   map[uint32]int64
}

func newFake(t *testing.T, b bug, seed uint64) *fake {
	return &fake{t: t, r: rand.New(rand.NewPCG(seed, 7)), bug: b, log: NewLog("t-0", 0), seq: map[uint32]int64{}}
}

func exact(w uint32) bool { return w%3 != 0 }

// fire reports whether the bug is b and its hour has come.
func (f *fake) fire(b bug) bool {
	if f.bug != b || f.fired || len(f.vals) < 20 || f.r.IntN(4) != 0 {
		return false
	}
	f.fired = true
	return true
}

// send is one record of a random writer on its way.
func (f *fake) send() Value {
	w := uint32(1 + f.r.IntN(6))
	if f.bug == twice {
		w = 1 // every writer of this run is exact
	}
	f.seq[w]++
	v := MakeValue(w, f.seq[w])
	f.log.Sent(v, exact(w))
	return v
}

// produce is one request: sent, appended, and mostly acknowledged.
func (f *fake) produce() {
	v := f.send()
	off := int64(len(f.vals))
	before := f.fired
	switch {
	case f.fire(dropAcked):
	case f.fire(noOffsetDropped):
		off = -1
	case f.fire(twice):
		f.vals = append(f.vals, v, v)
	case f.fire(invent):
		f.vals = append(f.vals, v, MakeValue(v.Writer(), v.Seq()+1000))
	case f.fire(zeroOffset):
		off = 0
		f.vals = append(f.vals, v)
	case f.fire(swapOffsets):
		off--
		f.vals = append(f.vals, v)
	case f.log.Frontier() > 0 && f.fire(overwrite):
		off = f.r.Int64N(f.log.Frontier())
		f.vals[off] = v
	case f.fire(swap):
		f.seq[v.Writer()]++
		second := MakeValue(v.Writer(), f.seq[v.Writer()])
		f.log.Sent(second, exact(v.Writer()))
		f.vals = append(f.vals, second, v)
		f.log.Acked(second, off)
		off++
	default:
		f.vals = append(f.vals, v)
		if !exact(v.Writer()) && f.r.IntN(20) == 0 {
			f.vals = append(f.vals, v) // a retry of a plain writer, allowed
		}
	}
	how := f.r.IntN(20)
	if f.fired != before && how < 2 {
		how = 2 // what the bug does must show
	}
	switch how {
	case 0:
		f.log.Acked(v, -1)
	case 1:
		f.log.Saw(v, off) // a reader was there first, no answer came
	default:
		f.log.Acked(v, off)
	}
	f.acked = len(f.vals)
}

// crash takes a tail that was sent and never answered.
func (f *fake) crash() {
	for range f.r.IntN(3) {
		f.send()
	}
	n := len(f.vals)
	switch {
	case f.fire(dropTail):
		f.vals = f.vals[:n-5]
	case f.fire(dropMiddle):
		f.vals = append(f.vals[:n-9], f.vals[n-8:]...)
	case f.fire(forgetMiddle):
		f.vals[n-9] = 0
	case f.fire(dropSeen):
		v := f.send()
		f.log.Saw(v, int64(n))
	}
}

// verify is one pass.
func (f *fake) verify(from int64) {
	end := int64(len(f.vals))
	p := f.log.Pass(from)
	for o := p.From(); o < end; o++ {
		v := f.vals[o]
		switch {
		case v == 0:
			continue
		case f.fire(flip):
			f.log.Corrupt(o, errPayload)
		case o > 10 && f.fire(rewind):
			p.Read(v, o)
			p.Read(v, o)
			continue
		}
		p.Read(v, o)
	}
	p.End(end)
}

func (f *fake) run() Report {
	for cycle := range 12 {
		for range 40 {
			f.produce()
		}
		f.crash()
		from := f.log.Frontier() - int64(f.r.IntN(8))
		if cycle == 11 {
			from = 0
		}
		f.verify(from)
	}
	return f.log.Report()
}

func TestCleanRunsAreClean(t *testing.T) {
	for seed := range uint64(300) {
		f := newFake(t, none, seed)
		r := f.run()
		if err := r.Err(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if r.Read != int64(len(f.vals)) || r.Repeats == 0 || r.Acked == 0 || r.Sent < r.Acked {
			t.Fatalf("seed %d: counted %+v of %d", seed, r, len(f.vals))
		}
	}
}

// TestPlantedBugsAreFound runs the fake with each bug: every run in which the bug fired must be found wrong, with the kind
// that names it.
func TestPlantedBugsAreFound(t *testing.T) {
	want := map[bug][]Kind{
		dropAcked: {Lost, Inconsistent}, dropTail: {Lost, Vanished, Inconsistent}, dropMiddle: {Lost, Inconsistent},
		forgetMiddle: {Lost, Vanished, Hole}, dropSeen: {Vanished, Inconsistent}, twice: {Duplicate}, swap: {Reordered},
		swapOffsets: {Inconsistent}, zeroOffset: {Inconsistent}, invent: {Phantom}, flip: {Corrupt}, rewind: {Backwards},
		overwrite: {Inconsistent, Lost}, noOffsetDropped: {Lost},
	}
	for b := none + 1; b < bugs; b++ {
		runs := 0
		for seed := range uint64(60) {
			f := newFake(t, b, seed)
			r := f.run()
			if !f.fired {
				continue
			}
			runs++
			hit := false
			for _, k := range want[b] {
				hit = hit || r.Found[k] > 0
			}
			if !hit {
				t.Errorf("bug %d, seed %d: not found: %+v", b, seed, r)
			}
		}
		if runs < 20 {
			t.Errorf("bug %d fired in %d runs only", b, runs)
		}
	}
}

func TestLostIsCountedOnce(t *testing.T) {
	l := NewLog("t-0", 100)
	for i := range int64(5) {
		l.Sent(MakeValue(1, i+1), true)
		l.Acked(MakeValue(1, i+1), 100+i)
	}
	for range 2 {
		p := l.Pass(0)
		for i := range int64(3) {
			p.Read(MakeValue(1, i+1), 100+i)
		}
		p.End(103)
	}
	r := l.Report()
	if r.Found[Lost] != 2 || r.Anomalies() != 2 || r.Read != 3 {
		t.Fatalf("want two lost: %+v", r)
	}
	if err := r.Err(); err == nil || !strings.Contains(err.Error(), "2 lost") {
		t.Fatalf("error says %v", err)
	}
}

func TestReportsAdd(t *testing.T) {
	var sum Report
	for range maxExamples + 2 {
		var r Report
		r.Sent, r.Acked, r.Read, r.Repeats = 1, 2, 3, 4
		r.found(Hole, "x")
		sum.Add(r)
	}
	n := int64(maxExamples + 2)
	if sum.Sent != n || sum.Acked != 2*n || sum.Read != 3*n || sum.Repeats != 4*n || sum.Found[Hole] != n || len(sum.Examples) != maxExamples {
		t.Fatalf("%+v", sum)
	}
}

func TestPayload(t *testing.T) {
	v := MakeValue(MaxWriter, maxSeq)
	for size := range 100 {
		b := AppendPayload([]byte("x"), v, size)[1:]
		if len(b) != max(size, MinPayload) {
			t.Fatalf("size %d: %d bytes", size, len(b))
		}
		if got, err := ParsePayload(b); err != nil || got != v {
			t.Fatalf("size %d: %v, %v", size, got, err)
		}
		for i := range b {
			c := bytes.Clone(b)
			c[i] ^= 0x10
			if got, err := ParsePayload(c); err == nil && (len(b) > MinPayload || got == v) {
				t.Fatalf("size %d: byte %d changed unnoticed", size, i)
			}
		}
		if _, err := ParsePayload(b[:MinPayload-1]); err == nil {
			t.Fatal("a short payload was taken")
		}
	}
}
