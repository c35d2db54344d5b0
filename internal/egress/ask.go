package egress

import (
	"errors"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// asking says for which next hops to ask.
type asking int

const (
	askNew     asking = iota // those that are missing since this look
	askMissing               // all that are missing
	askAll                   // those that are known too
)

// ask has the kernel ask for next hops: NTF_USE has it do what sending a packet would
// (neigh_add in net/core/neighbour.c). Entries that an administrator has made to last are
// left alone: since Linux 5.16 the question itself makes them ordinary ones, without an
// address if nobody answers (__neigh_update takes NUD_PERMANENT away from what is used).
// r, read at the time now, gets to know of a table that is full.
func (w *Watcher) ask(r *reading, which asking, now time.Time) {
	if !r.LinkUp {
		return
	}
	asked := map[Neighbour]error{}
	if which > askNew {
		w.asked = now
		w.askGateways(r, which, asked)
	}
	for _, ways := range r.ways {
		for i := range ways {
			h := &ways[i]
			n := Neighbour{h.Device, h.Via}
			if !h.Via.IsValid() || r.permanent[n] || h.Known && which < askAll || which < askMissing && h.Asked != now {
				continue
			}
			err, done := asked[n]
			if !done {
				err = w.kernel.NeighSet(question(n))
				asked[n] = err
				if err != nil {
					w.log.Debug("ask for a neighbour", zap.Stringer("address", h.Via), zap.Error(err))
				}
			}
			if !h.Asked.IsZero() { // and so nothing else is wrong
				h.refused = refusal(h.Via, err)
				h.Why = h.refused
			}
		}
	}
}

// remind has the kernel ask for what is missing, without a look: with thousands of addresses
// these are many seconds apart, and it asks three times in as many seconds. It returns how
// long that took.
func (w *Watcher) remind(now time.Time) time.Duration {
	if !w.last.LinkUp || now.Sub(w.asked) < 2*tickInterval { // a tick has done so
		return 0
	}
	w.asked = now
	asked := map[Neighbour]error{}
	w.askGateways(w.last, askMissing, asked)
	for _, ways := range w.last.ways {
		for i := range ways {
			n := Neighbour{ways[i].Device, ways[i].Via}
			if _, done := asked[n]; !done && !ways[i].Asked.IsZero() && !w.last.permanent[n] {
				asked[n] = w.kernel.NeighSet(question(n))
			}
		}
	}
	return time.Since(now)
}

// askGateways asks for the routers, so that one that fails over is found though nothing is
// sent by it but what AF_XDP sends.
func (w *Watcher) askGateways(r *reading, which asking, asked map[Neighbour]error) {
	for i := range r.Gateways {
		n := r.Gateways[i].Neighbour
		if _, known := r.macs[n]; r.permanent[n] || known && which < askAll {
			continue
		}
		asked[n] = w.kernel.NeighSet(question(n))
	}
}

func question(n Neighbour) *netlink.Neigh {
	family := netlink.FAMILY_V4
	if n.Addr.Is6() {
		family = netlink.FAMILY_V6
	}
	return &netlink.Neigh{LinkIndex: n.Device, Family: family, Flags: netlink.NTF_USE, State: netlink.NUD_NONE, IP: n.Addr.AsSlice()}
}

// refusal says why the kernel can't ask for a.
func refusal(a netip.Addr, err error) string {
	switch {
	case !errors.Is(err, unix.ENOBUFS): // neigh_alloc in net/core/neighbour.c
		return ""
	case a.Is4():
		return "neighbour table is full (net.ipv4.neigh.default.gc_thresh3)"
	}
	return "neighbour table is full (net.ipv6.neigh.default.gc_thresh3)"
}
