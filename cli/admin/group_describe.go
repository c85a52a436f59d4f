package admin

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"penstock/cli"
)

// groupView is a group as group describe shows it. What is null is not known.
type groupView struct {
	Group        string       `json:"group"`
	State        string       `json:"state"`
	Type         string       `json:"type"` // classic, or consumer (KIP-848)
	Protocol     string       `json:"protocol"`
	ProtocolType string       `json:"protocol_type"`
	Coordinator  int32        `json:"coordinator"`
	Address      string       `json:"coordinator_address"`
	Members      []memberView `json:"members"`
	LagRecords   int64        `json:"lag_records"` // sum of those known
	LagBytes     *int64       `json:"lag_bytes_estimate"`
	LagSeconds   *float64     `json:"lag_seconds"` // the largest
	Partitions   []lagView    `json:"partitions"`
}

// lagView is how far a group has come in a partition.
type lagView struct {
	Topic      string   `json:"topic"`
	Partition  int32    `json:"partition"`
	Member     *string  `json:"member"`    // null: nobody consumes it
	Committed  *int64   `json:"committed"` // null: nothing
	Metadata   string   `json:"metadata,omitempty"`
	Start      *int64   `json:"start"`
	End        *int64   `json:"end"`
	LagRecords *int64   `json:"lag_records"`
	LagBytes   *int64   `json:"lag_bytes_estimate"`
	LagSeconds *float64 `json:"lag_seconds"` // age of the first record that is not consumed
	Error      string   `json:"error,omitempty"`
}

