package announce

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// lifetime is how long an address on an interface outlives who holds it. It is renewed three
// times in that time.
const lifetime = time.Minute

// mark, with the seat's number, is the metric of addresses on interfaces that are this
// package's. The kernel has a metric for the route to an address's network (IFA_RT_PRIORITY,
// since Linux 4.18); an address without such a route keeps it for nothing, and that is what
// it can be known by: addresses have no other word of their own in all kernels.
const mark = 0xafb10000

// address is one of the machine's own, as the kernel has it.
type address struct {
	netip.Prefix
	device int
	mark   uint32 // 0: none
}

// addresses returns all of the network namespace of the calling thread.
func addresses() (list []address, err error) {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		req := nl.NewNetlinkRequest(unix.RTM_GETADDR, unix.NLM_F_DUMP)
		req.AddData(nl.NewIfAddrmsg(family))
		msgs, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWADDR)
		if err != nil {
			return nil, fmt.Errorf("list the machine's addresses: %w", err)
		}
		for _, m := range msgs {
			if a, ok := parseAddress(m); ok {
				list = append(list, a)
			}
		}
	}
	return list, nil
}

// parseAddress reads an answer of the kernel's.
func parseAddress(m []byte) (a address, ok bool) {
	if len(m) < unix.SizeofIfAddrmsg {
		return a, false
	}
	msg := nl.DeserializeIfAddrmsg(m)
	attrs, err := nl.ParseRouteAttr(m[msg.Len():])
	if err != nil {
		return a, false
	}
	a.device = int(msg.Index)
	for _, attr := range attrs {
		switch attr.Attr.Type {
		case unix.IFA_ADDRESS:
			if ip, ok := netip.AddrFromSlice(attr.Value); ok && !a.IsValid() {
				a.Prefix = netip.PrefixFrom(ip, int(msg.Prefixlen))
			}
		case unix.IFA_LOCAL: // of IPv4, where the other one may be a peer's
			if ip, ok := netip.AddrFromSlice(attr.Value); ok {
				a.Prefix = netip.PrefixFrom(ip, int(msg.Prefixlen))
			}
		case unix.IFA_RT_PRIORITY:
			if len(attr.Value) == 4 {
				a.mark = nl.NativeEndian().Uint32(attr.Value)
			}
		}
	}
	return a, a.IsValid()
}

// put gives a device an address, or renews it. It is alone in its network, so that no route
// comes with it. With a mark it is one on an interface: it has a lifetime, and is of the host's
// scope, or deprecated, so that the machine's own connections do not come from it.
func put(device int, a netip.Addr, mark uint32) error {
	req, msg := request(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE|unix.NLM_F_ACK, device, a)
	flags := uint32(unix.IFA_F_NOPREFIXROUTE)
	switch {
	case a.Is6():
		flags |= unix.IFA_F_NODAD // who has it has been asked for already
	case mark != 0:
		msg.Scope = unix.RT_SCOPE_HOST
	}
	req.AddData(nl.NewRtAttr(unix.IFA_FLAGS, nl.Uint32Attr(flags)))
	if mark != 0 {
		// struct ifa_cacheinfo: preferred and valid in seconds, and two times of the kernel's own.
		life := make([]byte, 16)
		binary.NativeEndian.PutUint32(life[4:], uint32(lifetime/time.Second))
		req.AddData(nl.NewRtAttr(unix.IFA_CACHEINFO, life))
		req.AddData(nl.NewRtAttr(unix.IFA_RT_PRIORITY, nl.Uint32Attr(mark)))
	}
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		return fmt.Errorf("give the machine the address %v: %w", a, err)
	}
	return nil
}

// remove takes an address from a device; one that is not there any more is no error.
func remove(device int, a netip.Addr) error {
	req, _ := request(unix.RTM_DELADDR, unix.NLM_F_ACK, device, a)
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("take the address %v away: %w", a, err)
	}
	return nil
}

// request returns a request about an address, whose message is not complete before it is sent.
func request(what, flags, device int, a netip.Addr) (*nl.NetlinkRequest, *nl.IfAddrmsg) {
	family := unix.AF_INET
	if a.Is6() {
		family = unix.AF_INET6
	}
	req, msg := nl.NewNetlinkRequest(what, flags), nl.NewIfAddrmsg(family)
	msg.Prefixlen, msg.Index = uint8(a.BitLen()), uint32(device)
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.IFA_LOCAL, a.AsSlice()))
	req.AddData(nl.NewRtAttr(unix.IFA_ADDRESS, a.AsSlice()))
	return req, msg
}
