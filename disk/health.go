package disk

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"penstock"
)

// Err is nil while the directory is healthy, else an error that wraps penstock.ErrOffline and the cause.
func (d *Disk) Err() error {
	if p := d.offline.Load(); p != nil {
		return *p
	}
	return nil
}

// writable is the gate of every call that writes. A call that has passed it may still end well after the directory has
// gone offline: what it wrote is in the file, and only a sync, which checks again at its end, could call it durable.
func (d *Disk) writable() error {
	if err := d.Err(); err != nil {
		return err
	}
	if d.closed.Load() {
		return fmt.Errorf("data directory: %w", penstock.ErrClosed)
	}
	return nil
}

// fail takes the directory offline, for good, and returns the error of the call that found it so. The first one counts.
func (d *Disk) fail(op string, cause error) error {
	err := fmt.Errorf("%w: %s: %w", penstock.ErrOffline, op, cause)
	if !d.offline.CompareAndSwap(nil, &err) {
		return err
	}
	d.o.Logger.Error("data directory is offline: writing has stopped, reading goes on", slog.String("call", op), slog.Any("cause", cause))
	if d.o.OnOffline != nil {
		go d.o.OnOffline(err) // not here: the caller may hold the locks that it wants
	}
	return err
}

// outcome sorts the error of a writing call: a full disk, which passes, a broken one, which does not, or the caller's own
// fault, which concerns nobody else. It is not for syncs: after a failed sync nobody knows what is durable, whatever the
// error, a full disk included.
func (d *Disk) outcome(op, name string, err error) error {
	switch {
	case err == nil:
		return nil
	case isFull(err):
		d.stats.full.Add(1)
		return fmt.Errorf("%s %s: %w: %w", op, name, penstock.ErrDiskFull, err)
	case isBroken(err):
		return d.fail(op+" "+name, err)
	}
	return fmt.Errorf("%s %s: %w", op, name, err)
}

// took counts a call that began at start if it was slow, and logs it, at most once per StallWarning.
func (d *Disk) took(op, name string, start time.Time) {
	long := time.Since(start)
	if long < d.o.StallWarning {
		return
	}
	d.stats.stalls.Add(1)
	now, last := time.Now().UnixNano(), d.lastStall.Load()
	if now-last < int64(d.o.StallWarning) || !d.lastStall.CompareAndSwap(last, now) {
		return
	}
	d.o.Logger.Warn("disk is slow", slog.String("call", op), slog.String("file", name), slog.Duration("took", long))
}

// SyncAll makes everything durable that was written on the file system so far, names and bytes, whoever wrote it, in one call. done is false
// where that is not supported, and nothing happened. A failure takes the directory offline.
func (d *Disk) SyncAll() (done bool, err error) {
	if err := d.writable(); err != nil {
		return false, err
	}
	if d.noSyncAll.Load() {
		return false, nil
	}
	return d.syncAll()
}

// syncAll makes everything on the file system durable. done is false where that is not supported, and nothing happened.
func (d *Disk) syncAll() (done bool, err error) {
	covered := d.lastName()
	start := time.Now()
	err = d.fsys.SyncAll()
	if errors.Is(err, errors.ErrUnsupported) {
		d.noSyncAll.Store(true)
		return false, nil
	}
	d.took("sync of all files", ".", start)
	d.stats.syncAlls.Add(1)
	if err != nil {
		return true, d.failSync("sync of all files", err)
	}
	d.allNames(covered)
	return true, nil
}
