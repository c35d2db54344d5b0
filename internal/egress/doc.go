// Package egress knows where frames go on one interface: for each address it was
// asked about, the MAC address of the next hop, as the kernel's routes and neighbour
// tables say, or why there is no way. It has the kernel resolve what is missing and keep
// what is in use, so that the datapath never sends an ARP request itself.
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
package egress
