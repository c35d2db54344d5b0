package egress

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// Gateway is a router on the interface that some route of the machine's names: what comes
// from beyond the link is sent by one.
type Gateway struct {
	Addr netip.Addr // maybe of the other family than the route (RFC 8950)
	// IPv4 and IPv6 tell of which families it has routes.
	IPv4, IPv6 bool
	MAC        [6]byte // the last that was known; zero: none was
}

// maxGateways bounds them: a link with more routers is no link for a balancer.
const maxGateways = 256

// readGateways returns the gateways that any route by the interface names, of whatever
// table, without their MAC addresses. With an error they may be not all.
func readGateways(k kernel, ifindex int) ([]Gateway, error) {
	var errs []error
	found := map[netip.Addr]Gateway{}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		add := func(by int, route *netlink.Route) {
			a := nextHop(route)
			if by != ifindex || !a.IsValid() {
				return
			}
			g, had := found[a]
			if !had && len(found) == maxGateways {
				return
			}
			g.Addr, g.IPv4, g.IPv6 = a, g.IPv4 || family == netlink.FAMILY_V4, g.IPv6 || family == netlink.FAMILY_V6
			found[a] = g
		}
		any := &netlink.Route{Table: unix.RT_TABLE_UNSPEC}
		err := k.RouteListFilteredIter(family, any, netlink.RT_FILTER_TABLE, func(r netlink.Route) bool {
			add(r.LinkIndex, &r)
			for _, h := range r.MultiPath {
				add(h.LinkIndex, &netlink.Route{Gw: h.Gw, Via: h.Via})
			}
			return true
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("read the routes by interface %d: %w", ifindex, err))
		}
	}
	list := slices.Collect(maps.Values(found))
	slices.SortFunc(list, func(a, b Gateway) int { return a.Addr.Compare(b.Addr) })
	return list, errors.Join(errs...)
}

// reroute reads the gateways anew if routes have changed since, at a tick. A table of a
// million routes takes a second or two: so not before a hundred times as long has passed.
// Without a link they stay, as in [Snapshot.LinkUp].
func (w *Watcher) reroute(now time.Time) {
	if !w.rerouted || now.Before(w.readable) || w.last.Gone || !w.last.LinkUp {
		return
	}
	list, err := readGateways(w.kernel, w.last.Ifindex)
	w.readable = now.Add(tickFactor * time.Since(now))
	if w.rerouted = err != nil; err != nil {
		w.log.Debug("read the gateways; once more, soon", zap.Error(err))
	}
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) { // that has all but what was changing
		return
	}
	r := *w.last
	r.Gateways = list
	w.last = &r
}

// located are the gateways with what is known of where they are.
func located(gateways []Gateway, neighbours map[netip.Addr][6]byte) []Gateway {
	list := slices.Clone(gateways)
	for i := range list {
		list[i].MAC = neighbours[list[i].Addr]
	}
	return list
}
