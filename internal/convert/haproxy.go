package convert

import (
	"strings"
	"time"
)

// haproxy reads haproxy.cfg.
func haproxy(r *reader, data []byte) {
	h := &hapReader{reader: r, backends: map[string]*hapProxy{}, defaults: map[string]*hapProxy{}, used: map[string]bool{}}
	list := r.parseHAProxy(data)
	for _, s := range list { // backends may stand behind what uses them
		p := h.proxy(s)
		if p == nil {
			continue
		}
		if s.kind != "frontend" { // a listen can be a default_backend, too
			if _, twice := h.backends[s.name]; twice {
				r.wrong(s.at, "%s %s is there twice", s.kind, s.name)
			}
			h.backends[s.name] = p
		}
		if s.kind != "backend" {
			h.front = append(h.front, p)
		}
	}
	for _, p := range h.front {
		h.services(p)
	}
	for _, s := range list {
		switch {
		case s.kind == "listen" && len(h.backends[s.name].binds) == 0 && !h.used[s.name]:
			r.out.lose(s.at, "listen "+s.name, "binds no address")
		case s.kind != "backend":
		case h.backends[s.name].mode != "tcp":
			r.out.lose(s.at, "backend "+s.name, "mode "+h.backends[s.name].mode+": "+looksInside)
		case !h.used[s.name]:
			r.out.lose(s.at, "backend "+s.name, "no frontend of mode tcp has it for its default_backend")
		}
	}
	h.idle()
}

type hapReader struct {
	*reader
	last     *hapProxy            // defaults, until there are others
	defaults map[string]*hapProxy // with names
	backends map[string]*hapProxy // and listens
	front    []*hapProxy          // frontends and listens
	used     map[string]bool
	timeouts []hapTimeout // of clients and servers, of what is used
}

type hapTimeout struct {
	at
	after time.Duration
}

// proxy reads a section; nil if it is none that has services or backends.
func (h *hapReader) proxy(s *hapSection) *hapProxy {
	switch s.kind {
	case "defaults":
		h.last = newProxy(s, nil)
		if s.from != "" {
			h.last = newProxy(s, h.base(s))
		}
		h.defaults[s.name] = h.last
		h.read(h.last)
		return nil
	case "frontend", "backend", "listen":
		p := newProxy(s, h.base(s))
		h.read(p)
		return p
	case "global":
		h.global(s)
	case "peers":
		h.out.lose(s.at, s.kind+" "+s.name, "flows are not told to other balancers; with algorithm maglev all choose alike")
	case "resolvers":
		h.out.lose(s.at, s.kind+" "+s.name, "names of hosts are not looked up; write addresses")
	case "mailers":
		h.out.lose(s.at, s.kind+" "+s.name, "nobody is mailed when something changes; the log says it")
	default:
		h.out.lose(s.at, s.kind+" "+s.name, "is of what looks into connections or of HAProxy's own process, and has no equivalent")
	}
	return nil
}

// base returns the defaults that count for a section.
func (h *hapReader) base(s *hapSection) *hapProxy {
	if s.from == "" {
		return h.last
	}
	d, ok := h.defaults[s.from]
	if !ok {
		h.wrong(s.at, "there is no defaults section %s above", s.from)
	}
	return d
}

// ownProcess are keywords of the global section of which nothing is left out, for they say
// how HAProxy's own process runs.
var ownProcess = words(`log daemon user group uid gid chroot stats pidfile nbproc nbthread cpu-map maxconn setenv presetenv resetenv unsetenv description node
	ulimit-n quiet debug master-worker localpeer hard-stop-after server-state-file server-state-base set-dumpable numa-cpu-mapping thread-groups
	spread-checks maxpipes nosplice noepoll nokqueue nopoll log-send-hostname log-tag unix-bind busy-polling zero-warning expose-experimental-directives
	ca-base crt-base default-path h1-case-adjust-file external-check insecure-fork-wanted insecure-setuid-wanted grace close-spread-time`)

func words(s string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(s) {
		m[w] = true
	}
	return m
}

// global reads the global section: nothing in it is of a service.
func (h *hapReader) global(s *hapSection) {
	for _, l := range s.lines {
		word := l.arg(0)
		if ownProcess[word] || strings.HasPrefix(word, "tune.") || strings.HasPrefix(word, "ssl-") || strings.HasPrefix(word, "lua-") || strings.HasPrefix(word, "profiling.") {
			continue
		}
		h.out.lose(l.at, l.text(), "has no equivalent")
	}
}

// idle sets for how long connections may be idle: the longest that a client or server of
// what was converted has, for there is one for all.
func (h *hapReader) idle() {
	longest, differ := hapTimeout{}, false
	for _, t := range h.timeouts {
		if t.after == 0 {
			h.out.lose(t.at, "a timeout of 0", "no connection may be idle for ever: conntrack.timeouts.tcp-established, 15m if nothing is said, is for all")
			continue
		}
		differ = differ || longest.after != 0 && longest.after != t.after
		if t.after > longest.after {
			longest = t
		}
	}
	if longest.after == 0 {
		return
	}
	h.out.timeout(longest.at, "tcp-established", longest.after)
	if differ {
		h.out.lose(longest.at, "timeout "+brief(longest.after), "is the longest of the timeouts of clients, servers and tunnels, and here for all: there is one for all connections")
	}
}

// duration reads a time as HAProxy has it: in milliseconds, or with a unit.
func (h *hapReader) duration(p at, s string, unit time.Duration) time.Duration {
	units := []struct {
		suffix string
		unit   time.Duration
	}{{"us", time.Microsecond}, {"ms", time.Millisecond}, {"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}, {"d", 24 * time.Hour}}
	digits := s
	for _, u := range units {
		if n, ok := strings.CutSuffix(s, u.suffix); ok {
			digits, unit = n, u.unit
			break
		}
	}
	if s == "" {
		h.wrong(p, "want a time at the end")
		return 0
	}
	n := h.count(p, "time "+s, digits, 1<<31)
	if float64(n)*float64(unit) > float64(10*365*24*time.Hour) {
		h.wrong(p, "%q is more than ten years", s)
		return 0
	}
	return time.Duration(n) * unit
}
