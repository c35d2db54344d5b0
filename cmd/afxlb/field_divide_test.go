package main

import (
	"errors"
	"net/netip"
	"strings"
	"syscall"
	"testing"
)

// mustAskBig asks a service by datagrams of some sizes, which fill the client's link in fragments,
// from one port, and which routers may fragment; one backend must answer all of them. By
// IPv6 the sender has to be told once what the way takes, and what it sends before is lost.
func (w *world) mustAskBig(vip netip.Addr) {
	w.t.Helper()
	if err := w.lab.Clients[0].Sysctl("net/ipv4/ip_no_pmtu_disc", "1"); err != nil {
		w.t.Fatal(err)
	}
	c, err := w.lab.Clients[0].Dial(w.t.Context(), "udp", netip.AddrPortFrom(vip, port).String())
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	if vip.Is6() {
		if _, err := question(c, strings.Repeat("x", 4000)); err != nil && !errors.Is(err, syscall.EMSGSIZE) {
			w.t.Fatalf("%v: a datagram that is too big: %v", vip, err)
		}
	}
	first := ""
	for _, size := range []int{1472, 4000, 8000} {
		who, err := question(c, strings.Repeat("x", size))
		if err != nil {
			w.t.Fatalf("%v, %d bytes: %v", vip, size, err)
		}
		if first != "" && first != who {
			w.t.Errorf("%v: %s answers, and then %s", vip, first, who)
		}
		first = who
	}
}

// Datagrams that fill the clients' link go to backends whose link takes less.
func TestFieldFragmentsForANarrowerLink(t *testing.T) {
	w := newWorldOf(t, queues)
	w.forward(w.lab.Balancer) // dsr's answers are the kernel's to route
	w.listenDatagrams()
	w.narrow(1300)
	p := w.serve(w.writePorts(datagramServices()...))
	for _, vip := range []netip.Addr{natVIP4, natVIP6, dsrVIP4, dsrVIP6} {
		for range 3 {
			w.mustAskBig(vip)
		}
	}
	p.checkSums()
	const told = 2 // the others of a datagram of three fragments, to each service of IPv6
	if n := p.lostFragments() + p.counter("packets", "too-big"); n != 2*told {
		t.Errorf("%d packets were dropped, want %d", n, 2*told)
	}
	p.stop()
}

// The same with tunnels, into which no fragment fits that fills the clients' link.
func TestFieldFragmentsInTunnels(t *testing.T) {
	w := newWorld(t)
	list := tunnels()
	w.decapsulate(list)
	var config []string
	for _, s := range list {
		config = append(config, s.entry("udp", "health: {type: none},"))
	}
	p := w.serve(w.writeConfig("afxlb.yaml", config...))
	for _, s := range list {
		w.mustAskBig(s.vip)
	}
	p.checkSums()
	if n := p.counter("packets", "too-big"); n != 0 {
		t.Errorf("%d packets were dropped as too big", n)
	}
	p.stop()
}
