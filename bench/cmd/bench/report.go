package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"penstock/bench/stat"
)

// A report is what a command prints: its settings, a table, and the same figures as one line of JSON.
type report struct {
	Bench    string   `json:"bench"`
	Short    bool     `json:"short"`
	Machine  string   `json:"machine"`
	Settings []string `json:"settings"`
	Rows     []any    `json:"rows"`

	head  []string
	table [][]string
}

// report starts a report. The columns are those of the table.
func (s *session) report(name string, columns ...string) *report {
	return &report{Bench: name, Short: s.short, Machine: s.machine(), head: columns}
}

// set adds a line to the settings.
func (r *report) set(format string, args ...any) {
	r.Settings = append(r.Settings, fmt.Sprintf(format, args...))
}

// add adds a row: its cells, and the value that stands for it in the JSON.
func (r *report) add(value any, cells ...string) {
	r.Rows = append(r.Rows, value)
	r.table = append(r.table, cells)
}

// print prints the report.
func (r *report) print(w io.Writer) error {
	fmt.Fprintf(w, "\nbench %s%s\n  %s\n", r.Bench, choose(r.Short, " -short: shows that it works, the figures mean little", ""), r.Machine)
	for _, line := range r.Settings {
		fmt.Fprintf(w, "  %s\n", line)
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	rule := make([]string, len(r.head))
	for i, h := range r.head {
		rule[i] = strings.Repeat("-", len(h))
	}
	for _, cells := range append([][]string{r.head, rule}, r.table...) {
		fmt.Fprintln(t, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "\njson %s\n", line)
	return err
}

// spread writes a spread with so many digits behind the point.
func spread(s stat.Spread, digits int) string {
	if s.Rounds < 2 {
		return fmt.Sprintf("%.*f", digits, s.Median)
	}
	return fmt.Sprintf("%.*f (%.*f-%.*f)", digits, s.Median, digits, s.Min, digits, s.Max)
}

// A verdict compares a ratio with its target.
type verdict struct {
	Of     string  `json:"of"` // beside what
	Ratio  float64 `json:"ratio"`
	Target float64 `json:"target"`
	AtMost bool    `json:"at_most"` // the target is a ceiling; otherwise a floor
	Met    bool    `json:"met"`
}

func judge(of string, ratio, target float64, atMost bool) verdict {
	met := ratio >= target
	if atMost {
		met = ratio <= target
	}
	return verdict{Of: of, Ratio: ratio, Target: target, AtMost: atMost, Met: met}
}

func (v verdict) String() string {
	return fmt.Sprintf("%.2fx %s (%s %.2g: %s)", v.Ratio, v.Of, choose(v.AtMost, "<=", ">="), v.Target, choose(v.Met, "met", "missed"))
}

// verdicts writes several.
func verdicts(list []verdict) string {
	var out []string
	for _, v := range list {
		out = append(out, v.String())
	}
	return strings.Join(out, ", ")
}
