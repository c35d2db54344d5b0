package packet_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// shims are what stands between an outer IP header and the packet inside, with the protocol
// of the outer header, by the EtherType and the protocol of that packet.
var shims = map[string]func(etherType uint16, inner uint8) (proto uint8, shim []byte){
	"ip":  func(_ uint16, inner uint8) (uint8, []byte) { return inner, nil },
	"gre": func(t uint16, _ uint8) (uint8, []byte) { return 47, []byte{0, 0, byte(t >> 8), byte(t)} },
	"udp": func(uint16, uint8) (uint8, []byte) { return 17, []byte{0xc0, 1, 0x17, 0xc0, 0, 0, 0, 0} },
	"gue": func(_ uint16, inner uint8) (uint8, []byte) {
		return 17, []byte{0xc0, 1, 0x17, 0xc0, 0, 0, 0, 0, 0, inner, 0, 0}
	},
}

// tunnel is an outer header's ends.
type tunnel struct{ src, dst netip.Addr }

var tunnels = map[string]tunnel{
	"4": {netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.7.7.7")},
	"6": {netip.MustParseAddr("2001:db8:10::1"), netip.MustParseAddr("2001:db8:77::7")},
}

// outerOf is f's packet inside of the tunnel's, from the outer IP header on, and how long
// the outer headers are.
func (o tunnel) outerOf(f packettest.Frame, shim string) (b []byte, overhead int) {
	inner := f.Bytes()[14+4*len(f.VLANs):]
	inner = inner[:len(inner)-f.Padding]
	etherType, family := uint16(0x86dd), uint8(41)
	if f.Is4() {
		etherType, family = 0x0800, 4
	}
	proto, between := shims[shim](etherType, family)
	payload := append(bytes.Clone(between), inner...)
	if o.src.Is4() {
		h := make([]byte, 20)
		h[0], h[8], h[9] = 0x45, 61, proto
		binary.BigEndian.PutUint16(h[2:], uint16(20+len(payload)))
		copy(h[12:], o.src.AsSlice())
		copy(h[16:], o.dst.AsSlice())
		return append(h, payload...), 20 + len(between)
	}
	h := make([]byte, 40)
	h[0], h[6], h[7] = 0x60, proto, 61
	binary.BigEndian.PutUint16(h[4:], uint16(len(payload)))
	copy(h[8:], o.src.AsSlice())
	copy(h[24:], o.dst.AsSlice())
	return append(h, payload...), 40 + len(between)
}

// errorTo is a router's error to the tunnel's source about the packet in outer.
func (o tunnel) errorTo(kind, code uint8, mtu uint16, outer []byte) packettest.Frame {
	router := "10.7.0.1"
	if o.src.Is6() {
		router = "2001:db8:70::1"
	}
	e := packettest.Echo(router, o.src.String(), 0)
	e.Type, e.Code, e.EchoSeq, e.Payload = kind, code, mtu, outer
	return e
}

// An error about a tunnel's packet becomes one about the packet inside, whatever the tunnel
// and the families, and however much is quoted.
func TestTunnelError(t *testing.T) {
	r := rand.New(rand.NewPCG(31, 31))
	for name, o := range tunnels {
		for shim := range shims {
			t.Run(fmt.Sprint(shim, " in ", name), func(t *testing.T) {
				for range 500 {
					f := packettest.Random(r)
					sent := mustParse(t, f.Bytes())
					outer, overhead := o.outerOf(f, shim)
					n := overhead + int(sent.L4-sent.L3) + 8 + r.IntN(1500)
					outer = outer[:min(n, len(outer))]
					testTunnelError(t, o, f, outer, overhead)
				}
			})
		}
	}
}

func testTunnelError(t *testing.T, o tunnel, f packettest.Frame, outer []byte, overhead int) {
	t.Helper()
	size := len(f.Bytes()) - 14 - 4*len(f.VLANs) - f.Padding
	least, kinds := 68, [][2]uint8{{3, 0}, {3, 4}, {11, 0}, {12, 0}}
	if !f.Is4() {
		least = 1280
	}
	if o.src.Is6() {
		kinds = [][2]uint8{{1, 0}, {2, 0}, {3, 0}, {4, 0}}
	}
	for i, kind := range kinds {
		for _, mtu := range []int{0, 100, size + overhead - 1, size + overhead} {
			in := o.errorTo(kind[0], kind[1], uint16(mtu), outer).Bytes()
			g := guard(in, 100)
			var p packet.Packet
			packet.Parse(in, &p)
			q, ok := packet.QuotedTunnel(in, &p)
			if !ok || q.Inner.Key != f.Key() || q.Src != packet.AddrFrom(o.src) || q.Dst != packet.AddrFrom(o.dst) {
				t.Fatalf("%x quotes %+v, %v", in, q, ok)
			}
			got := packet.TunnelError(g.frame(len(in)), &p, &q)
			told := max(mtu-overhead, least)
			if tooBig := i == 1; tooBig && (mtu == 0 || size <= told || f.Is4() && !f.DF) {
				if got != 0 {
					t.Fatalf("an answer to an MTU of %d for %d bytes", mtu, size)
				}
				continue
			}
			want := withoutPorts(back(f), 3, 1)
			if !f.Is4() {
				want.Type, want.Code = 1, 3
			}
			if i == 1 {
				want.Type, want.Code, want.EchoSeq = 3, 4, uint16(told)
				if !f.Is4() {
					want.Type, want.Code = 2, 0
				}
			}
			limit := 576 - 28
			if !f.Is4() {
				limit = 1280 - 48
			}
			want.Payload = outer[overhead:]
			want.Payload = want.Payload[:min(len(want.Payload), limit)]
			b := bytes.Clone(g.frame(got))
			binary.BigEndian.PutUint16(b[12:], map[bool]uint16{true: 0x0800, false: 0x86dd}[f.Is4()])
			want.DstMAC, want.SrcMAC, want.VLANs = packettest.ClientMAC, packettest.BalancerMAC, nil
			equalBytes(t, b, want)
			if p.IPv6 == f.Is4() {
				t.Fatalf("left as %+v", p)
			}
		}
	}
}

// What is no tunnel's packet, or is cut before the ports of the packet inside, is none.
func TestNoTunnelQuoted(t *testing.T) {
	f := packettest.UDP(client4, service4, "x")
	spoil := map[string]func(b []byte) []byte{
		"ip, cut":            func(b []byte) []byte { return b[:20+27] },
		"ip, a fragment":     func(b []byte) []byte { b[7] = 1; return b },
		"ip, another":        func(b []byte) []byte { b[9] = 50; return b },
		"ip, version":        func(b []byte) []byte { b[20] = 0x65; return b },
		"gre, with a key":    func(b []byte) []byte { b[20] = 0x20; return b },
		"gre, version 1":     func(b []byte) []byte { b[21] = 1; return b },
		"gre, of ARP":        func(b []byte) []byte { b[22], b[23] = 8, 6; return b },
		"gre, cut":           func(b []byte) []byte { return b[:23] },
		"udp, cut":           func(b []byte) []byte { return b[:20+11] },
		"udp, of DNS":        func(b []byte) []byte { b[28] = 0x12; return b },
		"gue, with options":  func(b []byte) []byte { b[28] = 1; return b },
		"gue, a control one": func(b []byte) []byte { b[28] = 0x20; return b },
		"gue, of TCP":        func(b []byte) []byte { b[29] = 6; return b },
	}
	for name, change := range spoil {
		outer, _ := tunnels["4"].outerOf(f, name[:bytes.IndexByte([]byte(name), ',')])
		in := tunnels["4"].errorTo(3, 4, 1300, change(outer)).Bytes()
		var p packet.Packet
		packet.Parse(in, &p)
		if q, ok := packet.QuotedTunnel(in, &p); ok {
			t.Errorf("%s: quotes %+v", name, q)
		}
	}
	in := tunnels["4"].errorTo(0, 0, 0, spoil["ip, cut"](make([]byte, 100))).Bytes()
	var p packet.Packet
	packet.Parse(in, &p)
	if _, ok := packet.QuotedTunnel(in, &p); ok {
		t.Error("an echo reply quotes a packet")
	}
}

// FuzzTunnelError: what the quote holds, the answer is sound, and written where it may be.
func FuzzTunnelError(f *testing.F) {
	for _, o := range tunnels {
		for shim := range shims {
			for _, d := range bigDatagrams() {
				outer, _ := o.outerOf(d, shim)
				f.Add(o.errorTo(3, 4, 1300, outer[:min(len(outer), 548)]).Bytes())
				f.Add(o.errorTo(2, 0, 1300, outer).Bytes())
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var p packet.Packet
		if packet.Parse(data, &p) != packet.DropICMP {
			return
		}
		q, ok := packet.QuotedTunnel(data, &p)
		if !ok {
			return
		}
		g := guard(data, 64)
		n := packet.TunnelError(g.frame(len(data)), &p, &q)
		g.check(t, max(n, len(data)))
		if n == 0 {
			return
		}
		b := g.frame(n)
		binary.BigEndian.PutUint16(b[p.L3-2:], map[bool]uint16{false: 0x0800, true: 0x86dd}[p.IPv6])
		var is packet.Packet
		if v := packet.Parse(b, &is); v != packet.DropICMP && v != packet.DropMartian {
			t.Fatalf("%v: %x became %x", v, data, b)
		} else if v == packet.DropMartian {
			return
		}
		if is.Key.Dst != q.Inner.Key.Src || is.Key.Src != q.Inner.Key.Dst {
			t.Fatalf("an error for %v to %v", q.Inner.Key, is.Key)
		}
		if _, err := packettest.Check(b); err != nil {
			t.Fatalf("%v: %x became %x", err, data, b)
		}
	})
}
