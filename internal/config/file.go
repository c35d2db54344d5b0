package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/afxlb/afxlb/balancer"
)

// file is what is known about one file while it is decoded.
type file struct {
	name     string
	anchors  map[string]ast.Node
	lines    map[string]int // line of every path seen
	problems Problems
}

// add records a problem.
func (f *file) add(line int, path, text string) {
	f.problems = append(f.problems, Problem{File: f.name, Line: line, Path: path, Text: text})
}

// line returns the line of path or of its nearest ancestor in the file.
func (f *file) line(path string) int {
	for {
		if line, ok := f.lines[path]; ok {
			return line
		}
		i := strings.LastIndexAny(path, ".[")
		if i < 0 {
			return cmp.Or(f.lines[""], 1)
		}
		path = path[:i]
	}
}

// sorted returns the problems in the order of the file, or nil.
func (f *file) sorted() error {
	if len(f.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(f.problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return f.problems
}

// body returns the root of the file's only document and notes its anchors.
func (f *file) body(tree *ast.File) (ast.Node, bool) {
	var body ast.Node
	for _, doc := range tree.Docs {
		switch {
		case doc.Body == nil:
		case body == nil:
			body = doc.Body
		default:
			f.add(lineOf(doc.Body), "", "a second YAML document starts here; want one document")
			return nil, false
		}
	}
	if body == nil {
		f.add(1, "", "the file is empty; want at least the key services")
		return nil, false
	}
	ast.Walk(anchors{f}, body)
	return body, true
}

// anchors is the visitor that collects a tree's anchors.
type anchors struct{ file *file }

func (a anchors) Visit(n ast.Node) ast.Visitor {
	anchor, ok := n.(*ast.AnchorNode)
	if !ok {
		return a
	}
	name := anchor.Name.GetToken().Value
	if _, twice := a.file.anchors[name]; twice {
		a.file.add(lineOf(anchor), "", fmt.Sprintf("anchor &%s is defined a second time; rename one", name))
	}
	a.file.anchors[name] = anchor.Value
	return a
}

// checkSpec adds what the balancer finds wrong with the services, except where
// the file could not be understood already.
func (f *file) checkSpec(s *balancer.Spec) {
	known := f.problems
	for _, p := range s.Validate() {
		if !known.cover(p.Path) {
			f.add(f.line(p.Path), p.Path, p.Text)
		}
	}
}

// lineOf returns the line on which a node starts, 1 if the parser does not say.
func lineOf(n ast.Node) int {
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return 1
	}
	return max(n.GetToken().Position.Line, 1)
}
