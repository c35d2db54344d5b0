package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"

	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
	"github.com/afxlb/afxlb/xsk"
	"github.com/afxlb/afxlb/xsk/xsktest"
)

// departure is a frame that has left by a port.
type departure struct {
	port  uint8
	frame []byte
}

// ip is what can be said of any IP packet, fragments included, without the code under test.
type ip struct {
	src, dst netip.Addr
	proto    uint8
	hops     uint8
	fragment bool
	sound    bool   // in IPv4: the header's checksum is right
	packet   []byte // without padding
	behind   []byte // the header, and IPv6's extension headers
}

// ipOf returns the IP packet in a frame, whose lengths are right.
func ipOf(frame []byte) (p ip, err error) {
	at := 12
	for len(frame) >= at+6 && (be16(frame[at:]) == 0x8100 || be16(frame[at:]) == 0x88a8) {
		at += 4
	}
	if len(frame) < at+2+20 {
		return p, errors.New("no IP header")
	}
	b := frame[at+2:]
	switch be16(frame[at:])<<4 | uint16(b[0])>>4 {
	case 0x8004: // 0x0800, and version 4
		header, n := int(b[0]&15)*4, int(be16(b[2:]))
		if header < 20 || n < header || n > len(b) {
			return p, errors.New("lengths of IPv4 are wrong")
		}
		src, _ := netip.AddrFromSlice(b[12:16])
		dst, _ := netip.AddrFromSlice(b[16:20])
		return ip{src, dst, b[9], b[8], be16(b[6:])&0x3fff != 0, packettest.Sum(b[:header]) == 0, b[:n], b[header:n]}, nil
	case 0x6dd6: // 0x86dd, and version 6
		if len(b) < 40 || 40+int(be16(b[4:])) > len(b) {
			return p, errors.New("lengths of IPv6 are wrong")
		}
		src, _ := netip.AddrFromSlice(b[8:24])
		dst, _ := netip.AddrFromSlice(b[24:40])
		p = ip{src: src, dst: dst, proto: b[6], hops: b[7], sound: true, packet: b[:40+int(be16(b[4:]))]}
		for p.behind = p.packet[40:]; slices.Contains([]uint8{0, 43, 44, 60}, p.proto); {
			n := 8
			if len(p.behind) < n {
				return p, errors.New("extension headers of IPv6 end early")
			}
			if p.proto == 44 {
				p.fragment = p.fragment || be16(p.behind[2:])&0xfff9 != 0
			} else if n += int(p.behind[1]) * 8; len(p.behind) < n {
				return p, errors.New("an extension header of IPv6 ends late")
			}
			if p.proto, p.behind = p.behind[0], p.behind[n:]; p.fragment {
				break
			}
		}
		return p, nil
	}
	return p, errors.New("no IP packet")
}

func be16(b []byte) uint16 { return binary.BigEndian.Uint16(b) }

// placeOf is where a frame is on the wire of a port, whose sender or receiver has the MAC
// address mac.
func placeOf(port uint8, frame []byte, mac packet.MAC) at {
	a := at{port, [2]int32{-1, -1}, mac}
	for i := range a.tags {
		if kind := be16(frame[12+4*i:]); kind != 0x8100 && kind != 0x88a8 {
			break
		}
		a.tags[i] = int32(be16(frame[14+4*i:]) & 0xfff)
	}
	return a
}

func (s *site) kernel(port uint8) *xsktest.Kernel {
	return []*xsktest.Kernel{s.kernels[0], s.inner[0]}[port]
}

// tally is what a worker has counted.
type tally struct {
	verdicts      [packet.NumVerdicts]uint64
	ports         [2]uint64 // sent
	forwarded     uint64    // of all backends
	bytes         uint64
	receivedBytes uint64
}

