package config

import (
	"cmp"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v4"

	"github.com/afxlb/afxlb/balancer"
)

const (
	// maxRepeats bounds how many values the aliases of a file may repeat: enough
	// for thousands of services that share a pool of hundreds, and not so many that
	// a small file fills the memory.
	maxRepeats = 1_000_000

	// maxProblems ends the reading of a file that is wrong everywhere.
	maxProblems = 10_000
)

// file is what is known about one file while it is decoded.
type file struct {
	name     string
	root     *yaml.Node
	anchors  map[string]*yaml.Node
	defaults balancer.ServiceSpec // what a service is that says nothing
	shared   bool                 // the file has a say in that
	budget   int                  // values that may still be looked at
	problems Problems
}

// newFile returns a file of so many bytes. Without aliases it has fewer values
// than bytes.
func newFile(name string, size int) *file {
	return &file{name: name, anchors: map[string]*yaml.Node{}, defaults: builtIn(), budget: size + maxRepeats}
}

// decode reads the file into c.
func (f *file) decode(c *Config) {
	if f.root == nil {
		return
	}
	root, ok := value{file: f, line: 1}.open(f.root)
	if !ok || !mapping(root, c, topKeys) {
		return
	}
	one, _ := entry(root.node, "interface")
	list, _ := entry(root.node, "interfaces")
	if one != nil && list != nil {
		root.report(list, "interface is given too (line %d); keep one of the two", one.Line)
	}
	checkPorts(&root, c)
	f.checkSpec(&c.Spec)
}

// checkSpec adds what the balancer finds wrong with the services, except where
// the file could not be understood already.
func (f *file) checkSpec(s *balancer.Spec) {
	if f.budget < 0 {
		return // only a part was read
	}
	known, told := f.problems.cover(), map[string]bool{}
	for _, p := range s.Validate() {
		line, path := f.origin(p.Path)
		if known.has(p.Path) || known.has(path) || told[path+p.Text] {
			continue // told[…]: a default is wrong for each service that has it
		}
		told[path+p.Text] = true
		f.add(line, path, p.Text)
	}
}

// spend takes one value from the budget and reports whether it may be looked at.
func (f *file) spend() bool {
	f.budget--
	switch {
	case f.budget == -1:
		f.add(1, "", fmt.Sprintf("the aliases of this file repeat more than %d values; write fewer", maxRepeats))
	case f.budget >= 0 && len(f.problems) >= maxProblems:
		f.budget = -2
		f.add(1, "", fmt.Sprintf("there are more than %d problems; these are the first, mend them and look again", maxProblems))
	}
	return f.budget >= 0
}

// add records a problem.
func (f *file) add(line int, path, text string) {
	f.problems = append(f.problems, Problem{File: f.name, Line: line, Path: path, Text: text})
}

// sorted returns the problems in the order of the file, or nil.
func (f *file) sorted() error {
	if len(f.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(f.problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return f.problems
}

// follow returns the node that an alias stands for, nil if there is none, and any
// other node itself. (YAML has no aliases of aliases.)
func (f *file) follow(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return f.anchors[n.Value]
	}
	return n
}
