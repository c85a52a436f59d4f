package admin

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"penstock/cli"
)

// way is how a target is named.
type way int

const (
	toEarliest way = iota
	toLatest
	byTime   // first record at or after a time
	byOffset // an offset
	byShift  // from what is committed
)

// target is where offsets shall go, as a person names it.
type target struct {
	way    way
	time   time.Time // byTime
	offset int64     // byOffset, byShift
	now    time.Time
}

// resolved is a target in one partition, between its bounds.
type resolved struct {
	offset int64
	bounds bounds
	err    error // the offset is not known
}

var errNoCommit = errors.New("nothing is committed to count from")

// resolve finds the offsets of a target. committed is what byShift counts from.
func (t *target) resolve(ctx context.Context, k *cluster, places []place, committed map[place]kadm.Offset) (map[place]resolved, error) {
	topics := topicsOf(places)
	all, err := k.bounds(ctx, topics)
	if err != nil {
		return nil, err
	}
	var after kadm.ListedOffsets
	if t.way == byTime && len(topics) > 0 {
		if after, err = k.ListOffsetsAfterMilli(ctx, t.time.UnixMilli(), topics...); err != nil && len(after) == 0 {
			return nil, cli.Fail("offsets of that time cannot be listed", err, "")
		}
	}
	out := map[place]resolved{}
	for _, p := range places {
		r := resolved{bounds: at(all, p)}
		r.err = r.bounds.err
		switch t.way {
		case toEarliest:
			r.offset = r.bounds.start
		case toLatest:
			r.offset = r.bounds.end
		case byOffset:
			r.offset = t.offset
		case byShift:
			c, ok := committed[p]
			if !ok {
				r.err = errNoCommit
			}
			r.offset = c.At + t.offset
		case byTime:
			listed, ok := after.Lookup(p.topic, p.partition)
			if !ok {
				listed.Err = errNoAnswer
			}
			if r.err == nil {
				r.err = listed.Err
			}
			r.offset = listed.Offset
		}
		r.offset = min(max(r.offset, r.bounds.start), r.bounds.end)
		out[p] = r
	}
	return out, nil
}

// topicsOf lists the topics of places, in order.
func topicsOf(places []place) []string {
	set := map[string]bool{}
	for _, p := range places {
		set[p.topic] = true
	}
	return slices.Sorted(maps.Keys(set))
}
