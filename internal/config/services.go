package config

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/afxlb/afxlb/balancer"
)

var (
	serviceKeys = keys[balancer.ServiceSpec]{
		{
			name: "name", required: "a name that tells it from the other services", form: into(func(s *balancer.ServiceSpec) *string { return &s.Name }, text),
			about: "a label, for people",
		},
		{
			name: "address", required: "the address that clients connect to", form: into(func(s *balancer.ServiceSpec) *netip.Addr { return &s.Address }, address),
			about: "the address that clients connect to, the VIP",
		},
		{
			name: "port", required: `the port, a range as in "8000-8099", or any`, form: form[balancer.ServiceSpec]{read: ports, diff: whole(func(s balancer.ServiceSpec) string { return s.Ports() }), looks: portRanges.looks},
			about: "the port or ports",
		},
		{
			name: "protocol", unset: "tcp", form: into(func(s *balancer.ServiceSpec) *balancer.Protocol { return &s.Protocol }, choice(balancer.ParseProtocol, nil, nil)),
			about: "the transport",
		},
		{
			name: "mode", unset: "nat", form: into(func(s *balancer.ServiceSpec) *balancer.Mode { return &s.Mode }, choice(balancer.ParseMode, nil, nil)),
			about: "what is changed in a packet on its way to the backend, see [modes](MODES.md)",
		},
		{
			name: "algorithm", unset: "round-robin",
			form:  into(func(s *balancer.ServiceSpec) *balancer.Algorithm { return &s.Algorithm }, choice(balancer.ParseAlgorithm, nil, []string{"random", "p2c"})),
			about: "which backend a new flow gets; random and p2c are other words for weighted and two-choices",
		},
		{
			name: "snat-addresses", form: into(func(s *balancer.ServiceSpec) *[]netip.Addr { return &s.SnatAddresses }, listOf(address)),
			about: "mode fullnat, which must have them: the machine's own addresses towards the backends",
		},
		{
			name: "snat-ports", unset: "1024-65535", form: into(func(s *balancer.ServiceSpec) *balancer.Ports { return &s.SnatPorts }, snatPorts),
			about: "mode fullnat: the ports that flows get at these",
		},
		{
			name: "tunnel-source", unset: "auto", form: form[balancer.ServiceSpec]{
				read: tunnelSource, diff: partly(func(s *balancer.ServiceSpec) *[]netip.Prefix { return &s.TunnelSources }, tunnelSources.diff), looks: tunnelSources.looks,
			},
			about: "modes ipip, gue and gre: where packets in tunnels come from; auto is the machine's own address towards the backend",
		},
		{
			name: "gue", form: into(func(s *balancer.ServiceSpec) *balancer.GUESpec { return &s.GUE }, block(gueKeys, gue)),
			about: "mode gue: what the header is like",
		},
		{
			name: "on-no-backend", unset: "reject", form: into(func(s *balancer.ServiceSpec) *balancer.OnNoBackend { return &s.OnNoBackend }, choice(balancer.ParseOnNoBackend, nil, nil)),
			about: "what new flows get while no backend is in rotation: an answer (TCP reset, ICMP unreachable) or none",
		},
		{
			name: "on-down", unset: "reassign", form: into(func(s *balancer.ServiceSpec) *balancer.OnDown { return &s.OnDown }, choice(balancer.ParseOnDown, nil, nil)),
			about: "what becomes of the flows of a backend that died",
		},
		{
			name: "drain-time", unset: "1m", form: into(func(s *balancer.ServiceSpec) *time.Duration { return &s.DrainTime }, duration(0, 30*24*time.Hour)),
			about: "how long UDP flows stay at a backend of weight 0; those of TCP end by themselves",
		},
		{
			name: "slow-start", unset: "0s", form: into(func(s *balancer.ServiceSpec) *time.Duration { return &s.SlowStart }, duration(0, 24*time.Hour)),
			about: "in what time a backend that is back, or new, comes to its share of new flows; 0s: at once",
		},
		{
			name: "min-healthy", unset: "none", form: into(func(s *balancer.ServiceSpec) *balancer.MinHealthy { return &s.MinHealthy }, minHealthy),
			about: "how many of the backends that have a weight and are no backup must be healthy: a number, or a share of them",
		},
		{
			name: "below-min-healthy", unset: "panic",
			form:  into(func(s *balancer.ServiceSpec) *balancer.BelowMinHealthy { return &s.BelowMin }, choice(balancer.ParseBelowMinHealthy, nil, nil)),
			about: "what if they are fewer: panic, all backends get new flows, healthy or not; backup, the backup ones join; down, nobody does, and clients get what on-no-backend says",
		},
		{
			name: "affinity", unset: "flow", form: into(func(s *balancer.ServiceSpec) *balancer.Affinity { return &s.Affinity }, choice(balancer.ParseAffinity, nil, nil)),
			about: "what stays with one backend; none, for UDP, balances each datagram for itself",
		},
		{
			name: "announce", unset: "none", form: into(func(s *balancer.ServiceSpec) *balancer.Announce { return &s.Announce }, choice(balancer.ParseAnnounce, nil, nil)),
			about: "have the address on this machine while a backend is in rotation: local on a device of the balancer's own, arp on a served interface, whose link is told; see [operations](OPERATIONS.md)",
		},
		{
			name: "persistence", unset: "none", form: into(func(s *balancer.ServiceSpec) *balancer.PersistenceSpec { return &s.Persistence }, block(persistenceKeys, persistence)).or("none"),
			about: "have clients stay with one backend",
		},
		{
			name: "health", form: into(func(s *balancer.ServiceSpec) *balancer.HealthSpec { return &s.Health }, block(healthKeys, health)),
			about: "how backends are asked whether they work",
		},
		{
			name: "backends", required: "a list of backends, [] for none",
			form:  into(func(s *balancer.ServiceSpec) *[]balancer.BackendSpec { return &s.Backends }, listOf(block(backendKeys, backend))),
			about: "who answers",
		},
	}
	backendKeys = keys[balancer.BackendSpec]{
		{
			name: "name", unset: "address:port", form: into(func(b *balancer.BackendSpec) *string { return &b.Name }, text),
			about: "a label, for people",
		},
		{
			name: "address", required: "the backend's own address", form: into(func(b *balancer.BackendSpec) *netip.Addr { return &b.Address }, address),
			about: "the backend's own address",
		},
		{
			name: "port", unset: "the service's", form: into(func(b *balancer.BackendSpec) *uint16 { return &b.Port }, portNumber),
			about: "modes nat and fullnat: the port where it answers",
		},
		{
			name: "weight", unset: "1", form: into(func(b *balancer.BackendSpec) *uint16 { return &b.Weight }, number[uint16](0, 65535)),
			about: "its share of new flows; 0 drains: old flows stay, no new ones come",
		},
		{
			name: "backup", unset: "false", form: into(func(b *balancer.BackendSpec) *bool { return &b.Backup }, either(parseBool, "true or false", false, true)),
			about: "it gets new flows while no other backend can have them",
		},
		{
			name: "max-conns", unset: "any number", form: into(func(b *balancer.BackendSpec) *uint32 { return &b.MaxConns }, number[uint32](1, math.MaxInt32).orNone()),
			about: "protocol tcp: how many connections it may have; one that has as many gets no new ones",
		},
	}
)

