package convert

import (
	"cmp"
	"net/netip"
	"strings"
	"time"
)

// serverFlags are the words of a server line without an argument, and serverValues those
// with one, of which nothing is left out.
var (
	serverFlags  = words("no-check-ssl no-send-proxy no-ssl no-verifyhost enabled non-stick stick tfo no-tfo no-check-send-proxy allow-0rtt")
	serverValues = words("id init-addr resolvers resolve-prefer resolve-net resolve-opts pool-purge-delay pool-low-conn pool-max-conn maxqueue minconn log-proto tcp-ut pool-conn-name shard")
)

// server makes a backend of a server line.
func (h *hapReader) server(s *service, back *hapProxy, l hapLine) {
	lose := func(what, text string) { s.lose(l.at, what, text) }
	host, port := l.arg(2), ""
	if kind, rest, ok := strings.Cut(host, "@"); ok && (kind == "ipv4" || kind == "ipv6") {
		host = rest
	} else if ok || strings.HasPrefix(host, "/") {
		lose("server "+l.arg(1), "backends are at IP addresses")
		return
	}
	if i := strings.LastIndex(host, ":"); i >= 0 && !strings.HasSuffix(host, "]") { // of IPv6, too, the last is the port's
		host, port = host[:i], host[i+1:]
	}
	b := &backend{at: l.at, name: l.arg(1), address: strings.Trim(host, "[]")}
	switch {
	case b.name == "" || host == "":
		h.wrong(l.at, "want server NAME ADDRESS")
		return
	case port == "":
	case port[0] == '+' || port[0] == '-':
		lose("server "+b.name, "a port that is "+port+" from the client's is not built; the client's is taken")
	default:
		if b.port = h.port(l.at, "tcp", port); b.port == "any" {
			b.port = ""
		}
	}
	if a, err := netip.ParseAddr(b.address); err == nil {
		b.address = a.Unmap().String()
	}
	check := &hapCheck{}
	h.serverWords(s, b, check, hapLine{l.at, back.defaultServer}, lose)
	if len(l.words) > 3 {
		h.serverWords(s, b, check, hapLine{l.at, l.words[3:]}, lose)
	}
	if check.on && check.tls && !back.httpchk {
		lose("TLS of the check of "+b.name, "a check by TLS asks by HTTP besides, health type https; that the port is open is asked instead")
	}
	b.health = check.health(back)
	s.backends = append(s.backends, b)
}

// hapCheck is what is said of a server's health check.
type hapCheck struct {
	on         bool
	port       string
	inter      time.Duration
	fast       time.Duration
	rise, fall int
	tls        bool
	insecure   bool
	ca, name   string // of the certificate's signers, and whose it is to be
	source     string
}

// serverWords reads the words behind a server's address.
func (h *hapReader) serverWords(s *service, b *backend, c *hapCheck, l hapLine, lose func(what, text string)) {
	for i := 0; i < len(l.words); i++ {
		w := l.words[i]
		value := func() string { i++; return l.arg(i) }
		switch w {
		case "check":
			c.on = true
		case "no-check":
			c.on = false
		case "inter":
			c.inter = h.duration(l.at, value(), time.Millisecond)
		case "rise":
			c.rise = h.count(l.at, w, value(), 1<<30)
		case "fall":
			c.fall = h.count(l.at, w, value(), 1<<30)
		case "port":
			c.port = h.port(l.at, "tcp", value())
		case "weight":
			b.weight = h.weight(l.at, value())
		case "disabled":
			b.weight = "0"
		case "backup":
			b.backup = true
		case "no-backup":
			b.backup = false
		case "on-marked-down":
			if value() == "shutdown-sessions" {
				s.onDown = "reset"
			}
		case "fastinter":
			c.fast = h.duration(l.at, value(), time.Millisecond)
		case "downinter":
			lose(w+" "+value()+" of "+b.name, "a backend that is down is asked at the interval of all others")
		case "slowstart":
			b.slowStart = h.duration(l.at, value(), time.Millisecond)
		case "maxconn":
			s.bound(b, l.at, w+" of "+b.name, h.count(l.at, w, value(), 1<<30))
		case "send-proxy", "send-proxy-v2", "send-proxy-v2-ssl", "send-proxy-v2-ssl-cn", "check-send-proxy":
			lose(w+" of "+b.name, "there is no PROXY protocol; modes nat, dsr, ipip, gue and gre keep the client's address")
		case "ssl":
			c.tls = true
			lose(w+" of "+b.name, "connections pass through as they are: who speaks plain text to the service does so to the backend")
		case "check-ssl":
			c.tls = true
		case "verify":
			c.insecure = value() == "none"
		case "ca-file":
			if c.ca = value(); !strings.HasPrefix(c.ca, "/") {
				lose(w+" "+c.ca+" of "+b.name, "want the whole path of the file under health.ca")
				c.ca = ""
			}
		case "sni", "check-sni", "verifyhost":
			if name, ok := constant(value()); ok {
				c.name = name
			} else {
				lose(w+" of "+b.name, "a check asks for one name, health.host")
			}
		case "source":
			a, err := netip.ParseAddr(value())
			if err != nil {
				lose(w+" "+l.arg(i)+" of "+b.name, "want one address, without a port; snat-addresses are those of connections, health.source is that of checks")
			} else if !a.IsUnspecified() {
				c.source = a.String()
			}
		case "crt", "alpn", "check-alpn", "ciphers", "ciphersuites", "ssl-min-ver", "ssl-max-ver":
			i++ // of ssl, which is told
		case "addr", "cookie", "observe", "error-limit", "on-error", "track", "redir", "namespace", "proto", "check-proto", "agent-port", "agent-inter", "agent-addr", "agent-send", "proxy-v2-options", "ws", "on-marked-up", "guid", "log-bufsize", "max-reuse", "hash-key", "check-via-socks4", "socks4":
			lose(w+" "+value()+" of "+b.name, "has no equivalent")
		default:
			switch {
			case serverFlags[w]:
			case serverValues[w]:
				i++
			default:
				lose(w+" of "+b.name, "has no equivalent")
			}
		}
	}
}

// constant returns the text of a sample that is one, as in str(www.example.com).
func constant(sample string) (text string, ok bool) {
	if inside, ok := strings.CutPrefix(sample, "str("); ok {
		return strings.CutSuffix(inside, ")")
	}
	return sample, sample != "" && !strings.ContainsAny(sample, "(),")
}

// health returns ours.
func (c *hapCheck) health(back *hapProxy) *health {
	if !c.on {
		return &health{kind: "none"}
	}
	h := &health{kind: "tcp", port: c.port, interval: c.inter, timeout: back.timeouts["check"].after, rise: c.rise, fall: c.fall}
	if h.interval == 0 {
		h.interval = 2 * time.Second // HAProxy's default
	}
	if h.port == "any" {
		h.port = ""
	}
	h.fast, h.source = c.fast, c.source
	if back.httpchk {
		h.kind, h.path, h.host, h.body, h.expect = "http", back.path, back.host, back.body, back.expect
		if c.tls {
			h.kind, h.host, h.insecure = "https", cmp.Or(back.host, c.name), c.insecure
			if !c.insecure {
				h.ca = c.ca
			}
		}
	}
	h.bound()
	return h
}
