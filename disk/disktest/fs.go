package disktest

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"penstock/disk"
)

// unlimited is the room of a file system without a capacity, in bytes.
const unlimited = int64(1) << 50

// FS is a file system in memory. The zero value is not usable; New makes one.
type FS struct {
	mu       sync.Mutex // guards everything below, and all nodes
	root     *node
	lastID   uint64
	seq      uint64   // of the last change
	boots    int      // power cuts so far
	pending  []nameOp // changes of names that are not durable, oldest first
	capacity int64    // in blocks
	used     int64    // blocks
	opens    int
	faults   faults
	wrong    []string // what callers did that the contract of disk.FS forbids
}

var _ disk.FS = (*FS)(nil)

// New makes an empty file system of unlimited size.
func New() *FS {
	m := &FS{root: newNode(0, true), capacity: unlimited / blockSize}
	m.faults.init(&m.mu)
	return m
}

// SetCapacity sets the size of the file system in bytes. It may be set below what is used: then it is full.
func (m *FS) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = bytes / blockSize
}

// Boot is the number of power cuts so far.
func (m *FS) Boot() string { return strconv.Itoa(m.boots) }

// OpenFiles is the number of files that are open: 0 when everybody has closed what they opened.
func (m *FS) OpenFiles() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.opens
}

// Violations tells what callers did that the contract of disk.FS forbids: two writing calls on one file at a time, use
// of a closed file, and names that are not clean.
func (m *FS) Violations() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.wrong)
}

// violated needs mu.
func (m *FS) violated(format string, a ...any) { m.wrong = append(m.wrong, fmt.Sprintf(format, a...)) }

// Unsynced lists what a power cut may change, sorted: files by name, and "names" if names are not durable.
func (m *FS) Unsynced() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	m.walk(m.root, "", func(name string, n *node) {
		if len(n.pending) > 0 {
			out = append(out, name)
		}
	})
	if len(m.pending) > 0 {
		out = append(out, "names")
	}
	slices.Sort(out)
	return out
}

// walk visits every node that has a name.
func (m *FS) walk(dir *node, at string, visit func(name string, n *node)) {
	for name, n := range dir.names {
		full := path.Join(at, name)
		visit(full, n)
		if n.dir {
			m.walk(n, full, visit)
		}
	}
}

// Open implements disk.FS.
func (m *FS) Open(name string, mode disk.Mode) (disk.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	kind := KindOpen
	if mode == disk.ModeCreate {
		kind = KindCreate
	}
	f, err := m.begin(kind, name, "")
	if err != nil {
		return nil, err
	}
	n, err := m.openNode(name, mode)
	if err != nil {
		return nil, &fs.PathError{Op: string(kind), Path: name, Err: err}
	}
	if f.halt {
		return nil, f.fail(kind, name)
	}
	n.opens++
	m.opens++
	return &file{fs: m, node: n, name: name, mode: mode}, nil
}

// openNode finds the file, or makes it.
func (m *FS) openNode(name string, mode disk.Mode) (*node, error) {
	e, n, err := m.find(name)
	if err != nil {
		return nil, err
	}
	switch {
	case mode == disk.ModeCreate && n != nil:
		return nil, syscall.EEXIST
	case mode == disk.ModeCreate:
		return m.link(e, false), nil
	case n == nil:
		return nil, syscall.ENOENT
	case n.dir:
		return nil, syscall.EISDIR
	}
	return n, nil
}

// find returns the place of a name and what is there, nil if nothing is. An error means that there is no such place.
func (m *FS) find(name string) (entry, *node, error) {
	if !fs.ValidPath(name) {
		m.violated("name %q", name)
		return entry{}, nil, syscall.EINVAL
	}
	if name == "." {
		return entry{}, m.root, nil
	}
	dir := m.root
	for {
		first, rest, more := strings.Cut(name, "/")
		n := dir.names[first]
		if !more {
			return entry{dir, first}, n, nil
		}
		if n == nil {
			return entry{}, nil, syscall.ENOENT
		}
		if !n.dir {
			return entry{}, nil, syscall.ENOTDIR
		}
		dir, name = n, rest
	}
}

