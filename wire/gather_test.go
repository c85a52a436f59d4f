package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"syscall"
	"testing"

	"penstock/metric"
)

// place is where piece i of a scattered answer lies.
func place(f *stored, i int, size int64) int64 {
	return (7 + int64(i)*3*size) % (int64(len(f.data)) - size)
}

// scattered is an answer of pieces of one size with a head; wanted is what must arrive.
func scattered(f *stored, pieces int, size int64, t *metric.Tally) *Answer {
	a := NewAnswer()
	a.B = append(a.B, "head"...)
	for i := range pieces {
		a.Attach(f.extent(place(f, i, size), size), t)
	}
	return a
}

func wanted(f *stored, pieces int, size int64) []byte {
	want := []byte("head")
	for i := range pieces {
		off := place(f, i, size)
		want = append(want, f.data[off:off+size]...)
	}
	return want
}

// askScattered serves scattered answers with a Kernel and returns what came of one, and the account.
func askScattered(t *testing.T, k Kernel, f *stored, pieces int, size int64) (*Server, map[string]int64) {
	t.Helper()
	account := metric.NewCopyAccount()
	want := wanted(f, pieces, size)
	p := &front{serve: func(r *Request) {
		r.Reply(scattered(f, pieces, size, account.Tally("test", "topic")))
	}}
	s := start(t, p, Options{Kernel: k, Account: account})
	c := dial(t, s)
	for range 3 {
		mustWrite(t, c, framed(nil))
		if got := readFrame(t, c); !bytes.Equal(got, want) {
			t.Fatal("other bytes arrived")
		}
	}
	eventually(t, "extents to be released", func() bool { return f.refs.Load() == 0 })
	return s, copies(account)
}

// TestGather counts calls: pieces are put into a pipe one by one and sent together, and nothing is read.
func TestGather(t *testing.T) {
	f := newStoredFile(t, 4<<20)
	k := &flaky{Kernel: system{}}
	_, got := askScattered(t, k, f, 20, 10_000)
	k.mu.Lock()
	defer k.mu.Unlock()
	if got["splice"] != 3*200_000 || len(got) != 1 {
		t.Errorf("account %v", got)
	}
	// The head and twenty pieces, three times; the socket takes 200 KB in a few calls.
	if k.fills < 63 || k.fills > 3*30 || k.drains > 3*20 || k.sendfiles+k.writes+k.readFiles+k.corks != 0 || k.most != 1 || k.held {
		t.Errorf("%d fills, %d drains, %d sendfiles, %d writes, %d reads, %d corks, %d pipes, held %v",
			k.fills, k.drains, k.sendfiles, k.writes, k.readFiles, k.corks, k.most, k.held)
	}
}

// TestGatherBounds shows which answers are copied, gathered, or sent piece by piece.
func TestGatherBounds(t *testing.T) {
	f := newStoredFile(t, 4<<20)
	for _, c := range []struct {
		pieces int
		size   int64
		want   string
	}{
		{20, crumbBelow - 1, "copied small"},
		{20, crumbBelow, "splice"},
		{crumbsMax/1000 + 1, 1000, "splice"},
		{2, 10_000, "splice"},
		{1, 40_000, "sendfile"},
		{3, gatherBelow - 1, "splice"},
		{3, gatherBelow, "sendfile"},
		{2, 5000, "copied small"}, // below CopyBelow
	} {
		_, got := askScattered(t, &flaky{Kernel: system{}}, f, c.pieces, c.size)
		if got[c.want] != 3*int64(c.pieces)*c.size || len(got) != 1 {
			t.Errorf("%d pieces of %d: %v, want all by %s", c.pieces, c.size, got, c.want)
		}
	}
}

