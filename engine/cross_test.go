package engine

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// tagsOf returns VLANs as packettest writes them: 802.1ad outside of 802.1Q.
func tagsOf(vlans []uint16) (t packet.Tags) {
	for i, vlan := range vlans {
		t[i] = packet.NewTag(vlan)
		if i < len(vlans)-1 {
			t[i] = 0x88a8<<16 | packet.Tag(vlan)
		}
	}
	return t
}

// Whatever tags a client's packets have and whatever those of its backend's link are:
// requests leave with the backend's, and replies with the client's.
func TestTagsAcross(t *testing.T) {
	vlans := [][]uint16{nil, {7}, {4095}, {100, 7}}
	for _, mode := range []balancer.Mode{balancer.NAT, balancer.DSR} {
		for name, ends := range map[string][2]string{"ipv4": {client4, vip4}, "ipv6": {client6, vip6}} {
			for _, from := range vlans {
				for _, to := range vlans {
					t.Run(fmt.Sprint(mode, name, from, to), func(t *testing.T) {
						s := service("web", ends[1], mode, 1)
						h := newHarness(t, 1, s)
						a := s.Backends[0].Address
						source := packet.MAC{2, 0, 0, 0, 9, 8}
						h.facts.NextHops[a] = balancer.NextHop{MAC: backendMAC(a), OnLink: true, Source: source, Link: balancer.Link{Tags: tagsOf(to)}}
						h.apply()
						in := packettest.TCP(ends[0], ends[1], packet.TCPSyn)
						in.VLANs = from
						for n := range 3 {
							in.Flags = packet.TCPAck
							if n == 0 {
								in.Flags = packet.TCPSyn
							}
							want := in
							want.VLANs, want.TTL, want.SrcMAC, want.DstMAC = to, in.TTL-1, source, backendMAC(a)
							if mode == balancer.NAT {
								want.Dst = netip.AddrPortFrom(a, 8080)
							}
							if d := packettest.Diff(h.one(0, in), want); d != "" {
								t.Errorf("request %d: %s", n, d)
							}
							if mode == balancer.DSR {
								continue
							}
							reply := want
							reply.Src, reply.Dst, reply.SrcMAC, reply.DstMAC = want.Dst, in.Src, backendMAC(a), source
							want = reply
							want.Src, want.VLANs, want.TTL, want.SrcMAC, want.DstMAC = in.Dst, from, reply.TTL-1, gatewayMAC, in.SrcMAC
							if d := packettest.Diff(h.one(0, reply), want); d != "" {
								t.Errorf("reply %d: %s", n, d)
							}
						}
					})
				}
			}
		}
	}
}

// A packet that the way to its backend does not take is fragmented for it.
func TestLinkWithASmallerMTU(t *testing.T) {
	for _, mode := range []balancer.Mode{balancer.NAT, balancer.DSR} {
		s := service("web", vip4, mode, 1)
		h := newHarness(t, 1, s)
		h.facts.NextHops[s.Backends[0].Address] = balancer.NextHop{
			MAC: backendMAC(s.Backends[0].Address), OnLink: true, Link: balancer.Link{MTU: 1300},
		}
		h.apply()
		h.one(0, packettest.TCP(client4, vip4, packet.TCPSyn))
		in := packettest.TCP(client4, vip4, packet.TCPAck)
		in.Payload = make([]byte, 1300-40)
		h.one(0, in)
		in.Payload = make([]byte, 1300-40+1)
		if out := h.pass(0, in); len(out) != 2 || len(out[0]) > 14+1300 {
			t.Errorf("it leaves as %d frames", len(out))
		}
	}
}

// Strangers who make up VLANs fill no list without end; who comes by one that is known
// already, or that the machine has, is served all the same.
func TestMadeUpVLANs(t *testing.T) {
	s := service("web", vip4, balancer.NAT, 1)
	h := newSizedHarness(t, 1, 20_000, 64, s)
	in := packettest.TCP(client4, vip4, packet.TCPSyn)
	served := 0
	for n := range 5000 {
		in.Src = netip.AddrPortFrom(in.Src.Addr(), uint16(1024+n))
		in.VLANs = []uint16{uint16(n % 4096), uint16(n / 4096)}
		served += len(h.pass(0, in))
	}
	if n := h.verdicts(0)["vlan"]; served == 0 || n == 0 || served+int(n) != 5000 {
		t.Errorf("%d were served and %d dropped", served, n)
	}
	in.VLANs = []uint16{0, 0}
	h.one(0, in)
	h.facts.NextHops[s.Backends[0].Address] = balancer.NextHop{
		MAC: backendMAC(s.Backends[0].Address), OnLink: true, Link: balancer.Link{Tags: tagsOf([]uint16{300, 301})},
	}
	h.apply()
	if out := h.one(0, in); len(out.VLANs) != 2 {
		t.Errorf("on a link that the machine has it leaves with %v", out.VLANs)
	}
}
