package main

import (
	_ "embed"
	"fmt"
	"regexp"
	"strings"
)

// differencesText lists the differences that are expected, with a reason each.
//
//go:embed differences.txt
var differencesText string

// change is a line that only one of the brokers has: "-" Kafka alone, "+" penstock alone.
type change struct {
	sign string
	line string
}

// compare lists the lines that only one side has, in order (longest common subsequence).
func compare(kafka, ours []string) []change {
	n, m := len(kafka), len(ours)
	same := make([][]int, n+1)
	for i := range same {
		same[i] = make([]int, m+1)
	}
	for i := n - 1; i >= 0; i-- {
		for j := m - 1; j >= 0; j-- {
			if kafka[i] == ours[j] {
				same[i][j] = same[i+1][j+1] + 1
			} else {
				same[i][j] = max(same[i+1][j], same[i][j+1])
			}
		}
	}
	var out []change
	i, j := 0, 0
	for i < n || j < m {
		switch {
		case i < n && j < m && kafka[i] == ours[j]:
			i, j = i+1, j+1
		case j == m || i < n && same[i+1][j] >= same[i][j+1]:
			out = append(out, change{"-", kafka[i]})
			i++
		default:
			out = append(out, change{"+", ours[j]})
			j++
		}
	}
	return out
}

// difference is an expected difference: in the steps that on matches, the lines that a pattern matches may be only on its side.
type difference struct {
	on    *regexp.Regexp
	lines []pattern
	why   string
}

// pattern is one kind of line of a difference. seen counts the lines it stood for.
type pattern struct {
	sign string
	text string
	re   *regexp.Regexp
	seen int
}

// readDifferences reads the table of expected differences. An entry is "on PATTERN" for the steps, lines "- PATTERN" (Kafka
// alone prints it) and "+ PATTERN" (penstock alone), and "why TEXT", which ends it. A pattern is a regular expression for the
// whole line.
func readDifferences(s string) ([]*difference, error) {
	var out []*difference
	var d difference
	for n, line := range strings.Split(s, "\n") {
		word, rest, _ := strings.Cut(strings.TrimRight(line, " "), " ")
		if word == "" || strings.HasPrefix(word, "#") {
			continue
		}
		var err error
		switch word {
		case "on":
			d.on, err = regexp.Compile("^(?:" + rest + ")$")
		case "-", "+":
			p := pattern{sign: word, text: rest}
			p.re, err = regexp.Compile("^(?:" + rest + ")$")
			d.lines = append(d.lines, p)
		case "why":
			if d.on == nil || len(d.lines) == 0 || rest == "" {
				err = fmt.Errorf("an entry needs on, lines and a reason")
			}
			d.why = rest
			entry := d
			out, d = append(out, &entry), difference{}
		default:
			err = fmt.Errorf("%q: want on, -, + or why", word)
		}
		if err != nil {
			return nil, fmt.Errorf("differences, line %d: %w", n+1, err)
		}
	}
	if d.on != nil || len(d.lines) > 0 {
		return nil, fmt.Errorf("differences: the last entry has no reason")
	}
	return out, nil
}

// explain finds the entry that expects a change in a step; nil if none does. It counts the line if count is true.
func explain(table []*difference, line string, c change, count bool) *difference {
	for _, d := range table {
		if !d.on.MatchString(line) {
			continue
		}
		for i := range d.lines {
			if p := &d.lines[i]; p.sign == c.sign && p.re.MatchString(c.line) {
				if count {
					p.seen++
				}
				return d
			}
		}
	}
	return nil
}
