package control

import (
	"net/netip"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/egress"
	"github.com/afxlb/afxlb/internal/packet"
)

// What tables are told of the world: an MTU is a way's own only where it is less than its
// port's, and routers are known by where their frames come from.
func TestWorld(t *testing.T) {
	tagged := egress.Link{Port: 1, Tags: packet.Tags{packet.NewTag(7)}}
	o := observed{snapshot: egress.Snapshot{
		Ports: []egress.Port{{Name: "eth0", MAC: macOf(1), MTU: 1500}, {Name: "eth1", MAC: macOf(2), MTU: 9000, Standby: true}},
		Gateways: []egress.Gateway{
			{Neighbour: neighbour("10.0.0.254")}, {Neighbour: neighbour("10.0.0.253"), Place: egress.Place{MAC: macOf(9), Link: tagged}},
		},
		Ways: map[netip.Addr][]egress.Hop{addr("203.0.113.1"): {
			{Known: true, MAC: macOf(3), MTU: 1500, Weight: 2}, {Known: true, MAC: macOf(4), Link: tagged, MTU: 9000, Weight: 1}, {MAC: macOf(5)},
		}},
	}}
	if got, want := o.ports(), []balancer.Port{{MAC: macOf(1), MTU: 1500}, {MAC: macOf(2), MTU: 9000, Standby: true}}; !reflect.DeepEqual(got, want) {
		t.Errorf("ports %+v, want %+v", got, want)
	}
	for mtu, want := range map[int]uint16{9000: 0, 1400: 1400} {
		h := egress.Hop{OnLink: true, MAC: macOf(3), Source: macOf(8), Link: tagged, MTU: mtu}
		next := balancer.NextHop{MAC: macOf(3), OnLink: true, Source: macOf(8), Link: balancer.Link{Port: 1, Tags: tagged.Tags, MTU: want}}
		if got := o.nextHop(&h); got != next {
			t.Errorf("MTU %d: %+v, want %+v", mtu, got, next)
		}
	}
	if got, want := o.gateways(), []balancer.Station{{MAC: macOf(9), Link: balancer.Link{Port: 1, Tags: tagged.Tags}}}; !reflect.DeepEqual(got, want) {
		t.Errorf("gateways %+v, want %+v", got, want)
	}
	got, want := o.ways(addr("203.0.113.1")), []balancer.Way{
		{NextHop: balancer.NextHop{MAC: macOf(3)}, Weight: 2}, {NextHop: balancer.NextHop{MAC: macOf(4), Link: balancer.Link{Port: 1, Tags: tagged.Tags}}, Weight: 1},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("ways %+v, want %+v", got, want)
	}
}

// What the user names is the way, whatever the kernel's route has.
func TestStaticHopBeforeWays(t *testing.T) {
	a := addr("203.0.113.1")
	ways := []egress.Hop{{Known: true, MAC: macOf(3), Weight: 1}, {Known: true, MAC: macOf(4), Weight: 1}}
	o := observed{link: link{up: true}, snapshot: egress.Snapshot{
		Ports: []egress.Port{{Name: "eth0", Up: true}}, Hops: map[netip.Addr]egress.Hop{a: ways[0]}, Ways: map[netip.Addr][]egress.Hop{a: ways},
	}}
	spec := webSpec()
	for named, want := range map[bool]int{true: 0, false: 2} {
		g := &group{spec: &spec.Services[0]}
		if named {
			g.static = map[netip.Addr]balancer.StaticHop{a: {MAC: macOf(9)}}
		}
		w := o.way(&check{group: g, key: balancer.BackendKey{Address: a}}, time.Now())
		if !w.known || len(w.several) != want || named != (w.hop.MAC == macOf(9)) {
			t.Errorf("named: %t; %+v, want %d ways", named, w, want)
		}
	}
}

// A bond that turns to another slave takes all that are behind it along: backends, and the
// replies to clients whose routers are there.
func TestSlaveFailsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		w.snapshot.Ports = append(w.snapshot.Ports, egress.Port{Name: "eth1", Ifindex: 3, Up: true, MAC: macOf(10), MTU: 1500})
		at := func(port uint8) egress.Place { return egress.Place{MAC: macOf(9), Link: egress.Link{Port: port}} }
		router := neighbour("10.0.0.254")
		behind := func(s *egress.Snapshot, port uint8) {
			s.Gateways = []egress.Gateway{{Neighbour: router, IPv4: true, Place: at(port)}}
			s.Neighbours = map[egress.Neighbour]egress.Place{router: at(port)}
			for a, h := range s.Hops {
				h.Link.Port = port
				s.Hops[a] = h
			}
		}
		behind(&w.snapshot, 0)
		r := start(t, w, webSpec())
		after(time.Second)
		words := words{r.kernel.table().Links}
		r.kernel.flows = map[netip.Addr]uint64{addr("203.0.113.7"): words.of(at(0))}
		w.change(func(s *egress.Snapshot) {
			s.Ports = []egress.Port{s.Ports[0], s.Ports[1]}
			s.Ports[0].Up, s.Ports[0].Why = false, "no carrier"
			behind(s, 1)
			w.moves = []egress.Move{{Who: router, From: at(0)}}
		})
		after(time.Second)
		table := r.kernel.table()
		if got := r.kernel.replies("203.0.113.7"); got != words.of(at(1)) || !table.IsGateway(got) {
			t.Errorf("replies go to %x, the router is at %x", got, words.of(at(1)))
		}
		for _, id := range table.Services[0].Backends {
			if link := table.Links.At(balancer.HopLink(table.Backends[id].Next)); link.Port != 1 {
				t.Errorf("backend %d is behind port %d", id, link.Port)
			}
		}
		if n := r.logged("a port is down; what is behind it is reached by others, or not at all"); n != 1 {
			t.Errorf("told %d times of the port", n)
		}
		r.expect("by the other slave", map[string]string{"web/a": "up", "web/b": "up"})
	})
}
