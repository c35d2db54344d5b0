package bpf

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// oracle judges a frame by the rules of doc.go, slowly and without a thought for
// the verifier: by copying slices, and from the Steering itself, not the maps. The
// machine has these sockets of its own, and has seen no other frame.
func oracle(s Steering, frame []byte, own ...ownSocket) Reason {
	return (&memory{own: own}).judge(s, frame)
}

// memory is what the oracle has to know besides the steering.
type memory struct {
	own       []ownSocket
	datagrams map[oracleDatagram]bool // those in fragments: true if they are the kernel's
}

type oracleDatagram struct {
	src, dst netip.Addr
	id       uint32
	protocol int
}

func (m *memory) judge(s Steering, frame []byte) Reason {
	own := m.own
	if mac := [6]byte(frame); mac[0]&1 != 0 || len(s.MACs) > 0 && !slices.Contains(s.MACs, mac) {
		return Passed
	}
	etherType, packet := etherType(frame)
	p, ok := readIP(etherType, packet)
	if !ok {
		return Passed
	}
	if p.isICMP && !p.fragment {
		return s.judgeICMP(p, own)
	}
	switch {
	case !s.isService(p.dst):
	case p.fragment && s.hasProtocol(p.dst, p):
		if !m.isOwnDatagram(s, p) {
			return SteeredFragment
		}
	case p.fragment:
	case p.ports != nil && s.serves(p.dst, p.protocol, p.ports[1]):
		if !s.isOwn(own, p.protocol, p.end(1), p.end(0)) {
			return SteeredService
		}
	case p.ports == nil && s.hasProtocol(p.dst, p):
		return SteeredUnreadable
	}
	local := slices.Contains(s.Local, p.dst)
	if isGroup(p.dst) || local && !s.isAnySource(p.dst) {
		return Passed
	}
	reply := s.isReply(p.src, p, 0) && (!local || p.ports != nil && s.isSource(own, p.protocol, p.end(1), p.end(0)))
	if p.fragment && s.mayReply(p.src, p) {
		if m.isPassed(p, reply) {
			return Passed
		}
		return SteeredFragment
	}
	if p.fragment || !reply {
		return Passed
	}
	return SteeredReply
}

// isPassed reports whether a fragment is the kernel's, by its first one.
func (m *memory) isPassed(p oraclePacket, ours bool) bool {
	d := oracleDatagram{p.src, p.dst, p.id, p.protocol}
	if p.later {
		return m.datagrams[d]
	}
	if m.datagrams == nil {
		m.datagrams = map[oracleDatagram]bool{}
	}
	m.datagrams[d] = !ours
	return !ours
}

// isOwnDatagram reports whether a fragment to a service's address is the kernel's.
func (m *memory) isOwnDatagram(s Steering, p oraclePacket) bool {
	if !slices.Contains(s.Local, p.dst) {
		return false
	}
	own := false
	switch {
	case p.isICMP:
		echo := map[uint16]byte{0x0800: 8, 0x86dd: 128}[p.etherType]
		own = len(p.body) > 0 && p.body[0] != echo
	case p.ports != nil:
		own = !s.serves(p.dst, p.protocol, p.ports[1]) || s.isOwn(m.own, p.protocol, p.end(1), p.end(0))
	}
	return m.isPassed(p, !own)
}

func isGroup(a netip.Addr) bool {
	return a.IsMulticast() || a == netip.MustParseAddr("255.255.255.255")
}

// oraclePacket is an IP packet taken apart.
type oraclePacket struct {
	src, dst  netip.Addr
	protocol  int      // -1: unknown
	ports     []uint16 // source and destination, or nil
	body      []byte   // from the transport's header on
	isICMP    bool
	fragment  bool
	later     bool   // a fragment, and not the first
	id        uint32 // of a fragment
	etherType uint16
}

// end returns the source's address and port, or the destination's.
func (p *oraclePacket) end(i int) netip.AddrPort {
	return netip.AddrPortFrom([]netip.Addr{p.src, p.dst}[i], p.ports[i])
}

func etherType(frame []byte) (uint16, []byte) {
	at := 12
	for tags := 0; ; tags++ {
		if len(frame) < at+2 {
			return 0, nil
		}
		etherType := binary.BigEndian.Uint16(frame[at:])
		if tags == 2 || etherType != 0x8100 && etherType != 0x88a8 {
			return etherType, frame[at+2:]
		}
		at += 4
	}
}

