package packet_test

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// The fragments of a tunnel's packet fit, and put together are that packet again, whatever the
// tunnel is.
func TestOuterPieces(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for range 500 {
		c := packet.TunnelConfig{Encapsulation: packet.Encapsulation(r.IntN(4)), Inner6: true, Port: 6080, Checksum: r.IntN(2) == 0}
		c.Source, c.Destination = netip.MustParsePrefix("10.0.0.1/32"), netip.MustParseAddr("10.0.0.11")
		if r.IntN(2) == 0 {
			c.Source, c.Destination = netip.MustParsePrefix("2001:db8:10::1/128"), netip.MustParseAddr("2001:db8:10::11")
		}
		tunnel := packet.NewTunnel(&c)
		f := packettest.TCP(client6, service6, packet.TCPAck)
		f.Payload = make([]byte, 400+r.IntN(1220-400+1))
		inner := f.Bytes()[14:]
		frame := make([]byte, 14+tunnel.Len()+len(inner))
		copy(frame[14+tunnel.Len():], inner)
		tunnel.Encapsulate(frame, 14+tunnel.Len(), 99)
		packet.PutEthernet(frame, 1<<40, 2<<40, &packet.Tags{}, tunnel.IPv6())
		want := bytes.Clone(frame)
		if !tunnel.IPv6() { // who is cut has to be told apart, and may be cut
			want[18], want[19], want[20] = 0x12, 0x34, 0
			packettest.Resize(want)
		}
		mtu := 100 + r.IntN(len(frame)-14-100)
		n := tunnel.OuterPieces(len(frame)-14, mtu)
		var parts [][]byte
		for k := range n {
			part := make([]byte, 2000)
			copy(part, frame[:14])
			part = part[:14+tunnel.OuterPiece(part[14:], frame[14:], mtu, k, 0xabcd1234)]
			if len(part) > 14+mtu {
				t.Fatalf("piece %d of %d has %d bytes, the link takes %d", k+1, n, len(part)-14, mtu)
			}
			parts = append(parts, part)
		}
		got, err := packettest.Assemble(parts)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%+v in %d pieces of %d bytes: %v\n got %x\nwant %x", c, n, mtu, err, got, want)
		}
		if tunnel.IPv6() != bytes.Contains(parts[0], []byte{0xab, 0xcd, 0x12, 0x34}) {
			t.Fatalf("identification: %x", parts[0][:80])
		}
		for _, none := range []int{0, 20, 27, 40, 55} {
			if none < 40 || tunnel.IPv6() {
				if n := tunnel.OuterPieces(1000, none); n != 0 {
					t.Fatalf("%d pieces of %d bytes", n, none)
				}
			}
		}
	}
}

func TestMustCarry(t *testing.T) {
	for _, f := range []packettest.Frame{packettest.UDP(client6, service6, ""), packettest.UDP(client4, service4, "")} {
		for size, want := range map[int]bool{100: true, 1280 - 48: true, 1280 - 47: false} {
			f.Payload = make([]byte, size)
			p := mustParse(t, f.Bytes())
			if got := packet.MustCarry(&p); got != (want && !f.Is4()) {
				t.Errorf("%d bytes to %v: %v", size, f.Dst, got)
			}
		}
	}
}
