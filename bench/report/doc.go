// Package report shows results: as tables on a terminal, as plots, as one page of HTML
// that needs nothing else, and as a comparison of two runs.
package report
