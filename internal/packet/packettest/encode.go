package packettest

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/afxlb/afxlb/internal/packet"
)

// Bytes returns the frame as it is on the wire, with right lengths and
// checksums. It panics on a Frame that is none, for example of two families.
func (f Frame) Bytes() []byte {
	var stack []gopacket.SerializableLayer
	stack = append(stack, f.link()...)
	network, extensions := f.network()
	stack = append(stack, network)
	stack = append(stack, extensions...)
	stack = append(stack, f.transport(network.(gopacket.NetworkLayer))...)
	stack = append(stack, gopacket.Payload(f.Payload))
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, stack...); err != nil {
		panic(fmt.Sprintf("packettest: %+v: %v", f, err))
	}
	b := append(bytes.Clone(buf.Bytes()), make([]byte, f.Padding)...)
	if f.Proto == packet.ProtoUDP {
		f.fixUDP(b)
	}
	return b
}

// fixUDP writes the checksum as RFC 768 has it: 0 means that there is none, so a
// computed 0 is sent as 0xffff, which gopacket does not do.
func (f Frame) fixUDP(b []byte) {
	udp := len(b) - f.Padding - len(f.Payload) - 8
	sum := b[udp+6 : udp+8]
	if f.NoChecksum {
		binary.BigEndian.PutUint16(sum, 0)
	} else if binary.BigEndian.Uint16(sum) == 0 {
		binary.BigEndian.PutUint16(sum, 0xffff)
	}
}

func (f Frame) link() (stack []gopacket.SerializableLayer) {
	inner := layers.EthernetTypeIPv6
	if f.Is4() {
		inner = layers.EthernetTypeIPv4
	}
	types := make([]layers.EthernetType, len(f.VLANs), len(f.VLANs)+1)
	for i := range types {
		types[i] = layers.EthernetTypeDot1Q
		if i == 0 && len(types) > 1 {
			types[i] = layers.EthernetTypeQinQ
		}
	}
	types = append(types, inner)
	// No FixLengths for Ethernet: Frame.Padding decides, not the 60-byte minimum.
	header := make(gopacket.Payload, 0, 14)
	header = append(header, f.DstMAC[:]...)
	header = append(header, f.SrcMAC[:]...)
	header = binary.BigEndian.AppendUint16(header, uint16(types[0]))
	stack = append(stack, header)
	for i, id := range f.VLANs {
		stack = append(stack, &layers.Dot1Q{VLANIdentifier: id, Type: types[i+1]})
	}
	return stack
}

func (f Frame) network() (ip gopacket.SerializableLayer, extensions []gopacket.SerializableLayer) {
	src, dst := f.Src.Addr().AsSlice(), f.Dst.Addr().AsSlice()
	if f.Is4() {
		ip := &layers.IPv4{
			Version: 4, TOS: f.TOS, Id: f.ID, TTL: f.TTL, Protocol: layers.IPProtocol(f.Proto),
			SrcIP: src, DstIP: dst,
		}
		if f.DF {
			ip.Flags = layers.IPv4DontFragment
		}
		for o := range options(f.IPOptions) {
			ip.Options = append(ip.Options, layers.IPv4Option{OptionType: o.kind, OptionLength: o.length, OptionData: o.data})
		}
		return ip, nil
	}
	next := f.Proto
	for i := len(f.Extensions) - 1; i >= 0; i-- {
		e := f.Extensions[i]
		raw := append(gopacket.Payload{next, uint8((len(e.Data)+2)/8 - 1)}, e.Data...)
		extensions = append([]gopacket.SerializableLayer{raw}, extensions...)
		next = e.Type
	}
	return &layers.IPv6{
		Version: 6, TrafficClass: f.TOS, FlowLabel: f.FlowLabel, HopLimit: f.TTL,
		NextHeader: layers.IPProtocol(next), SrcIP: src, DstIP: dst,
	}, extensions
}

func (f Frame) transport(ip gopacket.NetworkLayer) []gopacket.SerializableLayer {
	switch f.Proto {
	case packet.ProtoTCP:
		tcp := &layers.TCP{
			SrcPort: layers.TCPPort(f.Src.Port()), DstPort: layers.TCPPort(f.Dst.Port()),
			Seq: f.Seq, Ack: f.Ack, Window: f.Window,
			FIN: f.Flags&0x01 != 0, SYN: f.Flags&0x02 != 0, RST: f.Flags&0x04 != 0, PSH: f.Flags&0x08 != 0,
			ACK: f.Flags&0x10 != 0, URG: f.Flags&0x20 != 0, ECE: f.Flags&0x40 != 0, CWR: f.Flags&0x80 != 0,
		}
		for o := range options(f.TCPOptions) {
			tcp.Options = append(tcp.Options, layers.TCPOption{OptionType: layers.TCPOptionKind(o.kind), OptionLength: o.length, OptionData: o.data})
		}
		must(tcp.SetNetworkLayerForChecksum(ip))
		return []gopacket.SerializableLayer{tcp}
	case packet.ProtoUDP:
		udp := &layers.UDP{SrcPort: layers.UDPPort(f.Src.Port()), DstPort: layers.UDPPort(f.Dst.Port())}
		must(udp.SetNetworkLayerForChecksum(ip))
		return []gopacket.SerializableLayer{udp}
	case packet.ProtoICMP:
		code := layers.CreateICMPv4TypeCode(f.Type, f.Code)
		return []gopacket.SerializableLayer{&layers.ICMPv4{TypeCode: code, Id: f.EchoID, Seq: f.EchoSeq}}
	case packet.ProtoICMPv6:
		icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(f.Type, f.Code)}
		must(icmp.SetNetworkLayerForChecksum(ip))
		return []gopacket.SerializableLayer{icmp, &layers.ICMPv6Echo{Identifier: f.EchoID, SeqNumber: f.EchoSeq}}
	}
	panic(fmt.Sprintf("packettest: protocol %d", f.Proto))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
