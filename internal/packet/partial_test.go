package packet_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// unfinished leaves the checksum of a frame as Linux does for hardware to complete: the sum
// of the pseudo-header, not inverted.
func unfinished(b []byte, p *packet.Packet) {
	l4 := b[p.L4:p.End]
	if p.Key.Proto == packet.ProtoUDP {
		l4 = l4[:binary.BigEndian.Uint16(l4[4:])]
	}
	pseudo := bytes.Clone(b[p.L3+12 : p.L3+20])
	if p.IPv6 {
		pseudo = bytes.Clone(b[p.L3+8 : p.L3+40])
	}
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(l4)))
	pseudo = binary.BigEndian.AppendUint32(pseudo, p.Key.Proto)
	sum := packettest.Sum(pseudo)
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(transportSum(b, p), sum)
}

func TestCompleteChecksum(t *testing.T) {
	r := rand.New(rand.NewPCG(22, 22))
	completed, left := 0, 0
	for range 5000 {
		f := packettest.Random(r)
		whole := f.Bytes()
		p := mustParse(t, whole)
		for _, partial := range []bool{false, true} {
			if partial && (!hasPorts(f) || f.NoChecksum) {
				continue
			}
			b := bytes.Clone(whole)
			if partial {
				unfinished(b, &p)
			}
			g := guard(b, 0)
			done := packet.CompleteChecksum(g.frame(len(b)), &p)
			g.check(t, len(b))
			if partial && !done {
				t.Fatalf("%x is not completed", b)
			}
			if !bytes.Equal(g.frame(len(b)), whole) {
				t.Fatalf("partial %v, completed %v: became %x, want %x", partial, done, g.frame(len(b)), whole)
			}
			if done {
				completed++
			} else {
				left++
			}
		}
	}
	if completed == 0 || left == 0 {
		t.Errorf("%d completed, %d left alone", completed, left)
	}
}

// A wrong checksum is passed on as wrong as it was.
func TestCompleteChecksumLeavesWrongOnes(t *testing.T) {
	for _, f := range []packettest.Frame{packettest.TCP(client4, service4, packet.TCPAck), packettest.UDP(client6, service6, "x")} {
		b := f.Bytes()
		p := mustParse(t, b)
		unfinished(b, &p)
		transportSum(b, &p)[0] ^= 1
		if before := bytes.Clone(b); packet.CompleteChecksum(b, &p) || !bytes.Equal(b, before) {
			t.Errorf("%x was completed", before)
		}
	}
}

// A right checksum that is by chance what an unfinished one would be is none of these.
func TestCompleteChecksumByChance(t *testing.T) {
	for name, f := range map[string]packettest.Frame{
		"TCP":       packettest.TCP(client4, service4, packet.TCPAck),
		"UDP":       packettest.UDP(client4, service4, ""),
		"TCP, IPv6": packettest.TCP(client6, service6, packet.TCPAck),
		"UDP, IPv6": packettest.UDP(client6, service6, ""),
	} {
		found := false
		for word := range 1 << 16 {
			f.Payload = binary.BigEndian.AppendUint16(nil, uint16(word))
			whole := f.Bytes()
			p := mustParse(t, whole)
			b := bytes.Clone(whole)
			if unfinished(b, &p); !bytes.Equal(b, whole) {
				continue
			}
			found = true
			if packet.CompleteChecksum(b, &p) || !bytes.Equal(b, whole) {
				t.Errorf("%s: %x was completed", name, whole)
			}
			break
		}
		if !found {
			t.Errorf("%s: no payload has such a checksum", name)
		}
	}
}
