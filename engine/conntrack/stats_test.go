package conntrack

import (
	"fmt"
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
		tab.touch(r|Ref(Reply), 60, 700)
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
		tab.touch(r, 100, 500)
	}
	tab.touch(r|Ref(Reply), 60, 500)
	tab.Untouch(r, f, 100)
	info := func() Info { return tab.info(r.index(), 700) }
	if in := info(); in.Packets != [2]uint64{2, 1} || in.Bytes != [2]uint64{200, 60} || in.Idle.Milliseconds() != 200 {
		t.Errorf("after one of three was taken back: %+v", in)
	}
}

// What is about a flow counts for it, also where that fills a word, and keeps it no fresher
// than it was.
func TestNote(t *testing.T) {
	tab := newTable(100, 1)
	r := mustInsert(t, tab, newFlow(1, packet.ProtoTCP), 0)
	f := tab.Flow(r)
	tab.touch(r, 100, 500)
	for range 1 << packetBits {
		tab.Note(r, f, 10)
	}
	tab.Note(r|Ref(Reply), f, 60)
	in := tab.info(r.index(), 700)
	if in.Packets != [2]uint64{1<<packetBits + 1, 1} || in.Bytes != [2]uint64{10<<packetBits + 100, 60} || in.Idle.Milliseconds() != 200 {
		t.Errorf("%+v", in)
	}
}

// The counters go on where a word is full, both ways, and in each direction by itself.
func TestCountersRunOver(t *testing.T) {
	for _, size := range []int{0, 60, 1514, 65535} {
		tab := newTable(100, 1)
		r := mustInsert(t, tab, newFlow(1, packet.ProtoTCP), 0)
		f := tab.Flow(r)
		var want Info
		hold := func(when string) {
			t.Helper()
			if in := tab.info(r.index(), 0); in.Packets != want.Packets || in.Bytes != want.Bytes {
				t.Fatalf("%s packets of %d bytes: %d, %d bytes; want %d, %d", when, size, in.Packets, in.Bytes, want.Packets, want.Bytes)
			}
		}
		for round := range 4 {
			for d := range numDirections { // as if all but two packets of a word had come
				n := uint64(1<<packetBits - 2)
				f.count[d] += n + n*uint64(size)<<packetBits
				want.Packets[d] += n
				want.Bytes[d] += n * uint64(size)
			}
			hold(fmt.Sprint("round ", round, ", nearly full,"))
			for range 5 {
				for d := range numDirections {
					tab.touch(r|Ref(d), size, 0)
					want.Packets[d]++
					want.Bytes[d] += uint64(size)
					hold(fmt.Sprint("round ", round, ", full,"))
				}
			}
			for range 5 {
				for d := range numDirections {
					tab.Untouch(r|Ref(d), f, size)
					want.Packets[d]--
					want.Bytes[d] -= uint64(size)
					hold(fmt.Sprint("round ", round, ", taken back,"))
				}
			}
			for d := range numDirections { // to the start of the next word
				for range 2 {
					tab.touch(r|Ref(d), size, 0)
					want.Packets[d]++
					want.Bytes[d] += uint64(size)
				}
			}
		}
	}
}

// A record that was used begins from zero.
func TestANewFlowHasCountedNothing(t *testing.T) {
	tab := newTable(100, 1)
	next := tab.shards[0].fresh
	tab.flows[next].count = [2]uint64{7, 8}
	tab.details[next].packets.Store(9)
	tab.details[next].bytes[Reply].Store(10)
	r := mustInsert(t, tab, newFlow(2, packet.ProtoTCP), 0)
	if in := tab.info(r.index(), 0); r.index() != next || in.Packets != [2]uint64{} || in.Bytes != [2]uint64{} {
		t.Errorf("a new flow begins with %+v", in)
	}
}
