package balancer

import (
	"net/netip"
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
)

// wayBy is a way by a router with this MAC address on a port.
func wayBy(mac byte, port uint8, weight int) Way {
	return Way{NextHop: NextHop{MAC: packet.MAC{2, 0, 0, 0, 0, mac}, Link: Link{Port: port}}, Weight: weight}
}

// Flows share the ways by weight, with each way's own source address; when one goes only its
// own flows change.
func TestSpread(t *testing.T) {
	spec := webSpec(RoundRobin, 1, 1)
	a := spec.Services[0].Backends[0].Address
	all := []Way{wayBy(1, 0, 1), wayBy(2, 1, 2), wayBy(3, 1, 3)}
	all[2].Source = packet.MAC{2, 0, 0, 0, 9, 3}
	facts := Facts{
		Ports: []Port{{MAC: packet.MAC{2, 0, 0, 0, 9, 1}}, {MAC: packet.MAC{2, 0, 0, 0, 9, 2}}},
		Ways:  map[netip.Addr][]Way{a: all},
	}
	c := NewCompiler(NewLoads())
	before := mustCompile(t, c, spec, facts)
	facts.Ways[a] = []Way{all[0], all[2]}
	after := mustCompile(t, c, spec, facts)
	first := before.Services[0].Backends[0]
	if b := before.Backends[before.Services[0].Backends[1]]; Spreads(b.Next) || Spreads(NoHop) || Spreads(LinkID(maxLinks).Word(1)) {
		t.Errorf("a single way is taken for several: %x", b.Next)
	}
	was, is := before.Backends[first].Next, after.Backends[first].Next
	if !Spreads(was) || HopMAC(was) == 0 || !Spreads(is) {
		t.Fatalf("several ways are %x, %x", was, is)
	}
	if all, one := before.Ways(was), before.Ways(7); len(all) != 3 || len(one) != 1 || one[0] != 7 {
		t.Errorf("the ways are %x, and the one %x", all, one)
	}
	by := map[uint64]int{}
	for slot := range uint64(spreadSlots) {
		next, source := before.Way(was, slot)
		by[HopMAC(next)]++
		mac, port := packet.WordMAC(next), HopLink(next)
		want := packet.MAC{2, 0, 0, 0, 9, mac[5]}
		if packet.WordMAC(source) != want || (port == 0) != (mac[5] == 1) {
			t.Fatalf("by %v on port %d from %v", mac, port, packet.WordMAC(source))
		}
		then, _ := after.Way(is, slot+spreadSlots)
		if mac[5] != 2 && then != next || packet.WordMAC(then)[5] == 2 {
			t.Fatalf("slot %d goes by %x, and without the second way by %x", slot, next, then)
		}
	}
	for i := range all {
		if got, want := by[all[i].MAC.Word()], spreadSlots*(i+1)/6; got < want-20 || got > want+20 {
			t.Errorf("way %d of weight %d has %d slots, want about %d", i+1, i+1, got, want)
		}
	}
}

// The same ways are one thing for all who have them; one that is alone is none, and modes
// whose packets are not for the address's own router have one.
func TestWhatIsSpread(t *testing.T) {
	spec := webSpec(RoundRobin, 1, 1, 1)
	direct := spec.Services[0]
	direct.Name, direct.Mode, direct.Address = "direct", DSR, netip.MustParseAddr("192.0.2.20")
	direct.Backends = append([]BackendSpec(nil), direct.Backends...)
	for i := range direct.Backends {
		direct.Backends[i].Port = 0
	}
	spec.Services = append(spec.Services, direct)
	facts := Facts{NextHops: hops(&spec), Ways: map[netip.Addr][]Way{}}
	two := []Way{wayBy(1, 0, 1), wayBy(2, 1, 1)}
	for i, ways := range [][]Way{two, two, two[:1]} {
		facts.Ways[spec.Services[0].Backends[i].Address] = ways
	}
	table := commit(t, NewCompiler(NewLoads()), &spec, &facts)
	next := func(service, backend int) uint64 {
		return table.Backends[table.Services[service].Backends[backend]].Next
	}
	if !Spreads(next(0, 0)) || next(0, 0) != next(0, 1) || len(table.spreads.list) != 1 {
		t.Errorf("the same ways are %x and %x, of %d", next(0, 0), next(0, 1), len(table.spreads.list))
	}
	if Spreads(next(0, 2)) || Spreads(next(1, 0)) {
		t.Errorf("one way is %x, that of dsr %x", next(0, 2), next(1, 0))
	}
}
