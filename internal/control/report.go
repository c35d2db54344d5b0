package control

import (
	"fmt"
	"net/netip"
	"os"

	"go.uber.org/zap"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/packet"
)

// The controller is what the control socket reads from.
var _ api.Source = (*Controller)(nil)

// Status returns the balancer at a glance.
func (c *Controller) Status() api.Status {
	in := c.engine.Info()
	o := &c.options
	s := api.Status{
		Version: o.Version, PID: os.Getpid(), Started: c.started, Config: o.Config,
		Interface: o.Engine.Interface, Driver: string(o.Engine.Driver), XDPMode: string(in.Attached), Poll: "adaptive",
		Generation: in.Table.Generation,
		Flows:      flowTable(&in.Flows),
	}
	if o.Engine.Busy {
		s.Poll = "busy"
	}
	for _, w := range in.Workers {
		s.Workers = append(s.Workers, worker(&w))
		s.Bind = string(w.Socket.Mode)
	}
	for _, svc := range c.services(&in) {
		s.Services.Total++
		if svc.Backends.Up > 0 {
			s.Services.Up++
		}
		s.Backends.Up += svc.Backends.Up
		s.Backends.Total += svc.Backends.Total
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.State, s.Reason, s.Reload = c.state, c.reason, c.reload
	return s
}

func worker(w *engine.WorkerInfo) api.Worker {
	out := api.Worker{
		Queue: w.Queue, CPU: w.CPU, Bind: string(w.Socket.Mode),
		Received: w.Counters.Received, Misses: w.Counters.Misses, Batches: w.Counters.Batches, Sleeps: w.Counters.Sleeps,
		Forwarded: w.Counters.Verdicts[packet.Forwarded], Replied: w.Counters.Verdicts[packet.Replied],
	}
	for v, n := range w.Counters.Verdicts {
		if packet.Verdict(v).IsDrop() {
			out.Dropped += n
		}
	}
	return out
}

func flowTable(s *conntrack.Stats) api.FlowTable {
	out := api.FlowTable{
		Flows: s.Total(), MaxFlows: s.MaxFlows, MaxEmbryonic: s.MaxEmbryonic, ByClass: map[string]int{},
		Inserted: s.Inserted, Expired: s.Expired, Clashes: s.Clashes,
		EvictedEstablished: s.EvictedEstablished, EvictedEmbryonic: s.EvictedEmbryonic,
	}
	for class, n := range s.Flows {
		out.ByClass[conntrack.Class(class).String()] = n
	}
	return out
}

// Services returns all services in the config's order, with the sums of their
// backends.
func (c *Controller) Services() []api.Service {
	in := c.engine.Info()
	return c.services(&in)
}

func (c *Controller) services(in *engine.Info) []api.Service {
	list := make([]api.Service, 0, len(in.Table.Services))
	for i := range in.Table.Services {
		s := &in.Table.Services[i]
		out := api.Service{
			Name: s.Name, Address: s.Address.Netip().String(), Port: (&balancer.ServiceSpec{First: s.First, Last: s.Last}).Ports(),
			Protocol: s.Protocol.String(), Mode: s.Mode.String(), Algorithm: s.Algorithm.String(),
		}
		for _, id := range s.Backends {
			out.Backends.Total++
			if in.Table.Backends[id].Flags&balancer.Up != 0 {
				out.Backends.Up++
			}
			out.Live += c.loads.Live(id)
			n := counted(in, id)
			out.Flows += n.Flows
			out.PacketsIn += n.Packets[conntrack.Request]
			out.PacketsOut += n.Packets[conntrack.Reply]
			out.BytesIn += n.Bytes[conntrack.Request]
			out.BytesOut += n.Bytes[conntrack.Reply]
		}
		list = append(list, out)
	}
	return list
}

// counted returns a backend's counters; workers may not have seen its ID yet.
func counted(in *engine.Info, id uint32) engine.BackendCounters {
	if int(id) < len(in.Total.Backends) {
		return in.Total.Backends[id]
	}
	return engine.BackendCounters{}
}

// Backends returns the backends of one service, or of all if its name is empty.
func (c *Controller) Backends(service string) []api.Backend {
	in := c.engine.Info()
	c.mu.Lock()
	defer c.mu.Unlock()
	list := []api.Backend{}
	for i := range in.Table.Services {
		s := &in.Table.Services[i]
		if service != "" && service != s.Name {
			continue
		}
		for _, id := range s.Backends {
			list = append(list, c.backend(&in, s, id))
		}
	}
	return list
}

// backend describes one backend. The lock is held.
func (c *Controller) backend(in *engine.Info, s *balancer.Service, id uint32) api.Backend {
	b, ref, n := &in.Table.Backends[id], in.Table.Refs[id], counted(in, id)
	out := api.Backend{
		Service: ref.Service, Name: ref.Backend, Address: b.Address.Netip().String(), Port: "same", Weight: int(b.Weight),
		Live: c.loads.Live(id), Flows: n.Flows,
		PacketsIn: n.Packets[conntrack.Request], PacketsOut: n.Packets[conntrack.Reply],
		BytesIn: n.Bytes[conntrack.Request], BytesOut: n.Bytes[conntrack.Reply],
		State: "warming", Check: "no answer yet",
	}
	if b.Port != 0 {
		out.Port = fmt.Sprint(b.Port)
	}
	if b.Flags&balancer.HasMAC != 0 {
		out.MAC = b.MAC.String()
	}
	k := c.checks[ref]
	switch { // as the workers see it: a change of health is told when they have it
	case b.Flags&balancer.Up != 0 && b.Weight == 0:
		out.State = "drain"
	case b.Flags&balancer.Up != 0:
		out.State = "up"
	case k != nil && k.health.State() == balancer.StateDown:
		out.State = "down"
	}
	if k != nil {
		out.Since = k.since
		switch {
		case k.last != nil:
			out.Check = k.last.Error()
		case k.probed:
			out.Check = "ok"
		}
	}
	return out
}

// Flows returns the flows that f selects.
func (c *Controller) Flows(f api.FlowFilter) []api.Flow {
	list := []api.Flow{}
	t := c.engine.Info().Table
	client, _ := netip.ParseAddr(f.Client)
	c.engine.EachFlow(func(in conntrack.Info) bool {
		if f.Client != "" && in.Key.Src.Netip() != client.Unmap() {
			return true
		}
		var ref balancer.BackendRef
		if int(in.BackendID) < len(t.Refs) {
			ref = t.Refs[in.BackendID]
		}
		if f.Service != "" && f.Service != ref.Service || f.Backend != "" && f.Backend != ref.Backend {
			return true
		}
		list = append(list, api.Flow{
			Protocol: balancer.Protocol(in.Key.Proto).String(),
			Client:   netip.AddrPortFrom(in.Key.Src.Netip(), in.Key.SrcPort).String(),
			VIP:      netip.AddrPortFrom(in.Key.Dst.Netip(), in.Key.DstPort).String(),
			Service:  ref.Service, Backend: ref.Backend,
			Target: netip.AddrPortFrom(in.Backend.Netip(), in.BackendPort).String(),
			State:  in.Class.String(), Age: in.Age, Idle: in.Idle,
			PacketsIn: in.Packets[conntrack.Request], PacketsOut: in.Packets[conntrack.Reply],
			BytesIn: in.Bytes[conntrack.Request], BytesOut: in.Bytes[conntrack.Reply],
		})
		return f.Limit == 0 || len(list) < f.Limit
	})
	return list
}

// logServing says what was taken, once per start.
func (c *Controller) logServing() {
	in := c.engine.Info()
	for _, w := range in.Workers {
		c.log.Info("serving", zap.String("interface", c.options.Engine.Interface), zap.Int("queue", w.Queue), zap.Int("cpu", w.CPU),
			zap.String("driver", string(w.Socket.Driver)), zap.String("xdp", string(in.Attached)), zap.String("bind", string(w.Socket.Mode)),
			zap.Int("tx_budget", w.Socket.TxBudget))
	}
	if in.Attached == "generic" && c.options.Engine.Mode != "generic" {
		c.log.Warn("XDP runs in generic mode, which is slow: the interface's driver takes no native program")
	}
}
