// Package loopfs makes file systems in image files on loop devices, and cuts their power: FS_IOC_SHUTDOWN stops a file
// system at once, without writing its log or anything else that is still in memory. What unmounting and mounting again brings
// back is what a machine would find after a power cut. Needs root.
package loopfs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// fsIocShutdown is _IOR('X', 125, __u32), for ext4, xfs and f2fs alike.
	fsIocShutdown = 0x8004587D
	// noLogFlush leaves the journal as it is on the disk.
	noLogFlush = 2
	// commandLimit bounds every command that this package runs.
	commandLimit = 30 * time.Second
	// unmountLimit bounds the wait for a file system that is still busy.
	unmountLimit = 10 * time.Second
	// MinSize is the smallest image that every kind of file system accepts.
	MinSize = 320 << 20
)

// Kinds are the file systems that can be cut.
var Kinds = [...]string{"ext4", "xfs"}

// FS is one file system in an image file. It is used by one goroutine.
type FS struct {
	Kind    string
	Dir     string // where it is mounted
	image   string
	mounted bool
}

// Check says why file systems cannot be made here, nil if they can.
func Check(kinds ...string) error {
	var errs []error
	if os.Geteuid() != 0 {
		errs = append(errs, errors.New("mounting needs root"))
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		errs = append(errs, errors.New("there are no loop devices (/dev/loop-control)"))
	}
	for _, k := range kinds {
		if _, err := exec.LookPath("mkfs." + k); err != nil {
			errs = append(errs, fmt.Errorf("mkfs.%s is not installed (packages e2fsprogs and xfsprogs)", k))
		}
	}
	for _, c := range []string{"mount", "losetup"} {
		if _, err := exec.LookPath(c); err != nil {
			errs = append(errs, fmt.Errorf("%s is not installed", c))
		}
	}
	return errors.Join(errs...)
}

// Make makes an empty file system of the kind and size in dir and mounts it. Its blocks are taken from the disk as they
// are used.
func Make(ctx context.Context, dir, kind string, size int64) (*FS, error) {
	f := &FS{Kind: kind, Dir: filepath.Join(dir, kind), image: filepath.Join(dir, kind+".img")}
	img, err := os.Create(f.image)
	if err != nil {
		return nil, err
	}
	err = errors.Join(img.Truncate(max(size, MinSize)), img.Close(), os.MkdirAll(f.Dir, 0o755))
	if err != nil {
		return nil, err
	}
	force := "-f"
	if kind == "ext4" {
		force = "-F"
	}
	if err := run(ctx, "mkfs."+kind, "-q", force, f.image); err != nil {
		return nil, err
	}
	if err := f.mount(ctx); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// mount binds the image to a loop device that frees itself when it is unmounted.
func (f *FS) mount(ctx context.Context) error {
	if err := run(ctx, "mount", "-t", f.Kind, "-o", "loop", f.image, f.Dir); err != nil {
		return err
	}
	f.mounted = true
	return nil
}

// Cut cuts the power. From now on every access to the file system fails.
func (f *FS) Cut() error {
	fd, err := unix.Open(f.Dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", f.Dir, err)
	}
	defer unix.Close(fd)
	if err := unix.IoctlSetPointerInt(fd, fsIocShutdown, noLogFlush); err != nil {
		return fmt.Errorf("shut down %s: %w", f.Dir, err)
	}
	return nil
}

// Remount unmounts and mounts again, which replays the journal. Nobody may have a file open.
func (f *FS) Remount(ctx context.Context) error {
	if err := f.unmount(); err != nil {
		return err
	}
	return f.mount(ctx)
}

// unmount waits a while for the last files to be closed: a process that was killed may still be closing its own.
func (f *FS) unmount() error {
	if !f.mounted {
		return nil
	}
	for deadline := time.Now().Add(unmountLimit); ; time.Sleep(2 * time.Millisecond) {
		err := unix.Unmount(f.Dir, 0)
		if err == nil {
			f.mounted = false
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return fmt.Errorf("unmount %s: %w", f.Dir, err)
		}
	}
}

// Close unmounts, by force if need be, and removes the image.
func (f *FS) Close() error {
	err := f.unmount()
	if err != nil {
		err = errors.Join(err, unix.Unmount(f.Dir, unix.MNT_DETACH))
	}
	return errors.Join(err, os.Remove(f.image))
}

// Free is the number of bytes that may still be written.
func (f *FS) Free() (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(f.Dir, &s); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", f.Dir, err)
	}
	return int64(s.Bavail) * s.Bsize, nil
}

func run(ctx context.Context, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
