package convert

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// hapProxy is what is read of a frontend, backend, listen or defaults section. What a
// section does not say it has from its defaults.
type hapProxy struct {
	*hapSection
	mode             string
	binds            []hapLine
	servers          []hapLine
	defaultServer    []string
	balance          hapLine
	to               hapLine // default_backend
	httpchk          bool
	path, host, body string
	expect           []string
	source           string
	transparent      bool // connections to servers come from the client's address
	timeouts         map[string]hapTimeout
	stick            hapLine
	stickOnSource    bool
	allBackups       bool
	notes            []note
}

// newProxy returns a section's, with what it has from its defaults.
func newProxy(s *hapSection, d *hapProxy) *hapProxy {
	p := &hapProxy{hapSection: s, mode: "tcp", timeouts: map[string]hapTimeout{}}
	if d != nil {
		*p = *d
		p.hapSection, p.timeouts = s, maps.Clone(d.timeouts)
		p.notes, p.expect, p.defaultServer = slices.Clone(d.notes), slices.Clone(d.expect), slices.Clone(d.defaultServer)
		if s.kind != "backend" && s.kind != "listen" {
			p.servers = nil
		}
	}
	return p
}

func (p *hapProxy) lose(l hapLine, text string) {
	p.notes = append(p.notes, note{l.at, l.text(), text, true})
}

func (p *hapProxy) tell(l hapLine, text string) {
	p.notes = append(p.notes, note{l.at, l.text(), text, false})
}

const (
	looksInside = "afxlb balances connections and does not look into them"
	noMaxConns  = "max-conns is of each backend alone; conntrack.max-flows bounds all"
)

// without are the keywords of a proxy of which nothing is left out.
var without = words(`log log-format log-format-sd log-tag error-log-format retries description id backlog no stats errorfile errorfiles errorloc enabled
	load-server-state-from-file server-state-file-name unique-id-format`)

// options are those of `option`, of which nothing is left out.
var options = words(`dontlognull dontlog-normal log-separate-errors logasap log-health-checks redispatch clitcpka srvtcpka tcpka splice-auto splice-request
	splice-response nolinger tcp-smart-accept tcp-smart-connect socket-stats contstats abortonclose idle-close-on-response checkcache persist forwardfor http-server-close
	httpclose http-keep-alive http-buffer-request http-no-delay independent-streams prefer-last-server log-steps`)

// waits are the timeouts of HAProxy, and what is to say of those that are not converted.
var waits = map[string]string{
	"client": "", "server": "", "tunnel": "", "check": "",
	"connect": ownConnections, "queue": ownConnections, "tarpit": ownConnections, "http-request": ownConnections, "http-keep-alive": ownConnections,
	"client-fin": "conntrack.timeouts.tcp-closing is for all connections", "server-fin": "conntrack.timeouts.tcp-closing is for all connections",
	"client-hs": ownConnections,
}

// oldTimeouts are former names of some of them.
var oldTimeouts = map[string]string{"clitimeout": "client", "srvtimeout": "server", "contimeout": "connect"}

// lengths are how many words of a line are read, of those that have a certain number.
var lengths = map[string]int{"mode": 2, "balance": 2, "default_backend": 2, "timeout": 3, "maxconn": 2, "hash-type": 2}

// oldHost is how the Host header was given before http-check.
var oldHost = regexp.MustCompile(`^HTTP/1\.[01]\r\n(?i:host):[ \t]*([^ \t\r\n]+)[ \t]*(?:\r\n)*$`)

const ownConnections = "connections are between client and backend: nothing waits in between"

