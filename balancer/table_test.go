package balancer

import (
	"fmt"
	"math"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/afxlb/afxlb/internal/packet"
)

// find is Lookup as a person would do it: the most precise match of all.
func find(spec *Spec, k *packet.Key) *ServiceSpec {
	var best *ServiceSpec
	for i := range spec.Services {
		s := &spec.Services[i]
		if packet.AddrFrom(s.Address) == k.Dst && uint32(s.Protocol) == k.Proto && s.First <= k.DstPort && k.DstPort <= s.Last &&
			(best == nil || s.portClass() < best.portClass()) {
			best = s
		}
	}
	return best
}

func TestLookup(t *testing.T) {
	addresses := []netip.Addr{
		netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"),
		netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2"),
	}
	rapid.Check(t, func(t *rapid.T) {
		var spec Spec
		for i := range rapid.IntRange(0, 12).Draw(t, "services") {
			s := ServiceSpec{
				Name:     fmt.Sprint(i),
				Address:  rapid.SampledFrom(addresses).Draw(t, "address"),
				Protocol: rapid.SampledFrom([]Protocol{TCP, UDP}).Draw(t, "protocol"),
				Health:   HealthSpec{Type: HealthNone},
			}
			s.First = rapid.Uint16Range(1, 30).Draw(t, "first")
			s.Last = s.First + rapid.SampledFrom([]uint16{0, 0, 3, 10}).Draw(t, "more")
			if rapid.IntRange(0, 5).Draw(t, "any") == 0 {
				s.First, s.Last = 0, MaxPort
			}
			with := Spec{Services: append(spec.Services, s)}
			if len(with.clashes()) == 0 {
				spec = with
			}
		}
		table := mustCompile(t, NewCompiler(NewLoads()), spec, Facts{})
		for _, a := range addresses {
			address := packet.AddrFrom(a)
			has := false
			for _, s := range spec.Services {
				has = has || s.Address == a
			}
			if table.HasAddress(&address) != has {
				t.Errorf("HasAddress(%v) = %t, want %t", a, !has, has)
			}
			for _, proto := range []uint32{packet.ProtoTCP, packet.ProtoUDP, packet.ProtoICMP} {
				for _, port := range []uint16{0, 1, 2, 5, 10, 15, 20, 25, 29, 30, 31, 33, 40, 41, 443, MaxPort} {
					k := packet.Key{Dst: address, DstPort: port, Proto: proto}
					want, got := find(&spec, &k), table.Lookup(&k)
					if (got == nil) != (want == nil) || got != nil && got.Name != want.Name {
						t.Fatalf("%v protocol %d port %d: got %+v, want %+v", a, proto, port, got, want)
					}
				}
			}
		}
	})
}

