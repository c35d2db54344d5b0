// Package trace says what would become of one packet, and what decided each step: the steering
// program's look-ups, the flow or the table, the pick, the way. It decides nothing itself: the
// instructions of the steering program run over the maps' content, and a shadow of a worker
// (engine.Shadow) handles the packet by the worker's own code, over copies.
package trace

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/afxlb/afxlb/internal/packet"
)

// Spec is a packet as people write it:
//
//	tcp 198.51.100.7:40000 > 192.0.2.10:80 flags SA vlan 5
//	udp [2001:db8::7]:40000 > [2001:db8::10]:53 length 100
//	icmp 198.51.100.7 > 192.0.2.10
//
// A sign between the ends may be left out.
type Spec struct {
	Proto    uint8
	Src, Dst netip.AddrPort
	Flags    uint8
	Payload  int // bytes
	VLANs    []uint16
	TTL      uint8
	Seq, Ack uint32
	From     packet.MAC // zero: whoever it would be
	DF, More bool       // IPv4
	Offset   int        // of a fragment, bytes
	ID       uint16
}

// ErrSpec says that a text describes no packet.
var ErrSpec = errors.New("no packet")

// maxSpec is how long a text may be.
const maxSpec = 1024

// maxPayload is less than what a frame takes, whatever its headers are.
const maxPayload = 3000

// Parse reads a packet. The error says what would be right.
func Parse(text string) (s Spec, err error) {
	if len(text) > maxSpec {
		return s, fmt.Errorf("%w: %d bytes of text; want %d at most", ErrSpec, len(text), maxSpec)
	}
	words := strings.Fields(strings.ReplaceAll(strings.ReplaceAll(text, "->", " > "), ">", " "))
	if len(words) < 3 {
		return s, fmt.Errorf("%w: %q; want one as in %q", ErrSpec, text, "tcp 198.51.100.7:40000 > 192.0.2.10:80")
	}
	s = Spec{Flags: packet.TCPSyn, TTL: 64}
	switch strings.ToLower(words[0]) {
	case "tcp":
		s.Proto = packet.ProtoTCP
	case "udp":
		s.Proto = packet.ProtoUDP
	case "icmp", "icmp6", "icmpv6", "ping":
		s.Proto = packet.ProtoICMP
	default:
		return s, fmt.Errorf("%w: it begins with %q; want tcp, udp or icmp", ErrSpec, words[0])
	}
	if s.Src, err = s.end(words[1]); err == nil {
		s.Dst, err = s.end(words[2])
	}
	if err == nil && s.Src.Addr().Is4() != s.Dst.Addr().Is4() {
		err = fmt.Errorf("%w: %s and %s are of two families", ErrSpec, s.Src.Addr(), s.Dst.Addr())
	}
	if err != nil {
		return s, err
	}
	if s.Proto == packet.ProtoICMP && !s.Src.Addr().Is4() {
		s.Proto = packet.ProtoICMPv6
	}
	if err := s.options(words[3:]); err != nil {
		return s, err
	}
	if s.Src.Addr().Is6() && (s.DF || s.More || s.Offset != 0) {
		return s, fmt.Errorf("%w: df, more and offset are of IPv4", ErrSpec)
	}
	return s, nil
}

// end reads an end: an address, with a port unless it is ICMP.
func (s *Spec) end(word string) (netip.AddrPort, error) {
	if s.Proto == packet.ProtoICMP {
		if a, err := netip.ParseAddr(word); err == nil && a.Zone() == "" && !a.Is4In6() {
			return netip.AddrPortFrom(a, 0), nil
		}
		return netip.AddrPort{}, fmt.Errorf("%w: %q; want an address, as ICMP has no ports", ErrSpec, word)
	}
	a, err := netip.ParseAddrPort(word)
	if err != nil || a.Addr().Zone() != "" || a.Addr().Is4In6() {
		return a, fmt.Errorf("%w: %q; want an address and a port, as 192.0.2.10:80 or [2001:db8::10]:80", ErrSpec, word)
	}
	return a, nil
}

