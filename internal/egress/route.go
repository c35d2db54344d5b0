package egress

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// router looks ways up for one reading.
type router struct {
	kernel
	ifindex int
	links   []netlink.Link // all, once they were needed
	upper   map[int]bool   // those above the interface, once they were needed
}

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

// way returns the way to a without its MAC address, and the interface that its route is
// by (0: none). An error says nothing about the way.
func (r *router) way(a netip.Addr) (h Hop, by int, err error) {
	if a.IsLinkLocalUnicast() { // means another machine on each interface
		return Hop{Why: "link-local"}, 0, nil
	}
	routes, err := r.RouteGet(a.AsSlice())
	for _, d := range definite {
		if errors.Is(err, d.errno) {
			return Hop{Why: d.why}, 0, nil
		}
	}
	if err == nil && len(routes) == 0 {
		err = errors.New("no answer")
	}
	if err != nil {
		return Hop{}, 0, fmt.Errorf("look up the route to %v: %w", a, err)
	}
	route := &routes[0]
	by = route.LinkIndex
	switch {
	case route.Type == unix.RTN_LOCAL:
		h.Why = "own address"
	case route.Type == unix.RTN_BROADCAST:
		h.Why = "broadcast address"
	case route.Type == unix.RTN_ANYCAST:
		h.Why = "anycast address"
	case route.Type == unix.RTN_MULTICAST:
		h.Why = "multicast address"
	case route.Type != unix.RTN_UNICAST:
		h.Why = fmt.Sprintf("route is of type %d", route.Type)
	case by != r.ifindex:
		h.Why, err = r.elsewhere(by)
	case route.Encap != nil:
		h.Why = "route encapsulates"
	default:
		h.Via = nextHop(route)
		if !h.Via.IsValid() {
			h.Via, h.OnLink = a, true
		}
	}
	return h, by, err
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

// elsewhere names the interface that a route is by instead.
func (r *router) elsewhere(by int) (why string, err error) {
	if r.links == nil {
		if r.links, err = listLinks(r.kernel); err != nil {
			return "", err
		}
	}
	if r.upper == nil {
		r.upper = above(r.links, r.ifindex)
	}
	names := map[int]string{}
	for _, l := range r.links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	if names[by] == "" {
		return "", fmt.Errorf("read interfaces: number %d, of a route, is not there", by)
	}
	if r.upper[by] {
		return fmt.Sprintf("route is by %s, which is above %s", names[by], names[r.ifindex]), nil
	}
	return "route is by " + names[by], nil
}

// above returns the interfaces whose frames go by another one: the bridge or bond that
// it is a port of, the VLANs and macvlans that it carries, and those above these.
func above(links []netlink.Link, lower int) map[int]bool {
	next := map[int][]int{}
	for _, l := range links {
		a := l.Attrs()
		if a.MasterIndex != 0 {
			next[a.Index] = append(next[a.Index], a.MasterIndex)
		}
		// To a veth, the parent is its other end; with a NetNsID, it is another namespace's.
		if a.ParentIndex != 0 && a.NetNsID < 0 && l.Type() != "veth" {
			next[a.ParentIndex] = append(next[a.ParentIndex], a.Index)
		}
	}
	upper := closure(lower, func(i int) []int { return next[i] })
	delete(upper, lower)
	return upper
}
