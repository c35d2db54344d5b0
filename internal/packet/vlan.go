package packet

import "encoding/binary"

// Tag is a VLAN tag: the tag protocol identifier in the upper half (0x8100 of IEEE 802.1Q,
// 0x88a8 of 802.1ad), the VLAN's number in the lower one. The zero Tag is none. The
// priority is not part of it: it is a frame's, not a VLAN's.
type Tag uint32

// Tags are the VLAN tags of a frame, the outermost first; what follows the first zero is
// zero.
type Tags [maxVLANs]Tag

const vlanID = 0x0fff // in the second word of a tag; above it the priority

// NewTag returns the 802.1Q tag of a VLAN.
func NewTag(vlan uint16) Tag { return etherVLAN<<16 | Tag(vlan&vlanID) }

// VLAN returns the VLAN's number.
func (t Tag) VLAN() uint16 { return uint16(t) & vlanID }

// Len returns how many bytes the tags take in a frame.
func (t *Tags) Len() int {
	n := 0
	for _, tag := range t {
		if tag != 0 {
			n += vlanLen
		}
	}
	return n
}

// ReadTags returns the tags of a frame that p was found in.
func ReadTags(frame []byte, p *Packet) (t Tags) {
	for i := range (int(p.L3) - ethernetLen) / vlanLen {
		t[i] = Tag(binary.BigEndian.Uint32(frame[ethernetLen-2+i*vlanLen:]) & (0xffff<<16 | vlanID))
	}
	return t
}

// EthernetLen is how long the header is that PutEthernet writes.
func (t *Tags) EthernetLen() int { return ethernetLen + t.Len() }

// PutEthernet writes an Ethernet header with these tags, without priority, at the start of
// frame. The addresses are as [MAC.Word] has them.
func PutEthernet(frame []byte, dst, src uint64, tags *Tags, ipv6 bool) {
	SetMACs(frame, dst, src)
	at := ethernetLen - 2
	for _, tag := range tags {
		if tag != 0 {
			binary.BigEndian.PutUint32(frame[at:], uint32(tag))
			at += vlanLen
		}
	}
	kind := uint16(etherIPv4)
	if ipv6 {
		kind = etherIPv6
	}
	binary.BigEndian.PutUint16(frame[at:], kind)
}
