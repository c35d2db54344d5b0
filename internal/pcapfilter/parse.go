package pcapfilter

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/afxlb/afxlb/internal/packet"
)

// parser is at a place in an expression.
type parser struct {
	tokens []string
	at     int
	depth  int
	last   qualifiers // of the primitive before
}

// qualifiers are what stands in front of a value.
type qualifiers struct {
	proto string // ip, ip6, tcp, udp or empty
	side  side
	kind  string // host, net, port, portrange
}

// side says which end of a packet is meant.
type side int

const (
	either side = iota
	source
	destination
	both
)

// next returns the token that the parser is at; empty at the end.
func (p *parser) next() string {
	if p.at == len(p.tokens) {
		return ""
	}
	return p.tokens[p.at]
}

// take goes on if the parser is at one of these, and returns it.
func (p *parser) take(any ...string) (string, bool) {
	for _, t := range any {
		if t == p.next() && t != "" {
			p.at++
			return t, true
		}
	}
	return "", false
}

// want says what should stand where the parser is.
func (p *parser) want(what string) error {
	if p.next() == "" {
		return fmt.Errorf("it ends where there should be %s", what)
	}
	return fmt.Errorf("word %d is %q; want %s", p.at+1, p.next(), what)
}

// expression is terms with "and" and "or" between them, which bind equally.
func (p *parser) expression() (Filter, error) {
	left, err := p.term()
	for err == nil {
		op, ok := p.take("and", "&&", "or", "||")
		if !ok {
			return left, nil
		}
		var right Filter
		if right, err = p.term(); err == nil {
			left = join(left, op == "and" || op == "&&", right)
		}
	}
	return nil, err
}

func join(a Filter, and bool, b Filter) Filter {
	if and {
		return func(p *packet.Packet, frame []byte) bool { return a(p, frame) && b(p, frame) }
	}
	return func(p *packet.Packet, frame []byte) bool { return a(p, frame) || b(p, frame) }
}

// maxDepth bounds how deep terms may lie in each other.
const maxDepth = 100

// term is a primitive, one that is negated, or an expression in parentheses.
func (p *parser) term() (f Filter, err error) {
	if p.depth++; p.depth > maxDepth {
		return nil, fmt.Errorf("more than %d parentheses in each other", maxDepth)
	}
	defer func() { p.depth-- }()
	if _, ok := p.take("not", "!"); ok {
		negated, err := p.term()
		if err != nil {
			return nil, err
		}
		return func(q *packet.Packet, frame []byte) bool { return !negated(q, frame) }, nil
	}
	if _, ok := p.take("("); ok {
		if f, err = p.expression(); err != nil {
			return nil, err
		}
		if _, ok := p.take(")"); !ok {
			return nil, p.want("a )")
		}
		return f, nil
	}
	return p.primitive()
}

// primitive is one question about a packet.
func (p *parser) primitive() (Filter, error) {
	if word, ok := p.take("less", "greater"); ok {
		n, err := p.number(1 << 20)
		if err != nil {
			return nil, err
		}
		if word == "less" {
			return func(_ *packet.Packet, frame []byte) bool { return len(frame) <= n }, nil
		}
		return func(_ *packet.Packet, frame []byte) bool { return len(frame) >= n }, nil
	}
	if _, ok := p.take("vlan"); ok {
		return p.vlan()
	}
	if word, ok := p.take("icmp", "icmp6"); ok {
		return protocols[word], nil
	}
	var q qualifiers
	q.proto, _ = p.take("ip", "ip6", "tcp", "udp")
	if q.proto == "tcp" && p.next() == "[" {
		return p.flags()
	}
	q.side = p.side()
	q.kind, _ = p.take("host", "net", "port", "portrange")
	switch {
	case q == qualifiers{}:
		if q = p.last; q.kind == "" {
			return nil, p.want("a protocol, host, net, port, portrange, vlan, less, greater, not or (")
		}
	case q.side == either && q.kind == "":
		return protocols[q.proto], nil
	case q.kind == "":
		q.kind = "host" // as in "src 10.0.0.11"
	}
	p.last = q
	return p.value(q)
}

