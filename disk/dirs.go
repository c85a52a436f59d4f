package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"
)

// link makes the directory dir, with its parents, and sees that its name is durable. Names of one path are made durable
// from the root down: a durable name in a directory that a power cut removes is worth nothing.
func (d *Disk) link(dir string) error {
	if dir == "." || d.dirState(dir).linked {
		return nil
	}
	parent := path.Dir(dir)
	if err := d.link(parent); err != nil {
		return err
	}
	if err := d.outcome("mkdir", dir, d.fsys.MkdirAll(dir)); err != nil {
		return err
	}
	// Also when it was there before: the one who made it, a process that was killed or a goroutine that is about to,
	// may not have synced it yet.
	if err := d.syncDir(parent); err != nil {
		return err
	}
	d.changeDir(dir, func(s *dirState) { s.linked = true })
	return nil
}

// settle sees that dir and the names that are in it are durable. It costs a sync once per directory and process: what this
// process adds later is synced as it is added.
func (d *Disk) settle(dir string) error {
	if err := d.link(dir); err != nil || d.dirState(dir).swept {
		return err
	}
	return d.syncDir(dir)
}

// syncDir makes the names in dir durable. A failure takes the data directory offline, unless dir is not there: then
// nothing was synced, so nothing can have been lost by it, and the caller is told.
func (d *Disk) syncDir(dir string) error {
	start := time.Now()
	err := d.fsys.SyncDir(dir)
	d.took("sync of directory", dir, start)
	d.stats.dirSyncs.Add(1)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("sync of directory %s: %w", dir, err)
	}
	if err != nil {
		return d.fail("sync of directory "+dir, err)
	}
	d.changeDir(dir, func(s *dirState) { s.swept = true })
	return nil
}

// dirState is what is known about dir, nothing at first.
func (d *Disk) dirState(dir string) dirState {
	d.dirsMu.Lock()
	defer d.dirsMu.Unlock()
	return d.dirs[dir]
}

// changeDir notes something about dir. Two goroutines may find out the same; then both have synced, which is harmless.
func (d *Disk) changeDir(dir string, change func(*dirState)) {
	d.dirsMu.Lock()
	defer d.dirsMu.Unlock()
	s := d.dirs[dir]
	change(&s)
	d.dirs[dir] = s
}

// forgetDirs drops what is known about dir and everything below it.
func (d *Disk) forgetDirs(dir string) {
	d.dirsMu.Lock()
	defer d.dirsMu.Unlock()
	for name := range d.dirs {
		if name == dir || strings.HasPrefix(name, dir+"/") {
			delete(d.dirs, name)
		}
	}
}
