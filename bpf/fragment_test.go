package bpf

import (
	"net/netip"
	"testing"
)

// Of what a nat backend sends in fragments the first one tells whether it is a reply. The
// others go the same way; and what comes before the first one is ours, to be held.
func TestFragmentsOfBackends(t *testing.T) {
	for _, f := range []struct{ backend, client, inside, vip string }{
		{backend4, client4, inside4, vip4}, {backend6, client6, inside6, vip6},
	} {
		s := Steering{
			Services: []Service{{ip(f.vip), UDP, 53, 53}},
			Replies:  []Endpoint{{ip(f.backend), UDP, 53, 53}},
			Local:    []netip.Addr{ip(f.inside)},
		}
		p := loadWithSocket(t, s)
		var memory memory
		judged := func(what string, packet []byte, id uint16, want Reason) {
			t.Helper()
			number(packet, id)
			if got := judge(t, p, frame(packet)); got != want {
				t.Errorf("%s from %s: %s, want %s", what, f.backend, got, want)
			}
			if got := memory.judge(s, frame(packet)); got != want {
				t.Errorf("%s from %s: the oracle says %s, want %s", what, f.backend, got, want)
			}
		}
		reply, own := udp(f.backend, f.client, 53, 40000), udp(f.backend, f.client, 2049, 40000)
		for range 2 { // as identifications come round
			judged("a first fragment of another server", fragment(own, 0, 16), 1, Passed)
			judged("a later one of it", fragment(own, 16, 24), 1, Passed)
			judged("a later one of another packet", fragment(own, 16, 24), 2, SteeredFragment)
			judged("a first fragment of a reply", fragment(reply, 0, 16), 1, SteeredFragment)
			judged("a later one of it", fragment(reply, 16, 24), 1, SteeredFragment)
			judged("the last one of it", fragment(reply, 24, 32), 1, SteeredFragment)
		}
		judged("segments", fragment(tcp(f.backend, f.client, 53, 40000), 16, 25), 3, Passed)
		judged("a later one to this machine", fragment(udp(f.backend, f.inside, 53, 40000), 16, 24), 4, Passed)
		judged("a later one to a service", fragment(udp(f.backend, f.vip, 53, 53), 16, 24), 5, SteeredFragment)
	}
}
