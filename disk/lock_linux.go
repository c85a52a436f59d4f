package disk

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// lockName is the file in the root that is locked; it holds the process id of who holds the lock and stays behind.
const lockName = ".lock"

// lockDir takes the lock of a data directory. It lasts until the file is closed or the process ends, however it ends.
func lockDir(root *os.Root) (*os.File, error) {
	f, err := root.OpenFile(lockName, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	if err := again(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }); err != nil {
		return nil, errors.Join(lockError(f, err), f.Close())
	}
	pid := append(strconv.AppendInt(nil, int64(os.Getpid()), 10), '\n')
	if err := f.Truncate(0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	// A full disk must not keep the broker from starting: the lock holds without the number.
	if _, err := f.WriteAt(pid, 0); err != nil && !isFull(err) {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// lockError says who holds the lock, as far as the file tells.
func lockError(f *os.File, err error) error {
	if err != unix.EWOULDBLOCK {
		return fmt.Errorf("lock %s: %w", lockName, err)
	}
	buf := make([]byte, 32)
	n, _ := f.ReadAt(buf, 0) // without a number the message is shorter
	if pid, err := strconv.Atoi(string(bytes.TrimSpace(buf[:n]))); err == nil {
		return fmt.Errorf("in use by process %d (%s is locked)", pid, lockName)
	}
	return fmt.Errorf("in use by another process (%s is locked)", lockName)
}

// isFull tells the errors of a disk, or of a user's share of it, that has no room.
func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// isBroken tells the errors that mean the device or the file system is gone, and not that one call was wrong.
func isBroken(err error) bool {
	for _, e := range []unix.Errno{unix.EIO, unix.EROFS, unix.EUCLEAN, unix.ENXIO, unix.ENODEV, unix.ESTALE, unix.EREMOTEIO} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// isOutOfFiles tells that the process or the machine has no descriptor left.
func isOutOfFiles(err error) bool { return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) }