// findDir returns a directory.
func (m *FS) findDir(name string) (*node, error) {
	_, n, err := m.find(name)
	switch {
	case err != nil:
		return nil, err
	case n == nil:
		return nil, syscall.ENOENT
	case !n.dir:
		return nil, syscall.ENOTDIR
	}
	return n, nil
}

// link makes a new file or directory at e, where nothing is.
func (m *FS) link(e entry, dir bool) *node {
	m.lastID++
	n := newNode(m.lastID, dir)
	m.rename(nameOp{to: e, node: n})
	return n
}

// rename does a change of names now and remembers that it is not durable.
func (m *FS) rename(o nameOp) {
	m.seq++
	o.seq = m.seq
	o.do(func(n *node) map[string]*node { return n.names })
	m.pending = append(m.pending, o)
}

// MkdirAll implements disk.FS.
func (m *FS) MkdirAll(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, err := m.begin(KindMkdir, name, "")
	if err != nil {
		return err
	}
	if err := m.mkdirAll(name); err != nil {
		return &fs.PathError{Op: string(KindMkdir), Path: name, Err: err}
	}
	return f.fail(KindMkdir, name)
}

// mkdirAll makes each directory of the path that is missing. Each is a change of its own: a power cut may take the lower and
// leave the upper.
func (m *FS) mkdirAll(name string) error {
	if !fs.ValidPath(name) {
		m.violated("name %q", name)
		return syscall.EINVAL
	}
	for i := 0; i <= len(name); i++ {
		if i < len(name) && name[i] != '/' {
			continue
		}
		e, n, err := m.find(name[:i])
		switch {
		case err != nil:
			return err
		case n == nil:
			m.link(e, true)
		case !n.dir:
			return syscall.ENOTDIR
		}
	}
	return nil
}

// Remove implements disk.FS.
func (m *FS) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, err := m.begin(KindRemove, name, "")
	if err != nil {
		return err
	}
	if err := m.remove(name); err != nil {
		return &fs.PathError{Op: string(KindRemove), Path: name, Err: err}
	}
	return f.fail(KindRemove, name)
}

// remove takes a name away. The file lives on for those who have it open, and may come back in a power cut.
func (m *FS) remove(name string) error {
	e, n, err := m.find(name)
	switch {
	case err != nil:
		return err
	case e.dir == nil:
		return syscall.EINVAL
	case n == nil:
		return syscall.ENOENT
	case len(n.names) > 0:
		return syscall.ENOTEMPTY
	}
	m.rename(nameOp{from: e, node: n})
	m.drop(n)
	return nil
}

// drop notes that no name leads to n any more, and gives its room back unless somebody has it open.
func (m *FS) drop(n *node) {
	n.removed = true
	if n.opens == 0 {
		m.used -= n.room.count()
		n.room = nil
	}
}

// Rename implements disk.FS.
func (m *FS) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, err := m.begin(KindRename, from, to)
	if err != nil {
		return err
	}
	if err := m.move(from, to); err != nil {
		return &fs.PathError{Op: string(KindRename), Path: from + " to " + to, Err: err}
	}
	return f.fail(KindRename, from)
}

// move renames, with the answers that os.Root gives: nothing replaces a directory, and a directory replaces nothing.
func (m *FS) move(from, to string) error {
	fe, fn, err := m.find(from)
	if err != nil {
		return err
	}
	te, tn, err := m.find(to)
	switch {
	case err != nil:
		return err
	case fe.dir == nil || te.dir == nil || strings.HasPrefix(to, from+"/"):
		return syscall.EINVAL
	case fn == nil:
		return syscall.ENOENT
	case fn == tn:
		return nil
	case tn != nil && tn.dir:
		return syscall.EEXIST
	case tn != nil && fn.dir:
		return syscall.ENOTDIR
	}
	m.rename(nameOp{from: fe, to: te, node: fn})
	if tn != nil {
		m.drop(tn)
	}
	return nil
}

