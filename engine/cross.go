package engine

import (
	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
)

// Most packets leave by the port that they came by, without VLAN tags, as they came. What
// is here is for all others.

// seen remembers the tags that a worker has met last: frames with the same ones come in
// rows.
type seen struct {
	link balancer.Link
	word uint64 // its hop word, without a MAC address
}

// origin returns the hop word of where packet i comes from.
func (w *worker) origin(i int) uint64 {
	if w.packets[i].Tagged() {
		return w.tagged(i)
	}
	return packet.SourceWord(w.frames[i]) | w.in
}

// tagged is origin for a packet with VLAN tags. It is NoHop if there is no room for one
// more VLAN.
//
//go:noinline
func (w *worker) tagged(i int) uint64 {
	frame := w.frames[i]
	link := balancer.Link{Port: w.port, Tags: packet.ReadTags(frame, &w.packets[i])}
	if link != w.seen.link {
		id, ok := w.table.Links.Seen(link)
		if !ok {
			return balancer.NoHop
		}
		w.seen = seen{link, id.Word(0)}
	}
	return packet.SourceWord(frame) | w.seen.word
}

// stays reports whether packet i leaves as most do, if next is where it goes.
func (w *worker) stays(i int, next uint64) bool {
	return (next^w.in)>>48 == 0 && !w.packets[i].Tagged()
}

// fits reports whether packet i, made longer by so many bytes, can go to the hop next. If
// not, mtu is what its link takes.
func (w *worker) fits(i int, next uint64, more int) (mtu int, ok bool) {
	if balancer.Spreads(next) {
		next, _ = w.way(i, next)
	}
	link := w.table.Links.At(balancer.HopLink(next))
	mtu = w.table.Ports[link.Port].MTU
	if link.MTU != 0 {
		mtu = int(link.MTU)
	}
	p := &w.packets[i]
	return mtu, mtu == 0 || int(p.End-p.L3)+more <= mtu
}

// cross has packet i leave for the hop next, whatever its port and tags are, with an
// Ethernet header made anew. The source is the port's MAC address if it is 0. It returns
// false, with the packet as it came, if its frame has no room for that.
//
//go:noinline
func (w *worker) cross(i int, next, source uint64) bool {
	if balancer.Spreads(next) {
		next, source = w.way(i, next)
	}
	link, p := w.table.Links.At(balancer.HopLink(next)), &w.packets[i]
	if !w.resize(i, link.Tags.EthernetLen()-int(p.L3)) {
		return false
	}
	if source == 0 {
		source = w.table.Ports[link.Port].MAC.Word()
	}
	packet.PutEthernet(w.frames[i], balancer.HopMAC(next), source, &link.Tags, p.IPv6)
	if link.Port != w.port {
		w.across.leaveBy(i, link.Port)
	}
	return true
}

// waySeed has no meaning, but that backends and ways are chosen by different hashes.
const waySeed = 0x77617973

// way returns the way that packet i takes of the several that next stands for, and the
// source of its frame: all packets of a flow that are not fragments take the same.
func (w *worker) way(i int, next uint64) (one, source uint64) {
	return w.table.Way(next, w.packets[i].Key.Hash(waySeed))
}

// resize has the frame of packet i begin n bytes earlier, or later if n is negative; what
// was found in it moves along. It returns false, with nothing changed, if there is no room.
func (w *worker) resize(i, n int) bool {
	frame, ok := w.socket.UMEM().Shift(&w.descs[i], n)
	if !ok {
		return false
	}
	p := &w.packets[i]
	p.L3, p.L4, p.End = p.L3+uint16(n), p.L4+uint16(n), p.End+uint16(n)
	w.frames[i] = frame
	return true
}
