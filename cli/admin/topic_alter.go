package admin

import (
	"context"
	"slices"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"penstock/cli"
)

func newTopicAlter(e *cli.Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "alter NAME",
		Short: "Change partitions and configuration of a topic",
		Long: `Changes the configuration of a topic and adds partitions, which no one can take away again: records with a key go to
other partitions from then on. The cluster checks all of it before anything is changed.`,
		Example: `  penstock topic alter orders --partitions 12
  penstock topic alter orders --set retention.ms=86400000 --unset segment.ms
  penstock topic alter orders --append cleanup.policy=compact --dry-run`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: oneOf(e.CompleteTopics()),
	}
	f := c.Flags()
	partitions := f.Int32("partitions", 0, "that the topic shall have; 0 leaves them")
	set := f.StringArray("set", nil, "`key=value`, may be repeated")
	unset := f.StringArray("unset", nil, "`key` that shall have its default again, may be repeated")
	add := f.StringArray("append", nil, "`key=value` to add to a list, may be repeated")
	subtract := f.StringArray("subtract", nil, "`key=value` to take from a list, may be repeated")
	for _, flag := range []string{"set", "append", "subtract"} {
		complete(c, flag, completeTopicKeys(e, "="))
	}
	complete(c, "unset", completeTopicKeys(e, ""))
	dry := f.Bool("dry-run", false, "check only")
	force := f.Bool("force", false, "also keys that the cluster does not describe")
	c.RunE = func(c *cobra.Command, args []string) error {
		o := &edits{unset: slices.Compact(slices.Sorted(slices.Values(*unset))), force: *force}
		for _, of := range []struct {
			flag  string
			words []string
			to    *[]pair
		}{{"--set", *set, &o.set}, {"--append", *add, &o.add}, {"--subtract", *subtract, &o.subtract}} {
			pairs, err := parsePairs(of.flag, of.words)
			if err != nil {
				return err
			}
			*of.to = pairs
		}
		if *partitions < 0 {
			return cli.Usage("--partitions %d: want more than the topic has", *partitions)
		}
		if o.empty() && *partitions == 0 {
			return cli.Usage("nothing to change: want --partitions, --set, --unset, --append or --subtract")
		}
		return withCluster(e, func(ctx context.Context, k *cluster, args []string) error {
			return k.alterTopic(ctx, args[0], o, int(*partitions), *dry)
		})(c, args)
	}
	return c
}

// alteredTopic is what topic alter shows.
type alteredTopic struct {
	Topic      string     `json:"topic"`
	Applied    bool       `json:"applied"`
	Partitions *grown     `json:"partitions"` // null: left as they are
	Changes    []editView `json:"changes"`
}

// grown is a number of partitions that changes.
type grown struct {
	Before int `json:"before"`
	After  int `json:"after"`
}

// alterTopic checks all changes, and then makes them.
func (k *cluster) alterTopic(ctx context.Context, name string, o *edits, partitions int, dry bool) error {
	found, err := k.topics(ctx, []string{name}, true)
	if err != nil {
		return err
	}
	v := alteredTopic{Topic: name, Applied: !dry, Changes: []editView{}}
	if partitions > 0 {
		v.Partitions = &grown{len(found[name].Partitions), partitions}
		if v.Partitions.After <= v.Partitions.Before {
			return cli.Usage("--partitions %d: topic %s has %d, and partitions can only be added", partitions, name, v.Partitions.Before)
		}
		if err := k.grow(ctx, name, partitions, true); err != nil {
			return err
		}
	}
	if !o.empty() {
		if v.Changes, err = k.edit(ctx, resource{kindTopic, name}, o, true); err != nil {
			return err
		}
	}
	if !dry {
		if !o.empty() {
			if _, err := k.edit(ctx, resource{kindTopic, name}, o, false); err != nil {
				return err
			}
		}
		if partitions > 0 {
			if err := k.grow(ctx, name, partitions, false); err != nil {
				return err
			}
		}
	}
	return k.env.Emit(v, func(t *cli.Table) {
		if v.Partitions != nil {
			t.Note("%s: %d partitions, before %d", name, v.Partitions.After, v.Partitions.Before)
		}
		printEdits(t, v.Changes)
		if dry {
			t.Note("Nothing was changed: --dry-run")
		}
	})
}

// grow gives a topic more partitions, or checks whether it could have them.
func (k *cluster) grow(ctx context.Context, name string, partitions int, check bool) error {
	f := k.UpdatePartitions
	if check {
		f = k.ValidateUpdatePartitions
	}
	what := "topic " + name + " got no more partitions"
	answers, err := f(ctx, partitions, name)
	if err != nil {
		return cli.Fail(what, err, "")
	}
	var a kadm.CreatePartitionsResponse
	a, ok := answers[name]
	if !ok {
		return cli.Fail(what, errNoAnswer, "")
	}
	return refused(what, a.Err, a.ErrMessage, "")
}
