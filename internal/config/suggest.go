package config

import "strings"

// maxWord is longer than any word that somebody knows, in bytes.
const maxWord = 128

// nearest returns the candidate that word was probably meant to be, or "" if
// none is near: at most a third of its letters may differ. The first of several
// that are equally near wins.
func nearest(word string, candidates []string) string {
	if len(word) > maxWord {
		return "" // a whole page for a key is not worth a look
	}
	best, limit := "", max(len(word)/3, 1)
	word = normal(word)
	for _, c := range candidates {
		n := normal(c)
		if len(word)-len(n) > limit {
			continue // at least so many letters differ
		}
		if d := distance(word, n); d <= limit {
			best, limit = c, d-1
		}
	}
	return best
}

// normal makes spellings equal that differ only in style: max_flows, MaxFlows
// and max-flows.
func normal(s string) string {
	return strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(s))
}

// distance is the number of letters to insert, delete, replace or swap with
// their neighbour to get from a to b (optimal string alignment distance).
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replace := last[j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			row[j] = min(replace, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
