package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"
)

// dirState is what this process has made sure of about a directory. After a kill the names that the process before it
// made may still be in the page cache only, so nothing is taken for durable because it is there.
//
// Additions of names that nobody has synced yet are numbered, in one sequence for the data directory: a number is given
// when the name is there, so a sync that begins after it covers it. A sync notes the last number before it began.
type dirState struct {
	linked bool   // its own name, and those of its parents, are durable
	swept  bool   // the names in it that were there before this process are durable
	placed uint64 // number of its own name in its parent; 0: this process has not made sure that it is there
	made   uint64 // number of the last name put into it without a sync
	synced uint64 // names up to this number are durable, of those in it
}

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
	placed, err := d.placeIn(dir)
	if err != nil {
		return err
	}
	// Also when it was there before: the one who made it, a process that was killed or a goroutine that is about to,
	// may not have synced it yet.
	if err := d.cover(parent, placed); err != nil {
		return err
	}
	d.changeDir(dir, func(s *dirState) { s.linked = true })
	return nil
}

// place makes the directory dir, with its parents, without a sync.
func (d *Disk) place(dir string) error {
	if s := d.dirState(dir); dir == "." || s.linked || s.placed > 0 {
		return nil
	}
	if err := d.place(path.Dir(dir)); err != nil {
		return err
	}
	_, err := d.placeIn(dir)
	return err
}

// placeIn makes the directory dir in its parent, unless this process has, and returns the number of its name.
func (d *Disk) placeIn(dir string) (placed uint64, err error) {
	if s := d.dirState(dir); s.placed > 0 {
		return s.placed, nil
	}
	if err := d.outcome("mkdir", dir, d.fsys.MkdirAll(dir)); err != nil {
		return 0, err
	}
	d.dirsMu.Lock()
	defer d.dirsMu.Unlock()
	d.nameSeq++
	s := d.dirs[dir]
	s.placed = d.nameSeq
	d.dirs[dir] = s
	return s.placed, nil
}

// addName notes that a name was put into dir without a sync.
func (d *Disk) addName(dir string) {
	d.dirsMu.Lock()
	defer d.dirsMu.Unlock()
	d.nameSeq++
	s := d.dirs[dir]
	s.made = d.nameSeq
	d.dirs[dir] = s
}

// cover sees that the names in dir are durable up to a number.
func (d *Disk) cover(dir string, number uint64) error {
	d.dirsMu.Lock()
	done := max(d.dirs[dir].synced, d.allSynced) >= number
	d.dirsMu.Unlock()
	if done {
		return nil
	}
	return d.syncDir(dir)
}

// SyncNames sees that the names that lie in a directory are durable, those that a killed process left included, and those
// that lead to it. Once this process has made sure it costs nothing.
func (d *Disk) SyncNames(dir string) error {
	if !fs.ValidPath(dir) {
		return badName(dir)
	}
	if err := d.writable(); err != nil {
		return err
	}
	return d.settle(dir)
}

// settle sees that dir and the names that are in it are durable. It costs a sync once per directory and process: what this
// process adds later is synced as it is added, or is known to need one.
func (d *Disk) settle(dir string) error {
	if err := d.link(dir); err != nil {
		return err
	}
	if s := d.dirState(dir); s.swept {
		return d.cover(dir, s.made)
	}
	return d.syncDir(dir)
}

// settleLater sees that the names are durable that this process has put into dir, and those that lead to it. Nothing is made:
// a directory that nothing is known of was removed since, and what is in it has no name to keep.
func (d *Disk) settleLater(dir string) error {
	s := d.dirState(dir)
	if dir != "." && !s.linked {
		if s.placed == 0 {
			return nil
		}
		parent := path.Dir(dir)
		if err := d.settleLater(parent); err != nil {
			return err
		}
		if err := d.cover(parent, s.placed); err != nil {
			return ifThere(err)
		}
		d.noteLinked(dir)
	}
	return ifThere(d.cover(dir, s.made))
}

// ifThere drops the error that says that a directory is gone.
func ifThere(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// syncDir makes the names in dir durable. A failure takes the data directory offline, unless dir is not there: then
// nothing was synced, so nothing can have been lost by it, and the caller is told.
func (d *Disk) syncDir(dir string) error {
	covered := d.lastName()
	start := time.Now()
	err := d.fsys.SyncDir(dir)
	d.took("sync of directory", dir, start)
	d.stats.dirSyncs.Add(1)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("sync of directory %s: %w", dir, err)
	}
	if err != nil {
		return d.failSync("sync of directory "+dir, err)
	}
	d.changeDir(dir, func(s *dirState) { s.swept, s.synced = true, max(s.synced, covered) })
	return nil
}

// syncGone makes durable that a name has gone from dir. Those who come while another syncs the same directory share the sync
// after it: of many removals that go on side by side, few sync.
func (d *Disk) syncGone(dir string) error {
	d.addName(dir)
	number := d.dirState(dir).made
	mu := &d.gone[hash(dir)%uint32(len(d.gone))]
	mu.Lock()
	defer mu.Unlock()
	err := d.cover(dir, number)
	if errors.Is(err, fs.ErrNotExist) {
		d.forgetDir(dir)
	}
	return err
}

// lastName is the number of the last name that was added without a sync.
func (d *Disk) lastName() uint64 {
	d.dirsMu.Lock()
	defer d.dirsMu.Unlock()
	return d.nameSeq
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

// noteLinked notes that the name of dir is durable, unless dir was removed meanwhile.
func (d *Disk) noteLinked(dir string) {
	d.dirsMu.Lock()
	defer d.dirsMu.Unlock()
	if s, ok := d.dirs[dir]; ok && s.placed > 0 {
		s.linked = true
		d.dirs[dir] = s
	}
}

// allNames notes that a sync of all files has covered the names up to a number.
func (d *Disk) allNames(covered uint64) {
	d.dirsMu.Lock()
	defer d.dirsMu.Unlock()
	d.allSynced = max(d.allSynced, covered)
}

// forgetDirs drops what is known about dir and everything below it, for a caller who moves it whole. It looks at all directories,
// which is for what happens seldom; a removal forgets each directory as it comes to it.
func (d *Disk) forgetDirs(dir string) {
	d.dirsMu.Lock()
	defer d.dirsMu.Unlock()
	delete(d.dirs, dir)
	for name := range d.dirs {
		if strings.HasPrefix(name, dir+"/") {
			delete(d.dirs, name)
		}
	}
}

// forgetDir drops what is known about dir alone.
func (d *Disk) forgetDir(dir string) {
	d.dirsMu.Lock()
	defer d.dirsMu.Unlock()
	delete(d.dirs, dir)
}
