package packet_test

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"
	"unsafe"

	"github.com/google/gopacket/layers"

	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// outerOf returns the outer header that a packet inside must get, but for what differs by
// flow: that is taken from got, where it is what the config allows.
func outerOf(c *packet.TunnelConfig, f *packettest.Frame, got *packettest.Outer) packettest.Outer {
	o := packettest.Outer{
		Src: netip.AddrPortFrom(got.Src.Addr(), 0), Dst: netip.AddrPortFrom(c.Destination, 0),
		Inner6: c.Inner6, TOS: f.TOS, TTL: 64, Proto: layers.IPProtocolIPv4,
	}
	if c.Inner6 {
		o.Proto = layers.IPProtocolIPv6
	}
	if c.Destination.Is4() {
		o.ID, o.DF = got.ID, c.Inner6 || f.DF
	} else {
		o.FlowLabel = got.FlowLabel
	}
	switch c.Encapsulation {
	case packet.EncapUDP, packet.EncapGUE:
		o.Proto = layers.IPProtocolUDP
		o.Src, o.Dst = got.Src, netip.AddrPortFrom(c.Destination, c.Port)
		o.Checksum, o.GUE = c.Checksum, c.Encapsulation == packet.EncapGUE
	case packet.EncapGRE:
		o.Proto = layers.IPProtocolGRE
	}
	return o
}

// inside reports whether a may be the source of a tunnel from p.
func inside(p netip.Prefix, a netip.Addr) bool {
	if p.IsSingleIP() {
		return a == p.Addr()
	}
	last := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(last)*8; i++ {
		last[i/8] |= 0x80 >> (i % 8)
	}
	end, _ := netip.AddrFromSlice(last)
	return p.Contains(a) && a != p.Masked().Addr() && a != end
}

// randomTunnel returns one for packets of a family.
func randomTunnel(r *rand.Rand, inner6 bool) packet.TunnelConfig {
	four := r.IntN(2) == 0
	a := packettest.RandomAddr(r, four)
	bits := a.BitLen()
	if r.IntN(2) == 0 {
		bits = 8 + r.IntN(bits-2-8+1)
	}
	return packet.TunnelConfig{
		Encapsulation: packet.Encapsulation(r.IntN(4)), Source: netip.PrefixFrom(a, bits), Destination: packettest.RandomAddr(r, four),
		Inner6: inner6, Port: uint16(1 + r.IntN(65535)), Checksum: r.IntN(2) == 0,
	}
}

// TestEncapsulate holds any tunnel for any packet against what gopacket makes of it.
func TestEncapsulate(t *testing.T) {
	r := rand.New(rand.NewPCG(16, 16))
	for range 5000 {
		f := packettest.Random(r)
		f.Padding = 0
		c := randomTunnel(r, !f.Is4())
		tunnel := packet.NewTunnel(&c)
		b := f.Bytes()
		var p packet.Packet
		if v := packet.Parse(b, &p); v == packet.DropMartian {
			continue // 169.254.0.0/16 is among the random addresses
		} else if v != packet.Pending {
			t.Fatalf("%v of %+v", v, f)
		}
		inner := b[p.L3:p.End]
		g := guard(append(make([]byte, tunnel.Len()), inner...), 0)
		tunnel.Encapsulate(g.frame(tunnel.Len()+len(inner)), tunnel.Len(), r.Uint64())
		out := g.frame(tunnel.Len() + len(inner))
		g.check(t, len(out))

		etherType := []byte{0x08, 0x00}
		if tunnel.IPv6() {
			etherType = []byte{0x86, 0xdd}
		}
		got, innerFrame := packettest.Unwrap(t, append(append(bytes.Clone(b[:12]), etherType...), out...))
		if want := outerOf(&c, &f, &got); got != want {
			t.Fatalf("%+v:\n got %+v\nwant %+v", c, got, want)
		}
		if !inside(c.Source, got.Src.Addr()) {
			t.Fatalf("source %v is none of %v", got.Src, c.Source)
		}
		if port := got.Src.Port(); got.Proto == layers.IPProtocolUDP && port < 49152 {
			t.Fatalf("source port %d", port)
		}
		f.VLANs = nil
		if d := packettest.Diff(innerFrame, f); d != "" {
			t.Fatalf("the packet inside differs (-got +want):\n%s", d)
		}
	}
}

