package balancer

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
)

// webSpec is one valid service with a backend for each weight, named b0, b1 and
// so on, that need no probe.
func webSpec(a Algorithm, weights ...uint16) Spec {
	s := ServiceSpec{
		Name:      "web",
		Address:   netip.MustParseAddr("192.0.2.10"),
		First:     80,
		Last:      80,
		Protocol:  TCP,
		Algorithm: a,
		Health:    HealthSpec{Type: HealthNone},
	}
	for i, w := range weights {
		s.Backends = append(s.Backends, BackendSpec{
			Name:    fmt.Sprintf("b%d", i),
			Address: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}),
			Port:    8080,
			Weight:  w,
		})
	}
	return Spec{Services: []ServiceSpec{s}}
}

// equal returns n weights of 1.
func equal(n int) []uint16 {
	weights := make([]uint16, n)
	for i := range weights {
		weights[i] = 1
	}
	return weights
}

// hop is the way to a neighbour.
var hop = NextHop{MAC: packet.MAC{2, 0, 0, 0, 0, 1}, OnLink: true}

// hops are the ways to all backends, which are neighbours.
func hops(spec *Spec) map[netip.Addr]NextHop {
	m := map[netip.Addr]NextHop{}
	for i := range spec.Services {
		for _, b := range spec.Services[i].Backends {
			m[b.Address] = hop
		}
	}
	return m
}

// tester is what tests of both kinds have.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

// commit makes the next generation. The Spec must be valid, as Compile asks for.
func commit(t tester, c *Compiler, spec *Spec, facts *Facts) *Table {
	t.Helper()
	if problems := spec.Validate(); len(problems) > 0 {
		t.Fatalf("the Spec is wrong:\n%v", problems)
	}
	d, err := c.Compile(spec, facts)
	if err != nil {
		t.Fatalf("compile: %v", err)
	}
	c.Commit(d)
	return d.Table
}

// mustCompile makes the next generation. If the facts have no next hops, all backends
// are neighbours.
func mustCompile(t tester, c *Compiler, spec Spec, facts Facts) *Table {
	t.Helper()
	if facts.NextHops == nil {
		facts.NextHops = hops(&spec)
	}
	return commit(t, c, &spec, &facts)
}

// onlyService compiles a spec of one service with a new compiler.
func onlyService(t testing.TB, spec Spec) *Service {
	t.Helper()
	return &mustCompile(t, NewCompiler(NewLoads()), spec, Facts{}).Services[0]
}

// key returns the identity of the spec's backend with these names.
func (s *Spec) key(t tester, service, backend string) BackendKey {
	t.Helper()
	for i := range s.Services {
		for j := range s.Services[i].Backends {
			if s.Services[i].Name == service && s.Services[i].Backends[j].Name == backend {
				return s.Services[i].BackendKey(&s.Services[i].Backends[j])
			}
		}
	}
	t.Fatalf("no backend %s of a service %s", backend, service)
	return BackendKey{}
}

// clientKey is the key of a request to webSpec's service from client n.
func clientKey(n uint32) packet.Key {
	return packet.Key{
		Src:     packet.AddrFrom(netip.AddrFrom4([4]byte{198, 51, byte(n >> 8), byte(n)})),
		Dst:     packet.AddrFrom(netip.MustParseAddr("192.0.2.10")),
		SrcPort: uint16(1024 + n>>16),
		DstPort: 80,
		Proto:   packet.ProtoTCP,
	}
}

// algorithms are all of them.
var algorithms = []Algorithm{RoundRobin, WeightedRoundRobin, Weighted, LeastConn, TwoChoices, SourceHash, Maglev}
