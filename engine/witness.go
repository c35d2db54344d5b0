package engine

import (
	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
)

// What is what a [Finding] is about.
type What uint8

// What a worker finds on a packet's way, as far as something decides there.
const (
	FlowSought What = iota + 1 // OK: there is one, and Flow and Direction say which; Service: that the packet is for, nil: none
	FlowLeft                   // the flow is over for this packet, which chooses anew
	SeatSought                 // OK: persistence holds the client at Backend
	Picked                     // Backend was picked by Basis; OK: there is somebody to be picked
	WayFound                   // Verdict says why no packet can go to Backend; Pending: it can
	SourceLent                 // Source and Port, towards Backend; OK: there is one; Robbed: another flow's
	Remembered                 // Outcome of the flow to Backend
	TooLarge                   // the packet is larger than the MTU of its way
	Answered                   // by the balancer itself, with Answer; OK: the limit allows it; Verdict: why
)

// Finding is one step. What has no meaning for it is zero.
type Finding struct {
	What      What
	OK        bool
	Service   *balancer.Service
	Flow      conntrack.Info // as it was
	Direction conntrack.Direction
	Backend   uint32 // ID
	Basis     balancer.Basis
	Verdict   packet.Verdict
	Source    packet.Addr
	Port      uint16
	Robbed    bool
	Full      bool // SeatSought: the backend is, so that the client goes to another one
	Outcome   conntrack.Outcome
	MTU       int
	Answer    string
}

// witness notes what a worker finds.
type witness struct{ findings []Finding }

func (t *witness) add(f Finding) { t.findings = append(t.findings, f) }

// flow notes for which service a packet is, and whether its flow is known.
func (t *witness) flow(w *worker, s *balancer.Service, r conntrack.Ref, ok bool) {
	f := Finding{What: FlowSought, Service: s, OK: ok, Direction: r.Direction()}
	if ok {
		f.Flow = w.flows.Info(r, w.now)
		f.Backend = f.Flow.BackendID
	}
	t.add(f)
}

// picked completes what was noted before a pick.
func (t *witness) picked(id uint32, ok bool) {
	f := &t.findings[len(t.findings)-1]
	f.Backend, f.OK = id, ok
}
