package wire

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
)

// limit is a limiter of one size for all frames.
type limit int

func (l limit) FrameLimit([]byte) int { return int(l) }

// feed plays the reader: it gives a stream to an intake in reads of random size, with empty reads between, and checks
// the invariants as it goes. Frames are held as requests hold them, some for long, and compared when they are let go.
type feed struct {
	t      testing.TB
	rnd    *rand.Rand
	in     intake
	stream []byte
	frames int // cut
	seen   int // and compared
	held   []heldFrame
	most   int // bytes of one read
}

type heldFrame struct {
	buf         *buffer
	frame, want []byte
}

func newFeed(t testing.TB, seed uint64, stream []byte, budget *Budget) *feed {
	p := &pool{budget: budget, poison: true}
	return &feed{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), in: newIntake(p, budget), stream: stream, most: 1 << 30}
}

// read makes one read of up to most bytes and cuts what is whole; it returns the error of the cutter.
func (f *feed) read() error {
	if part := f.in.prepare(); part > 0 {
		f.in.yieldCharge()
		f.letGo(len(f.held))
		if w := f.in.budget.claim(part); w != nil {
			f.t.Fatal("the budget is not free when nothing is held")
		}
		f.in.grow(part)
	}
	for f.rnd.IntN(3) == 0 {
		f.in.offer()
		f.in.park()
		f.checkParked()
	}
	p := f.in.offer()
	if len(p) == 0 {
		f.t.Fatal("no room offered")
	}
	n := copy(p[:min(len(p), 1+f.rnd.IntN(f.most))], f.stream)
	f.stream = f.stream[n:]
	f.in.arrived(n)
	return f.cut()
}

func (f *feed) cut() error {
	old := len(f.held)
	for {
		frame, ok, err := f.in.next(limit(64 << 20))
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		f.frames++
		if buf := f.in.buf; buf.charge == 0 && f.in.budget != nil {
			part := f.in.budget.part(int64(len(buf.b)))
			if !f.in.budget.try(part) {
				f.letGo(old)
				old = 0
				if !f.in.budget.try(part) {
					f.t.Fatal("the budget is not free when nothing is held")
				}
			}
			buf.charge = part
		}
		f.in.buf.retain()
		f.held = append(f.held, heldFrame{f.in.buf, frame, bytes.Clone(frame)})
	}
	f.in.settle()
	if len(f.held) > 8 {
		f.letGo(f.rnd.IntN(old + 1))
	}
	return nil
}

// letGo ends the n oldest requests.
func (f *feed) letGo(n int) {
	for _, h := range f.held[:n] {
		if !bytes.Equal(h.frame, h.want) {
			f.t.Fatal("a frame was written to after it was cut")
		}
		h.buf.release()
	}
	f.held = f.held[n:]
}

// checkParked checks what a waiting connection holds: invariants 1 to 3.
func (f *feed) checkParked() {
	k, b := f.in.carried(), f.in.buf
	switch {
	case f.in.fresh != nil:
		f.t.Fatal("a fresh buffer is held while waiting")
	case k == 0 && b != nil:
		f.t.Fatal("a buffer is held with nothing in it")
	case b == nil:
	case k < headBytes && len(b.b) > headBytes:
		f.t.Fatalf("%d bytes lie in a buffer of %d while waiting", k, len(b.b))
	case len(b.b) > headBytes && f.in.budget != nil && b.charge == 0:
		f.t.Fatalf("a buffer of %d bytes is not charged", len(b.b))
	}
}

func (f *feed) end() {
	f.letGo(len(f.held))
	f.in.drop()
	if n := f.in.pool.live.Load(); n != 0 {
		f.t.Fatalf("%d bytes of buffers left", n)
	}
	if n := f.in.budget.Used(); n != 0 {
		f.t.Fatalf("%d bytes of the budget left", n)
	}
}

