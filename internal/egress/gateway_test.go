package egress

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/lab"
)

// The routers are those that routes by the interface name, of whatever table and form, for
// the families that they are named for.
func TestGateways(t *testing.T) {
	l := newLab(t)
	nl := l.Balancer.Netlink()
	index := func(name string) int {
		link, err := nl.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		return link.Attrs().Index
	}
	served, second := index(lab.Interface), index(lab.FarInterface)
	prefix := func(s string) *net.IPNet {
		_, p, err := net.ParseCIDR(s)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, r := range []*netlink.Route{
		{LinkIndex: served, Dst: prefix("203.0.113.0/24"), Gw: net.ParseIP("10.0.0.21")},
		{LinkIndex: served, Dst: prefix("203.0.114.0/24"), Gw: net.ParseIP("10.0.0.21")}, // once more
		{LinkIndex: served, Dst: prefix("0.0.0.0/0"), Gw: net.ParseIP("10.0.0.22"), Table: 77},
		{Dst: prefix("203.0.115.0/24"), MultiPath: []*netlink.NexthopInfo{
			{LinkIndex: served, Gw: net.ParseIP("10.0.0.23")}, {LinkIndex: served, Gw: net.ParseIP("10.0.0.24")},
		}},
		{LinkIndex: served, Dst: prefix("203.0.116.0/24"), Via: &netlink.Via{AddrFamily: unix.AF_INET6, Addr: net.ParseIP("fe80::21")}},
		{LinkIndex: served, Dst: prefix("2001:db8:ff::/48"), Gw: net.ParseIP("fe80::21")},
		{LinkIndex: served, Dst: prefix("2001:db8:fe::/48"), Gw: net.ParseIP("2001:db8:10::21")},
		{LinkIndex: served, Dst: prefix("198.18.0.0/24"), Scope: netlink.SCOPE_LINK}, // by nobody
		{LinkIndex: second, Dst: prefix("198.19.0.0/24"), Gw: lab.FarAddr().AsSlice()},
		{Dst: prefix("198.20.0.0/24"), Type: unix.RTN_BLACKHOLE},
	} {
		if err := nl.RouteAdd(r); err != nil {
			t.Fatalf("%v: %v", r, err)
		}
	}
	got, err := readGateways(plain{nl}, &tree{leads: map[int]bool{served: true}})
	if err != nil {
		t.Fatal(err)
	}
	a := func(s string) Neighbour { return Neighbour{served, netip.MustParseAddr(s)} }
	want := []Gateway{
		{Neighbour: a("10.0.0.21"), IPv4: true}, {Neighbour: a("10.0.0.22"), IPv4: true},
		{Neighbour: a("10.0.0.23"), IPv4: true}, {Neighbour: a("10.0.0.24"), IPv4: true},
		{Neighbour: a("2001:db8:10::21"), IPv6: true}, {Neighbour: a("fe80::21"), IPv4: true, IPv6: true},
	}
	if !slices.Equal(got, want) {
		t.Errorf("gateways %+v, want %+v", got, want)
	}
}

// A router that routes name is found, followed, and forgotten with its last route, though
// nobody has asked for it and nothing is sent by it.
func TestGatewayIsFollowed(t *testing.T) {
	w := watch(t)
	router, link := lab.BackendAddr(1), w.Snapshot().Ports[0].Ifindex
	route := &netlink.Route{LinkIndex: link, Gw: router.AsSlice(), Dst: netlink.NewIPNet(net.IPv4(203, 0, 113, 7))}
	if err := w.lab.Balancer.Netlink().RouteAdd(route); err != nil {
		t.Fatal(err)
	}
	only := func(mac [6]byte) func(Snapshot) bool {
		return func(s Snapshot) bool {
			return slices.Equal(s.Gateways, []Gateway{{Neighbour: Neighbour{link, router}, IPv4: true, Place: Place{MAC: mac}}})
		}
	}
	old := mac(t, w.lab.Backends[1])
	w.until("the router", only(old))
	if moves := w.Moves(); len(moves) != 0 {
		t.Errorf("nobody has moved, but %v", moves)
	}
	to := net.HardwareAddr{2, 0, 0, 0, 0, 0x42}
	if err := w.lab.Backends[1].SetMAC(lab.Interface, to); err != nil {
		t.Fatal(err)
	}
	if err := w.lab.Backends[1].Announce(lab.Interface, router); err != nil {
		t.Fatal(err)
	}
	w.until("the new MAC address", only([6]byte(to)))
	if moves := w.Moves(); !slices.Contains(moves, Move{Neighbour{link, router}, Place{MAC: old}}) {
		t.Errorf("the router's move is not among %v", moves)
	}
	if err := w.lab.Balancer.Netlink().RouteDel(route); err != nil {
		t.Fatal(err)
	}
	w.until("the loss of the route", func(s Snapshot) bool { return len(s.Gateways) == 0 })
}

// The routes are read when they have changed, at a tick, and as rarely as it takes long.
// What can't be read stays.
func TestRoutesAreReadRarely(t *testing.T) {
	router := netlink.Route{LinkIndex: served, Gw: net.IPv4(10, 0, 0, 21)}
	run(t, &fake{gateways: []netlink.Route{router}}, nil, func(t *testing.T, w *faked) {
		dumps := func() int { w.fake.mu.Lock(); defer w.fake.mu.Unlock(); return w.fake.dumps / 2 }
		pass := func(d time.Duration, e ...event) {
			if len(e) > 0 {
				w.batches <- e
			}
			time.Sleep(d)
			synctest.Wait()
		}
		pass(10 * time.Second)
		if n := dumps(); n != 1 || len(w.Snapshot().Gateways) != 1 {
			t.Errorf("read %d times, want 1; gateways %v", n, w.Snapshot().Gateways)
		}
		for range 100 {
			pass(10*time.Millisecond, event{subject: aboutRoute, prefix: netip.MustParsePrefix("203.0.113.0/24")})
		}
		pass(2 * time.Second)
		if n := dumps(); n < 2 || n > 3 {
			t.Errorf("read %d times with a second of changes, want 2 or 3", n)
		}
		before := dumps()
		w.fake.with(func(f *fake) { f.gateways, f.dumpOf = nil, errors.New("no memory") })
		pass(5*time.Second, event{subject: aboutRoute})
		if n := dumps() - before; n < 4 || len(w.Snapshot().Gateways) != 1 {
			t.Errorf("tried %d times in five seconds; gateways %v", n, w.Snapshot().Gateways)
		}
		w.fake.with(func(f *fake) { f.dumpOf = nil })
		pass(2 * time.Second)
		if g := w.Snapshot().Gateways; len(g) != 0 {
			t.Errorf("gateways %v, and there are none", g)
		}
		before = dumps()
		w.fake.with(func(f *fake) { f.dumpTook = 500 * time.Millisecond }) // for each family
		for range 600 {
			pass(500*time.Millisecond, event{subject: aboutRoute})
		}
		if n := dumps() - before; n < 3 || n > 4 {
			t.Errorf("read %d times in five minutes, want every 100 seconds", n)
		}
	})
}

// A list of all routes that takes long delays nothing else.
func TestRoutesAreReadBeside(t *testing.T) {
	router := netlink.Route{LinkIndex: served, Gw: net.IPv4(10, 0, 0, 21)}
	run(t, newFake(), both, func(t *testing.T, w *faked) {
		w.fake.with(func(f *fake) { f.gateways, f.dumpTook = []netlink.Route{router}, 5*time.Second })
		w.batches <- []event{{subject: aboutRoute}}
		w.hop(2*tickInterval, first) // it is being read
		w.fake.with(func(f *fake) { f.routes[first] = gone })
		w.batches <- []event{routeToFirst}
		if h := w.hop(soon, first); h.Why != "own address" || len(w.Snapshot().Gateways) != 0 {
			t.Errorf("soon after the event: %+v", h)
		}
		w.hop(10*time.Second, first)
		if g := w.Snapshot().Gateways; len(g) != 1 {
			t.Errorf("gateways %v", g)
		}
		w.batches <- []event{{subject: aboutRoute}}
		time.Sleep(1100 * time.Second)
		w.batches <- []event{{subject: aboutRoute}}
		time.Sleep(2 * tickInterval) // closed in the midst of it
	})
}

// A route by a bridge names a router when a port comes to be below that.
func TestGatewayBehindALateBridge(t *testing.T) {
	router := lab.BackendAddr(1)
	w := watchPorts(t, func(l *lab.Lab) error {
		if err := l.AddFar(); err != nil {
			return err
		}
		if err := l.Balancer.AddBridge("br0"); err != nil {
			return err
		}
		return l.Balancer.Netlink().RouteAdd(&netlink.Route{Gw: router.AsSlice(), Dst: netlink.NewIPNet(net.IPv4(203, 0, 113, 7))})
	}, lab.FarInterface)
	w.awaitLook()
	if g := w.Snapshot().Gateways; len(g) != 0 {
		t.Fatalf("gateways %v", g)
	}
	if err := w.lab.Balancer.AddPort("br0", lab.FarInterface); err != nil {
		t.Fatal(err)
	}
	w.until("the router", func(s Snapshot) bool { return len(s.Gateways) == 1 && s.Gateways[0].Addr == router })
}

// Who is asked for is bounded, whatever the routes are.
func TestManyGateways(t *testing.T) {
	f := &fake{}
	for i := range 2 * maxGateways {
		f.gateways = append(f.gateways, netlink.Route{LinkIndex: served, Gw: net.IPv4(10, 0, byte(i>>8), byte(i))})
	}
	if list, err := readGateways(f, &tree{leads: map[int]bool{served: true}}); err != nil || len(list) != maxGateways {
		t.Errorf("%d gateways, %v; want %d", len(list), err, maxGateways)
	}
}
