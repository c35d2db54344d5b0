package packettest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// Outer is the outer header of a packet in a tunnel.
type Outer struct {
	Src, Dst  netip.AddrPort // ports are 0 without UDP
	Proto     layers.IPProtocol
	GUE       bool // with UDP: GUE's header of variant 0 follows
	Inner6    bool
	TOS       uint8 // traffic class in IPv6
	TTL       uint8
	ID        uint16 // IPv4 only
	DF        bool   // IPv4 only
	FlowLabel uint32 // IPv6 only
	Checksum  bool   // UDP: there is one
}

// Wrap returns the packet in a tunnel, from the outer IP header on. It panics on an Outer
// that is none.
func (o Outer) Wrap(inner []byte) []byte {
	src, dst := o.Src.Addr().AsSlice(), o.Dst.Addr().AsSlice()
	var ip gopacket.SerializableLayer
	var network gopacket.NetworkLayer
	if o.Src.Addr().Is4() {
		four := &layers.IPv4{Version: 4, TOS: o.TOS, Id: o.ID, TTL: o.TTL, Protocol: o.Proto, SrcIP: src, DstIP: dst}
		if o.DF {
			four.Flags = layers.IPv4DontFragment
		}
		ip, network = four, four
	} else {
		six := &layers.IPv6{Version: 6, TrafficClass: o.TOS, FlowLabel: o.FlowLabel, HopLimit: o.TTL, NextHeader: o.Proto, SrcIP: src, DstIP: dst}
		ip, network = six, six
	}
	stack := []gopacket.SerializableLayer{ip}
	switch o.Proto {
	case layers.IPProtocolUDP:
		udp := &layers.UDP{SrcPort: layers.UDPPort(o.Src.Port()), DstPort: layers.UDPPort(o.Dst.Port())}
		must(udp.SetNetworkLayerForChecksum(network))
		stack = append(stack, udp)
		if o.GUE {
			stack = append(stack, gopacket.Payload{0, uint8(o.inside()), 0, 0})
		}
	case layers.IPProtocolGRE:
		stack = append(stack, &layers.GRE{Protocol: o.etherType()})
	}
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	must(gopacket.SerializeLayers(buf, opts, append(stack, gopacket.Payload(inner))...))
	b := bytes.Clone(buf.Bytes())
	if o.Proto == layers.IPProtocolUDP {
		sum := b[20+6:]
		if !o.Src.Addr().Is4() {
			sum = b[40+6:]
		}
		switch {
		case !o.Checksum:
			binary.BigEndian.PutUint16(sum, 0)
		case binary.BigEndian.Uint16(sum) == 0:
			binary.BigEndian.PutUint16(sum, 0xffff)
		}
	}
	return b
}

func (o *Outer) inside() layers.IPProtocol {
	if o.Inner6 {
		return layers.IPProtocolIPv6
	}
	return layers.IPProtocolIPv4
}

func (o *Outer) etherType() layers.EthernetType {
	if o.Inner6 {
		return layers.EthernetTypeIPv6
	}
	return layers.EthernetTypeIPv4
}

// Unwrap takes the frame of a packet in a tunnel apart, and fails the test unless it is
// well-formed in full, the packet inside included. That is returned with the Ethernet
// header's addresses.
func Unwrap(t testing.TB, frame []byte) (Outer, Frame) {
	t.Helper()
	o, inner, err := DecodeTunnel(frame)
	if err != nil {
		t.Fatalf("%v in frame %x", err, frame)
	}
	return o, Verify(t, inner)
}

// DecodeTunnel returns the outer header of a packet in a tunnel, which must be well-formed,
// and the packet inside behind the Ethernet addresses of the frame, whatever it is.
func DecodeTunnel(frame []byte) (o Outer, inner []byte, err error) {
	o, inner, err = unwrap(frame)
	if err != nil {
		return o, nil, err
	}
	header := binary.BigEndian.AppendUint16(bytes.Clone(frame[:12]), uint16(o.etherType()))
	return o, append(header, inner...), nil
}

// unwrap returns the outer header and the packet inside. It knows what it must be from what
// it says it is: by wrapping the packet again, which must give the same bytes.
func unwrap(frame []byte) (o Outer, inner []byte, err error) {
	packet := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.DecodeOptions{Lazy: true, NoCopy: true})
	list := packet.Layers()
	for len(list) > 0 && (list[0].LayerType() == layers.LayerTypeEthernet || list[0].LayerType() == layers.LayerTypeDot1Q) {
		list = list[1:]
	}
	if len(list) == 0 {
		return o, nil, errors.New("no IP header")
	}
	outer := list[0]
	inner = outer.LayerPayload()
	switch ip := outer.(type) {
	case *layers.IPv4:
		o = Outer{Proto: ip.Protocol, TOS: ip.TOS, TTL: ip.TTL, ID: ip.Id, DF: ip.Flags&layers.IPv4DontFragment != 0}
		o.setAddrs(ip.SrcIP, ip.DstIP)
	case *layers.IPv6:
		o = Outer{Proto: ip.NextHeader, TOS: ip.TrafficClass, TTL: ip.HopLimit, FlowLabel: ip.FlowLabel}
		o.setAddrs(ip.SrcIP, ip.DstIP)
	default:
		return o, nil, fmt.Errorf("%v where an IP header should be", outer.LayerType())
	}
	switch {
	case o.Proto == layers.IPProtocolUDP && len(inner) > 12:
		src, dst := binary.BigEndian.Uint16(inner), binary.BigEndian.Uint16(inner[2:])
		o.Src, o.Dst = netip.AddrPortFrom(o.Src.Addr(), src), netip.AddrPortFrom(o.Dst.Addr(), dst)
		o.Checksum, o.GUE = inner[6]|inner[7] != 0, inner[8]>>6 == 0
		inner = inner[8:]
		if o.GUE {
			inner = inner[4:]
		}
	case o.Proto == layers.IPProtocolGRE && len(inner) > 4:
		inner = inner[4:]
	case o.Proto != layers.IPProtocolIPv4 && o.Proto != layers.IPProtocolIPv6:
		return o, nil, fmt.Errorf("%v is no tunnel's", o.Proto)
	}
	if len(inner) == 0 {
		return o, nil, errors.New("nothing inside")
	}
	o.Inner6 = inner[0]>>4 == 6
	got := append(bytes.Clone(outer.LayerContents()), outer.LayerPayload()...)
	if want := o.Wrap(inner); !bytes.Equal(got, want) {
		return o, nil, fmt.Errorf("outer header %+v: %x, want %x", o, got, want)
	}
	return o, inner, nil
}

func (o *Outer) setAddrs(src, dst []byte) {
	from, _ := netip.AddrFromSlice(src)
	to, _ := netip.AddrFromSlice(dst)
	o.Src, o.Dst = netip.AddrPortFrom(from, 0), netip.AddrPortFrom(to, 0)
}
