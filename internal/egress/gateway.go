package egress

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// Gateway is a router that some route of the machine's names, and that is reached by a
// port: what comes from beyond a link is sent by one.
type Gateway struct {
	Neighbour // the address may be of the other family than the route (RFC 8950)
	// IPv4 and IPv6 tell of which families it has routes.
	IPv4, IPv6 bool
	Place      Place // the last that was known; zero: none was
}

// maxGateways bounds them: with more routers on its links nothing is a balancer's place.
const maxGateways = 256

// readGateways returns the gateways that any route names, of whatever table, on interfaces
// that lead to a port, without where they are. With an error they may be not all.
func readGateways(k kernel, t *tree) ([]Gateway, error) {
	var errs []error
	found := map[Neighbour]Gateway{}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		add := func(by int, route *netlink.Route) {
			n := Neighbour{by, nextHop(route)}
			if !t.leads[by] || !n.Addr.IsValid() {
				return
			}
			g, had := found[n]
			if !had && len(found) == maxGateways {
				return
			}
			g.Neighbour, g.IPv4, g.IPv6 = n, g.IPv4 || family == netlink.FAMILY_V4, g.IPv6 || family == netlink.FAMILY_V6
			found[n] = g
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
			errs = append(errs, fmt.Errorf("read the routes: %w", err))
		}
	}
	list := slices.Collect(maps.Values(found))
	slices.SortFunc(list, func(a, b Gateway) int { return cmp.Or(a.Device-b.Device, a.Addr.Compare(b.Addr)) })
	return list, errors.Join(errs...)
}

// reroute reads the gateways anew if routes have changed since, at a tick. A table of a
// million routes takes a second or two: so not before a hundred times as long has passed.
// Without a link they stay, as in [Snapshot.LinkUp].
func (w *Watcher) reroute(now time.Time) {
	if !w.rerouted || now.Before(w.readable) || !w.last.LinkUp {
		return
	}
	list, err := readGateways(w.kernel, w.last.tree)
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
func located(gateways []Gateway, neighbours map[Neighbour]Place) []Gateway {
	list := slices.Clone(gateways)
	for i := range list {
		list[i].Place = neighbours[list[i].Neighbour]
	}
	return list
}
