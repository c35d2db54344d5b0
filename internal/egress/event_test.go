package egress

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// message returns a netlink message of that type and fixed part, with attributes.
func message(typ uint16, fixed []byte, attrs ...[]byte) []byte {
	b := append(make([]byte, unix.SizeofNlMsghdr), fixed...)
	for _, a := range attrs {
		b = append(b, a...)
	}
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], typ)
	return b
}

func attribute(typ uint16, value ...byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofRtAttr+len(value)))
	b = append(binary.NativeEndian.AppendUint16(b, typ), value...)
	return append(b, make([]byte, align(len(b))-len(b))...)
}

func neighbourMessage(typ uint16, family, state, flags byte) []byte {
	return message(typ, []byte{family, 0, 0, 0, 7, 0, 0, 0, state, 0, flags, 0}, attribute(unix.NDA_DST, 10, 0, 0, 11), attribute(unix.NDA_LLADDR, 2, 0, 0, 0, 0, 1))
}

// bridged is about an entry of bridge 9's table.
func bridged(typ uint16) []byte {
	return message(typ, []byte{unix.AF_BRIDGE, 0, 0, 0, 7, 0, 0, 0, unix.NUD_REACHABLE, 0, 0, 0}, attribute(unix.NDA_LLADDR, 2, 0, 0, 0, 0, 1),
		attribute(unix.NDA_MASTER, 9, 0, 0, 0), attribute(unix.NDA_VLAN, 5, 0))
}

func routeMessage(family, bits byte, attrs ...[]byte) []byte {
	return message(unix.RTM_NEWROUTE, []byte{family, bits, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, attrs...)
}

func TestParse(t *testing.T) {
	var (
		all       = event{}
		backend   = netip.MustParseAddr("10.0.0.11")
		known     = event{subject: aboutNeighbour, ifindex: 7, addr: backend, mac: [6]byte{2, 0, 0, 0, 0, 1}}
		unknown   = event{subject: aboutNeighbour, ifindex: 7, addr: backend}
		route     = func(p string) event { return event{subject: aboutRoute, prefix: netip.MustParsePrefix(p)} }
		link      = message(unix.RTM_DELLINK, append([]byte{0, 0, 0, 0, 7, 0, 0, 0}, make([]byte, 8)...))
		header    = append([]byte{0, 0, 0, 0, 7, 0, 0, 0}, make([]byte, 8)...)
		macvlan   = message(unix.RTM_NEWLINK, header, attribute(unix.IFLA_LINK, 2, 0, 0, 0), attribute(unix.IFLA_MTU, 9, 0, 0, 0))
		port      = message(unix.RTM_NEWLINK, header, attribute(unix.IFLA_MASTER, 3, 0, 0, 0), attribute(unix.IFLA_ADDRESS, 2, 0, 0, 0, 0, 1))
		veth      = message(unix.RTM_NEWLINK, header, attribute(unix.IFLA_LINK_NETNSID, 0, 0, 0, 0), attribute(unix.IFLA_LINK, 2, 0, 0, 0))
		rule      = message(unix.RTM_NEWRULE, make([]byte, 12))
		reachable = neighbourMessage(unix.RTM_NEWNEIGH, unix.AF_INET, unix.NUD_REACHABLE, 0)
	)
	for _, c := range []struct {
		name string
		b    []byte
		want []event
	}{
		{"neighbour", reachable, []event{known}},
		{"failed neighbour", neighbourMessage(unix.RTM_NEWNEIGH, unix.AF_INET, unix.NUD_FAILED, 0), []event{unknown}},
		{"neighbour that goes", neighbourMessage(unix.RTM_DELNEIGH, unix.AF_INET, unix.NUD_REACHABLE, 0), []event{unknown}},
		{"a network card's own table", neighbourMessage(unix.RTM_NEWNEIGH, unix.AF_BRIDGE, unix.NUD_REACHABLE, 0), nil},
		{"a bridge's table", bridged(unix.RTM_NEWNEIGH), []event{{subject: aboutStation, ifindex: 7, master: 9, vlan: 5, mac: [6]byte{2, 0, 0, 0, 0, 1}}}},
		{"an entry that goes", bridged(unix.RTM_DELNEIGH), []event{{subject: aboutStation, master: 9, vlan: 5, mac: [6]byte{2, 0, 0, 0, 0, 1}}}},
		{"proxied", neighbourMessage(unix.RTM_NEWNEIGH, unix.AF_INET, unix.NUD_PERMANENT, unix.NTF_PROXY), nil},
		{"route", routeMessage(unix.AF_INET, 24, attribute(unix.RTA_DST, 10, 0, 0, 0)), []event{route("10.0.0.0/24")}},
		{"route of IPv6", routeMessage(unix.AF_INET6, 8, attribute(unix.RTA_DST, 0x20, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)), []event{route("2000::/8")}},
		{"default route", routeMessage(unix.AF_INET, 0), []event{route("0.0.0.0/0")}},
		{"default route of IPv6", routeMessage(unix.AF_INET6, 0, attribute(unix.RTA_GATEWAY, make([]byte, 16)...)), []event{route("::/0")}},
		{"multicast route", routeMessage(128, 0), nil},
		{"route with too many bits", routeMessage(unix.AF_INET, 33), []event{all}},
		{"link", link, []event{{subject: aboutLink, ifindex: 7}}},
		{"macvlan", macvlan, []event{{subject: aboutLink, ifindex: 7, carrier: 2}}},
		{"port", port, []event{{subject: aboutLink, ifindex: 7, master: 3}}},
		{"other end in another namespace", veth, []event{{subject: aboutLink, ifindex: 7}}},
		{"rule", rule, []event{all}},
		{"several", slices.Concat(reachable, link, rule), []event{known, {subject: aboutLink, ifindex: 7}, all}},
		{"nothing", nil, nil},
		{"short header", reachable[:10], []event{all}},
		{"too long", append(reachable[:len(reachable):len(reachable)], 255, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), []event{known, all}},
		{"no length", make([]byte, 32), []event{all}},
		{"short neighbour", message(unix.RTM_NEWNEIGH, make([]byte, 11)), []event{all}},
		{"short route", message(unix.RTM_NEWROUTE, make([]byte, 11)), []event{all}},
		{"short link", message(unix.RTM_NEWLINK, make([]byte, 15)), []event{all}},
		{"broken attribute", routeMessage(unix.AF_INET, 0, []byte{200, 0, 1, 0}), []event{route("0.0.0.0/0")}},
	} {
		if got := parse(nil, c.b); !slices.Equal(got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// Whatever the bytes are, what comes of them can be used.
func FuzzParse(f *testing.F) {
	f.Add(neighbourMessage(unix.RTM_NEWNEIGH, unix.AF_INET, unix.NUD_REACHABLE, 0))
	f.Add(routeMessage(unix.AF_INET6, 8, attribute(unix.RTA_DST, make([]byte, 16)...)))
	f.Add(message(unix.RTM_NEWLINK, make([]byte, 16)))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, e := range parse(nil, b) {
			if e.subject == aboutRoute && e.prefix != e.prefix.Masked() || e.subject == aboutNeighbour && !e.addr.IsValid() {
				t.Errorf("%+v", e)
			}
			var s scope
			newIndex(&reading{tree: &tree{}}).mark(&s, &e)
		}
	})
}
