package wire

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"penstock/metric"
)

// smallBuffers is a listener whose connections hold little, so that the kernel says EAGAIN often.
type smallBuffers struct{ net.Listener }

func (l smallBuffers) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		err = c.(*net.TCPConn).SetWriteBuffer(64 << 10)
	}
	return c, err
}

// copies sums the copy account by path and reason.
func copies(a *metric.CopyAccount) map[string]int64 {
	sums := map[string]int64{}
	for _, l := range a.Lines() {
		sums[strings.TrimSuffix(l.Path+" "+l.Reason, " ")] += l.Bytes
	}
	return sums
}

// script is an answer as a test wants it: bytes and extents in turn.
type script struct {
	pieces []piece
}

type piece struct {
	bytes []byte
	file  *stored
	off   int64
	n     int64
}

// expect is the dumb sender: the answer as it must arrive.
func (s script) expect() []byte {
	var b []byte
	for _, p := range s.pieces {
		b = append(b, p.bytes...)
		if p.file != nil {
			b = append(b, p.file.data[p.off:p.off+p.n]...)
		}
	}
	return b
}

func (s script) answer(t *metric.Tally) *Answer {
	a := NewAnswer()
	for _, p := range s.pieces {
		a.B = append(a.B, p.bytes...)
		if p.file != nil {
			a.Attach(p.file.extent(p.off, p.n), t)
		}
	}
	return a
}

// randomScript draws an answer: small ones, large ones, runs of extents, neighbours, nothing at all.
func randomScript(rnd *rand.Rand, files []*stored) script {
	var s script
	top := []int{100, 3000, 70_000, 700_000}[rnd.IntN(4)]
	for range rnd.IntN(6) {
		if rnd.IntN(2) == 0 {
			s.pieces = append(s.pieces, piece{bytes: pattern(byte(rnd.IntN(256)), rnd.IntN(min(top, 40_000)))})
			continue
		}
		f := files[rnd.IntN(len(files))]
		n := 1 + rnd.IntN(min(top, len(f.data)/2))
		p := piece{file: f, off: int64(rnd.IntN(len(f.data) - n)), n: int64(n)}
		s.pieces = append(s.pieces, p)
		if next := p.off + p.n; rnd.IntN(3) == 0 && next < int64(len(f.data)) {
			s.pieces = append(s.pieces, piece{file: f, off: next, n: min(p.n, int64(len(f.data))-next)})
		}
	}
	return s
}

// TestSendTwin sends random answers with short and refused calls and compares what arrives with a dumb sender's bytes;
// every stored byte is in the account once.
func TestSendTwin(t *testing.T) {
	seeds := uint64(8)
	if testing.Short() {
		seeds = 3
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { sendTwin(t, seed) })
	}
}

func sendTwin(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 3))
	files := []*stored{newStoredFile(t, 1<<20), newStoredFile(t, 50_000), newStored(600_000)}
	const answers = 40
	var scripts []script
	var payload int64
	want := sha256.New()
	total := 0
	for range answers {
		s := randomScript(rnd, files)
		scripts = append(scripts, s)
		for _, p := range s.pieces {
			payload += p.n
		}
		b := framed(s.expect())
		total += len(b)
		want.Write(b)
	}
	account := metric.NewCopyAccount()
	tally := account.Tally("test", "topic")
	served := 0
	p := &front{serve: func(r *Request) {
		r.Reply(scripts[served].answer(tally))
		served++
	}}
	k := &flaky{Kernel: system{}, rnd: rand.New(rand.NewPCG(seed, 4))}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := startOn(t, smallBuffers{ln}, p, Options{Kernel: k, Account: account, CopyBelow: []int64{0, -1, 1 << 20}[seed%3]})
	c := dial(t, s)
	go func() {
		for range answers {
			if _, err := c.Write(framed(nil)); err != nil {
				return // the reading side reports
			}
		}
	}()
	got := sha256.New()
	if n, err := io.CopyN(got, c, int64(total)); err != nil {
		t.Fatalf("%d of %d bytes: %v", n, total, err)
	}
	if !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		t.Fatal("other bytes arrived than were sent")
	}
	eventually(t, "extents to be released", func() bool {
		return !slices.ContainsFunc(files, func(f *stored) bool { return f.refs.Load() != 0 })
	})
	sum := int64(0)
	for _, n := range copies(account) {
		sum += n
	}
	if sum != payload {
		t.Errorf("account has %d bytes, %d were stored: %v", sum, payload, copies(account))
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held || k.corked {
		t.Error("the end of the answers is held back")
	}
}

