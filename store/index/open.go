package index

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"penstock"
	"penstock/disk"
)

// Open opens the index in a directory, or begins one; a directory without an index gets files with the first Checkpoint or Add. What is not vouched for is removed: the
// owner adds again what it has added since it gave the mark that is returned, everything if that is nil. With clean set everything that
// was added is vouched for, and nothing is read but the last block of entries; without, the slots of the file that is
// written are compared with their checksums.
func Open(d *disk.Disk, dir string, o Options, clean bool) (*Index, []byte, error) {
	x := &Index{d: d, dir: dir, o: o.withDefaults()}
	if s := (shape{int64(x.o.Slots), int64(x.o.Entries), x.o.block}); !s.valid() {
		return nil, nil, fmt.Errorf("index %s: %w: files of %d slots and %d entries", dir, penstock.ErrInvalidConfig, x.o.Slots, x.o.Entries)
	}
	b, err := d.ReadFile(path.Join(dir, vouchedFile), maxVouched)
	var v vouched
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, nil, fmt.Errorf("index %s: %w", dir, err)
	default:
		if v, err = parseVouched(b); err != nil {
			x.o.Logger.Error("index cannot be believed, it is made again from the log", "dir", dir, "err", err)
			v = vouched{}
		}
	}
	if err := x.open(&v, clean); err != nil {
		x.Close()
		return nil, nil, fmt.Errorf("index %s: %w", dir, err)
	}
	x.mark = v.mark
	return x, v.mark, nil
}

