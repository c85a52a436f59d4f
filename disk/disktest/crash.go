package disktest

import (
	"maps"
	"math/rand/v2"
)

// Fate says what becomes of changes that are not durable.
type Fate uint8

// The fates.
const (
	Any  Fate = iota // by seed: kept, lost, torn or reordered
	Lost             // all are lost
	Kept             // all are kept
	// Ordered keeps the changes of each file, or of all names, up to one of them, by seed; a write is torn there.
	Ordered
)

// CrashOptions says what a power cut does.
type CrashOptions struct {
	Seed  uint64
	Data  Fate // bytes and sizes of files
	Names Fate // names in directories
}

// Crash returns the file system as it may be found after a power cut now, by seed. The one it is called on is left as it
// is, rules and open files included, so that many seeds can be tried from one state; calls that are in flight belong
// to it and not to the new one. The new one is durable as it stands, has no open files and no rules, counts nothing yet, and
// has the same capacity.
func (m *FS) Crash(seed uint64) *FS { return m.CrashWith(CrashOptions{Seed: seed}) }

// CrashWith is Crash with a say in what is lost.
func (m *FS) CrashWith(o CrashOptions) *FS {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := crash{o: o, names: make(map[*node]map[string]*node)}
	c.keepNames(m.pending)
	out := m.successor()
	out.boots++
	out.root = c.copy(m.root)
	out.used = usedBy(out.root)
	return out
}

// Kill returns the file system as after the death of the process: everything written is there, reservations too, but
// nothing becomes durable by it. Like Crash it leaves the one it is called on as it is.
func (m *FS) Kill() *FS {
	m.mu.Lock()
	defer m.mu.Unlock()
	copies := make(map[*node]*node)
	out := m.successor()
	out.root = cloneNode(m.root, copies)
	out.seq = m.seq
	out.pending = append([]nameOp(nil), m.pending...)
	for i := range out.pending {
		o := &out.pending[i]
		o.node = cloneNode(o.node, copies)
		o.from.dir = cloneNode(o.from.dir, copies)
		o.to.dir = cloneNode(o.to.dir, copies)
	}
	out.used = usedBy(out.root)
	return out
}

// successor makes an FS that goes on where m ends, without files.
func (m *FS) successor() *FS {
	out := New()
	out.lastID, out.capacity, out.boots = m.lastID, m.capacity, m.boots
	return out
}

// cloneNode copies a node and what it leads to, once.
func cloneNode(n *node, copies map[*node]*node) *node {
	if n == nil || copies[n] != nil {
		return copies[n]
	}
	c := &node{id: n.id, dir: n.dir, removed: n.removed}
	copies[n] = c
	if !n.dir {
		c.now, c.durable = n.now.share(), n.durable.share()
		c.pending = append([]fileOp(nil), n.pending...)
		c.room = n.room
		if c.removed {
			c.room = nil // who had it open is dead
		}
		return c
	}
	c.names, c.durableNames = make(map[string]*node, len(n.names)), make(map[string]*node, len(n.durableNames))
	for name, child := range n.names {
		c.names[name] = cloneNode(child, copies)
	}
	for name, child := range n.durableNames {
		c.durableNames[name] = cloneNode(child, copies)
	}
	return c
}

func usedBy(dir *node) (used int64) {
	for _, n := range dir.names {
		used += n.room.count()
		if n.dir {
			used += usedBy(n)
		}
	}
	return used
}

// crash is one power cut.
type crash struct {
	o     CrashOptions
	names map[*node]map[string]*node // of the directories where a change that was not durable is kept
}

// random returns a source that depends on the seed and on what, and on nothing else: neither on the order in which maps
// are walked nor on what happens to other files.
func (c *crash) random(what uint64) *rand.Rand {
	const spread = 0x9e3779b97f4a7c15 // odd, so that neighbouring ids land far apart
	return rand.New(rand.NewPCG(c.o.Seed, (what+1)*spread))
}

