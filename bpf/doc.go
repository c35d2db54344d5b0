// Package bpf loads, attaches and feeds the steering program: the few
// instructions in the receive path that decide whose packet this is.
//
//	            RX queue q of the interface
//	                        |
//	                steer (XDP program)
//	                        |
//	for another MAC? -------+---------------------+
//	macs                    |                     |
//	to a service? ----------+---------- all else: |
//	addresses, services,    |           XDP_PASS, the kernel
//	its own sockets         |
//	                        |
//	from a nat backend? ----+
//	addresses, replies      |
//	                   the packet is ours
//	                        |
//	               sockets[q] is there? ---- no: XDP_DROP
//	                        |
//	             AF_XDP socket of worker q
//
// A machine may have several such interfaces. The program is loaded for each of them, with
// sockets, MAC addresses and counters of its own, and they share what is steered.
//
// All policy is in Go: the program knows addresses and ports, but neither
// backends' state nor flows. [Load] puts it into the kernel, [Program.Attach] on
// an interface, [Program.SetSocket] gives it somewhere to steer to,
// [NewPlan] works out what to steer, [Program.Apply] puts that in force, and
// [Program.Counters] says what became of it.
//
// # Whose packet is it?
//
// A frame is looked into if it is for a MAC address that this machine takes frames for:
// the interface's own, or that of a device above it, as VRRP has one. What is for another
// machine's, which a flooding switch, a mirrored port or a promiscuous interface shows,
// and what is for a group, is not touched: two balancers that see each other's frames
// would serve each client twice.
//
// A packet in it is steered if it is IPv4 or IPv6, behind at most two VLAN tags (802.1Q
// or 802.1ad), behind any IPv4 options or at most eight IPv6 hop-by-hop, routing,
// destination or fragment headers, and is one of these, in this order:
//
//   - An echo request to a service address.
//   - An ICMP error (unreachable, too big, time exceeded, parameter problem) to a
//     service address. If that is also one of this machine's own addresses, only
//     an error about what a service's port sent: the kernel needs those about its
//     own connections. And one to a source of full NAT, about what that sent to a backend.
//   - An ICMP error to whomever that quotes a packet which was sent to a backend inside of
//     another one. It is the entry of the tunnel that has to tell the client.
//   - An ICMP error on its way to somebody else that quotes a packet to a service
//     address or to a nat backend's port: about a request that was sent on.
//   - A fragment to a service address that has a service of that protocol, or
//     of any ICMP message. All fragments of a packet have to go the same way and
//     only the first one has ports, so ports don't decide; but if the address is also
//     this machine's own, a first one that would not be steered as a whole is the
//     kernel's, and is remembered for those that follow it.
//   - TCP or UDP to a service's address and port. If the address is also this
//     machine's own, that is so but for the machine's own connections.
//   - TCP or UDP from a nat backend's address and one of the ports that a service is
//     answered from, or the first fragment of it; but neither to an address of this machine
//     (the answer to a health probe) nor to a group. Of those addresses the sources of full
//     NAT are no such ones, at the ports that it speaks from. Whatever else a backend sends,
//     as a client or from another of its servers, is its own affair.
//   - Any other fragment from a nat backend's address, of a protocol that a service is
//     answered by, unless the first one was the backend's own affair: that is remembered
//     for those that follow it.
//
// # The machine's own connections
//
// A range of ports on an address of the machine's own, or a port that the kernel gives
// to connections (ip_local_port_range), meets what the machine itself says and hears
// from there: its probes, DNS queries, package downloads. So for such a port the kernel
// is asked for a socket, and the packet left to it if there is one of its own:
//
//   - A TCP socket with just these two ends, from its first SYN to the end of TIME-WAIT.
//     Not a listener: the port is the service's.
//   - A UDP socket that is connected to just the other end.
//   - In a range of ports, a UDP socket that is bound to the port, connected to nobody:
//     most DNS queries are made so, and UDP has no listeners to tell them from. A server
//     of the machine's own that is bound in a range goes on to have its port.
//
// A socket bound to a device above this interface is not found, nor is what the kernel's
// NAT has given a port to: a range belongs on an address of its own where that matters.
// For all other services nothing is looked up. A source of full NAT is mostly an address of
// the machine's own, too: at the ports that the kernel gives to connections its own sockets
// come first, as in a range. What of the rest a worker finds to be no flow's goes back to
// the kernel.
//
// The kernel has everything else, above all what it needs to live: ARP, neighbour
// and router discovery (these are ICMPv6, and no errors), routing protocols, SSH,
// tunnels. IPv6 packets with IPv4-mapped addresses are nobody's.
//
// # What can't be read
//
// A packet may be malformed, or end, before its ports or its ICMP type can be
// read. To a service address that has a service of its protocol, if that much
// can be read, it is steered, and the worker drops it under a reason of its own.
// The kernel can do nothing with such a packet either, so nothing is taken from
// it; and a service's traffic does not leak to it. That also holds for a chain of
// more than eight IPv6 extension headers, though there the kernel might disagree.
// What has no addresses that can be read is passed, and the kernel drops it. What
// follows the IP packet in a frame is padding and is not read.
//
// # What a leak would do
//
// A packet that is ours is never passed: with no socket on its queue it is dropped
// and counted. If the kernel saw a segment of a service's connection it would
// answer with a reset, and a restart of the balancer would kill connections
// rather than delay them.
//
// # Changes
//
// The addresses of both families are 16 bytes, IPv4 as IPv4-mapped. For each, the
// program finds in one look-up which kinds of port blocks are listed for it: a
// single port, all of them, or an aligned block of a power of two, of which every
// range is made. There is no limit but the maps' sizes. A [Plan] has all that can be
// said beforehand: what is wrong or too much is refused without touching a map.
// [Program.Apply] then makes the maps say something else entry by entry, in an order
// in which no packet can fall in between.
//
// # Requirements
//
// Linux 5.12, by what is used: BPF links for XDP (5.9), and a global function that
// takes a pointer (5.12), which keeps the verifier's work small. The kernel has the
// socket look-ups for programs under the GPL only; steer.bpf.c is therefore under
// Apache-2.0 or GPL-2.0, as its user likes. CAP_BPF, CAP_NET_ADMIN and
// CAP_PERFMON, the last one for packet pointers with a variable offset.
package bpf
