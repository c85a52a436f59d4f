package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"penstock/disk"
)

// fileSystems are file systems by the number that the kernel gives them.
var fileSystems = map[int64]string{
	0xef53: "ext4", 0x58465342: "xfs", 0x9123683e: "btrfs", 0x2fc12fc1: "zfs", 0x01021994: "tmpfs", 0x858458f6: "ramfs",
	0x794c7630: "overlayfs", 0x6969: "nfs", 0xff534d42: "cifs", 0xfe534d42: "smb", 0x65735546: "fuse", 0x01021997: "9p", 0x00c36400: "ceph",
	0xf2f52010: "f2fs", 0xca451a4e: "bcachefs",
}

// fileSystem names the file system of a directory.
func fileSystem(dir string) (string, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return "", fmt.Errorf("file system of %s: %w", dir, err)
	}
	if name, ok := fileSystems[int64(s.Type)&0xffffffff]; ok {
		return name, nil
	}
	return fmt.Sprintf("file system %#x", s.Type), nil
}

// sendfile sends the start of a file over a loopback connection by sendfile, and looks at what arrives.
func sendfile(ctx context.Context, h *disk.Handle) error {
	size, err := h.Size()
	if err != nil {
		return err
	}
	want := make([]byte, min(size, sentBytes))
	if _, err := h.ReadAt(want, 0); err != nil {
		return err
	}
	fd, ok := h.Fd()
	if !ok {
		return errors.New("the file has no descriptor")
	}
	limit := time.Now().Add(stepTime)
	here, there, err := pair(ctx, limit)
	if err != nil {
		return err
	}
	defer func() { _ = here.Close(); _ = there.Close() }() // nothing is lost with them
	received := make(chan error, 1)
	go func() {
		got := make([]byte, len(want))
		_, err := io.ReadFull(there, got)
		if err == nil && !bytes.Equal(got, want) {
			err = errors.New("other bytes arrive than were sent")
		}
		received <- err
	}()
	raw, err := here.SyscallConn()
	if err != nil {
		return err
	}
	var off int64
	var failed error
	err = raw.Write(func(sock uintptr) bool {
		for off < int64(len(want)) && failed == nil {
			n, err := syscall.Sendfile(int(sock), fd, &off, len(want)-int(off))
			switch {
			case err == syscall.EAGAIN:
				return false
			case err == syscall.EINTR:
			case err != nil:
				failed = err
			case n == 0:
				failed = io.ErrUnexpectedEOF
			}
		}
		return true
	})
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	return <-received
}

// pair is both ends of a connection on the loopback interface.
func pair(ctx context.Context, limit time.Time) (here *net.TCPConn, there net.Conn, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = l.Close() }() // it has done its part
	ctx, cancel := context.WithDeadline(ctx, limit)
	defer cancel()
	var d net.Dialer
	if there, err = d.DialContext(ctx, "tcp", l.Addr().String()); err != nil {
		return nil, nil, err
	}
	c, err := l.Accept()
	if err != nil {
		return nil, nil, errors.Join(err, there.Close())
	}
	if err := errors.Join(c.SetDeadline(limit), there.SetDeadline(limit)); err != nil {
		return nil, nil, errors.Join(err, c.Close(), there.Close())
	}
	return c.(*net.TCPConn), there, nil
}
