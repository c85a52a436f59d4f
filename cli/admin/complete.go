package admin

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"penstock/cli"
)

// completeTime bounds what a shell's user waits for keys, as cli bounds it for names.
const completeTime = 2 * time.Second

// completeConfigs completes the name of a resource, and then keys that it has, with suffix behind them.
func completeConfigs(e *cli.Env, suffix string) cli.Complete {
	resources := completeResources(e)
	return func(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return resources(c, args, begun)
		}
		return completeKeys(e, c, args[0], begun, suffix)
	}
}

// completeTopicKeys completes keys of the topic that is the command's argument.
func completeTopicKeys(e *cli.Env, suffix string) cli.Complete {
	return func(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return completeKeys(e, c, "topic/"+args[0], begun, suffix)
	}
}

// completeKeys offers the keys of a resource. A cluster that does not answer in time offers nothing.
func completeKeys(e *cli.Env, c *cobra.Command, of, begun, suffix string) ([]string, cobra.ShellCompDirective) {
	directive := cobra.ShellCompDirectiveNoFileComp
	if suffix != "" {
		directive |= cobra.ShellCompDirectiveNoSpace
	}
	r, err := parseResource(of)
	if err != nil {
		return nil, directive
	}
	ctx, cancel := context.WithTimeout(c.Context(), completeTime)
	defer cancel()
	asked := *e
	asked.Timeout = completeTime
	k, err := open(ctx, &asked)
	if err != nil {
		return nil, directive
	}
	defer k.Close()
	d, err := k.configOf(ctx, r)
	if err != nil {
		return nil, directive
	}
	known, err := k.known(ctx, r, d)
	if err != nil {
		return nil, directive
	}
	var out []string
	for _, key := range known {
		if strings.HasPrefix(key, begun) {
			out = append(out, key+suffix)
		}
	}
	return out, directive
}
