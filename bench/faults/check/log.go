package check

import (
	"fmt"
	"sync"
)

// claim is what is known of one offset: the value, and who said so.
type claim uint64

const (
	ackedBit claim = 1 << 63
	seenBit  claim = 1 << 62
	valueSet claim = seenBit - 1
)

func (c claim) value() Value { return Value(c & valueSet) }

// writer is one producer's part in one partition.
type writer struct {
	exact  bool
	sent   int64   // highest sequence number sent
	last   int64   // highest sequence number below the log's frontier
	places []int64 // by sequence number - 1: offset of its first appearance in a pass, plus 1; 0: not met
}

func (w *writer) place(seq int64) int64 {
	if seq > int64(len(w.places)) {
		return 0
	}
	return w.places[seq-1]
}

func (w *writer) put(seq, off int64) {
	for int64(len(w.places)) < seq {
		w.places = append(w.places, 0)
	}
	w.places[seq-1] = off + 1
}

// Log is what is known of one partition. All methods may be called concurrently.
type Log struct {
	name string
	base int64

	mu       sync.Mutex // guards everything below
	claims   []claim    // by offset - base
	writers  map[uint32]*writer
	frontier int64          // order is judged for every offset below it
	nowhere  map[Value]bool // acknowledged without an offset, and not met since
	report   Report
}

// NewLog starts the history of a partition at the offset base; what lies before it is not judged.
func NewLog(name string, base int64) *Log {
	return &Log{name: name, base: base, frontier: base, writers: map[uint32]*writer{}, nowhere: map[Value]bool{}}
}

// Name is the partition's name.
func (l *Log) Name() string { return l.name }

// Sent notes that a writer is about to send v. It comes before the client gets the record. exact says that the writer
// promises each record once.
func (l *Log) Sent(v Value, exact bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.writers[v.Writer()]
	if w == nil {
		w = &writer{exact: exact}
		l.writers[v.Writer()] = w
	}
	if v.Seq() != w.sent+1 {
		panic(fmt.Sprintf("check: %s: %s sent after sequence %d", l.name, v, w.sent))
	}
	w.sent = v.Seq()
	l.report.Sent++
}

// Acked notes that the broker acknowledged v at the offset, negative if it did not say where.
func (l *Log) Acked(v Value, off int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.report.Acked++
	if off < 0 {
		if w := l.writers[v.Writer()]; w == nil || w.place(v.Seq()) == 0 {
			l.nowhere[v] = true
		}
		return
	}
	l.claim(v, off, ackedBit)
}

// Saw notes that a reader that follows the log was given v at the offset.
func (l *Log) Saw(v Value, off int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.claim(v, off, seenBit)
}

// Corrupt notes that a reader was given bytes at the offset that are no value.
func (l *Log) Corrupt(off int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.report.found(Corrupt, "%s offset %d: %v", l.name, off, err)
}

// claim sets what an offset holds; the first claim stays when another disagrees.
func (l *Log) claim(v Value, off int64, who claim) {
	if off < l.base {
		return
	}
	i := off - l.base
	for int64(len(l.claims)) <= i {
		l.claims = append(l.claims, 0)
	}
	c := l.claims[i]
	if c != 0 && c.value() != v {
		l.report.found(Inconsistent, "%s offset %d: %s, and then %s", l.name, off, c.value(), v)
		if who == ackedBit {
			l.nowhere[v] = true // must at least be met elsewhere
		}
		return
	}
	l.claims[i] = c | claim(v) | who
}

// Frontier is the offset up to which passes have read.
func (l *Log) Frontier() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.frontier
}

// Report is what has been found so far.
func (l *Log) Report() Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.report
	r.Examples = append([]string(nil), r.Examples...)
	return r
}
