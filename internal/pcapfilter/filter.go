// Package pcapfilter has the filter expressions of tcpdump, as pcap-filter(7) describes them, or
// those parts of them that are of use to a balancer:
//
//	host 10.0.0.11            src host, dst host; net 10.0.0.0/8
//	port 443                  src port, dst port; portrange 8000-8099; tcp port, udp port
//	tcp, udp, icmp, icmp6     ip, ip6; tcp host 10.0.0.11
//	vlan, vlan 100            with a tag; with this tag
//	less 100, greater 1400    by the length of the frame
//	tcp[tcpflags] & (tcp-syn|tcp-rst) != 0
//	and, or, not, (, )        also &&, ||, !
//
// As there, "and" and "or" bind equally and to the left, and a value without a keyword has the one
// before: "host a or b". Unlike there, what is asked of a packet is asked of it behind its VLAN
// tags and extension headers, with no need to say "vlan" first; and there are no names of hosts
// and services, which would have to be looked up.
//
// libpcap's compiler is C, and we are one static binary. The one that is there in Go
// (packetcap/go-pcap) has less than what is here, does not look behind tags, and has not grown
// in years; and the classic BPF that it makes would have to be interpreted, which takes
// several times as long as the functions here, over headers that are parsed already.
package pcapfilter

import (
	"errors"
	"fmt"
	"strings"

	"github.com/afxlb/afxlb/internal/packet"
)

// Filter says whether a frame is wanted, in which p was found by [packet.Parse]. What that did
// not understand is the zero Packet, of which only the length is known.
type Filter func(p *packet.Packet, frame []byte) bool

// ErrSyntax says that an expression is none.
var ErrSyntax = errors.New("no filter expression")

// MaxLength is how long an expression may be.
const MaxLength = 4096

// Compile returns the filter that an expression means. An empty one is for all frames. The error
// says where in it what is wrong, and what would be right.
func Compile(expression string) (Filter, error) {
	if len(expression) > MaxLength {
		return nil, fmt.Errorf("%w: it has %d bytes; want %d at most", ErrSyntax, len(expression), MaxLength)
	}
	p := &parser{tokens: split(expression)}
	if p.next() == "" {
		return func(*packet.Packet, []byte) bool { return true }, nil
	}
	f, err := p.expression()
	if err == nil && p.next() != "" {
		err = p.want("and, or, or the end")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %q: %w", ErrSyntax, expression, err)
	}
	return f, nil
}

// split returns the words and signs of an expression.
func split(s string) (tokens []string) {
	const signs = "()[]!&|=<>"
	for s = strings.TrimLeft(s, " \t\r\n"); s != ""; s = strings.TrimLeft(s, " \t\r\n") {
		n := strings.IndexAny(s, signs+" \t\r\n")
		switch {
		case n < 0:
			n = len(s)
		case n == 0:
			n = 1
			if two := s[:min(2, len(s))]; two == "&&" || two == "||" || two == "!=" || two == "==" {
				n = 2
			}
		}
		tokens, s = append(tokens, s[:n]), s[n:]
	}
	return tokens
}
