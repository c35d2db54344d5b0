package conntrack

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
)

// Of all flows those go elsewhere, and only those, of which it is said so, whatever shard
// and family they are of. What replies of a flow is not known is not asked for.
func TestMoveHops(t *testing.T) {
	tab := newTable(60000, 1)
	const flows = 5000
	refs := make([]Ref, flows)
	for n := range refs {
		refs[n] = mustInsert(t, tab, newFlow(n, packet.ProtoTCP), 0)
		tab.Flow(refs[n]).LearnClientHop(uint64(n % 3)) // 0: not known
	}
	tab.Remove(refs[1]) // is nobody's any more
	special := newFlow(4, packet.ProtoTCP).Key.Src
	asked := 0
	moved := tab.MoveHops(func(client packet.Addr, mac uint64) uint64 {
		asked++
		switch {
		case mac == 0:
			t.Fatal("asked for a flow whose replies go nowhere yet")
		case client == special:
			return 9
		case mac == 1:
			return 2
		}
		return mac
	})
	known, want := 0, 0
	for n, r := range refs {
		mac := uint64(n % 3)
		if n == 1 {
			continue
		}
		if mac != 0 {
			known++
		}
		switch now := mac; {
		case n == 4:
			mac, want = 9, want+1
		case now == 1:
			mac, want = 2, want+1
		}
		if got := tab.Flow(r).ClientHop(); got != mac {
			t.Fatalf("replies of flow %d go to %d, want %d", n, got, mac)
		}
	}
	if moved != want || asked != known {
		t.Errorf("%d moved of %d, want %d of %d", moved, asked, want, known)
	}
}

// Workers go on with their flows meanwhile. The race detector has the say.
func TestMoveHopsBesideWorkers(t *testing.T) {
	tab := newTable(1000, 2)
	var workers, side sync.WaitGroup
	var stop atomic.Bool
	for w := range 2 {
		workers.Go(func() {
			for n := range 3000 {
				r, out := tab.Insert(newFlow(n*2+w, packet.ProtoUDP), uint32(n))
				if out == Inserted {
					tab.Flow(r).LearnClientHop(1)
				}
				if n%3 == 0 && out == Inserted {
					tab.Remove(r)
				}
				tab.Grace.Quiescent(w)
			}
			tab.Grace.Offline(w)
		})
	}
	side.Go(func() {
		for !stop.Load() {
			tab.MoveHops(func(_ packet.Addr, mac uint64) uint64 { return mac%2 + 1 })
		}
	})
	workers.Wait()
	stop.Store(true)
	side.Wait()
	tab.check(t)
}

// A record that is used again knows nothing of where the replies of its last flow went.
func TestANewFlowHasNoMAC(t *testing.T) {
	tab := newTable(16, 1)
	was := mustInsert(t, tab, newFlow(1, packet.ProtoUDP), 0)
	tab.Flow(was).LearnClientHop(7)
	tab.Remove(was)
	r := mustInsert(t, tab, newFlow(2, packet.ProtoUDP), 0)
	if r != was {
		t.Fatalf("record %d is used, not %d again", r, was)
	}
	if mac := tab.Flow(r).ClientHop(); mac != 0 {
		t.Errorf("replies go to %#x", mac)
	}
}

// What a flow learns while it is asked about it keeps.
func TestMoveHopsSparesWhatIsLearnt(t *testing.T) {
	tab := newTable(16, 1)
	f := tab.Flow(mustInsert(t, tab, newFlow(1, packet.ProtoTCP), 0))
	f.LearnClientHop(1)
	moved := tab.MoveHops(func(packet.Addr, uint64) uint64 {
		f.LearnClientHop(2)
		return 3
	})
	if mac := f.ClientHop(); mac != 2 || moved != 0 {
		t.Errorf("%d flows moved; replies go to %d", moved, mac)
	}
}
