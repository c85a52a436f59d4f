package admin

import (
	"cmp"
	"context"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"penstock/cli"
)

func newGroup(e *cli.Env) *cobra.Command {
	return parent(&cobra.Command{
		Use:   "group",
		Short: "List, describe, seek, forget and delete consumer groups",
		Long:  "Looks after the consumer groups of any Kafka cluster.",
		Example: `  penstock group list
  penstock group seek shop --to -1h`,
	}, newGroupList(e), newGroupDescribe(e), newGroupSeek(e), newGroupForget(e), newGroupDelete(e))
}

// states are those that a group may be in, by Kafka's names.
var states = []string{"PreparingRebalance", "CompletingRebalance", "Stable", "Empty", "Dead", "Assigning", "Reconciling", "NotReady"}

// groupRow is a group as group list shows it.
type groupRow struct {
	Name         string `json:"name"`
	State        string `json:"state"` // "" where the cluster does not list it
	ProtocolType string `json:"protocol_type"`
	Coordinator  int32  `json:"coordinator"`
}

func newGroupList(e *cli.Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "list [PATTERN]",
		Short: "List consumer groups",
		Long: `Lists consumer groups by name. A pattern has * for any letters, ? for one and [a-z] for one of some. States are
` + strings.Join(states, ", ") + `.`,
		Example: `  penstock group list
  penstock group list 'shop-*' --state stable,empty -o json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: e.CompleteGroups(),
	}
	state := c.Flags().StringSlice("state", nil, "only groups in one of these `states`")
	complete(c, "state", cobra.FixedCompletions(states, cobra.ShellCompDirectiveNoFileComp))
	c.RunE = func(c *cobra.Command, args []string) error {
		wanted, err := parseStates(*state)
		if err != nil {
			return err
		}
		pattern := "*"
		if len(args) == 1 {
			pattern = args[0]
		}
		if _, err := path.Match(pattern, ""); err != nil {
			return cli.Usage("pattern %s: %v", pattern, err)
		}
		return withCluster(e, func(ctx context.Context, k *cluster, _ []string) error {
			return k.listGroups(ctx, pattern, wanted)
		})(c, args)
	}
	return c
}

// complete gives a flag a completion of its value. The flag exists.
func complete(c *cobra.Command, flag string, f cli.Complete) {
	if err := c.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err)
	}
}

func parseStates(words []string) ([]string, error) {
	var out []string
	for _, w := range words {
		i := slices.IndexFunc(states, func(s string) bool { return strings.EqualFold(s, w) })
		if i < 0 {
			return nil, cli.Usage("--state %s: %s", w, didYouMean(w, states, "want some of "+strings.Join(states, ", ")))
		}
		out = append(out, states[i])
	}
	return out, nil
}

func (k *cluster) listGroups(ctx context.Context, pattern string, wanted []string) error {
	found, err := k.ListGroups(ctx, wanted...)
	if err != nil && len(found) == 0 {
		return cli.Fail("groups cannot be listed", err, "")
	}
	if err != nil {
		k.env.Remark("some brokers did not list their groups: %v", reason(err))
	}
	rows := []groupRow{}
	for _, g := range found {
		ok, _ := path.Match(pattern, g.Group) // the pattern has been looked at
		if ok && (len(wanted) == 0 || g.State == "" || slices.Contains(wanted, g.State)) {
			rows = append(rows, groupRow{g.Group, g.State, g.ProtocolType, g.Coordinator})
		}
	}
	slices.SortFunc(rows, func(a, b groupRow) int { return cmp.Compare(a.Name, b.Name) })
	return k.env.Emit(rows, func(t *cli.Table) {
		t.Header("group", "state", "protocol type", "coordinator")
		for _, r := range rows {
			t.Row(r.Name, cmp.Or(r.State, "-"), cmp.Or(r.ProtocolType, "-"), r.Coordinator)
		}
	})
}
