package main

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/afxlb/afxlb/internal/lab"
)

// C06: a service of a range of ports leaves alone what its backends do beside it, as
// servers on other ports and as clients. The balancer is their router.
func TestFieldRangeLeavesItsBackendsAlone(t *testing.T) {
	w := newWorld(t)
	w.forward(w.lab.Balancer)
	client := w.lab.Clients[0]
	for i, h := range w.lab.Backends {
		// All are on one link, and the balancer's kernel tells them so.
		for _, setting := range []string{"net/ipv4/conf/eth0/accept_redirects", "net/ipv6/conf/eth0/accept_redirects"} {
			if err := h.Sysctl(setting, "0"); err != nil {
				t.Fatal(err)
			}
		}
		for _, at := range []int{22, 30050} {
			if _, err := h.HTTPServer(fmt.Sprint(":", at), fmt.Sprint("b", i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.UDPEcho(":30050", fmt.Sprint("b", i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.HTTPServer(":443", "outside"); err != nil {
		t.Fatal(err)
	}
	if err := client.UDPEcho(":53", "dns"); err != nil {
		t.Fatal(err)
	}
	const check, none = "health: {type: tcp, port: 22, " + quickly + "},", "health: {type: none},"
	for _, ports := range []string{"30000-30100", "any"} {
		p := w.serve(w.writeConfig("afxlb.yaml", portsService("tcp4", natVIP4, "tcp", ports, check), portsService("tcp6", natVIP6, "tcp", ports, check),
			portsService("udp4", natVIP4, "udp", ports, none), portsService("udp6", natVIP6, "udp", ports, none)))
		for _, c := range []struct {
			from    *lab.Host
			network string
			to      netip.AddrPort
			name    string // of who answers; any if empty
		}{
			{w.lab.Backends[0], "tcp", netip.AddrPortFrom(lab.ClientAddr(0), 443), "outside"},
			{w.lab.Backends[0], "tcp", netip.AddrPortFrom(lab.ClientAddr6(0), 443), "outside"},
			{w.lab.Backends[0], "udp", netip.AddrPortFrom(lab.ClientAddr(0), 53), "dns"},
			{w.lab.Backends[0], "udp", netip.AddrPortFrom(lab.ClientAddr6(0), 53), "dns"},
			{client, "tcp", netip.AddrPortFrom(lab.BackendAddr(0), 22), "b0"},
			{client, "tcp", netip.AddrPortFrom(lab.BackendAddr6(0), 22), "b0"},
			{client, "tcp", netip.AddrPortFrom(natVIP4, 30050), ""},
			{client, "tcp", netip.AddrPortFrom(natVIP6, 30050), ""},
			{client, "udp", netip.AddrPortFrom(natVIP4, 30050), ""},
			{client, "udp", netip.AddrPortFrom(natVIP6, 30050), ""},
		} {
			for range 3 {
				if name, err := w.askOnce(c.from, c.network, c.to); err != nil || c.name != "" && name != c.name {
					t.Errorf("%s: %s asks %s by %s: %q, %v; want %s", ports, c.from.Name, c.to, c.network, name, err, c.name)
				}
			}
		}
		if n := p.counter("packets", "punted"); ports != "any" && n != 0 {
			t.Errorf("%s: %d packets were taken and given back", ports, n)
		}
		p.stop()
	}
}
