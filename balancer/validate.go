package balancer

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Problem is one thing that is wrong with a [Spec].
type Problem struct {
	Path string // in the words of the config, as in services[1].backends[0].port
	Text string // what is wrong and what would be right
}

func (p Problem) Error() string { return p.Path + ": " + p.Text }

// Problems is all that is wrong with a [Spec].
type Problems []Problem

// Error returns a line for each problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Validate returns all that is wrong with the Spec, in its order; nothing if a
// [Table] can be made of it. A service without backends is right: its clients get
// what OnNoBackend says.
func (s *Spec) Validate() Problems {
	v := validator{groups: map[string]*ServiceSpec{}, announced: map[netip.Addr]*ServiceSpec{}, vips: make(map[netip.Addr]string, len(s.Services))}
	for i := range s.Services {
		v.vips[s.Services[i].Address] = s.Services[i].Name
	}
	v.sources = s.sources()
	names, clashes := make(map[string]int, len(s.Services)), s.clashes()
	for i := range s.Services {
		service := &s.Services[i]
		v.at, v.backend = i, none
		v.service(service)
		if first, twice := names[service.Name]; twice {
			v.addf("name", "%q is the name of services[%d] too; want another", service.Name, first)
		} else {
			names[service.Name] = i
		}
		if earlier, ok := clashes[i]; ok {
			other := &s.Services[earlier]
			v.addf("port", "%s overlaps %s of service %q at the same address and protocol; want another port, address or protocol",
				service.Ports(), other.Ports(), other.Name)
		}
	}
	v.limits(s)
	return v.problems
}

// limits holds the Spec against what a [Table] has room for.
func (v *validator) limits(s *Spec) {
	backends := 0
	for i := range s.Services {
		backends += len(s.Services[i].Backends)
	}
	for what, n := range map[string][2]int{"services": {len(s.Services), MaxServices}, "backends": {backends, MaxBackends}} {
		if n[0] > n[1] {
			v.problems = append(v.problems, Problem{"services", fmt.Sprintf("%d %s over all are too many; want %d at most", n[0], what, n[1])})
		}
	}
}

// validator collects problems.
type validator struct {
	groups map[string]*ServiceSpec // of persistence, with the first service
	// announced are the addresses that are, with the first service that says how.
	announced map[netip.Addr]*ServiceSpec
	vips      map[netip.Addr]string // of all services, with a service's name
	sources   map[netip.Addr]string // of full NAT, with a service's name
	at        int                   // index of the service that is looked at
	backend   int                   // index of its backend that is looked at, or none
	problems  Problems
}

const none = -1

// addf adds a problem with a setting of what is looked at. Its path is made here and not
// beforehand: a Spec of 20,000 backends is checked at each reload, most often in vain.
func (v *validator) addf(key, format string, args ...any) {
	path := fmt.Sprintf("services[%d].%s", v.at, key)
	if v.backend != none {
		path = fmt.Sprintf("services[%d].backends[%d].%s", v.at, v.backend, key)
	}
	v.problems = append(v.problems, Problem{path, fmt.Sprintf(format, args...)})
}

func (v *validator) service(s *ServiceSpec) {
	v.name("name", s.Name)
	v.address("address", s.Address)
	switch {
	case s.First > s.Last:
		v.addf("port", "the range %d-%d runs backwards; want the lower port first", s.First, s.Last)
	case s.First == 0 && !s.AnyPort():
		v.addf("port", "port 0 cannot be served; want 1 to 65535, or any")
	}
	if s.Protocol != TCP && s.Protocol != UDP {
		v.addf("protocol", "%v cannot be balanced; want tcp or udp", s.Protocol)
	}
	mode := s.Mode.Traits()
	if !mode.Built {
		v.addf("mode", "%v is not supported yet by this version; want %s", s.Mode, modesWith(func(t *Traits) bool { return t.Built }))
	}
	if s.Algorithm > Maglev {
		v.addf("algorithm", "%v is no algorithm; want one as in round-robin", s.Algorithm)
	}
	if s.OnNoBackend > DropSilently {
		v.addf("on-no-backend", "%v is no answer; want reject or drop", s.OnNoBackend)
	}
	v.announce(s)
	if s.OnDown > Reset {
		v.addf("on-down", "%v is no way to go on; want reassign, keep or reset", s.OnDown)
	}
	if s.DrainTime < 0 {
		v.addf("drain-time", "%v is no time to drain; want 0s or more", s.DrainTime)
	}
	v.snat(s)
	v.affinity(s)
	v.persistence(s)
	v.tunnel(s)
	v.health(&s.Health)
	v.backends(s)
	v.shares(s)
}

// announce checks that there is one way for each address.
func (v *validator) announce(s *ServiceSpec) {
	first := v.announced[s.Address]
	switch {
	case s.Announce > AnnounceARP:
		v.addf("announce", "%v is no way to announce; want none, local or arp", s.Announce)
	case s.Announce == AnnounceNone:
	case first == nil:
		v.announced[s.Address] = s
	case first.Announce != s.Announce:
		v.addf("announce", "%v is another way than that of service %[4]q for the same address %[2]v, which is %[3]v; want one for an address", s.Announce, s.Address, first.Announce, first.Name)
	}
}

