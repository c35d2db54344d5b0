package egress

import (
	"fmt"
	"net"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"pgregory.net/rapid"

	"github.com/afxlb/afxlb/internal/packet"
)

// A world of devices that this kernel may not be able to make. What a number means: 2 and
// 3 are network cards of which a test serves some, 9 is the one that frames are sent by.

func attrs(i int, name string, on, master int) netlink.LinkAttrs {
	return netlink.LinkAttrs{
		Index: i, Name: name, ParentIndex: on, MasterIndex: master, NetNsID: -1, Flags: net.FlagUp, OperState: netlink.OperUp, MTU: 1500,
		HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, byte(i)},
	}
}

func card(i, master int) *netlink.Device {
	return &netlink.Device{LinkAttrs: attrs(i, fmt.Sprint("eth", i-2), 0, master)}
}

func vlan(i, on, id int) *netlink.Vlan {
	return &netlink.Vlan{LinkAttrs: attrs(i, fmt.Sprint("vlan", i), on, 0), VlanId: id, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q}
}

func bond(i int, mode netlink.BondMode, active int) *netlink.Bond {
	return &netlink.Bond{LinkAttrs: attrs(i, fmt.Sprint("bond", i), 0, 0), Mode: mode, ActiveSlave: active, AdInfo: &netlink.BondAdInfo{AggregatorId: 1}}
}

// slave is a card of a bond's.
func slaveOf(bond, i int, s netlink.BondSlave) *netlink.Device {
	c := card(i, bond)
	c.Slave = &s
	return c
}

func bridge(i int, filters bool) *netlink.Bridge {
	return &netlink.Bridge{LinkAttrs: attrs(i, fmt.Sprint("br", i), 0, 0), VlanFiltering: &filters}
}

func noCarrier(c *netlink.Device) *netlink.Device {
	c.OperState = netlink.OperDown
	return c
}

func mtu(l netlink.Link, n int) netlink.Link {
	l.Attrs().MTU = n
	return l
}

var (
	active = netlink.BondSlave{AggregatorId: 1}
	backup = netlink.BondSlave{AggregatorId: 1, State: netlink.BondStateBackup}
	them   = [6]byte{2, 0xff, 0, 0, 0, 1} // who is sent to
)

func tags(vlans ...uint16) (t packet.Tags) {
	for i, v := range vlans {
		t[i] = packet.NewTag(v)
	}
	return t
}

// treeOf serves the interfaces with these numbers.
func treeOf(links []netlink.Link, served ...int) *tree {
	var ports []Port
	for _, i := range served {
		ports = append(ports, Port{Name: fmt.Sprint("eth", i-2), Ifindex: i})
	}
	return newTree(links, ports)
}

func these(list ...netlink.Link) []netlink.Link { return list }

func TestDown(t *testing.T) {
	at := func(port uint8, vlans ...uint16) exit {
		return exit{link: Link{Port: port, Tags: tags(vlans...)}, mtu: 1500, known: true}
	}
	with := func(e exit, mtu int) exit { e.mtu = mtu; return e }
	no := func(why string) exit { return exit{why: why} }
	lacp := netlink.BOND_MODE_802_3AD
	outer := vlan(8, 2, 100)
	outer.VlanProtocol = netlink.VLAN_PROTOCOL_8021AD
	stacked := at(0)
	stacked.link.Tags = packet.Tags{0x88a8<<16 | 100, packet.NewTag(200)}
	foreign := vlan(9, 2, 5)
	foreign.NetNsID = 0
	for _, c := range []struct {
		name   string
		links  []netlink.Link
		served []int
		want   exit
	}{
		{"a port", these(card(9, 0)), []int{9}, at(0)},
		{"the second one", these(card(2, 0), card(9, 0)), []int{2, 9}, at(1)},
		{"another interface", these(card(2, 0), card(9, 0)), []int{2}, no("route is by eth7, which is not served")},
		{"a port that is not there", these(card(9, 0)), []int{0}, no("route is by eth7, which is not served")},

		{"a VLAN", these(card(2, 0), vlan(9, 2, 5)), []int{2}, at(0, 5)},
		{"a VLAN of another interface", these(card(2, 0), card(3, 0), vlan(9, 3, 5)), []int{2}, no("route is by vlan9, which is not served")},
		{"a VLAN of another namespace's", these(card(2, 0), foreign), []int{2}, no("route is by vlan9, which is not served")},
		{"a VLAN in a VLAN", these(card(2, 0), outer, vlan(9, 8, 200)), []int{2}, stacked},
		{"three VLANs", these(card(2, 0), vlan(7, 2, 1), vlan(8, 7, 2), vlan(9, 8, 3)), []int{2}, no("route is by vlan9: that is more than two VLAN tags")},
		{"a VLAN with a smaller MTU", these(card(2, 0), mtu(vlan(9, 2, 5), 1400)), []int{2}, with(at(0, 5), 1400)},
		{"a port with a smaller MTU", these(mtu(card(2, 0), 1300), vlan(9, 2, 5)), []int{2}, with(at(0, 5), 1300)},
		{"a served VLAN", these(card(2, 0), vlan(9, 2, 5)), []int{9}, at(0)},
		{"a macvlan", these(card(2, 0), &netlink.Macvlan{LinkAttrs: attrs(9, "mv9", 2, 0)}), []int{2}, at(0)},
		{"a macvlan on a VLAN", these(card(2, 0), vlan(8, 2, 7), &netlink.Macvlan{LinkAttrs: attrs(9, "mv9", 8, 0)}), []int{2}, at(0, 7)},
		{"what is above a port in another way", these(card(2, 0), &netlink.GenericLink{LinkType: "ipvlan", LinkAttrs: attrs(9, "ipvl9", 2, 0)}), []int{2},
			no("route is by ipvl9, which is above eth0, but no VLAN, macvlan, bond or bridge")},
		{"a loop", these(vlan(9, 8, 5), vlan(8, 9, 5), card(2, 0)), []int{2}, no("route is by vlan9, which is not served")},
		{"nested too deep", these(card(2, 0), &netlink.Macvlan{LinkAttrs: attrs(3, "a", 2, 0)}, &netlink.Macvlan{LinkAttrs: attrs(4, "b", 3, 0)},
			&netlink.Macvlan{LinkAttrs: attrs(5, "c", 4, 0)}, &netlink.Macvlan{LinkAttrs: attrs(6, "d", 5, 0)}, &netlink.Macvlan{LinkAttrs: attrs(7, "e", 6, 0)},
			&netlink.Macvlan{LinkAttrs: attrs(8, "f", 7, 0)}, &netlink.Macvlan{LinkAttrs: attrs(10, "g", 8, 0)}, &netlink.Macvlan{LinkAttrs: attrs(9, "h", 10, 0)}), []int{2},
			no("route is by h: interfaces are nested too deep there")},

		{"a bond's active slave", these(bond(9, netlink.BOND_MODE_ACTIVE_BACKUP, 3), slaveOf(9, 2, backup), slaveOf(9, 3, active)), []int{2, 3}, at(1)},
		{"that is not served", these(bond(9, netlink.BOND_MODE_ACTIVE_BACKUP, 3), slaveOf(9, 2, backup), slaveOf(9, 3, active)), []int{2},
			with(no("route is by bond9: eth1, the active slave of bond9, is not served"), 1500)},
		{"a bond without one", these(bond(9, netlink.BOND_MODE_ACTIVE_BACKUP, 0), noCarrier(slaveOf(9, 2, backup))), []int{2},
			with(no("route is by bond9: bond9 has no active slave"), 1500)},
		{"a balancing bond", these(bond(9, netlink.BOND_MODE_BALANCE_ALB, 2), slaveOf(9, 2, active), slaveOf(9, 3, active)), []int{2, 3}, at(0)},
		{"a VLAN on a bond", these(bond(8, netlink.BOND_MODE_ACTIVE_BACKUP, 2), slaveOf(8, 2, active), vlan(9, 8, 30)), []int{2}, at(0, 30)},
		{"a bond of VLANs", these(card(2, 0), bond(9, netlink.BOND_MODE_BALANCE_XOR, 0), func() netlink.Link { v := vlan(8, 2, 4); v.MasterIndex = 9; return v }()), []int{2}, at(0, 4)},
		{"the only slave that is up", these(bond(9, netlink.BOND_MODE_BALANCE_XOR, 0), noCarrier(slaveOf(9, 2, active)), slaveOf(9, 3, active)), []int{2, 3}, at(1)},
		{"the only one that sends", these(bond(9, lacp, 0), slaveOf(9, 2, backup), slaveOf(9, 3, active)), []int{2, 3}, at(1)},
		{"the only one in the aggregator", these(bond(9, lacp, 0), slaveOf(9, 2, netlink.BondSlave{AggregatorId: 2}), slaveOf(9, 3, active)), []int{2, 3}, at(1)},
		{"the only one that the bond calls up", these(bond(9, lacp, 0), slaveOf(9, 2, netlink.BondSlave{AggregatorId: 1, MiiStatus: netlink.BondLinkFail}), slaveOf(9, 3, active)), []int{2, 3}, at(1)},
		{"the only one that is served", these(bond(9, lacp, 0), slaveOf(9, 2, active), slaveOf(9, 3, active)), []int{3}, at(0)},
		{"one that is up and not served", these(bond(9, lacp, 0), noCarrier(slaveOf(9, 2, active)), slaveOf(9, 3, active)), []int{2},
			with(no("route is by bond9: no slave of bond9 is up and served"), 1500)},
		{"none that is up", these(bond(9, lacp, 0), noCarrier(slaveOf(9, 2, active))), []int{2}, with(no("route is by bond9: no slave of bond9 is up"), 1500)},

		{"a bridge with one port", these(bridge(9, false), card(2, 9)), []int{2}, at(0)},
		{"with others that are not served", these(bridge(9, false), card(2, 9), card(3, 9)), []int{2}, at(0)},
		{"with two, and it does not know", these(bridge(9, false), card(2, 9), card(3, 9)), []int{2, 3}, exit{mtu: 1500}},
		{"with two, one down", these(bridge(9, false), noCarrier(card(2, 9)), card(3, 9)), []int{2, 3}, at(1)},
		{"with none that is up", these(bridge(9, false), noCarrier(card(2, 9))), []int{2}, with(no("route is by br9: no port of br9 is up and served"), 1500)},
		{"a bridge on a VLAN", these(card(2, 0), bridge(9, false), func() netlink.Link { v := vlan(8, 2, 4); v.MasterIndex = 9; return v }()), []int{2}, at(0, 4)},
		{"a VLAN on a bridge", these(bridge(8, false), card(2, 8), vlan(9, 8, 4)), []int{2}, at(0, 4)},
		{"a served bridge", these(bridge(9, false), card(2, 9)), []int{9}, at(0)},
	} {
		got := treeOf(c.links, c.served...).down(9, them)
		if got.mtu > 9000 || !got.known && c.want.mtu == 0 {
			got.mtu = 0
		}
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// Which slaves of a bond take frames.
func TestStandby(t *testing.T) {
	all := bond(9, netlink.BOND_MODE_ACTIVE_BACKUP, 2)
	all.AllSlavesActive = 1
	for name, c := range map[string]struct {
		master netlink.Link
		slave  *netlink.Device
		want   bool
	}{
		"the active one":         {bond(9, netlink.BOND_MODE_ACTIVE_BACKUP, 2), slaveOf(9, 2, active), false},
		"the other":              {bond(9, netlink.BOND_MODE_ACTIVE_BACKUP, 3), slaveOf(9, 2, backup), true},
		"the bond takes all":     {all, slaveOf(9, 2, backup), false},
		"the bond balances":      {bond(9, netlink.BOND_MODE_BALANCE_ALB, 3), slaveOf(9, 2, backup), false},
		"outside the aggregator": {bond(9, netlink.BOND_MODE_802_3AD, 0), slaveOf(9, 2, backup), true},
		"a bridge's port":        {bridge(9, false), card(2, 9), false},
		"no slave":               {card(9, 0), card(2, 0), false},
	} {
		ports := readPorts([]Port{{Name: "eth0"}}, these(c.master, c.slave))
		if ports[0].Standby != c.want || ports[0].equal(Port{}) {
			t.Errorf("%s: %+v", name, ports[0])
		}
	}
	if a, b := (Port{Standby: true}), (Port{}); a.equal(b) {
		t.Error("the change is not seen")
	}
}

// A bridge leads where its table says, in the VLAN that the frame is in.
func TestAcrossABridge(t *testing.T) {
	info := func(id uint16, flags uint16) *nl.BridgeVlanInfo { return &nl.BridgeVlanInfo{Vid: id, Flags: flags} }
	const untagged, own = nl.BRIDGE_VLAN_INFO_UNTAGGED, nl.BRIDGE_VLAN_INFO_PVID | nl.BRIDGE_VLAN_INFO_UNTAGGED
	plain := these(bridge(9, false), card(2, 9), card(3, 9), card(4, 9))
	filtering := these(bridge(9, true), card(2, 9), card(3, 9), vlan(10, 9, 20))
	vids := vlans{
		9: {info(1, own), info(20, 0)},
		2: {info(1, untagged), info(20, 0)},
		3: {info(20, untagged)},
	}
	for _, c := range []struct {
		name  string
		links []netlink.Link
		from  int
		vids  vlans
		fdb   fdb
		port  uint8
		tags  packet.Tags
		why   string
	}{
		{"known", plain, 9, nil, fdb{{9, 0, them}: 3}, 1, tags(), ""},
		{"behind one that is not served", plain, 9, nil, fdb{{9, 0, them}: 4}, 0, tags(), "route is by br9: the next hop is behind eth2 of br9, which is not served"},
		{"another bridge's table", plain, 9, nil, fdb{{8, 0, them}: 3}, 0, tags(), "-"},
		{"untagged", filtering, 9, vids, fdb{{9, 1, them}: 2}, 0, tags(), ""},
		{"untagged, not known, and one port only has the VLAN", filtering, 9, vids, nil, 0, tags(), ""},
		{"tagged above and below", filtering, 10, vids, fdb{{9, 20, them}: 2}, 0, tags(20), ""},
		{"tagged above", filtering, 10, vids, fdb{{9, 20, them}: 3}, 1, tags(), ""},
		{"tagged, not known, and two ports have the VLAN", filtering, 10, vids, fdb{{9, 1, them}: 2}, 0, tags(), "-"},
		{"a VLAN that the bridge is not in", filtering, 10, vlans{9: {info(1, own)}}, nil, 0, tags(), "route is by vlan10: br9 filters VLANs, and has none for it"},
		{"a bridge without a VLAN of its own", filtering, 9, vlans{9: {info(20, 0)}}, nil, 0, tags(), "route is by br9: br9 filters VLANs, and has none for it"},
		{"a port that has left the VLAN", filtering, 9, vlans{9: {info(1, own)}}, fdb{{9, 1, them}: 2}, 0, tags(), "route is by br9: eth0 of br9 is not in VLAN 1"},
	} {
		tree := treeOf(c.links, 2, 3)
		tree.vlans, tree.fdb = c.vids, c.fdb
		e := tree.down(c.from, them)
		known := c.why == ""
		if c.why == "-" { // nobody knows
			c.why = ""
		}
		if e.known != known || e.why != c.why || known && e.link != (Link{c.port, c.tags}) {
			t.Errorf("%s: %+v", c.name, e)
		}
	}
}

// Whatever lies on what: a way that is found ends at a port, by interfaces that lead one to
// the next, and what leads nowhere is told.
func TestDownNeverGuesses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list []netlink.Link
		const n = 8
		number := rapid.IntRange(0, n+1)
		for i := 1; i <= n; i++ {
			a := attrs(i, fmt.Sprint("if", i), number.Draw(t, "on"), number.Draw(t, "master"))
			if rapid.Bool().Draw(t, "carrier") {
				a.OperState = netlink.OperDown
			}
			switch rapid.IntRange(0, 4).Draw(t, "kind") {
			case 0:
				list = append(list, &netlink.Device{LinkAttrs: a})
			case 1:
				list = append(list, &netlink.Vlan{LinkAttrs: a, VlanId: i, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q})
			case 2:
				list = append(list, &netlink.Macvlan{LinkAttrs: a})
			case 3:
				list = append(list, &netlink.Bond{LinkAttrs: a, Mode: netlink.BondMode(rapid.IntRange(0, 6).Draw(t, "mode")), ActiveSlave: number.Draw(t, "active")})
			case 4:
				filters := rapid.Bool().Draw(t, "filters")
				list = append(list, &netlink.Bridge{LinkAttrs: a, VlanFiltering: &filters})
			}
		}
		served := rapid.SliceOfNDistinct(rapid.IntRange(1, n), 1, 3, rapid.ID[int]).Draw(t, "served")
		tree := treeOf(list, served...)
		tree.fdb = fdb{}
		for range rapid.IntRange(0, 4).Draw(t, "stations") {
			tree.fdb[station{number.Draw(t, "bridge"), 0, them}] = number.Draw(t, "port")
		}
		for i := range n + 2 {
			e := tree.down(i, them)
			switch {
			case e.known && (e.why != "" || int(e.link.Port) >= len(served)):
				t.Fatalf("from %d: %+v", i, e)
			case e.known && !tree.leads[i], !e.known && e.why == "" && !tree.bridges:
				t.Fatalf("from %d: %+v, leads %v", i, e, tree.leads)
			case tree.isPort(i) && (!e.known || served[e.link.Port] != i || e.link.Tags != packet.Tags{}):
				t.Fatalf("from port %d: %+v", i, e)
			}
		}
	})
}

// Frames to many stations use all slaves alike, and of one that goes away only its own
// change to others.
func TestSlavesShare(t *testing.T) {
	b := bond(9, netlink.BOND_MODE_BALANCE_XOR, 0)
	all := treeOf(these(b, slaveOf(9, 2, active), slaveOf(9, 3, active), slaveOf(9, 4, active)), 2, 3, 4)
	two := treeOf(these(b, slaveOf(9, 2, active), noCarrier(slaveOf(9, 3, active)), slaveOf(9, 4, active)), 2, 3, 4)
	var by [3]int
	const n = 3000
	for i := range n {
		mac := [6]byte{2, 1, 0, 0, byte(i >> 8), byte(i)}
		was, is := all.down(9, mac).link.Port, two.down(9, mac).link.Port
		by[was]++
		if was != 1 && is != was || is == 1 {
			t.Fatalf("%x moves from %d to %d", mac, was, is)
		}
	}
	for i, got := range by {
		if got < n/3-150 || got > n/3+150 {
			t.Errorf("slave %d has %d of %d", i, got, n)
		}
	}
}
