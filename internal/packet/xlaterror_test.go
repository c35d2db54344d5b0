package packet_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// xlatError is xlat for an ICMP error.
func xlatError(t testing.TB, frame []byte, to, quoted *packet.Key) ([]byte, packet.Verdict) {
	t.Helper()
	var p packet.Packet
	if v := packet.Parse(frame, &p); v != packet.DropICMP {
		t.Fatalf("%v of %x", v, frame)
	}
	n, v := packet.XlatErrorGrowth(frame, &p)
	if v != packet.Pending {
		return nil, v
	}
	translate := func(b []byte, p *packet.Packet) int { return packet.XlatError(b, p, to, quoted, xlatID) }
	return grown(t, frame, p, n, translate), v
}

// message is the head of an ICMP error, and what is in the word behind the checksum.
type message struct {
	kind, code uint8
	high, low  uint16
}

// about returns m about so many bytes of the IP packet in f, from a router to f's sender.
func (m message) about(f packettest.Frame, quoted int) packettest.Frame {
	l3 := 14 + 4*len(f.VLANs)
	b := f.Bytes()
	b = b[l3 : len(b)-f.Padding]
	e := withoutPorts(back(f), m.kind, m.code)
	e.EchoID, e.EchoSeq = m.high, m.low
	e.Payload = b[:min(quoted, len(b))]
	return e
}

// unquotedID is what a quote of an IPv6 packet has for identification: nobody can know it.
func unquotedID(f packettest.Frame) packettest.Frame {
	if f.Is4() && f.ID == xlatID {
		f.ID = 0
	}
	return f
}

// A translated error quotes what the receiver has sent, as far as it was quoted and as fits.
func TestXlatErrorIsBuildingAnew(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 79))
	for range 4000 {
		f := withPorts(r)
		sent := otherEnds(r, f)
		n := 8 + r.IntN(1<<r.IntN(12))
		if n == 17 {
			n-- // half of a TCP checksum does not tell what the whole one was
		}
		m, as := message{kind: 11}, message{kind: 3}
		if !f.Is4() {
			m, as = as, m
		}
		e := m.about(f, headerLen(f)+n)
		e.TOS, e.Padding = byte(r.Uint32()), r.IntN(9)
		from := otherEnds(r, f)
		got, v := xlatError(t, e.Bytes(), &from, &sent)
		if v != packet.Pending {
			t.Fatalf("%v of %+v", v, e)
		}

		original := unquotedID(translated(f, &sent))
		original.NoChecksum = f.NoChecksum // it was sent with one; what is quoted has none
		want := as.about(original, headerLen(original)+n)
		want.Payload = want.Payload[:min(len(want.Payload), limitOf(want)-headerLen(want)-8)]
		to := from
		outer := translated(withoutPorts(e, 0, 0), &to)
		want.Src, want.Dst, want.TOS, want.ID, want.DF, want.TTL = outer.Src, outer.Dst, e.TOS, 0, false, e.TTL-1
		want.SrcMAC, want.DstMAC = e.SrcMAC, e.DstMAC
		if want.Is4() {
			want.ID = xlatID
		}
		equalBytes(t, got, want)
	}
}

func limitOf(f packettest.Frame) int {
	if f.Is4() {
		return 576
	}
	return 1280
}