// What differs by flow does so for nearly every flow, and is the same for all packets of one.
func TestEncapsulateSpreads(t *testing.T) {
	f := packettest.TCP(client4, service4, packet.TCPAck)
	inner := f.Bytes()[14:]
	for _, test := range []struct {
		name, source, destination string
		encapsulation             packet.Encapsulation
		of                        func(o *packettest.Outer) any
		least                     int // of 1000 flows so many differ
	}{
		{"source port", "10.0.0.1/32", "10.0.0.11", packet.EncapUDP, func(o *packettest.Outer) any { return o.Src.Port() }, 950},
		{"flow label", "2001:db8:10::1/128", "2001:db8:10::11", packet.EncapIP, func(o *packettest.Outer) any { return o.FlowLabel }, 990},
		{"IPv4 source", "10.64.0.0/16", "10.0.0.11", packet.EncapIP, func(o *packettest.Outer) any { return o.Src }, 980},
		{"small IPv4 source", "10.64.0.0/30", "10.0.0.11", packet.EncapIP, func(o *packettest.Outer) any { return o.Src }, 2},
		{"IPv6 source", "2001:db8:64::/64", "2001:db8:10::11", packet.EncapGRE, func(o *packettest.Outer) any { return o.Src }, 999},
	} {
		c := packet.TunnelConfig{
			Encapsulation: test.encapsulation, Source: netip.MustParsePrefix(test.source), Destination: netip.MustParseAddr(test.destination), Port: 6080,
		}
		tunnel := packet.NewTunnel(&c)
		r := rand.New(rand.NewPCG(17, 17))
		seen := map[any]bool{}
		for range 1000 {
			hash := r.Uint64()
			var values [2]any
			for i := range values {
				b := append(make([]byte, 14+tunnel.Len()), inner...)
				copy(b[12:], []byte{0x08, 0x00})
				if tunnel.IPv6() {
					copy(b[12:], []byte{0x86, 0xdd})
				}
				tunnel.Encapsulate(b, 14+tunnel.Len(), hash)
				o, _ := packettest.Unwrap(t, b)
				values[i] = test.of(&o)
			}
			if values[0] != values[1] {
				t.Fatalf("%s: %v and %v of one flow", test.name, values[0], values[1])
			}
			seen[values[0]] = true
		}
		if len(seen) < test.least {
			t.Errorf("%s: %d values for 1000 flows, want %d", test.name, len(seen), test.least)
		}
	}
}

// ECN of the packet inside is what it is outside, congestion experienced included (RFC 6040,
// 4.1): a router before the balancer has said it, and the end inside must hear of it.
func TestEncapsulateCopiesECN(t *testing.T) {
	for ecn := range uint8(4) {
		for _, f := range []packettest.Frame{packettest.TCP(client4, service4, packet.TCPAck), packettest.TCP(client6, service6, packet.TCPAck)} {
			f.TOS = 46<<2 | ecn
			for _, destination := range []string{"10.0.0.11", "2001:db8:10::11"} {
				to := netip.MustParseAddr(destination)
				tunnel := packet.NewTunnel(&packet.TunnelConfig{Source: netip.PrefixFrom(to, to.BitLen()), Destination: to, Inner6: !f.Is4()})
				b := append(make([]byte, tunnel.Len()), f.Bytes()[14:]...)
				tunnel.Encapsulate(b, tunnel.Len(), 0)
				class := b[1]
				if tunnel.IPv6() {
					class = b[0]<<4 | b[1]>>4
				}
				if class != f.TOS {
					t.Errorf("class %#x of a packet inside that has %#x, to %v", class, f.TOS, to)
				}
			}
		}
	}
}

func TestTunnelIsACacheLine(t *testing.T) {
	if n := unsafe.Sizeof(packet.Tunnel{}); n > 64 {
		t.Errorf("%d bytes", n)
	}
}

func TestEncapsulateDoesNotAllocate(t *testing.T) {
	c := packet.TunnelConfig{Encapsulation: packet.EncapGUE, Source: netip.MustParsePrefix("10.64.0.0/16"), Destination: netip.MustParseAddr("10.0.0.11"), Port: 6080, Checksum: true}
	tunnel := packet.NewTunnel(&c)
	f := packettest.TCP(client4, service4, packet.TCPAck)
	b := append(make([]byte, tunnel.Len()), f.Bytes()[14:]...)
	if n := testing.AllocsPerRun(100, func() { tunnel.Encapsulate(b, tunnel.Len(), 1) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkEncapsulate(b *testing.B) {
	for _, test := range []struct {
		name          string
		encapsulation packet.Encapsulation
		source        string
		destination   string
	}{
		{"ipip4", packet.EncapIP, "10.0.0.1/32", "10.0.0.11"},
		{"ipip6", packet.EncapIP, "2001:db8::1/128", "2001:db8::11"},
		{"gue4", packet.EncapUDP, "10.0.0.1/32", "10.0.0.11"},
		{"gre4", packet.EncapGRE, "10.64.0.0/16", "10.0.0.11"},
	} {
		b.Run(test.name, func(b *testing.B) {
			c := packet.TunnelConfig{Encapsulation: test.encapsulation, Source: netip.MustParsePrefix(test.source), Destination: netip.MustParseAddr(test.destination), Port: 6080}
			tunnel := packet.NewTunnel(&c)
			f := packettest.TCP(client4, service4, packet.TCPAck)
			frame := append(make([]byte, tunnel.Len()), f.Bytes()[14:]...)
			for i := 0; b.Loop(); i++ {
				tunnel.Encapsulate(frame, tunnel.Len(), uint64(i))
			}
		})
	}
}
