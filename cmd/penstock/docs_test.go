package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"penstock/cli"
)

var rewrite = flag.Bool("rewrite", false, "write the documentation instead of comparing it")

const docsFile = "../../docs/cli.md"

// docsHead is what stands before the commands.
const docsHead = `# The command line

Written from the commands by ` + "`go test ./cmd/penstock -run TestDocs -rewrite`" + `; a test compares it.

One program is the broker and all that one needs around it. ` + "`penstock COMMAND --help`" + ` shows what stands here.

## Against a cluster

Commands marked **cluster** speak Kafka's protocol and work with any Kafka cluster. They have these flags besides their own:

`

// docsTail stands between the common part and the commands.
const docsTail = `
` + "`-o json`" + ` prints JSON on standard output whose field names stay; what is not known is null. Remarks, questions and
progress go to standard error, the last two only where it is a terminal.

What cannot be undone is asked about or only shown: ` + "`topic delete`" + ` asks on a terminal and wants ` + "`--yes`" + ` elsewhere; ` +
	"`topic trim`, `group seek`,\n`group forget` and `group delete`" + ` show what they would do, and do it with ` + "`--apply`" + `. Where they change committed offsets they write a
file first, and ` + "`group seek GROUP --from FILE --apply`" + ` takes the change back.

` + "`penstock completion bash|zsh|fish|powershell`" + ` prints a script for the shell; it completes names of live topics and groups too.

## Exit codes

| code | meaning |
|---|---|
`

// TestDocs compares docs/cli.md with the commands; -rewrite writes it.
func TestDocs(t *testing.T) {
	t.Setenv(cli.BrokersVariable, "")
	want := docs(newRoot())
	if *rewrite {
		if err := os.WriteFile(docsFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	is, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	have, lines := strings.Split(string(is), "\n"), strings.Split(want, "\n")
	for i := range min(len(have), len(lines)) {
		if have[i] != lines[i] {
			t.Fatalf("line %d of docs/cli.md is not what the commands say; go test ./cmd/penstock -run TestDocs -rewrite writes it:\n%s\n%s", i+1, have[i], lines[i])
		}
	}
	if len(have) != len(lines) {
		t.Fatalf("docs/cli.md has %d lines, the commands say %d; go test ./cmd/penstock -run TestDocs -rewrite writes it", len(have), len(lines))
	}
}

// docs is the page.
func docs(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString(docsHead)
	common := pflag.NewFlagSet("", pflag.ContinueOnError)
	(&cli.Env{}).Bind(common)
	fence(&b, "", common.FlagUsages())
	b.WriteString(docsTail)
	for _, c := range []struct {
		code    int
		meaning string
	}{
		{cli.ExitDone, "done"},
		{cli.ExitFailed, "failed"},
		{cli.ExitUsage, "wrong use or configuration"},
		{cli.ExitNotFound, "what was named does not exist"},
		{cli.ExitUnreachable, "no broker answers"},
		{cli.ExitFindings, "a check has found something"},
	} {
		fmt.Fprintf(&b, "| %d | %s |\n", c.code, c.meaning)
	}
	b.WriteString("\n## Commands\n\n")
	walk(root, func(c *cobra.Command) {
		path := strings.TrimPrefix(c.CommandPath(), "penstock ")
		fmt.Fprintf(&b, "- [%s](#%s) – %s\n", path, anchor(c), lowerFirst(c.Short))
	})
	walk(root, func(c *cobra.Command) { describe(&b, c) })
	return b.String()
}

// walk visits all commands that a person sees, parents first.
func walk(c *cobra.Command, visit func(*cobra.Command)) {
	for _, sub := range c.Commands() {
		if sub.Name() != "help" && sub.Name() != "completion" && !sub.Hidden {
			visit(sub)
			walk(sub, visit)
		}
	}
}

// describe writes what a command's help shows.
func describe(b *strings.Builder, c *cobra.Command) {
	fmt.Fprintf(b, "\n### %s\n\n%s.", c.CommandPath(), markdown(c.Short))
	if !c.HasSubCommands() && c.Flag("brokers") != nil {
		b.WriteString(" **cluster**")
	}
	b.WriteString("\n\n")
	for _, part := range strings.Split(c.Long, "\n\n") {
		switch {
		case part == "":
		case strings.HasPrefix(part, "  "):
			fence(b, "", part+"\n")
			b.WriteString("\n")
		default:
			fmt.Fprintf(b, "%s\n\n", markdown(part))
		}
	}
	if c.HasSubCommands() {
		for _, sub := range c.Commands() {
			fmt.Fprintf(b, "- [%s](#%s) – %s\n", sub.Name(), anchor(sub), lowerFirst(sub.Short))
		}
		return
	}
	usage := c.UseLine() + "\n"
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	own.SortFlags = c.Flags().SortFlags
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" && c.PersistentFlags().Lookup(f.Name) == nil && c.InheritedFlags().Lookup(f.Name) == nil {
			own.AddFlag(f)
		}
	})
	if own.HasFlags() {
		usage += "\n" + own.FlagUsages()
	}
	fence(b, "", usage)
	b.WriteString("\n")
	var lines []string
	for _, l := range strings.Split(c.Example, "\n") {
		lines = append(lines, strings.TrimPrefix(l, "  "))
	}
	fence(b, "sh", strings.Join(lines, "\n")+"\n")
	fmt.Fprintf(b, "\nExit codes: %s.\n", codes(c))
}

// moreCodes are exit codes that a command has beside 0, 1 and 2; those of all commands against a cluster, 3 and 4, are left out.
var moreCodes = map[string][]int{
	"penstock config check": {cli.ExitFindings},
	"penstock copies":       {cli.ExitUnreachable},
	"penstock doctor":       {cli.ExitFindings},
}

// codes lists the exit codes of a command.
func codes(c *cobra.Command) string {
	all := []int{cli.ExitDone, cli.ExitFailed, cli.ExitUsage}
	if c.Flag("brokers") != nil {
		all = append(all, cli.ExitNotFound, cli.ExitUnreachable)
	}
	all = append(all, moreCodes[c.CommandPath()]...)
	slices.Sort(all)
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(all), " ", ", "), "[]")
}

func fence(b *strings.Builder, language, text string) {
	fmt.Fprintf(b, "```%s\n%s```\n", language, text)
}

// anchor is where a page's reader finds a command's heading.
func anchor(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

// markdown keeps letters of a text from being taken for marks.
func markdown(s string) string {
	return strings.NewReplacer("*", `\*`, "<", `\<`, "__", `\_\_`, "[", `\[`).Replace(s)
}

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }
