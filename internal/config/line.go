package config

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// locate returns the line of path below n, or of its nearest ancestor, and whether it is
// all there.
func (f *file) locate(n *yaml.Node, path string) (line int, all bool) {
	line, n = 1, f.follow(n)
	for path != "" && n != nil {
		var at *yaml.Node
		if rest, ok := strings.CutPrefix(path, "["); ok {
			var index string
			index, path, _ = strings.Cut(rest, "]")
			at, n = element(n, index)
		} else {
			end := strings.IndexAny(path, ".[")
			if end < 0 {
				end = len(path)
			}
			at, n = spelled(n, path[:end])
			path = path[end:]
		}
		if at == nil {
			return line, false
		}
		line, n, path = at.Line, f.follow(n), strings.TrimPrefix(path, ".")
	}
	return line, path == ""
}

// element returns an element of a sequence, twice as [entry] returns key and
// value, or nils.
func element(n *yaml.Node, index string) (at, v *yaml.Node) {
	i, err := strconv.Atoi(index)
	if err != nil || n.Kind != yaml.SequenceNode || i >= len(n.Content) {
		return nil, nil
	}
	return n.Content[i], n.Content[i]
}

// spelled returns a mapping's key of that name, or the one that was taken for it,
// and its value.
func spelled(n *yaml.Node, name string) (k, v *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		return nil, nil
	}
	if k, v := entry(n, name); k != nil {
		return k, v
	}
	for k, v := range entries(n) {
		if nearest(keyName(k), []string{name}) != "" {
			return k, v
		}
	}
	return nil, nil
}
