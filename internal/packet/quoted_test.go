package packet_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// errorAbout is an ICMP error about so many bytes of f, from a router to f's sender.
func errorAbout(f packettest.Frame, kind uint8, quoted int) []byte {
	l3 := 14 + 4*len(f.VLANs)
	b := f.Bytes()
	e := withoutPorts(back(f), kind, 0)
	e.Payload = b[l3 : len(b)-f.Padding]
	e.Payload = e.Payload[:min(quoted, len(e.Payload))]
	return e.Bytes()
}

// aboutErrors are the types of errors of both families.
func aboutErrors(f packettest.Frame) []uint8 {
	if f.Is4() {
		return []uint8{3, 11, 12}
	}
	return []uint8{1, 2, 3, 4}
}

func TestQuoted(t *testing.T) {
	r := rand.New(rand.NewPCG(23, 23))
	for range 3000 {
		f := packettest.Random(r)
		sent := mustParse(t, f.Bytes())
		header := int(sent.L4 - sent.L3)
		for _, kind := range aboutErrors(f) {
			for _, n := range []int{header + 7, header + 8, 1200} {
				b := errorAbout(f, kind, n)
				var p packet.Packet
				if v := packet.Parse(b, &p); v != packet.DropICMP {
					t.Fatalf("verdict %v", v)
				}
				if p.Key.Dst != sent.Key.Src || p.Key.SrcPort|p.Key.DstPort != 0 || p.Echo {
					t.Fatalf("parsed as %+v", p)
				}
				q, ok := packet.Quoted(b, &p)
				if want := n > header+7; ok != want || ok && (q.Key != sent.Key || q.L3 != p.L4+8 || q.L4-q.L3 != sent.L4-sent.L3) {
					t.Fatalf("type %d, %d bytes quoted: %+v %v, want %+v %v", kind, n, q, ok, sent, want)
				}
			}
		}
	}
}

// The answer to an echo belongs to whom asked.
func TestQuotedEchoReply(t *testing.T) {
	for _, f := range answers["EchoReply"].to() {
		want := f.Key()
		want.SrcPort, want.DstPort = 0, f.EchoID
		f.Type = 0
		if !f.Is4() {
			f.Type = 129
		}
		b := errorAbout(f, 3, 100)
		var p packet.Packet
		packet.Parse(b, &p)
		if q, ok := packet.Quoted(b, &p); !ok || q.Key != want {
			t.Errorf("%+v %v, want %+v", q, ok, want)
		}
	}
}

// The first fragment of a packet has its ports: "packet too big" may be about one.
func TestQuotedFirstFragment(t *testing.T) {
	for _, f := range datagrams() {
		for offset := range uint16(2) {
			quoted := fragmented(f, offset, true)[14:]
			e := withoutPorts(back(f), aboutErrors(f)[1], 0)
			e.Payload = quoted
			b := e.Bytes()
			var p packet.Packet
			packet.Parse(b, &p)
			if q, ok := packet.Quoted(b, &p); ok != (offset == 0) || ok && q.Key != f.Key() {
				t.Errorf("fragment at %d: %+v %v, want %+v", offset, q, ok, f.Key())
			}
		}
	}
}

func TestNothingQuoted(t *testing.T) {
	four, six := packettest.UDP(client4, service4, "x"), packettest.UDP(client6, service6, "x")
	sctp := errorAbout(four, 3, 100)
	sctp[14+20+8+9] = 132
	fragment := errorAbout(four, 3, 100)
	fragment[14+20+8+7] = 1
	version := errorAbout(six, 1, 100)
	version[14+40+8] = 0x45
	other := errorAbout(four, 3, 100)
	other[14+20+8+9] = packet.ProtoICMPv6
	mapped := errorAbout(six, 1, 100)
	copy(mapped[14+40+8+24:], "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff")
	for name, b := range map[string][]byte{
		"echo reply":          errorAbout(four, 0, 100),
		"source quench":       errorAbout(four, 4, 100),
		"redirect":            errorAbout(four, 5, 100),
		"unknown error":       errorAbout(six, 100, 100),
		"reserved":            errorAbout(six, 0, 100),
		"an IPv4 address":     mapped,
		"timestamp":           errorAbout(four, 13, 100),
		"neighbour discovery": errorAbout(six, 135, 100),
		"another protocol":    sctp,
		"a later fragment":    fragment,
		"another version":     version,
		"another family":      other,
		"nothing":             errorAbout(four, 3, 0),
		"half a header":       errorAbout(six, 1, 39),
	} {
		var p packet.Packet
		if v := packet.Parse(b, &p); v != packet.DropICMP {
			t.Fatalf("%s: %v", name, v)
		}
		if q, ok := packet.Quoted(b, &p); ok {
			t.Errorf("%s quotes %+v", name, q)
		}
	}
}

// FuzzQuoted: whatever the quote holds, it is only read, and what it says is in it.
func FuzzQuoted(f *testing.F) {
	errorSeeds(func(frame []byte) { f.Add(frame) })
	f.Fuzz(func(t *testing.T, data []byte) {
		var p packet.Packet
		if packet.Parse(data, &p) != packet.DropICMP {
			return
		}
		before := bytes.Clone(data)
		q, ok := packet.Quoted(data, &p)
		if !bytes.Equal(data, before) {
			t.Fatal("written to")
		}
		if ok && (q.Key.Src.Is4() == p.IPv6 || q.Key.Dst.Is4() == p.IPv6 || q.Key.Proto == 0) {
			t.Fatalf("quotes %+v in IPv6 %v", q, p.IPv6)
		}
		if ok && (q.L3 != p.L4+8 || q.L4 < q.L3+20 || q.L4 > p.End-8) {
			t.Fatalf("quotes %+v in %+v", q, p)
		}
	})
}

// errorSeeds calls add with errors about packets of each kind.
func errorSeeds(add func(frame []byte)) {
	for _, a := range answers {
		for _, frame := range a.to() {
			add(errorAbout(frame, aboutErrors(frame)[0], 100))
		}
	}
	for _, f := range datagrams() {
		add(errorAbout(f, aboutErrors(f)[0], 28))
		e := withoutPorts(back(f), aboutErrors(f)[1], 0)
		e.Payload = fragmented(f, 0, true)[14:]
		add(e.Bytes())
	}
}

// fragmented returns the bytes of f, without extension headers of its own, as a fragment
// at an offset in units of 8 bytes.
func fragmented(f packettest.Frame, offset uint16, more bool) []byte {
	f.Extensions = nil
	at := 14 + 4*len(f.VLANs) + 6
	place := offset
	if more {
		place |= 0x2000
	}
	if !f.Is4() {
		f.Extensions = []packettest.Extension{{Type: 44, Data: make([]byte, 6)}}
		at += 36
		if place = offset << 3; more {
			place |= 1
		}
	}
	return vary(f, set16(at, place))
}
