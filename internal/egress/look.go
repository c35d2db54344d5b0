package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// reading is what the tables said at one moment. It is not changed once published.
type reading struct {
	Snapshot
	by        map[netip.Addr]int     // interfaces that the routes of the wanted addresses are by; 0: none
	macs      map[netip.Addr][6]byte // all usable neighbours on the interface
	permanent map[netip.Addr]bool    // neighbours that the kernel never asks for
	stack     map[int]bool           // interfaces whose MAC addresses are in MACs
	moves     []Move                 // since the reading before
}

// Look reads the tables for an interface once, in the calling thread's network
// namespace, and has nobody asked for anything: hops that the kernel does not know just
// now are not Known, without Asked.
func Look(name string, addrs []netip.Addr) (Snapshot, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return Snapshot{}, fmt.Errorf("look at neighbours of %s: %w", name, err)
	}
	defer h.Close()
	l, err := h.LinkByName(name)
	if err != nil {
		return Snapshot{}, fmt.Errorf("look at neighbours of %s: %w", name, err)
	}
	r, err := look(h, &reading{Snapshot: Snapshot{Ifindex: l.Attrs().Index}}, addrs, scope{all: true}, time.Time{})
	if err != nil {
		return Snapshot{}, fmt.Errorf("look at neighbours of %s: %w", name, err)
	}
	return r.Snapshot, nil
}

// look reads the tables anew as far as the scope goes, at the time now. What could not
// be read, as the error says, is as it was.
func look(k kernel, was *reading, wanted []netip.Addr, s scope, now time.Time) (*reading, error) {
	r := *was
	if err := readLink(k, &r); err != nil || r.Gone {
		return &r, err
	}
	var errs []error
	routes := router{kernel: k, ifindex: r.Ifindex}
	if s.all {
		var err error
		routes.links, err = readMACs(k, &r)
		errs = append(errs, err, readLocal(k, &r), readEphemeral(&r))
	}
	errs = append(errs, readNeighbours(k, &r))
	r.Neighbours, r.moves = remember(was.Neighbours, r.macs)
	r.Gateways = located(was.Gateways, r.Neighbours)

	linked := r.LinkUp && !was.LinkUp
	r.Hops, r.by = make(map[netip.Addr]Hop, len(wanted)), make(map[netip.Addr]int, len(wanted))
	var failed error // the first: one is much like the other
	for _, a := range wanted {
		old, had := was.Hops[a]
		h, by := old, was.by[a]
		if s.all || s.addrs[a] || !had {
			found, foundBy, err := routes.way(a)
			switch {
			case err != nil && failed == nil:
				failed = err
			case err == nil && (r.LinkUp || !old.Via.IsValid()): // else see Snapshot.LinkUp
				h, by = found, foundBy
			}
			if err != nil && !had {
				continue // nothing can be said yet
			}
		}
		r.Hops[a], r.by[a] = r.resolved(h, old, linked, now), by
	}
	return &r, errors.Join(append(errs, failed)...)
}

// resolved completes the way h, which was old, by what is known of its next hop. linked
// tells if the link has just come up.
func (r *reading) resolved(h, old Hop, linked bool, now time.Time) Hop {
	if !h.Via.IsValid() {
		return h
	}
	h.Why, h.Asked = "", time.Time{}
	if h.MAC, h.Known = r.macs[h.Via]; h.Known {
		return h
	}
	h.Asked = now
	if h.Via == old.Via {
		h.MAC, h.Why = old.MAC, old.Why
		if !old.Known && !linked {
			h.Asked = old.Asked
		}
	}
	return h
}
