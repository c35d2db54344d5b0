// Package engine moves packets: one pinned worker per RX queue, of one interface or of
// several, takes frames from its AF_XDP sockets, and sends them on, answers them, or drops
// them with a reason.
//
// Read worker.go first: it shows the packet's road from top to bottom. The rest
// is what that road calls on the way:
//
//	worker.go      a batch through a worker, stage by stage
//	slow.go        what happens to a packet of a flow that the worker does not know
//	reconsider.go  what happens to a flow whose backend can't keep it
//	moved.go       where replies go, when that seems to change
//	rewrite.go     one small step per forwarding mode
//	cross.go       packets that leave otherwise than they came: by another port, with other tags
//	across.go      batches of which some leave by another port
//	answer.go      packets that the balancer answers itself
//	related.go     ICMP errors about flows
//	fragments.go   packets that come in fragments
//	cut.go         packets that leave in fragments
//	punt.go        packets that go back to the kernel
//	partial.go     checksums that neighbours leave unfinished
//	youth.go       what a process after a restart does not know yet
//	budget.go      how much of what strangers may ask for
//	idle.go        spinning and sleeping
//	counters.go    what is counted, and how it gets out of a worker without atomics
//	engine.go      the workers as a whole
//	staff.go       the workers, which come with the interface's queues
//	queues.go      which queues these are
//	lease.go       the programs, the sockets and the ways back: what is the kernel's
//	port.go        that of one interface
//	arms.go        what a worker has of it, and how it gets it while it runs
//	info.go        the figures of all of it
//	affinity.go    CPUs
//	scatter.go     datagrams that are balanced one by one
//	clients.go     which backend a client stays with, where a service has persistence
//	clock.go       the time, once a batch
//	tap.go         copies of packets, for who captures them
//	shadow.go      what would become of a packet, by copies of all that a worker goes by
//	witness.go     what a shadow tells of its way
//	outcome.go     what became of a packet, for people
//	offline.go     an engine without an interface: for tests, and to replay packets
//
// The control plane hands in immutable balancer.Tables through [Engine.Apply];
// a worker takes the newest at its next batch. [Engine.Acquire] takes the interfaces and
// [Engine.Release] gives them back; between the two [Engine.Run] works, while one of several
// may go ([Engine.Drop]) and come ([Engine.Take]).
package engine
