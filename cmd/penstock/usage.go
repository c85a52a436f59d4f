package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"penstock/cli"
)

// nearName is how many letters may differ between what was typed and the command that was probably meant.
const nearName = 2

// usageArgs makes wrong arguments of a command, and of all below it, a wrong use. A command that holds others takes no argument but one of them: alone
// it shows its help.
func usageArgs(c *cobra.Command) {
	switch check := c.Args; {
	case c.HasSubCommands():
		c.Args = func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return noCommand(c, args[0])
		}
		if !c.Runnable() {
			c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
		}
	case check != nil:
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return cli.Usage("%s. %s --help shows how", strings.TrimRight(err.Error(), "."), c.CommandPath())
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		usageArgs(sub)
	}
}

// noCommand says that a command holds none of a name, and which was probably meant, or which there are.
func noCommand(c *cobra.Command, name string) error {
	if !c.HasSubCommands() {
		return cli.Usage("%s has no commands, and so not %s. %s --help shows how", c.CommandPath(), name, c.CommandPath())
	}
	var all []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			all = append(all, sub.Name())
		}
	}
	c.SuggestionsMinimumDistance = nearName
	near := c.SuggestionsFor(name)
	slices.Sort(near)
	next := "There are " + strings.Join(all, ", ") + "."
	if len(near) > 0 {
		next = "Did you mean " + strings.Join(slices.Compact(near), " or ") + "?"
	}
	return cli.Usage("%s has no command %s. %s %s --help shows what there is", c.CommandPath(), name, next, c.CommandPath())
}

// newHelp is the command help: that of cobra shows the help of what is known of a wrong name, as if all were well.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:     "help [command]",
		Short:   "Show the help of a command",
		Example: `  penstock help topic create`,
		RunE: func(c *cobra.Command, args []string) error {
			to, rest, err := c.Root().Find(args)
			if err != nil {
				return cli.Usage("%v", err)
			}
			if len(rest) > 0 {
				return noCommand(to, rest[0])
			}
			to.InitDefaultHelpFlag()
			return to.Help()
		},
	}
}
