package commit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"penstock"
	"penstock/disk"
	"penstock/message"
	"penstock/store"
)

// blankSize is what is written where the next list does not fit: the bytes left in the file, and message.MagicBlank. Room for it
// is left in every file.
const blankSize = 8

// reserveStep is how many bytes of blocks are asked for ahead of the end at once.
const reserveStep = 64 << 20

// logFile is one file of the log.
type logFile struct {
	start penstock.Position
	size  int64        // of the file: bytes, zeros ahead included
	h     *disk.Handle // nil if the file is missing
}

func (f *logFile) end() penstock.Position { return f.start + penstock.Position(f.size) }

// Log is the log that all partitions of a store share. Marks are positions.
type Log struct {
	st     *Store
	end    atomic.Int64 // position behind the last batch
	synced atomic.Int64 // all below it is durable

	// Guarded by Store.w.
	torn     bool      // bytes of a failed write may lie behind the end
	reserved int64     // bytes of the file that is written that have blocks
	zeroed   int64     // bytes of it that were written: zeros lie behind the end
	noZeros  bool      // writing zeros failed once
	next     *ahead    // nil: not begun
	retired  []retired // by time
	vec      [][]byte

	mu    sync.RWMutex
	synch *sync.Cond     // on mu: synced moved or the log failed
	files []*logFile     // guarded by mu; replaced, never changed; the last is written
	dirty []*disk.Handle // guarded by mu: files to be synced besides the last, a reference each
	round struct {       // guarded by mu: the round of group commit under way
		end   int64
		dirty int
	}
	small  atomic.Int32            // small rounds that followed one another
	notify func(store.Mark, error) // guarded by mu
	failed error                   // guarded by mu
	closed bool                    // guarded by mu
}

var (
	_ store.Log   = (*Log)(nil)
	_ disk.Syncer = (*Log)(nil)
)

func newLog(st *Store) *Log {
	l := &Log{st: st}
	l.synch = sync.NewCond(&l.mu)
	return l
}

// Written is the position behind the last batch.
func (l *Log) Written() store.Mark { return store.Mark(l.end.Load()) }

// Synced is the position up to which the log is durable.
func (l *Log) Synced() store.Mark { return store.Mark(l.synced.Load()) }

// Commit asks for durability up to the end.
func (l *Log) Commit() { l.st.d.Commit(l) }

// Notify sets the function that hears of each round.
func (l *Log) Notify(f func(synced store.Mark, err error)) {
	l.mu.Lock()
	l.notify = f
	l.mu.Unlock()
}

// SyncBegin notes the end and gives out what is not durable below it.
func (l *Log) SyncBegin(dst []disk.Part) []disk.Part {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.round.end, l.round.dirty = l.end.Load(), len(l.dirty)
	if l.closed {
		return dst
	}
	for _, h := range l.dirty {
		h.Retain()
		dst = append(dst, disk.Part{Handle: h, From: -1})
	}
	if n := len(l.files); n > 0 && l.round.end > l.synced.Load() && l.round.end > int64(l.files[n-1].start) {
		h := l.files[n-1].h
		h.Retain()
		dst = append(dst, disk.Part{Handle: h, From: -1})
	}
	return dst
}

// SyncEnd takes the outcome of the round.
func (l *Log) SyncEnd(err error) {
	l.mu.Lock()
	notify := l.notify
	switch {
	case l.closed:
		notify = nil
	case err != nil:
		l.failed = fmt.Errorf("commit log: %w", err)
		err = l.failed
	default:
		for _, h := range l.dirty[:l.round.dirty] {
			h.Release()
		}
		l.dirty = append([]*disk.Handle(nil), l.dirty[l.round.dirty:]...)
		l.countSmall(l.round.end - l.synced.Load())
		l.synced.Store(max(l.synced.Load(), l.round.end))
	}
	l.synch.Broadcast()
	synced := l.Synced()
	l.mu.Unlock()
	if notify != nil {
		notify(synced, err)
	}
}

// Zeros are written ahead of the end, zeroAhead bytes in zeroPiece each, after smallCommits rounds in a row of less than smallCommitBytes: an
// fdatasync of blocks that were written before costs half. A file that was made ahead of need is full of them.
const (
	smallCommits     = 32
	smallCommitBytes = 64 << 10
	zeroAhead        = 1 << 20
	zeroPiece        = 64 << 10
)

