package wire

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"

	"penstock"
)

// Kernel is the system calls of the data path: the seam where tests count them and make them fail or be partial. File
// descriptors are non-blocking sockets; each call returns EAGAIN rather than wait. All methods may be called
// concurrently.
type Kernel interface {
	// Read receives; 0 bytes without an error is the end of the stream.
	Read(sock int, p []byte) (int, error)
	// Write sends p; more holds it back for what follows (MSG_MORE).
	Write(sock int, p []byte, more bool) (int, error)
	// Sendfile sends n bytes of file at off.
	Sendfile(sock, file int, off int64, n int) (int, error)
	// ReadFile copies stored bytes into memory.
	ReadFile(f penstock.ExtentFile, p []byte, off int64) (int, error)
}

// Corker is what a Kernel can do besides: hold back partial segments over a run of small pieces. Sendfile has no flag
// for that, and pushes the end of each piece by itself.
type Corker interface {
	// Cork begins or ends holding back; ending sends what is left. It never waits.
	Cork(sock int, on bool) error
}

// system is the real Kernel.
type system struct{}

var (
	_ Kernel = system{}
	_ Corker = system{}

	_ Gatherer = system{}
)

// Read receives with recvfrom's plain form, read.
func (system) Read(sock int, p []byte) (int, error) {
	for {
		n, err := unix.Read(sock, p)
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

// Write sends; a broken pipe is an error, never a signal.
func (system) Write(sock int, p []byte, more bool) (int, error) {
	flags := unix.MSG_NOSIGNAL
	if more {
		flags |= unix.MSG_MORE
	}
	for {
		n, err := unix.SendmsgN(sock, p, nil, nil, flags)
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

// Sendfile sends with an offset of its own, so that the file's shared position is neither used nor moved.
func (system) Sendfile(sock, file int, off int64, n int) (int, error) {
	for {
		at := off
		sent, err := unix.Sendfile(sock, file, &at, n)
		if err != unix.EINTR {
			return max(sent, 0), err
		}
	}
}

// ReadFile reads at an offset.
func (system) ReadFile(f penstock.ExtentFile, p []byte, off int64) (int, error) {
	return f.ReadAt(p, off)
}

// Cork sets TCP_CORK. On a socket that is not TCP it fails, and nothing needs it there.
func (system) Cork(sock int, on bool) error {
	v := 0
	if on {
		v = 1
	}
	return unix.SetsockoptInt(sock, unix.IPPROTO_TCP, unix.TCP_CORK, v)
}

// Pipe makes a pipe as large as it may be.
func (system) Pipe(size int) (read, write int, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		return -1, -1, err
	}
	// Over the limit of the user's pipes it stays as small as it is.
	_, _ = unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, size)
	return fds[0], fds[1], nil
}

// ClosePipe closes both ends.
func (system) ClosePipe(read, write int) {
	_ = unix.Close(read)
	_ = unix.Close(write)
}

// WritePipe copies.
func (system) WritePipe(pipe int, p []byte) (int, error) {
	for {
		n, err := unix.Write(pipe, p)
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}

// FillPipe reads at an offset of its own. It may wait for the disk, and never for room in the pipe.
func (system) FillPipe(pipe, file int, off int64, n int) (int, error) {
	for {
		at := off
		got, err := unix.Splice(file, &at, pipe, nil, n, unix.SPLICE_F_NONBLOCK)
		if err != unix.EINTR {
			return int(max(got, 0)), err
		}
	}
}

// DrainPipe sends. A broken connection is an error: the runtime takes the signal.
func (system) DrainPipe(sock, pipe, n int, more bool) (int, error) {
	flags := unix.SPLICE_F_NONBLOCK
	if more {
		flags |= unix.SPLICE_F_MORE
	}
	for {
		sent, err := unix.Splice(pipe, nil, sock, nil, n, flags)
		if err != unix.EINTR {
			return int(max(sent, 0)), err
		}
	}
}

// wouldBlock tells that a call has to be repeated when the socket is ready.
func wouldBlock(err error) bool { return err == syscall.EAGAIN || errors.Is(err, syscall.EAGAIN) }

// noSendfile tells that the file system of an extent cannot give its pages to a socket.
func noSendfile(err error) bool {
	return errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.EOPNOTSUPP)
}
