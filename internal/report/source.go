// Package report says what a running balancer is and does, in the words of the control
// socket: it turns the control plane's View, the engine's figures and what the daemon
// knows of itself into the types of internal/api. It reads, never waits and changes
// nothing.
package report

import (
	"cmp"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/announce"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/control"
	"github.com/afxlb/afxlb/internal/packet"
)

// Source answers what the control socket asks, but for reloads.
type Source struct {
	Engine *engine.Engine
	Loads  *balancer.Loads // the engine's
	View   func() *control.View
	Probed func(i int, service balancer.ServiceKey) []control.Probed // as of [control.Reconciler]; nil: it is not known
	About  func() About
	// Addresses tells of those of services that are to be announced; nil: nobody does that.
	Addresses func() map[netip.Addr]announce.State
}

func (s *Source) addresses() map[netip.Addr]announce.State {
	if s.Addresses == nil {
		return nil
	}
	return s.Addresses()
}

// About is what the daemon knows of itself.
type About struct {
	Version, Config string // version; the config file's path
	Started         time.Time
	State, Reason   string // as of api.Status
	Ports           []Port // by number
	Driver, Mode    string // as asked for
	Poll            string
	Findings        []Finding // what is wrong with the interfaces, the worst of each first, and with the machine
	Pressed         []Finding // bounds that packets have used up
	Reload          string    // outcome of the last reload: empty, ok or what was wrong
	ReloadOutline   string    // the same without words of the file; empty: it has none
	NeedsRestart    []string  // keys that a reload found changed and can't apply
	Listeners       []string  // what is to be said of this machine's own servers
	Web             string    // why page and metrics are not served; empty: they are
	Stalled         string    // who stands still: workers, the control plane; empty: nobody
	Lately          []string  // codes of warnings of what is counted, and was lately: checksums, punt
	Forgotten       string    // that changes at run time were lost at the start; empty: they were not
	Unkept          string    // why changes at run time are not kept over a restart; empty: they are

	Addresses map[netip.Addr]announce.State // of services, as far as they are to be announced
}

// Port is what the daemon knows of an interface.
type Port struct {
	Name  string
	Away  string    // why it is not served; empty: it is
	Since time.Time // when that began
}

// Finding is something about a served interface, or the machine, that is not as it should be.
type Finding struct {
	Port, Code, Text string // the interface, empty: the machine; as of api.Warning; one of a code at a time of each
	Since            time.Time
	Loss             bool // packets are lost by it
}

// Status returns the balancer at a glance.
func (s *Source) Status() api.Status {
	in, v, a := s.Engine.Info(), s.View(), s.About()
	a.Addresses = s.addresses()
	out := api.Status{
		Version: a.Version, PID: os.Getpid(), Started: a.Started, Config: a.Config, State: a.State, Reason: a.Reason,
		Driver: a.Driver, Poll: a.Poll, Ports: ports(&in, &a),
		Generation: v.Generation(), Reload: a.Reload, ReloadOutline: a.ReloadOutline, NeedsRestart: a.NeedsRestart,
		Flows: flowTable(&in), Drops: drops(&in), Warnings: warnings(&in, v, &a),
		SnatPorts: SnatPorts(in.Sources, v), NotUp: notUp(v),
	}
	if out.State == api.StateServing {
		out.State, out.Reason = condition(v, &a)
	}
	for i := range out.Ports {
		p := &out.Ports[i]
		out.Interface = strings.Trim(out.Interface+","+p.Name, ",")
		out.XDPMode, out.Bind = cmp.Or(out.XDPMode, p.XDPMode), cmp.Or(out.Bind, p.Bind)
	}
	for i := range in.Workers {
		out.Workers = append(out.Workers, worker(&in.Workers[i], in.Sockets(i)))
	}
	for i := range v.Services {
		up := upTotal(v, &v.Services[i])
		out.Overrides = append(out.Overrides, overrides(&v.Services[i])...)
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
	for i := range a.Ports {
		if p := &a.Ports[i]; p.Away != "" {
			return api.StateDegraded, p.Name + ": " + p.Away
		}
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

// ports returns the interfaces, by number.
func ports(in *engine.Info, a *About) (list []api.Port) {
	for i := range a.Ports {
		known := &a.Ports[i]
		if known.Name == "" { // it was a bond's slave, and is not any more
			continue
		}
		p := api.Port{Name: known.Name, State: api.StateWaiting, Reason: known.Away, Queues: []int{}}
		if i < len(in.Ports) {
			e, n := &in.Ports[i], &in.Total.Ports[i]
			if e.Index != 0 {
				p.State, p.Reason = api.StateServing, ""
			}
			p.XDPMode, p.Apart = string(e.Attached), e.Apart
			p.Received, p.Sent, p.Copied = n.Received, n.Sent, n.Copied
			for j := range e.Sockets {
				if s := &e.Sockets[j]; s.Receives() {
					p.Queues, p.Bind, p.WhyCopy = append(p.Queues, s.Queue), string(s.Mode), s.WhyCopy
				}
			}
		}
		list = append(list, p)
	}
	return list
}

// worker tells of one, whose sockets receive.
func worker(w *engine.WorkerInfo, sockets []engine.SocketInfo) api.Worker {
	f := &w.Frames
	out := api.Worker{
		Queue: w.Queue, CPU: w.CPU,
		Frames:   api.Frames{Free: f.Free, Filled: f.Filled, Held: f.Held, Transmit: f.Transmit, Total: f.Total()},
		Received: w.Counters.Received, Misses: w.Counters.Misses, Batches: w.Counters.Batches, Sleeps: w.Counters.Sleeps,
	}
	for i := range sockets {
		s := &sockets[i]
		out.Bind, out.Frames.Size, out.Detour = string(s.Mode), max(out.Frames.Size, s.FrameSize), out.Detour || s.Detour
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
		if c.Value > 0 && c.Loss {
			list = append(list, c)
		}
	}
	slices.SortStableFunc(list, func(a, b api.Counter) int { return cmp.Compare(b.Value, a.Value) })
	return list
}
