package xsk

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Socket is an AF_XDP socket bound to one queue of one interface, with its UMEM, which it
// may share with others (Config.Share) that belong to the same goroutine. It belongs to
// one goroutine; only Statistics, Info and FD are for any.
type Socket struct {
	// Set before first use, read only.
	name   string // "queue 0 of eth0", for errors
	info   Info
	fd     int
	kernel Kernel // nil: the real one, through fd
	umem   *UMEM
	member int // of those that share umem
	errs   socketErrors

	// The owner's. They stand in the middle of the struct, so that no neighbour in
	// memory shares their cache lines.
	filled     hand // of a frame that is filled by way of this socket
	transmit   hand // of one that it sends
	fill       fillRing
	rx         rxRing
	tx         txRing
	completion completionRing
	pollFD     [1]unix.PollFd
	detour     *detour // nil: packets leave by the TX ring
	settled    bool    // what a socket before on this queue had left is back
	gone       bool    // the interface was removed: ErrGone from now on
	shut       bool    // the socket was closed
	continued  bool    // the next descriptor of the RX ring continues a packet
	partial    partial // of long packets: the one that it continues

	// Any goroutine's.
	counters counters
	mu       sync.Mutex // held while fd is used beside the owner, and while it closes
	closed   bool
	last     KernelStatistics // as it was when it closed
	release  func() error
}

// counters are what the kernel does not count. All but kicks are rare events.
type counters struct {
	kicks, again, dropped, pieces, refused, strays atomic.Uint64
}

// newSocket makes a socket of what was opened, with one more user of the UMEM. On an error
// release was called.
func newSocket(name string, info Info, fd int, umem *UMEM, r Rings, release func() error) (*Socket, error) {
	member, ok := umem.join(endpoint{info.Index, info.Queue})
	if !ok {
		return nil, errors.Join(fmt.Errorf("share frames for %s: %w", name, ErrClosed), release())
	}
	s := &Socket{
		name: name, info: info, fd: fd, umem: umem, release: release,
		member: member, filled: handOf(filled, member), transmit: handOf(transmit, member),
		errs:   newSocketErrors(name),
		pollFD: [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}},
	}
	s.use(r)
	return s, nil
}

// use makes r the socket's rings.
func (s *Socket) use(r Rings) {
	s.fill = newFillRing(r.Fill)
	s.rx = newRXRing(r.RX)
	s.tx = newTXRing(r.TX, s.info.txLimit())
	s.completion = newCompletionRing(r.Completion)
}

// FD returns the socket's file descriptor, for the XSKMAP of an XDP program; -1 after
// Close. It stays the socket's.
func (s *Socket) FD() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fd
}

// Info returns what was opened.
func (s *Socket) Info() Info { return s.info }

// UMEM returns the packet memory.
func (s *Socket) UMEM() *UMEM { return s.umem }

// Account returns whose the frames of the UMEM are, over all sockets that share it.
func (s *Socket) Account() Account { return s.umem.Account() }

// Receive takes up to len(descs) packets off the RX ring and returns how many. Their
// frames are the caller's until it gives each to Transmit or Release. A packet in
// several frames is put together (long.go) or, if the socket is not for such, refused and
// counted, so that no piece of it is taken for a packet.
func (s *Socket) Receive(descs []Desc) int {
	n := s.receive(descs)
	switch {
	case s.umem.longs != nil:
		n = s.join(descs[:n])
	case s.info.Mode == ModeZeroCopy:
		n = s.dropPieces(descs[:n])
	}
	return n
}

// receive takes descriptors off the RX ring.
func (s *Socket) receive(descs []Desc) int {
	n := s.rx.ready(uint32(len(descs)))
	if n == 0 {
		return 0
	}
	k := uint32(0)
	ring, hands := s.rx.window(), s.umem.view()
	for i := range n {
		d := *ring.at(i)
		d.Addr = received(d.Addr)
		if hands.move(d.Addr, s.filled, held) {
			descs[k] = d
			k++
		}
	}
	s.rx.consumed(n)
	s.umem.counted(k, filled, held)
	if k != n {
		s.counters.strays.Add(uint64(n - k)) // not frames that we gave: never happens
	}
	return int(k)
}

// dropPieces frees the pieces of packets in several frames, keeps the whole packets, at
// the front, and returns how many they are.
func (s *Socket) dropPieces(descs []Desc) int {
	whole := 0
	for i, d := range descs {
		first, last := !s.continued, d.Options&flagContinued == 0
		s.continued = !last
		if first && last {
			descs[whole] = d
			whole++
			continue
		}
		s.discard(descs[i : i+1])
		if last {
			s.counters.pieces.Add(1)
		}
	}
	return whole
}

