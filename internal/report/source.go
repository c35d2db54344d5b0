// Package report says what a running balancer is and does, in the words of the control
// socket: it turns the control plane's View, the engine's figures and what the daemon
// knows of itself into the types of internal/api. It reads, never waits and changes
// nothing.
package report

import (
	"cmp"
	"os"
	"slices"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/control"
	"github.com/afxlb/afxlb/internal/packet"
)

// Source answers what the control socket asks, but for reloads.
type Source struct {
	Engine *engine.Engine
	Loads  *balancer.Loads // the engine's
	View   func() *control.View
	About  func() About
}

// About is what the daemon knows of itself.
type About struct {
	Version, Config string // version; the config file's path
	Started         time.Time
	State, Reason   string // as of api.Status
	Interface       string
	Driver, Mode    string // as asked for
	Poll            string
	Findings        []Finding // what is wrong with the interface, the worst first
	Reload          string    // outcome of the last reload: empty, ok or what was wrong
	NeedsRestart    []string  // keys that a reload found changed and can't apply
	Listeners       []string  // what is to be said of this machine's own servers
}

// Finding is something about the served interface that is not as it should be.
type Finding struct {
	Code, Text string // as of api.Warning; one of a code at a time
	Since      time.Time
	Loss       bool // packets are lost by it
}

// Status returns the balancer at a glance.
func (s *Source) Status() api.Status {
	in, v, a := s.Engine.Info(), s.View(), s.About()
	out := api.Status{
		Version: a.Version, PID: os.Getpid(), Started: a.Started, Config: a.Config, State: a.State, Reason: a.Reason,
		Interface: a.Interface, Driver: a.Driver, Poll: a.Poll, XDPMode: string(in.Attached),
		Generation: v.Generation(), Reload: a.Reload, NeedsRestart: a.NeedsRestart,
		Flows: flowTable(&in), Drops: drops(&in), Warnings: warnings(&in, v, &a),
	}
	if out.State == api.StateServing {
		out.State, out.Reason = condition(v, &a)
	}
	for i := range in.Workers {
		out.Workers = append(out.Workers, worker(&in.Workers[i]))
		out.Bind = string(in.Workers[i].Socket.Mode)
	}
	for i := range v.Services {
		up := upTotal(v, &v.Services[i])
		out.Services.Total++
		if v.Link.Up && v.Services[i].Up > 0 {
			out.Services.Up++
		}
		out.Backends.Up += up.Up
		out.Backends.Total += up.Total
	}
	return out
}

// condition tells whether all that comes is served, and if not why.
func condition(v *control.View, a *About) (state, reason string) {
	if !v.Link.Up && v.Table != nil {
		return api.StateDegraded, v.Link.Why
	}
	for i := range a.Findings {
		if a.Findings[i].Loss {
			return api.StateDegraded, a.Findings[i].Text
		}
	}
	return api.StateServing, ""
}

// upTotal counts a service's backends; without a link none can be reached.
func upTotal(v *control.View, s *control.ServiceView) api.UpTotal {
	n := api.UpTotal{Total: len(s.Backends)}
	if v.Link.Up {
		n.Up = s.Healthy
	}
	return n
}

func worker(w *engine.WorkerInfo) api.Worker {
	f := &w.Frames
	out := api.Worker{
		Queue: w.Queue, CPU: w.CPU, Bind: string(w.Socket.Mode), Detour: w.Socket.Detour,
		Frames: api.Frames{
			Free: f.Free, Filled: f.Filled, Held: f.Held, Transmit: f.Transmit, Total: w.Socket.Frames, Size: w.Socket.FrameSize,
		},
		Received: w.Counters.Received, Misses: w.Counters.Misses, Batches: w.Counters.Batches, Sleeps: w.Counters.Sleeps,
	}
	for i, n := range w.Counters.Verdicts {
		switch packet.Verdict(i).Class() {
		case packet.ClassForward:
			out.Forwarded += n
		case packet.ClassReply:
			out.Replied += n
		case packet.ClassPunt:
			out.Punted += n
		case packet.ClassDrop:
			out.Dropped += n
		}
	}
	return out
}

func flowTable(in *engine.Info) api.FlowTable {
	s := &in.Flows
	out := api.FlowTable{
		Flows: s.Total(), MaxFlows: s.MaxFlows, MaxEmbryonic: s.MaxEmbryonic, ByClass: map[string]int{},
		Inserted: s.Inserted, Expired: s.Expired, Clashes: s.Clashes,
		Clients: in.Clients.Clients, MaxClients: in.Clients.Limit,
		EvictedEstablished: s.EvictedEstablished, EvictedEmbryonic: s.EvictedEmbryonic,
	}
	for class, n := range s.Flows {
		out.ByClass[conntrack.Class(class).String()] = n
	}
	return out
}

// drops returns every reason for which packets were lost, the largest first.
func drops(in *engine.Info) []api.Counter {
	list := []api.Counter{}
	for _, c := range counters(in) {
		if c.Value > 0 && isLoss(c) {
			list = append(list, c)
		}
	}
	slices.SortStableFunc(list, func(a, b api.Counter) int { return cmp.Compare(b.Value, a.Value) })
	return list
}
