package packet_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// The sender is told of the MTU, and of no less than every link has, if it does not let
// routers fragment; a packet that fits is never answered.
func TestTooBig(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 17))
	for range 3000 {
		f := packettest.Random(r)
		f.Payload = bytes.Repeat([]byte("x"), r.IntN(2500))
		frame, mtu := f.Bytes(), r.IntN(2500)
		n := len(frame) - 14 - 4*len(f.VLANs) - f.Padding
		least := 68
		if !f.Is4() {
			least = 1280
		}
		build := func(b []byte, p *packet.Packet) int { return packet.TooBig(b, p, mtu) }
		got := answer(t, build, frame, 1000)
		if due := n > max(mtu, least) && (f.DF || !f.Is4()); (got != nil) != due {
			t.Fatalf("a packet of %d bytes, DF %v, and an MTU of %d: answered %v", n, f.DF, mtu, got != nil)
		}
		if got == nil {
			continue
		}
		want := unreachable(f, frame, len(frame)+1000)
		want.Type, want.Code, want.EchoSeq = 3, 4, uint16(max(mtu, least))
		if !f.Is4() {
			want.Type, want.Code = 2, 0
		}
		equalBytes(t, got, want)
	}
}

// A hop costs one, and nothing else; the last one is not to be had.
func TestAge(t *testing.T) {
	r := rand.New(rand.NewPCG(18, 18))
	for range 3000 {
		f := packettest.Random(r)
		f.TTL = uint8(r.IntN(256))
		b := f.Bytes()
		p := mustParse(t, b)
		if went := packet.Age(b, &p); went != (f.TTL > 1) {
			t.Fatalf("ttl %d: %v", f.TTL, went)
		} else if went {
			f.TTL--
		}
		equalBytes(t, b, f)
	}
}

// Of a wrong IPv4 checksum a hop makes none that is right.
func TestAgeNeverRepairs(t *testing.T) {
	f := packettest.UDP(client4, service4, "x")
	for off := range uint16(0xffff) {
		b := f.Bytes()
		p := mustParse(t, b)
		spoil(b[24:26], off)
		packet.Age(b, &p)
		if got := packettest.Sum(b[14:34]); got != off {
			t.Fatalf("the checksum %#x was off by %#x, is by %#x", binary.BigEndian.Uint16(b[24:26]), off, got)
		}
	}
}
