package traffic

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// Every frame is one that a client or a backend could have sent: gopacket reads it, its
// checksums are right, and its addresses are those that were asked for.
func TestFrames(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := rapid.SampledFrom([]Family{IPv4, IPv6}).Draw(rt, "family")
		n := rapid.Uint32().Draw(rt, "client")
		backend := rapid.IntRange(0, MaxBackends-1).Draw(rt, "backend")
		length := rapid.SampledFrom([]int{Smallest, Middle, Largest}).Draw(rt, "length")

		client, service := f.Client(n), netip.AddrPortFrom(f.Service(), Port)
		check(t, NewRequest(f, packet.TCPSyn, length), n, f, length, client, service)
		check(t, NewReply(f, backend, packet.TCPAck, length), n, f, length, netip.AddrPortFrom(f.Backend(backend), BackendPort), client)
	})
}

func check(t *testing.T, tmpl *Template, n uint32, f Family, length int, src, dst netip.AddrPort) {
	t.Helper()
	room := make([]byte, 2048)
	tmpl.Write(room, ^n) // another one was there before
	b := room[:tmpl.Write(room, n)]
	if want := max(length, map[Family]int{IPv4: 60, IPv6: 74}[f]); len(b) != want {
		t.Errorf("frame of %d bytes, want %d", len(b), want)
	}
	got := packettest.Verify(t, b)
	if got.Src != src || got.Dst != dst {
		t.Errorf("frame from %v to %v, want from %v to %v", got.Src, got.Dst, src, dst)
	}
}

func TestKeyIsThatOfTheFrame(t *testing.T) {
	for _, f := range []Family{IPv4, IPv6} {
		room := make([]byte, 2048)
		for _, n := range []uint32{0, 1, 77_777, Fresh, ^uint32(0)} {
			var p packet.Packet
			b := room[:NewRequest(f, packet.TCPAck, Smallest).Write(room, n)]
			if v := packet.Parse(b, &p); v != packet.Pending || p.Key != f.Key(n) {
				t.Errorf("%s client %d: parsed %v as %v, want %v", f, n, p.Key, v, f.Key(n))
			}
		}
	}
}

func TestSizes(t *testing.T) {
	const small, middle, large = 60, 566, 1514 // 64, 570, 1518 without the checksum
	for sizes, want := range map[Sizes]map[int]int{
		Small: {small: 12},
		IMIX:  {small: 7, middle: 4, large: 1},
	} {
		fs, err := NewFrames(IPv4, sizes, 3, nil)
		if err != nil {
			t.Fatal(err)
		}
		room, got := make([]byte, 2048), map[int]int{}
		for i := range 12 * 10 {
			got[fs.Write(room, NewPacket(uint32(i), i%3, conntrack.Direction(i%2)))]++
		}
		for length, n := range want {
			if got[length] != 10*n {
				t.Errorf("%s: %v frames by length in ten turns, want %v in one", sizes, got, want)
			}
		}
	}
	if _, err := NewFrames(IPv4, "63B", 1, nil); err == nil {
		t.Error("an unknown mixture was taken")
	}
}

func TestFramesGoTheRightWay(t *testing.T) {
	fs, err := NewFrames(IPv4, Small, 5, nil)
	if err != nil {
		t.Fatal(err)
	}
	room := make([]byte, 2048)
	up := packettest.Verify(t, room[:fs.Write(room, NewPacket(9, 4, conntrack.Request))])
	if up.Src != IPv4.Client(9) || up.Dst.Addr() != IPv4.Service() {
		t.Errorf("request from %v to %v", up.Src, up.Dst)
	}
	down := packettest.Verify(t, room[:fs.Write(room, NewPacket(9, 4, conntrack.Reply))])
	if down.Src.Addr() != IPv4.Backend(4) || down.Dst != IPv4.Client(9) {
		t.Errorf("reply from %v to %v", down.Src, down.Dst)
	}
}

func BenchmarkWrite(b *testing.B) {
	fs, err := NewFrames(IPv4, IMIX, 8, nil)
	if err != nil {
		b.Fatal(err)
	}
	room := make([]byte, 2048)
	b.ReportAllocs()
	for n := uint32(0); b.Loop(); n++ {
		fs.Write(room, NewPacket(n%MaxFlows, int(n%8), conntrack.Direction(n&1)))
	}
}
