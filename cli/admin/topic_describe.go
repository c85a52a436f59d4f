package admin

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"penstock/cli"
)

// topicView is a topic as topic describe shows it. What is null is not known.
type topicView struct {
	Name       string          `json:"name"`
	ID         string          `json:"id,omitempty"`
	Internal   bool            `json:"internal"`
	Layout     string          `json:"layout,omitempty"` // where the cluster has layouts
	Format     string          `json:"format,omitempty"` // where the cluster has formats
	Records    *int64          `json:"records"`          // between first and end offset, over all partitions
	Bytes      *int64          `json:"bytes"`            // on the leaders' disks
	Partitions []partitionView `json:"partitions"`
	Configs    []configView    `json:"configs"` // that differ from their defaults
	Error      string          `json:"error,omitempty"`
}

// partitionView is a partition as topic describe shows it.
type partitionView struct {
	Partition int32   `json:"partition"`
	Leader    *int32  `json:"leader"` // null: none
	Epoch     int32   `json:"epoch"`
	Replicas  []int32 `json:"replicas"`
	InSync    []int32 `json:"in_sync"`
	Offline   []int32 `json:"offline"`
	Start     *int64  `json:"start"` // first offset
	End       *int64  `json:"end"`   // offset behind the last record
	Bytes     *int64  `json:"bytes"`
	Error     string  `json:"error,omitempty"`
}

func newTopicDescribe(e *cli.Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "describe [NAME...]",
		Short: "Show partitions, offsets, sizes and configuration of topics",
		Long: `Shows of each topic its partitions with leader, replicas, offsets and size on the leader's disk, and the configuration that
differs from the defaults. Without a name it shows all topics but internal ones.`,
		Example: `  penstock topic describe orders
  penstock topic describe -o json`,
		ValidArgsFunction: e.CompleteTopics(),
	}
	c.RunE = withCluster(e, func(ctx context.Context, k *cluster, args []string) error {
		views, err := k.describeTopics(ctx, args)
		if err != nil {
			return err
		}
		return e.Emit(views, func(t *cli.Table) {
			for i := range views {
				if i > 0 {
					t.Note("")
				}
				views[i].print(t)
			}
		})
	})
	return c
}

func (k *cluster) describeTopics(ctx context.Context, names []string) ([]topicView, error) {
	found, err := k.topics(ctx, names, false)
	if err != nil {
		return nil, err
	}
	whole := slices.Sorted(maps.Keys(found))
	fit := slices.DeleteFunc(slices.Clone(whole), func(n string) bool { return found[n].Err != nil })
	all, err := k.bounds(ctx, fit)
	if err != nil {
		return nil, err
	}
	sizes, err := k.sizes(ctx, found)
	if err != nil {
		k.env.Remark("sizes are not all known: %v", reason(err))
	}
	set, err := k.describeConfigs(ctx, topicResources(fit))
	if err != nil {
		k.env.Remark("configuration is not known: %v", reason(err))
	}
	views := []topicView{}
	for _, n := range whole {
		v := viewTopic(found[n], all, sizes)
		for _, c := range set[resource{kindTopic, n}].configs {
			switch {
			case c.Key == layoutKey && c.Value != nil:
				v.Layout = *c.Value
			case c.Key == formatKey && c.Value != nil:
				v.Format = *c.Value
			case c.differs():
				c.Doc = "" // config get tells it
				v.Configs = append(v.Configs, c)
			}
		}
		views = append(views, v)
	}
	return views, nil
}

// viewTopic puts together what is known of a topic.
func viewTopic(d kadm.TopicDetail, all map[place]bounds, sizes map[place]int64) topicView {
	v := topicView{
		Name: d.Topic, ID: idOf(d.ID), Internal: d.IsInternal, Error: reason(d.Err),
		Records: new(int64), Bytes: new(int64), Partitions: []partitionView{}, Configs: []configView{},
	}
	for _, p := range d.Partitions.Sorted() {
		pv := partitionView{
			Partition: p.Partition, Epoch: p.LeaderEpoch, Error: reason(p.Err),
			Replicas: listed(p.Replicas), InSync: listed(p.ISR), Offline: listed(p.OfflineReplicas),
		}
		if p.Leader >= 0 {
			pv.Leader = &p.Leader
		}
		b := at(all, place{d.Topic, p.Partition})
		switch {
		case b.err == nil:
			pv.Start, pv.End = &b.start, &b.end
		case pv.Error == "":
			pv.Error = reason(b.err)
		}
		if n, ok := sizes[place{d.Topic, p.Partition}]; ok {
			pv.Bytes = &n
		}
		v.Bytes = plus(v.Bytes, pv.Bytes)
		if pv.Start != nil {
			n := b.end - b.start
			v.Records = plus(v.Records, &n)
		} else {
			v.Records = nil
		}
		v.Partitions = append(v.Partitions, pv)
	}
	return v
}

// listed is a list that JSON shows as [] when it is empty.
func listed(l []int32) []int32 {
	if l == nil {
		return []int32{}
	}
	return l
}

// plus adds two numbers; what is unknown makes the sum unknown.
func plus(a, b *int64) *int64 {
	if a == nil || b == nil {
		return nil
	}
	sum := *a + *b
	return &sum
}

func (v *topicView) print(t *cli.Table) {
	head := v.Name + ": " + count(int64(len(v.Partitions)), "partition")
	if v.Records != nil {
		head += ", " + count(*v.Records, "record")
	}
	if v.Bytes != nil {
		head += ", " + cli.Bytes(*v.Bytes)
	}
	if v.ID != "" {
		head += ", id " + v.ID
	}
	if v.Internal {
		head += ", internal"
	}
	if v.Layout == layouts[1] {
		head += ", on the shared log"
	}
	if v.Format == formats[1] {
		head += ", RocketMQ's messages"
	}
	t.Note("%s", head)
	if v.Error != "" {
		t.Note("  %s", v.Error)
	}
	t.Header("partition", "leader", "epoch", "replicas", "in-sync", "start", "end", "size", "")
	for _, p := range v.Partitions {
		t.Row(p.Partition, or(p.Leader, "none"), p.Epoch, numbers(p.Replicas), numbers(p.InSync), or(p.Start, "-"), or(p.End, "-"), sized(p.Bytes), p.Error)
	}
	if len(v.Configs) > 0 {
		t.Header("config", "value", "source", "default")
		for _, c := range v.Configs {
			t.Row(c.Key, c.shown(), c.Source, or(c.Default, "-"))
		}
	}
}

// numbers shows a list of brokers or partitions.
func numbers(l []int32) string {
	if len(l) == 0 {
		return "-"
	}
	words := make([]string, len(l))
	for i, n := range l {
		words[i] = strconv.Itoa(int(n))
	}
	return strings.Join(words, ",")
}
