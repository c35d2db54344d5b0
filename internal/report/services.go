package report

import (
	"fmt"
	"iter"
	"net/netip"
	"strings"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/control"
)

// Services returns all services in the config's order, with the sums of their
// backends.
func (s *Source) Services() []api.Service {
	v := s.View()
	list, addresses := make([]api.Service, 0, len(v.Services)), s.addresses()
	for i := range v.Services {
		svc := &v.Services[i]
		out := api.Service{
			Name: svc.Spec.Name, Address: svc.Spec.Address.String(), Port: svc.Spec.Ports(), Protocol: svc.Spec.Protocol.String(),
			Mode: svc.Spec.Mode.String(), Algorithm: svc.Spec.Algorithm.String(), Backends: upTotal(v, svc),
			Fallback: svc.Fallback, Announce: svc.Spec.Announce.String(),
		}
		if v.Link.Up {
			out.InRotation = svc.Up
		}
		if svc.Spec.Announce != balancer.AnnounceNone {
			at := addresses[svc.Spec.Address]
			out.Announced, out.AddressConflict = at.Held, at.Conflict
		}
		ids := backendIDs(v, i)
		for j, t := range s.Engine.Traffic(ids) {
			out.Live += s.Loads.Live(ids[j])
			out.Flows += t.Flows
			out.PacketsIn += t.Packets[conntrack.Request]
			out.PacketsOut += t.Packets[conntrack.Reply]
			out.BytesIn += t.Bytes[conntrack.Request]
			out.BytesOut += t.Bytes[conntrack.Reply]
		}
		list = append(list, out)
	}
	return list
}

// backendIDs returns the IDs of service i's backends, in the View's order; none before
// the first table.
func backendIDs(v *control.View, i int) []uint32 {
	if v.Table == nil {
		return nil
	}
	return v.Table.Services[i].Backends
}

// Backends yields the backends of one service, or of all if its name is empty, one
// service after the other.
func (s *Source) Backends(service string) iter.Seq[api.Backend] { return s.backends(service, true) }

// Figures yields all backends as Backends does, but for where they are and what they were
// asked. That is most of the work, and of no use to those who count.
func (s *Source) Figures() iter.Seq[api.Backend] { return s.backends("", false) }

func (s *Source) backends(service string, whole bool) iter.Seq[api.Backend] {
	return func(yield func(api.Backend) bool) {
		v := s.View()
		ways := hops{view: v, known: map[uint64]hop{}}
		for i := range v.Services {
			svc := &v.Services[i]
			if service != "" && service != svc.Spec.Name {
				continue
			}
			var probed []control.Probed
			if whole {
				probed = s.probed(i, svc)
			}
			ids := backendIDs(v, i)
			traffic := s.Engine.Traffic(ids)
			for j := range svc.Backends {
				out := describe(v, svc, j)
				if ids != nil {
					s.measure(&out, v, ids[j], &traffic[j])
				}
				if whole {
					place(&out, &svc.Backends[j].Key)
					if ids != nil {
						next := ways.of(ids[j])
						out.MAC, out.Egress = next.mac, next.egress
					}
					out.Checks = []api.Check{}
					if j < len(probed) {
						out.Checks, out.Suspicions = checks(probed[j].Probes), probed[j].Suspicions
					}
				}
				if !yield(out) {
					return
				}
			}
		}
	}
}

// describe says what backend j of a service is, and how it is.
func describe(v *control.View, svc *control.ServiceView, j int) api.Backend {
	b := &svc.Backends[j]
	state, reason, since := v.Shown(b)
	out := api.Backend{
		Service: svc.Spec.Name, Name: b.Name, Weight: int(b.Weight),
		State: state, Reason: reason, Since: since, Check: b.Check,
		Override: b.Override.String(), FileWeight: int(svc.Spec.Backends[j].Weight),
		Backup: b.Backup, MaxConns: svc.Spec.Backends[j].MaxConns,
	}
	if v.Link.Up {
		out.Share = b.Share
	}
	if state == b.State && reason == "" {
		out.Reason = part(b, svc.Fallback)
	}
	return out
}