// options reads what follows the ends.
func (s *Spec) options(words []string) (err error) {
	for len(words) > 0 {
		word := strings.ToLower(words[0])
		words = words[1:]
		switch word { // without a value
		case "df":
			s.DF = true
			continue
		case "more":
			s.More = true
			continue
		}
		value := ""
		if len(words) > 0 {
			value, words = words[0], words[1:]
		}
		number := func(most uint64) (n uint64) {
			if n, err = strconv.ParseUint(value, 0, 64); err != nil || n > most {
				err = fmt.Errorf("%w: %s %q; want a number up to %d", ErrSpec, word, value, most)
			}
			return n
		}
		switch word {
		case "flags", "seq", "ack":
			if s.Proto != packet.ProtoTCP {
				return fmt.Errorf("%w: flags, seq and ack are of TCP", ErrSpec)
			}
		}
		switch word {
		case "flags":
			s.Flags, err = parseFlags(value)
		case "length":
			s.Payload = int(number(maxPayload))
		case "vlan":
			if s.VLANs = append(s.VLANs, uint16(number(4095))); len(s.VLANs) > 2 {
				err = fmt.Errorf("%w: more than two VLAN tags", ErrSpec)
			}
		case "ttl":
			s.TTL = uint8(number(255))
		case "seq":
			s.Seq = uint32(number(1<<32 - 1))
		case "ack":
			s.Ack = uint32(number(1<<32 - 1))
		case "id":
			s.ID = uint16(number(1<<16 - 1))
		case "offset":
			if s.Offset = int(number(65528)); err == nil && s.Offset%8 != 0 {
				err = fmt.Errorf("%w: offset %d; want a multiple of 8", ErrSpec, s.Offset)
			}
		case "from":
			if s.From, err = packet.ParseMAC(value); err != nil {
				err = fmt.Errorf("%w: from %w", ErrSpec, err)
			}
		default:
			err = fmt.Errorf("%w: %q; want flags, length, vlan, ttl, seq, ack, from, df, more, offset or id, with a value", ErrSpec, word)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// flagLetters are those of tcpdump, in the order of the bits.
const flagLetters = "FSRP.UEW"

// parseFlags reads TCP flags as tcpdump writes them, where A stands for the point too, or by name
// with commas; none is a minus.
func parseFlags(text string) (flags uint8, err error) {
	names := map[string]uint8{"fin": packet.TCPFin, "syn": packet.TCPSyn, "rst": packet.TCPRst, "psh": packet.TCPPsh, "ack": packet.TCPAck, "urg": 1 << 5, "ece": 1 << 6, "cwr": 1 << 7}
	if text == "-" {
		return 0, nil
	}
	for name := range strings.SplitSeq(strings.ToLower(text), ",") {
		if bit, ok := names[name]; ok {
			flags |= bit
			continue
		}
		for _, c := range strings.ToUpper(name) {
			i := strings.IndexRune(flagLetters, c)
			if c == 'A' {
				i = strings.IndexByte(flagLetters, '.')
			}
			if i < 0 {
				return 0, fmt.Errorf("%w: flags %q; want letters of S, A, F, R, P, U, E and W, or names as syn,ack", ErrSpec, text)
			}
			flags |= 1 << i
		}
	}
	if text == "" {
		return 0, fmt.Errorf("%w: flags without a value; want letters of S, A, F, R, P, U, E and W", ErrSpec)
	}
	return flags, nil
}

// String returns the packet as Parse reads it, with all that is not as usual.
func (s *Spec) String() string {
	var b strings.Builder
	names := map[uint8]string{packet.ProtoTCP: "tcp", packet.ProtoUDP: "udp", packet.ProtoICMP: "icmp", packet.ProtoICMPv6: "icmp"}
	b.WriteString(names[s.Proto])
	if s.Proto == packet.ProtoTCP || s.Proto == packet.ProtoUDP {
		fmt.Fprintf(&b, " %s > %s", s.Src, s.Dst)
	} else {
		fmt.Fprintf(&b, " %s > %s", s.Src.Addr(), s.Dst.Addr())
	}
	if s.Proto == packet.ProtoTCP {
		fmt.Fprintf(&b, " flags %s", flagText(s.Flags))
	}
	for _, o := range []struct {
		name string
		n    uint64
		not  uint64
	}{
		{"length", uint64(s.Payload), 0}, {"ttl", uint64(s.TTL), 64}, {"seq", uint64(s.Seq), 0}, {"ack", uint64(s.Ack), 0},
		{"offset", uint64(s.Offset), 0}, {"id", uint64(s.ID), 0},
	} {
		if o.n != o.not {
			fmt.Fprintf(&b, " %s %d", o.name, o.n)
		}
	}
	for _, v := range s.VLANs {
		fmt.Fprintf(&b, " vlan %d", v)
	}
	if s.From != (packet.MAC{}) {
		fmt.Fprintf(&b, " from %s", s.From)
	}
	if s.DF {
		b.WriteString(" df")
	}
	if s.More {
		b.WriteString(" more")
	}
	return b.String()
}

func flagText(flags uint8) string {
	text := ""
	for i, c := range strings.ReplaceAll(flagLetters, ".", "A") {
		if flags>>i&1 != 0 {
			text += string(c)
		}
	}
	if text == "" {
		return "-"
	}
	return text
}
