// Package nic tells what a network interface is just now: the queues that it really
// uses and where its hash sends packets, its MTU, and the offloads that change packets
// before an XDP program sees them. Each may be changed by an administrator or a driver
// at any time; a [Watcher] tells of it.
package nic
