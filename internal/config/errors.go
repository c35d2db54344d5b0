package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong in a file that could be parsed.
type Problem struct {
	File string
	Line int    // from 1; where the thing stands, or where it is missing from
	Path string // as in services[1].backends[0].port; empty for the file as a whole
	Text string // what is wrong and what would be right
}

// String returns the problem as `file:line: path: text`.
func (p Problem) String() string {
	if p.Path == "" {
		return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
	}
	return fmt.Sprintf("%s:%d: %s: %s", p.File, p.Line, p.Path, p.Text)
}

// outline returns the problem without words of the file.
func (p Problem) outline() string {
	return fmt.Sprintf("%s:%d: %s is wrong", p.File, p.Line, cmp.Or(ours(p.Path), "this"))
}

// ours returns the path without what is no key of ours: a slip can make a key of anything.
func ours(path string) string {
	end, known := 0, topKeys.settings()
	for part := range strings.SplitSeq(path, ".") {
		name, _, _ := strings.Cut(part, "[")
		i := slices.IndexFunc(known, func(k setting) bool { return k.name == name })
		if i < 0 {
			break
		}
		end += len(part) + 1
		if known[i].block == nil || known[i].any != nil {
			break
		}
		known = known[i].block()
	}
	return path[:max(end-1, 0)]
}

// Problems is the error of a file that could be parsed and is wrong: everything
// that is wrong with it, in the order of the file.
type Problems []Problem

// Error returns one line for each problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Outline returns one line for each problem, with where it is and no more: for those who may not
// read the file, and its secrets.
func (ps Problems) Outline() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.outline()
	}
	return strings.Join(lines, "\n")
}

// cover holds the paths of problems (true) and of what these lie in (false).
type cover map[string]bool

// cover returns the paths of which something is known to be wrong. A problem of
// the whole file says nothing of its parts.
func (ps Problems) cover() cover {
	c := cover{}
	for _, p := range ps {
		for path := above(p.Path); path != "" && !c[path]; path = above(path) {
			c[path] = false
		}
		c[p.Path] = p.Path != ""
	}
	return c
}

// has reports whether a problem is known at path, below it or above it.
func (c cover) has(path string) bool {
	if _, ok := c[path]; ok {
		return true
	}
	for path != "" && !c[path] {
		path = above(path)
	}
	return path != ""
}

// above returns the path of the mapping or sequence that has path, "" for the
// file's.
func above(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}