// TestNoCopy counts system calls: an answer of 64 KiB and more is sent by sendfile, whole, and its stored bytes are
// never read.
func TestNoCopy(t *testing.T) {
	f := newStoredFile(t, 2<<20)
	for _, c := range []struct {
		name    string
		extents []int64
	}{
		{"one extent", []int64{64 << 10}},
		{"a megabyte", []int64{1 << 20}},
		{"more than one sendfile", []int64{2 << 20}},
		{"small ones among large", []int64{1, 100, 60_000, 5, 7000, 1}},
		{"many small", slices.Repeat([]int64{5000}, 100)},
	} {
		t.Run(c.name, func(t *testing.T) {
			account := metric.NewCopyAccount()
			k := &flaky{Kernel: system{}}
			var total int64
			p := &front{serve: func(r *Request) {
				a := NewAnswer()
				for i, n := range c.extents {
					a.B = append(a.B, "head"...)
					a.Attach(f.extent(int64(i), n), account.Tally("test", "topic"))
				}
				r.Reply(a)
			}}
			for _, n := range c.extents {
				total += n
			}
			s := start(t, p, Options{Kernel: k, Account: account})
			conn := dial(t, s)
			mustWrite(t, conn, framed(nil))
			readFrame(t, conn)
			eventually(t, "the account", func() bool { return copies(account)["sendfile"]+copies(account)["splice"] == total })
			k.mu.Lock()
			defer k.mu.Unlock()
			if sent := k.sentFile + k.spliced + k.written; sent != total+int64(4+4*len(c.extents)) || k.readFiles != 0 || k.held || k.corked {
				t.Errorf("%d by sendfile of %d, %d reads, %d written, held %v", k.sentFile, total, k.readFiles, k.written, k.held)
			}
			if got := copies(account); got["sendfile"] != k.sentFile || len(got) > 2 {
				t.Errorf("account %v, %d by sendfile", got, k.sentFile)
			}
			if one := len(c.extents) == 1; one && k.fills > 0 || !one && k.drains == 0 {
				t.Errorf("%d pieces: %d calls to fill a pipe, %d to drain one", len(c.extents), k.fills, k.drains)
			}
		})
	}
}

// TestSmallCopied shows that small answers of one round, stored bytes and all, leave in one write.
func TestSmallCopied(t *testing.T) {
	account := metric.NewCopyAccount()
	tally := account.Tally("test", "topic")
	f := newStoredFile(t, 10_000)
	p := &front{serve: func(r *Request) {
		a := NewAnswer()
		a.B = append(a.B, "head"...)
		a.Attach(f.extent(10, 1000), tally)
		a.B = append(a.B, "middle"...)
		a.Attach(f.extent(2000, 500), tally)
		a.B = append(a.B, "translated"...)
		a.Copied(10, metric.ReasonConverted, tally)
		r.Reply(a)
	}}
	k := &flaky{Kernel: system{}}
	s := start(t, p, Options{Kernel: k, Account: account})
	c := dial(t, s)
	mustWrite(t, c, append(framed(nil), framed(nil)...))
	want := slices.Concat([]byte("head"), f.data[10:1010], []byte("middle"), f.data[2000:2500], []byte("translated"))
	for range 2 {
		if got := readFrame(t, c); !bytes.Equal(got, want) {
			t.Fatal("other bytes arrived")
		}
	}
	eventually(t, "the account", func() bool {
		got := copies(account)
		return len(got) == 2 && got["copied small"] == 3000 && got["copied converted"] == 20
	})
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.writes != 1 || k.sendfiles != 0 || k.held || k.corked {
		t.Errorf("%d writes, %d sendfiles", k.writes, k.sendfiles)
	}
}

// TestNoFile copies what has no descriptor, in bounded pieces, and says so.
func TestNoFile(t *testing.T) {
	account := metric.NewCopyAccount()
	f := newStored(700_000)
	p := &front{serve: func(r *Request) {
		a := NewAnswer()
		a.B = append(a.B, "head"...)
		a.Attach(f.extent(5, 600_000), account.Tally("test", "topic"))
		r.Reply(a)
	}}
	s := start(t, p, Options{Account: account})
	c := dial(t, s)
	mustWrite(t, c, framed(nil))
	if got := readFrame(t, c); !bytes.Equal(got[4:], f.data[5:600_005]) {
		t.Fatal("other bytes arrived")
	}
	eventually(t, "the account", func() bool { return copies(account)["copied nofile"] == 600_000 })
	if n := s.pool.kept.Load(); n > 2*pieceBytes {
		t.Errorf("%d bytes were used to copy pieces of %d", n, pieceBytes)
	}
}