// Transmit puts held packets on the TX ring, in order, and returns how many it took:
// descs[:n] are no longer the caller's, descs[n:] did not fit and still are. They may
// have been received on another socket that shares the UMEM. The kernel may not look at
// the ring before Flush.
//
// A descriptor that the kernel would not send (empty, across the end of its frame,
// options set) is refused and counted: it is among the n, its frame goes to the free
// list. One whose frame is not held is refused, and changes nothing.
func (s *Socket) Transmit(descs []Desc) int {
	switch {
	case s.detour != nil:
		return s.sendByDetour(descs)
	case s.umem.longs != nil:
		return s.transmitSome(descs)
	}
	return s.transmitFrames(descs)
}

// transmitFrames is Transmit for packets that are in a frame each.
func (s *Socket) transmitFrames(descs []Desc) int {
	n := s.tx.room(uint32(len(descs)))
	if n == 0 {
		return 0
	}
	sent := uint32(0)
	ring, hands := s.tx.window(), s.umem.view()
	for i := range descs[:n] {
		d := &descs[i]
		if hands.sendable(d) && hands.move(d.Addr, held, s.transmit) {
			*ring.at(sent) = *d
			sent++
			continue
		}
		s.counters.refused.Add(1)
		if !hands.sendable(d) {
			s.discard(descs[i : i+1])
		}
	}
	s.umem.counted(sent, held, transmit)
	s.tx.publish(sent)
	return int(n)
}

// Release gives held frames back to the free list. A frame that is not held is refused
// and counted.
func (s *Socket) Release(descs []Desc) {
	if n := s.discard(descs); n != len(descs) {
		s.counters.refused.Add(uint64(len(descs) - n))
	}
}

// discard moves the frames that are held to the free list, and frees the places of long
// packets. It returns how many were such.
func (s *Socket) discard(descs []Desc) int {
	n, long := uint32(0), 0
	top, hands := s.umem.top(), s.umem.view()
	for i := range descs {
		if addr := descs[i].Addr; hands.move(addr, held, free) {
			top[n] = hands.frame(addr)
			n++
		} else if s.umem.longs.give(addr) {
			long++
		}
	}
	s.umem.counted(n, held, free)
	return int(n) + long
}

// Allocate takes up to len(descs) frames off the free list, for packets that were not
// received, and returns how many. They are held, as if received, with as much room in
// front; Len is all the room behind, which is the caller's to cut.
func (s *Socket) Allocate(descs []Desc) int {
	n := min(uint32(len(descs)), s.umem.count[free])
	for i, frame := range s.umem.takeFree(n, held) {
		descs[i] = Desc{Addr: uint64(frame)<<s.umem.shift + headroom, Len: s.umem.FrameSize() - headroom}
	}
	return int(n)
}

// Recycle takes completed frames back, and fills the FILL ring as far as there are
// free frames. It is cheap when there is nothing to do; call it once a batch.
func (s *Socket) Recycle() {
	if !s.settled {
		s.settled = true
		s.umem.takeBack(s.member)
	}
	s.reclaim()
	if n := s.fill.room(s.umem.count[free]); n != 0 {
		ring, shift, spread := s.fill.window(), s.umem.shift&63, s.umem.spread
		for i, frame := range s.umem.takeFree(n, s.filled) {
			*ring.at(uint32(i)) = fillAddress(frame, shift, spread)
		}
		s.fill.publish(n)
	}
	// Not only after new frames: the driver may have gone to sleep just after the
	// last ones.
	if s.fill.needsWakeup() {
		s.wakeFill()
	}
}

// reclaim moves what is on the COMPLETION ring to the free list.
func (s *Socket) reclaim() {
	n := s.completion.ready(s.completion.size)
	if n == 0 {
		return
	}
	k := uint32(0)
	ring, top, hands := s.completion.window(), s.umem.top(), s.umem.view()
	for i := range n {
		if addr := *ring.at(i); hands.move(addr, s.transmit, free) {
			top[k] = hands.frame(addr)
			k++
		}
	}
	s.completion.consumed(n)
	s.umem.counted(k, transmit, free)
	if k != n {
		s.counters.strays.Add(uint64(n - k)) // not frames that we gave: never happens
	}
}

// Pending returns how many descriptors on the TX ring the kernel has not taken yet: 0
// means that there is nothing to Flush. Frames that it took but that are still under
// way count in [Account].Transmit only. Kernels before 6.18 may have taken more than
// they say, by less than [Info].TxBudget.
func (s *Socket) Pending() uint32 { return s.tx.pending() }
