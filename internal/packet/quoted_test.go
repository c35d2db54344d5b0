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
		return []uint8{3, 4, 5, 11, 12}
	}
	return []uint8{1, 2, 3, 4, 100}
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
				k, ok := packet.Quoted(b, &p)
				if want := n > header+7; ok != want || ok && k != sent.Key {
					t.Fatalf("type %d, %d bytes quoted: %+v %v, want %+v %v", kind, n, k, ok, sent.Key, want)
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
		if k, ok := packet.Quoted(b, &p); !ok || k != want {
			t.Errorf("%+v %v, want %+v", k, ok, want)
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
	for name, b := range map[string][]byte{
		"echo reply":          errorAbout(four, 0, 100),
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
		if k, ok := packet.Quoted(b, &p); ok {
			t.Errorf("%s quotes %+v", name, k)
		}
	}
}

// FuzzQuoted: whatever the quote holds, it is only read.
func FuzzQuoted(f *testing.F) {
	for _, a := range answers {
		for _, frame := range a.to() {
			f.Add(errorAbout(frame, aboutErrors(frame)[0], 100))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var p packet.Packet
		if packet.Parse(data, &p) != packet.DropICMP {
			return
		}
		before := bytes.Clone(data)
		k, ok := packet.Quoted(data, &p)
		if !bytes.Equal(data, before) {
			t.Fatal("written to")
		}
		if ok && (k.Src.Is4() == p.IPv6 || k.Proto == 0) && !(p.IPv6 && k.Src.Is4()) {
			t.Fatalf("quotes %+v in IPv6 %v", k, p.IPv6)
		}
	})
}
