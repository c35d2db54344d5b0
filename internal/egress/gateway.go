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

// gathering is what came of reading the gateways.
type gathering struct {
	list []Gateway
	err  error
	took time.Duration
}

func (w *Watcher) gather(t *tree) gathering {
	start := time.Now()
	list, err := readGateways(w.routes, t)
	return gathering{list, err, time.Since(start)}
}

// reroute has the gateways read anew if routes have changed since, at a tick: beside the
// watch, for a table of a million routes takes a second or two. Without a link they stay, as
// in [Snapshot.LinkUp].
func (w *Watcher) reroute(now time.Time) {
	if !w.rerouted || w.gathering || now.Before(w.readable) || !w.last.LinkUp {
		return
	}
	w.rerouted, w.gathering = false, true
	t := w.last.tree
	go func() { w.gathered <- w.gather(t) }()
}

// adopt takes over the gateways. They are not read again before a hundred times as long has
// passed as that took. It reports whether there is news for a look.
func (w *Watcher) adopt(g gathering) bool {
	w.readable = time.Now().Add(tickFactor * g.took)
	if g.err != nil {
		w.rerouted = true
		w.log.Debug("read the gateways; once more, soon", zap.Error(g.err))
		if !errors.Is(g.err, netlink.ErrDumpInterrupted) { // that has all but what was changing
			return false
		}
	}
	same := func(g, o Gateway) bool { g.Place = o.Place; return g == o }
	if slices.EqualFunc(g.list, w.last.Gateways, same) {
		return false
	}
	r := *w.last
	r.Gateways = g.list
	w.last = &r
	return true
}

// located are the gateways with what is known of where they are.
func located(gateways []Gateway, neighbours map[Neighbour]Place) []Gateway {
	list := slices.Clone(gateways)
	for i := range list {
		list[i].Place = neighbours[list[i].Neighbour]
	}
	return list
}
