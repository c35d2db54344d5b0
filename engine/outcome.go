package engine

import (
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
)

// Outcome is what became of a packet.
type Outcome struct {
	// Pending: it waits for another one, or was cut into pieces that come next. See [Engine.Again].
	Verdict packet.Verdict
	// To says that Backend and Direction are known: it is of a flow, or was sent to a backend
	// without one.
	To        bool
	Direction conntrack.Direction
	Backend   uint32 // ID
	// Of its flow, as it is now; Tracked is false if it is of none.

	Tracked bool
	Class   conntrack.Class
}

// outcome returns what became of packet i, once it was handled and until the next batch.
func (w *worker) outcome(i int) Outcome {
	out, r, p := Outcome{Verdict: w.verdicts[i]}, w.refs[i], &w.packets[i]
	if r == noFlow { // of this batch if it was forwarded, else maybe of an earlier one
		if out.Verdict == packet.Forwarded {
			out.To, out.Backend = true, uint32(w.hashes[i]) // see note
		}
		return out
	}
	if out.Verdict.IsDrop() && packet.Parse(w.frames[i], p) != packet.Pending {
		return out // it has no key, and p had that of an earlier one
	}
	// Of what is not forwarded, the reference may be another flow's: see worker.refs.
	f := w.flows.Flow(r)
	if f.Live() && (out.Verdict == packet.Forwarded || w.flows.Matches(r, f, &p.Key)) {
		out.To, out.Direction, out.Backend = true, r.Direction(), f.BackendID
		out.Tracked, out.Class = true, f.Class()
	}
	return out
}