func TestZeroTable(t *testing.T) {
	var table Table
	k := clientKey(1)
	if table.Lookup(&k) != nil || table.HasAddress(&k.Dst) {
		t.Error("a zero table has a service")
	}
	if _, ok := new(Service).Consistent(&k); ok {
		t.Error("a zero service has a backend")
	}
	if id, ok := NewPicker(0, NewLoads()).Pick(new(Service), &k); ok {
		t.Errorf("a zero service has backend %d", id)
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	table := mustCompile(t, NewCompiler(NewLoads()), validSpec(), Facts{})
	for _, port := range []uint16{80, 85, 4000} {
		k := clientKey(1)
		k.DstPort = port
		if n := testing.AllocsPerRun(100, func() { table.Lookup(&k); table.HasAddress(&k.Dst) }); n != 0 {
			t.Errorf("looking up port %d allocates %v times", port, n)
		}
	}
}

// Two balancers with different pasts, and so with different IDs, must agree.
func TestConsistentAcrossMachines(t *testing.T) {
	for _, a := range []Algorithm{Maglev, SourceHash, RoundRobin} {
		spec := webSpec(a, 1, 2, 3, 0, 5)
		c := NewCompiler(NewLoads())
		past := webSpec(RoundRobin, 1, 1)
		move(&past, "10.1.1.1")
		mustCompile(t, c, past, Facts{})
		mine, yours := mustCompile(t, NewCompiler(NewLoads()), spec, Facts{}), mustCompile(t, c, spec, Facts{})
		for n := range uint32(1000) {
			k := clientKey(n)
			id1, ok1 := mine.Services[0].Consistent(&k)
			id2, ok2 := yours.Services[0].Consistent(&k)
			if !ok1 || !ok2 || mine.Refs[id1] != yours.Refs[id2] {
				t.Fatalf("%v: client %d goes to %v here and %v there", a, n, mine.Refs[id1], yours.Refs[id2])
			}
			if mine.Backends[id1].Weight == 0 {
				t.Fatalf("%v: client %d goes to a draining backend", a, n)
			}
		}
	}
}

// A golden sample: a change here moves flows between balancers of two versions.
func TestConsistentNeverChanges(t *testing.T) {
	for a, want := range map[Algorithm]string{
		Maglev:     "10358701084638399640",
		SourceHash: "76263893122971013695",
		LeastConn:  "70462126962374112937", // the small table
	} {
		s := onlyService(t, webSpec(a, equal(10)...))
		got := ""
		for n := range uint32(20) {
			k := clientKey(n * 1000003)
			id, _ := s.Consistent(&k)
			got += fmt.Sprint(id) // the name's number: nothing came before
		}
		if got != want {
			t.Errorf("%v chooses %s, want %s", a, got, want)
		}
	}
}

func TestSourceHashIsByClientAlone(t *testing.T) {
	s := onlyService(t, webSpec(SourceHash, equal(50)...))
	m := onlyService(t, webSpec(Maglev, equal(50)...))
	moved := 0
	for n := range uint32(500) {
		k := clientKey(n)
		first, _ := s.Consistent(&k)
		maglev, _ := m.Consistent(&k)
		k.SrcPort += 7
		k.DstPort++
		k.Dst[15]++
		if id, _ := s.Consistent(&k); id != first {
			t.Fatalf("client %d goes to %d from one port and to %d from another", n, first, id)
		}
		if id, _ := m.Consistent(&k); id != maglev {
			moved++
		}
	}
	if moved < 450 {
		t.Errorf("maglev: of 500 flows only %d go elsewhere with other ports, want about 490", moved)
	}
}

// Clients and their ports in sequence, as scanners and load generators have them,
// must spread as evenly as chance allows.
func TestConsistentSpread(t *testing.T) {
	for _, a := range []Algorithm{Maglev, SourceHash} {
		for _, shift := range []int{0, 8, 16} {
			s := onlyService(t, webSpec(a, equal(100)...))
			counts := make([]int, 100)
			const n = 50000
			for i := range uint32(n) {
				k := clientKey(i)
				if a == SourceHash { // one bit pattern at different places of the address
					k.Src = packet.Addr{0x20, 1}
					for b := range 4 {
						k.Src[12-shift/8+b-1] = byte(i >> (24 - 8*b))
					}
				}
				id, _ := s.Consistent(&k)
				counts[id]++
			}
			ideal := make([]float64, 100)
			for i := range ideal {
				ideal[i] = 1.0 / 100
			}
			checkDistribution(t, fmt.Sprintf("%v, shift %d", a, shift), counts, ideal)
		}
	}
}

// checkDistribution is Pearson's chi-squared test at five standard deviations:
// with a fixed seed it passes or fails for ever.
func checkDistribution(t testing.TB, what string, counts []int, probabilities []float64) {
	t.Helper()
	n, freedom, chi2 := 0, -1.0, 0.0
	for _, c := range counts {
		n += c
	}
	for i, p := range probabilities {
		if p == 0 {
			if counts[i] != 0 {
				t.Errorf("%s: %d of %d fell on %d, which can't be", what, counts[i], n, i)
			}
			continue
		}
		expected := float64(n) * p
		chi2 += (float64(counts[i]) - expected) * (float64(counts[i]) - expected) / expected
		freedom++
	}
	if limit := freedom + 5*math.Sqrt(2*freedom) + 5; chi2 > limit {
		t.Errorf("%s: chi-squared is %.1f, want at most %.1f: counts %v", what, chi2, limit, counts)
	}
}

func BenchmarkLookup(b *testing.B) {
	var spec Spec
	for i := range 1000 {
		s := webSpec(RoundRobin).Services[0]
		s.Name = fmt.Sprint(i)
		s.Address = netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)})
		if i%10 == 9 {
			s.Last = s.First + 100
		}
		spec.Services = append(spec.Services, s)
	}
	table := mustCompile(b, NewCompiler(NewLoads()), spec, Facts{})
	for _, kind := range []string{"exact", "range"} {
		b.Run(kind, func(b *testing.B) {
			b.ReportAllocs()
			k := clientKey(1)
			if kind == "range" {
				k.DstPort = 100
			}
			for i := 0; b.Loop(); i++ {
				n := i % 1000
				if kind == "range" {
					n = n/10*10 + 9
				}
				k.Dst[14], k.Dst[15] = byte(n>>8), byte(n)
				if table.Lookup(&k) == nil {
					b.Fatalf("no service at address %d", n)
				}
			}
		})
	}
}
