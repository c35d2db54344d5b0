package bpf

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/cilium/ebpf"
)

// Protocol numbers (IANA) of services and endpoints. There are no others.
const (
	TCP = 6
	UDP = 17
)

// Steering says which packets are the balancer's. The order within a list, and
// whether anything stands there twice, is without meaning.
type Steering struct {
	Services []Service
	Replies  []Endpoint   // the nat backends
	Tunnels  []TunnelEnd  // to backends
	Local    []netip.Addr // the machine's own addresses: backends' packets to these are the kernel's
	Sources  []Source     // of full NAT
	// MACs are those that the machine takes frames for on the first interface, whose own is
	// the first; none: frames are not judged by them. MoreMACs are the same of each
	// further one.
	MACs     [][6]byte
	MoreMACs [][][6]byte
	// Ephemeral are the ports that the kernel gives to the machine's own connections
	// (net.ipv4.ip_local_port_range); the zero value: it is asked for none of them.
	Ephemeral Ports
}

// Ports is a range of ports, both ends included.
type Ports struct{ First, Last uint16 }

// Service is an address and range of ports that clients talk to.
type Service struct {
	Address     netip.Addr
	Protocol    uint8  // TCP or UDP
	First, Last uint16 // both included; 0 and 65535 for any port
}

// Endpoint is where a nat backend listens, and so where its replies come from: the
// ports that the service can be answered from, and none besides.
type Endpoint struct {
	Address     netip.Addr
	Protocol    uint8  // TCP or UDP
	First, Last uint16 // both included; 0 and 65535 for any port
}

// Source is an address that full NAT speaks to backends from. What they send to these ports
// is the balancer's, also if it is an address of the machine's own; but where the kernel
// gives the port to own connections, not what is to one of them.
type Source struct {
	Address     netip.Addr
	First, Last uint16 // both included; of several with one address the hull
}

// TunnelEnd is a backend that packets go to inside of others, and what these are. ICMP errors
// about them are the balancer's, also those to an address of the machine's own.
type TunnelEnd struct {
	Address  netip.Addr
	Protocol uint8  // of the outer IP header
	Port     uint16 // if that is UDP
}

// Apply makes the plan what the program steers by, in place of what was applied
// before; of a program that [Program.Share] has made it is only whom frames have to be
// for, as all else is the first one's to write. It changes only what differs, and adds
// before it removes: at no moment is a packet passed that both the old and the new
// steering steer, or the reverse. The plan's limits must be those that the program was
// loaded with.
//
// An error is the kernel's. Parts of both plans are in force then; Apply may be tried
// again, with this plan or another one.
func (p *Program) Apply(plan *Plan) error {
	var err error
	if p.port == 0 {
		err = p.steering.apply(plan.want)
	} else {
		err = p.steering.setMACs(plan.want.at(p.port))
	}
	if err != nil {
		return fmt.Errorf("apply the steering: %w", err)
	}
	return nil
}

// steering is the one writer of the maps that the program judges by. A program that
// shares another's has only macs, and the own MAC address.
type steering struct {
	addresses, services, replies, macs table

	setOwnMAC func(macWord) error
	have      state // what the maps hold
}

// table is what steering needs of an [ebpf.Map].
type table interface {
	Update(key, value any, flags ebpf.MapUpdateFlags) error
	Delete(key any) error
}

// apply changes the maps from what they hold to want, which is only read. While blocks
// come and go, their addresses say of both the old and the new that they have them.
func (t *steering) apply(want state) error {
	if err := t.setMACs(want.station); err != nil {
		return err
	}
	for ip, a := range want.addresses {
		if err := t.setAddress(ip, union(t.have.addresses[ip], a)); err != nil {
			return err
		}
	}
	for _, kind := range []struct {
		table
		have, want blocks
	}{
		{t.services, t.have.services, want.services},
		{t.replies, t.have.replies, want.replies},
	} {
		if err := addBlocks(kind.table, kind.have, kind.want); err != nil {
			return err
		}
		if err := removeBlocks(kind.table, kind.have, kind.want); err != nil {
			return err
		}
	}
	for ip := range t.have.addresses {
		if err := t.setAddress(ip, want.addresses[ip]); err != nil {
			return err
		}
	}
	return nil
}

// setAddress writes what an address is; one that is nothing leaves the map.
func (t *steering) setAddress(ip steerIp, a steerAddress) error {
	if a == t.have.addresses[ip] {
		return nil
	}
	if a == (steerAddress{}) {
		if err := remove(t.addresses, ip); err != nil {
			return fmt.Errorf("remove the address %s: %w", ip, err)
		}
		delete(t.have.addresses, ip)
		return nil
	}
	if err := t.addresses.Update(ip, a, ebpf.UpdateAny); err != nil {
		return fmt.Errorf("set the address %s: %w", ip, err)
	}
	t.have.addresses[ip] = a
	return nil
}

// addBlocks adds what is missing, the smallest blocks first, and then changes what is
// said of the others: of a port in several blocks the smallest one says it.
func addBlocks(to table, have, want blocks) error {
	var missing, others []steerBlock
	for b, share := range want {
		switch had, ok := have[b]; {
		case !ok:
			missing = append(missing, b)
		case had != share:
			others = append(others, b)
		}
	}
	slices.SortFunc(missing, bySize)
	for _, b := range append(missing, others...) {
		if err := to.Update(b, want[b], ebpf.UpdateAny); err != nil {
			return fmt.Errorf("add %s: %w", b, err)
		}
		have[b] = want[b]
	}
	return nil
}

// removeBlocks removes what is too much, the largest blocks first.
func removeBlocks(from table, have, want blocks) error {
	var old []steerBlock
	for b := range have {
		if _, ok := want[b]; !ok {
			old = append(old, b)
		}
	}
	slices.SortFunc(old, bySize)
	for _, b := range slices.Backward(old) {
		if err := remove(from, b); err != nil {
			return fmt.Errorf("remove %s: %w", b, err)
		}
		delete(have, b)
	}
	return nil
}

func bySize(a, b steerBlock) int { return cmp.Compare(a.Order, b.Order) }

func remove(from table, key any) error {
	if err := from.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return err
	}
	return nil
}