func (v *validator) affinity(s *ServiceSpec) {
	switch {
	case s.Affinity > AffinityNone:
		v.addf("affinity", "%v is no affinity; want flow or none", s.Affinity)
	case s.Affinity == AffinityFlow:
	case s.Protocol != UDP:
		v.addf("affinity", "none is for udp, whose datagrams stand for themselves; want flow")
	case s.Persistence != PersistenceSpec{}:
		v.addf("affinity", "none sends each datagram elsewhere, and persistence has a client stay; want one of them")
	case s.Algorithm.Hashes():
		v.addf("affinity", "none sends each datagram elsewhere, and %v all of a flow to one place; want another algorithm", s.Algorithm)
	}
}

func (v *validator) backends(s *ServiceSpec) {
	names := make(map[string]int, len(s.Backends))
	targets := make(map[netip.AddrPort]int, len(s.Backends))
	unprobed := false
	for j := range s.Backends {
		b := &s.Backends[j]
		v.backend = j
		v.name("name", b.Name)
		if first, twice := names[b.Name]; twice {
			v.addf("name", "%q is the name of backends[%d] too; want another", b.Name, first)
		} else {
			names[b.Name] = j
		}
		if v.address("address", b.Address) {
			v.target(s, b)
		}
		target := netip.AddrPortFrom(b.Address, s.Target(b))
		if first, twice := targets[target]; twice {
			v.addf("address", "%v with the same port is backends[%d] too; want each backend once, with a weight for its share", b.Address, first)
		} else {
			targets[target] = j
		}
		unprobed = unprobed || s.Probe(b).Port() == 0
	}
	v.backend = none
	if unprobed && s.Health.Type.Asks() {
		v.addf("health.port", "a service of several ports does not say which to probe; want a port here or at each backend, or health type icmp or none")
	}
}

// target checks what backend and mode ask of each other.
func (v *validator) target(s *ServiceSpec, b *BackendSpec) {
	if vip, ok := v.vips[b.Address]; ok {
		v.addf("address", "%v is the address of service %q; want the backend's own address", b.Address, vip)
	}
	if name, ok := v.sources[b.Address]; ok {
		v.addf("address", "%v is one of the snat-addresses of service %q, which are the balancer's own; want the backend's", b.Address, name)
	}
	mode := s.Mode.Traits()
	if !mode.Built {
		return
	}
	if !mode.MixesFamilies && s.Address.IsValid() && s.Address.Is4() != b.Address.Is4() {
		v.addf("address", "%v and the service's %v are of different families, and mode %v does not translate; want %s",
			b.Address, s.Address, s.Mode, family(s.Address))
	}
	if !mode.Translates && b.Port != 0 && (b.Port != s.First || b.Port != s.Last) {
		v.addf("port", "mode %v delivers to the service's port %s, not to %d; want no port here", s.Mode, s.Ports(), b.Port)
	}
}

// maxName keeps names in the columns of a table and in the limits of whatever
// they are a label for.
const maxName = 128

// name checks a name: it is an argument of commands, a part of URLs and a label
// of metrics.
func (v *validator) name(path, name string) {
	unfit := func(r rune) bool {
		return r == '/' || r == utf8.RuneError || unicode.IsSpace(r) || !unicode.IsPrint(r)
	}
	switch {
	case name == "":
		v.addf(path, "missing; want a name")
	case len(name) > maxName:
		v.addf(path, "%d bytes are too long; want at most %d", len(name), maxName)
	case strings.ContainsFunc(name, unfit):
		v.addf(path, "%q cannot be a name; want no blanks, slashes or unprintable characters", name)
	}
}

// address checks that a is one host's address, and reports whether it is.
func (v *validator) address(path string, a netip.Addr) bool {
	problem, want := "", "an address that one host can have on the network"
	switch {
	case !a.IsValid():
		v.addf(path, "missing; want an IPv4 or IPv6 address")
		return false
	case a.Is4In6():
		v.addf(path, "%v is an IPv4 address in IPv6's clothes; want %v", a, a.Unmap())
		return false
	case a.Zone() != "":
		problem = "has a zone"
	case a.IsUnspecified():
		problem = "is the unspecified address"
	case a.IsLoopback():
		problem = "is a loopback address"
	case a.IsMulticast():
		problem = "is a multicast address"
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		problem = "is the broadcast address"
	case a.IsLinkLocalUnicast(): // RFC 4291, 2.5.6, and RFC 3927, 2.6.2
		problem = "is a link-local address, which routers must not forward and which says nothing without an interface"
		want = "an address that is routed"
	default:
		return true
	}
	v.addf(path, "%v %s; want %s", a, problem, want)
	return false
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "an IPv4 address"
	}
	return "an IPv6 address"
}
