package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"penstock/bench/broker"
	"penstock/bench/compare"
)

const (
	// samples is how many lines of a difference the document shows for each side.
	samples = 2
	// sampleWidth bounds a line that it shows.
	sampleWidth = 200
)

// writeDoc writes the document: every command with what became of it, every difference with its reason.
func writeDoc(path string, all []told, table []*compare.Difference) error {
	numbers := map[*compare.Difference]int{}
	var order []*compare.Difference
	shown := map[*compare.Difference]map[string][]string{}
	var rows []string
	alike := 0
	for _, o := range all {
		var marks []string
		for _, c := range o.changes {
			d := compare.Explain(table, o.step.line, c, false)
			if numbers[d] == 0 {
				order = append(order, d)
				numbers[d] = len(order)
				shown[d] = map[string][]string{}
			}
			l := c.Line
			if len(l) > sampleWidth {
				l = strings.ToValidUTF8(l[:sampleWidth], "") + " ..."
			}
			if s := shown[d][c.Sign]; len(s) < samples && !slices.Contains(s, l) {
				shown[d][c.Sign] = append(s, l)
			}
			if m := fmt.Sprint(numbers[d]); !slices.Contains(marks, m) {
				marks = append(marks, m)
			}
		}
		what := "alike"
		if len(marks) > 0 {
			what = "differs: " + strings.Join(marks, ", ")
		} else {
			alike++
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s |", strings.ReplaceAll(o.step.line, "|", `\|`), what))
	}
	var w strings.Builder
	fmt.Fprintf(&w, `# RocketMQ's mqadmin on penstock

Written by `+"`make rocket`"+`; do not edit. The commands stand in bench/rocket/script.txt, the reasons in bench/rocket/differences.txt.

mqadmin of RocketMQ %s, from its own jars, run against penstock and against a real RocketMQ %s in the same run, %d commands in the
same order. What they print to standard output and to standard error is compared line by line. Ids, times, addresses, rates, places in the log and
the widths of tables are replaced by words first, and each property of a message has a line; of brokerStatus all names are compared, and
those values that do not count what the machine did. %d commands print the same; the other %d differ as listed, and any other difference fails the run.

In the commands `+"`{broker}`"+` is the broker's address, `+"`{ms:-1h}`"+` a time before the run, other words in braces what an earlier command printed.

| command | output |
|---|---|
%s

## Differences

`, broker.RocketVersion, broker.RocketVersion, len(all), alike, len(all)-alike, strings.Join(rows, "\n"))
	for i, d := range order {
		fmt.Fprintf(&w, "%d. %s\n\n", i+1, d.Why)
		for _, s := range []struct{ sign, name string }{{"-", "RocketMQ"}, {"+", "penstock"}} {
			for _, l := range shown[d][s.sign] {
				fmt.Fprintf(&w, "       %-8s  %s\n", s.name, l)
			}
		}
		w.WriteString("\n")
	}
	return os.WriteFile(path, []byte(w.String()), 0o644)
}
