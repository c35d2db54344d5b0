package engine

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

func netipPort(a netip.AddrPort, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr(), port)
}

// weigh gives a backend of the first service another weight.
func (h *harness) weigh(backend string, weight uint16) {
	h.t.Helper()
	for i := range h.spec.Services[0].Backends {
		if b := &h.spec.Services[0].Backends[i]; b.Name == backend {
			b.Weight = weight
		}
	}
	h.apply()
}

// pinned is a service of a and b with a connection to a.
func pinned(t *testing.T, mode balancer.Mode, onDown balancer.OnDown) (*connection, *balancer.ServiceSpec) {
	s := probed(service("web", vip4, mode, 2))
	s.OnDown = onDown
	h := newHarness(t, 1, s)
	h.setHealth("web", "a", balancer.StateUp)
	c := &connection{harness: h, client: client4, vip: vip4, seq: 1000, ack: 5001}
	if mode == balancer.NAT {
		c = h.connect(client4, vip4, packettest.ClientMAC)
	} else {
		syn := c.request(packet.TCPSyn)
		syn.Ack = 0
		h.one(0, syn)
		c.seq++
		h.one(0, c.request(packet.TCPAck))
		h.one(0, c.request(packet.TCPAck))
	}
	h.setHealth("web", "b", balancer.StateUp)
	return c, &s
}

// syn is a SYN that the connection has nothing to do with.
func (c *connection) syn() packettest.Frame {
	f := packettest.TCP(c.client, c.vip, packet.TCPSyn)
	f.Seq = c.seq + 1<<29
	return f
}

// A SYN on a live connection is for its backend to answer, and changes nothing: neither
// where the connection goes nor its class.
func TestSYNOnALiveConnection(t *testing.T) {
	for _, mode := range []balancer.Mode{balancer.NAT, balancer.DSR} {
		c, s := pinned(t, mode, balancer.Reassign)
		class := c.onlyFlow().Class
		for range 3 {
			if got := target(t, s, c.one(0, c.syn())); got != "a" {
				t.Errorf("%v: the SYN went to %s", mode, got)
			}
		}
		if got := target(t, s, c.one(0, c.request(packet.TCPAck))); got != "a" || c.onlyFlow().Class != class {
			t.Errorf("%v: the connection goes to %s, and is %v", mode, got, c.onlyFlow().Class)
		}
	}
}

// A backend without a weight gets no new connection: a SYN on one that it has is
// questioned, and a client that does not know of it ends it and chooses anew. One that
// does is not disturbed.
func TestSYNForADrainedBackend(t *testing.T) {
	for _, mode := range []balancer.Mode{balancer.NAT, balancer.DSR} {
		c, s := pinned(t, mode, balancer.Reassign)
		c.weigh("a", 0)
		in := c.syn()
		out := c.one(0, in)
		if out.Flags != packet.TCPAck || out.Ack != c.seq || out.Seq != c.ack-1 || out.Src != in.Dst || out.Dst != in.Src {
			t.Fatalf("%v: the client is answered by %+v, want a challenge", mode, out)
		}
		if got := target(t, s, c.one(0, c.request(packet.TCPAck))); got != "a" {
			t.Errorf("%v: a connection that lives goes to %s", mode, got)
		}
		reset := packettest.TCP(c.client, c.vip, packet.TCPRst)
		reset.Seq = out.Ack // as RFC 9293, 3.10.7.3 has it
		if got := target(t, s, c.one(0, reset)); got != "a" {
			t.Errorf("%v: the client's RST went to %s", mode, got)
		}
		if got := target(t, s, c.one(0, c.syn())); got != "b" {
			t.Errorf("%v: the new connection went to %s", mode, got)
		}
	}
}

// The challenge tells the connection's numbers. So it goes to the client, also if somebody
// else has sent the SYN, or the client's first one, and follows routers.
func TestChallengesGoToTheClient(t *testing.T) {
	for _, mode := range []balancer.Mode{balancer.NAT, balancer.DSR} {
		c, _ := pinned(t, mode, balancer.Reassign)
		c.weigh("a", 0)
		mustGo := func(sender, want packet.MAC) {
			t.Helper()
			if out := c.one(0, from(sender, c.syn())); out.Flags != packet.TCPAck || out.DstMAC != want {
				t.Errorf("%v: the challenge for a SYN from %v went to %v, want %v: %+v", mode, sender, out.DstMAC, want, out)
			}
		}
		mustGo(strangerMAC, packettest.ClientMAC)
		forged := from(strangerMAC, c.request(packet.TCPAck))
		forged.Ack -= 1 << 30
		c.one(0, forged)
		mustGo(strangerMAC, packettest.ClientMAC)
		c.one(0, from(router1, c.request(packet.TCPAck)))
		mustGo(packettest.ClientMAC, router1)
		c.facts.Gateways = []balancer.Station{{MAC: router1}, {MAC: router2}}
		c.apply()
		mustGo(strangerMAC, router1)
		mustGo(router2, router2)
	}
}

