package xsk

import "golang.org/x/sys/unix"

// Packets that are longer than a frame come in several, and leave so (multi-buffer: XDP_USE_SG,
// Linux 6.6; Documentation/networking/af_xdp.rst). For the socket's owner they are packets like
// all others: their pieces are put together in a place of their own, behind the frames in the
// UMEM's memory, and taken apart again when they are sent. It costs two copies of a long packet,
// as many as copy mode makes of each; in return nobody who cuts, answers, translates or holds a
// packet has to know of pieces, and frames are never kept for the rest of a packet.
//
// Where the interface's MTU fits into a frame there is none of this.

// LongMTU is the largest MTU of which packets in several frames are taken.
const LongMTU = 9000

const (
	// longSize holds a packet of LongMTU, with as much in front of it as in a frame, and room
	// to grow. It is a multiple of both frame sizes, so that a place begins as a frame does.
	longSize = 3 * 4096
	// longPlaces are those of a batch, as large as package engine has it, and of the packets
	// of which a part has been received, one a socket.
	longPlaces = 128 + 32
)

// longs are the places of long packets. A place is the owner's from Receive or AllocateLong
// until Transmit or Release.
type longs struct {
	base  uint64 // address of the first one
	free  []uint32
	taken []bool
}

func newLongs(base uint64) *longs {
	l := &longs{base: base, taken: make([]bool, longPlaces)}
	for i := range uint32(longPlaces) {
		l.free = append(l.free, longPlaces-1-i) // the first on top
	}
	return l
}

// longMemory is how many bytes the places take.
func longMemory(multiBuffer bool) int {
	if multiBuffer {
		return longPlaces * longSize
	}
	return 0
}

// place returns the number of the place that an address is in; ok is false if it is in none
// that is taken. There need not be any.
func (l *longs) place(addr uint64) (i uint64, ok bool) {
	if l == nil || addr < l.base {
		return 0, false
	}
	i = (addr - l.base) / longSize
	return i, i < longPlaces && l.taken[i]
}

// take returns the address of a packet in a place that was free.
func (l *longs) take() (addr uint64, ok bool) {
	if l == nil || len(l.free) == 0 {
		return 0, false
	}
	i := l.free[len(l.free)-1]
	l.free = l.free[:len(l.free)-1]
	l.taken[i] = true
	return l.base + uint64(i)*longSize + headroom, true
}

// give frees the place that an address is in, and reports whether it was taken.
func (l *longs) give(addr uint64) bool {
	i, ok := l.place(addr)
	if ok {
		l.taken[i] = false
		l.free = append(l.free, uint32(i))
	}
	return ok
}

// end returns where the place ends that an address is in, 0 if there are no places.
func (l *longs) end(addr uint64) uint64 {
	if l == nil {
		return 0
	}
	return addr + longSize - (addr-l.base)%longSize
}

// room returns how many bytes a packet at an address may have.
func (l *longs) room(addr uint64) int { return int(l.end(addr) - addr) }

// Long returns how many packets there are in places of long ones.
func (u *UMEM) Long() int {
	if u.longs == nil {
		return 0
	}
	return longPlaces - len(u.longs.free)
}

// AllocateLong is [Socket.Allocate] for one packet that is longer than a frame. ok is false if
// the socket takes no such packets, or has no more of them for now.
func (s *Socket) AllocateLong() (d Desc, ok bool) {
	addr, ok := s.umem.longs.take()
	return Desc{Addr: addr, Len: longSize - headroom}, ok
}

// partial is a packet of which not all pieces have been received.
type partial struct {
	d    Desc // what there is of it, in its place
	lost bool // there is no place for it, or it is too long
	some bool // there is such a packet
}

// join puts pieces together, gives their frames back, and returns how many packets there are
// then, at the front of descs. One that is too long is dropped and counted.
func (s *Socket) join(descs []Desc) int {
	whole, p := 0, &s.partial
	for i, d := range descs {
		last := d.Options&flagContinued == 0
		if last && !p.some {
			descs[whole] = d
			whole++
			continue
		}
		s.add(d)
		s.discard(descs[i : i+1])
		if !last {
			continue
		}
		if p.lost {
			s.counters.pieces.Add(1)
		} else {
			descs[whole] = p.d
			whole++
		}
		*p = partial{}
	}
	return whole
}

// add puts a piece behind what there is of its packet.
func (s *Socket) add(d Desc) {
	p, l := &s.partial, s.umem.longs
	if !p.some {
		addr, ok := l.take()
		*p = partial{d: Desc{Addr: addr}, some: true, lost: !ok}
	}
	if p.lost {
		return
	}
	if int(p.d.Len)+int(d.Len) > l.room(p.d.Addr) {
		p.lost = true
		l.give(p.d.Addr)
		return
	}
	end := p.d.Addr + uint64(p.d.Len)
	copy(s.umem.memory[end:end+uint64(d.Len)], s.umem.Frame(d))
	p.d.Len += d.Len
}

// transmitSome is Transmit where some packets are long ones.
func (s *Socket) transmitSome(descs []Desc) int {
	for i := 0; i < len(descs); {
		n := 0 // of a row that are in frames
		for _, d := range descs[i:] {
			if _, long := s.umem.longs.place(d.Addr); long {
				break
			}
			n++
		}
		if n == 0 {
			if !s.split(&descs[i]) {
				return i
			}
			i++
			continue
		}
		sent := s.transmitFrames(descs[i : i+n])
		i += sent
		if sent < n {
			return i
		}
	}
	return len(descs)
}

// split puts a packet that is in a place of long ones on the TX ring, all its pieces or none,
// for else another packet would be taken for the rest of it. It returns false if there is no
// room for it, or too few frames are free.
func (s *Socket) split(d *Desc) bool {
	if d.Len == 0 || d.Options != 0 || int(d.Len) > s.umem.longs.room(d.Addr) {
		s.counters.refused.Add(1)
		s.umem.longs.give(d.Addr)
		return true
	}
	size := s.umem.FrameSize()
	n := (d.Len + size - 1) / size
	if s.umem.count[free] < n || s.tx.room(n) < n {
		return false
	}
	ring, left := s.tx.window(), s.umem.Frame(*d)
	for i, frame := range s.umem.takeFree(n, s.transmit) {
		piece := Desc{Addr: uint64(frame) << s.umem.shift}
		k := copy(s.umem.memory[piece.Addr:piece.Addr+uint64(size)], left)
		piece.Len, left = uint32(k), left[k:]
		if len(left) > 0 {
			piece.Options = flagContinued
		}
		*ring.at(uint32(i)) = piece
	}
	s.tx.publish(n)
	s.umem.longs.give(d.Addr)
	return true
}

// MultiBuffer reports whether the kernel has packets in several frames at all: whether it
// knows the flag, which it looks at before the interface, of which there is none here
// (xsk_bind of net/xdp/xsk.c).
func MultiBuffer() bool {
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return unix.Bind(fd, &unix.SockaddrXDP{Flags: unix.XDP_USE_SG}) == unix.ENODEV
}
