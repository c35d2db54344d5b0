package egress

import (
	"maps"
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/afxlb/afxlb/internal/lab"
)

// addresses of few networks, so that prefixes hit.
func address() *rapid.Generator[netip.Addr] {
	return rapid.Custom(func(t *rapid.T) netip.Addr {
		b := make([]byte, rapid.SampledFrom([]int{4, 16}).Draw(t, "size"))
		b[0], b[len(b)-1] = rapid.SampledFrom([]byte{10, 32}).Draw(t, "first"), rapid.Byte().Draw(t, "last")
		a, _ := netip.AddrFromSlice(b)
		return a
	})
}

// The index finds whom a prefix concerns as a look at each would.
func TestIndexAgainstOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &reading{tree: &tree{}, ways: map[netip.Addr][]Hop{}}
		for range rapid.IntRange(0, 20).Draw(t, "wanted") {
			a := address().Draw(t, "address")
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				r.ways[a] = []Hop{{OnLink: true, Via: a}}
			case 1:
				r.ways[a] = []Hop{{Via: address().Draw(t, "via")}, {Via: address().Draw(t, "another")}}
			case 2:
				r.ways[a] = []Hop{{Why: "no route"}}
			}
		}
		at := address().Draw(t, "of the prefix")
		p := netip.PrefixFrom(at, rapid.IntRange(0, at.BitLen()).Draw(t, "bits")).Masked()
		want := map[netip.Addr]bool{}
		for a, ways := range r.ways {
			for _, h := range ways {
				if p.Contains(a) || p.Contains(h.Via) {
					want[a] = true
				}
			}
		}
		var got scope
		newIndex(r).mark(&got, &event{subject: aboutRoute, prefix: p})
		if got.all || !maps.Equal(got.addrs, want) {
			t.Fatalf("%v: %v, want %v", p, got, want)
		}
	})
}

func TestScope(t *testing.T) {
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	var none, one, other scope
	one.add(a)
	other.add(b)
	if none.empty() != true || one.empty() || (&scope{all: true}).empty() {
		t.Error("empty is wrong")
	}
	if u := one.and(other); u.all || len(u.addrs) != 2 || len(one.addrs) != 1 || len(other.addrs) != 1 {
		t.Errorf("%v and %v are %v", one, other, u)
	}
	if u := one.and(scope{all: true}); !u.all {
		t.Errorf("one and all are %v", u)
	}
}

