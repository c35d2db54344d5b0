package engine

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/gopacket/layers"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// hostile is a frame of which a header lies, as a change of what a client would send first.
type hostile struct {
	name  string
	frame func(f packettest.Frame) []byte
	want  packet.Verdict // what becomes of it, or of the last one if it is several
}

// edited is a client's frame of which some bytes, from its IP header on, are others.
func edited(at int, to ...byte) func(packettest.Frame) []byte {
	return func(f packettest.Frame) []byte {
		b := f.Bytes()
		copy(b[14+4*len(f.VLANs)+at:], to)
		return b
	}
}

// changed is a client's frame of which some fields are others.
func changed(change func(f *packettest.Frame)) func(packettest.Frame) []byte {
	return func(f packettest.Frame) []byte {
		change(&f)
		return f.Bytes()
	}
}

// shortened is a client's frame of which so many bytes are left.
func shortened(n int) func(packettest.Frame) []byte {
	return func(f packettest.Frame) []byte { return f.Bytes()[:n] }
}

// extended has extension headers of these kinds.
func extended(kinds ...uint8) func(packettest.Frame) []byte {
	return changed(func(f *packettest.Frame) {
		for _, k := range kinds {
			f.Extensions = append(f.Extensions, packettest.Extension{Type: k, Data: make([]byte, 6)})
		}
	})
}

func sentBy(a string) func(packettest.Frame) []byte {
	return changed(func(f *packettest.Frame) { f.Src = netip.AddrPortFrom(netip.MustParseAddr(a), f.Src.Port()) })
}

// nested is a client's frame in a tunnel to the service.
func nested(proto layers.IPProtocol) func(packettest.Frame) []byte {
	return func(f packettest.Frame) []byte {
		b := f.Bytes()
		o := packettest.Outer{Src: netip.AddrPortFrom(f.Src.Addr(), 999), Dst: netip.AddrPortFrom(f.Dst.Addr(), 6080), Proto: proto, TTL: 64, Inner6: !f.Is4()}
		return slices.Concat(b[:14], o.Wrap(b[14:]))
	}
}

// fromOwn is the verdict on what comes from an address of the balancer's: it has been in a
// tunnel from there already, if there is one.
const fromOwn = packet.Pending

// badAnyway are of both families.
var badAnyway = []hostile{
	{"half an Ethernet header", shortened(13), packet.DropTruncated},
	{"no IP header", shortened(14), packet.DropTruncated},
	{"another kind of frame", edited(-2, 0x08, 0x06), packet.DropNotIP},
	{"a length for a kind", edited(-2, 0, 46), packet.DropNotIP},
	{"one VLAN", changed(func(f *packettest.Frame) { f.VLANs = []uint16{9} }), packet.Forwarded},
	{"two VLANs", changed(func(f *packettest.Frame) { f.VLANs = []uint16{9, 9} }), packet.Forwarded},
	{"three VLANs", changed(func(f *packettest.Frame) { f.VLANs = []uint16{9, 9, 9} }), packet.DropNotIP},
	{"half a VLAN", func(f packettest.Frame) []byte { f.VLANs = []uint16{9}; return f.Bytes()[:16] }, packet.DropTruncated},
	{"the service is its own client (land)", changed(func(f *packettest.Frame) { f.Src = f.Dst }), packet.DropMartian},
	{"the service's address is its client's", changed(func(f *packettest.Frame) { f.Src = netipPort(f.Dst, 1) }), packet.DropMartian},
	{"from port 0", changed(func(f *packettest.Frame) { f.Src = netipPort(f.Src, 0) }), packet.Forwarded},
	{"to port 0", changed(func(f *packettest.Frame) { f.Dst = netipPort(f.Dst, 0) }), packet.DropNoService},
	{"no flags", changed(func(f *packettest.Frame) { f.Flags = 0 }), packet.Forwarded},
	{"all flags", changed(func(f *packettest.Frame) { f.Flags = 0xff }), packet.DropNoFlow},
	{"SYN and FIN", changed(func(f *packettest.Frame) { f.Flags = packet.TCPSyn | packet.TCPFin }), packet.Forwarded},
	{"no hops left", changed(func(f *packettest.Frame) { f.TTL = 1 }), packet.Replied},
	{"no hops at all", changed(func(f *packettest.Frame) { f.TTL = 0 }), packet.Replied},
}

