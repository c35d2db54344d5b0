package packet

import "net"

// MAC is an Ethernet address.
type MAC [6]byte

// String returns the usual form, "02:00:00:00:00:01".
func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// IsGroup reports whether m is a multicast or broadcast address.
func (m MAC) IsGroup() bool { return m[0]&1 != 0 }

// DestinationMAC returns whom the Ethernet frame is for.
func DestinationMAC(frame []byte) MAC { return MAC(frame[0:6]) }

// SourceMAC returns who sent the Ethernet frame.
func SourceMAC(frame []byte) MAC { return MAC(frame[6:12]) }

// SetMACs writes the destination and source address of an Ethernet frame, as a
// router does on the way to the next hop. VLAN tags behind them stay.
func SetMACs(frame []byte, dst, src MAC) {
	_ = frame[11]
	copy(frame[0:6], dst[:])
	copy(frame[6:12], src[:])
}