// What the real kernel announces concerns those whom it changes, and nobody else.
func TestWhomEventsConcern(t *testing.T) {
	l := newLab(t)
	onLink, behind, far := lab.BackendAddr(0), netip.MustParseAddr("203.0.113.7"), lab.FarAddr()
	h := l.Balancer.Netlink()
	s := lookAt(t, l, onLink, behind, far)
	second, err := h.LinkByName(lab.FarInterface)
	if err != nil {
		t.Fatal(err)
	}
	port := s.Ports[0].Ifindex
	index := newIndex(&reading{
		tree: &tree{stack: map[int]bool{port: true}, leads: map[int]bool{port: true}}, macs: map[Neighbour][6]byte{{port, onLink}: {2}},
		ways: map[netip.Addr][]Hop{
			onLink: {{OnLink: true, Via: onLink, Device: port}}, behind: {{Via: lab.BackendAddr(1), Device: port}}, far: {s.Hops[far]},
		},
	})

	var events *subscription
	err = l.Balancer.Do(func() (err error) {
		events, err = subscribe()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer events.close()

	route := func(to string) *netlink.Route {
		_, dst, err := net.ParseCIDR(to)
		if err != nil {
			t.Fatal(err)
		}
		return &netlink.Route{LinkIndex: port, Dst: dst}
	}
	neigh := func(a netip.Addr, ifindex, state int, mac byte) *netlink.Neigh {
		return &netlink.Neigh{LinkIndex: ifindex, State: state, IP: a.AsSlice(), HardwareAddr: net.HardwareAddr{mac, 0, 0, 0, 0, 0}}
	}
	sentinel := netip.MustParseAddr("10.0.0.77")
	for _, c := range []struct {
		name   string
		change func() error
		want   []netip.Addr
		all    bool
	}{
		{"a route to somebody else", func() error { return h.RouteAdd(route("198.18.0.0/15")) }, nil, false},
		{"its end", func() error { return h.RouteDel(route("198.18.0.0/15")) }, nil, false},
		{"an IPv6 route to somebody else", func() error { return h.RouteAdd(route("2001:db8:77::/48")) }, nil, false},
		{"a route to a wanted address", func() error { return h.RouteAdd(route("203.0.113.0/24")) }, []netip.Addr{behind}, false},
		{"a route to a next hop", func() error { return h.RouteAdd(route("10.0.0.12/32")) }, []netip.Addr{behind}, false},
		{"a default route", func() error { return h.RouteAdd(route("0.0.0.0/0")) }, []netip.Addr{onLink, behind, far}, false},
		{"somebody else's neighbour", func() error { return h.NeighSet(neigh(lab.BackendAddr(50), port, unix.NUD_REACHABLE, 2)) }, nil, false},
		{"what is known already", func() error { return h.NeighSet(neigh(onLink, port, unix.NUD_REACHABLE, 2)) }, nil, false},
		{"another state", func() error { return h.NeighSet(neigh(onLink, port, unix.NUD_STALE, 2)) }, nil, false},
		{"another MAC address", func() error { return h.NeighSet(neigh(onLink, port, unix.NUD_REACHABLE, 4)) }, []netip.Addr{onLink}, false},
		{"a lost neighbour", func() error { return h.NeighDel(neigh(onLink, port, 0, 0)) }, []netip.Addr{onLink}, false},
		{"a next hop's address", func() error { return h.NeighSet(neigh(lab.BackendAddr(1), port, unix.NUD_REACHABLE, 2)) }, []netip.Addr{behind}, false},
		{"that address elsewhere", func() error { return h.NeighSet(neigh(onLink, second.Attrs().Index, unix.NUD_REACHABLE, 6)) }, nil, false},
		{"another interface", func() error { return h.LinkSetMTU(second, 1400) }, []netip.Addr{far}, false},
		{"the loopback", func() error { return l.Balancer.Sysfs("class/net/lo/mtu", "60000") }, nil, false},
		{"the interface", func() error { return l.Balancer.Sysfs("class/net/eth0/mtu", "1400") }, nil, true},
		{"a device above the interface", func() error { return l.Balancer.AddVRRP("vrrp", nil) }, nil, true},
		{"an address", func() error { return l.Balancer.AddAddrs("lo", netip.MustParsePrefix("192.0.2.10/32")) }, nil, true},
		{"a rule", func() error {
			rule := netlink.NewRule()
			rule.Table, rule.Family, rule.Priority = 99, netlink.FAMILY_V4, 10
			return h.RuleAdd(rule)
		}, nil, true},
	} {
		if err := c.change(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if err := h.NeighSet(neigh(sentinel, port, unix.NUD_REACHABLE, 2)); err != nil {
			t.Fatal(err)
		}
		var got scope
		seen := 0
		for end := false; !end; {
			for _, e := range <-events.batches {
				index.mark(&got, &e)
				end = end || e.addr == sentinel
				seen++
			}
		}
		if seen < 2 {
			t.Errorf("%s: nothing was announced: the test shows nothing", c.name)
		}
		want := map[netip.Addr]bool{}
		for _, a := range c.want {
			want[a] = true
		}
		if got.all != c.all || !c.all && !maps.Equal(got.addrs, want) {
			t.Errorf("%s: %+v, want %v, all %v", c.name, got, c.want, c.all)
		}
		if err := h.NeighDel(neigh(sentinel, port, 0, 0)); err != nil {
			t.Fatal(err)
		}
		for end := false; !end; { // its deletion is announced too
			for _, e := range <-events.batches {
				end = end || e.addr == sentinel && e.mac == [6]byte{}
			}
		}
	}
}

// A link concerns all where it is a part of the tree, or is called what a port is that is
// not there.
func TestWhomALinkConcerns(t *testing.T) {
	r := &reading{tree: &tree{stack: map[int]bool{2: true, 9: true}}}
	r.Ports = []Port{{Name: "eth0", Ifindex: 2}, {Name: "eth1"}}
	x := newIndex(r)
	for name, c := range map[string]struct {
		attrs [][]byte
		want  bool
	}{
		"a stranger":       {[][]byte{attribute(unix.IFLA_IFNAME, []byte("eth7\x00")...)}, false},
		"a new port of 9":  {[][]byte{attribute(unix.IFLA_MASTER, 9, 0, 0, 0)}, true},
		"on the port":      {[][]byte{attribute(unix.IFLA_LINK, 2, 0, 0, 0)}, true},
		"the absent one":   {[][]byte{attribute(unix.IFLA_IFNAME, []byte("eth1\x00")...)}, true},
		"the other's name": {[][]byte{attribute(unix.IFLA_IFNAME, []byte("eth0\x00")...)}, false},
	} {
		var got scope
		for _, e := range parse(nil, message(unix.RTM_NEWLINK, append([]byte{0, 0, 0, 0, 7, 0, 0, 0}, make([]byte, 8)...), c.attrs...)) {
			x.mark(&got, &e)
		}
		if got.all != c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// Of a bridge's table only that concerns somebody which says another port than is known, of
// who is a neighbour.
func TestWhomABridgesTableConcerns(t *testing.T) {
	known := [6]byte{2, 0, 0, 0, 0, 7}
	x := newIndex(&reading{
		tree: &tree{bridges: true, fdb: fdb{{9, 0, known}: 3}},
		macs: map[Neighbour][6]byte{{9, netip.MustParseAddr("10.0.0.7")}: known},
	})
	for name, c := range map[string]struct {
		event event
		want  bool
	}{
		"what is known":  {event{subject: aboutStation, ifindex: 3, master: 9, mac: known}, false},
		"another port":   {event{subject: aboutStation, ifindex: 4, master: 9, mac: known}, true},
		"it has gone":    {event{subject: aboutStation, master: 9, mac: known}, true},
		"another bridge": {event{subject: aboutStation, ifindex: 3, master: 8, mac: known}, true},
		"a stranger":     {event{subject: aboutStation, ifindex: 4, master: 9, mac: [6]byte{2}}, false},
	} {
		var got scope
		if x.mark(&got, &c.event); got.neighbours != c.want || got.all {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
