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
	if r.Gone || !r.LinkUp {
		return
	}
	asked := map[netip.Addr]error{}
	if which > askNew {
		w.askGateways(r, which, asked)
	}
	for a, h := range r.Hops {
		if !h.Via.IsValid() || r.permanent[h.Via] || h.Known && which < askAll || which < askMissing && h.Asked != now {
			continue
		}
		err, done := asked[h.Via]
		if !done {
			err = w.kernel.NeighSet(question(r.Ifindex, h.Via))
			asked[h.Via] = err
			if err != nil {
				w.log.Debug("ask for a neighbour", zap.Stringer("address", h.Via), zap.Error(err))
			}
		}
		if !h.Known {
			h.Why = refusal(h.Via, err)
			r.Hops[a] = h
		}
	}
}

// askGateways asks for the routers, so that one that fails over is found though nothing is
// sent by it but what AF_XDP sends.
func (w *Watcher) askGateways(r *reading, which asking, asked map[netip.Addr]error) {
	for _, g := range r.Gateways {
		if _, known := r.macs[g.Addr]; r.permanent[g.Addr] || known && which < askAll {
			continue
		}
		asked[g.Addr] = w.kernel.NeighSet(question(r.Ifindex, g.Addr))
	}
}

func question(ifindex int, a netip.Addr) *netlink.Neigh {
	family := netlink.FAMILY_V4
	if a.Is6() {
		family = netlink.FAMILY_V6
	}
	return &netlink.Neigh{LinkIndex: ifindex, Family: family, Flags: netlink.NTF_USE, State: netlink.NUD_NONE, IP: a.AsSlice()}
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
