package egress

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/lab"
)

// watchTwo is watch of a lab whose balancer has a second interface, with both served.
func watchTwo(t *testing.T) *watched {
	t.Helper()
	return watchPorts(t, (*lab.Lab).AddFar, lab.Interface, lab.FarInterface)
}

// Each address is reached by the port that its route is by.
func TestTwoPorts(t *testing.T) {
	w := watchTwo(t)
	near, far := lab.BackendAddr(0), lab.FarAddr()
	w.Set([]netip.Addr{near, far})
	s := w.until("both", func(s Snapshot) bool { return s.Hops[near].Known && s.Hops[far].Known })
	if n, f := s.Hops[near], s.Hops[far]; n.Link != (Link{}) || f.Link != (Link{Port: 1}) || n.MAC != mac(t, w.lab.Backends[0]) || f.MAC != mac(t, w.lab.Far) {
		t.Errorf("near: %+v, far: %+v", n, f)
	}
	// One port without a carrier: what is behind it can't be reached, and says why. The other
	// goes on.
	if err := w.lab.Far.SetLink(lab.Interface, false); err != nil {
		t.Fatal(err)
	}
	s = w.until("the loss of a port", func(s Snapshot) bool { return !s.Ports[1].Up && s.Hops[far].Why != "" })
	if h := s.Hops[far]; h.Why != "eth1: no carrier" || h.Known || !s.LinkUp || !s.Hops[near].Known {
		t.Errorf("near: %+v, far: %+v", s.Hops[near], h)
	}
	if err := w.lab.Far.SetLink(lab.Interface, true); err != nil {
		t.Fatal(err)
	}
	w.until("its return", func(s Snapshot) bool { return s.Hops[far].Known })
	// One that goes away leaves the other alone, and is found again when it is back.
	l, err := w.lab.Balancer.Netlink().LinkByName(lab.FarInterface)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.lab.Balancer.Netlink().LinkDel(l); err != nil {
		t.Fatal(err)
	}
	s = w.until("the end of a port", func(s Snapshot) bool { return s.Ports[1].Ifindex == 0 })
	if !s.LinkUp || !s.Hops[near].Known || s.Hops[far].Known {
		t.Errorf("one port is gone: %+v", s)
	}
	if err := lab.Connect(w.lab.Balancer, lab.FarInterface, w.lab.Far, lab.Interface, 1); err != nil {
		t.Fatal(err)
	}
	w.until("another one", func(s Snapshot) bool { return s.Ports[1].Up && s.Ports[1].Ifindex != l.Attrs().Index })
}

// Of a route with several next hops one is used that answers, by a port.
func TestSeveralNextHops(t *testing.T) {
	w := watchTwo(t)
	h := w.lab.Balancer.Netlink()
	near, far := w.Snapshot().Ports[0].Ifindex, w.Snapshot().Ports[1].Ifindex
	for name, c := range map[string]struct {
		dst  string
		hops []*netlink.NexthopInfo
		want []netip.Addr
	}{
		"both answer":       {"203.0.113.0/24", []*netlink.NexthopInfo{{LinkIndex: near, Gw: lab.BackendAddr(0).AsSlice()}, {LinkIndex: far, Gw: lab.FarAddr().AsSlice(), Hops: 2}}, []netip.Addr{lab.BackendAddr(0), lab.FarAddr()}},
		"one does":          {"203.0.114.0/24", []*netlink.NexthopInfo{{LinkIndex: near, Gw: lab.BackendAddr(99).AsSlice()}, {LinkIndex: far, Gw: lab.FarAddr().AsSlice()}}, []netip.Addr{lab.FarAddr()}},
		"of IPv6":           {"2001:db8:ff::/64", []*netlink.NexthopInfo{{LinkIndex: near, Gw: lab.BackendAddr6(0).AsSlice()}, {LinkIndex: far, Gw: lab.FarAddr6().AsSlice()}}, []netip.Addr{lab.BackendAddr6(0), lab.FarAddr6()}},
		"of the other one":  {"203.0.115.0/24", []*netlink.NexthopInfo{{LinkIndex: near, Via: &netlink.Via{AddrFamily: unix.AF_INET6, Addr: lab.BackendAddr6(0).AsSlice()}}, {LinkIndex: far, Gw: lab.FarAddr().AsSlice()}}, []netip.Addr{lab.BackendAddr6(0), lab.FarAddr()}},
		"one is not served": {"203.0.116.0/24", []*netlink.NexthopInfo{{LinkIndex: 1, Flags: unix.RTNH_F_ONLINK, Gw: net.IPv4(10, 9, 9, 9)}, {LinkIndex: far, Gw: lab.FarAddr().AsSlice()}}, []netip.Addr{lab.FarAddr()}},
	} {
		_, dst, err := net.ParseCIDR(c.dst)
		if err == nil {
			err = h.RouteAdd(&netlink.Route{Dst: dst, MultiPath: c.hops, MTU: 1280})
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var list []netip.Addr
		a := netip.MustParsePrefix(c.dst).Addr()
		for range 16 {
			a = a.Next()
			list = append(list, a)
		}
		w.Set(list)
		s := w.until(name, func(s Snapshot) bool {
			for _, a := range list {
				for _, h := range s.Ways[a] {
					if !h.Known && h.Via != lab.BackendAddr(99) {
						return false
					}
				}
				if !s.Hops[a].Known {
					return false
				}
			}
			return true
		})
		by := map[netip.Addr]int{}
		for a, h := range s.Hops {
			by[h.Via]++
			if h.MTU != 1280 || h.OnLink || h.Link.Port != map[int]uint8{near: 0, far: 1}[h.Device] {
				t.Errorf("%s: to %v by %+v", name, a, h)
			}
		}
		if len(by) != len(c.want) {
			t.Errorf("%s: by %v, want %v", name, by, c.want)
		}
		for _, via := range c.want {
			if by[via] == 0 {
				t.Errorf("%s: by %v, want %v", name, by, c.want)
			}
		}
	}
}

// Ways are chosen as often as their weights say; of one that is not known only those who
// were by it change.
func TestChoose(t *testing.T) {
	via := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}) }
	ways := func(lost int) (list []Hop) {
		for i, weight := range []int{1, 2, 3} {
			list = append(list, Hop{Via: via(i), Device: 2, Known: i != lost, Weight: weight})
		}
		return list
	}
	by := map[netip.Addr]int{}
	const n = 6000
	for i := range n {
		a := netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)})
		was, is := choose(a, ways(-1)), choose(a, ways(1))
		by[was.Via]++
		if was.Via != via(1) && is != was || is.Via == via(1) {
			t.Fatalf("%v goes by %v, and without %v by %v", a, was.Via, via(1), is.Via)
		}
	}
	for i := range 3 {
		if got, want := by[via(i)], n/6*(i+1); got < want-200 || got > want+200 {
			t.Errorf("by %v of weight %d go %d of %d", via(i), i+1, got, n)
		}
	}
	// One that may yet answer comes before one that can't.
	if h := choose(via(9), []Hop{{Why: "eth1: no carrier", Via: via(1)}, {Via: via(2)}}); h.Via != via(2) {
		t.Errorf("by %+v", h)
	}
}

