package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/afxlb/afxlb/internal/api"
)

// printChanges prints what a reload has changed, or would, a line each.
func printChanges(w io.Writer, r *api.Reload) {
	switch {
	case !r.DryRun && r.Empty():
		fmt.Fprintf(w, "reloaded, generation %d: nothing has changed\n", r.Generation)
	case !r.DryRun:
		fmt.Fprintf(w, "reloaded, generation %d\n", r.Generation)
	case r.Empty():
		fmt.Fprintln(w, "a reload would change nothing")
	default:
		fmt.Fprintln(w, "a reload would change:")
	}
	l := newChangeList()
	l.settings("", r.Settings)
	for i := range r.Services {
		l.service(&r.Services[i])
	}
	for _, o := range r.Overrides {
		what := "override of " + o.Service + "/" + o.Backend
		if o.Kept {
			l.line("", "", what, o.Override, "stays")
		} else {
			l.line("", api.Removed, what, o.Override, "ends: "+o.Reason)
		}
	}
	l.print(w)
}

// signs are what lines begin with, by change; the empty one is none.
var signs = map[string]string{api.Added: "+", api.Removed: "-", api.Changed: "~", "": "="}

// changeList is lines of three columns: what it is, its place or value, and what that means.
type changeList struct {
	text bytes.Buffer
	tabs *tabwriter.Writer
}

func newChangeList() *changeList {
	l := &changeList{}
	l.tabs = tabwriter.NewWriter(&l.text, 0, 0, 2, ' ', 0)
	return l
}

func (l *changeList) line(indent, change, what, value, effect string) {
	fmt.Fprintf(l.tabs, "%s%s %s\t%s\t%s\n", indent, signs[change], what, value, effect)
}

func (l *changeList) settings(indent string, list []api.SettingChange) {
	for _, s := range list {
		effect := ""
		if s.NeedsRestart {
			effect = "needs a restart"
		}
		l.line(indent, api.Changed, s.Key, orNone(s.Old)+" → "+orNone(s.New), effect)
	}
}

// orNone returns a value, which may be none.
func orNone(value string) string {
	if value == "" {
		return "none"
	}
	return value
}

func (l *changeList) service(s *api.ServiceChange) {
	l.line("", s.Change, "service "+s.Service, s.Address, touched(s.Connections, s.Then))
	l.settings("  ", s.Settings)
	for i := range s.Backends {
		b := &s.Backends[i]
		l.line("  ", b.Change, "backend "+b.Backend, b.Address, touched(b.Connections, b.Then))
		l.settings("    ", b.Settings)
	}
	if s.SlotsMoved > 0 {
		l.line("  ", api.Changed, "hash slots", fmt.Sprintf("%.2f%% move", s.MovedPercent), fmt.Sprintf("%d of %d", s.SlotsMoved, s.Slots))
	}
}

// touched says what becomes of connections, if there are any.
func touched(n int64, then string) string {
	if n == 0 {
		return ""
	}
	plural := "s"
	if n == 1 {
		plural = ""
	}
	return strings.TrimSuffix(fmt.Sprintf("%d connection%s: %s", n, plural, then), ": ")
}

// print prints the lines, without blanks at their ends.
func (l *changeList) print(w io.Writer) {
	l.tabs.Flush() // into memory
	for line := range strings.Lines(l.text.String()) {
		fmt.Fprintln(w, strings.TrimRight(line, " \n"))
	}
}
