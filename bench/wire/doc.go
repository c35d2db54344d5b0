// Package wire is the network on which whole balancers are measured: a generator that
// the kernel runs, a balancer's interface, and a sink that counts.
//
//	generator ══ veth, n queues ══ balancer
//	 far end                        near end: the device under test's
//
// Both are network namespaces. The generator is a BPF program that the kernel runs on
// live frames (BPF_PROG_TEST_RUN with BPF_F_TEST_XDP_LIVE_FRAMES): it writes every
// byte of a frame's headers, the next flow's, and sends the frame across the veth. What
// the balancer sends back, one arm as it has, meets the sink, an XDP program, which
// counts and drops; or, so that connections are seen from both sides, answers as the
// backend would. The frames are those of package traffic: 64 bytes on a wire, TCP
// segments with ACK set of clients that are in mid-stream.
//
// # CPUs
//
// Both ends receive by threads of the kernel's (threaded NAPI), not by soft interrupts
// in whoever happened to send: so each end's work has a CPU, and its time can be read.
// They have real-time priority, as interrupts would. One CPU carries the load: the
// generator and the sink. The other is the balancer's. Where a balancer does its work
// in the receiving thread (the kernel's own), that thread is there; where it does it
// in a process, the process is there alone, and the receiving thread, whose work is
// then only to hand frames over, is with the load. Either way it is part of what the
// balancer costs.
//
// A frame that the kernel redirects to a veth arrives at the queue which has the number
// of the CPU that sent it (veth_select_rxq in drivers/net/veth.c), so n queues
// need generators on n CPUs, and n more for the workers.
package wire
