package packet_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// Of a fragment as much is known as it says itself.
func TestFragment(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for range 500 {
		f := packettest.Random(r)
		if f.Src.Addr().IsLinkLocalUnicast() {
			continue
		}
		f.Padding, f.DF = 0, false
		f.Payload = append(f.Payload, make([]byte, 200)...)
		id := r.Uint32()
		size := 8 * (10 + r.IntN(5))
		if len(f.Extensions) > 0 {
			size = 1024 // so that the whole chain is in the first one
			f.Payload = append(f.Payload, make([]byte, 2000)...)
		}
		from := 0
		list := packettest.Fragments(f.Bytes(), id, size)
		for i, b := range list {
			want := parsed(f)
			want.Part = packet.First
			if i > 0 {
				want.Key.SrcPort, want.Key.DstPort = 0, 0
				want.Part, want.TCPFlags, want.Echo = packet.Later, 0, false
			}
			p, again := dirty(false), dirty(true)
			if v := packet.Parse(b, &p); v != packet.DropFragment || packet.Parse(b, &again) != v || again != p {
				t.Fatalf("%v of %x: %+v, %+v", v, b, p, again)
			}
			at, v := p.Place(b)
			if v != packet.Pending {
				t.Fatalf("%v of %x", v, b)
			}
			// Behind the first one only the front of the chain of headers is there to be read.
			want.L4, want.End = p.L4, uint16(len(b))
			if i > 0 && p.IPv6 {
				want.Key.Proto = p.Key.Proto
			}
			if p != want {
				t.Fatalf("fragment %d of %+v:\n%+v, want\n%+v", i, f, p, want)
			}
			wantAt := packet.Place{ID: uint32(f.ID), Proto: f.Proto, From: uint16(from), To: at.To, Last: i == len(list)-1}
			if p.IPv6 {
				wantAt.ID, wantAt.Proto = id, 0
			}
			if at != wantAt || !at.Last && int(at.To) != from+size {
				t.Fatalf("fragment %d: %+v, want %+v", i, at, wantAt)
			}
			from = int(at.To)
		}
	}
}

// place writes the word that says where in its packet a fragment, without extension
// headers in front of its own, belongs.
func place(b []byte, from int, more bool) []byte {
	b = bytes.Clone(b)
	word, at := uint16(from/8), 20
	if more {
		word |= 0x2000
	}
	if b[14]>>4 == 6 {
		at = 14 + 42
		if word = uint16(from); more {
			word |= 1
		}
	}
	binary.BigEndian.PutUint16(b[at:], word)
	packettest.Resize(b)
	return b
}

// What must not be followed is told from the fragment alone.
func TestPlaceThatIsNone(t *testing.T) {
	for _, end := range [][2]string{{client4, service4}, {client6, service6}} {
		segment, datagram := packettest.TCP(end[0], end[1], packet.TCPSyn), packettest.UDP(end[0], end[1], "")
		segment.TCPOptions = make([]byte, 12)
		segment.Payload, datagram.Payload = make([]byte, 200), make([]byte, 200)
		echo := packettest.Echo(segment.Src.Addr().String(), segment.Dst.Addr().String(), 7)
		echo.Payload = make([]byte, 200)
		fragments := func(f packettest.Frame, size int) [][]byte { return packettest.Fragments(f.Bytes(), 9, size) }
		nothing := fragments(datagram, 32)[1]
		nothing = nothing[:len(nothing)-32]
		odd := fragments(datagram, 32)[1]
		odd = odd[:len(odd)-1]
		bad := fragments(segment, 40)[0]
		bad[len(bad)-40+12] = 0x40
		short := fragments(datagram, 32)[0]
		short[len(short)-32+5] = 7
		strange := fragments(datagram, 32)[0]
		if segment.Is4() {
			strange[23] = 47
		} else {
			strange[14+40] = 47
		}
		whole := 0xffff
		if segment.Is4() {
			whole -= 20
		} else {
			whole -= 8
		}
		for name, c := range map[string]struct {
			frame []byte
			want  packet.Verdict
		}{
			"segment: all of its header":        {fragments(segment, 32)[0], packet.Pending},
			"segment: without its options' end": {fragments(segment, 24)[0], packet.DropTiny},
			"segment: without its flags":        {fragments(segment, 8)[0], packet.DropTiny},
			"segment: its flags come later":     {fragments(segment, 8)[1], packet.DropTiny},
			"segment: its urgent pointer":       {fragments(segment, 16)[1], packet.DropTiny},
			"segment: its options come later":   {fragments(segment, 24)[1], packet.Pending},
			"segment: data":                     {fragments(segment, 32)[1], packet.Pending},
			"segment: a header of 16 bytes":     {bad, packet.DropMalformed},
			"datagram: its header":              {fragments(datagram, 8)[0], packet.Pending},
			"datagram: data":                    {fragments(datagram, 8)[1], packet.Pending},
			"datagram: less than its header":    {short, packet.DropMalformed},
			"echo":                              {fragments(echo, 8)[0], packet.Pending},
			"another protocol":                  {strange, packet.DropProtocol},
			"nothing":                           {place(nothing, 32, true), packet.DropMalformed},
			"an odd end":                        {place(odd, 32, true), packet.DropMalformed},
			"an odd end is the last one's":      {place(odd, 32, false), packet.Pending},
			"beyond the largest packet":         {place(fragments(datagram, 32)[1], whole&^7, false), packet.DropOverflow},
			"far beyond the largest packet":     {place(fragments(datagram, 32)[1], 0xfff8, false), packet.DropOverflow},
			"the largest packet":                {place(fragments(datagram, 32)[1], (whole-32)&^7, false), packet.Pending},
		} {
			p := dirty(true)
			if v := packet.Parse(c.frame, &p); v != packet.DropFragment {
				t.Fatalf("%s of %s: parsed as %v: %x", name, end[0], v, c.frame)
			}
			if _, v := p.Place(c.frame); v != c.want {
				t.Errorf("%s of %s: %v, want %v", name, end[0], v, c.want)
			}
		}
	}
}

