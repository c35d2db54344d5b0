package bpf

import (
	"errors"
	"fmt"
	"net/netip"

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
	Local    []netip.Addr // the machine's own addresses: backends' packets to these are the kernel's
}

// Service is an address and range of ports that clients talk to.
type Service struct {
	Address     netip.Addr
	Protocol    uint8  // TCP or UDP
	First, Last uint16 // both included; 0 and 65535 for any port
}

// Endpoint is where a nat backend listens, and so where its replies come from.
type Endpoint struct {
	Address  netip.Addr
	Protocol uint8  // TCP or UDP
	Port     uint16 // 0 for any port
}

// Apply makes the plan what the program steers by, in place of what was applied
// before. It changes only what differs, and adds before it removes: at no moment is a
// packet passed that both the old and the new steering steer, or the reverse. The
// plan's limits must be those that the program was loaded with.
//
// An error is the kernel's. Parts of both plans are in force then; Apply may be tried
// again, with this plan or another one.
func (p *Program) Apply(plan *Plan) error {
	if err := p.steering.apply(plan.want); err != nil {
		return fmt.Errorf("apply the steering: %w", err)
	}
	return nil
}

// steering is the one writer of the maps that the program judges by.
type steering struct {
	addresses, services, replies table
	have                         state // what the maps hold
}

// table is what steering needs of an [ebpf.Map].
type table interface {
	Update(key, value any, flags ebpf.MapUpdateFlags) error
	Delete(key any) error
}

// apply changes the maps from what they hold to want, which is only read.
func (t *steering) apply(want state) error {
	if err := addBlocks(t.services, t.have.services, want.services); err != nil {
		return err
	}
	if err := addBlocks(t.replies, t.have.replies, want.replies); err != nil {
		return err
	}
	for ip, a := range want.addresses {
		if err := t.setAddress(ip, union(t.have.addresses[ip], a)); err != nil {
			return err
		}
	}
	for ip := range t.have.addresses {
		if err := t.setAddress(ip, want.addresses[ip]); err != nil {
			return err
		}
	}
	if err := removeBlocks(t.services, t.have.services, want.services); err != nil {
		return err
	}
	return removeBlocks(t.replies, t.have.replies, want.replies)
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

func addBlocks(to table, have, want blocks) error {
	for b := range want {
		if _, ok := have[b]; ok {
			continue
		}
		if err := to.Update(b, uint8(1), ebpf.UpdateAny); err != nil {
			return fmt.Errorf("add %s: %w", b, err)
		}
		have[b] = struct{}{}
	}
	return nil
}

func removeBlocks(from table, have, want blocks) error {
	for b := range have {
		if _, ok := want[b]; ok {
			continue
		}
		if err := remove(from, b); err != nil {
			return fmt.Errorf("remove %s: %w", b, err)
		}
		delete(have, b)
	}
	return nil
}

func remove(from table, key any) error {
	if err := from.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return err
	}
	return nil
}
