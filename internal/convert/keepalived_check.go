package convert

import (
	"encoding/hex"
	"strings"
	"time"

	"github.com/afxlb/afxlb/balancer"
)

// checker is what is read of keepalived's health checks: some of it stands at the
// virtual_server, and counts for its real_servers.
type checker struct {
	kind              string // "": none
	interval, timeout time.Duration
	retry             int // as often a failed check is asked again before it counts
	retrySaid         bool
	port, host        string
	path              string
	expect            []string
	fast              time.Duration
	source            string
	send              string // of a UDP_CHECK
	name, query       string // of a DNS_CHECK
}

// take reads a setting that may stand at a virtual_server, a real_server or a check, and
// reports whether it is one.
func (c *checker) take(k *keepalivedReader, one *statement) bool {
	switch word := one.arg(0); word {
	case "delay_loop":
		c.interval = k.seconds(one.at, word, one.arg(1))
	case "connect_timeout", "timeout":
		c.timeout = k.seconds(one.at, word, one.arg(1))
	case "retry", "nb_get_retry":
		c.retry, c.retrySaid = k.count(one.at, word, one.arg(1), 999), true
	case "virtualhost":
		c.host = one.arg(1)
	case "warmup":
		one.told = true // probes are spread in time anyway
	default:
		return false
	}
	return true
}

// checks are the blocks of checks: what is nearest, and what is to say of it.
var checks = map[string]struct{ kind, say string }{
	"TCP_CHECK": {"tcp", ""}, "HTTP_GET": {"http", ""},
	"SSL_GET": {"https", ""}, "DNS_CHECK": {"dns", ""}, "UDP_CHECK": {"udp", ""}, "PING_CHECK": {"icmp", ""},
	"SMTP_CHECK": {"tcp", "nobody speaks SMTP to the backend; that the port is open is asked instead"},
	"MISC_CHECK": {"", "no command is run for a check, each would be a process; health type http can ask a small server that knows the answer"},
	"FILE_CHECK": {"", "no file is read for a check; reload with other weights instead"}, "BFD_CHECK": {"", "BFD is not built"},
}

// block reads the block of a check, and reports whether it is one.
func (c *checker) block(k *keepalivedReader, s *service, v *statement) bool {
	check, ok := checks[v.arg(0)]
	if !ok {
		return false
	}
	if c.kind != "" {
		s.lose(v.at, v.whole().arg(0), "a backend has one check; "+c.kind+", which stands first, counts")
		return true
	}
	if c.kind = check.kind; check.say != "" {
		if check.kind == "" {
			v.told = true
			check.say += "; without a check the backend is taken to work"
		}
		s.lose(v.at, v.arg(0), check.say)
	}
	if c.kind == "dns" {
		c.name, c.query = ".", "SOA" // keepalived's defaults
	}
	for _, one := range v.inside() {
		switch word := one.arg(0); word {
		case "type", "name", "payload", "require_reply":
			c.datagram(s, one)
		case "bindto":
			c.source = one.arg(1)
		case "connect_port":
			c.port = k.port(one.at, "tcp", one.arg(1))
		case "url":
			c.url(k, s, one)
		case "connect_ip", "bind_port", "bind_if", "fwmark":
			s.lose(one.at, one.text(), "checks go to the backend's own address, from a port and by an interface that the kernel chooses")
		case "delay_before_retry":
			c.fast = k.seconds(one.at, word, one.arg(1))
		case "host": // SMTP_CHECK's
			for _, inner := range one.inside() {
				if inner.arg(0) == "connect_port" {
					c.port = k.port(inner.at, "tcp", inner.arg(1))
				}
			}
		default:
			if !c.take(k, one) && check.kind != "" {
				s.lose(one.at, one.text(), "has no equivalent in a health check")
			}
		}
	}
	if v.arg(0) == "SMTP_CHECK" && c.port == "" {
		c.port = "25"
	}
	return true
}

// datagram reads what a check by UDP or DNS says, and wants to hear.
func (c *checker) datagram(s *service, one *statement) {
	switch word, v := one.arg(0), one.arg(1); {
	case word == "name" && c.kind == "dns":
		c.name = v
	case word == "type" && c.kind == "dns":
		if _, err := balancer.ParseQueryType(v); err != nil {
			s.lose(one.at, one.text(), "records of this type are not asked for; SOA is asked for instead")
			return
		}
		c.query = strings.ToUpper(v)
	case word == "payload" && c.kind == "udp" && isHex(v):
		c.send = "hex:" + v
	case word == "require_reply" && c.kind == "udp" && isHex(v):
		c.expect = []string{"hex:" + v}
	case word == "require_reply" && c.kind == "udp":
		s.lose(one.at, one.text(), "silence counts as good, but where expect says what the answer must contain")
	default:
		s.lose(one.at, one.text(), "has no equivalent in a health check")
	}
}

// isHex reports whether s is bytes in hexadecimal digits.
func isHex(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) > 0
}

// url reads what an HTTP_GET asks for.
func (c *checker) url(k *keepalivedReader, s *service, v *statement) {
	if c.kind != "http" && c.kind != "https" {
		v.told = true // with the check
		return
	}
	if c.path != "" {
		s.lose(v.at, v.whole().arg(0), "a check asks for one path; "+c.path+", which stands first, counts")
		return
	}
	c.path = "/"
	for _, one := range v.inside() {
		switch word := one.arg(0); word {
		case "path":
			if c.path = one.arg(1); !strings.HasPrefix(c.path, "/") {
				c.path = "/" + c.path
			}
		case "status_code":
			for i := 1; i < len(one.words); i++ {
				code := one.arg(i)
				first, last, isRange := strings.Cut(code, "-")
				if k.count(one.at, word, first, 599) < 100 || isRange && k.count(one.at, word, last, 599) < 100 {
					k.wrong(one.at, "status_code: %q is no HTTP status", code)
					continue
				}
				c.expect = append(c.expect, code)
			}
		case "virtualhost":
			c.host = one.arg(1)
		case "digest":
			s.lose(one.at, one.text(), "answers are not hashed; body has text that the answer must contain")
		default:
			s.lose(one.at, one.text(), "has no equivalent in a health check; body has text that the answer must contain")
		}
	}
}

// health returns ours.
func (c *checker) health() *health {
	if c.kind == "" {
		return &health{kind: "none"}
	}
	h := &health{kind: c.kind, port: c.port, interval: c.interval, timeout: c.timeout, rise: 1, expect: c.expect}
	if c.retrySaid {
		h.fall = c.retry + 1
	}
	h.fast, h.source = c.fast, c.source
	switch h.kind {
	case "udp":
		h.send = c.send
	case "dns":
		h.name, h.query = c.name, c.query
	case "icmp":
		h.port = ""
	case "https":
		h.insecure = true // keepalived looks at no certificate
		fallthrough
	case "http":
		h.path, h.host = c.path, c.host
		if len(h.expect) == 0 {
			h.expect = []string{"200-299"} // keepalived's default
		}
	}
	if h.port == "any" {
		h.port = ""
	}
	h.bound()
	return h
}