// The tables of RFC 7915, 4.2 and 5.2, as they stand there. A message of kind 0 is none.
func TestXlatErrorTypes(t *testing.T) {
	const total = 1500
	var none message
	four := map[message]message{
		{3, 0, 0, 0}: {1, 0, 0, 0}, {3, 1, 0, 0}: {1, 0, 0, 0}, // net, host
		{3, 2, 0, 0}: {4, 1, 0, 6}, // protocol: next header
		{3, 3, 0, 0}: {1, 4, 0, 0}, // port
		{3, 5, 0, 0}: {1, 0, 0, 0}, {3, 6, 0, 0}: {1, 0, 0, 0}, {3, 7, 0, 0}: {1, 0, 0, 0}, {3, 8, 0, 0}: {1, 0, 0, 0},
		{3, 9, 0, 0}: {1, 1, 0, 0}, {3, 10, 0, 0}: {1, 1, 0, 0}, // prohibited
		{3, 11, 0, 0}: {1, 0, 0, 0}, {3, 12, 0, 0}: {1, 0, 0, 0},
		{3, 13, 0, 0}: {1, 1, 0, 0}, {3, 14, 0, 0}: none, {3, 15, 0, 0}: {1, 1, 0, 0}, {3, 16, 0, 0}: none,
		{3, 4, 0, 1400}: {2, 0, 0, 1420}, {3, 4, 0, 1260}: {2, 0, 0, 1280}, {3, 4, 0, 68}: {2, 0, 0, 1280},
		{3, 4, 0, 65535}: {2, 0, 1, 19}, {3, 4, 0, 0}: {2, 0, 0, 1512}, // no MTU: the plateau below
		{4, 0, 0, 0}: none, {5, 1, 0, 0}: none, // source quench, redirect
		{11, 0, 0, 0}: {3, 0, 0, 0}, {11, 1, 0, 0}: {3, 1, 0, 0},
		{12, 1, 0, 0}: none, {12, 3, 0, 0}: none,
	}
	for from, to := range map[uint16]int{0: 0, 1: 1, 2: 4, 3: 4, 4: -1, 5: -1, 6: -1, 7: -1, 8: 7, 9: 6, 10: -1, 11: -1, 12: 8, 15: 8, 16: 24, 19: 24, 20: -1, 255: -1} {
		m := message{4, 0, 0, uint16(to)}
		if to < 0 {
			m = none
		}
		four[message{12, 0, from << 8, 0}], four[message{12, 2, from << 8, 0}] = m, m
	}
	six := map[message]message{
		{1, 0, 0, 0}: {3, 1, 0, 0}, {1, 1, 0, 0}: {3, 10, 0, 0}, {1, 2, 0, 0}: {3, 1, 0, 0}, {1, 3, 0, 0}: {3, 1, 0, 0},
		{1, 4, 0, 0}: {3, 3, 0, 0}, {1, 5, 0, 0}: none,
		{2, 0, 0, 1500}: {3, 4, 0, 1480}, {2, 0, 0, 1280}: {3, 4, 0, 1260}, {2, 0, 0, 0}: {3, 4, 0, 1260}, {2, 0, 9, 0}: {3, 4, 0, 65535},
		{3, 0, 0, 0}: {11, 0, 0, 0}, {3, 1, 0, 0}: {11, 1, 0, 0},
		{4, 1, 0, 6}: {3, 2, 0, 0}, {4, 2, 0, 0}: none, {4, 0, 1, 0}: none, {100, 0, 0, 0}: none,
	}
	for from, to := range map[uint16]int{0: 0, 1: 1, 2: -1, 3: -1, 4: 2, 5: 2, 6: 9, 7: 8, 8: 12, 23: 12, 24: 16, 39: 16, 40: -1} {
		six[message{4, 0, 0, from}] = message{12, 0, uint16(to) << 8, 0}
		if to < 0 {
			six[message{4, 0, 0, from}] = none
		}
	}
	check := func(src, dst string, table map[message]message) {
		f := packettest.UDP(src, dst, string(make([]byte, total-28)))
		r := rand.New(rand.NewPCG(4, 6))
		to, sent := otherEnds(r, f), otherEnds(r, f)
		for m, want := range table {
			got, v := xlatError(t, m.about(f, 100).Bytes(), &to, &sent)
			if (v == packet.Pending) != (want != none) || v != packet.Pending && v != packet.DropICMP {
				t.Errorf("%+v: %v, want %+v", m, v, want)
			}
			if v != packet.Pending {
				continue
			}
			e := packettest.Verify(t, got)
			if is := (message{e.Type, e.Code, e.EchoID, e.EchoSeq}); is != want {
				t.Errorf("%+v becomes %+v, want %+v", m, is, want)
			}
		}
	}
	check(client4, service4, four)
	check(client6, service6, six)
}

// A router that tells no MTU leaves it to the size of the packet (RFC 1191, 7).
func TestXlatErrorPlateaus(t *testing.T) {
	for total, mtu := range map[uint16]uint16{65535: 32020, 17915: 17934, 17914: 8186, 1493: 1512, 1492: 1280, 600: 1280} {
		f := packettest.UDP(client4, service4, "short")
		e := message{kind: 3, code: 4}.about(f, 28)
		set16(2, total)(e.Payload)
		to := otherEnds(rand.New(rand.NewPCG(5, 5)), f)
		got, v := xlatError(t, e.Bytes(), &to, &to)
		if v != packet.Pending {
			t.Fatalf("%d bytes: %v", total, v)
		}
		if is := packettest.Verify(t, got).EchoSeq; is != mtu {
			t.Errorf("%d bytes: %d, want %d", total, is, mtu)
		}
	}
}

// Extensions behind the quote go, and with them the length that says where they are.
func TestXlatErrorWithExtensions(t *testing.T) {
	for _, c := range []struct {
		f      packettest.Frame
		m, as  message
		length int
	}{
		{packettest.TCP(client4, service4, packet.TCPAck), message{11, 0, 32, 0}, message{3, 0, 0, 0}, 128},
		{packettest.TCP(client4, service4, packet.TCPAck), message{3, 4, 33, 1400}, message{2, 0, 0, 1420}, 132},
		{packettest.TCP(client6, service6, packet.TCPAck), message{3, 0, 16 << 8, 0}, message{11, 0, 0, 0}, 128},
	} {
		c.f.Payload = make([]byte, 500)
		to := otherEnds(rand.New(rand.NewPCG(6, 6)), c.f)
		e := c.m.about(c.f, c.length)
		e.Payload = append(e.Payload, 0x20, 0, 0, 0, 0, 8, 1, 1, 1, 2, 3, 4) // MPLS label stack, RFC 4950
		got, v := xlatError(t, e.Bytes(), &to, &to)
		if v != packet.Pending {
			t.Fatalf("%v of %+v", v, e)
		}
		want := c.as.about(unquotedID(translated(c.f, &to)), c.length+headerLen(translated(c.f, &to))-headerLen(c.f))
		is := packettest.Verify(t, got)
		if is.Type != c.as.kind || is.EchoID != c.as.high || is.EchoSeq != c.as.low || string(is.Payload) != string(want.Payload) {
			t.Errorf("%+v becomes %+v, want %+v", e, is, want)
		}
	}
}