// A chain of headers has to be in the first fragment (RFC 7112), wherever it is broken.
func TestFirstFragmentHasTheChain(t *testing.T) {
	f := packettest.UDP(client6, service6, string(make([]byte, 100)))
	f.Extensions = []packettest.Extension{{Type: 60, Data: make([]byte, 14)}, {Type: 60, Data: make([]byte, 6)}}
	for size, want := range map[int]packet.Verdict{8: packet.DropTiny, 16: packet.DropTiny, 24: packet.DropTiny, 32: packet.Pending} {
		b := packettest.Fragments(f.Bytes(), 1, size)[0]
		p := dirty(false)
		packet.Parse(b, &p)
		if _, v := p.Place(b); v != want {
			t.Errorf("the first %d bytes: %v, want %v", size, v, want)
		}
	}
}

// A martian is one in fragments, too.
func TestFragmentOfAMartian(t *testing.T) {
	martian := packettest.Fragments(packettest.UDP(client4, service4, string(make([]byte, 100))).Bytes(), 0, 64)[1]
	martian[26] = 127
	p := dirty(true)
	if v := packet.Parse(martian, &p); v != packet.DropMartian {
		t.Errorf("from 127.51.100.7: %v", v)
	}
}

// echoParts answers the fragments of an echo request.
func echoParts(t *testing.T, f packettest.Frame, size int) (list [][]byte) {
	t.Helper()
	for _, b := range packettest.Fragments(f.Bytes(), 77, size) {
		g := guard(b, 100)
		p := dirty(false)
		packet.Parse(b, &p)
		p.Echo = true // as the first one said
		n := packet.EchoPart(g.frame(len(b)), &p)
		g.check(t, len(b))
		if n == 0 {
			return nil
		}
		list = append(list, g.frame(n))
	}
	return list
}

// The answers to the fragments of an echo request are the fragments of its answer.
func TestEchoPart(t *testing.T) {
	for _, ends := range [][2]string{{"198.51.100.7", "192.0.2.10"}, {"2001:db8:100::7", "2001:db8:2::10"}} {
		for _, n := range []int{1400, 3000, 65000} {
			f := packettest.Echo(ends[0], ends[1], 7)
			f.ID = 3
			f.VLANs = []uint16{5}
			f.Payload = bytes.Repeat([]byte{1, 2, 3, 0xff, 0xfe, 6, 7}, n/7)
			want := withoutPorts(back(f), 0, 0)
			if want.Type = 129; f.Is4() {
				want.Type = 0
			}
			want.EchoID, want.EchoSeq, want.Payload = f.EchoID, f.EchoSeq, f.Payload
			b, err := packettest.Assemble(echoParts(t, f, 1400))
			if err != nil {
				t.Fatal(err)
			}
			packettest.Equal(t, b, want)
		}
	}
}

