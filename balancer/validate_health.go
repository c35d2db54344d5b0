package balancer

import (
	"strings"
	"time"
	"unicode"
)

// minInterval keeps a slip of the unit from flooding the backends with probes.
const minInterval = 10 * time.Millisecond

func (v *validator) health(h *HealthSpec) {
	switch h.Type {
	case HealthNone:
		v.noRequest(h)
		return
	case HealthTCP, HealthHTTP:
	default:
		v.addf("health.type", "%v is not supported yet by this version; want tcp, http or none", h.Type)
		return
	}
	if h.Interval < minInterval {
		v.addf("health.interval", "%v is too short; want at least %v", h.Interval, minInterval)
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
	if h.Type == HealthHTTP {
		v.http(h)
		return
	}
	v.noRequest(h)
}

// noRequest checks that nothing is said of a request that is not made.
func (v *validator) noRequest(h *HealthSpec) {
	for _, option := range []struct {
		key   string
		given bool
	}{{"path", h.Path != ""}, {"host", h.Host != ""}, {"expect", len(h.Expect) > 0}, {"body", h.Body != ""}} {
		if option.given {
			v.addf("health."+option.key, "health type %v sends no request; want type http, or no %s", h.Type, option.key)
		}
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
	}
	for _, r := range h.Expect {
		if r.First < 100 || r.Last > 599 || r.First > r.Last {
			v.addf("health.expect", "%d-%d are no status codes; want codes from 100 to 599, the lower first", r.First, r.Last)
		}
	}
}
