package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"penstock/cli"
)

// Commands are the commands topic and group.
func Commands(e *cli.Env) []*cobra.Command {
	return []*cobra.Command{newTopic(e), newGroup(e)}
}

// ConfigCommands are the commands under config that ask a cluster: get, set and unset. The program mounts them beside those
// that show its own configuration.
func ConfigCommands(e *cli.Env) []*cobra.Command {
	return []*cobra.Command{newConfigGet(e), newConfigSet(e), newConfigUnset(e)}
}

// parent makes a command that only holds others.
func parent(c *cobra.Command, children ...*cobra.Command) *cobra.Command {
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		var names []string
		for _, sub := range c.Commands() {
			names = append(names, sub.Name())
		}
		return cli.Usage("%s has no command %s. %s", c.CommandPath(), args[0], didYouMean(args[0], names, "There are "+strings.Join(names, ", ")))
	}
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	c.AddCommand(children...)
	return c
}

// cluster is an open connection to the cluster of a command.
type cluster struct {
	*kadm.Client
	env *cli.Env
	raw *kgo.Client // the same connections, for requests that kadm has not
}

// open reaches the cluster. The caller closes it.
func open(ctx context.Context, e *cli.Env) (*cluster, error) {
	raw, err := e.Client()
	if err != nil {
		return nil, err
	}
	if err := e.Reach(ctx, raw); err != nil {
		raw.Close()
		return nil, err
	}
	a := kadm.NewClient(raw)
	a.SetTimeoutMillis(int32(min(e.Timeout.Milliseconds(), 1<<30)))
	return &cluster{Client: a, env: e, raw: raw}, nil
}

// withCluster makes a command's body of a function that needs the cluster.
func withCluster(e *cli.Env, f func(ctx context.Context, k *cluster, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		k, err := open(c.Context(), e)
		if err != nil {
			return err
		}
		defer k.Close()
		return f(c.Context(), k, args)
	}
}

// refused tells what a cluster refused, in the cluster's own words where it has some. It is nil when err is.
func refused(what string, err error, message, next string) error {
	if err == nil || message == "" {
		return cli.Fail(what, err, next)
	}
	words := strings.TrimSuffix(message, ".")
	var k *kerr.Error
	if errors.As(err, &k) {
		words += " (" + k.Message + ")"
	}
	return &cli.Error{What: what, Why: &told{words, err}, Next: next, Code: cli.ExitCode(err)}
}

// told is an error in the words of the cluster.
type told struct {
	words string
	err   error
}

func (t *told) Error() string { return t.words }

func (t *told) Unwrap() error { return t.err }

// reason is an error as a field of JSON and a cell of a table shows it; "" for none.
func reason(err error) string {
	if err == nil {
		return ""
	}
	return cli.Fail("", err, "").Error()
}

// some joins failures of several things, of which total were tried: the only one as it is, of many the first and their number.
func some(failed []error, total int, done string) error {
	switch {
	case len(failed) == 0:
		return nil
	case total == 1:
		return failed[0]
	}
	return &cli.Error{What: fmt.Sprintf("%d of %d were not %s", len(failed), total, done), Why: failed[0], Code: cli.ExitCode(failed[0])}
}

// count says a number of things with the word for one of them.
func count(n int64, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// or is what p points to, or another text where it points to nothing.
func or[T any](p *T, none string) any {
	if p == nil {
		return none
	}
	return *p
}

// sized is a number of bytes as a cell shows it.
func sized(p *int64) string {
	if p == nil {
		return "-"
	}
	return cli.Bytes(*p)
}
