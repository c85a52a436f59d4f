package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"penstock"
	"penstock/store"
)

// tagOf is the code of a batch's tag.
func (w *twin) tagOf(k *kept) int64 {
	if w.tag == nil {
		return 0
	}
	return w.tag(k.bytes)
}

// wantPull is what a pull is to give.
func (w *twin) wantPull(r store.PullRequest) (out []byte, got store.Pulled) {
	got.Next = r.From
	scanned := 0
	for i := range w.batches {
		k := &w.batches[i]
		if k.header.LastOffset() < r.From {
			continue
		}
		if k.header.BaseOffset >= r.Limit || scanned == r.Scan || got.Count == r.Count {
			break
		}
		scanned++
		if r.Tags != nil && !slices.Contains(r.Tags, w.tagOf(k)) {
			got.Next = k.header.NextOffset()
			continue
		}
		if got.Count > 0 && got.Bytes+int64(len(k.bytes)) > r.Max {
			break
		}
		out = append(out, k.bytes...)
		got.Count++
		got.Bytes += int64(len(k.bytes))
		got.Next = k.header.NextOffset()
	}
	return out, got
}

// pull pulls once and compares. A partition that has no queue is passed over.
func (w *twin) pull(p store.Partition, r store.PullRequest) (store.Pulled, error) {
	q, ok := p.(store.Queue)
	if !ok {
		return store.Pulled{Next: w.end}, nil
	}
	es, got, err := q.Pull(r, nil)
	if err != nil {
		if len(es) > 0 || got != (store.Pulled{Next: r.From}) {
			err = fmt.Errorf("%d extents and %+v with an error: %w", len(es), got, err)
		}
		return got, fmt.Errorf("pull %+v: %w", r, err)
	}
	defer penstock.ReleaseAll(es)
	b, err := extentBytes(es)
	if err != nil {
		return got, fmt.Errorf("pull %+v: %w", r, err)
	}
	want, wantGot := w.wantPull(r)
	if got != wantGot || !bytes.Equal(b, want) {
		return got, fmt.Errorf("pull %+v: %+v with %d bytes, want %+v with %d", r, got, len(b), wantGot, len(want))
	}
	return got, nil
}

// pullAll pulls everything, by steps of random size, for random tags.
func (w *twin) pullAll(p store.Partition, rnd *rand.Rand) error {
	for at := w.start; at < w.end; {
		r := store.PullRequest{From: at, Limit: w.end, Max: int64(rnd.IntN(4000)), Count: 1 + rnd.IntN(20), Scan: 1 + rnd.IntN(40), Tags: w.someTags(rnd)}
		got, err := w.pull(p, r)
		if err != nil {
			return err
		}
		if got.Next <= at {
			return fmt.Errorf("pull %+v does not get on", r)
		}
		at = got.Next
	}
	return nil
}

// someTags is nil in half of all cases, else a few codes, some of which batches have.
func (w *twin) someTags(r *rand.Rand) []int64 {
	if r.IntN(2) == 0 {
		return nil
	}
	tags := []int64{r.Int64N(10)}
	for range r.IntN(3) {
		if n := len(w.batches); n > 0 {
			tags = append(tags, w.tagOf(&w.batches[r.IntN(n)]))
		}
	}
	return tags
}

func (x *world) pull() error {
	if x.w.start == x.w.end {
		return nil
	}
	from := x.w.start + penstock.Offset(x.r.Int64N(int64(x.w.end-x.w.start)))
	limit := x.w.edge(from + penstock.Offset(x.r.Int64N(int64(x.w.end-from)+1)))
	_, err := x.w.pull(x.p, store.PullRequest{From: from, Limit: limit, Max: int64(x.r.IntN(5000)), Count: 1 + x.r.IntN(10), Scan: 1 + x.r.IntN(30), Tags: x.w.someTags(x.r)})
	if x.excused(err) || x.faultInRead(err) {
		return nil
	}
	return err
}

