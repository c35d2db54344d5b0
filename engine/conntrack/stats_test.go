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

// What was counted can be taken back, also where the count's lower half ran over, and the
// flow stays as fresh as it was.
func TestUntouch(t *testing.T) {
	tab := newTable(100, 1)
	r := mustInsert(t, tab, newFlow(1, packet.ProtoTCP), 0)
	f := tab.Flow(r)
	for range 3 {
		tab.Touch(r, f, 100, 500)
	}
	tab.Touch(r|Ref(Reply), f, 60, 500)
	tab.Untouch(r, f, 100)
	info := func() Info { return tab.info(r.index(), 700) }
	if in := info(); in.Packets != [2]uint64{2, 1} || in.Bytes != [2]uint64{200, 60} || in.Idle.Milliseconds() != 200 {
		t.Errorf("after one of three was taken back: %+v", in)
	}
	const before = 1<<32 - 1
	f.packets[Request] = before
	for range 2 {
		tab.Touch(r, f, 100, 500)
	}
	if n := info().Packets[Request]; n != before+2 {
		t.Errorf("%d packets, want %d", n, uint64(before+2))
	}
	for range 3 {
		tab.Untouch(r, f, 100)
	}
	if n := info().Packets[Request]; n != before-1 {
		t.Errorf("%d packets after three were taken back, want %d", n, uint64(before-1))
	}
}

// The counters go on where their lower parts run over, in both directions and both ways.
func TestCountersRunOver(t *testing.T) {
	tab := newTable(100, 1)
	r := mustInsert(t, tab, newFlow(1, packet.ProtoTCP), 0)
	f := tab.Flow(r)
	for d := range numDirections {
		f.bytes[d], f.packets[d] = ^uint32(0)-150, ^uint32(0)-1
	}
	for range 3 {
		for d := range numDirections {
			tab.Touch(r|Ref(d), f, 100, 0)
		}
	}
	want := uint64(1<<32 + 1)
	if in := tab.info(r.index(), 0); in.Packets != [2]uint64{want, want} || in.Bytes != [2]uint64{1<<32 + 149, 1<<32 + 149} {
		t.Errorf("%+v", in)
	}
	for range 3 {
		for d := range numDirections {
			tab.Untouch(r|Ref(d), f, 100)
		}
	}
	want = 1<<32 - 2
	if in := tab.info(r.index(), 0); in.Packets != [2]uint64{want, want} || in.Bytes != [2]uint64{1<<32 - 151, 1<<32 - 151} {
		t.Errorf("taken back: %+v", in)
	}
	tab.Remove(r)
	next := tab.shards[0].fresh
	tab.flows[next].packets, tab.flows[next].bytes = [2]uint32{1, 2}, [2]uint32{3, 4}
	tab.details[next].packets.Store(^uint32(0))
	tab.details[next].bytes[Request].Store(7)
	r = mustInsert(t, tab, newFlow(2, packet.ProtoTCP), 0)
	if in := tab.info(r.index(), 0); in.Packets != [2]uint64{} || in.Bytes != [2]uint64{} {
		t.Errorf("a new flow begins with %+v", in)
	}
}
