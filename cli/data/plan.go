package data

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/cli"
)

// find lists the partitions of the topics that were named.
func (r *reader) find(ctx context.Context) (kadm.TopicDetails, error) {
	ctx, cancel := r.e.Within(ctx)
	defer cancel()
	if !r.f.regex {
		return r.named(ctx)
	}
	all, err := r.adm.ListTopics(ctx)
	if err != nil {
		return nil, cli.Fail("topics cannot be listed", err, "")
	}
	all.FilterInternal()
	found := kadm.TopicDetails{}
	for name, t := range all {
		if r.matches(name) && t.Err == nil {
			found[name] = t
		}
	}
	if len(found) == 0 {
		return nil, cli.NotFound("no topic matches %s. penstock topic list shows what there is", strings.Join(r.topics, ", "))
	}
	return found, nil
}

func (r *reader) matches(name string) bool {
	for _, p := range r.f.patterns {
		if p.MatchString(name) {
			return true
		}
	}
	return false
}

func (r *reader) named(ctx context.Context) (kadm.TopicDetails, error) {
	found, err := r.adm.ListTopicsWithInternal(ctx, r.topics...)
	if err != nil {
		return nil, cli.Fail("topics cannot be listed", err, "")
	}
	for _, name := range r.topics {
		t := found[name]
		if t.Err != nil {
			return nil, cli.Fail("topic "+name+" cannot be read", t.Err, "penstock topic list shows what there is")
		}
		for _, n := range r.f.partitions {
			if _, ok := t.Partitions[n]; !ok {
				return nil, cli.NotFound("topic %s has no partition %d, it has %d", name, n, len(t.Partitions))
			}
		}
	}
	return found, nil
}

// wanted reports whether a partition is read.
func (r *reader) wanted(n int32) bool {
	return len(r.f.partitions) == 0 || slices.Contains(r.f.partitions, n)
}

// ends are the bounds of all partitions of topics.
func (r *reader) ends(ctx context.Context, names []string) (map[part]bounds, error) {
	ctx, cancel := r.e.Within(ctx)
	defer cancel()
	starts, err := r.adm.ListStartOffsets(ctx, names...)
	if err := firstOf(starts, err); err != nil {
		return nil, err
	}
	list := r.adm.ListEndOffsets
	if r.f.committed {
		list = r.adm.ListCommittedOffsets
	}
	ends, err := list(ctx, names...)
	if err := firstOf(ends, err); err != nil {
		return nil, err
	}
	out := map[part]bounds{}
	ends.Each(func(end kadm.ListedOffset) {
		if start, ok := starts.Lookup(end.Topic, end.Partition); ok && r.wanted(end.Partition) {
			out[part{end.Topic, end.Partition}] = bounds{start.Offset, end.Offset}
		}
	})
	return out, nil
}

// firstOf is the first error of an answer about offsets.
func firstOf(l kadm.ListedOffsets, err error) error {
	if err == nil {
		l.Each(func(o kadm.ListedOffset) {
			if o.Err != nil && err == nil {
				err = fmt.Errorf("%s partition %d: %w", o.Topic, o.Partition, o.Err)
			}
		})
	}
	return cli.Fail("offsets cannot be listed", err, "")
}

// resolve turns a place into an offset of each partition.
func (r *reader) resolve(ctx context.Context, p place, ends map[part]bounds, names []string) (map[part]int64, error) {
	out := map[part]int64{}
	if p.kind != atTime {
		for k, b := range ends {
			out[k] = p.offset(b)
		}
		return out, nil
	}
	ctx, cancel := r.e.Within(ctx)
	defer cancel()
	listed, err := r.adm.ListOffsetsAfterMilli(ctx, p.at.UnixMilli(), names...)
	if err := firstOf(listed, err); err != nil {
		return nil, err
	}
	for k, b := range ends {
		out[k] = b.end
		if o, ok := listed.Lookup(k.topic, k.n); ok && o.Offset >= 0 {
			out[k] = min(max(o.Offset, b.start), b.end)
		}
	}
	return out, nil
}