// A bridge leads to the port behind which somebody is, also when that changes and nothing
// else does.
func TestBehindABridge(t *testing.T) {
	w := watchPorts(t, func(l *lab.Lab) error {
		if err := l.AddFar(); err != nil {
			return err
		}
		if err := l.Balancer.AddBridge("br0"); err != nil {
			return err
		}
		return l.Balancer.AddPort("br0", lab.FarInterface)
	}, lab.Interface, lab.FarInterface)
	far := netip.MustParseAddr("10.0.0.77")
	if err := w.lab.Far.AddAddrs(lab.Interface, netip.PrefixFrom(far, 24)); err != nil {
		t.Fatal(err)
	}
	near := lab.BackendAddr(0)
	w.Set([]netip.Addr{near, far})
	s := w.until("both", func(s Snapshot) bool { return s.Hops[near].Known && s.Hops[far].Known })
	if s.Hops[near].Link.Port != 0 || s.Hops[far].Link.Port != 1 {
		t.Errorf("near: %+v, far: %+v", s.Hops[near], s.Hops[far])
	}
	device, at := s.Hops[near].Device, mac(t, w.lab.Backends[0])
	if err := w.lab.SetForwarding(w.lab.Backends[0], false); err != nil {
		t.Fatal(err)
	}
	if err := w.lab.Far.SetMAC(lab.Interface, at[:]); err != nil { // and it says so
		t.Fatal(err)
	}
	if err := w.lab.Far.AddAddrs(lab.Interface, netip.PrefixFrom(near, 24)); err != nil {
		t.Fatal(err)
	}
	if err := w.lab.Far.Announce(lab.Interface, near); err != nil {
		t.Fatal(err)
	}
	s = w.until("the move", func(s Snapshot) bool { return s.Hops[near].Known && s.Hops[near].Link.Port == 1 })
	if s.Hops[near].MAC != at {
		t.Errorf("%+v, want the same MAC address", s.Hops[near])
	}
	if moves, want := w.Moves(), (Move{Neighbour{device, near}, Place{MAC: at}}); !slices.Contains(moves, want) {
		t.Errorf("moves %+v, want %+v", moves, want)
	}
}

// Whom a bridge forgets is where it was, until the bridge says otherwise.
func TestBridgeForgets(t *testing.T) {
	a := netip.MustParseAddr("10.0.0.7")
	links := these(bridge(9, false), card(2, 9), card(3, 9))
	r := &reading{Snapshot: Snapshot{LinkUp: true, Ports: []Port{{Name: "eth0", Up: true}, {Name: "eth1", Up: true}}},
		tree: treeOf(links, 2, 3), macs: map[Neighbour][6]byte{{9, a}: them}}
	look := func(f fdb, old Hop) Hop {
		r.tree.fdb = f
		return r.resolved(Hop{Via: a, OnLink: true, Device: 9}, old, false, time.Now())
	}
	if h := look(nil, Hop{}); h.Known || h.Why != "" || h.Asked.IsZero() {
		t.Errorf("never known: %+v", h)
	}
	known := look(fdb{{9, 0, them}: 3}, Hop{})
	if !known.Known || known.Link.Port != 1 {
		t.Fatalf("known: %+v", known)
	}
	if h := look(nil, known); h != known {
		t.Errorf("forgotten: %+v, before %+v", h, known)
	}
	if h := look(fdb{{9, 0, them}: 2}, known); !h.Known || h.Link.Port != 0 {
		t.Errorf("elsewhere: %+v", h)
	}
	r.macs[Neighbour{9, a}] = [6]byte{2, 0xff, 0, 0, 0, 2}
	if h := look(nil, known); h.Known {
		t.Errorf("another one, whom the bridge does not know: %+v", h)
	}
}
