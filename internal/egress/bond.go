package egress

import (
	"encoding/binary"
	"fmt"
	"net"

	"github.com/cespare/xxhash/v2"
	"github.com/vishvananda/netlink"
)

// slave returns the slave of a bond, above a port, that frames to mac leave by: one that a
// hash has chosen among those that it sends by. 0: there is none, for the reason why.
func (t *tree) slave(b *netlink.Bond, mac [6]byte) (slave int, why string) {
	all, why := t.senders(b)
	var best uint64
	for _, i := range all {
		if s := score(i, mac[:]); slave == 0 || s > best {
			slave, best = i, s
		}
	}
	return slave, why
}

// senders returns the slaves by which a bond sends and that lead to a port: the active one,
// or all that are up. None: for the reason why.
func (t *tree) senders(b *netlink.Bond) (slaves []int, why string) {
	switch b.Mode {
	case netlink.BOND_MODE_ACTIVE_BACKUP, netlink.BOND_MODE_BALANCE_TLB, netlink.BOND_MODE_BALANCE_ALB:
		switch {
		case t.at[b.ActiveSlave] == nil:
			return nil, fmt.Sprintf("%s has no active slave", b.Name)
		case !t.leads[b.ActiveSlave]:
			return nil, fmt.Sprintf("%s, the active slave of %s, is not served", t.name(b.ActiveSlave), b.Name)
		}
		return []int{b.ActiveSlave}, ""
	}
	why = fmt.Sprintf("no slave of %s is up", b.Name)
	for _, l := range t.members[b.Index] {
		if !sends(b, l) {
			continue
		}
		if i := l.Attrs().Index; t.leads[i] {
			slaves = append(slaves, i)
		} else {
			why = fmt.Sprintf("no slave of %s is up and served", b.Name)
		}
	}
	if len(slaves) > 0 {
		why = ""
	}
	return slaves, why
}

// sends reports whether a bond sends by a slave: one that is up and, by 802.3ad, in the
// aggregator that is active (bond_set_slave_arr in drivers/net/bonding/bond_main.c).
func sends(b *netlink.Bond, l netlink.Link) bool {
	if a := l.Attrs(); a.Flags&net.FlagUp == 0 || !isUp(l) {
		return false
	}
	s, ok := l.Attrs().Slave.(*netlink.BondSlave)
	switch {
	case !ok:
		return true
	case s.State != netlink.BondStateActive || s.MiiStatus != netlink.BondLinkUp:
		return false
	}
	return b.Mode != netlink.BOND_MODE_802_3AD || b.AdInfo == nil || int(s.AggregatorId) == b.AdInfo.AggregatorId
}

// standsBy reports whether an interface is a bond's slave by which that takes nothing: all but
// the active one, unless it is told to take from all, or to balance what it receives
// (bond_set_slave_inactive_flags in include/net/bonding.h, bond_should_deliver_exact_match in
// drivers/net/bonding/bond_main.c).
func standsBy(l netlink.Link, links []netlink.Link) bool {
	s, ok := l.Attrs().Slave.(*netlink.BondSlave)
	if !ok || s.State != netlink.BondStateBackup {
		return false
	}
	for _, master := range links {
		if b, ok := master.(*netlink.Bond); ok && b.Index == l.Attrs().MasterIndex {
			return b.AllSlavesActive != 1 && b.Mode != netlink.BOND_MODE_BALANCE_ALB
		}
	}
	return false
}

// score says how much a choice suits a key. Who takes the one with the highest score takes
// another one only if that goes, or if a better one comes (rendezvous hashing, Thaler and
// Ravishankar, "Using name-based mappings to increase hit rates").
func score(choice int, key []byte) uint64 {
	return xxhash.Sum64(append(binary.LittleEndian.AppendUint64(nil, uint64(choice)), key...))
}
