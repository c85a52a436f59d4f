package compare

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Tell prints a command and what of its differences is unexpected; with all also what it printed and the expected ones. It prints nothing of a
// command without anything unexpected unless all is set.
func Tell(w io.Writer, line string, printed []string, changes, bad []Change, all bool) {
	if len(bad) == 0 && !all {
		return
	}
	show := bad
	fmt.Fprintf(w, "%s\n", line)
	if all {
		show = changes
		fmt.Fprintf(w, "    = %s\n", strings.Join(printed, "\n    = "))
	}
	for _, c := range show {
		mark := ""
		if slices.Contains(bad, c) {
			mark = " UNEXPECTED"
		}
		fmt.Fprintf(w, "    %s %s%s\n", c.Sign, c.Line, mark)
	}
}

// Unseen prints the expected differences that did not appear, and returns how many there are.
func Unseen(w io.Writer, table []*Difference) (n int) {
	for _, d := range table {
		for _, p := range d.Lines {
			if p.Seen == 0 {
				n++
				fmt.Fprintf(w, "an expected difference did not appear: on %s: %s %s\n", d.On, p.Sign, p.Text)
			}
		}
	}
	return n
}
