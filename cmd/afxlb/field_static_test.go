package main

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
)

// A backend that answers no ARP and no neighbour discovery is reached by the MAC address that
// the config has for it, and by none when the config has it no more.
func TestFieldStaticNeighbour(t *testing.T) {
	w := newWorld(t)
	silent := map[netip.Addr]netip.Addr{natVIP4: netip.MustParseAddr("10.0.0.99"), natVIP6: netip.MustParseAddr("2001:db8:10::99")}
	host := w.lab.Backends[1]
	// What is on lo is nobody's to ask for: IPv6 has it so without being told.
	if err := errors.Join(
		host.AddAddrs("lo", netip.PrefixFrom(silent[natVIP4], 32), netip.PrefixFrom(silent[natVIP6], 128)),
		host.Sysctl("net/ipv4/conf/all/arp_ignore", "1"),
	); err != nil {
		t.Fatal(err)
	}
	var services []string
	neighbours := "neighbours:\n"
	for _, vip := range []netip.Addr{natVIP4, natVIP6} {
		services = append(services, entry(fmt.Sprint("web", vip.BitLen()), vip, port, "health: {type: none},",
			fmt.Sprintf("{name: b0, address: %q}", backendAddr(0, vip)), fmt.Sprintf("{name: silent, address: %q}", silent[vip])))
		neighbours += fmt.Sprintf("  %q: %s\n", silent[vip], w.interfaceOf(host).HardwareAddr)
	}
	p := w.serve(w.writeConfig("afxlb.yaml", append(services, neighbours)...))
	for _, vip := range []netip.Addr{natVIP4, natVIP6} {
		if by := w.mustAnswer(10, vip); by["b0"] != 5 || by["b1"] != 5 {
			t.Errorf("%v: answered by %v", vip, by)
		}
	}
	w.writeConfig("afxlb.yaml", services...)
	p.reload()
	for _, service := range []string{"web32", "web128"} {
		p.awaitState(service, "silent", "unreachable")
	}
	for _, vip := range []netip.Addr{natVIP4, natVIP6} {
		if by := w.mustAnswer(4, vip); by["b0"] != 4 {
			t.Errorf("%v: without its MAC address, answered by %v", vip, by)
		}
	}
	p.stop()
}