// read reads the lines of a section.
func (h *hapReader) read(p *hapProxy) {
	for _, l := range p.lines {
		word := l.arg(0)
		if kind, ok := oldTimeouts[word]; ok {
			word, l.words = "timeout", append([]string{"timeout", kind}, l.words[1:]...)
		}
		if n, ok := lengths[word]; ok && len(l.words) > n {
			p.lose(l, fmt.Sprintf("%q and what follows it is not read", l.arg(n)))
		}
		switch word {
		case "mode":
			if p.mode = l.arg(1); !slices.Contains([]string{"tcp", "http", "health", "log", "spop", "haterm"}, p.mode) {
				h.wrong(l.at, "%q is no mode; want tcp or http", p.mode)
			}
		case "bind":
			p.binds = append(p.binds, l)
		case "server":
			p.servers = append(p.servers, l)
		case "default-server":
			p.defaultServer = append(p.defaultServer, l.words[1:]...)
		case "balance":
			p.balance = l
		case "default_backend":
			p.to = l
		case "source":
			h.source(p, l)
		case "timeout":
			say, ok := waits[l.arg(1)]
			switch p.timeouts[l.arg(1)] = (hapTimeout{l.at, h.duration(l.at, l.arg(2), time.Millisecond)}); {
			case !ok:
				p.lose(l, "is unknown")
			case say != "":
				p.tell(l, say)
			}
		case "maxconn":
			if p.kind == "listen" || p.kind == "frontend" {
				p.lose(l, noMaxConns)
			} else {
				p.tell(l, noMaxConns)
			}
		case "stick-table":
			p.stick = l
		case "stick":
			if p.stickOnSource = l.arg(1) == "on" && l.arg(2) == "src" && len(l.words) == 3; !p.stickOnSource {
				p.lose(l, "persistence goes by the client's address alone")
			}
		case "option":
			h.option(p, l)
		case "http-check":
			h.httpCheck(p, l)
		case "hash-type":
			if l.arg(1) != "consistent" {
				p.lose(l, "source-hash and maglev are consistent")
			}
		case "fullconn":
			p.lose(l, noMaxConns)
		case "use_backend", "acl", "use-server":
			p.lose(l, looksInside+"; write a service for each address or port that is to go elsewhere")
		case "tcp-check":
			p.lose(l, "a check of type tcp opens a connection, and says nothing on it")
		case "server-template":
			p.lose(l, "write out the servers; names are not looked up")
		case "disabled":
			p.lose(l, "the section is converted as if it were not disabled")
		default:
			if !without[word] {
				p.lose(l, looksInside+", and has no equivalent")
			}
		}
	}
}

// source reads from where servers are spoken to.
func (h *hapReader) source(p *hapProxy, l hapLine) {
	p.source, _ = cutPort(l.arg(1))
	p.transparent = false
	switch who := l.arg(3); {
	case len(l.words) == 2:
	case l.arg(2) == "usesrc" && len(l.words) == 4 && (who == "client" || who == "clientip"):
		p.transparent = true
	default:
		p.lose(l, "connections come from snat-addresses, by the way that the routes say")
	}
}

// option reads one of `option`.
func (h *hapReader) option(p *hapProxy, l hapLine) {
	switch word := l.arg(1); word {
	case "httpchk":
		if p.httpchk, p.path = true, "/"; len(l.words) == 2 {
			p.tell(l, "HAProxy asks with OPTIONS, if nothing is said, and afxlb with GET")
		}
		for i, w := range l.words[2:] {
			switch {
			case strings.HasPrefix(w, "/") && i < 2:
				p.path = w
			case i == 0 && w != "GET":
				p.lose(l, "a check asks with GET")
			case i == 0, w == "HTTP/1.0", w == "HTTP/1.1":
			case oldHost.MatchString(w):
				p.host = oldHost.FindStringSubmatch(w)[1]
			default:
				p.lose(l, "of a request path and Host header alone can be said")
			}
		}
	case "tcp-check":
		p.httpchk = false
	case "ssl-hello-chk", "smtpchk", "mysql-check", "pgsql-check", "redis-check", "ldap-check", "spop-check", "external-check":
		p.lose(l, "a check opens a connection (tcp) or asks by HTTP; the first is written")
	case "tcplog", "httplog", "httpslog":
		p.tell(l, "no line is logged for each connection; flows and counters show them")
	case "allbackups":
		p.allBackups = true
	case "transparent", "http_proxy":
		p.lose(l, "has no equivalent")
	default:
		if !options[word] {
			p.lose(l, "has no equivalent")
		}
	}
}

// httpCheck reads a rule of http-check.
func (h *hapReader) httpCheck(p *hapProxy, l hapLine) {
	switch {
	case l.arg(1) == "send":
		for i := 2; i < len(l.words); i++ {
			switch w, next := l.arg(i), l.arg(i+1); {
			case w == "uri":
				p.path = next
			case w == "meth" && next == "GET", w == "ver":
			case w == "hdr" && strings.EqualFold(next, "host"):
				p.host = l.arg(i + 2)
				i++
			default:
				p.lose(l, "of a request path and Host header alone can be said")
				return
			}
			i++
		}
	case l.arg(1) == "expect" && l.arg(2) == "status" && len(l.words) == 4:
		p.expect = strings.Split(l.arg(3), ",")
	case l.arg(1) == "expect" && l.arg(2) == "string" && len(l.words) == 4:
		p.body = l.arg(3)
	case l.arg(1) == "disable-on-404":
		p.lose(l, "a backend is drained by its weight")
	default:
		p.lose(l, "of an answer status and a text in it can be asked for")
	}
}