func (s *site) tally() (t tally) {
	c := &s.engine.workers[0].count
	copy(t.verdicts[:], c.Verdicts[:])
	for i := range t.ports {
		t.ports[i] = c.Ports[i].Sent
	}
	for _, b := range c.Backends {
		t.forwarded += b.Packets[0] + b.Packets[1]
		t.bytes += b.Bytes[0] + b.Bytes[1]
	}
	t.receivedBytes = c.ReceivedBytes
	return t
}

// put delivers a frame, has the worker handle it, alone or behind another one that is
// nobody's, and returns what left. What must be true of any frame is held against it.
func (s *site) put(behind bool, a arrival) []departure {
	w, umem := s.engine.workers[0], s.kernel(a.port).Socket().UMEM()
	in, inErr := ipOf(a.frame)
	s.damaged = s.damaged || inErr != nil || !in.sound
	if inErr == nil {
		from := placeOf(a.port, a.frame, packet.MAC(a.frame[6:12]))
		s.arrived[in.src] = append(s.arrived[in.src], from)
	}
	before := s.tally()
	for port := range s.back { // so that the frames that are sent are painted, too
		s.kernel(uint8(port)).Socket().Recycle()
	}
	canary := paint(umem)
	if behind {
		s.deliver(arrival{a.port, make([]byte, 60)})
	}
	s.deliver(a)
	its := map[int]bool{}
	for i := range umem.Frames() {
		if !bytes.Equal(whole(umem, i), canary) {
			its[int(i)] = true
		}
	}
	if _, err := w.pass(); err != nil {
		s.t.Fatal(err)
	}
	for i := range umem.Frames() {
		if !its[int(i)] && !bytes.Equal(whole(umem, i), canary) {
			s.t.Errorf("a packet in frames %v changed frame %d\n in %x", its, i, a.frame)
		}
	}
	s.run()
	s.checkAll(0)
	out, punted := s.drain()
	after := s.tally()
	s.mustAddUp(&before, &after, out, punted)
	for _, d := range out {
		s.mustKnow(a, d)
	}
	s.mustBeSound(a.frame, out, after.forwarded-before.forwarded)
	if s.t.Failed() {
		s.t.Fatalf("behind %v, by port %d: %x", behind, a.port, a.frame)
	}
	return out
}

// mustAddUp holds that what was counted is what has left.
func (s *site) mustAddUp(before, after *tally, out []departure, punted int) {
	var ports [2]uint64
	var total uint64
	for _, d := range out {
		ports[d.port]++
		total += uint64(len(d.frame))
	}
	for p := range ports {
		if n := after.ports[p] - before.ports[p]; n != ports[p] {
			s.t.Errorf("%d frames have left by port %d, %d are counted", ports[p], p, n)
		}
	}
	if n := after.verdicts[packet.Punted] - before.verdicts[packet.Punted]; n != uint64(punted) {
		s.t.Errorf("%d frames went back to the kernel, %d are counted", punted, n)
	}
	bytes, replied := after.bytes-before.bytes, after.verdicts[packet.Replied]-before.verdicts[packet.Replied]
	if replied == 0 && bytes != total || replied == uint64(len(out)) && bytes != 0 {
		s.t.Errorf("%d bytes have left in %d frames, of which %d are answers; %d are counted for backends", total, len(out), replied, bytes)
	}
}

// mustKnow holds that a frame has left for where the table says that its destination is, or
// for where that has sent something from.
func (s *site) mustKnow(in arrival, d departure) {
	p, err := ipOf(d.frame)
	if err != nil {
		s.t.Errorf("%v\nout %x", err, d.frame)
		return
	}
	to := placeOf(d.port, d.frame, packet.MAC(d.frame[0:6]))
	if !slices.Contains(s.departs[p.dst], to) && !slices.Contains(s.arrived[p.dst], to) {
		s.t.Errorf("a packet to %v has left for %+v, known are %+v and %+v\nout %x", p.dst, to, s.departs[p.dst], s.arrived[p.dst], d.frame)
	}
	if from := packet.MAC(d.frame[6:12]); from != siteMAC(d.port) && from != packet.MAC(in.frame[0:6]) {
		s.t.Errorf("a packet has left from %v by port %d", from, d.port)
	}
}

