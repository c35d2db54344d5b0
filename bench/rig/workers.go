package rig

import (
	"fmt"

	"github.com/afxlb/afxlb/bench/child"
	"github.com/afxlb/afxlb/bench/result"
)

// parallel measures two or more workers at a time, and each alone, round by round.
func (t *Task) parallel(out *child.Out) error {
	r, err := New(t.Config, out.Progress)
	if err != nil {
		return err
	}
	defer r.Close()
	workers := make([]int, t.Config.Workers)
	for i := range workers {
		workers[i] = i
	}
	for round := range t.Rounds {
		for _, sizes := range t.Sizes {
			out.Progress(fmt.Sprintf("round %d of %d, %s", round+1, t.Rounds, sizes))
			x := mix{Sizes: sizes}
			all, err := r.measure(x, t.Packets, workers...)
			if err != nil {
				return err
			}
			alone := 0.0
			for _, w := range workers {
				o, err := r.measure(x, t.Packets, w)
				if err != nil {
					return err
				}
				alone += o.perSec / float64(len(workers))
			}
			s := t.knownSample(x, append([]result.Value{
				{Name: "over one", More: true, V: all.perSec / alone},
				{Name: "rate", Unit: "packets/s", More: true, V: all.perSec},
				{Name: "pass", Unit: "ns/packet", V: all.perPacket()},
				{Name: "rate of one", Unit: "packets/s", More: true, V: alone},
			}, all.rest()...))
			s.Table = fmt.Sprintf("%d workers", len(workers))
			out.Sample(s)
		}
	}
	return nil
}
