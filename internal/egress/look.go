package egress

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// reading is what the tables said at one moment. It is not changed once published.
type reading struct {
	Snapshot
	left      []string // interfaces for which there is no room
	tree      *tree
	ways      map[netip.Addr][]Hop      // to the wanted addresses, at least one each
	from      map[netip.Addr]netip.Addr // own addresses that the routes to them name to send from
	own       []ownAddress
	macs      map[Neighbour][6]byte // all usable neighbours
	permanent map[Neighbour]bool    // neighbours that the kernel never asks for
	moves     []Move                // since the reading before
}

// unread is the reading of a watcher that has not looked yet.
func unread(named, ports []string) *reading {
	r := &reading{Snapshot: Snapshot{Named: named}, tree: &tree{}}
	for _, name := range ports {
		r.Ports = append(r.Ports, Port{Name: name})
	}
	return r
}

// Look reads the tables for what is named once, in the calling thread's network namespace, and
// has nobody asked for anything: hops that the kernel does not know just now are not Known,
// without Asked.
func Look(named []string, addrs []netip.Addr) (Snapshot, error) {
	h, err := newHandle()
	if err != nil {
		return Snapshot{}, fmt.Errorf("look at routes and neighbours: %w", err)
	}
	defer h.Close()
	r, err := look(h, unread(named, nil), addrs, scope{all: true}, time.Time{})
	if err != nil {
		return Snapshot{}, fmt.Errorf("look at routes and neighbours: %w", err)
	}
	r.choose()
	return r.Snapshot, nil
}

// look reads the tables anew as far as the scope goes, at the time now. What could not
// be read, as the error says, is as it was. The Hops are still to be chosen.
func look(k kernel, was *reading, wanted []netip.Addr, s scope, now time.Time) (*reading, error) {
	r := *was
	var errs []error
	if s.all {
		errs = append(errs, readLinks(k, &r), readLocal(k, &r), readEphemeral(&r))
	}
	errs = append(errs, readNeighbours(k, &r))
	r.Neighbours, r.moves = remember(was.Neighbours, r.places())
	r.Gateways = located(was.Gateways, r.Neighbours)

	linked := r.LinkUp && !was.LinkUp
	r.ways, r.from = make(map[netip.Addr][]Hop, len(wanted)), map[netip.Addr]netip.Addr{}
	var failed error // the first: one is much like the other
	for _, a := range wanted {
		old, had := was.ways[a]
		list, from := old, was.from[a]
		if s.all || s.addrs[a] || !had {
			found, named, err := r.tree.route(k, a)
			switch {
			case err != nil && failed == nil:
				failed = err
			case err == nil && (r.LinkUp || !had || !old[0].Via.IsValid()): // else see Snapshot.LinkUp
				list, from = found, named
			}
			if err != nil && !had {
				continue // nothing can be said yet
			}
		}
		r.ways[a] = r.resolve(list, old, linked, now)
		if from.IsValid() {
			r.from[a] = from
		}
	}
	if !s.all && errors.Is(failed, errUnread) {
		return look(k, was, wanted, scope{all: true}, now)
	}
	return &r, errors.Join(append(errs, failed)...)
}

// resolve returns the ways with what is known of their next hops. old are those of the
// reading before; linked tells if the first port has just come up.
func (r *reading) resolve(ways, old []Hop, linked bool, now time.Time) []Hop {
	list := make([]Hop, len(ways))
	for i, h := range ways {
		var was Hop
		for j := range old {
			if old[j].Device == h.Device && old[j].Via == h.Via {
				was = old[j]
			}
		}
		list[i] = r.resolved(h, was, linked, now)
	}
	return list
}

func (r *reading) resolved(h, old Hop, linked bool, now time.Time) Hop {
	if !h.Via.IsValid() {
		return h
	}
	mac, has := r.macs[Neighbour{h.Device, h.Via}]
	e := r.tree.down(h.Device, mac)
	if has && !e.known && e.why == "" && old.Known && old.MAC == mac {
		// A bridge has forgotten, and would ask all its ports: the last that it knew is likely to be it.
		e.link, e.known = old.Link, true
	}
	h.Why, h.refused, h.Asked = e.why, "", time.Time{}
	if e.known && r.LinkUp && !r.Ports[e.link.Port].Up {
		h.Why = fmt.Sprintf("%s: %s", r.Ports[e.link.Port].Name, r.Ports[e.link.Port].Why)
	}
	if h.MTU = e.mtu; h.limit > 0 {
		h.MTU = min(h.MTU, h.limit)
	}
	if l := r.tree.at[h.Device]; l != nil {
		h.Source = macOf(l)
	}
	if h.Known = has && e.known && h.Why == ""; h.Known {
		h.MAC, h.Link = mac, e.link
		return h
	}
	h.MAC, h.Link = old.MAC, old.Link
	if h.Why != "" {
		return h
	}
	h.Asked = now
	if h.refused = old.refused; !old.Asked.IsZero() && !linked {
		h.Asked = old.Asked
	}
	h.Why = cmp.Or(h.Why, h.refused)
	return h
}

// choose puts the ways into the Snapshot.
func (r *reading) choose() {
	r.Hops, r.Ways, r.Own = make(map[netip.Addr]Hop, len(r.ways)), nil, make(map[netip.Addr]netip.Addr, len(r.ways))
	for a, list := range r.ways {
		h := choose(a, list)
		r.Hops[a] = h
		if own := r.ownTo(a, &h); own.IsValid() {
			r.Own[a] = own
		}
		if len(list) > 1 {
			if r.Ways == nil {
				r.Ways = map[netip.Addr][]Hop{}
			}
			r.Ways[a] = list
		}
	}
}
