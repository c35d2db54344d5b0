package egress

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/afxlb/afxlb/internal/lab"
)

// on is an address on the interface of a fake, and place where a MAC address is there.
func on(a netip.Addr) Neighbour { return Neighbour{served, a} }

func place(mac byte) Place { return Place{MAC: [6]byte{mac}} }

// Over any course of readings: the memory has the last MAC address that each neighbour
// had, a move is told for each that has changed and for no other, and what was published
// stays as it was.
func TestRememberAgainstOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var known map[Neighbour]Place
		oracle := map[Neighbour]Place{}
		for range rapid.IntRange(1, 8).Draw(t, "readings") {
			is := rapid.MapOf(rapid.Custom(func(t *rapid.T) Neighbour {
				return Neighbour{rapid.IntRange(2, 3).Draw(t, "device"), netip.AddrFrom4([4]byte{10, 0, 0, rapid.ByteMax(5).Draw(t, "host")})}
			}), rapid.Custom(func(t *rapid.T) Place {
				return Place{[6]byte{2, 5: rapid.ByteMax(3).Draw(t, "mac")}, Link{Port: rapid.ByteMax(1).Draw(t, "port")}}
			})).Draw(t, "neighbours")
			before, was := known, maps.Clone(known)
			var moves []Move
			known, moves = remember(known, is)
			want := map[Move]bool{}
			for a, mac := range is {
				if old, had := oracle[a]; had && old != mac {
					want[Move{a, old}] = true
				}
				oracle[a] = mac
			}
			for _, m := range moves {
				if !want[m] {
					t.Fatalf("%v has not moved, or is told twice", m)
				}
				delete(want, m)
			}
			if len(want) > 0 || !maps.Equal(known, oracle) || !maps.Equal(before, was) {
				t.Fatalf("known %v, want %v; not told: %v; what was published is %v, was %v", known, oracle, want, before, was)
			}
		}
	})
}

// What is remembered and what waits is bounded.
func TestBoundsOfMoves(t *testing.T) {
	at := func(i int) Neighbour {
		return Neighbour{served, netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})}
	}
	was, is := map[Neighbour]Place{}, map[Neighbour]Place{}
	for i := range maxNeighbours {
		was[at(i)] = place(1)
	}
	is[at(0)], is[at(maxNeighbours)] = place(2), place(3)
	if known, moves := remember(was, is); !maps.Equal(known, is) || !slices.Equal(moves, []Move{{at(0), place(1)}}) {
		t.Errorf("beyond the bound %d are known, and %v have moved", len(known), moves)
	}
	w, left := &Watcher{moves: map[Move]struct{}{}}, 0
	for i := range maxMoves + 1 {
		left += w.note([]Move{{at(i), place(1)}, {at(0), place(1)}})
	}
	if left != 1 {
		t.Errorf("%d are left out, want 1", left)
	}
	if moves := w.Moves(); len(moves) != maxMoves || len(w.Moves()) != 0 {
		t.Errorf("%d moves wait, want %d, and none after they were taken", len(moves), maxMoves)
	}
}

// A neighbour that nobody has asked for is followed too: a client with another network
// card, that says so itself, by ARP and by neighbour discovery.
func TestMoveOfAnybody(t *testing.T) {
	w := watch(t)
	link := w.Snapshot().Ports[0].Ifindex
	c := w.lab.Clients[0]
	old := mac(t, c)
	for i, a := range []netip.Addr{lab.ClientAddr(0), lab.ClientAddr6(0)} {
		n := &netlink.Neigh{LinkIndex: link, State: unix.NUD_REACHABLE, IP: a.AsSlice(), HardwareAddr: old[:]}
		if err := w.lab.Balancer.Netlink().NeighSet(n); err != nil {
			t.Fatal(err)
		}
		w.awaitLook()
		to := net.HardwareAddr{2, 0, 0, 0, 0, byte(0x50 + i)}
		if err := c.SetMAC(lab.Interface, to); err != nil {
			t.Fatal(err)
		}
		if err := c.Announce(lab.Interface, a); err != nil {
			t.Fatal(err)
		}
		w.until("the move", func(s Snapshot) bool { return s.Neighbours[Neighbour{link, a}].MAC == [6]byte(to) })
		if moves := w.Moves(); !slices.Contains(moves, Move{Neighbour{link, a}, Place{MAC: old}}) {
			t.Errorf("the move of %v is not among %v", a, moves)
		}
		old = [6]byte(to)
	}
}

