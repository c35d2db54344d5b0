package trace

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/replay"
)

// backend names one by its ID.
func (r *run) backend(id uint32) string {
	t := r.worker.Table()
	ref, b := t.Refs[id], &t.Backends[id]
	at := b.Address.Netip().String()
	if b.Port != 0 {
		at = endText(b.Address, b.Port)
	}
	return fmt.Sprintf("%s/%s (%s)", ref.Service, ref.Backend, at)
}

// endText is an address with a port, that of IPv6 in brackets.
func endText(a packet.Addr, port uint16) string { return netip.AddrPortFrom(a.Netip(), port).String() }

// found tells of one finding of the worker's.
func (r *run) found(f *engine.Finding) {
	switch f.What {
	case engine.FlowSought:
		r.sought(f)
	case engine.FlowLeft:
		r.step("flow", "on-down", "the flow does not stay at %s: its backend or its connection is over; the packet chooses anew", r.backend(f.Backend))
	case engine.SeatSought:
		switch {
		case f.Full:
			r.step("persistence", f.Service.Name, "the client is remembered at %s, which has as many connections as it may have: it gets another one", r.backend(f.Backend))
		case f.OK:
			r.step("persistence", f.Service.Name, "the client is remembered at %s, and stays there", r.backend(f.Backend))
		default:
			r.step("persistence", f.Service.Name, "the client is not remembered, or its backend is not in rotation")
		}
	case engine.Picked:
		r.pick(f)
	case engine.WayFound:
		b := &r.worker.Table().Backends[f.Backend]
		if f.Verdict != packet.Pending {
			r.step("way", f.Verdict.String(), "no packet can go to %s: %s", r.backend(f.Backend), f.Verdict.Help())
		} else {
			r.step("way", "next hop", "%s is reached by %s in mode %s", r.backend(f.Backend), r.hop(b.Next), b.Mode)
		}
	case engine.SourceLent:
		switch {
		case !f.OK:
			r.step("source", "snat-addresses", "towards %s all ports are in use", r.backend(f.Backend))
		case f.Robbed:
			r.step("source", "snat-addresses", "towards %s all ports are in use; one that only began would lose %s", r.backend(f.Backend), endText(f.Source, f.Port))
		default:
			r.step("source", "snat-addresses", "towards %s the flow would speak from %s", r.backend(f.Backend), endText(f.Source, f.Port))
		}
	case engine.Remembered:
		r.remembered(f)
	case engine.TooLarge:
		r.step("mtu", fmt.Sprint(f.MTU), "the way takes packets of %d bytes: this one is larger", f.MTU)
	case engine.Answered:
		if f.OK {
			r.step("answer", f.Answer, "the balancer answers by %s itself", f.Answer)
		} else {
			r.step("answer", "reply-limit", "%s would be due, but the limit for that is used up", f.Answer)
		}
	}
}

func (r *run) remembered(f *engine.Finding) {
	switch f.Outcome {
	case conntrack.Inserted:
		r.step("flow", "new", "a flow to %s would be remembered", r.backend(f.Backend))
	case conntrack.Exists:
		r.step("flow", "known", "there is a flow to %s, which the packet joins", r.backend(f.Backend))
	case conntrack.Clash:
		r.step("flow", "clash", "%s talks to this client's address and port for another service: its replies could not be told apart", r.backend(f.Backend))
	case conntrack.Full:
		r.step("flow", "full", "no record is to be had, not even by eviction")
	}
}

// sought tells for which service a packet is, and whether it is of a flow.
func (r *run) sought(f *engine.Finding) {
	if f.Service != nil {
		r.step("service", serviceText(f.Service), "the packet is for the service %s (mode %s, algorithm %s)", f.Service.Name, f.Service.Mode, f.Service.Algorithm)
	} else {
		r.step("service", "none", "no service has this destination")
	}
	if !f.OK {
		r.step("flow", "none", "no flow is known of the packet")
		return
	}
	in, side := &f.Flow, [...]string{"request", "reply"}[f.Direction]
	source := ""
	if in.Masked() {
		source = ", from " + endText(in.Source, in.SourcePort)
	}
	r.step("flow", flowText(in), "it is a %s of a flow to %s%s, in state %s, %v old, idle for %v, with %d packets in and %d out",
		side, r.backend(in.BackendID), source, in.Class, in.Age.Round(time.Millisecond), in.Idle.Round(time.Millisecond), in.Packets[0], in.Packets[1])
}

func flowText(in *conntrack.Info) string {
	return endText(in.Key.Src, in.Key.SrcPort) + " > " + endText(in.Key.Dst, in.Key.DstPort)
}

func serviceText(s *balancer.Service) string {
	ports := fmt.Sprint(s.First)
	switch {
	case s.First == 0 && s.Last == balancer.MaxPort:
		ports = "any"
	case s.First != s.Last:
		ports = fmt.Sprintf("%d-%d", s.First, s.Last)
	}
	return fmt.Sprintf("%s %s port %s", s.Protocol, s.Address.Netip(), ports)
}

