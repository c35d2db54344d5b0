package egress

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Nexthop objects (ip nexthop; include/uapi/linux/nexthop.h). With net.ipv4.nexthop_compat_mode=0
// the kernel says of a route by one nothing but its number, and the library does not read that.

const (
	rtaNhID     = 30 // RTA_NH_ID of include/uapi/linux/rtnetlink.h
	sizeofNhMsg = 8  // struct nhmsg
	sizeofGroup = 8  // struct nexthop_grp
)

// Nexthops returns the next hops of the object that the route to a is by: those of its group, if
// it is one.
func (h *handle) Nexthops(a netip.Addr) ([]*netlink.NexthopInfo, error) {
	id, err := h.nexthopID(a)
	if err != nil {
		return nil, err
	}
	one, group, err := h.nexthop(id)
	if err != nil || group == nil {
		return []*netlink.NexthopInfo{one}, err
	}
	var list []*netlink.NexthopInfo
	for ; len(group) >= sizeofGroup; group = group[sizeofGroup:] {
		one, _, err := h.nexthop(binary.NativeEndian.Uint32(group))
		if err != nil {
			return nil, err
		}
		one.Hops = int(group[4]) | int(group[5])<<8 // one less than the weight, as of a route's own; since Linux 6.12 of 16 bits
		list = append(list, one)
	}
	if len(list) == 0 {
		err = fmt.Errorf("nexthop object %d is a group of none", id)
	}
	return list, err
}

// nexthopID returns the number of the nexthop object that the route to a is by.
func (h *handle) nexthopID(a netip.Addr) (id uint32, err error) {
	m := nl.NewRtMsg()
	m.Family, m.Dst_len, m.Flags = unix.AF_INET, uint8(a.BitLen()), unix.RTM_F_FIB_MATCH
	if a.Is6() {
		m.Family = unix.AF_INET6
	}
	b, err := h.ask(unix.RTM_GETROUTE, unix.RTM_NEWROUTE, append(m.Serialize(), nl.NewRtAttr(unix.RTA_DST, a.AsSlice()).Serialize()...))
	if err != nil {
		return 0, err
	}
	for typ, value := range attributes(b[min(unix.SizeofRtMsg, len(b)):]) {
		if typ == rtaNhID && len(value) == 4 {
			id = binary.NativeEndian.Uint32(value)
		}
	}
	if id == 0 {
		err = errors.New("the route has neither a next hop nor a nexthop object")
	}
	return id, err
}

// nexthop returns an object's next hop, or the entries of its group.
func (h *handle) nexthop(id uint32) (one *netlink.NexthopInfo, group []byte, err error) {
	b, err := h.ask(unix.RTM_GETNEXTHOP, unix.RTM_NEWNEXTHOP, append(make([]byte, sizeofNhMsg), nl.NewRtAttr(unix.NHA_ID, nl.Uint32Attr(id)).Serialize()...))
	if err == nil && len(b) < sizeofNhMsg {
		err = errors.New("the answer is too short")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("nexthop object %d: %w", id, err)
	}
	one = &netlink.NexthopInfo{Flags: int(binary.NativeEndian.Uint32(b[4:]))}
	for typ, value := range attributes(b[sizeofNhMsg:]) {
		switch {
		case typ == unix.NHA_OIF && len(value) == 4:
			one.LinkIndex = int(binary.NativeEndian.Uint32(value))
		case typ == unix.NHA_GATEWAY:
			one.Gw = net.IP(value)
		case typ == unix.NHA_ENCAP_TYPE:
			one.Encap = &netlink.MPLSEncap{} // of whatever kind
		case typ == unix.NHA_GROUP:
			group = value
		}
	}
	return one, group, nil
}

// ask sends a request and returns its one answer, without the header.
func (h *handle) ask(request int, answer uint16, body []byte) ([]byte, error) {
	r := nl.NewNetlinkRequest(request, 0)
	r.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: h.socket}}
	r.AddRawData(body)
	list, err := r.Execute(unix.NETLINK_ROUTE, answer)
	if err == nil && len(list) != 1 {
		err = fmt.Errorf("%d answers", len(list))
	}
	if err != nil {
		return nil, err
	}
	return list[0], nil
}
