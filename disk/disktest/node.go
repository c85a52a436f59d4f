package disktest

// node is a file or a directory, apart from its names. FS.mu guards it.
type node struct {
	id  uint64 // by order of creation, kept through a crash: the seed of what a crash does to it
	dir bool

	// A file: what readers see, what surely survives a power cut, and what was done since, oldest first.
	now, durable content
	pending      []fileOp
	room         blocks
	opens        int
	removed      bool // no name leads to it any more

	// A directory: the same for its names. What was done since is in FS.pending, because a rename changes two.
	names, durableNames map[string]*node
}

// fileOp is a change of a file that is not durable. Its data is never changed, so copies of the list may share it.
type fileOp struct {
	seq   uint64
	cut   bool   // a truncate to size
	off   int64  // of data
	data  []byte // written
	size  int64  // of the file after it
	must  bool   // synced, but behind one that is not
	doubt bool   // a sync of it failed: it may be lost although a later sync succeeds
}

// do applies the change to c.
func (o *fileOp) do(c *content) {
	if o.cut {
		c.resize(o.size)
		return
	}
	c.write(o.data, o.off)
}

// entry is one name in one directory.
type entry struct {
	dir  *node
	name string
}

// nameOp is a change of names that is not durable: from disappears, if it is set, and to becomes node, if it is set.
type nameOp struct {
	seq      uint64
	from, to entry
	node     *node
	// fromSynced and toSynced tell that the directory was synced since. The change is durable when both are, where
	// there are two.
	fromSynced, toSynced bool
	doubt                bool // a sync of it failed: it may be lost although a later sync succeeds
}

// do applies the change to a view of the directories.
func (o *nameOp) do(names func(*node) map[string]*node) {
	if o.from.dir != nil {
		delete(names(o.from.dir), o.from.name)
	}
	if o.to.dir != nil {
		names(o.to.dir)[o.to.name] = o.node
	}
}

func (o *nameOp) synced() bool {
	return !o.doubt && (o.from.dir == nil || o.fromSynced) && (o.to.dir == nil || o.toSynced)
}

// touches tells whether the change is about one of the entries.
func (o *nameOp) touches(set map[entry]bool) bool {
	return o.from.dir != nil && set[o.from] || o.to.dir != nil && set[o.to]
}

func (o *nameOp) addTo(set map[entry]bool) {
	if o.from.dir != nil {
		set[o.from] = true
	}
	if o.to.dir != nil {
		set[o.to] = true
	}
}

func newNode(id uint64, dir bool) *node {
	n := &node{id: id, dir: dir}
	if dir {
		n.names, n.durableNames = map[string]*node{}, map[string]*node{}
	}
	return n
}

// change does o now and remembers that it is not durable.
func (n *node) change(o fileOp) {
	o.do(&n.now)
	o.size = n.now.size
	n.pending = append(n.pending, o)
}

// sync makes the changes up to seq durable, except those that an earlier failed sync has put in doubt.
func (n *node) sync(seq uint64) {
	fold := 0 // changes at the front that are certain
	for i := range n.pending {
		o := &n.pending[i]
		if o.seq <= seq && !o.doubt {
			o.must = true
		}
		if o.must && fold == i {
			o.do(&n.durable)
			fold++
		}
	}
	n.pending = n.pending[fold:]
	if len(n.pending) == 0 {
		n.pending = nil
	}
}

// syncFailed puts the changes up to seq in doubt: the kernel may have dropped their pages and calls them clean.
func (n *node) syncFailed(seq uint64) {
	for i := range n.pending {
		if o := &n.pending[i]; o.seq <= seq && !o.must {
			o.doubt = true
		}
	}
}
