package egress

import (
	"maps"
	"net"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/afxlb/afxlb/internal/lab"
)

// device is an interface of number i; on is what it is on or ends at, and master what it
// is a port of.
func device(i int, kind string, on, master int) *netlink.GenericLink {
	a := netlink.LinkAttrs{Index: i, ParentIndex: on, MasterIndex: master, NetNsID: -1, Flags: net.FlagUp,
		HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, byte(i)}}
	return &netlink.GenericLink{LinkAttrs: a, LinkType: kind}
}

func down(l *netlink.GenericLink) *netlink.GenericLink {
	l.Flags = 0
	return l
}

func elsewhere(l *netlink.GenericLink) *netlink.GenericLink {
	l.NetNsID = 0
	return l
}

// For whose MAC addresses the kernel takes the frames of interface 2.
func TestStack(t *testing.T) {
	served := device(2, "", 0, 0)
	for _, c := range []struct {
		name  string
		links []netlink.Link
		also  []int
	}{
		{"alone", []netlink.Link{served, device(3, "", 0, 0)}, nil},
		{"VRRP", []netlink.Link{served, device(3, "macvlan", 2, 0), device(4, "macvlan", 2, 0)}, []int{3, 4}},
		{"VRRP that is down", []netlink.Link{served, down(device(3, "macvlan", 2, 0))}, nil},
		{"on another interface", []netlink.Link{served, device(3, "", 0, 0), device(4, "macvlan", 3, 0)}, nil},
		{"a container's", []netlink.Link{served, elsewhere(device(3, "macvlan", 2, 0))}, nil},
		{"a guest's", []netlink.Link{served, device(3, "macvtap", 2, 0)}, nil},
		{"a tunnel", []netlink.Link{served, device(3, "vxlan", 2, 4), device(4, "bridge", 0, 0)}, nil},
		{"a VLAN, and VRRP on it", []netlink.Link{served, device(4, "macvlan", 3, 0), device(3, "vlan", 2, 0)}, []int{3, 4}},
		{"a port of a bridge", []netlink.Link{device(2, "", 0, 5), device(5, "bridge", 0, 0), device(6, "veth", 0, 5), device(7, "vlan", 5, 0)}, []int{5, 7}},
		{"a port of a bridge that is down", []netlink.Link{device(2, "", 0, 5), down(device(5, "bridge", 0, 0))}, nil},
		{"in a VRF", []netlink.Link{device(2, "", 0, 5), device(5, "vrf", 0, 0)}, nil},
		{"a bond's", []netlink.Link{device(2, "", 0, 5), device(3, "", 0, 5), device(5, "bond", 0, 0)}, []int{5}},
		{"a bond", []netlink.Link{device(2, "bond", 0, 0), device(5, "", 0, 2), device(6, "", 0, 2)}, []int{5, 6}},
		{"a bridge", []netlink.Link{device(2, "bridge", 0, 0), device(5, "veth", 9, 2), device(9, "", 0, 0)}, []int{5}},
		{"a VLAN on a bond", []netlink.Link{device(2, "vlan", 5, 0), device(5, "bond", 0, 0), device(6, "", 0, 5), device(7, "vlan", 5, 0)}, []int{5, 6}},
		{"a macvlan", []netlink.Link{device(2, "macvlan", 5, 0), device(5, "", 0, 0)}, nil},
		{"a veth, its other end here too", []netlink.Link{device(2, "veth", 3, 0), device(3, "veth", 2, 0)}, nil},
		{"not in the list", nil, nil},
	} {
		want := append([]int{2}, c.also...)
		if got := slices.Sorted(maps.Keys(stack(c.links, 2))); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", c.name, got, want)
		}
	}
}

// links is a kernel that has only these.
type links struct {
	kernel
	list []netlink.Link
	err  error
}

func (l links) LinkList() ([]netlink.Link, error) { return l.list, l.err }

func (links) MTUs6() (map[int]int, error) { return nil, nil }

// busy is a kernel in which so many lists of interfaces meet a change.
type busy struct {
	links
	changes int
}

func (b *busy) LinkList() ([]netlink.Link, error) {
	if b.changes--; b.changes >= 0 {
		return b.list[:1], netlink.ErrDumpInterrupted
	}
	return b.list, nil
}

