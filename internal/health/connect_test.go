package health

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/testutil"
)

// The wire of these tests: asker (10.0.0.1) ─ router (10.0.0.2), which knows some
// networks as dead ends. The asker, too, has dead ends of its own, and some that lead
// to the router.
const askerAddr, routerAddr, askerAddr6, routerAddr6 = "10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2"

func newWire(t *testing.T) *lab.Host {
	testutil.RequireRoot(t)
	asker, router := newHost(t, "asker"), newHost(t, "router")
	must(t, lab.Connect(asker, "eth0", router, "eth0", 1))
	addAddrs(t, asker, askerAddr+"/24", askerAddr6+"/64")
	addAddrs(t, router, routerAddr+"/24", routerAddr6+"/64")
	for _, s := range [][2]string{{"net/ipv4/ip_forward", "1"}, {"net/ipv6/conf/all/forwarding", "1"},
		{"net/ipv4/icmp_ratelimit", "0"}, {"net/ipv6/icmp/ratelimit", "0"}} {
		must(t, router.Sysctl(s[0], s[1]))
	}
	for _, family := range []string{"ipv4", "ipv6"} { // a neighbour that is not there: 200 ms instead of 3 s
		must(t, asker.Sysctl("net/"+family+"/neigh/eth0/retrans_time_ms", "100"))
		must(t, asker.Sysctl("net/"+family+"/neigh/eth0/mcast_solicit", "2"))
	}
	deadEnds := []struct {
		kind   int
		v4, v6 string
	}{
		{unix.RTN_UNREACHABLE, "1.0/24", "1::/64"},
		{unix.RTN_PROHIBIT, "2.0/24", "2::/64"},
		{unix.RTN_BLACKHOLE, "3.0/24", "3::/64"},
	}
	for _, d := range deadEnds {
		addRoute(t, asker, "10.1."+d.v4, "", d.kind)
		addRoute(t, asker, "fd01:0:0:"+d.v6, "", d.kind)
		addRoute(t, router, "10.2."+d.v4, "", d.kind)
		addRoute(t, router, "fd02:0:0:"+d.v6, "", d.kind)
	}
	addRoute(t, asker, "10.2.0.0/16", routerAddr, unix.RTN_UNICAST)
	addRoute(t, asker, "fd02::/32", routerAddr6, unix.RTN_UNICAST)
	return asker
}

