package index

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"slices"

	"penstock"
	"penstock/disk"
)

// clockSlack is how far an entry may be older than what is asked for before the older ones behind it are not looked at: clocks are set back now
// and then.
const clockSlack = 3_600_000

// Find calls visit with the positions under a hash whose time may lie between from and to, both included, the newest first and each once, until visit returns
// false. Times are known to the second. Errors: penstock.ErrCorrupt for a damaged file, penstock.ErrClosed; what visit got before is
// right.
func (x *Index) Find(hash int32, from, to penstock.Timestamp, visit func(pos int64) bool) error {
	hash = positive(hash)
	x.mu.Lock()
	files, closed, behind := x.files, x.closed, x.behind
	x.mu.Unlock()
	if closed {
		return fmt.Errorf("index %s: %w", x.dir, penstock.ErrClosed)
	}
	if behind != nil {
		return behind
	}
	q := query{x: x, hash: hash, from: from, to: to, visit: visit, seen: map[int64]bool{}}
	for i := len(files) - 1; i >= 0; i-- {
		more, err := q.look(files[i])
		if errors.Is(err, fs.ErrNotExist) {
			if err = x.missing(files[i], err); err == nil {
				continue // trimmed meanwhile
			}
		}
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// Has reports whether a key was added: the same hash, position and second, in a file whose times reach to it. It is for an owner who adds again what may be there.
func (x *Index) Has(k Key) (bool, error) {
	hash := positive(k.Hash)
	x.mu.Lock()
	files := x.files
	x.mu.Unlock()
	for i := len(files) - 1; i >= 0; i-- {
		has, err := x.has(files[i], hash, &k)
		if has || err != nil {
			return has, err
		}
	}
	return false, nil
}

// has looks into one file. A damaged one has nothing: it is made again, with the key.
func (x *Index) has(f *file, hash int32, k *Key) (bool, error) {
	x.mu.Lock()
	h, damaged, outside := f.head, f.damaged != nil, k.Time < f.oldest || k.Time > f.newest
	x.mu.Unlock()
	// What has the same second, and lies outside of the file's times, is another's: who looks for the key would pass over the file.
	if h.count <= 1 || damaged || outside || k.Position < h.beginPos || k.Position > h.endPos {
		return false, nil
	}
	r := reader{x: x, f: f}
	defer r.done()
	i, err := r.slot(hash)
	for err == nil && i > 0 && i < h.count {
		var e item
		if e, err = r.item(i); err != nil {
			break
		}
		if e.hash == hash && e.pos == k.Position && e.after == h.after(k.Time) {
			return true, nil
		}
		if e.prev >= i || e.pos < k.Position {
			break
		}
		i = e.prev
	}
	if errors.Is(err, penstock.ErrCorrupt) || errors.Is(err, fs.ErrNotExist) {
		err = nil // damaged, or trimmed meanwhile
	}
	return false, err
}

// missing is the error of a file that is not there, nil if it need not be.
func (x *Index) missing(f *file, err error) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !slices.Contains(x.files, f) {
		return nil
	}
	x.damage(f, fmt.Errorf("%w: index file %s: %w", penstock.ErrCorrupt, f.name, err))
	return f.damaged
}

type query struct {
	x        *Index
	hash     int32
	from, to penstock.Timestamp
	visit    func(int64) bool
	seen     map[int64]bool
}

// look goes along the chain of one file. more is false when visit has had enough.
func (q *query) look(f *file) (more bool, err error) {
	x := q.x
	x.mu.Lock()
	count, begin, oldest, newest, damaged := f.head.count, f.head.beginAt, f.oldest, f.newest, f.damaged
	x.mu.Unlock()
	if count <= 1 || newest < q.from || oldest > q.to {
		return true, nil
	}
	if damaged != nil {
		return false, damaged
	}
	r := reader{x: x, f: f}
	defer r.done()
	i, err := r.slot(q.hash)
	for err == nil && i > 0 && i < count {
		var e item
		if e, err = r.item(i); err != nil {
			break
		}
		least := begin + penstock.Timestamp(e.after)*1000
		most := least + 999
		if e.after == 0 {
			least = oldest
		}
		if begin <= 0 || e.after == math.MaxInt32 {
			most = newest // the entry does not say
		}
		if e.hash == q.hash && most >= q.from && least <= q.to && !q.seen[e.pos] {
			q.seen[e.pos] = true
			if !q.visit(e.pos) {
				return false, nil
			}
		}
		if e.prev >= i || !x.o.Unordered && e.after > 0 && most < q.from-clockSlack {
			break
		}
		i = e.prev
	}
	return true, err
}

// reader reads parts of one file, from memory where they are.
type reader struct {
	x *Index
	f *file
	h *disk.Handle
}

func (r *reader) done() {
	if r.h != nil {
		r.h.Release()
	}
}

// handle opens the file, or takes another reference to the one that is written.
func (r *reader) handle() (*disk.Handle, error) {
	if r.h != nil {
		return r.h, nil
	}
	r.x.mu.Lock()
	if r.h = r.f.h; r.h != nil {
		r.h.Retain()
	}
	r.x.mu.Unlock()
	if r.h != nil {
		return r.h, nil
	}
	h, err := r.x.d.OpenFile(path.Join(r.x.dir, r.f.name), false)
	if err != nil {
		return nil, err
	}
	r.h = h
	return h, nil
}

// sums sees that the checksums of a sealed file are in memory.
func (r *reader) sums() error {
	x, f := r.x, r.f
	x.mu.Lock()
	need := f.sealed && !f.loaded
	x.mu.Unlock()
	if !need {
		return nil
	}
	slots, entries, err := x.readSums(f)
	x.mu.Lock()
	defer x.mu.Unlock()
	if err != nil {
		if errors.Is(err, penstock.ErrCorrupt) {
			x.damage(f, err)
		}
		return err
	}
	if !f.loaded {
		f.slotSums, f.entrySums, f.loaded = slots, entries, true
		f.slotSeen, f.entrySeen = make([]bool, len(slots)), make([]bool, len(entries))
	}
	return nil
}

// slot is the number of the newest entry that hangs where a hash does.
func (r *reader) slot(hash int32) (int32, error) {
	if err := r.sums(); err != nil {
		return 0, err
	}
	x, f := r.x, r.f
	block, at := f.slot(hash)
	inMemory := func() (int32, bool) {
		if img := f.slots[block]; img != nil {
			return int32(be.Uint32(img[at:])), true
		}
		return 0, f.slotSums[block] == 0
	}
	x.mu.Lock()
	v, ok := inMemory()
	seen, want := f.slotSeen[block], f.slotSums[block]
	x.mu.Unlock()
	if ok {
		return v, nil
	}
	off, n := f.shape.slotRange(block)
	b, err := r.read(off, n, at, slotSize, seen, want, "block of slots", block)
	x.mu.Lock()
	defer x.mu.Unlock()
	if v, ok := inMemory(); ok {
		return v, nil // whatever was read, the disk may be behind
	}
	if err != nil {
		return 0, r.judge(err)
	}
	f.slotSeen[block] = true
	return int32(be.Uint32(b)), nil
}

// item is entry i.
func (r *reader) item(i int32) (item, error) {
	x, f := r.x, r.f
	block, at := int(int64(i)/f.shape.perBlock()), int64(i)%f.shape.perBlock()*entrySize
	x.mu.Lock()
	img := f.full[block]
	if img == nil && !f.sealed && block == len(f.entrySums) {
		img = f.tail
	}
	if img != nil {
		defer x.mu.Unlock()
		return parseItem(img[at:]), nil
	}
	seen, want, count := f.entrySeen[block], f.entrySums[block], f.count()
	x.mu.Unlock()
	off, n := f.shape.entryRange(block, count)
	b, err := r.read(off, n, at, entrySize, seen, want, "block of entries", block)
	x.mu.Lock()
	defer x.mu.Unlock()
	if err != nil {
		return item{}, r.judge(err)
	}
	f.entrySeen[block] = true
	return parseItem(b), nil
}

// judge notes damage. The caller holds mu.
func (r *reader) judge(err error) error {
	if errors.Is(err, penstock.ErrCorrupt) {
		r.x.damage(r.f, err)
	}
	return err
}

// read returns size bytes at a place of a block, which is compared with its checksum the first time.
func (r *reader) read(off, n, at, size int64, seen bool, want uint32, what string, i int) ([]byte, error) {
	h, err := r.handle()
	if err != nil {
		return nil, err
	}
	if !seen {
		b, err := r.f.readBlock(h, off, n, want, what, i)
		if err != nil {
			return nil, err
		}
		return b[at : at+size], nil
	}
	b := make([]byte, size)
	if got, err := h.ReadAt(b, off+at); int64(got) < size {
		return nil, fmt.Errorf("%w: index file %s: %s %d: %w", penstock.ErrCorrupt, r.f.name, what, i, errOr(err))
	}
	return b, nil
}
