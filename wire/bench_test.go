package wire

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The benchmarks' client is a process of its own (this test binary again), so the processor time reported is the
// server's alone. It drops answers in the kernel (MSG_TRUNC), as a network card would. Both ends use cubic: over
// loopback, where nothing is ever lost, the pacing of BBR costs several times the work itself.

// clientEnv makes the test binary the client: "address mode size count depth".
const clientEnv = "WIRE_BENCH_CLIENT"

// clientRequest is the size of the client's requests, their length included.
const clientRequest = 64

// clientMain is the client. In mode "ask" it sends small requests, depth at a time, and drops answers of size bytes;
// in mode "send" it sends frames of size bytes and waits for one answer at the end.
func clientMain(spec string) error {
	f := strings.Fields(spec)
	size, _ := strconv.Atoi(f[2])
	count, _ := strconv.Atoi(f[3])
	depth, _ := strconv.Atoi(f[4])
	d := net.Dialer{Control: cubic}
	nc, err := d.Dial("tcp", f[0])
	if err != nil {
		return err
	}
	defer nc.Close()
	c := nc.(*net.TCPConn)
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	drop := dropper(raw)
	if f[1] == "send" {
		out := bytes.Repeat(framed(make([]byte, size-4)), max(1, (1<<20)/size))
		for total := size * count; total > 0; {
			n, err := c.Write(out[:min(total, len(out))])
			if err != nil {
				return err
			}
			total -= n
		}
		return drop(4)
	}
	ask := bytes.Repeat(framed(make([]byte, clientRequest-4)), depth)
	for ; count > 0; count -= depth {
		if _, err := c.Write(ask[:min(depth, count)*clientRequest]); err != nil {
			return err
		}
		if err := drop(size * min(depth, count)); err != nil {
			return err
		}
	}
	return nil
}

// dropper makes a function that receives n bytes and leaves them in the kernel.
func dropper(raw syscall.RawConn) func(n int) error {
	buf := make([]byte, 4<<20)
	return func(n int) (failed error) {
		err := raw.Read(func(fd uintptr) bool {
			for n > 0 {
				got, _, err := syscall.Recvfrom(int(fd), buf[:min(n, len(buf))], syscall.MSG_TRUNC)
				if err == syscall.EAGAIN {
					return false
				}
				if err != nil || got == 0 {
					failed = fmt.Errorf("receive: %d bytes, %w", got, err)
					return true
				}
				n -= got
			}
			return true
		})
		if err != nil {
			return err
		}
		return failed
	}
}

// cubic asks for the congestion control; a kernel without it is measured as it is.
func cubic(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "cubic")
	})
}

