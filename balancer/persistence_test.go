package balancer

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/afxlb/afxlb/internal/packet"
)

// Who is one client is what netip says of prefixes.
func TestClientIsItsNetwork(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := webSpec(RoundRobin, 1).Services[0]
		spec.Persistence = PersistenceSpec{
			Timeout: time.Minute, Prefix4: rapid.IntRange(1, 32).Draw(t, "prefix4"), Prefix6: rapid.IntRange(1, 128).Draw(t, "prefix6"),
		}
		s := Service{persistence: newPersistence(&spec)}
		a := netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "address")))
		bits := spec.Persistence.Prefix6
		if rapid.Bool().Draw(t, "IPv4") {
			a4 := a.As16()
			a, bits = netip.AddrFrom4([4]byte(a4[:4])), spec.Persistence.Prefix4
		}
		want := netip.PrefixFrom(a, bits).Masked().Addr()
		_, got, timeout := s.Client(packet.AddrFrom(a))
		if got.Netip() != want.Unmap() || timeout != 60_000 {
			t.Fatalf("%v/%d is %v for %d ms, want %v", a, bits, got.Netip(), timeout, want)
		}
	})
}

// Groups are told apart by their names, and services without one by what they are.
func TestGroups(t *testing.T) {
	group := func(name, group string, port uint16) uint64 {
		s := webSpec(RoundRobin, 1).Services[0]
		s.Name, s.First, s.Last, s.Persistence = name, port, port, PersistenceSpec{Timeout: time.Minute, Prefix4: 32, Prefix6: 128, Group: group}
		return newPersistence(&s).group
	}
	if group("web", "shop", 80) != group("tls", "shop", 443) || group("a", "", 80) != group("b", "", 80) {
		t.Error("one group is two")
	}
	if group("web", "shop", 80) == group("web", "forum", 80) || group("web", "", 80) == group("web", "", 443) ||
		group("web", "192.0.2.10:80/tcp", 80) == group("web", "", 80) {
		t.Error("two groups are one")
	}
}

func TestSeat(t *testing.T) {
	spec := webSpec(RoundRobin, 1, 1, 0)
	s := &spec.Services[0]
	s.Persistence = PersistenceSpec{Timeout: time.Minute, Prefix4: 32, Prefix6: 128}
	s.Backends[1].Address, s.Backends[1].Port = s.Backends[0].Address, 8081
	table := mustCompile(t, NewCompiler(NewLoads()), spec, *allUp(&spec))
	web := &table.Services[0]
	first, drains := packet.AddrFrom(s.Backends[0].Address), packet.AddrFrom(s.Backends[2].Address)
	for _, c := range []struct {
		address packet.Addr
		port    uint16
		want    int // -1: nobody
	}{
		{first, 8080, 0}, {first, 8081, 1}, {first, 443, 0}, {first, 0, 0}, {drains, 8080, -1}, {packet.Addr{15: 1}, 8080, -1},
	} {
		id, ok := web.Seat(c.address, c.port)
		if ok != (c.want >= 0) || ok && id != web.Backends[c.want] {
			t.Errorf("%v:%d is %d, %t; want backend %d", c.address.Netip(), c.port, id, ok, c.want)
		}
	}
}

func TestValidatePersistence(t *testing.T) {
	for want, p := range map[string][2]PersistenceSpec{
		"":                  {{Timeout: time.Minute, Prefix4: 24, Prefix6: 56, Group: "g"}, {Timeout: time.Hour, Prefix4: 24, Prefix6: 56, Group: "g"}},
		"of the same group": {{Timeout: time.Minute, Prefix4: 24, Prefix6: 56, Group: "g"}, {Timeout: time.Minute, Prefix4: 32, Prefix6: 56, Group: "g"}},
		"no time":           {{Timeout: -1, Prefix4: 24, Prefix6: 56}, {}},
		"up to":             {{Timeout: 31 * 24 * time.Hour, Prefix4: 24, Prefix6: 56}, {}},
		"no prefixes":       {{Timeout: time.Minute, Prefix4: 33, Prefix6: 56}, {}},
		"want 1/1":          {{Timeout: time.Minute, Prefix4: 24}, {}},
		"cannot be a name":  {{Timeout: time.Minute, Prefix4: 24, Prefix6: 56, Group: "a b"}, {}},
	} {
		spec := webSpec(RoundRobin, 1)
		other := spec.Services[0]
		other.Name, other.First, other.Last = "other", 81, 81
		spec.Services = append(spec.Services, other)
		spec.Services[0].Persistence, spec.Services[1].Persistence = p[0], p[1]
		problems := spec.Validate()
		if text := problems.Error(); (want == "") != (len(problems) == 0) || len(problems) > 1 || !strings.Contains(text, want) {
			t.Errorf("%+v: %q, want %q", p, text, want)
		}
	}
}

func TestValidateAffinity(t *testing.T) {
	for want, change := range map[string]func(*ServiceSpec){
		"":               func(*ServiceSpec) {},
		"is for udp":     func(s *ServiceSpec) { s.Protocol = TCP },
		"want one of":    func(s *ServiceSpec) { s.Persistence = PersistenceSpec{Timeout: time.Minute, Prefix4: 32, Prefix6: 128} },
		"another algori": func(s *ServiceSpec) { s.Algorithm = Maglev },
		"no affinity":    func(s *ServiceSpec) { s.Affinity = 2 },
	} {
		spec := webSpec(RoundRobin, 1)
		s := &spec.Services[0]
		s.Protocol, s.Affinity, s.Health = UDP, AffinityNone, HealthSpec{Type: HealthNone}
		change(s)
		problems := spec.Validate()
		if text := problems.Error(); (want == "") != (len(problems) == 0) || len(problems) > 1 || !strings.Contains(text, want) {
			t.Errorf("%q, want %q", text, want)
		}
	}
}
