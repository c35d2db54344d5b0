// Package doctor says what of a machine stands against serving a config on it, and what only
// makes that slow or uncertain: each finding with the value that was seen, what it means, and
// what to do.
//
// [Look] gathers the facts, in one place and by reading alone; the checks are functions of them,
// which ask nobody. Who runs them decides over what is made of a finding: `afxlb doctor` shows
// all, `check --here` goes by what is of the config ([Here]), and the daemon warns of what it
// alone can see of an interface that it serves ([OfInterface]) and of what is the machine's
// ([Facts.Told]).
package doctor