func (l *Log) countSmall(n int64) {
	switch {
	case n >= smallCommitBytes:
		l.small.Store(0)
	case n > 0 && l.small.Load() < smallCommits:
		l.small.Add(1)
	}
}

// zeros is how many zeros to write behind end, a place in the file. The caller holds Store.w.
func (l *Log) zeros(f *logFile, end int64) int64 {
	if end <= l.zeroed || l.noZeros || l.st.o.NoPreallocate || l.st.o.NoWarm || l.small.Load() < smallCommits {
		return 0
	}
	return max(0, min(zeroAhead, f.size-end))
}

// sync waits until the log is durable up to a position, or cannot be.
func (l *Log) sync(to int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.failed != nil:
			return l.failed
		case l.closed:
			return fmt.Errorf("commit log: %w", penstock.ErrClosed)
		case l.synced.Load() >= to:
			return nil
		}
		l.Commit()
		l.synch.Wait()
	}
}

// alongside has a file synced with the next round of group commit. It takes over the reference.
func (l *Log) alongside(h *disk.Handle) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dirty = append(l.dirty, h)
}

// active is the file that is written, nil before the first append. The caller holds Store.w.
func (l *Log) active() *logFile {
	if len(l.files) == 0 {
		return nil
	}
	return l.files[len(l.files)-1]
}

// at returns the file that holds a position. The caller holds mu.
func (l *Log) at(pos penstock.Position) *logFile {
	i := sort.Search(len(l.files), func(i int) bool { return l.files[i].end() > pos })
	if i == len(l.files) || l.files[i].start > pos {
		return nil
	}
	return l.files[i]
}

// startOf is the position of the first byte of the file that holds pos.
func (l *Log) startOf(pos penstock.Position) penstock.Position {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if f := l.at(pos); f != nil {
		return f.start
	}
	return pos
}

// open returns the file that holds pos with a reference to its handle.
func (l *Log) open(pos penstock.Position) (*logFile, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return nil, fmt.Errorf("commit log: %w", penstock.ErrClosed)
	}
	f := l.at(pos)
	if f == nil || f.h == nil {
		return nil, fmt.Errorf("commit log: %w: no file holds position %d", penstock.ErrCorrupt, pos)
	}
	f.h.Retain()
	return f, nil
}

// fits makes room for n bytes: the next file where they do not fit into this one. The caller holds Store.w.
func (l *Log) fits(n int64) error {
	if n > l.st.o.FileBytes-blankSize {
		return fmt.Errorf("commit log: %w: %d bytes in one append, a file has %d", penstock.ErrTooLarge, n, l.st.o.FileBytes)
	}
	if l.torn {
		if err := l.cutTail(); err != nil {
			return err
		}
	}
	f, end := l.active(), penstock.Position(l.end.Load())
	if f == nil {
		return l.grow(end)
	}
	left := int64(f.end() - end)
	if n+blankSize <= left {
		return nil
	}
	if left >= blankSize {
		l.torn = true // until the next file is there
		if _, err := f.h.WriteVec([][]byte{appendBlank(nil, left)}, int64(end-f.start)); err != nil {
			return err
		}
	}
	if err := l.grow(f.end()); err != nil {
		return err
	}
	l.torn = false
	l.end.Store(int64(f.end()))
	return nil
}

func appendBlank(dst []byte, left int64) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(left))
	return binary.BigEndian.AppendUint32(dst, message.MagicBlank)
}

func isBlank(b []byte, left int64) bool {
	return len(b) >= blankSize && int64(binary.BigEndian.Uint32(b)) == left && binary.BigEndian.Uint32(b[4:]) == message.MagicBlank
}

