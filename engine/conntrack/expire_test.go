package conntrack

import (
	"testing"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
)

func TestExpiryFollowsTheClass(t *testing.T) {
	for class := range numClasses {
		tab := newTable(100, 1)
		proto := uint32(packet.ProtoTCP)
		switch class {
		case UDPNew, UDPEstablished, UDPOneSided:
			proto = packet.ProtoUDP
		case ICMP:
			proto = packet.ProtoICMP
		}
		flow := newFlow(1, proto)
		r := mustInsert(t, tab, flow, 1000)
		tab.move(r, class, 1000)
		defaults := DefaultTimeouts()
		timeout := uint32(defaults.timeout(class).Milliseconds())
		// Touch it half-way: the deadline moves.
		tab.touch(r, 60, 1000+timeout/2)
		deadline := 1000 + timeout/2 + timeout
		step := timeout / 16
		for now := uint32(1000); now <= deadline; now += step {
			tab.Expire(now, 1000)
			if _, ok := find(tab, *flow.Key); !ok {
				t.Fatalf("%v: gone at %d, deadline %d", class, now, deadline)
			}
		}
		for now := deadline; now <= deadline+timeout/8+2*step; now += step {
			tab.Expire(now, 1000)
		}
		if _, ok := find(tab, *flow.Key); ok {
			t.Errorf("%v: still there an eighth of its timeout after the deadline", class)
		}
		if s := tab.Stats(); s.Expired != 1 || s.Total() != 0 {
			t.Errorf("%v: expired %d, left %d", class, s.Expired, s.Total())
		}
	}
}

func TestExpireIsBounded(t *testing.T) {
	const limit, flows = 100, 12_000
	tab := newTable(10*flows, 1)
	for n := range flows {
		mustInsert(t, tab, newFlow(n, packet.ProtoTCP), 0)
	}
	late := uint32(DefaultTimeouts()[TCPSyn].Milliseconds()) + 1000
	total, bound := 0, limit
	for total < flows {
		n := tab.Expire(late, limit)
		if n != min(bound, flows-total) {
			t.Fatalf("one call removed %d, want %d", n, min(bound, flows-total))
		}
		total += n
		bound = min(2*bound, limit<<maxHurry)
	}
	for range maxHurry { // there is nothing left to hurry for
		tab.Expire(late, limit)
	}
	for n := range flows {
		mustInsert(t, tab, newFlow(n, packet.ProtoTCP), 0)
	}
	if n := tab.Expire(late, limit); n != limit {
		t.Errorf("after a rest one call removed %d, want %d", n, limit)
	}
}

// Ten million busy UDP flows are 670,000 inspections a second. However many there are, a
// flow that goes silent among them goes in time.
func TestExpireKeepsUp(t *testing.T) {
	const limit, flows, tick = 20, 10_000, 100
	tab := newTable(2*flows, 1)
	refs := make([]Ref, flows)
	for n := range flows {
		refs[n] = mustInsert(t, tab, newFlow(n, packet.ProtoUDP), 0)
		tab.move(refs[n], UDPEstablished, 0)
	}
	timeout := uint32(DefaultTimeouts()[UDPEstablished].Milliseconds())
	silent := 3 * timeout
	deadline := silent + timeout + timeout/8 + timeout/16
	for now := uint32(0); now < deadline; now += tick {
		if now%5000 == 0 {
			for n, r := range refs {
				if n%100 != 0 || now < silent {
					tab.touch(r, 60, now)
				}
			}
		}
		tab.Expire(now, limit)
	}
	if got, want := tab.Stats().Total(), flows-flows/100; got != want {
		t.Errorf("%d flows are left, want the %d that are in use", got, want)
	}
}

