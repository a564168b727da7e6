// Package spelling finds what somebody meant who misspelt a name.
package spelling

import "strings"

// Closest is the first of the known names from which a name differs in the fewest
// letters, at most two, without regard to case; "" when there is none.
func Closest(name string, known []string) string {
	best, least := "", maxTypos+1
	for _, k := range known {
		if n := typos(name, k, least); n < least {
			best, least = k, n
		}
	}
	return best
}

// maxTypos is how many letters two names may differ in for one to be the other misspelt.
const maxTypos = 2

// typos is how many letters have to be added, taken out or replaced to make one name of
// the other, without regard to case; most when those are so many or more.
func typos(a, b string, most int) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	if len(a) > 64 || len(b) > 64 || len(a)-len(b) >= most || len(b)-len(a) >= most {
		return most
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := before
			if a[i] != b[j] {
				change++
			}
			before = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return min(row[len(b)], most)
}
