// Package result holds what a benchmark run has found: figures with one value a
// round, the cases that they belong to, and the machine that they are true for. A
// [File] is all of it, kept as JSON.
//
// Every suite of the harness ends here, and reports and comparisons start here, so
// neither knows anything of the other.
package result
