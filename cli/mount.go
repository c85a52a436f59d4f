package cli

import "github.com/spf13/cobra"

// Mount puts commands against a cluster under a parent and gives each the flags of Env.
func (e *Env) Mount(parent *cobra.Command, commands ...*cobra.Command) {
	for _, c := range commands {
		e.Bind(c.PersistentFlags())
		c.PersistentPreRunE = func(*cobra.Command, []string) error { return e.Check() }
		parent.AddCommand(c)
	}
}