func readIP(etherType uint16, b []byte) (oraclePacket, bool) {
	p := oraclePacket{etherType: etherType}
	var first bool
	switch {
	case etherType == 0x0800 && len(b) >= 20 && b[0]>>4 == 4:
		p.src, _ = netip.AddrFromSlice(b[12:16])
		p.dst, _ = netip.AddrFromSlice(b[16:20])
		p.protocol = int(b[9])
		p.isICMP = p.protocol == 1
		more, offset := b[6]&0x20 != 0, binary.BigEndian.Uint16(b[6:])&0x1fff
		p.fragment, first = more || offset != 0, offset == 0
		p.id = uint32(binary.BigEndian.Uint16(b[4:]))
		header, end := int(b[0]&15)*4, min(len(b), int(binary.BigEndian.Uint16(b[2:])))
		if header >= 20 && header <= end {
			p.body = b[header:end]
		}
	case etherType == 0x86dd && len(b) >= 40 && b[0]>>4 == 6:
		p.src, _ = netip.AddrFromSlice(b[8:24])
		p.dst, _ = netip.AddrFromSlice(b[24:40])
		if p.src.Is4In6() || p.dst.Is4In6() {
			return p, false
		}
		p.protocol = int(b[6])
		p.body = b[40:min(len(b), 40+int(binary.BigEndian.Uint16(b[4:])))]
		first = p.walk()
		p.isICMP = p.protocol == 58
	default:
		return p, false
	}
	p.later = !first
	if (p.protocol == 6 || p.protocol == 17) && first && len(p.body) >= 4 {
		p.ports = []uint16{binary.BigEndian.Uint16(p.body), binary.BigEndian.Uint16(p.body[2:])}
	}
	return p, true
}

// walk follows at most eight extension headers, up to a fragment header. It
// reports whether the transport's header would follow in this very packet.
func (p *oraclePacket) walk() (first bool) {
	isExtension := func() bool { return slices.Contains([]int{0, 43, 44, 60}, p.protocol) }
	first = true
	for range 8 {
		if !isExtension() || len(p.body) < 8 {
			break
		}
		length := 8 + 8*int(p.body[1])
		if p.protocol == 44 {
			length = 8
			more, offset := p.body[3]&1 != 0, binary.BigEndian.Uint16(p.body[2:])>>3
			p.fragment, first = more || offset != 0, offset == 0
			p.id = binary.BigEndian.Uint32(p.body[4:])
		}
		p.protocol = int(p.body[0])
		p.body = p.body[min(length, len(p.body)):]
		if p.fragment {
			break
		}
	}
	if isExtension() {
		p.protocol = -1
	}
	return first
}

func (s Steering) judgeICMP(p oraclePacket, own []ownSocket) Reason {
	service, local := s.isService(p.dst), slices.Contains(s.Local, p.dst)
	ours := Passed // for what can't be read
	if service {
		ours = SteeredUnreadable
	}
	if len(p.body) == 0 {
		return ours
	}
	echo, errors := byte(8), []byte{3, 11, 12}
	if p.etherType == 0x86dd {
		echo, errors = 128, []byte{1, 2, 3, 4}
	}
	if p.body[0] == echo && service {
		return SteeredICMP
	}
	if !slices.Contains(errors, p.body[0]) {
		return Passed
	}
	if service && !local {
		return SteeredICMP
	}
	if len(p.body) < 8 {
		return ours
	}
	q, ok := readIP(p.etherType, p.body[8:])
	if !ok {
		return ours
	}
	if s.isInTunnel(q) {
		return SteeredICMP
	}
	_, _, source := s.sources(p.dst)
	if local && !service && !source {
		return Passed
	}
	mine := false
	switch {
	case !local: // on its way to a client
		mine = s.isService(q.dst) || s.isReply(q.dst, q, 1)
	case q.ports != nil && s.isAnySource(q.src):
		mine = s.isReply(q.dst, q, 1) && s.isSource(own, q.protocol, q.end(0), q.end(1))
	case q.ports != nil:
		mine = s.serves(q.src, q.protocol, q.ports[0]) && !s.isOwn(own, q.protocol, q.end(0), q.end(1))
	case s.isService(q.src) && !q.isICMP && s.hasProtocol(q.src, q):
		return SteeredUnreadable
	}
	if mine {
		return SteeredICMP
	}
	return Passed
}

func (s Steering) isService(a netip.Addr) bool {
	return slices.ContainsFunc(s.Services, func(v Service) bool { return v.Address == a })
}

func (s Steering) serves(a netip.Addr, protocol int, port uint16) bool {
	return slices.ContainsFunc(s.Services, func(v Service) bool {
		return v.Address == a && int(v.Protocol) == protocol && v.First <= port && port <= v.Last
	})
}

