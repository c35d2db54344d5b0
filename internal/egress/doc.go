// Package egress knows where frames go: for each address that it was asked about, by which
// of the served ports, with which VLAN tags and to which MAC address, or why there is no
// way. That is so as the kernel's own tables say, of routes and neighbours, and what lies
// on the ports: VLAN devices, macvlans, bonds and bridges. It has the kernel resolve what is
// missing and keep what is in use, so that the datapath never sends an ARP request itself.
//
// The tables are the truth, and a [Watcher] reads them again and again. What the kernel
// announces by netlink only says which addresses to look at, and when:
//
//	netlink ─► subscription ─► index: whom may it concern? ─► scope ─► look ─► Snapshot
//	           (parsed events)  (most: nobody)                 (paced)   │
//	every second ─────────────────────────────────────────► all ─────────┘
//
// So a lost event delays and never misleads, and a routing daemon beside it that changes
// hundreds of routes a second costs next to nothing.
//
// A look goes down two roads: an address's route leads to a next hop on some interface
// ([tree.route]), and a next hop's MAC address by the interfaces below that one to a port
// ([tree.down]).
package egress