// An error that lies, or says nothing, goes no further.
func TestXlatErrorRefuses(t *testing.T) {
	udp4, udp6 := packettest.UDP(client4, service4, "datagram"), packettest.UDP(client6, service6, "datagram")
	echo := packettest.Echo("198.51.100.7", "192.0.2.10", 1)
	unreachable4, unreachable6 := message{kind: 3, code: 3}, message{kind: 1, code: 4}
	quote := func(change func(b []byte)) []byte {
		e := unreachable4.about(udp4, 100)
		change(e.Payload)
		return e.Bytes()
	}
	short := message{kind: 11, high: 6}.about(udp4, 36) // says that it quotes 24 bytes
	last := unreachable4.about(udp4, 100)
	last.TTL = 1
	for name, c := range map[string]struct {
		frame []byte
		want  packet.Verdict
	}{
		"last hop":               {last.Bytes(), packet.DropTTL},
		"wrong header checksum":  {vary(unreachable4.about(udp4, 100), set8(15, 1)), packet.DropMalformed},
		"an echo quoted":         {unreachable4.about(echo, 100).Bytes(), packet.DropICMP},
		"an error quoted":        {unreachable4.about(unreachable4.about(udp4, 100), 100).Bytes(), packet.DropICMP},
		"another family quoted":  {quote(set8(0, 0x65)), packet.DropICMP},
		"a later fragment":       {quote(set16(6, 1)), packet.DropICMP},
		"no ports quoted":        {unreachable6.about(udp6, 47).Bytes(), packet.DropICMP},
		"ports behind the quote": {short.Bytes(), packet.DropICMP},
		"SCTP quoted":            {quote(set8(9, 132)), packet.DropICMP},
		"neighbour discovery":    {message{kind: 135}.about(udp6, 100).Bytes(), packet.DropICMP},
	} {
		if _, v := xlatError(t, c.frame, nil, nil); v != c.want {
			t.Errorf("%s: %v, want %v", name, v, c.want)
		}
	}
}

// An error with a wrong checksum stays wrong by as much, whatever is cut off of it.
func TestXlatErrorNeverRepairs(t *testing.T) {
	r := rand.New(rand.NewPCG(20, 79))
	for range 500 {
		f := withPorts(r)
		to, m := otherEnds(r, f), message{kind: 3}
		if !f.Is4() {
			m.kind = 1
		}
		good := m.about(f, 1400).Bytes()
		bad, off := bytes.Clone(good), uint16(1+r.IntN(0xfffe))
		var p packet.Packet
		packet.Parse(good, &p)
		spoil(transportSum(bad, &p), off)
		g, _ := xlatError(t, good, &to, &to)
		b, _ := xlatError(t, bad, &to, &to)
		packettest.Verify(t, g)
		packet.Parse(g, &p)
		if got := difference(transportSum(b, &p), transportSum(g, &p)); got != off {
			t.Fatalf("%+v: was off by %#x, is by %#x", f, off, got)
		}
	}
}

// Some hosts change the length in what they quote: that is no reason to lose the error.
func TestXlatErrorTakesAnyLength(t *testing.T) {
	for length, want := range map[uint16]uint16{0: 0, 19: 0, 20: 0, 300: 280, 0xffff: 0xffff - 40} {
		f := packettest.UDP(client4, service4, "datagram")
		e := message{kind: 3, code: 3}.about(f, 100)
		set16(2, length)(e.Payload)
		to := otherEnds(rand.New(rand.NewPCG(8, 8)), f)
		got, v := xlatError(t, e.Bytes(), &to, &to)
		if v != packet.Pending {
			t.Fatalf("%d: %v", length, v)
		}
		if is := binary.BigEndian.Uint16(packettest.Verify(t, got).Payload[4:]); is != want {
			t.Errorf("%d: payload length %d, want %d", length, is, want)
		}
	}
}

// A first fragment that is quoted keeps its fragment header.
func TestXlatErrorAboutFragment(t *testing.T) {
	f := packettest.UDP(client4, service4, "datagram")
	b := fragmented(f, 0, true)
	e := withoutPorts(back(f), 3, 3)
	e.Payload = b[14:]
	to := otherEnds(rand.New(rand.NewPCG(7, 7)), f)
	got, v := xlatError(t, e.Bytes(), &to, &to)
	if v != packet.Pending {
		t.Fatal(v)
	}
	quoted := packettest.Verify(t, got).Payload
	if head := fmt.Sprintf("%x", quoted[40:48]); quoted[6] != 44 || head[:8] != "11000001" {
		t.Errorf("next header %d, then %s", quoted[6], head)
	}
}
