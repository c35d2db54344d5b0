package convert

import (
	"cmp"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// lvsAlgorithms are the schedulers of IPVS: what is nearest here, and what is to say of it.
var lvsAlgorithms = map[string]struct{ ours, say string }{
	"rr": {"round-robin", ""}, "wrr": {"weighted-round-robin", ""}, "lc": {"least-conn", ""}, "wlc": {"least-conn", ""}, "sh": {"source-hash", ""}, "mh": {"maglev", ""},
	"sed": {"least-conn", "counts the connection that is to come, too; least-conn is nearest"}, "nq": {"least-conn", "takes idle backends first; least-conn is nearest"},
	"dh":   {"maglev", "goes by the destination's address, for caches; maglev goes by the 5-tuple, source-hash by the client's address"},
	"lblc": {"maglev", "goes by the destination's address, for caches; maglev is nearest"}, "lblcr": {"maglev", "goes by the destination's address, for caches; maglev is nearest"},
	"fo":  {"weighted-round-robin", "is fail-over by weight, which is not built; give the others a weight of 0 and raise it when they are needed"},
	"ovf": {"least-conn", "is overflow by weight, which is not built; least-conn is nearest"}, "twos": {"two-choices", ""},
}

// schedule sets the algorithm by the name of a scheduler of IPVS.
func (r *reader) schedule(s *service, p at, name string) {
	a, ok := lvsAlgorithms[strings.ToLower(name)]
	if !ok {
		r.wrong(p, "%q is no scheduler of IPVS", name)
		return
	}
	if s.algorithm = a.ours; a.say != "" {
		s.lose(p, "scheduler "+name, a.say)
	}
	if strings.EqualFold(name, "lc") {
		for _, b := range s.backends {
			if b.weight != "0" {
				b.weight = "" // lc does not look at them, and least-conn does
			}
		}
	}
}

// delivers leaves out ports of backends that the mode cannot deliver to.
func (s *service) delivers() {
	for _, b := range s.backends {
		translates := s.mode == "nat" || s.mode == "fullnat"
		if !translates {
			if b.port != "" && b.port != s.ports && s.ports != "any" {
				s.lose(b.at, "port "+b.port, "mode "+s.mode+" delivers to the service's port, as IPVS does")
			}
			b.port = ""
		}
	}
}

// seconds reads a time as a count of seconds, which may have a fraction.
func (r *reader) seconds(p at, what, s string) time.Duration {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f >= 0 && f <= 1e7) { // so that NaN is none
		r.wrong(p, "%s: %q is no number of seconds", what, s)
		return 0
	}
	return time.Duration(f * float64(time.Second))
}

// count reads a whole number.
func (r *reader) count(p at, what, s string, limit int) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > limit {
		r.wrong(p, "%s: %q is no number from 0 to %d", what, s, limit)
		return 0
	}
	return n
}

// port reads a port's number, or its name in /etc/services; 0 is any.
func (r *reader) port(p at, protocol, s string) string {
	n, err := net.LookupPort(protocol, s)
	switch {
	case err != nil || s == "" || n < 0 || n > 65535:
		r.wrong(p, "%q is no port", s)
		return "1"
	case n == 0:
		return "any"
	}
	return strconv.Itoa(n)
}

// address reads an IP address.
func (r *reader) address(p at, s string) string {
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		r.wrong(p, "%q is no IP address", s)
		return "192.0.2.1"
	}
	return a.WithZone("").Unmap().String()
}

// bound puts a health check into the bounds of ours.
func (h *health) bound() {
	fit := func(what string, d *time.Duration, most time.Duration) {
		if was := *d; was > 0 {
			if *d = min(max(was, 10*time.Millisecond), most); *d != was {
				h.changed = append(h.changed, "the "+what+" of "+brief(was)+" is written as "+brief(*d))
			}
		}
	}
	fit("interval", &h.interval, 24*time.Hour)
	every := cmp.Or(h.interval, 5*time.Second)
	fit("timeout", &h.timeout, every)
	fit("fast-interval", &h.fast, every)
	count := func(what string, n *int) {
		if was := *n; was > 1000 {
			*n, h.changed = 1000, append(h.changed, "the "+what+" of "+strconv.Itoa(was)+" is written as 1000")
		}
	}
	count("rise", &h.rise)
	count("fall", &h.fall)
}

// remember sets the persistence of a service.
func (r *reader) remember(s *service, p at, timeout time.Duration) {
	if timeout < time.Second || timeout > 720*time.Hour {
		s.lose(p, "persistence of "+brief(timeout), "is out of range; ours is from 1s to 720h")
		return
	}
	s.persistence = brief(timeout)
}

// granularity sets which part of an address tells clients apart: a mask of IPv4, or the
// length of a prefix of IPv6.
func (r *reader) granularity(s *service, p at, mask string) {
	if m, err := netip.ParseAddr(mask); err == nil && m.Is4() {
		ones, bits := net.IPMask(m.AsSlice()).Size()
		if bits == 32 && ones > 0 {
			s.prefix = strconv.Itoa(ones) + "/128"
			return
		}
	} else if n, err := strconv.Atoi(mask); err == nil && 1 <= n && n <= 128 {
		if s.prefix = "32/" + mask; !strings.Contains(s.address, ":") && n <= 32 {
			s.prefix = mask + "/128"
		}
		return
	}
	r.wrong(p, "%q is neither a mask of an IPv4 network nor the length of a prefix", mask)
}
