package rocket

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"penstock"
)

// countedKernel makes the system calls of the data path and counts them.
type countedKernel struct {
	reads, writes, sendfiles, copies atomic.Int64
	sent                             atomic.Int64 // bytes by sendfile
}

func (k *countedKernel) Read(sock int, p []byte) (int, error) {
	k.reads.Add(1)
	n, err := unix.Read(sock, p)
	return max(n, 0), err
}

func (k *countedKernel) Write(sock int, p []byte, more bool) (int, error) {
	k.writes.Add(1)
	flags := unix.MSG_NOSIGNAL
	if more {
		flags |= unix.MSG_MORE
	}
	n, err := unix.SendmsgN(sock, p, nil, nil, flags)
	return max(n, 0), err
}

func (k *countedKernel) Sendfile(sock, file int, off int64, n int) (int, error) {
	k.sendfiles.Add(1)
	sent, err := unix.Sendfile(sock, file, &off, n)
	k.sent.Add(int64(max(sent, 0)))
	return max(sent, 0), err
}

func (k *countedKernel) ReadFile(f penstock.ExtentFile, p []byte, off int64) (int, error) {
	k.copies.Add(1)
	return f.ReadAt(p, off)
}
