package admin

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"penstock/cli"
)

// goneView is what group forget and group delete show.
type goneView struct {
	Group    string       `json:"group"`
	State    string       `json:"state"`
	Applied  bool         `json:"applied"`
	UndoFile string       `json:"undo_file,omitempty"`
	Offsets  []undoOffset `json:"offsets"` // that go
}

func (v *goneView) print(t *cli.Table, what string) {
	if len(v.Offsets) > 0 {
		t.Header("topic", "partition", "committed", "metadata")
		for _, o := range v.Offsets {
			t.Row(o.Topic, o.Partition, or(o.Offset, "-"), o.Metadata)
		}
	}
	if !v.Applied {
		t.Note("%s would be deleted. --apply does it", what)
		return
	}
	t.Note("%s deleted", what)
	if v.UndoFile != "" {
		t.Note("To take it back: penstock group seek %s --from %s --apply", v.Group, v.UndoFile)
	}
}

func newGroupDelete(e *cli.Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "delete GROUP",
		Short: "Delete a consumer group with its offsets",
		Long: `Deletes a group with all that it has committed. Without --apply it only shows what would go. With it a file is written first from
which group seek --from makes the offsets again. The group must have no members.`,
		Example: `  penstock group delete shop
  penstock group delete shop --apply`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: oneOf(e.CompleteGroups()),
	}
	o := addApply(c)
	c.RunE = withCluster(e, func(ctx context.Context, k *cluster, args []string) error {
		o.command, o.now = "group delete", time.Now()
		return k.deleteGroup(ctx, args[0], o)
	})
	return c
}

func (k *cluster) deleteGroup(ctx context.Context, name string, o *applying) error {
	g, err := k.group(ctx, name)
	if err != nil {
		return err
	}
	if g == nil {
		return k.noGroup(ctx, name)
	}
	places := slices.SortedFunc(maps.Keys(g.committed), place.compare)
	v := goneView{Group: name, State: g.state, Applied: o.apply, Offsets: undoOf(places, g.committed)}
	what := "group " + name + " was not deleted"
	if o.apply {
		if err := g.busy(what); err != nil {
			return err
		}
		if len(places) > 0 {
			if v.UndoFile, err = o.save(ctx, k, name, v.Offsets); err != nil {
				return err
			}
		}
		if err := k.dropGroup(ctx, name); err != nil {
			return cli.Fail(what, err, "")
		}
	}
	err = k.env.Emit(v, func(t *cli.Table) {
		v.print(t, "group "+name+" with "+count(int64(len(places)), "committed offset"))
	})
	if err == nil && !o.apply && g.active() {
		k.env.Remark("--apply would be refused now: the group is in use: %s", g.who())
	}
	return err
}

func (k *cluster) dropGroup(ctx context.Context, name string) error {
	answers, err := k.DeleteGroups(ctx, name)
	if err != nil {
		return err
	}
	a, ok := answers[name]
	if !ok {
		return errNoAnswer
	}
	return a.Err
}

func newGroupForget(e *cli.Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "forget GROUP --topic TOPIC[:PARTITION,...]",
		Short: "Delete committed offsets of a consumer group",
		Long: `Deletes what a group has committed for topics or partitions: a topic that is gone, or one that the group no longer reads and that
still shows lag. Without --apply it only shows what would go. With it a file is written first from which group seek --from makes the
offsets again. No member may subscribe to the topics.`,
		Example: `  penstock group forget shop --topic orders
  penstock group forget shop --topic orders:0,2-4 --apply`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: oneOf(e.CompleteGroups()),
	}
	topics := c.Flags().StringArray("topic", nil, "`topic[:partition,from-to]`, may be repeated")
	complete(c, "topic", e.CompleteTopics())
	o := addApply(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		w, err := parseWhere("--topic", *topics)
		if err != nil {
			return err
		}
		if len(w) == 0 {
			return cli.Usage("want --topic; penstock group delete takes all")
		}
		o.command, o.now = "group forget", time.Now()
		return withCluster(e, func(ctx context.Context, k *cluster, args []string) error {
			return k.forgetOffsets(ctx, args[0], w, o)
		})(c, args)
	}
	return c
}

func (k *cluster) forgetOffsets(ctx context.Context, name string, w where, o *applying) error {
	g, err := k.group(ctx, name)
	if err != nil {
		return err
	}
	if g == nil {
		return k.noGroup(ctx, name)
	}
	set := kadm.TopicsSet{}
	places := slices.SortedFunc(maps.Keys(g.committed), place.compare)
	places = slices.DeleteFunc(places, func(p place) bool {
		partitions, named := w[p.topic]
		return !named || partitions != nil && !slices.Contains(partitions, p.partition)
	})
	if len(places) == 0 {
		return cli.NotFound("group %s has committed nothing there. penstock group describe %s shows where it has", name, name)
	}
	for _, p := range places {
		set.Add(p.topic, p.partition)
	}
	v := goneView{Group: name, State: g.state, Applied: o.apply, Offsets: undoOf(places, g.committed)}
	if o.apply {
		owners := g.owners()
		if slices.ContainsFunc(places, func(p place) bool { return owners[p] != "" }) {
			return g.busy("offsets were not deleted")
		}
		if v.UndoFile, err = o.save(ctx, k, name, v.Offsets); err != nil {
			return err
		}
		if err := k.forget(ctx, name, set); err != nil {
			next := "What was committed stands in " + v.UndoFile
			if errors.Is(err, kerr.GroupSubscribedToTopic) {
				next = "The group is in use: " + g.who() + ". Stop its consumers and try again"
			}
			return cli.Fail("offsets of group "+name+" were not all deleted", err, next)
		}
	}
	return k.env.Emit(v, func(t *cli.Table) { v.print(t, count(int64(len(places)), "committed offset")) })
}
