package egress

import (
	"math/bits"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ownAddress is one of the machine's own addresses that it may send from.
type ownAddress struct {
	device int
	on     netip.Prefix // the address with its network's mask
}

// noteOwn adds an address, as the kernel tells it, if it is one to send from: no link's or
// loopback's, no second one of its network nor one for privacy, which have the same flag, and
// none that is about to come or to go.
func (r *reading) noteOwn(a *netlink.Addr, ip netip.Addr) {
	const unfit = unix.IFA_F_SECONDARY | unix.IFA_F_DEPRECATED | unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED
	if a.Scope != unix.RT_SCOPE_UNIVERSE || a.Flags&unfit != 0 {
		return
	}
	ones, _ := a.Mask.Size()
	r.own = append(r.own, ownAddress{a.LinkIndex, netip.PrefixFrom(ip, ones)})
}

// ownTo returns the own address that packets for a come from that go by h: the one that the
// route names; or of those on its device, or else on any, the one whose network the next hop is
// in (inet_select_addr in net/ipv4/devinet.c), in IPv6 the one that is nearest to a (RFC 6724,
// 5, rules 5 and 8), or the first. It is invalid if there is none.
func (r *reading) ownTo(a netip.Addr, h *Hop) (own netip.Addr) {
	if from, ok := r.from[a]; ok || !h.Via.IsValid() {
		return from
	}
	best := -1
	for _, o := range r.own {
		if o.on.Addr().Is4() != a.Is4() {
			continue
		}
		score := 0
		switch {
		case a.Is6():
			score = common(o.on.Addr(), a)
		case o.on.Contains(h.Via):
			score = 1
		}
		if o.device == h.Device {
			score += 256
		}
		if score > best {
			own, best = o.on.Addr(), score
		}
	}
	return own
}

// common returns how many bits two IPv6 addresses have in common at their beginnings.
func common(a, b netip.Addr) int {
	x, y := a.As16(), b.As16()
	for i := range x {
		if d := x[i] ^ y[i]; d != 0 {
			return i*8 + bits.LeadingZeros8(d)
		}
	}
	return len(x) * 8
}