var bad4 = []hostile{
	{"version 6", edited(0, 0x65), packet.DropMalformed},
	{"a header of 16 bytes", edited(0, 0x44), packet.DropMalformed},
	{"a header longer than the packet", edited(0, 0x4f), packet.DropMalformed},
	{"a length of 0", edited(2, 0, 0), packet.DropMalformed},
	{"a length below the header's", edited(2, 0, 19), packet.DropMalformed},
	{"a length that cuts the transport", edited(2, 0, 39), packet.DropMalformed},
	{"a length beyond the frame", edited(2, 0, 41), packet.DropTruncated},
	{"the largest length", edited(2, 0xff, 0xff), packet.DropTruncated},
	{"a wrong checksum", edited(10, 0xde, 0xad), packet.Forwarded},
	{"the transport's header is too short", edited(32, 0x40), packet.DropMalformed},
	{"the transport's header goes beyond the packet", edited(32, 0x60), packet.DropMalformed},
	{"the transport's checksum is wrong", edited(36, 0xde, 0xad), packet.Forwarded},
	{"another family's ICMP", edited(9, packet.ProtoICMPv6), packet.DropProtocol},
	{"a tunnel to the service", nested(layers.IPProtocolIPv4), packet.DropProtocol},
	{"GRE to the service", nested(layers.IPProtocolGRE), packet.DropProtocol},
	{"GUE to the service", nested(layers.IPProtocolUDP), packet.DropNoService},
	{"from a loopback address", sentBy("127.0.0.1"), packet.DropMartian},
	{"from nowhere", sentBy("0.0.0.0"), packet.DropMartian},
	{"from a group", sentBy("224.0.0.1"), packet.DropMartian},
	{"from all", sentBy("255.255.255.255"), packet.DropMartian},
	{"from the link", sentBy("169.254.0.1"), packet.DropMartian},
	{"from a backend", sentBy("10.0.0.11"), packet.Forwarded},
	{"from another service", sentBy("192.0.2.99"), packet.Forwarded}, // as servers do that hold its address
	{"from the balancer", sentBy("10.0.0.1"), fromOwn},
	{"a first fragment without its ports", edited(2, 0, 28, 0, 0, 0x20, 0), packet.DropTiny},
	{"a fragment within the headers", edited(2, 0, 40, 0, 0, 0, 1), packet.DropTiny},
	{"a fragment beyond the largest packet", edited(2, 0, 40, 0, 0, 0x1f, 0xff), packet.DropOverflow},
}

var bad6 = []hostile{
	{"version 4", edited(0, 0x45), packet.DropMalformed},
	{"a length of 0", edited(4, 0, 0), packet.DropMalformed},
	{"a length that cuts the transport", edited(4, 0, 19), packet.DropMalformed},
	{"a length beyond the frame", edited(4, 0, 21), packet.DropTruncated},
	{"the transport's checksum is wrong", edited(56, 0xde, 0xad), packet.Forwarded},
	{"another family's ICMP", edited(6, packet.ProtoICMP), packet.DropProtocol},
	{"nothing follows", edited(6, 59), packet.DropProtocol},
	{"eight extension headers", extended(0, 60, 60, 60, 60, 60, 60, 60), packet.Forwarded},
	{"nine extension headers", extended(0, 60, 60, 60, 60, 60, 60, 60, 60), packet.DropProtocol},
	{"hop-by-hop is not the first", extended(60, 0), packet.DropProtocol},
	{"authentication", extended(51), packet.DropProtocol},
	{"an extension header beyond the packet", func(f packettest.Frame) []byte { b := extended(60)(f); b[55] = 200; return b }, packet.DropMalformed},
	{"a route with segments left", func(f packettest.Frame) []byte { b := extended(43)(f); b[57] = 1; return b }, packet.DropProtocol},
	{"a tunnel to the service", nested(layers.IPProtocolIPv6), packet.DropProtocol},
	{"GRE to the service", nested(layers.IPProtocolGRE), packet.DropProtocol},
	{"GUE to the service", nested(layers.IPProtocolUDP), packet.DropNoService},
	{"from a loopback address", sentBy("::1"), packet.DropMartian},
	{"from nowhere", sentBy("::"), packet.DropMartian},
	{"from a group", sentBy("ff02::1"), packet.DropMartian},
	{"from the link", sentBy("fe80::1"), packet.DropMartian},
	{"from the other family", sentBy("::ffff:192.0.2.1"), packet.DropMartian},
	{"from a backend", sentBy("2001:db8:10::11"), packet.Forwarded},
	{"from another service", sentBy("2001:db8:2::99"), packet.Forwarded},
	{"from the balancer", sentBy("2001:db8:10::1"), fromOwn},
	{"a fragment within the headers", func(f packettest.Frame) []byte { b := extended(44)(f); binary.BigEndian.PutUint16(b[56:], 8); return b }, packet.DropTiny},
	{"a fragment beyond the largest packet", func(f packettest.Frame) []byte {
		b := extended(44)(f)
		binary.BigEndian.PutUint16(b[56:], 0xfff8)
		return b
	}, packet.DropOverflow},
}

// What the issue of the data path names as bad input, in every mode.
func TestBadInput(t *testing.T) {
	s := newSite(t, false)
	for i := range s.spec.Services {
		service := &s.spec.Services[i]
		if service.Protocol != balancer.TCP || len(service.Backends) == 0 {
			continue
		}
		family := bad4
		if service.Address.Is6() {
			family = bad6
		}
		for _, c := range some(slices.Concat(badAnyway, family)) {
			t.Run(service.Name+"/"+c.name, func(t *testing.T) {
				s.t = t
				s.begin()
				f := s.client(0, i)
				f.Src = netipPort(f.Src, 50000)
				want := c.want
				if want == fromOwn {
					want = packet.Forwarded
					if own := service.Backends[0].Address; isTunnel(service.Mode) && own.Is4() == service.Address.Is4() {
						want = packet.DropLoop
					}
				}
				if got := s.ends(arrival{0, c.frame(f)}); got != want {
					t.Errorf("ended as %v, want %v", got, want)
				}
			})
		}
	}
}