// TestGatherAmongLarge sends small pieces on both sides of a large one: each its own way, in order.
func TestGatherAmongLarge(t *testing.T) {
	f := newStoredFile(t, 4<<20)
	account := metric.NewCopyAccount()
	tally := account.Tally("test", "topic")
	sizes := []int64{9000, 8000, 300_000, 7000, 200_000, 6000, 5000}
	var want []byte
	for i, n := range sizes {
		off := int64(i) * 400_000
		want = append(append(want, byte(i)), f.data[off:off+n]...)
	}
	p := &front{serve: func(r *Request) {
		a := NewAnswer()
		for i, n := range sizes {
			a.B = append(a.B, byte(i))
			a.Attach(f.extent(int64(i)*400_000, n), tally)
		}
		r.Reply(a)
	}}
	k := &flaky{Kernel: system{}}
	s := start(t, p, Options{Kernel: k, Account: account})
	c := dial(t, s)
	mustWrite(t, c, framed(nil))
	if got := readFrame(t, c); !bytes.Equal(got, want) {
		t.Fatal("other bytes arrived")
	}
	eventually(t, "the account", func() bool {
		got := copies(account)
		return got["splice"] == 9000+8000+6000+5000 && got["sendfile"] == 300_000+7000+200_000 && len(got) == 2
	})
}

// TestGatherWithoutPipes falls back to sendfile where there are no pipes: none to be had, or all in use.
func TestGatherWithoutPipes(t *testing.T) {
	f := newStoredFile(t, 4<<20)
	k := &flaky{Kernel: system{}, noPipes: true}
	s, got := askScattered(t, k, f, 20, 10_000)
	k.mu.Lock()
	if got["sendfile"] != 3*200_000 || len(got) != 1 || k.corks == 0 {
		t.Errorf("account %v, %d corks", got, k.corks)
	}
	k.mu.Unlock()
	if !checkFree(t, s, k) {
		t.Error("pipes are counted that do not exist")
	}
	ps := &pipes{}
	var taken []*pipe
	for range maxPipes {
		taken = append(taken, ps.get(system{}))
	}
	if slices.Contains(taken, nil) || ps.get(system{}) != nil {
		t.Errorf("not %d pipes are given out", maxPipes)
	}
	ps.put(system{}, taken[0])
	if p := ps.get(system{}); p != taken[0] {
		t.Error("a pipe given back is not given out again")
	}
	for _, p := range taken {
		ps.put(system{}, p)
	}
	ps.trim(system{}, false)
	ps.trim(system{}, false)
	if ps.made != 0 || len(ps.free) != 0 {
		t.Errorf("%d pipes, %d free after a while of rest", ps.made, len(ps.free))
	}
}

// TestGatherUnable copies from a file system that has no splice, and says so.
func TestGatherUnable(t *testing.T) {
	f := newStoredFile(t, 4<<20)
	k := &flaky{Kernel: system{}, spliceErr: syscall.EINVAL}
	_, got := askScattered(t, k, f, 20, 10_000)
	if got["copied nofile"] != 3*200_000 || len(got) != 1 {
		t.Errorf("account %v", got)
	}
}

