// Package replay has the packets of a capture go the whole way of a running balancer, one
// by one and without a kernel: the steering program says whose each is (package bpf), the
// worker's pass what becomes of it (package engine). Nothing is decided here. What is made
// up is the world around: time is that of the capture, backends are up until an [Event]
// says otherwise, and next hops are those that the config names.
//
//	capture ─► steering ─► wire ─► worker's pass ─► wire ─► capture
//	              │        (a socket's rings)        │
//	              └─► passed                         └─► Record
//
// The same config, capture and events give the same bytes each time.
package replay