func newHost(t *testing.T, name string) *lab.Host {
	h, err := lab.NewHost(name)
	must(t, err)
	t.Cleanup(func() { h.Close() })
	return h
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func addAddrs(t *testing.T, h *lab.Host, prefixes ...string) {
	link, err := h.Netlink().LinkByName("eth0")
	must(t, err)
	for _, p := range prefixes {
		a, err := netlink.ParseAddr(p)
		must(t, err)
		a.Flags = unix.IFA_F_NODAD
		must(t, h.Netlink().AddrAdd(link, a))
	}
}

func addRoute(t *testing.T, h *lab.Host, to, by string, kind int) {
	t.Helper()
	_, network, err := net.ParseCIDR(to)
	must(t, err)
	r := &netlink.Route{Dst: network, Type: kind}
	if by != "" {
		r.Gw = netip.MustParseAddr(by).AsSlice()
	}
	must(t, h.Netlink().RouteAdd(r))
}

// TestNoRouteHereAndThere meets the same error numbers from the asker's own kernel,
// which is local, and from the network, which is a verdict.
func TestNoRouteHereAndThere(t *testing.T) {
	asker := newWire(t)
	p := newIn(asker)
	for _, test := range []struct {
		name, address string
		want          error
		local         bool
	}{
		{"no route", "10.9.0.1", syscall.ENETUNREACH, true},
		{"no route, IPv6", "fd09::1", syscall.ENETUNREACH, true},
		{"own unreachable route", "10.1.1.1", syscall.EHOSTUNREACH, true},
		{"own unreachable route, IPv6", "fd01:0:0:1::1", syscall.EHOSTUNREACH, true},
		{"own prohibit route", "10.1.2.1", syscall.EACCES, true},
		{"own prohibit route, IPv6", "fd01:0:0:2::1", syscall.EACCES, true},
		{"own black hole", "10.1.3.1", syscall.EINVAL, true},
		{"own black hole, IPv6", "fd01:0:0:3::1", syscall.EINVAL, true},

		{"the router's word", "10.2.1.1", syscall.EHOSTUNREACH, false},
		{"the router's word, IPv6", "fd02:0:0:1::1", syscall.ENETUNREACH, false},
		{"the router prohibits", "10.2.2.1", syscall.EHOSTUNREACH, false},
		{"the router prohibits, IPv6", "fd02:0:0:2::1", syscall.EACCES, false},
		{"the router knows no route", "10.2.9.1", syscall.ENETUNREACH, false},
		{"no such neighbour", "10.0.0.9", syscall.EHOSTUNREACH, false},
		{"no such neighbour, IPv6", "fd00::9", syscall.EHOSTUNREACH, false},
		{"refused", routerAddr, syscall.ECONNREFUSED, false},
		{"refused, IPv6", routerAddr6, syscall.ECONNREFUSED, false},
		{"own address", askerAddr, syscall.ECONNREFUSED, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := netip.AddrPortFrom(netip.MustParseAddr(test.address), 80)
			r, _ := p.probe(t.Context(), TargetOf(a, &balancer.HealthSpec{Type: balancer.HealthTCP, Timeout: patient}))
			if !errors.Is(r.Err, test.want) || r.Local != test.local {
				t.Errorf("%v, local %v; want %v, local %v", r.Err, r.Local, test.want, test.local)
			}
			text := "dial tcp " + a.String() + ": connect: " + test.want.Error()
			if r.Err != nil && r.Err.Error() != text {
				t.Errorf("text %q, want %q", r.Err, text)
			}
		})
	}
}

// newIn returns a Prober whose connections are a host's.
func newIn(h *lab.Host) *Prober {
	p := New(zap.NewNop(), nil)
	p.dial = func(ctx context.Context, t *Target) (conn net.Conn, err error) {
		err = h.Do(func() error {
			conn, err = connect(ctx, t)
			return err
		})
		return conn, err
	}
	return p
}

// TestSource: checks come from the address that is asked for, whatever they speak; one that is
// not the machine's own is its own trouble.
func TestSource(t *testing.T) {
	own, foreign := netip.MustParseAddr("127.0.0.9"), netip.MustParseAddr("192.0.2.99")
	from := make(chan net.Addr, 1)
	tcp := listen(t, func(conn net.Conn) { from <- conn.RemoteAddr() })
	datagrams, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	defer datagrams.Close()
	go func() {
		b := make([]byte, 100)
		for {
			n, a, err := datagrams.ReadFrom(b)
			if err != nil {
				return
			}
			from <- a
			_, _ = datagrams.WriteTo(b[:n], a)
		}
	}()
	for kind, address := range map[balancer.HealthType]string{balancer.HealthTCP: tcp, balancer.HealthUDP: datagrams.LocalAddr().String()} {
		spec := balancer.HealthSpec{Type: kind, Timeout: patient, Sources: []netip.Addr{netip.MustParseAddr("2001:db8::1"), own}, Send: "x"}
		if kind == balancer.HealthUDP {
			spec.Receive = "x"
		}
		check(t, probeOnce(t, address, spec), "")
		if a := netip.MustParseAddrPort((<-from).String()).Addr(); a != own {
			t.Errorf("%v: asked from %v", kind, a)
		}
		spec.Sources = []netip.Addr{foreign}
		r := probeOnce(t, address, spec)
		if check(t, r, "ask from 192.0.2.99: bind: cannot assign requested address"); !r.Local {
			t.Errorf("%v: no address of this machine is a verdict: %+v", kind, r)
		}
	}
}
