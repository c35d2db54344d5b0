package packet_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// answers are the functions under test, by name, with a frame each that they
// answer.
var answers = map[string]struct {
	build func([]byte, *packet.Packet) int
	to    func() []packettest.Frame
}{
	"EchoReply": {packet.EchoReply, func() []packettest.Frame {
		return []packettest.Frame{
			packettest.Echo("198.51.100.7", "192.0.2.10", 7),
			packettest.Echo("2001:db8:100::7", "2001:db8:2::10", 7),
		}
	}},
	"Reset": {packet.Reset, func() []packettest.Frame {
		return []packettest.Frame{
			packettest.TCP(client4, service4, packet.TCPSyn),
			packettest.TCP(client6, service6, packet.TCPSyn),
		}
	}},
	"Unreachable":  {packet.Unreachable, datagrams},
	"TimeExceeded": {packet.TimeExceeded, datagrams},
	"TooBig":       {tooBig, bigDatagrams},
	"ChallengeACK": {challenge, func() []packettest.Frame {
		return []packettest.Frame{
			packettest.TCP(client4, service4, packet.TCPSyn),
			packettest.TCP(client6, service6, packet.TCPSyn),
		}
	}},
}

func datagrams() []packettest.Frame {
	return []packettest.Frame{
		packettest.UDP(client4, service4, "question"),
		packettest.UDP(client6, service6, "question"),
	}
}

// linkMTU is what the packets of bigDatagrams are too big for.
const linkMTU = 1300

func tooBig(frame []byte, p *packet.Packet) int { return packet.TooBig(frame, p, linkMTU) }

func bigDatagrams() []packettest.Frame {
	list := datagrams()
	for i := range list {
		list[i].DF, list[i].Payload = list[i].Is4(), bytes.Repeat([]byte("x"), linkMTU)
	}
	return list
}

// Where the connection of the challenge is.
const challengeSeq, challengeAck = 0xfffffff0, 0x0badcafe

func challenge(frame []byte, p *packet.Packet) int {
	return packet.ChallengeACK(frame, p, challengeSeq, challengeAck)
}

// back returns the head of the answer to f: everything up to the transport.
func back(f packettest.Frame) packettest.Frame {
	r := packettest.Frame{
		DstMAC: f.SrcMAC, SrcMAC: f.DstMAC, VLANs: f.VLANs,
		Src: f.Dst, Dst: f.Src, Proto: f.Proto,
		TOS: f.TOS &^ 3, TTL: 64,
	}
	if f.Is4() {
		r.ID, r.DF = f.ID, f.DF
	}
	return r
}

// withoutPorts makes the frame one of ICMP.
func withoutPorts(f packettest.Frame, kind, code uint8) packettest.Frame {
	f.Src, f.Dst = netip.AddrPortFrom(f.Src.Addr(), 0), netip.AddrPortFrom(f.Dst.Addr(), 0)
	f.Type, f.Code = kind, code
	f.Proto = packet.ProtoICMP
	if !f.Is4() {
		f.Proto = packet.ProtoICMPv6
	}
	return f
}

// answer runs build on a guarded copy of frame and returns the frame that came
// out, nil if none did.
func answer(t testing.TB, build func([]byte, *packet.Packet) int, frame []byte, room int) []byte {
	t.Helper()
	p := mustParse(t, frame)
	g := guard(frame, room)
	n := build(g.frame(len(frame)), &p)
	if n == 0 {
		g.check(t, 0) // untouched
		return nil
	}
	if n > len(frame)+room {
		t.Fatalf("answer of %d bytes in a frame with room for %d", n, len(frame)+room)
	}
	g.check(t, max(n, len(frame)))
	return g.frame(n)
}

// randomOf returns a random frame that ok accepts.
func randomOf(r *rand.Rand, ok func(f *packettest.Frame) bool) packettest.Frame {
	for {
		if f := packettest.Random(r); ok(&f) {
			return f
		}
	}
}

func isEcho(f *packettest.Frame) bool {
	return f.Proto == packet.ProtoICMP || f.Proto == packet.ProtoICMPv6
}

func TestEchoReply(t *testing.T) {
	r := rand.New(rand.NewPCG(12, 12))
	for range 1500 {
		f := randomOf(r, isEcho)
		kind := uint8(0)
		if !f.Is4() {
			kind = 129
		}
		want := withoutPorts(back(f), kind, 0)
		want.EchoID, want.EchoSeq, want.Payload = f.EchoID, f.EchoSeq, f.Payload
		equalBytes(t, answer(t, packet.EchoReply, f.Bytes(), 0), want)
	}
}

