// Package rig measures the engine by itself: whole passes of its workers over rings in
// plain memory, without a kernel, against the lookup of a plain Go map on the same
// packets.
//
//	config.go     what a rig is made of
//	rig.go        the engine and what is around it
//	line.go       one worker with a fake kernel and a stream of packets
//	establish.go  connections, by real handshakes
//	gomap.go      the reference
//	measure.go    workers on their CPUs, and the clock
//
//	task.go       what the harness can ask for; one file each:
//	known.go      packets of known flows, a share of new ones among them
//	workers.go    two workers against each alone
//	fresh.go      an empty table that fills up
//	pause.go      the longest batch while everything changes
//	memory.go     bytes a flow
//
// Only the pass is timed: the clock is read before and after each batch, and what
// makes the packets and takes them away again runs outside of it. It does share the
// caches with the worker, as the kernel's part does in life.
package rig
