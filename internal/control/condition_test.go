package control

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/egress"
	"github.com/afxlb/afxlb/internal/packet"
)

func TestWay(t *testing.T) {
	now := time.Now()
	a, router, mac := addr("10.0.0.11"), addr("10.0.0.254"), [6]byte{2, 0, 0, 0, 0, 1}
	for name, c := range map[string]struct {
		hop    egress.Hop
		mode   balancer.Mode
		known  bool
		reason string
		wait   time.Duration
	}{
		"known":                 {egress.Hop{Via: a, OnLink: true, Known: true, MAC: mac}, balancer.NAT, true, "", 0},
		"by another interface":  {egress.Hop{Why: "route is by eth1"}, balancer.NAT, false, "route is by eth1", 0},
		"nat behind a router":   {egress.Hop{Via: router, Known: true, MAC: mac}, balancer.NAT, true, "", 0},
		"dsr behind a router":   {egress.Hop{Via: router, Known: true, MAC: mac}, balancer.DSR, false, "10.0.0.254", 0},
		"being asked for":       {egress.Hop{Via: a, OnLink: true, Asked: now.Add(-time.Second)}, balancer.NAT, false, "", 2 * time.Second},
		"asked in vain":         {egress.Hop{Via: a, OnLink: true, Asked: now.Add(-reachGrace)}, balancer.NAT, false, "no answer to ARP within 3s", 0},
		"lost a moment ago":     {egress.Hop{Via: a, OnLink: true, MAC: mac, Asked: now.Add(-time.Second)}, balancer.NAT, true, "", 2 * time.Second},
		"lost for good":         {egress.Hop{Via: a, OnLink: true, MAC: mac, Asked: now.Add(-reachGrace)}, balancer.NAT, false, "ARP", 0},
		"IPv6 router of IPv4":   {egress.Hop{Via: addr("fe80::1"), Known: true, MAC: mac}, balancer.NAT, true, "", 0},
		"silent IPv6 neighbour": {egress.Hop{Via: addr("2001:db8::1"), Asked: now.Add(-time.Hour)}, balancer.NAT, false, "neighbour discovery", 0},
	} {
		o := observed{link: link{up: true, since: now.Add(-time.Hour)}, snapshot: egress.Snapshot{Hops: map[netip.Addr]egress.Hop{a: c.hop}}}
		k := &check{group: &group{spec: &balancer.ServiceSpec{Mode: c.mode}}, key: balancer.BackendKey{Address: a}}
		w := o.way(k, now)
		if w.known != c.known || w.wait != c.wait || !strings.Contains(w.reason, c.reason) || (w.reason == "") != (c.reason == "") {
			t.Errorf("%s: %+v", name, w)
		}
	}
	k := &check{group: &group{spec: &balancer.ServiceSpec{}}, key: balancer.BackendKey{Address: a}}
	if w := new(observed).way(k, now); w.known || w.reason != "" {
		t.Errorf("never looked at: %+v", w)
	}
}

// An egress that is missing takes a backend out of rotation, whatever its check says,
// and says why.
func TestUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		r := start(t, w, webSpec())
		after(time.Second)
		hop := w.snapshot.Hops[addr("10.0.0.12")]
		w.change(func(s *egress.Snapshot) { s.Hops[addr("10.0.0.12")] = egress.Hop{Why: "route is by eth1"} })
		r.expect("with a route by another interface", map[string]string{"web/a": "up", "web/b": "unreachable"})
		if f := r.flags("web", "b"); f&(balancer.Usable|balancer.Up) != 0 {
			t.Errorf("flags of the unreachable: %b", f)
		}
		if b := r.View().Services[0].Backends[1]; b.Reason != "route is by eth1" || b.Check != wellChecked {
			t.Errorf("%+v", b)
		}
		w.change(func(s *egress.Snapshot) { s.Hops[addr("10.0.0.12")] = hop })
		r.expect("with the route back", map[string]string{"web/a": "up", "web/b": "up"})
		if r.logged("backend is unreachable") != 1 || r.logged("backend is up: it can be reached again") != 1 {
			t.Error("beginning and end were not told once each")
		}
	})
}

// A next hop that the user names counts from the first moment, whatever the kernel says,
// and another one from the reload on that names it.
func TestStaticHop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		w.snapshot.Hops[addr("10.0.0.12")] = egress.Hop{Why: "route is by eth1"}
		spec := webSpec()
		named := balancer.StaticHop{MAC: packet.MAC{2, 0, 0, 0, 0, 0x77}, Tags: packet.Tags{packet.NewTag(5)}, MTU: 1400}
		spec.Neighbours = map[netip.Addr]balancer.StaticHop{addr("10.0.0.12"): named}
		r := start(t, w, spec)
		after(time.Second)
		r.expect("named", map[string]string{"web/a": "up", "web/b": "up"})
		next := func() (packet.MAC, balancer.Link) {
			table := r.kernel.table()
			b := &table.Backends[table.Services[0].Backends[1]]
			return packet.WordMAC(balancer.HopMAC(b.Next)), table.Links.At(balancer.HopLink(b.Next))
		}
		if mac, link := next(); mac != named.MAC || link != (balancer.Link{Tags: named.Tags, MTU: 1400}) {
			t.Errorf("it is reached by %v on %+v", mac, link)
		}
		spec = webSpec()
		spec.Neighbours = map[netip.Addr]balancer.StaticHop{addr("10.0.0.12"): {MAC: packet.MAC{2, 0, 0, 0, 0, 0x78}}}
		r.must(r.Reload(t.Context(), spec))
		if mac, link := next(); mac != (packet.MAC{2, 0, 0, 0, 0, 0x78}) || link != (balancer.Link{}) {
			t.Errorf("after a reload it is reached by %v on %+v", mac, link)
		}
		r.must(r.Reload(t.Context(), webSpec()))
		r.expect("named no more", map[string]string{"web/a": "up", "web/b": "unreachable"})
	})
}

