package packet

import "encoding/binary"

// Ends4 are both ends of an IPv4 packet: addresses in the form of [Addr.Low], and ports.
type Ends4 struct {
	Src, Dst         uint32
	SrcPort, DstPort uint16
}

// Replace4 is Translate4 for both sides at once, as full NAT does it. The packet is TCP or
// UDP, or a fragment without its header.
func Replace4(frame []byte, p *Packet, to Ends4) bool {
	h := (*[ipv4Len]byte)(frame[p.L3:])
	if h[8] <= 1 {
		return false
	}
	h[8]--
	src, dst := binary.LittleEndian.Uint32(h[12:16]), binary.LittleEndian.Uint32(h[16:20])
	change := uint64(^src) + uint64(^dst) + uint64(to.Src) + uint64(to.Dst)
	binary.LittleEndian.PutUint64(h[12:20], uint64(to.Src)|uint64(to.Dst)<<32)
	update((*[2]byte)(h[10:12]), change+0xffff-1) // as in Translate4
	replacePorts(frame, p, change, to.SrcPort, to.DstPort)
	return true
}

// Ends6 are both ends of an IPv6 packet.
type Ends6 struct {
	Src, Dst         *Addr
	SrcPort, DstPort uint16
}

// Replace6 is Replace4 for IPv6.
func Replace6(frame []byte, p *Packet, to Ends6) bool {
	h := (*[ipv6Len]byte)(frame[p.L3:])
	if h[7] <= 1 {
		return false
	}
	h[7]--
	src, dst := (*Addr)(h[8:24]), (*Addr)(h[24:40])
	change := changed(src, to.Src) + changed(dst, to.Dst)
	*src, *dst = *to.Src, *to.Dst
	replacePorts(frame, p, change, to.SrcPort, to.DstPort)
	return true
}

// replacePorts is rewriteTransport for both ports.
func replacePorts(frame []byte, p *Packet, change uint64, src, dst uint16) {
	if p.Part == Later { // it has none
		return
	}
	ports := (*[4]byte)(frame[p.L4:])
	change += rewritePort((*[2]byte)(ports[0:2]), src) + rewritePort((*[2]byte)(ports[2:4]), dst)
	if p.Key.Proto == ProtoTCP {
		update((*[2]byte)(frame[p.L4+16:p.L4+18]), change)
	} else {
		updateUDP((*[2]byte)(frame[p.L4+6:p.L4+8]), change)
	}
}