// So it is for one that is down, where on-down keeps the connections that it has.
func TestSYNForADeadBackend(t *testing.T) {
	for onDown, want := range map[balancer.OnDown]string{balancer.Keep: "a", balancer.Reassign: "b", balancer.Reset: ""} {
		c, s := pinned(t, balancer.NAT, onDown)
		c.setHealth("web", "a", balancer.StateDown)
		out := c.one(0, c.syn())
		switch {
		case onDown == balancer.Keep && out.Flags != packet.TCPAck, onDown == balancer.Reset && out.Flags&packet.TCPRst == 0:
			t.Errorf("%v: the client is answered by flags %#x", onDown, out.Flags)
		case onDown == balancer.Reassign && target(t, s, out) != "b":
			t.Errorf("%v: the SYN left for %v", onDown, out.DstMAC)
		}
		if want == "" {
			continue
		}
		if got := target(t, s, c.one(0, c.request(packet.TCPAck))); got != want {
			t.Errorf("%v: the connection goes to %s", onDown, got)
		}
	}
}

// The SYN of a handshake may come twice; one with other numbers is another handshake's.
func TestSYNAgainDuringTheHandshake(t *testing.T) {
	for _, mode := range []balancer.Mode{balancer.NAT, balancer.DSR} {
		s := service("web", vip4, mode, 2)
		h := newHarness(t, 1, s)
		syn := packettest.TCP(client4, vip4, packet.TCPSyn)
		h.weigh("b", 0)
		h.one(0, syn)
		h.weigh("a", 0)
		h.weigh("b", 1)
		if got := target(t, &s, h.one(0, syn)); got != "a" {
			t.Errorf("%v: the same SYN went to %s", mode, got)
		}
		syn.Seq++
		if got := target(t, &s, h.one(0, syn)); got != "b" {
			t.Errorf("%v: another SYN went to %s", mode, got)
		}
	}
}

// Challenges have a budget, beyond which there is silence.
func TestChallengesAreLimited(t *testing.T) {
	c, _ := pinned(t, balancer.NAT, balancer.Reassign)
	c.weigh("a", 0)
	w := c.engine.workers[0]
	w.budgets[challenges] = budget{perSecond: 1, tokens: 1000, at: w.clock.Now(), primed: true}
	c.one(0, c.syn())
	c.dropped(0, c.syn(), packet.DropReplyLimit)
	damaged := c.syn().Bytes()
	damaged[50] ^= 1
	c.droppedRaw(0, damaged, packet.DropNoFlow)
}

// A stream of UDP leaves a backend whose time to drain is over, if another one is there.
func TestUDPLeavesADrainedBackend(t *testing.T) {
	udp, tcp := service("dns", "192.0.2.10:53", balancer.NAT, 2), service("web", vip4, balancer.NAT, 2)
	udp.Protocol = balancer.UDP
	for _, mode := range []balancer.Mode{balancer.NAT, balancer.DSR} {
		udp.Mode = mode
		for i := range udp.Backends {
			udp.Backends[i].Port = map[balancer.Mode]uint16{balancer.NAT: 5353}[mode]
		}
		h := newHarness(t, 1, udp, tcp)
		request := packettest.UDP(client4, "192.0.2.10:53", "request")
		was := target(t, &udp, h.one(0, request))
		other := map[string]string{"a": "b", "b": "a"}[was]
		h.weigh(was, 0)
		if got := target(t, &udp, h.one(0, request)); got != was {
			t.Errorf("%v: it left for %s as soon as %s drains", mode, got, was)
		}
		h.facts.Drained = map[balancer.BackendKey]bool{h.key("dns", was): true}
		h.weigh(other, 0)
		if got := target(t, &udp, h.one(0, request)); got != was {
			t.Errorf("%v: it left for %s, which takes nothing new either", mode, got)
		}
		h.weigh(other, 1)
		if got := target(t, &udp, h.one(0, request)); got != other {
			t.Errorf("%v: it stays at %s", mode, got)
		}
	}
	h := newHarness(t, 1, tcp) // connections have an end of their own
	c := h.connect(client4, vip4, packettest.ClientMAC)
	was := target(t, &tcp, h.one(0, c.request(packet.TCPAck)))
	h.facts.Drained = map[balancer.BackendKey]bool{h.key("web", was): true}
	h.weigh(was, 0)
	if got := target(t, &tcp, h.one(0, c.request(packet.TCPAck))); got != was {
		t.Errorf("a connection left %s for %s", was, got)
	}
}

