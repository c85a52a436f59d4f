package commit

import (
	"sync"

	"penstock"
	"penstock/disk"
)

// ahead is the next file of the log, made while the one before it is still written, so that no append waits for it: named, of full length,
// with its blocks, and filled with zeros: to sync blocks that were written before costs half. Whoever needs it takes it as
// far as it is.
type ahead struct {
	start penstock.Position

	mu     sync.Mutex
	h      *disk.Handle // guarded by mu; nil before it is made, where that failed, and after it was taken
	zeroed int64        // guarded by mu: bytes of zeros written
	over   bool         // guarded by mu: taken, or given up
	stop   bool         // guarded by mu: no more is to be filled
}

// The filling of the next file: bytes written at once, and after how many they are synced, so that the kernel does not have to write all of
// them when somebody waits for a sync of his own.
const (
	fillPiece = 1 << 20
	fillSync  = 64 << 20
)

// prepare has the next file made when half of the one that is written is used. The caller holds Store.w.
func (l *Log) prepare(f *logFile) {
	if l.next != nil || l.st.stopping || l.end.Load()-int64(f.start) < f.size/2 {
		return
	}
	a := &ahead{start: f.end()}
	l.next = a
	if l.st.o.inline {
		l.make(a)
		return
	}
	l.st.background.Go(func() { l.make(a) })
}

// make makes the next file. What fails is left for whoever needs the file: he tries again, and hears why not.
func (l *Log) make(a *ahead) {
	size := l.st.o.FileBytes
	h, err := l.begin(a, size)
	if h == nil {
		return
	}
	defer h.Release()
	if err != nil || l.st.o.NoPreallocate || l.st.o.NoWarm {
		return
	}
	zeros := make([]byte, min(fillPiece, size))
	for at := int64(0); at < size; at += int64(len(zeros)) {
		if !a.fill(h, zeros[:min(size-at, int64(len(zeros)))], at) {
			return
		}
		if at%fillSync == 0 && at > 0 || at+int64(len(zeros)) >= size {
			if h.Sync() != nil {
				return // the disk is offline, everybody hears
			}
		}
	}
}

// begin makes the file, unless somebody has made it himself meanwhile, and returns it with another reference.
func (l *Log) begin(a *ahead, size int64) (*disk.Handle, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over {
		return nil, nil
	}
	h, err := create(l.st.d, l.fileName(a.start))
	if err != nil {
		l.st.o.Logger.Warn("next file of the log not made yet", "start", a.start, "err", err)
		return nil, err
	}
	if err = h.Truncate(size); err == nil && !l.st.o.NoPreallocate {
		err = h.Allocate(0, size)
	}
	a.h = h
	h.Retain()
	return h, err
}

// fill writes zeros, unless somebody has taken the file.
func (a *ahead) fill(h *disk.Handle, zeros []byte, at int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over || a.stop {
		return false
	}
	if _, err := h.WriteVec([][]byte{zeros}, at); err != nil {
		return false
	}
	a.zeroed = at + int64(len(zeros))
	return true
}

// take gives out the file, with how much of it is zeros that were written. It is nil where it is not made yet.
func (a *ahead) take() (h *disk.Handle, zeroed int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = true
	h, a.h = a.h, nil
	return h, a.zeroed
}

// stopNext stops the filling of the next file.
func (l *Log) stopNext() {
	l.st.w.Lock()
	defer l.st.w.Unlock()
	l.st.stopping = true
	if l.next != nil {
		l.next.mu.Lock()
		l.next.stop = true
		l.next.mu.Unlock()
	}
}

// dropNext gives up the next file and keeps what is on the disk.
func (l *Log) dropNext() {
	if l.next == nil {
		return
	}
	if h, _ := l.next.take(); h != nil {
		h.Release()
	}
	l.next = nil
}