// The table of RFC 9293, 3.10.7.1.
func TestResetNumbers(t *testing.T) {
	const seq, ack = 0x01020304, 0x0a0b0c0d
	for _, tt := range []struct {
		name             string
		flags            uint8
		payload          string
		wantSeq, wantAck uint32
		wantFlags        uint8
	}{
		{"syn", packet.TCPSyn, "", 0, seq + 1, packet.TCPRst | packet.TCPAck},
		{"syn with data", packet.TCPSyn, "fast open", 0, seq + 10, packet.TCPRst | packet.TCPAck},
		{"fin alone", packet.TCPFin, "", 0, seq + 1, packet.TCPRst | packet.TCPAck},
		{"syn and fin", packet.TCPSyn | packet.TCPFin, "", 0, seq + 2, packet.TCPRst | packet.TCPAck},
		{"no flags", 0, "x", 0, seq + 1, packet.TCPRst | packet.TCPAck},
		{"ack", packet.TCPAck, "", ack, 0, packet.TCPRst},
		{"syn-ack", packet.TCPSyn | packet.TCPAck, "", ack, 0, packet.TCPRst},
		{"data", packet.TCPPsh | packet.TCPAck, "data", ack, 0, packet.TCPRst},
		{"fin-ack", packet.TCPFin | packet.TCPAck, "", ack, 0, packet.TCPRst},
	} {
		for _, f := range answers["Reset"].to() {
			f.Flags, f.Payload, f.Seq, f.Ack = tt.flags, []byte(tt.payload), seq, ack
			want := back(f)
			want.Seq, want.Ack, want.Flags = tt.wantSeq, tt.wantAck, tt.wantFlags
			t.Run(tt.name, func(t *testing.T) { equalBytes(t, answer(t, packet.Reset, f.Bytes(), 0), want) })
		}
	}
}

func TestReset(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 13))
	for range 1500 {
		f := randomOf(r, func(f *packettest.Frame) bool { return f.Proto == packet.ProtoTCP })
		got := answer(t, packet.Reset, f.Bytes(), 0)
		if f.Flags&packet.TCPRst != 0 {
			if got != nil {
				t.Fatalf("a RST was answered by %x", got)
			}
			continue
		}
		want := back(f)
		want.Flags = packet.TCPRst
		if f.Flags&packet.TCPAck != 0 {
			want.Seq = f.Ack
		} else {
			want.Flags |= packet.TCPAck
			want.Ack = f.Seq + uint32(len(f.Payload)) + uint32(f.Flags>>1&1) + uint32(f.Flags&1)
		}
		equalBytes(t, got, want)
	}
}

func TestChallengeACK(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 15))
	for range 1500 {
		f := randomOf(r, func(f *packettest.Frame) bool { return f.Proto == packet.ProtoTCP })
		got := answer(t, challenge, f.Bytes(), 0)
		if f.Flags&packet.TCPRst != 0 {
			if got != nil {
				t.Fatalf("a RST was answered by %x", got)
			}
			continue
		}
		want := back(f)
		want.Flags, want.Seq, want.Ack = packet.TCPAck, challengeSeq, challengeAck
		equalBytes(t, got, want)
	}
}

func TestUnreachable(t *testing.T) {
	r := rand.New(rand.NewPCG(14, 14))
	for range 1500 {
		f := randomOf(r, func(f *packettest.Frame) bool { return !isEcho(f) })
		frame := f.Bytes()
		got := answer(t, packet.Unreachable, frame, 100)
		if got == nil {
			t.Fatalf("no answer to %x", frame)
		}
		equalBytes(t, got, unreachable(f, frame, len(frame)+100))
	}
}

// Traceroute by any protocol shows the hop.
func TestTimeExceeded(t *testing.T) {
	r := rand.New(rand.NewPCG(16, 16))
	for range 1500 {
		f := packettest.Random(r)
		f.TTL = 1
		frame := f.Bytes()
		got := answer(t, packet.TimeExceeded, frame, 100)
		if got == nil {
			t.Fatalf("no answer to %x", frame)
		}
		want := unreachable(f, frame, len(frame)+100)
		want.Type, want.Code = 11, 0
		if !f.Is4() {
			want.Type = 3
		}
		equalBytes(t, got, want)
	}
}

// unreachable is the answer to f in a frame of at most room bytes.
func unreachable(f packettest.Frame, frame []byte, room int) packettest.Frame {
	l3 := 14 + 4*len(f.VLANs)
	want, header, limit := withoutPorts(back(f), 3, 3), 28, 576
	if !f.Is4() {
		want, header, limit = withoutPorts(back(f), 1, 4), 48, 1280
	}
	quoted := frame[l3 : len(frame)-f.Padding]
	want.Payload = quoted[:min(len(quoted), limit-header, room-l3-header)]
	return want
}

