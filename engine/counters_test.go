package engine

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
	"github.com/afxlb/afxlb/xsk/xsktest"
)

// onlyFlow returns the one flow that there is.
func (h *harness) onlyFlow() conntrack.Info {
	h.t.Helper()
	var all []conntrack.Info
	h.engine.EachFlow(func(f conntrack.Info) bool { all = append(all, f); return true })
	if len(all) != 1 {
		h.t.Fatalf("%d flows, want 1", len(all))
	}
	return all[0]
}

// What does not leave counts for nobody and changes no flow: neither a packet whose TTL
// runs out nor one whose next hop is not known any more.
func TestDroppedPacketsOfAFlowCountForNobody(t *testing.T) {
	s := service("web", vip4, balancer.NAT, 1)
	h := newHarness(t, 1, s)
	out := h.one(0, packettest.TCP(client4, vip4, packet.TCPSyn))
	h.one(0, packettest.TCP(out.Dst.String(), client4, packet.TCPSyn|packet.TCPAck))
	h.one(0, packettest.TCP(client4, vip4, packet.TCPAck))
	before, backend := h.onlyFlow(), h.engine.workers[0].count.Backends[0]
	if before.Class != conntrack.TCPEstablished || before.Packets != [2]uint64{2, 1} || backend.Packets != before.Packets || backend.Bytes != before.Bytes {
		t.Fatalf("an established flow: %+v, its backend %+v", before, backend)
	}
	for _, flags := range []uint8{packet.TCPAck, packet.TCPRst} {
		request, reply := packettest.TCP(client4, vip4, flags), packettest.TCP(out.Dst.String(), client4, flags)
		request.TTL, reply.TTL = 1, 1
		h.exceeded(request)
		h.exceeded(reply)
	}
	delete(h.facts.NextHops, s.Backends[0].Address)
	h.apply()
	h.dropped(0, packettest.TCP(client4, vip4, packet.TCPRst), packet.DropNoNeighbour)
	after := h.onlyFlow()
	if after.Class != before.Class || after.Packets != before.Packets || after.Bytes != before.Bytes {
		t.Errorf("packets that did not leave changed the flow from %+v to %+v", before, after)
	}
	if n := h.engine.workers[0].count.Backends[0]; n != backend {
		t.Errorf("packets that did not leave changed the backend's counters from %+v to %+v", backend, n)
	}
}

// A flow whose first packet does not leave is none: it counts for no backend, and is not
// live.
func TestNoFlowWithoutAPacketThatLeft(t *testing.T) {
	for name, c := range map[string]struct {
		mode    balancer.Mode
		vip     string
		change  func(*packettest.Frame)
		resolve bool
		want    packet.Verdict
	}{
		"nat, TTL":          {balancer.NAT, vip4, func(f *packettest.Frame) { f.TTL = 1 }, true, packet.Replied},
		"nat, hop limit":    {balancer.NAT, vip6, func(f *packettest.Frame) { f.TTL = 1 }, true, packet.Replied},
		"nat, no neighbour": {balancer.NAT, vip4, func(f *packettest.Frame) { f.Flags = packet.TCPAck }, false, packet.DropNoNeighbour},
		"dsr, no neighbour": {balancer.DSR, vip6, func(f *packettest.Frame) { f.Flags = packet.TCPAck }, false, packet.DropNoNeighbour},
		"dsr, TTL":          {balancer.DSR, vip4, func(f *packettest.Frame) { f.TTL = 1 }, true, packet.Replied},
		"dsr, hop limit":    {balancer.DSR, vip6, func(f *packettest.Frame) { f.TTL = 1 }, true, packet.Replied},
		"dsr":               {balancer.DSR, vip4, func(f *packettest.Frame) { f.TTL = 2 }, true, packet.Forwarded},
	} {
		t.Run(name, func(t *testing.T) {
			s := service("web", c.vip, c.mode, 1)
			h := newHarness(t, 1, s)
			if !c.resolve {
				clear(h.facts.NextHops)
				h.apply()
			}
			client := client4
			if c.vip == vip6 {
				client = client6
			}
			f := packettest.TCP(client, c.vip, packet.TCPSyn)
			c.change(&f)
			flows := int64(0)
			switch c.want {
			case packet.Forwarded:
				h.one(0, f)
				flows = 1
			case packet.Replied:
				h.exceeded(f)
			default:
				h.dropped(0, f, c.want)
			}
			if n := h.engine.flows.Stats(); int64(n.Total()) != flows || n.Inserted != uint64(flows) {
				t.Errorf("%d flows, %d inserted, want %d", n.Total(), n.Inserted, flows)
			}
			if n := h.engine.config.Loads; n.Live(0) != flows || n.Flows(0) != flows {
				t.Errorf("%d live connections, %d flows of the backend, want %d", n.Live(0), n.Flows(0), flows)
			}
			if n := h.engine.workers[0].count.Backends[0]; int64(n.Flows) != flows || int64(n.Packets[0]) != flows {
				t.Errorf("the backend's counters are %+v, want %d", n, flows)
			}
		})
	}
}

