package commit

import (
	"errors"
	"fmt"
	"slices"

	"penstock"
	"penstock/store"
)

var _ store.Queue = (*Partition)(nil)

// Pull adds the extents of the batches that r asks for, chosen by what the queue says of their tags: the log is not read. Batches of records have
// no tag, which counts as the code 0.
func (p *Partition) Pull(r store.PullRequest, dst []penstock.Extent) ([]penstock.Extent, store.Pulled, error) {
	for {
		g := gather{p: p, out: dst}
		got, err := g.pull(&r)
		if err == nil {
			return g.out, got, nil
		}
		g.drop(len(dst))
		if !errors.Is(err, errGone) {
			return dst, store.Pulled{Next: r.From}, err
		}
	}
}

func (g *gather) pull(r *store.PullRequest) (store.Pulled, error) {
	got := store.Pulled{Next: r.From}
	sp, err := g.p.look(r.From, r.Limit)
	if err != nil {
		return got, err
	}
	defer sp.done()
	count, from := max(r.Count, 1), len(g.out)
	for range max(r.Scan, 1) {
		if got.Count == count || len(g.out)-from >= maxExtents {
			break
		}
		e, ok, err := sp.next()
		if err != nil {
			return got, err
		}
		if !ok {
			break
		}
		if r.Tags != nil && !slices.Contains(r.Tags, e.tag) {
			got.Next = e.last() + 1
			continue
		}
		if got.Count > 0 && got.Bytes+int64(e.size) > r.Max {
			sp.i--
			break
		}
		if err := g.add(&e); err != nil {
			return got, err
		}
		got.Count++
		got.Bytes += int64(e.size)
		got.Next = e.last() + 1
	}
	g.flush()
	g.p.ahead(&sp)
	return got, nil
}

// gather makes extents of entries: batches that are neighbours in the log are one.
type gather struct {
	p   *Partition
	out []penstock.Extent
	cur run
}

// run is an extent that is growing. It holds a reference to its file.
type run struct {
	file *logFile
	from penstock.Position
	end  penstock.Position
}

// add adds the batch of an entry. What cannot be found is quarantined.
func (g *gather) add(e *entry) error {
	if g.cur.file != nil && e.pos == g.cur.end && e.pos < g.cur.file.end() {
		g.cur.end += penstock.Position(e.size)
		return nil
	}
	g.flush()
	f, err := g.p.st.log.open(e.pos)
	if err != nil {
		if g.p.gone(e) {
			return errGone
		}
		g.p.quarantine(e.base, e.last()+1, err)
		return fmt.Errorf("partition %v: batch at %d: %w", g.p.id, e.base, err)
	}
	g.cur = run{f, e.pos, e.pos + penstock.Position(e.size)}
	return nil
}

// flush ends the extent that is growing.
func (g *gather) flush() {
	if g.cur.file != nil {
		g.out = append(g.out, g.cur.file.h.Extent(int64(g.cur.from-g.cur.file.start), int64(g.cur.end-g.cur.from)))
		g.cur.file.h.Release()
	}
	g.cur = run{}
}

// drop gives up what was gathered behind the first keep extents.
func (g *gather) drop(keep int) {
	if g.cur.file != nil {
		g.cur.file.h.Release()
		g.cur = run{}
	}
	for i := keep; i < len(g.out); i++ {
		g.out[i].Release()
	}
	g.out = g.out[:keep]
}
