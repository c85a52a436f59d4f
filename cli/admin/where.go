package admin

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"penstock/cli"
)

// maxPartition bounds the numbers of partitions that a person may name.
const maxPartition = 1 << 20

// where names topics and partitions of them; no partition means all.
type where map[string][]int32

// parseWhere reads topics as a person names them: orders, or orders:0,2-4.
func parseWhere(flag string, names []string) (where, error) {
	w := where{}
	for _, n := range names {
		topic, list, some := strings.Cut(n, ":")
		if topic == "" {
			return nil, cli.Usage("%s %s: want topic or topic:partition,from-to", flag, n)
		}
		if !some {
			w[topic] = nil
			continue
		}
		if all, ok := w[topic]; ok && all == nil {
			continue
		}
		for _, part := range strings.Split(list, ",") {
			from, to, ok := parseRange(part)
			if !ok {
				return nil, cli.Usage("%s %s: want topic or topic:partition,from-to", flag, n)
			}
			for p := from; p <= to; p++ {
				if !slices.Contains(w[topic], p) {
					w[topic] = append(w[topic], p)
				}
			}
		}
	}
	return w, nil
}

func parseRange(s string) (from, to int32, ok bool) {
	first, last, ranged := strings.Cut(s, "-")
	if !ranged {
		last = first
	}
	a, err := strconv.ParseUint(first, 10, 31)
	if err != nil {
		return 0, 0, false
	}
	b, err := strconv.ParseUint(last, 10, 31)
	return int32(a), int32(b), err == nil && a <= b && b < maxPartition
}

// topics finds topics by name, or all of them. A name that does not exist is an error with what may have been meant.
func (k *cluster) topics(ctx context.Context, names []string, internal bool) (kadm.TopicDetails, error) {
	found, err := k.ListTopicsWithInternal(ctx, names...)
	if err != nil {
		return nil, cli.Fail("topics cannot be listed", err, "")
	}
	if len(names) == 0 {
		if !internal {
			found.FilterInternal()
		}
		return found, nil
	}
	for _, n := range names {
		d, ok := found[n]
		if !ok {
			d.Err = kerr.UnknownTopicOrPartition
		}
		if d.Err == kerr.UnknownTopicOrPartition {
			return nil, k.noTopic(ctx, n)
		}
		if d.Err != nil {
			return nil, cli.Fail("topic "+n+" cannot be described", d.Err, "")
		}
	}
	return found, nil
}

// noTopic says that a topic does not exist.
func (k *cluster) noTopic(ctx context.Context, name string) error {
	next := "penstock topic list shows what there is"
	if all, err := k.ListTopicsWithInternal(ctx); err == nil {
		next = didYouMean(name, slices.Sorted(maps.Keys(all)), next)
	}
	return cli.NotFound("topic %s does not exist. %s", name, next)
}

// place is one partition of a topic.
type place struct {
	topic     string
	partition int32
}

// before orders places by topic and partition.
func (p place) compare(q place) int {
	if c := strings.Compare(p.topic, q.topic); c != 0 {
		return c
	}
	return int(p.partition) - int(q.partition)
}

// places lists the partitions that w names, in order, after looking whether they exist.
func (k *cluster) places(ctx context.Context, w where) ([]place, error) {
	if len(w) == 0 {
		return nil, nil
	}
	found, err := k.topics(ctx, slices.Sorted(maps.Keys(w)), true)
	if err != nil {
		return nil, err
	}
	var out []place
	for _, t := range slices.Sorted(maps.Keys(w)) {
		partitions := w[t]
		if partitions == nil {
			partitions = found[t].Partitions.Numbers()
		}
		for _, p := range partitions {
			if _, ok := found[t].Partitions[p]; !ok {
				return nil, cli.NotFound("topic %s has no partition %d: it has %s", t, p, count(int64(len(found[t].Partitions)), "partition"))
			}
			out = append(out, place{t, p})
		}
	}
	slices.SortFunc(out, place.compare)
	return out, nil
}

// bounds are the first offset of a partition and the one behind its last record.
type bounds struct {
	start, end int64
	err        error // neither is known
}

// bounds asks for the bounds of all partitions of topics that exist.
func (k *cluster) bounds(ctx context.Context, topics []string) (map[place]bounds, error) {
	out := map[place]bounds{}
	if len(topics) == 0 {
		return out, nil
	}
	starts, err := k.ListStartOffsets(ctx, topics...)
	if err != nil && len(starts) == 0 {
		return nil, cli.Fail("offsets cannot be listed", err, "")
	}
	ends, err := k.ListEndOffsets(ctx, topics...)
	if err != nil && len(ends) == 0 {
		return nil, cli.Fail("offsets cannot be listed", err, "")
	}
	ends.Each(func(end kadm.ListedOffset) {
		b := bounds{end: end.Offset, err: end.Err}
		start, ok := starts.Lookup(end.Topic, end.Partition)
		switch {
		case !ok:
			b.err = kerr.UnknownTopicOrPartition
		case start.Err != nil:
			b.err = start.Err
		}
		b.start = start.Offset
		out[place{end.Topic, end.Partition}] = b
	})
	return out, nil
}

// at looks up bounds; a partition that nobody answered for has an error.
func at(m map[place]bounds, p place) bounds {
	if b, ok := m[p]; ok {
		return b
	}
	return bounds{err: kerr.UnknownTopicOrPartition}
}

// sizes asks for the bytes of partitions on their leaders' disks. What is not known is not in the answer; the error says why.
func (k *cluster) sizes(ctx context.Context, topics kadm.TopicDetails) (map[place]int64, error) {
	set := topics.TopicsSet()
	out := map[place]int64{}
	if len(set) == 0 {
		return out, nil
	}
	dirs, err := k.DescribeAllLogDirs(ctx, set)
	for broker, of := range dirs {
		if e := of.Error(); e != nil && err == nil {
			err = e
		}
		of.EachPartition(func(p kadm.DescribedLogDirPartition) {
			if t, ok := topics[p.Topic]; ok && !p.IsFuture && t.Partitions[p.Partition].Leader == broker {
				out[place{p.Topic, p.Partition}] = p.Size
			}
		})
	}
	return out, err
}
