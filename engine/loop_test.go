package engine

import (
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// from returns f as it comes from a MAC address.
func from(mac packet.MAC, f packettest.Frame) packettest.Frame {
	f.SrcMAC = mac
	return f
}

// What a backend on the link sends to its own service was there before: no flow is made of
// it, and a known flow's packet does not go back to where it comes from.
func TestDSRLoops(t *testing.T) {
	for _, vip := range []string{vip4, vip6} {
		client := map[string]string{vip4: client4, vip6: client6}[vip]
		s := service("web", vip, balancer.DSR, 2)
		h := newHarness(t, 1, s)
		a, b := backendMAC(s.Backends[0].Address), backendMAC(s.Backends[1].Address)
		for _, mac := range []packet.MAC{a, b} {
			for _, flags := range []uint8{packet.TCPSyn, packet.TCPAck} {
				h.dropped(0, from(mac, packettest.TCP(client, vip, flags)), packet.DropLoop)
			}
		}
		if n := h.engine.flows.Stats().Inserted; n != 0 {
			t.Errorf("loops made %d flows", n)
		}
		out := h.one(0, packettest.TCP(client, vip, packet.TCPSyn))
		h.dropped(0, from(out.DstMAC, packettest.TCP(client, vip, packet.TCPAck)), packet.DropLoop)
		h.one(0, packettest.TCP(client, vip, packet.TCPAck))
		for _, b := range s.Backends { // an MTU of the way changes nothing
			hop := h.facts.NextHops[b.Address]
			hop.Link.MTU = 1400
			h.facts.NextHops[b.Address] = hop
		}
		h.apply()
		for _, mac := range []packet.MAC{a, b} {
			for _, flags := range []uint8{packet.TCPSyn, packet.TCPAck} {
				f := packettest.TCP(client, vip, flags)
				f.Src = netipPort(f.Src, 2000)
				h.dropped(0, from(mac, f), packet.DropLoop)
			}
		}
		h.dropped(0, from(out.DstMAC, packettest.TCP(client, vip, packet.TCPAck)), packet.DropLoop)
	}
}

// Two balancers that are each other's backends: a packet passes each of them once.
func TestTwoBalancersAreEachOthersBackends(t *testing.T) {
	s := service("web", vip4, balancer.DSR, 1)
	first, second := newHarness(t, 1, s), newHarness(t, 1, s)
	peer := backendMAC(s.Backends[0].Address)
	out := first.one(0, packettest.TCP(client4, vip4, packet.TCPSyn))
	second.dropped(0, from(peer, out), packet.DropLoop) // the second one's backend is the first
	if out.TTL != 63 {
		t.Errorf("TTL %d after a hop from 64", out.TTL)
	}
}

// A router may be a backend, too: what it passes on goes to the others.
func TestDSRBackendIsTheRouter(t *testing.T) {
	s := service("web", vip4, balancer.DSR, 2)
	router := backendMAC(s.Backends[0].Address)
	h := newHarness(t, 1, s)
	h.facts.Gateways = []balancer.Station{{MAC: router}}
	h.apply()
	for port := range uint16(4) {
		f := packettest.TCP(client4, vip4, packet.TCPSyn)
		f.Src = netipPort(f.Src, 1000+port)
		if got := target(t, &s, h.one(0, from(router, f))); got != "b" {
			t.Errorf("went to %s, where it came from", got)
		}
	}
	h.spec.Services[0].Backends = h.spec.Services[0].Backends[:1]
	h.apply()
	h.dropped(0, from(router, packettest.TCP(client4, vip4, packet.TCPSyn)), packet.DropLoop)
}

// A nat backend is a client like any other, but for that it is not its own server.
func TestNATBackendIsAClient(t *testing.T) {
	s := service("web", vip4, balancer.NAT, 2)
	h := newHarness(t, 1, s)
	a := backendMAC(s.Backends[0].Address)
	for port := range uint16(4) {
		f := packettest.TCP("10.0.0.11:1000", vip4, packet.TCPSyn)
		f.Src = netipPort(f.Src, 1000+port)
		if got := target(t, &s, h.one(0, from(a, f))); got != "b" {
			t.Errorf("backend a was sent to %s", got)
		}
	}
	h.spec.Services[0].Backends = h.spec.Services[0].Backends[:1]
	h.apply()
	h.dropped(0, from(a, packettest.TCP("10.0.0.11:2000", vip4, packet.TCPSyn)), packet.DropLoop)
	// Clients beyond a router that leads to the backends, too, are nobody's loop.
	h.one(0, from(a, packettest.TCP(client4, vip4, packet.TCPSyn)))
}
