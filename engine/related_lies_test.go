package engine

import (
	"encoding/binary"
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// lie is an ICMP error of which something is not true. The frame is of the error about what a
// service has said, from its Ethernet header on; inner is where the quoted packet begins.
type lie struct {
	name string
	spin func(b []byte, inner int) []byte
	want packet.Verdict
}

func set(at int, bytes ...byte) func(b []byte, inner int) []byte {
	return func(b []byte, inner int) []byte { copy(b[inner+at:], bytes); return b }
}

var lies4 = []lie{
	{"the quote is of another version", set(0, 0x65), packet.DropICMP},
	{"its header is too short", set(0, 0x44), packet.DropICMP},
	{"its header goes beyond the quote", set(0, 0x4f), packet.DropICMP},
	{"it is a later fragment", set(6, 0, 1), packet.DropICMP},
	{"it is the first fragment", set(6, 0x20, 0), packet.Forwarded}, // which has the ports
	{"its length is 0", set(2, 0, 0), packet.Forwarded},             // some hosts change it
	{"its length is the largest", set(2, 0xff, 0xff), packet.Forwarded},
	{"it is of UDP", set(9, packet.ProtoUDP), packet.DropICMP},
	{"it is of ICMP", set(9, packet.ProtoICMP), packet.DropICMP},
	{"it is of a tunnel", set(9, 4), packet.DropICMP},
	{"it is of ICMPv6", set(9, packet.ProtoICMPv6), packet.DropICMP},
	{"it is from somebody else", set(12, 192, 0, 2, 99), packet.DropICMP},
	{"it is to somebody else", set(16, 203, 0, 113, 99), packet.DropICMP},
	{"it is to the service itself", set(16, 192, 0, 2, 10), packet.DropICMP},
	{"it is from port 0", set(20, 0, 0), packet.DropICMP},
	{"it is to port 0", set(22, 0, 0), packet.DropICMP},
	{"its checksum is wrong", set(10, 0, 1), packet.Forwarded}, // routers have changed the header
	{"its transport's checksum is wrong", set(36, 0, 1), packet.Forwarded},
	{"nothing is quoted", cutTo(0), packet.DropICMP},
	{"half a header is quoted", cutTo(19), packet.DropICMP},
	{"half of the ports are quoted", cutTo(27), packet.DropICMP},
	{"the ports are quoted, and no more", cutTo(28), packet.Forwarded},
}

var lies6 = []lie{
	{"the quote is of another version", set(0, 0x45), packet.DropICMP},
	{"its length is 0", set(4, 0, 0), packet.Forwarded},
	{"it is of UDP", set(6, packet.ProtoUDP), packet.DropICMP},
	{"it is of ICMPv6", set(6, packet.ProtoICMPv6), packet.DropICMP},
	{"it is of ICMP", set(6, packet.ProtoICMP), packet.DropICMP},
	{"it is of nothing", set(6, 59), packet.DropICMP},
	{"it has an extension that is a segment", set(6, 60), packet.DropICMP},
	{"it has a hop-by-hop header that goes beyond the quote", set(6, 0), packet.DropICMP},
	{"it has a fragment header", set(6, 44), packet.DropICMP},
	{"it is from an IPv4 address", set(8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff), packet.DropICMP},
	{"it is to an IPv4 address", set(24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff), packet.DropICMP},
	{"it is from somebody else", set(23, 0x99), packet.DropICMP},
	{"it is to somebody else", set(39, 0x99), packet.DropICMP},
	{"it is from port 0", set(40, 0, 0), packet.DropICMP},
	{"it is to port 0", set(42, 0, 0), packet.DropICMP},
	{"nothing is quoted", cutTo(0), packet.DropICMP},
	{"half a header is quoted", cutTo(39), packet.DropICMP},
	{"half of the ports are quoted", cutTo(47), packet.DropICMP},
	{"the ports are quoted, and no more", cutTo(48), packet.Forwarded},
}

// cutTo leaves n bytes of the quote, and lengths that say so.
func cutTo(n int) func(b []byte, inner int) []byte {
	return func(b []byte, inner int) []byte {
		b = b[:inner+n]
		if b[14]>>4 == 4 {
			binary.BigEndian.PutUint16(b[16:], uint16(len(b)-14))
		} else {
			binary.BigEndian.PutUint16(b[18:], uint16(len(b)-54))
		}
		return b
	}
}

// Whatever an error says of the packet that it is about has a verdict, and what has to be
// believed goes to the flow's backend as it was said.
func TestErrorsThatLie(t *testing.T) {
	for name, c := range map[string]struct {
		ends  [2]string
		inner int
		lies  []lie
	}{"ipv4": {[2]string{client4, vip4}, 14 + 20 + 8, lies4}, "ipv6": {[2]string{client6, vip6}, 14 + 40 + 8, lies6}} {
		for _, l := range c.lies {
			t.Run(name+"/"+l.name, func(t *testing.T) {
				h := newHarness(t, 1, service("web", c.ends[1], 0, 3))
				e := relate(h, c.ends, false)
				before := h.flowInfo()
				b := l.spin(about(e.toVIP, e.routers[0], e.mac[0], 1200).Bytes(), c.inner)
				sums := h.verdicts(0)
				sent := h.passRaw(0, b)
				if n := h.verdicts(0)[l.want.String()]; n != sums[l.want.String()]+1 {
					t.Errorf("%v, want one more %v", h.verdicts(0), l.want)
				}
				if l.want == packet.Forwarded && (len(sent) != 1 || packet.DestinationMAC(sent[0]) != e.mac[1]) {
					t.Errorf("sent %x", sent)
				}
				after := h.flowInfo()
				after.Packets, after.Bytes = before.Packets, before.Bytes
				if after != before {
					t.Errorf("the flow was %+v, is %+v", before, after)
				}
				h.one(0, ack(e.request)) // and goes on
			})
		}
	}
}

// ack is the next segment of the client whose SYN f is.
func ack(f packettest.Frame) packettest.Frame {
	f.Flags, f.Seq, f.Ack = packet.TCPAck, f.Seq+1, 0x01020305
	return f
}
