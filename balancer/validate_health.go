package balancer

import (
	"net/netip"
	"strings"
	"time"
	"unicode"
)

// minInterval keeps a slip of the unit from flooding the backends with probes.
const minInterval = 10 * time.Millisecond

func (v *validator) health(h *HealthSpec) {
	v.options(h)
	switch {
	case h.Type == HealthNone:
		return
	case int(h.Type) >= len(healthTypeNames):
		v.addf("health.type", "%v is none; want %s", h.Type, list(healthTypeNames))
		return
	}
	if h.Interval < minInterval {
		v.addf("health.interval", "%v is too short; want at least %v", h.Interval, minInterval)
	}
	if f := h.FastInterval; f != 0 && (f < minInterval || f > h.Interval) {
		v.addf("health.fast-interval", "%v is no interval for when there is doubt; want %v up to the interval of %v", f, minInterval, h.Interval)
	}
	if h.Timeout <= 0 {
		v.addf("health.timeout", "%v is no time to answer in; want more than 0s", h.Timeout)
	} else if h.Timeout > h.Interval {
		v.addf("health.timeout", "%v is longer than the interval; want at most %v", h.Timeout, h.Interval)
	}
	if h.Rise < 1 {
		v.addf("health.rise", "%d answers cannot bring a backend up; want at least 1", h.Rise)
	}
	if h.Fall < 1 {
		v.addf("health.fall", "%d answers cannot take a backend down; want at least 1", h.Fall)
	}
	v.probeSources(h.Sources)
	v.http(h)
	v.https(h)
	v.dns(h)
	if len(h.Send) > maxDatagram {
		v.addf("health.send", "%d bytes fit into no packet; want at most %d", len(h.Send), maxDatagram)
	}
}

// maxDatagram is what fits into any packet on the way, bytes: IPv6's least MTU without its
// header and UDP's.
const maxDatagram = 1280 - 48

// options checks that nothing is said of what the type of check does not do.
func (v *validator) options(h *HealthSpec) {
	for i := range HealthOptions {
		if o := &HealthOptions[i]; o.Given(h) && !o.Fits(h.Type) {
			names := make([]string, len(o.Types))
			for j, t := range o.Types {
				names[j] = t.String()
			}
			v.addf("health."+o.Key, "health type %v has none; want type %s, or no %s", h.Type, list(names), o.Key)
		}
	}
}

// list puts words together, as in a, b or c.
func list(words []string) string {
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// probeSources checks where probes come from.
func (v *validator) probeSources(sources []netip.Addr) {
	families := map[bool]netip.Addr{}
	for _, a := range sources {
		if !v.address("health.source", a) {
			continue
		}
		if other, twice := families[a.Is4()]; twice {
			v.addf("health.source", "%v and %v are of one family; want one address of each", other, a)
		}
		if vip, ok := v.vips[a]; ok {
			v.addf("health.source", "%v is the address of service %q; want one of the machine's own, for answers to it would be taken for clients' packets", a, vip)
		}
		families[a.Is4()] = a
	}
}

// http checks the request and what is expected of the answer. Neither path nor
// host can carry more than their own part of the request.
func (v *validator) http(h *HealthSpec) {
	unfit := func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }
	if h.Path != "" && h.Path[0] != '/' || strings.ContainsFunc(h.Path, unfit) {
		v.addf("health.path", "%q is no path; want one that starts with a slash and has no blanks, as in /health", h.Path)
	}
	if strings.ContainsFunc(h.Host, unfit) || strings.Contains(h.Host, "/") {
		v.addf("health.host", "%q is no host; want a name without blanks and slashes, as in www.example.com", h.Host)
	} else if strings.ContainsFunc(h.Host, func(r rune) bool { return r > unicode.MaxASCII }) { // RFC 9110, 7.2; no certificate is of one
		v.addf("health.host", "%q is not in ASCII; want the name as DNS and certificates have it, as in xn--bcher-kva.example", h.Host)
	}
	for _, r := range h.Expect {
		if r.First < 100 || r.Last > 599 || r.First > r.Last {
			v.addf("health.expect", "%d-%d are no status codes; want codes from 100 to 599, the lower first", r.First, r.Last)
		}
	}
}

// https checks whose word is taken for a certificate.
func (v *validator) https(h *HealthSpec) {
	switch {
	case h.CA != "" && h.CA[0] != '/':
		v.addf("health.ca", "%q is no absolute path; want one as in /etc/afxlb/ca.pem", h.CA)
	case h.CA != "" && h.Insecure:
		v.addf("health.insecure", "any certificate is good then, whoever signed it; want ca or insecure")
	}
}

// dns checks the question, and that there can be such an answer.
func (v *validator) dns(h *HealthSpec) {
	if h.Type != HealthDNS {
		return
	}
	if h.Name == "" {
		v.addf("health.name", "missing; want the name to ask for, as in www.example.com, or a dot for the root")
	} else if !isDomain(h.Name) {
		v.addf("health.name", "%q is no name of DNS; want one as in www.example.com, with at most 63 bytes between dots", h.Name)
	}
	if h.Answer == "" {
		return
	}
	a, err := netip.ParseAddr(h.Answer)
	switch q := max(h.Query, QueryA); {
	case !h.Rcodes.Has(0):
		v.addf("health.answer", "with rcode %v there is no answer; want noerror among them, or no answer", h.Rcodes)
	case (q == QueryA || q == QueryAAAA) && (err != nil || a.Is4() != (q == QueryA)):
		v.addf("health.answer", "%q is no address of a record of type %v; want one", h.Answer, q)
	case q == QuerySOA:
		v.addf("health.answer", "records of type SOA are not looked into; want no answer")
	case q != QueryA && q != QueryAAAA && q != QueryTXT && !isDomain(h.Answer):
		v.addf("health.answer", "%q is no name in a record of type %v; want the name alone, as in www.example.com", h.Answer, q)
	}
}

// isDomain reports whether s can be asked for (RFC 1035, 2.3.4).
func isDomain(s string) bool {
	if s == "." {
		return true
	}
	s = strings.TrimSuffix(s, ".")
	if len(s) > 253 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if len(label) == 0 || len(label) > 63 {
			return false
		}
	}
	return true
}
