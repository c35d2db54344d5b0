package convert

import (
	"strings"
	"time"
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
		// Probes are spread in time anyway.
	default:
		return false
	}
	return true
}

// checks are the blocks of checks: what is nearest, and what is to say of it.
var checks = map[string]struct{ kind, say string }{
	"TCP_CHECK": {"tcp", ""}, "HTTP_GET": {"http", ""},
	"SSL_GET":    {"tcp", "health checks by https are not built; that the port is open is asked instead"},
	"SMTP_CHECK": {"tcp", "nobody speaks SMTP to the backend; that the port is open is asked instead"},
	"DNS_CHECK":  {"", "health checks by DNS are not built"}, "UDP_CHECK": {"", "health checks by UDP are not built"}, "PING_CHECK": {"", "health checks by ICMP are not built"},
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
		s.lose(v.at, v.arg(0), "a backend has one check; "+c.kind+", which stands first, counts")
		return true
	}
	if c.kind = check.kind; check.say != "" {
		if check.kind == "" {
			check.say += "; without a check the backend is taken to work"
		}
		s.lose(v.at, v.arg(0), check.say)
	}
	for _, one := range v.block {
		switch word := one.arg(0); word {
		case "connect_port":
			c.port = k.port(one.at, "tcp", one.arg(1))
		case "url":
			c.url(k, s, one)
		case "connect_ip", "bindto", "bind_port", "bind_if", "fwmark":
			s.lose(one.at, one.text(), "checks go to the backend's own address, from the one that the kernel chooses")
		case "delay_before_retry":
			s.lose(one.at, one.text(), "fast-interval, which would be it, is not built: a failed check is asked again after the interval")
		case "host": // SMTP_CHECK's
			for _, inner := range one.block {
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

// url reads what an HTTP_GET asks for.
func (c *checker) url(k *keepalivedReader, s *service, v *statement) {
	if c.kind != "http" {
		return // said already
	}
	if c.path != "" {
		s.lose(v.at, "url", "a check asks for one path; "+c.path+", which stands first, counts")
		return
	}
	c.path = "/"
	for _, one := range v.block {
		switch word := one.arg(0); word {
		case "path":
			if c.path = one.arg(1); !strings.HasPrefix(c.path, "/") {
				c.path = "/" + c.path
			}
		case "status_code":
			for _, code := range one.words[1:] {
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
	if h.kind == "http" {
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