// Where a fragment is not as simple as they are, there is no answer.
func TestEchoPartThatIsNotAnswered(t *testing.T) {
	big := packettest.Echo("198.51.100.7", "192.0.2.10", 7)
	big.Payload = make([]byte, 100)
	big6 := packettest.Echo("2001:db8:100::7", "2001:db8:2::10", 7)
	big6.Payload = make([]byte, 100)
	options, group, broadcast, extensions := big, big, big, big6
	options.IPOptions = []byte{1, 1, 1, 0}
	group.Dst = packettest.Echo("198.51.100.7", "224.0.0.1", 7).Dst
	broadcast.DstMAC = packet.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	extensions.Extensions = []packettest.Extension{{Type: 0, Data: make([]byte, 6)}}
	for name, f := range map[string]packettest.Frame{"options": options, "to a group": group, "broadcast": broadcast, "extensions": extensions} {
		if list := echoParts(t, f, 64); list != nil {
			t.Errorf("%s: answered by %x", name, list)
		}
	}
	if echoParts(t, big, 64) == nil || echoParts(t, big6, 64) == nil {
		t.Error("what is simple is not answered either")
	}
	wrong := packettest.Fragments(big.Bytes(), 0, 64)[0]
	wrong[24]++
	p := dirty(false)
	if packet.Parse(wrong, &p); packet.EchoPart(wrong, &p) != 0 {
		t.Error("a wrong header checksum is answered")
	}
}

// Only the first fragment of a packet is worth an error, or anything else that is built
// from it; and nothing of a part is taken for a whole.
func TestAnswersToFragments(t *testing.T) {
	for name, a := range answers {
		for _, f := range a.to() {
			f.Payload = bytes.Repeat([]byte("fragment"), 40)
			for i, b := range packettest.Fragments(f.Bytes(), 7, 160) {
				p := dirty(false)
				packet.Parse(b, &p)
				if f.Proto != packet.ProtoTCP || i > 0 {
					p.Echo = false
				}
				before := bytes.Clone(b)
				if packet.CompleteChecksum(b, &p) {
					t.Errorf("%s: the checksum of fragment %d is completed", name, i)
				}
				g := guard(b, 2048)
				n := a.build(g.frame(len(b)), &p)
				if want := i == 0 && name != "EchoReply" && name != "TooBig"; (n > 0) != want { // they fit
					t.Errorf("%s to fragment %d of %v: %d bytes", name, i, f.Src, n)
				}
				if n == 0 && !bytes.Equal(g.frame(len(b)), before) {
					t.Errorf("%s changed fragment %d, which it does not answer", name, i)
				}
				if n > 0 {
					packettest.Verify(t, g.frame(n))
				}
			}
		}
	}
}

// A packet of another name is the same in all else, and its checksum is right.
func TestSetID(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	for range 500 {
		f := packettest.Random(r)
		if f.Src.Addr().IsLinkLocalUnicast() {
			continue
		}
		b := f.Bytes()
		p := mustParse(t, b)
		id := uint16(r.Uint32())
		packet.SetID(b, &p, id)
		if f.Is4() {
			f.ID = id
		}
		packettest.Equal(t, b, f)
	}
}

// FuzzFragment has any bytes be a fragment: what is understood of it lies within the packet.
func FuzzFragment(f *testing.F) {
	for i, frame := range []packettest.Frame{packettest.UDP(client4, service4, "question"), packettest.TCP(client6, service6, packet.TCPAck),
		packettest.Echo("198.51.100.7", "192.0.2.10", 1), packettest.Echo("2001:db8:100::7", "2001:db8:2::10", 1)} {
		frame.Payload = bytes.Repeat([]byte{byte(i)}, 100)
		if !frame.Is4() {
			frame.Extensions = []packettest.Extension{{Type: 0, Data: make([]byte, 6)}, {Type: 60, Data: make([]byte, 6)}}
		}
		for _, b := range packettest.Fragments(frame.Bytes(), uint32(i), 48) {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p := dirty(len(data)%2 == 0)
		if packet.Parse(data, &p) != packet.DropFragment {
			return
		}
		at, v := p.Place(data)
		if v != packet.Pending && !v.IsDrop() {
			t.Fatalf("%v", v)
		}
		if p.Part == packet.Whole || p.L4 < p.L3 || p.End < p.L4 || int(p.End) > len(data) {
			t.Fatalf("%+v of %d bytes", p, len(data))
		}
		if v != packet.Pending {
			return
		}
		if at.From >= at.To || (at.From == 0) != (p.Part == packet.First) || int(at.To-at.From) > len(data) || !at.Last && at.To%8 != 0 {
			t.Fatalf("%+v of %+v", at, p)
		}
		if p.Part == packet.First {
			least := map[uint32]uint16{packet.ProtoTCP: 20}[p.Key.Proto]
			if p.End-p.L4 < max(least, 8) {
				t.Fatalf("%+v has all of its header", p)
			}
		}
		for _, build := range []func([]byte, *packet.Packet) int{packet.EchoPart, packet.EchoReply, packet.Reset, packet.TimeExceeded, packet.Unreachable} {
			for _, echo := range []bool{p.Echo, p.Part == packet.Later} {
				q := p
				q.Echo = echo
				g := guard(data, 100)
				n := build(g.frame(len(data)), &q)
				g.check(t, max(n, len(data)))
			}
		}
	})
}
