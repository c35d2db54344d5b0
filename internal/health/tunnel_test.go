package health

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/packet"
)

// inTunnel is the question for a service's address through a tunnel, with each family inside and
// outside.
func inTunnel(e packet.Encapsulation, inner4, outer4 bool, port uint16, timeout time.Duration) Target {
	t := held(inner4, port, timeout)
	t.Holder = held(outer4, port, timeout).Holder
	t.Tunnel = packet.TunnelConfig{Encapsulation: e, Destination: t.Holder, Inner6: !inner4, Port: lab.GUEPort}
	return t
}

// eachTunnel calls f with every kind of tunnel, and the own address that it comes from.
func eachTunnel(f func(name string, e packet.Encapsulation, inner4, outer4 bool, own netip.Addr)) {
	for e := packet.EncapIP; e <= packet.EncapGRE; e++ {
		for _, inner4 := range []bool{true, false} {
			for _, outer4 := range []bool{true, false} {
				own := netip.MustParseAddr(askerAddr6)
				if outer4 {
					own = netip.MustParseAddr(askerAddr)
				}
				f(fmt.Sprintf("encapsulation %d, IPv4 inside %t, outside %t", e, inner4, outer4), e, inner4, outer4, own)
			}
		}
	}
}

// Who takes packets out of a tunnel and holds the service's address answers; who lacks the one
// or the other does not.
func TestProbeThroughATunnel(t *testing.T) {
	p := newPair(t)
	p.hold(p.holder)
	eachTunnel(func(name string, e packet.Encapsulation, inner4, outer4 bool, own netip.Addr) {
		p.hop.Own = own
		r := p.ask(inTunnel(e, inner4, outer4, servicePort, hasty))
		if r.Err == nil || !strings.Contains(r.Err.Error(), "take packets out of tunnels") || r.Local {
			t.Errorf("%s, with nobody at its end: %v", name, r.Err)
		}
	})
	must(t, p.holder.Decapsulate())
	eachTunnel(func(name string, e packet.Encapsulation, inner4, outer4 bool, own netip.Addr) {
		p.hop.Own = own
		if r := p.ask(inTunnel(e, inner4, outer4, servicePort, patient)); r.Err != nil {
			t.Errorf("%s: %v", name, r.Err)
		}
		if r := p.ask(inTunnel(e, inner4, outer4, closedPort, patient)); !errors.Is(r.Err, syscall.ECONNREFUSED) {
			t.Errorf("%s, nobody listens: %v", name, r.Err)
		}
	})
	must(t, p.holder.DelAddrs("lo", netip.PrefixFrom(service4, 32), netip.PrefixFrom(service6, 128)))
	eachTunnel(func(name string, e packet.Encapsulation, inner4, outer4 bool, own netip.Addr) {
		p.hop.Own = own
		r := p.ask(inTunnel(e, inner4, outer4, servicePort, hasty))
		if r.Err == nil || !strings.Contains(r.Err.Error(), " have ") || r.Local {
			t.Errorf("%s, without the address: %v", name, r.Err)
		}
	})
	p.awaitNoRequest()
	if n := p.accepted.Load(); n != 0 {
		t.Errorf("the server has seen %d connections", n)
	}
}

// Without an address to send from the balancer itself can't ask.
func TestProbeThroughATunnelWithoutASource(t *testing.T) {
	p := newPair(t)
	if r := p.ask(inTunnel(packet.EncapIP, true, true, servicePort, hasty)); !r.Local {
		t.Errorf("no own address: %v", r.Err)
	}
	target := inTunnel(packet.EncapIP, true, true, servicePort, patient)
	target.Tunnel.Source = netip.MustParsePrefix("10.0.0.128/25") // which is enough, and answered
	p.hold(p.holder)
	must(t, p.holder.Decapsulate())
	if r := p.ask(target); r.Err != nil {
		t.Errorf("from the user's network: %v", r.Err)
	}
}

// A probe that comes back from a backend without the address is on its last hop.
func TestEnclosedProbeHasFewHops(t *testing.T) {
	s := segment{from: netip.MustParseAddrPort("10.0.0.1:1"), to: netip.MustParseAddrPort("192.0.2.10:80"), flags: flagSYN}
	own := netip.MustParseAddr("10.0.0.1")
	b, _, err := enclose(&s, nil, own, packet.TunnelConfig{Destination: netip.MustParseAddr("10.0.0.11")})
	if err != nil || b[8] != 64 || b[20+8] != 2 {
		t.Errorf("TTL %d outside and %d inside: %v", b[8], b[20+8], err)
	}
}

func TestTunnelOf(t *testing.T) {
	addr := netip.MustParseAddr
	s := balancer.ServiceSpec{
		Address: addr("192.0.2.10"), First: 80, Last: 80, Protocol: balancer.TCP, Mode: balancer.IPIP,
		Health: balancer.HealthSpec{Type: balancer.HealthTCP, Interval: time.Second, Timeout: time.Second, ViaTunnel: true},
	}
	b := balancer.BackendSpec{Address: addr("10.0.0.11")}
	want := Target{
		Address: netip.MustParseAddrPort("192.0.2.10:80"), Type: balancer.HealthTCP, Interval: time.Second, Fast: time.Second, Timeout: time.Second,
		Holder: b.Address, Tunnel: packet.TunnelConfig{Destination: b.Address},
	}
	if got, ok := TunnelOf(&s, &b); !ok || got != want {
		t.Errorf("%+v, %t", got, ok)
	}
	s.Health.Port, want.Address = 81, netip.MustParseAddrPort("192.0.2.10:81")
	if got, ok := TunnelOf(&s, &b); !ok || got != want {
		t.Errorf("another port: %+v, %t", got, ok)
	}
	s.Health.ViaTunnel = false
	if got, ok := TunnelOf(&s, &b); ok {
		t.Errorf("direct: %+v", got)
	}
	s.Health.ViaTunnel, s.Mode = true, balancer.DSR
	if got, ok := TunnelOf(&s, &b); ok {
		t.Errorf("without a tunnel: %+v", got)
	}
}
