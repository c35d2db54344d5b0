package egress

import (
	"fmt"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"pgregory.net/rapid"
)

// A bond's slaves have numbers as long as they are its slaves, whoever comes and goes beside
// them.
func TestSlavesComeAndGo(t *testing.T) {
	b := func(mode netlink.BondMode, active int) netlink.Link { return bond(9, mode, active) }
	type port struct {
		name    string
		ifindex int
	}
	var was []Port
	for _, c := range []struct {
		what  string
		links []netlink.Link
		want  []port
		sends []int
		why   string // the link is away
	}{
		{"two slaves", these(card(2, 9), card(3, 9), card(4, 0), b(0, 0)), []port{{"eth0", 2}, {"eth1", 3}}, []int{0, 1}, ""},
		{"one more", these(card(2, 9), card(3, 9), card(4, 9), b(0, 0)), []port{{"eth0", 2}, {"eth1", 3}, {"eth2", 4}}, []int{0, 1, 2}, ""},
		{"the first leaves", these(card(2, 0), card(3, 9), card(4, 9), b(0, 0)), []port{{}, {"eth1", 3}, {"eth2", 4}}, []int{1, 2}, ""},
		{"another one comes", these(card(3, 9), card(4, 9), card(5, 9), b(0, 0)), []port{{"eth3", 5}, {"eth1", 3}, {"eth2", 4}}, []int{0, 1, 2}, ""},
		{"one is active", these(card(3, 9), card(4, 9), card(5, 9), b(netlink.BOND_MODE_ACTIVE_BACKUP, 4)), []port{{"eth3", 5}, {"eth1", 3}, {"eth2", 4}}, []int{2}, ""},
		{"the last leaves", these(card(3, 0), card(4, 0), b(0, 0)), []port{{"bond9", 0}, {}, {}}, nil, "it is a bond without slaves"},
		{"the bond goes", these(card(3, 0)), []port{{"bond9", 0}, {}, {}}, nil, "the interface is not there"},
		{"all is back", these(card(2, 9), card(3, 9), b(0, 0)), []port{{"eth0", 2}, {"eth1", 3}, {}}, []int{0, 1}, ""},
	} {
		r := unread([]string{"bond9"}, nil)
		r.Ports = was
		if err := readLinks(links{list: c.links}, r); err != nil {
			t.Fatal(err)
		}
		var got []port
		for _, p := range r.Ports {
			got = append(got, port{p.Name, p.Ifindex})
		}
		if !slices.Equal(got, c.want) || r.LinkUp != (c.why == "") || r.LinkWhy != c.why {
			t.Errorf("%s: %v, up %v %q; want %v, %q", c.what, got, r.LinkUp, r.LinkWhy, c.want, c.why)
		}
		var sends []int
		if len(r.Bonds) == 1 {
			sends = r.Bonds[0].Ports
		}
		if !slices.Equal(sends, c.sends) {
			t.Errorf("%s: sends by %v, want %v", c.what, sends, c.sends)
		}
		was = r.Ports
	}
}

// Frames to one MAC address leave by the same slave whoever asks.
func TestExit(t *testing.T) {
	list := these(card(2, 9), card(3, 9), bond(9, netlink.BOND_MODE_BALANCE_XOR, 0))
	for name, unserved := range map[string]int{"all": 0, "but one": 3} {
		r := unread([]string{"bond9"}, nil)
		if err := readLinks(links{list: list}, r); err != nil {
			t.Fatal(err)
		}
		if unserved != 0 {
			r.Ports = []Port{{Name: "eth0", Ifindex: 2}}
			r.tree = newTree(list, r.Ports)
			r.Bonds = r.tree.bonds(r.Named, list)
		}
		for i := range 64 {
			mac := [6]byte{2, 0, 0, 0, 1, byte(i)}
			port, why, ok := r.Exit("bond9", mac)
			if want := r.tree.down(9, mac); !ok || why != "" || !want.known || port != int(want.link.Port) {
				t.Fatalf("%s: to %x by %d, %q, %v; want %+v", name, mac, port, why, ok, want)
			}
		}
	}
	s := Snapshot{Bonds: []Bond{{Name: "bond9", Why: "no slave of bond9 is up"}}}
	if _, why, ok := s.Exit("bond9", them); why == "" || !ok {
		t.Error("by a bond that has no slaves")
	}
	if _, _, ok := s.Exit("eth0", them); ok {
		t.Error("by what is no bond")
	}
}

// Whoever is among the names before and after keeps his seat, and nobody has two.
func TestSeat(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var seats []string
		for range 20 {
			var names []string
			for i := range 12 {
				if rapid.Bool().Draw(t, "is there") {
					names = append(names, fmt.Sprint("eth", i))
				}
			}
			now, left := Seat(seats, names)
			if len(now) > MaxPorts || len(now) < len(seats) || len(left) != max(0, len(names)-MaxPorts) {
				t.Fatalf("%d seats of %d before, %d names left of %d", len(now), len(seats), len(left), len(names))
			}
			for _, name := range names {
				was, is := slices.Index(seats, name), slices.Index(now, name)
				if was >= 0 && is != was || (is < 0) != slices.Contains(left, name) {
					t.Fatalf("%s had %d and has %d; left are %v", name, was, is, left)
				}
			}
			for i, name := range now {
				if name != "" && (slices.Index(now, name) != i || !slices.Contains(names, name)) {
					t.Fatalf("%s has %d: %v", name, i, now)
				}
			}
			seats = now
		}
	})
}