// plan finds where to begin and where to stop. In a group where to begin is asked again when it shares out.
func (r *reader) plan(ctx context.Context, topics kadm.TopicDetails) (map[string]map[int32]kgo.Offset, error) {
	names := slices.Sorted(maps.Keys(topics))
	r.reading = names
	ends, err := r.ends(ctx, names)
	if err != nil {
		return nil, err
	}
	if err := r.planStops(ctx, ends, names); err != nil || r.f.group != "" {
		return nil, err
	}
	at, err := r.resolve(ctx, r.f.begin, ends, names)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	begin := map[string]map[int32]kgo.Offset{}
	for k, offset := range at {
		if r.f.begin.kind == atOffset && offset != r.f.begin.n {
			r.e.Remark("%s partition %d has the offsets from %d to before %d; reading begins at %d", k.topic, k.n, ends[k].start, ends[k].end, offset)
		}
		r.parts[k] = &progress{at: offset}
		if r.stops != nil && offset >= r.stops[k] {
			continue // nothing of it is printed
		}
		if begin[k.topic] == nil {
			begin[k.topic] = map[int32]kgo.Offset{}
		}
		begin[k.topic][k.n] = kgo.NewOffset().At(offset)
	}
	return begin, nil
}

// planStops finds where to stop, unless that is a time still to come: it is looked up when it has come.
func (r *reader) planStops(ctx context.Context, ends map[part]bounds, names []string) error {
	s := r.f.stop
	if s == nil || s.kind == atTime && s.at.After(time.Now()) {
		return nil
	}
	stops, err := r.resolve(ctx, *s, ends, names)
	if err != nil {
		return err
	}
	if s.kind == atOffset {
		for k := range stops {
			stops[k] = s.n // it may still be to come
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stops = stops
	return nil
}

// findStops looks up where to stop now that the time to stop has come.
func (r *reader) findStops(ctx context.Context) error {
	ends, err := r.ends(ctx, r.reading)
	if err != nil {
		return err
	}
	return r.planStops(ctx, ends, r.reading)
}

// followStart moves past what was deleted under way, so that a stop in it is reached.
func (r *reader) followStart(ctx context.Context) error {
	ends, err := r.ends(ctx, r.reading)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, p := range r.parts {
		if b, ok := ends[k]; ok && p.at >= 0 {
			p.at = max(p.at, b.start)
		}
	}
	return nil
}

// findNew begins to read topics and partitions that were created since, from their start.
func (r *reader) findNew(ctx context.Context) error {
	found, err := r.find(ctx)
	if err != nil {
		return err
	}
	r.reading = slices.Sorted(maps.Keys(found))
	more := map[string]map[int32]kgo.Offset{}
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, t := range found {
		for n := range t.Partitions {
			k := part{name, n}
			if r.parts[k] != nil || !r.wanted(n) {
				continue
			}
			r.parts[k] = &progress{}
			if more[name] == nil {
				more[name] = map[int32]kgo.Offset{}
			}
			more[name][n] = kgo.NewOffset().AtStart()
		}
	}
	if len(more) > 0 {
		r.cl.AddConsumePartitions(more)
	}
	return nil
}

// fetched hears where the group stands in the partitions that it gave us, and begins at --from where it stands nowhere.
func (r *reader) fetched(ctx context.Context, at map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	names := slices.Sorted(maps.Keys(at))
	ends, err := r.ends(ctx, names)
	if err != nil {
		return nil, err
	}
	begin, err := r.resolve(ctx, r.f.begin, ends, names)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for topic, parts := range at {
		for n, o := range parts {
			k := part{topic, n}
			offset := o.EpochOffset().Offset
			if offset < 0 {
				offset = begin[k]
				parts[n] = kgo.NewOffset().At(offset)
			}
			r.parts[k] = &progress{at: offset}
		}
	}
	return at, nil
}

// startBar shows how much there is to read, where that is known and the records do not go to the terminal.
func (r *reader) startBar() {
	if terminal(r.e.Stdout()) || r.f.group != "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stops == nil {
		return
	}
	var total int64
	for k, p := range r.parts {
		total += max(r.stops[k]-p.at, 0)
	}
	r.bar = r.e.Progress("reading", total, false)
}