// What a full TX ring or a dead link drops is taken back from all counts: known flows'
// packets and the first ones of new flows, with answers in between.
func TestUnsentPacketsCountForNobody(t *testing.T) {
	const ring = 64
	for name, fail := range map[string]func(k *xsktest.Kernel){
		"the kernel is slow": func(k *xsktest.Kernel) { k.Answer(unix.ENOBUFS, unix.ENOBUFS, unix.ENOBUFS) },
		"the link is down":   func(k *xsktest.Kernel) { k.SetDown(true) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, 1, service("web", vip4, balancer.NAT, 2), service("empty", "192.0.2.10:81", balancer.NAT, 0))
			w, k := h.engine.workers[0], h.kernels[0]
			left := map[uint16]uint64{} // packets by their flow's port
			for round := range 3 {
				w.socket.Recycle()
				for i := range ring - 10 {
					vip, client := vip4, fmt.Sprintf("198.51.100.7:%d", 1000+20*round+i) // some known, some new
					if i%5 == 4 {
						vip = "192.0.2.10:81"
					}
					if !k.Deliver(packettest.TCP(client, vip, packet.TCPSyn).Bytes()) {
						t.Fatalf("the fake kernel took %d packets", i)
					}
				}
				fail(k)
				_, _ = w.pass() // the error is the link's
				k.SetDown(false)
				h.check(0)
			}
			for range 20 { // until the kernel has taken all that is on the ring
				_ = w.socket.Flush()
			}
			for _, b := range k.Sent() {
				if f := packettest.Verify(t, b); f.Dst.Port() == 8080 {
					left[f.Src.Port()]++
				}
			}
			if v := h.verdicts(0); len(left) == 0 || v["tx-full"]+v["link-down"] == 0 {
				t.Fatalf("%v left, verdicts %v: the test wants some packets sent and some not", left, v)
			}
			size := uint64(len(packettest.TCP(client4, vip4, packet.TCPSyn).Bytes()))
			var bytes uint64
			h.engine.EachFlow(func(f conntrack.Info) bool {
				want := left[f.Key.SrcPort]
				if f.Packets[conntrack.Request] != want || f.Bytes[conntrack.Request] != want*size {
					t.Errorf("port %d: %d packets, %d bytes counted; %d left", f.Key.SrcPort, f.Packets[conntrack.Request], f.Bytes[conntrack.Request], want)
				}
				bytes += want * size
				return true
			})
			var counted uint64
			for _, b := range w.count.Backends {
				counted += b.Bytes[conntrack.Request]
			}
			if counted != bytes {
				t.Errorf("%d bytes counted for backends, %d left", counted, bytes)
			}
		})
	}
}

// Counters belong to what a backend is, not to what it is called.
func TestRenamedBackendGoesOnCounting(t *testing.T) {
	h := newHarness(t, 1, service("web", vip4, balancer.NAT, 2))
	for port := range 10 {
		h.one(0, packettest.TCP(fmt.Sprintf("198.51.100.7:%d", 1000+port), vip4, packet.TCPSyn))
	}
	w := h.engine.workers[0]
	before := [2]BackendCounters(w.count.Backends)
	h.spec.Services[0].Name = "shop"
	h.spec.Services[0].Backends[0].Name, h.spec.Services[0].Backends[1].Name = "b", "a"
	h.apply()
	w.adopt(h.engine.table.Load())
	if ref := w.table.Refs[0]; ref.Service != "shop" || ref.Backend != "b" {
		t.Fatalf("the table calls the first backend %v", ref)
	}
	if after := [2]BackendCounters(w.count.Backends); after != before {
		t.Errorf("counters went from %+v to %+v by a new name", before, after)
	}
}

// A backend that got the ID of one that is gone starts from zero, and no other does.
func TestReusedIDCountsFromZero(t *testing.T) {
	h := newHarness(t, 1, service("web", vip4, balancer.NAT, 2))
	w := h.engine.workers[0]
	for id := range w.count.Backends {
		w.count.Backends[id].Flows = 7
	}
	adopt := func() {
		h.facts.Oldest = h.engine.Oldest()
		h.apply()
		w.adopt(h.engine.table.Load())
	}
	h.spec.Services[0].Backends = h.spec.Services[0].Backends[:1]
	adopt()
	adopt()
	h.spec.Services = append(h.spec.Services, service("new", "192.0.2.20:80", balancer.NAT, 1))
	adopt()
	if key := w.table.Keys[1]; key.Service.Address.String() != "192.0.2.20" {
		t.Fatalf("the ID of the removed backend is of %v", key)
	}
	if a, b := w.count.Backends[0].Flows, w.count.Backends[1].Flows; a != 7 || b != 0 {
		t.Errorf("counters of the one that stayed are %d, of the new one %d; want 7 and 0", a, b)
	}
}
