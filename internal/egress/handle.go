package egress

import (
	"encoding/binary"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// handle asks the kernel about the network namespace of the thread that has made it.
type handle struct {
	*netlink.Handle
	socket *nl.NetlinkSocket // for what the library does not ask
}

func newHandle() (*handle, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	s, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		h.Close()
		return nil, err
	}
	return &handle{h, s}, nil
}

func (h *handle) Close() {
	h.Handle.Close()
	h.socket.Close()
}

// MTUs6 returns the MTUs that IPv6 has on interfaces, by their numbers: they may be less than
// the interfaces' own, since routers announce one (RFC 4861, 4.6.4) and administrators set it.
func (h *handle) MTUs6() (map[int]int, error) {
	list, err := whole(func() ([][]byte, error) {
		r := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_DUMP)
		r.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: h.socket}}
		r.AddData(nl.NewIfInfomsg(unix.AF_INET6))
		return r.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	})
	if err != nil {
		return nil, fmt.Errorf("read the MTUs of IPv6: %w", err)
	}
	mtus := map[int]int{}
	for _, b := range list {
		if index, mtu := parseMTU6(b); mtu != 0 {
			mtus[index] = mtu
		}
	}
	return mtus, nil
}

// parseMTU6 reads a message as inet6_fill_ifinfo of net/ipv6/addrconf.c makes it: one of the
// settings in IFLA_INET6_CONF is the MTU.
func parseMTU6(b []byte) (index, mtu int) {
	const mtu6 = 2 // DEVCONF_MTU6 of include/uapi/linux/ipv6.h
	if len(b) < unix.SizeofIfInfomsg {
		return 0, 0
	}
	index = int(int32(binary.NativeEndian.Uint32(b[4:])))
	for typ, of6 := range attributes(b[unix.SizeofIfInfomsg:]) {
		if typ != unix.IFLA_PROTINFO {
			continue
		}
		for typ, settings := range attributes(of6) {
			if typ == unix.IFLA_INET6_CONF && len(settings) >= 4*(mtu6+1) {
				mtu = int(binary.NativeEndian.Uint32(settings[4*mtu6:]))
			}
		}
	}
	return index, mtu
}
