package engine

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
	"github.com/afxlb/afxlb/internal/testutil"
	"github.com/afxlb/afxlb/xsk/xsktest"
)

// foretell has a shadow handle a frame, and returns its verdict and what it would send.
func (h *harness) foretell(queue int, frame []byte) (Outcome, [][]byte, []Finding) {
	h.t.Helper()
	k := xsktest.New(256, 2048, 64)
	s, err := h.engine.Shadow(h.engine.workers[queue].queue, frame, k.Socket())
	must(h.t, err)
	defer func() { must(h.t, s.Close()) }()
	s.engine.workers[0].socket.Recycle()
	if !k.Deliver(frame) {
		h.t.Fatal("the fake kernel takes no packet")
	}
	end, err := s.Handle()
	must(h.t, err)
	return end, k.Sent(), s.Findings()
}

// everything that a trace must leave as it is.
type known struct {
	Counters []Counters
	Flows    any
	Live     []int64
	Refused  []int64
	Clients  any
	Ports    any
	Links    int
	Named    uint16
}

func (h *harness) known() (all known) {
	for _, w := range h.engine.workers {
		c := w.count
		c.Backends = slices.Clone(c.Backends)
		all.Counters = append(all.Counters, c)
	}
	all.Flows = []any{h.engine.flows.Stats()}
	flows := map[packet.Key]string{}
	h.engine.flows.Range(0, func(in conntrack.Info) bool {
		in.Age, in.Idle = 0, 0
		flows[in.Key] += fmt.Sprintf("%+v;", in)
		return true
	})
	all.Flows = []any{all.Flows, flows}
	for id := range h.engine.table.Load().Backends {
		all.Live = append(all.Live, h.engine.config.Loads.Live(uint32(id)))
		all.Refused = append(all.Refused, h.engine.config.Loads.Refused(uint32(id)))
	}
	all.Clients = h.engine.clients.Stats()
	ports := map[string]int{}
	for _, p := range h.engine.flows.Ports.Info() {
		ports[fmt.Sprintf("%+v", p.Key)] = p.Lent*1000 + p.Resting
	}
	all.Ports = maps.Clone(ports)
	all.Links = h.engine.table.Load().Links.Len()
	return all
}

// TestShadowIsTheNextPacket: what a shadow says of a packet is what then becomes of it, for each
// algorithm in each mode, with all that goes before it by chance; and asking changes nothing.
func TestShadowIsTheNextPacket(t *testing.T) {
	modes := loadModes
	if testutil.Race { // nothing of it is done at the same time
		modes = modes[:1]
	}
	for _, mode := range modes {
		for algorithm := balancer.RoundRobin; algorithm <= balancer.Maglev; algorithm++ {
			t.Run(fmt.Sprintf("%v/%v", mode, algorithm), func(t *testing.T) { shadowed(t, mode, algorithm, algorithm%2 == 0) })
		}
	}
}

