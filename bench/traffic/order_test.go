package traffic

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/afxlb/afxlb/engine/conntrack"
)

func TestPacket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		flow := rapid.Uint32Range(0, MaxFlows-1).Draw(t, "flow")
		backend := rapid.IntRange(0, MaxBackends-1).Draw(t, "backend")
		d := conntrack.Direction(rapid.IntRange(0, 1).Draw(t, "direction"))
		p := NewPacket(flow, backend, d)
		if p.Flow() != flow || p.Backend() != backend || p.Direction() != d {
			t.Errorf("flow %d at %d, %d became %d at %d, %d", flow, backend, d, p.Flow(), p.Backend(), p.Direction())
		}
	})
}

func TestDeal(t *testing.T) {
	const flows = 10_000
	var all []Packet
	for n := range uint32(flows) {
		all = append(all, NewPacket(n, int(n%8), conntrack.Request), NewPacket(n, int(n%8), conntrack.Reply))
	}
	for _, n := range []int{1, 2, 3} {
		hands := Deal(all, n)
		var back []Packet
		for i, h := range hands {
			if len(h) < len(all)/n*9/10 || len(h) > len(all)/n*11/10 {
				t.Errorf("%d workers: worker %d got %d of %d packets", n, i, len(h), len(all))
			}
			for _, p := range h {
				if p.Owner(n) != i {
					t.Fatalf("%d workers: packet %v is with %d, its owner is %d", n, p, i, p.Owner(n))
				}
			}
			// In a random permutation every second packet follows a lower one, and next
			// to none follows its neighbour.
			rises, steps := 0, 0
			for j := range h[1:] {
				if h[j+1] > h[j] {
					rises++
				}
				if d := int64(h[j+1].Flow()) - int64(h[j].Flow()); d >= -4 && d <= 4 {
					steps++
				}
			}
			if rises < len(h)*45/100 || rises > len(h)*55/100 || steps > len(h)/100 {
				t.Errorf("%d workers: %d of %d rise, %d go to a neighbour: not shuffled", n, rises, len(h), steps)
			}
			back = append(back, h...)
		}
		slices.Sort(back)
		if !slices.Equal(back, all) {
			t.Errorf("%d workers: what was dealt is not what there was", n)
		}
	}
}

// With RSS a flow's replies reach any queue, whatever queue its requests reach.
func TestDirectionsPart(t *testing.T) {
	parted := 0
	const flows = 10_000
	for n := range uint32(flows) {
		if NewPacket(n, 1, conntrack.Request).Owner(2) != NewPacket(n, 1, conntrack.Reply).Owner(2) {
			parted++
		}
	}
	if parted < flows*45/100 || parted > flows*55/100 {
		t.Errorf("the directions of %d of %d flows are with different workers, want about half", parted, flows)
	}
}
