package config

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// value is one YAML node at its place in the file. The functions that read it
// report what is wrong with it and then leave the destination as it was.
//
// A large file has some hundred thousand values and seldom a problem: a value
// knows its parent, and its path is only written out for a message.
type value struct {
	file   *file
	parent *value // nil: the root
	key    string // its key, if the parent is a mapping
	index  int    // its index, if the parent is a sequence
	line   int    // of the key or of the sequence's element, from 1
	node   *yaml.Node
}

// path returns the value's place as in services[1].backends[0].port.
func (v *value) path() string {
	switch {
	case v.parent == nil:
		return ""
	case v.parent.node.Kind == yaml.SequenceNode:
		return fmt.Sprintf("%s[%d]", v.parent.path(), v.index)
	}
	return v.parent.below(v.key)
}

// below returns the path of a key below v.
func (v *value) below(key string) string {
	return strings.TrimPrefix(v.path()+"."+key, ".")
}

func (v *value) problem(format string, args ...any) {
	v.file.add(v.line, v.path(), fmt.Sprintf(format, args...))
}

// open returns v with what n holds, an alias followed, and whether there is
// anything to read.
func (v value) open(n *yaml.Node) (value, bool) {
	if n.Kind == yaml.AliasNode {
		name := n.Value
		if n = v.file.follow(n); n == nil {
			v.problem("alias *%s has no anchor &%[1]s in this file", short(name))
			return v, false
		}
	}
	switch {
	case tagged(n):
		v.problem("the tag %s is not used here; remove it", short(n.Tag))
		return v, false
	case isNull(n):
		v.problem("has no value; give it one or leave the key out")
		return v, false
	}
	v.node = n
	return v, true
}

// tagged reports whether a node has a tag in the file.
func tagged(n *yaml.Node) bool { return n.Style&yaml.TaggedStyle != 0 || n.Tag == "!" }

// isNull reports whether a node is YAML's null: nothing at all, ~ or null.
func isNull(n *yaml.Node) bool { return n.Tag == "!!null" }

// sequence reads the elements of a sequence. The elements of the slice are those
// of the file, also where one is wrong and stays empty, so that paths of the Spec
// are paths of the file.
func sequence[T any](v value, read func(value, *T)) []T {
	if v.node.Kind != yaml.SequenceNode {
		v.problem("want a list, not %s", kind(v.node))
		return nil
	}
	list := make([]T, len(v.node.Content))
	for i, n := range v.node.Content {
		if !v.file.spend() {
			break
		}
		if element, ok := (value{file: v.file, parent: &v, index: i, line: n.Line}).open(n); ok {
			read(element, &list[i])
		}
	}
	return list
}

// kind names what a node is to the user.
func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys with values"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	return fmt.Sprintf("the single value %q", short(n.Value))
}

// short cuts the file's own words for a message, which is one line: a slip can
// make a value of half the file.
func short(s string) string {
	const limit = 60 // bytes
	head, _, cut := strings.Cut(s, "\n")
	if len(head) > limit {
		head, cut = strings.ToValidUTF8(head[:limit], ""), true
	}
	if cut {
		head += "…"
	}
	return head
}
