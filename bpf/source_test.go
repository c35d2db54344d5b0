package bpf

import (
	"net/netip"
	"testing"
)

// TestSources: what backends answer to an address of the machine's own, from which full NAT
// speaks, is the balancer's; but what is to the machine's own sockets, or no answer, is not.
func TestSources(t *testing.T) {
	for _, f := range []struct{ own, source, elsewhere, backend, client, router string }{
		{own4, inside4, any4, backend4, client4, other4}, {own6, inside6, any6, backend6, client6, other6},
	} {
		own, source := ip(f.own), ip(f.source)
		s := Steering{
			Local: []netip.Addr{own, source}, Ephemeral: Ports{32768, 60999},
			Replies: []Endpoint{{ip(f.backend), TCP, 8080, 8080}, {ip(f.backend), UDP, 8080, 8080}},
			Sources: []Source{{source, 1024, 40000}, {source, 39000, 50000}, {ip(f.elsewhere), 1024, 65535}},
		}
		p := loadWithSocket(t, s)
		addLoopback(t, own, source, ip(f.backend))
		at := netip.AddrPortFrom
		backend := at(ip(f.backend), 8080)
		var sockets []ownSocket
		for _, protocol := range []int{TCP, UDP} {
			sockets = append(sockets,
				ownSocket{protocol, at(source, 33000), backend}, ownSocket{protocol, at(source, 33001), netip.AddrPort{}},
				ownSocket{protocol, at(source, 2000), backend}) // of what the kernel does not give away nobody is asked
		}
		for _, o := range sockets {
			openOwn(t, o)
		}
		unreachable := uint8(3)
		if source.Is6() {
			unreachable = 1
		}
		for _, c := range []struct {
			name     string
			to       netip.AddrPort
			tcp, udp Reason
		}{
			{"first port", at(source, 1024), SteeredReply, SteeredReply},
			{"below", at(source, 1023), Passed, Passed},
			{"last port", at(source, 50000), SteeredReply, SteeredReply},
			{"above", at(source, 50001), Passed, Passed},
			{"what the kernel gives away, nobody's", at(source, 33003), SteeredReply, SteeredReply},
			{"what the kernel gives away, connected", at(source, 33000), Passed, Passed},
			{"what the kernel gives away, bound", at(source, 33001), SteeredReply, Passed},
			{"connected elsewhere", at(source, 2000), SteeredReply, SteeredReply},
			{"another own address: a probe's", at(own, 2000), Passed, Passed},
			{"an address that is not the machine's", at(ip(f.elsewhere), 80), SteeredReply, SteeredReply},
		} {
			to := c.to.Addr().String()
			check := func(what string, packet []byte, want Reason) {
				t.Helper()
				if got := judge(t, p, frame(packet)); got != want {
					t.Errorf("%s, %s to %s: %s, want %s", c.name, what, c.to, got, want)
				}
				if got := oracle(s, frame(packet), sockets...); got != want {
					t.Errorf("%s, %s to %s: the oracle says %s, want %s", c.name, what, c.to, got, want)
				}
			}
			check("tcp", tcp(f.backend, to, 8080, c.to.Port()), c.tcp)
			check("udp", udp(f.backend, to, 8080, c.to.Port()), c.udp)
			check("from another port", tcp(f.backend, to, 8081, c.to.Port()), Passed)
			check("from a client", tcp(f.client, to, 8080, c.to.Port()), Passed)
			inError := map[Reason]Reason{SteeredReply: SteeredICMP, Passed: Passed}
			check("error about tcp", quoting(f.router, to, unreachable, tcp(to, f.backend, c.to.Port(), 8080), 8), inError[c.tcp])
			check("error about udp", quoting(f.router, to, unreachable, udp(to, f.backend, c.to.Port(), 8080), 8), inError[c.udp])
			check("error about what is to nobody", quoting(f.router, to, unreachable, tcp(to, f.client, c.to.Port(), 8080), 8), Passed)
		}
	}
}