// Who fails over is not there for a while. That it comes back elsewhere is a move all the
// same.
func TestMoveAfterAnAbsence(t *testing.T) {
	run(t, &fake{macs: map[netip.Addr]byte{netip.MustParseAddr("10.0.0.7"): 2}}, nil, func(t *testing.T, w *faked) {
		a := netip.MustParseAddr("10.0.0.7")
		w.fake.with(func(f *fake) { f.macs = nil })
		w.hop(2*tickInterval, a)
		if s := w.Snapshot(); s.Neighbours[on(a)] != place(2) || len(w.Moves()) != 0 {
			t.Errorf("while it is away: %v", s.Neighbours)
		}
		w.fake.with(func(f *fake) { f.macs = map[netip.Addr]byte{a: 4} })
		w.hop(2*tickInterval, a)
		if moves := w.Moves(); !slices.Equal(moves, []Move{{on(a), place(2)}}) {
			t.Errorf("moves %v", moves)
		}
	})
}

// A watcher goes on with what the one before it knew.
func TestRememberOfAnother(t *testing.T) {
	a, b, c := netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("10.0.0.8"), netip.MustParseAddr("10.0.0.9")
	run(t, &fake{macs: map[netip.Addr]byte{a: 2, b: 4}}, nil, func(t *testing.T, w *faked) {
		w.Remember(map[Neighbour]Place{on(a): place(2), on(b): place(6), on(c): place(8)})
		w.hop(tickInterval, a)
		if moves := w.Moves(); !slices.Equal(moves, []Move{{on(b), place(6)}}) {
			t.Errorf("moves %v", moves)
		}
		if got := w.Snapshot().Neighbours; !maps.Equal(got, map[Neighbour]Place{on(a): place(2), on(b): place(4), on(c): place(8)}) {
			t.Errorf("neighbours %v", got)
		}
	})
}

// An event that tells of a known neighbour's other MAC address has the table read; that of
// a stranger, of a loss, or of what is known, does not. What the event says is not taken
// for what is so: the table is.
func TestEventsOfOthers(t *testing.T) {
	a, stranger := netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("10.0.0.99")
	run(t, &fake{macs: map[netip.Addr]byte{a: 2}}, nil, func(t *testing.T, w *faked) {
		for name, c := range map[string]struct {
			event event
			looks bool
		}{
			"known":              {event{subject: aboutNeighbour, ifindex: served, addr: a, mac: [6]byte{2}}, false},
			"lost":               {event{subject: aboutNeighbour, ifindex: served, addr: a}, false},
			"a stranger":         {event{subject: aboutNeighbour, ifindex: served, addr: stranger, mac: [6]byte{6}}, false},
			"elsewhere":          {event{subject: aboutNeighbour, ifindex: served + 1, addr: a, mac: [6]byte{6}}, false},
			"another":            {event{subject: aboutNeighbour, ifindex: served, addr: a, mac: [6]byte{6}}, true},
			"another, but stale": {event{subject: aboutNeighbour, ifindex: served, addr: a, mac: [6]byte{8}}, true},
		} {
			var got scope
			w.index.mark(&got, &c.event)
			if got.empty() == c.looks || got.all || len(got.addrs) != 0 {
				t.Errorf("%s: to look at is %+v", name, got)
			}
		}
		w.batches <- []event{{subject: aboutNeighbour, ifindex: served, addr: a, mac: [6]byte{6}}}
		w.hop(againTime, a)
		if moves := w.Moves(); len(moves) != 0 {
			t.Errorf("a stale event made a move: %v", moves)
		}
	})
}

// However fast neighbours change their addresses, forged or not, looks take a small part of
// the time, what waits is bounded, and who comes to rest is known where it is.
func TestFloodOfMoves(t *testing.T) {
	a := netip.MustParseAddr("10.0.0.7")
	run(t, &fake{macs: map[netip.Addr]byte{a: 2}, took: time.Millisecond}, nil, func(t *testing.T, w *faked) {
		before, _ := w.fake.counts()
		for i := range 5000 { // in ten seconds
			mac := byte(4 + i%200)
			w.fake.with(func(f *fake) { f.macs = map[netip.Addr]byte{a: mac} })
			w.batches <- []event{{subject: aboutNeighbour, ifindex: served, addr: a, mac: [6]byte{mac}}}
			time.Sleep(2 * time.Millisecond)
		}
		now, _ := w.fake.counts()
		if got := float64(now-before) * time.Millisecond.Seconds() / 10; got > 0.03 {
			t.Errorf("it takes %.1f%% of the time", 100*got)
		}
		w.hop(maxRest, a)
		moves, s := w.Moves(), w.Snapshot()
		if len(moves) > 201 || len(moves) < 2 || s.Neighbours[on(a)] != place(4+4999%200) {
			t.Errorf("%d moves, and it is at %v", len(moves), s.Neighbours[on(a)])
		}
	})
}
