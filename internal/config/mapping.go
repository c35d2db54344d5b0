package config

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// keys are those that a mapping may have, which is read into a T.
type keys[T any] []key[T]

type key[T any] struct {
	name     string
	required string  // what the key is to hold, if it must not be left out
	unset    string  // what holds if it is left out
	about    string  // what it is for
	restart  bool    // a reload does not apply it
	form     form[T] // of its value
}

// maxKeys is the size of the largest of these tables.
const maxKeys = 21

// mapping reads the values of a mapping, in the order of the table. The value of a
// misspelt key goes to the key that was meant, so that one slip gives one problem and
// hides none. It reports whether v is a mapping.
func mapping[T any](v value, dst *T, known keys[T]) bool {
	if v.node.Kind != yaml.MappingNode {
		v.problem("want keys with values (one of: %s), not %s", strings.Join(known.names(), ", "), kind(v.node))
		return false
	}
	var at, values [maxKeys]*yaml.Node // of each of the known keys, where it is given first
	for k, n := range entries(v.node) {
		if i := known.index(keyName(k)); i >= 0 && at[i] == nil {
			at[i], values[i] = k, n
		}
	}
	for k, n := range entries(v.node) {
		if !v.file.spend() {
			break
		}
		i := known.index(keyName(k))
		if i < 0 {
			i = known.index(v.unknown(k, known.names()))
			if i >= 0 && at[i] == nil {
				at[i], values[i] = k, n
			}
		} else if at[i] != k {
			v.report(k, "is given a second time (first in line %d); keep one", at[i].Line)
		}
	}
	for i, k := range known {
		switch {
		case at[i] == nil && k.required != "":
			v.file.add(v.line, v.below(k.name), "is missing; want "+k.required)
		case at[i] != nil && v.file.budget >= 0:
			if child, ok := (value{file: v.file, parent: &v, key: k.name, line: at[i].Line}).open(values[i]); ok {
				k.form.read(child, dst)
			}
		}
	}
	return true
}

// unknown reports a key of v that is none of the known ones, and returns the one
// that it was probably meant to be, or "".
func (v *value) unknown(k *yaml.Node, known []string) string {
	switch {
	case k.Kind != yaml.ScalarNode:
		v.file.add(k.Line, v.path(), fmt.Sprintf("has %s for a key; want one of: %s", kind(k), strings.Join(known, ", ")))
		return ""
	case tagged(k):
		v.report(k, "the tag %s is not used here; remove it", short(k.Tag))
		return ""
	case k.Tag == "!!merge":
		v.report(k, "merge keys are not supported; write under defaults what services share, or use an alias for a whole block")
		return ""
	}
	if answer, meant := v.answer(k.Value); answer != "" {
		v.report(k, "%s", answer)
		return meant
	}
	meant := nearest(k.Value, known)
	if meant == "" {
		v.report(k, "unknown key; want one of: %s", strings.Join(known, ", "))
	} else {
		v.report(k, "unknown key; did you mean %q?", meant)
	}
	return meant
}

// report adds a problem about a key of v.
func (v *value) report(k *yaml.Node, format string, args ...any) {
	v.file.add(k.Line, v.below(short(k.Value)), fmt.Sprintf(format, args...))
}

// entries are the keys and values of a mapping.
func entries(n *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(k, n *yaml.Node) bool) {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i], n.Content[i+1]) {
				return
			}
		}
	}
}

// entry returns a mapping's first key of that name and its value, or nils.
func entry(n *yaml.Node, name string) (k, v *yaml.Node) {
	for k, v := range entries(n) {
		if keyName(k) == name {
			return k, v
		}
	}
	return nil, nil
}

// keyName returns the word that a key is, or "" if it is something else.
func keyName(k *yaml.Node) string {
	if k.Kind != yaml.ScalarNode || tagged(k) {
		return ""
	}
	return k.Value
}

// index returns the place of a key in the table, or -1.
func (ks keys[T]) index(name string) int {
	for i := range ks {
		if ks[i].name == name {
			return i
		}
	}
	return -1
}

// names returns the keys in alphabetical order.
func (ks keys[T]) names() []string {
	names := make([]string, len(ks))
	for i, k := range ks {
		names[i] = k.name
	}
	slices.Sort(names)
	return names
}