// With less and less room the quote becomes shorter, down to the IP header and 8
// bytes; below that there is no answer.
func TestUnreachableInLittleRoom(t *testing.T) {
	for _, f := range answers["Unreachable"].to() {
		f.VLANs = []uint16{3}
		f.Payload = bytes.Repeat([]byte("x"), 50)
		frame := f.Bytes()
		least := 18 + 28 + 28
		if !f.Is4() {
			least = 18 + 48 + 48
		}
		for room := range 60 {
			got := answer(t, packet.Unreachable, frame, room)
			if len(frame)+room < least {
				t.Fatalf("test is wrong: %d bytes are too few for any answer", len(frame)+room)
			}
			equalBytes(t, got, unreachable(f, frame, len(frame)+room))
		}
		f.Payload = nil // now frame + 0 room is below the least that is worth sending
		frame = f.Bytes()
		for room := range 60 {
			got := answer(t, packet.Unreachable, frame, room)
			if answered := got != nil; answered != (len(frame)+room >= least) {
				t.Fatalf("room for %d bytes, at least %d: answered %v", len(frame)+room, least, answered)
			}
		}
	}
}

func TestNoAnswer(t *testing.T) {
	for name, a := range answers {
		for _, f := range a.to() {
			for what, spoil := range map[string]func(b []byte, p *packet.Packet){
				"to a broadcast MAC":   func(b []byte, _ *packet.Packet) { copy(b, "\xff\xff\xff\xff\xff\xff") },
				"to a multicast MAC":   func(b []byte, _ *packet.Packet) { b[0] |= 1 },
				"from a multicast MAC": func(b []byte, _ *packet.Packet) { b[6] |= 1 },
				"with a wrong checksum": func(b []byte, p *packet.Packet) {
					transportSum(b, p)[1] ^= 1
				},
				"with a damaged last byte": func(b []byte, p *packet.Packet) { b[p.End-1] ^= 1 },
				"with a damaged address": func(b []byte, p *packet.Packet) {
					b[p.L3+15] ^= 1 // the source, in both families
				},
			} {
				b := f.Bytes()
				p := mustParse(t, b)
				spoil(b, &p)
				if got := answer(t, a.build, b, 200); got != nil {
					t.Errorf("%s answers a packet %s: %x", name, what, got)
				}
			}
			for _, group := range []string{"224.0.0.1", "239.1.2.3", "255.255.255.255", "ff02::1"} {
				if to := netip.MustParseAddr(group); to.Is4() == f.Is4() {
					f.Dst = netip.AddrPortFrom(to, f.Dst.Port())
					if got := answer(t, a.build, f.Bytes(), 200); got != nil {
						t.Errorf("%s answers a packet to %s: %x", name, group, got)
					}
				}
			}
		}
	}
}

// Each function answers its own kind of packet only.
func TestNoAnswerToOtherProtocols(t *testing.T) {
	for name, a := range answers {
		for other, b := range answers {
			for _, f := range b.to() {
				want := name == other
				switch name {
				case "TimeExceeded":
					want = true
				case "TooBig":
					want = other == "TooBig"
				case "Unreachable":
					want = other != "EchoReply"
				case "Reset", "ChallengeACK":
					want = other == "Reset" || other == "ChallengeACK"
				}
				if got := answer(t, a.build, f.Bytes(), 200) != nil; got != want {
					t.Errorf("%s on what %s answers: answered %v", name, other, got)
				}
			}
		}
	}
}

func TestUDPWithoutChecksum(t *testing.T) {
	four := packettest.UDP(client4, service4, "question")
	four.NoChecksum = true
	if answer(t, packet.Unreachable, four.Bytes(), 100) == nil {
		t.Error("IPv4: no answer")
	}
	six := packettest.UDP(client6, service6, "question")
	six.NoChecksum = true
	if answer(t, packet.Unreachable, six.Bytes(), 100) != nil {
		t.Error("IPv6: answered, but a checksum is due there (RFC 8200, 8.1)")
	}
}

// What follows the UDP length belongs to the IP packet, not to the checksum.
func TestUDPWithOptionsBehind(t *testing.T) {
	f := packettest.UDP(client4, service4, "question")
	b := append(f.Bytes(), 1, 2, 3, 4)
	ip := b[14:]
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	binary.BigEndian.PutUint16(ip[10:], 0)
	binary.BigEndian.PutUint16(ip[10:], ^packettest.Sum(ip[:20]))
	got := answer(t, packet.Unreachable, b, 100)
	if got == nil {
		t.Fatal("no answer")
	}
	if quoted := packettest.Verify(t, got).Payload; !bytes.Equal(quoted, ip) {
		t.Errorf("quotes %x, want %x", quoted, ip)
	}
}
