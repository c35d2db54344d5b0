package convert

import (
	"math"
	"slices"
	"strconv"
	"time"
)

// What backends have of new flows, and when.

const noLowThreshold = "a backend takes new connections as soon as it has fewer than max-conns"

// bound sets how many connections a backend may have. What IPVS and HAProxy bound is the same
// only for TCP.
func (s *service) bound(b *backend, p at, what string, n int) {
	switch {
	case n == 0:
	case s.protocol == "udp":
		s.lose(p, what, "max-conns counts connections, and udp has none")
	default:
		b.maxConns = min(n, math.MaxInt32)
	}
}

// ramp settles the slow-start, which is of the whole service.
func (s *service) ramp() {
	var longest time.Duration
	for _, b := range s.backends {
		longest = max(longest, b.slowStart)
	}
	if s.slowStart = min(longest, 24*time.Hour); s.slowStart != longest {
		s.tell(s.at, "slowstart of "+brief(longest), "is out of range, and written as 24h")
	}
	for _, b := range s.backends {
		if b.slowStart != longest && !b.backup {
			s.tell(b.at, "slowstart of "+b.address, "slow-start is of the whole service, and the longest one is written")
			return
		}
	}
}

// quorum writes the quorum of a virtual server: how much weight must be up. Only where it has a
// sorry_server does more come of it than commands that are run.
func (k *keepalivedReader) quorum(s *service, one *statement) {
	n, ordinary, backup, weighted := k.count(one.at, one.arg(0), one.arg(1), math.MaxUint16), 0, false, false
	for _, b := range s.backends {
		if b.backup {
			backup = true
			continue
		}
		ordinary++
		weighted = weighted || b.weight != "" && b.weight != "1"
	}
	switch {
	case n <= 1: // what backup does anyway
	case !backup:
		s.lose(one.at, one.text(), "min-healthy: without a sorry_server it only runs commands; below-min-healthy says what is to become of the service")
	case weighted:
		s.lose(one.at, one.text(), "min-healthy counts backends and not their weights; write how many there must be, and below-min-healthy: backup")
	case n > ordinary:
		s.lose(one.at, one.text(), "min-healthy: there are not so many backends")
	default:
		s.minHealthy = n
		s.tell(one.at, one.text(), "min-healthy: below it the sorry_server joins those that are up, and keepalived has it alone")
	}
}

// sorry makes a backend of a sorry_server.
func (k *keepalivedReader) sorry(s *service, one *statement) {
	b := &backend{at: one.at, name: "sorry", address: k.address(one.at, one.arg(1)), backup: true}
	if one.arg(2) != "" {
		if b.port = k.port(one.at, s.protocol, one.arg(2)); b.port == "any" {
			b.port = ""
		}
	}
	if i := slices.IndexFunc(s.backends, func(b *backend) bool { return b.health != nil }); i >= 0 {
		b.health = s.backends[i].health
		if b.health.kind != "none" {
			s.tell(one.at, one.text(), "it is asked how it is as the others are, which keepalived does not do")
		}
	}
	s.backends = append(s.backends, b)
}

// backups tells what several backup servers are.
func (h *hapReader) backups(s *service, back *hapProxy) {
	n := 0
	for _, b := range s.backends {
		if b.backup {
			n++
		}
	}
	if n > 1 && !back.allBackups {
		s.tell(back.at, strconv.Itoa(n)+" backup servers", "all of them share what comes, as with option allbackups; HAProxy without has the first alone")
	}
}
