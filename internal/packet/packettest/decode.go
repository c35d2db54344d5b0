package packettest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/afxlb/afxlb/internal/packet"
)

// ErrNotTransport says that a frame holds no TCP, UDP or ICMP packet.
var ErrNotTransport = errors.New("no TCP, UDP or ICMP header")

// Decode takes a frame apart by gopacket. With an error the Frame holds what was
// found before it; malformed IP and TCP options are reported, but passed over.
// Fragments are an error, unless one holds the whole packet. The slices in the result are copies of frame's bytes.
func Decode(frame []byte) (Frame, error) {
	d := decoder{rest: frame}
	kind := d.link()
	switch kind {
	case layers.EthernetTypeIPv4:
		d.ipv4()
	case layers.EthernetTypeIPv6:
		d.ipv6()
	default:
		d.fail(fmt.Errorf("ethernet type %v: %w", kind, ErrNotTransport))
	}
	d.transport()
	if d.truncated {
		d.note(errors.New("truncated"))
	}
	return d.f, d.err
}

// decoder goes along a frame layer by layer. After a fatal error rest is nil.
type decoder struct {
	f         Frame
	rest      []byte
	err       error // the first one
	truncated bool
}

// SetTruncated makes a decoder a gopacket.DecodeFeedback.
func (d *decoder) SetTruncated() { d.truncated = true }

func (d *decoder) note(err error) {
	if d.err == nil {
		d.err = err
	}
}

func (d *decoder) fail(err error) {
	d.note(err)
	d.rest = nil
}

// decode runs gopacket's decoder of one layer. A layer that knows its payload in
// spite of an error is gone past.
func (d *decoder) decode(l gopacket.DecodingLayer) bool {
	if d.rest == nil {
		return false
	}
	err := l.DecodeFromBytes(d.rest, d)
	if err != nil {
		d.note(err)
	}
	payload := l.LayerPayload()
	if err != nil && payload == nil {
		d.rest = nil
		return false
	}
	d.rest = payload
	return true
}

func (d *decoder) link() layers.EthernetType {
	// gopacket's Ethernet cuts 802.3 frames by their length field; the type field
	// is all that is wanted here.
	if len(d.rest) < 14 {
		d.fail(errors.New("short ethernet header"))
		return 0
	}
	copy(d.f.DstMAC[:], d.rest[0:6])
	copy(d.f.SrcMAC[:], d.rest[6:12])
	kind := layers.EthernetType(binary.BigEndian.Uint16(d.rest[12:]))
	d.rest = d.rest[14:]
	for kind == layers.EthernetTypeDot1Q || kind == layers.EthernetTypeQinQ {
		var tag layers.Dot1Q
		if !d.decode(&tag) {
			return 0
		}
		d.f.VLANs = append(d.f.VLANs, tag.VLANIdentifier)
		kind = tag.Type
	}
	return kind
}

func (d *decoder) ipv4() {
	var ip layers.IPv4
	behind := len(d.rest)
	if !d.decode(&ip) {
		return
	}
	f := &d.f
	f.Padding = max(0, behind-int(ip.Length))
	f.setAddrs(ip.SrcIP, ip.DstIP)
	f.Proto, f.TOS, f.TTL, f.ID = uint8(ip.Protocol), ip.TOS, ip.TTL, ip.Id
	f.DF = ip.Flags&layers.IPv4DontFragment != 0
	f.IPOptions = clone(ip.Contents[20:])
	if ip.Version != 4 {
		d.fail(fmt.Errorf("version %d", ip.Version))
	}
	if ip.Flags&layers.IPv4MoreFragments != 0 || ip.FragOffset != 0 {
		d.fail(errors.New("fragment"))
	}
}