func TestListLinksAnew(t *testing.T) {
	two := links{list: []netlink.Link{device(2, "", 0, 0), device(3, "", 0, 0)}}
	for changes, ok := range map[int]bool{0: true, 1: true, 2: true, 3: false} {
		got, err := whole((&busy{two, changes}).LinkList)
		if (err == nil) != ok || ok && len(got) != 2 {
			t.Errorf("%d changes: %v, %v", changes, got, err)
		}
	}
}

// So are the addresses.
func (b *busy) AddrList(netlink.Link, int) ([]netlink.Addr, error) {
	if b.changes--; b.changes >= 0 {
		return nil, netlink.ErrDumpInterrupted
	}
	return []netlink.Addr{{IPNet: netlink.NewIPNet(net.IPv4(10, 0, 0, 1))}}, nil
}

func TestAddressesAnew(t *testing.T) {
	var r reading
	if err := readLocal(&busy{changes: 2}, &r); err != nil || len(r.Local) != 1 {
		t.Errorf("%v, %v", r.Local, err)
	}
}

// The MAC addresses of a port, each once, and the port's own first. What is not there keeps
// what it had.
func TestReadPorts(t *testing.T) {
	own := [6]byte{2, 0, 0, 0, 0, 2}
	twice := device(4, "macvlan", 2, 0)
	twice.HardwareAddr = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	none := device(5, "macvlan", 2, 0)
	none.HardwareAddr = nil
	port := device(2, "", 0, 0)
	port.Name, port.MTU, port.OperState = "eth0", 1500, netlink.OperUp
	list := []netlink.Link{port, device(1, "macvlan", 2, 0), twice, none, device(6, "vlan", 2, 0)}
	got := readPorts([]Port{{Name: "eth0"}, {Name: "eth1", Ifindex: 9, Up: true, MAC: own}}, list)
	want := []Port{
		{Name: "eth0", Ifindex: 2, Up: true, MTU: 1500, MAC: own, MACs: [][6]byte{own, {2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 6}}},
		{Name: "eth1", Why: "the interface is not there", MAC: own},
	}
	if !slices.EqualFunc(got, want, Port.equal) {
		t.Errorf("%+v, want %+v", got, want)
	}
	port.Name, port.OperState = "lan0", netlink.OperLowerLayerDown // it is the same under another name
	want[0].Up, want[0].Why = false, "no carrier"
	if got = readPorts(got, list); !slices.EqualFunc(got, want, Port.equal) {
		t.Errorf("renamed: %+v, want %+v", got, want)
	}
	port.HardwareAddr = nil
	if got = readPorts(got, list); len(got[0].MACs) > 0 || got[0].MAC != [6]byte{} {
		t.Errorf("without a MAC address: %+v", got[0])
	}
	if up, why := anyUp(got); up || why != "eth0: no carrier; eth1: the interface is not there" {
		t.Errorf("up %v, %q", up, why)
	}
}

// A device above the interface that comes, goes up and down and goes, and another MAC
// address of the interface itself, are followed.
func TestMACsAreFollowed(t *testing.T) {
	w := watch(t)
	own, vrrp := mac(t, w.lab.Balancer), [6]byte{0, 0, 0x5e, 0, 1, 10}
	are := func(what string, want ...[6]byte) {
		t.Helper()
		w.until(what, func(s Snapshot) bool { return slices.Equal(s.Ports[0].MACs, want) })
	}
	are("its own", own)
	if err := w.lab.Balancer.AddVRRP("vrrp", vrrp[:]); err != nil {
		t.Fatal(err)
	}
	are("VRRP's", own, vrrp)
	for _, up := range []bool{false, true} {
		if err := w.lab.Balancer.SetLink("vrrp", up); err != nil {
			t.Fatal(err)
		}
		if up {
			are("VRRP's, up again", own, vrrp)
		} else {
			are("VRRP's, down", own)
		}
	}
	h := w.lab.Balancer.Netlink()
	link, err := h.LinkByName(lab.Interface)
	if err != nil {
		t.Fatal(err)
	}
	other := [6]byte{2, 0, 0, 0, 0, 0x42}
	if err := h.LinkSetHardwareAddr(link, other[:]); err != nil {
		t.Fatal(err)
	}
	are("another of its own", other, vrrp)
	if link, err = h.LinkByName("vrrp"); err != nil {
		t.Fatal(err)
	}
	if err := h.LinkDel(link); err != nil {
		t.Fatal(err)
	}
	are("without VRRP", other)
}
