package admin

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"penstock/cli"
)

// resourceHelp says how a resource is named.
const resourceHelp = `The first argument is topic/NAME, broker/ID, or brokers for what holds for all of them.`

// completeResources completes the name of a resource.
func completeResources(e *cli.Env) cli.Complete {
	topics := e.CompleteTopics()
	return func(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		if name, ok := strings.CutPrefix(begun, "topic/"); ok {
			names, directive := topics(c, nil, name)
			for i := range names {
				names[i] = "topic/" + names[i]
			}
			return names, directive
		}
		return []string{"topic/", "broker/", "brokers"}, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
}

// configsView is what config get shows.
type configsView struct {
	Resource string       `json:"resource"`
	Configs  []configView `json:"configs"`
}

func newConfigGet(e *cli.Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "get RESOURCE [KEY...]",
		Short: "Show configuration of a topic or broker of a cluster, and where it comes from",
		Long: `Shows the configuration of a topic or a broker: what differs from the defaults, everything with --all, or the keys that are named
with all that lies under their values.
` + resourceHelp + `

Sources: topic, broker and brokers were set on the cluster; static is in a broker's own file, environment or flags.`,
		Example: `  penstock config get topic/orders
  penstock config get topic/orders retention.ms
  penstock config get broker/0 --all -o json`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeConfigs(e, ""),
	}
	all := c.Flags().Bool("all", false, "also what has its default")
	c.RunE = func(c *cobra.Command, args []string) error {
		r, err := parseResource(args[0])
		if err != nil {
			return err
		}
		get := func(ctx context.Context, k *cluster, args []string) error {
			d, err := k.configOf(ctx, r)
			if err != nil {
				return err
			}
			return k.showConfigs(r, d, args[1:], *all)
		}
		return withCluster(e, get)(c, args)
	}
	return c
}

func (k *cluster) showConfigs(r resource, d *described, keys []string, all bool) error {
	v := configsView{Resource: r.String(), Configs: []configView{}}
	for _, key := range keys {
		c := d.find(key)
		if c == nil {
			return cli.NotFound("%s has no configuration %s. %s", r, key, didYouMean(key, d.keys(), "penstock config get "+r.String()+" --all lists what it has"))
		}
		v.Configs = append(v.Configs, *c)
	}
	if len(keys) == 0 {
		for _, c := range d.configs {
			if all || c.differs() {
				v.Configs = append(v.Configs, c)
			}
		}
	}
	return k.env.Emit(v, func(t *cli.Table) {
		if len(v.Configs) == 0 {
			t.Note("Everything has its default. --all shows it")
			return
		}
		t.Header("config", "value", "source", "default")
		for _, c := range v.Configs {
			t.Row(c.Key, c.shown(), c.Source, or(c.Default, "-"))
		}
		if len(keys) == 0 {
			return
		}
		for _, c := range v.Configs {
			c.explain(t)
		}
	})
}

// explain adds what is known of a configuration beside its value.
func (c *configView) explain(t *cli.Table) {
	t.Note("")
	head := c.Key
	if c.Type != "" {
		head += " (" + c.Type + ")"
	}
	if c.ReadOnly {
		head += ", cannot be changed while the broker runs"
	}
	t.Note("%s", head)
	if c.Doc != "" {
		t.Note("  %s", c.Doc)
	}
	for _, l := range c.Layers {
		t.Row("  "+l.Source, l.Key, showValue(l.Value, c.Sensitive))
	}
}

// editedView is what config set and config unset show.
type editedView struct {
	Resource string     `json:"resource"`
	Applied  bool       `json:"applied"`
	Changes  []editView `json:"changes"`
}

// runEdits makes the body of a command that changes configuration.
func runEdits(e *cli.Env, dry *bool, read func(args []string) (*edits, error)) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		r, err := parseResource(args[0])
		if err != nil {
			return err
		}
		o, err := read(args[1:])
		if err != nil {
			return err
		}
		return withCluster(e, func(ctx context.Context, k *cluster, _ []string) error {
			views, err := k.edit(ctx, r, o, *dry)
			if err != nil {
				return err
			}
			return e.Emit(editedView{r.String(), !*dry, views}, func(t *cli.Table) {
				printEdits(t, views)
				if *dry {
					t.Note("Nothing was changed: --dry-run")
				}
			})
		})(c, args)
	}
}

func newConfigSet(e *cli.Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "set RESOURCE KEY=VALUE...",
		Short: "Change configuration of a topic or broker of a cluster",
		Long: `Changes configuration of a topic or of brokers; what is not named keeps its value.
` + resourceHelp + `

With --dry-run the cluster checks everything and changes nothing.`,
		Example: `  penstock config set topic/orders retention.ms=86400000
  penstock config set brokers log.retention.ms=604800000 --dry-run`,
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: completeConfigs(e, "="),
	}
	dry := c.Flags().Bool("dry-run", false, "check only")
	force := c.Flags().Bool("force", false, "also keys that the cluster does not describe")
	c.RunE = runEdits(e, dry, func(args []string) (*edits, error) {
		set, err := parsePairs("set", args)
		return &edits{set: set, force: *force}, err
	})
	return c
}

func newConfigUnset(e *cli.Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "unset RESOURCE KEY...",
		Short: "Take back configuration that was set on a topic or broker of a cluster",
		Long: `Takes back what was set, so that what lies under it holds again.
` + resourceHelp,
		Example: `  penstock config unset topic/orders retention.ms
  penstock config unset broker/0 log.retention.ms`,
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: completeConfigs(e, ""),
	}
	dry := c.Flags().Bool("dry-run", false, "check only")
	force := c.Flags().Bool("force", false, "also keys that the cluster does not describe")
	c.RunE = runEdits(e, dry, func(args []string) (*edits, error) {
		slices.Sort(args)
		return &edits{unset: slices.Compact(args), force: *force}, nil
	})
	return c
}
