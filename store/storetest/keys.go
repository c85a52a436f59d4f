package storetest

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"penstock"
	"penstock/store"
)

// keyAt is one key of one record.
type keyAt struct {
	key  string
	off  penstock.Offset
	at   penstock.Timestamp
	must bool // it was indexed, and must be found
}

// keys are those of all records that are kept, in order.
func (w *twin) keys() (out []keyAt, err error) {
	for _, b := range w.batches {
		err := w.f.(store.Keyer).EachKey(b.bytes, func(off penstock.Offset, at penstock.Timestamp, key []byte) bool {
			if off >= w.start {
				out = append(out, keyAt{string(key), off, at, b.keyed})
			}
			return true
		})
		if err != nil {
			return nil, fmt.Errorf("keys of the batch at %d: %w", b.header.BaseOffset, err)
		}
	}
	return out, nil
}

// looks is how many keys are looked for at once.
const looks = 5

// findKeys compares look-ups by key with a look at every record: all that was appended while keys were indexed is found, nothing is that does not have the
// key, and none twice.
func (w *twin) findKeys(s store.Store, r *rand.Rand) error {
	all, err := w.keys()
	if err != nil {
		return err
	}
	for range looks {
		key, from, to := "never", penstock.Timestamp(0), penstock.Timestamp(math.MaxInt64)
		if len(all) > 0 && r.IntN(looks) > 0 {
			one := all[r.IntN(len(all))]
			key = one.key
			if r.IntN(2) == 0 {
				from, to = one.at-penstock.Timestamp(r.IntN(5000)), one.at+penstock.Timestamp(r.IntN(5000))
			}
		}
		if err := w.findKey(s, key, from, to, all, 1+r.IntN(4)); err != nil {
			return fmt.Errorf("key %q from %d to %d: %w", key, from, to, err)
		}
	}
	return nil
}

func (w *twin) findKey(s store.Store, key string, from, to penstock.Timestamp, all []keyAt, limit int) error {
	var got, few []penstock.Offset
	find := func(limit int, to *[]penstock.Offset, from, until penstock.Timestamp) error {
		return s.(store.Finder).FindKey(theID.Topic, key, from, until, limit, func(id penstock.PartitionID, off penstock.Offset) bool {
			if id != theID {
				off = penstock.NoOffset
			}
			*to = append(*to, off)
			return true
		})
	}
	if err := find(math.MaxInt, &got, from, to); err != nil {
		if !w.indexing && errors.Is(err, penstock.ErrUnsupported) {
			return nil
		}
		return err
	}
	may, must := map[penstock.Offset]bool{}, map[penstock.Offset]bool{}
	for _, k := range all {
		if k.key == key && k.at >= from && k.at <= to {
			may[k.off] = true
			if k.must {
				must[k.off] = true
			}
		}
	}
	for i, off := range got {
		if !may[off] || slices.Contains(got[:i], off) {
			return fmt.Errorf("found %v, and %d is not there or was found before", got, off)
		}
		delete(must, off)
	}
	if len(must) > 0 {
		return fmt.Errorf("found %v, and not %v", got, must)
	}
	if err := find(limit, &few, from, to); err != nil {
		return err
	}
	if !slices.Equal(few, got[:min(len(got), limit)]) {
		return fmt.Errorf("found %v when %d were wanted of %v", few, limit, got)
	}
	return nil
}

// sameKeys is findKeys for factories whose batches have keys.
func (x *world) sameKeys() error {
	if !x.f.Keys {
		return nil
	}
	return x.w.findKeys(x.s, x.r)
}

// lookUp is a step.
func (x *world) lookUp() error {
	if err := x.sameKeys(); !x.excused(err) {
		return err
	}
	return nil
}

// switchKeys ends the index, or begins it again.
func (x *world) switchKeys() error {
	x.w.indexing = !x.w.indexing
	x.p.Configure(x.config())
	if !x.w.indexing {
		for i := range x.w.batches {
			x.w.batches[i].keyed = false
		}
	}
	return nil
}

// config is the partition's.
func (x *world) config() store.Config {
	c := smallConfig()
	c.IndexKeys = x.w.indexing
	return c
}
