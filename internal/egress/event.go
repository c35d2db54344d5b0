package egress

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// subject is what an event is about.
type subject uint8

const (
	aboutAll       subject = iota // anything: a rule, an own address, a lost message
	aboutLink                     // an interface
	aboutNeighbour                // an entry of a neighbour table
	aboutStation                  // an entry of a bridge's forwarding table
	aboutRoute                    // a route
)

// event is what a netlink message says, as far as it matters here.
type event struct {
	subject
	ifindex int          // of the link or the neighbour; of the bridge's port, 0 if the entry goes
	carrier int          // of the link: what it is on, if anything (IFLA_LINK)
	master  int          // of the link, the bridge's port: what it is a port of, if anything (IFLA_MASTER)
	addr    netip.Addr   // the neighbour's
	name    string       // the link's
	mac     [6]byte      // the neighbour's, if it is usable; else zero. The station's
	vlan    int          // the station's
	prefix  netip.Prefix // the route's destination
}

// parse appends the events of one datagram of the kernel's. What can't be read may be
// about anything; what concerns nobody here is left out.
func parse(events []event, b []byte) []event {
	for len(b) > 0 {
		if len(b) < unix.SizeofNlMsghdr {
			return append(events, event{})
		}
		n := int(binary.NativeEndian.Uint32(b))
		if n < unix.SizeofNlMsghdr || n > len(b) {
			return append(events, event{})
		}
		if e, ok := parseMessage(binary.NativeEndian.Uint16(b[4:]), b[unix.SizeofNlMsghdr:n]); ok {
			events = append(events, e)
		}
		b = b[min(align(n), len(b)):]
	}
	return events
}

func parseMessage(typ uint16, b []byte) (e event, ok bool) {
	switch typ {
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		return parseNeighbour(b, typ == unix.RTM_DELNEIGH)
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		return parseRoute(b)
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		return parseLink(b)
	}
	return event{}, true
}

func parseLink(b []byte) (e event, ok bool) {
	if len(b) < unix.SizeofIfInfomsg {
		return event{}, true
	}
	e = event{subject: aboutLink, ifindex: int(int32(binary.NativeEndian.Uint32(b[4:])))}
	elsewhere := false
	for typ, value := range attributes(b[unix.SizeofIfInfomsg:]) {
		if typ == unix.IFLA_IFNAME {
			e.name = unix.ByteSliceToString(value)
		}
		if len(value) != 4 {
			continue
		}
		switch i := int(int32(binary.NativeEndian.Uint32(value))); typ {
		case unix.IFLA_LINK:
			e.carrier = i
		case unix.IFLA_LINK_NETNSID:
			elsewhere = true
		case unix.IFLA_MASTER:
			e.master = i
		}
	}
	if elsewhere { // the number is another namespace's
		e.carrier = 0
	}
	return e, true
}

func parseNeighbour(b []byte, gone bool) (e event, ok bool) {
	if len(b) < unix.SizeofNdMsg {
		return event{}, true
	}
	if b[0] == unix.AF_BRIDGE {
		return parseStation(b, gone)
	}
	if b[0] != unix.AF_INET && b[0] != unix.AF_INET6 || b[10]&unix.NTF_PROXY != 0 {
		return event{}, false // another protocol's, or whom the machine answers for
	}
	e = event{subject: aboutNeighbour, ifindex: int(int32(binary.NativeEndian.Uint32(b[4:])))}
	state := binary.NativeEndian.Uint16(b[8:])
	for typ, value := range attributes(b[unix.SizeofNdMsg:]) {
		switch typ {
		case unix.NDA_DST:
			e.addr, _ = netip.AddrFromSlice(value)
		case unix.NDA_LLADDR:
			if len(value) == len(e.mac) && state&usable != 0 && !gone {
				e.mac = [6]byte(value)
			}
		}
	}
	return e, e.addr.IsValid()
}

// parseStation is parseNeighbour for an entry of a bridge's table (fdb_fill_info in
// net/bridge/br_fdb.c).
func parseStation(b []byte, gone bool) (e event, ok bool) {
	e = event{subject: aboutStation, ifindex: int(int32(binary.NativeEndian.Uint32(b[4:])))}
	if gone {
		e.ifindex = 0
	}
	for typ, value := range attributes(b[unix.SizeofNdMsg:]) {
		switch {
		case typ == unix.NDA_LLADDR && len(value) == len(e.mac):
			e.mac = [6]byte(value)
		case typ == unix.NDA_MASTER && len(value) == 4:
			e.master = int(int32(binary.NativeEndian.Uint32(value)))
		case typ == unix.NDA_VLAN && len(value) == 2:
			e.vlan = int(binary.NativeEndian.Uint16(value))
		}
	}
	return e, e.master != 0 // else it is a network card's own
}

func parseRoute(b []byte) (e event, ok bool) {
	if len(b) < unix.SizeofRtMsg {
		return event{}, true
	}
	var to netip.Addr
	switch b[0] {
	case unix.AF_INET:
		to = netip.IPv4Unspecified()
	case unix.AF_INET6:
		to = netip.IPv6Unspecified()
	default: // of multicast or MPLS
		return event{}, false
	}
	for typ, value := range attributes(b[unix.SizeofRtMsg:]) {
		if a, ok := netip.AddrFromSlice(value); ok && typ == unix.RTA_DST && a.BitLen() == to.BitLen() {
			to = a
		}
	}
	prefix, err := to.Prefix(int(b[1]))
	if err != nil {
		return event{}, true
	}
	return event{subject: aboutRoute, prefix: prefix}, true
}

// typeMask is NLA_TYPE_MASK (include/uapi/linux/netlink.h).
const typeMask = 1<<14 - 1

// attributes are the types and values behind a message's fixed part, up to the first
// that can't be read.
func attributes(b []byte) func(yield func(typ uint16, value []byte) bool) {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofRtAttr {
			n := int(binary.NativeEndian.Uint16(b))
			if n < unix.SizeofRtAttr || n > len(b) {
				return
			}
			if !yield(binary.NativeEndian.Uint16(b[2:])&typeMask, b[unix.SizeofRtAttr:n]) {
				return
			}
			b = b[min(align(n), len(b)):]
		}
	}
}

// align is NLMSG_ALIGN and RTA_ALIGN.
func align(n int) int { return (n + 3) &^ 3 }