// hasProtocol reports whether p could be for a service at a, its port apart.
func (s Steering) hasProtocol(a netip.Addr, p oraclePacket) bool {
	return p.isICMP || slices.ContainsFunc(s.Services, func(v Service) bool {
		return v.Address == a && (int(v.Protocol) == p.protocol || p.protocol == -1)
	})
}

// isInTunnel reports whether p was sent to the end of a tunnel.
func (s Steering) isInTunnel(p oraclePacket) bool {
	return slices.ContainsFunc(s.Tunnels, func(e TunnelEnd) bool {
		port := e.Port
		if p.ports != nil && p.protocol == UDP {
			port -= p.ports[1] // 0: the same
		}
		return e.Address == p.dst && int(e.Protocol) == p.protocol && port == 0
	})
}

// isReply reports whether a and one of p's ports are a nat backend.
func (s Steering) isReply(a netip.Addr, p oraclePacket, port int) bool {
	return slices.ContainsFunc(s.Replies, func(e Endpoint) bool {
		return e.Address == a && int(e.Protocol) == p.protocol &&
			(e.First == 0 && e.Last == 65535 || p.ports != nil && e.First <= p.ports[port] && p.ports[port] <= e.Last)
	})
}

// mayReply reports whether a is a nat backend of p's protocol.
func (s Steering) mayReply(a netip.Addr, p oraclePacket) bool {
	return slices.ContainsFunc(s.Replies, func(e Endpoint) bool {
		return e.Address == a && (int(e.Protocol) == p.protocol || p.protocol == -1)
	})
}

// ownSocket is a socket of this machine's own: a listener or unconnected if it has no
// remote end.
type ownSocket struct {
	protocol      int
	local, remote netip.AddrPort
}

// shareOf says which of this machine's own sockets may have a service's port; -1: there
// is no such service. Of several services the one of a single port is meant.
func (s Steering) shareOf(a netip.Addr, protocol int, port uint16) int {
	exact := slices.ContainsFunc(s.Services, func(v Service) bool {
		return v.Address == a && int(v.Protocol) == protocol && v.First == port && v.Last == port
	})
	switch {
	case !s.serves(a, protocol, port):
		return -1
	case !slices.Contains(s.Local, a):
		return int(shareNone)
	case !exact:
		return int(shareBound)
	case s.Ephemeral.First <= port && port <= s.Ephemeral.Last:
		return int(shareConnected)
	default:
		return int(shareNone)
	}
}

// sources returns the hull of the ports that full NAT has at an address of the machine's own.
func (s Steering) sources(a netip.Addr) (first, last uint16, ok bool) {
	first = 65535
	for _, o := range s.Sources {
		if o.Address == a && slices.Contains(s.Local, a) {
			first, last, ok = min(first, o.First), max(last, o.Last), true
		}
	}
	return first, last, ok
}

func (s Steering) isAnySource(a netip.Addr) bool {
	_, _, ok := s.sources(a)
	return ok
}

// isSource reports whether full NAT speaks from an end of the machine's own, and no socket
// of the machine's does.
func (s Steering) isSource(own []ownSocket, protocol int, local, remote netip.AddrPort) bool {
	first, last, ok := s.sources(local.Addr())
	if !ok || local.Port() < first || local.Port() > last {
		return false
	}
	ephemeral := s.Ephemeral.Last != 0 && s.Ephemeral.First <= local.Port() && local.Port() <= s.Ephemeral.Last
	return !ephemeral || !hasSocket(own, protocol, local, remote, int(shareBound))
}

// isOwn reports whether the machine keeps a packet for a service from the service.
func (s Steering) isOwn(own []ownSocket, protocol int, local, remote netip.AddrPort) bool {
	share := s.shareOf(local.Addr(), protocol, local.Port())
	return share > int(shareNone) && hasSocket(own, protocol, local, remote, share)
}

// hasSocket reports whether the machine has a socket for a packet, as far as the share goes.
func hasSocket(own []ownSocket, protocol int, local, remote netip.AddrPort, share int) bool {
	return slices.ContainsFunc(own, func(o ownSocket) bool {
		if o.protocol != protocol || o.local.Port() != local.Port() {
			return false
		}
		if o.remote.IsValid() {
			return o.local == local && o.remote == remote
		}
		everywhere := o.local.Addr().IsUnspecified() && o.local.Addr().Is4() == local.Addr().Is4()
		return protocol == UDP && share == int(shareBound) && (o.local == local || everywhere)
	})
}