func newGroupDescribe(e *cli.Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "describe [GROUP...]",
		Short: "Show state, members, offsets and lag of consumer groups",
		Long: `Shows of each group its state and members, and in every partition what is committed, where the log ends, and the lag: in
records; in bytes, estimated from the partition's mean size of a record; and in seconds, the age of the first record that is not
consumed, for which that record is read. --fast leaves bytes and seconds out. Without a name it shows all groups.`,
		Example: `  penstock group describe shop
  penstock group describe shop -o json
  penstock group describe --fast`,
		ValidArgsFunction: e.CompleteGroups(),
	}
	fast := c.Flags().Bool("fast", false, "leave out lag in bytes and seconds")
	c.RunE = withCluster(e, func(ctx context.Context, k *cluster, args []string) error {
		views, err := k.describeGroups(ctx, args, *fast)
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

func (k *cluster) describeGroups(ctx context.Context, names []string, fast bool) ([]groupView, error) {
	all := len(names) == 0
	if all {
		listed, err := k.ListGroups(ctx)
		if err != nil && len(listed) == 0 {
			return nil, cli.Fail("groups cannot be listed", err, "")
		}
		names = listed.Groups()
	}
	found, err := k.groups(ctx, names)
	if err != nil {
		return nil, err
	}
	var places []place
	for _, n := range names {
		g := found[n]
		if g == nil && !all {
			return nil, k.noGroup(ctx, n)
		}
		if g != nil {
			places = append(places, g.places()...)
		}
	}
	known, err := k.measure(ctx, places, !fast)
	if err != nil {
		return nil, err
	}
	views := []groupView{}
	for _, n := range names {
		if g := found[n]; g != nil {
			views = append(views, known.view(g))
		}
	}
	if !fast {
		if err := k.ages(ctx, views); err != nil {
			k.env.Remark("lag in seconds is not all known: %v", err)
		}
	}
	for i := range views {
		views[i].sum()
	}
	return views, nil
}

// measured is what is known of partitions.
type measured struct {
	bounds map[place]bounds
	sizes  map[place]int64
}

// measure asks for bounds and sizes of partitions. Topics that are gone are left out.
func (k *cluster) measure(ctx context.Context, places []place, sizes bool) (*measured, error) {
	m := &measured{}
	topics := topicsOf(places)
	if len(topics) == 0 {
		return m, nil
	}
	found, err := k.ListTopicsWithInternal(ctx, topics...)
	if err != nil {
		return nil, cli.Fail("topics cannot be listed", err, "")
	}
	for _, t := range topics {
		if d, ok := found[t]; !ok || d.Err != nil {
			delete(found, t)
		}
	}
	if m.bounds, err = k.bounds(ctx, slices.DeleteFunc(topics, func(t string) bool { _, ok := found[t]; return !ok })); err != nil {
		return nil, err
	}
	if sizes {
		if m.sizes, err = k.sizes(ctx, found); err != nil {
			k.env.Remark("lag in bytes is not all known: %v", reason(err))
		}
	}
	return m, nil
}

// view puts together what is known of a group.
func (m *measured) view(g *group) groupView {
	v := groupView{
		Group: g.name, State: g.state, Type: g.kind, Protocol: g.protocol, ProtocolType: g.protocolType, Coordinator: g.coordinator.NodeID,
		Address: fmt.Sprintf("%s:%d", g.coordinator.Host, g.coordinator.Port), Members: g.members, Partitions: []lagView{},
	}
	owners := g.owners()
	for _, p := range g.places() {
		l := lagView{Topic: p.topic, Partition: p.partition}
		if id, ok := owners[p]; ok {
			l.Member = &id
		}
		c, committed := g.committed[p]
		if committed {
			l.Committed, l.Metadata = &c.At, c.Metadata
		}
		b := at(m.bounds, p)
		if b.err != nil {
			l.Error = reason(b.err)
			v.Partitions = append(v.Partitions, l)
			continue
		}
		l.Start, l.End = &b.start, &b.end
		if committed {
			n := max(b.end-max(c.At, b.start), 0)
			l.LagRecords = &n
			if size, ok := m.sizes[p]; ok {
				l.LagBytes = share(size, n, b.end-b.start)
			}
			if n == 0 {
				l.LagSeconds = new(float64)
			}
		}
		v.Partitions = append(v.Partitions, l)
	}
	return v
}

// share estimates the bytes of n of all records.
func share(bytes, n, all int64) *int64 {
	var s int64
	if all > 0 {
		s = int64(float64(bytes) * float64(n) / float64(all))
	}
	return &s
}

// sum fills in what is known of all partitions together.
func (v *groupView) sum() {
	var bytes int64
	var seconds float64
	v.LagBytes, v.LagSeconds = &bytes, &seconds
	for i := range v.Partitions {
		l := &v.Partitions[i]
		if l.LagRecords == nil {
			continue
		}
		v.LagRecords += *l.LagRecords
		v.LagBytes = plus(v.LagBytes, l.LagBytes)
		if l.LagSeconds == nil {
			v.LagSeconds = nil
		} else if v.LagSeconds != nil {
			*v.LagSeconds = max(*v.LagSeconds, *l.LagSeconds)
		}
	}
}

func (v *groupView) print(t *cli.Table) {
	t.Note("%s: %s, %s, lag %s%s", v.Group, v.State, count(int64(len(v.Members)), "member"), count(v.LagRecords, "record"), lagText(v.LagBytes, v.LagSeconds))
	t.Note("  type %s, protocol %s %s, coordinator %d at %s", v.Type, cmp.Or(v.ProtocolType, "-"), v.Protocol, v.Coordinator, v.Address)
	if len(v.Members) > 0 {
		t.Header("member", "instance", "client", "host", "partitions")
		for _, m := range v.Members {
			var words []string
			for _, a := range m.Assigned {
				words = append(words, a.Topic+":"+numbers(a.Partitions))
			}
			t.Row(m.ID, cmp.Or(m.InstanceID, "-"), m.Client, strings.TrimPrefix(m.Host, "/"), cmp.Or(strings.Join(words, " "), "-"))
		}
	}
	if len(v.Partitions) == 0 {
		return
	}
	t.Header("topic", "partition", "committed", "end", "lag", "bytes", "age", "member", "")
	for _, l := range v.Partitions {
		bytes := sized(l.LagBytes)
		if l.LagBytes != nil && *l.LagBytes > 0 {
			bytes = "~" + bytes
		}
		t.Row(l.Topic, l.Partition, or(l.Committed, "-"), or(l.End, "-"), or(l.LagRecords, "-"), bytes, age(l.LagSeconds), or(l.Member, "-"), l.Error)
	}
}

// lagText adds to the lag in records what else is known of it.
func lagText(bytes *int64, seconds *float64) string {
	out := ""
	if bytes != nil && *bytes > 0 {
		out += ", about " + cli.Bytes(*bytes)
	}
	if seconds != nil && *seconds > 0 {
		out += ", oldest " + age(seconds)
	}
	return out
}

// age is a number of seconds as a cell shows it.
func age(seconds *float64) string {
	if seconds == nil {
		return "-"
	}
	d := time.Duration(*seconds * float64(time.Second))
	if d < time.Minute {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
