package rig

import (
	"fmt"
	"time"

	"github.com/afxlb/afxlb/bench/child"
	"github.com/afxlb/afxlb/bench/result"
)

// fresh measures how fast an empty table fills up by SYNs of new flows, each of which
// ends as a remembered flow and a packet to its backend. The table has room for all:
// half-open flows may be a quarter of it. The reference are the flows' keys, put one by
// one into locked Go maps that grow in the same way, and nothing else.
func (t *Task) fresh(out *child.Out) error {
	c := t.Config
	c.Flows, c.MaxFlows = 0, 5*t.Packets
	out.Progress("filling an empty table")
	r, err := New(c, out.Progress)
	if err != nil {
		return err
	}
	defer r.Close()
	o, err := r.measure(mix{Sizes: "64B", New: 1}, t.Packets, 0)
	if err != nil {
		return err
	}
	in, err := r.totals()
	if err != nil {
		return err
	}
	if n := in.Flows.Total(); n < t.Packets-t.Packets/100 {
		return fmt.Errorf("rig: %d of %d new flows are remembered: %+v", n, t.Packets, in.Flows)
	}
	start := time.Now()
	newGoMap(r).learn(r, t.Packets)
	inserts := float64(time.Since(start).Nanoseconds()) / float64(t.Packets)
	values := append([]result.Value{
		{Name: "rate", Unit: "flows/s", More: true, V: o.perSec},
		{Name: "pass", Unit: "ns/flow", V: o.perPacket()},
		{Name: "map inserts", Unit: "ns/flow", V: inserts},
		{Name: "pass/inserts", V: o.perPacket() / inserts},
	}, o.rest()...)
	out.Sample(t.sample("new flows", fmt.Sprintf("%s %s SYNs up to %s", c.Mode, c.Family, Count(t.Packets)), values...))
	return nil
}