// TestIntakeTwin cuts random streams and compares with the frames they were made of.
func TestIntakeTwin(t *testing.T) {
	sizes := []int{0, 1, 7, 8, 9, 100, 4000, 8 << 10, 60 << 10, 64<<10 - 4, 64 << 10, 70 << 10, 300 << 10, 1<<20 + 200, 3 << 20}
	seeds := uint64(40)
	if testing.Short() {
		seeds = 8
	}
	for seed := range seeds {
		rnd := rand.New(rand.NewPCG(seed, 2))
		var stream []byte
		var want [][]byte
		top := 1 + rnd.IntN(len(sizes))
		for len(stream) < 3<<20 && len(want) < 500 {
			p := pattern(byte(len(want)), sizes[rnd.IntN(top)])
			want = append(want, p)
			stream = append(stream, framed(p)...)
		}
		var budget *Budget
		if seed%3 > 0 {
			budget = NewBudget(int64(1+rnd.IntN(4)) << 20)
		}
		f := newFeed(t, seed, stream, budget)
		f.most = 1 << (7 + rnd.IntN(15))
		for len(f.stream) > 0 {
			if err := f.read(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			f.compare(seed, want)
		}
		if f.frames != len(want) || f.in.carried() != 0 {
			t.Fatalf("seed %d: %d frames, want %d", seed, f.frames, len(want))
		}
		f.end()
	}
}

// compare checks the frames cut in the last read, which are still held, against those sent.
func (f *feed) compare(seed uint64, want [][]byte) {
	for ; f.seen < f.frames; f.seen++ {
		h := f.held[len(f.held)-f.frames+f.seen]
		if !bytes.Equal(h.frame, want[f.seen]) {
			f.t.Fatalf("seed %d: frame %d differs", seed, f.seen)
		}
	}
}

// TestIntakeEverySplit cuts two frames in two reads at every place.
func TestIntakeEverySplit(t *testing.T) {
	a, b := pattern(1, 20), pattern(2, 3)
	stream := append(framed(a), framed(b)...)
	for at := 1; at < len(stream); at++ {
		f := newFeed(t, uint64(at), nil, nil)
		for _, piece := range [][]byte{stream[:at], stream[at:]} {
			f.stream = piece
			for len(f.stream) > 0 {
				if err := f.read(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if f.frames != 2 {
			t.Fatalf("split at %d: %d frames", at, f.frames)
		}
		f.compare(uint64(at), [][]byte{a, b})
		f.end()
	}
}

// TestIntakeGrows checks how reads grow with a peer that fills them, and shrink again.
func TestIntakeGrows(t *testing.T) {
	f := newFeed(t, 1, nil, nil)
	fill := func(n int) int {
		p := f.in.offer()
		n = min(n, len(p))
		copy(p, bytes.Repeat(framed(make([]byte, 96)), n/100+1)[:n])
		f.in.arrived(n)
		for {
			if _, ok, err := f.in.next(limit(1 << 20)); err != nil {
				t.Fatal(err)
			} else if !ok {
				break
			}
		}
		// The rest of the last frame is dropped, to begin each read alike.
		f.in.pos, f.in.need = f.in.fill, 0
		f.in.settle()
		return len(p)
	}
	var offers []int
	for range 6 {
		offers = append(offers, fill(1<<30))
	}
	if offers[0] != minRead || offers[len(offers)-1] != maxRead {
		t.Errorf("a peer that pipelines was offered %v", offers)
	}
	for range 10 * slackReads {
		fill(100)
	}
	if got := fill(100); got != minRead {
		t.Errorf("a peer that sends little is offered %d", got)
	}
	f.end()
}

// TestAnnouncedButUnsent checks what a frame costs that is announced and does not come: nothing before it is believed,
// and after that its part of the budget, but memory only as it arrives.
func TestAnnouncedButUnsent(t *testing.T) {
	const size = 50 << 20
	budget := NewBudget(100 << 20)
	f := newFeed(t, 1, framed(make([]byte, size)), budget)
	f.most = 1000
	for arrived := 0; arrived < 200<<10; {
		left := len(f.stream)
		if err := f.read(); err != nil {
			t.Fatal(err)
		}
		arrived += left - len(f.stream)
		live, used := f.in.pool.live.Load(), budget.Used()
		switch {
		case arrived < headBytes && (live > headBytes || used > 0):
			t.Fatalf("after %d bytes %d are held, %d of the budget", arrived, live, used)
		case arrived >= headBytes && live > int64(growFactor*arrived):
			t.Fatalf("after %d bytes %d are held", arrived, live)
		case arrived > headBytes+2000 && used != size+lenBytes:
			t.Fatalf("after %d bytes %d of the budget are taken", arrived, used)
		}
	}
	f.end()
}

func TestIntakeLimits(t *testing.T) {
	for _, c := range []struct {
		head []byte
		err  bool
	}{
		{[]byte{0x00, 0x00, 0x00, 0x09, 1, 2, 3, 4, 5, 6, 7, 8}, false},
		{[]byte{0x04, 0x00, 0x00, 0x00, 1, 2, 3, 4, 5, 6, 7, 8}, false}, // 64 MiB exactly
		{[]byte{0x04, 0x00, 0x00, 0x01, 1, 2, 3, 4, 5, 6, 7, 8}, true},
		{[]byte{0x04, 0x00, 0x00, 0x01, 1, 2, 3, 4, 5, 6, 7}, false}, // the limit waits for eight bytes
		{[]byte{0x7f, 0xff, 0xff, 0xff}, true},
		{[]byte{0x80, 0x00, 0x00, 0x00}, true},
		{[]byte("GET / HTTP/1.1\r\n"), true},
	} {
		f := newFeed(t, 1, c.head, nil)
		var err error
		for len(f.stream) > 0 && err == nil {
			err = f.read()
		}
		if errors.Is(err, ErrFrameTooLarge) != c.err {
			t.Errorf("% x: %v", c.head, err)
		}
		f.end()
	}
}

// FuzzIntake cuts arbitrary streams in arbitrary reads and compares with a loop over the whole stream.
func FuzzIntake(f *testing.F) {
	f.Add(uint64(1), []byte("\x00\x00\x00\x02ab\x00\x00\x00\x00\x00\x00\x00\x01c"))
	f.Add(uint64(2), []byte("\x7f\xff\xff\xff\xff"))
	f.Add(uint64(3), []byte("\x00\x00\x00\x01\x00\x00\x00\x00\x08abcdefgh\x00\x00\x10\x00begun and not ended"))
	f.Fuzz(func(t *testing.T, seed uint64, stream []byte) {
		if len(stream) > 8<<10 {
			return // long streams are the property test's
		}
		var want [][]byte
		tooLarge := false
		for rest := stream; len(rest) >= 4; {
			n := int(rest[0])<<24 | int(rest[1])<<16 | int(rest[2])<<8 | int(rest[3])
			if n > 64<<20 && (len(rest) >= 12 || n > 1<<31-1-4) {
				tooLarge = true
			}
			if len(rest) < 4+n {
				break
			}
			want = append(want, rest[4:4+n])
			rest = rest[4+n:]
		}
		fd := newFeed(t, seed, stream, NewBudget(1<<20))
		fd.most = 1 + int(seed%500)
		fd.in.pool.poison = len(stream) < 100
		var err error
		for len(fd.stream) > 0 && err == nil {
			err = fd.read()
			fd.compare(seed, want)
		}
		if (err != nil) != tooLarge || fd.frames != len(want) {
			t.Fatalf("%d frames, error %v; want %d, too large %v", fd.frames, err, len(want), tooLarge)
		}
		fd.end()
	})
}
