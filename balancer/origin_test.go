package balancer

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/afxlb/afxlb/internal/packet"
)

// What a table says of MAC addresses is what the facts and the Spec say, one by one.
func TestOriginsAgainstOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mac := rapid.Custom(func(t *rapid.T) packet.MAC {
			return packet.MAC{2, 0, 0, 0, 0, rapid.Byte().Draw(t, "last") % 6}
		})
		links := []Link{{}, {Port: 1}, {Port: 1, Tags: packet.Tags{packet.NewTag(100)}}}
		station := rapid.Custom(func(t *rapid.T) Station {
			return Station{mac.Draw(t, "mac"), rapid.SampledFrom(links).Draw(t, "link")}
		})
		var spec Spec
		facts := Facts{NextHops: map[netip.Addr]NextHop{}, Gateways: rapid.SliceOfN(station, 0, 2).Draw(t, "gateways")}
		for i := range rapid.IntRange(1, 3).Draw(t, "services") {
			s := webSpec(RoundRobin, equal(rapid.IntRange(0, 3).Draw(t, "backends"))...).Services[0]
			s.Name, s.First, s.Last = string(rune('a'+i)), uint16(80+i), uint16(80+i)
			if s.Mode = rapid.SampledFrom([]Mode{NAT, DSR}).Draw(t, "mode"); s.Mode == DSR {
				for j := range s.Backends {
					s.Backends[j].Port = 0
				}
			}
			for _, b := range s.Backends {
				if _, known := facts.NextHops[b.Address]; !known && rapid.Bool().Draw(t, "known") {
					facts.NextHops[b.Address] = NextHop{MAC: mac.Draw(t, "mac"), Link: rapid.SampledFrom(links).Draw(t, "link"), OnLink: rapid.Bool().Draw(t, "on link")}
					h := facts.NextHops[b.Address]
					h.Link.MTU = rapid.SampledFrom([]uint16{0, 1400}).Draw(t, "mtu") // which frames know nothing of
					facts.NextHops[b.Address] = h
				}
			}
			spec.Services = append(spec.Services, s)
		}
		table := commit(t, NewCompiler(NewLoads()), &spec, &facts)
		for n := range 6 * len(links) {
			at := Station{packet.MAC{2, 0, 0, 0, 0, byte(n % 6)}, links[n/6]}
			id, _ := table.Links.ID(at.Link)
			word, gateway := id.Word(at.MAC.Word()), slices.Contains(facts.Gateways, at)
			if got := table.IsGateway(word); got != gateway {
				t.Fatalf("%v is a gateway: %t, want %t", at, got, gateway)
			}
			for i := range spec.Services {
				want := false
				for _, b := range spec.Services[i].Backends {
					h := facts.NextHops[b.Address]
					want = want || spec.Services[i].Mode == DSR && h.OnLink && (Station{h.MAC, h.Link.plain()}) == at && !gateway
				}
				if got := table.FromBackend(&table.Services[i], word); got != want {
					t.Fatalf("%v is of a backend of service %d: %t, want %t", at, i, got, want)
				}
			}
		}
	})
}

// A backend that is gone, though flows remember it, is nobody's sender any more.
func TestOriginOfOneThatIsGone(t *testing.T) {
	loads := NewLoads()
	c, spec := NewCompiler(loads), webSpec(RoundRobin, 1, 1)
	s := &spec.Services[0]
	s.Mode, s.Backends[0].Port, s.Backends[1].Port = DSR, 0, 0
	other := NextHop{MAC: packet.MAC{2, 0, 0, 0, 0, 2}, OnLink: true}
	facts := Facts{NextHops: map[netip.Addr]NextHop{s.Backends[0].Address: hop, s.Backends[1].Address: other}}
	table := commit(t, c, &spec, &facts)
	loads.AddFlows(table.Services[0].Backends[1], 1)
	s.Backends = s.Backends[:1]
	table = commit(t, c, &spec, &facts)
	if web := &table.Services[0]; !table.FromBackend(web, hop.MAC.Word()) || table.FromBackend(web, other.MAC.Word()) {
		t.Error("the senders are not those that the Spec has")
	}
}

// Only a backend without a weight is drained, whatever the facts say.
func TestDrained(t *testing.T) {
	spec := webSpec(RoundRobin, 0, 1, 0)
	key := func(name string) BackendKey { return spec.key(t, "web", name) }
	table := mustCompile(t, NewCompiler(NewLoads()), spec, Facts{Drained: map[BackendKey]bool{key("b0"): true, key("b1"): true}})
	for i, want := range []Flags{Drained, 0, 0} {
		b := table.Backends[table.Services[0].Backends[i]]
		if b.Flags&Drained != want || b.Flags&(Present|Usable|Up) != Present|Usable|Up {
			t.Errorf("b%d has flags %b", i, b.Flags)
		}
	}
}
