package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// value is one YAML node under its path. Its methods report what is wrong with
// it and then leave the destination as it was.
type value struct {
	file *file
	path string
	node ast.Node
}

func (v value) problem(format string, args ...any) {
	v.file.add(v.file.line(v.path), v.path, fmt.Sprintf(format, args...))
}

// child returns the value below v that n holds, with its alias followed (YAML has
// no aliases of aliases).
func (v value) child(path string, at, n ast.Node) (value, bool) {
	v.path = path
	v.file.lines[path] = lineOf(at)
	if anchor, ok := n.(*ast.AnchorNode); ok {
		n = anchor.Value
	}
	if alias, ok := n.(*ast.AliasNode); ok {
		name := alias.Value.GetToken().Value
		if n, ok = v.file.anchors[name]; !ok {
			v.problem("alias *%s has no anchor &%s in this file", name, name)
			return v, false
		}
	}
	switch node := n.(type) {
	case *ast.TagNode:
		v.problem("the tag %s is not used here; remove it", node.Start.Value)
		return v, false
	case *ast.NullNode, nil:
		v.problem("has no value; give it one or leave the key out")
		return v, false
	}
	v.node = n
	return v, true
}

// below returns the path of a key below v.
func (v value) below(key string) string {
	return strings.TrimPrefix(v.path+"."+key, ".")
}

// has reports whether the file says something at the path below v.
func (v value) has(key string) bool {
	_, ok := v.file.lines[v.below(key)]
	return ok
}

// require reports a key that is missing from v; what says what it is to hold.
func (v value) require(key, what string) {
	if !v.has(key) {
		v.file.add(v.file.line(v.path), v.below(key), "is missing; want "+what)
	}
}

// keys says what to do with the value of each key that a mapping may have.
type keys map[string]func(value)

// mapping hands each value of a mapping to its key's function, in the order of
// the file. The value of a misspelt key goes to the key that was meant, so that
// one slip gives one problem and hides none. It reports whether v is a mapping.
func (v value) mapping(known keys) bool {
	m, ok := v.node.(*ast.MappingNode)
	if !ok {
		v.problem("want keys with values (one of: %s), not %s", known.list(), kind(v.node))
		return false
	}
	given := map[string]*ast.MappingValueNode{} // the first entry of each key
	for _, entry := range slices.Backward(m.Values) {
		given[entry.Key.GetToken().Value] = entry
	}
	for _, entry := range m.Values {
		name := entry.Key.GetToken().Value
		report := func(format string, args ...any) {
			v.file.add(lineOf(entry.Key), v.below(name), fmt.Sprintf(format, args...))
		}
		if entry.Key.IsMergeKey() {
			report("merge keys are not supported; write the keys out, or use an alias for a whole block")
			continue
		}
		if first := given[name]; first != entry {
			report("is given a second time (first in line %d); keep one", lineOf(first.Key))
			continue
		}
		key := name
		if known[name] == nil {
			key = nearest(name, known.names())
			if key == "" {
				report("unknown key; want one of: %s", known.list())
				continue
			}
			report("unknown key; did you mean %q?", key)
			if given[key] != nil {
				continue
			}
		}
		if child, ok := v.child(v.below(key), entry.Key, entry.Value); ok {
			known[key](child)
		}
	}
	return true
}

// within returns the key function that reads a mapping with known keys.
func within(known keys) func(value) {
	return func(v value) { v.mapping(known) }
}

func (k keys) names() []string { return slices.Sorted(maps.Keys(k)) }

// list names the keys for a message.
func (k keys) list() string { return strings.Join(k.names(), ", ") }

// sequence calls f for each element of a sequence, also for those that are
// wrong in themselves (ok false): the index stays that of the file.
func (v value) sequence(f func(v value, ok bool)) {
	s, ok := v.node.(*ast.SequenceNode)
	if !ok {
		v.problem("want a list, not %s", kind(v.node))
		return
	}
	for i, n := range s.Values {
		child, ok := v.child(fmt.Sprintf("%s[%d]", v.path, i), n, n)
		f(child, ok)
	}
}

// kind names a node's type to the user.
func kind(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode:
		return "keys with values"
	case *ast.SequenceNode:
		return "a list"
	}
	return fmt.Sprintf("the single value %q", n.GetToken().Value)
}
