package admin

import (
	"context"
	"encoding/base64"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"penstock/cli"
)

func newTopic(e *cli.Env) *cobra.Command {
	return parent(&cobra.Command{
		Use:   "topic",
		Short: "Create, list, describe, alter, delete and trim topics",
		Long:  "Looks after the topics of any Kafka cluster.",
		Example: `  penstock topic create orders --partitions 6
  penstock topic list`,
	}, newTopicCreate(e), newTopicList(e), newTopicDescribe(e), newTopicAlter(e), newTopicDelete(e), newTopicTrim(e))
}

// topicRow is a topic as topic list and topic create show it.
type topicRow struct {
	Name       string `json:"name"`
	ID         string `json:"id,omitempty"`
	Partitions int32  `json:"partitions"`
	Replicas   int32  `json:"replicas"`
	Internal   bool   `json:"internal,omitempty"`
	Error      string `json:"error,omitempty"`
}

// idOf is a topic's id as Kafka's tools write it, "" where the cluster has none.
func idOf(id kadm.TopicID) string {
	if id == (kadm.TopicID{}) {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(id[:])
}

func newTopicList(e *cli.Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "list [PATTERN]",
		Short: "List topics",
		Long:  "Lists topics by name. A pattern has * for any letters, ? for one and [a-z] for one of some.",
		Example: `  penstock topic list
  penstock topic list 'orders-*' -o json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: e.CompleteTopics(),
	}
	internal := c.Flags().Bool("internal", false, "also internal topics")
	c.RunE = withCluster(e, func(ctx context.Context, k *cluster, args []string) error {
		pattern := "*"
		if len(args) == 1 {
			pattern = args[0]
		}
		if _, err := path.Match(pattern, ""); err != nil {
			return cli.Usage("pattern %s: %v", pattern, err)
		}
		found, err := k.topics(ctx, nil, *internal)
		if err != nil {
			return err
		}
		rows := []topicRow{}
		for _, d := range found {
			if ok, _ := path.Match(pattern, d.Topic); ok { // the pattern has been looked at
				rows = append(rows, topicRow{d.Topic, idOf(d.ID), int32(len(d.Partitions)), int32(d.Partitions.NumReplicas()), d.IsInternal, reason(d.Err)})
			}
		}
		slices.SortFunc(rows, func(a, b topicRow) int { return place{a.Name, 0}.compare(place{b.Name, 0}) })
		return e.Emit(rows, func(t *cli.Table) {
			t.Header("name", "partitions", "replicas", "id")
			for _, r := range rows {
				t.Row(r.Name, r.Partitions, r.Replicas, r.ID)
			}
		})
	})
	return c
}

func newTopicCreate(e *cli.Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "create NAME...",
		Short: "Create topics",
		Long: `Creates topics. Where --partitions or --replicas are not given the cluster's own defaults hold. With --dry-run the cluster
checks everything and creates nothing.

Penstock's topics have a layout, how partitions lie on logs: segment, a log for each, or commit, one log for many; and a format,
what is stored: record, Kafka's, or message, RocketMQ's, whose rules for names hold then. Clients of both read and write both.
Neither can be altered. --layout and --format are short for --config penstock.layout and penstock.format.`,
		Example: `  penstock topic create orders --partitions 6
  penstock topic create events --partitions 1000 --layout commit
  penstock topic create payments-mq --format message --config rocketmq.perm=6
  penstock topic create orders payments --config retention.ms=86400000 --config penstock.durability=relaxed
  penstock topic create orders --if-missing`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := c.Flags()
	partitions := f.Int32("partitions", -1, "of each topic; -1 is the cluster's default")
	replicas := f.Int16("replicas", -1, "of each partition; -1 is the cluster's default")
	layout := f.String("layout", "", "how partitions lie on logs: segment or commit; the cluster's default")
	format := f.String("format", "", "what is stored: record or message; record")
	config := f.StringArray("config", nil, "`key=value`, may be repeated")
	complete(c, "layout", cobra.FixedCompletions(layouts, cobra.ShellCompDirectiveNoFileComp))
	complete(c, "format", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	missing := f.Bool("if-missing", false, "leave out those that exist")
	dry := f.Bool("dry-run", false, "check only")
	c.RunE = func(c *cobra.Command, args []string) error {
		if *partitions < 1 && *partitions != -1 {
			return cli.Usage("--partitions %d: want 1 or more", *partitions)
		}
		if *replicas < 1 && *replicas != -1 {
			return cli.Usage("--replicas %d: want 1 or more", *replicas)
		}
		pairs, err := parsePairs("--config", *config)
		if err != nil {
			return err
		}
		for _, chosen := range []struct {
			flag, key, value string
			words            []string
		}{{"--layout", layoutKey, *layout, layouts}, {"--format", formatKey, *format, formats}} {
			if pairs, err = choose(pairs, chosen.flag, chosen.key, chosen.value, chosen.words); err != nil {
				return err
			}
		}
		o := creation{*partitions, *replicas, pairs, *missing, *dry}
		return withCluster(e, o.run)(c, args)
	}
	return c
}

// What is chosen when one of Penstock's topics is created, and the words for it.
const (
	layoutKey = "penstock.layout"
	formatKey = "penstock.format"
)

var (
	layouts = []string{"segment", "commit"}
	formats = []string{"record", "message"}
)

// choose adds what a flag says to the configuration, which must not say it too.
func choose(pairs []pair, flag, key, value string, words []string) ([]pair, error) {
	if value == "" {
		return pairs, nil
	}
	if !slices.Contains(words, value) {
		return nil, cli.Usage("%s %s: want %s", flag, value, strings.Join(words, " or "))
	}
	if slices.ContainsFunc(pairs, func(p pair) bool { return p.key == key }) {
		return nil, cli.Usage("%s and --config %s are the same: give one of them", flag, key)
	}
	return append(pairs, pair{key, value}), nil
}

// creation is how topics are created.
type creation struct {
	partitions   int32
	replicas     int16
	config       []pair
	missing, dry bool
}

func (o *creation) run(ctx context.Context, k *cluster, names []string) error {
	slices.Sort(names)
	names = slices.Compact(names)
	if o.missing {
		all, err := k.topics(ctx, nil, true)
		if err != nil {
			return err
		}
		names = slices.DeleteFunc(names, func(n string) bool {
			_, is := all[n]
			if is {
				k.env.Remark("topic %s exists", n)
			}
			return is
		})
	}
	config := map[string]*string{}
	for _, p := range o.config {
		config[p.key] = &p.value
	}
	create := k.CreateTopics
	if o.dry {
		create = k.ValidateCreateTopics
	}
	answers, err := create(ctx, o.partitions, o.replicas, config, names...)
	if err != nil {
		return cli.Fail("topics were not created", err, "")
	}
	rows := []topicRow{}
	var failed []error
	for _, n := range names {
		a, ok := answers[n]
		if !ok {
			a.Err = errNoAnswer
		}
		why := refused("topic "+n+" was not created", a.Err, a.ErrMessage, "")
		if why != nil {
			failed = append(failed, o.advise(ctx, k, why))
		}
		rows = append(rows, topicRow{Name: n, ID: idOf(a.ID), Partitions: a.NumPartitions, Replicas: int32(a.ReplicationFactor), Error: reason(a.Err)})
	}
	created := slices.DeleteFunc(slices.Clone(rows), func(r topicRow) bool { return r.Error != "" })
	err = k.env.Emit(rows, func(t *cli.Table) {
		if len(created) == 0 {
			return
		}
		t.Header("created", "partitions", "replicas", "id")
		for _, r := range created {
			t.Row(r.Name, r.Partitions, r.Replicas, r.ID)
		}
		if o.dry {
			t.Note("Nothing was created: --dry-run")
		}
	})
	if err != nil {
		return err
	}
	return some(failed, len(names), "created")
}

func newTopicDelete(e *cli.Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "delete NAME...",
		Short: "Delete topics with all their records",
		Long: `Deletes topics with all their records, which nothing brings back. It asks on a terminal; elsewhere --yes is wanted. If one of the
names does not exist nothing is deleted.`,
		Example: `  penstock topic delete orders
  penstock topic delete orders payments --yes`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: e.CompleteTopics(),
	}
	yes := c.Flags().BoolP("yes", "y", false, "do not ask")
	c.RunE = withCluster(e, func(ctx context.Context, k *cluster, args []string) error {
		slices.Sort(args)
		return k.deleteTopics(ctx, slices.Compact(args), *yes)
	})
	return c
}

// deletedTopic is a topic that topic delete took away.
type deletedTopic struct {
	Name       string `json:"name"`
	Partitions int    `json:"partitions"`
	Records    *int64 `json:"records"` // null where a partition did not tell
	Error      string `json:"error,omitempty"`
}

func (k *cluster) deleteTopics(ctx context.Context, names []string, yes bool) error {
	found, err := k.topics(ctx, names, true)
	if err != nil {
		return err
	}
	all, err := k.bounds(ctx, names)
	if err != nil {
		return err
	}
	rows, sum := []deletedTopic{}, int64(0)
	for _, n := range names {
		row := deletedTopic{Name: n, Partitions: len(found[n].Partitions), Records: new(int64)}
		for _, p := range found[n].Partitions.Numbers() {
			b := at(all, place{n, p})
			if b.err != nil {
				row.Records = nil
				break
			}
			*row.Records += b.end - b.start
			sum += b.end - b.start
		}
		rows = append(rows, row)
	}
	if !yes {
		if !k.env.Interactive() {
			return cli.Usage("nothing was deleted: here nobody can be asked. --yes deletes %s with %s", count(int64(len(names)), "topic"), count(sum, "record"))
		}
		for _, r := range rows {
			k.env.Remark("%s: %s, %v records", r.Name, count(int64(r.Partitions), "partition"), or(r.Records, "unknown"))
		}
		if !k.env.Confirm("Delete " + count(int64(len(names)), "topic") + "?") {
			return &cli.Error{What: "nothing was deleted", Code: cli.ExitFailed}
		}
	}
	answers, err := k.DeleteTopics(ctx, names...)
	if err != nil {
		return cli.Fail("topics were not deleted", err, "")
	}
	var failed []error
	for i := range rows {
		a, ok := answers[rows[i].Name]
		if !ok {
			a.Err = errNoAnswer
		}
		if why := refused("topic "+rows[i].Name+" was not deleted", a.Err, a.ErrMessage, ""); why != nil {
			failed, rows[i].Error = append(failed, why), reason(a.Err)
		}
	}
	err = k.env.Emit(rows, func(t *cli.Table) {
		t.Header("deleted", "partitions", "records")
		for _, r := range rows {
			if r.Error == "" {
				t.Row(r.Name, r.Partitions, or(r.Records, "-"))
			}
		}
	})
	if err != nil {
		return err
	}
	return some(failed, len(names), "deleted")
}
