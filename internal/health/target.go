package health

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
)

// Target is one question to one address. Targets that are equal are the same
// question, whoever wants the answer.
type Target struct {
	Address  netip.AddrPort // where the probe goes; see balancer.ServiceSpec.Probe and HolderOf
	Type     balancer.HealthType
	Interval time.Duration // from the start of a probe to that of the next, or a little less
	Timeout  time.Duration // at most Interval

	// balancer.HealthHTTP only.

	Path   string // never empty
	Host   string // the Host header; empty: Address
	Expect string // status codes that are good, as in "200-299,404"; in order, merged, never empty
	Body   string // what the answer's body must contain; empty: anything

	// Probes whose packets are sent to a backend, whatever their address is.

	Holder netip.Addr // the backend of which it is asked whether it holds Address; else invalid
	Closed bool       // Address has a port that no client uses: it may be closed
	// Tunnel is how Holder gets the question, if it has a destination. Without a source it
	// comes from this machine's own address.
	Tunnel packet.TunnelConfig
}

// tunnelled reports whether the question goes through a tunnel.
func (t *Target) tunnelled() bool { return t.Tunnel.Destination.IsValid() }

// TargetOf returns what a probe of a is to ask by s. Specs that mean the same give
// the same target, however they are written. How many answers are needed (Rise and
// Fall) is not part of it.
func TargetOf(a netip.AddrPort, s *balancer.HealthSpec) Target {
	t := Target{Address: a, Type: s.Type, Interval: s.Interval, Timeout: s.Timeout}
	if s.Type == balancer.HealthHTTP {
		t.Path, t.Host, t.Expect, t.Body = cmp.Or(s.Path, "/"), s.Host, canonical(s.Expect), s.Body
	}
	return t
}

// TunnelOf returns the question of the check of s to b as clients ask it: at the service's
// address, through the tunnel to b. ok is false if the check goes to b itself.
func TunnelOf(s *balancer.ServiceSpec, b *balancer.BackendSpec) (t Target, ok bool) {
	c, ok := s.TunnelTo(b.Address, netip.Addr{})
	if !ok || !s.Health.ViaTunnel {
		return Target{}, false
	}
	t = TargetOf(netip.AddrPortFrom(s.Address, s.Probe(b).Port()), &s.Health)
	t.Holder, t.Tunnel = b.Address, c
	return t, true
}

// HolderOf returns the question whether b takes in what is for the address of s, as a
// mode needs it that delivers packets there. It is asked by TCP, on the port that clients
// use or, where there are several or these use UDP, on the one that the check is of. ok
// is false if there is no such question.
func HolderOf(s *balancer.ServiceSpec, b *balancer.BackendSpec) (t Target, ok bool) {
	if !s.Mode.Traits().NeedsLink || s.Health.Type == balancer.HealthNone {
		return Target{}, false
	}
	port := s.Probe(b).Port()
	if s.Protocol == balancer.TCP && s.First == s.Last {
		port = s.First
	}
	served := s.Protocol == balancer.TCP && s.First <= port && port <= s.Last
	return Target{
		Address: netip.AddrPortFrom(s.Address, port), Type: balancer.HealthTCP, Interval: s.Health.Interval, Timeout: s.Health.Timeout,
		Holder: b.Address, Closed: !served,
	}, true
}

// successful is what a status is held against if the config does not say.
var successful = []balancer.StatusRange{{First: 200, Last: 399}}

// canonical returns the one text for a set of status codes.
func canonical(ranges []balancer.StatusRange) string {
	if len(ranges) == 0 {
		ranges = successful
	}
	ranges = slices.SortedFunc(slices.Values(ranges), func(a, b balancer.StatusRange) int { return a.First - b.First })
	merged := ranges[:1]
	for _, r := range ranges[1:] {
		if last := &merged[len(merged)-1]; r.First <= last.Last+1 {
			last.Last = max(last.Last, r.Last)
		} else {
			merged = append(merged, r)
		}
	}
	var texts []string
	for _, r := range merged {
		text := fmt.Sprint(r.First)
		if r.Last > r.First {
			text = fmt.Sprintf("%d-%d", r.First, r.Last)
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ",")
}

// expects reports whether status is in a canonical set. Codes have three digits, and
// so their texts are in the order of the numbers.
func expects(set string, status int) bool {
	code := fmt.Sprintf("%03d", status)
	for part := range strings.SplitSeq(set, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if code == first || isRange && first <= code && code <= last {
			return true
		}
	}
	return false
}
