package bpf

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

// many returns a steering that n changes made.
func many(n int, change func(i int, s *Steering)) Steering {
	var s Steering
	for i := range n {
		change(i, &s)
	}
	return s
}

func nth(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}) }

// TestNewPlanRefuses: what is wrong is named, and what is too many, with how many there
// are and the limit.
func TestNewPlanRefuses(t *testing.T) {
	service := func(i int, s *Steering) {
		s.Services = append(s.Services, Service{ip(vip4), TCP, uint16(2 * i), uint16(2 * i)})
	}
	backend := func(i int, s *Steering) {
		s.Replies = append(s.Replies, Endpoint{ip(vip4), TCP, uint16(i + 1), uint16(i + 1)})
	}
	local := func(i int, s *Steering) { s.Local = append(s.Local, nth(i)) }
	mac := func(i int, s *Steering) { s.MACs = append(s.MACs, [6]byte{2, 0, 0, 0, byte(i >> 8), byte(i)}) }
	ranges := func(i int, s *Steering) { s.Services = append(s.Services, Service{nth(i), TCP, 1, 65534}) }
	for name, c := range map[string]struct {
		s    Steering
		full bool
		want string
	}{
		"no address":         {Steering{Services: []Service{{Protocol: TCP}}}, false, "service without an address"},
		"no backend address": {Steering{Replies: []Endpoint{{Protocol: TCP}}}, false, "backend without an address"},
		"no local address":   {Steering{Local: []netip.Addr{{}}}, false, "local address"},
		"protocol":           {Steering{Services: []Service{{ip(vip4), 132, 1, 1}}}, false, "service 192.0.2.10: protocol 132"},
		"backend protocol":   {Steering{Replies: []Endpoint{{ip(vip4), 0, 1, 1}}}, false, "backend 192.0.2.10: protocol 0"},
		"ports":              {Steering{Services: []Service{{ip(vip4), TCP, 2, 1}}}, false, "2 to 1"},
		"backend ports":      {Steering{Replies: []Endpoint{{ip(vip4), TCP, 2, 1}}}, false, "backend 192.0.2.10: its ports 2 to 1"},
		"no source":          {Steering{Sources: []Source{{First: 1, Last: 2}}}, false, "source without an address"},
		"source ports":       {Steering{Sources: []Source{{ip(own4), 2, 1}}}, false, "2 to 1 are no ports"},
		"source port 0":      {Steering{Sources: []Source{{ip(own4), 0, 1}}}, false, "0 to 1 are no ports"},
		"no MAC":             {Steering{MACs: [][6]byte{{}}}, false, "own MAC address 00:00:00:00:00:00"},
		"group's MAC":        {Steering{MACs: [][6]byte{ownMAC, groupMAC}}, false, "own MAC address 03:00:00:00:00:01"},
		"MACs":               {many(1025, mac), true, "1025 MAC addresses of this machine: over the limit of 1024"},
		"addresses":          {many(21, local), true, "21 addresses of services, nat backends and this machine: over the limit of 20"},
		"services":           {many(101, service), true, "101 port blocks of services (a range of ports has up to 30): over the limit of 100"},
		"ranges":             {many(4, ranges), true, "120 port blocks of services (a range of ports has up to 30): over the limit of 100"},
		"backends":           {many(101, backend), true, "101 port blocks of nat backends (a range of ports has up to 30): over the limit of 100"},
		"enough":             {many(100, backend), false, ""},
	} {
		p, err := NewPlan(c.s, Limits{Addresses: 20, Ports: 100})
		if (err == nil) != (c.want == "") || (p == nil) != (err != nil) {
			t.Errorf("%s: plan %v, error %v", name, p != nil, err)
		}
		if err != nil && (!strings.Contains(err.Error(), c.want) || errors.Is(err, ErrFull) != c.full) {
			t.Errorf("%s: %v; want one with %q, ErrFull %v", name, err, c.want, c.full)
		}
	}
}

// TestPlanNeverChanges: whatever is applied after or before it, to whom.
func TestPlanNeverChanges(t *testing.T) {
	r := random(t)
	a, b := newFakeMaps(), newFakeMaps()
	for range 50 {
		s := randomSteering(r)
		p := plan(t, s)
		for _, f := range []*fakeMaps{a, b} {
			if err := f.steering.apply(p.want); err != nil {
				t.Fatal(err)
			}
			same(t, s, f.content())
		}
		if err := a.apply(randomSteering(r)); err != nil {
			t.Fatal(err)
		}
		if again := plan(t, s); !reflect.DeepEqual(p, again) {
			t.Fatalf("the plan for %+v became another", s)
		}
	}
}

// TestZeroPlan: it steers nothing, and takes away what was steered.
func TestZeroPlan(t *testing.T) {
	f := newFakeMaps()
	for range 2 {
		if err := f.steering.apply((&Plan{}).want); err != nil {
			t.Fatal(err)
		}
		same(t, Steering{}, f.content())
		if err := f.apply(testSteering()); err != nil {
			t.Fatal(err)
		}
	}
}
