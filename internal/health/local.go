package health

import (
	"errors"
	"net"
	"slices"
	"syscall"
	"time"
)

// Whose fault is an error? The kernel has the same words for both:
//
//	EHOSTUNREACH  this machine has no route        or  ARP got no answer, or a router said so
//	ENETUNREACH   this machine has no route        or  a router said so
//	EACCES        a route or policy here forbids   or  a router said so by ICMPv6
//
// (fib_props in net/ipv4/fib_semantics.c and ip6_route_info_create in
// net/ipv6/route.c against icmp_err_convert in net/ipv4/icmp.c and tab_unreach in
// net/ipv6/icmp.c.) How early one comes does not tell them apart: a neighbour's ICMP
// takes less time than a busy machine needs to look. What does is whether anything was
// sent when it came, which [connect] knows. So:
//
//   - What came before anything was sent is local, whatever it says: no descriptor, no
//     memory, no free port, no route, EPERM from a policy of this machine (a BPF
//     program of the cgroup, an LSM).
//   - What came later is the network's word, and a verdict, but for what no network
//     says: see own.
//
// A packet filter of this machine that drops the SYN, or answers in the network's
// stead, can't be told from the network. (The kernel holds back what a SYN's
// transmission returned: tcp_connect in net/ipv4/tcp_output.c.)

// own lists what only this machine says, whenever it comes.
var own = []syscall.Errno{
	syscall.EMFILE, syscall.ENFILE, // descriptors
	syscall.ENOBUFS, syscall.ENOMEM, // memory
	syscall.ENOSPC,        // epoll's watches: ep_insert in fs/eventpoll.c
	syscall.EADDRNOTAVAIL, // ports
	syscall.ENETDOWN,
	syscall.EPERM,
}

// local reports whether err tells of this machine and not of the one that was asked.
func local(err error) bool {
	if _, ok := errors.AsType[unsent](err); ok {
		return true
	}
	errno, ok := errors.AsType[syscall.Errno](err)
	return ok && slices.Contains(own, errno)
}

// busy reports whether a timeout was noticed so late that the balancer did not get to
// look for the answer either: it may have been there in time. A timeout is noticed
// within a millisecond or so, unless the goroutines, the process or the whole machine
// have to wait for a CPU. A wait that is short against the timeout could not have hidden
// more than a small part of it, and tens of milliseconds are no rarity under load: if
// they counted, short timeouts would never be verdicts there.
func busy(took, timeout time.Duration) bool {
	return took-timeout > max(timeout/10, 50*time.Millisecond)
}

// withoutSource strips the probe's own port from an error of a connection: it is
// another one each time.
func withoutSource(err error) error {
	if e, ok := err.(*net.OpError); ok {
		bare := *e
		bare.Source = nil
		return &bare
	}
	return err
}
