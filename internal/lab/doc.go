// Package lab builds networks out of network namespaces, for tests, the demo and
// benchmarks: real kernels' TCP on both ends of real AF_XDP sockets on veth.
//
// Nothing of it has a name outside of this process. A namespace is held by a file
// descriptor, so it goes when the process goes, also by SIGKILL, and with it all its
// interfaces, addresses and programs; a child that was started in one dies with its
// parent (its own children do not). All is done by netlink and ioctl; no program of
// the machine is needed.
//
// [New] builds the standard topology, in which the balancer has one arm:
//
//	client0 … clientN      198.51.100.11…   2001:db8:100::11…
//	   │
//	 switch (a bridge) ─── balancer          eth0: .1 and ::1 of both networks
//	   │
//	backend0 … backendN    10.0.0.11…        2001:db8:10::11…
//
// Clients reach the services' addresses, 192.0.2.0/24 and 2001:db8:2::/64, by way of
// the balancer, and the backends reach the clients so. The balancer's own kernel
// forwards nothing. [Lab.AddFar] gives it a second arm.
package lab
