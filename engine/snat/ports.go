package snat

// Ports are the ports that may be lent, in the order of their use. They never change once
// made.
type Ports struct {
	spans [3]span
	n     int // of all spans
}

type span struct {
	first uint16
	n     int
}

// Range is a range of ports, both ends included; the zero value has none that counts.
type Range struct{ First, Last uint16 }

// NewPorts returns the ports of a range. Those that the kernel gives to connections of the
// machine's own (net.ipv4.ip_local_port_range) come last: where the address is the
// machine's too, both want them.
func NewPorts(r, ephemeral Range) *Ports {
	p := new(Ports)
	low, high := max(r.First, ephemeral.First), min(r.Last, ephemeral.Last)
	if ephemeral == (Range{}) || low > high {
		p.add(0, int(r.First), int(r.Last))
		return p
	}
	p.add(0, int(r.First), int(low)-1)
	p.add(1, int(high)+1, int(r.Last))
	p.add(2, int(low), int(high))
	return p
}

func (p *Ports) add(i, first, last int) {
	if n := last - first + 1; n > 0 {
		p.spans[i] = span{uint16(first), n}
		p.n += n
	}
}

// Len returns how many ports there are.
func (p *Ports) Len() int { return p.n }

// at returns the i-th port, and how many follow it in a row.
func (p *Ports) at(i int) (port uint16, more int) {
	for s := range p.spans {
		if n := p.spans[s].n; i < n {
			return p.spans[s].first + uint16(i), n - i - 1
		} else {
			i -= n
		}
	}
	panic("snat: no such port")
}
