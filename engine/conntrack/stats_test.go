package conntrack

import (
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
)

func TestRange(t *testing.T) {
	tab := newTable(5*minPerShard, 1)
	if len(tab.shards) < 2 {
		t.Fatal("the test wants several shards")
	}
	const flows = 3000
	want := map[packet.Key]bool{}
	for n := range flows {
		flow := newFlow(n, packet.ProtoTCP)
		r := mustInsert(t, tab, flow, 100)
		tab.Touch(r|Ref(Reply), tab.Flow(r), 60, 700)
		if n%3 == 0 {
			tab.Remove(r)
		} else {
			want[*flow.Key] = true
		}
	}
	seen := 0
	tab.Range(1100, func(in Info) bool {
		if !want[in.Key] {
			t.Errorf("%v is listed twice, or was removed", in.Key.Src.Netip())
		}
		delete(want, in.Key)
		if in.Age.Milliseconds() != 1000 || in.Idle.Milliseconds() != 400 || in.Packets != [2]uint64{0, 1} || in.Bytes != [2]uint64{0, 60} {
			t.Errorf("%+v", in)
		}
		seen++
		return true
	})
	if len(want) != 0 {
		t.Errorf("%d flows are not listed", len(want))
	}
	calls := 0
	tab.Range(1100, func(Info) bool { calls++; return calls < rangeBatch+7 })
	if calls != rangeBatch+7 {
		t.Errorf("%d visits after the one that said stop", calls-rangeBatch-7)
	}
}
