package control

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/egress"
	"github.com/afxlb/afxlb/internal/packet"
)

func macOf(last byte) [6]byte { return [6]byte{2, 0, 0, 0, 0, last} }

func placeOf(last byte) egress.Place { return egress.Place{MAC: macOf(last)} }

// neighbour is an address on the one interface of these tests.
func neighbour(a string) egress.Neighbour { return egress.Neighbour{Device: 2, Addr: addr(a)} }

// word is the hop word of a place by the first port.
func word(mac [6]byte) uint64 {
	m := packet.MAC(mac)
	return m.Word()
}

var ports = words{balancer.NewLinks()}

// A world of a few neighbours, of which some are routers, and where they were.
type street struct {
	snapshot egress.Snapshot
	moves    []egress.Move
}

// at has a neighbour be at the last of some MAC addresses, and have been at the others.
func (s *street) at(a string, macs ...byte) *street {
	if s.snapshot.Neighbours == nil {
		s.snapshot.Neighbours = map[egress.Neighbour]egress.Place{}
	}
	last := len(macs) - 1
	s.snapshot.Neighbours[neighbour(a)] = placeOf(macs[last])
	for _, m := range macs[:last] {
		s.moves = append(s.moves, egress.Move{Who: neighbour(a), From: placeOf(m)})
	}
	return s
}

// router is at, of one that routes lead by.
func (s *street) router(a string, macs ...byte) *street {
	s.at(a, macs...)
	s.snapshot.Gateways = append(s.snapshot.Gateways, egress.Gateway{
		Neighbour: neighbour(a), IPv4: addr(a).Is4(), IPv6: addr(a).Is6(), Place: placeOf(macs[len(macs)-1]),
	})
	return s
}

func TestTransfers(t *testing.T) {
	const far4, far6, host, other = "203.0.113.7", "2001:db8:ff::7", "10.0.0.7", "10.0.0.8"
	for _, c := range []struct {
		name     string
		street   *street
		client   string
		mac, now byte
	}{
		{"nobody has moved", new(street).router("10.0.0.1", 1), far4, 1, 1},
		{"a router fails over", new(street).router("10.0.0.1", 1, 2), far4, 1, 2},
		{"of IPv6", new(street).router("fe80::1", 1, 2), far6, 1, 2},
		{"replies go elsewhere", new(street).router("10.0.0.1", 1, 2), far4, 9, 9},
		{"twice", new(street).router("10.0.0.1", 1, 2, 3), far4, 1, 3},
		{"twice, learnt in between", new(street).router("10.0.0.1", 1, 2, 3), far4, 2, 3},
		{"there and back", new(street).router("10.0.0.1", 1, 2, 1), far4, 1, 1},
		{"there and back, learnt there", new(street).router("10.0.0.1", 1, 2, 1), far4, 2, 1},
		{"of the other family alone", new(street).router("10.0.0.1", 1, 2).router("fe80::1", 1), far6, 1, 1},
		{"its own other address stays", new(street).router("10.0.0.1", 1, 2).at("10.0.0.2", 1), far4, 1, 2},
		{"another router has the address too", new(street).router("10.0.0.1", 1, 2).router("10.0.0.2", 1), far4, 1, 1},
		{"both move", new(street).router("10.0.0.1", 1, 2).router("10.0.0.2", 1, 2), far4, 1, 2},
		{"both move, elsewhere each", new(street).router("10.0.0.1", 1, 2).router("10.0.0.2", 1, 3), far4, 1, 1},
		{"two routers change places", new(street).router("10.0.0.1", 1, 2).router("10.0.0.2", 2, 1), far4, 1, 1},
		{"a client's network card", new(street).at(host, 1, 2), host, 1, 2},
		{"somebody else's", new(street).at(host, 1, 2).at(other, 3), other, 3, 3},
		{"of one that shares the address", new(street).at(host, 1, 2).at(other, 1), other, 1, 1},
		{"of one that shares a router's", new(street).router("10.0.0.1", 1, 2).at(host, 1), host, 1, 1},
		{"a router that is a client too", new(street).router("10.0.0.1", 1, 2), "10.0.0.1", 1, 2},
		{"a client behind it that is on the link", new(street).router("10.0.0.1", 1, 2).at(host, 5), host, 1, 2},
		{"no route leads by it", new(street).at("10.0.0.1", 1, 2), far4, 1, 2},
		{"no route leads by it, and another is still there", new(street).at("10.0.0.1", 1, 2).at(other, 1), far4, 1, 1},
	} {
		got := newTransfers(c.street.moves, &c.street.snapshot, ports).to(packet.AddrFrom(addr(c.client)), word(macOf(c.mac)))
		if want := word(macOf(c.now)); got != want {
			t.Errorf("%s: replies to %s go to %x, want %x", c.name, c.client, got, want)
		}
	}
}

// Whoever moves: replies go to where they went, or to where one of those is who left it.
// Who is where it was keeps its own, and a client that is on the link and has left gets
// them where it is.
func TestTransfersNeverGuess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := new(street)
		for i := range rapid.IntRange(0, 5).Draw(t, "neighbours") {
			macs := rapid.SliceOfN(rapid.ByteRange(1, 4), 1, 3).Draw(t, "macs")
			if a := fmt.Sprint("10.0.0.", i); rapid.Bool().Draw(t, "router") {
				s.router(a, macs...)
			} else {
				s.at(a, macs...)
			}
		}
		x := newTransfers(s.moves, &s.snapshot, ports)
		client := addr(rapid.SampledFrom([]string{"10.0.0.0", "10.0.0.3", "203.0.113.7"}).Draw(t, "client"))
		mac := macOf(rapid.ByteRange(1, 5).Draw(t, "mac"))
		got := x.to(packet.AddrFrom(client), word(mac))
		home, known := s.snapshot.Neighbours[neighbour(client.String())]
		var heirs []uint64
		for _, m := range s.moves {
			if m.From.MAC == mac {
				heirs = append(heirs, word(s.snapshot.Neighbours[m.Who].MAC))
			}
		}
		switch {
		case got != word(mac) && !slices.Contains(heirs, got):
			t.Fatalf("replies go to %x, where nobody went who was at %x", got, mac)
		case known && home.MAC == mac && got != word(mac):
			t.Fatalf("the client is at %x, and its replies go to %x", mac, got)
		case known && slices.Contains(s.moves, egress.Move{Who: neighbour(client.String()), From: egress.Place{MAC: mac}}) && got != word(home.MAC):
			t.Fatalf("the client has gone to %x, its replies to %x", home.MAC, got)
		}
	})
}