// locate looks some batches up by their positions.
func (x *world) locate() error {
	l, ok := x.s.(store.Locator)
	if !ok || x.f.Position == nil {
		return nil
	}
	for range min(5, len(x.w.batches)) {
		k := &x.w.batches[x.r.IntN(len(x.w.batches))]
		at := x.f.Position(k.bytes)
		id, off, err := l.Locate(at)
		switch {
		case k.header.BaseOffset < x.w.start:
			// Trimmed away, or to be: nothing is promised.
		case err != nil && x.excused(err) || x.faultInRead(err):
		case err != nil || id != theID || off != k.header.BaseOffset:
			return fmt.Errorf("locate %d: partition %v, offset %d, want %d, %w", at, id, off, k.header.BaseOffset, err)
		}
		wrong := at + 1 + penstock.Position(x.r.IntN(len(k.bytes)-1))
		if id, off, err := l.Locate(wrong); err == nil || !x.faulty && !x.fs.Halted() && !errors.Is(err, penstock.ErrOffsetOutOfRange) {
			return fmt.Errorf("locate %d, inside of a batch: partition %v, offset %d, %w", wrong, id, off, err)
		}
	}
	return nil
}

func extentBytes(es []penstock.Extent) (out []byte, err error) {
	for _, e := range es {
		b := make([]byte, e.Len)
		if n, err := e.File.ReadAt(b, e.Off); n < len(b) {
			return nil, fmt.Errorf("extent of %d bytes at %d: %d read: %w", e.Len, e.Off, n, err)
		}
		out = append(out, b...)
	}
	return out, nil
}

// testPull goes over the bounds of a pull one by one, over several files of the log.
func testPull(t *testing.T, f Factory) {
	b := retained(t, f)
	q, ok := b.p.(store.Queue)
	if !ok {
		t.Skip("the layout has no queue for this format")
	}
	one := int64(len(b.w.batches[0].bytes))
	all := store.PullRequest{From: 0, Limit: 11, Max: 1 << 20, Count: 100, Scan: 1000}
	check := func(what string, edit func(*store.PullRequest), want store.Pulled) {
		t.Helper()
		r := all
		edit(&r)
		if got, err := b.w.pull(b.p, r); err != nil || got != want {
			t.Errorf("%s: %+v, want %+v, %v", what, got, want, err)
		}
	}
	check("all", func(*store.PullRequest) {}, store.Pulled{Next: 11, Count: 11, Bytes: 11 * one})
	check("count", func(r *store.PullRequest) { r.Count = 3 }, store.Pulled{Next: 3, Count: 3, Bytes: 3 * one})
	check("bytes, exactly", func(r *store.PullRequest) { r.Max = 4 * one }, store.Pulled{Next: 4, Count: 4, Bytes: 4 * one})
	check("bytes, one less", func(r *store.PullRequest) { r.Max = 4*one - 1 }, store.Pulled{Next: 3, Count: 3, Bytes: 3 * one})
	check("the first is whole", func(r *store.PullRequest) { r.Max, r.From = 1, 5 }, store.Pulled{Next: 6, Count: 1, Bytes: one})
	check("scan", func(r *store.PullRequest) { r.Scan, r.From = 2, 5 }, store.Pulled{Next: 7, Count: 2, Bytes: 2 * one})
	check("limit", func(r *store.PullRequest) { r.Limit, r.From = 7, 5 }, store.Pulled{Next: 7, Count: 2, Bytes: 2 * one})
	check("from at the limit", func(r *store.PullRequest) { r.Limit, r.From = 5, 5 }, store.Pulled{Next: 5})
	check("at the end", func(r *store.PullRequest) { r.From = 11 }, store.Pulled{Next: 11})
	check("no tag", func(r *store.PullRequest) { r.Tags = []int64{} }, store.Pulled{Next: 11})
	check("no such tag, scan", func(r *store.PullRequest) { r.Tags, r.Scan, r.From = []int64{12345}, 4, 3 }, store.Pulled{Next: 7})
	if f.Tag != nil {
		var n int
		tag := b.w.tagOf(&b.w.batches[3])
		for i := range b.w.batches {
			if b.w.tagOf(&b.w.batches[i]) == tag {
				n++
			}
		}
		if n == 11 {
			t.Error("all batches have one tag: nothing is chosen")
		}
		check("tag", func(r *store.PullRequest) { r.Tags = []int64{tag, 12345} }, store.Pulled{Next: 11, Count: n, Bytes: int64(n) * one})
		check("tag, count", func(r *store.PullRequest) { r.Tags, r.Count, r.From = []int64{tag}, 1, 3 }, store.Pulled{Next: 4, Count: 1, Bytes: one})
	}
	es, _, err := q.Pull(all, nil)
	b.must(err)
	if n := b.p.Stats().Segments; f.Position != nil && len(es) != n { // records may have something between them
		t.Errorf("%d extents of neighbours in %d files", len(es), n)
	}
	penstock.ReleaseAll(es)
	b.must(b.p.SetStart(5))
	b.w.start = 5
	_, err = b.w.pull(b.p, all)
	b.fails(err, penstock.ErrOffsetOutOfRange)
	_, err = b.w.pull(b.p, store.PullRequest{From: 12, Limit: 12, Count: 1, Scan: 1})
	b.fails(err, penstock.ErrOffsetOutOfRange)
	b.must(b.w.pullAll(b.p, b.r))
	b.must(b.p.Truncate(9))
	b.w.cut(9)
	b.must(b.w.pullAll(b.p, b.r))
	b.add(3, 100)
	b.must(b.w.pullAll(b.p, b.r))
	b.reopen(store.Config{})
	b.must(b.w.pullAll(b.p, b.r))
}

