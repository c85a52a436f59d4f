package floors

import (
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// serveFetch answers each request with a header that is held back and one sendfile, repeated only when the socket was full.
func serveFetch(s Spec, c *net.TCPConn, f *os.File) error {
	req := make([]byte, requestBytes*s.Depth)
	head := make([]byte, headBytes)
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var off int64
	for left := s.requests(); left > 0; {
		got, err := io.ReadAtLeast(c, req, requestBytes)
		if err != nil {
			return fmt.Errorf("request: %w", err)
		}
		if r := got % requestBytes; r != 0 {
			if _, err := io.ReadFull(c, req[:requestBytes-r]); err != nil {
				return fmt.Errorf("request: %w", err)
			}
			got += requestBytes - r
		}
		for range got / requestBytes {
			if off+int64(s.Unit) > s.fileBytes() {
				off = 0
			}
			if err := hold(raw, head); err != nil {
				return err
			}
			if err := sendfile(raw, f, &off, s.Unit); err != nil {
				return err
			}
			left--
		}
	}
	return nil
}

// hold writes b and tells the kernel that more follows at once.
func hold(raw syscall.RawConn, b []byte) error {
	for len(b) > 0 {
		var n int
		var err error
		if e := raw.Write(func(fd uintptr) bool {
			n, err = unix.SendmsgN(int(fd), b, nil, nil, unix.MSG_MORE)
			return err != unix.EAGAIN
		}); e != nil {
			return e
		}
		if err != nil {
			return fmt.Errorf("sendmsg: %w", err)
		}
		b = b[n:]
	}
	return nil
}

// sendfile sends n bytes of f from *off and moves *off.
func sendfile(raw syscall.RawConn, f *os.File, off *int64, n int) error {
	for n > 0 {
		var sent int
		var err error
		if e := raw.Write(func(fd uintptr) bool {
			sent, err = unix.Sendfile(int(fd), int(f.Fd()), off, n)
			return err != unix.EAGAIN
		}); e != nil {
			return e
		}
		if err != nil {
			return fmt.Errorf("sendfile: %w", err)
		}
		n -= sent
	}
	return nil
}

// loadFetch keeps the requests in flight and throws the answers away in the kernel.
func loadFetch(s Spec, c *net.TCPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	req := make([]byte, requestBytes)
	total := s.requests()
	sent := 0
	for ; sent < min(s.Depth, total); sent++ {
		if _, err := c.Write(req); err != nil {
			return err
		}
	}
	sink := make([]byte, 1<<20)
	whole, unread := s.Unit+headBytes, 0
	for got := 0; got < total; {
		var n int
		var err error
		if e := raw.Read(func(fd uintptr) bool {
			n, _, err = unix.Recvfrom(int(fd), sink, unix.MSG_TRUNC)
			return err != unix.EAGAIN
		}); e != nil {
			return e
		}
		if err != nil {
			return fmt.Errorf("recv: %w", err)
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		for unread += n; unread >= whole; unread -= whole {
			got++
			if sent == total {
				continue
			}
			if _, err := c.Write(req); err != nil {
				return err
			}
			sent++
		}
	}
	return nil
}