// overrides are the service's backends that operators have changed.
func overrides(svc *control.ServiceView) (list []api.Override) {
	for i := range svc.Backends {
		b := &svc.Backends[i]
		if setting := b.Override.String(); setting != "" {
			list = append(list, api.Override{Service: svc.Spec.Name, Backend: b.Name, Setting: setting, Kept: b.Override.Lasting == b.Override.Setting})
		}
	}
	return list
}

// part says why a backend gets new flows that it would not get by its state, or fewer; empty:
// it gets what it would.
func part(b *control.BackendView, fallback string) string {
	switch up := b.State == control.BackendUp; {
	case up && fallback == control.FallbackDown:
		return "the service is taken down"
	case up && b.Share == 0 && b.Backup:
		return "backup, not needed"
	case up && b.Share > 0 && b.Share < 100:
		return fmt.Sprintf("ramping %d%%", b.Share)
	case up && b.Backup:
		return "backup, in use"
	case !up && b.Share > 0:
		return "in use all the same: panic"
	}
	return ""
}

// measure adds what the datapath knows of the backend with the ID.
func (s *Source) measure(out *api.Backend, v *control.View, id uint32, t *engine.BackendCounters) {
	out.Live, out.Handicap, out.Flows = s.Loads.Live(id), s.Loads.Handicap(id), t.Flows
	out.Standing, out.Full = s.Loads.Established(id), s.Loads.Full(v.Table, id)
	if out.Full && out.State == control.BackendUp {
		out.Reason = strings.TrimPrefix(out.Reason+", full", ", ")
	}
	out.PacketsIn, out.PacketsOut = t.Packets[conntrack.Request], t.Packets[conntrack.Reply]
	out.BytesIn, out.BytesOut = t.Bytes[conntrack.Request], t.Bytes[conntrack.Reply]
}

// Flows returns the flows that f selects, one after the other; its limit is the
// consumer's to hold. Nothing is held while the consumer works.
func (s *Source) Flows(f api.FlowFilter) iter.Seq[api.Flow] {
	client, _ := netip.ParseAddr(f.Client)
	client = client.Unmap()
	return func(yield func(api.Flow) bool) {
		refs := s.Engine.Info().Table.Refs
		s.Engine.EachFlow(func(in conntrack.Info) bool {
			if f.Client != "" && in.Key.Src.Netip() != client {
				return true
			}
			var ref balancer.BackendRef
			if int(in.BackendID) < len(refs) {
				ref = refs[in.BackendID]
			}
			if f.Service != "" && f.Service != ref.Service || f.Backend != "" && f.Backend != ref.Backend {
				return true
			}
			return yield(flow(&in, ref))
		})
	}
}

// source returns what a flow's backend takes for the client's end, where that is another.
func source(in *conntrack.Info) string {
	if !in.Masked() {
		return ""
	}
	return netip.AddrPortFrom(in.Source.Netip(), in.SourcePort).String()
}

func flow(in *conntrack.Info, ref balancer.BackendRef) api.Flow {
	return api.Flow{
		Protocol: balancer.Protocol(in.Key.Proto).String(),
		Client:   netip.AddrPortFrom(in.Key.Src.Netip(), in.Key.SrcPort).String(),
		VIP:      netip.AddrPortFrom(in.Key.Dst.Netip(), in.Key.DstPort).String(),
		Service:  ref.Service, Backend: ref.Backend,
		Target: netip.AddrPortFrom(in.Backend.Netip(), in.BackendPort).String(), Source: source(in),
		State: in.Class.String(), Age: in.Age, Idle: in.Idle,
		PacketsIn: in.Packets[conntrack.Request], PacketsOut: in.Packets[conntrack.Reply],
		BytesIn: in.Bytes[conntrack.Request], BytesOut: in.Bytes[conntrack.Reply],
	}
}
