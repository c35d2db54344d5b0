package bpf

import (
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
	addresses, services, replies *fakeTable
	change                       func() error
	changed                      func()
	changes                      int
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
	f.addresses, f.services, f.replies = table(), table(), table()
	f.steering = steering{f.addresses, f.services, f.replies, newState()}
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

func listed(in *fakeTable, orders uint32, a netip.Addr, protocol uint8, port uint16) bool {
	for order := range 17 {
		b := steerBlock{Address: ipFrom(a), First: uint16(int(port) >> order << order), Protocol: protocol, Order: uint8(order)}
		if _, ok := in.content[b]; ok && orders>>order&1 == 1 {
			return true
		}
	}
	return false
}

func (f *fakeMaps) serves(a netip.Addr, protocol uint8, port uint16) bool {
	orders := f.address(a).Tcp
	if protocol == UDP {
		orders = f.address(a).Udp
	}
	return listed(f.services, orders, a, protocol, port)
}

func (f *fakeMaps) repliesFrom(a netip.Addr, protocol uint8, port uint16) bool {
	orders := f.address(a).ReplyTcp
	if protocol == UDP {
		orders = f.address(a).ReplyUdp
	}
	return listed(f.replies, orders, a, protocol, port)
}

// content returns all that the maps hold, to compare.
func (f *fakeMaps) content() [3]map[any]any {
	return [3]map[any]any{f.addresses.content, f.services.content, f.replies.content}
}

// applied returns what fresh maps hold once s is applied.
func applied(t *testing.T, s Steering) [3]map[any]any {
	t.Helper()
	fresh := newFakeMaps()
	if err := fresh.apply(s); err != nil {
		t.Fatal(err)
	}
	return fresh.content()
}

// same fails the test if the maps hold anything other than what s gives.
func same(t *testing.T, s Steering, got [3]map[any]any) {
	t.Helper()
	want := applied(t, s)
	if reflect.DeepEqual(got, want) { // quick, where cmp is not
		return
	}
	t.Fatalf("the maps hold other than what %+v gives (-want +got):\n%s", s, cmp.Diff(want, got))
}

// question is one that the program asks of the maps about a packet.
type question struct {
	reply    bool
	address  netip.Addr
	protocol uint8
	port     uint16
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
			near(e.Port)
		}
	}
	var all []question
	for _, a := range addresses() {
		for port := range ports {
			for _, protocol := range []uint8{TCP, UDP} {
				all = append(all, question{false, a, protocol, port}, question{true, a, protocol, port})
			}
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
func (q question) right(s Steering) bool {
	if !q.reply {
		return s.serves(q.address, int(q.protocol), q.port)
	}
	return s.isReply(q.address, oraclePacket{protocol: int(q.protocol), ports: []uint16{q.port}}, 0)
}

func (q question) ask(f *fakeMaps) bool {
	if q.reply {
		return f.repliesFrom(q.address, q.protocol, q.port)
	}
	return f.serves(q.address, q.protocol, q.port)
}
