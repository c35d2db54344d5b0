package egress

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/testutil"
)

// watched is a watcher on the balancer of a lab, with its changes.
type watched struct {
	*Watcher
	t       *testing.T
	lab     *lab.Lab
	changes chan struct{}
	locals  chan struct{}
}

// told is a kernel that says when the own addresses are read: in looks at everything.
type told struct {
	kernel
	locals chan struct{}
}

func (k told) AddrList(l netlink.Link, family int) ([]netlink.Addr, error) {
	select {
	case k.locals <- struct{}{}:
	default:
	}
	return k.kernel.AddrList(l, family)
}

// plain is a kernel without MTUs of IPv6 and nexthop objects.
type plain struct{ *netlink.Handle }

func (plain) MTUs6() (map[int]int, error)                         { return nil, nil }
func (plain) Nexthops(netip.Addr) ([]*netlink.NexthopInfo, error) { return nil, nil }

// awaitLook returns after the end of a look at everything that began after the call.
func (w *watched) awaitLook() {
	<-w.locals // it begins
	<-w.locals // and the next one does
}

func watch(t *testing.T) *watched {
	t.Helper()
	return watchPorts(t, func(*lab.Lab) error { return nil }, lab.Interface)
}

// watchPorts is watch of these ports, in a lab that was changed.
func watchPorts(t *testing.T, change func(*lab.Lab) error, ports ...string) *watched {
	t.Helper()
	testutil.RequireRoot(t)
	l, err := lab.New(lab.Options{Backends: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := change(l); err != nil {
		t.Fatal(err, l.Close())
	}
	w := &watched{t: t, lab: l, changes: make(chan struct{}, 1), locals: make(chan struct{})}
	err = l.Balancer.Do(func() (err error) {
		w.Watcher, err = open(ports, nil, zap.NewNop(), func() {
			select {
			case w.changes <- struct{}{}:
			default:
			}
		}, func(k kernel) kernel { return told{k, w.locals} })
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.Close()
		if err := l.Close(); err != nil {
			t.Errorf("close the lab: %v", err)
		}
		goleak.VerifyNone(t)
	})
	return w
}

// until waits for a snapshot that ok accepts, looking at each change.
func (w *watched) until(what string, ok func(Snapshot) bool) Snapshot {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 15*time.Second)
	defer cancel()
	for {
		s := w.Snapshot()
		if ok(s) {
			return s
		}
		select {
		case <-w.changes:
		case <-ctx.Done():
			w.t.Fatalf("%s: never seen; last snapshot %+v", what, s)
		}
	}
}

// mac returns the MAC address of a host's interface.
func mac(t *testing.T, h *lab.Host) [6]byte {
	t.Helper()
	l, err := h.Netlink().LinkByName(lab.Interface)
	if err != nil {
		t.Fatal(err)
	}
	return [6]byte(l.Attrs().HardwareAddr)
}

func TestNextHopsAreResolved(t *testing.T) {
	w := watch(t)
	silent := lab.BackendAddr(99) // nobody has it
	elsewhere := netip.MustParseAddr("203.0.113.1")
	w.Set([]netip.Addr{lab.BackendAddr(0), lab.BackendAddr6(1), silent, elsewhere})
	s := w.until("both backends", func(s Snapshot) bool {
		return s.Hops[lab.BackendAddr(0)].Known && s.Hops[lab.BackendAddr6(1)].Known
	})
	for a, h := range map[netip.Addr]*lab.Host{lab.BackendAddr(0): w.lab.Backends[0], lab.BackendAddr6(1): w.lab.Backends[1]} {
		want := Hop{OnLink: true, Via: a, Device: s.Ports[0].Ifindex, Known: true, MAC: mac(t, h), Source: mac(t, w.lab.Balancer), MTU: 1500, Weight: 1}
		if got := s.Hops[a]; got != want {
			t.Errorf("hop to %v: %+v, want %+v", a, got, want)
		}
	}
	if h := s.Hops[silent]; h.Known || !h.OnLink {
		t.Errorf("hop to an address that nobody has: %+v", h)
	}
	if h := s.Hops[elsewhere]; h != (Hop{Why: "no route"}) {
		t.Errorf("hop to an address without a route: %+v", h)
	}
	if s.Ports[0].MAC != mac(t, w.lab.Balancer) || !s.LinkUp {
		t.Errorf("interface: %+v", s)
	}
	has := map[netip.Addr]bool{}
	for _, a := range s.Local {
		has[a] = true
	}
	if !has[lab.BalancerAddr()] || !has[netip.MustParseAddr("127.0.0.1")] || has[lab.BackendAddr(0)] {
		t.Errorf("local addresses %v", s.Local)
	}
}

// move gives a backend another MAC address, which it tells as a failover pair would: the
// kernel sees its ARP request for the balancer.
func move(t *testing.T, h *lab.Host) [6]byte {
	t.Helper()
	to := net.HardwareAddr{2, 0, 0, 0, 0, 0x42}
	l, err := h.Netlink().LinkByName(lab.Interface)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Netlink().LinkSetHardwareAddr(l, to); err != nil {
		t.Fatal(err)
	}
	// The change has emptied its own cache, so it asks for the balancer.
	c, err := h.Dial(t.Context(), "udp", "10.0.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	return [6]byte(to)
}

func TestMACChange(t *testing.T) {
	w := watch(t)
	a := lab.BackendAddr(0)
	w.Set([]netip.Addr{a})
	w.until("the backend", func(s Snapshot) bool { return s.Hops[a].Known })
	want := move(t, w.lab.Backends[0])
	w.until("the new MAC", func(s Snapshot) bool { return s.Hops[a].MAC == want })
}

// An entry that an administrator has made stays as it is when the kernel is reminded of
// what is in use, though nobody would answer for it.
func TestPermanentEntries(t *testing.T) {
	w := watch(t)
	handle := w.lab.Balancer.Netlink()
	l, err := handle.LinkByName(lab.Interface)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []netip.Addr{lab.BackendAddr(100), lab.BackendAddr6(100)} {
		n := &netlink.Neigh{LinkIndex: l.Attrs().Index, State: netlink.NUD_PERMANENT, IP: a.AsSlice(), HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 1, 2}}
		if err := handle.NeighSet(n); err != nil {
			t.Fatal(err)
		}
		w.Set([]netip.Addr{a})
		w.until("the entry", func(s Snapshot) bool { return s.Hops[a].Known })
		for range 2 {
			r, err := look(plain{handle}, unread([]string{lab.Interface}, nil), []netip.Addr{a}, scope{all: true}, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			w.ask(r, askAll, time.Now())
		}
		list, err := handle.NeighList(l.Attrs().Index, 0)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, n := range list {
			if n.IP.Equal(a.AsSlice()) {
				found = n.State == netlink.NUD_PERMANENT
			}
		}
		if !found {
			t.Errorf("the entry of %v is permanent no more: %v", a, list)
		}
	}
}

func TestGateway(t *testing.T) {
	w := watch(t)
	far := netip.MustParseAddr("203.0.113.7")
	w.Set([]netip.Addr{far})
	w.until("the address at all", func(s Snapshot) bool { _, ok := s.Hops[far]; return ok })
	l, err := w.lab.Balancer.Netlink().LinkByName(lab.Interface)
	if err != nil {
		t.Fatal(err)
	}
	route := &netlink.Route{
		LinkIndex: l.Attrs().Index, Gw: lab.BackendAddr(1).AsSlice(),
		Dst: &net.IPNet{IP: net.IPv4(203, 0, 113, 0), Mask: net.CIDRMask(24, 32)},
	}
	if err := w.lab.Balancer.Netlink().RouteAdd(route); err != nil {
		t.Fatal(err)
	}
	s := w.until("the way by the gateway", func(s Snapshot) bool { return s.Hops[far].Known })
	if h := s.Hops[far]; h.Via != lab.BackendAddr(1) || h.MAC != mac(t, w.lab.Backends[1]) || h.OnLink {
		t.Errorf("%+v, want it by %v", h, lab.BackendAddr(1))
	}

	other, rule := *route, netlink.NewRule()
	other.Gw, other.Table = lab.BackendAddr(0).AsSlice(), 99
	rule.Table, rule.Family, rule.Priority = other.Table, netlink.FAMILY_V4, 10
	if err := w.lab.Balancer.Netlink().RouteAdd(&other); err != nil {
		t.Fatal(err)
	}
	for range 5 { // once both neighbours are known, only the rule's own events tell
		if err := w.lab.Balancer.Netlink().RuleAdd(rule); err != nil {
			t.Fatal(err)
		}
		w.until("the way that a rule has chosen", func(s Snapshot) bool { return s.Hops[far].Via == lab.BackendAddr(0) && s.Hops[far].Known })
		if err := w.lab.Balancer.Netlink().RuleDel(rule); err != nil {
			t.Fatal(err)
		}
		w.until("the way without the rule", func(s Snapshot) bool { return s.Hops[far].Via == lab.BackendAddr(1) })
	}

	if err := w.lab.Balancer.Netlink().RouteDel(route); err != nil {
		t.Fatal(err)
	}
	w.until("the loss of the route", func(s Snapshot) bool { return s.Hops[far] == Hop{Why: "no route"} })
}

func TestLinkAndAddresses(t *testing.T) {
	w := watch(t)
	h := w.lab.Balancer
	l, err := h.Netlink().LinkByName(lab.Interface)
	if err != nil {
		t.Fatal(err)
	}
	extra := netip.MustParseAddr("192.0.2.200")
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: extra.AsSlice(), Mask: net.CIDRMask(32, 32)}}
	if err := h.Netlink().AddrAdd(l, addr); err != nil {
		t.Fatal(err)
	}
	w.until("a new address", func(s Snapshot) bool {
		for _, a := range s.Local {
			if a == extra {
				return true
			}
		}
		return false
	})
	if err := h.Netlink().LinkSetDown(l); err != nil {
		t.Fatal(err)
	}
	w.until("link down", func(s Snapshot) bool { return !s.LinkUp })
	if err := h.Netlink().LinkSetUp(l); err != nil {
		t.Fatal(err)
	}
	w.until("link up", func(s Snapshot) bool { return s.LinkUp })
	if err := h.Netlink().LinkDel(l); err != nil {
		t.Fatal(err)
	}
	was := w.Snapshot().Ports[0]
	gone := w.until("the interface's end", func(s Snapshot) bool { return s.Ports[0].Ifindex == 0 }).Ports[0]
	if gone.Up || gone.MAC != was.MAC || gone.Why != "the interface is not there" {
		t.Errorf("gone: %+v, before %+v", gone, was)
	}
	if err := w.lab.PlugBalancer(1); err != nil {
		t.Fatal(err)
	}
	w.until("another one of this name", func(s Snapshot) bool {
		return s.LinkUp && s.Ports[0].Ifindex != 0 && s.Ports[0].Ifindex != was.Ifindex
	})
}

