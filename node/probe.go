package node

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"penstock"
	"penstock/disk"
)

// ZeroCopy is what a probe of the data directory found.
type ZeroCopy struct {
	Works      bool   // sendfile took bytes from the directory to a TCP socket
	FileSystem string // of the data directory
	Why        string // it does not work; empty if it does
}

const (
	probeFile  = "probe.tmp"
	probeBytes = 64 << 10
	probeTime  = 5 * time.Second
)

// probeZeroCopy sends a file of the data directory to a TCP connection by sendfile, and looks at what arrives. It is
// tried, not assumed: some file systems and sandboxes cannot.
func probeZeroCopy(d *disk.Disk, root string) ZeroCopy {
	z := ZeroCopy{FileSystem: fileSystem(root)}
	if err := tryZeroCopy(d); err != nil {
		z.Why = err.Error()
		return z
	}
	z.Works = true
	return z
}

func tryZeroCopy(d *disk.Disk) error {
	if err := d.Remove(probeFile); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	h, err := d.Create(probeFile)
	if err != nil {
		return err
	}
	defer func() {
		h.Release()
		_ = d.Remove(probeFile) // if it stays, the next start removes it
	}()
	want := bytes.Repeat([]byte("penstock"), probeBytes/8)
	if _, err := h.WriteVec([][]byte{want}, 0); err != nil {
		return err
	}
	x := h.Extent(0, probeBytes)
	defer x.Release()
	return sendOver(x, want)
}

// sendOver sends an extent over a loopback connection and compares.
func sendOver(x penstock.Extent, want []byte) error {
	fd, ok := x.File.Fd()
	if !ok {
		return errors.New("the file has no descriptor")
	}
	here, there, err := tcpPair()
	if err != nil {
		return err
	}
	defer func() { _ = here.Close(); _ = there.Close() }() // nothing is lost with them
	received := make(chan error, 1)
	go func() {
		got := make([]byte, len(want))
		_, err := io.ReadFull(there, got)
		if err == nil && !bytes.Equal(got, want) {
			err = errors.New("other bytes arrived than were sent")
		}
		received <- err
	}()
	raw, err := here.SyscallConn()
	if err != nil {
		return err
	}
	off, sent := x.Off, 0
	var failed error
	err = raw.Write(func(sock uintptr) bool {
		for sent < len(want) {
			n, err := unix.Sendfile(int(sock), fd, &off, len(want)-sent)
			switch {
			case err == unix.EINTR:
				continue
			case err == unix.EAGAIN:
				return false
			case err != nil || n <= 0:
				failed = fmt.Errorf("sendfile: %w", errors.Join(err, io.ErrUnexpectedEOF))
				return true
			}
			sent += n
		}
		return true
	})
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	return <-received
}

// tcpPair is both ends of a connection on the loopback interface.
func tcpPair() (here *net.TCPConn, there net.Conn, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = l.Close() }() // it has done its part
	there, err = net.DialTimeout("tcp", l.Addr().String(), probeTime)
	if err != nil {
		return nil, nil, err
	}
	c, err := l.Accept()
	if err != nil {
		return nil, nil, errors.Join(err, there.Close())
	}
	limit := time.Now().Add(probeTime)
	if err := errors.Join(c.SetDeadline(limit), there.SetDeadline(limit)); err != nil {
		return nil, nil, errors.Join(err, c.Close(), there.Close())
	}
	return c.(*net.TCPConn), there, nil
}

// fileSystem names the file system of a directory.
func fileSystem(dir string) string {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return "unknown file system"
	}
	switch int64(s.Type) {
	case unix.EXT4_SUPER_MAGIC:
		return "ext4"
	case unix.XFS_SUPER_MAGIC:
		return "xfs"
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs"
	case unix.TMPFS_MAGIC:
		return "tmpfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlayfs"
	case unix.NFS_SUPER_MAGIC:
		return "nfs"
	case unix.FUSE_SUPER_MAGIC:
		return "fuse"
	case 0x2fc12fc1:
		return "zfs"
	}
	return fmt.Sprintf("file system %#x", s.Type)
}
