package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/afxlb/afxlb/balancer"
)

var (
	serviceKeys = keys[balancer.ServiceSpec]{
		{
			name: "name", required: "a name that tells it from the other services",
			read: func(v value, s *balancer.ServiceSpec) { set(v, &s.Name, parseText) },
		},
		{
			name: "address", required: "the address that clients connect to",
			read: func(v value, s *balancer.ServiceSpec) { set(v, &s.Address, parseAddress) },
		},
		{name: "port", required: `the port, a range as in "8000-8099", or any`, read: ports},
		{name: "protocol", read: func(v value, s *balancer.ServiceSpec) { set(v, &s.Protocol, balancer.ParseProtocol) }},
		{name: "mode", read: func(v value, s *balancer.ServiceSpec) { set(v, &s.Mode, balancer.ParseMode) }},
		{name: "algorithm", read: func(v value, s *balancer.ServiceSpec) { set(v, &s.Algorithm, balancer.ParseAlgorithm) }},
		{name: "snat-addresses", read: func(v value, s *balancer.ServiceSpec) {
			s.SnatAddresses = sequence(v, func(v value, a *netip.Addr) { set(v, a, parseAddress) })
		}},
		{name: "snat-ports", read: snatPorts},
		{name: "tunnel-source", read: tunnelSource},
		{name: "gue", read: func(v value, s *balancer.ServiceSpec) { s.GUE = defaultGUE(); mapping(v, &s.GUE, gueKeys) }},
		{name: "on-no-backend", read: func(v value, s *balancer.ServiceSpec) { set(v, &s.OnNoBackend, balancer.ParseOnNoBackend) }},
		{name: "on-down", read: func(v value, s *balancer.ServiceSpec) { set(v, &s.OnDown, balancer.ParseOnDown) }},
		{name: "drain-time", read: func(v value, s *balancer.ServiceSpec) { set(v, &s.DrainTime, parseDrainTime) }},
		{name: "affinity", read: func(v value, s *balancer.ServiceSpec) { set(v, &s.Affinity, balancer.ParseAffinity) }},
		{name: "persistence", read: func(v value, s *balancer.ServiceSpec) { persistence(v, &s.Persistence) }},
		{name: "health", read: func(v value, s *balancer.ServiceSpec) { health(v, &s.Health) }},
		{
			name: "backends", required: "a list of backends, [] for none",
			read: func(v value, s *balancer.ServiceSpec) { s.Backends = sequence(v, backend) },
		},
	}
	backendKeys = keys[balancer.BackendSpec]{
		{name: "name", read: func(v value, b *balancer.BackendSpec) { set(v, &b.Name, parseText) }},
		{
			name: "address", required: "the backend's own address",
			read: func(v value, b *balancer.BackendSpec) { set(v, &b.Address, parseAddress) },
		},
		{name: "port", read: func(v value, b *balancer.BackendSpec) { set(v, &b.Port, parsePort) }},
		{name: "weight", read: func(v value, b *balancer.BackendSpec) { set(v, &b.Weight, parseWeight) }},
	}
)

var (
	parsePort   = number[uint16](1, balancer.MaxPort)
	parseWeight = number[uint16](0, 65535)

	parseDrainTime = duration(0, 30*24*time.Hour)
)

// defaultDrainTime is for what UDP carries: a question and its answer are over by then,
// and a call or a game had time to move.
const defaultDrainTime = time.Minute

// service reads an element of services.
func service(v value, s *balancer.ServiceSpec) {
	// A port that is wrong should not cause a second problem.
	*s = balancer.ServiceSpec{Protocol: balancer.TCP, First: 1, Last: 1, DrainTime: defaultDrainTime}
	if !mapping(v, s, serviceKeys) {
		return
	}
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

func parseAddress(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%q is not an IP address; want one alone, as in 192.0.2.10 or 2001:db8::10", s)
	}
	return a.Unmap(), nil
}

// ports reads a service's port or ports.
func ports(v value, s *balancer.ServiceSpec) {
	r := portRange{s.First, s.Last}
	set(v, &r, parsePorts)
	s.First, s.Last = r.first, r.last
}

// snatPorts reads the ports of a service's snat-addresses.
func snatPorts(v value, s *balancer.ServiceSpec) {
	set(v, &s.SnatPorts, func(text string) (balancer.Ports, error) {
		first, last, ok := cutRange(text, balancer.MaxPort)
		if !ok {
			return balancer.Ports{}, fmt.Errorf(`%q is no range of ports; want one as in "1024-65535"`, text)
		}
		return balancer.Ports{First: uint16(first), Last: uint16(last)}, nil
	})
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
