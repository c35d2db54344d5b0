package bpf

import (
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
)

// state is what the program's maps hold, or are to hold. Reading the zero value is
// fine.
type state struct {
	addresses map[steerIp]steerAddress
	services  blocks
	replies   blocks
	station   // of the first interface
	further   []station
}

// blocks are blocks of 2^order ports each, as steer.bpf.c describes them, and what is
// said of each: of a service's its share, of a backend's nothing.
type blocks map[steerBlock]uint8

const (
	shareNone      = uint8(steerShareSHARE_NONE)
	shareConnected = uint8(steerShareSHARE_CONNECTED)
	shareBound     = uint8(steerShareSHARE_BOUND)
)

// anyPort is the order of the one block that has all ports, and tunnelEnd that of those that
// are the ends of tunnels.
const anyPort, tunnelEnd = 16, 17

func newState() state {
	return state{addresses: map[steerIp]steerAddress{}, services: blocks{}, replies: blocks{}, station: newStation()}
}

// compile checks s and returns it as the maps say it.
func compile(s Steering) (state, error) {
	want := newState()
	local := make(map[steerIp]bool, len(s.Local))
	for _, l := range s.Local {
		if !l.IsValid() {
			return state{}, fmt.Errorf("local address: none given")
		}
		local[ipFrom(l)] = true
		want.addresses[ipFrom(l)] = steerAddress{Local: 1}
	}
	for _, v := range s.Services {
		if err := check("service", v.Address, v.Protocol); err != nil {
			return state{}, err
		}
		if v.First > v.Last {
			return state{}, fmt.Errorf("service %s: its ports %d to %d are the wrong way round", v.Address, v.First, v.Last)
		}
		a := want.addresses[ipFrom(v.Address)]
		orders := &a.Tcp
		if v.Protocol == UDP {
			orders = &a.Udp
		}
		share := shareNone
		if local[ipFrom(v.Address)] {
			share = s.share(v)
		}
		*orders |= want.services.add(v.Address, v.Protocol, v.First, v.Last, share)
		want.addresses[ipFrom(v.Address)] = a
	}
	for _, e := range s.Replies {
		if err := check("backend", e.Address, e.Protocol); err != nil {
			return state{}, err
		}
		if e.First > e.Last {
			return state{}, fmt.Errorf("backend %s: its ports %d to %d are the wrong way round", e.Address, e.First, e.Last)
		}
		a := want.addresses[ipFrom(e.Address)]
		orders := &a.ReplyTcp
		if e.Protocol == UDP {
			orders = &a.ReplyUdp
		}
		*orders |= want.replies.add(e.Address, e.Protocol, e.First, e.Last, shareNone)
		want.addresses[ipFrom(e.Address)] = a
	}
	for _, o := range s.Sources {
		if !o.Address.IsValid() {
			return state{}, errors.New("source without an address")
		}
		if o.First > o.Last || o.First == 0 {
			return state{}, fmt.Errorf("source %s: %d to %d are no ports", o.Address, o.First, o.Last)
		}
		if !local[ipFrom(o.Address)] {
			continue // what is to nobody here is steered anyway
		}
		a := want.addresses[ipFrom(o.Address)]
		a.Snat = hull(a.Snat, steerRange{First: o.First, Last: o.Last})
		a.Ephemeral = steerRange{First: s.Ephemeral.First, Last: s.Ephemeral.Last}
		want.addresses[ipFrom(o.Address)] = a
	}
	for _, e := range s.Tunnels {
		if !e.Address.IsValid() {
			return state{}, errors.New("tunnel: no address given")
		}
		want.replies[steerBlock{Address: ipFrom(e.Address), First: e.Port, Protocol: e.Protocol, Order: tunnelEnd}] = 0
	}
	if err := want.addMACs(s.MACs); err != nil {
		return state{}, err
	}
	for _, macs := range s.MoreMACs {
		further := newStation()
		if err := further.addMACs(macs); err != nil {
			return state{}, err
		}
		want.further = append(want.further, further)
	}
	return want, nil
}

// share returns what of this machine's own sockets may have a port of the service, which
// is on one of its addresses.
func (s *Steering) share(v Service) uint8 {
	switch {
	case v.First != v.Last:
		return shareBound
	case s.Ephemeral.First <= v.First && v.First <= s.Ephemeral.Last:
		return shareConnected
	default:
		return shareNone
	}
}

func check(what string, address netip.Addr, protocol uint8) error {
	if !address.IsValid() {
		return fmt.Errorf("%s without an address", what)
	}
	if protocol != TCP && protocol != UDP {
		return fmt.Errorf("%s %s: protocol %d is neither TCP (6) nor UDP (17)", what, address, protocol)
	}
	return nil
}

// add adds the ports first to last in the fewest blocks, with what is said of them, and
// returns their orders as a bit set. Of a single port that a range has too, what is said
// of it alone counts.
func (s blocks) add(address netip.Addr, protocol uint8, first, last uint16, share uint8) (orders uint32) {
	for at, end := uint32(first), uint32(last)+1; at < end; {
		// As large as the alignment of its first port and what is left allow.
		order := min(bits.TrailingZeros32(at|1<<anyPort), bits.Len32(end-at)-1)
		b := steerBlock{Address: ipFrom(address), First: uint16(at), Protocol: protocol, Order: uint8(order)}
		if _, there := s[b]; !there || first == last {
			s[b] = share
		}
		orders |= 1 << order
		at += 1 << order
	}
	return orders
}

// union is what either of a and b is.
func union(a, b steerAddress) steerAddress {
	a.Tcp |= b.Tcp
	a.Udp |= b.Udp
	a.ReplyTcp |= b.ReplyTcp
	a.ReplyUdp |= b.ReplyUdp
	a.Local |= b.Local
	a.Snat, a.Ephemeral = hull(a.Snat, b.Snat), hull(a.Ephemeral, b.Ephemeral)
	return a
}

// hull is the ports of a and b, and those between them.
func hull(a, b steerRange) steerRange {
	switch {
	case a.Last == 0:
		return b
	case b.Last == 0:
		return a
	}
	return steerRange{First: min(a.First, b.First), Last: max(a.Last, b.Last)}
}

func ipFrom(a netip.Addr) steerIp { return steerIp{Byte: a.As16()} }

// String returns the address as people write it.
func (ip steerIp) String() string { return netip.AddrFrom16(ip.Byte).Unmap().String() }

// String returns the block as address, protocol and ports.
func (b steerBlock) String() string {
	return fmt.Sprintf("%s protocol %d ports %d to %d", b.Address, b.Protocol, b.First, uint32(b.First)+1<<b.Order-1)
}
