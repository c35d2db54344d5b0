package control

import (
	"maps"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/egress"
)

// replies returns where a client's replies go.
func (k *kernel) replies(client string) uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.flows[addr(client)]
}

// move has a neighbour be at another MAC address.
func (w *wire) move(a string, from, to byte) {
	w.change(func(s *egress.Snapshot) {
		neighbours := maps.Clone(s.Neighbours)
		if neighbours == nil {
			neighbours = map[egress.Neighbour]egress.Place{}
		}
		neighbours[neighbour(a)] = placeOf(to)
		s.Neighbours = neighbours
		if from != 0 {
			w.moves = append(w.moves, egress.Move{Who: neighbour(a), From: placeOf(from)})
		}
		for i := range s.Gateways {
			if s.Gateways[i].Addr == addr(a) {
				s.Gateways = []egress.Gateway{{Neighbour: neighbour(a), IPv4: true, Place: placeOf(to)}}
			}
		}
	})
}

// Replies follow a router that fails over, and the table knows the new one as such.
func TestRepliesFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		w.snapshot.Gateways = []egress.Gateway{{Neighbour: neighbour("10.0.0.254"), IPv4: true}}
		r := start(t, w, webSpec())
		w.move("10.0.0.254", 0, 1)
		r.kernel.flows = map[netip.Addr]uint64{addr("203.0.113.7"): word(macOf(1)), addr("10.0.0.7"): word(macOf(7))}
		after(time.Second)
		if r.kernel.sweeps != 0 || !r.kernel.table().IsGateway(word(macOf(1))) {
			t.Errorf("%d sweeps before anybody moved; or the router is none", r.kernel.sweeps)
		}
		w.move("10.0.0.254", 1, 2)
		after(time.Second)
		if got := r.kernel.replies("203.0.113.7"); got != word(macOf(2)) {
			t.Errorf("replies go to %x", got)
		}
		if got := r.kernel.replies("10.0.0.7"); got != word(macOf(7)) {
			t.Errorf("somebody else's replies go to %x", got)
		}
		if table := r.kernel.table(); !table.IsGateway(word(macOf(2))) || table.IsGateway(word(macOf(1))) {
			t.Error("the table's router is not the one that there is")
		}
		sweeps := r.kernel.sweeps
		w.move("10.0.0.7", 0, 7)
		w.move("10.0.0.7", 7, 8)
		w.move("10.0.0.7", 8, 7)
		w.change(func(*egress.Snapshot) { w.moves = []egress.Move{{Who: neighbour("10.0.0.7"), From: placeOf(7)}} })
		after(time.Second)
		if n := r.kernel.sweeps - sweeps; n != 0 {
			t.Errorf("%d sweeps for one who is back", n)
		}
		if n := r.logged("replies follow who has moved on the link"); n != 1 {
			t.Errorf("told %d times", n)
		}
	})
}

// However many move, and how often: sweeps are few, what they follow is bounded, and the
// last move counts.
func TestFloodOfMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		r := start(t, w, webSpec())
		w.move("10.0.0.7", 0, 1)
		r.kernel.flows = map[netip.Addr]uint64{addr("10.0.0.7"): word(macOf(1))}
		mac := byte(1)
		for range 1000 { // in ten seconds
			next := mac%100 + 1
			w.move("10.0.0.7", mac, next)
			mac = next
			time.Sleep(10 * time.Millisecond)
		}
		after(time.Second)
		if got := r.kernel.replies("10.0.0.7"); got != word(macOf(mac)) {
			t.Errorf("replies go to %x, the client is at %x", got, mac)
		}
		if n := r.kernel.sweeps; n > 110 || n < 50 {
			t.Errorf("%d sweeps in ten seconds", n)
		}
		many := make([]egress.Move, maxMoves+10)
		for i := range many {
			many[i] = egress.Move{Who: neighbour(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}).String()), From: placeOf(200)}
		}
		w.change(func(*egress.Snapshot) { w.moves = many })
		after(time.Second)
		if n := len(r.log.FilterMessageSnippet("more neighbours move than can be followed").All()); n != 1 {
			t.Errorf("what is not followed was told %d times", n)
		}
	})
}

// What was known of the neighbours outlives the interface.
func TestNeighboursOutliveTheInterface(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		r := start(t, w, webSpec())
		w.move("10.0.0.254", 0, 1)
		after(time.Second)
		r.must(r.Attach(t.Context(), nil))
		again := newWire("10.0.0.11", "10.0.0.12")
		r.must(r.Attach(t.Context(), again))
		if got := again.former[neighbour("10.0.0.254")]; got != placeOf(1) {
			t.Errorf("the next watcher was told %v", again.former)
		}
	})
}

// An interface that is made again with another MAC address is told of as one that gets it.
func TestOwnMACIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		r := start(t, w, webSpec())
		become := func(mac byte) {
			w.change(func(s *egress.Snapshot) {
				s.Ports = []egress.Port{{Name: "eth0", Ifindex: 2, Up: true, MAC: macOf(mac)}}
			})
		}
		told := func(want int) {
			t.Helper()
			after(time.Second)
			list := macChange("eth0", macOf(1), macOf(2))
			if n := r.logged(list[0].Text); n != want {
				t.Errorf("told %d times, want %d", n, want)
			}
		}
		told(0)
		become(1)
		told(1)
		r.must(r.Attach(t.Context(), nil))
		become(2)
		r.must(r.Attach(t.Context(), w))
		told(2)
	})
}

// Whatever somebody has the kernel believe, and however often: tables leave time for all
// else, and the last word counts.
func TestFloodOfChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		w.snapshot.Gateways = []egress.Gateway{{Neighbour: neighbour("10.0.0.254"), IPv4: true}}
		r := start(t, w, webSpec())
		after(time.Second)
		r.kernel.slow.Store(int64(20 * time.Millisecond))
		before := r.kernel.count()
		for i := range 1000 {
			w.move("10.0.0.254", 0, byte(1+i%2))
			time.Sleep(time.Millisecond)
		}
		if n := r.kernel.count() - before; n < 5 || n > 11 {
			t.Errorf("%d tables in a second, of 20 ms each", n)
		}
		w.move("10.0.0.254", 0, 3)
		after(maxRest)
		if !r.kernel.table().IsGateway(word(macOf(3))) {
			t.Error("the last change is not in force")
		}
	})
}

// Of moves that nobody can follow the log tells, and not as often as somebody brings them
// about.
func TestTooManyMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.DebugLevel)
		f := newFollower(&kernel{}, balancer.NewLinks(), zap.New(core))
		for range 1200 { // in twelve seconds: the log may tell twice
			f.follow(make([]egress.Move, maxMoves/100), egress.Snapshot{})
			time.Sleep(10 * time.Millisecond)
		}
		f.follow(make([]egress.Move, 1), egress.Snapshot{})
		list := logs.All()
		if len(list) != 2 || len(f.moves) != maxMoves {
			t.Fatalf("%d lines, and %d moves wait", len(list), len(f.moves))
		}
		told := list[0].ContextMap()["moves"].(int64) + list[1].ContextMap()["moves"].(int64)
		if want := int64(1200*(maxMoves/100) + 1 - maxMoves); told+int64(f.left) != want {
			t.Errorf("%d moves are told of and %d left, want %d", told, f.left, want)
		}
	})
}
