package disktest

const (
	pageSize   = 1024 // bytes that copies share or do not share: small, because a crash copies what it tears
	blockSize  = 4096 // bytes in which room is counted
	sectorSize = 512  // bytes that reach the disk together or not at all
)

// owner tells whose pages may be written in place. It has a size so that each one has its own address.
type owner struct{ _ byte }

// page is shared by all contents that point to it; only the one whose owner it carries may write it.
type page struct {
	owner *owner
	data  [pageSize]byte
}

// content is the bytes of a file. Pages that were never written are nil and read as zeros, and so is everything beyond
// the last page. Copies share pages until one side writes.
type content struct {
	owner *owner
	pages []*page
	size  int64
}

// share makes a copy. Both sides lose the right to write the pages that they have in common.
func (c *content) share() content {
	c.owner = nil
	return content{pages: append([]*page(nil), c.pages...), size: c.size}
}

// writable returns page i, ready to be written.
func (c *content) writable(i int64) *page {
	if c.owner == nil {
		c.owner = new(owner)
	}
	for int64(len(c.pages)) <= i {
		c.pages = append(c.pages, nil)
	}
	p := c.pages[i]
	switch {
	case p == nil:
		p = &page{owner: c.owner}
	case p.owner != c.owner:
		p = &page{owner: c.owner, data: p.data}
	}
	c.pages[i] = p
	return p
}

// readAt copies what is in the file at off; it does not look at the size.
func (c *content) readAt(b []byte, off int64) {
	for len(b) > 0 {
		i, in := off/pageSize, off%pageSize
		n := min(int64(len(b)), pageSize-in)
		if i < int64(len(c.pages)) && c.pages[i] != nil {
			copy(b[:n], c.pages[i].data[in:])
		} else {
			clear(b[:n])
		}
		b, off = b[n:], off+n
	}
}

// put writes bytes and leaves the size as it is.
func (c *content) put(b []byte, off int64) {
	for len(b) > 0 {
		n := copy(c.writable(off / pageSize).data[off%pageSize:], b)
		b, off = b[n:], off+int64(n)
	}
}

// write writes bytes and grows the file to hold them.
func (c *content) write(b []byte, off int64) {
	c.put(b, off)
	c.size = max(c.size, off+int64(len(b)))
}

// resize cuts or extends the file. What is cut is gone: it reads as zeros if the file grows again.
func (c *content) resize(size int64) {
	c.size = size
	keep := (size + pageSize - 1) / pageSize
	if keep < int64(len(c.pages)) {
		clear(c.pages[keep:])
		c.pages = c.pages[:keep]
	}
	if in := size % pageSize; in > 0 && keep == int64(len(c.pages)) && c.pages[keep-1] != nil {
		clear(c.writable(keep - 1).data[in:])
	}
}

// blocks is the set of blocks that a file occupies, as sorted runs that do not touch. Reserved ones count too.
type blocks []run

// run is the blocks from first up to, but not including, end.
type run struct{ first, end int64 }

func (s blocks) count() (n int64) {
	for _, r := range s {
		n += r.end - r.first
	}
	return n
}

// missing is the number of blocks of r that are not in the set.
func (s blocks) missing(r run) int64 {
	n := r.end - r.first
	for _, have := range s {
		n -= max(0, min(have.end, r.end)-max(have.first, r.first))
	}
	return n
}

// add returns the set with the blocks of r in it. The old one is not changed: clones share it.
func (s blocks) add(r run) blocks {
	if r.first >= r.end || s.missing(r) == 0 {
		return s
	}
	out := make(blocks, 0, len(s)+1)
	for i, have := range s {
		if have.end < r.first {
			out = append(out, have)
			continue
		}
		if have.first > r.end {
			return append(append(out, r), s[i:]...)
		}
		r = run{min(r.first, have.first), max(r.end, have.end)}
	}
	return append(out, r)
}

// cut returns the set without the blocks from end on.
func (s blocks) cut(end int64) blocks {
	for i, have := range s {
		if have.end <= end {
			continue
		}
		out := append(blocks(nil), s[:i]...)
		if have.first < end {
			out = append(out, run{have.first, end})
		}
		return out
	}
	return s
}

// blocksOf is the blocks that n bytes at off touch.
func blocksOf(off, n int64) run { return run{off / blockSize, (off + n + blockSize - 1) / blockSize} }