func shadowed(t *testing.T, mode balancer.Mode, algorithm balancer.Algorithm, persists bool) {
	r := rand.New(rand.NewPCG(uint64(algorithm), uint64(mode)))
	web := probed(service("web", vip4, mode, 5))
	if mode == balancer.FullNAT {
		web = probed(fullnatService("web", vip4, 5, 3)) // so few that they run out
	}
	dns := service("dns", "192.0.2.10:53", mode, 3)
	dns.Protocol, dns.Algorithm = balancer.UDP, algorithm
	if algorithm%2 == 1 && algorithm != balancer.SourceHash {
		dns.Affinity = balancer.AffinityNone // each datagram for itself
	}
	if mode == balancer.FullNAT {
		dns.SnatAddresses, dns.SnatPorts = web.SnatAddresses, balancer.Ports{First: 2000, Last: 60000}
	}
	web.Algorithm = algorithm
	for i := range web.Backends {
		web.Backends[i].Weight = uint16(1 + i%3)
		web.Backends[i].MaxConns = uint32(i % 4)
	}
	if persists {
		web.Persistence = balancer.PersistenceSpec{Timeout: time.Hour, Prefix4: 28, Prefix6: 56}
	}
	clock := NewManualClock()
	h := newHarnessOf(t, Config{Queues: make([]int, 2), MaxFlows: 1000, Clock: clock}, 64, web, dns)
	up := func() {
		for _, b := range web.Backends {
			h.facts.States[h.key("web", b.Name)] = []balancer.State{balancer.StateUp, balancer.StateUp, balancer.StateUp, balancer.StateDown, balancer.StateUnknown}[r.IntN(5)]
		}
		h.apply()
	}
	up()
	var replies [][]byte
	kinds := map[packet.Verdict]int{}
	now := time.Minute
	for n := range 20 {
		now += time.Duration(r.IntN(200)) * time.Millisecond
		clock.Set(now) // who may lose a port goes by it
		if r.IntN(20) == 0 {
			up()
		}
		frame := anyFrame(r, replies)
		queue := r.IntN(2)
		before := h.known()
		end, would, _ := h.foretell(queue, frame)
		if diff := cmp.Diff(before, h.known()); diff != "" {
			t.Fatalf("packet %d: to ask has changed (-before +after)\n%s", n, diff)
		}
		verdicts := h.engine.workers[queue].count.Verdicts
		sent := h.passRaw(queue, frame)
		for v := range verdicts {
			verdicts[v] = h.engine.workers[queue].count.Verdicts[v] - verdicts[v]
		}
		if verdicts[end.Verdict] == 0 && end.Verdict != packet.Pending {
			t.Fatalf("packet %d: a shadow says %v, and it is %v", n, end.Verdict, h.verdicts(queue))
		}
		if diff := cmp.Diff(would, sent); diff != "" {
			t.Fatalf("packet %d, %v: (-foretold +sent)\n%s", n, end.Verdict, diff)
		}
		kinds[end.Verdict]++
		for _, b := range sent {
			if f, err := packettest.Decode(b); err == nil && end.Direction == 0 && end.Verdict == packet.Forwarded {
				f.Src, f.Dst, f.SrcMAC, f.DstMAC = f.Dst, f.Src, f.DstMAC, gatewayMAC
				f.Flags |= packet.TCPAck
				f.TTL = 64
				f.Seq, f.Ack = f.Ack, f.Seq+1
				replies = append(replies, f.Bytes())
			}
		}
	}
	if kinds[packet.Forwarded] < 3 {
		t.Errorf("only %d packets were forwarded: %v", kinds[packet.Forwarded], kinds)
	}
}

// anyFrame is a client's packet of one of few flows, a reply, or something else.
func anyFrame(r *rand.Rand, replies [][]byte) []byte {
	if len(replies) > 0 && r.IntN(3) == 0 {
		b := slices.Clone(replies[r.IntN(len(replies))])
		return b
	}
	client := fmt.Sprintf("198.51.100.%d:%d", r.IntN(60), 40000+r.IntN(3))
	f := packettest.TCP(client, vip4, []uint8{packet.TCPSyn, packet.TCPSyn, packet.TCPSyn, packet.TCPAck, packet.TCPAck | packet.TCPFin, packet.TCPRst | packet.TCPAck}[r.IntN(6)])
	switch r.IntN(12) {
	case 0, 6, 7:
		f = packettest.UDP(client, "192.0.2.10:53", "query")
	case 1:
		f = packettest.Echo("198.51.100.7", "192.0.2.10", 1)
	case 2:
		f.TTL = 1
	case 3:
		f.VLANs = []uint16{uint16(r.IntN(5))}
	case 4:
		f = packettest.TCP(client, "192.0.2.10:81", packet.TCPSyn)
	case 5:
		f.SrcMAC = backendMAC(service("web", vip4, 0, 1).Backends[0].Address)
	}
	return f.Bytes()
}

// TestShadowFindings: each step tells what decided.
func TestShadowFindings(t *testing.T) {
	web := service("web", vip4, balancer.NAT, 3)
	web.Algorithm = balancer.Maglev
	h := newHarness(t, 1, web)
	syn := packettest.TCP(client4, vip4, packet.TCPSyn).Bytes()
	end, _, findings := h.foretell(0, syn)
	if len(findings) != 4 {
		t.Fatalf("%d findings: %+v", len(findings), findings)
	}
	sought, picked, way, kept := findings[0], findings[1], findings[2], findings[3]
	if sought.What != FlowSought || sought.OK || sought.Service.Name != "web" {
		t.Errorf("flow: %+v", sought)
	}
	if picked.What != Picked || !picked.OK || picked.Backend != end.Backend || picked.Basis.Slots != 65537 || picked.Basis.Slot >= 65537 {
		t.Errorf("pick: %+v", picked)
	}
	if way.What != WayFound || way.Verdict != packet.Pending || kept.What != Remembered {
		t.Errorf("way: %+v, %+v", way, kept)
	}
	h.passRaw(0, syn)
	_, _, findings = h.foretell(0, syn)
	if len(findings) != 1 || !findings[0].OK || findings[0].Flow.Packets[0] != 1 {
		t.Errorf("the same again: %+v", findings)
	}
}