func isTunnel(m balancer.Mode) bool { return slices.Contains(tunnelModes, m) }

// ends delivers a frame, and returns its verdict: Pending if it is held.
func (s *site) ends(a arrival) packet.Verdict {
	before := s.tally()
	s.put(false, a)
	after := s.tally()
	for v := range after.verdicts {
		if after.verdicts[v] != before.verdicts[v] {
			return packet.Verdict(v)
		}
	}
	return packet.Pending
}

// What a fragment says may contradict what an earlier one has said. Then no more of its packet
// goes anywhere, in whatever mode.
func TestBadFragments(t *testing.T) {
	s := newSite(t, false)
	for i := range s.spec.Services {
		if len(s.spec.Services[i].Backends) == 0 {
			continue
		}
		f := s.client(0, i)
		f.Payload = make([]byte, 400)
		all := packettest.Fragments(f.Bytes(), 7, 128)
		last, inTCP := len(all)-1, packet.DropTiny
		if f.Proto == packet.ProtoUDP { // whose header ends there
			inTCP = packet.Pending
		}
		for name, c := range map[string]struct {
			frames [][]byte
			want   packet.Verdict
		}{
			"in order":              {all[:2], packet.Forwarded},
			"the first one twice":   {[][]byte{all[0], all[0]}, packet.DropOverlap},
			"another one twice":     {[][]byte{all[0], all[1], all[1]}, packet.DropOverlap},
			"over the first one":    {[][]byte{all[0], moved(all[1], -8)}, packet.DropOverlap},
			"over the next one":     {[][]byte{all[0], all[2], moved(all[1], 8)}, packet.DropOverlap},
			"behind the last one":   {[][]byte{all[0], all[last], moved(all[1], 512)}, packet.DropOverlap},
			"after a contradiction": {[][]byte{all[0], moved(all[1], -8), all[1]}, packet.DropOverlap},
			"after a mere copy":     {[][]byte{all[0], all[0], all[1]}, packet.Forwarded},
			"without a first one":   {[][]byte{all[1]}, packet.Pending},
			"two ends":              {[][]byte{all[0], all[last], moved(all[last], 8)}, packet.DropOverlap},
			"within TCP's header":   {[][]byte{moved(all[1], 8-128)}, inTCP},
			"beyond what there is":  {[][]byte{moved(all[1], 65528-128)}, packet.DropOverflow},
		} {
			t.Run(s.spec.Services[i].Name+"/"+name, func(t *testing.T) {
				s.t = t
				s.begin()
				got := packet.Pending
				for _, b := range c.frames {
					got = s.ends(arrival{0, b})
				}
				if got != c.want {
					t.Errorf("the last one ended as %v, want %v", got, c.want)
				}
			})
		}
	}
}

// moved is a fragment that says to be so many bytes, of those of 8, farther behind.
func moved(b []byte, by int) []byte {
	b = slices.Clone(b)
	at, unit := 20, 8
	if b[14]>>4 == 6 {
		at, unit = 56, 1
	}
	binary.BigEndian.PutUint16(b[at:], uint16(int(binary.BigEndian.Uint16(b[at:]))+by/unit))
	if at == 20 {
		packettest.Resize(b)
	}
	return b
}

// An error whose quote lies is about no flow, in whatever mode; TestErrorsThatLie has all the
// ways to lie.
func TestBadQuotes(t *testing.T) {
	s := newSite(t, false)
	for i := range s.spec.Services {
		if len(s.spec.Services[i].Backends) == 0 {
			continue
		}
		f := s.client(i%len(siteClients), i)      // who has a flow
		f.Src, f.Dst, f.VLANs = f.Dst, f.Src, nil // as the client has got it
		e := about(f, f.Dst.Addr().String(), f.SrcMAC, 1200)
		inner := 14 + 20 + 8
		if !f.Is4() {
			inner += 20
		}
		for name, c := range map[string]struct {
			lie  func(b []byte, inner int) []byte
			want packet.Verdict
		}{
			"the truth":                {set(0), packet.Forwarded},
			"of another version":       {set(0, 0xf5), packet.DropICMP},
			"of nothing":               {cutTo(0), packet.DropICMP},
			"of a part of a header":    {cutTo(19), packet.DropICMP},
			"of what nobody here sent": {func(b []byte, inner int) []byte { b[inner+sourceEnd(b)] ^= 0x80; return b }, packet.DropICMP},
		} {
			t.Run(s.spec.Services[i].Name+"/"+name, func(t *testing.T) {
				s.t = t
				s.begin()
				if got := s.ends(arrival{0, c.lie(e.Bytes(), inner)}); got != c.want {
					t.Errorf("ended as %v, want %v", got, c.want)
				}
			})
		}
	}
}

// sourceEnd is where the last byte of the source is in the header of an IP packet of the family
// that a frame's is of.
func sourceEnd(frame []byte) int {
	if frame[14]>>4 == 4 {
		return 15
	}
	return 23
}
