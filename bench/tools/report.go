package main

import (
	_ "embed"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"penstock/bench/broker"
	"penstock/bench/compare"
)

// aroundText tells of Kafka Streams and Kafka Connect; it is the end of the document.
//
//go:embed around.md
var aroundText string

const (
	// samples is how many lines of a difference the document shows for each side.
	samples = 2
	// sampleWidth bounds a line that it shows.
	sampleWidth = 200
)

// ownTopic is what two runs tell differently of the groups' own topic.
var ownTopic = regexp.MustCompile(`(__consumer_offsets).*`)

// writeDoc writes the document: every command with what became of it, every difference with its reason.
func writeDoc(path string, outcomes []outcome, table []*compare.Difference) error {
	numbers := map[*compare.Difference]int{}
	var order []*compare.Difference
	shown := map[*compare.Difference]map[string][]string{}
	var rows []string
	alike := 0
	for _, o := range outcomes {
		var marks []string
		for _, c := range o.changes {
			d := compare.Explain(table, o.step.line, c, false)
			if numbers[d] == 0 {
				order = append(order, d)
				numbers[d] = len(order)
				shown[d] = map[string][]string{}
			}
			l := sample(c.Line)
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
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s |", strings.ReplaceAll(o.step.line, "|", `\|`), exits(o), what))
	}
	var w strings.Builder
	fmt.Fprintf(&w, `# Kafka's tools, Kafka Streams and Kafka Connect on penstock

Written by `+"`make tools`"+`; do not edit. The commands stand in bench/tools/script.txt, the reasons in bench/tools/differences.txt.

## Command line tools

The tools of Apache Kafka %s, from its own jars, run against penstock and against a real Apache Kafka %s in the same run, %d
commands in the same order. What they print to standard output and to standard error, and their exit codes, are compared line by line. Ids, times,
addresses, directories and the widths of tables are replaced by words first, and the places in the tools' code at which an
error arose are left out. %d commands print the same; the other %d differ as listed, and any other difference fails the run.

%s
| command | exit | output |
|---|---|---|
%s

### Differences

`, broker.ApacheVersion, broker.ApacheVersion, len(outcomes), alike, len(outcomes)-alike, holesText, strings.Join(rows, "\n"))
	for i, d := range order {
		fmt.Fprintf(&w, "%d. %s\n\n", i+1, d.Why)
		for _, s := range []struct{ sign, name string }{{"-", "Kafka"}, {"+", "penstock"}} {
			for _, l := range shown[d][s.sign] {
				fmt.Fprintf(&w, "       %-8s  %s\n", s.name, l)
			}
		}
		w.WriteString("\n")
	}
	w.WriteString(aroundText)
	return os.WriteFile(path, []byte(w.String()), 0o644)
}

// holesText explains the holes in the commands.
const holesText = "In the commands `{-5h30m}` is a time before the run, `{ms:-5h30m}` the same in milliseconds, `{dir}` a directory of files,\n" +
	"`{id:TOPIC}` a topic's id. `--bootstrap-server` is left out.\n"

// exits are the exit codes: one if both are the same.
func exits(o outcome) string {
	k := strings.TrimPrefix(o.kafka[len(o.kafka)-1], "exit ")
	p := strings.TrimPrefix(o.ours[len(o.ours)-1], "exit ")
	if k == p {
		return k
	}
	return k + " / " + p
}

// sample shortens a line for the document.
func sample(l string) string {
	l = ownTopic.ReplaceAllString(strings.ReplaceAll(l, "\t", " "), "$1 ...")
	if len(l) > sampleWidth {
		l = strings.ToValidUTF8(l[:sampleWidth], "") + " ..."
	}
	return l
}
