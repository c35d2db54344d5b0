package main

import (
	"regexp"
	"slices"
	"time"

	"github.com/afxlb/afxlb/internal/api"
)

// warned returns the text of the status's warning with the code, empty if there is none.
func warned(s api.Status, code string) string {
	i := slices.IndexFunc(s.Warnings, func(w api.Warning) bool { return w.Code == code })
	if i < 0 {
		return ""
	}
	return s.Warnings[i].Text
}

// backend returns what the daemon says of one backend.
func (p *process) backend(service, name string) api.Backend {
	p.t.Helper()
	list, err := p.api.Backends(p.t.Context(), service)
	if err != nil {
		p.t.Fatal(err)
	}
	i := slices.IndexFunc(list, func(b api.Backend) bool { return b.Name == name })
	if i < 0 {
		p.t.Fatalf("no backend %s in %+v", name, list)
	}
	return list[i]
}

// counter returns one counter's value.
func (p *process) counter(group, name string) uint64 {
	p.t.Helper()
	list, err := p.api.Counters(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	for _, c := range list {
		if c.Group == group && c.Name == name {
			return c.Value
		}
	}
	p.t.Fatalf("no counter %s/%s", group, name)
	return 0
}

// lines returns how many lines of the log match.
func (p *process) lines(pattern string) int {
	return len(regexp.MustCompile("(?m)^.*(?:"+pattern+").*$").FindAllString(p.output(), -1))
}

// awaitLines waits until so many lines of the log match, and returns how many do: a line
// may be on its way here when what it tells of can be seen already.
func (p *process) awaitLines(n int, pattern string) int {
	p.t.Helper()
	for end := time.Now().Add(patience); p.lines(pattern) < n; time.Sleep(poll) {
		if time.Now().After(end) {
			p.t.Fatalf("%d lines of the log match %q, want %d:\n%s", p.lines(pattern), pattern, n, p.output())
		}
	}
	return p.lines(pattern)
}

// checkSums waits until the counters stand still and holds them against each other.
func (p *process) checkSums() {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for last := uint64(0); ; time.Sleep(5 * poll) {
		list, err := p.api.Counters(p.t.Context())
		if err != nil {
			p.t.Fatal(err)
		}
		var received, sum uint64
		for _, c := range list {
			switch {
			case c.Group == "packets" && c.Name == "received":
				received = c.Value
			case c.Group == "packets":
				sum += c.Value
			}
		}
		if received != sum {
			p.t.Errorf("received %d packets, verdicts %d", received, sum)
		}
		if received == last && received > 0 {
			return
		}
		if last = received; time.Now().After(deadline) {
			p.t.Fatal("the counters do not come to rest")
		}
	}
}
