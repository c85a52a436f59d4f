package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
)

// doubtPrefix begins the name of a file that says that a sync has failed; the boot of the machine follows, and the cause is in
// it. After a failed sync the kernel takes the pages that it could not write for clean: the bytes are read back, and no later
// sync writes them. A process started afterwards would find them, believe them durable, and promise what stands on them. Only a
// reboot, or mounting the file system again, shows what is on the disk.
//
// So a directory in which a sync failed is offline for every process until the machine has booted again. The file need
// not be durable itself: as long as the page cache lives, so does its name.
const doubtPrefix = "sync.failed."

const maxDoubt = 4096

// doubt notes that a sync failed. It may be that nothing can be written at all; then only this process knows.
func (d *Disk) doubt(cause error) {
	name := doubtPrefix + d.fsys.Boot()
	f, err := d.fsys.Open(name, ModeCreate)
	if errors.Is(err, fs.ErrExist) {
		return
	}
	if err != nil {
		d.o.Logger.Error("a sync failed, and that cannot be noted: reboot before the broker is started again", slog.String("file", name), slog.Any("err", err))
		return
	}
	_, _ = f.WriteVec([][]byte{fmt.Appendf(nil, "%v\n", cause)}, 0) // the name says enough
	_ = f.Close()
}

// failSync takes the directory offline for a sync that failed, and notes it for the processes to come. Offline comes first: a
// sync of others that ends meanwhile must not be believed.
func (d *Disk) failSync(op string, cause error) error {
	err := d.fail(op, cause)
	d.doubted.Do(func() { d.doubt(cause) })
	return err
}

// settleDoubt looks whether a sync failed before this process: under another boot that is over, under this one the directory
// is offline.
func (d *Disk) settleDoubt() error {
	es, err := d.fsys.ReadDir(".")
	if err != nil {
		return err
	}
	for _, e := range es {
		boot, ok := strings.CutPrefix(e.Name, doubtPrefix)
		if !ok || e.Dir {
			continue
		}
		b, _ := d.ReadFile(e.Name, maxDoubt)
		why := slog.String("why", strings.TrimSpace(string(b)))
		if now := d.fsys.Boot(); boot == now || now == "" {
			return fmt.Errorf("a sync failed since the machine was booted (%s), so what is read is perhaps not on the disk. Reboot; or, once the file system has been unmounted and mounted again, remove the file %s from the data directory", why.Value, e.Name)
		}
		d.o.Logger.Warn("a sync failed before the machine was booted; the logs are what is on the disk", why)
		if err := d.Remove(e.Name); err != nil {
			return err
		}
	}
	return nil
}