// inside returns the frame that a tunnel's end takes out of a departure; itself, if that is
// in no tunnel. What is outside must be as the standards have it, whatever is inside.
func (s *site) inside(d departure) (frame []byte, tunnelled bool) {
	p, err := ipOf(d.frame)
	own := p.src == ownAddress(p.src)
	switch {
	case err != nil || !own || len(p.behind) < 8:
		return d.frame, false
	case slices.Contains([]uint8{4, 41, 47}, p.proto):
	case p.proto == packet.ProtoUDP && (be16(p.behind[2:]) == 6080 || be16(p.behind[2:]) == 7000):
	default:
		return d.frame, false
	}
	_, frame, err = packettest.DecodeTunnel(d.frame)
	if err != nil {
		s.t.Errorf("%v\nout %x", err, d.frame)
	}
	return frame, true
}

// mustBeSound holds that what becomes of a frame is well-formed, and right if that was.
func (s *site) mustBeSound(frame []byte, out []departure, forwarded uint64) {
	in, inErr := ipOf(frame)
	_, unsound := packettest.Check(frame)
	var pieces [][]byte
	for _, d := range out {
		b, tunnelled := s.inside(d)
		p, err := ipOf(b)
		if err != nil || !s.damaged && !p.sound {
			s.t.Errorf("%v; checksum %v\nout %x", err, p.sound, d.frame)
			continue
		}
		alone := forwarded == 1 && len(out) == 1
		switch {
		case alone && unsound == nil && tunnelled && !bytes.Equal(p.packet, in.packet):
			s.t.Errorf("the packet in a tunnel is not the one that came\nout %x", d.frame)
		case alone && inErr == nil && !tunnelled && p.hops+1 != in.hops:
			s.t.Errorf("of %d hops a packet has left %d\nout %x", in.hops, p.hops, d.frame)
		}
		if p.fragment {
			pieces = append(pieces, b)
		} else if _, err := packettest.Check(b); err != nil && unsound == nil {
			s.t.Errorf("a sound packet has left unsound: %v\nout %x", err, d.frame)
		}
	}
	if unsound == nil && len(pieces) > 0 {
		s.mustMake(pieces)
	}
}

// mustMake holds that fragments are all of a sound packet.
func (s *site) mustMake(pieces [][]byte) {
	b, err := packettest.Assemble(pieces)
	if err == nil {
		_, err = packettest.Check(b)
	}
	if err != nil {
		s.t.Errorf("the fragments of a sound packet: %v\nout %x", err, pieces)
	}
}

// together holds that the fragments of a sound packet become those of one, if all of them
// have left.
func (s *site) together(in [][]byte, out []departure) {
	var pieces [][]byte
	for _, b := range in {
		if p, err := ipOf(b); err != nil || !p.fragment {
			return
		}
	}
	if b, err := packettest.Assemble(in); err != nil {
		return
	} else if _, err := packettest.Check(b); err != nil {
		return
	}
	for _, d := range out {
		b, _ := s.inside(d)
		if p, err := ipOf(b); err != nil || !p.fragment {
			return // an error about it, or it needs no fragments any more
		}
		pieces = append(pieces, b)
	}
	if len(pieces) >= len(in) {
		s.mustMake(pieces)
	}
}

func whole(u *xsk.UMEM, i uint32) []byte {
	return u.Frame(xsk.Desc{Addr: uint64(i) * uint64(u.FrameSize()), Len: u.FrameSize()})
}

// paint fills all frames with one pattern and returns it.
func paint(u *xsk.UMEM) []byte {
	pattern := bytes.Repeat([]byte{0xa5}, int(u.FrameSize()))
	for i := range u.Frames() {
		copy(whole(u, i), pattern)
	}
	return pattern
}
