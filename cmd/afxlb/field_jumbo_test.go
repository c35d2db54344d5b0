package main

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

const jumbo = 9000

// jumboServices are streams and datagrams in each mode; of the services with full NAT some have
// backends of the other family.
func jumboServices() (config []string, streams, datagrams []netip.Addr) {
	const none = "health: {type: none},"
	mixed4, mixed6 := netip.MustParseAddr("192.0.2.42"), netip.MustParseAddr("2001:db8:2::42")
	for _, vip := range []netip.Addr{natVIP4, natVIP6, dsrVIP4, dsrVIP6, fullVIP4, fullVIP6, mixed4, mixed6} {
		keys := "mode: nat, "
		switch vip {
		case dsrVIP4, dsrVIP6:
			keys = "mode: dsr, "
		case fullVIP4, fullVIP6:
			keys = snatKeys(ownSource(vip))
		case mixed4:
			config = append(config, mixed("mixed4", vip, streamPort, none), mixed("mixed4u", vip, port, "protocol: udp, "+none))
		case mixed6:
			config = append(config, mixed("mixed6", vip, streamPort, none), mixed("mixed6u", vip, port, "protocol: udp, "+none))
		}
		if vip != mixed4 && vip != mixed6 {
			name := fmt.Sprint("s", len(config))
			config = append(config, entry(name, vip, streamPort, keys+none, backendsOf(vip)...), entry(name+"u", vip, port, keys+"protocol: udp, "+none, backendsOf(vip)...))
		}
		streams, datagrams = append(streams, vip), append(datagrams, vip)
	}
	return config, streams, datagrams
}

// C20: packets of an MTU of 9000 go through in each mode: connections with segments that are as
// large, one datagram in one packet, pings; and on the way into a tunnel, or to the other
// family, the sender is told what fits.
func TestFieldJumboFrames(t *testing.T) {
	for name, keys := range map[string]string{"native": "", "generic": "xdp-mode: generic\n", "small frames": "frame-size: 2048\n"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.setMTUs(jumbo)
			w.addSources(more4, more6)
			w.listenStreams()
			w.listenDatagrams()
			config, streams, datagrams := jumboServices()
			p := w.serve(w.writeConfig("afxlb.yaml", append(config, keys)...))
			if s := p.status(); s.State != "serving" || warned(s, "mtu") != "" {
				t.Errorf("%s, %v", s.State, s.Warnings)
			}
			// These come first: nothing that a connection leaves behind is counted with them.
			for _, vip := range datagrams {
				in, out := uint64(2), uint64(2) // the question and its answer, each in one packet
				if vip == dsrVIP4 || vip == dsrVIP6 {
					in, out = 1, 1
				}
				before := p.tally()
				if _, err := w.askUnconnected(w.lab.Clients[0], clientAddr(vip), netip.AddrPortFrom(vip, port), 8900); err != nil {
					t.Errorf("%v: a datagram: %v", vip, err)
				}
				p.await(fmt.Sprintf("count %d packets for %v, and %d sent on", in, vip, out), func(api.Status) bool {
					after := p.tally()
					return after.received-before.received == in && after.forwarded-before.forwarded == out
				})
			}
			for _, vip := range streams {
				before := p.tally().received
				if err := w.transferFrom(w.lab.Clients[0], netip.AddrPortFrom(vip, streamPort), patience); err != nil {
					t.Errorf("%v: %v", vip, err)
				}
				const segments = 2 << 20 / 1460
				if n := p.tally().received - before; n > segments {
					t.Errorf("%v: a megabyte there and back has come in %d packets", vip, n)
				}
			}
			for _, vip := range streams {
				w.mustEcho(vip, 8960)
				w.mustEcho(vip, 30000) // in fragments
			}
			p.checkSums()
			for _, lost := range []string{"rx-dropped", "rx-pieces", "tx-invalid", "tx-dropped"} {
				if n := p.counter("kernel", lost); n != 0 {
					t.Errorf("%s: %d", lost, n)
				}
			}
			p.stop()
		})
	}
}

// Into a tunnel goes what it leaves of the link, and the client learns that; fragments that
// fill the client's link are cut once more.
func TestFieldJumboFramesInTunnels(t *testing.T) {
	w := newWorld(t)
	w.setMTUs(jumbo)
	list := tunnels()
	w.decapsulate(list)
	w.listenStreams()
	var config []string
	for _, s := range list {
		config = append(config, s.entry("udp", "health: {type: none},"),
			entry(s.name, s.vip, streamPort, s.keys+", health: {type: none},", s.backends()...))
	}
	p := w.serve(w.writeConfig("afxlb.yaml", config...))
	for _, s := range list {
		replied, received := p.counter("packets", "replied"), p.tally().received
		if err := w.transferFrom(w.lab.Clients[0], netip.AddrPortFrom(s.vip, streamPort), patience); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
		p.await("tell what fits into "+s.name, func(api.Status) bool { return p.counter("packets", "replied") > replied })
		if n := p.tally().received - received; n > 1<<20/1460 {
			t.Errorf("%s: a megabyte has come in %d packets", s.name, n)
		}
	}
	for _, s := range list {
		w.mustAskBig(s.vip)
	}
	p.checkSums()
	p.stop()
}

// From an interface with large packets to one with an MTU of 1300: what may be fragmented is,
// and for the rest the client is told. Both interfaces share frames.
func TestFieldJumboFramesForANarrowerLink(t *testing.T) {
	w := newWorldOf(t, queues)
	w.forward(w.lab.Balancer) // dsr's answers are the kernel's to route
	w.listenDatagrams()
	w.listenStreams()
	w.setOuterMTUs(jumbo)
	w.narrow(1300)
	p := w.serve(w.writePorts(append(datagramServices(), streamService("stream4", natVIP4, "nat", "health: {type: none},"),
		streamService("stream6", natVIP6, "nat", "health: {type: none},"))...))
	for i, port := range p.status().Ports {
		if port.Copied != 0 || port.Apart != "" {
			t.Errorf("port %d: %+v", i, port)
		}
	}
	for _, vip := range []netip.Addr{natVIP4, natVIP6, dsrVIP4, dsrVIP6} {
		w.mustAskBig(vip)
	}
	for _, vip := range []netip.Addr{natVIP4, natVIP6} {
		if err := w.transferFrom(w.lab.Clients[0], netip.AddrPortFrom(vip, streamPort), patience); err != nil {
			t.Errorf("%v: %v", vip, err)
		}
	}
	p.checkSums()
	p.stop()
}

// setOuterMTUs sets the MTU of the clients' and the balancer's cables.
func (w *world) setOuterMTUs(mtu int) {
	w.t.Helper()
	for _, h := range append([]*lab.Host{w.lab.Balancer}, w.lab.Clients...) {
		if err := w.lab.SetMTUs(h, mtu); err != nil {
			w.t.Fatal(err)
		}
	}
}