// ReadDir implements disk.FS.
func (m *FS) ReadDir(name string) ([]disk.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.begin(KindReadDir, name, ""); err != nil {
		return nil, err
	}
	dir, err := m.findDir(name)
	if err != nil {
		return nil, &fs.PathError{Op: string(KindReadDir), Path: name, Err: err}
	}
	out := make([]disk.Entry, 0, len(dir.names))
	for name, n := range dir.names {
		out = append(out, disk.Entry{Name: name, Size: n.now.size, Dir: n.dir})
	}
	slices.SortFunc(out, func(a, b disk.Entry) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// SyncDir implements disk.FS.
func (m *FS) SyncDir(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, err := m.findDir(name) // as it is called: what is renamed during a stall was opened before
	seq := m.seq
	f, ferr := m.begin(KindSyncDir, name, "")
	if ferr != nil {
		return ferr
	}
	if err != nil {
		return &fs.PathError{Op: string(KindSyncDir), Path: name, Err: err}
	}
	if f.lie || f.halt {
		return f.fail(KindSyncDir, name)
	}
	m.syncNames(f.err != nil, func(o *nameOp) (from, to bool) {
		return o.from.dir == dir && o.seq <= seq, o.to.dir == dir && o.seq <= seq
	})
	return f.fail(KindSyncDir, name)
}

// syncNames marks changes of names as synced, or as in doubt if the sync failed, and makes those durable that are fully
// synced, together with the older ones that they rest on: a change of an entry cannot survive without the changes of the
// same entry before it.
func (m *FS) syncNames(failed bool, covers func(*nameOp) (from, to bool)) {
	must := make([]bool, len(m.pending))
	needed := make(map[entry]bool)
	for i := len(m.pending) - 1; i >= 0; i-- {
		o := &m.pending[i]
		from, to := covers(o)
		if failed {
			o.doubt = o.doubt || from || to
			continue
		}
		o.fromSynced, o.toSynced = o.fromSynced || from, o.toSynced || to
		if o.synced() || o.touches(needed) {
			must[i] = true
			o.addTo(needed)
		}
	}
	left := m.pending[:0]
	for i := range m.pending {
		if o := m.pending[i]; must[i] {
			o.do(func(n *node) map[string]*node { return n.durableNames })
		} else {
			left = append(left, o)
		}
	}
	clear(m.pending[len(left):])
	m.pending = left
}

// SyncAll implements disk.FS.
func (m *FS) SyncAll() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	seq := m.seq // and the files as they are called now: a stall may see some removed
	var dirty []*node
	m.walk(m.root, "", func(_ string, n *node) {
		if len(n.pending) > 0 {
			dirty = append(dirty, n)
		}
	})
	f, err := m.begin(KindSyncAll, ".", "")
	if err != nil {
		return err
	}
	if f.lie || f.halt {
		return f.fail(KindSyncAll, ".")
	}
	for _, n := range dirty {
		if f.err != nil {
			n.syncFailed(seq)
		} else {
			n.sync(seq)
		}
	}
	m.syncNames(f.err != nil, func(o *nameOp) (from, to bool) { return o.seq <= seq, o.seq <= seq })
	return f.fail(KindSyncAll, ".")
}

// Space implements disk.FS.
func (m *FS) Space() (disk.Space, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.begin(KindSpace, ".", ""); err != nil {
		return disk.Space{}, err
	}
	return disk.Space{Total: m.capacity * blockSize, Free: m.free() * blockSize, Used: m.used * blockSize}, nil
}

// free is the number of blocks that are left.
func (m *FS) free() int64 { return max(0, m.capacity-m.used) }

// Counts is the number of calls so far of each kind that was called.
func (m *FS) Counts() map[Kind]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.faults.counts)
}
