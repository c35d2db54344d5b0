// Package neighbour knows where frames go on one interface: for each address it was
// asked about, the MAC address of the next hop, as the kernel's routes and neighbour
// tables say. It watches them by netlink, and has the kernel resolve what is missing
// and keep what is in use, so that the datapath never sends an ARP request itself.
package neighbour
