package doctor

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// ownPrefixes returns the machine's addresses with their networks.
func ownPrefixes() (own []netip.Prefix, err error) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLinkLocalUnicast() && !p.Addr().IsLoopback() {
			own = append(own, netip.PrefixFrom(p.Addr().Unmap(), p.Bits()))
		}
	}
	return own, nil
}

// sysctl reads a setting of the calling thread's network namespace, as all of /proc/sys/net is; ok
// is false if there is none.
func sysctl(name string) (value int, ok bool) {
	value, err := strconv.Atoi(readWord("/proc/sys/net/" + name))
	return value, err == nil
}

func lookAtRouting(ports []string) (r Routing) {
	four, _ := sysctl("ipv4/ip_forward")
	six, _ := sysctl("ipv6/conf/all/forwarding")
	r.Forwards4, r.Forwards6 = four != 0, six != 0
	all, _ := sysctl("ipv4/conf/all/rp_filter")
	for _, name := range ports {
		own, ok := sysctl("ipv4/conf/" + name + "/rp_filter")
		if ok && max(own, all) == 1 { // IN_DEV_RPFILTER of include/linux/inetdevice.h
			r.Strict = append(r.Strict, name)
		}
	}
	text, _ := os.ReadFile("/proc/thread-self/net/netstat")
	r.Filtered = counted(string(text), "TcpExt:", "IPReversePathFilter")
	return r
}

// counted returns a counter of /proc/net/netstat, where a line of names has one of values below.
func counted(text, group, name string) uint64 {
	var names []string
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != group {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		for i := range min(len(names), len(fields)) {
			if names[i] == name {
				n, _ := strconv.ParseUint(fields[i], 10, 64)
				return n
			}
		}
	}
	return 0
}

// Attributes of a neighbour table (include/uapi/linux/neighbour.h).
const (
	ndtaName    = 1
	ndtaThresh2 = 3
	ndtaThresh3 = 4
	ndtaConfig  = 6
)

// lookAtNeighbours asks by netlink: only the first network namespace has the settings in
// /proc/sys.
func lookAtNeighbours() (n Neighbours) {
	r := nl.NewNetlinkRequest(unix.RTM_GETNEIGHTBL, unix.NLM_F_DUMP)
	r.AddRawData(make([]byte, 4)) // struct ndtmsg
	replies, err := r.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWNEIGHTBL)
	if err != nil {
		return n
	}
	for _, reply := range replies {
		readNeighbourTable(&n, reply)
	}
	return n
}

// readNeighbourTable reads one table's message, or the settings of one interface in it, which has
// no thresholds (neightbl_fill_info of net/core/neighbour.c).
func readNeighbourTable(n *Neighbours, reply []byte) {
	attrs, err := nl.ParseRouteAttr(reply[min(4, len(reply)):])
	if err != nil {
		return
	}
	name, soft, hard, entries := "", 0, 0, 0
	for _, a := range attrs {
		switch v := a.Value; a.Attr.Type & nl.NLA_TYPE_MASK {
		case ndtaName:
			name = unix.ByteSliceToString(v)
		case ndtaThresh2:
			soft = number(v)
		case ndtaThresh3:
			hard = number(v)
		case ndtaConfig: // struct ndt_config: two lengths of 16 bits, and the number of entries
			entries = number(v[min(4, len(v)):])
		}
	}
	switch {
	case hard == 0:
	case name == "arp_cache":
		n.Entries4, n.Soft4, n.Hard4 = entries, soft, hard
	case name == "ndisc_cache":
		n.Entries6, n.Soft6, n.Hard6 = entries, soft, hard
	}
}

func number(b []byte) int {
	if len(b) < 4 {
		return 0
	}
	return int(binary.NativeEndian.Uint32(b))
}

// sameInterface reports whether sysfs's interface of that name is the one of this network
// namespace.
func sameInterface(name string) bool {
	link, err := netlink.LinkByName(name)
	return err == nil && readWord("/sys/class/net/"+name+"/ifindex") == strconv.Itoa(link.Attrs().Index) &&
		readWord("/sys/class/net/"+name+"/address") == link.Attrs().HardwareAddr.String()
}
