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

func mustCompile(t testing.TB, c *Compiler, spec Spec, facts Facts) *Table {
	t.Helper()
	table, err := c.Compile(spec, facts)
	if err != nil {
		t.Fatalf("compile: %v", err)
	}
	return table
}

// onlyService compiles a spec of one service with a new compiler.
func onlyService(t testing.TB, spec Spec) *Service {
	t.Helper()
	return &mustCompile(t, NewCompiler(NewLoads()), spec, Facts{}).Services[0]
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