// grow begins the file at a position: the one that was made ahead of need, or a new one. Its name becomes durable with the first round of group
// commit. The caller holds Store.w.
func (l *Log) grow(start penstock.Position) error {
	var h *disk.Handle
	zeroed := int64(0)
	if l.next != nil && l.next.start == start {
		h, zeroed = l.next.take()
	} else {
		l.dropNext()
	}
	l.next = nil
	size := l.st.o.FileBytes
	if h != nil {
		if n, err := h.Size(); err != nil || n != size {
			h.Release()
			h, zeroed = nil, 0
		}
	}
	if h == nil {
		var err error
		if h, err = create(l.st.d, l.fileName(start)); err != nil {
			return fmt.Errorf("commit log: new file: %w", err)
		}
		if err := h.Truncate(size); err != nil {
			h.Release()
			return fmt.Errorf("commit log: new file: %w", err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.files); n > 0 {
		old := l.files[n-1].h
		old.Retain()
		l.dirty = append(l.dirty, old)
		old.Seal()
	}
	l.files = append(l.files[:len(l.files):len(l.files)], &logFile{start: start, size: size, h: h})
	l.reserved, l.zeroed = zeroed, zeroed
	return nil
}

// create makes a file without waiting for the disk. One that is there is emptied.
func create(d *disk.Disk, name string) (*disk.Handle, error) {
	h, err := d.CreateLater(name)
	if err == nil || !errors.Is(err, fs.ErrExist) {
		return h, err
	}
	if h, err = d.OpenLater(name); err != nil {
		return nil, err
	}
	if err = h.Truncate(0); err != nil {
		h.Release()
		return nil, err
	}
	return h, nil
}

// cutTail makes zeros of what lies behind the end, durably: what a failed write left must not come to light behind what is written
// next. The caller holds Store.w.
func (l *Log) cutTail() error {
	f := l.active()
	if f == nil {
		l.torn = false
		return nil
	}
	at := l.end.Load() - int64(f.start)
	if err := zeroFrom(f.h, at, f.size); err != nil {
		return fmt.Errorf("commit log: cut at %d: %w", l.end.Load(), err)
	}
	l.torn, l.reserved, l.zeroed = false, 0, 0
	return nil
}

func zeroFrom(h *disk.Handle, at, size int64) error {
	err := h.Truncate(at)
	if err == nil {
		err = h.Truncate(size)
	}
	if err == nil {
		err = h.Sync()
	}
	return err
}

// write puts vec, n bytes, behind the end. The caller holds Store.w.
func (l *Log) write(vec [][]byte, n int64) error {
	f := l.active()
	at := l.end.Load() - int64(f.start)
	if at+n > l.reserved && !l.st.o.NoPreallocate {
		l.reserved = max(l.reserved, at)
		to := min(f.size, l.reserved+max(reserveStep, n))
		if f.h.Allocate(l.reserved, to-l.reserved) != nil {
			to = at + n // the write that follows tells
		}
		l.reserved = to
	}
	zeros := l.zeros(f, at+n)
	for z := zeros; z > 0; z -= zeroPiece {
		vec = append(vec, l.st.zeros[:min(z, zeroPiece)])
	}
	wrote, err := f.h.WriteVec(vec, at)
	l.zeroed = max(l.zeroed, at+wrote)
	if err != nil && wrote >= n {
		l.noZeros, err = true, nil // the batches are there
	}
	if err != nil {
		l.torn = true
		if cut := l.cutTail(); cut != nil {
			l.st.o.Logger.Warn("bytes of a failed write stay until the next", "err", cut)
		}
		return err
	}
	l.prepare(f)
	return nil
}

// drop takes the leading files out of the log that lie wholly below pos, to be deleted at a time. The file that is written stays. It reports
// their bytes. The caller holds Store.w.
func (l *Log) drop(below penstock.Position, at time.Time) (freed int64) {
	for len(l.files) > 1 && l.files[0].end() <= below {
		f := l.files[0]
		l.retired = append(l.retired, retired{l.fileName(f.start), at})
		freed += f.size
		l.mu.Lock()
		l.files = append([]*logFile(nil), l.files[1:]...)
		l.mu.Unlock()
		if f.h != nil {
			f.h.Release()
		}
	}
	return freed
}

// close gives up the files.
func (l *Log) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.closed = true
	l.dropNext()
	for _, f := range l.files {
		if f.h != nil {
			f.h.Release()
		}
	}
	for _, h := range l.dirty {
		h.Release()
	}
	l.files, l.dirty, l.notify = nil, nil, nil
	l.synch.Broadcast()
}

// nameDigits is how many digits names begin with.
const nameDigits = 20

func digits(n int64) string { return fmt.Sprintf("%0*d", nameDigits, n) }

func parseDigits(name string) (int64, bool) {
	if len(name) != nameDigits || name[0] == '-' || name[0] == '+' {
		return 0, false
	}
	n, err := strconv.ParseInt(name, 10, 64)
	return n, err == nil
}

func (l *Log) fileName(start penstock.Position) string {
	return path.Join(l.st.dir, logDir, digits(int64(start)))
}
