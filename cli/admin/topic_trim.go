package admin

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"penstock/cli"
)

func newTopicTrim(e *cli.Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "trim NAME[:PARTITION,...]",
		Short: "Delete records of a topic before an offset or a time",
		Long: `Deletes the records of a topic that lie before an offset or were written before a time, in all partitions or those named.
Without --apply it only shows what would go; with it the records are gone for good.

--before takes latest for all records, or a time: ` + timeHelp + `.`,
		Example: `  penstock topic trim orders --before -7d
  penstock topic trim orders:0,2 --offset 1000 --apply
  penstock topic trim orders --before latest --apply`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: oneOf(e.CompleteTopics()),
	}
	before := c.Flags().String("before", "", "latest, or a `time`")
	offset := c.Flags().Int64("offset", -1, "first offset that stays")
	apply := c.Flags().Bool("apply", false, "do it")
	c.RunE = func(c *cobra.Command, args []string) error {
		w, err := parseWhere("topic", args)
		if err != nil {
			return err
		}
		t := &target{now: time.Now()}
		switch {
		case c.Flags().Changed("offset") == (*before != ""):
			return cli.Usage("want one of --before and --offset")
		case *before != "" && *before != "latest":
			if t.time, err = parseTime("--before", *before, t.now); err != nil {
				return err
			}
			t.way = byTime
		case *before != "":
			t.way = toLatest
		case *offset < 0:
			return cli.Usage("--offset %d: want 0 or more", *offset)
		default:
			t.way, t.offset = byOffset, *offset
		}
		return withCluster(e, func(ctx context.Context, k *cluster, _ []string) error {
			return k.trim(ctx, w, t, *apply)
		})(c, args)
	}
	return c
}

// trimView is what topic trim shows.
type trimView struct {
	Topic      string     `json:"topic"`
	Applied    bool       `json:"applied"`
	Records    int64      `json:"records"` // that go, or went
	Partitions []trimmed  `json:"partitions"`
	Before     *time.Time `json:"before,omitempty"`
}

// trimmed is a partition that loses its first records.
type trimmed struct {
	Partition int32  `json:"partition"`
	Start     int64  `json:"start"` // first offset before
	End       int64  `json:"end"`
	To        int64  `json:"to"` // first offset that stays
	Records   int64  `json:"records"`
	Error     string `json:"error,omitempty"`
}

// deleted counts the records that went.
func (v *trimView) deleted() int64 {
	var n int64
	for _, p := range v.Partitions {
		n += p.Records
	}
	return n
}

func (k *cluster) trim(ctx context.Context, w where, t *target, apply bool) error {
	places, err := k.places(ctx, w)
	if err != nil {
		return err
	}
	topic := slices.Collect(maps.Keys(w))[0]
	to, err := t.resolve(ctx, k, places, nil)
	if err != nil {
		return err
	}
	v := trimView{Topic: topic, Applied: apply, Partitions: []trimmed{}}
	if t.way == byTime {
		v.Before = &t.time
	}
	asked := kadm.Offsets{}
	for _, p := range places {
		r := to[p]
		if r.err != nil {
			return cli.Fail("partition "+strconv.Itoa(int(p.partition))+" of "+topic+" does not tell its offsets, nothing was deleted", r.err, "")
		}
		n := r.offset - r.bounds.start
		v.Records += n
		v.Partitions = append(v.Partitions, trimmed{Partition: p.partition, Start: r.bounds.start, End: r.bounds.end, To: r.offset, Records: n})
		if n > 0 {
			asked.AddOffset(topic, p.partition, r.offset, -1)
		}
	}
	var failed []error
	if apply && len(asked) > 0 {
		if failed, err = k.deleteRecords(ctx, topic, asked, v.Partitions); err != nil {
			return err
		}
	}
	if apply {
		v.Records = v.deleted()
	}
	err = k.env.Emit(v, func(t *cli.Table) {
		t.Header("partition", "start", "end", "new start", "records", "")
		for _, p := range v.Partitions {
			t.Row(p.Partition, p.Start, p.End, p.To, p.Records, p.Error)
		}
		if !apply {
			t.Note("%s would be deleted for good. --apply does it", count(v.Records, "record"))
			return
		}
		t.Note("%s deleted", count(v.Records, "record"))
	})
	if err != nil {
		return err
	}
	return some(failed, len(asked[topic]), "trimmed")
}

// deleteRecords asks for it and writes down what came of it.
func (k *cluster) deleteRecords(ctx context.Context, topic string, asked kadm.Offsets, rows []trimmed) ([]error, error) {
	answers, err := k.DeleteRecords(ctx, asked)
	if err != nil && len(answers) == 0 {
		return nil, cli.Fail("no records of "+topic+" were deleted", err, "")
	}
	var failed []error
	for i := range rows {
		p := &rows[i]
		if _, ok := asked.Lookup(topic, p.Partition); !ok {
			continue
		}
		a, ok := answers.Lookup(topic, p.Partition)
		why := a.Err
		if !ok {
			why = errNoAnswer
		}
		if why != nil {
			p.Error, p.To, p.Records = reason(why), p.Start, 0
			failed = append(failed, cli.Fail("no records of "+topic+", partition "+strconv.Itoa(int(p.Partition))+", were deleted", why, ""))
			continue
		}
		p.To = a.LowWatermark
		p.Records = p.To - p.Start
	}
	return failed, nil
}
