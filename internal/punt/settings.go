package punt

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Settings of an interface, as the kernel numbers them (include/uapi/linux/ip.h and
// ipv6.h). It tells them, and takes those of IPv4, by netlink too: in containers
// /proc/sys can't be written to.
const (
	ipv4Forwarding   = 1
	ipv4RPFilter     = 8
	ipv4AcceptLocal  = 23
	ipv4SrcValidMark = 24

	ipv6Disabled = 26
)

// looseRPFilter has a source pass that any interface leads to (RFC 3704, 2.4). What is
// given back comes by another interface than it came by, so the strict form would have
// none of it pass; and of the device's own setting and that of net.ipv4.conf.all the kernel
// takes the higher one (IN_DEV_RPFILTER in include/linux/inetdevice.h), so 0 would leave
// it to the latter.
const looseRPFilter = 2

// likeServed are the settings that decide whether a packet goes on, which are to be as if
// it had come by the served interface.
var likeServed = []int{ipv4Forwarding, ipv4AcceptLocal, ipv4SrcValidMark}

// settings are those of one interface, by number.
type settings struct{ ipv4, ipv6 []uint32 }

// of returns a setting; 0 if the kernel does not know it.
func of(list []uint32, number int) uint32 {
	if number < len(list) {
		return list[number]
	}
	return 0
}

// differ reports whether any of the settings is not as wanted.
func differ(have []uint32, want map[int]uint32) bool {
	for number, value := range want {
		if of(have, number) != value {
			return true
		}
	}
	return false
}

// kernel asks by a netlink socket, in the namespace that it was opened in.
type kernel struct{ sockets map[int]*nl.SocketHandle }

func newKernel() (*kernel, error) {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE) // to nothing
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	return &kernel{map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: s}}}, nil
}

func (k *kernel) close() { k.sockets[unix.NETLINK_ROUTE].Close() }

// request returns a request about an interface.
func (k *kernel) request(kind, flags, ifindex int) *nl.NetlinkRequest {
	r := nl.NewNetlinkRequest(kind, flags)
	r.Sockets = k.sockets
	m := nl.NewIfInfomsg(unix.AF_UNSPEC)
	m.Index = int32(ifindex)
	r.AddData(m)
	return r
}

// settings reads those of an interface.
func (k *kernel) settings(ifindex int) (s settings, err error) {
	replies, err := k.request(unix.RTM_GETLINK, 0, ifindex).Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err == nil && len(replies) != 1 {
		err = fmt.Errorf("%d replies", len(replies))
	}
	if err != nil {
		return s, fmt.Errorf("read the settings of interface %d: %w", ifindex, err)
	}
	families := attribute(replies[0][unix.SizeofIfInfomsg:], unix.IFLA_AF_SPEC)
	s.ipv4 = words(attribute(attribute(families, unix.AF_INET), unix.IFLA_INET_CONF))
	s.ipv4 = append([]uint32{0}, s.ipv4...) // there is no number 0
	s.ipv6 = words(attribute(attribute(families, unix.AF_INET6), unix.IFLA_INET6_CONF))
	return s, nil
}

// set changes settings of IPv4 of an interface (inet_set_link_af in net/ipv4/devinet.c).
func (k *kernel) set(ifindex int, values map[int]uint32) error {
	r := k.request(unix.RTM_SETLINK, unix.NLM_F_ACK, ifindex)
	spec := nl.NewRtAttr(unix.IFLA_AF_SPEC, nil)
	conf := spec.AddRtAttr(unix.AF_INET, nil).AddRtAttr(unix.IFLA_INET_CONF, nil)
	for number, value := range values {
		conf.AddRtAttr(number, nl.Uint32Attr(value))
	}
	r.AddData(spec)
	if _, err := r.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		return fmt.Errorf("change the settings of interface %d: %w", ifindex, err)
	}
	return nil
}

// Of include/uapi/linux/netconf.h.
const (
	netconfIfindex    = 1
	netconfForwarding = 2
	netconfAll        = -1
)

// forwardsIPv6 reports whether the kernel forwards packets of IPv6: that is one setting
// for all interfaces (ip6_forward in net/ipv6/ip6_output.c).
func (k *kernel) forwardsIPv6() (bool, error) {
	r := nl.NewNetlinkRequest(unix.RTM_GETNETCONF, 0)
	r.Sockets = k.sockets
	all := int32(netconfAll)
	header := []byte{unix.AF_INET6, 0, 0, 0}
	r.AddRawData(append(header, nl.NewRtAttr(netconfIfindex, nl.Uint32Attr(uint32(all))).Serialize()...))
	replies, err := r.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWNETCONF)
	if errors.Is(err, unix.EOPNOTSUPP) { // a kernel without IPv6
		return false, nil
	}
	if err == nil && len(replies) != 1 {
		err = fmt.Errorf("%d replies", len(replies))
	}
	if err != nil {
		return false, fmt.Errorf("ask whether IPv6 is forwarded: %w", err)
	}
	return of(words(attribute(replies[0][len(header):], netconfForwarding)), 0) != 0, nil
}

// attribute returns the value of an attribute in a list of them; nothing if it is not there.
func attribute(list []byte, kind uint16) []byte {
	attributes, err := nl.ParseRouteAttrAsMap(list)
	if err != nil {
		return nil
	}
	return attributes[kind].Value
}

// words takes b for numbers as the kernel has them.
func words(b []byte) (list []uint32) {
	for ; len(b) >= 4; b = b[4:] {
		list = append(list, binary.NativeEndian.Uint32(b))
	}
	return list
}