// side reads src, dst, "src or dst" or "src and dst".
func (p *parser) side() side {
	first, ok := p.take("src", "dst")
	if !ok {
		return either
	}
	other := map[string]string{"src": "dst", "dst": "src"}[first]
	if p.at+1 < len(p.tokens) && p.tokens[p.at+1] == other {
		switch p.next() {
		case "or", "||":
			p.at += 2
			return either
		case "and", "&&":
			p.at += 2
			return both
		}
	}
	if first == "src" {
		return source
	}
	return destination
}

// value reads what the qualifiers are about.
func (p *parser) value(q qualifiers) (f Filter, err error) {
	word := p.next()
	switch q.kind {
	case "host":
		var a netip.Addr
		if a, err = netip.ParseAddr(word); err != nil || a.Zone() != "" {
			return nil, p.want("an IP address")
		}
		f = addresses(q.side, netip.PrefixFrom(a, a.BitLen()))
	case "net":
		var n netip.Prefix
		if n, err = netip.ParsePrefix(word); err != nil {
			return nil, p.want("a network, as 10.0.0.0/8")
		}
		f = addresses(q.side, n)
	default:
		first, last, found := strings.Cut(word, "-")
		if !found {
			last = first
		}
		low, err1 := strconv.ParseUint(first, 10, 16)
		high, err2 := strconv.ParseUint(last, 10, 16)
		if err1 != nil || err2 != nil || found != (q.kind == "portrange") || low > high {
			return nil, p.want(map[string]string{"port": "a port", "portrange": "a range of ports, as 8000-8099"}[q.kind])
		}
		f = ports(q.side, uint16(low), uint16(high))
	}
	p.at++
	if q.proto == "" {
		return f, nil
	}
	return join(protocols[q.proto], true, f), nil
}

// number reads a number up to most.
func (p *parser) number(most int) (int, error) {
	n, err := strconv.ParseUint(p.next(), 0, 32)
	if err != nil || int(n) > most {
		return 0, p.want(fmt.Sprintf("a number up to %d", most))
	}
	p.at++
	return int(n), nil
}

// vlan reads the tag that may follow.
func (p *parser) vlan() (Filter, error) {
	if next := p.next(); next == "" || next[0] < '0' || next[0] > '9' {
		return func(q *packet.Packet, _ []byte) bool { return q.L3 != 0 && q.Tagged() }, nil
	}
	id, err := p.number(4095)
	if err != nil {
		return nil, err
	}
	return tagged(uint16(id)), nil
}

// tcpFlags are the names of pcap-filter(7).
var tcpFlags = map[string]int{
	"tcp-fin": packet.TCPFin, "tcp-syn": packet.TCPSyn, "tcp-rst": packet.TCPRst, "tcp-push": packet.TCPPsh, "tcp-ack": packet.TCPAck, "tcp-urg": 0x20,
}

// flags reads what follows tcp: [tcpflags] & set == value, or != value. Without a set all flags count.
func (p *parser) flags() (Filter, error) {
	for _, t := range [][]string{{"["}, {"tcpflags", "13"}, {"]"}} {
		if _, ok := p.take(t...); !ok {
			return nil, p.want("[tcpflags]")
		}
	}
	mask := 0xff
	if _, ok := p.take("&"); ok {
		var err error
		if mask, err = p.flagSet(); err != nil {
			return nil, err
		}
	}
	op, ok := p.take("==", "=", "!=")
	if !ok {
		return nil, p.want("&, == or !=")
	}
	value, err := p.flagSet()
	if err != nil {
		return nil, err
	}
	return func(q *packet.Packet, _ []byte) bool {
		return q.Key.Proto == packet.ProtoTCP && q.Part != packet.Later && (int(q.TCPFlags)&mask == value) == (op != "!=")
	}, nil
}

// flagSet reads flags by name or number, with | between them, perhaps in parentheses.
func (p *parser) flagSet() (set int, err error) {
	_, open := p.take("(")
	for {
		if bit, ok := tcpFlags[p.next()]; ok {
			set |= bit
			p.at++
		} else if n, err := p.number(255); err == nil {
			set |= n
		} else {
			return 0, p.want("flags, as tcp-syn or (tcp-syn|tcp-ack)")
		}
		if _, more := p.take("|"); !more {
			break
		}
	}
	if _, ok := p.take(")"); open && !ok {
		return 0, p.want("a )")
	}
	return set, nil
}