// A worker in the midst of a batch has an older table than another one that has just made
// a flow: it judges the flow's backend by the newer one.
func TestNewerFlowIsNotJudgedByTheOldTable(t *testing.T) {
	s := probed(service("web", vip4, balancer.NAT, 2))
	s.OnDown = balancer.Reset
	h := newHarness(t, 2, s)
	h.setHealth("web", "a", balancer.StateDown)
	h.setHealth("web", "b", balancer.StateUp)
	h.one(1, packettest.TCP("198.51.100.7:1", vip4, packet.TCPSyn)) // both have this table
	old := h.engine.table.Load()
	h.setHealth("web", "a", balancer.StateUp)
	h.setHealth("web", "b", balancer.StateDown)
	if got := target(t, &s, h.one(0, packettest.TCP(client4, vip4, packet.TCPSyn))); got != "a" {
		t.Fatalf("the flow was made to %s", got)
	}
	// The other worker has taken its packets before the newer table was there.
	w, k := h.engine.workers[1], h.kernels[1]
	newest := h.engine.table.Swap(old)
	k.Deliver(packettest.TCP(client4, vip4, packet.TCPAck).Bytes())
	n := w.receive()
	w.count.Received += uint64(n)
	w.now = w.clock.Now()
	w.parse(0, n)
	w.find(0, n)
	h.engine.table.Store(newest)
	w.handle(0, n)
	if err := w.send(n); err != nil {
		t.Fatal(err)
	}
	h.check(1)
	sent := k.Sent()
	if len(sent) != 1 || target(t, &s, packettest.Verify(t, sent[0])) != "a" {
		t.Errorf("%d packets came out; verdicts %v", len(sent), h.verdicts(1))
	}
	if n := h.engine.flows.Stats().Flows[conntrack.TCPSyn]; n != 2 {
		t.Errorf("%d flows, want both", n)
	}
}

// A reload that changes a service's mode has its flows of UDP go on in the new one, however busy
// they are. A connection goes on as it began, unless its answers do not come by any more.
func TestFlowsFollowTheMode(t *testing.T) {
	modes := []balancer.Mode{balancer.NAT, balancer.FullNAT, balancer.DSR, balancer.IPIP}
	specOf := func(mode balancer.Mode, proto balancer.Protocol) balancer.ServiceSpec {
		s := service("web", vip4, mode, 1)
		if mode == balancer.FullNAT {
			s = fullnatService("web", vip4, 1, 100)
		}
		s.Protocol, s.Backends[0].Port = proto, 80
		return s
	}
	for _, proto := range []balancer.Protocol{balancer.TCP, balancer.UDP} {
		for _, was := range modes {
			for _, is := range modes {
				t.Run(fmt.Sprint(proto, was, is), func(t *testing.T) {
					h := newHarness(t, 1, specOf(was, proto))
					// send returns where a packet of a client goes, and whether from the balancer.
					send := func(client string) string {
						t.Helper()
						f := packettest.UDP(client, vip4, "x")
						if proto == balancer.TCP {
							f = packettest.TCP(client, vip4, packet.TCPAck)
						}
						out := h.pass(0, f)
						if len(out) != 1 {
							t.Fatalf("%d packets came out: %v", len(out), h.verdicts(0))
						}
						ip := out[0][14:]
						return fmt.Sprint(netip.AddrFrom4([4]byte(ip[16:])), ip[12] == 10)
					}
					before := send(client4)
					h.spec.Services[0] = specOf(is, proto)
					h.apply()
					now := send(client4)
					want := send("198.51.100.8:40000") // as one that is new
					switch connected := proto == balancer.TCP && is.Traits().RepliesReturn; {
					case connected && was.Traits().RepliesReturn:
						want = before
					case connected: // the backend has the service's address, and is on the link as it seems
						want = "192.0.2.10 false"
					}
					if now != want {
						t.Errorf("it went to %s, and goes to %s now, want %s", before, now, want)
					}
					if n := h.engine.flows.Stats().Total(); n != 2 {
						t.Errorf("%d flows", n)
					}
				})
			}
		}
	}
}
