// Package announce holds services' addresses on this machine while they are to be held, so
// that clients, or their routers, find their way here:
//
//	local  on a device of its own, from which a routing daemon may take them
//	arp    on a served interface, or what is above it: the kernel answers ARP and neighbour
//	       solicitations, and the link is told by gratuitous ARP and unsolicited
//	       advertisements; nobody else may have the address (RFC 5227)
//
// Nothing is left behind. The device is gone with the process's descriptor of it, however the
// process ends. An address on an interface has a mark, by which the next start finds it, and
// a lifetime, for which it is kept up; without a next start it is gone after that.
//
// What others have put on the machine is never touched.
package announce
