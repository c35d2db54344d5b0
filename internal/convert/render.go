package convert

import (
	"bytes"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// render writes the file.
func (o *output) render(file string, from Format) []byte {
	dir := filepath.Dir(file) + "/" // notes are short without it
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Converted by afxlb from %s (%s).\n", oneLine(file), from)
	if n := o.leftOut(); n > 0 {
		fmt.Fprintf(&b, "# LEFT OUT marks what has no equivalent: %d.\n", n)
	}
	b.WriteString("\n# interface: eth0     # the interface that the packets come by; or --interface\n")
	for _, n := range o.notes {
		n.write(&b, dir, "")
	}
	if len(o.timeouts) > 0 {
		var list []string
		for _, t := range o.timeouts {
			list = append(list, t[0]+": "+t[1])
		}
		fmt.Fprintf(&b, "conntrack:\n  timeouts: {%s}\n", strings.Join(list, ", "))
	}
	b.WriteString("\nservices:")
	if !slices.ContainsFunc(o.services, func(s *service) bool { return s.refused == "" }) {
		b.WriteString(" []")
	}
	b.WriteString("\n")
	for _, s := range o.services {
		if s.refused == "" {
			s.write(&b, dir)
			continue
		}
		note{s.at, s.name, s.refused, true}.write(&b, dir, "  ")
		var old bytes.Buffer
		s.write(&old, dir)
		for line := range strings.Lines(old.String()) {
			b.WriteString("  # " + strings.TrimPrefix(line, "  "))
		}
	}
	return b.Bytes()
}

// write writes the service as an element of the list of services.
func (s *service) write(b *bytes.Buffer, dir string) {
	fmt.Fprintf(b, "  - name: %s\n", quote(s.name))
	for _, n := range s.notes {
		n.write(b, dir, "    ")
	}
	key := func(name, v string) {
		if v != "" {
			fmt.Fprintf(b, "    %s: %s\n", name, v)
		}
	}
	key("address", quote(s.address))
	key("port", s.ports)
	key("protocol", s.protocol)
	key("mode", s.mode)
	if len(s.sources) > 0 {
		key("snat-addresses", "["+strings.Join(quoteAll(s.sources), ", ")+"]")
	}
	if s.gue != "" {
		key("gue", "{"+s.gue+"}")
	}
	key("algorithm", s.algorithm)
	key("on-down", s.onDown)
	if s.slowStart > 0 {
		key("slow-start", brief(s.slowStart))
	}
	if s.minHealthy > 0 {
		key("min-healthy", strconv.Itoa(s.minHealthy))
		key("below-min-healthy", "backup")
	}
	key("affinity", s.affinity)
	if s.persistence != "" {
		inside := "timeout: " + s.persistence
		if s.prefix != "" {
			inside += ", prefix: " + s.prefix
		}
		key("persistence", "{"+inside+"}")
	}
	if s.health != nil {
		key("health", "{"+s.health.content()+"}")
	}
	b.WriteString("    backends:")
	if !slices.ContainsFunc(s.backends, func(b *backend) bool { return b.refused == "" }) {
		b.WriteString(" []")
	}
	b.WriteString("\n")
	for _, one := range s.backends {
		line := "- {" + one.content() + "}\n"
		if one.refused != "" {
			note{one.at, one.address, one.refused, true}.write(b, dir, "      ")
			line = "# " + line
		}
		b.WriteString("      " + line)
	}
}

func (one *backend) content() string {
	var list []string
	add := func(name, v string) {
		if v != "" {
			list = append(list, name+": "+v)
		}
	}
	if one.name != "" {
		add("name", quote(one.name))
	}
	add("address", quote(one.address))
	add("port", one.port)
	add("weight", one.weight)
	if one.backup {
		add("backup", "true")
	}
	if one.maxConns > 0 {
		add("max-conns", strconv.Itoa(one.maxConns))
	}
	return strings.Join(list, ", ")
}

func (h *health) content() string {
	list := []string{"type: " + h.kind}
	add := func(name, v string, given bool) {
		if given {
			list = append(list, name+": "+v)
		}
	}
	add("port", h.port, h.port != "")
	add("interval", brief(h.interval), h.interval > 0)
	add("fast-interval", brief(h.fast), h.fast > 0)
	add("timeout", brief(h.timeout), h.timeout > 0)
	add("rise", strconv.Itoa(h.rise), h.rise > 0)
	add("fall", strconv.Itoa(h.fall), h.fall > 0)
	add("path", quote(h.path), h.path != "")
	add("host", quote(h.host), h.host != "")
	if h.kind == "udp" {
		add("send", quote(h.send), h.send != "")
		add("expect", quote(strings.Join(h.expect, "")), len(h.expect) > 0)
	} else {
		add("expect", "["+strings.Join(h.expect, ", ")+"]", len(h.expect) > 0)
	}
	add("name", quote(h.name), h.name != "")
	add("query", h.query, h.query != "")
	add("ca", quote(h.ca), h.ca != "")
	add("insecure", "true", h.insecure)
	add("source", quote(h.source), h.source != "")
	add("body", quote(h.body), h.body != "")
	return strings.Join(list, ", ")
}

// write writes the note as a comment.
func (n note) write(b *bytes.Buffer, dir, indent string) {
	mark := ""
	if n.lost {
		mark = "LEFT OUT: "
	}
	fmt.Fprintf(b, "%s# %s%s:%d: %s: %s\n", indent, mark, oneLine(strings.TrimPrefix(n.file, dir)), n.line, oneLine(n.what), oneLine(n.text))
}

// simple are words that YAML takes for what they are, anywhere.
var simple = regexp.MustCompile(`^[A-Za-z0-9_.][A-Za-z0-9_.-]*$`)

// quote returns a word as YAML has it.
func quote(s string) string {
	if simple.MatchString(s) && !strings.EqualFold(s, "null") && s != "..." {
		return s
	}
	return strconv.Quote(s)
}

func quoteAll(words []string) []string {
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = quote(w)
	}
	return list
}

// oneLine returns a text that stays in its comment, and of a length that can be read.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return '?'
	}, s)
	if r := []rune(s); len(r) > 300 {
		s = string(r[:300]) + "…"
	}
	return s
}
