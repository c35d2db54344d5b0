// Package xsk moves packets between a network interface's queue and user space
// through an AF_XDP socket (Documentation/networking/af_xdp.rst).
//
// A socket has a piece of memory, the UMEM, cut into frames of one size, and four
// rings of descriptors that it shares with the kernel. A frame is always in exactly
// one of four hands, and [Account] counts them:
//
//	          Recycle              kernel               Receive
//	+------+   FILL   +--------+   writes  +--------+     RX     +------+
//	| free | -------> | filled | --------> | filled | ---------> | held |
//	+------+          +--------+  a packet +--------+            +------+
//	 ^    ^                                                       |    |
//	 |    |                     Release                           |    |
//	 |    +-------------------------------------------------------+    |
//	 |                                                                 | Transmit
//	 |   Recycle      +----------+   kernel    +----------+     TX     |
//	 +--------------- | transmit | <---------- | transmit | <----------+
//	     COMPLETION   +----------+   sends it  +----------+
//
// One goroutine owns a socket and turns the crank:
//
//	for {
//		n := s.Receive(descs[:])   // take packets, up to a batch
//		...                        // look at s.UMEM().Frame(d), decide
//		s.Transmit(out)            // these leave
//		s.Release(dropped)         // these do not
//		err := s.Flush()           // have the kernel send what is on the TX ring
//		s.Recycle()                // completed frames back to the FILL ring
//	}
//
// Each of these touches the ring words that the kernel writes at most once a batch
// and publishes its own once a batch. None allocates, blocks or panics, and none
// trusts a descriptor that it is given: a frame that is not the caller's to give is
// refused and counted, so that a mistake costs a packet and never a frame.
//
// # Several interfaces
//
// Sockets of one owner may share a UMEM ([Config.Share]), so that a frame that was received
// on one interface leaves by another without a copy. Each has rings of its own; free list
// and account are one for all. A socket needs no queue to send from there: see
// [OpenSender].
//
// # Drivers
//
// Two drivers set a socket up; the rings and everything above are the same code.
//
//   - [DriverNative] makes the system calls itself. Frames, free list and counts
//     live in one memfd, mapped shared, so that another process can map them again.
//     Only its sockets can share frames.
//   - [DriverAsavie] lets github.com/asavie/xdp v0.3.3 make the socket and then maps
//     the rings a second time, which needs Linux 6.4. That library's Close leaves
//     its own ring maps behind, and with them the queue bound until the process
//     ends; [Socket.Close] finds them in /proc/self/maps and takes them away, so
//     that the queue is free as with the other driver. Without /proc it does not open.
//
// Package xsktest has a kernel's part of the rings in plain memory, for tests and
// benchmarks without root.
package xsk
