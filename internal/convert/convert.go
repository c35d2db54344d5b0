package convert

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/afxlb/afxlb/internal/config"
)

// Format is the kind of a configuration.
type Format string

// The formats.
const (
	Keepalived Format = "keepalived"
	HAProxy    Format = "haproxy"
	IPVS       Format = "ipvsadm"
)

// formats has a reading for each.
var formats = map[Format]func(*reader, []byte){Keepalived: keepalived, HAProxy: haproxy, IPVS: ipvs}

// Options are what the file itself does not say.
type Options struct {
	From     Format     // empty: guessed from the content
	ConfigID string     // keepalived: lines that begin with @ and this count
	Address  netip.Addr // HAProxy: what bind * stands for
	Source   netip.Addr // HAProxy: the machine's own address towards the backends

	Getenv func(name string) (string, bool)       // HAProxy: environment variables
	Read   func(path string) ([]byte, error)      // keepalived: an included file
	Glob   func(pattern string) ([]string, error) // keepalived: the files that are included
}

// Result is a file of ours.
type Result struct {
	From    Format
	YAML    []byte
	LeftOut int // how many things have no equivalent; each has a comment
}

// SyntaxError says that a file cannot be parsed.
type SyntaxError struct{ Problem }

// Problem is something that is wrong in a file.
type Problem struct {
	File string
	Line int // from 1
	Text string
}

func (p Problem) Error() string { return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text) }

// Problems is all that is wrong in a file that could be parsed.
type Problems []Problem

// Error returns one line for each problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// ErrUnknown says that nothing in a file shows what it is.
var ErrUnknown = errors.New("neither keepalived's configuration nor HAProxy's nor the output of ipvsadm-save; say with --from which it is")

// ParseFormat reads the name of a format.
func ParseFormat(s string) (Format, error) {
	for _, f := range []Format{Keepalived, HAProxy, IPVS} {
		if s == string(f) {
			return f, nil
		}
	}
	return "", fmt.Errorf("unknown format %q; want keepalived, haproxy or ipvsadm", s)
}

// Convert converts a file; name stands for it in messages. Its error is a [SyntaxError],
// [Problems] or [ErrUnknown].
func Convert(name string, data []byte, o Options) (result *Result, err error) {
	if o.From == "" {
		if o.From = Guess(data); o.From == "" {
			return nil, fmt.Errorf("%s: %w", name, ErrUnknown)
		}
	}
	r := &reader{Options: o, file: name}
	defer func() {
		if syntax, ok := recover().(SyntaxError); ok {
			result, err = nil, syntax
		}
	}()
	formats[o.From](r, data)
	if len(r.problems) > 0 {
		return nil, r.problems
	}
	text, err := r.checked()
	if err != nil {
		return nil, err
	}
	return &Result{From: o.From, YAML: text, LeftOut: r.out.leftOut()}, nil
}

// checked renders what was read, without what check refuses.
func (r *reader) checked() ([]byte, error) {
	r.out.settle()
	for {
		text := r.out.render(r.file, r.From)
		_, err := config.Parse("converted", text)
		var problems config.Problems
		switch {
		case err == nil:
			return text, nil
		case !errors.As(err, &problems):
			return nil, fmt.Errorf("%s: what it converts to cannot be read: %w", r.file, err)
		case !r.out.refuse(problems):
			return nil, fmt.Errorf("%s: what it converts to is wrong: %w", r.file, problems)
		}
	}
}

// reader is one conversion.
type reader struct {
	Options
	file     string
	out      output
	problems Problems
}

// at is a place in a file.
type at struct {
	file string
	line int
}

// wrong records a problem.
func (r *reader) wrong(p at, format string, args ...any) {
	r.problems = append(r.problems, Problem{p.file, p.line, fmt.Sprintf(format, args...)})
}

// unreadable ends the conversion: there is no telling what the rest means.
func unreadable(p at, format string, args ...any) {
	panic(SyntaxError{Problem{p.file, p.line, fmt.Sprintf(format, args...)}})
}
