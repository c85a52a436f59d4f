package admin

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"penstock/cli"
)

func newGroupSeek(e *cli.Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "seek GROUP",
		Short: "Move the committed offsets of a consumer group",
		Long: `Moves what a group has committed: to the first or the last record, to a time, to an offset, by a number of records, or to what a
file from an earlier change says. Without --apply it only shows what would be read again or left out. With it a file is written
first that takes the change back, and then the offsets are committed. The group must have no members.

--to takes earliest, latest, or a time: ` + timeHelp + `.
Offsets that a partition does not have become its first or last. Without --topic it moves all that the group has committed;
topics that are named may be new to the group, and the group may be new.`,
		Example: `  penstock group seek shop --to -1h
  penstock group seek shop --to earliest --topic orders:0,2-4 --apply
  penstock group seek shop --by -100 --apply
  penstock group seek shop --from undo-shop-20260131T120000.000.json --apply`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: oneOf(e.CompleteGroups()),
	}
	f := c.Flags()
	to := f.String("to", "", "earliest, latest or a `time`")
	offset := f.Int64("offset", 0, "offset to move to")
	by := f.Int64("by", 0, "records to go on, or back if negative")
	from := f.String("from", "", "undo `file` to take offsets from")
	topics := f.StringArray("topic", nil, "`topic[:partition,from-to]`, may be repeated")
	complete(c, "topic", e.CompleteTopics())
	complete(c, "to", cobra.FixedCompletions([]string{"earliest", "latest", "now"}, cobra.ShellCompDirectiveNoFileComp))
	o := addApply(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		given := 0
		for _, name := range []string{"to", "offset", "by", "from"} {
			if c.Flags().Changed(name) {
				given++
			}
		}
		if given != 1 {
			return cli.Usage("want one of --to, --offset, --by and --from")
		}
		w, err := parseWhere("--topic", *topics)
		if err != nil {
			return err
		}
		s := &seek{group: args[0], where: w, applying: *o}
		s.command, s.now = "group seek", time.Now()
		switch {
		case c.Flags().Changed("from"):
			s.file, err = readUndo(*from)
		case c.Flags().Changed("to"):
			s.target, err = parseTarget(*to, s.now)
		case c.Flags().Changed("by"):
			s.target = &target{way: byShift, offset: *by}
		case *offset < 0:
			err = cli.Usage("--offset %d: want 0 or more; --by goes back", *offset)
		default:
			s.target = &target{way: byOffset, offset: *offset}
		}
		if err != nil {
			return err
		}
		return withCluster(e, func(ctx context.Context, k *cluster, _ []string) error { return s.run(ctx, k) })(c, args)
	}
	return c
}

// oneOf completes the first argument only.
func oneOf(f cli.Complete) cli.Complete {
	return func(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return f(c, args, begun)
	}
}

// parseTarget reads the value of --to.
func parseTarget(s string, now time.Time) (*target, error) {
	switch s {
	case "earliest":
		return &target{way: toEarliest}, nil
	case "latest":
		return &target{way: toLatest}, nil
	}
	t, err := parseTime("--to", s, now)
	if err != nil && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz") == "" {
		return nil, cli.Usage("--to %s: want earliest, latest, or a time: %s", s, timeHelp)
	}
	return &target{way: byTime, time: t, now: now}, err
}

// applying is how a change of committed offsets is carried out.
type applying struct {
	apply   bool
	undo    string // where the undo file goes; "" is a name made of group and time
	command string
	now     time.Time
}

// addApply adds the flags of a command that shows first and acts with --apply.
func addApply(c *cobra.Command) *applying {
	o := &applying{}
	c.Flags().BoolVar(&o.apply, "apply", false, "do it")
	c.Flags().StringVar(&o.undo, "undo", "", "`file` to write that takes it back; the default is undo-GROUP-TIME.json")
	return o
}

// save writes the undo file of a change and returns its name.
func (o *applying) save(ctx context.Context, k *cluster, group string, offsets []undoOffset) (string, error) {
	u := &undoFile{Version: undoVersion, Group: group, Time: o.now.UTC(), Command: o.command, Offsets: offsets}
	if m, err := k.BrokerMetadata(ctx); err == nil {
		u.Cluster = m.Cluster
	}
	name := o.undo
	if name == "" {
		name = undoName(group, o.now)
	}
	return name, u.write(name)
}

