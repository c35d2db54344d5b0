package packet_test

import (
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

func benchFrames() map[string][]byte {
	tagged := packettest.TCP("198.51.100.7:40000", "192.0.2.10:80", packet.TCPAck)
	tagged.VLANs = []uint16{100}
	return map[string][]byte{
		"tcp4":      packettest.TCP("198.51.100.7:40000", "192.0.2.10:80", packet.TCPAck).Bytes(),
		"udp4":      packettest.UDP("198.51.100.7:40000", "192.0.2.10:53", "question").Bytes(),
		"tcp6":      packettest.TCP("[2001:db8:100::7]:40000", "[2001:db8:2::10]:80", packet.TCPAck).Bytes(),
		"udp6":      packettest.UDP("[2001:db8:100::7]:40000", "[2001:db8:2::10]:53", "question").Bytes(),
		"tcp4+vlan": tagged.Bytes(),
	}
}

// batch returns 64 copies of frame as they lie in a UMEM: 2048 bytes apart, which
// is hard on the cache, since all of them fall into few of its sets.
func batch(frame []byte) [][]byte {
	const chunk, headroom = 2048, 256
	frames := make([][]byte, 64)
	umem := make([]byte, chunk*len(frames))
	for i := range frames {
		frames[i] = umem[i*chunk+headroom:][: len(frame) : chunk-headroom]
		copy(frames[i], frame)
	}
	return frames
}

// BenchmarkParse goes through 64 packets a turn, as the engine does, and reports
// the time of one.
func BenchmarkParse(b *testing.B) {
	for name, frame := range benchFrames() {
		b.Run(name, func(b *testing.B) {
			frames := batch(frame)
			packets := make([]packet.Packet, len(frames))
			for b.Loop() {
				for i := range frames {
					if v := packet.Parse(frames[i], &packets[i]); v != packet.Pending {
						b.Fatal(v)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(frames)), "ns/packet")
		})
	}
}
