package engine

import (
	"net/netip"
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// Of several ways to a backend each flow keeps one, and all are used; replies go back to the
// client whatever way they come.
func TestSeveralWays(t *testing.T) {
	for vip, client := range map[string]string{vip4: client4, vip6: client6} {
		s := service("web", vip, balancer.NAT, 1)
		h := newHarness(t, 1, s)
		a := s.Backends[0].Address
		h.facts.NextHops[a] = balancer.NextHop{MAC: packet.MAC{2, 0, 0, 0, 7, 0}}
		var ways []balancer.Way
		for i := range byte(3) {
			ways = append(ways, balancer.Way{Weight: 1, NextHop: balancer.NextHop{
				MAC: packet.MAC{2, 0, 0, 0, 7, i}, Source: packet.MAC{2, 0, 0, 0, 8, i}, Link: balancer.Link{MTU: 1300 + 100*uint16(i)},
			}})
			if i == 2 {
				ways[i].Link.Tags = tagsOf([]uint16{7})
			}
		}
		h.facts.Ways = map[netip.Addr][]balancer.Way{a: ways}
		h.apply()
		by := map[packet.MAC]int{}
		for n := range uint16(40) {
			in := packettest.TCP(client, vip, packet.TCPSyn)
			in.Src = netipPort(in.Src, 2000+n)
			first := h.one(0, in)
			i := first.DstMAC[5]
			by[first.DstMAC]++
			if want := ways[i]; first.SrcMAC != want.Source || first.DstMAC != want.MAC || (len(first.VLANs) == 1) != (i == 2) {
				t.Fatalf("flow %d goes to %v from %v with %v", n, first.DstMAC, first.SrcMAC, first.VLANs)
			}
			reply := first
			reply.Src, reply.Dst, reply.Flags = first.Dst, first.Src, packet.TCPSyn|packet.TCPAck
			reply.SrcMAC, reply.DstMAC, reply.VLANs = ways[(i+1)%3].MAC, first.SrcMAC, nil
			if back := h.one(0, reply); back.DstMAC != in.SrcMAC {
				t.Errorf("a reply goes to %v", back.DstMAC)
			}
			in.Flags = packet.TCPAck
			if next := h.one(0, in); next.DstMAC != first.DstMAC || next.SrcMAC != first.SrcMAC {
				t.Errorf("flow %d goes to %v, and then to %v", n, first.DstMAC, next.DstMAC)
			}
		}
		if len(by) != 3 {
			t.Errorf("flows go by %v, want all ways", by)
		}
	}
}
