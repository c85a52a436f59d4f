package index

import (
	"fmt"
	"path"
	"slices"

	"penstock"
)

// Checkpoint makes everything durable that was added before the call, with the owner's mark, which the next Open gives back. What is added meanwhile
// may become durable with it: before anything is vouched for, first is called, unless it is nil, and makes the batches durable that keys have been added
// of. Files that are damaged are made again. It may take long; Add and Find go on. Errors: those of the disk and of first;
// an index that was given up says so until the next start.
func (x *Index) Checkpoint(mark []byte, first func() error) error {
	x.checking.Lock()
	defer x.checking.Unlock()
	x.mu.Lock()
	files, closed, behind, adds, same := x.files, x.closed, x.behind, x.adds, slices.Equal(mark, x.mark)
	x.mu.Unlock()
	if closed {
		return fmt.Errorf("index %s: %w", x.dir, penstock.ErrClosed)
	}
	if behind != nil {
		return behind
	}
	repaired, err := x.repair(files)
	if err != nil {
		return fmt.Errorf("index %s: %w", x.dir, err)
	}
	if adds == x.rested && same && !repaired {
		x.rest()
		return nil
	}
	x.mu.Lock()
	files = x.files
	x.mu.Unlock()
	v := vouched{mark: slices.Clone(mark)}
	for i, f := range files {
		r, err := x.settle(f, i == len(files)-1)
		if err != nil {
			return fmt.Errorf("index file %s: %w", f.name, err)
		}
		v.files = append(v.files, r)
	}
	if first != nil {
		if err := first(); err != nil {
			return err
		}
	}
	if len(files) > 0 || len(mark) > 0 {
		if err := x.d.WriteFile(path.Join(x.dir, vouchedFile), v.append()); err != nil {
			return fmt.Errorf("index %s: %w", x.dir, err)
		}
	}
	x.rested = adds
	x.mu.Lock()
	x.mark = v.mark
	x.mu.Unlock()
	return nil
}

// rest gives up memory that only adding needs, where nothing was added since the last checkpoint.
func (x *Index) rest() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, f := range x.files {
		for i := range f.slots {
			if !f.dirty[i] {
				f.slots[i] = nil
			}
		}
	}
}

// settle makes a file durable as it is now, and seals it if it is full and not the last. The caller holds checking.
func (x *Index) settle(f *file, last bool) (record, error) {
	x.mu.Lock()
	r := f.record()
	h, done := f.h, f.sealed || f.damaged != nil || f.h == nil
	if !done {
		h.Retain()
	}
	x.mu.Unlock()
	if done {
		return r, nil
	}
	defer h.Release()
	r.from = r.head.count
	for i := range f.slots {
		if err := x.writeSlots(f, i); err != nil {
			return r, err
		}
	}
	// What is added from here on may be in the file as well, and is not vouched for.
	x.mu.Lock()
	waits := x.writeFull(f)
	from, tail := r.from, slices.Clone(f.tail)
	r = f.record()
	r.from = from
	x.mu.Unlock()
	if waits != nil {
		return r, waits
	}
	if len(tail) > 0 {
		off, _ := f.shape.entryRange(len(r.entrySums), f.shape.entries)
		if err := x.write(h, tail, off); err != nil {
			return r, err
		}
		r.entrySums = append(r.entrySums, sum(tail))
	}
	if err := x.write(h, r.head.append(nil), 0); err != nil {
		return r, err
	}
	if err := h.Sync(); err != nil {
		return r, err
	}
	if last || int64(r.head.count) < r.shape.entries || r.from != r.head.count {
		return r, nil
	}
	return x.seal(f, r)
}

// record is what is known of a file now, but for the last part of a block of entries. The caller holds mu.
func (f *file) record() record {
	r := record{name: f.name, shape: f.shape, head: f.head, oldest: f.oldest, newest: f.newest, sealed: f.sealed, sealSum: f.sealSum, from: f.head.count}
	r.damaged = f.damaged != nil
	if !f.sealed && !r.damaged {
		r.slotSums, r.entrySums = slices.Clone(f.slotSums), slices.Clone(f.entrySums)
	}
	return r
}

// writeSlots writes a block of slots if the disk does not have it.
func (x *Index) writeSlots(f *file, i int) error {
	x.mu.Lock()
	if !f.dirty[i] {
		x.mu.Unlock()
		return nil
	}
	img := slices.Clone(f.slots[i])
	f.dirty[i] = false
	h := f.h
	x.mu.Unlock()
	off, _ := f.shape.slotRange(i)
	err := x.write(h, img, off)
	x.mu.Lock()
	defer x.mu.Unlock()
	if err != nil {
		f.dirty[i] = true
		return err
	}
	f.slotSums[i], f.slotSeen[i] = sum(img), true
	return nil
}

// seal ends a file that is full and durable: its checksums get a file of their own.
func (x *Index) seal(f *file, r record) (record, error) {
	s, err := x.writeSums(f.name, r.slotSums, r.entrySums)
	if err != nil {
		return r, err
	}
	x.mu.Lock()
	h := f.h
	f.become(&r, s)
	x.mu.Unlock()
	if h != nil {
		h.Release()
	}
	return record{name: r.name, shape: r.shape, head: r.head, oldest: r.oldest, newest: r.newest, sealed: true, sealSum: s}, nil
}

// become makes a file one that is sealed as r says. The caller holds mu.
func (f *file) become(r *record, s uint32) {
	f.sealed, f.loaded, f.sealSum, f.h = true, true, s, nil
	f.slotSums, f.entrySums = r.slotSums, r.entrySums
	f.slotSeen, f.entrySeen = make([]bool, len(r.slotSums)), make([]bool, len(r.entrySums))
	f.slots, f.dirty, f.tail, f.full = make([][]byte, len(r.slotSums)), make([]bool, len(r.slotSums)), nil, map[int][]byte{}
}
