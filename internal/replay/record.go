package replay

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/packet"
)

// Record is what became of one packet.
type Record struct {
	Index     int       // counted from 1, as Wireshark does
	Time      time.Time // of the capture
	Interface string    // of the capture; empty: it does not say
	Steering  string    // why it was the balancer's, or passed
	Verdict   string    // passed, held, forwarded, replied, punted or dropped
	Reason    string    // why it was dropped
	Service   string
	Backend   string
	Flow      string // the state of its flow, after it
	Direction string // of its flow: request or reply
	Tuple            // as it came
	Sent      []Sent // it, or its answer; nearly always one at most
	Released  []Sent // what had waited for it
}

// Tuple is a packet's addresses. Protocol is empty if it is not IP.
type Tuple struct {
	Protocol            string
	Source, Destination netip.AddrPort // the ports are 0 where there are none
}

// Sent is a frame that was sent.
type Sent struct {
	Tuple
	Length int    // of the frame
	Port   string // that it left by
	// Its MAC addresses and VLAN tags, the outermost first.
	SourceMAC, DestinationMAC packet.MAC
	VLANs                     []uint16
}

const (
	// VerdictPassed is the verdict of what is not for the balancer: the kernel has it.
	VerdictPassed = "passed"
	// VerdictHeld is that of a fragment which waits for the first one of its packet.
	VerdictHeld = "held"
)

// begin makes r that of the packet which the player is at.
func (r *Record) begin(p *player, frame []byte) {
	*r = Record{
		Index: p.summary.Packets, Time: p.current.Time, Interface: p.options.In.Interfaces()[p.current.Interface].Name,
		Verdict: VerdictPassed, Sent: r.Sent[:0], Released: r.Released[:0],
	}
	r.Tuple, _ = Look(frame)
}

// end notes the outcome.
func (r *Record) end(o engine.Outcome, t *balancer.Table, sent []frame, own int, ports []string) {
	r.Verdict = o.Verdict.String()
	switch {
	case o.Verdict.IsDrop():
		r.Verdict, r.Reason = "dropped", o.Verdict.String()
	case o.Verdict == packet.Pending:
		r.Verdict = VerdictHeld
	}
	if o.Tracked {
		r.Flow = o.Class.String()
	}
	if o.To {
		r.Service, r.Backend = t.Refs[o.Backend].Service, t.Refs[o.Backend].Backend
		r.Direction = [...]string{"request", "reply"}[o.Direction]
	} else if s := t.Lookup(r.Tuple.key()); s != nil {
		r.Service = s.Name
	}
	for i, f := range sent {
		tuple, tags := Look(f.data)
		s := Sent{Tuple: tuple, Length: len(f.data), Port: ports[f.port], SourceMAC: packet.SourceMAC(f.data), DestinationMAC: packet.DestinationMAC(f.data)}
		for _, tag := range tags {
			if tag != 0 {
				s.VLANs = append(s.VLANs, tag.VLAN())
			}
		}
		if i < own {
			r.Sent = append(r.Sent, s)
		} else {
			r.Released = append(r.Released, s)
		}
	}
}

// Look reads the addresses of a frame and its VLAN tags, for people.
func Look(frame []byte) (t Tuple, tags packet.Tags) {
	var p packet.Packet
	switch packet.Parse(frame, &p) {
	case packet.Pending, packet.DropICMP, packet.DropFragment:
	case packet.DropProtocol:
		if p.L3 == 0 { // not even that is known
			return t, tags
		}
		at := p.L3 + 9
		if p.IPv6 {
			at = p.L3 + 6
		}
		p.Key.Proto, p.Key.SrcPort, p.Key.DstPort = uint32(frame[at]), 0, 0
	default:
		return t, tags
	}
	t.Protocol = protocol(p.Key.Proto)
	src, dst := p.Key.SrcPort, p.Key.DstPort
	if p.Key.Proto != packet.ProtoTCP && p.Key.Proto != packet.ProtoUDP {
		src, dst = 0, 0 // of an echo, it is its identifier
	}
	t.Source, t.Destination = netip.AddrPortFrom(p.Key.Src.Netip(), src), netip.AddrPortFrom(p.Key.Dst.Netip(), dst)
	return t, packet.ReadTags(frame, &p)
}

// key returns what a service is looked up by.
func (t *Tuple) key() *packet.Key {
	k := &packet.Key{}
	if t.Protocol == "" {
		return k
	}
	k.Src, k.Dst = packet.AddrFrom(t.Source.Addr()), packet.AddrFrom(t.Destination.Addr())
	k.SrcPort, k.DstPort = t.Source.Port(), t.Destination.Port()
	switch t.Protocol {
	case "tcp":
		k.Proto = packet.ProtoTCP
	case "udp":
		k.Proto = packet.ProtoUDP
	}
	return k
}

// protocol names an IP protocol.
func protocol(n uint32) string {
	switch n {
	case packet.ProtoICMP:
		return "icmp"
	case packet.ProtoTCP:
		return "tcp"
	case packet.ProtoUDP:
		return "udp"
	case packet.ProtoICMPv6:
		return "icmpv6"
	case 4:
		return "ipv4"
	case 41:
		return "ipv6"
	case 47:
		return "gre"
	}
	return strconv.FormatUint(uint64(n), 10)
}
