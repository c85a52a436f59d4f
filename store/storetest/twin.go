package storetest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"

	"penstock"
	"penstock/store"
)

// kept is a batch as the twin remembers it: the bytes as stamped.
type kept struct {
	header penstock.BatchHeader
	bytes  []byte
	epoch  penstock.Epoch // that it was appended in, which its format may not hold
	keyed  bool           // its keys were indexed
}

// ack says that all below next is durable when the log is up to mark.
type ack struct {
	mark store.Mark
	next penstock.Offset
}

// twin is the dumb double of a partition: a slice of batches, and what is promised of it.
type twin struct {
	f       store.Format
	tag     func([]byte) int64 // nil where batches have none
	batches []kept

	indexing bool // keys of what is appended are indexed

	start penstock.Offset
	end   penstock.Offset

	acked    penstock.Offset // all below it must survive
	acks     []ack           // of the appends since the last recovery
	maybe    []kept          // batches of an append that failed: a crash may bring them to light
	cutTo    penstock.Offset // a truncation that failed may have been done: down to here; NoOffset for none
	startMax penstock.Offset // a move of the start that failed may have been done: up to here
	states   map[penstock.Offset][]byte
	gone     map[penstock.Offset][]byte // older states, which may be there still
	doubt    []saved                    // states whose saving failed: they may be there
}

// saved is an owner's state.
type saved struct {
	at    penstock.Offset
	state []byte
}

func newTwin(f Factory) *twin {
	return &twin{f: f.Format, tag: f.Tag, indexing: f.Keys, cutTo: penstock.NoOffset, states: map[penstock.Offset][]byte{}, gone: map[penstock.Offset][]byte{}}
}

// appended adds batches that were appended in an epoch, after which the log ends at mark.
func (w *twin) appended(bs []penstock.Batch, epoch penstock.Epoch, mark store.Mark) {
	added := copies(bs, epoch)
	for i := range added {
		added[i].keyed = w.indexing
	}
	w.batches = append(w.batches, added...)
	w.end = w.batches[len(w.batches)-1].header.NextOffset()
	w.acks = append(w.acks, ack{mark, w.end})
	w.maybe, w.cutTo = nil, penstock.NoOffset
}

func copies(bs []penstock.Batch, epoch penstock.Epoch) []kept {
	var out []kept
	for _, b := range bs {
		out = append(out, kept{header: b.Header, bytes: bytes.Clone(b.Bytes), epoch: epoch})
	}
	return out
}

// upTo is the offset below which all is durable when the log is up to mark: at least what was before.
func (w *twin) upTo(mark store.Mark) penstock.Offset {
	at := w.acked
	for _, a := range w.acks {
		if a.mark <= mark {
			at = max(at, a.next)
		}
	}
	return at
}

// edge is the base of the batch that holds off, the end if none does.
func (w *twin) edge(off penstock.Offset) penstock.Offset {
	for _, b := range w.batches {
		if b.header.LastOffset() >= off {
			return b.header.BaseOffset
		}
	}
	return w.end
}

// cut drops the batches from end on, which is an edge.
func (w *twin) cut(end penstock.Offset) {
	for i, b := range w.batches {
		if b.header.BaseOffset >= end {
			w.batches = w.batches[:i]
			break
		}
	}
	w.end = end
	w.acked = min(w.acked, end)
	for i := range w.acks {
		w.acks[i].next = min(w.acks[i].next, end)
	}
	w.start = min(w.start, end)
	w.maybe, w.cutTo = nil, penstock.NoOffset
	for at := range w.states {
		if at > end {
			delete(w.states, at)
		}
	}
	for at := range w.gone {
		if at > end {
			delete(w.gone, at)
		}
	}
	w.doubt = slices.DeleteFunc(w.doubt, func(d saved) bool { return d.at > end })
}

// doubtStates notes that states behind end may be gone.
func (w *twin) doubtStates(end penstock.Offset) {
	for at, state := range w.states {
		if at > end {
			w.doubt = append(w.doubt, saved{at, state})
			delete(w.states, at)
		}
	}
}