// open takes over what is vouched for and removes everything else.
func (x *Index) open(v *vouched, clean bool) error {
	es, err := x.d.ReadDir(x.dir)
	if err != nil {
		return err
	}
	has := map[string]int64{}
	for _, e := range es {
		has[e.Name] = e.Size
		name := strings.TrimSuffix(e.Name, sumsSuffix)
		known := slices.ContainsFunc(v.files, func(r record) bool { return r.name == name && (r.sealed || name == e.Name) })
		if _, ours := parseName(name); !known && (ours || strings.HasSuffix(e.Name, disk.TempSuffix)) {
			if err := x.d.Remove(path.Join(x.dir, e.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	for i := range v.files {
		r := &v.files[i]
		f := newFile(r.name, r.shape)
		f.head, f.oldest, f.newest, f.sealed, f.sealSum = r.head, r.oldest, r.newest, r.sealed, r.sealSum
		x.files = append(x.files, f)
		// A crash may leave a file that is written as short as its entries: see takeUp.
		if size, ok := has[r.name]; !ok || size != r.shape.size() && (r.sealed || clean) {
			x.damage(f, fmt.Errorf("%w: index file %s has %d bytes, want %d", penstock.ErrCorrupt, r.name, size, r.shape.size()))
			continue
		}
		if r.damaged {
			x.damage(f, fmt.Errorf("%w: index file %s was damaged before this start", penstock.ErrCorrupt, r.name))
		}
		if r.sealed || r.damaged {
			continue
		}
		if err := x.takeUp(f, r, clean); err != nil {
			if !errors.Is(err, penstock.ErrCorrupt) {
				return err
			}
			x.damage(f, err)
		}
	}
	return nil
}

// takeUp goes on with a file that was being written.
func (x *Index) takeUp(f *file, r *record, clean bool) error {
	h, err := x.d.OpenFile(path.Join(x.dir, f.name), true)
	if err != nil {
		return err
	}
	f.h = h
	f.slotSums = r.slotSums
	n := int(f.count() / f.shape.perBlock())
	f.entrySums, f.entrySeen, f.tail = slices.Clip(r.entrySums[:n]), make([]bool, n), f.tail[:0]
	if n < len(r.entrySums) {
		off, size := f.shape.entryRange(n, f.count())
		b, err := f.readBlock(h, off, size, r.entrySums[n], "block of entries", n)
		if err != nil {
			return err
		}
		f.tail = append(f.tail, b...)
	}
	if clean {
		return x.refile(f, r.from)
	}
	// What lies behind the last entry was not vouched for.
	off, _ := f.shape.entryRange(0, f.count())
	if err := h.Truncate(off + f.count()*entrySize); err != nil {
		return err
	}
	if err := h.Truncate(f.shape.size()); err != nil {
		return err
	}
	for i := range f.slots {
		off, n := f.shape.slotRange(i)
		if _, err := f.readBlock(h, off, n, f.slotSums[i], "block of slots", i); err != nil {
			x.o.Logger.Warn("slots of an index file are made again from its entries", "file", f.name)
			return x.remake(f)
		}
		f.slotSeen[i] = true
	}
	return x.refile(f, r.from)
}

// refile files entries again that the slots may lack.
func (x *Index) refile(f *file, from int32) error {
	return x.entries(f, from, func(i int32, e *item) error {
		block, at := f.slot(e.hash)
		if err := f.loadSlots(block); err != nil {
			return x.remake(f)
		}
		if img := f.slots[block]; int32(be.Uint32(img[at:])) < i {
			be.PutUint32(img[at:], uint32(i))
			f.dirty[block] = true
		}
		return nil
	})
}

// remake makes all slots from the entries. The caller holds mu, or has the file alone.
func (x *Index) remake(f *file) error {
	for i := range f.slots {
		_, n := f.shape.slotRange(i)
		f.slots[i], f.dirty[i] = make([]byte, n), true
	}
	return x.entries(f, 1, func(i int32, e *item) error {
		block, at := f.slot(e.hash)
		be.PutUint32(f.slots[block][at:], uint32(i))
		return nil
	})
}

// entries visits the entries from one on. The caller holds mu, or has the file alone.
func (x *Index) entries(f *file, from int32, visit func(i int32, e *item) error) error {
	per := f.shape.perBlock()
	for i := int64(from); i < f.count(); {
		block := int(i / per)
		b := f.full[block]
		if b == nil && block == len(f.entrySums) {
			b = f.tail
		}
		if b == nil {
			off, n := f.shape.entryRange(block, f.count())
			var err error
			if b, err = f.readBlock(f.h, off, n, f.entrySums[block], "block of entries", block); err != nil {
				return err
			}
		}
		for ; i < f.count() && int(i/per) == block; i++ {
			e := parseItem(b[i%per*entrySize:])
			if e.hash < 0 {
				return fmt.Errorf("%w: index file %s: entry %d has the hash %d", penstock.ErrCorrupt, f.name, i, e.hash)
			}
			if err := visit(int32(i), &e); err != nil {
				return err
			}
		}
	}
	return nil
}

// repair makes damaged files again. The caller holds checking.
func (x *Index) repair(files []*file) (done bool, err error) {
	for _, f := range files {
		x.mu.Lock()
		bad, r := f.damaged, f.record()
		x.mu.Unlock()
		if bad == nil {
			continue
		}
		g, err := x.rebuild(&r)
		if err != nil {
			return done, fmt.Errorf("index file %s cannot be made again: %w", f.name, err)
		}
		x.mu.Lock()
		at := slices.Index(x.files, f)
		old := f.h
		f.h = nil
		switch {
		case at < 0:
		case g == nil:
			x.files = slices.Delete(slices.Clone(x.files), at, at+1)
		default:
			x.files = slices.Clone(x.files)
			x.files[at] = g
		}
		x.mu.Unlock()
		if old != nil {
			old.Release()
		}
		if g == nil {
			if err := x.remove(f.name); err != nil {
				return done, err
			}
		}
		x.o.Logger.Info("index file made again", "file", f.name, "keys", r.head.count-1, "kept", g != nil)
		done = true
	}
	return done, nil
}

// rebuild makes a file from what the owner's Walk gives, nil if that is nothing. It is sealed even where it has room left.
func (x *Index) rebuild(r *record) (*file, error) {
	if x.o.Walk == nil || r.head.count <= 1 {
		return nil, nil
	}
	g := newFile(r.name, r.shape)
	temp := path.Join(x.dir, r.name+disk.TempSuffix)
	var err error
	if g.h, err = create(x.d, temp); err != nil {
		return nil, err
	}
	defer func() {
		if g.h != nil {
			g.h.Release()
		}
	}()
	if err := g.h.Truncate(g.shape.size()); err != nil {
		return nil, err
	}
	for i := range g.slots {
		_, n := g.shape.slotRange(i)
		g.slots[i] = make([]byte, n)
	}
	var failed error
	err = x.o.Walk(r.head.beginPos, r.head.endPos, func(k Key) {
		if failed != nil || g.isFull() {
			return
		}
		g.put(&k)
		for b, img := range g.full {
			off, _ := g.shape.entryRange(b, g.shape.entries)
			if failed = x.write(g.h, img, off); failed != nil {
				return
			}
			delete(g.full, b)
		}
	})
	if err = errors.Join(err, failed); err != nil || g.head.count <= 1 {
		return nil, errors.Join(err, x.d.Remove(temp))
	}
	return g, x.finish(g, temp)
}

// finish writes what is in memory of a file that was made again, and puts it in its place.
func (x *Index) finish(g *file, temp string) error {
	for i, img := range g.slots {
		off, _ := g.shape.slotRange(i)
		if !g.dirty[i] {
			continue
		}
		if err := x.write(g.h, img, off); err != nil {
			return err
		}
		g.slotSums[i] = sum(img)
	}
	r := g.record()
	if len(g.tail) > 0 {
		off, _ := g.shape.entryRange(len(r.entrySums), g.shape.entries)
		if err := x.write(g.h, g.tail, off); err != nil {
			return err
		}
		r.entrySums = append(r.entrySums, sum(g.tail))
	}
	if err := x.write(g.h, g.head.append(nil), 0); err != nil {
		return err
	}
	if err := g.h.Sync(); err != nil {
		return err
	}
	s, err := x.writeSums(g.name, r.slotSums, r.entrySums)
	if err != nil {
		return err
	}
	if err := x.d.Rename(temp, path.Join(x.dir, g.name)); err != nil {
		return err
	}
	h := g.h
	g.become(&r, s)
	h.Release()
	return nil
}