// seek moves what a group has committed.
type seek struct {
	group  string
	where  where
	target *target
	file   *undoFile // or where offsets come from
	applying
}

// seekView is what group seek shows.
type seekView struct {
	Group      string  `json:"group"`
	State      string  `json:"state"` // "" for a group that does not exist yet
	Applied    bool    `json:"applied"`
	UndoFile   string  `json:"undo_file,omitempty"`
	Again      int64   `json:"again"`   // records that will be read again
	Skipped    int64   `json:"skipped"` // records that will not be read
	Partitions []moved `json:"partitions"`
}

// moved is a committed offset that moves. What is null is not committed.
type moved struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Committed *int64 `json:"committed"`
	To        *int64 `json:"to"`
	Start     int64  `json:"start"`
	End       int64  `json:"end"`
	Change    *int64 `json:"change"` // to - committed; negative is read again
	Note      string `json:"note,omitempty"`
	offset    kadm.Offset
}

func (s *seek) run(ctx context.Context, k *cluster) error {
	g, err := k.group(ctx, s.group)
	if err != nil {
		return err
	}
	if g == nil {
		if len(s.where) == 0 && s.file == nil {
			return k.noGroup(ctx, s.group)
		}
		g = &group{name: s.group, state: "Dead", committed: map[place]kadm.Offset{}}
		k.env.Remark("group %s does not exist yet", s.group)
	}
	if s.file != nil && s.file.Group != s.group {
		k.env.Remark("the offsets are those of group %s", s.file.Group)
	}
	if s.apply {
		if err := g.busy("offsets were not moved"); err != nil {
			return err
		}
	}
	rows, err := s.plan(ctx, k, g)
	if err != nil {
		return err
	}
	v := seekView{Group: s.group, State: g.state, Applied: s.apply, Partitions: rows}
	for i := range rows {
		if c := rows[i].Change; c != nil {
			v.Again += max(-*c, 0)
			v.Skipped += max(*c, 0)
		}
	}
	if s.apply {
		if v.UndoFile, err = s.move(ctx, k, g, rows); err != nil {
			return err
		}
	}
	if err := k.env.Emit(v, v.print); err != nil {
		return err
	}
	if !s.apply && g.active() {
		k.env.Remark("--apply would be refused now: the group is in use: %s", g.who())
	}
	return nil
}

func (v *seekView) print(t *cli.Table) {
	t.Header("topic", "partition", "committed", "to", "change", "start", "end", "")
	for _, r := range v.Partitions {
		change := "-"
		if r.Change != nil {
			change = fmt.Sprintf("%+d", *r.Change)
		}
		t.Row(r.Topic, r.Partition, or(r.Committed, "-"), or(r.To, "-"), change, r.Start, r.End, r.Note)
	}
	if v.Applied {
		t.Note("Moved. %s again, %d left out", count(v.Again, "record")+" will be read", v.Skipped)
		t.Note("To take it back: penstock group seek %s --from %s --apply", v.Group, v.UndoFile)
		return
	}
	t.Note("%s would be read again, %d left out. --apply does it", count(v.Again, "record"), v.Skipped)
}

// plan says what would move where.
func (s *seek) plan(ctx context.Context, k *cluster, g *group) ([]moved, error) {
	if s.file != nil {
		return s.planFile(ctx, k, g)
	}
	places, err := k.places(ctx, s.where)
	if err != nil {
		return nil, err
	}
	if len(s.where) == 0 {
		if places, err = k.living(ctx, slices.SortedFunc(maps.Keys(g.committed), place.compare)); err != nil {
			return nil, err
		}
		if len(places) == 0 {
			return nil, cli.NotFound("group %s has committed nothing that could be moved. --topic names where to begin", s.group)
		}
	}
	to, err := s.target.resolve(ctx, k, places, g.committed)
	if err != nil {
		return nil, err
	}
	rows := []moved{}
	for _, p := range places {
		r := to[p]
		if r.err != nil {
			return nil, cli.Fail("no offset for topic "+p.topic+", partition "+strconv.Itoa(int(p.partition))+", and nothing was moved", r.err, "")
		}
		row := newMoved(p, g, r.bounds)
		row.moveTo(kadm.Offset{Topic: p.topic, Partition: p.partition, At: r.offset, LeaderEpoch: -1})
		rows = append(rows, row)
	}
	return rows, nil
}

