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
	Fast     time.Duration // the same while answers are in doubt, see WithPace
	Timeout  time.Duration // at most Interval
	Source   netip.Addr    // the own address that it comes from; invalid: the kernel's choice

	// balancer.HealthHTTP and balancer.HealthHTTPS.

	Path   string // never empty
	Host   string // the Host header, and of TLS the server's name; empty: Address
	Expect string // status codes that are good, as in "200-299,404"; in order, merged, never empty
	Body   string // what the answer's body must contain; empty: anything

	// balancer.HealthHTTPS.

	CA       string // file of those who may have signed the certificate; empty: the machine's
	Insecure bool   // any certificate is good

	// balancer.HealthUDP.

	Send, Receive string // the datagram, and what the answer must contain; empty: silence is good too

	// balancer.HealthDNS.

	Name   string // to ask for, with a dot at its end
	Query  balancer.QueryType
	Rcodes balancer.Rcodes // that are good
	Answer string          // what a record must say; empty: anything

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
	t := timed(a, s)
	t.Type, t.Source = s.Type, s.SourceTo(a.Addr())
	switch s.Type {
	case balancer.HealthHTTPS:
		t.CA, t.Insecure = s.CA, s.Insecure
		fallthrough
	case balancer.HealthHTTP:
		t.Path, t.Host, t.Expect, t.Body = cmp.Or(s.Path, "/"), s.Host, canonical(s.Expect), s.Body
	case balancer.HealthUDP:
		t.Send, t.Receive = s.Send, s.Receive
	case balancer.HealthDNS:
		t.Name, t.Query, t.Rcodes, t.Answer = strings.TrimSuffix(s.Name, ".")+".", max(s.Query, balancer.QueryA), max(s.Rcodes, 1), s.Answer
	case balancer.HealthICMP:
		t.Address = netip.AddrPortFrom(a.Addr(), 0)
	}
	return t
}

// timed returns a target that is asked at the times of s.
func timed(a netip.AddrPort, s *balancer.HealthSpec) Target {
	return Target{Address: a, Interval: s.Interval, Fast: cmp.Or(s.FastInterval, s.Interval), Timeout: s.Timeout}
}

// TunnelOf returns the question of the check of s to b as clients ask it: at the service's
// address, through the tunnel to b. ok is false if the check goes to b itself.
func TunnelOf(s *balancer.ServiceSpec, b *balancer.BackendSpec) (t Target, ok bool) {
	c, ok := s.TunnelTo(b.Address, netip.Addr{})
	if !ok || !s.Health.ViaTunnel {
		return Target{}, false
	}
	t = TargetOf(netip.AddrPortFrom(s.Address, s.Probe(b).Port()), &s.Health) // the source is of the family inside
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
	port := cmp.Or(s.Probe(b).Port(), s.First, 1) // a check without a port may be of a service with several
	if s.Protocol == balancer.TCP && s.First == s.Last {
		port = s.First
	}
	named := s.Probe(b).Port() != 0
	t = timed(netip.AddrPortFrom(s.Address, port), &s.Health)
	t.Type, t.Holder, t.Source = balancer.HealthTCP, b.Address, s.Health.SourceTo(s.Address)
	t.Closed = !named || s.Protocol != balancer.TCP || port < s.First || s.Last < port
	return t, true
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
