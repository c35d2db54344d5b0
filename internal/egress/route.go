package egress

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// definite are the errors by which the kernel says what the routes are; any other is
// about the question (fib_props in net/ipv4/fib_semantics.c, ip6_rt_type_to_error in
// net/ipv6/route.c).
var definite = []struct {
	errno unix.Errno
	why   string
}{
	{unix.ENETUNREACH, "no route"},
	{unix.EHOSTUNREACH, "route is unreachable"},
	{unix.EACCES, "route is prohibit"},
	{unix.EINVAL, "route is blackhole"},
}

// errUnread says that a route is by an interface that was not there when they were read.
var errUnread = errors.New("the interface is newer than what is known of them")

// kinds are the types of routes that lead nowhere by a port.
var kinds = map[int]string{
	unix.RTN_LOCAL: "own address", unix.RTN_BROADCAST: "broadcast address",
	unix.RTN_ANYCAST: "anycast address", unix.RTN_MULTICAST: "multicast address",
}

// route returns the ways to a by its route, one for each next hop, without what neighbour
// tables and bridges say; or one that says why there is none; and the own address that the
// route names to send from, if it does. An error says nothing about them. It is the route
// itself that is asked for, not what a packet of the machine's own would make of it: so with
// all next hops, and without an MTU that somebody has told the machine of, which the kernel
// forwards nothing by either (ip_forward_use_pmtu).
func (t *tree) route(k kernel, a netip.Addr) (hops []Hop, from netip.Addr, err error) {
	if a.IsLinkLocalUnicast() { // means another machine on each interface
		return nowhere("link-local", 0), from, nil
	}
	routes, err := k.RouteGetWithOptions(a.AsSlice(), &netlink.RouteGetOptions{FIBMatch: true})
	for _, d := range definite {
		if errors.Is(err, d.errno) {
			return nowhere(d.why+t.inVRF(), 0), from, nil
		}
	}
	if err == nil && len(routes) == 0 {
		err = errors.New("no answer")
	}
	if err == nil && isBare(&routes[0]) {
		routes[0].MultiPath, err = k.Nexthops(a)
	}
	if err != nil {
		return nil, from, fmt.Errorf("look up the route to %v: %w", a, err)
	}
	route := &routes[0]
	if src, ok := netip.AddrFromSlice(route.Src); ok {
		from = src.Unmap()
	}
	switch why, ok := kinds[route.Type]; {
	case ok:
		return nowhere(why, route.LinkIndex), from, nil
	case route.Type != unix.RTN_UNICAST:
		return nowhere(fmt.Sprintf("route is of type %d", route.Type), route.LinkIndex), from, nil
	case len(route.MultiPath) == 0:
		h, err := t.hop(a, route, 1)
		return []Hop{h}, from, err
	}
	hops, err = t.several(a, route)
	return hops, from, err
}

// isBare reports whether a route names no next hop: it is by a nexthop object, of which the
// kernel says nothing but the number (net.ipv4.nexthop_compat_mode=0, for both families).
func isBare(r *netlink.Route) bool {
	return r.Type == unix.RTN_UNICAST && r.LinkIndex == 0 && len(r.MultiPath) == 0
}

// inVRF says which routes were not asked for: those of a VRF, of which the machine's own
// connections, and so the health checks, know nothing either.
func (t *tree) inVRF() string {
	if t.vrf == "" {
		return ""
	}
	return fmt.Sprintf("; the routes of the VRF %s, are not looked at", t.vrf)
}

func nowhere(why string, device int) []Hop { return []Hop{{Why: why, Device: device}} }

// several returns the ways by those next hops of a route that lead to a port, or else why
// the first of them does not. Those that the kernel leaves out (fib_select_multipath in
// net/ipv4/fib_semantics.c) are left out.
func (t *tree) several(a netip.Addr, route *netlink.Route) (hops []Hop, err error) {
	var out []Hop
	for _, n := range route.MultiPath {
		one := &netlink.Route{LinkIndex: n.LinkIndex, Gw: n.Gw, Via: n.Via, Encap: n.Encap, MTU: route.MTU}
		h, err := t.hop(a, one, n.Hops+1)
		switch {
		case err != nil:
			return nil, err
		case h.Why != "" || n.Flags&(unix.RTNH_F_DEAD|unix.RTNH_F_LINKDOWN) != 0:
			out = append(out, h)
		default:
			hops = append(hops, h)
		}
	}
	if len(hops) == 0 {
		return out[:1], nil
	}
	// Of IPv6 the kernel begins with the one that it would use itself.
	slices.SortFunc(hops, func(a, b Hop) int { return cmp.Or(a.Device-b.Device, a.Via.Compare(b.Via)) })
	return hops, nil
}

// hop returns the way by one next hop of a route.
func (t *tree) hop(a netip.Addr, route *netlink.Route, weight int) (h Hop, err error) {
	h = Hop{Device: route.LinkIndex, Weight: weight, limit: route.MTU}
	switch {
	case t.at[h.Device] == nil:
		return h, fmt.Errorf("number %d, of the route to %v: %w", h.Device, a, errUnread)
	case !t.leads[h.Device]:
		h.Why = t.unserved(h.Device, h.Device) + t.inVRF()
	case route.Encap != nil:
		h.Why = "route encapsulates"
	default:
		if h.Via = nextHop(route); !h.Via.IsValid() {
			h.Via, h.OnLink = a, true
		}
		// As ip6_dst_mtu_maybe_forward in include/net/ip6_route.h has it.
		if mtu := t.mtus6[h.Device]; h.limit == 0 && a.Is6() && mtu < t.at[h.Device].Attrs().MTU {
			h.limit = mtu
		}
	}
	return h, nil
}

// nextHop returns the gateway of a route; invalid: it needs none.
func nextHop(r *netlink.Route) netip.Addr {
	gateway := r.Gw
	if via, ok := r.Via.(*netlink.Via); ok { // RTA_VIA: IPv4 by way of IPv6, RFC 8950
		gateway = via.Addr
	}
	a, ok := netip.AddrFromSlice(gateway)
	if a = a.Unmap(); !ok || a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}

// choose returns the one of several ways to a that is to be used: of those that are known,
// or may be, the one that a hash of the address and the weights have chosen.
func choose(a netip.Addr, ways []Hop) (chosen Hop) {
	chosen = ways[0]
	var best float64
	for i := range ways {
		h := &ways[i]
		if rank, than := h.rank(), chosen.rank(); rank < than {
			continue
		} else if rank > than {
			best = 0
		}
		// With u even in (0, 1], -ln(u)/weight is least for each as often as its weight has it.
		u := (float64(score(h.Device, append(a.AsSlice(), h.Via.AsSlice()...))>>11) + 1) / (1 << 53)
		if cost := -math.Log(u) / float64(max(h.Weight, 1)); best == 0 || cost < best {
			chosen, best = *h, cost
		}
	}
	return chosen
}

// rank says how near a way is to be used.
func (h *Hop) rank() int {
	switch {
	case h.Known:
		return 2
	case h.Why == "":
		return 1
	}
	return 0
}
