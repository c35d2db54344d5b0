package packet_test

import (
	"net/netip"
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// BenchmarkRewrite does to a packet what NAT does with a request, 64 packets a
// turn, and reports the time of one.
func BenchmarkRewrite(b *testing.B) {
	for name, frame := range benchFrames() {
		b.Run(name, func(b *testing.B) {
			frames := batch(frame)
			packets := make([]packet.Packet, len(frames))
			for i := range frames {
				packets[i] = mustParse(b, frame)
			}
			backend := packet.AddrFrom(netip.MustParseAddr("10.0.0.11"))
			if packets[0].IPv6 {
				backend = packet.AddrFrom(netip.MustParseAddr("2001:db8:10::11"))
			}
			port, to, from := uint16(0), packettest.BalancerMAC.Word(), packettest.ClientMAC.Word()
			for b.Loop() {
				port++
				for i := range frames {
					f, p := frames[i], &packets[i]
					f[p.L3+7], f[p.L3+8] = 64, 64 // IPv6, IPv4: it must not run out
					if p.IPv6 {
						packet.Translate6(f, p, packet.Destination, &backend, port)
					} else {
						packet.Translate4(f, p, packet.Side(i&1), backend.Low(), port)
					}
					packet.SetMACs(f, to, from)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(frames)), "ns/packet")
		})
	}
}
