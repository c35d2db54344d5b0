package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/afxlb/afxlb/balancer"
)

// services reads the list of services. Its indexes are those of the file, also
// where an element is wrong, so that paths of the Spec are paths of the file.
func services(v value) []balancer.ServiceSpec {
	list := []balancer.ServiceSpec{}
	v.sequence(func(v value, ok bool) {
		var s balancer.ServiceSpec
		if ok {
			s = service(v)
		}
		list = append(list, s)
	})
	return list
}

func service(v value) balancer.ServiceSpec {
	ports := portRange{1, 1} // stays where port is wrong, and causes no second problem
	s := balancer.ServiceSpec{Protocol: balancer.TCP, Health: balancer.HealthSpec{Interval: 5 * time.Second, Rise: 2, Fall: 3}}
	ok := v.mapping(keys{
		"name":           to(&s.Name, parseText),
		"address":        to(&s.Address, parseAddress),
		"port":           to(&ports, parsePorts),
		"protocol":       to(&s.Protocol, balancer.ParseProtocol),
		"mode":           to(&s.Mode, balancer.ParseMode),
		"algorithm":      to(&s.Algorithm, balancer.ParseAlgorithm),
		"snat-addresses": func(v value) { s.SnatAddresses = addresses(v) },
		"on-no-backend":  to(&s.OnNoBackend, balancer.ParseOnNoBackend),
		"on-down":        to(&s.OnDown, balancer.ParseOnDown),
		"health":         func(v value) { health(v, &s.Health) },
		"backends":       func(v value) { s.Backends = backends(v) },
	})
	if !ok {
		return s
	}
	v.require("name", "a name that tells it from the other services")
	v.require("address", "the address that clients connect to")
	v.require("port", `the port, a range as in "8000-8099", or any`)
	v.require("backends", "a list of backends, [] for none")
	s.First, s.Last = ports.first, ports.last
	for i := range s.Backends {
		completeBackend(&s, i)
	}
	if !v.has("health") {
		s.Health.Type = defaultHealth(&s)
	}
	completeHealth(&s.Health)
	return s
}

// defaultHealth is how a service is probed that says nothing of health: by a TCP
// connection where that can tell anything, otherwise not at all. One that has a
// health check without a type wants to be probed, by tcp.
func defaultHealth(s *balancer.ServiceSpec) balancer.HealthType {
	if s.Protocol != balancer.TCP {
		return balancer.HealthNone
	}
	for i := range s.Backends {
		if s.Probe(&s.Backends[i]).Port() == 0 {
			return balancer.HealthNone
		}
	}
	return balancer.HealthTCP
}

// completeHealth fills in what depends on the rest of the health check.
func completeHealth(h *balancer.HealthSpec) {
	if h.Timeout == 0 {
		h.Timeout = min(2*time.Second, h.Interval)
	}
	if h.Type == balancer.HealthHTTP && h.Path == "" {
		h.Path = "/"
	}
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

func backends(v value) []balancer.BackendSpec {
	list := []balancer.BackendSpec{}
	v.sequence(func(v value, ok bool) {
		b := balancer.BackendSpec{Weight: 1}
		if ok && v.mapping(keys{
			"name":    to(&b.Name, parseText),
			"address": to(&b.Address, parseAddress),
			"port":    to(&b.Port, number[uint16](1, balancer.MaxPort)),
			"weight":  to(&b.Weight, number[uint16](0, 65535)),
		}) {
			v.require("address", "the backend's own address")
		}
		list = append(list, b)
	})
	return list
}

func health(v value, h *balancer.HealthSpec) {
	period := duration(10*time.Millisecond, 24*time.Hour)
	v.mapping(keys{
		"type":     to(&h.Type, balancer.ParseHealthType),
		"port":     to(&h.Port, number[uint16](1, balancer.MaxPort)),
		"interval": to(&h.Interval, period),
		"timeout":  to(&h.Timeout, period),
		"rise":     to(&h.Rise, number[int](1, 1000)),
		"fall":     to(&h.Fall, number[int](1, 1000)),
		"path":     to(&h.Path, parseText),
		"host":     to(&h.Host, parseText),
		"body":     to(&h.Body, parseText),
		"expect":   func(v value) { h.Expect = expect(v) },
		"send": func(v value) {
			v.problem("is for health type udp, which is not supported yet; remove it")
		},
	})
}

// expect reads one status range or a list of them.
func expect(v value) []balancer.StatusRange {
	var list []balancer.StatusRange
	one := func(v value, ok bool) {
		var r balancer.StatusRange
		if ok {
			set(v, &r, parseStatus)
		}
		list = append(list, r)
	}
	if _, isList := v.node.(*ast.SequenceNode); isList {
		v.sequence(one)
	} else {
		one(v, true)
	}
	return list
}

func addresses(v value) []netip.Addr {
	var list []netip.Addr
	v.sequence(func(v value, ok bool) {
		var a netip.Addr
		if ok {
			set(v, &a, parseAddress)
		}
		list = append(list, a)
	})
	return list
}

func parseAddress(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%q is not an IP address; want one alone, as in 192.0.2.10 or 2001:db8::10", s)
	}
	return a.Unmap(), nil
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

func parseStatus(s string) (balancer.StatusRange, error) {
	first, last, ok := cutRange(s, 599)
	if !ok || first < 100 {
		return balancer.StatusRange{}, fmt.Errorf("%q is not an HTTP status; want one as in 200 or a range as in 200-399", s)
	}
	return balancer.StatusRange{First: first, Last: last}, nil
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
