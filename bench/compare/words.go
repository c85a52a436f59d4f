package compare

import (
	"fmt"
	"strings"
)

// Split splits a line at spaces, but not inside single quotes.
func Split(line string) ([]string, error) {
	var words []string
	var w strings.Builder
	quoted, open := false, false
	for _, r := range line {
		switch {
		case r == '\'':
			quoted, open = !quoted, true
		case r == ' ' && !quoted:
			if open {
				words = append(words, w.String())
				w.Reset()
			}
			open = false
		default:
			w.WriteRune(r)
			open = true
		}
	}
	if quoted {
		return nil, fmt.Errorf("a quote is not closed: %s", line)
	}
	if open {
		words = append(words, w.String())
	}
	return words, nil
}