// A dsr service takes no next hop from a nat service with the same backend.
func TestModesDoNotShareAVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		w.snapshot.Hops[addr("10.0.0.11")] = egress.Hop{Via: addr("10.0.0.254"), Known: true, MAC: [6]byte{2, 1}}
		spec := testSpec()
		spec.Services[1].Backends[0].Weight = 1
		r := start(t, w, spec)
		after(time.Second)
		r.expect("behind a router", map[string]string{"web/a": "up", "direct/a": "unreachable"})
	})
}

// Nothing is green before packets can arrive: not without a MAC address either.
func TestUnprobedBackendNeedsItsMAC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := testSpec()
		spec.Services = spec.Services[1:]
		spec.Services[0].Backends[0].Weight = 1
		w := newWire("10.0.0.11")
		hop := w.snapshot.Hops[addr("10.0.0.11")]
		w.snapshot.Hops[addr("10.0.0.11")] = egress.Hop{Via: addr("10.0.0.11"), OnLink: true, Asked: time.Now()}
		r := start(t, w, spec)
		r.expect("at first", map[string]string{"direct/a": "warming"})
		begun := time.Now()
		r.Settled(t.Context())
		if took := time.Since(begun); took < reachGrace-time.Second || took > reachGrace+time.Second {
			t.Errorf("settled after %v, before anything is known or long after", took)
		}
		r.expect("when nobody answers", map[string]string{"direct/a": "unreachable"})
		w.change(func(s *egress.Snapshot) { s.Hops[addr("10.0.0.11")] = hop })
		r.expect("when it is found", map[string]string{"direct/a": "up"})
	})
}

// A fault on the way to all backends, noticed by ARP or by routes long before a check
// notices it, moves no flow; and who returns first does not make the others dead.
func TestOutageOfTheWay(t *testing.T) {
	for name, lose := range map[string]func(s *egress.Snapshot, a string){
		"no answer to ARP": func(s *egress.Snapshot, a string) {
			h := s.Hops[addr(a)]
			h.Known, h.Asked = false, time.Now()
			s.Hops[addr(a)] = h
		},
		"no route": func(s *egress.Snapshot, a string) { s.Hops[addr(a)] = egress.Hop{Why: "no route"} },
	} {
		for _, health := range []balancer.HealthType{balancer.HealthTCP, balancer.HealthNone} {
			t.Run(name+"/"+health.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWire("10.0.0.11", "10.0.0.12")
					spec := webSpec()
					spec.Services[0].Health.Type = health
					r := start(t, w, spec)
					after(time.Second)
					hops := w.Snapshot().Hops
					mustStay := func(when string) {
						t.Helper()
						for _, b := range []string{"a", "b"} {
							if r.flags("web", b)&(balancer.Usable|balancer.Suspect) == 0 {
								t.Errorf("%s: the flows of %s are moved", when, b)
							}
						}
					}
					for _, a := range []string{"10.0.0.11", "10.0.0.12"} { // one just after the other
						w.change(func(s *egress.Snapshot) { lose(s, a) })
						after(20 * time.Millisecond)
					}
					after(reachGrace)
					r.expect("in the outage", map[string]string{"web/a": "unreachable", "web/b": "unreachable"})
					mustStay("in the outage")
					w.change(func(s *egress.Snapshot) { s.Hops[addr("10.0.0.12")] = hops[addr("10.0.0.12")] })
					after(2 * time.Second)
					r.expect("with b back", map[string]string{"web/a": "unreachable", "web/b": "up"})
					mustStay("with b back")
					after(15 * time.Second) // its answers come in at most 10 s
					if r.flags("web", "a")&(balancer.Usable|balancer.Suspect) != 0 {
						t.Error("a has had its own chance, and its flows still stay")
					}
				})
			})
		}
	}
}

// The loss of the link makes nobody better known than before.
func TestLinkLossIsNoReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		r := start(t, w, webSpec())
		after(time.Second)
		w.change(func(s *egress.Snapshot) {
			h := s.Hops[addr("10.0.0.11")]
			h.Known, h.Asked = false, time.Now()
			s.Hops[addr("10.0.0.11")] = h
		})
		after(time.Minute)
		r.expect("without an answer to ARP", map[string]string{"web/a": "unreachable", "web/b": "up"})
		generation := r.View().Generation()
		for range 3 {
			w.change(func(s *egress.Snapshot) { s.LinkUp = false })
			after(time.Minute)
			w.change(func(s *egress.Snapshot) { s.LinkUp = true })
			after(time.Second)
			r.expect("after the link's return", map[string]string{"web/a": "unreachable", "web/b": "up"})
		}
		if g := r.View().Generation(); g != generation {
			t.Errorf("the link's losses made %d tables", g-generation)
		}
		if n := r.logged("backend is up: it can be reached again"); n != 0 || r.logged("backend is unreachable") != 1 {
			t.Errorf("told %d times that a can be reached again, %d times that it can't", n, r.logged("backend is unreachable"))
		}
	})
}