// unable is a Kernel whose file system cannot do sendfile.
type unable struct{ Kernel }

func (unable) Sendfile(int, int, int64, int) (int, error) { return 0, syscall.EINVAL }

func TestSendfileUnable(t *testing.T) {
	account := metric.NewCopyAccount()
	f := newStoredFile(t, 300_000)
	p := &front{serve: func(r *Request) {
		a := NewAnswer()
		a.Attach(f.extent(0, 300_000), account.Tally("test", "topic"))
		r.Reply(a)
	}}
	s := start(t, p, Options{Account: account, Kernel: unable{system{}}})
	c := dial(t, s)
	mustWrite(t, c, framed(nil))
	if got := readFrame(t, c); !bytes.Equal(got, f.data) {
		t.Fatal("other bytes arrived")
	}
	eventually(t, "the account", func() bool { return copies(account)["copied nofile"] == 300_000 })
}

// TestTruncated shows that a file that ends too soon costs the connection, not the order of its bytes.
func TestTruncated(t *testing.T) {
	for _, size := range []int64{100, 200_000} {
		f := newStoredFile(t, 50)
		if err := os.Truncate(f.file.Name(), 50); err != nil {
			t.Fatal(err)
		}
		closed := make(chan error, 1)
		served := 0
		p := &front{
			serve: func(r *Request) {
				a := NewAnswer()
				if served++; served > 1 {
					a.Attach(f.extent(0, size), nil)
				}
				r.Reply(a)
			},
			closed: func(_ *Conn, cause error) { closed <- cause },
		}
		s := start(t, p, Options{})
		c := dial(t, s)
		mustWrite(t, c, append(framed(nil), framed(nil)...))
		readFrame(t, c) // the answer before it leaves
		if cause := <-closed; !errors.Is(cause, ErrTruncated) {
			t.Errorf("%d bytes: closed for %v", size, cause)
		}
		eventually(t, "the extent to be released", func() bool { return f.refs.Load() == 0 })
	}
}

// TestAnswerTooLarge shows that an answer that no length can tell closes the connection.
func TestAnswerTooLarge(t *testing.T) {
	closed := make(chan error, 1)
	f := newStored(10)
	p := &front{
		serve: func(r *Request) {
			a := NewAnswer()
			a.Attach(f.extent(0, 1<<31), nil)
			r.Reply(a)
		},
		closed: func(_ *Conn, cause error) { closed <- cause },
	}
	s := start(t, p, Options{})
	c := dial(t, s)
	mustWrite(t, c, framed(nil))
	if cause := <-closed; cause == nil || errors.Is(cause, io.EOF) {
		t.Errorf("closed for %v", cause)
	}
	if n := f.refs.Load(); n != 0 {
		t.Errorf("%d extents held", n)
	}
}

// TestDiscard shows that an answer given up releases what it holds and comes back empty.
func TestDiscard(t *testing.T) {
	f := newStored(10)
	a := NewAnswer()
	a.B = append(a.B, "abc"...)
	a.Attach(f.extent(0, 10), nil)
	a.Attach(f.extent(0, 0), nil) // nothing to send: released at once
	if f.refs.Load() != 1 || a.Size() != 17 {
		t.Errorf("%d references, size %d", f.refs.Load(), a.Size())
	}
	a.Discard()
	if f.refs.Load() != 0 || len(a.B) != 4 || a.stored != 0 || len(a.parts) != 0 {
		t.Errorf("left over: %+v", a)
	}
}

// TestLargeAnswersLetOthersRun shows that sending a lot goes in bursts with the answers still in order.
func TestLargeAnswersLetOthersRun(t *testing.T) {
	f := newStoredFile(t, 1<<20)
	var served atomic.Int32
	p := &front{serve: func(r *Request) {
		a := NewAnswer()
		a.B = append(a.B, byte(served.Add(1)))
		for range 5 {
			a.Attach(f.extent(0, 1<<20), nil)
		}
		r.Reply(a)
	}}
	k := &flaky{Kernel: system{}}
	s := start(t, p, Options{Kernel: k})
	c := dial(t, s)
	mustWrite(t, c, slices.Repeat(framed(nil), 4))
	for i := range 4 {
		if got := readFrame(t, c); got[0] != byte(i+1) || len(got) != 1+5<<20 {
			t.Fatalf("answer %d: %d, %d bytes", i+1, got[0], len(got))
		}
	}
}