func (d *decoder) ipv6() {
	if len(d.rest) < 40 {
		d.fail(errors.New("short IPv6 header"))
		return
	}
	var ip layers.IPv6
	behind := len(d.rest) - 40
	// With a hop-by-hop header gopacket takes the payload length as if it began
	// behind that header. Hide it, and walk all extension headers below.
	next := layers.IPProtocol(d.rest[6])
	d.rest = clone(d.rest)
	d.rest[6] = uint8(layers.IPProtocolNoNextHeader)
	if !d.decode(&ip) {
		return
	}
	f := &d.f
	f.Padding = max(0, behind-int(ip.Length))
	f.setAddrs(ip.SrcIP, ip.DstIP)
	f.TOS, f.TTL, f.FlowLabel = ip.TrafficClass, ip.HopLimit, ip.FlowLabel
	if ip.Version != 6 {
		d.fail(fmt.Errorf("version %d", ip.Version))
	}
	for {
		switch next {
		case layers.IPProtocolIPv6HopByHop, layers.IPProtocolIPv6Routing, layers.IPProtocolIPv6Destination:
			var e layers.IPv6ExtensionSkipper
			if !d.decode(&e) {
				return
			}
			f.Extensions = append(f.Extensions, Extension{Type: uint8(next), Data: clone(e.Contents[2:])})
			next = e.NextHeader
		case layers.IPProtocolIPv6Fragment:
			if !d.atomicFragment() {
				return
			}
			next = layers.IPProtocol(d.rest[0])
			f.Extensions = append(f.Extensions, Extension{Type: 44, Data: clone(d.rest[2:8])})
			d.rest = d.rest[8:]
		default:
			f.Proto = uint8(next)
			return
		}
	}
}

// atomicFragment reports whether a fragment header that holds a whole packet (RFC
// 6946) comes next, and fails otherwise. gopacket has no decoder of just that.
func (d *decoder) atomicFragment() bool {
	if len(d.rest) < 8 {
		d.fail(errors.New("short fragment header"))
		return false
	}
	if binary.BigEndian.Uint16(d.rest[2:])&^6 != 0 {
		d.fail(errors.New("fragment"))
		return false
	}
	return true
}

func (f *Frame) setAddrs(src, dst []byte) {
	from, _ := netip.AddrFromSlice(src)
	to, _ := netip.AddrFromSlice(dst)
	f.Src, f.Dst = netip.AddrPortFrom(from, 0), netip.AddrPortFrom(to, 0)
}

func (f *Frame) setPorts(src, dst uint16) {
	f.Src = netip.AddrPortFrom(f.Src.Addr(), src)
	f.Dst = netip.AddrPortFrom(f.Dst.Addr(), dst)
}

func (d *decoder) transport() {
	f := &d.f
	switch f.Proto {
	case packet.ProtoTCP:
		d.tcp()
	case packet.ProtoUDP:
		var udp layers.UDP
		if d.decode(&udp) {
			f.setPorts(uint16(udp.SrcPort), uint16(udp.DstPort))
			f.NoChecksum = udp.Checksum == 0
		}
	case packet.ProtoICMP:
		var icmp layers.ICMPv4
		if d.decode(&icmp) {
			f.Type, f.Code, f.EchoID, f.EchoSeq = icmp.TypeCode.Type(), icmp.TypeCode.Code(), icmp.Id, icmp.Seq
		}
	case packet.ProtoICMPv6:
		d.icmpv6()
	default:
		d.fail(fmt.Errorf("protocol %d: %w", f.Proto, ErrNotTransport))
	}
	f.Payload = clone(d.rest)
}

func (d *decoder) tcp() {
	var tcp layers.TCP
	if !d.decode(&tcp) {
		return
	}
	f := &d.f
	f.setPorts(uint16(tcp.SrcPort), uint16(tcp.DstPort))
	f.Seq, f.Ack, f.Window = tcp.Seq, tcp.Ack, tcp.Window
	f.Flags = tcp.Contents[13]
	f.TCPOptions = clone(tcp.Contents[20:])
}

func (d *decoder) icmpv6() {
	var icmp layers.ICMPv6
	if !d.decode(&icmp) {
		return
	}
	if len(d.rest) < 4 {
		d.fail(errors.New("short ICMPv6 message"))
		return
	}
	f := &d.f
	f.Type, f.Code = icmp.TypeCode.Type(), icmp.TypeCode.Code()
	f.EchoID, f.EchoSeq = binary.BigEndian.Uint16(d.rest), binary.BigEndian.Uint16(d.rest[2:])
	d.rest = d.rest[4:]
}

// clone copies b; nothing becomes nil, so that frames compare well.
func clone(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return append([]byte(nil), b...)
}
