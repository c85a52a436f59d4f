package wire

// corkBelow is the mean size of pieces, bytes between them not counted, below which the pushing of each by sendfile
// costs more than two calls to prevent it, where they do not go through a pipe.
const corkBelow = 128 << 10

const (
	planOps  = 64      // ops after which planning stops
	planSize = 4 << 20 // stored bytes after which planning stops
)

// plan turns the next answers of the queue into ops. Stored bytes that cannot be read become a fault, due when what is
// planned before them has been sent.
func (w *sender) plan(k Kernel, copyBelow int64) {
	stored := int64(0)
	for w.next < len(w.queue) && len(w.ops) < planOps && stored < planSize {
		a := w.queue[w.next].answer
		switch {
		case a == nil:
			w.next++
		case a.byFile(copyBelow):
			stored += a.stored
			w.planFile(a)
		default:
			w.planMemory(k, copyBelow)
		}
	}
	if len(w.ops) > 2 && stored > 0 {
		rest := w.planGather(k)
		w.cork = rest && stored/int64(len(w.ops)/2) < corkBelow
	}
}

// byFile reports whether the answer's extents are sent by the kernel: there is enough of them, and not in crumbs.
func (a *Answer) byFile(copyBelow int64) bool {
	crumbs := copyBelow > 0 && a.stored <= crumbsMax && a.stored < int64(a.pieces)*crumbBelow
	return a.stored > 0 && a.stored >= copyBelow && !crumbs
}

// alone reports whether the answer, which is not sent by file, is better written from where it lies.
func (a *Answer) alone() bool { return len(a.parts) == 0 && len(a.B) >= directMin }

// planFile plans the next answer: bytes as they lie, extents by sendfile. Neighbouring extents become one op.
func (w *sender) planFile(a *Answer) {
	from := 0
	for i := range a.parts {
		p := &a.parts[i]
		w.planBytes(a.B[from:p.at])
		from = max(from, p.at)
		if w.extend(p) {
			continue
		}
		fd, ok := p.ext.File.Fd()
		if !ok {
			fd = noFd
		}
		w.ops = append(w.ops, op{file: p.ext.File, fd: fd, off: p.ext.Off, n: p.ext.Len, tally: p.tally})
	}
	w.planBytes(a.B[from:])
	w.next++
	w.ops[len(w.ops)-1].ends = w.next
}

// extend lengthens the last op by p, if p continues it.
func (w *sender) extend(p *part) bool {
	if len(w.ops) == 0 {
		return false
	}
	o := &w.ops[len(w.ops)-1]
	if o.file == nil || o.file != p.ext.File || o.off+o.n != p.ext.Off || o.tally != p.tally || o.ends != 0 {
		return false
	}
	o.n += p.ext.Len
	return true
}

func (w *sender) planBytes(p []byte) {
	if len(p) > 0 {
		w.ops = append(w.ops, op{p: p, n: int64(len(p))})
	}
}

// planMemory plans the next answer and those after it that fit into one write together.
func (w *sender) planMemory(k Kernel, copyBelow int64) {
	first := w.next
	size, several := w.run(copyBelow)
	if a := w.queue[first].answer; !several && len(a.parts) == 0 {
		w.planBytes(a.B)
		w.ops[len(w.ops)-1].ends = w.next
		return
	}
	out := w.pool.get(size)
	w.outs = append(w.outs, out)
	b, ends := out.b[:0], first
	for i := first; i < w.next; i++ {
		a := w.queue[i].answer
		if a == nil {
			continue
		}
		whole, err := a.appendAll(b, k)
		if err != nil {
			w.fault, w.next = err, len(w.queue)
			break
		}
		b, ends = whole, i+1
	}
	if len(b) > 0 {
		w.ops = append(w.ops, op{p: b, n: int64(len(b)), ends: ends})
	}
}

// run moves next beyond the answers that leave in one write, the first of them included whatever its size, and returns
// their bytes.
func (w *sender) run(copyBelow int64) (size int, several bool) {
	for first := true; w.next < len(w.queue); w.next++ {
		a := w.queue[w.next].answer
		if a == nil {
			continue
		}
		n := int(a.Size())
		if !first && (a.byFile(copyBelow) || a.alone() || size+n > gatherMax) {
			break
		}
		size += n
		several = !first
		first = false
		if a.alone() {
			w.next++
			break
		}
	}
	return size, several
}

// appendAll appends the whole answer to b, reading its extents, and marks it copied on purpose. b has room for it.
func (a *Answer) appendAll(b []byte, k Kernel) ([]byte, error) {
	from := 0
	for i := range a.parts {
		p := &a.parts[i]
		b = append(b, a.B[from:p.at]...)
		from = p.at
		n := len(b)
		b = b[:n+int(p.ext.Len)]
		if err := readFull(k, p.ext.File, b[n:], p.ext.Off); err != nil {
			return nil, err
		}
	}
	a.small = true
	return append(b, a.B[from:]...), nil
}
