package health

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"

	"github.com/afxlb/afxlb/internal/packet/packettest"
)

func genAddrPort(ipv4 bool) *rapid.Generator[netip.AddrPort] {
	n := 16
	if ipv4 {
		n = 4
	}
	return rapid.Custom(func(t *rapid.T) netip.AddrPort {
		a, _ := netip.AddrFromSlice(rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "address"))
		return netip.AddrPortFrom(a, rapid.Uint16().Draw(t, "port"))
	})
}

func genSegment() *rapid.Generator[segment] {
	return rapid.Custom(func(t *rapid.T) segment {
		of := genAddrPort(rapid.Bool().Draw(t, "IPv4"))
		return segment{
			from: of.Draw(t, "from"), to: of.Draw(t, "to"),
			seq: rapid.Uint32().Draw(t, "seq"), ack: rapid.Uint32().Draw(t, "ack"), flags: rapid.Byte().Draw(t, "flags"),
		}
	})
}

// TestSegmentIsRead: what is written is read again, by this package and by gopacket, and
// its checksums are right.
func TestSegmentIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genSegment().Draw(t, "segment")
		b := s.appendTo([]byte("before"), reach)[len("before"):]
		if got, ok := parseSegment(b); !ok || got != s {
			t.Fatalf("%+v, %v; want %+v", got, ok, s)
		}
		first, tcpAt := layers.LayerTypeIPv6, ipv6Len
		if s.to.Addr().Is4() {
			first, tcpAt = layers.LayerTypeIPv4, ipv4Len
		}
		decoded := gopacket.NewPacket(b, first, gopacket.Default)
		if decoded.ErrorLayer() != nil || decoded.Metadata().Truncated {
			t.Fatalf("gopacket: %v", decoded)
		}
		pseudo := append(append([]byte{}, s.from.Addr().AsSlice()...), s.to.Addr().AsSlice()...)
		pseudo = append(pseudo, 0, protocolTCP, 0, uint8(len(b)-tcpAt))
		if got := packettest.Sum(append(pseudo, b[tcpAt:]...)); got != 0 {
			t.Errorf("TCP's sum is %#x", got)
		}
		switch ip := decoded.NetworkLayer().(type) {
		case *layers.IPv4:
			if int(ip.Length) != len(b) || ip.TTL != reach || packettest.Sum(b[:ipv4Len]) != 0 {
				t.Errorf("IPv4 header %+v of %d bytes", ip, len(b))
			}
		case *layers.IPv6:
			if int(ip.Length) != len(b)-ipv6Len || ip.HopLimit != reach {
				t.Errorf("IPv6 header %+v of %d bytes", ip, len(b))
			}
		}
		tcp := decoded.TransportLayer().(*layers.TCP)
		if tcp.Seq != s.seq || tcp.SYN != (s.flags&flagSYN != 0) || tcp.SYN != (len(tcp.Options) == 1) || len(tcp.Payload) != 0 {
			t.Errorf("TCP header %+v of %+v", tcp, s)
		}
	})
}

func TestNoSegment(t *testing.T) {
	s := segment{from: netip.MustParseAddrPort("192.0.2.1:1"), to: netip.MustParseAddrPort("192.0.2.2:2"), flags: flagSYN | flagACK}
	whole := s.appendTo(nil, reach)
	for n := range len(whole) {
		if got, ok := parseSegment(whole[:n]); ok && n < ipv4Len+tcpLen {
			t.Errorf("the first %d bytes are %+v", n, got)
		}
	}
	for at, b := range map[int]byte{0: 5<<4 | 5, 9: 17} {
		broken := append([]byte{}, whole...)
		broken[at] = b
		if got, ok := parseSegment(broken); ok {
			t.Errorf("with byte %d = %d: %+v", at, b, got)
		}
	}
	// With options of IPv4's, as no host sends them, TCP begins later.
	long := append(append(append([]byte{}, whole[:ipv4Len]...), 1, 1, 1, 0), whole[ipv4Len:]...)
	long[0]++
	if got, ok := parseSegment(long); !ok || got != s {
		t.Errorf("with options: %+v, %v", got, ok)
	}
}

// FuzzParseSegment: whatever comes, it is read within its bounds.
func FuzzParseSegment(f *testing.F) {
	for _, to := range []string{"192.0.2.2:2", "[2001:db8::2]:2"} {
		a := netip.MustParseAddrPort(to)
		s := segment{from: a, to: a, flags: flagSYN | flagACK}
		f.Add(s.appendTo(nil, reach))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, ok := parseSegment(b)
		if !ok {
			return
		}
		if s.from.Addr().Is4() != s.to.Addr().Is4() || len(b) < ipv4Len+tcpLen {
			t.Errorf("%+v of %d bytes", s, len(b))
		}
		if w := s.appendTo(nil, reach); binary.BigEndian.Uint16(w[len(w)-tcpLen:]) != s.from.Port() && s.flags&flagSYN == 0 {
			t.Errorf("%+v became %x", s, w)
		}
	})
}
