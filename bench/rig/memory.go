package rig

import (
	"fmt"
	"runtime"
	"time"

	"github.com/afxlb/afxlb/bench/child"
	"github.com/afxlb/afxlb/bench/result"
)

// memory measures what a flow costs in a table that is full: by how much the process
// has grown since before there was an engine, records, indexes and caches, over the
// flows that are remembered. The heap's own figure is larger: parts of the slabs are
// reserved, for half-open flows and for the addresses of IPv6, and never touched.
func (t *Task) memory(out *child.Out) error {
	c := t.Config
	c.MaxFlows = c.Flows
	kernels := newKernels(c.Workers)
	empty, err := readHeap()
	if err != nil {
		return err
	}
	r, err := newRig(c, kernels)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := r.establish(out.Progress); err != nil {
		return err
	}
	full, err := readHeap()
	if err != nil {
		return err
	}
	start := time.Now()
	runtime.GC()
	collection := time.Since(start)
	in, err := r.totals()
	if err != nil {
		return err
	}
	n := float64(in.Flows.Total())
	out.Sample(t.sample("memory", fmt.Sprintf("%s %s %s", c.Mode, c.Family, Count(c.Flows)),
		result.Value{Name: "resident", Unit: "B/flow", V: (float64(full.resident) - float64(empty.resident)) / n},
		result.Value{Name: "heap", Unit: "B/flow", Detail: true, V: (float64(full.live) - float64(empty.live)) / n},
		result.Value{Name: "to scan", Unit: "B/flow", V: (float64(full.scan) - float64(empty.scan)) / n},
		result.Value{Name: "collection", Unit: "ns", V: float64(collection.Nanoseconds())},
		result.Value{Name: "flows", More: true, V: n}))
	return nil
}