// pick tells what a pick goes by.
func (r *run) pick(f *engine.Finding) {
	b := &f.Basis
	switch {
	case !f.OK && len(f.Service.Eligible()) > 0:
		r.step("pick", b.Algorithm.String(), "everybody of %s in rotation has as many connections as it may have", f.Service.Name)
		return
	case !f.OK:
		r.step("pick", b.Algorithm.String(), "nobody of %s is in rotation", f.Service.Name)
		return
	}
	to := r.backend(f.Backend)
	switch {
	case b.Consistent:
		r.step("pick", fmt.Sprintf("slot %d of %d", b.Slot, b.Slots), "in mid-stream the consistent hash decides: %s", to)
	case b.Slots > 0 && b.Owner != f.Backend:
		r.step("pick", fmt.Sprintf("slot %d of %d", b.Slot, b.Slots), "%s has the slot %d, which is %s; that has as many connections as it may have, and the next is %s",
			b.Algorithm, b.Slot, r.backend(b.Owner), to)
	case b.Slots > 0:
		r.step("pick", fmt.Sprintf("slot %d of %d", b.Slot, b.Slots), "%s has the slot %d, which is %s", b.Algorithm, b.Slot, to)
	default:
		var list []string
		t := r.worker.Table()
		for i, c := range b.Candidates {
			if i == 16 {
				list = append(list, fmt.Sprintf("and %d more", len(b.Candidates)-i))
				break
			}
			list = append(list, candidateText(t, b, i, &c))
		}
		r.step("pick", b.Algorithm.String()+": "+strings.Join(list, ", "), "at this worker, in this moment, %s picks %s", b.Algorithm, to)
	}
}

// candidateText says of a candidate what the algorithm goes by.
func candidateText(t *balancer.Table, b *balancer.Basis, i int, c *balancer.Candidate) string {
	name := t.Refs[c.ID].Backend
	switch b.Algorithm {
	case balancer.RoundRobin:
		if i == b.Turn {
			return name + " has the turn"
		}
		return name
	case balancer.WeightedRoundRobin:
		return fmt.Sprintf("%s weight %d credit %d", name, c.Weight, c.Credit)
	case balancer.Weighted:
		return fmt.Sprintf("%s weight %d", name, c.Weight)
	}
	text := fmt.Sprintf("%s weight %d live %d", name, c.Weight, c.Live)
	if c.Limit != 0 && c.Limit != math.MaxUint32 {
		text += fmt.Sprintf(" of %d", c.Limit)
	}
	if c.Handicap != 0 {
		text += fmt.Sprintf(" handicap %d", c.Handicap)
	}
	if c.Refused != 0 {
		text += fmt.Sprintf(" refused %d", c.Refused)
	}
	return text
}

// hop names a next hop.
func (r *run) hop(word uint64) string {
	if balancer.Spreads(word) {
		return "one of several ways"
	}
	t := r.worker.Table()
	link := t.Links.At(balancer.HopLink(word))
	text := fmt.Sprintf("%s by %s", packet.WordMAC(balancer.HopMAC(word)), r.name(int(link.Port)))
	for _, tag := range link.Tags {
		if tag != 0 {
			text += fmt.Sprintf(" vlan %d", tag.VLAN())
		}
	}
	mtu := t.Ports[link.Port].MTU
	if link.MTU != 0 {
		mtu = int(link.MTU)
	}
	if mtu != 0 {
		text += fmt.Sprintf(", MTU %d", mtu)
	}
	return text
}

func (r *run) name(port int) string {
	if port < len(r.ports) {
		return r.ports[port]
	}
	return fmt.Sprintf("port %d", port)
}

// conclude tells what became of the packet.
func (r *run) conclude(out *api.Trace, end engine.Outcome) {
	t, v := r.worker.Table(), end.Verdict
	by, help := v.String(), v.Help()
	out.Verdict = by
	switch {
	case v.IsDrop():
		out.Verdict, out.Reason = "dropped", by
	case v == packet.Pending:
		by, help = replay.VerdictHeld, "a fragment waits for the first one of its packet"
		out.Verdict = by
	}
	if end.To {
		out.Service, out.Backend = t.Refs[end.Backend].Service, t.Refs[end.Backend].Backend
		out.Direction = [...]string{"request", "reply"}[end.Direction]
	}
	if end.Tracked {
		out.Flow = end.Class.String()
	}
	for _, f := range r.sent {
		s := api.TraceSent{
			Interface: r.name(f.port), Length: len(f.frame), Text: describe(f.frame), VLANs: []uint16{},
			SourceMAC: packet.SourceMAC(f.frame).String(), DestinationMAC: packet.DestinationMAC(f.frame).String(),
		}
		_, tags := replay.Look(f.frame)
		for _, tag := range tags {
			if tag != 0 {
				s.VLANs = append(s.VLANs, tag.VLAN())
			}
		}
		out.Sent = append(out.Sent, s)
		r.step("rewrite", by, "%s becomes %s", describe(r.frame), s.Text)
		r.step("out", s.Interface, "%d bytes to %s from %s", s.Length, s.DestinationMAC, s.SourceMAC)
	}
	r.step("verdict", by, "%s", help)
}
