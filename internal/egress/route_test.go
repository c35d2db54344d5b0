package egress

import (
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/testutil"
)

// newLab builds a lab with a second interface.
func newLab(t *testing.T) *lab.Lab {
	t.Helper()
	testutil.RequireRoot(t)
	l, err := lab.New(lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close the lab: %v", err)
		}
	})
	if err := l.AddFar(); err != nil {
		t.Fatal(err)
	}
	return l
}

// lookAt is Look on the lab's balancer.
func lookAt(t *testing.T, l *lab.Lab, addrs ...netip.Addr) (s Snapshot) {
	t.Helper()
	err := l.Balancer.Do(func() (err error) {
		s, err = Look([]string{lab.Interface}, addrs)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Why there is no way by the interface, as the kernel has it.
func TestWhy(t *testing.T) {
	l := newLab(t)
	for dst, typ := range map[string]int{
		"203.0.113.1/32": unix.RTN_UNREACHABLE, "2001:db8:ff::1/128": unix.RTN_UNREACHABLE,
		"203.0.113.2/32": unix.RTN_PROHIBIT, "2001:db8:ff::2/128": unix.RTN_PROHIBIT,
		"203.0.113.3/32": unix.RTN_BLACKHOLE, "2001:db8:ff::3/128": unix.RTN_BLACKHOLE,
		"203.0.113.4/32": unix.RTN_THROW, "2001:db8:ff::4/128": unix.RTN_THROW,
	} {
		_, to, err := net.ParseCIDR(dst)
		if err == nil {
			err = l.Balancer.Netlink().RouteAdd(&netlink.Route{Dst: to, Type: typ})
		}
		if err != nil {
			t.Fatalf("%s: %v", dst, err)
		}
	}
	for a, why := range map[string]string{
		"203.0.113.1": "route is unreachable", "2001:db8:ff::1": "route is unreachable",
		"203.0.113.2": "route is prohibit", "2001:db8:ff::2": "route is prohibit",
		"203.0.113.3": "route is blackhole", "2001:db8:ff::3": "route is blackhole",
		"203.0.113.4": "no route", "2001:db8:ff::4": "no route",
		"203.0.113.5": "no route", "2001:db8:ff::5": "no route",
		"10.0.0.1": "own address", "2001:db8:10::1": "own address", "127.0.0.1": "own address", "10.0.1.1": "own address",
		"10.0.1.11": "route is by eth1, which is not served", "2001:db8:11::11": "route is by eth1, which is not served",
		"169.254.7.7": "link-local", "fe80::7": "link-local",
		"10.0.0.255": "broadcast address", "224.0.0.5": "no route", "10.0.0.11": "", "2001:db8:10::11": "",
	} {
		addr := netip.MustParseAddr(a)
		h := lookAt(t, l, addr).Hops[addr]
		if want := (Hop{Why: why, Device: h.Device, Weight: h.Weight}); why != "" && h != want {
			t.Errorf("%s: %+v, want %+v", a, h, want)
		}
		if why == "" && (h.Why != "" || h.Via != addr || !h.OnLink || !h.Asked.IsZero()) {
			t.Errorf("%s: %+v, want it on the link, not asked for", a, h)
		}
	}
}

// Where a served interface, or a VLAN of one, is in a VRF, whoever has no way is told that the
// routes there are not looked at.
func TestWhyInAVRF(t *testing.T) {
	a := netip.MustParseAddr("203.0.113.1")
	red := &netlink.Vrf{LinkAttrs: attrs(8, "red", 0, 0), Table: 10}
	within := vlan(7, 2, 5)
	within.MasterIndex = 8
	for name, c := range map[string]struct {
		links []netlink.Link
		k     *fake
		want  string
	}{
		"no route":             {[]netlink.Link{card(2, 8), red}, &fake{routeOf: unix.ENETUNREACH}, "no route; the routes of the VRF red, with eth0, are not looked at"},
		"by another interface": {[]netlink.Link{card(2, 8), card(3, 0), red}, &fake{routes: map[netip.Addr]netlink.Route{a: {LinkIndex: 3, Type: unix.RTN_UNICAST}}}, "route is by eth1, which is not served; the routes of the VRF red, with eth0, are not looked at"},
		"a VLAN is in it":      {[]netlink.Link{card(2, 0), within, red}, &fake{routeOf: unix.ENETUNREACH}, "no route; the routes of the VRF red, with eth0, are not looked at"},
		"nothing is in it":     {[]netlink.Link{card(2, 0), card(3, 8), red}, &fake{routeOf: unix.ENETUNREACH}, "no route"},
		"a way all the same":   {[]netlink.Link{card(2, 8), red}, &fake{}, ""},
	} {
		hops, _, err := treeOf(c.links, 2).route(c.k, a)
		if err != nil || len(hops) != 1 || hops[0].Why != c.want {
			t.Errorf("%s: %+v, %v, want %q", name, hops, err, c.want)
		}
	}
}

// A route whose next hop is of the other family leads to that one's neighbour.
func TestOtherFamily(t *testing.T) {
	w := watch(t)
	behind, via := netip.MustParseAddr("203.0.113.7"), lab.BackendAddr6(1)
	route := &netlink.Route{
		LinkIndex: w.Snapshot().Ports[0].Ifindex, Dst: netlink.NewIPNet(behind.AsSlice()),
		Via: &netlink.Via{AddrFamily: unix.AF_INET6, Addr: via.AsSlice()},
	}
	if err := w.lab.Balancer.Netlink().RouteAdd(route); err != nil {
		t.Fatal(err)
	}
	w.Set([]netip.Addr{behind})
	s := w.until("the neighbour", func(s Snapshot) bool { return s.Hops[behind].Known })
	if h := s.Hops[behind]; h.Via != via || h.OnLink || h.MAC != mac(t, w.lab.Backends[1]) {
		t.Errorf("%+v, want it by %v", h, via)
	}
}

// Where the addresses are on a device above the interface, its frames leave by the
// interface.
func TestUpperDevice(t *testing.T) {
	for name, add := range map[string]func(*lab.Host, string) error{"br0": (*lab.Host).AddBridge, "mv0": (*lab.Host).AddMacvlan} {
		t.Run(name, func(t *testing.T) {
			w := watch(t)
			a, a6 := lab.BackendAddr(0), lab.BackendAddr6(0)
			w.Set([]netip.Addr{a, a6})
			w.until("the backend", func(s Snapshot) bool { return s.Hops[a].Known && s.Hops[a6].Known })
			if err := add(w.lab.Balancer, name); err != nil {
				t.Fatal(err)
			}
			upper, err := w.lab.Balancer.Netlink().LinkByName(name)
			if err != nil {
				t.Fatal(err)
			}
			s := w.until("the way by it", func(s Snapshot) bool {
				return s.Hops[a].Known && s.Hops[a6].Known && s.Hops[a].Device == upper.Attrs().Index && s.Hops[a6].Device == upper.Attrs().Index
			})
			for a, h := range s.Hops {
				want := Hop{OnLink: true, Via: a, Device: upper.Attrs().Index, Known: true, MAC: mac(t, w.lab.Backends[0]),
					Source: [6]byte(upper.Attrs().HardwareAddr), MTU: 1500, Weight: 1}
				if h != want {
					t.Errorf("%+v, want %+v", h, want)
				}
			}
		})
	}
}

func TestLookWithoutInterface(t *testing.T) {
	l := newLab(t)
	err := l.Balancer.Do(func() error {
		s, err := Look([]string{"nosuch0"}, []netip.Addr{lab.BackendAddr(0)})
		if s.LinkUp || s.LinkWhy != "the interface is not there" || s.Hops[lab.BackendAddr(0)].Why != "route is by eth0, which is not served" {
			t.Errorf("%+v", s)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// What is above what, in networks that this kernel may not be able to build.
func TestAbove(t *testing.T) {
	link := func(typ string, index, master, parent, namespace int) netlink.Link {
		return &netlink.GenericLink{LinkType: typ, LinkAttrs: netlink.LinkAttrs{Index: index, MasterIndex: master, ParentIndex: parent, NetNsID: namespace}}
	}
	for _, c := range []struct {
		name  string
		links []netlink.Link
		want  []int
	}{
		{"nothing", []netlink.Link{link("device", 2, 0, 0, -1), link("device", 3, 0, 0, -1)}, nil},
		{"a bond's slave", []netlink.Link{link("bond", 9, 0, 0, -1), link("device", 2, 9, 0, -1), link("device", 3, 9, 0, -1)}, []int{9}},
		{"VLAN on bridge", []netlink.Link{link("vlan", 10, 0, 9, -1), link("bridge", 9, 0, 0, -1), link("device", 2, 9, 0, -1)}, []int{9, 10}},
		{"bond of VLANs", []netlink.Link{link("bond", 10, 0, 0, -1), link("vlan", 9, 10, 2, -1), link("device", 2, 0, 0, -1)}, []int{9, 10}},
		{"the other end of a veth", []netlink.Link{link("veth", 2, 0, 3, -1), link("veth", 3, 0, 2, -1)}, nil},
		{"a macvlan of another namespace's", []netlink.Link{link("device", 2, 0, 0, -1), link("macvlan", 3, 0, 2, 0)}, nil},
		{"a loop", []netlink.Link{link("device", 2, 3, 0, -1), link("bridge", 3, 2, 0, -1)}, []int{3}},
	} {
		var got []int
		at := map[int]netlink.Link{}
		for _, l := range c.links {
			at[l.Attrs().Index] = l
		}
		for i := range closure(2, above(at)) {
			if i != 2 {
				got = append(got, i)
			}
		}
		if slices.Sort(got); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