func TestShadowOfNoQueue(t *testing.T) {
	h := newHarness(t, 1, service("web", vip4, balancer.NAT, 3))
	if _, err := h.engine.Shadow(7, nil); err == nil {
		t.Error("queue 7 has a worker")
	}
}

// TestShadowHasTheWorkersBudgets: where the limit for answers is used up, it is so for the shadow,
// which uses up nothing.
func TestShadowHasTheWorkersBudgets(t *testing.T) {
	h := newHarnessOf(t, Config{Queues: make([]int, 1), MaxFlows: 1000, Clock: NewManualClock()}, 64, service("web", vip4, balancer.NAT, 2))
	ping := packettest.Echo("198.51.100.7", "192.0.2.10", 1)
	for n := range answersPerSecond {
		if n%100 == 0 {
			if end, _, _ := h.foretell(0, ping.Bytes()); end.Verdict != packet.Replied {
				t.Fatalf("ping %d: %v", n, end.Verdict)
			}
		}
		h.pass(0, ping)
	}
	end, _, findings := h.foretell(0, ping.Bytes())
	if end.Verdict != packet.DropReplyLimit || len(findings) != 1 || findings[0].OK || findings[0].Answer != "an echo reply" {
		t.Errorf("one ping more: %v, %+v", end.Verdict, findings)
	}
}

// TestShadowWhileWorkersRun: shadows come and go beside a worker that makes flows and uses them.
func TestShadowWhileWorkersRun(t *testing.T) {
	h := newHarness(t, 1, fullnatService("web", vip4, 2, 2000))
	end := h.busy(300, 3)
	k := xsktest.New(256, 2048, 64)
	for i := range 20 {
		frame := packettest.TCP(fmt.Sprintf("198.51.100.7:%d", 1000+i), vip4, packet.TCPSyn).Bytes()
		s, err := h.engine.Shadow(0, frame, k.Socket())
		must(t, err)
		s.engine.workers[0].socket.Recycle()
		if !k.Deliver(frame) {
			t.Fatal("the fake kernel takes no packet")
		}
		if end, err := s.Handle(); err != nil || end.Verdict != packet.Forwarded && end.Verdict != packet.DropNoSource {
			t.Errorf("%v, %v", end.Verdict, err)
		}
		must(t, s.Close())
		k = xsktest.New(256, 2048, 64)
	}
	end()
}

// TestShadowOfAPortThatIsAway: what is to leave by it does not, for the shadow as for the worker.
func TestShadowOfAPortThatIsAway(t *testing.T) {
	h := newPorts(t, 1, false, service("web", vip4, balancer.NAT, 2))
	syn := packettest.TCP(client4, vip4, packet.TCPSyn)
	for _, away := range []bool{false, true} {
		want := packet.Forwarded
		if away {
			l := leaseOf(socketsOf(h.kernels))
			l.ports = append(l.ports, nil)
			must(t, h.engine.hand(l))
			want = packet.DropLinkDown
		}
		outer := xsktest.New(256, 2048, 64)
		s, err := h.engine.Shadow(h.engine.workers[0].queue, syn.Bytes(), outer.Socket(), outer.Share(64).Socket())
		must(t, err)
		s.engine.workers[0].socket.Recycle()
		if !outer.Deliver(syn.Bytes()) {
			t.Fatal("the fake kernel takes no packet")
		}
		end, err := s.Handle()
		must(t, err)
		if end.Verdict != want || s.Away(1) != away || s.Away(0) {
			t.Errorf("away %v: %v, want %v; %v %v", away, end.Verdict, want, s.Away(0), s.Away(1))
		}
		must(t, s.Close())
	}
	h.dropped(0, syn, packet.DropLinkDown)
}
