package traffic

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// Template is a TCP frame of which only the client is missing.
type Template struct {
	head   []byte // up to the payload, which is all zero
	length int

	addr, port  int    // offsets of what differs: the last four bytes of the address, and the port
	ipSum, sum  int    // offsets of the checksums; ipSum is 0 for IPv6
	ipRest, all uint32 // their sums over all that does not differ, not yet folded
	high        uint32 // of the address's last four bytes: what no client number reaches
}

// Lengths of frames as a NIC hands them over, without the checksum that ends them on
// the wire.
const (
	Smallest = 64 - 4
	Middle   = 570 - 4
	Largest  = 1518 - 4
)

// NewRequest returns the template of clients' packets to the service.
func NewRequest(f Family, flags uint8, length int) *Template {
	return newTemplate(f.Client(0), netip.AddrPortFrom(f.Service(), Port), 0, flags, length)
}

// NewReply returns the template of a backend's packets to the clients.
func NewReply(f Family, backend int, flags uint8, length int) *Template {
	return newTemplate(netip.AddrPortFrom(f.Backend(backend), BackendPort), f.Client(0), 1, flags, length)
}

// NewAnswer is NewReply to the balancer's own addresses towards the backends, as full NAT has
// them: it is for [Template.WriteTo].
func NewAnswer(f Family, backend int, flags uint8, length int) *Template {
	return newTemplate(netip.AddrPortFrom(f.Backend(backend), BackendPort), netip.AddrPortFrom(f.Source(0), 0), 1, flags, length)
}

// newTemplate makes a template whose client is the source (side 0) or the destination
// (side 1). A length too small for the headers becomes the smallest possible.
func newTemplate(src, dst netip.AddrPort, side int, flags uint8, length int) *Template {
	f := packettest.TCP(src.String(), dst.String(), flags)
	bare := f.Bytes()
	if n := length - len(bare); length > Smallest && n > 0 {
		f.Payload = make([]byte, n)
	} else if n > 0 {
		f.Padding = n
	}
	b := f.Bytes()
	var p packet.Packet
	if v := packet.Parse(b, &p); v != packet.Pending {
		panic(fmt.Sprintf("traffic: template %+v: %v", f, v))
	}
	t := &Template{head: b[:len(bare)], length: len(b), port: int(p.L4) + 2*side, sum: int(p.L4) + 16}
	if p.IPv6 {
		t.addr = int(p.L3) + 8 + 16*side + 12
	} else {
		t.addr, t.ipSum = int(p.L3)+12+4*side, int(p.L3)+10
		t.ipRest = without(b[t.ipSum:], b[t.addr:][:4])
	}
	t.high = binary.BigEndian.Uint32(b[t.addr:])
	t.all = without(b[t.sum:], b[t.addr:][:4], b[t.port:][:2])
	return t
}

// Write writes client n's frame to b and returns its length. The payload is left as it
// is, and must be zero.
func (t *Template) Write(b []byte, n uint32) int {
	addr, port := client(n)
	return t.WriteTo(b, End{addr, port})
}

// WriteTo is Write with any end of the template's range in the client's place.
func (t *Template) WriteTo(b []byte, e End) int {
	copy(b, t.head)
	addr, port := e.Low|t.high, e.Port
	binary.BigEndian.PutUint32(b[t.addr:], addr)
	binary.BigEndian.PutUint16(b[t.port:], port)
	change := addr>>16 + addr&0xffff
	if t.ipSum != 0 {
		binary.BigEndian.PutUint16(b[t.ipSum:], ^fold(t.ipRest+change))
	}
	binary.BigEndian.PutUint16(b[t.sum:], ^fold(t.all+change+uint32(port)))
	return t.length
}

// without returns the sum behind the checksum at the start of b, less the fields
// (RFC 1624).
func without(b []byte, fields ...[]byte) uint32 {
	sum := uint32(^binary.BigEndian.Uint16(b))
	for _, f := range fields {
		for ; len(f) > 0; f = f[2:] {
			sum += uint32(^binary.BigEndian.Uint16(f))
		}
	}
	return sum
}

func fold(sum uint32) uint16 {
	sum = sum>>16 + sum&0xffff
	return uint16(sum>>16 + sum&0xffff)
}
