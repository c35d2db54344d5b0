package packet

import (
	"encoding/binary"
	"fmt"
	"net"
)

// MAC is an Ethernet address.
type MAC [6]byte

// String returns the usual form, "02:00:00:00:00:01".
func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// ParseMAC reads the address of one machine.
func ParseMAC(s string) (MAC, error) {
	b, err := net.ParseMAC(s)
	if err != nil || len(b) != len(MAC{}) {
		return MAC{}, fmt.Errorf("%q is not a MAC address; want one as in 02:00:00:00:00:0b", s)
	}
	m := MAC(b)
	if m.IsGroup() || m == (MAC{}) {
		return MAC{}, fmt.Errorf("%s is no machine's MAC address: it is a group's or zero", m)
	}
	return m, nil
}

// IsGroup reports whether m is a multicast or broadcast address.
func (m MAC) IsGroup() bool { return m[0]&1 != 0 }

// DestinationMAC returns whom the Ethernet frame is for.
func DestinationMAC(frame []byte) MAC { return MAC(frame[0:6]) }

// SourceMAC returns who sent the Ethernet frame.
func SourceMAC(frame []byte) MAC { return MAC(frame[6:12]) }

// Word returns m in the lowest 48 bits, the first byte lowest: the form in which the hot
// path handles MACs.
func (m *MAC) Word() uint64 {
	return uint64(binary.LittleEndian.Uint32(m[0:4])) | uint64(binary.LittleEndian.Uint16(m[4:6]))<<32
}

// WordMAC returns the MAC that w is the [MAC.Word] of; what is above that does not count.
func WordMAC(w uint64) (m MAC) {
	binary.LittleEndian.PutUint32(m[0:4], uint32(w))
	binary.LittleEndian.PutUint16(m[4:6], uint16(w>>32))
	return m
}

// SourceWord is SourceMAC(frame).Word().
func SourceWord(frame []byte) uint64 { return binary.LittleEndian.Uint64(frame[6:14]) & (1<<48 - 1) }

// Individual reports whether a word, of which what is above the MAC does not count, is the
// address of one machine: not zero, and not a group's. As a source the kernel's bridges take no
// other either (br_handle_frame of net/bridge/br_input.c).
func Individual(w uint64) bool { return w<<16 != 0 && w&1 == 0 }

// SetMACs writes the destination and source address of an Ethernet frame, as a
// router does on the way to the next hop, both as [MAC.Word] has them. VLAN tags behind
// them stay.
func SetMACs(frame []byte, dst, src uint64) {
	h := (*[12]byte)(frame)
	binary.LittleEndian.PutUint64(h[0:8], dst|src<<48)
	binary.LittleEndian.PutUint32(h[8:12], uint32(src>>16))
}
