package packettest

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/afxlb/afxlb/internal/packet"
)

func TestRandomFramesComeBack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		f := Random(r)
		Equal(t, f.Bytes(), f)
	}
}

func TestConstructors(t *testing.T) {
	tagged := TCP("198.51.100.7:40000", "192.0.2.10:80", packet.TCPSyn)
	tagged.VLANs = []uint16{100, 7}
	for name, tt := range map[string]struct {
		frame Frame
		size  int
		kind  gopacket.LayerType
	}{
		"tcp4":  {TCP("198.51.100.7:40000", "192.0.2.10:80", packet.TCPSyn), 14 + 20 + 20, layers.LayerTypeTCP},
		"tcp6":  {TCP("[2001:db8:100::7]:40000", "[2001:db8:2::10]:80", packet.TCPAck), 14 + 40 + 20, layers.LayerTypeTCP},
		"udp4":  {UDP("198.51.100.7:5353", "192.0.2.10:53", "abc"), 14 + 20 + 8 + 3, layers.LayerTypeUDP},
		"udp6":  {UDP("[2001:db8:100::7]:5353", "[2001:db8:2::10]:53", ""), 14 + 40 + 8, layers.LayerTypeUDP},
		"echo4": {Echo("198.51.100.7", "192.0.2.10", 77), 14 + 20 + 8 + 32, layers.LayerTypeICMPv4},
		"echo6": {Echo("2001:db8:100::7", "2001:db8:2::10", 77), 14 + 40 + 8 + 32, layers.LayerTypeICMPv6Echo},
		"vlans": {tagged, 14 + 8 + 20 + 20, layers.LayerTypeTCP},
	} {
		t.Run(name, func(t *testing.T) {
			b := tt.frame.Bytes()
			Equal(t, b, tt.frame)
			if len(b) != tt.size {
				t.Errorf("%d bytes, want %d", len(b), tt.size)
			}
			p := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default)
			if p.Layer(tt.kind) == nil {
				t.Errorf("no %v layer in %v", tt.kind, p)
			}
		})
	}
}

// The checker must be worth its name: whatever byte of an IP packet's checked
// part is damaged, it says so.
func TestCheckFindsEveryDamage(t *testing.T) {
	for name, f := range map[string]Frame{
		"tcp4":  TCP("198.51.100.7:40000", "192.0.2.10:80", packet.TCPSyn),
		"udp4":  UDP("198.51.100.7:5353", "192.0.2.10:53", "payload"),
		"echo4": Echo("198.51.100.7", "192.0.2.10", 77),
		"tcp6":  TCP("[2001:db8:100::7]:40000", "[2001:db8:2::10]:80", packet.TCPSyn),
		"udp6":  UDP("[2001:db8:100::7]:5353", "[2001:db8:2::10]:53", "payload"),
		"echo6": Echo("2001:db8:100::7", "2001:db8:2::10", 77),
	} {
		whole := f.Bytes()
		first := 14 // IPv4: every byte counts
		if !f.Is4() {
			first = 14 + 8 // IPv6: addresses and payload
		}
		for i := first; i < len(whole); i++ {
			b := f.Bytes()
			b[i] ^= 0x10
			if _, err := Check(b); err == nil {
				t.Errorf("%s: damage at byte %d goes unseen", name, i)
			}
		}
	}
}

func TestCheckFindsTruncation(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for range 200 {
		f := Random(r)
		f.Padding = 0
		b := f.Bytes()
		n := r.IntN(len(b))
		if _, err := Check(b[:n]); err == nil {
			t.Fatalf("%x, cut to %d bytes, goes unseen", b, n)
		}
	}
}

func TestZeroChecksumIsSentAsOnes(t *testing.T) {
	f := UDP("198.51.100.7:0", "192.0.2.10:53", "")
	b := f.Bytes()
	// What is missing in the sum as a source port makes the checksum 0.
	f.Src = netip.AddrPortFrom(f.Src.Addr(), binary.BigEndian.Uint16(b[40:]))
	b = f.Bytes()
	if got := binary.BigEndian.Uint16(b[40:]); got != 0xffff {
		t.Errorf("checksum %#04x, want 0xffff", got)
	}
	Equal(t, b, f)
}

func TestSum(t *testing.T) {
	for _, tt := range []struct {
		in   []byte
		want uint16
	}{
		{nil, 0},
		{[]byte{0x12, 0x34}, 0x1234},
		{[]byte{0x12}, 0x1200},
		{[]byte{0xff, 0xff}, 0},
		{[]byte{0xff, 0xfe, 0x00, 0x03}, 2},
		// RFC 1071, 3: the example's words sum up to 0xddf2.
		{[]byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}, 0xddf2},
	} {
		if got := Sum(tt.in); got != tt.want {
			t.Errorf("Sum(%x) = %#04x, want %#04x", tt.in, got, tt.want)
		}
	}
}
