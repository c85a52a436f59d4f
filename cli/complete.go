package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// completeTime bounds what a shell's user waits for names.
const completeTime = 2 * time.Second

// maxNames bounds what a shell is given.
const maxNames = 500

// Complete is what cobra takes for the completion of arguments and of flags' values.
type Complete = func(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective)

// CompleteTopics completes names of live topics that are not among the arguments yet.
func (e *Env) CompleteTopics() Complete {
	return e.names(func(ctx context.Context, a *kadm.Client) ([]string, error) {
		topics, err := a.ListTopics(ctx)
		return topics.Names(), err
	})
}

// CompleteGroups completes names of live groups that are not among the arguments yet.
func (e *Env) CompleteGroups() Complete {
	return e.names(func(ctx context.Context, a *kadm.Client) ([]string, error) {
		groups, err := a.ListGroups(ctx)
		return groups.Groups(), err
	})
}

// names completes with what list finds. A cluster that does not answer in time offers nothing.
func (e *Env) names(list func(context.Context, *kadm.Client) ([]string, error)) Complete {
	return func(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		parent := c.Context()
		if parent == nil {
			parent = context.Background()
		}
		ctx, cancel := context.WithTimeout(parent, completeTime)
		defer cancel()
		asked := *e
		asked.Timeout = completeTime
		if len(asked.Brokers) == 0 {
			asked.Brokers = []string{DefaultBroker}
		}
		a, err := asked.Admin(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer a.Close()
		all, err := list(ctx, a)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		slices.Sort(all)
		var out []string
		for _, n := range all {
			if strings.HasPrefix(n, begun) && !slices.Contains(args, n) && clean(n) == n && len(out) < maxNames {
				out = append(out, n)
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}