// testLocate finds batches by position, and nothing where none begins.
func testLocate(t *testing.T, f Factory) {
	b := retained(t, f)
	l, ok := b.s.(store.Locator)
	if !ok || f.Position == nil {
		t.Skip("positions do not lead to batches here")
	}
	all := func(start, end penstock.Offset) {
		t.Helper()
		for i := range b.w.batches {
			off := b.w.batches[i].header.BaseOffset
			id, got, err := l.Locate(f.Position(b.w.batches[i].bytes))
			if off >= start && (err != nil || id != theID || got != off) {
				t.Fatalf("offset %d: partition %v, offset %d, %v", off, id, got, err)
			}
			if off < start && !errors.Is(err, penstock.ErrOffsetOutOfRange) {
				t.Fatalf("offset %d was trimmed: %d, %v", off, got, err)
			}
		}
	}
	all(0, 11)
	last := f.Position(b.w.batches[10].bytes)
	for _, at := range []penstock.Position{-1, last - 1, last + 1, last + 1000, 1 << 60} {
		if _, off, err := l.Locate(at); !errors.Is(err, penstock.ErrOffsetOutOfRange) {
			t.Errorf("position %d: offset %d, %v", at, off, err)
		}
	}
	b.must(b.p.SetStart(3))
	b.w.start = 3
	all(3, 11)
	b.must(b.p.Truncate(10))
	b.w.cut(10)
	if _, off, err := l.Locate(last); !errors.Is(err, penstock.ErrOffsetOutOfRange) {
		t.Errorf("a batch that was cut off: offset %d, %v", off, err)
	}
	b.add(2, 100)
	all(3, 12)
	b.reopen(store.Config{})
	l = b.s.(store.Locator)
	all(3, 12)
	b.must(b.s.Remove(theID))
	if _, off, err := l.Locate(f.Position(b.w.batches[5].bytes)); !errors.Is(err, penstock.ErrOffsetOutOfRange) {
		t.Errorf("a batch of a removed partition: offset %d, %v", off, err)
	}
}
