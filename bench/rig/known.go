package rig

import (
	"fmt"

	"github.com/afxlb/afxlb/bench/child"
	"github.com/afxlb/afxlb/bench/result"
)

// known measures packets of established flows in random order and, where nothing else
// comes, next to them the reference, round by round.
func (t *Task) known(out *child.Out) error {
	r, err := New(t.Config, out.Progress)
	if err != nil {
		return err
	}
	defer r.Close()
	var m *goMap
	if t.Kind == Known {
		out.Progress("filling the reference")
		m = newGoMap(r).learn(r, r.config.Flows)
	}
	for round := range t.Rounds {
		for _, sizes := range t.Sizes {
			for _, share := range t.New {
				out.Progress(fmt.Sprintf("round %d of %d, %s, %v %% new", round+1, t.Rounds, sizes, share*100))
				x := mix{sizes, share}
				values, err := t.single(r, m, x)
				if err != nil {
					return err
				}
				out.Sample(t.knownSample(x, values))
			}
		}
	}
	return nil
}

// single measures one worker, and right after it the reference if there is one.
func (t *Task) single(r *Rig, m *goMap, x mix) ([]result.Value, error) {
	o, err := r.measure(x, t.Packets, 0)
	if err != nil {
		return nil, err
	}
	values := []result.Value{
		{Name: "pass", Unit: "ns/packet", V: o.perPacket()},
		{Name: "rate", Unit: "packets/s", More: true, V: o.perSec},
	}
	if m != nil {
		ref, err := r.reference(m, x.Sizes, t.Packets)
		if err != nil {
			return nil, err
		}
		values = append(values,
			result.Value{Name: "map lookup", Unit: "ns/packet", V: ref.lookup},
			result.Value{Name: "pass/lookup", V: o.perPacket() / ref.lookup},
			result.Value{Name: "parse", Unit: "ns/packet", Detail: true, V: ref.parse},
			result.Value{Name: "pass/(parse+lookup)", Detail: true, V: o.perPacket() / (ref.parse + ref.lookup)})
	}
	return append(values, o.rest()...), nil
}

// rest is what is noted beside the rate.
func (o *outcome) rest() []result.Value {
	n := float64(o.packets)
	return append([]result.Value{
		{Name: "allocated", Unit: "B/packet", V: float64(o.bytes) / n},
		{Name: "objects", Unit: "1/packet", Detail: true, V: float64(o.objects) / n},
		{Name: "slow path", Unit: "1/packet", V: float64(o.misses) / float64(o.all)},
	}, percentiles(o.batches)...)
}

// knownSample files values under what arrived.
func (t *Task) knownSample(x mix, values []result.Value) result.Sample {
	name := fmt.Sprintf("%s %s %s %s", t.Config.Mode, t.Config.Family, x.Sizes, Count(t.Config.Flows))
	table := "known flows"
	if x.New > 0 {
		name += fmt.Sprintf(" %v %% new", x.New*100)
		table = "known and new flows"
	}
	if t.Config.Workers > 1 {
		name += fmt.Sprintf(" %d workers", t.Config.Workers)
	}
	s := t.sample(table, name, values...)
	s.Labels["sizes"] = string(x.Sizes)
	s.Labels["new"] = fmt.Sprint(x.New)
	s.Labels["workers"] = fmt.Sprint(t.Config.Workers)
	return s
}