// living leaves out places whose topic is gone, and says so.
func (k *cluster) living(ctx context.Context, places []place) ([]place, error) {
	topics := topicsOf(places)
	if len(topics) == 0 {
		return nil, nil
	}
	found, err := k.ListTopicsWithInternal(ctx, topics...)
	if err != nil {
		return nil, cli.Fail("topics cannot be listed", err, "")
	}
	return slices.DeleteFunc(places, func(p place) bool {
		d, ok := found[p.topic]
		if _, is := d.Partitions[p.partition]; ok && is {
			return false
		}
		k.env.Remark("topic %s, partition %d, is gone and left out", p.topic, p.partition)
		return true
	}), nil
}

// planFile says what a file makes of the group: exactly what stood in it, also where a partition no longer has that offset.
func (s *seek) planFile(ctx context.Context, k *cluster, g *group) ([]moved, error) {
	var places []place
	from := map[place]undoOffset{}
	for _, o := range s.file.Offsets {
		p := place{o.Topic, o.Partition}
		partitions, named := s.where[o.Topic]
		if len(s.where) > 0 && (!named || partitions != nil && !slices.Contains(partitions, o.Partition)) {
			continue
		}
		from[p] = o
		places = append(places, p)
	}
	places, err := k.living(ctx, places)
	if err != nil {
		return nil, err
	}
	if len(places) == 0 {
		return nil, cli.NotFound("the file has no offset of a partition that there is")
	}
	all, err := k.bounds(ctx, topicsOf(places))
	if err != nil {
		return nil, err
	}
	rows := []moved{}
	for _, p := range places {
		b := at(all, p)
		if b.err != nil {
			return nil, cli.Fail("no offsets of topic "+p.topic+", partition "+strconv.Itoa(int(p.partition)), b.err, "")
		}
		row := newMoved(p, g, b)
		if o := from[p]; o.Offset != nil {
			row.moveTo(kadm.Offset{Topic: p.topic, Partition: p.partition, At: *o.Offset, LeaderEpoch: o.Epoch, Metadata: o.Metadata})
			if *o.Offset < b.start || *o.Offset > b.end {
				row.Note = "the partition no longer has this offset: auto.offset.reset decides"
			}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func newMoved(p place, g *group, b bounds) moved {
	m := moved{Topic: p.topic, Partition: p.partition, Start: b.start, End: b.end}
	if c, ok := g.committed[p]; ok {
		m.Committed = &c.At
	}
	return m
}

func (m *moved) moveTo(o kadm.Offset) {
	m.offset, m.To = o, &o.At
	if m.Committed != nil {
		n := o.At - *m.Committed
		m.Change = &n
	}
}

// move writes the undo file and then moves.
func (s *seek) move(ctx context.Context, k *cluster, g *group, rows []moved) (string, error) {
	var places []place
	commit, forget := kadm.Offsets{}, kadm.TopicsSet{}
	for i := range rows {
		r := &rows[i]
		places = append(places, place{r.Topic, r.Partition})
		switch {
		case r.To != nil:
			commit.Add(r.offset)
		case r.Committed != nil:
			forget.Add(r.Topic, r.Partition)
		}
	}
	undo, err := s.save(ctx, k, s.group, undoOf(places, g.committed))
	if err != nil {
		return "", err
	}
	next := "What was before stands in " + undo
	if len(commit) > 0 {
		done, err := k.CommitOffsets(ctx, s.group, commit)
		if err == nil {
			err = done.Error()
		}
		if err != nil {
			return "", cli.Fail("offsets of group "+s.group+" were not all moved", err, next)
		}
	}
	if err := k.forget(ctx, s.group, forget); err != nil {
		return "", cli.Fail("offsets of group "+s.group+" were not all moved", err, next)
	}
	return undo, nil
}

// forget deletes committed offsets.
func (k *cluster) forget(ctx context.Context, group string, set kadm.TopicsSet) error {
	if len(set) == 0 {
		return nil
	}
	done, err := k.DeleteOffsets(ctx, group, set)
	if err != nil {
		return err
	}
	return done.Error()
}
