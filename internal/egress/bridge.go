package egress

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/packet"
)

// station is somebody whom a bridge has heard of.
type station struct {
	bridge, vlan int // the VLAN is 0 where the bridge does not filter
	mac          [6]byte
}

// fdb is the forwarding tables of bridges: the port that each station is behind.
type fdb map[station]int

// vlans are the VLANs of bridges and their ports, by number of the interface.
type vlans map[int32][]*nl.BridgeVlanInfo

// readFDB returns the tables of the bridges that lead to a port.
func (t *tree) readFDB(k kernel) (fdb, error) {
	if !t.bridges {
		return nil, nil
	}
	list, err := k.NeighList(0, unix.AF_BRIDGE)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) { // that has all but what was changing
		return t.fdb, fmt.Errorf("read the forwarding tables of bridges: %w", err)
	}
	f := fdb{}
	for _, n := range list {
		// Permanent ones are the ports' own addresses.
		if t.leads[n.MasterIndex] && len(n.HardwareAddr) == 6 && n.State&unix.NUD_PERMANENT == 0 {
			f[station{n.MasterIndex, n.Vlan, [6]byte(n.HardwareAddr)}] = n.LinkIndex
		}
	}
	return f, nil
}

// across returns the port of a bridge, above a served one, that frames to mac leave by, and
// their tags there, the innermost first: as its table has it, or else the only one that leads to
// a port. 0: it is not known, or there is none, for the reason why.
func (t *tree) across(b *netlink.Bridge, mac [6]byte, tags []packet.Tag) (port int, out []packet.Tag, why string) {
	filters, vlan := b.VlanFiltering != nil && *b.VlanFiltering, 0
	if filters {
		if vlan, tags = t.vlans.enter(b.Index, tags); vlan == 0 {
			return 0, nil, fmt.Sprintf("%s filters VLANs, and has none for it", b.Name)
		}
	}
	if port = t.fdb[station{b.Index, vlan, mac}]; port != 0 && !t.leads[port] {
		return 0, nil, fmt.Sprintf("the next hop is behind %s of %s, which is not served", t.name(port), b.Name)
	}
	if port == 0 {
		var may []int
		for _, l := range t.members[b.Index] {
			i := l.Attrs().Index
			if t.leads[i] && isUp(l) && (!filters || t.vlans.of(i, vlan) != nil) {
				may = append(may, i)
			}
		}
		switch len(may) {
		case 0:
			return 0, nil, fmt.Sprintf("no port of %s is up and served", b.Name)
		case 1:
			port = may[0]
		default: // the kernel would ask all of them
			return 0, nil, ""
		}
	}
	if filters {
		info := t.vlans.of(port, vlan)
		if info == nil {
			return 0, nil, fmt.Sprintf("%s of %s is not in VLAN %d", t.name(port), b.Name, vlan)
		}
		if !info.EngressUntag() {
			tags = append(slices.Clone(tags), packet.NewTag(uint16(vlan)))
		}
	}
	return port, tags, ""
}

// enter returns the VLAN that frames with these tags, the innermost first, are in that the
// machine sends by a bridge, and what tags are left; 0: none.
func (v vlans) enter(bridge int, tags []packet.Tag) (vlan int, left []packet.Tag) {
	if n := len(tags); n > 0 && tags[n-1] == packet.NewTag(tags[n-1].VLAN()) {
		if vlan = int(tags[n-1].VLAN()); v.of(bridge, vlan) == nil {
			return 0, nil
		}
		return vlan, tags[:n-1]
	}
	for _, info := range v[int32(bridge)] {
		if info.PortVID() {
			return int(info.Vid), tags
		}
	}
	return 0, nil
}

// of returns what an interface is in a VLAN; nil: it is not in it.
func (v vlans) of(device, vlan int) *nl.BridgeVlanInfo {
	for _, info := range v[int32(device)] {
		if int(info.Vid) == vlan {
			return info
		}
	}
	return nil
}

// readVLANs returns the VLANs of the bridges that lead to a port, if they filter.
func (t *tree) readVLANs(k kernel) (vlans, error) {
	for d := range t.leads {
		if b, ok := t.at[d].(*netlink.Bridge); ok && b.VlanFiltering != nil && *b.VlanFiltering {
			list, err := k.BridgeVlanList()
			if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
				return nil, fmt.Errorf("read the VLANs of bridges: %w", err)
			}
			return list, nil
		}
	}
	return nil, nil
}
