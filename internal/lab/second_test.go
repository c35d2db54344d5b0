package lab

import (
	"net/netip"
	"slices"
	"testing"
)

// The second balancer is reached by all; and where the switch floods, it sees what is
// for others.
func TestSecondAndFlood(t *testing.T) {
	l := newLab(t, Options{})
	if err := l.AddSecond(2); err != nil {
		t.Fatal(err)
	}
	for _, h := range []*Host{l.Second, l.Balancer} {
		if err := h.UDPEcho(":7", h.Name); err != nil {
			t.Fatal(err)
		}
	}
	for _, net := range []netip.Prefix{clients4, clients6} {
		ask(t, l.Clients[0], netip.AddrPortFrom(nth(net, second), 7), "1", "second 1")
	}
	own, other := hardwareAddr(t, l.Second), hardwareAddr(t, l.Balancer)
	tap := newTap(t, l.Second)
	foreign := func() int {
		n := 0
		for range 10 {
			ask(t, l.Clients[0], netip.AddrPortFrom(BalancerAddr(), 7), "2", "balancer 2")
		}
		for _, f := range tap.received(t) {
			if slices.Equal(f[:6], other) {
				n++
			}
		}
		return n
	}
	foreign() // until the switch has learnt
	if n := foreign(); n > 0 {
		t.Errorf("a switch that has learnt shows %d frames of others", n)
	}
	if err := l.Flood(); err != nil {
		t.Fatal(err)
	}
	if n := foreign(); n < 10 {
		t.Errorf("%s sees %d frames for %s", own, n, other)
	}
}
