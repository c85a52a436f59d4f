// Command penstock is the broker and its command line.
//
// Its exit codes are those of package cli.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/spf13/cobra"

	"penstock/cli"
	"penstock/cli/admin"
	"penstock/cli/data"
	"penstock/cli/doctor"
	"penstock/node"
)

// version is set by the linker.
var version = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	root := newRoot()
	// serve handles signals itself: the second one hurries.
	err := root.ExecuteContext(ctx)
	stop()
	if err == nil {
		return
	}
	fmt.Fprintf(os.Stderr, "penstock: %v\n", err)
	os.Exit(exitCode(err))
}

func exitCode(err error) int {
	var config *node.ConfigError
	if errors.As(err, &config) {
		return cli.ExitUsage
	}
	return cli.ExitCode(err)
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "penstock",
		Short: "A message broker: Kafka clients connect to it unchanged",
		Long: `Penstock is a message broker in one program. Kafka clients connect to it unchanged; what producers
sent is what lies on disk, and what lies on disk is what consumers get, sent by the kernel.

` + cli.ExitCodes,
		Example: `  penstock serve --data ./data
  penstock copies
  penstock config print`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return cli.Usage("%v. %s --help shows what there is", err, c.CommandPath())
	})
	root.AddCommand(newServe(), newCopies(), newConfig(), newAdopt(), newRocketStore(), newVersion())
	mountCluster(root)
	root.SetHelpCommand(newHelp())
	root.InitDefaultCompletionCmd()
	usageArgs(root)
	return root
}

// mountCluster adds the commands that work against any cluster.
func mountCluster(root *cobra.Command) {
	e := &cli.Env{}
	for _, family := range []func(*cli.Env) []*cobra.Command{
		admin.Commands,
		data.Commands,
		doctor.Commands,
	} {
		e.Mount(root, family(e)...)
	}
}

func newVersion() *cobra.Command {
	c := &cobra.Command{
		Use:   "version",
		Short: "Show the version",
		Example: `  penstock version
  penstock version -o json`,
		Args: cobra.NoArgs,
	}
	e := local(c)
	c.RunE = func(*cobra.Command, []string) error {
		if !e.JSON() {
			_, err := fmt.Fprintln(e.Stdout(), "penstock", version)
			return err
		}
		return e.Emit(map[string]string{"version": version, "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH}, nil)
	}
	return c
}
