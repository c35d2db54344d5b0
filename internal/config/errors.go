package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
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

// cover reports whether a problem is known at path, below it or above it.
func (ps Problems) cover(path string) bool {
	return slices.ContainsFunc(ps, func(p Problem) bool {
		return p.Path == path || below(p.Path, path) || below(path, p.Path)
	})
}

// below reports whether path a lies below path b.
func below(a, b string) bool {
	rest, ok := strings.CutPrefix(a, b)
	return ok && b != "" && rest != "" && (rest[0] == '.' || rest[0] == '[')
}

// SyntaxError says that a file is not YAML.
type SyntaxError struct {
	File string
	Line int // from 1
	Text string
}

// Error returns the error as `file:line: text`.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Text)
}

// trailingColon finds an IPv6 address written so that YAML takes its last colon
// for a mapping: the one syntax error that a careful user makes.
var trailingColon = regexp.MustCompile(`:\s+[0-9a-fA-F:]+::\s*(#|$)`)

// syntaxError gives the YAML library's error our form.
func syntaxError(file string, data []byte, err error) *SyntaxError {
	e := &SyntaxError{File: file, Line: 1, Text: err.Error()}
	located, ok := err.(yaml.Error)
	if !ok {
		return e
	}
	e.Text = located.GetMessage()
	if token := located.GetToken(); token != nil && token.Position != nil {
		e.Line = max(token.Position.Line, 1)
	}
	lines := strings.Split(string(data), "\n")
	if e.Line <= len(lines) && trailingColon.MatchString(lines[e.Line-1]) {
		e.Text += " (put quotes around an address that ends in a colon)"
	}
	return e
}
