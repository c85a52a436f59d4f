package segment

import (
	"fmt"
	"io"
	"sync"

	"penstock"
)

// cache bounds the memory of all index entries that were read from files. The entries hang on their segment, where
// readers find them without a lock; the cache only counts them and lets go of those not used of late.
type cache struct {
	limit int64

	mu   sync.Mutex
	held int64              // guarded by mu
	of   map[*segment]int64 // guarded by mu: bytes that each segment's entries take
}

// entryOverhead is what an entry of the cache costs besides the index entries.
const entryOverhead = 128

// put hangs x on s.
func (c *cache) put(s *segment, x *index) {
	n := x.bytes() + entryOverhead
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held += n - c.of[s]
	c.of[s] = n
	s.used.Store(true)
	s.idx.Store(x)
	for round := 0; round < 2 && c.held > c.limit; round++ {
		for old, size := range c.of {
			if c.held <= c.limit {
				return
			}
			if old == s || old.used.Swap(false) {
				continue
			}
			old.idx.Store(nil)
			delete(c.of, old)
			c.held -= size
		}
	}
}

// drop takes the entries off s.
func (c *cache) drop(s *segment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.idx.Store(nil)
	c.held -= c.of[s]
	delete(c.of, s)
}

// loadIndex reads the entries of s that t counts from its files, or builds them from the log if the files do not fit.
// For the active segment s is looked at up to size bytes. The caller keeps file alive.
func (p *Partition) loadIndex(s *segment, file penstock.ExtentFile, t tally, sealed bool) error {
	if p.st.dense {
		return p.loadQueue(s, file, false)
	}
	p.loading.Lock()
	defer p.loading.Unlock()
	if s.idx.Load() != nil {
		return nil
	}
	x, err := p.readIndex(s.base, t)
	if err != nil {
		p.log().Warn("index does not fit, building it from the log", "partition", p.id, "segment", s.base, "err", err)
		if x, err = p.rebuild(s, file, t, sealed); x == nil {
			return err
		}
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	// A load for an active segment that was sealed or cut meanwhile is stale.
	if now := p.wanted(s); now == t {
		p.st.cache.put(s, x)
	}
	return nil
}

// wanted is the tally that the cached entries of s must have now. The caller holds mu.
func (p *Partition) wanted(s *segment) tally {
	if s == p.active() && p.st.dense {
		return p.known
	}
	if s == p.active() {
		return p.head
	}
	return s.sealedTally()
}

// readIndex reads and checks the three files.
func (p *Partition) readIndex(base penstock.Offset, t tally) (*index, error) {
	if p.st.dense {
		return &index{}, p.checkQueue(base, t)
	}
	offs, err := p.readEntries(fileName(p.dir, base, offSuffix), int64(t.offs)*offEntrySize, t.sums.off)
	if err != nil {
		return nil, err
	}
	times, err := p.readEntries(fileName(p.dir, base, timeSuffix), int64(t.times)*timeEntrySize, t.sums.time)
	if err != nil {
		return nil, err
	}
	bases, err := p.readEntries(fileName(p.dir, base, baseSuffix), int64(t.offs)*baseEntrySize, t.sums.base)
	if err != nil {
		return nil, err
	}
	return parseIndex(offs, times, bases), nil
}

// readEntries reads the first n bytes of an index file and checks them.
func (p *Partition) readEntries(name string, n int64, sum uint32) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	if n > maxIndexBytes {
		return nil, fmt.Errorf("%w: %s of %d bytes", errFile, name, n)
	}
	h, err := p.st.d.OpenFile(name, false)
	if err != nil {
		return nil, err
	}
	defer h.Release()
	if size, err := h.Size(); err != nil || size < n {
		return nil, fmt.Errorf("%w: %s has %d bytes, want %d: %v", errFile, name, size, n, err)
	}
	b := make([]byte, n)
	if _, err := h.ReadAt(b, 0); err != nil && err != io.EOF {
		return nil, fmt.Errorf("index file %s: %w", name, err)
	}
	if crcUpdate(0, b) != sum {
		return nil, fmt.Errorf("%w: checksum of %s", errFile, name)
	}
	return b, nil
}

// rebuild makes the entries that t counts from the log. The files of a sealed segment are written again.
func (p *Partition) rebuild(s *segment, file io.ReaderAt, t tally, sealed bool) (*index, error) {
	p.mu.RLock()
	size, interval, next := s.size, s.build.interval, s.next
	p.mu.RUnlock()
	w := p.st.walker()
	defer p.st.release(w)
	w.reset(p.st.f, file, 0, size, p.st.dense)
	x, b := &index{}, newBuilder(int64(interval))
	for sealed || b.offs < t.offs {
		p.skipBad(s.base, w)
		h, err := w.header()
		if err == io.EOF {
			break
		}
		var g gist
		if err == nil && p.st.dense {
			g, err = describeAt(w, &h, s.base+penstock.Offset(b.offs), next)
		}
		if err != nil {
			// What lies behind is found by scanning from the last entry, and quarantined when somebody asks for it.
			p.log().Error("index ends where the log is damaged", "partition", p.id, "segment", s.base, "err", err)
			break
		}
		if p.st.dense {
			b.addCell(x, s.base, &h, w.pos, g.tag)
		} else {
			b.add(x, entryOf(s.base, &h, w.pos), h.Size, h.MaxTimestamp)
		}
		w.skip(&h)
	}
	if !sealed {
		return x, nil
	}
	if e, ok := b.closing(); ok {
		x.times = append(x.times, e)
	}
	return x, p.rewrite(s, x)
}

// rewrite replaces the files of a segment's index.
func (p *Partition) rewrite(s *segment, x *index) error {
	base := s.base
	if p.st.dense {
		return p.writeQueue(s, x.cells)
	}
	err := p.writeIndexFile(fileName(p.dir, base, offSuffix), appendOffs(nil, x.offs), 0)
	if err == nil {
		err = p.writeIndexFile(fileName(p.dir, base, timeSuffix), appendTimes(nil, x.times), 0)
	}
	if err == nil {
		err = p.writeIndexFile(fileName(p.dir, base, baseSuffix), appendBases(nil, x.offs), 0)
	}
	if err != nil {
		p.log().Warn("index not written", "partition", p.id, "segment", base, "err", err)
	}
	return err
}

// entryOf is the index entry that a batch at pos would get.
func entryOf(base penstock.Offset, h *penstock.BatchHeader, pos int64) entry {
	return entry{uint32(h.BaseOffset - base), uint32(h.LastOffset() - base), uint32(pos)}
}