func TestEqual(t *testing.T) {
	a := netip.MustParseAddr("10.0.0.1")
	base := Snapshot{Ports: []Port{{Ifindex: 2}}, LinkUp: true, Hops: map[netip.Addr]Hop{a: {Known: true}}, Local: []netip.Addr{a}}
	same := base
	same.Hops, same.Local = map[netip.Addr]Hop{a: {Known: true}}, []netip.Addr{a}
	if !base.equal(&same) {
		t.Error("equal snapshots differ")
	}
	for name, change := range map[string]func(*Snapshot){
		"index":   func(s *Snapshot) { s.Ports = []Port{{Ifindex: 3}} },
		"no link": func(s *Snapshot) { s.LinkWhy = "no carrier" },
		"link":    func(s *Snapshot) { s.LinkUp = false }, "mac": func(s *Snapshot) { s.Ports = []Port{{Ifindex: 2, MAC: [6]byte{2}}} },
		"MACs":  func(s *Snapshot) { s.Ports = []Port{{Ifindex: 2, MACs: [][6]byte{{2}}}} },
		"ways":  func(s *Snapshot) { s.Ways = map[netip.Addr][]Hop{a: {{}, {}}} },
		"hop":   func(s *Snapshot) { s.Hops = map[netip.Addr]Hop{a: {}} },
		"hops":  func(s *Snapshot) { s.Hops = nil },
		"other": func(s *Snapshot) { s.Hops = map[netip.Addr]Hop{a.Next(): {Known: true}} },
		"asked": func(s *Snapshot) { s.Hops = map[netip.Addr]Hop{a: {Known: true, Asked: time.Now()}} },
		"why":   func(s *Snapshot) { s.Hops = map[netip.Addr]Hop{a: {Known: true, Why: "no route"}} },
		"local": func(s *Snapshot) { s.Local = []netip.Addr{a.Next()} }, "fewer": func(s *Snapshot) { s.Local = nil },
	} {
		other := base
		change(&other)
		if base.equal(&other) {
			t.Errorf("%s: the change is not seen", name)
		}
	}
}