// recovered checks what a crash left against what was promised and takes it over.
func (w *twin) recovered(p store.Partition) error {
	start, end := p.Bounds()
	floor, ceiling := w.acked, w.end
	if n := len(w.maybe); n > 0 {
		ceiling = w.maybe[n-1].header.NextOffset()
	}
	if w.cutTo != penstock.NoOffset {
		floor = min(floor, w.cutTo)
	}
	if end < floor || end > ceiling {
		return fmt.Errorf("recovered end %d, want %d to %d", end, floor, ceiling)
	}
	if start < w.start || start > max(w.start, w.startMax) {
		return fmt.Errorf("recovered start %d, want %d to %d", start, w.start, w.startMax)
	}
	if end > w.end {
		w.batches = append(w.batches, w.maybe...)
		w.end = ceiling
	}
	if at := w.edge(end); at != end {
		return fmt.Errorf("recovered end %d is inside the batch at %d", end, at)
	}
	w.cut(end)
	w.acked, w.acks, w.start, w.startMax = end, nil, start, start
	if got := p.Log().Synced(); got != p.Log().Written() {
		return fmt.Errorf("durable up to %d of %d after opening", got, p.Log().Written())
	}
	return nil
}

// same checks everything that can be read of p against the twin.
func (w *twin) same(p store.Partition, r *rand.Rand) error {
	if start, end := p.Bounds(); start != w.start || end != w.end {
		return fmt.Errorf("bounds %d to %d, want %d to %d", start, end, w.start, w.end)
	}
	for from := w.start; from < w.end; {
		next, err := w.read(p, store.ReadRequest{From: from, Limit: w.end, Max: int64(1 + r.IntN(3000)), Whole: true})
		if err != nil {
			return err
		}
		if next <= from {
			return fmt.Errorf("read at %d gave no whole batch", from)
		}
		from = next
	}
	if err := w.scan(p, w.start); err != nil {
		return err
	}
	if err := w.pullAll(p, r); err != nil {
		return err
	}
	if err := w.epochs(p); err != nil {
		return err
	}
	return w.state(p)
}

// read reads once, compares, and returns the offset after the last whole batch.
func (w *twin) read(p store.Partition, q store.ReadRequest) (penstock.Offset, error) {
	b, err := readBytes(p, q)
	if err != nil {
		return 0, fmt.Errorf("read %+v: %w", q, err)
	}
	i := 0
	for i < len(w.batches) && w.batches[i].header.LastOffset() < q.From {
		i++
	}
	next, first, size := q.From, true, int64(len(b))
	for len(b) > 0 {
		if i >= len(w.batches) || w.batches[i].header.BaseOffset >= q.Limit {
			return 0, fmt.Errorf("read %+v: %d bytes behind the limit", q, len(b))
		}
		want := w.batches[i].bytes
		n := min(len(b), len(want))
		if !bytes.Equal(b[:n], want[:n]) {
			return 0, fmt.Errorf("read %+v: batch at %d differs: %x, want %x", q, w.batches[i].header.BaseOffset, b[:n], want[:n])
		}
		if n == len(want) {
			if size > q.Max && !(first && q.Whole && n == int(size)) {
				return 0, fmt.Errorf("read %+v: %d bytes", q, size)
			}
			next = w.batches[i].header.NextOffset()
		}
		b, first = b[n:], false
		i++
	}
	return next, nil
}

// readBytes reads the extents of one read.
func readBytes(p store.Partition, q store.ReadRequest) ([]byte, error) {
	es, err := p.Read(q, nil)
	if err != nil {
		return nil, err
	}
	defer penstock.ReleaseAll(es)
	return extentBytes(es)
}