// TestGatherFails breaks calls at different places: the connection ends with the cause, extents and pipes are given up, and no
// pipe comes back with bytes in it. The answer before leaves.
func TestGatherFails(t *testing.T) {
	for _, c := range []struct {
		name string
		fail func(k *flaky, f *stored)
		want error
	}{
		{"splice", func(k *flaky, _ *stored) { k.spliceErr = syscall.EIO }, syscall.EIO},
		{"send", func(k *flaky, _ *stored) { k.drainErr = syscall.EPIPE }, syscall.EPIPE},
		{"file too short", func(_ *flaky, f *stored) { must(t, f.file.Close()); f.file = newStoredFile(t, 60_000).file }, ErrTruncated},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newStoredFile(t, 1<<20)
			k := &flaky{Kernel: system{}}
			closed := make(chan error, 1)
			p := &front{
				serve: func(r *Request) {
					if string(r.Frame()) == "small" {
						echo(r)
						return
					}
					r.Reply(scattered(f, 20, 10_000, nil))
				},
				closed: func(_ *Conn, cause error) { closed <- cause },
			}
			s := start(t, p, Options{Kernel: k})
			conn := dial(t, s)
			mustWrite(t, conn, framed(nil))
			readFrame(t, conn)
			k.mu.Lock()
			c.fail(k, f)
			k.mu.Unlock()
			mustWrite(t, conn, append(framed([]byte("small")), framed(nil)...))
			if c.want != syscall.EPIPE { // what is in the pipe leaves with the small one
				if got := readFrame(t, conn); string(got) != "small" {
					t.Errorf("got %q before the end", got)
				}
			}
			if cause := <-closed; !errors.Is(cause, c.want) {
				t.Errorf("closed for %v", cause)
			}
			eventually(t, "extents to be released", func() bool { return f.refs.Load() == 0 })
			eventually(t, "pipes to be given up", func() bool { return checkFree(t, s, k) })
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// checkFree reports whether every pipe that is open is free, and fails if one of these has bytes in it.
func checkFree(t *testing.T, s *Server, k *flaky) bool {
	t.Helper()
	s.pipes.mu.Lock()
	defer s.pipes.mu.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range s.pipes.free {
		if n := k.pipes[p.read]; n != 0 || p.held != 0 {
			t.Fatalf("a pipe is free with %d bytes in it", n)
		}
	}
	return len(k.pipes) == len(s.pipes.free) && s.pipes.made == len(k.pipes)
}

// narrow listens for connections that hold little on their way.
func narrow(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	return smallBuffers{ln}
}

// TestGatherLeft has peers go away, and be cut off, in the middle of an answer: what is left in their pipes is not sent to others.
func TestGatherLeft(t *testing.T) {
	f := newStoredFile(t, 4<<20)
	k := &flaky{Kernel: system{}}
	want := wanted(f, 200, 20_000)
	p := newParked()
	conns := opened(p)
	reply := func(r *Request) { r.Reply(scattered(f, 200, 20_000, nil)) }
	s := startOn(t, narrow(t), p, Options{Kernel: k})
	for i := range 6 {
		c := dial(t, s)
		conn := <-conns
		mustWrite(t, c, framed(nil))
		reply(p.next(t))
		if _, err := io.ReadFull(c, make([]byte, 30_000)); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			c.Close()
		} else {
			conn.Close(errors.New("cut off"))
		}
		eventually(t, "the answer to be given up", func() bool { return f.refs.Load() == 0 && checkFree(t, s, k) })
		other := dial(t, s)
		<-conns
		mustWrite(t, other, framed(nil))
		reply(p.next(t))
		if got := readFrame(t, other); !bytes.Equal(got, want) {
			t.Fatal("other bytes arrived")
		}
		other.Close()
	}
	if k.mu.Lock(); k.dirty != 6 {
		t.Errorf("%d pipes were closed with bytes left in them, of 6", k.dirty)
	}
	k.mu.Unlock()
}

// TestGatherSlow has many peers that take nothing: no more than maxPipes are held, the rest is sent piece by piece, all arrives in the end.
func TestGatherSlow(t *testing.T) {
	f := newStoredFile(t, 4<<20)
	k := &flaky{Kernel: system{}}
	p := &front{serve: func(r *Request) { r.Reply(scattered(f, 200, 20_000, nil)) }}
	want := wanted(f, 200, 20_000)
	s := startOn(t, narrow(t), p, Options{Kernel: k})
	var all []io.Reader
	for range maxPipes + 10 {
		c := dial(t, s)
		mustWrite(t, c, framed(nil))
		all = append(all, c)
	}
	eventually(t, "all to be stuck", func() bool {
		n := 0
		for _, c := range s.list() {
			if c.blocked.Load() {
				n++
			}
		}
		return n == len(all)
	})
	for i, c := range all {
		if got := readFrame(t, c); !bytes.Equal(got, want) {
			t.Fatalf("peer %d: other bytes arrived", i)
		}
	}
	eventually(t, "pipes to be given back", func() bool { return checkFree(t, s, k) })
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.most != maxPipes || k.sendfiles == 0 {
		t.Errorf("%d pipes at once, %d sendfiles", k.most, k.sendfiles)
	}
}

// TestGatherTwin sends random scattered answers through short and refused calls, several connections at a time.
func TestGatherTwin(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { sendTwin(t, seed+100) })
	}
}
