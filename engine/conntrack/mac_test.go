package conntrack

import (
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
)

func TestMoveMAC(t *testing.T) {
	const gone, other, to = 0x0a, 0x0b, 0x0c
	tab := newTable(5*minPerShard, 1)
	if len(tab.shards) < 2 {
		t.Fatal("the test wants several shards")
	}
	const flows = 3000
	stays := func(client packet.Addr) bool { return client[15]%5 == 0 }
	refs, want := map[int]Ref{}, 0
	for n := range flows {
		r := mustInsert(t, tab, newFlow(n, packet.ProtoTCP), 0)
		tab.Flow(r).LearnClientMAC([]uint64{gone, other}[n/2%2])
		if n%7 == 0 {
			tab.Remove(r)
			continue
		}
		refs[n] = r
		if n/2%2 == 0 && !stays(newFlow(n, packet.ProtoTCP).Key.Src) {
			want++
		}
	}
	if got := tab.MoveMAC(gone, to, stays); got != want {
		t.Errorf("%d flows moved, want %d", got, want)
	}
	for n, r := range refs {
		mac := uint64(to)
		switch {
		case n/2%2 != 0:
			mac = other
		case stays(newFlow(n, packet.ProtoTCP).Key.Src):
			mac = gone
		}
		if got := tab.Flow(r).ClientMAC(); got != mac {
			t.Errorf("flow %d: replies go to %#x, want %#x", n, got, mac)
		}
	}
	if got := tab.MoveMAC(other, to, nil); got == 0 || tab.MoveMAC(other, to, nil) != 0 {
		t.Errorf("%d flows moved without an exception", got)
	}
}