// scan compares headers.
func (w *twin) scan(p store.Partition, from penstock.Offset) error {
	i := 0
	for i < len(w.batches) && w.batches[i].header.LastOffset() < from {
		i++
	}
	err := p.Scan(from, func(h *penstock.BatchHeader) error {
		if i >= len(w.batches) || *h != w.batches[i].header {
			return fmt.Errorf("scan from %d: got %+v", from, *h)
		}
		i++
		return nil
	})
	if err == nil && i != len(w.batches) {
		err = fmt.Errorf("scan from %d: %d of %d batches", from, i, len(w.batches))
	}
	return err
}

// epochs checks that the history names the epoch of every batch.
func (w *twin) epochs(p store.Partition) error {
	es := p.Epochs()
	for i := range es {
		if es[i].Start > w.end || i > 0 && (es[i].Epoch <= es[i-1].Epoch || es[i].Start < es[i-1].Start) {
			return fmt.Errorf("epochs %v with the end at %d", es, w.end)
		}
	}
	for _, b := range w.batches {
		if b.header.LastOffset() < w.start {
			continue
		}
		at := penstock.NoEpoch
		for _, e := range es {
			if e.Start <= max(b.header.BaseOffset, w.start) {
				at = e.Epoch
			}
		}
		if at != b.epoch {
			return fmt.Errorf("epochs %v say %d of the batch at %d, which has %d", es, at, b.header.BaseOffset, b.epoch)
		}
	}
	return nil
}

// fewStates is how many states a layout must keep at least.
const fewStates = 2

// save notes a state that was saved, and those that need not be kept any more: fewStates others are newer. States whose saving failed
// count, for they may be there.
func (w *twin) save(at penstock.Offset, state []byte) {
	w.states[at] = state
	delete(w.gone, at)
	all := []penstock.Offset{}
	for o := range w.states {
		all = append(all, o)
	}
	for _, d := range w.doubt {
		all = append(all, d.at)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	for _, o := range all[:max(0, len(all)-fewStates)] {
		if state, ok := w.states[o]; ok {
			w.gone[o] = state
			delete(w.states, o)
		}
	}
}

// state checks that the newest state is one that was saved, and none older than those that must be there.
func (w *twin) state(p store.Partition) error {
	at, got := p.LoadState()
	newest := penstock.NoOffset
	for o := range w.states {
		newest = max(newest, o)
	}
	known := at == penstock.NoOffset || w.states[at] != nil && bytes.Equal(got, w.states[at])
	for _, d := range w.doubt {
		known = known || d.at == at && bytes.Equal(got, d.state)
	}
	if old, ok := w.gone[at]; ok && bytes.Equal(old, got) {
		known = true
	}
	if !known || at < newest && len(w.doubt) == 0 {
		return fmt.Errorf("state %q at %d, want %q at %d", got, at, w.states[newest], newest)
	}
	return nil
}

// find compares a look-up by time.
func (w *twin) find(p store.Partition, t penstock.Timestamp) error {
	want := store.Found{Offset: penstock.NoOffset, Timestamp: penstock.NoTimestamp, Epoch: penstock.NoEpoch}
	if t == store.FindMax {
		best := penstock.NoTimestamp
		for _, b := range w.batches {
			if b.header.LastOffset() >= w.start && b.header.MaxTimestamp > best {
				best = b.header.MaxTimestamp
			}
		}
		if best >= 0 {
			want = w.firstAt(best)
		}
	} else {
		want = w.firstAt(t)
	}
	got, err := p.Find(t)
	if err == nil && got != want {
		err = fmt.Errorf("got %+v, want %+v", got, want)
	}
	if err != nil {
		return fmt.Errorf("find %d: %w", t, err)
	}
	return nil
}

func (w *twin) firstAt(t penstock.Timestamp) store.Found {
	for _, b := range w.batches {
		if b.header.LastOffset() < w.start {
			continue
		}
		if off, at, ok, err := w.f.FindTime(b.bytes, t); err == nil && ok {
			return store.Found{Offset: max(off, w.start), Timestamp: at, Epoch: b.header.Epoch}
		}
	}
	return store.Found{Offset: penstock.NoOffset, Timestamp: penstock.NoTimestamp, Epoch: penstock.NoEpoch}
}
