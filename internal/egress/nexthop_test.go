package egress

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/lab"
)

// word is an attribute of four bytes.
type word uint32

func (w word) Serialize() []byte { return binary.NativeEndian.AppendUint32(nil, uint32(w)) }
func (word) Len() int            { return 4 }

// raw is the fixed part of a message.
type raw []byte

func (r raw) Serialize() []byte { return r }
func (r raw) Len() int          { return len(r) }

// addNexthop makes a nexthop object (struct nhmsg of include/uapi/linux/nexthop.h), and
// routeTo a route by one, in the calling thread's network namespace.
func addNexthop(id, device uint32, gateway netip.Addr, group []byte) error {
	r := nl.NewNetlinkRequest(unix.RTM_NEWNEXTHOP, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK)
	family := byte(unix.AF_INET)
	if gateway.Is6() {
		family = unix.AF_INET6
	}
	if group != nil {
		family = unix.AF_UNSPEC
	}
	r.AddData(raw{family, 0, 0, 0, 0, 0, 0, 0})
	r.AddData(nl.NewRtAttr(unix.NHA_ID, word(id).Serialize()))
	if group != nil {
		r.AddData(nl.NewRtAttr(unix.NHA_GROUP, group))
	} else {
		r.AddData(nl.NewRtAttr(unix.NHA_OIF, word(device).Serialize()))
		r.AddData(nl.NewRtAttr(unix.NHA_GATEWAY, gateway.AsSlice()))
	}
	_, err := r.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

func routeTo(a netip.Addr, id uint32, mtu uint32) error {
	r := nl.NewNetlinkRequest(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_ACK)
	m := nl.NewRtMsg()
	m.Family, m.Dst_len = unix.AF_INET, uint8(a.BitLen())
	if a.Is6() {
		m.Family = unix.AF_INET6
	}
	m.Scope = unix.RT_SCOPE_UNIVERSE
	r.AddData(m)
	r.AddData(nl.NewRtAttr(unix.RTA_DST, a.AsSlice()))
	r.AddData(nl.NewRtAttr(rtaNhID, word(id).Serialize()))
	metrics := nl.NewRtAttr(unix.RTA_METRICS, nil)
	metrics.AddRtAttr(unix.RTAX_MTU, word(mtu).Serialize())
	r.AddData(metrics)
	_, err := r.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// A route by a nexthop object leads where its next hop is, also where the kernel tells of
// objects by their numbers alone.
func TestNexthopObjects(t *testing.T) {
	l := newLab(t)
	one, group, six := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("203.0.113.2"), netip.MustParseAddr("2001:db8:ff::1")
	err := l.Balancer.Do(func() error {
		link, err := netlink.LinkByName(lab.Interface)
		if err != nil {
			return err
		}
		device := uint32(link.Attrs().Index)
		both := append(append(word(1).Serialize(), 0, 0, 0, 0), append(word(2).Serialize(), 2, 0, 0, 0)...) // struct nexthop_grp
		for _, err := range []error{
			addNexthop(1, device, lab.BackendAddr(0), nil), addNexthop(2, device, lab.BackendAddr(1), nil),
			addNexthop(3, 0, lab.BackendAddr(0), both), addNexthop(4, device, lab.BackendAddr6(0), nil),
			routeTo(one, 1, 1400), routeTo(group, 3, 1400), routeTo(six, 4, 1400),
		} {
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var ways []Hop
	for _, mode := range []string{"1", "0"} {
		if err := l.Balancer.Sysctl("net/ipv4/nexthop_compat_mode", mode); err != nil {
			t.Fatal(err)
		}
		s := lookAt(t, l, one, group, six)
		for a, h := range s.Hops {
			via := map[netip.Addr][]netip.Addr{one: {lab.BackendAddr(0)}, group: {lab.BackendAddr(0), lab.BackendAddr(1)}, six: {lab.BackendAddr6(0)}}[a]
			if h.Why != "" || h.MTU != 1400 || h.Via != via[0] && h.Via != via[len(via)-1] {
				t.Errorf("mode %s: to %v by %+v, want one of %v", mode, a, h, via)
			}
		}
		if len(s.Hops) != 3 || len(s.Ways) != 1 {
			t.Errorf("mode %s: %+v, %+v", mode, s.Hops, s.Ways)
		}
		if ways == nil {
			ways = s.Ways[group]
		}
		if got := s.Ways[group]; len(got) != 2 || got[0].Weight+got[1].Weight != 4 || !slices.Equal(got, ways) {
			t.Errorf("mode %s: to the group by %+v, and in the other one by %+v", mode, got, ways)
		}
	}
}

// IPv6 has an MTU of its own on a device, which one of a route overrides.
func TestMTUOfIPv6(t *testing.T) {
	l := newLab(t)
	route := &netlink.Route{Dst: netlink.NewIPNet(net.ParseIP("2001:db8:ff::1")), Gw: lab.BackendAddr6(0).AsSlice(), MTU: 1450}
	if err := l.Balancer.Netlink().RouteAdd(route); err != nil {
		t.Fatal(err)
	}
	if err := l.Balancer.Sysctl("net/ipv6/conf/eth0/mtu", "1380"); err != nil {
		t.Fatal(err)
	}
	for a, want := range map[string]int{"10.0.0.11": 1500, "2001:db8:10::11": 1380, "2001:db8:ff::1": 1450} {
		addr := netip.MustParseAddr(a)
		if h := lookAt(t, l, addr).Hops[addr]; h.MTU != want {
			t.Errorf("to %s: %+v, want an MTU of %d", a, h, want)
		}
	}
}

// A route by an interface that has only just come is understood at once, whatever made the
// look.
func TestRouteByANewInterface(t *testing.T) {
	l := newLab(t)
	a := netip.MustParseAddr("203.0.113.1")
	err := l.Balancer.Do(func() error {
		h, err := newHandle()
		if err != nil {
			return err
		}
		defer h.Close()
		was, err := look(h, unread([]string{lab.Interface}, nil), []netip.Addr{a}, scope{all: true}, time.Now())
		if err != nil {
			return err
		}
		if err := lab.Connect(l.Balancer, "vpn0", l.Far, "vpn0", 1); err != nil {
			return err
		}
		link, err := h.LinkByName("vpn0")
		if err == nil {
			err = h.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: netlink.NewIPNet(a.AsSlice()), Scope: netlink.SCOPE_LINK})
		}
		if err != nil {
			return err
		}
		var s scope
		s.add(a)
		is, err := look(h, was, []netip.Addr{a}, s, time.Now())
		if is.choose(); is.Hops[a].Why != "route is by vpn0, which is not served" {
			t.Errorf("%+v", is.Hops[a])
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
