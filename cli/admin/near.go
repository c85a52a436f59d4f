package admin

import "strings"

// near is the candidate that a person may have meant by name, "" if none is near.
func near(name string, candidates []string) string {
	best, least := "", min(max(2, len(name)/4)+1, len(name))
	for _, c := range candidates {
		if d := distance(strings.ToLower(name), strings.ToLower(c), least); d < least {
			best, least = c, d
		}
	}
	return best
}

// didYouMean asks for the nearest candidate, or says else.
func didYouMean(name string, candidates []string, otherwise string) string {
	if n := near(name, candidates); n != "" {
		return "Did you mean " + n + "?"
	}
	return otherwise
}

// distance counts the letters to change, add or leave out between two words; limit stands for all that is not less.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return min(row[len(b)], limit)
}