// cpu is the processor time of this process so far.
func cpu() time.Duration {
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		panic(err)
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// bench serves p to a client of b.N requests, and reports the server's processor time.
func bench(b *testing.B, p Protocol, o Options, mode string, size, depth int) {
	lc := net.ListenConfig{Control: cubic}
	ln, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := startOn(b, ln, p, o)
	s.pool.poison = false
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %d %d %d", clientEnv, ln.Addr(), mode, size, b.N, depth))
	cmd.Stderr = os.Stderr
	b.ReportAllocs()
	b.ResetTimer()
	began := cpu()
	if err := cmd.Run(); err != nil {
		b.Fatal(err)
	}
	used := cpu() - began
	b.ReportMetric(float64(used.Nanoseconds())/1000/float64(b.N), "cpu-us/op")
	if size >= 1<<10 {
		b.ReportMetric(used.Seconds()/float64(b.N)/float64(size)*(1<<30), "cpu-s/GiB")
	}
}

// BenchmarkPipelined answers small requests that come one, eight and 64 at a time.
func BenchmarkPipelined(b *testing.B) {
	for _, depth := range []int{1, 8, 64} {
		b.Run(strconv.Itoa(depth), func(b *testing.B) {
			bench(b, &front{serve: echo}, Options{}, "ask", clientRequest, depth)
		})
	}
}

// BenchmarkAnswer sends stored bytes by sendfile and by copying, four requests ahead. Where copying stops being
// cheaper is defaultCopyBelow.
func BenchmarkAnswer(b *testing.B) { benchAnswer(b, 4) }

// BenchmarkAnswerAlone is the same with one request at a time.
func BenchmarkAnswerAlone(b *testing.B) { benchAnswer(b, 1) }

func benchAnswer(b *testing.B, depth int) {
	for _, size := range []int64{1 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10, 256 << 10, 1 << 20} {
		ways(b, fmt.Sprintf("%dKiB", size>>10), func(b *testing.B, o Options) {
			f := newStoredFile(b, 4<<20)
			at := int64(0)
			p := &front{serve: func(r *Request) {
				a := NewAnswer()
				a.B = append(a.B, head[:96]...)
				a.Attach(f.extent(at, size), nil)
				at = (at + size) % (int64(len(f.data)) - size + 1)
				r.Reply(a)
			}}
			bench(b, p, o, "ask", 4+96+int(size), depth)
		})
	}
}

var head [128]byte

// ways runs a benchmark with every answer sent by sendfile, and with every one copied.
func ways(b *testing.B, name string, f func(*testing.B, Options)) {
	b.Run(name+"/sendfile", func(b *testing.B) { f(b, Options{CopyBelow: -1}) })
	b.Run(name+"/copy", func(b *testing.B) { f(b, Options{CopyBelow: 1 << 40}) })
}

// piecemeal is the Kernel without pipes.
type piecemeal struct {
	Kernel
	Corker
}

// bigFile is more than the caches of a processor hold.
const bigFile = 512 << 20

func newBigFile(b *testing.B) *stored {
	b.Helper()
	s := newStoredFile(b, 1<<20)
	w, err := os.OpenFile(s.file.Name(), os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	for at := int64(0); at < bigFile; at += 1 << 20 {
		if _, err := w.WriteAt(s.data, at); err != nil {
			b.Fatal(err)
		}
	}
	return s
}

// BenchmarkScattered sends answers of 1 MiB and of 128 KiB in pieces from all over a file, as a log shared by many partitions has them: copied, by
// sendfile with a corked socket, and gathered in a pipe. The constants in gather.go rest on it.
func BenchmarkScattered(b *testing.B) {
	ways := []struct {
		name string
		o    Options
	}{
		{"copy", Options{CopyBelow: 1 << 40}},
		{"cork", Options{CopyBelow: -1, Kernel: piecemeal{system{}, system{}}}},
		{"pipe", Options{CopyBelow: -1}},
	}
	f := newBigFile(b)
	for _, size := range []int64{1 << 20, 128 << 10} {
		for _, piece := range []int64{1 << 10, 2 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10} {
			for _, way := range ways {
				b.Run(fmt.Sprintf("%dKiB/of%dKiB/%s", size>>10, piece>>10, way.name), func(b *testing.B) {
					pieces, next := size/piece, int64(77)
					p := &front{serve: func(r *Request) {
						a := NewAnswer()
						a.B = append(a.B, head[:40]...)
						for range pieces {
							a.Attach(f.extent(next, piece), nil)
							next = (next + 5*piece + 50) % (bigFile - piece)
						}
						r.Reply(a)
					}}
					bench(b, p, way.o, "ask", 4+40+int(size), 2)
				})
			}
		}
	}
}

// BenchmarkReceive takes frames and drops them.
func BenchmarkReceive(b *testing.B) {
	for _, size := range []int{8 << 10, 64 << 10, 1<<20 + 200, 6<<20 + 500} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			left := b.N
			p := &front{serve: func(r *Request) {
				if left--; left > 0 {
					r.Skip()
					return
				}
				r.Reply(NewAnswer())
			}}
			bench(b, p, Options{Budget: NewBudget(256 << 20)}, "send", size, 1)
		})
	}
}

// BenchmarkRead is the floor of BenchmarkReceive: nothing but reads into one buffer.
func BenchmarkRead(b *testing.B) {
	lc := net.ListenConfig{Control: cubic}
	ln, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	const size = 1 << 20
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s send %d %d 1", clientEnv, ln.Addr(), size, b.N))
	began := cpu()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	c, err := ln.Accept()
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, maxRead)
	for total := b.N * size; total > 0; {
		n, err := c.Read(buf)
		if err != nil {
			b.Fatal(err)
		}
		total -= n
	}
	used := cpu() - began
	if _, err := io.Copy(c, bytes.NewReader(make([]byte, 4))); err != nil {
		b.Fatal(err)
	}
	c.Close()
	if err := cmd.Wait(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(used.Seconds()/float64(b.N)/size*(1<<30), "cpu-s/GiB")
}
