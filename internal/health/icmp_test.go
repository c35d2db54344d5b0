package health

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"syscall"
	"testing"

	"github.com/afxlb/afxlb/balancer"
)

// Echoes of both families come; who is not there, or beyond no router, does not.
func TestICMP(t *testing.T) {
	asker := newWire(t)
	p := newIn(asker)
	for _, test := range []struct {
		address string
		want    error
		local   bool
	}{
		{routerAddr, nil, false}, {routerAddr6, nil, false}, {askerAddr, nil, false},
		{"10.0.0.9", syscall.EHOSTUNREACH, false}, {"fd00::9", syscall.EHOSTUNREACH, false},
		{"10.2.1.1", syscall.EHOSTUNREACH, false}, {"fd02:0:0:2::1", syscall.EACCES, false},
		{"10.9.0.1", syscall.ENETUNREACH, true}, {"fd09::1", syscall.ENETUNREACH, true},
	} {
		a := netip.AddrPortFrom(netip.MustParseAddr(test.address), 80)
		r, c := p.probe(t.Context(), TargetOf(a, &balancer.HealthSpec{Type: balancer.HealthICMP, Timeout: patient}))
		if !errors.Is(r.Err, test.want) || r.Local != test.local || c != nil {
			t.Errorf("%s: %v, local %v; want %v, local %v", test.address, r.Err, r.Local, test.want, test.local)
		}
	}
}

// Echoes of anybody else's, as many as there may be, keep nobody from hearing its own.
func TestStrayEchoes(t *testing.T) {
	asker := newWire(t)
	p := newIn(asker)
	for _, test := range []struct{ network, address string }{{"ip4:icmp", askerAddr}, {"ip6:ipv6-icmp", "::1"}} {
		target := Target{Type: balancer.HealthICMP, Address: netip.AddrPortFrom(netip.MustParseAddr(test.address), 0), Timeout: patient}
		ctx, cancel := context.WithTimeout(t.Context(), patient)
		defer cancel()
		conn, err := p.dial(ctx, &target)
		must(t, err)
		defer conn.Close()
		d := newEcho(&target)
		must(t, d.keepStraysOut(conn))
		forger, err := asker.ListenPacket(test.network, test.address)
		must(t, err)
		defer forger.Close()
		for range 2 * maxStray {
			stray := newEcho(&target).request
			if stray[0] = echoReply6; target.Address.Addr().Is4() {
				stray[0] = echoReply4
				stray[2], stray[3] = 0, 0
				c := ^sum(0, stray)
				stray[2], stray[3] = byte(c>>8), byte(c)
			}
			_, err := forger.WriteTo(stray, conn.RemoteAddr())
			must(t, err)
		}
		if err := d.with(ctx, conn); err != nil {
			t.Errorf("%s: %v", test.address, err)
		}
	}
}

// Only its own echo is one.
func TestEchoIsKnown(t *testing.T) {
	for _, a := range []string{"192.0.2.1:0", "[2001:db8::1]:0"} {
		target := Target{Address: netip.MustParseAddrPort(a)}
		d, other := newEcho(&target), newEcho(&target)
		reply := bytes.Clone(d.request)
		var header []byte
		if reply[0] = echoReply6; target.Address.Addr().Is4() {
			reply[0] = echoReply4
			header = append([]byte{0x46}, make([]byte, 23)...) // with an option
		}
		whole := append(header, reply...)
		if stray, err := d.judge(whole); stray || err != nil {
			t.Errorf("%s: the echo is none: %v", a, err)
		}
		if stray, _ := other.judge(whole); !stray {
			t.Errorf("%s: another's echo is one", a)
		}
		for n := range whole {
			if stray, _ := d.judge(whole[:n]); !stray {
				t.Errorf("%s: %d bytes of it are enough", a, n)
			}
		}
		if stray, _ := d.judge(append(header, d.request...)); !stray {
			t.Errorf("%s: the request is its own echo", a)
		}
	}
}
