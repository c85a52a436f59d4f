// Command penstock is the broker and its command line.
//
// Exit codes: 0 done, 1 failed, 2 wrong use or configuration.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"penstock/node"
)

// version is set by the linker.
var version = "unknown"

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

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

// usageError is a wrong use of the command line.
type usageError struct{ error }

// Unwrap returns the fault.
func (u usageError) Unwrap() error { return u.error }

func exitCode(err error) int {
	var use usageError
	var config *node.ConfigError
	if errors.As(err, &use) || errors.As(err, &config) {
		return exitUsage
	}
	return exitFailed
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "penstock",
		Short: "A message broker: Kafka clients connect to it unchanged",
		Long: `Penstock is a message broker in one program. Kafka clients connect to it unchanged; what producers
sent is what lies on disk, and what lies on disk is what consumers get, sent by the kernel.

Exit codes: 0 done, 1 failed, 2 wrong use or configuration.`,
		Example: `  penstock serve --data ./data
  penstock copies
  penstock config print`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w. %s --help shows what there is", err, c.CommandPath())}
	})
	root.AddCommand(newServe(), newCopies(), newConfig(), newAdopt(), newVersion())
	for _, c := range root.Commands() {
		usageArgs(c)
	}
	usageArgs(root)
	return root
}

// usageArgs makes wrong arguments a wrong use.
func usageArgs(c *cobra.Command) {
	check := c.Args
	if check == nil {
		return
	}
	c.Args = func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return usageError{fmt.Errorf("%w. %s --help shows how", err, c.CommandPath())}
		}
		return nil
	}
	for _, sub := range c.Commands() {
		if c.HasParent() {
			usageArgs(sub)
		}
	}
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Show the version",
		Example: "  penstock version",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(c.OutOrStdout(), "penstock", version)
			return err
		},
	}
}