// keepNames decides which changes of names survive. Each may, but none without the earlier changes of the same entries.
func (c *crash) keepNames(pending []nameOp) {
	if len(pending) == 0 || c.o.Names == Lost {
		return
	}
	r := c.random(0)
	chance, limit := 4, len(pending) // keep with chance/8, up to limit
	if fate := c.o.Names; fate == Any {
		chance = [...]int{0, 1, 4, 4, 7, 8, 8, 8}[r.IntN(8)]
	} else {
		chance = 8
	}
	if ordered := r.IntN(4) == 0; ordered && c.o.Names == Any || c.o.Names == Ordered {
		chance, limit = 8, r.IntN(len(pending)+1)
	}
	lost := make(map[entry]bool)
	for i := range pending {
		o := &pending[i]
		if i >= limit || o.touches(lost) || r.IntN(8) >= chance {
			o.addTo(lost)
			if o.node.dir && o.from.dir != nil {
				limit = i // what came after the move of a directory may not make sense without it
			}
			continue
		}
		o.do(c.of)
	}
}

// of is the durable names of a directory as far as they are decided.
func (c *crash) of(dir *node) map[string]*node {
	names, ok := c.names[dir]
	if !ok {
		names = maps.Clone(dir.durableNames)
		c.names[dir] = names
	}
	return names
}

// copy makes the node as it is after the power cut.
func (c *crash) copy(n *node) *node {
	out := &node{id: n.id, dir: n.dir}
	if !n.dir {
		c.copyFile(out, n)
		return out
	}
	names := n.durableNames
	if kept, ok := c.names[n]; ok {
		names = kept
	}
	out.names, out.durableNames = make(map[string]*node, len(names)), make(map[string]*node, len(names))
	for name, child := range names {
		child = c.copy(child)
		out.names[name], out.durableNames[name] = child, child
	}
	return out
}

func (c *crash) copyFile(out, n *node) {
	out.now = n.durable.share()
	reserved := true
	if len(n.pending) > 0 || n.room != nil {
		r := c.random(n.id)
		if len(n.pending) > 0 {
			c.tear(&out.now, n.pending, r)
		}
		reserved = c.o.Data == Kept || c.o.Data == Any && r.IntN(2) == 0
	}
	out.durable = out.now.share()
	out.room = n.room
	if !reserved {
		out.room = n.room.cut((out.now.size + blockSize - 1) / blockSize)
	}
	for i, p := range out.now.pages { // a file that was removed had given its room back
		if p != nil {
			out.room = out.room.add(blocksOf(int64(i)*pageSize, pageSize))
		}
	}
}

// tear applies to img the part of the changes that survives.
func (c *crash) tear(img *content, ops []fileOp, r *rand.Rand) {
	must := 0 // changes before this one are at least in the size
	for i := range ops {
		if ops[i].must {
			must = i + 1
		}
	}
	fate := c.o.Data
	if fate == Any {
		fate = [...]Fate{Lost, Kept, Ordered, Ordered, Any, Any, Any, Any}[r.IntN(8)]
	}
	sizes, chance, whole := must, 0, false // how many changes the size has seen; sectors kept with chance/8; writes are whole
	switch fate {
	case Kept:
		sizes, chance = len(ops), 8
	case Ordered:
		c.tearOrdered(img, ops, must+r.IntN(len(ops)-must+1), r)
		return
	case Any:
		sizes = must + r.IntN(len(ops)-must+1)
		chance, whole = [...]int{1, 4, 7, 8}[r.IntN(4)], r.IntN(3) == 0
	}
	size := img.size
	for i := range ops {
		o := &ops[i]
		if i < sizes {
			size = o.size
		}
		switch {
		case o.cut && i < sizes:
			img.resize(o.size)
		case o.cut: // the truncate is lost
		case o.must || whole && r.IntN(8) < chance:
			img.put(o.data, o.off)
		case !whole:
			putSectors(img, o, func() bool { return r.IntN(8) < chance })
		}
	}
	img.resize(size)
}

// tearOrdered applies the first n changes, and of the next one, if it is a write, the sectors up to some point.
func (c *crash) tearOrdered(img *content, ops []fileOp, n int, r *rand.Rand) {
	for i := range ops[:n] {
		ops[i].do(img)
	}
	if n == len(ops) || ops[n].cut {
		return
	}
	o := &ops[n]
	left := r.IntN(len(o.data)/sectorSize + 2)
	end := putSectors(img, o, func() bool { left--; return left >= 0 })
	img.resize(max(img.size, end))
}

// putSectors writes those sectors of a write that keep lets through, and returns the end of the last one.
func putSectors(img *content, o *fileOp, keep func() bool) (end int64) {
	data, off := o.data, o.off
	for len(data) > 0 {
		n := min(int64(len(data)), sectorSize-off%sectorSize)
		if keep() {
			img.put(data[:n], off)
			end = off + n
		}
		data, off = data[n:], off+n
	}
	return end
}
