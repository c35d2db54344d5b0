// Package live measures whole balancers on package wire: afxlb's daemon beside what else
// moves packets on this machine.
//
//	afxlb, asavie        the daemon with either driver
//	afxlb receive        the same with backends whose MAC address is not known: each packet
//	                     is steered, parsed and looked up, and then dropped
//	afxlb watched        the daemon while it is scraped each second, its page is open, and top runs
//	forwarder            asavie/xdp's public API, MAC addresses swapped (package forwarder)
//	testpmd              DPDK with its AF_XDP driver, MAC addresses swapped: what AF_XDP costs in C
//	nft                  nftables DNAT: the kernel's own
//
// Each has a wire of its own, made the same way, is started once, and is idle while
// another is measured. Rounds are interleaved: each case once, then each once more.
//
// # Two ways to measure
//
// At its own pace: all that a contender does, receiving included, is on one CPU, and the
// generator keeps a fixed number of frames under way: it sends one when one comes back.
// So what is offered is what the contender carries, nothing is lost, and the CPU's time
// all goes into packets that arrive. This gives the packets per CPU second, which are
// what contenders are compared by, since a busy machine takes time from some and not
// from others.
//
// Flooded: the generator sends all that it can, and what is not forwarded is lost. Where
// a process does the work, the kernel receives for it on the other CPU, with the
// generator and the sink: on the same one, real-time receiving would leave it no time at
// all. Then that CPU may be the one that is full, and both ends of a ratio with it.
//
// Flows are TCP connections in mid-stream, whose every packet is an ACK. All are
// established before anything is measured: the backends have answered, and the client
// has acknowledged that.
//
// Where both CPUs are threads of one core, the load takes from the contender what it
// would not take on a core of its own: compare ratios, not rates, between machines.
package live
