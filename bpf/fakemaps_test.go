package bpf

import (
	"encoding/binary"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
)

// fakeTable is a map in memory that tells of every change, and may refuse it.
type fakeTable struct {
	content map[any]any
	change  func() error // before each
	changed func()       // after each
}

func (f *fakeTable) Update(key, value any, _ ebpf.MapUpdateFlags) error {
	if err := f.change(); err != nil {
		return err
	}
	f.content[key] = value
	f.changed()
	return nil
}

func (f *fakeTable) Delete(key any) error {
	if err := f.change(); err != nil {
		return err
	}
	if _, ok := f.content[key]; !ok {
		return ebpf.ErrKeyNotExist
	}
	delete(f.content, key)
	f.changed()
	return nil
}

// fakeMaps is a steering over fakes, and a reader of them that goes by what
// steer.bpf.c says about its maps.
type fakeMaps struct {
	steering
	addresses, services, replies, macs *fakeTable

	ownMAC  macWord
	change  func() error
	changed func()
	changes int
}

func newFakeMaps() *fakeMaps {
	f := &fakeMaps{change: func() error { return nil }, changed: func() {}}
	table := func() *fakeTable {
		return &fakeTable{
			content: map[any]any{},
			change:  func() error { return f.change() },
			changed: func() { f.changes++; f.changed() },
		}
	}
	f.addresses, f.services, f.replies, f.macs = table(), table(), table(), table()
	f.steering = steering{
		addresses: f.addresses, services: f.services, replies: f.replies, macs: f.macs, have: newState(),
		setOwnMAC: func(m macWord) error {
			if err := f.change(); err != nil {
				return err
			}
			f.ownMAC = m
			f.changes++
			f.changed()
			return nil
		},
	}
	return f
}

// apply is what [Program.Apply] does.
func (f *fakeMaps) apply(s Steering) error {
	plan, err := NewPlan(s, Limits{1000, 1000})
	if err != nil {
		return err
	}
	return f.steering.apply(plan.want)
}

func (f *fakeMaps) address(a netip.Addr) steerAddress {
	found, _ := f.addresses.content[ipFrom(a)].(steerAddress)
	return found
}

// listed returns what is said of the port in the smallest block that has it; -1: none.
func listed(in *fakeTable, orders uint32, a netip.Addr, protocol uint8, port uint16) int {
	for order := range 17 {
		b := steerBlock{Address: ipFrom(a), First: uint16(int(port) >> order << order), Protocol: protocol, Order: uint8(order)}
		if said, ok := in.content[b]; ok && orders>>order&1 == 1 {
			return int(said.(uint8))
		}
	}
	return -1
}

func (f *fakeMaps) serves(a netip.Addr, protocol uint8, port uint16) int {
	orders := f.address(a).Tcp
	if protocol == UDP {
		orders = f.address(a).Udp
	}
	return listed(f.services, orders, a, protocol, port)
}

func (f *fakeMaps) repliesFrom(a netip.Addr, protocol uint8, port uint16) int {
	orders := f.address(a).ReplyTcp
	if protocol == UDP {
		orders = f.address(a).ReplyUdp
	}
	return listed(f.replies, orders, a, protocol, port)
}

// takes answers 0 if frames for the MAC address are taken, else -1.
func (f *fakeMaps) takes(m macWord) int {
	if _, ok := f.macs.content[m]; ok || f.ownMAC == 0 || f.ownMAC == m {
		return 0
	}
	return -1
}

// contents is all that the maps hold, to compare.
type contents struct {
	Addresses, Services, Replies, MACs map[any]any
	OwnMAC                             macWord
}

func (f *fakeMaps) content() contents {
	return contents{f.addresses.content, f.services.content, f.replies.content, f.macs.content, f.ownMAC}
}

// applied returns what fresh maps hold once s is applied.
func applied(t *testing.T, s Steering) contents {
	t.Helper()
	fresh := newFakeMaps()
	if err := fresh.apply(s); err != nil {
		t.Fatal(err)
	}
	return fresh.content()
}

// same fails the test if the maps hold anything other than what s gives.
func same(t *testing.T, s Steering, got contents) {
	t.Helper()
	want := applied(t, s)
	if reflect.DeepEqual(got, want) { // quick, where cmp is not
		return
	}
	t.Fatalf("the maps hold other than what %+v gives (-want +got):\n%s", s, cmp.Diff(want, got))
}

// question is one that the program asks of the maps about a packet. The answer is -1
// for no, or what is said of a port.
type question struct {
	about    string // service, reply or mac
	address  netip.Addr
	protocol uint8
	port     uint16
	mac      [6]byte
}

// questions returns those that the steerings are about: the edges of what they
// list, at every address of the pools.
func questions(steerings ...Steering) []question {
	ports := map[uint16]bool{0: true, 65535: true, 8050: true}
	near := func(p uint16) { ports[p-1], ports[p], ports[p+1] = true, true, true }
	for _, s := range steerings {
		for _, v := range s.Services {
			near(v.First)
			near(v.Last)
		}
		for _, e := range s.Replies {
			near(e.First)
			near(e.Last)
		}
	}
	var all []question
	for _, a := range addresses() {
		for port := range ports {
			for _, protocol := range []uint8{TCP, UDP} {
				all = append(all, question{about: "service", address: a, protocol: protocol, port: port},
					question{about: "reply", address: a, protocol: protocol, port: port})
			}
		}
	}
	for range len(all) / 10 { // or they would be hardly ever asked
		for _, m := range poolMACs {
			all = append(all, question{about: "mac", mac: m})
		}
	}
	return all
}

// addresses returns those of the pools, but for the one that is another's alias.
func addresses() (all []netip.Addr) {
	for _, a := range slices.Concat(pools...) {
		if !ip(a).Is4In6() {
			all = append(all, ip(a))
		}
	}
	return all
}

// right answers a question from a steering itself.
func (q question) right(s Steering) int {
	yes := false
	switch q.about {
	case "service":
		return s.shareOf(q.address, int(q.protocol), q.port)
	case "reply":
		yes = s.isReply(q.address, oraclePacket{protocol: int(q.protocol), ports: []uint16{q.port}}, 0)
	case "mac":
		yes = len(s.MACs) == 0 || slices.Contains(s.MACs, q.mac)
	}
	if yes {
		return 0
	}
	return -1
}

func (q question) ask(f *fakeMaps) int {
	switch q.about {
	case "service":
		return f.serves(q.address, q.protocol, q.port)
	case "reply":
		return f.repliesFrom(q.address, q.protocol, q.port)
	}
	var b [8]byte
	copy(b[:], q.mac[:])
	return f.takes(macWord(binary.LittleEndian.Uint64(b[:])))
}
