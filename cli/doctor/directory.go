package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"penstock"
	"penstock/cli"
	"penstock/disk"
)

const (
	// scratchDir lies in the data directory while it is measured. The name is one that brokers pass over.
	scratchDir  = "doctor" + disk.TempSuffix
	scratchFile = "scratch"
	// syncs of syncBytes each are timed, for at most syncTime.
	syncs     = 200
	syncBytes = 4096
	syncTime  = 20 * time.Second
	// sentBytes are sent to a socket to see that sendfile works.
	sentBytes = 64 << 10
)

// directory measures the disk below the data directory.
func (d *doctor) directory(ctx context.Context) []Finding {
	info, err := os.Stat(d.data)
	if err == nil && !info.IsDir() {
		err = errors.New("it is no directory")
	}
	if err != nil {
		return []Finding{{Check: checkFileSystem, Severity: Error, What: fmt.Sprintf("%s cannot be looked at: %v", d.data, err),
			Why: "A broker with this data directory does not start, or starts empty.", Do: "Name the directory of the broker's data setting by --data."}}
	}
	fs := []Finding{}
	if name, err := fileSystem(d.data); err != nil {
		fs = append(fs, unmeasured(checkFileSystem, err))
	} else {
		fs = append(fs, judgeFileSystem(name))
	}
	return append(fs, d.scratch(ctx)...)
}

// scratch opens a disk in a directory of its own, beside what a running broker has locked.
func (d *doctor) scratch(ctx context.Context) (fs []Finding) {
	root := filepath.Join(d.data, scratchDir)
	k, err := disk.Open(root, disk.Options{})
	if err != nil {
		return []Finding{{Check: checkFsync, Severity: Warning, What: fmt.Sprintf("the disk cannot be measured: %v", err),
			Why: "A broker that runs as this user could not write either.", Do: "Run penstock doctor as the broker's user, and one at a time."}}
	}
	defer func() {
		if err := errors.Join(k.Close(), os.RemoveAll(root)); err != nil {
			fs = append(fs, note(checkFsync, "%s was left behind: %v", root, err))
		}
	}()
	if s, err := k.Space(); err != nil {
		fs = append(fs, unmeasured(checkSpace, err))
	} else {
		fs = append(fs, judgeSpace(s.Free, s.Total))
	}
	if err := k.Remove(scratchFile); err != nil && !errors.Is(err, os.ErrNotExist) { // of one that was killed
		return append(fs, unmeasured(checkFsync, err))
	}
	h, err := k.Create(scratchFile)
	if err != nil {
		return append(fs, unmeasured(checkFsync, err))
	}
	defer h.Release()
	times, err := timeSyncs(ctx, h)
	if err != nil {
		return append(fs, judgeSyncError(err))
	}
	return append(fs, judgeSyncs(times), judgeSendfile(sendfile(ctx, h)))
}

// timeSyncs appends to a file and makes each append durable, as a producer that waits for the disk has it done.
func timeSyncs(ctx context.Context, h *disk.Handle) ([]time.Duration, error) {
	limit := time.Now().Add(syncTime)
	piece := slices.Repeat([]byte("penstock"), syncBytes/8)
	var times []time.Duration
	for i := range int64(syncs) {
		began := time.Now()
		if ctx.Err() != nil || began.After(limit) {
			break
		}
		if _, err := h.WriteVec([][]byte{piece}, i*syncBytes); err != nil {
			return nil, err
		}
		if err := h.Sync(); err != nil {
			return nil, err
		}
		times = append(times, time.Since(began))
	}
	if len(times) == 0 {
		return nil, context.Cause(ctx)
	}
	return times, nil
}

func judgeSyncError(err error) Finding {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return unmeasured(checkFsync, err)
	case errors.Is(err, penstock.ErrDiskFull):
		return Finding{Check: checkFsync, Severity: Error, What: "the disk is full: " + err.Error(), Why: "Producers are refused until there is room.",
			Do: "Make room: shorten retention, delete topics, or give the directory a larger disk."}
	}
	return Finding{Check: checkFsync, Severity: Error, What: "the disk does not take an append: " + err.Error(),
		Why: "A broker there takes its directory offline at once.", Do: "Look into the kernel's log for the device's errors, and replace it."}
}

// The latencies of an append with fdatasync that count, at the median and at the 99th percentile.
const (
	syncSlow     = 10 * time.Millisecond
	syncSlowTail = 50 * time.Millisecond
	syncFast     = 20 * time.Microsecond // faster than any device that keeps what it is given
)

// judgeSyncs looks at how long appends take to become durable. It sorts times, which are not empty.
func judgeSyncs(times []time.Duration) Finding {
	slices.Sort(times)
	p50, p99 := times[len(times)/2], times[min(len(times)*99/100, len(times)-1)]
	what := fmt.Sprintf("%d appends of %s with fdatasync: p50 %.2f ms, p99 %.2f ms", len(times), cli.Bytes(syncBytes), p50.Seconds()*1e3, p99.Seconds()*1e3)
	f := Finding{Check: checkFsync, Severity: Warning, What: what}
	switch {
	case p50 > syncSlow || p99 > syncSlowTail:
		f.Why = "Producers that want every record on the disk (penstock.durability=fsync) wait that long for each answer."
		f.Do = "Use a local SSD with power-loss protection, nothing else that writes to it, or relaxed durability where records may be lost with the machine."
	case p50 < syncFast:
		f.Severity = Note
		f.What += ", which no disk does: it is memory, or it does not keep what it says it has kept"
	default:
		return good(checkFsync, "%s", what)
	}
	return f
}

func judgeSendfile(err error) Finding {
	if err == nil {
		return good(checkSendfile, "the kernel sends files of the directory by sendfile")
	}
	return Finding{Check: checkSendfile, Severity: Warning, What: "sendfile does not take bytes from the directory to a socket: " + err.Error(),
		Why: "Every byte to a consumer goes through the process then, at several times the processor time.", Do: "Use ext4 or xfs, and a sandbox that allows sendfile."}
}

// judgeFileSystem looks at the kind of file system.
func judgeFileSystem(name string) Finding {
	f := Finding{Check: checkFileSystem, Severity: Warning, What: "the data directory is on " + name}
	switch name {
	case "ext4", "xfs", "btrfs", "zfs":
		return good(checkFileSystem, "%s", f.What)
	case "tmpfs", "ramfs":
		f.Why = "That is memory: everything is gone with the machine, whatever was promised to producers."
		f.Do = "Use a directory on a disk, unless the data may be lost."
	case "overlayfs":
		f.Why = "That is a container's own layer: it is slow to write and gone with the container."
		f.Do = "Mount a volume and use a directory there."
	case "nfs", "cifs", "smb", "fuse", "9p", "ceph":
		f.Why = "Its fsync depends on a server and its locks, and sendfile may not work."
		f.Do = "Use a local disk, or a network block device with ext4 or xfs."
	default:
		return note(checkFileSystem, "%s, which was not tried", f.What)
	}
	return f
}

// judgeSpace looks at the room on the disk.
func judgeSpace(free, total int64) Finding {
	what := fmt.Sprintf("%s of %s are free", cli.Bytes(free), cli.Bytes(total))
	f := Finding{Check: checkSpace, What: what, Why: "When the disk is full producers are refused until there is room.",
		Do: "Shorten retention, delete topics, or give the directory a larger disk."}
	switch {
	case free < 1<<30 || free < total/50:
		f.Severity = Error
	case free < 10<<30 && free < total/4 || free < total/10:
		f.Severity = Warning
	default:
		return good(checkSpace, "%s", what)
	}
	return f
}