var (
	address    = single("an IP address", `^([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*)$`, parseAddress)
	portNumber = number[uint16](1, balancer.MaxPort).orNone()
	portRanges = single(`a port, a range as in "8000-8099", or any`, `^(any|[0-9]{1,5}\s*(-\s*[0-9]{1,5}\s*)?)$`, parsePorts).bare(1, balancer.MaxPort)
	minHealthy = single(`a number, a share as in "50%", or none`, `^(none|[1-9][0-9]{0,4}|(100|[1-9][0-9]?)%)$`, balancer.ParseMinHealthy).bare(1, 65535)
	snatPorts  = single(`a range of ports as in "1024-65535"`, `^[0-9]{1,5}\s*(-\s*[0-9]{1,5}\s*)?$`, parseSnatPorts).bare(1, balancer.MaxPort).orNone()
)

// service reads an element of services.
func service(v value, s *balancer.ServiceSpec) {
	*s = v.file.defaults
	s.First, s.Last = 1, 1 // a port that is wrong should not cause a second problem
	if !mapping(v, s, serviceKeys) {
		return
	}
	shed(&v, s)
	if s.Mode == balancer.GUE && s.GUE == (balancer.GUESpec{}) {
		s.GUE = defaultGUE()
	}
	for i := range s.Backends {
		completeBackend(s, i)
	}
	completeHealth(s)
}

// backend reads an element of a service's backends.
func backend(v value, b *balancer.BackendSpec) {
	b.Weight = 1
	mapping(v, b, backendKeys)
}

// completeBackend fills in what the i-th backend takes from its service: the
// port, if the service has just one, and a name made of address and port.
func completeBackend(s *balancer.ServiceSpec, i int) {
	b := &s.Backends[i]
	if b.Port == 0 && s.First == s.Last {
		b.Port = s.First
	}
	switch {
	case b.Name != "":
	case !b.Address.IsValid():
		b.Name = fmt.Sprintf("backends[%d]", i) // a wrong address should not cause a second problem
	case b.Port == 0:
		b.Name = b.Address.String()
	default:
		b.Name = netip.AddrPortFrom(b.Address, b.Port).String()
	}
}

// ports reads a service's port or ports.
func ports(v value, s *balancer.ServiceSpec) {
	r := portRange{s.First, s.Last}
	set(v, &r, parsePorts)
	s.First, s.Last = r.first, r.last
}

// parseSnatPorts reads the ports of a service's snat-addresses.
func parseSnatPorts(s string) (balancer.Ports, error) {
	first, last, ok := cutRange(s, balancer.MaxPort)
	if !ok {
		return balancer.Ports{}, fmt.Errorf(`%q is no range of ports; want one as in "1024-65535"`, s)
	}
	return balancer.Ports{First: uint16(first), Last: uint16(last)}, nil
}

type portRange struct{ first, last uint16 }

func parsePorts(s string) (portRange, error) {
	if s == "any" {
		return portRange{0, balancer.MaxPort}, nil
	}
	first, last, ok := cutRange(s, balancer.MaxPort)
	if !ok {
		return portRange{}, fmt.Errorf(`%q is not a port; want one from 1 to 65535, a range as in "8000-8099", or any`, s)
	}
	return portRange{uint16(first), uint16(last)}, nil
}

// cutRange reads a number or an ascending range of numbers from 1 to limit.
func cutRange(s string, limit int) (first, last int, ok bool) {
	low, high, isRange := strings.Cut(s, "-")
	if !isRange {
		high = low
	}
	from, err1 := strconv.ParseUint(strings.TrimSpace(low), 10, 16)
	to, err2 := strconv.ParseUint(strings.TrimSpace(high), 10, 16)
	return int(from), int(to), err1 == nil && err2 == nil && 1 <= from && from <= to && int(to) <= limit
}