// The clock wraps after 49 days; a flow from before must not seem idle for weeks.
func TestExpiryAcrossTheClocksWrap(t *testing.T) {
	tab := newTable(100, 1)
	flow := newFlow(1, packet.ProtoTCP)
	start := ^uint32(0) - 2000
	mustInsert(t, tab, flow, start)
	for passed := uint32(0); passed < 10_000; passed += 500 {
		tab.Expire(start+passed, 100)
		if _, ok := find(tab, *flow.Key); !ok {
			t.Fatalf("gone after %d ms of 10 s", passed)
		}
	}
	tab.Expire(start+12_000, 100)
	if _, ok := find(tab, *flow.Key); ok {
		t.Error("still there after 12 s of 10")
	}
}

// New timeouts are for the flows that are there as for those to come, in both directions.
func TestSetTimeouts(t *testing.T) {
	tab := newTable(100, 1)
	old := newFlow(1, packet.ProtoTCP)
	mustInsert(t, tab, old, 0)
	timeouts := DefaultTimeouts()
	timeouts[TCPSyn] = time.Minute
	tab.SetTimeouts(timeouts)
	if n := tab.Expire(59_000, 100); n != 0 {
		t.Fatal("a longer timeout came too late for a flow that was there")
	}
	timeouts[TCPSyn] = time.Second
	tab.SetTimeouts(timeouts)
	mustInsert(t, tab, newFlow(2, packet.ProtoTCP), 59_000)
	mustInsert(t, tab, newFlow(3, packet.ProtoUDP), 59_000)
	if n := tab.Expire(61_000, 100); n != 2 {
		t.Errorf("%d flows expired by the shorter timeout, want the two of its class", n)
	}
	if n := tab.Stats().Flows[UDPNew]; n != 1 {
		t.Errorf("%d flows of another class are left, want 1", n)
	}
}

// A worker may read its clock a moment after the housekeeper read its own.
func TestSeenInTheFutureIsNotIdle(t *testing.T) {
	if got := idle(1000, 1064); got != 0 {
		t.Errorf("idle = %d, want 0", got)
	}
	if got := idle(1064, 1000); got != 64 {
		t.Errorf("idle = %d, want 64", got)
	}
}

// One list that always uses up the limit must not keep the others from their turn.
func TestExpireIsFair(t *testing.T) {
	tab := newTable(1000, 1)
	for n := range 200 {
		mustInsert(t, tab, newFlow(n, packet.ProtoTCP), 0)
	}
	idle := newFlow(1000, packet.ProtoUDP)
	mustInsert(t, tab, idle, 0)
	now := uint32(0)
	for calls := 0; ; calls++ {
		if _, ok := find(tab, *idle.Key); !ok {
			break
		}
		if now > 2*uint32(DefaultTimeouts()[UDPNew].Milliseconds()) {
			t.Fatalf("an idle flow is still there after %d s", now/1000)
		}
		now += 2000 // all of tcp-syn is due for a look again
		for n := range 200 {
			if r, ok := find(tab, *newFlow(n, packet.ProtoTCP).Key); ok {
				tab.touch(r, 60, now)
			}
		}
		tab.Expire(now, 50)
	}
}

// The longest timeout that there can be is more than half of the clock's round.
func TestLongTimeouts(t *testing.T) {
	const day = 24 * 3600 * 1000
	timeouts := DefaultTimeouts()
	timeouts[TCPEstablished] = 30 * 24 * time.Hour
	tab := New(Config{MaxFlows: 100, Workers: 1, Timeouts: timeouts, Loads: balancer.NewLoads()})
	for _, start := range []uint32{0, 1 << 31, ^uint32(0) - 5*day} {
		r := mustInsert(t, tab, newFlow(1, packet.ProtoTCP), start)
		tab.move(r, TCPEstablished, start)
		for d := uint32(1); d < 30; d++ {
			if tab.Expire(start+d*day, 1000) != 0 {
				t.Fatalf("from %d: gone on day %d", start, d)
			}
		}
		removed := 0
		for d := uint32(30); d < 35; d++ { // and an eighth
			removed += tab.Expire(start+d*day+1, 1000)
		}
		if removed != 1 {
			t.Errorf("from %d: still there on day 34", start)
		}
	}
}
