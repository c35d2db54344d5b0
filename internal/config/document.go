package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v4"
)

// load parses data and finds the root of its only document. Its error is a
// [*SyntaxError]; without one and without a root there is a problem.
func (f *file) load(data []byte) error {
	if isUTF16(data) {
		return &SyntaxError{File: f.name, Line: 1, Text: "the file is in UTF-16 (some editors call it Unicode); save it as UTF-8"}
	}
	loader, err := yaml.NewLoader(bytes.NewReader(data), yaml.WithPlugin(anchors{f}))
	if err != nil {
		return err
	}
	for {
		var document yaml.Node
		err := loader.Load(&document)
		switch {
		case errors.Is(err, io.EOF):
			if f.root == nil {
				f.add(1, "", "the file is empty; want at least the key services")
			}
			return nil
		case err != nil:
			return syntaxError(f.name, data, err)
		}
		body := document.Content[0]
		switch {
		case isNull(body) && !tagged(body): // as between two lines of ---
		case f.root == nil:
			f.root = body
		default:
			f.add(body.Line, "", "a second YAML document starts here; want one document")
			f.root = nil
			return nil
		}
	}
}

// isUTF16 reports whether data begins as UTF-16 does: with its byte order mark or, for no
// config begins with anything but ASCII, with a byte of 0.
func isUTF16(data []byte) bool {
	return bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) ||
		len(data) > 1 && (data[0] == 0) != (data[1] == 0)
}

// anchors is the YAML library's view of a file's anchors. Aliases are followed
// when the tree is decoded, where one that leads nowhere is a problem like any
// other, reported with all the rest.
type anchors struct{ file *file }

// NewAliasDataContext is called once for each file.
func (a anchors) NewAliasDataContext(yaml.AliasDataServices) (yaml.AliasDataContext, error) {
	return a, nil
}

// DefineAnchor notes an anchor.
func (a anchors) DefineAnchor(name string, n *yaml.Node) error {
	if _, twice := a.file.anchors[name]; twice {
		a.file.add(n.Line, "", fmt.Sprintf("anchor &%s is defined a second time; rename one", name))
	}
	a.file.anchors[name] = n
	return nil
}

// ResolveAlias returns a null for every alias.
func (a anchors) ResolveAlias(string) (*yaml.Node, bool, error) {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}, true, nil
}

// BeginDocument does nothing: there is only one document.
func (a anchors) BeginDocument() error { return nil }

// EndDocument does nothing.
func (a anchors) EndDocument() error { return nil }
