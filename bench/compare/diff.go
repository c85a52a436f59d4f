// Package compare runs command line tools in one JVM and compares, line by line, what they print against two brokers: a real one and
// penstock. What may differ stands in a table, each entry with a reason; any other difference is a fault.
package compare

import (
	"fmt"
	"regexp"
	"strings"
)

// Change is a line that only one of the brokers has: "-" the real one alone, "+" penstock alone.
type Change struct {
	Sign string
	Line string
}

// Lines lists the lines that only one side has, in order (longest common subsequence).
func Lines(theirs, ours []string) []Change {
	n, m := len(theirs), len(ours)
	same := make([][]int, n+1)
	for i := range same {
		same[i] = make([]int, m+1)
	}
	for i := n - 1; i >= 0; i-- {
		for j := m - 1; j >= 0; j-- {
			if theirs[i] == ours[j] {
				same[i][j] = same[i+1][j+1] + 1
			} else {
				same[i][j] = max(same[i+1][j], same[i][j+1])
			}
		}
	}
	var out []Change
	i, j := 0, 0
	for i < n || j < m {
		switch {
		case i < n && j < m && theirs[i] == ours[j]:
			i, j = i+1, j+1
		case j == m || i < n && same[i+1][j] >= same[i][j+1]:
			out = append(out, Change{"-", theirs[i]})
			i++
		default:
			out = append(out, Change{"+", ours[j]})
			j++
		}
	}
	return out
}

// Difference is an expected Difference: in the steps that On matches, the lines that a pattern matches may be only on its side.
type Difference struct {
	On    *regexp.Regexp
	Lines []Pattern
	Why   string
}

// Pattern is one kind of line of a difference. Seen counts the lines it stood for.
type Pattern struct {
	Sign string
	Text string
	Seen int
	re   *regexp.Regexp
}

// ReadDifferences reads the table of expected Differences. An entry is "on PATTERN" for the steps, lines "- PATTERN" (Kafka
// alone prints it) and "+ PATTERN" (penstock alone), and "why TEXT", which ends it. A pattern is a regular expression for the
// whole line.
func ReadDifferences(s string) ([]*Difference, error) {
	var out []*Difference
	var d Difference
	for n, line := range strings.Split(s, "\n") {
		word, rest, _ := strings.Cut(strings.TrimRight(line, " "), " ")
		if word == "" || strings.HasPrefix(word, "#") {
			continue
		}
		var err error
		switch word {
		case "on":
			d.On, err = regexp.Compile("^(?:" + rest + ")$")
		case "-", "+":
			p := Pattern{Sign: word, Text: rest}
			p.re, err = regexp.Compile("^(?:" + rest + ")$")
			d.Lines = append(d.Lines, p)
		case "why":
			if d.On == nil || len(d.Lines) == 0 || rest == "" {
				err = fmt.Errorf("an entry needs on, lines and a reason")
			}
			d.Why = rest
			entry := d
			out, d = append(out, &entry), Difference{}
		default:
			err = fmt.Errorf("%q: want on, -, + or why", word)
		}
		if err != nil {
			return nil, fmt.Errorf("differences, line %d: %w", n+1, err)
		}
	}
	if d.On != nil || len(d.Lines) > 0 {
		return nil, fmt.Errorf("differences: the last entry has no reason")
	}
	return out, nil
}

// Explain finds the entry that expects a change in a step; nil if none does. It counts the line if count is true.
func Explain(table []*Difference, line string, c Change, count bool) *Difference {
	for _, d := range table {
		if !d.On.MatchString(line) {
			continue
		}
		for i := range d.Lines {
			if p := &d.Lines[i]; p.Sign == c.Sign && p.re.MatchString(c.Line) {
				if count {
					p.Seen++
				}
				return d
			}
		}
	}
	return nil
}
