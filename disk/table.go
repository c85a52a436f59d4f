package disk

import (
	"fmt"
	"strings"
	"sync"

	"penstock"
)

// table knows the handles that are held, by path, and which of them may give up their descriptor.
type table struct {
	d *Disk

	// names is held for reading while a file is opened by its path, and for writing while paths change.
	names sync.RWMutex

	mu     sync.Mutex         // guards what follows, and the list fields of each Handle
	byPath map[string]*Handle // chained by Handle.next
	// idle are open handles that are sealed, in the order in which they were opened or looked at last: a clock. It may
	// hold handles that are released or closed; they leave when they are looked at.
	idle []*Handle
	head int // of idle
}

// Bounds of one sweep of the idle list: how many handles are looked at for each one opened.
const sweep = 32

func (t *table) init(d *Disk) {
	t.d = d
	t.byPath = make(map[string]*Handle)
}

// open opens a file and makes a handle of it with one reference.
func (t *table) open(name string, mode Mode) (*Handle, error) {
	t.names.RLock()
	defer t.names.RUnlock()
	f, err := t.openFile(name, mode)
	if err != nil {
		return nil, err
	}
	h := &Handle{d: t.d, name: name, path: name}
	h.refs.Store(1)
	h.sealed.Store(mode == ModeRead)
	h.file.Store(&openFile{f})
	t.d.stats.handles.Add(1)
	t.mu.Lock()
	h.next = t.byPath[name]
	t.byPath[name] = h
	t.mu.Unlock()
	if mode == ModeRead {
		t.addIdle(h)
	}
	return h, nil
}

// openFile opens a file by name. When the process has no descriptor left, all idle ones are given up and it is tried once
// more. It needs names, so that a reader who opens a sealed file again cannot get another file that took its name.
func (t *table) openFile(name string, mode Mode) (File, error) {
	if t.d.closed.Load() {
		return nil, fmt.Errorf("open %s: %w", name, penstock.ErrClosed)
	}
	f, err := t.d.fsys.Open(name, mode)
	if isOutOfFiles(err) {
		t.trim(0, t.idleLen())
		f, err = t.d.fsys.Open(name, mode)
	}
	if err != nil {
		return nil, err
	}
	t.d.stats.descriptors.Add(1)
	return f, nil
}

// addIdle puts an open, sealed handle into the idle list and closes others that are too many.
func (t *table) addIdle(h *Handle) {
	t.mu.Lock()
	t.putIdle(h)
	t.mu.Unlock()
	t.trim(t.d.o.OpenFiles, sweep)
}

// putIdle needs mu.
func (t *table) putIdle(h *Handle) {
	if h.idle || h.gone {
		return
	}
	if len(t.idle) == cap(t.idle) && t.head > len(t.idle)/2 {
		n := copy(t.idle, t.idle[t.head:])
		clear(t.idle[n:])
		t.idle, t.head = t.idle[:n], 0
	}
	h.idle = true
	t.idle = append(t.idle, h)
}

// takeIdle needs mu.
func (t *table) takeIdle() *Handle {
	h := t.idle[t.head]
	t.idle[t.head] = nil
	t.head++
	h.idle = false
	return h
}

func (t *table) idleLen() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.idle) - t.head
}

// trim is the hand of the clock. Closing takes Handle.mu, which comes before mu in the order of locks, so a handle is taken
// out of the list first and put back if it has to stay open. It looks at up to looks handles of the idle list, while it is longer than keep, and closes those that nobody has
// used since the last look.
func (t *table) trim(keep, looks int) {
	for ; looks > 0; looks-- {
		t.mu.Lock()
		if len(t.idle)-t.head <= keep {
			t.mu.Unlock()
			return
		}
		h := t.takeIdle()
		t.mu.Unlock()
		if keep > 0 && h.used.Swap(false) || !h.closeIdle() {
			t.mu.Lock()
			if h.file.Load() != nil && !h.kept.Load() {
				t.putIdle(h)
			}
			t.mu.Unlock()
		}
	}
}

// forget takes a handle out of the table when its last reference is gone. The idle list may still hold it; gone keeps it from
// being put back.
func (t *table) forget(h *Handle) {
	t.names.RLock()
	defer t.names.RUnlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	h.gone = true
	t.d.stats.handles.Add(-1)
	t.unlink(h)
}

// unlink takes h out of the chain of its path. It needs names and mu.
func (t *table) unlink(h *Handle) {
	p := t.byPath[h.path]
	if p == h {
		if h.next == nil {
			delete(t.byPath, h.path)
		} else {
			t.byPath[h.path] = h.next
		}
		h.next = nil
		return
	}
	for ; p != nil; p = p.next {
		if p.next == h {
			p.next, h.next = h.next, nil
			return
		}
	}
}

// at lists the handles of a path, and of everything below it. The latter looks at all handles: directories are seldom moved.
func (t *table) at(path string, below bool) []*Handle {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []*Handle
	for h := t.byPath[path]; h != nil; h = h.next {
		out = append(out, h)
	}
	if !below {
		return out
	}
	for p, h := range t.byPath {
		if strings.HasPrefix(p, path+"/") {
			for ; h != nil; h = h.next {
				out = append(out, h)
			}
		}
	}
	return out
}

// remove removes a file; its handles keep their descriptor from then on. The descriptors come first: after the unlink they
// could not be had any more. An unlink under an open descriptor is quick; the blocks go when the last one is closed.
func (t *table) remove(name string) error {
	t.names.Lock()
	defer t.names.Unlock()
	hs := t.at(name, false)
	if err := keepOpen(hs); err != nil {
		return err
	}
	if err := t.d.fsys.Remove(name); err != nil {
		return err
	}
	t.move(hs, "", "")
	return nil
}

// rename renames a file or a directory; handles follow, and those of a replaced file keep their descriptor.
func (t *table) rename(from, to string) error {
	t.names.Lock()
	defer t.names.Unlock()
	// A temporary file is no directory, and looking for what lies below it is a walk over all handles.
	moved, replaced := t.at(from, !strings.HasSuffix(from, TempSuffix)), t.at(to, false)
	if err := keepOpen(replaced); err != nil {
		return err
	}
	if err := t.d.fsys.Rename(from, to); err != nil {
		return err
	}
	if from == to {
		return nil
	}
	t.move(replaced, "", "")
	t.move(moved, from, to)
	return nil
}

// pathOf is the name that a handle's file has now, empty if it has none any more.
func (t *table) pathOf(h *Handle) string {
	t.names.RLock()
	defer t.names.RUnlock()
	return h.path
}

// move gives handles their new path: to in the place of from, or none at all. It needs names for writing.
func (t *table) move(hs []*Handle, from, to string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, h := range hs {
		if h.gone {
			continue
		}
		t.unlink(h)
		if to == "" {
			h.path = ""
			continue
		}
		h.path = to + strings.TrimPrefix(h.path, from)
		h.next = t.byPath[h.path]
		t.byPath[h.path] = h
	}
}

// keepOpen opens the descriptors of handles for good. If one cannot be had the names stay as they are.
func keepOpen(hs []*Handle) error {
	for _, h := range hs {
		if err := h.keepOpen(); err != nil {
			return fmt.Errorf("keep %s open for its readers: %w", h.name, err)
		}
	}
	return nil
}
