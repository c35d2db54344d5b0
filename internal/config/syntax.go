package config

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

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

// Outline returns where the file is not YAML, without words of it.
func (e *SyntaxError) Outline() string {
	return fmt.Sprintf("%s:%d: this is not YAML", e.File, e.Line)
}

// slips are the syntax errors that careful users make, and what to do about them. Some are in
// the line before that in which the library meets them.
var slips = []struct {
	text *regexp.Regexp // of the line, or of the two
	hint string
}{
	// An IPv6 address whose last colon YAML takes for a mapping.
	{regexp.MustCompile(`:\s+[0-9a-fA-F:]+::\s*(#|,|}|$)`), "put quotes around an address that ends in a colon"},
	{regexp.MustCompile(`(?:^|\n) *\t[^\n]*$`), "indent with blanks, not with tabs"},
	{regexp.MustCompile(`(?m)^%YAML`), "leave the line out: none is needed"},
	{regexp.MustCompile(`\x{FFFD}`), "save the file as UTF-8"},
	{regexp.MustCompile(`\x{A0}`), "there is a no-break space, which looks like a blank; write a blank"},
}

// syntaxError gives the YAML library's error our form.
func syntaxError(file string, data []byte, err error) *SyntaxError {
	e := &SyntaxError{File: file, Line: 1, Text: err.Error()}
	var located *yaml.LoadError
	if !errors.As(err, &located) {
		return e
	}
	e.Text = located.Message
	e.Line = located.Mark.Line
	if e.Line == 0 { // from the reader, which counts bytes
		e.Line = 1 + bytes.Count(data[:min(located.Mark.Index, len(data))], []byte("\n"))
	}
	// The end of the file is where its last line is, not behind it.
	lines := strings.Split(strings.TrimRight(lineEnds.Replace(string(data)), " \n"), "\n")
	e.Line = min(e.Line, len(lines))
	if at := located.ContextMark.Line; 0 < at && at < e.Line {
		e.Text += fmt.Sprintf(" (%s that begins in line %d)", located.ContextMsg, at)
	}
	near := strings.Join(lines[max(e.Line-2, 0):e.Line], "\n")
	for _, slip := range slips {
		if slip.text.MatchString(near) {
			e.Text += " (" + slip.hint + ")"
			break
		}
	}
	return e
}

var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")
